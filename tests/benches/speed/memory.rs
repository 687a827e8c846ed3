//! Memory of a daemon that has nothing to do.

use std::time::Duration;

use verbund_tests::{Federation, samples};

use crate::publish;
use crate::report::Report;

/// A line of /proc/PID/status in MiB.
pub fn mib(pid: u32, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon's state");
    let found = status.lines().find(|l| l.starts_with(line)).expect("the line");
    found.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
}

/// Forgets the peak: what is read as VmHWM afterwards began now.
pub fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak is forgotten");
}

/// A federation of four with the sample processes, restarted, at rest.
pub fn run(report: &mut Report) {
    let mut federation = Federation::found_with(4, publish::as_in_operation);
    let folders = samples();
    for folder in &folders {
        federation.publish("de-he", folder);
    }
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], folders.len() as u64);
    let all =
        |federation: &Federation| -> Vec<f64> { federation.nodes.iter().map(|n| mib(n.pid(), "VmRSS:")).collect() };
    std::thread::sleep(Duration::from_secs(10));
    report.row("idle: after the work", "MiB", &all(&federation), "4 nodes, the sample releases");
    for node in &mut federation.nodes {
        node.restart();
    }
    federation.connected();
    std::thread::sleep(Duration::from_secs(20));
    report.row("idle: after a restart", "MiB", &all(&federation), "40 is the aim");
    let threads: Vec<f64> = federation
        .nodes
        .iter()
        .map(|n| std::fs::read_dir(format!("/proc/{}/task", n.pid())).expect("threads").count() as f64)
        .collect();
    report.row("idle: threads", "", &threads, "");
}
