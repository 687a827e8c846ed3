//! The catalogue and everything else that is derived from the journal.

pub mod rows;
