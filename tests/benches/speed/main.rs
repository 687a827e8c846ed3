//! How fast the program is, each figure beside something measured on the same machine in the same run.
//!
//! usage: scripts/bench [publish] [artifact] [catchup] [idle]     all without a name
//!
//! Real daemons in the release profile on loopback. Nothing here judges: machines differ, and a shared one differs from minute to
//! minute. `TMPDIR` chooses the disk; RUNS, PUBLISHES, SIZES (MiB) and ENTRIES shrink or grow the work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails ends the measurement; the panic names it"
)]

mod artifact;
mod catchup;
mod follow;
mod grow;
mod memory;
mod publish;
mod report;
mod yardstick;

use report::Report;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let Some(file) = std::env::var_os(yardstick::SENDER) {
        return yardstick::send(file.as_ref());
    }
    if words.is_empty() {
        words = ["publish", "artifact", "catchup", "idle"].map(str::to_owned).to_vec();
    }
    let mut report = Report::start();
    for word in &words {
        match word.as_str() {
            "publish" => publish::run(&mut report),
            "artifact" => artifact::run(&mut report),
            "catchup" => catchup::run(&mut report),
            "idle" => memory::run(&mut report),
            other => {
                eprintln!("bench: {other} is none of publish, artifact, catchup, idle");
                std::process::exit(2);
            }
        }
    }
    report.print();
}
