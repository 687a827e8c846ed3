//! What the nodes of a Verbund federation must agree on, and how they decide.
//!
//! Pure: no tokio, no libp2p, no sled, no clock, no randomness, no file access. `SPEC.md` beside this crate describes the same
//! for other implementations.

pub mod charter;
pub mod codec;
pub mod core;
pub mod documents;
pub mod envelope;
pub mod identity;
pub mod ids;
pub mod json;
pub mod keys;
pub mod limits;
pub mod log;
pub mod provenance;
pub mod record;
pub mod release;
pub mod seeded;
#[cfg(test)]
pub(crate) mod testing;
pub mod view;
pub mod wire;
pub mod words;
