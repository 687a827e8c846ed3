//! The folder that a pull writes to.
//!
//! Owns every call that touches it. Each component of a path is opened by itself and without following links, relative to the
//! one before: whatever others do to the folder meanwhile, nothing is written outside of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Serialize, de::DeserializeOwned};
use sha2::Digest as _;
use verbund_protocol::ids::Sha256;
use verbund_protocol::limits::PATH_MAX_BYTES;

use crate::cli::exit::Failure;
use crate::cli::host::FileDigest;
use crate::cli::output::clean;
use crate::cli::tree::{OWN_FOLDER, digest};

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
pub(super) const RECORD: &str = "pulled.json";
const PROVENANCE: &str = "provenance.json";
const LOCK: &str = "lock";
const DRAFT: &str = "draft";
/// A record, in bytes: 10,000 paths with a few hashes each.
pub(super) const RECORD_MAX: u64 = 64 << 20;

/// Whether a path stays in the folder: relative, `/` between components, none of them empty, `.`, `..` or the pull's own.
pub(super) fn is_safe(path: &str) -> bool {
    let own = path.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case(OWN_FOLDER));
    !own && path.len() <= PATH_MAX_BYTES
        && !path.contains('\0')
        && path.split('/').all(|part| {
            !part.is_empty() && part != "." && (part != ".." || verbund_protocol::seeded::bug("path_leaves_the_folder"))
        })
}

/// What lies at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// An ordinary file; its digest only if it has the expected size.
    File(Option<FileDigest>),
    /// Something else, at this path or above it.
    Blocked(String),
}

/// A folder, locked against other pulls.
pub(super) struct Folder {
    path: PathBuf,
    root: OwnedFd,
    own: OwnedFd,
    /// Whether this pull made its own folder: then it goes again if nothing comes of the pull.
    new: bool,
    _lock: OwnedFd,
}

impl Folder {
    /// Opens or makes the folder and takes its lock.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let io = |what: &'static str| move |error: io::Error| Failure::io(format!("{what} {}", path.display()), &error);
        if path.metadata().is_ok_and(|meta| !meta.is_dir()) {
            return Err(Failure::failed(format!("{} is there already and is no folder", path.display()))
                .next("name a folder, or a place where one can be made; nothing was written"));
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(io("cannot create"))?;
        // The folder itself may be reached over links: the caller chose it.
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| io("cannot open")(e.into()))?;
        let new = matches!(rustix::fs::statat(&root, OWN_FOLDER, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT));
        let own = step(root.as_fd(), OWN_FOLDER, true).map_err(|error| {
            Failure::io(format!("cannot use {}/{OWN_FOLDER}", path.display()), &error.into())
                .next("it must be a folder that you may write to")
        })?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&own, LOCK, flags, Mode::from_raw_mode(0o644))
            .map_err(|e| io("cannot lock")(e.into()))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => {
                Failure::failed(format!("another pull writes to {}", path.display())).next("wait until it has ended")
            }
            error => io("cannot lock")(error.into()),
        })?;
        Ok(Self { path: path.to_owned(), root, own, new, _lock: lock })
    }

    /// Leaves a folder that nothing was written to as it was found.
    pub(super) fn leave(&self) {
        if self.new {
            // A folder that is not empty stays: then something was written after all.
            let _ = rustix::fs::unlinkat(&self.own, LOCK, AtFlags::empty());
            let _ = rustix::fs::unlinkat(&self.root, OWN_FOLDER, AtFlags::REMOVEDIR);
        }
    }

    fn failed(&self, what: &str, path: &str, error: Errno) -> Failure {
        let place = self.path.join(path);
        let failure = Failure::io(format!("{what} {}", clean(&place.display().to_string())), &error.into());
        match error {
            Errno::LOOP | Errno::NOTDIR => {
                failure.next("a link or file is in the way: move it, and repeat the command")
            }
            _ => failure,
        }
    }

    /// Opens the folder of `path`; with `make` missing ones are made. On failure also the path that stopped it.
    fn parent(&self, path: &str, make: bool) -> Result<OwnedFd, (String, Errno)> {
        let mut at = self.root.try_clone().map_err(|error| (String::new(), errno(&error)))?;
        let parts: Vec<&str> = path.split('/').collect();
        let above = parts.split_last().map_or(&[][..], |(_, above)| above);
        for (number, part) in above.iter().enumerate() {
            let here = || parts.get(..=number).unwrap_or_default().join("/");
            at = step(at.as_fd(), part, make).map_err(|error| (here(), error))?;
        }
        Ok(at)
    }

    /// What lies at `path`; a file of another size than `expected` is not read.
    pub(super) fn find(&self, path: &str, expected: u64) -> Result<Found, Failure> {
        let parent = match self.parent(path, false) {
            Ok(parent) => parent,
            Err((_, Errno::NOENT)) => return Ok(Found::Nothing),
            Err((at, Errno::LOOP | Errno::NOTDIR)) => return Ok(Found::Blocked(at)),
            Err((at, error)) => return Err(self.failed("cannot open", &at, error)),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&parent, name(path), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            // A link, or a socket.
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Found::Blocked(path.to_owned())),
            Err(error) => return Err(self.failed("cannot open", path, error)),
        };
        let read = file.metadata().and_then(|meta| match (meta.is_file(), meta.len() == expected) {
            (false, _) => Ok(Found::Blocked(path.to_owned())),
            (true, false) => Ok(Found::File(None)),
            (true, true) => Ok(Found::File(Some(digest(file)?))),
        });
        read.map_err(|error| self.failed("cannot read", path, errno(&error)))
    }

    /// Removes a file of a former pull, and folders that become empty by that. One that was changed since stays.
    pub(super) fn remove(&self, path: &str, written: Option<&BTreeSet<Sha256>>) -> Result<bool, Failure> {
        let parent = match self.parent(path, false) {
            Ok(parent) => parent,
            Err(_) => return Ok(false),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(&parent, name(path), flags, Mode::empty()).map(File::from) else {
            return Ok(false);
        };
        let own = file.metadata().is_ok_and(|meta| meta.is_file())
            && digest(file).is_ok_and(|found| written.is_some_and(|hashes| hashes.contains(&found.sha256)));
        if !own {
            return Ok(false);
        }
        rustix::fs::unlinkat(&parent, name(path), AtFlags::empty())
            .map_err(|error| self.failed("cannot remove", path, error))?;
        let mut above = path;
        while let Some((dir, _)) = above.rsplit_once('/') {
            above = dir;
            let Ok(parent) = self.parent(dir, false) else { break };
            // Not empty: somebody else's files keep it.
            if rustix::fs::unlinkat(&parent, name(dir), AtFlags::REMOVEDIR).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// A new file that nobody sees yet.
    pub(super) fn draft(&self) -> Result<Draft<'_>, Failure> {
        let failed = |error| self.failed("cannot create a file in", OWN_FOLDER, error);
        match rustix::fs::unlinkat(&self.own, DRAFT, AtFlags::empty()) {
            // From a pull that was killed; the lock says that it is gone.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.own, DRAFT, flags, Mode::from_raw_mode(0o644)).map_err(failed)?;
        Ok(Draft { folder: self, file: File::from(file), sha: sha2::Sha256::new(), size: 0 })
    }

    /// Makes the names of files durable.
    pub(super) fn sync_folders<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
        let mut folders: BTreeSet<&str> = BTreeSet::new();
        for path in paths {
            let mut at = path;
            while let Some((dir, _)) = at.rsplit_once('/') {
                at = dir;
                if !folders.insert(dir) {
                    break;
                }
            }
        }
        for dir in folders {
            let opened = self
                .parent(dir, false)
                .and_then(|parent| step(parent.as_fd(), name(dir), false).map_err(|error| (dir.to_owned(), error)));
            let opened = opened.map_err(|(at, error)| self.failed("cannot open", &at, error))?;
            rustix::fs::fsync(&opened).map_err(|error| self.failed("cannot make durable", dir, error))?;
        }
        rustix::fs::fsync(&self.root).map_err(|error| self.failed("cannot make durable", "", error))
    }

    /// What the last pull recorded. A damaged record counts as none: then nothing is removed, and nothing foreign replaced.
    pub(super) fn record<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.own, RECORD, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failed("cannot read", &format!("{OWN_FOLDER}/{RECORD}"), error)),
        };
        let mut bytes = Vec::new();
        file.take(RECORD_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| self.failed("cannot read", &format!("{OWN_FOLDER}/{RECORD}"), errno(&error)))?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Replaces the record.
    pub(super) fn save_record<T: Serialize>(&self, record: &T) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(record).map_err(|error| Failure::failed(error.to_string()))?;
        self.save(RECORD, &bytes)
    }

    /// Replaces the proof.
    pub(super) fn save_provenance(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.save(PROVENANCE, bytes)
    }

    /// Removes the proof.
    pub(super) fn forget_provenance(&self) -> Result<(), Failure> {
        match rustix::fs::unlinkat(&self.own, PROVENANCE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("cannot remove", &format!("{OWN_FOLDER}/{PROVENANCE}"), error)),
        }
    }

    fn save(&self, own_name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut draft = self.draft()?;
        draft.write(bytes)?;
        draft.place(self.own.as_fd(), own_name, &format!("{OWN_FOLDER}/{own_name}"))?;
        rustix::fs::fsync(&self.own).map_err(|error| self.failed("cannot make durable", OWN_FOLDER, error))
    }
}

