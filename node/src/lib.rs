//! Node.

pub mod http;
