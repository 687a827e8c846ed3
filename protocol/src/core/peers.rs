//! The other nodes: who is connected, what they last said of themselves, what was asked of them.
//!
//! Owns only what may be forgotten at a restart.

use std::collections::{BTreeMap, BTreeSet};

use super::Cx;
use super::api::{Effect, Now};
use crate::ids::PeerId;
use crate::log::Head;
use crate::wire::sync::{Request, Status};
use crate::wire::{self, SignedHoldings};

/// Requests under way to one peer; more wait for the next poll.
const ASKED_MAX: usize = 16;
/// An answer that has not come by then never will (the transport gives up after 30 s).
const ANSWER_MAX_MS: u64 = 60_000;

/// One other node.
#[derive(Debug, Default)]
pub struct Peer {
    /// Since when it is connected.
    pub connected_ms: Option<u64>,
    /// When it was last asked for its status.
    pub polled_ms: u64,
    /// Since when it is not, after it was: by the wall clock, as it is only shown.
    pub lost_wall_ms: Option<u64>,
    /// When it is asked for its status again.
    pub next_poll_ms: u64,
    /// What it last said, and when.
    pub status: Option<(u64, Status)>,
    /// Own wall clock minus its own, in milliseconds, when it last answered.
    pub clock_offset_ms: i64,
    /// Digests for which the thing itself was asked already.
    pub asked_for: BTreeMap<Topic, [u8; 8]>,
}

/// Things that are asked for when their digest differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Approvals.
    Approvals,
    /// Ordering messages.
    Ordering,
    /// Node infos.
    Nodes,
    /// Fork proofs.
    Proofs,
    /// Holdings.
    Holdings,
    /// Cosignatures of a log.
    Notes(PeerId),
}

/// Two checkpoints of one log that seem to contradict each other, one's own and a peer's, whose path was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// What was held here then.
    pub from: Head,
    /// What the peer has.
    pub to: Head,
}

/// A request under way.
#[derive(Debug, Clone)]
pub struct Asked {
    /// To whom.
    pub peer: PeerId,
    /// What.
    pub request: Request,
    /// Since when.
    pub since_ms: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Peers {
    /// By node.
    pub table: BTreeMap<PeerId, Peer>,
    pending: BTreeMap<u64, Asked>,
    next_tag: u64,
    /// Newest statement of freshness by each log's own node, in seconds since 1970.
    pub fresh: BTreeMap<PeerId, u64>,
    /// Nodes from which nothing is fetched, by the operator's word.
    pub paused: BTreeSet<PeerId>,
    /// Newest statement of holdings by each node.
    pub holdings: BTreeMap<PeerId, SignedHoldings>,
    /// Paths that were asked for, by peer and log.
    pub doubts: BTreeMap<(PeerId, PeerId), Doubt>,
}

impl Peers {
    /// Connected nodes.
    pub fn connected(&self) -> Vec<PeerId> {
        self.table.iter().filter(|(_, p)| p.connected_ms.is_some()).map(|(id, _)| *id).collect()
    }
    /// Whether `peer` is connected.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.table.get(peer).is_some_and(|p| p.connected_ms.is_some())
    }
    /// Whether things may be fetched from `peer`: connected, and not paused by the operator.
    pub fn serves(&self, peer: &PeerId) -> bool {
        self.is_connected(peer) && !self.paused.contains(peer)
    }
    /// A node is connected.
    pub fn up(&mut self, now_ms: u64, peer: PeerId) {
        let entry = self.table.entry(peer).or_default();
        entry.connected_ms = Some(now_ms);
        entry.lost_wall_ms = None;
        entry.next_poll_ms = now_ms;
        entry.asked_for.clear();
    }
    /// It is not any more; what was asked of it is forgotten.
    pub fn down(&mut self, now: Now, peer: &PeerId) {
        if let Some(entry) = self.table.get_mut(peer) {
            entry.connected_ms = None;
            entry.lost_wall_ms = Some(now.wall_ms);
        }
        self.pending.retain(|_, asked| asked.peer != *peer);
        self.doubts.retain(|(of, _), _| of != peer);
    }
    /// Notes that the log's own node stated at `time_s` that its newest checkpoint is known. Says whether that is news.
    pub fn fresh(&mut self, log: PeerId, time_s: u64) -> bool {
        let newest = self.fresh.entry(log).or_default();
        let news = time_s > *newest;
        *newest = time_s.max(*newest);
        news
    }
    /// Forgets whatever is not of these nodes.
    pub fn keep_only(&mut self, nodes: &BTreeSet<PeerId>) {
        self.table.retain(|peer, entry| nodes.contains(peer) || entry.connected_ms.is_some());
        self.holdings.retain(|peer, _| nodes.contains(peer));
        self.fresh.retain(|peer, _| nodes.contains(peer));
    }
    /// Asks `peer`, unless it is not connected, was asked the same, or has enough to do.
    pub fn ask(&mut self, cx: &mut Cx<'_>, peer: PeerId, request: Request) -> bool {
        let now = cx.now.mono_ms;
        self.pending.retain(|_, asked| now.saturating_sub(asked.since_ms) < ANSWER_MAX_MS);
        let busy = self.pending.values().filter(|a| a.peer == peer).count();
        let same = self.pending.values().any(|a| a.peer == peer && a.request == request);
        if !self.is_connected(&peer) || same || busy >= ASKED_MAX {
            return false;
        }
        let Ok(bytes) = wire::encode(cx.federation, request.clone()) else { return false };
        let tag = self.next_tag;
        self.next_tag += 1;
        self.pending.insert(tag, Asked { peer, request, since_ms: now });
        cx.effect(Effect::Ask { tag, peer, bytes });
        true
    }
    /// Takes the request that `tag` answers.
    pub fn answered(&mut self, tag: u64) -> Option<Asked> {
        self.pending.remove(&tag)
    }
    /// Whether anybody is being asked for entries of `log`.
    pub fn fetching(&self, log: &PeerId) -> bool {
        self.pending.values().any(|a| matches!(&a.request, Request::Entries { log: l, .. } if l == log))
    }
    /// Whether anybody is being asked for charters.
    pub fn fetching_charters(&self) -> bool {
        self.pending.values().any(|a| matches!(a.request, Request::Charters { .. }))
    }
    /// Nodes that say they hold the release at `index` of `log`.
    pub fn holders(&self, log: &PeerId, index: u64) -> Vec<PeerId> {
        self.holdings.iter().filter(|(_, h)| h.holdings.has(log, index)).map(|(peer, _)| *peer).collect()
    }
}
