//! Node.

pub mod store;
pub mod http;
pub mod publish;
pub mod blobs;
pub mod net;
//! The Verbund node: what runs as a daemon, and the command line that speaks to it.
pub mod admin;
pub mod cli;
pub mod config;
pub mod keys;
pub mod telemetry;