/// A file in the making; dropped, it leaves nothing at its place.
pub(super) struct Draft<'a> {
    folder: &'a Folder,
    file: File,
    sha: sha2::Sha256,
    size: u64,
}

impl Draft<'_> {
    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.sha.update(bytes);
        self.size += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .map_err(|error| Failure::io(format!("cannot write to {}", self.folder.path.display()), &error))
    }
    /// Bytes so far.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }
    /// Size and hash so far.
    pub(super) fn digest(&self) -> FileDigest {
        FileDigest { size: self.size, sha256: Sha256(self.sha.clone().finalize().into()) }
    }
    /// Makes it durable and puts it at `path`.
    pub(super) fn publish(self, path: &str) -> Result<(), Failure> {
        let folder = self.folder;
        let parent = folder.parent(path, true).map_err(|(at, error)| folder.failed("cannot create", &at, error))?;
        self.place(parent.as_fd(), name(path), path)
    }
    fn place(self, parent: BorrowedFd<'_>, to: &str, path: &str) -> Result<(), Failure> {
        let folder = self.folder;
        rustix::fs::fsync(&self.file).map_err(|error| folder.failed("cannot make durable", path, error))?;
        rustix::fs::renameat(&folder.own, DRAFT, parent, to).map_err(|error| match error {
            Errno::XDEV => {
                Failure::failed(format!("{} lies on another file system than {}", clean(path), folder.path.display()))
                    .next("pull into a folder that is one file system")
            }
            error => folder.failed("cannot write", path, error),
        })
    }
}

/// Opens the folder `part` in `at`; with `make` it is made if missing.
fn step(at: BorrowedFd<'_>, part: &str, make: bool) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat(at, part, DIR, Mode::empty()) {
        Err(Errno::NOENT) if make => {
            match rustix::fs::mkdirat(at, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            rustix::fs::openat(at, part, DIR, Mode::empty())
        }
        other => other,
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
