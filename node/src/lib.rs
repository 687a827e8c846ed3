//! Node.

pub mod blobs;
