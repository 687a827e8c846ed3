//! From a release that is durable at its publisher to the release complete and verified at everybody else.

use verbund_tests::{Federation, Folder, Node, noise};

use crate::follow::Follower;
use crate::report::Report;

/// Nodes as operators run them: the harness polls far more often than the defaults, which would hide what gossip does.
pub fn as_in_operation(node: &mut Node) {
    node.env.retain(|key, _| !key.contains("SYNC__"));
}

/// Publishes small releases one after the other.
pub fn run(report: &mut Report) {
    let n = crate::setting("PUBLISHES", 50);
    let federation = Federation::found_with(4, as_in_operation);
    let publisher = &federation["de-he"];
    let durable = Follower::start(&publisher.dir, "log_grew");
    let others: Vec<Follower> =
        federation.nodes[1..].iter().map(|node| Follower::start(&node.dir, "release_available")).collect();
    let (mut visible, mut asked) = (Vec::new(), Vec::new());
    for number in 0..n {
        let folder = Folder::new(federation.world.path(), &format!("klein-{number}"))
            .file("formular.json", &noise(number, 20_000));
        let name = format!("de-he/klein-{number}@1.0.0");
        let start = std::time::Instant::now();
        federation.publish("de-he", &folder.path);
        let (logged, _) = durable.wait("the log has grown", |event| event["member"] == "de-he");
        let ends = others.iter().map(|other| other.wait(&name, |event| event["release"] == *name).0);
        let last = ends.max().expect("others");
        visible.push(last.saturating_duration_since(logged).as_secs_f64() * 1e3);
        asked.push(last.saturating_duration_since(start).as_secs_f64() * 1e3);
    }
    report.row("publish: durable -> available on all 3", "ms", &visible, "3 files, 20 KB");
    report.row("publish: command started -> available on all", "ms", &asked, "with the command line's process");
}
