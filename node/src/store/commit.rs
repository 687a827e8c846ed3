//! The journal thread: writes what was appended, syncs once for all that waits (group commit), and only then says so.
//!
//! Owns the commit point. After a failed write or sync it never writes again: what the file then holds is unknown until the next
//! start scans it. A disk without room is no such failure: nothing that was written is in doubt, so the write is repeated at its place
//! until there is room, and nothing is acknowledged meanwhile.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    fold::{FramePosition, Seq},
    gate::Gate,
    journal::{format::HEAD_BYTES, write::Writer},
    overlay::RowChange,
    sync::{Queue, Taken, write},
    view::Mark,
};

/// Between two tries to write while the disk has no room.
const FULL_RETRY: Duration = Duration::from_millis(250);

/// Whether the disk, or this user's part of it, is full.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A frame with its place and the rows it changes.
pub(super) struct Staged {
    pub mark: Mark,
    pub head: [u8; HEAD_BYTES],
    pub payload: Bytes,
    pub rows: Vec<RowChange>,
}

impl Staged {
    /// Bytes it takes in the journal.
    pub(super) fn frame_bytes(&self) -> u64 {
        (self.head.len() + self.payload.len()) as u64
    }

    /// Bytes its rows take in memory.
    pub(super) fn row_bytes(&self) -> u64 {
        self.rows.iter().map(RowChange::weight).sum()
    }
}

/// Work for the journal thread.
pub(super) enum Job {
    /// Write a frame at the end of the current segment.
    Frame(Staged),
    /// Start a segment with these frames.
    Roll(u32, Vec<Staged>),
}

/// What other threads may know of the journal.
#[derive(Default)]
pub(super) struct Progress {
    /// Frames appended and not yet committed.
    pub pending: RwLock<BTreeMap<FramePosition, Bytes>>,
    pub segments: AtomicU64,
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
    /// Whether the journal waits for room on the disk.
    pub full: watch::Sender<bool>,
}

/// The thread's state.
pub(super) struct Committer {
    pub writer: Writer,
    pub jobs: Arc<Queue<Job>>,
    pub applied: Arc<Queue<Staged>>,
    pub gate: Arc<Gate>,
    pub progress: Arc<Progress>,
    pub committed: watch::Sender<Seq>,
}

/// Closes the line to the view, and fails the store if the thread ends in a panic: nobody may wait for it then.
struct Leave<'a>(&'a Gate, &'a Queue<Staged>, bool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.2 {
            self.0.fail("the journal thread ended unexpectedly".to_owned());
        }
        self.1.close();
    }
}

impl Committer {
    /// Runs until the line is closed and empty, or something fails.
    pub(super) fn run(mut self) {
        let (gate, applied, jobs) = (self.gate.clone(), self.applied.clone(), self.jobs.clone());
        let mut leave = Leave(&gate, &applied, false);
        loop {
            // All that has come while the last sync ran shares the next one; the gate bounds how much that is.
            match jobs.take(usize::MAX, |_| 1, Duration::MAX) {
                Taken::Items(jobs) => {
                    if let Err(e) = self.group(jobs) {
                        gate.fail(format!("journal: {e}"));
                        break;
                    }
                }
                Taken::Idle => {}
                Taken::Closed => break,
            }
        }
        leave.2 = true;
    }

    fn group(&mut self, jobs: Vec<Job>) -> io::Result<()> {
        let mut written = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job {
                Job::Frame(staged) => {
                    self.writer.frame(&staged.head, &staged.payload);
                    self.insist(Writer::relieve)?;
                    written.push(staged);
                }
                Job::Roll(segment, first) => {
                    self.commit(std::mem::take(&mut written))?;
                    self.roll(segment, first)?;
                }
            }
        }
        self.commit(written)
    }

    /// Does what needs room on the disk, and again until there is some. A closing store waits for none.
    fn insist(&mut self, mut work: impl FnMut(&mut Writer) -> io::Result<()>) -> io::Result<()> {
        loop {
            match work(&mut self.writer) {
                Err(e)
                    if is_full(&e)
                        && !self.jobs.is_closed()
                        && !verbund_protocol::seeded::bug("full_disk_is_failure") =>
                {
                    if !self.progress.full.send_replace(true) {
                        tracing::error!(error = %e, "the disk is full: nothing is acknowledged until there is room");
                    }
                    std::thread::sleep(FULL_RETRY);
                }
                done => {
                    if self.progress.full.send_replace(false) {
                        tracing::info!("the journal can be written again");
                    }
                    return done;
                }
            }
        }
    }

    fn commit(&mut self, mut written: Vec<Staged>) -> io::Result<()> {
        if verbund_protocol::seeded::bug("acknowledge_before_sync") {
            self.publish(std::mem::take(&mut written));
        }
        self.insist(Writer::drain)?;
        if self.writer.sync()? {
            self.progress.syncs.fetch_add(1, Ordering::Relaxed);
        }
        self.publish(written);
        Ok(())
    }

    fn roll(&mut self, segment: u32, first: Vec<Staged>) -> io::Result<()> {
        let mut frames = Vec::new();
        for staged in &first {
            frames.extend_from_slice(&staged.head);
            frames.extend_from_slice(&staged.payload);
        }
        self.insist(|writer| writer.roll(segment, &frames))?;
        self.progress.segments.fetch_add(1, Ordering::Relaxed);
        self.progress.bytes.fetch_add(super::journal::format::HEADER_BYTES, Ordering::Relaxed);
        self.progress.syncs.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(segment, frames = first.len(), bytes = frames.len(), "journal segment started");
        self.publish(first);
        Ok(())
    }

    /// Tells everyone that `written` is durable.
    fn publish(&self, written: Vec<Staged>) {
        let Some(last) = written.last().map(|staged| staged.mark.seq) else { return };
        let bytes = written.iter().map(Staged::frame_bytes).sum();
        let mut pending = write(&self.progress.pending);
        for staged in &written {
            pending.remove(&staged.mark.at);
        }
        drop(pending);
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.applied.push(written.into_iter().map(|staged| Staged { payload: Bytes::new(), ..staged }));
        self.gate.written(bytes);
        self.committed.send_replace(last);
    }
}
