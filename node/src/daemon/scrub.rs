//! Agreement between the catalogues and the artifacts on disk: what is referred to but gone, what is held but damaged, what is
//! held but referred to by nobody.
//!
//! Owns the walks over both. Never deletes or fetches anything itself: a federation's core is told what is lost, and the artifact
//! store deletes what it is told nobody refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use verbund_protocol::core::Input;
use verbund_protocol::ids::{Blake3, PeerId, PublicKey};
use verbund_protocol::limits::MANIFEST_MAX_BYTES;
use verbund_protocol::release::Manifest;
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, ReleaseRow, key};

use super::fetch::erased;
use super::instance::{Instance, InstanceError};
use crate::admin::api::Scrub;
use crate::blobs::{BlobStore, ReadError};

/// Rows read at a time: between two pages others get their turn.
const PAGE: usize = 512;
/// Bytes that a scrub reads in a second: a fraction of what a disk gives, so that replication and pulling hardly notice.
const BYTES_PER_S: u64 = 64 << 20;

/// Place of a release: its log and its index there.
pub type Place = (PeerId, u64);

/// The place in the last 40 bytes of a row's key.
pub fn place_of(row_key: &[u8]) -> Option<Place> {
    let (rest, index) = row_key.split_last_chunk::<8>()?;
    let (_, log) = rest.split_last_chunk::<32>()?;
    Some((PeerId(PublicKey(*log)), u64::from_be_bytes(*index)))
}

/// The release at a place, if its log counts it.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn release_at(rows: &dyn Rows, (log, index): &Place) -> Result<Option<ReleaseRow>, RowsError> {
    let Some(process) = rows.get(Table::Releases, &key::release_at(log, *index))? else { return Ok(None) };
    if !state::log(rows, log)?.is_some_and(|row| row.counts(*index)) {
        return Ok(None);
    }
    state::get(rows, Table::Releases, &process)
}

/// Gives `each` every row under `prefix`, page by page.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn pages(
    rows: &dyn Rows,
    table: Table,
    prefix: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), RowsError>,
) -> Result<(), RowsError> {
    let mut from = prefix.to_vec();
    loop {
        let page = rows.scan(table, prefix, &from, PAGE)?;
        page.iter().try_for_each(|(key, value)| each(key, value))?;
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = [last.as_slice(), b"\0"].concat(),
            _ => return Ok(()),
        }
    }
}

/// One page of the search for what is gone.
struct Found {
    /// Artifacts that releases held here refer to, and that are not here.
    lost: Vec<Blake3>,
    /// Where to go on.
    next: Option<Vec<u8>>,
}

/// Looks through a page of references. `told` are releases that are known to be incomplete from an earlier page.
fn look(
    rows: &dyn Rows,
    from: &[u8],
    has: &dyn Fn(&Blake3) -> bool,
    told: &mut BTreeSet<Place>,
) -> Result<Found, RowsError> {
    let page = rows.scan(Table::Artifacts, b"", from, PAGE)?;
    let mut lost = Vec::new();
    for (row_key, _) in &page {
        let (Some((hash, _)), Some(place)) = (row_key.split_first_chunk::<32>(), place_of(row_key)) else { continue };
        let hash = Blake3(*hash);
        if has(&hash) || told.contains(&place) {
            continue;
        }
        // What is marked is being fetched; what was withdrawn for good, or lies beyond the end of its log, is not wanted.
        let marked = rows.get(Table::Local, &key::missing(&place.0, place.1))?.is_some();
        let Some(release) = release_at(rows, &place)?.filter(|_| !marked) else { continue };
        if !erased(rows, &release)? {
            told.insert(place);
            lost.push(hash);
        }
    }
    lost.dedup();
    let next = page.last().filter(|_| page.len() == PAGE).map(|(last, _)| [last.as_slice(), b"\0"].concat());
    Ok(Found { lost, next })
}

/// Tells a federation of every artifact that its held releases refer to and that is not here. Returns how many.
///
/// # Errors
/// [`InstanceError`] if the view fails or the federation ends.
pub async fn tell_lost(instance: &Instance, blobs: &BlobStore) -> Result<u64, InstanceError> {
    let (mut from, mut told, mut count) = (Vec::new(), BTreeSet::new(), 0);
    loop {
        let (blobs, start, mut known) = (blobs.clone(), from, std::mem::take(&mut told));
        let read = instance.read(move |view, _| {
            let found = look(view, &start, &|hash| blobs.has(hash), &mut known)?;
            Ok((found, known))
        });
        let (found, known) = read.await?;
        told = known;
        for hash in found.lost {
            instance.tell(Input::Lost(hash)).await?;
            count += 1;
        }
        match found.next {
            Some(next) => from = next,
            None => return Ok(count),
        }
    }
}

/// Looks once after the start: files may have gone while the node was stopped.
pub async fn at_start(instance: Arc<Instance>, blobs: BlobStore) {
    let federation = &instance.federation.to_hex()[..8];
    tokio::select! {
        () = instance.stop().cancelled() => {}
        lost = tell_lost(&instance, &blobs) => match lost {
            Ok(0) => {}
            Ok(count) => warn!(federation, count, "artifacts are gone that were here before the start; they are fetched again"),
            Err(error) => warn!(federation, %error, "artifacts could not be compared with the catalogue"),
        }
    }
}

