//! Reading single frames by position, from any thread.

use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf, sync::Mutex};

use bytes::Bytes;

use super::{
    format::{HEAD_BYTES, Head, Salt},
    segment_path,
};
use crate::store::{error::ReadError, files::Files, fold::FramePosition, sync::lock};

/// Open segments kept for reading.
const OPEN_MAX: usize = 32;

/// Reads and checks frames.
pub(crate) struct Frames {
    dir: PathBuf,
    salt: Salt,
    files: Files,
    /// The frame read last: entries of one batch are mostly read one after the other, and each read is checked as a whole.
    last: Mutex<Option<(FramePosition, Bytes)>>,
}

impl Frames {
    pub(crate) fn new(dir: PathBuf, salt: Salt) -> Self {
        Self { dir, salt, files: Files::new(OPEN_MAX), last: Mutex::new(None) }
    }

    /// The payload of the frame at `at`; every byte returned has passed the checksum.
    pub(crate) fn payload(&self, at: FramePosition) -> Result<Bytes, ReadError> {
        if let Some((_, payload)) = lock(&self.last).as_ref().filter(|(last, _)| *last == at) {
            return Ok(payload.clone());
        }
        let (_, payload) = self.frame(at)?;
        *lock(&self.last) = Some((at, payload.clone()));
        Ok(payload)
    }

    /// Head and payload of the frame at `at`.
    pub(crate) fn frame(&self, at: FramePosition) -> Result<(Head, Bytes), ReadError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => ReadError::NoFrame(at),
            _ => ReadError::Io { at, source },
        };
        let path = segment_path(&self.dir, at.segment);
        let file = self.files.get(at.segment, || File::open(path)).map_err(failed)?;
        let mut head = [0_u8; HEAD_BYTES];
        file.read_exact_at(&mut head, at.offset).map_err(failed)?;
        let head = Head::decode(&self.salt, at, 0, &head).ok_or(ReadError::Damaged(at))?;
        let mut payload = vec![0_u8; head.len as usize];
        file.read_exact_at(&mut payload, at.offset.saturating_add(HEAD_BYTES as u64)).map_err(failed)?;
        if head.fits(&payload) { Ok((head, payload.into())) } else { Err(ReadError::Damaged(at)) }
    }
}
