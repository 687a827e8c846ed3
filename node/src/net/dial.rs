//! Whom to dial, when, and what went wrong: the members' addresses with their back-off, and the words for failures.
//!
//! Owns the schedule only. Never opens a socket and never reads a clock or randomness: time and jitter are arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use verbund_protocol::ids::PeerId;

use super::addr::{Host, HostPort};
use super::limits;

/// Why one address could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum DialReason {
    /// The host answered that nothing listens on the port.
    #[error("connection refused: the host is there, but nothing listens on this port")]
    Refused,
    /// No answer, or the handshake took too long.
    #[error("timed out: no answer from this address")]
    TimedOut,
    /// There is no way to the host.
    #[error("unreachable: {message}")]
    Unreachable {
        /// The system's words.
        message: String,
    },
    /// The name has no address.
    #[error("name not found: {message}")]
    UnknownName {
        /// The resolver's words.
        message: String,
    },
    /// Another node answered.
    #[error("wrong key: expected {expected}, found {found}")]
    WrongKey {
        /// The peer that was to be reached.
        expected: String,
        /// The peer that answered.
        found: String,
    },
    /// The address is this node's own.
    #[error("this is an address of this node itself")]
    OwnAddress,
    /// Something answered, but not as a node of a federation.
    #[error("handshake failed: {message}")]
    Handshake {
        /// What went wrong, in the library's words.
        message: String,
    },
    /// This node does not talk to the peer.
    #[error("the connection was refused here: {message}")]
    RefusedHere {
        /// Blocked, paused, or a limit.
        message: String,
    },
    /// The dial was given up because the network shuts down.
    #[error("cancelled")]
    Cancelled,
}

/// A failed dial: every address that was tried and why it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DialFailure {
    /// In the order in which they failed; empty if there was no address to try.
    pub attempts: Vec<(HostPort, DialReason)>,
}

impl DialFailure {
    /// The same reason for all addresses.
    pub(super) fn all(addrs: &[HostPort], reason: &DialReason) -> Self {
        Self { attempts: addrs.iter().map(|a| (a.clone(), reason.clone())).collect() }
    }
    /// The addresses at which another node answered.
    pub(super) fn wrong_keys(&self) -> impl Iterator<Item = &HostPort> {
        self.attempts.iter().filter(|(_, r)| matches!(r, DialReason::WrongKey { .. })).map(|(a, _)| a)
    }
}

impl std::error::Error for DialFailure {}

impl fmt::Display for DialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attempts.is_empty() {
            return f.write_str("no address is known");
        }
        for (n, (addr, reason)) in self.attempts.iter().enumerate() {
            write!(f, "{}{addr}: {reason}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// What the system or the library said about one address.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> DialReason {
    let mut next = Some(error);
    let mut last = error.to_string();
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(reason) = io.and_then(io_reason) {
            return reason;
        }
        last = error.to_string();
        // The library's time-out type is generic over its transport; its text is the only thing to recognise it by.
        if last == "Timeout has been reached" {
            return DialReason::TimedOut;
        }
        // The library passes its errors on inside of `io::Error`s, whose `source` would skip the error itself.
        next = match io.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    // Some of the library's errors pass over the system error they hold; its text still names the number.
    let system = os_error(&last).map(std::io::Error::from_raw_os_error);
    system.as_ref().and_then(io_reason).unwrap_or(DialReason::Handshake { message: last })
}

fn os_error(text: &str) -> Option<i32> {
    text.rsplit_once("(os error ")?.1.strip_suffix(')')?.parse().ok()
}

fn io_reason(error: &std::io::Error) -> Option<DialReason> {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused => Some(DialReason::Refused),
        K::TimedOut => Some(DialReason::TimedOut),
        K::HostUnreachable | K::NetworkUnreachable | K::AddrNotAvailable | K::NetworkDown | K::PermissionDenied => {
            Some(DialReason::Unreachable { message: error.to_string() })
        }
        K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe => {
            Some(DialReason::Handshake { message: "the connection was closed during the handshake".to_owned() })
        }
        _ => None,
    }
}

/// Addresses with their names resolved.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// What to dial, and which address it stands for.
    pub(super) sockets: BTreeMap<SocketAddr, HostPort>,
    /// What could not be resolved.
    pub(super) failed: Vec<(HostPort, DialReason)>,
}

/// Resolves names with the system's resolver (hosts file and name service switch included).
pub(super) async fn resolve(addrs: Vec<HostPort>) -> Resolved {
    let mut resolved = Resolved::default();
    let lookups = addrs.into_iter().map(|addr| async move {
        let found = match &addr.host {
            Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, addr.port)]),
            Host::Name(name) => lookup(name, addr.port).await,
        };
        (addr, found)
    });
    for (addr, found) in futures::future::join_all(lookups).await {
        match found {
            Ok(sockets) => {
                for socket in sockets {
                    if resolved.sockets.len() < limits::ADDRESSES_PER_PEER {
                        resolved.sockets.entry(socket).or_insert_with(|| addr.clone());
                    }
                }
            }
            Err(reason) => resolved.failed.push((addr, reason)),
        }
    }
    resolved
}

async fn lookup(name: &str, port: u16) -> Result<Vec<SocketAddr>, DialReason> {
    let unknown = |message: String| DialReason::UnknownName { message };
    let found = tokio::time::timeout(limits::RESOLVE_TIMEOUT, tokio::net::lookup_host((name, port)))
        .await
        .map_err(|_| unknown("the name service did not answer in time".to_owned()))?
        .map_err(|e| unknown(e.to_string()))?;
    let sockets: Vec<_> = found.take(limits::ADDRESSES_PER_NAME).collect();
    if sockets.is_empty() { Err(unknown("the name has no address".to_owned())) } else { Ok(sockets) }
}

