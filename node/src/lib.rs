//! Node.

pub mod publish;
