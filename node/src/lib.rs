//! The Verbund node: what runs as a daemon, and the command line that speaks to it.
//!
//! Owns all IO. What a node decides, and every format that crosses a wire or is signed, is `verbund-protocol`'s.

pub mod admin;
pub mod blobs;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod http;
pub mod keys;
pub mod net;
pub mod publish;
pub mod store;
pub mod telemetry;
mod web;
