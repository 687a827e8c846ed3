//! What can go wrong with the store as a whole.

use std::{io, path::PathBuf};

use super::fold::{FoldError, FramePosition};

/// Why the store refused or failed. All of these are faults of this node or its operator, never of a peer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// Another process, or another store in this one, has the folder open.
    #[error("{} is in use by process {holder}: stop that one first", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Its process id, as far as it is known.
        holder: String,
    },
    /// The journal belongs to another instance (federation or node).
    #[error("{} is the journal of another instance ({found}…), not of this one ({expected}…)", path.display())]
    Foreign {
        /// The segment.
        path: PathBuf,
        /// Start of the tag found, hexadecimal.
        found: String,
        /// Start of the tag expected, hexadecimal.
        expected: String,
    },
    /// A newer program wrote the journal.
    #[error("{} has journal format {found}, this program knows {known}: run the version that wrote it, or a newer one", path.display())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// Segments are there, but not one of them has a readable header.
    #[error("{}: no segment has a readable header; restore the folder from a backup", path.display())]
    Headless {
        /// The journal folder.
        path: PathBuf,
    },
    /// The frame is empty or over the limit.
    #[error("frame of {len} bytes: 1 to {max} are allowed")]
    FrameSize {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Too much waits to be written; wait for [`super::Store::ready`].
    #[error("the journal queue is full")]
    Busy,
    /// Less disk space is free than the floor allows for intake.
    #[error("{free} bytes are free on the disk, intake stops below {floor}")]
    DiskFloor {
        /// Free bytes.
        free: u64,
        /// The floor in bytes.
        floor: u64,
    },
    /// The disk has no room for the journal: what was appended waits, and becomes durable when there is some.
    #[error("the disk is full: nothing can be recorded until there is room. Free or add space; it goes on by itself")]
    Full,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A write or sync failed earlier; nothing is acknowledged any more.
    #[error("the store has failed: {0}")]
    Failed(String),
    /// The frame could not be folded; nothing has happened.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The view cannot be built even from nothing.
    #[error("view: {0}")]
    View(String),
}

impl StoreError {
    /// Whether the disk failed, so that starting again would only repeat it; a full one is another matter.
    pub fn is_disk(&self) -> bool {
        const EIO: i32 = rustix::io::Errno::IO.raw_os_error();
        matches!(self, Self::Io { source, .. } if source.raw_os_error() == Some(EIO))
    }

    /// Adds the path to an error of the file system.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Why bytes of a frame cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The journal ends before this position, or the segment is gone.
    #[error("no frame at {0}")]
    NoFrame(FramePosition),
    /// The frame's checksum does not match.
    #[error("the frame at {0} is damaged")]
    Damaged(FramePosition),
    /// The payload is shorter than the range asked for.
    #[error("range {offset}+{len} lies outside of the {payload} bytes of the frame at {at}")]
    Range {
        /// The frame.
        at: FramePosition,
        /// Start of the range.
        offset: u32,
        /// Length of the range.
        len: u32,
        /// Length of the payload.
        payload: usize,
    },
    /// The file system failed.
    #[error("frame at {at}: {source}")]
    Io {
        /// The frame.
        at: FramePosition,
        /// How.
        source: io::Error,
    },
}
