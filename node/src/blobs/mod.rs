//! Artifacts: immutable files named by their BLAKE3 hash, shared by all federations of the node.
//!
//! Owns the artifact directory: import, verified reading, partial receive with resume, quarantine, pins and garbage collection,
//! and `/verbund/1/blob`, the protocol by which nodes fetch artifacts from one another.
//!
//! Rules that hold everywhere in this module:
//! - No byte leaves the store, to a socket or a caller, that has not been verified against its name while it was read.
//! - Bytes that no longer match their name are moved to quarantine; they are never hashed again into a new name.
//! - An artifact is complete once its file is in `objects`: synced, renamed, directory synced, in this order.
//! - An artifact is pinned before its first byte is written, and deleted only by [`BlobStore::gc`] or [`BlobStore::delete`].
//! - Who may have an artifact is not decided here: the caller of [`transfer::serve`] authorises each request.
//!
//! Disk access runs on blocking threads. Functions that are not `async` only use memory, except [`BlobStore::open`] and [`BlobStore::disk`].

mod bitmap;
mod error;
mod gc;
mod heal;
mod import;
mod layout;
mod partial;
mod pins;
mod reader;
mod receive;
#[cfg(test)]
mod tests;
pub mod transfer;
mod tree;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};
use verbund_protocol::ids::{Blake3, Sha256};
use verbund_protocol::limits;

pub use error::{ReadError, StoreError};
pub use gc::{DeleteOutcome, GcReport, Quarantined};
pub use import::Imported;
pub use pins::Pin;
pub use reader::Reader;
pub use receive::{Counters, Receive, Receiving, Totals};

/// Bytes that are moved at once between disk, hash and network: large enough that system calls do not count, small enough
/// that memory stays small: two chunks for each artifact that is served or read, about eleven for each that is received.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait between a reader and the blocking thread that writes them.
const QUEUE_CHUNKS: usize = 4;
/// Bytes between two claims in the bitmap of an artifact that is being received.
const CLAIM_BYTES: u64 = 4 << 20;
/// The in-flight window: after `kill -9` at most this many bytes of an artifact are received again.
///
/// Consists of what was written since the last claim, and what was received but not yet written.
pub const IN_FLIGHT_MAX_BYTES: u64 = 8 << 20;
const _: () = assert!(CLAIM_BYTES + ((QUEUE_CHUNKS + 4) * CHUNK_BYTES) as u64 <= IN_FLIGHT_MAX_BYTES);

/// Something about an artifact that an operator has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobEvent {
    /// The file no longer matched its name and was moved away; fetch it again from another holder.
    Quarantined {
        /// The artifact.
        hash: Blake3,
        /// Its size in bytes.
        size: u64,
        /// First damaged group that was noticed, in bytes.
        offset: u64,
        /// Where the damaged file lies now.
        path: PathBuf,
    },
    /// The outboard was damaged or missing; it was made again from the data, which matched the name.
    Rebuilt {
        /// The artifact.
        hash: Blake3,
    },
    /// The file was removed by somebody else; fetch it again.
    Vanished {
        /// The artifact.
        hash: Blake3,
    },
}

/// Receives every [`BlobEvent`], on the thread that noticed it. Must return at once: hand over to a bounded channel with `try_send`.
pub type Observer = Arc<dyn Fn(BlobEvent) + Send + Sync>;

/// How a store is set up.
#[derive(Clone)]
pub struct Options {
    /// The largest artifact that is imported or received, in bytes.
    pub max_artifact_bytes: u64,
    /// Free bytes on the disk below which nothing is taken in.
    pub floor_bytes: u64,
    /// Artifacts that are served at the same time; further requests are told to come back. Each takes two chunks of 256 KiB.
    pub max_serving: usize,
    /// Who is told about damage.
    pub observer: Option<Observer>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_artifact_bytes: limits::ARTIFACT_MAX_BYTES, floor_bytes: 1 << 30, max_serving: 32, observer: None }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_artifact_bytes", &self.max_artifact_bytes)
            .field("floor_bytes", &self.floor_bytes)
            .field("max_serving", &self.max_serving)
            .finish_non_exhaustive()
    }
}

/// What a caller knows of an artifact before it is here, from a verified manifest or release. Never taken from a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// Its name.
    pub hash: Blake3,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, checked over the whole before it becomes available.
    pub sha256: Option<Sha256>,
}

