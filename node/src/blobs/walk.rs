//! Verified walks over a held artifact: the only way in which its bytes are read.
//!
//! Owns the decision whether bytes on disk are those of the name. A step's bytes are appended to the output only after they have
//! been verified; damage is told apart into data, outboard and the disk's own failure. Does not repair anything.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use bao_tree::{BaoTree, ChunkRanges};
use verbund_protocol::ids::Blake3;

use super::tree::{self, PAIR_BYTES, Proof, Step};

/// An artifact whose files are open: it can be read to the end even when its name is taken away meanwhile.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hash: Blake3,
    pub(super) size: u64,
    pub(super) data: File,
    /// Missing for artifacts of one group, and after damage.
    pub(super) outboard: Option<File>,
}

/// Why a walk could not go on.
#[derive(Debug)]
pub(super) enum Damage {
    /// The data differs from the name, in the group at this byte.
    Data { offset: u64 },
    /// The outboard is missing or differs from the name; the data may be intact.
    Outboard { offset: u64 },
    /// The disk failed. Says nothing about the bytes.
    Disk(io::Error),
}

/// What a walk puts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// The encoding for the wire: parents and groups.
    Encoded,
    /// The groups alone.
    Data,
}

/// A walk that can be interrupted after every step, and resumed after a repair.
pub(super) struct Walk {
    held: Held,
    tree: BaoTree,
    proof: Proof,
    output: Output,
    /// A step that failed, to be tried again.
    pending: Option<Step>,
}

impl Walk {
    pub(super) fn new(held: Held, ranges: ChunkRanges, output: Output) -> Self {
        let proof = Proof::new(*held.hash.as_bytes(), held.size, ranges);
        Self { tree: tree::tree(held.size), held, proof, output, pending: None }
    }

    pub(super) const fn held(&self) -> &Held {
        &self.held
    }

    /// Continues with another outboard.
    pub(super) fn replace_outboard(&mut self, outboard: File) {
        self.held.outboard = Some(outboard);
    }

    /// Appends verified steps to `out` until it has `target` bytes or more. `Ok(true)` at the end of the walk.
    ///
    /// On damage `out` holds only what was verified before it.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>, target: usize) -> Result<bool, Damage> {
        while out.len() < target {
            let Some(step) = self.pending.take().or_else(|| self.proof.next()) else { return Ok(true) };
            if let Err(damage) = self.step(step, out) {
                self.pending = Some(step);
                return Err(damage);
            }
        }
        Ok(false)
    }

    fn step(&mut self, step: Step, out: &mut Vec<u8>) -> Result<(), Damage> {
        match step {
            Step::Parent { node, is_root, left, right } => {
                let damaged = Damage::Outboard { offset: node.chunk_range().start.to_bytes() };
                let (Some(file), Some(at)) = (&self.held.outboard, tree::pair_offset(self.tree, node)) else {
                    return Err(damaged);
                };
                let mut pair = [0; PAIR_BYTES];
                match file.read_exact_at(&mut pair, at) {
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged),
                    other => other.map_err(Damage::Disk)?,
                }
                if !self.proof.parent((is_root, left, right), &pair) {
                    return Err(damaged);
                }
                if self.output == Output::Encoded {
                    out.extend_from_slice(&pair);
                }
            }
            Step::Leaf { offset, len, is_root } => {
                let start = out.len();
                out.resize(start + len, 0);
                let group = &mut out[start..];
                let checked = match self.held.data.read_exact_at(group, offset) {
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(Damage::Data { offset }),
                    Err(e) => Err(Damage::Disk(e)),
                    Ok(()) if self.proof.leaf(offset, is_root, group) => Ok(()),
                    Ok(()) => Err(Damage::Data { offset }),
                };
                if let Err(damage) = checked {
                    out.truncate(start);
                    return Err(damage);
                }
            }
        }
        Ok(())
    }
}
