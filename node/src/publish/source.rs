//! The bytes of one file of a folder, and the certainty that they are those of the file that was scanned.
//!
//! Owns opening below a folder without following any link, and noticing that a file was replaced or changed. Never waits on a
//! pipe, never opens a device.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use sha2::Digest as _;
use verbund_protocol::ids::{Blake3, Sha256};
use verbund_protocol::release::{Problem, SafePath};

/// Read at a time.
const WINDOW_BYTES: usize = 64 << 10;

/// Why the bytes of a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system refused.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Something else lies there now, or a folder on the way became a link.
    #[error("was replaced by another file while it was published; publish again when the folder is at rest")]
    Replaced,
    /// The content or size is not that of the scan.
    #[error("changed while it was read ({before} bytes before, {after} now); publish again when the folder is at rest")]
    Changed {
        /// Bytes when it was scanned.
        before: u64,
        /// Bytes afterwards, or bytes read.
        after: u64,
    },
}

impl SourceError {
    /// As a problem with the file at `path`.
    pub fn problem(&self, path: &SafePath) -> Problem {
        let code = match self {
            Self::Unreadable(_) => "unreadable",
            Self::Replaced => "replaced",
            Self::Changed { .. } => "changed_while_reading",
        };
        Problem::file(code, path.as_str(), self.to_string())
    }
}

/// What tells one state of a file from another: device and inode, size, and both times in nanoseconds.
///
/// The change time cannot be set back by programs, so that a rewrite that restores the modification time is noticed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Device and inode.
    pub identity: (u64, u64),
    /// Bytes.
    pub size: u64,
    /// Modification time: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Change time: seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
}

impl Stamp {
    // The widths of these fields differ between systems.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "field types differ between architectures")]
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            identity: (stat.st_dev as u64, stat.st_ino as u64),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

/// Opens `path` below `root`, segment by segment, so that no segment can be a link. `flags` are those of the last segment.
pub(super) fn open_below(root: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let common = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut at: Option<OwnedFd> = None;
    for folder in folders.split('/').filter(|s| !s.is_empty()) {
        let dir = at.as_ref().unwrap_or(root);
        at = Some(openat(dir, folder, common | OFlags::DIRECTORY, Mode::empty())?);
    }
    Ok(openat(at.as_ref().unwrap_or(root), name, common | flags, Mode::empty())?)
}

/// A file as it was scanned, to be opened later.
#[derive(Debug, Clone)]
pub struct FileSource {
    root: Arc<OwnedFd>,
    path: SafePath,
    stamp: Stamp,
}

impl FileSource {
    pub(super) fn new(root: Arc<OwnedFd>, path: SafePath, stamp: Stamp) -> Self {
        Self { root, path, stamp }
    }

    /// The state when it was scanned.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Opens the file that was scanned.
    ///
    /// # Errors
    /// [`SourceError`] if it cannot be opened, is another file by now, or has another size or time.
    pub fn open(&self) -> Result<Opened, SourceError> {
        // NONBLOCK: if a pipe lies there by now, opening must not wait for its writer. It means nothing for a regular file.
        let fd = open_below(&self.root, self.path.as_str(), OFlags::NONBLOCK | OFlags::NOCTTY).map_err(|e| match e
            .raw_os_error()
        {
            Some(code)
                if code == rustix::io::Errno::LOOP.raw_os_error()
                    || code == rustix::io::Errno::NOTDIR.raw_os_error() =>
            {
                SourceError::Replaced
            }
            _ if e.kind() == io::ErrorKind::NotFound => SourceError::Replaced,
            _ => SourceError::Unreadable(e),
        })?;
        let stat = fstat(&fd).map_err(io::Error::from)?;
        let now = Stamp::of(&stat);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || now.identity != self.stamp.identity {
            return Err(SourceError::Replaced);
        }
        if now != self.stamp {
            return Err(SourceError::Changed { before: self.stamp.size, after: now.size });
        }
        Ok(Opened { file: File::from(fd), stamp: self.stamp, read: 0 })
    }

    /// Reads at most `max` bytes in windows, and returns how many there were.
    ///
    /// # Errors
    /// As [`FileSource::open`], and if the file changes meanwhile.
    pub fn read_up_to(&self, max: u64, mut each: impl FnMut(&[u8])) -> Result<u64, SourceError> {
        let mut opened = self.open()?;
        let mut window = vec![0; WINDOW_BYTES.min(usize::try_from(max.max(1)).unwrap_or(WINDOW_BYTES))];
        while opened.read < max {
            let room = usize::try_from(max - opened.read).unwrap_or(WINDOW_BYTES).min(window.len());
            match opened.read(&mut window[..room]) {
                Ok(0) => break,
                Ok(n) => each(&window[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        let read = opened.read;
        opened.unchanged()?;
        Ok(read)
    }

    /// Both hashes of the whole file, in one pass.
    ///
    /// # Errors
    /// As [`FileSource::read_up_to`].
    pub fn digest(&self) -> Result<(Sha256, Blake3), SourceError> {
        let (mut sha, mut blake) = (sha2::Sha256::new(), blake3::Hasher::new());
        // One byte more than it had: a file that grows is noticed at once, and an endless one read no further.
        let read = self.read_up_to(self.stamp.size.saturating_add(1), |window| {
            sha.update(window);
            blake.update(window);
        })?;
        if read != self.stamp.size {
            return Err(SourceError::Changed { before: self.stamp.size, after: read });
        }
        Ok((Sha256(sha.finalize().into()), Blake3(*blake.finalize().as_bytes())))
    }
}

/// An open file that was scanned. Whoever reads it calls [`Opened::finish`] before using what was read.
#[derive(Debug)]
pub struct Opened {
    file: File,
    stamp: Stamp,
    read: u64,
}

impl Opened {
    /// The open file, for readers that need more than [`Read`]; its bytes are not counted.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether the file is still as it was scanned.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if not.
    pub fn unchanged(&self) -> Result<(), SourceError> {
        let now = Stamp::of(&fstat(&self.file).map_err(io::Error::from)?);
        if now == self.stamp { Ok(()) } else { Err(SourceError::Changed { before: self.stamp.size, after: now.size }) }
    }

    /// Whether exactly the scanned bytes were read through this, and the file is still as it was scanned.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if not.
    pub fn finish(self) -> Result<(), SourceError> {
        self.unchanged()?;
        if self.read == self.stamp.size {
            Ok(())
        } else {
            Err(SourceError::Changed { before: self.stamp.size, after: self.read })
        }
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read += n as u64;
        Ok(n)
    }
}
