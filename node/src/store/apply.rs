//! The view thread: brings the rows of committed frames to the base, whole frames at a time.
//!
//! Never runs ahead of the journal. What it has not applied when the store closes is folded again at the next start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    commit::{Job, Staged},
    fold::Seq,
    gate::Gate,
    overlay::{RowChange, Views},
    sync::{Queue, Taken},
    view::{Batch, Mark, ViewError},
};

/// Rows gathered for one batch. sled holds a process-wide lock while it applies one, so more would stall readers, and fewer cost
/// throughput. A single frame is never split.
pub(super) const BATCH_ROWS: usize = 500;
/// An idle base is flushed after this time, so that a kill later costs little catching up.
const IDLE_FLUSH: Duration = Duration::from_millis(500);
/// A busy base is flushed after this many batches.
const FLUSH_BATCHES: u32 = 64;
/// Applying goes on for this long after closing; the rest is caught up at the next start.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Rows of a run of whole frames.
#[derive(Default)]
pub(super) struct Run {
    batch: Batch,
    mark: Option<Mark>,
    rows: usize,
}

impl Run {
    /// Adds the rows of the next frame.
    pub(super) fn add(&mut self, mark: Mark, rows: Vec<RowChange>) {
        self.rows += rows.len();
        self.mark = Some(mark);
        for RowChange { table, key, value } in rows {
            self.batch.entry(table).or_default().insert(key, value);
        }
    }

    /// Its last changes by row.
    #[cfg(test)]
    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Whether it is worth a batch.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS
    }

    /// Applies the run to the base and lets go of its rows in the overlay. The number of its last frame.
    pub(super) fn apply(self, views: &Views) -> Result<Option<Seq>, ViewError> {
        let Some(mark) = self.mark else { return Ok(None) };
        views.base.apply(&self.batch, &mark)?;
        views.settle(mark.seq, &self.batch);
        Ok(Some(mark.seq))
    }
}

/// The thread's state.
pub(super) struct Applier {
    pub views: Arc<Views>,
    pub queue: Arc<Queue<Staged>>,
    /// The journal's line, closed when the base fails: then the journal thread ends too, and those who wait for it learn of it.
    pub jobs: Arc<Queue<Job>>,
    pub gate: Arc<Gate>,
    pub applied: Arc<AtomicU64>,
}

/// Fails the store if the thread ends in a panic.
struct Leave<'a>(&'a Applier, bool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fail("the view thread ended unexpectedly".to_owned());
        }
    }
}

impl Applier {
    /// Runs until the line is closed and empty, or the base fails.
    pub(super) fn run(self) {
        let mut leave = Leave(&self, false);
        if let Err(e) = self.work() {
            self.views.base.distrust(&e.0);
            self.fail(format!("view: {e}"));
        }
        leave.1 = true;
    }

    fn fail(&self, reason: String) {
        self.gate.fail(reason);
        self.jobs.close();
    }

    fn work(&self) -> Result<(), ViewError> {
        let mut unflushed = 0;
        let mut deadline = None;
        loop {
            let patience = if unflushed > 0 { IDLE_FLUSH } else { Duration::MAX };
            // A frame without rows still counts, or endless ones would be taken.
            match self.queue.take(BATCH_ROWS, |staged| staged.rows.len().max(1), patience) {
                Taken::Items(items) => {
                    self.batch(items)?;
                    unflushed += 1;
                    if unflushed >= FLUSH_BATCHES {
                        self.views.base.flush()?;
                        unflushed = 0;
                    }
                }
                Taken::Idle if unflushed > 0 => {
                    self.views.base.flush()?;
                    unflushed = 0;
                }
                Taken::Idle => {}
                Taken::Closed => return Ok(()),
            }
            if deadline.is_none() && self.queue.is_closed() {
                deadline = Instant::now().checked_add(CLOSE_PATIENCE);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(());
            }
        }
    }

    fn batch(&self, items: Vec<Staged>) -> Result<(), ViewError> {
        let mut run = Run::default();
        let mut bytes = 0;
        for staged in items {
            bytes += staged.row_bytes();
            run.add(staged.mark, staged.rows);
        }
        if let Some(seq) = run.apply(&self.views)? {
            self.applied.store(seq, Ordering::Relaxed);
        }
        self.gate.applied(bytes);
        Ok(())
    }
}
