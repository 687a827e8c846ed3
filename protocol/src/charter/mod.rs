//! The charter of a federation: how its next version is agreed.
//!
//! Owns the deterministic state machines behind membership. Never touches network, clock or storage.

pub mod order;
