//! Federations of real processes for tests.
//!
//! Owns finding the `verbund` program, starting and ending daemons, speaking to them as users do (command line, admin socket,
//! HTTPS), and waiting for what they report. Every node has a data directory of its own below one temporary directory, listens on
//! loopback with ports of its own choice, and is ended when it is dropped, by its process id.
//!
//! A step that fails panics with the reason, the place in the test and the end of each node's log: a failed step is a failed test.
//! Nothing here reads a daemon's files while it runs, except to damage them on purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step of the harness is a failed test; the panic names it"
)]

mod binary;
mod cli;
pub mod disk;
mod federation;
mod folder;
mod http;
pub mod netns;
mod node;
pub mod proxy;
pub mod puppet;
mod shim;
mod wait;

pub use binary::program;
pub use cli::Outcome;
pub use federation::{Federation, STATES};
pub use folder::{Dice, Folder, corpus, noise, samples, seed};
pub use http::{Answer, admin_get};
pub use node::{Node, World};
pub use puppet::Puppet;
pub use shim::{Calls, Shim};
pub use wait::{PATIENCE, until, within};
