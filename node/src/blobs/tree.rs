//! BLAKE3 tree of an artifact in groups of 16 KiB: its geometry, its hashes, and the outboard made while streaming.
//!
//! Owns the arithmetic that import, reading and transfer share. Does no locking and knows no paths; the only IO is the writer
//! that the caller of [`TreeHasher`] supplies.

use std::io::{self, Write};

use bao_tree::iter::{BaoChunk, ResponseIter};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges, TreeNode};
use blake3::Hash;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use verbund_protocol::limits;

/// Size of a group: the unit that is verified, stored and asked for.
pub(super) const GROUP: BlockSize = BlockSize::from_chunk_log(limits::BLOB_GROUP_LOG2_CHUNKS);
/// The same in bytes.
pub(super) const GROUP_BYTES: u64 = GROUP.bytes() as u64;
/// Bytes of one parent: its two child hashes.
pub(super) const PAIR_BYTES: usize = 64;
/// Sizes up to here are computed with; far above any artifact, far below an overflow of the tree arithmetic.
pub(super) const SIZE_MAX: u64 = 1 << 50;

/// The hashes of a parent's children, left then right.
pub(super) type Pair = [u8; PAIR_BYTES];

/// Geometry of an artifact of `size` bytes, at most [`SIZE_MAX`].
pub(super) fn tree(size: u64) -> BaoTree {
    BaoTree::new(size, GROUP)
}

/// Groups of an artifact of `size` bytes; an empty one has one group, of no bytes.
pub(super) fn groups(size: u64) -> u64 {
    size.div_ceil(GROUP_BYTES).max(1)
}

/// Whether an artifact of `size` bytes needs an outboard: one group is proved by the name itself.
pub(super) fn has_outboard(size: u64) -> bool {
    size > GROUP_BYTES
}

/// Ranges `[start, end)` of groups as the chunk ranges that the tree iterators expect: sorted, and open at the end of the artifact.
pub(super) fn chunk_ranges(size: u64, ranges: impl IntoIterator<Item = (u64, u64)>) -> ChunkRanges {
    let (all, chunks) = (groups(size), GROUP_BYTES / 1024);
    let mut out = ChunkRanges::empty();
    for (start, end) in ranges {
        if end >= all && start < all {
            out |= ChunkRanges::from(ChunkNum(start * chunks)..);
        } else if start < end {
            out |= ChunkRanges::from(ChunkNum(start * chunks)..ChunkNum(end * chunks));
        }
    }
    out
}

/// Place of a parent in the outboard file, in bytes. `None` for nodes inside a group, which no range of whole groups visits.
pub(super) fn pair_offset(tree: BaoTree, node: TreeNode) -> Option<u64> {
    Some(tree.post_order_offset(node)?.value() * PAIR_BYTES as u64)
}

/// Hash of a group; `is_root` if it is the whole artifact.
fn group_hash(offset: u64, data: &[u8], is_root: bool) -> Hash {
    if is_root {
        return blake3::hash(data);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(data);
    Hash::from(hasher.finalize_non_root())
}

fn split(pair: &Pair) -> ([u8; 32], [u8; 32]) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&pair[..32]);
    right.copy_from_slice(&pair[32..]);
    (left, right)
}

fn parent_hash(pair: &Pair, is_root: bool) -> Hash {
    let (left, right) = split(pair);
    if is_root {
        merge_subtrees_root(&left, &right, Mode::Hash)
    } else {
        Hash::from(merge_subtrees_non_root(&left, &right, Mode::Hash))
    }
}

/// What comes next in a pre-order walk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A parent of two subtrees.
    Parent { node: TreeNode, is_root: bool, left: bool, right: bool },
    /// One group, or the whole of a smaller artifact.
    Leaf { offset: u64, len: usize, is_root: bool },
}

/// A pre-order walk over ranges of whole groups that knows the hash which each step must have.
///
/// Encoder, decoder and reader share it, so that there is one place that decides what is valid.
pub(super) struct Proof {
    iter: ResponseIter,
    expected: Vec<Hash>,
}

impl Proof {
    pub(super) fn new(root: [u8; 32], size: u64, ranges: ChunkRanges) -> Self {
        Self { iter: ResponseIter::new(tree(size), ranges), expected: vec![Hash::from(root)] }
    }

