//! The right edge of a tree: enough to append leaves and to know the root, in memory and without stored hashes.
//!
//! Owns the invariant between size and peaks. Never reads storage by itself.

use serde::{Deserialize, Serialize};

use super::proof::BoundedHashes;
use super::tree::{self, Hashes, Head, TreeError, within};
use crate::ids::Sha256;
use crate::limits::LOG_SIZE_MAX;

/// The peaks of a tree: the roots of its complete subtrees, largest (leftmost) first. Their number is the number of one bits of
/// the size, so at most 53.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Frontier {
    size: u64,
    peaks: Vec<Sha256>,
}

/// A frontier as it is read, before its checks.
#[derive(Deserialize)]
#[serde(rename = "Frontier")]
struct Raw {
    size: u64,
    peaks: BoundedHashes,
}

impl TryFrom<Raw> for Frontier {
    type Error = TreeError;
    fn try_from(raw: Raw) -> Result<Self, TreeError> {
        Self::from_parts(raw.size, raw.peaks.0)
    }
}

impl Frontier {
    /// The tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// A frontier of `size` leaves from its peaks, largest subtree first.
    ///
    /// # Errors
    /// [`TreeError::OutOfRange`] for sizes over [`LOG_SIZE_MAX`], [`TreeError::Invalid`] unless there is one peak per one bit of
    /// the size.
    pub fn from_parts(size: u64, peaks: Vec<Sha256>) -> Result<Self, TreeError> {
        within("size", size, 0, LOG_SIZE_MAX)?;
        if u32::try_from(peaks.len()) != Ok(size.count_ones()) {
            return Err(TreeError::Invalid);
        }
        Ok(Self { size, peaks })
    }

    /// The frontier of the first `size` leaves, of which the hashes are stored.
    ///
    /// # Errors
    /// As [`tree::root`].
    pub fn load(size: u64, hashes: &dyn Hashes) -> Result<Self, TreeError> {
        Ok(Self { size, peaks: tree::peaks(size, hashes)? })
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, largest first.
    pub fn peaks(&self) -> &[Sha256] {
        &self.peaks
    }

    /// Appends the leaf with this hash.
    ///
    /// # Errors
    /// [`TreeError::OutOfRange`] if the tree is full; it is unchanged then.
    pub fn append(&mut self, leaf_hash: Sha256) -> Result<(), TreeError> {
        self.append_with(leaf_hash, |_| {})
    }

    /// Appends the leaf with this hash and pushes the hashes to store for it to `stored`: the same as
    /// [`tree::append_hashes`], without reading any.
    ///
    /// # Errors
    /// As [`Self::append`]; `stored` is unchanged then.
    pub fn append_stored(&mut self, leaf_hash: Sha256, stored: &mut Vec<Sha256>) -> Result<(), TreeError> {
        self.append_with(leaf_hash, |hash| stored.push(hash))
    }

    /// Appends leaves in order.
    ///
    /// # Errors
    /// [`TreeError::OutOfRange`] if not all of them fit; none is appended then.
    pub fn extend(&mut self, leaf_hashes: &[Sha256]) -> Result<(), TreeError> {
        let more = u64::try_from(leaf_hashes.len()).unwrap_or(u64::MAX);
        within("number of new leaves", more, 0, LOG_SIZE_MAX - self.size)?;
        leaf_hashes.iter().try_for_each(|&hash| self.append(hash))
    }

    /// The root of the tree; [`tree::empty_root`] without leaves.
    pub fn root(&self) -> Sha256 {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(smallest) = peaks.next() else { return tree::empty_root() };
        peaks.fold(smallest, |right, left| tree::node_hash(left, right))
    }

    /// Size and root.
    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root() }
    }

    fn append_with(&mut self, leaf_hash: Sha256, mut completed: impl FnMut(Sha256)) -> Result<(), TreeError> {
        within("size", self.size, 0, LOG_SIZE_MAX - 1)?;
        let mut hash = leaf_hash;
        completed(hash);
        // Each trailing one bit of the size is a peak that the new leaf completes to a subtree twice as large.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = tree::node_hash(left, hash);
            completed(hash);
        }
        self.peaks.push(hash);
        self.size += 1;
        Ok(())
    }
}
