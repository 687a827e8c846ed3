//! One large artifact to another node, against the yardstick.

use std::time::Instant;

use verbund_tests::{Federation, Folder, noise};

use crate::follow::Follower;
use crate::report::Report;
use crate::{publish, yardstick};

/// Replicates artifacts of each size, and the same file by the yardstick in turn.
pub fn run(report: &mut Report) {
    let sizes = std::env::var("SIZES").unwrap_or_else(|_| "256,1024".to_owned());
    for mib in sizes.split(',').filter_map(|size| size.parse::<u64>().ok()) {
        let runs = crate::setting("RUNS", if mib > 512 { 3 } else { 7 });
        let (mut ours, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..runs {
            // A federation for each run: its files go away with it.
            let federation = Federation::found_with(2, publish::as_in_operation);
            let bytes = noise(mib + run, (mib << 20) as usize);
            let folder = Folder::new(federation.world.path(), "gross").file("gross.bin", &bytes);
            drop(bytes);
            let durable = Follower::start(&federation["de-he"].dir, "log_grew");
            let other = Follower::start(&federation["de-rp"].dir, "release_available");
            federation.publish("de-he", &folder.path);
            let (logged, _) = durable.wait("the log has grown", |event| event["member"] == "de-he");
            let (there, _) = other.wait("the release is there", |_| true);
            let took = there.saturating_duration_since(logged).as_secs_f64();
            settle();
            let other = yardstick::receive(&folder.path.join("gross.bin"), federation.world.path());
            ours.push(mib as f64 / took);
            plain.push(mib as f64 / other);
            ratios.push(other / took);
        }
        report.row(&format!("artifact of {mib} MiB: Verbund"), "MiB/s", &ours, "");
        report.row(&format!("artifact of {mib} MiB: TLS + BLAKE3 + file + fsync"), "MiB/s", &plain, "");
        report.row(&format!("artifact of {mib} MiB: ratio"), "", &ratios, "0.9 is the aim");
    }
}

/// Lets the disk come to rest, so that one measurement does not pay for the writes before it.
pub fn settle() {
    let start = Instant::now();
    rustix::fs::sync();
    eprintln!("bench: the disk came to rest after {:.1} s", start.elapsed().as_secs_f64());
}
