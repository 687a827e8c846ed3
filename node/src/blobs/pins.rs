//! Pins: artifacts that must not be collected because something is about to refer to them.
//!
//! Owns the count of pins in memory. They do not outlast the process: what has to last is a reference of a catalogue.

use std::fmt;

use verbund_protocol::ids::Blake3;

use super::BlobStore;

/// Keeps one artifact from being collected or deleted until it is dropped. It may be taken before the artifact is here.
pub struct Pin {
    store: BlobStore,
    hash: Blake3,
}

impl Pin {
    /// The artifact.
    pub const fn hash(&self) -> Blake3 {
        self.hash
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pin").field(&self.hash).finish()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.store.state();
        if let Some(count) = state.pins.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                state.pins.remove(&self.hash);
            }
        }
    }
}

impl BlobStore {
    /// Pins an artifact. If [`BlobStore::has`] is true afterwards, it stays until the pin is dropped.
    pub fn pin(&self, hash: Blake3) -> Pin {
        *self.state().pins.entry(hash).or_insert(0) += 1;
        Pin { store: self.clone(), hash }
    }
}

/// The right to receive one artifact: one task at a time, pinned.
pub(super) struct Claim {
    pin: Pin,
}

impl Claim {
    /// `None` if another task receives this artifact.
    pub(super) fn take(store: &BlobStore, hash: Blake3) -> Option<Self> {
        let pin = store.pin(hash);
        // A claim that was not taken must never be made: dropping it would end that of the other task.
        let taken = store.state().receiving.insert(hash);
        if taken { Some(Self { pin }) } else { None }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pin.store.state().receiving.remove(&self.pin.hash);
        self.pin.store.0.released.notify_waiters();
    }
}
