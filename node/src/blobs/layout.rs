//! Where things lie in the artifact directory, and the few file operations that make them durable.
//!
//! Owns every path. Must never decide what is valid, nor remove anything but leftovers that nothing can use any more.
//!
//! ```text
//! objects/ab/<64 hex>        a complete artifact, named by its BLAKE3
//! objects/ab/<64 hex>.obao   its outboard: hash pairs in post order, only above one group
//! partial/<64 hex>.<size>.{data,outboard,bitmap}
//! quarantine/<64 hex>.<n>    bytes that no longer match their name
//! tmp/                       imports under way; emptied on open
//! lock
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use verbund_protocol::ids::Blake3;

use super::error::StoreError;
use super::tree;

/// Ending of an outboard file.
const OUTBOARD: &str = "obao";

/// The three files of an artifact that is being received.
#[derive(Debug, Clone)]
pub(super) struct PartialPaths {
    pub(super) data: PathBuf,
    pub(super) outboard: PathBuf,
    pub(super) bitmap: PathBuf,
}

impl PartialPaths {
    /// Removes all three. The bitmap goes first: a claim must never outlive what it claims.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        for path in [&self.bitmap, &self.outboard, &self.data] {
            remove(path)?;
        }
        Ok(())
    }
}

/// The directory of the store, held by this process alone.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    next_tmp: AtomicU64,
    /// Held open for as long as the store is used.
    _lock: File,
}

impl Layout {
    /// Makes the directories, takes the lock and removes what a killed process left in `tmp`.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        for name in ["objects", "partial", "quarantine", "tmp"] {
            let dir = root.join(name);
            fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        }
        let path = root.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(StoreError::io("open", &path))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked(root.to_owned())),
            Err(e) => return Err(StoreError::io("lock", &path)(e.into())),
        }
        let layout = Self { root: root.to_owned(), next_tmp: AtomicU64::new(0), _lock: lock };
        for (path, _) in entries(&root.join("tmp"))? {
            remove(&path)?;
        }
        sync_dir(root)?;
        Ok(layout)
    }

    pub(super) fn object(&self, hash: &Blake3) -> PathBuf {
        let hex = hash.to_hex();
        self.root.join("objects").join(&hex[..2]).join(hex)
    }

    pub(super) fn outboard(&self, hash: &Blake3) -> PathBuf {
        self.object(hash).with_extension(OUTBOARD)
    }

    pub(super) fn partial(&self, hash: &Blake3, size: u64) -> PartialPaths {
        let path = |end: &str| self.root.join("partial").join(format!("{}.{size}.{end}", hash.to_hex()));
        PartialPaths { data: path("data"), outboard: path("outboard"), bitmap: path("bitmap") }
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// A name in `tmp` that no other import uses.
    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp").join(self.next_tmp.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Moves a synced file, and its outboard if it has one, to its place and makes the names durable.
    ///
    /// Data first: a crash between leaves an artifact without outboard, which can be rebuilt from the data, while an outboard
    /// alone could not be used for anything.
    pub(super) fn publish(&self, hash: &Blake3, data: &Path, outboard: Option<&Path>) -> Result<(), StoreError> {
        let target = self.object(hash);
        let dir = self.fan_out(hash)?;
        fs::rename(data, &target).map_err(StoreError::io("rename", data))?;
        if let Some(outboard) = outboard {
            fs::rename(outboard, self.outboard(hash)).map_err(StoreError::io("rename", outboard))?;
        }
        if verbund_protocol::seeded::bug("skip_sync_of_artifact_names") {
            return Ok(());
        }
        sync_dir(&dir)
    }

    fn fan_out(&self, hash: &Blake3) -> Result<PathBuf, StoreError> {
        let objects = self.root.join("objects");
        let dir = objects.join(&hash.to_hex()[..2]);
        match fs::create_dir(&dir) {
            Ok(()) if verbund_protocol::seeded::bug("skip_sync_of_artifact_folders") => {}
            Ok(()) => sync_dir(&objects)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(StoreError::io("create", &dir)(e)),
        }
        Ok(dir)
    }

    /// All complete artifacts with their sizes. Foreign names are left alone.
    pub(super) fn scan(&self) -> Result<BTreeMap<Blake3, u64>, StoreError> {
        let mut index = BTreeMap::new();
        for (dir, name) in entries(&self.root.join("objects"))? {
            if name.len() != 2 || !dir.is_dir() {
                continue;
            }
            for (path, name) in entries(&dir)? {
                let Ok(hash) = Blake3::from_hex(&name) else { continue };
                let meta = fs::symlink_metadata(&path).map_err(StoreError::io("stat", &path))?;
                if meta.is_file() && self.object(&hash) == path {
                    index.insert(hash, meta.len());
                }
            }
        }
        Ok(index)
    }

    /// The artifacts of which a part is here, with the size each part belongs to.
    pub(super) fn partials(&self) -> Result<Vec<(Blake3, u64)>, StoreError> {
        let mut found = Vec::new();
        for (_, name) in entries(&self.root.join("partial"))? {
            let mut parts = name.splitn(3, '.');
            let (Some(hex), Some(size), Some(_)) = (parts.next(), parts.next(), parts.next()) else { continue };
            if let (Ok(hash), Ok(size)) = (Blake3::from_hex(hex), size.parse()) {
                found.push((hash, size));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Completes or removes what a crash left between the renames of [`Self::publish`].
    pub(super) fn settle(&self, index: &BTreeMap<Blake3, u64>) -> Result<(), StoreError> {
        for (hash, size) in self.partials()? {
            let Some(held) = index.get(&hash) else { continue };
            let paths = self.partial(&hash, size);
            let outboard = self.outboard(&hash);
            if *held == size && tree::has_outboard(size) && !outboard.exists() && paths.outboard.exists() {
                fs::rename(&paths.outboard, &outboard).map_err(StoreError::io("rename", &paths.outboard))?;
            }
            paths.remove()?;
        }
        Ok(())
    }

    /// Bytes that an unprivileged process may still write.
    pub(super) fn available(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(&self.root).map_err(|e| StoreError::io("statvfs", &self.root)(e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The entries of a directory whose names are text, by path and name.
pub(super) fn entries(dir: &Path) -> Result<Vec<(PathBuf, String)>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
        let entry = entry.map_err(StoreError::io("list", dir))?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((entry.path(), name));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes a file; that it is gone already is success.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    // A directory that cannot be opened (no descriptors are left) is a failure, but not one of the disk.
    let open = File::open(dir).map_err(StoreError::io("open", dir))?;
    open.sync_all().map_err(StoreError::sync(dir))
}
