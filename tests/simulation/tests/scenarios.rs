//! Scenarios of real cores in virtual time. Each module is a topic; each test is named after what it shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test; the panic names it"
)]

#[path = "scenarios/arrival.rs"]
mod arrival;
#[path = "scenarios/branches.rs"]
mod branches;
#[path = "scenarios/ends.rs"]
mod ends;
#[path = "scenarios/federation.rs"]
mod federation;
#[path = "scenarios/found.rs"]
mod found;
#[path = "scenarios/join.rs"]
mod join;
#[path = "scenarios/random.rs"]
mod random;
#[path = "scenarios/recovery.rs"]
mod recovery;
#[path = "scenarios/releases.rs"]
mod releases;
#[path = "scenarios/rotation.rs"]
mod rotation;
