//! The pace of gossip: how much of it one member may bring.
//!
//! Owns one allowance per member, over all its connections. The library remembers the id of every message for a while, so that
//! without a bound a member that sends small messages without end would fill this node's memory. Whoever is over its allowance
//! is not cut off, but no longer read until it is even again: its own queue and window hold it back. Gossip is a hint, and what
//! a slowed member has to say is caught up with. Never looks into a message but at its length.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::gossipsub::Event;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use tokio::time::Sleep;

use super::metrics::Counters;
use super::{gossip, limits};

/// What one member may still bring: falls below zero with the message that was too much, and is even again by and by.
#[derive(Debug)]
struct Allowance {
    /// In thousandths of a unit, at `at`.
    level: i64,
    at: Instant,
}

const SCALE: i64 = 1_000;
const FULL: i64 = limits::GOSSIP_BURST as i64 * SCALE;

impl Allowance {
    const fn new(now: Instant) -> Self {
        Self { level: FULL, at: now }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed_ms = i64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(i64::MAX);
        // Units per second times milliseconds is thousandths of a unit.
        let gained = elapsed_ms.saturating_mul(i64::from(limits::GOSSIP_PER_S));
        if gained > 0 {
            self.level = self.level.saturating_add(gained).min(FULL);
            self.at = now;
        }
    }

    /// Takes what a message of this length costs; says whether that was too much for the first time.
    fn spend(&mut self, bytes: usize, now: Instant) -> bool {
        self.refill(now);
        let units = 1 + i64::try_from(bytes / limits::GOSSIP_UNIT_BYTES).unwrap_or(i64::MAX / SCALE - 1);
        let before = self.level;
        self.level = self.level.saturating_sub(units * SCALE);
        before >= 0 && self.level < 0
    }

    /// How long its owner is not read.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        let owed = u64::try_from(-self.level).ok().filter(|owed| *owed > 0)?;
        Some(Duration::from_millis(owed.div_ceil(u64::from(limits::GOSSIP_PER_S)).max(1)))
    }

    const fn is_full(&self) -> bool {
        self.level >= FULL
    }
}

type Shared = Arc<Mutex<Allowance>>;

fn with<T>(shared: &Shared, use_it: impl FnOnce(&mut Allowance, Instant) -> T) -> T {
    use_it(&mut shared.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
}

/// Gossip with an allowance for each member.
pub(super) struct Behaviour {
    inner: gossip::Behaviour,
    /// Of members that are connected, and of those that have not yet got all of theirs back.
    allowances: BTreeMap<PeerId, Shared>,
    counters: Arc<Counters>,
}

impl Behaviour {
    pub(super) fn new(inner: gossip::Behaviour, counters: Arc<Counters>) -> Self {
        Self { inner, allowances: BTreeMap::new(), counters }
    }

    /// The library's behaviour.
    pub(super) fn inner_mut(&mut self) -> &mut gossip::Behaviour {
        &mut self.inner
    }

    fn handler<H>(&mut self, peer: PeerId, inner: H) -> Handler<H> {
        // Whoever comes back at once finds what it left.
        self.allowances.retain(|_, shared| {
            Arc::strong_count(shared) > 1
                || with(shared, |allowance, now| {
                    allowance.refill(now);
                    !allowance.is_full()
                })
        });
        let fresh = || Arc::new(Mutex::new(Allowance::new(Instant::now())));
        let allowance = self.allowances.entry(peer).or_insert_with(fresh).clone();
        Handler { inner, allowance, sleep: None }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler<THandler<gossip::Behaviour>>;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let inner = self.inner.handle_established_inbound_connection(id, peer, local, remote)?;
        Ok(self.handler(peer, inner))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let inner = self.inner.handle_established_outbound_connection(id, peer, remote, role, port_use)?;
        Ok(self.handler(peer, inner))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let polled = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::GenerateEvent(Event::Message { propagation_source, message, .. })) = &polled
            && let Some(shared) = self.allowances.get(propagation_source)
            && with(shared, |allowance, now| allowance.spend(message.data.len(), now))
        {
            self.counters.gossip_slowed.one();
        }
        polled
    }
}

/// The library's handler, which rests while its peer is over its allowance.
pub(super) struct Handler<H> {
    inner: H,
    allowance: Shared,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<H: ConnectionHandler> ConnectionHandler for Handler<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = H::InboundProtocol;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.inner.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        while let Some(wait) = with(&self.allowance, Allowance::wait) {
            let sleep = self.sleep.insert(Box::pin(tokio::time::sleep(wait)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        self.sleep = None;
        self.inner.poll(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        self.inner.on_connection_event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_what_is_over_it_is_paid_back_in_time() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let over = (0..limits::GOSSIP_BURST + 5).filter(|_| allowance.spend(10, start)).count();
        assert_eq!(over, 1, "told once");
        let owed = allowance.wait(start).unwrap();
        assert_eq!(owed, Duration::from_millis(5_000_u64.div_ceil(u64::from(limits::GOSSIP_PER_S))));
        assert_eq!(allowance.wait(start + owed), None);
        // A message of full size costs as much as many small ones.
        let full = verbund_protocol::limits::GOSSIP_MAX_BYTES;
        let mut allowance = Allowance::new(start);
        let free = (0..).take_while(|_| !allowance.spend(full, start)).count();
        assert_eq!(free, limits::GOSSIP_BURST as usize / (1 + full / limits::GOSSIP_UNIT_BYTES));
        let later = start + Duration::from_secs(3_600);
        allowance.refill(later);
        assert!(allowance.is_full());
    }
}
