//! Federations of real processes. Each module is a topic; each test is named after what it shows. See README.md for the list of
//! requirements and the tests that show them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test; the panic names it"
)]

#[path = "federation/story.rs"]
mod story;