/// Everything that a federation still needs: artifacts of the releases that are held, and of those that are being fetched.
///
/// # Errors
/// [`InstanceError`] if the view fails or the federation ends.
pub async fn referenced(instance: &Instance, blobs: &BlobStore) -> Result<BTreeSet<Blake3>, InstanceError> {
    // Jobs first: what a job finishes while the rows are read is in the rows.
    let jobs = instance.query(|core, _, now| core.missing(now)).await?;
    let (mut all, manifests) = instance.read(|view, _| wanted(view)).await?;
    for job in jobs {
        all.insert(job.release.manifest);
        all.extend(job.here);
        all.extend(job.left.iter().map(|(hash, ..)| *hash));
    }
    for manifest in manifests {
        all.insert(manifest);
        if !blobs.has(&manifest) {
            continue;
        }
        // One that cannot be read protects nothing: its files would have to be fetched after it anyway.
        if let Ok(bytes) = blobs.read(&manifest, MANIFEST_MAX_BYTES).await
            && let Ok(manifest) = Manifest::parse(&bytes)
        {
            all.extend(manifest.files().iter().map(|file| file.blake3));
        }
    }
    Ok(all)
}

/// Artifacts of held releases, and the manifests of those that are missing.
fn wanted(rows: &dyn Rows) -> Result<(BTreeSet<Blake3>, Vec<Blake3>), RowsError> {
    let mut alive: BTreeMap<Place, bool> = BTreeMap::new();
    let mut held = BTreeSet::new();
    pages(rows, Table::Artifacts, b"", |row_key, _| {
        let (Some((hash, _)), Some(place)) = (row_key.split_first_chunk::<32>(), place_of(row_key)) else {
            return Ok(());
        };
        let lives = match alive.get(&place) {
            Some(lives) => *lives,
            None => {
                let lives = release_at(rows, &place)?.map(|row| erased(rows, &row)).transpose()? == Some(false);
                alive.insert(place, lives);
                lives
            }
        };
        if lives && !verbund_protocol::seeded::bug("drop_a_reference") {
            held.insert(Blake3(*hash));
        }
        Ok(())
    })?;
    let mut manifests = Vec::new();
    pages(rows, Table::Local, b"m", |row_key, _| {
        if let Some(place) = place_of(row_key)
            && let Some(row) = release_at(rows, &place)?
            && !erased(rows, &row)?
        {
            manifests.push(row.manifest);
        }
        Ok(())
    })?;
    Ok((held, manifests))
}

/// The scrub of this node: one at a time.
#[derive(Debug, Clone)]
pub struct Scrubber(Arc<Mutex<Scrub>>);

impl Default for Scrubber {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Scrub { artifacts: 0, bytes: 0, checked: 0, damaged: 0, finished: true })))
    }
}

impl Scrubber {
    /// How far it is.
    pub fn show(&self) -> Scrub {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to compare `these` artifacts with their names, or all; `None` if a scrub is running. Damage is quarantined and
    /// reported by the artifact store itself; `through` runs at the end.
    pub fn start(
        &self,
        blobs: &BlobStore,
        these: Option<Vec<Blake3>>,
        stop: &CancellationToken,
        through: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Scrub> {
        let (artifacts, bytes) = match &these {
            None => blobs.usage(),
            Some(these) => (these.len() as u64, these.iter().filter_map(|hash| blobs.size(hash)).sum()),
        };
        let begun = Scrub { artifacts, bytes, checked: 0, damaged: 0, finished: false };
        {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.finished {
                return None;
            }
            *state = begun.clone();
        }
        let (scrubber, blobs, stop) = (self.clone(), blobs.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = scrubber.all(&blobs, these) => through.await,
            }
            let mut state = scrubber.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.finished = true;
            info!(checked = state.checked, damaged = state.damaged, "scrub ended");
        });
        Some(begun)
    }

    async fn all(&self, blobs: &BlobStore, these: Option<Vec<Blake3>>) {
        if let Some(these) = these {
            for hash in these {
                self.one(blobs, &hash).await;
            }
            return;
        }
        let mut after = None;
        loop {
            let page = blobs.list(after.as_ref(), PAGE);
            let Some((last, _)) = page.last() else { return };
            after = Some(*last);
            for (hash, _) in page {
                self.one(blobs, &hash).await;
            }
        }
    }

    async fn one(&self, blobs: &BlobStore, hash: &Blake3) {
        let size = blobs.size(hash);
        let damaged = match blobs.verify(hash).await {
            Ok(()) => false,
            Err(ReadError::Corrupt { .. }) => true,
            // Deleted by hand while it was still listed; one that is not listed any more was collected meanwhile.
            Err(ReadError::NotHeld(_)) => size.is_some(),
            Err(error) => {
                warn!(artifact = %hash, %error, "an artifact cannot be read");
                true
            }
        };
        {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.checked += 1;
            state.damaged += u64::from(damaged);
        }
        tokio::time::sleep(pause(size.unwrap_or(0))).await;
    }
}

/// The pause after an artifact of `size` bytes.
const fn pause(size: u64) -> Duration {
    Duration::from_micros(size.saturating_mul(1_000_000) / BYTES_PER_S)
}

#[cfg(test)]
pub mod tests;