    /// The next step, or `None` at the end. Each step has to be accepted before the next one is asked for.
    pub(super) fn next(&mut self) -> Option<Step> {
        Some(match self.iter.next()? {
            BaoChunk::Parent { node, is_root, left, right, .. } => Step::Parent { node, is_root, left, right },
            BaoChunk::Leaf { start_chunk, size, is_root, .. } => {
                Step::Leaf { offset: start_chunk.to_bytes(), len: size, is_root }
            }
        })
    }

    /// Accepts a parent if `pair` hashes to what its own parent says; otherwise changes nothing.
    pub(super) fn parent(&mut self, (is_root, left, right): (bool, bool, bool), pair: &Pair) -> bool {
        if self.expected.last() != Some(&parent_hash(pair, is_root)) {
            return false;
        }
        self.expected.pop();
        let (l, r) = split(pair);
        if right {
            self.expected.push(Hash::from(r));
        }
        if left {
            self.expected.push(Hash::from(l));
        }
        true
    }

    /// Accepts a group if `data` hashes to what its parent says; otherwise changes nothing.
    pub(super) fn leaf(&mut self, offset: u64, is_root: bool, data: &[u8]) -> bool {
        let wrong = self.expected.last() != Some(&group_hash(offset, data, is_root));
        if wrong && !verbund_protocol::seeded::bug("groups_unverified") {
            return false;
        }
        self.expected.pop();
        true
    }
}

/// Bytes of the encoding of `ranges`: every parent on the way and every group, each once.
pub(super) fn encoded_len(size: u64, ranges: &ChunkRanges) -> u64 {
    ResponseIter::new(tree(size), ranges.clone()).map(|chunk| chunk.size() as u64).sum()
}

/// Hashes a stream of unknown length once, and writes its outboard in post order as subtrees become complete.
///
/// Memory is one group and one hash per level. Post order is what makes this possible: a pair's place does not depend on
/// how many bytes follow.
pub(super) struct TreeHasher<W> {
    /// Subtrees that wait for their right sibling, leftmost first.
    stack: Vec<Hash>,
    /// The last bytes: hashed only once it is known whether others follow, as the root is hashed differently.
    carry: Vec<u8>,
    done: u64,
    outboard: W,
}

impl<W: Write> TreeHasher<W> {
    pub(super) fn new(outboard: W) -> Self {
        Self { stack: Vec::new(), carry: Vec::with_capacity(GROUP.bytes()), done: 0, outboard }
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            if self.carry.len() == GROUP.bytes() {
                let hash = group_hash(self.done * GROUP_BYTES, &self.carry, false);
                self.carry.clear();
                self.push(hash)?;
            }
            if self.carry.is_empty() && data.len() > GROUP.bytes() {
                let (group, rest) = data.split_at(GROUP.bytes());
                let hash = group_hash(self.done * GROUP_BYTES, group, false);
                self.push(hash)?;
                data = rest;
                continue;
            }
            let (head, rest) = data.split_at(data.len().min(GROUP.bytes() - self.carry.len()));
            self.carry.extend_from_slice(head);
            data = rest;
        }
        Ok(())
    }

    /// Adds a group that others follow, and merges the subtrees that it completes.
    fn push(&mut self, mut hash: Hash) -> io::Result<()> {
        self.done += 1;
        let mut complete = self.done;
        while complete & 1 == 0 {
            let Some(left) = self.stack.pop() else { break };
            hash = self.merge(left, hash, false)?;
            complete >>= 1;
        }
        self.stack.push(hash);
        Ok(())
    }

    fn merge(&mut self, left: Hash, right: Hash, is_root: bool) -> io::Result<Hash> {
        let mut pair = [0; PAIR_BYTES];
        pair[..32].copy_from_slice(left.as_bytes());
        pair[32..].copy_from_slice(right.as_bytes());
        self.outboard.write_all(&pair)?;
        Ok(parent_hash(&pair, is_root))
    }

    /// The root hash and the writer.
    pub(super) fn finish(mut self) -> io::Result<([u8; 32], W)> {
        let mut hash = group_hash(self.done * GROUP_BYTES, &self.carry, self.done == 0);
        while let Some(left) = self.stack.pop() {
            let is_root = self.stack.is_empty();
            hash = self.merge(left, hash, is_root)?;
        }
        self.outboard.flush()?;
        Ok((*hash.as_bytes(), self.outboard))
    }
}
