//! Admission: bounds what waits in memory for the journal and for the view, and remembers that the store has failed.

use std::sync::{Condvar, Mutex, PoisonError};

use tokio::sync::Notify;

use super::{error::StoreError, sync::lock};

#[derive(Default)]
struct State {
    queued: u64,
    unapplied: u64,
    failed: Option<String>,
    closed: bool,
}

/// See the module.
pub(super) struct Gate {
    queued_max: u64,
    unapplied_max: u64,
    state: Mutex<State>,
    room: Condvar,
    room_async: Notify,
}

impl Gate {
    pub(super) fn new(queued_max: u64, unapplied_max: u64) -> Self {
        Self { queued_max, unapplied_max, state: Mutex::default(), room: Condvar::new(), room_async: Notify::new() }
    }

    /// `Ok(true)` if one more frame may enter. The bounds are checked before a frame, not with it: they are exceeded by at most one
    /// frame and the frames of a segment roll, and every legal frame fits in the end.
    fn check(&self, state: &State) -> Result<bool, StoreError> {
        if let Some(reason) = &state.failed {
            return Err(StoreError::Failed(reason.clone()));
        }
        if state.closed {
            return Err(StoreError::Closed);
        }
        Ok(state.queued < self.queued_max && state.unapplied < self.unapplied_max)
    }

    pub(super) fn has_room(&self) -> Result<bool, StoreError> {
        self.check(&lock(&self.state))
    }

    /// Blocks the thread until there is room.
    pub(super) fn wait(&self) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        while !self.check(&state)? {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Waits until there is room.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        loop {
            let notified = self.room_async.notified();
            tokio::pin!(notified);
            // Registered before the check, or a change in between would be missed.
            notified.as_mut().enable();
            if self.has_room()? {
                return Ok(());
            }
            notified.await;
        }
    }

    pub(super) fn enter(&self, queued: u64, unapplied: u64) {
        let mut state = lock(&self.state);
        state.queued += queued;
        state.unapplied += unapplied;
    }

    pub(super) fn written(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.queued = state.queued.saturating_sub(bytes);
        drop(state);
        self.wake();
    }

    pub(super) fn applied(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.unapplied = state.unapplied.saturating_sub(bytes);
        drop(state);
        self.wake();
    }

    /// Fails the store for good; the first reason stays.
    pub(super) fn fail(&self, reason: String) {
        let mut state = lock(&self.state);
        if state.failed.is_none() {
            tracing::error!(reason, "the store has failed: nothing is acknowledged any more");
            state.failed = Some(reason);
        }
        drop(state);
        self.wake();
    }

    /// Admits nothing more. `false` if it was closed before.
    pub(super) fn close(&self) -> bool {
        let mut state = lock(&self.state);
        let first = !state.closed;
        state.closed = true;
        drop(state);
        self.wake();
        first
    }

    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.state).failed.clone()
    }

    /// Bytes queued for the journal, and bytes of rows not yet in the view.
    pub(super) fn load(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.queued, state.unapplied)
    }

    fn wake(&self) {
        self.room.notify_all();
        self.room_async.notify_waiters();
    }
}
