//! Counters of what the network layer refused, dropped and did. Owns numbers only; never blocks.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// The counters of one instance, shared by its handlers. They only grow.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
        }
        /// The counters at one moment, since the start of the instance.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
        pub struct Counts {
            $($(#[$meta])* pub $name: u64,)*
        }
        impl Counters {
            pub(super) fn snapshot(&self) -> Counts {
                Counts { $($name: self.$name.get(),)* }
            }
        }
    };
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    pub(super) fn one(&self) {
        self.add(1);
    }
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// Connections that members opened or accepted.
    connections_member,
    /// Connections with strangers.
    connections_stranger,
    /// Connections refused because the peer is blocked or paused.
    refused_blocked,
    /// Connections refused until those of the other kind are closed (a membership change).
    refused_other_kind,
    /// Connections of strangers refused because the join protocol is switched off.
    refused_join_off,
    /// Connections refused because a limit of connections was reached.
    refused_full,
    /// Connections of strangers closed to make room for newer ones, or because of their age.
    strangers_evicted,
    /// Inbound handshakes that failed or timed out.
    handshakes_failed,
    /// Connections closed because the peer no longer answered pings.
    silent_closed,
    /// Frames refused because of their announced length.
    oversize,
    /// Frames refused because the memory for them was in use.
    budget_full,
    /// Requests answered with "busy" because of the rate of join requests.
    rate_limited,
    /// Requests answered with "busy" because too many were in work or nobody took them.
    busy,
    /// Requests that were not answered in time, or whose answer was dropped.
    unanswered,
    /// Protocols that a peer did not offer to us: they do not list this node as a member.
    protocol_refused,
    /// Artifact streams dropped because one member had too many or nobody took them.
    blob_streams_dropped,
    /// Gossip messages received.
    gossip_received,
    /// Times that a member brought more gossip than it may and was not read for a while.
    gossip_slowed,
    /// Gossip messages dropped because their reader was behind.
    gossip_dropped,
    /// Gossip messages published.
    gossip_published,
    /// Gossip messages that a full queue to a slow member dropped, or that found nobody.
    gossip_unsent,
    /// Gossip messages rejected by their reader.
    gossip_rejected,
    /// Dials started.
    dials,
    /// Dials failed.
    dials_failed,
    /// Dials that reached a node with another key.
    wrong_keys,
    /// Errors of listeners.
    listener_errors,
}
