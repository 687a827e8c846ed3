//! Federations of real cores in virtual time: no threads, no sockets, no clock.
//!
//! Owns the world around the cores (disks, network, people), which a seed drives, and what goes wrong in it. It knows nothing of
//! the program `verbund`: what a node's driver does, the shell in [`node`] and [`world`] does here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "fixtures of tests: a failed step is a failed test, and the panic names it; names say what the many small parts are"
)]

pub mod acts;
mod base;
pub mod check;
pub mod disk;
mod disks;
mod hostile;
mod mend;
pub mod net;
pub mod node;
pub mod ops;
pub mod org;
pub mod plan;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod trace;
pub mod world;
