//! Node.

pub mod store;
pub mod http;
