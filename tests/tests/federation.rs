//! Federations of real processes. Each module is a topic; each test is named after what it shows. README.md maps the requirements
//! to the tests that show them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test; the panic names it"
)]

#[path = "federation/api.rs"]
mod api;
#[path = "federation/convergence.rs"]
mod convergence;
#[path = "federation/copies.rs"]
mod copies;
#[path = "federation/crowd.rs"]
mod crowd;
#[path = "federation/cycles.rs"]
mod cycles;
#[path = "federation/damage.rs"]
mod damage;
#[path = "federation/disk.rs"]
mod disk;
#[path = "federation/flood.rs"]
mod flood;
#[path = "federation/folders.rs"]
mod folders;
#[path = "federation/hostile.rs"]
mod hostile;
#[path = "federation/joining.rs"]
mod joining;
#[path = "federation/killed.rs"]
mod killed;
#[path = "federation/missing.rs"]
mod missing;
#[path = "federation/pages.rs"]
mod pages;
#[path = "federation/partitions.rs"]
mod partitions;
#[path = "federation/proof.rs"]
mod proof;
#[path = "federation/publishing.rs"]
mod publishing;
#[path = "federation/pulling.rs"]
mod pulling;
#[path = "federation/readme.rs"]
mod readme;
#[path = "federation/registry.rs"]
mod registry;
#[path = "federation/shared.rs"]
mod shared;
#[path = "federation/sites.rs"]
mod sites;
#[path = "federation/story.rs"]
mod story;
#[path = "federation/strangers.rs"]
mod strangers;
#[path = "federation/surface.rs"]
mod surface;
#[path = "federation/waiting.rs"]
mod waiting;
