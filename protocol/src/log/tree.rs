//! The Merkle tree of a log: RFC 6962 over SHA-256, with the arithmetic of `tlog_tiles`.
//!
//! Owns the bounds that keep that crate from panicking: a size never exceeds [`LOG_SIZE_MAX`] and a path never
//! [`PROOF_HASHES_MAX`] hashes; sizes of proofs satisfy 1 ≤ n ≤ t ≤ own. Hashes are read through [`Hashes`]; where they lie is
//! the store's business. Never trusts a path or a size.

use std::cell::Cell;

use serde::{Deserialize, Serialize};
use tlog_tiles::tlog;

use crate::ids::Sha256;
use crate::limits::{LOG_SIZE_MAX, PROOF_HASHES_MAX};

/// Stored hashes of a tree cannot be had: a fault of this node, never of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashesError {
    /// No hash is stored at this index.
    #[error("no hash is stored at index {0}")]
    Missing(u64),
    /// The store failed; the text says how.
    #[error("stored hashes unreadable: {0}")]
    Unreadable(String),
}

/// Why a tree operation was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A size or index is out of range for the operation; nothing was computed.
    #[error("{what} {got} is out of range {min}..={max}")]
    OutOfRange {
        /// Which argument, in words.
        what: &'static str,
        /// Its value.
        got: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed; below `min` if no value is.
        max: u64,
    },
    /// The path has more hashes than any tree needs.
    #[error("path of {len} hashes is over the limit of {max}")]
    PathTooLong {
        /// Hashes in the path.
        len: usize,
        /// The cap.
        max: usize,
    },
    /// The path has another length than the sizes require, or does not lead to the root.
    #[error("the path does not lead to the root")]
    Invalid,
    /// Own stored hashes failed.
    #[error(transparent)]
    Hashes(#[from] HashesError),
}

/// A tree as its checks need it: a root means nothing without its size. RFC 6962 paths do not bind the size, so that a path taken
/// for another size can show a leaf at another index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// Root over them.
    pub root: Sha256,
}

/// Hashes of complete subtrees, numbered as [`stored_index`] says: written once, dense, never changed.
pub trait Hashes {
    /// The hash stored at `index`.
    ///
    /// # Errors
    /// [`HashesError`] if there is none or the store fails.
    fn stored(&self, index: u64) -> Result<Sha256, HashesError>;
}

impl Hashes for [Sha256] {
    fn stored(&self, index: u64) -> Result<Sha256, HashesError> {
        usize::try_from(index).ok().and_then(|i| self.get(i)).copied().ok_or(HashesError::Missing(index))
    }
}

impl Hashes for Vec<Sha256> {
    fn stored(&self, index: u64) -> Result<Sha256, HashesError> {
        self.as_slice().stored(index)
    }
}

/// Lets `tlog_tiles` read [`Hashes`] and keeps the reason of a failure, for which its own error has no room.
struct Reader<'a> {
    hashes: &'a dyn Hashes,
    failed: Cell<Option<HashesError>>,
}

impl tlog::HashReader for Reader<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let read = |&index: &u64| self.hashes.stored(index).map(inner);
        indexes.iter().map(read).collect::<Result<_, _>>().map_err(|e| {
            self.failed.set(Some(e));
            tlog::Error::IndexesNotInTree
        })
    }
}

fn inner(hash: Sha256) -> tlog::Hash {
    tlog::Hash(hash.0)
}

fn outer(hash: tlog::Hash) -> Sha256 {
    Sha256(hash.0)
}

fn outers(hashes: Vec<tlog::Hash>) -> Vec<Sha256> {
    hashes.into_iter().map(outer).collect()
}

