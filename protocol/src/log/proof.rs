//! Inclusion and consistency proofs as they travel and are kept.
//!
//! Owns their fields and bounds. A value that was decoded is well formed, nothing more: only `check` makes it a proof.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::tree::{self, Hashes, Head, TreeError, within};
use crate::ids::Sha256;
use crate::limits::{LOG_SIZE_MAX, PROOF_HASHES_MAX};

/// Why a proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The proof is for a tree of another size than the one it is checked against.
    #[error("the proof is for {got} leaves, not for {expected}")]
    OtherSize {
        /// Leaves that the proof names.
        got: u64,
        /// Leaves of the tree at hand.
        expected: u64,
    },
    /// Out of range, of a wrong length, or it leads to another root: whoever sent it answers for that, not the log.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The path reproduces the larger root but not the smaller: if both roots are signed by the log, it has forked (see
    /// [`super::fork`]).
    #[error("the larger tree does not extend the smaller")]
    Diverged,
}

fn same_size(got: u64, tree: Head) -> Result<(), ProofError> {
    if got == tree.size { Ok(()) } else { Err(ProofError::OtherSize { got, expected: tree.size }) }
}

/// At most [`PROOF_HASHES_MAX`] hashes; decoding stops at the first one too many.
pub(super) struct BoundedHashes(pub(super) Vec<Sha256>);

impl<'de> Deserialize<'de> for BoundedHashes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = BoundedHashes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {PROOF_HASHES_MAX} hashes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<BoundedHashes, A::Error> {
                let mut hashes = Vec::new();
                while let Some(hash) = seq.next_element()? {
                    if hashes.len() == PROOF_HASHES_MAX {
                        return Err(de::Error::invalid_length(PROOF_HASHES_MAX + 1, &self));
                    }
                    hashes.push(hash);
                }
                Ok(BoundedHashes(hashes))
            }
        }
        d.deserialize_seq(Bounded)
    }
}

/// That a leaf stands at `index` of a tree of `size` leaves (RFC 6962 §2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawInclusion")]
pub struct InclusionProof {
    /// Number of the leaf, from 0.
    pub index: u64,
    /// Leaves of the tree; above `index`, at most [`LOG_SIZE_MAX`].
    pub size: u64,
    /// Audit path from the leaf up; at most [`PROOF_HASHES_MAX`].
    pub hashes: Vec<Sha256>,
}

/// As it is read, before its checks.
#[derive(Deserialize)]
#[serde(rename = "InclusionProof")]
struct RawInclusion {
    index: u64,
    size: u64,
    hashes: BoundedHashes,
}

impl TryFrom<RawInclusion> for InclusionProof {
    type Error = TreeError;
    fn try_from(raw: RawInclusion) -> Result<Self, TreeError> {
        within("size", raw.size, 1, LOG_SIZE_MAX)?;
        within("index", raw.index, 0, raw.size - 1)?;
        Ok(Self { index: raw.index, size: raw.size, hashes: raw.hashes.0 })
    }
}

impl InclusionProof {
    /// Makes the proof for leaf `index` in the first `size` of `own` leaves.
    ///
    /// # Errors
    /// As [`tree::prove_inclusion`].
    pub fn make(index: u64, size: u64, own: u64, hashes: &dyn Hashes) -> Result<Self, TreeError> {
        Ok(Self { index, size, hashes: tree::prove_inclusion(index, size, own, hashes)? })
    }

    /// Checks that `tree` has the leaf with `leaf_hash` at [`Self::index`].
    ///
    /// # Errors
    /// [`ProofError::OtherSize`]; [`ProofError::Tree`] as of [`tree::check_inclusion`].
    pub fn check(&self, leaf_hash: Sha256, tree: Head) -> Result<(), ProofError> {
        same_size(self.size, tree)?;
        Ok(tree::check_inclusion(&self.hashes, self.index, leaf_hash, tree.size, tree.root)?)
    }
}

/// That the tree of `to` leaves extends the one of `from` leaves.
///
/// The path is *seeded* ([`tree::prove_seeded`]): where RFC 6962 leaves out the first node because it is the verifier's own
/// root, it is present. The receiver can so tell a bad proof from a forked log at every size, and turn the latter into a
/// [`super::ForkProof`]. [`Self::rfc6962`] gives the path for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawConsistency")]
pub struct ConsistencyProof {
    /// Leaves of the smaller tree; at least 1.
    pub from: u64,
    /// Leaves of the larger tree; at least `from`, at most [`LOG_SIZE_MAX`].
    pub to: u64,
    /// Seeded path from the smaller tree's last subtree up; at most [`PROOF_HASHES_MAX`].
    pub hashes: Vec<Sha256>,
}

/// As it is read, before its checks.
#[derive(Deserialize)]
#[serde(rename = "ConsistencyProof", deny_unknown_fields)]
struct RawConsistency {
    from: u64,
    to: u64,
    hashes: BoundedHashes,
}

impl TryFrom<RawConsistency> for ConsistencyProof {
    type Error = TreeError;
    fn try_from(raw: RawConsistency) -> Result<Self, TreeError> {
        within("size", raw.to, 1, LOG_SIZE_MAX)?;
        within("earlier size", raw.from, 1, raw.to)?;
        Ok(Self { from: raw.from, to: raw.to, hashes: raw.hashes.0 })
    }
}

impl ConsistencyProof {
    /// Makes the proof between two sizes of a tree of `own` leaves.
    ///
    /// # Errors
    /// As [`tree::prove_consistency`].
    pub fn make(from: u64, to: u64, own: u64, hashes: &dyn Hashes) -> Result<Self, TreeError> {
        Ok(Self { from, to, hashes: tree::prove_seeded(from, to, own, hashes)? })
    }

    /// Checks that `to` extends `from`.
    ///
    /// # Errors
    /// [`ProofError::OtherSize`], and [`ProofError::Tree`] if the path does not lead to the root of `to`: both say nothing about
    /// the log. [`ProofError::Diverged`] if it does, but the smaller tree in it is not `from`.
    pub fn check(&self, from: Head, to: Head) -> Result<(), ProofError> {
        same_size(self.from, from)?;
        same_size(self.to, to)?;
        let (small, large) = tree::reconstruct(&self.hashes, from.size, to.size)?;
        if large != to.root {
            return Err(TreeError::Invalid.into());
        }
        if small == from.root { Ok(()) } else { Err(ProofError::Diverged) }
    }

    /// The path as RFC 6962 has it, for verifiers of other make.
    pub fn rfc6962(&self) -> &[Sha256] {
        tree::unseeded(&self.hashes, self.from, self.to)
    }
}
