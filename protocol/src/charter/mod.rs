//! The charter: the versioned list of a federation's members and its rules, how a version is certified, and how the members
//! agree on the next one.

pub mod certificate;
pub mod rules;
