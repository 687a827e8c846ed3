//! Connections, listeners and their state as operators see it.
//!
//! Owns the record of members' open connections (strangers' are only counted). Never decides who may connect.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::core::{ConnectedPoint, Multiaddr};
use libp2p::swarm::{ConnectionError, ConnectionId};
use libp2p::{PeerId, ping};

use super::addr::{self, HostPort};
use super::admission::Kind;
use super::behaviour::check_free;
use super::dialing::jitter;
use super::status::{ConnectionStatus, PeerStatus, Status};
use super::task::Task;
use super::{NetError, NetEvent, limits};

/// One open connection of a member.
#[derive(Debug)]
struct Link {
    address: HostPort,
    inbound: bool,
    since: SystemTime,
    rtt: Option<Duration>,
    accepted: Option<bool>,
    /// Why this node closes it.
    closing: Option<&'static str>,
}

/// The open connections of one member.
#[derive(Debug)]
pub(super) struct Links {
    open: BTreeMap<ConnectionId, Link>,
    since: Instant,
    gossip: bool,
}

impl Links {
    /// Remembers why this node closes a connection.
    pub(super) fn closing(&mut self, id: ConnectionId, reason: &'static str) {
        if let Some(link) = self.open.get_mut(&id) {
            link.closing = Some(reason);
        }
    }
    /// Whether the peer has shown on every connection that it does not treat this node as a member.
    pub(super) fn refuses_us(&self) -> bool {
        self.open.values().all(|l| l.accepted == Some(false))
    }
}

/// One listener.
#[derive(Debug)]
pub(super) struct Listener {
    configured: HostPort,
    /// Its real addresses.
    real: Vec<HostPort>,
}

impl Task {
    /// Opens the configured listeners.
    pub(super) fn listen(&mut self, addrs: &[HostPort]) -> Result<(), NetError> {
        let failed = |addr: &HostPort| {
            let addr = addr.clone();
            move |source| NetError::Listen { addr, source }
        };
        for addr in addrs {
            let socket = addr.socket().ok_or_else(|| NetError::ListenName(addr.clone()))?;
            check_free(socket).map_err(failed(addr))?;
        }
        for addr in addrs {
            self.open_listener(addr).map_err(failed(addr))?;
        }
        Ok(())
    }

    fn open_listener(&mut self, addr: &HostPort) -> io::Result<()> {
        let socket = addr.socket().ok_or(io::ErrorKind::InvalidInput)?;
        let id = self.swarm.listen_on(addr::multiaddr(socket)).map_err(|e| match e {
            TransportError::Other(e) => e,
            e @ TransportError::MultiaddrNotSupported(_) => io::Error::new(io::ErrorKind::InvalidInput, e.to_string()),
        })?;
        self.listeners.push((id, Listener { configured: addr.clone(), real: Vec::new() }));
        Ok(())
    }

    pub(super) fn on_listening(&mut self, id: ListenerId, address: &Multiaddr) {
        let Some(real) = addr::socket(address).map(HostPort::from) else { return };
        if let Some((_, listener)) = self.listeners.iter_mut().find(|(l, _)| *l == id) {
            // Port 0 was chosen once and is kept, should the listener have to be opened again.
            listener.configured.port = real.port;
            listener.real.push(real.clone());
        }
        tracing::info!(address = %real, "listening");
        self.emit(NetEvent::Listening(real));
    }

    pub(super) fn on_not_listening(&mut self, id: ListenerId, address: &Multiaddr) {
        let gone = addr::socket(address).map(HostPort::from);
        if let Some((_, listener)) = self.listeners.iter_mut().find(|(l, _)| *l == id) {
            listener.real.retain(|a| Some(a) != gone.as_ref());
        }
    }

    pub(super) fn on_listener_closed(&mut self, id: ListenerId, error: Option<io::Error>) {
        let Some(at) = self.listeners.iter().position(|(l, _)| *l == id) else { return };
        let (_, listener) = self.listeners.swap_remove(at);
        let reason = error.map_or_else(|| "closed".to_owned(), |e| e.to_string());
        self.listener_lost(listener.configured, reason);
    }

    fn listener_lost(&mut self, addr: HostPort, reason: String) {
        tracing::error!(address = %addr, %reason, "no longer listening");
        self.counters.listener_errors.one();
        self.lost.push((addr.clone(), Instant::now() + limits::RELISTEN_AFTER));
        self.emit(NetEvent::ListenFailed { addr, reason });
    }

    /// Opens lost listeners whose pause is over.
    pub(super) fn listen_again(&mut self) {
        let now = Instant::now();
        let (due, waiting) = std::mem::take(&mut self.lost).into_iter().partition(|(_, at)| *at <= now);
        self.lost = waiting;
        let due: Vec<(HostPort, Instant)> = due;
        for (addr, _) in due {
            if let Err(error) = self.open_listener(&addr) {
                self.listener_lost(addr, error.to_string());
            }
        }
    }

