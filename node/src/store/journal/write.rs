//! Writing frames to the last segment and starting new ones. Durability is decided by the caller, who syncs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    format::{FORMAT, HEADER_BYTES, Header, Salt},
    segment_path,
};
use crate::store::{
    disk::{Disk, SegmentFile},
    fold::FramePosition,
};

/// Frames are gathered to about this size before they are handed to the system.
const BUFFER_BYTES: usize = 1 << 20;

/// Extension of a segment that is not complete yet.
pub(crate) const NEW: &str = "new";

/// The one writer of a journal.
pub(crate) struct Writer {
    place: Place,
    file: Box<dyn SegmentFile>,
    buffer: Vec<u8>,
    /// Where the buffer belongs in the file.
    offset: u64,
    dirty: bool,
}

/// What a writer needs to know about its journal.
#[derive(Clone)]
pub(crate) struct Place {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub instance: [u8; 32],
    pub salt: Salt,
}

impl Place {
    /// Creates `segment` with its first `frames`, durable under its name. After an error it can be tried again.
    fn create(&self, segment: u32, frames: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        let path = segment_path(&self.dir, segment);
        let new = path.with_extension(NEW);
        // What is left of it, if anything is, is in the way of another try. At a start it is cleared away as well.
        self.begin(segment, frames, &path, &new).inspect_err(|_| drop(fs::remove_file(&new)))
    }

    fn begin(&self, segment: u32, frames: &[u8], path: &Path, new: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let header = Header { version: FORMAT, segment, instance: self.instance, salt: self.salt };
        let file = self.disk.create(new)?;
        file.write_all_at(&header.encode(), 0)?;
        file.write_all_at(frames, HEADER_BYTES)?;
        if !verbund_protocol::seeded::bug("skip_sync_of_segment") {
            file.sync()?;
        }
        fs::rename(new, path)?;
        if !verbund_protocol::seeded::bug("skip_sync_of_names") {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(file)
    }
}

impl Writer {
    /// Starts a journal with an empty `segment`.
    pub(crate) fn create(place: Place, segment: u32) -> io::Result<Self> {
        let file = place.create(segment, &[])?;
        Ok(Self::with(place, file, HEADER_BYTES))
    }

    /// Goes on at `end`, the end of the last valid frame. What stands before is made durable: it was acknowledged by nobody if the
    /// process was killed between writing and syncing, but it is taken for true from now on.
    pub(crate) fn resume(place: Place, end: FramePosition) -> io::Result<Self> {
        let file = place.disk.open(&segment_path(&place.dir, end.segment))?;
        if !verbund_protocol::seeded::bug("skip_sync_at_start") {
            file.sync()?;
        }
        Ok(Self::with(place, file, end.offset))
    }

    fn with(place: Place, file: Box<dyn SegmentFile>, offset: u64) -> Self {
        Self { place, file, buffer: Vec::new(), offset, dirty: false }
    }

    /// Keeps the frame of `head` and `payload`, to be written at the end (at the latest with [`Self::sync`]).
    pub(crate) fn frame(&mut self, head: &[u8], payload: &[u8]) {
        self.buffer.extend_from_slice(head);
        self.buffer.extend_from_slice(payload);
    }

    /// Writes what was kept, if it is much. After an error it can be tried again.
    pub(crate) fn relieve(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER_BYTES { self.drain() } else { Ok(()) }
    }

    /// Writes what was kept. After an error it can be tried again: it is written at the same place.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.dirty = true;
            self.file.write_all_at(&self.buffer, self.offset)?;
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_BYTES);
        }
        Ok(())
    }

    /// Makes everything written durable. `false` if there was nothing to do.
    pub(crate) fn sync(&mut self) -> io::Result<bool> {
        self.drain()?;
        if self.dirty && !verbund_protocol::seeded::bug("skip_sync") {
            self.file.sync()?;
            self.dirty = false;
            return Ok(true);
        }
        Ok(false)
    }

    /// Starts `segment` with its first `frames`; they are durable when this returns. Everything before must be synced.
    pub(crate) fn roll(&mut self, segment: u32, frames: &[u8]) -> io::Result<()> {
        self.file = self.place.create(segment, frames)?;
        self.offset = HEADER_BYTES + frames.len() as u64;
        Ok(())
    }
}