/// Pause before attempt `attempt` (0 is the first after a failure): doubling, at most [`limits::BACKOFF_MAX`], spread by
/// `jitter` (0 to 1) over its upper half, so that nodes that lost each other together do not return together.
pub(super) fn backoff(attempt: u32, jitter: f64) -> Duration {
    let full = limits::BACKOFF_MIN.saturating_mul(1_u32 << attempt.min(16)).min(limits::BACKOFF_MAX);
    full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// One member's place in the schedule.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    pub(super) addrs: Vec<HostPort>,
    /// Addresses at which another node answered; tried again only when no other is left.
    wrong: BTreeSet<HostPort>,
    pub(super) attempts: u32,
    pub(super) due: Option<Instant>,
    pub(super) dialing: bool,
    connected: bool,
    pub(super) last_error: Option<String>,
}

/// The schedule of dials: every member that is not connected is dialled, again and again.
#[derive(Debug)]
pub(super) struct Book {
    local: PeerId,
    peers: BTreeMap<PeerId, Entry>,
}

impl Book {
    pub(super) fn new(local: PeerId) -> Self {
        Self { local, peers: BTreeMap::new() }
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Entry> {
        self.peers.get(peer)
    }

    /// Replaces the members to be dialled. New ones and those with new addresses are due at once.
    pub(super) fn set(&mut self, members: &BTreeMap<PeerId, Vec<HostPort>>, now: Instant) {
        self.peers.retain(|peer, _| members.contains_key(peer));
        for (peer, addrs) in members.iter().filter(|(peer, _)| **peer != self.local) {
            let first = first_due(&self.local, peer, now);
            let known = self.peers.contains_key(peer);
            let entry = self.peers.entry(*peer).or_default();
            if known && entry.addrs == *addrs {
                continue;
            }
            entry.addrs.clone_from(addrs);
            entry.wrong.clear();
            entry.attempts = 0;
            if !entry.connected && !entry.dialing && !addrs.is_empty() {
                entry.due = Some(first);
            }
        }
    }

    /// The members to dial now, with the addresses to try. They count as being dialled from here on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(PeerId, Vec<HostPort>)> {
        let mut due = Vec::new();
        for (peer, entry) in &mut self.peers {
            if entry.due.is_none_or(|at| at > now) {
                continue;
            }
            entry.due = None;
            if entry.connected || entry.dialing || entry.addrs.is_empty() {
                continue;
            }
            entry.dialing = true;
            let good: Vec<_> = entry.addrs.iter().filter(|a| !entry.wrong.contains(*a)).cloned().collect();
            due.push((*peer, if good.is_empty() { entry.addrs.clone() } else { good }));
        }
        due
    }

    /// When the next dial is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.peers.values().filter_map(|e| e.due).min()
    }

    /// A connection to `peer` is open, whoever made it.
    pub(super) fn connected(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.connected = true;
            entry.due = None;
        }
    }

    /// A dial of the schedule ended with a connection.
    pub(super) fn dialled(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.dialing = false;
            entry.last_error = None;
            entry.wrong.clear();
        }
    }

    /// A dial of the schedule failed. Returns when the next one is due.
    pub(super) fn failed(
        &mut self,
        peer: &PeerId,
        failure: &DialFailure,
        now: Instant,
        jitter: f64,
    ) -> Option<Instant> {
        let entry = self.peers.get_mut(peer)?;
        entry.dialing = false;
        entry.last_error = Some(failure.to_string());
        if entry.connected {
            return None;
        }
        let marked = entry.wrong.len();
        let addrs = &entry.addrs;
        entry.wrong.extend(failure.wrong_keys().filter(|a| addrs.contains(*a)).cloned());
        let others = entry.addrs.iter().any(|a| !entry.wrong.contains(a));
        if entry.wrong.len() > marked && others {
            // The first address to answer was somebody else's; that says nothing about the others.
            entry.due = Some(now);
        } else {
            if !others {
                entry.wrong.clear();
            }
            entry.due = Some(now + backoff(entry.attempts, jitter));
            entry.attempts = entry.attempts.saturating_add(1);
        }
        entry.due
    }

    /// The last connection to `peer` closed after `lived`. With `at_once` (a membership change) there is no pause.
    pub(super) fn closed(
        &mut self,
        peer: &PeerId,
        lived: Duration,
        at_once: bool,
        reason: &str,
        now: Instant,
        jitter: f64,
    ) {
        let local = self.local;
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.connected = false;
        entry.last_error = Some(reason.to_owned());
        if entry.dialing || entry.addrs.is_empty() {
            return;
        }
        if at_once || lived >= limits::STABLE_AFTER {
            entry.attempts = 0;
        }
        let pause = if at_once { Duration::ZERO } else { backoff(entry.attempts, jitter) };
        entry.attempts = entry.attempts.saturating_add(1);
        entry.due = Some(first_due(&local, peer, now) + pause);
    }

    /// Dials `peer` without its pause.
    pub(super) fn hurry(&mut self, peer: &PeerId, now: Instant) {
        let first = first_due(&self.local, peer, now);
        if let Some(entry) = self.peers.get_mut(peer).filter(|e| !e.connected && !e.dialing && !e.addrs.is_empty()) {
            entry.attempts = 0;
            entry.due = Some(first);
        }
    }
}

/// Of two nodes that learn of each other at the same time the one with the smaller key dials first.
fn first_due(local: &PeerId, peer: &PeerId, now: Instant) -> Instant {
    if local < peer { now } else { now + limits::DIAL_STAGGER }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
