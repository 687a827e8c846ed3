//! Reading artifacts: ranges as streams, whole small ones in memory.
//!
//! Owns the pump that keeps one chunk ahead of its consumer without holding a thread while that is slow.

use std::ops::Range;

use bytes::Bytes;
use futures::Stream;
use sha2::Digest as _;
use tokio::task::JoinHandle;
use verbund_protocol::ids::{Blake3, Sha256};

use super::error::{ReadError, StoreError};
use super::tree::{self, GROUP_BYTES};
use super::walk::{Held, Output, Walk};
use super::{BlobStore, CHUNK_BYTES, blocking};

/// A chunk that was read, the walk behind it, and whether that is at its end.
type Filled = Result<(Walk, Vec<u8>, bool), ReadError>;

/// Drives a walk on blocking threads, one chunk ahead. Cancel safe.
pub(super) struct Pump {
    store: BlobStore,
    ahead: Option<JoinHandle<Filled>>,
}

impl Pump {
    pub(super) fn new(store: BlobStore, walk: Walk) -> Self {
        let ahead = Some(Self::start(store.clone(), walk));
        Self { store, ahead }
    }

    fn start(store: BlobStore, mut walk: Walk) -> JoinHandle<Filled> {
        tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES + GROUP_BYTES as usize);
            let mut healed = false;
            loop {
                match walk.fill(&mut chunk, CHUNK_BYTES) {
                    Ok(done) => return Ok((walk, chunk, done)),
                    // An outboard that has just been rebuilt and is damaged again is a failing disk: no second round.
                    Err(super::walk::Damage::Outboard { .. }) if healed => {
                        return Err(ReadError::NotHeld(walk.held().hash));
                    }
                    Err(damage) => store.heal(&mut walk, damage)?,
                }
                healed = true;
            }
        })
    }

    /// The next chunk, `None` at the end. After an error there is nothing more.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(ahead) = self.ahead.as_mut() else { return Ok(None) };
        let filled = ahead.await;
        self.ahead = None;
        let (walk, chunk, done) = filled.map_err(|_| StoreError::Stopped)??;
        if !done {
            self.ahead = Some(Self::start(self.store.clone(), walk));
        }
        Ok(Some(chunk))
    }
}

/// An artifact to be read, any number of times and at any place.
#[derive(Debug, Clone)]
pub struct Reader {
    store: BlobStore,
    hash: Blake3,
    size: u64,
}

impl Reader {
    /// Size of the artifact in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The artifact.
    pub const fn hash(&self) -> Blake3 {
        self.hash
    }

    /// The bytes of `range`, in chunks of at most about 256 KiB, each verified while it is read. The stream ends after an error,
    /// and needs a tokio runtime.
    ///
    /// The artifact is opened once for the whole stream, which therefore is not disturbed by a collection.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`], [`ReadError::NotHeld`], and a failing disk; the stream yields [`ReadError::Corrupt`] at, or up to
    /// one chunk before, the damage.
    pub async fn stream(
        &self,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, ReadError>> + Send + use<>, ReadError> {
        let Range { start, end } = range;
        if start > end || end > self.size {
            return Err(ReadError::OutOfRange { start, end, size: self.size });
        }
        let (store, hash, size) = (self.store.clone(), self.hash, self.size);
        let held = blocking(move || store.held(&hash)).await?;
        let groups = chunk_groups(start, end);
        let walk = Walk::new(held, tree::chunk_ranges(size, [groups]), Output::Data);
        let cut = Cut { pump: Pump::new(self.store.clone(), walk), skip: start % GROUP_BYTES, left: end - start };
        Ok(futures::stream::unfold(Some(cut), |cut| async move {
            let mut cut = cut?;
            match cut.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(cut))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}

/// The groups that hold the bytes `start..end`.
const fn chunk_groups(start: u64, end: u64) -> (u64, u64) {
    (start / GROUP_BYTES, if start == end { start / GROUP_BYTES } else { end.div_ceil(GROUP_BYTES) })
}

/// Cuts whole groups to the range that was asked for.
struct Cut {
    pump: Pump,
    skip: u64,
    left: u64,
}

impl Cut {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        while self.left > 0 {
            let Some(chunk) = self.pump.next().await? else { return Ok(None) };
            let mut chunk = Bytes::from(chunk);
            let skip = self.skip.min(chunk.len() as u64);
            self.skip -= skip;
            chunk = chunk.split_off(skip as usize);
            chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= chunk.len() as u64;
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

impl BlobStore {
    /// Opens an artifact for reading.
    ///
    /// # Errors
    /// [`ReadError::NotHeld`].
    pub fn open_reader(&self, hash: &Blake3) -> Result<Reader, ReadError> {
        let size = self.size(hash).ok_or(ReadError::NotHeld(*hash))?;
        Ok(Reader { store: self.clone(), hash: *hash, size })
    }

    /// The whole artifact, which may have at most `max` bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&self, hash: &Blake3, max: u64) -> Result<Vec<u8>, ReadError> {
        let (store, hash) = (self.clone(), *hash);
        let held = blocking(move || store.held(&hash)).await?;
        let size = held.size;
        if size > max {
            return Err(ReadError::TooLarge { size, max });
        }
        let mut pump = Pump::new(self.clone(), whole(held));
        let mut out = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        while let Some(chunk) = pump.next().await? {
            out.extend_from_slice(&chunk);
        }
        Ok(out)
    }

    /// Reads the whole artifact from the disk and verifies it; one that is damaged is quarantined. For scrubbing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn verify(&self, hash: &Blake3) -> Result<(), ReadError> {
        let (store, hash) = (self.clone(), *hash);
        let held = blocking(move || store.held(&hash)).await?;
        let mut pump = Pump::new(self.clone(), whole(held));
        while pump.next().await?.is_some() {}
        Ok(())
    }

    /// SHA-256 of an artifact, computed while it is read and verified.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sha256(&self, hash: &Blake3) -> Result<Sha256, ReadError> {
        let (store, hash) = (self.clone(), *hash);
        let held = blocking(move || store.held(&hash)).await?;
        let mut pump = Pump::new(self.clone(), whole(held));
        let mut state = sha2::Sha256::new();
        while let Some(chunk) = pump.next().await? {
            state = blocking(move || Ok::<_, ReadError>(state.chain_update(&chunk))).await?;
        }
        Ok(Sha256(state.finalize().into()))
    }
}

fn whole(held: Held) -> Walk {
    let ranges = tree::chunk_ranges(held.size, [(0, tree::groups(held.size))]);
    Walk::new(held, ranges, Output::Data)
}
