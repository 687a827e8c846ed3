//! `Gated<B>`: lets a behaviour see members' connections and nothing else.
//!
//! Owns the choice of the connection handler (the inner one, or one that offers no protocol) and which connection events reach
//! the inner behaviour. The libraries' behaviours panic when they hear of a connection that they did not build a handler for,
//! so every event is filtered by the kind recorded at admission. Never decides by anything but [`Admission`], and must be the
//! first behaviour of the node: it is the only one that refuses, so that no other has counted a refused connection.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use either::Either;
use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};

use super::addr;
use super::admission::{Admission, Denied, Kind};
use super::metrics::Counters;

/// A behaviour for members only.
pub(super) struct Gated<B> {
    admission: Admission,
    inner: B,
    closing: VecDeque<(PeerId, ConnectionId)>,
    /// Dials that only prove a key, and the address at which they did.
    checks: BTreeMap<ConnectionId, Option<Multiaddr>>,
    counters: Arc<Counters>,
}

impl<B: NetworkBehaviour> Gated<B> {
    pub(super) fn new(admission: Admission, inner: B, counters: Arc<Counters>) -> Self {
        Self { admission, inner, closing: VecDeque::new(), checks: BTreeMap::new(), counters }
    }

    /// The behaviour behind the gate.
    pub(super) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// The table of connections.
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The table of connections, for membership changes. Connections to close go through [`Gated::close`].
    pub(super) fn admission_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// Closes these connections.
    pub(super) fn close(&mut self, connections: impl IntoIterator<Item = (PeerId, ConnectionId)>) {
        for (peer, id) in connections {
            self.admission.mark_closing(id);
            self.closing.push_back((peer, id));
        }
    }

    /// Announces a dial of a connected peer that only proves its key: no connection comes of it, so that nothing is ever sent
    /// over one that is about to close.
    pub(super) fn check(&mut self, id: ConnectionId) {
        self.checks.insert(id, None);
    }

    /// Ends such a dial: the address at which the key was proven, if it was.
    pub(super) fn checked(&mut self, id: ConnectionId) -> Option<Multiaddr> {
        self.checks.remove(&id).flatten()
    }

    /// Closes strangers' connections that are too old.
    pub(super) fn expire(&mut self, now: Instant) {
        let old = self.admission.expire(now);
        self.counters.strangers_evicted.add(old.len() as u64);
        self.close(old);
    }

    fn admit(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        inbound: bool,
        remote: &Multiaddr,
    ) -> Result<Kind, ConnectionDenied> {
        match self.admission.admit(id, peer, inbound, addr::network(remote), Instant::now()) {
            Ok((kind, evicted)) => {
                if evicted.is_some() {
                    self.counters.strangers_evicted.one();
                }
                self.close(evicted);
                match kind {
                    Kind::Member => self.counters.connections_member.one(),
                    Kind::Stranger => self.counters.connections_stranger.one(),
                }
                Ok(kind)
            }
            Err(denied) => Err(self.deny(denied)),
        }
    }

    fn deny(&self, denied: Denied) -> ConnectionDenied {
        match denied {
            Denied::Blocked => self.counters.refused_blocked.one(),
            Denied::OtherKind => self.counters.refused_other_kind.one(),
            Denied::JoinOff => self.counters.refused_join_off.one(),
            Denied::Full => self.counters.refused_full.one(),
            Denied::Checked => {}
        }
        ConnectionDenied::new(denied)
    }

    /// Sends an inner event only to a member's connection: the other handler has no way to take it.
    fn gated(
        &self,
        event: ToSwarm<B::ToSwarm, THandlerInEvent<B>>,
    ) -> Option<ToSwarm<B::ToSwarm, THandlerInEvent<Self>>> {
        if let ToSwarm::NotifyHandler { peer_id, handler, event } = event {
            let id = match handler {
                NotifyHandler::One(id) => Some(id).filter(|id| self.admission.kind(*id) == Some(Kind::Member)),
                NotifyHandler::Any => self.admission.newest(&peer_id, Kind::Member),
            }?;
            return Some(ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::One(id),
                event: Either::Left(event),
            });
        }
        Some(event.map_in(Either::Left))
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gated<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.admission.start(id, addr::network(remote)).map_err(|denied| self.deny(denied))?;
        self.inner.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        match self.admit(id, peer, true, remote)? {
            Kind::Member => self.inner.handle_established_inbound_connection(id, peer, local, remote).map(Either::Left),
            Kind::Stranger => Ok(Either::Right(dummy::ConnectionHandler)),
        }
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
        if let Some(proven) = self.checks.get_mut(&id) {
            // The library has compared the key by now.
            *proven = Some(remote.clone());
            return Err(self.deny(Denied::Checked));
        }
        match self.admit(id, peer, false, remote)? {
            Kind::Member => {
                self.inner.handle_established_outbound_connection(id, peer, remote, role, port_use).map(Either::Left)
            }
            Kind::Stranger => Ok(Either::Right(dummy::ConnectionHandler)),
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        let forward = match &event {
            FromSwarm::ConnectionEstablished(e) => self.admission.kind(e.connection_id) == Some(Kind::Member),
            FromSwarm::ConnectionClosed(e) => self.admission.end(e.connection_id) == Some(Kind::Member),
            FromSwarm::AddressChange(e) => self.admission.kind(e.connection_id) == Some(Kind::Member),
            FromSwarm::ListenFailure(e) => {
                self.admission.end(e.connection_id);
                true
            }
            _ => true,
        };
        if forward {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            // An event may arrive after the connection closed; the inner behaviour would look for it in vain.
            Either::Left(event) if self.admission.kind(id) == Some(Kind::Member) => {
                self.inner.on_connection_handler_event(peer, id, event);
            }
            Either::Left(_) => {}
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, id)) = self.closing.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(id) });
        }
        loop {
            match self.inner.poll(cx) {
                Poll::Ready(event) => {
                    if let Some(event) = self.gated(event) {
                        return Poll::Ready(event);
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
