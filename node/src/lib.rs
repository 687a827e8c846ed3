//! Node.

pub mod store;
pub mod http;
pub mod publish;
pub mod blobs;
pub mod net;
