//! The offline proof of a pulled release: `.verbund/provenance.json`.
//!
//! Owns the file's format, how it is made from the view, and how it is checked with nothing but itself, the files beside it and,
//! if the reader has one, a charter hash that is trusted from elsewhere. SHA-256 carries the proof. Never reads a clock, a file or
//! the network, never trusts a field, and never says more than the file shows: recalls, closings and forks after the checkpoint
//! cannot be known offline, and the report says so.
//!
//! # What is proven
//!
//! 1. The charters lead from the genesis, whose hash is the federation's id, step by step to the newest one in the file; each is
//!    certified by the members of the one before. The trusted charter is one of them, or the result is *consistent, unanchored*.
//! 2. The checkpoint is signed by the node that writes the log; cosignatures of other members are counted by the last charter
//!    that the log shows below the checkpoint's size.
//! 3. The log's first three entries, the later charters and the later versions of the owner's identity stand where the file says
//!    in the tree under that checkpoint, and so does the release.
//! 4. The owner was a member, and its publisher threshold for this process signed the release: judged by the last identity and
//!    charter *below it in its log*, with the rules of [`crate::view::judge`].
//! 5. The manifest has the digest that the release names, and every file of the folder is the one that the manifest names.
//!
//! # What is not
//!
//! That nothing else stands in the log. A log's node that appends what it knows to be void could leave a later identity or charter
//! out of the file; members that hold the log see that, a file cannot. Where the charters in the file know a newer identity than
//! the log shows, the report warns. Whoever hands the file on could leave out later charters and so have cosignatures counted by an
//! older one: the report names the charter that counted, and which release is proven does not change.

mod chain;
mod format;
mod make;
mod report;
mod steps;
mod verify;

pub use make::{MakeError, Pulled, make};
pub use report::{Cosigner, Facts, FileDiff, Listed, Report, Said, Step, StepName, Verdict, Witnessed};
pub use verify::{Files, Trust, VerifyError, verify};

/// The format that this module reads and writes. A reader refuses other numbers; within one number no key is added.
pub const FORMAT: u64 = 1;
/// The file in the top folder of a pulled release.
pub const PATH: &str = ".verbund/provenance.json";
/// The whole file, in bytes: a manifest of the largest size, and ten times the charters of a federation of 16.
pub const PROVENANCE_MAX_BYTES: usize = 64 << 20;
/// Charters in one file: a change every week for 80 years.
pub const CHARTERS_MAX: usize = 4_096;
/// Entries in one file besides the release: the first three, every charter and every identity of the log.
pub const ENTRIES_MAX: usize = 3 + CHARTERS_MAX + crate::limits::IDENTITY_CHAIN_MAX;
/// Statements about the release in one file: they inform and prove nothing.
pub const STATEMENTS_MAX: usize = 16;

#[cfg(test)]
mod tests;
