//! What happens to an artifact that turned out to be damaged.
//!
//! Owns opening, quarantine, and the rebuilding of outboards. Damaged data is moved away, never hashed into a new name; an
//! outboard is derived, so it is made again if, and only if, the data still has the name's hash.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use verbund_protocol::ids::Blake3;

use super::error::{ReadError, StoreError};
use super::layout;
use super::tree::{self, TreeHasher};
use super::walk::{Damage, Held, Walk};
use super::{BlobEvent, BlobStore, CHUNK_BYTES};

/// Damaged files of one artifact that are kept; the last place is used again.
const QUARANTINE_MAX: u32 = 16;

impl BlobStore {
    /// Opens an artifact for reading. Blocks on the disk.
    pub(super) fn held(&self, hash: &Blake3) -> Result<Held, ReadError> {
        let size = self.size(hash).ok_or(ReadError::NotHeld(*hash))?;
        let path = self.0.layout.object(hash);
        let data = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.vanished(hash);
                return Err(ReadError::NotHeld(*hash));
            }
            other => other.map_err(StoreError::io("open", &path))?,
        };
        let outboard = if tree::has_outboard(size) { self.open_outboard(hash)? } else { None };
        Ok(Held { hash: *hash, size, data, outboard })
    }

    fn open_outboard(&self, hash: &Blake3) -> Result<Option<File>, StoreError> {
        let path = self.0.layout.outboard(hash);
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(StoreError::io("open", &path)),
        }
    }

    fn vanished(&self, hash: &Blake3) {
        // Looked at again under the lock: it may have been collected, or published anew, since.
        let mut state = self.state();
        if !self.0.layout.object(hash).exists() && state.index.remove(hash).is_some() {
            drop(state);
            tracing::error!(%hash, "artifact file is gone");
            self.notify(BlobEvent::Vanished { hash: *hash });
        }
    }

    /// Repairs what can be repaired, so that the walk may go on; otherwise says why it cannot. Blocks on the disk.
    pub(super) fn heal(&self, walk: &mut Walk, damage: Damage) -> Result<(), ReadError> {
        let held = walk.held();
        match damage {
            Damage::Disk(source) => Err(StoreError::io("read", &self.0.layout.object(&held.hash))(source).into()),
            Damage::Data { offset } => Err(self.quarantine(held, offset)),
            Damage::Outboard { offset } => {
                let outboard = self.rebuild(held, offset)?;
                walk.replace_outboard(outboard);
                Ok(())
            }
        }
    }

    /// Makes the outboard again from the data, if that has the right hash.
    fn rebuild(&self, held: &Held, offset: u64) -> Result<File, ReadError> {
        let tmp = self.0.layout.tmp();
        let result = self.rebuild_into(held, offset, &tmp);
        if let Err(error) = &result {
            if let ReadError::Store(error) = error {
                self.note(error);
            }
            layout::remove(&tmp)?;
        }
        result
    }

    fn rebuild_into(&self, held: &Held, offset: u64, tmp: &std::path::Path) -> Result<File, ReadError> {
        let object = self.0.layout.object(&held.hash);
        let writer = File::create_new(tmp).map_err(StoreError::io("create", tmp))?;
        let mut hasher = TreeHasher::new(BufWriter::with_capacity(CHUNK_BYTES, writer));
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut read = 0;
        // Through a handle of its own: the walk's handle keeps no position.
        let mut data = self.same_file(held)?;
        loop {
            let n = data.read(&mut chunk).map_err(StoreError::io("read", &object))?;
            if n == 0 {
                break;
            }
            read += n as u64;
            hasher.update(&chunk[..n]).map_err(StoreError::io("write", tmp))?;
        }
        let (root, mut writer) = hasher.finish().map_err(StoreError::io("write", tmp))?;
        if read != held.size || root != *held.hash.as_bytes() {
            return Err(self.quarantine(held, offset));
        }
        writer.flush().map_err(StoreError::io("write", tmp))?;
        writer.get_ref().sync_all().map_err(StoreError::sync(tmp))?;
        let outboard = self.0.layout.outboard(&held.hash);
        fs::rename(tmp, &outboard).map_err(StoreError::io("rename", tmp))?;
        tracing::warn!(hash = %held.hash, "outboard was damaged; rebuilt from the intact data");
        self.notify(BlobEvent::Rebuilt { hash: held.hash });
        Ok(File::open(&outboard).map_err(StoreError::io("open", &outboard))?)
    }

    /// The named file again, if it is still the one that is held.
    fn same_file(&self, held: &Held) -> Result<File, ReadError> {
        let path = self.0.layout.object(&held.hash);
        let file = File::open(&path).map_err(|_| ReadError::NotHeld(held.hash))?;
        if id(&file).map_err(StoreError::io("stat", &path))? != id(&held.data).map_err(StoreError::io("stat", &path))? {
            return Err(ReadError::NotHeld(held.hash));
        }
        Ok(file)
    }

    /// Moves a damaged artifact away. Returns the error for the reader in every case.
    fn quarantine(&self, held: &Held, offset: u64) -> ReadError {
        match self.try_quarantine(held, offset) {
            Ok(Some(event)) => {
                tracing::error!(hash = %held.hash, offset, "artifact is corrupt on disk; quarantined");
                self.notify(event);
            }
            // Another reader was faster, or a good copy has taken the name since.
            Ok(None) => {}
            Err(error) => {
                tracing::error!(hash = %held.hash, offset, %error, "artifact is corrupt but cannot be moved");
                self.note(&error);
            }
        }
        ReadError::Corrupt { hash: held.hash, offset }
    }

    fn try_quarantine(&self, held: &Held, offset: u64) -> Result<Option<BlobEvent>, StoreError> {
        let (hash, size) = (held.hash, held.size);
        let object = self.0.layout.object(&hash);
        let dir = self.0.layout.quarantine();
        let mut state = self.state();
        if self.same_file(held).is_err() {
            return Ok(None);
        }
        let place = |n: u32| dir.join(format!("{}.{n}", hash.to_hex()));
        let path = place((0..QUARANTINE_MAX - 1).find(|n| !place(*n).exists()).unwrap_or(QUARANTINE_MAX - 1));
        // Not held any more even if the move fails: nothing may be served from it.
        state.index.remove(&hash);
        fs::rename(&object, &path).map_err(StoreError::io("rename", &object))?;
        layout::remove(&self.0.layout.outboard(&hash))?;
        drop(state);
        layout::sync_dir(&dir)?;
        Ok(Some(BlobEvent::Quarantined { hash, size, offset, path }))
    }
}

/// What makes a file the same one under any name.
fn id(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}
