//! A member that was away while others logged 100,000 entries.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use verbund_tests::{Federation, Folder};

use crate::follow::Follower;
use crate::grow::{self, Kind};
use crate::memory::{forget_peak, mib};
use crate::report::Report;
use crate::{publish, yardstick};

/// Bytes of a message that an entry's signature is over, roughly.
const MESSAGE: usize = 500;

/// Both kinds of entries; KIND=adoptions or KIND=releases measures one.
pub fn run(report: &mut Report) {
    let only = std::env::var("KIND").ok();
    for (name, kind) in [("adoptions", Kind::Adoptions), ("releases", Kind::Releases)] {
        if only.as_deref().is_none_or(|only| only == name) {
            measure(report, name, kind);
        }
    }
}

fn measure(report: &mut Report, name: &str, kind: Kind) {
    let (count, runs) = (crate::setting("ENTRIES", 100_000), crate::setting("RUNS", 3));
    let mut federation = Federation::found_with(2, publish::as_in_operation);
    let folder = Folder::new(federation.world.path(), "vorlage");
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    let id = federation["de-he"].federation("mitte")["id"].as_str().expect("an id").to_owned();
    let before = federation["de-he"].federation("mitte")["log"]["size"].as_u64().expect("a size");
    federation["de-he"].stop();
    federation["de-rp"].stop();
    let kept = federation.world.join("kept");
    copy(&federation["de-rp"].dir, &kept);
    let rate = grow::grow(&federation["de-he"].dir, &id, count, kind);
    report.row(&format!("catch-up of {count} {name}: store alone"), "1/s", &[rate], "sign in place, fold, journal");
    let started = Instant::now();
    federation["de-he"].start();
    report.row(&format!("start with {count} {name}"), "s", &[started.elapsed().as_secs_f64()], "the holder");
    let (mut rates, mut ratios, mut checks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut peaks, mut rests, mut served, mut settled) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        let newcomer = &mut federation["de-rp"];
        if run > 0 {
            newcomer.stop();
            std::fs::remove_dir_all(&newcomer.dir).expect("the folder goes");
            copy(&kept, &newcomer.dir);
        }
        let check = yardstick::signatures_per_s(MESSAGE);
        // Not connected before it is followed.
        federation["de-he"].freeze();
        federation["de-rp"].spawn();
        let dir = federation["de-rp"].dir.clone();
        verbund_tests::until("the newcomer's admin socket", || {
            std::os::unix::net::UnixStream::connect(dir.join("admin.sock")).map(drop).map_err(|e| e.to_string())
        });
        let grew = Follower::start(&dir, "log_grew");
        let pid = federation["de-rp"].pid();
        forget_peak(pid);
        forget_peak(federation["de-he"].pid());
        federation["de-he"].thaw();
        let size = |event: &serde_json::Value| event["details"]["size"].as_u64().unwrap_or(0);
        let (first, event) = grew.wait("the first entries", |e| e["member"] == "de-he" && size(e) > before);
        let already = size(&event);
        let (last, _) = grew.wait("all entries", |event| size(event) >= before + count);
        let took = last.saturating_duration_since(first).as_secs_f64();
        let rate = (before + count - already) as f64 / took;
        let check = f64::midpoint(check, yardstick::signatures_per_s(MESSAGE));
        rates.push(rate);
        checks.push(check);
        ratios.push(rate / check);
        if kind == Kind::Releases {
            federation.hold(&["de-rp"], count + 1);
            settled.push(last.elapsed().as_secs_f64());
        }
        peaks.push(mib(pid, "VmHWM:"));
        served.push(mib(federation["de-he"].pid(), "VmHWM:"));
        federation["de-rp"].restart();
        std::thread::sleep(Duration::from_secs(15));
        rests.push(mib(federation["de-rp"].pid(), "VmRSS:"));
    }
    let title = |what: &str| format!("catch-up of {count} {name}: {what}");
    report.row(&title("entries"), "1/s", &rates, "");
    report.row(&title("signatures, one core"), "1/s", &checks, "verify_strict");
    report.row(&title("ratio"), "", &ratios, "0.7 is the aim");
    if !settled.is_empty() {
        report.row(&title("until all are held"), "s", &settled, "after the last entry");
    }
    report.row(&title("peak of the newcomer"), "MiB", &peaks, "VmHWM");
    report.row(&title("peak of the holder"), "MiB", &served, "VmHWM");
    report.row(&title("newcomer restarted, idle"), "MiB", &rests, "VmRSS");
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(status.success(), "a copy of {}", from.display());
}
