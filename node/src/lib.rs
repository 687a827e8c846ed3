//! Node.
pub mod net;
