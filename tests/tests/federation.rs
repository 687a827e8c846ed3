//! Federations of real processes. Each module is a topic; each test is named after what it shows. README.md maps the requirements
//! to the tests that show them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test; the panic names it"
)]

#[path = "federation/convergence.rs"]
mod convergence;
#[path = "federation/damage.rs"]
mod damage;
#[path = "federation/joining.rs"]
mod joining;
#[path = "federation/publishing.rs"]
mod publishing;
#[path = "federation/pulling.rs"]
mod pulling;
#[path = "federation/story.rs"]
mod story;
#[path = "federation/surface.rs"]
mod surface;
