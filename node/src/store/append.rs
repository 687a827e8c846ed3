//! Appending and closing: what the handle does to the store's inner state.

use std::sync::atomic::Ordering;

use super::{
    Cursor, Inner, Weight,
    commit::{Job, Staged},
    error::StoreError,
    fold::{FoldError, FramePosition, Seq, check_hashes},
    journal::{
        DAMAGES_MAX, Damage,
        format::{FRAME_MAX_BYTES, HEAD_BYTES, HEADER_BYTES, Head},
    },
    overlay::{Reader, RowChange},
    sync::{lock, write},
    view::Mark,
};

impl Inner {
    pub(super) fn append(&self, weight: Weight, frame: Vec<u8>) -> Result<Seq, StoreError> {
        check_size(&frame)?;
        if weight == Weight::Intake {
            let floor = self.floor.state();
            if !floor.accepts_intake {
                let free = floor.free_bytes.unwrap_or_default();
                return Err(StoreError::DiskFloor { free, floor: floor.floor_bytes });
            }
        }
        let mut cursor = lock(&self.cursor);
        // Again, under the lock: after closing nothing may enter the line.
        self.gate.has_room()?;
        let bytes = (HEAD_BYTES + frame.len()) as u64;
        let full = cursor.used && cursor.next.offset.saturating_add(bytes) > self.segment_bytes;
        if cursor.must_roll || full {
            self.roll(&mut cursor)?;
        }
        let staged = self.stage(&mut cursor, frame)?;
        cursor.used = true;
        self.jobs.push([Job::Frame(staged)]);
        Ok(cursor.last)
    }

    /// Starts a new segment, with what each segment begins with.
    pub(super) fn repeat(&self) -> Result<Seq, StoreError> {
        let mut cursor = lock(&self.cursor);
        self.gate.has_room()?;
        self.roll(&mut cursor)?;
        Ok(cursor.last)
    }

    /// The frames that a new segment begins with.
    fn carried(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        match self.fold.carry(&Reader(self.views.clone())) {
            Ok(frames) => Ok(frames),
            Err(FoldError::Rows(e)) => Err(FoldError::Rows(e).into()),
            Err(FoldError::Refused(reason)) => {
                self.skip_carry(&reason);
                Ok(Vec::new())
            }
        }
    }

    /// Starts the next segment with what has to be repeated there.
    fn roll(&self, cursor: &mut Cursor) -> Result<(), StoreError> {
        let segment = cursor.next.segment.checked_add(1);
        let segment = segment.ok_or_else(|| StoreError::Failed("no segment numbers are left".to_owned()))?;
        let frames = self.carried()?;
        cursor.next = FramePosition { segment, offset: HEADER_BYTES };
        (cursor.used, cursor.must_roll) = (false, false);
        let mut staged = Vec::with_capacity(frames.len());
        for frame in frames {
            match check_size(&frame).and_then(|()| self.stage(cursor, frame)) {
                Ok(frame) => staged.push(frame),
                Err(e) => self.skip_carry(&e.to_string()),
            }
        }
        self.jobs.push([Job::Roll(segment, staged)]);
        Ok(())
    }

    fn skip_carry(&self, reason: &str) {
        tracing::error!(reason, "local records could not be repeated in the new journal segment");
        self.carries_skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Folds `frame` at the cursor, shows its rows, and moves the cursor behind it. After an error nothing has happened.
    fn stage(&self, cursor: &mut Cursor, frame: Vec<u8>) -> Result<Staged, StoreError> {
        let (at, seq) = (cursor.next, cursor.last.saturating_add(1));
        let reader = Reader(self.views.clone());
        let changes = self.fold.fold(&reader, at, &frame)?;
        check_hashes(&reader, &changes)?;
        let head = Head::seal(&self.salt, at, seq, &frame);
        let end = at.offset + head.frame_bytes();
        let mark = Mark { at, end, seq, body: head.body };
        let staged = Staged { mark, head: head.encode(), payload: frame.into(), rows: RowChange::share(changes) };
        // Readable before any row points to it.
        write(&self.progress.pending).insert(at, staged.payload.clone());
        self.views.show(seq, &staged.rows);
        self.gate.enter(staged.frame_bytes(), staged.row_bytes());
        cursor.next.offset = end;
        cursor.last = seq;
        Ok(staged)
    }

    /// Remembers a frame that turned out to be damaged while the store was open.
    pub(super) fn note_damage(&self, at: FramePosition) {
        let mut damaged = lock(&self.damaged);
        if damaged.len() < DAMAGES_MAX && !damaged.iter().any(|damage| damage.covers(at)) {
            tracing::warn!(%at, "a journal frame is damaged");
            damaged.push(Damage { segment: at.segment, offset: at.offset, bytes: 1, after: 0, before: None });
            let known = damaged.len();
            drop(damaged);
            self.damages.send_replace(known);
        }
    }

    pub(super) fn close(&self) -> Result<(), StoreError> {
        // Under the lock, so that no append is half way in.
        let cursor = lock(&self.cursor);
        let first = self.gate.close();
        drop(cursor);
        if !first {
            return Ok(());
        }
        self.jobs.close();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a store thread panicked");
            }
        }
        let closed = self.views.base.close();
        drop(lock(&self.lock).take());
        match (self.gate.failure(), closed) {
            (Some(reason), _) => Err(StoreError::Failed(reason)),
            (None, Err(e)) => Err(StoreError::View(e.0)),
            (None, Ok(())) => Ok(()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(e) = self.close() {
            tracing::error!(error = %e, "the store did not close well");
        }
    }
}

fn check_size(frame: &[u8]) -> Result<(), StoreError> {
    if frame.is_empty() || frame.len() > FRAME_MAX_BYTES {
        return Err(StoreError::FrameSize { len: frame.len(), max: FRAME_MAX_BYTES });
    }
    Ok(())
}
