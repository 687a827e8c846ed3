//! Receiving artifacts: who may receive what, and what was received.
//!
//! Owns the claim of one task to one artifact, and the counters of bytes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use verbund_protocol::ids::Blake3;

use super::error::StoreError;
use super::partial::Partial;
use super::pins::Claim;
use super::{BlobStore, Expect, blocking};

/// Bytes counted while artifacts are received. Only grows; read it at any time with [`Counters::snapshot`].
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    verified: AtomicU64,
    again: AtomicU64,
    rejected: AtomicU64,
    resumed: AtomicU64,
}

/// The counters at one moment, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Taken from the network, with the hashes that prove the data.
    pub received: u64,
    /// Data that was verified and stored.
    pub verified: u64,
    /// Part of `verified` that had been stored before the process was killed, but was not claimed yet: at most
    /// [`super::IN_FLIGHT_MAX_BYTES`] for each artifact and kill.
    pub again: u64,
    /// Part of `received` that was thrown away: it did not match the name, or came behind what did not.
    pub rejected: u64,
    /// Data that was found valid in partial files, and so was not asked for.
    pub resumed: u64,
}

impl Counters {
    /// The values now.
    pub fn snapshot(&self) -> Totals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: load(&self.received),
            verified: load(&self.verified),
            again: load(&self.again),
            rejected: load(&self.rejected),
            resumed: load(&self.resumed),
        }
    }
}

/// Counts for one fetch and for all of them.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    own: Arc<Counters>,
    all: Arc<Counters>,
}

impl Meter {
    fn add(&self, counter: impl Fn(&Counters) -> &AtomicU64, bytes: u64) {
        for counters in [&self.own, &self.all] {
            counter(counters).fetch_add(bytes, Ordering::Relaxed);
        }
    }
    pub(super) fn received(&self, bytes: u64) {
        self.add(|counters| &counters.received, bytes);
    }
    pub(super) fn verified(&self, bytes: u64, again: bool) {
        self.add(|counters| &counters.verified, bytes);
        if again {
            self.add(|counters| &counters.again, bytes);
        }
    }
    pub(super) fn rejected(&self, bytes: u64) {
        self.add(|counters| &counters.rejected, bytes);
    }
    pub(super) fn resumed(&self, bytes: u64) {
        self.add(|counters| &counters.resumed, bytes);
    }
}

/// Answer to [`BlobStore::receive`].
#[derive(Debug)]
pub enum Receive {
    /// The artifact is here, with this size in bytes. If that, or its [`BlobStore::sha256`], is not what the manifest says, the
    /// manifest is wrong.
    Held(u64),
    /// The artifact can be received, by this task alone.
    Begun(Receiving),
}

/// The right to receive one artifact, and what is here of it. Kept over several holders, so that what is here is verified once.
pub struct Receiving {
    pub(super) store: BlobStore,
    pub(super) expect: Expect,
    pub(super) counters: Arc<Counters>,
    /// Taken while a fetch runs; stays away when that is dropped, and after the artifact is complete.
    pub(super) partial: Option<Box<Partial>>,
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("expect", &self.expect).finish_non_exhaustive()
    }
}

impl Receiving {
    /// What is received.
    pub const fn expect(&self) -> &Expect {
        &self.expect
    }

    /// Progress of this artifact, to be read at any time: `resumed + verified - again` bytes of it are here.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }
}

impl BlobStore {
    /// Waits until no task receives the artifact, after [`StoreError::InProgress`]: then it is here, or what is here of it can be
    /// completed. Ends at the latest when the other task's transfer does.
    pub async fn released(&self, hash: &Blake3) {
        loop {
            let released = self.0.released.notified();
            tokio::pin!(released);
            // Registered before the look, or an end in between would be missed.
            released.as_mut().enable();
            if !self.state().receiving.contains(hash) {
                return;
            }
            released.await;
        }
    }

    /// Prepares to receive an artifact: pins it and verifies what is here of it already, which takes as long as reading that.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::InProgress`] while another task receives it, [`StoreError::DiskFloor`], or a
    /// failing disk.
    pub async fn receive(&self, expect: Expect) -> Result<Receive, StoreError> {
        if let Some(size) = self.size(&expect.hash) {
            return Ok(Receive::Held(size));
        }
        self.check_failed()?;
        let max = self.max_artifact_bytes().min(super::tree::SIZE_MAX);
        if expect.size > max {
            return Err(StoreError::TooLarge { at_least: expect.size, max });
        }
        let claim = Claim::take(self, expect.hash).ok_or(StoreError::InProgress(expect.hash))?;
        // Again, now that nobody else can complete it.
        if let Some(size) = self.size(&expect.hash) {
            return Ok(Receive::Held(size));
        }
        let (store, counters) = (self.clone(), Arc::<Counters>::default());
        let meter = Meter { own: counters.clone(), all: self.0.totals.clone() };
        let partial = blocking(move || Partial::open(store, expect, claim, meter)).await?;
        Ok(Receive::Begun(Receiving { store: self.clone(), expect, counters, partial: Some(Box::new(partial)) }))
    }
}
