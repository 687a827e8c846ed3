//! Locks that outlive a panic elsewhere, and the bounded hand-over between the store's threads.
//!
//! A poisoned lock is entered all the same: every critical section of the store leaves its data whole at each step.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// What a taker finds.
pub(super) enum Taken<T> {
    /// At least one item.
    Items(Vec<T>),
    /// Nothing came within the time.
    Idle,
    /// Nothing is left and nothing will come.
    Closed,
}

struct Line<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// A first-in first-out line between two threads. It has no bound of its own: what enters was admitted by the
/// [`super::gate::Gate`] before, which bounds the bytes of all lines together.
pub(super) struct Queue<T> {
    line: Mutex<Line<T>>,
    arrived: Condvar,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { line: Mutex::new(Line { items: VecDeque::new(), closed: false }), arrived: Condvar::new() }
    }

    pub(super) fn push(&self, items: impl IntoIterator<Item = T>) {
        lock(&self.line).items.extend(items);
        self.arrived.notify_one();
    }

    pub(super) fn close(&self) {
        lock(&self.line).closed = true;
        self.arrived.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.line).closed
    }

    /// Takes items until their weights reach `max` (the one that reaches it included), waiting at most `patience` for the first.
    pub(super) fn take(&self, max: usize, weight: impl Fn(&T) -> usize, patience: Duration) -> Taken<T> {
        let line = lock(&self.line);
        let (mut line, _) = self
            .arrived
            .wait_timeout_while(line, patience, |line| line.items.is_empty() && !line.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut sum = 0;
        while sum < max {
            let Some(item) = line.items.pop_front() else { break };
            sum += weight(&item);
            taken.push(item);
        }
        match (taken.is_empty(), line.closed) {
            (false, _) => Taken::Items(taken),
            (true, true) => Taken::Closed,
            (true, false) => Taken::Idle,
        }
    }
}
