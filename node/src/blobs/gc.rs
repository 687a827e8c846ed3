//! Deleting: garbage collection, deletion on request, and the purge of the quarantine.
//!
//! Nothing is deleted that is pinned. The caller deletes only after the commit that makes an artifact unreferenced; what is
//! lost by a crash between is left over, never missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use verbund_protocol::ids::Blake3;

use super::error::StoreError;
use super::layout;
use super::partial::Partial;
use super::{BlobStore, blocking};

/// What a collection removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Artifacts, with their sizes in bytes.
    pub deleted: BTreeMap<Blake3, u64>,
    /// Artifacts of which only a part was here, with the bytes of that part.
    pub abandoned: BTreeMap<Blake3, u64>,
    /// Bytes that this frees.
    pub freed_bytes: u64,
    /// Unreferenced artifacts that are pinned.
    pub pinned: u64,
    /// Unreferenced artifacts that are within the grace period.
    pub young: u64,
}

/// Answer to [`BlobStore::delete`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// Gone.
    Deleted,
    /// Was not here.
    NotHeld,
    /// Stays until its pin is dropped.
    Pinned,
}

/// A damaged file that was moved away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The artifact it was.
    pub hash: Blake3,
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

impl BlobStore {
    /// Deletes what is neither in `referenced`, nor pinned, nor changed within `grace`. With `dry_run` it only reports.
    ///
    /// The grace period covers what was committed after `referenced` was collected.
    ///
    /// # Errors
    /// A failing disk; what was deleted before stays deleted.
    pub async fn gc(
        &self,
        referenced: BTreeSet<Blake3>,
        grace: Duration,
        dry_run: bool,
    ) -> Result<GcReport, StoreError> {
        let store = self.clone();
        blocking(move || {
            let mut report = GcReport::default();
            store.gc_objects(&referenced, grace, dry_run, &mut report)?;
            store.gc_partials(&referenced, grace, dry_run, &mut report)?;
            Ok(report)
        })
        .await
    }

    fn gc_objects(
        &self,
        referenced: &BTreeSet<Blake3>,
        grace: Duration,
        dry_run: bool,
        report: &mut GcReport,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.list(after.as_ref(), 1024);
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (hash, size) in page.into_iter().filter(|(hash, _)| !referenced.contains(hash)) {
                if is_young(&self.0.layout.object(&hash), grace) {
                    report.young += 1;
                    continue;
                }
                let outcome = if dry_run { self.could_delete(&hash) } else { self.delete_now(&hash)? };
                match outcome {
                    DeleteOutcome::Deleted => {
                        report.deleted.insert(hash, size);
                        report.freed_bytes += size;
                    }
                    DeleteOutcome::Pinned => report.pinned += 1,
                    DeleteOutcome::NotHeld => {}
                }
            }
        }
    }

    fn gc_partials(
        &self,
        referenced: &BTreeSet<Blake3>,
        grace: Duration,
        dry_run: bool,
        report: &mut GcReport,
    ) -> Result<(), StoreError> {
        for (hash, size) in self.0.layout.partials()? {
            let paths = self.0.layout.partial(&hash, size);
            let wanted = referenced.contains(&hash) && !self.has(&hash);
            if wanted || is_young(&paths.data, grace) {
                continue;
            }
            let bytes = fs::metadata(&paths.data).map_or(0, |meta| meta.len());
            // Under the lock, as a fetch takes its pin there before it opens the files.
            let state = self.state();
            if state.pins.contains_key(&hash) && !verbund_protocol::seeded::bug("collect_pinned_part") {
                report.pinned += 1;
                continue;
            }
            if !dry_run {
                Partial::forget(self, &hash, size)?;
            }
            drop(state);
            *report.abandoned.entry(hash).or_insert(0) += bytes;
            report.freed_bytes += bytes;
        }
        Ok(())
    }

    fn could_delete(&self, hash: &Blake3) -> DeleteOutcome {
        let state = self.state();
        match (state.index.contains_key(hash), state.pins.contains_key(hash)) {
            (false, _) => DeleteOutcome::NotHeld,
            (true, true) => DeleteOutcome::Pinned,
            (true, false) => DeleteOutcome::Deleted,
        }
    }

    /// Deletes one artifact unless it is pinned. Readers that have it open read on.
    ///
    /// # Errors
    /// A failing disk.
    pub async fn delete(&self, hash: &Blake3) -> Result<DeleteOutcome, StoreError> {
        let (store, hash) = (self.clone(), *hash);
        blocking(move || store.delete_now(&hash)).await
    }

    fn delete_now(&self, hash: &Blake3) -> Result<DeleteOutcome, StoreError> {
        let object = self.0.layout.object(hash);
        let tmp = self.0.layout.tmp();
        {
            // The name goes under the lock, the bytes, which can take long, after it.
            let mut state = self.state();
            if state.pins.contains_key(hash) && !verbund_protocol::seeded::bug("collect_pinned") {
                return Ok(DeleteOutcome::Pinned);
            }
            if !state.index.contains_key(hash) {
                return Ok(DeleteOutcome::NotHeld);
            }
            match fs::rename(&object, &tmp) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::io("rename", &object)(e)),
                _ => {}
            }
            state.index.remove(hash);
            layout::remove(&self.0.layout.outboard(hash))?;
        }
        layout::remove(&tmp)?;
        Ok(DeleteOutcome::Deleted)
    }

    /// What lies in quarantine, at most `max`.
    ///
    /// # Errors
    /// A failing disk.
    pub async fn quarantined(&self, max: usize) -> Result<Vec<Quarantined>, StoreError> {
        let store = self.clone();
        blocking(move || store.list_quarantine(max)).await
    }

    /// Removes what lies in quarantine for longer than `keep`; returns the bytes freed.
    ///
    /// # Errors
    /// A failing disk.
    pub async fn purge_quarantine(&self, keep: Duration) -> Result<u64, StoreError> {
        let store = self.clone();
        blocking(move || {
            let mut freed = 0;
            for found in store.list_quarantine(usize::MAX)? {
                if !is_young(&found.path, keep) {
                    layout::remove(&found.path)?;
                    freed += found.size;
                }
            }
            Ok(freed)
        })
        .await
    }

    fn list_quarantine(&self, max: usize) -> Result<Vec<Quarantined>, StoreError> {
        let mut found = Vec::new();
        for (path, name) in layout::entries(&self.0.layout.quarantine())?.into_iter().take(max) {
            let hash = name.split_once('.').and_then(|(hex, _)| Blake3::from_hex(hex).ok());
            if let (Some(hash), Ok(meta)) = (hash, fs::metadata(&path)) {
                found.push(Quarantined { hash, path, size: meta.len() });
            }
        }
        Ok(found)
    }
}

/// Whether a file was changed, or moved, less than `grace` ago. One from the future, or that does not answer, is young.
fn is_young(path: &Path, grace: Duration) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(meta) = fs::metadata(path) else { return true };
    let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) else { return true };
    // The change time, too: a rename within one file system sets it, and a copied file keeps only its modification time.
    let changed = meta.mtime().max(meta.ctime());
    let age = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_sub(changed);
    u64::try_from(age).map_or(true, |age| age < grace.as_secs())
}