    pub(super) fn on_established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint, took: Duration) {
        let inbound = endpoint.is_listener();
        let seen = addr::socket(endpoint.get_remote_address()).map(HostPort::from);
        let (Some(name), Some(seen)) = (addr::from_libp2p(&peer), seen) else {
            self.swarm.close_connection(id);
            return;
        };
        let dialled = self.dials.take(id);
        let address = dialled.as_ref().and_then(|d| d.address_of(&seen)).unwrap_or(seen);
        let member = self.swarm.behaviour().members.admission().kind(id) == Some(Kind::Member);
        let first = member && !self.links.contains_key(&peer);
        if member {
            let link = Link {
                address: address.clone(),
                inbound,
                since: SystemTime::now(),
                rtt: None,
                accepted: None,
                closing: None,
            };
            let links = self.links.entry(peer).or_insert_with(|| Links {
                open: BTreeMap::new(),
                since: Instant::now(),
                gossip: false,
            });
            links.open.insert(id, link);
            self.book.connected(&name);
        }
        if let Some(dialled) = dialled {
            self.dialled(dialled, address.clone(), took);
        }
        if first {
            // Told at "info" by the federation's loop, which knows whose it is.
            tracing::debug!(peer = %name, %address, inbound, "member connected");
            self.emit(NetEvent::Connected { peer: name, address, inbound });
        }
    }

    fn close_link(&mut self, peer: PeerId, id: ConnectionId, reason: &'static str) {
        if let Some(links) = self.links.get_mut(&peer) {
            links.closing(id, reason);
        }
        self.swarm.behaviour_mut().members.close([(peer, id)]);
    }

    pub(super) fn on_closed(&mut self, peer: PeerId, id: ConnectionId, cause: Option<&ConnectionError>) {
        let Some(name) = addr::from_libp2p(&peer) else { return };
        let Some(links) = self.links.get_mut(&peer) else {
            // A stranger that became a member meanwhile: the way is free now.
            if !self.swarm.is_connected(&peer) {
                self.book.hurry(&name, Instant::now());
            }
            return;
        };
        let Some(link) = links.open.remove(&id) else { return };
        if !links.open.is_empty() {
            return;
        }
        let lived = links.since.elapsed();
        self.links.remove(&peer);
        let reason = match (link.closing, cause) {
            (Some(reason), _) => reason.to_owned(),
            (None, Some(ConnectionError::IO(e))) => lost(e),
            (None, Some(ConnectionError::KeepAliveTimeout)) => "idle".to_owned(),
            (None, None) => "closed".to_owned(),
        };
        tracing::debug!(peer = %name, %reason, "member disconnected");
        self.book.closed(&name, lived, false, &reason, Instant::now(), jitter());
        self.emit(NetEvent::Disconnected { peer: name, reason });
    }

    pub(super) fn on_ping(&mut self, event: ping::Event) {
        let link = self.links.get_mut(&event.peer).and_then(|l| l.open.get_mut(&event.connection));
        let Some(link) = link else { return };
        match event.result {
            Ok(rtt) => {
                link.rtt = Some(rtt);
                link.accepted = Some(true);
            }
            Err(ping::Failure::Unsupported) => {
                link.accepted = Some(false);
                self.counters.protocol_refused.one();
            }
            Err(error) => {
                tracing::debug!(peer = %event.peer, %error, "ping");
                self.counters.silent_closed.one();
                self.close_link(event.peer, event.connection, "no answer to pings");
            }
        }
    }

    pub(super) fn on_gossip_ready(&mut self, peer: &PeerId, ready: bool) {
        let Some(links) = self.links.get_mut(peer) else { return };
        links.gossip = ready;
        if let (true, Some(peer)) = (ready, addr::from_libp2p(peer)) {
            self.emit(NetEvent::GossipReady { peer });
        }
    }

    /// Everything that operators may see.
    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        let mut peers = BTreeMap::new();
        for (peer, addrs) in self.targets.members.iter().filter(|(p, _)| **p != self.local) {
            let links = addr::to_libp2p(peer).and_then(|p| self.links.get(&p));
            let mut status = PeerStatus {
                addresses: addrs.clone(),
                connections: links.map(|l| l.open.values().map(Link::status).collect()).unwrap_or_default(),
                gossip: links.is_some_and(|l| l.gossip),
                paused: self.targets.paused.contains(peer),
                blocked: self.targets.blocked.contains(peer),
                ..PeerStatus::default()
            };
            if let Some(entry) = self.book.get(peer) {
                status.dialing = entry.dialing;
                status.attempts = entry.attempts;
                status.next_try_ms = entry.due.map(|at| millis(at.saturating_duration_since(now)));
                status.last_error.clone_from(&entry.last_error);
            }
            peers.insert(*peer, status);
        }
        Status {
            listening: self.listeners.iter().flat_map(|(_, l)| l.real.iter().cloned()).collect(),
            peers,
            strangers: self.swarm.behaviour().members.admission().strangers(),
            counts: self.counters.snapshot(),
        }
    }
}

impl Link {
    fn status(&self) -> ConnectionStatus {
        ConnectionStatus {
            address: self.address.clone(),
            inbound: self.inbound,
            since_ms: millis(self.since.duration_since(UNIX_EPOCH).unwrap_or_default()),
            rtt_us: self.rtt.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX)),
            accepted: self.accepted,
        }
    }
}

/// Why a connection broke, for people. A process that is killed says no goodbye; the libraries' words for that are long.
fn lost(error: &io::Error) -> String {
    let text = error.to_string();
    if text.contains("close_notify") {
        return "connection lost: the other end is gone without a goodbye".to_owned();
    }
    format!("connection lost: {text}")
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
