//! The Verbund node: what runs as a daemon, and the command line that speaks to it.

pub mod admin;
pub mod cli;
pub mod config;
pub mod keys;
pub mod telemetry;
