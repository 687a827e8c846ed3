//! Verifies and writes what a fetch receives, on a blocking thread.
//!
//! Owns the partial while it runs, and hands it back suspended: everything verified is written and claimed, whatever the reason
//! for the end. Never writes a group before it is verified.

use bao_tree::ChunkRanges;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::blobs::error::StoreError;
use crate::blobs::partial::{FinishError, Partial};
use crate::blobs::tree::{PAIR_BYTES, Step};

/// What the writer is given.
pub(super) enum Feed {
    /// The first bytes of a chunk, this many.
    Chunk(Vec<u8>, usize),
    /// The response ended where it has to: the artifact may become available.
    End,
}

/// How the writing ended.
pub(super) enum Outcome {
    /// The artifact is available.
    Complete,
    /// Bytes did not match the name.
    Bad { offset: u64 },
    /// The queue was closed before the end was announced.
    Starved,
    /// The disk failed, or the manifest is wrong.
    Failed(FinishError),
}

/// The end of the writing.
pub(super) struct Done {
    /// To be continued; `None` when complete, and after a failing disk, which leaves memory and files in doubt.
    pub(super) partial: Option<Box<Partial>>,
    /// Bytes of the encoding that were verified.
    pub(super) used: u64,
    pub(super) outcome: Outcome,
}

/// The encoding as a stream of bytes, over chunks.
struct Source<'a> {
    queue: Receiver<Feed>,
    spare: &'a Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    len: usize,
}

impl Source<'_> {
    /// Fills `out`, or says that the encoding ended early.
    fn read(&mut self, mut out: &mut [u8]) -> Result<(), Stop> {
        while !out.is_empty() {
            if self.at == self.len {
                self.next_chunk()?;
            }
            let n = out.len().min(self.len - self.at);
            let (head, tail) = out.split_at_mut(n);
            head.copy_from_slice(&self.chunk[self.at..self.at + n]);
            self.at += n;
            out = tail;
        }
        Ok(())
    }

    fn next_chunk(&mut self) -> Result<(), Stop> {
        let Some(Feed::Chunk(chunk, len)) = self.queue.blocking_recv() else { return Err(Stop::Starved) };
        let used = std::mem::replace(&mut self.chunk, chunk);
        (self.at, self.len) = (0, len.min(self.chunk.len()));
        if !used.is_empty() {
            // Back for the next read; if there are enough already it is freed.
            drop(self.spare.try_send(used));
        }
        Ok(())
    }
}

/// Why the writing stops before its end.
enum Stop {
    Starved,
    Bad { offset: u64 },
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Verifies and writes the encoding of `ranges`.
pub(super) fn run(
    mut partial: Box<Partial>,
    ranges: ChunkRanges,
    queue: Receiver<Feed>,
    spare: &Sender<Vec<u8>>,
) -> Done {
    let mut source = Source { queue, spare, chunk: Vec::new(), at: 0, len: 0 };
    let mut used = 0;
    let written = write(&mut partial, ranges, &mut source, &mut used);
    let ended = match written {
        Ok(()) if matches!(source.queue.blocking_recv(), Some(Feed::End)) => Ok(()),
        Ok(()) => Err(Stop::Starved),
        Err(stop) => Err(stop),
    };
    // A reader that waits for room in the queue must learn at once that nobody takes its chunks.
    drop(source);
    let (partial, outcome) = match ended {
        Err(Stop::Store(error)) => (None, Outcome::Failed(error.into())),
        ended => match partial.suspend() {
            Err(error) => (None, Outcome::Failed(error.into())),
            Ok(()) => conclude(partial, ended),
        },
    };
    Done { partial, used, outcome }
}

fn conclude(partial: Box<Partial>, ended: Result<(), Stop>) -> (Option<Box<Partial>>, Outcome) {
    match ended {
        Ok(()) if partial.is_complete() => match partial.finish() {
            Ok(()) => (None, Outcome::Complete),
            Err(error) => (None, Outcome::Failed(error)),
        },
        Err(Stop::Bad { offset }) => (Some(partial), Outcome::Bad { offset }),
        _ => (Some(partial), Outcome::Starved),
    }
}

fn write(partial: &mut Partial, ranges: ChunkRanges, source: &mut Source<'_>, used: &mut u64) -> Result<(), Stop> {
    let mut proof = partial.proof(ranges);
    while let Some(step) = proof.next() {
        match step {
            Step::Parent { node, is_root, left, right } => {
                let mut pair = [0; PAIR_BYTES];
                source.read(&mut pair)?;
                if !proof.parent((is_root, left, right), &pair) {
                    return Err(Stop::Bad { offset: node.chunk_range().start.to_bytes() });
                }
                partial.put_pair(node, &pair);
                *used += PAIR_BYTES as u64;
            }
            Step::Leaf { offset, len, is_root } => {
                let group = partial.slot(offset, len)?;
                let arrived = source.read(group);
                let valid = arrived.is_ok() && proof.leaf(offset, is_root, group);
                if !valid {
                    partial.discard(len);
                    arrived?;
                    return Err(Stop::Bad { offset });
                }
                partial.keep(offset, len);
                *used += len as u64;
            }
        }
    }
    Ok(())
}
