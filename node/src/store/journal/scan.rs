//! Walking a segment frame by frame, across damage.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::{
    Damage,
    format::{HEAD_BYTES, Head, Salt},
};
use crate::store::fold::{FramePosition, Seq};

/// Read ahead in bytes.
const CHUNK_BYTES: u64 = 1 << 20;

/// A valid frame as a scan finds it.
pub(crate) struct Frame<'a> {
    pub at: FramePosition,
    pub head: Head,
    pub payload: &'a [u8],
}

/// What a scan of one segment found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Damaged regions with a valid frame behind them.
    pub damaged: Vec<Damage>,
    /// Number of damaged regions, also of those not listed.
    pub damages: u64,
    /// Number of the last valid frame (or the one given as `after`).
    pub last: Seq,
    /// End of the last valid frame.
    pub end: u64,
    /// Length of the file; bytes from `end` to here are bad.
    pub len: u64,
    /// Valid frames.
    pub frames: u64,
}

/// A part of the file in memory.
struct Window<'a> {
    file: &'a File,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `want` bytes at `offset`; `None` if the file ends before.
    fn get(&mut self, offset: u64, want: usize) -> io::Result<Option<&[u8]>> {
        let end = offset.saturating_add(want as u64);
        if end > self.len {
            return Ok(None);
        }
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let bytes = (want as u64).max(CHUNK_BYTES).min(self.len - offset);
            self.start = offset;
            self.bytes.resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
            self.file.read_exact_at(&mut self.bytes, offset)?;
        }
        let from = usize::try_from(offset - self.start).map_err(io::Error::other)?;
        Ok(self.bytes.get(from..from + want))
    }
}

/// Calls `visit` for each valid frame of `segment` from byte `from` on whose number is above `after`, in order.
///
/// A frame whose head is whole but whose payload is not is stepped over; otherwise the next frame is searched byte by byte, at
/// constant cost for each, because heads have a checksum of their own.
pub(crate) fn segment<E: From<io::Error>>(
    file: &File,
    segment: u32,
    salt: &Salt,
    (from, after): (u64, Seq),
    visit: &mut dyn FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<Found, E> {
    let len = file.metadata()?.len();
    let mut window = Window { file, len, start: 0, bytes: Vec::new() };
    let mut found = Found { last: after, end: from, len, ..Found::default() };
    let mut bad: Option<u64> = None;
    let mut offset = from;
    while offset < len {
        let at = FramePosition { segment, offset };
        let head = window.get(offset, HEAD_BYTES)?.and_then(|bytes| Head::decode(salt, at, found.last, bytes));
        let Some(head) = head else {
            bad.get_or_insert(offset);
            offset += 1;
            continue;
        };
        let payload = window.get(offset + HEAD_BYTES as u64, head.len as usize)?;
        match payload.filter(|payload| head.fits(payload)) {
            Some(payload) => {
                if let Some(start) = bad.take() {
                    found.note(segment, start, offset, head.seq);
                }
                visit(Frame { at, head, payload })?;
                offset += head.frame_bytes();
                found.last = head.seq;
                found.end = offset;
                found.frames += 1;
            }
            None => {
                bad.get_or_insert(offset);
                // A torn last frame reaches beyond the end of the file: nothing can follow it.
                offset = offset.saturating_add(head.frame_bytes()).min(len);
            }
        }
    }
    Ok(found)
}

impl Found {
    fn note(&mut self, segment: u32, start: u64, end: u64, before: Seq) {
        self.damages += 1;
        if self.damaged.len() < super::DAMAGES_MAX {
            self.damaged.push(Damage {
                segment,
                offset: start,
                bytes: end - start,
                after: self.last,
                before: Some(before),
            });
        }
    }
}

/// Whether the file holds only zeros from `from` to its end.
pub(crate) fn only_zeros(file: &File, from: u64) -> io::Result<bool> {
    let len = file.metadata()?.len();
    let mut chunk = vec![0_u8; 1 << 16];
    let mut offset = from;
    while offset < len {
        let want = usize::try_from((len - offset).min(chunk.len() as u64)).map_err(io::Error::other)?;
        let Some(part) = chunk.get_mut(..want) else { break };
        file.read_exact_at(part, offset)?;
        if part.iter().any(|b| *b != 0) {
            return Ok(false);
        }
        offset += want as u64;
    }
    Ok(true)
}
