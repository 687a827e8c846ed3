//! What the server did, in numbers.
//!
//! Owns the counters; they only grow, except the number of open connections. They name no client.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {
        /// The live counters.
        #[derive(Debug, Default)]
        pub(in crate::http) struct Counters {
            $(pub(in crate::http) $name: AtomicU64,)+
        }

        /// The counters at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        pub struct CountersView {
            $($(#[$meta])* pub $name: u64,)+
        }

        impl Counters {
            /// The present values.
            pub(in crate::http) fn view(&self) -> CountersView {
                CountersView { $($name: self.$name.load(Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Connections accepted since the start.
    connections,
    /// Connections open now, handshakes included.
    connections_open,
    /// Connections closed at once because their address had too many.
    connections_refused,
    /// Handshakes that failed or took too long.
    handshakes_failed,
    /// Connections cut: head too slow, client stalled, broken off or malformed.
    connections_failed,
    /// Requests with a readable head.
    requests,
    /// Answers with a 2xx status.
    answers_2xx,
    /// Answers with a 3xx status.
    answers_3xx,
    /// Answers with a 4xx status.
    answers_4xx,
    /// Answers with a 5xx status.
    answers_5xx,
    /// Requests refused for their token or its scope.
    denied,
    /// Answers whose body did not go out in full, for either side's reason.
    bodies_cut,
    /// Files that turned out damaged or unreadable while being sent.
    files_failed,
    /// Body bytes handed to connections.
    body_bytes,
}

/// Adds one.
pub(in crate::http) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Counts one thing as long as it lives.
pub(in crate::http) struct Gauge<F: Fn(&Counters) -> &AtomicU64> {
    counters: std::sync::Arc<Counters>,
    which: F,
}

impl<F: Fn(&Counters) -> &AtomicU64> Gauge<F> {
    /// Counts from now on.
    pub(in crate::http) fn new(counters: std::sync::Arc<Counters>, which: F) -> Self {
        count(which(&counters));
        Self { counters, which }
    }
}

impl<F: Fn(&Counters) -> &AtomicU64> Drop for Gauge<F> {
    fn drop(&mut self) {
        (self.which)(&self.counters).fetch_sub(1, Relaxed);
    }
}