/// What is known of the artifacts without looking at the disk.
#[derive(Debug, Default)]
struct State {
    index: BTreeMap<Blake3, u64>,
    /// Pins that are held, by artifact; never zero.
    pins: BTreeMap<Blake3, u32>,
    /// Artifacts that are being received, each by one task.
    receiving: std::collections::BTreeSet<Blake3>,
}

struct Shared {
    layout: layout::Layout,
    options: Options,
    state: Mutex<State>,
    totals: Arc<Counters>,
    serving: Arc<Semaphore>,
    /// Told whenever a task lets go of an artifact that it received.
    released: Notify,
    /// Why nothing is taken in any more, once a sync has failed.
    failed: watch::Sender<Option<String>>,
}

/// The artifacts of this node. Clones share one store.
#[derive(Clone)]
pub struct BlobStore(Arc<Shared>);

impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStore").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl BlobStore {
    /// Opens the artifact directory `dir`, makes it if missing, and clears up what a killed process left. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process uses it, otherwise failing file operations.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let layout = layout::Layout::open(dir)?;
        let index = layout.scan()?;
        layout.settle(&index)?;
        let serving = Arc::new(Semaphore::new(options.max_serving.min(Semaphore::MAX_PERMITS)));
        let state = Mutex::new(State { index, ..State::default() });
        let totals = Arc::new(Counters::default());
        let failed = watch::Sender::new(None);
        Ok(Self(Arc::new(Shared { layout, options, state, totals, serving, released: Notify::new(), failed })))
    }

    /// Waits until a sync has failed, and says why: what was written before may be lost although it still reads back, so the node
    /// has to stop. Nothing is taken in from then on.
    pub async fn failure(&self) -> String {
        let mut failed = self.0.failed.subscribe();
        let found = failed.wait_for(Option::is_some).await.map(|reason| reason.clone().unwrap_or_default());
        match found {
            Ok(reason) => reason,
            // The sender lives as long as this store does.
            Err(_) => std::future::pending().await,
        }
    }

    /// Remembers an error after which nothing may be taken in any more.
    fn note(&self, error: &StoreError) {
        if error.must_stop() {
            self.0.failed.send_if_modified(|failed| {
                let first = failed.is_none();
                failed.get_or_insert_with(|| error.to_string());
                first
            });
        }
    }

    /// Refuses intake after a failed sync.
    fn check_failed(&self) -> Result<(), StoreError> {
        match self.0.failed.borrow().as_ref() {
            Some(reason) => Err(StoreError::Failed(reason.clone())),
            None => Ok(()),
        }
    }

    /// Whether the whole artifact is here.
    pub fn has(&self, hash: &Blake3) -> bool {
        self.state().index.contains_key(hash)
    }

    /// Size in bytes of an artifact that is here.
    pub fn size(&self, hash: &Blake3) -> Option<u64> {
        self.state().index.get(hash).copied()
    }

    /// At most `max` artifacts with their sizes in bytes, in order of their names, those behind `after`.
    pub fn list(&self, after: Option<&Blake3>, max: usize) -> Vec<(Blake3, u64)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.state().index.range::<Blake3, _>((from, Unbounded)).take(max).map(|(hash, size)| (*hash, *size)).collect()
    }

    /// Number of artifacts and the sum of their sizes in bytes.
    pub fn usage(&self) -> (u64, u64) {
        let state = self.state();
        (state.index.len() as u64, state.index.values().sum())
    }

    /// The largest artifact that this node takes in, in bytes.
    pub fn max_artifact_bytes(&self) -> u64 {
        self.0.options.max_artifact_bytes
    }

    /// What all fetches since the start have received, together.
    pub fn totals(&self) -> Totals {
        self.0.totals.snapshot()
    }

    /// Free bytes on the disk, and the floor below which intake stops. Blocks on the file system for a moment.
    ///
    /// # Errors
    /// When the file system does not answer.
    pub fn disk(&self) -> Result<(u64, u64), StoreError> {
        Ok((self.0.layout.available()?, self.0.options.floor_bytes))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one statement, so that a panic elsewhere cannot have left it half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self, event: BlobEvent) {
        if let Some(observer) = &self.0.options.observer {
            observer(event);
        }
    }

    /// Refuses intake of `needed` bytes if that would leave less than the floor.
    fn check_floor(&self, needed: u64) -> Result<(), StoreError> {
        let (available, floor) = self.disk()?;
        if available.saturating_sub(needed) < floor {
            return Err(StoreError::DiskFloor { available, floor, needed });
        }
        Ok(())
    }
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(E::from(StoreError::Stopped)),
    }
}
