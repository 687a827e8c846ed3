//! The journal: append-only segments of checksummed frames, the only truth this node keeps besides artifacts.
//!
//! Owns the file format, scanning, cutting a bad tail, reading frames, and forgetting whole segments that its user no longer needs.
//! Must never change or delete a byte of any other segment except a bad tail behind which nothing valid follows, and must never
//! interpret a payload.
//!
//! A segment `journal/<number as 8 hex digits>.seg` is two equal headers of 64 bytes, then frames without gaps. It appears under its
//! name by rename, complete with the frames of the roll and synced, so that a visible segment always has both.

pub(super) mod forget;
pub(super) mod format;
pub(super) mod open;
pub(super) mod read;
pub(super) mod scan;
pub(super) mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::fold::{FramePosition, Seq};

/// Bytes of journal that no frame could be read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u32,
    /// First damaged byte.
    pub offset: u64,
    /// How many bytes; 0 if the whole segment is missing.
    pub bytes: u64,
    /// The last frame before the damage that can be read; 0 if there is none.
    pub after: Seq,
    /// The first frame behind the damage that can be read; `None` if there is none, or if only a header is damaged.
    pub before: Option<Seq>,
}

impl Damage {
    /// Whether a frame at `at` would start in the damaged bytes.
    #[must_use]
    pub fn covers(&self, at: FramePosition) -> bool {
        at.segment == self.segment
            && at.offset >= self.offset
            && (self.bytes == 0 || at.offset < self.offset.saturating_add(self.bytes))
    }
}

/// A bad tail that was cut off when opening: a write that never became durable, or damage to the newest frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutTail {
    /// The segment, always the last.
    pub segment: u32,
    /// Its new length.
    pub offset: u64,
    /// Bytes cut off.
    pub bytes: u64,
    /// Whether all of them were zero (space given out by the file system, never written).
    pub zeros: bool,
}

/// Damaged places kept in reports; more are only counted.
pub(super) const DAMAGES_MAX: usize = 1000;

/// Path of a segment.
pub(super) fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08x}.seg"))
}

/// Number of the segment with this file name.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    let well_formed = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if well_formed { u32::from_str_radix(digits, 16).ok() } else { None }
}