fn with_reader<T>(
    hashes: &dyn Hashes,
    run: impl FnOnce(&Reader<'_>) -> Result<T, tlog::Error>,
) -> Result<T, TreeError> {
    let reader = Reader { hashes, failed: Cell::new(None) };
    run(&reader).map_err(|_| reader.failed.take().map_or(TreeError::Invalid, TreeError::Hashes))
}

/// Refuses `got` outside of `min..=max`.
pub(super) fn within(what: &'static str, got: u64, min: u64, max: u64) -> Result<(), TreeError> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(TreeError::OutOfRange { what, got, min, max }) }
}

fn bounded(path: &[Sha256]) -> Result<Vec<tlog::Hash>, TreeError> {
    if path.len() > PROOF_HASHES_MAX {
        return Err(TreeError::PathTooLong { len: path.len(), max: PROOF_HASHES_MAX });
    }
    Ok(path.iter().copied().map(inner).collect())
}

/// The hash of a leaf: SHA-256 of 0x00 and its bytes (RFC 6962 §2.1).
pub fn leaf_hash(leaf: &[u8]) -> Sha256 {
    outer(tlog::record_hash(leaf))
}

/// The hash of an inner node: SHA-256 of 0x01 and both children (RFC 6962 §2.1).
pub fn node_hash(left: Sha256, right: Sha256) -> Sha256 {
    outer(tlog::node_hash(inner(left), inner(right)))
}

/// The root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1).
pub const fn empty_root() -> Sha256 {
    Sha256(tlog::EMPTY_HASH.0)
}

/// Where the `n`-th complete subtree of 2^`level` leaves is stored.
///
/// # Errors
/// [`TreeError::OutOfRange`] if that subtree does not lie within [`LOG_SIZE_MAX`] leaves.
pub fn stored_index(level: u8, n: u64) -> Result<u64, TreeError> {
    within("level", level.into(), 0, LOG_SIZE_MAX.ilog2().into())?;
    // n + 1 subtrees of 2^level leaves must fit.
    within("subtree", n, 0, (LOG_SIZE_MAX >> level).saturating_sub(1))?;
    Ok(tlog::stored_hash_index(level, n))
}

/// How many hashes are stored for a tree of `size` leaves.
///
/// # Errors
/// [`TreeError::OutOfRange`] for sizes over [`LOG_SIZE_MAX`].
pub fn stored_count(size: u64) -> Result<u64, TreeError> {
    within("size", size, 0, LOG_SIZE_MAX)?;
    Ok(tlog::stored_hash_count(size))
}

/// The hashes to store for the leaf that makes a tree of `size` leaves one larger; they go to `stored_count(size)` and on. The
/// first is `leaf_hash` itself.
///
/// # Errors
/// [`TreeError::OutOfRange`] if the tree is full, [`TreeError::Hashes`] if earlier hashes cannot be read.
pub fn append_hashes(size: u64, leaf_hash: Sha256, hashes: &dyn Hashes) -> Result<Vec<Sha256>, TreeError> {
    within("size", size, 0, LOG_SIZE_MAX - 1)?;
    with_reader(hashes, |r| tlog::stored_hashes_for_record_hash(size, inner(leaf_hash), r)).map(outers)
}

/// The root of the first `size` leaves; [`empty_root`] for none. `hashes` must hold at least `stored_count(size)` of them.
///
/// # Errors
/// [`TreeError::OutOfRange`] for sizes over [`LOG_SIZE_MAX`], [`TreeError::Hashes`] if hashes cannot be read.
pub fn root(size: u64, hashes: &dyn Hashes) -> Result<Sha256, TreeError> {
    within("size", size, 0, LOG_SIZE_MAX)?;
    with_reader(hashes, |r| tlog::tree_hash(size, r)).map(outer)
}

/// The peaks of the first `size` leaves: roots of its complete subtrees, largest first.
///
/// # Errors
/// As [`root`].
pub fn peaks(size: u64, hashes: &dyn Hashes) -> Result<Vec<Sha256>, TreeError> {
    within("size", size, 0, LOG_SIZE_MAX)?;
    let indexes = tlog::sub_tree_index(0, size, Vec::new());
    indexes.into_iter().map(|i| hashes.stored(i).map_err(TreeError::from)).collect()
}

/// The path that proves leaf `index` in the tree of the first `size` leaves (RFC 6962 §2.1.1). `own` is how many leaves this
/// node holds.
///
/// # Errors
/// [`TreeError::OutOfRange`] unless index < size ≤ own, [`TreeError::Hashes`] if hashes cannot be read.
pub fn prove_inclusion(index: u64, size: u64, own: u64, hashes: &dyn Hashes) -> Result<Vec<Sha256>, TreeError> {
    within("size", size, 1, own.min(LOG_SIZE_MAX))?;
    within("index", index, 0, size - 1)?;
    with_reader(hashes, |r| tlog::prove_record(size, index, r)).map(outers)
}

/// Whether `path` proves that the leaf with `leaf_hash` is number `index` of the `size` leaves under `root`.
///
/// # Errors
/// [`TreeError::OutOfRange`] unless index < size ≤ [`LOG_SIZE_MAX`]; [`TreeError::PathTooLong`]; [`TreeError::Invalid`].
pub fn check_inclusion(
    path: &[Sha256],
    index: u64,
    leaf_hash: Sha256,
    size: u64,
    root: Sha256,
) -> Result<(), TreeError> {
    within("size", size, 1, LOG_SIZE_MAX)?;
    within("index", index, 0, size - 1)?;
    let path = bounded(path)?;
    tlog::check_record(&path, size, inner(root), index, inner(leaf_hash)).map_err(|_| TreeError::Invalid)
}

/// The path that proves that the first `from` leaves are a prefix of the first `to` (RFC 6962 §2.1.2). `own` is how many leaves
/// this node holds.
///
/// # Errors
/// [`TreeError::OutOfRange`] unless 1 ≤ from ≤ to ≤ own, [`TreeError::Hashes`] if hashes cannot be read.
pub fn prove_consistency(from: u64, to: u64, own: u64, hashes: &dyn Hashes) -> Result<Vec<Sha256>, TreeError> {
    within("size", to, 1, own.min(LOG_SIZE_MAX))?;
    within("earlier size", from, 1, to)?;
    with_reader(hashes, |r| tlog::prove_tree(to, from, r)).map(outers)
}

/// Whether `path` proves that the `from` leaves under `from_root` are a prefix of the `to` leaves under `to_root`.
///
/// # Errors
/// [`TreeError::OutOfRange`] unless 1 ≤ from ≤ to ≤ [`LOG_SIZE_MAX`]; [`TreeError::PathTooLong`]; [`TreeError::Invalid`].
pub fn check_consistency(
    path: &[Sha256],
    from: u64,
    from_root: Sha256,
    to: u64,
    to_root: Sha256,
) -> Result<(), TreeError> {
    within("size", to, 1, LOG_SIZE_MAX)?;
    within("earlier size", from, 1, to)?;
    let path = bounded(path)?;
    if crate::seeded::bug("consistency_unchecked") {
        return Ok(());
    }
    tlog::check_tree(&path, to, inner(to_root), from, inner(from_root)).map_err(|_| TreeError::Invalid)
}

/// Whether the RFC 6962 path from `from` to `to` leaves out its first node because that is the earlier root itself: the case for
/// 2^k leaves, and for `from` = `to`.
fn seed_is_implied(from: u64, to: u64) -> bool {
    from == to || from.is_power_of_two()
}

/// The *seeded* consistency path: RFC 6962 `SUBPROOF(from, D[to], false)`, that is [`prove_consistency`] with its first node
/// always present, so that both roots follow from the path alone (see [`reconstruct`]).
///
/// # Errors
/// As [`prove_consistency`].
pub fn prove_seeded(from: u64, to: u64, own: u64, hashes: &dyn Hashes) -> Result<Vec<Sha256>, TreeError> {
    let mut path = prove_consistency(from, to, own, hashes)?;
    if seed_is_implied(from, to) {
        path.insert(0, root(from, hashes)?);
    }
    Ok(path)
}

/// The RFC 6962 path that a seeded path stands for; the same hashes, without the first where RFC 6962 leaves it out.
pub fn unseeded(path: &[Sha256], from: u64, to: u64) -> &[Sha256] {
    if seed_is_implied(from, to) { path.get(1..).unwrap_or_default() } else { path }
}

/// Both roots that a seeded path implies, `(of from leaves, of to leaves)`, from nothing but the path. Whether they are the
/// right ones is for the caller to compare.
///
/// # Errors
/// [`TreeError::OutOfRange`] unless 1 ≤ from ≤ to ≤ [`LOG_SIZE_MAX`]; [`TreeError::PathTooLong`]; [`TreeError::Invalid`] if the
/// path has not exactly the length that the two sizes require.
pub fn reconstruct(path: &[Sha256], from: u64, to: u64) -> Result<(Sha256, Sha256), TreeError> {
    within("size", to, 1, LOG_SIZE_MAX)?;
    within("earlier size", from, 1, to)?;
    if path.len() > PROOF_HASHES_MAX {
        return Err(TreeError::PathTooLong { len: path.len(), max: PROOF_HASHES_MAX });
    }
    let sides = siblings(from, to);
    let Some((&seed, rest)) = path.split_first() else { return Err(TreeError::Invalid) };
    if rest.len() != sides.len() {
        return Err(TreeError::Invalid);
    }
    let (mut small, mut large) = (seed, seed);
    for (side, &sibling) in sides.iter().rev().zip(rest) {
        match side {
            // A complete subtree left of the path lies below `from`: it is part of both trees.
            Side::Left => (small, large) = (node_hash(sibling, small), node_hash(sibling, large)),
            // What is right of the path lies wholly beyond `from`: part of the larger tree only.
            Side::Right => large = node_hash(large, sibling),
        }
    }
    Ok((small, large))
}

/// On which side of the path a sibling stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The sides of a consistency path's siblings from the root down. SPEC: RFC 6962 §2.1.2, the recursion of SUBPROOF. Needs
/// 1 ≤ from ≤ to; ends after at most 53 steps, as the span halves.
fn siblings(from: u64, to: u64) -> Vec<Side> {
    let (mut part, mut span) = (from, to);
    let mut sides = Vec::new();
    while part < span {
        // The largest power of two below the span; part ≥ 1 makes the span ≥ 2 here.
        let k = 1 << (span - 1).ilog2();
        if part <= k {
            sides.push(Side::Right);
            span = k;
        } else {
            sides.push(Side::Left);
            (part, span) = (part - k, span - k);
        }
    }
    sides
}
