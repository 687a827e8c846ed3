//! Writing frames to the last segment and starting new ones. Durability is decided by the caller, who syncs.

use std::{fs, io, path::PathBuf, sync::Arc};

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
    /// Creates `segment` with its first `frames`, durable under its name.
    fn create(&self, segment: u32, frames: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        let header = Header { version: FORMAT, segment, instance: self.instance, salt: self.salt };
        let path = segment_path(&self.dir, segment);
        let new = path.with_extension(NEW);
        let file = self.disk.create(&new)?;
        file.write_all_at(&header.encode(), 0)?;
        file.write_all_at(frames, HEADER_BYTES)?;
        if !verbund_protocol::seeded::bug("skip_sync_of_segment") {
            file.sync()?;
        }
        fs::rename(&new, &path)?;
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

    /// Writes (perhaps later, at the latest with [`Self::sync`]) the frame of `head` and `payload` at the end.
    pub(crate) fn frame(&mut self, head: &[u8], payload: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(head);
        self.buffer.extend_from_slice(payload);
        if self.buffer.len() >= BUFFER_BYTES { self.drain() } else { Ok(()) }
    }

    fn drain(&mut self) -> io::Result<()> {
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
