//! Fork proofs: that a log's key signed two checkpoints of which neither extends the other.
//!
//! Owns when a proof counts. A proof is checked by itself, finally, and with nothing but the federation's id. Never decides
//! whether the accused log is one of a member, nor where it ends (DESIGN §6): callers do.
//!
//! # What is proven
//!
//! Both notes carry the log key's own type 0x01 signature over checkpoints (m, R) and (n, S) of the same origin, m ≤ n, and
//!
//! - **m = n**: R ≠ S. No path is needed and none may stand there.
//! - **m < n**: a *seeded* consistency path ([`tree::prove_seeded`], RFC 6962 `SUBPROOF(m, D[n], false)`), from which
//!   [`tree::reconstruct`] computes two hashes r (of m leaves) and s (of n leaves) with s = S and r ≠ R.
//!
//! # Why an honest log cannot be accused
//!
//! Let D be the leaves of a log that signs prefixes of one sequence only, so R = MTH(D\[0:m\]) and S = MTH(D\[0:n\]). For m = n
//! the roots are equal. For m < n take any path with s = S, chosen by anyone in any way.
//!
//! 1. The sizes alone fix how many hashes the path has and which node of the tree of n leaves each stands for: the descent from
//!    the root by the largest power of two below the span, to the right while m lies beyond it. Another length is refused before
//!    anything is hashed. The nodes are ranges of leaves; every node folded on the way up spans at least two.
//! 2. s is made from the path by hashing 0x01 ‖ left ‖ right at each such node. The tree D\[0:n\] has an inner node over the same
//!    range there, hence a hash of the same form. From s = S at the root, equal hashes have equal inputs (else a collision of
//!    SHA-256 was found), so the left and right parts are those of D; repeat downwards. Hence *every* hash of the path,
//!    including the seed, is that of D.
//! 3. r is made of the seed and those hashes that stand left of the path. Their ranges are, in order, the complete subtrees that
//!    make up \[0:m\], and they are folded in the shape of the tree of m leaves: where the descent goes right with span k < m' ≤ 2k,
//!    k is also the largest power of two below m'. Hence r = MTH(D\[0:m\]) = R, and the proof is refused.
//!
//! So "reproduces the larger root but not the smaller" needs a signed root that is not of D, or a SHA-256 collision. The argument
//! uses no freedom of the prover: there is none left once s = S.
//!
//! # Degenerate cases
//!
//! - **m = 2^k.** RFC 6962 leaves the first node out of the path because the verifier takes R itself for it. Then s would be
//!   computed *from* R: r = R always, so no fork could ever be shown at these sizes; and to read "s ≠ S" as guilt would accuse
//!   honest logs, since any garbage gives it. With the seed in the path both directions work and step 2 covers it.
//! - **m = 1** is 2^0; the seed is the hash of the first leaf.
//! - **m = 0** cannot occur: a checkpoint of no leaves is not a checkpoint ([`super::checkpoint`]). Every tree extends the
//!   empty one, so nothing could be proven.
//! - **Longer or shorter paths** are refused by step 1; the seed counts.
//! - **A path that leads to neither root** proves nothing about the log and is refused.
//! - **Cosignatures** do not accuse: type 0x04 signs another message (`cosignature/v1`), and the note may hold nothing but the
//!   log's one line.
//!
//! # Completeness
//!
//! If the leaves under S are D and R is not MTH(D\[0:m\]), then whoever holds the tree of n leaves can make the path, and so can
//! whoever is given it as [`super::ConsistencyProof`].

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, Origin};
use super::note::{self, Note, NoteError, SignedCheckpoint};
use super::proof::{BoundedHashes, ConsistencyProof};
use super::tree::{self, TreeError};
use crate::ids::{FederationId, PeerId, Sha256};
use crate::limits::FORK_NOTE_MAX_BYTES;

/// Why a fork proof does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// A note is over [`FORK_NOTE_MAX_BYTES`].
    #[error("a note of {0} bytes is over the limit of {FORK_NOTE_MAX_BYTES}")]
    NoteTooLong(usize),
    /// A note is malformed or not signed by its log.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A note is not in the one form that a proof may hold: the log's own signature line and no other.
    #[error("a note holds more than the log's own signature line")]
    NotBare,
    /// A note is of another federation.
    #[error("a note belongs to another federation")]
    OtherFederation,
    /// The notes are of two logs.
    #[error("the notes belong to two logs")]
    TwoLogs,
    /// Both notes say the same.
    #[error("both notes state the same checkpoint")]
    SameCheckpoint,
    /// The first note is not the smaller one (by size, then by root).
    #[error("the notes are not in order")]
    Order,
    /// Two sizes need a path.
    #[error("the path is missing")]
    PathMissing,
    /// One size needs no path.
    #[error("a path is given for checkpoints of one size")]
    PathUnexpected,
    /// The path is of a wrong length, or of other sizes than the notes.
    #[error(transparent)]
    Path(#[from] TreeError),
    /// The path does not reproduce the larger root: it proves nothing.
    #[error("the path does not lead to the larger root")]
    LargerRoot,
    /// The path reproduces both roots: the log only grew.
    #[error("the larger checkpoint extends the smaller")]
    Consistent,
}

