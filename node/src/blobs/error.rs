//! The errors of the store, told apart by who has to act.
//!
//! Owns the distinction between the disk's failure ([`StoreError`]), bytes that no longer match their name
//! ([`ReadError::Corrupt`]) and a caller's own source ([`StoreError::Source`]). Must never carry a peer's fault: those are
//! [`super::transfer::PeerFault`].

use std::io;
use std::path::{Path, PathBuf};

use verbund_protocol::ids::Blake3;

/// Why the store could not do something. None of these is ever a peer's fault.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed; it may succeed when tried again.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A sync failed: what was written before may be lost although it still reads back. The node has to stop.
    #[error("sync {}: {source}", path.display())]
    Sync {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A sync failed earlier: nothing is taken in any more.
    #[error("a sync failed earlier, nothing is taken in any more: {0}")]
    Failed(String),
    /// Intake is stopped so that the journal keeps room; resumes by itself when space is free.
    #[error("{available} bytes free on disk, {needed} needed above the floor of {floor}")]
    DiskFloor {
        /// Bytes free for unprivileged users.
        available: u64,
        /// Bytes that have to stay free.
        floor: u64,
        /// Bytes that were to be written.
        needed: u64,
    },
    /// The disk, or the quota, is full in spite of the floor.
    #[error("no space left for {}", path.display())]
    DiskFull {
        /// The file that was written.
        path: PathBuf,
    },
    /// The artifact is larger than this node, or the caller, allows.
    #[error("artifact of at least {at_least} bytes is over the limit of {max}")]
    TooLarge {
        /// Bytes seen or announced.
        at_least: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// The caller's source failed while it was imported.
    #[error("source of the import: {0}")]
    Source(io::Error),
    /// The same artifact is being received already.
    #[error("{0} is being received already")]
    InProgress(Blake3),
    /// Another process uses the directory.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The runtime is shutting down.
    #[error("the node is stopping")]
    Stopped,
}

impl StoreError {
    /// Adds what was done to which file; a full disk becomes [`StoreError::DiskFull`].
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.to_owned() },
            _ => Self::Io { doing, path: path.to_owned(), source },
        }
    }

    pub(super) fn sync(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Sync { path: path.to_owned(), source }
    }

    /// Whether intake is stopped for lack of space, so that it is worth waiting instead of reporting a defect.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::DiskFloor { .. } | Self::DiskFull { .. })
    }

    /// Whether the node must stop because a sync failed.
    pub const fn must_stop(&self) -> bool {
        matches!(self, Self::Sync { .. } | Self::Failed(_))
    }
}

/// Why bytes of an artifact could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The artifact is not here, or no longer complete.
    #[error("{0} is not held")]
    NotHeld(Blake3),
    /// The bytes on disk are not those of the name. The file has been quarantined; no wrong byte was handed out.
    #[error("{hash} is corrupt on disk at byte {offset}")]
    Corrupt {
        /// The artifact.
        hash: Blake3,
        /// Start of the first damaged group, in bytes.
        offset: u64,
    },
    /// The range does not lie within the artifact.
    #[error("bytes {start}..{end} are outside of {size}")]
    OutOfRange {
        /// First byte asked for.
        start: u64,
        /// Byte after the last one asked for.
        end: u64,
        /// Size of the artifact in bytes.
        size: u64,
    },
    /// The artifact is larger than the caller wants in memory.
    #[error("artifact of {size} bytes is over the caller's limit of {max}")]
    TooLarge {
        /// Size of the artifact in bytes.
        size: u64,
        /// The caller's limit in bytes.
        max: u64,
    },
    /// The disk failed; the artifact may be intact.
    #[error(transparent)]
    Store(#[from] StoreError),
}
