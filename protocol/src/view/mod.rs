//! The catalogue and everything else that is derived from the journal.
//!
//! Owns the fold from records to rows, the judgement of log entries, and the questions that can be asked of the rows. Whatever
//! stands here can be made again from the journal.

pub mod ahead;
pub mod audience;
pub mod catalogue;
pub mod charters;
pub mod checkpoints;
pub mod evidence;
mod facts;
pub mod fold;
pub mod judge;
pub mod moved;
mod overlay;
pub mod rows;
mod stake;
pub mod state;
pub mod statements;

pub use fold::{Fold, FoldError};
pub use overlay::Overlay;