/// What a valid proof says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The smaller checkpoint.
    pub a: Checkpoint,
    /// The larger one; of the same size at least.
    pub b: Checkpoint,
}

impl Fork {
    /// The node whose log has forked. The proof does not say that it belongs to a member.
    pub const fn log(&self) -> PeerId {
        self.a.origin.peer
    }
}

/// Two notes and, for two sizes, the path that shows their contradiction. There may be many proofs of one fork; any one will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct ForkProof {
    /// Note of the smaller checkpoint (by size, then by root), with the log's own signature line only; at most
    /// [`FORK_NOTE_MAX_BYTES`].
    pub a: String,
    /// Note of the larger checkpoint, likewise.
    pub b: String,
    /// Seeded consistency path between two sizes ([`tree::prove_seeded`]); none for one size.
    pub consistency: Option<Vec<Sha256>>,
}

/// As it is read, before its checks.
#[derive(Deserialize)]
#[serde(rename = "ForkProof")]
struct Raw {
    a: String,
    b: String,
    consistency: Option<BoundedHashes>,
}

impl TryFrom<Raw> for ForkProof {
    type Error = ForkError;
    fn try_from(raw: Raw) -> Result<Self, ForkError> {
        let proof = Self { a: raw.a, b: raw.b, consistency: raw.consistency.map(|path| path.0) };
        proof.check_lengths()?;
        Ok(proof)
    }
}

impl ForkProof {
    /// Makes a proof from two checkpoints of one log, in any order and with any cosignatures. `path` is needed unless the sizes
    /// are equal, and not used if they are.
    ///
    /// # Errors
    /// [`ForkError`] unless the result is a valid proof.
    pub fn new(
        one: &SignedCheckpoint,
        other: &SignedCheckpoint,
        path: Option<&ConsistencyProof>,
    ) -> Result<Self, ForkError> {
        let order = |s: &SignedCheckpoint| (s.checkpoint().size, s.checkpoint().root);
        let (a, b) = if order(one) <= order(other) { (one, other) } else { (other, one) };
        let (small, large) = (a.checkpoint().size, b.checkpoint().size);
        let consistency = match path {
            _ if small == large => None,
            Some(path) if (path.from, path.to) == (small, large) => Some(path.hashes.clone()),
            Some(_) => return Err(TreeError::Invalid.into()),
            None => return Err(ForkError::PathMissing),
        };
        let text = |s: &SignedCheckpoint| s.without_cosignatures().to_text();
        let proof = Self { a: text(a), b: text(b), consistency };
        proof.verify(a.checkpoint().origin.federation)?;
        Ok(proof)
    }

    /// Checks the proof; the module's documentation says what it proves and why.
    ///
    /// # Errors
    /// [`ForkError`] if it proves nothing against any log of `federation`. It never says that a log is honest.
    pub fn verify(&self, federation: FederationId) -> Result<Fork, ForkError> {
        self.check_lengths()?;
        let a = bare(&self.a, federation)?;
        let b = bare(&self.b, federation)?;
        if a.origin != b.origin {
            return Err(ForkError::TwoLogs);
        }
        if (a.size, a.root) == (b.size, b.root) {
            return Err(ForkError::SameCheckpoint);
        }
        if (a.size, a.root) > (b.size, b.root) {
            return Err(ForkError::Order);
        }
        let fork = Fork { a, b };
        match &self.consistency {
            // Same size, other root.
            None if a.size == b.size => return Ok(fork),
            None => return Err(ForkError::PathMissing),
            Some(_) if a.size == b.size => return Err(ForkError::PathUnexpected),
            Some(path) => {
                let (small, large) = tree::reconstruct(path, a.size, b.size)?;
                if large != b.root {
                    return Err(ForkError::LargerRoot);
                }
                if small == a.root {
                    return Err(ForkError::Consistent);
                }
            }
        }
        Ok(fork)
    }

    fn check_lengths(&self) -> Result<(), ForkError> {
        let longest = self.a.len().max(self.b.len());
        if longest > FORK_NOTE_MAX_BYTES { Err(ForkError::NoteTooLong(longest)) } else { Ok(()) }
    }
}

/// The checkpoint of a note that names its log itself, holds its signature line and nothing else.
fn bare(text: &str, federation: FederationId) -> Result<Checkpoint, ForkError> {
    let note = Note::parse(text.as_bytes())?;
    // Only to learn whose signature to ask for: the body is parsed after it has been verified.
    let first = note.body.split('\n').next().unwrap_or_default();
    let origin: Origin = first.parse().map_err(NoteError::from)?;
    if origin.federation != federation {
        return Err(ForkError::OtherFederation);
    }
    let signed = note::open(text.as_bytes(), origin, &|_| false)?.signed;
    if signed.to_text() == text { Ok(*signed.checkpoint()) } else { Err(ForkError::NotBare) }
}
