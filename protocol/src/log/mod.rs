//! Transparency logs: the Merkle tree, signed checkpoints, cosignatures, proofs and fork proofs.
//!
//! Owns what one log's bytes mean and how they are checked (RFC 6962, C2SP `signed-note`, `tlog-checkpoint`, `tlog-cosignature`
//! v1). Knows nothing of what a leaf says, who is a member, or what time it is: callers decide whose keys count and how old is
//! too old. Never stores anything and never panics on any input.

pub mod checkpoint;
pub mod cosign;
pub mod fork;
pub mod frontier;
pub mod note;
pub mod proof;
pub mod tree;

#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, CheckpointError, Origin};
pub use cosign::{CosignError, Cosignature, cosigner_name, sign_cosignature, verify_cosignature};
pub use fork::{Fork, ForkError, ForkProof};
pub use frontier::Frontier;
pub use note::{LineFault, Note, NoteError, Opened, RefusedLine, SignatureLine, SignedCheckpoint};
pub use note::{merge, open, sign_checkpoint, verify_checkpoint};
pub use proof::{ConsistencyProof, InclusionProof, ProofError};
pub use tree::{Hashes, HashesError, Head, TreeError};
