//! The charter: the versioned list of a federation's members and its rules, how a version is certified, and how the members
//! agree on the next one.
//!
//! Owns the deterministic rules behind membership. Never touches network, clock or storage.

pub mod certificate;
pub mod chain;
mod found;
pub mod order;
pub mod rules;
#[cfg(test)]
mod tests;
mod writer;
