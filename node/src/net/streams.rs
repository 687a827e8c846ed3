//! Artifact streams `/verbund/1/blob`: raw bytes between members, one stream per artifact or range.
//!
//! Owns opening and accepting them and their number per member. It stands in for the library's own stream behaviour, which
//! queues one accepted stream only, dials by itself, and remembers every connection it ever had. The handler also keeps
//! members' connections open while idle. Never reads or writes a stream.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{AsyncRead as _, AsyncWrite as _, ready};
use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::metrics::Counters;
use super::{addr, limits};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/verbund/1/blob");

/// Why a stream could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer is not a member, or there is no connection to it right now.
    #[error("not connected")]
    NotConnected,
    /// This node has as many streams to the peer as it may: try again when one has ended.
    #[error("too many streams to this peer")]
    Busy,
    /// The peer does not offer the protocol: it does not list this node as a member.
    #[error("the peer does not offer artifacts to us")]
    Unsupported,
    /// The connection was lost or too slow while the stream was being opened.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The network task has ended.
    #[error("the network is shut down")]
    Closed,
}

/// A stream of raw bytes to or from a member. Dropping it resets the stream if it was not shut down.
pub struct BlobStream {
    stream: Stream,
    /// The stream's place among those of its peer.
    _place: OwnedSemaphorePermit,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobStream")
    }
}

impl AsyncRead for BlobStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = ready!(Pin::new(&mut self.stream).poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BlobStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// The accepted streams. Must be read steadily: when its queue of [`limits::BLOB_ACCEPT_QUEUE`] is full, new ones are dropped
/// and the peer tries again.
#[derive(Debug)]
pub struct BlobStreams {
    pub(super) rx: mpsc::Receiver<(PeerId, BlobStream)>,
}

impl BlobStreams {
    /// The next stream and the member that opened it; `None` when the network has shut down. Cancel-safe.
    pub async fn next(&mut self) -> Option<(verbund_protocol::ids::PeerId, BlobStream)> {
        loop {
            let (peer, stream) = self.rx.recv().await?;
            if let Some(peer) = addr::from_libp2p(&peer) {
                return Some((peer, stream));
            }
        }
    }
}

/// A stream being opened.
pub(super) struct Opening {
    reply: oneshot::Sender<Result<BlobStream, StreamError>>,
    place: OwnedSemaphorePermit,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening")
    }
}

#[derive(Debug)]
struct Peer {
    /// In order of their ids, that is of age.
    connections: Vec<ConnectionId>,
    inbound: Arc<Semaphore>,
    outbound: Arc<Semaphore>,
}

/// Opens and accepts artifact streams.
pub(super) struct Behaviour {
    peers: BTreeMap<PeerId, Peer>,
    /// Bounded by the places of all peers.
    commands: VecDeque<(PeerId, ConnectionId, Opening)>,
    accepted: mpsc::Sender<(PeerId, BlobStream)>,
    counters: Arc<Counters>,
}

impl Behaviour {
    pub(super) fn new(accepted: mpsc::Sender<(PeerId, BlobStream)>, counters: Arc<Counters>) -> Self {
        Self { peers: BTreeMap::new(), commands: VecDeque::new(), accepted, counters }
    }

    /// Opens a stream over the newest connection: an older one may be dead without having noticed.
    pub(super) fn open(&mut self, peer: PeerId, reply: oneshot::Sender<Result<BlobStream, StreamError>>) {
        let Some((known, id)) = self.peers.get(&peer).and_then(|p| Some((p, *p.connections.last()?))) else {
            let _ = reply.send(Err(StreamError::NotConnected));
            return;
        };
        match known.outbound.clone().try_acquire_owned() {
            Ok(place) => self.commands.push_back((peer, id, Opening { reply, place })),
            Err(_) => {
                let _ = reply.send(Err(StreamError::Busy));
            }
        }
    }

    fn handler(&mut self, peer: PeerId) -> Handler {
        // A peer's places outlive its connections only as long as its streams do.
        let inbound = self.peers.get(&peer).map_or_else(new_places, |p| p.inbound.clone());
        Handler {
            peer,
            inbound,
            accepted: self.accepted.clone(),
            opening: VecDeque::new(),
            counters: self.counters.clone(),
        }
    }
}

fn new_places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits::BLOB_INBOUND_PER_PEER))
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = std::convert::Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.add(id, peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.add(id, peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::ConnectionClosed(closed) = event
            && let Some(peer) = self.peers.get_mut(&closed.peer_id)
        {
            peer.connections.retain(|id| *id != closed.connection_id);
            if peer.connections.is_empty() {
                self.peers.remove(&closed.peer_id);
            }
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.commands.pop_front() {
            Some((peer_id, id, opening)) => {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(id), event: opening })
            }
            None => Poll::Pending,
        }
    }
}

impl Behaviour {
    fn add(&mut self, id: ConnectionId, peer: PeerId) -> Handler {
        let handler = self.handler(peer);
        let known = self.peers.entry(peer).or_insert_with(|| Peer {
            connections: Vec::new(),
            inbound: handler.inbound.clone(),
            outbound: Arc::new(Semaphore::new(limits::BLOB_OUTBOUND_PER_PEER)),
        });
        known.connections.push(id);
        handler
    }
}

/// The streams of one connection.
pub(super) struct Handler {
    peer: PeerId,
    inbound: Arc<Semaphore>,
    accepted: mpsc::Sender<(PeerId, BlobStream)>,
    opening: VecDeque<Opening>,
    counters: Arc<Counters>,
}

impl Handler {
    fn accept(&self, stream: Stream) {
        let place = self.inbound.clone().try_acquire_owned();
        let taken =
            place.is_ok_and(|place| self.accepted.try_send((self.peer, BlobStream { stream, _place: place })).is_ok());
        if !taken {
            self.counters.blob_streams_dropped.one();
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Opening;
    type ToBehaviour = std::convert::Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opening;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn on_behaviour_event(&mut self, opening: Opening) {
        self.opening.push_back(opening);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        match self.opening.pop_front() {
            Some(opening) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), opening),
            }),
            None => Poll::Pending,
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), Self::OutboundOpenInfo>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info: () }) => {
                self.accept(protocol)
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let _ = info.reply.send(Ok(BlobStream { stream: protocol, _place: info.place }));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => {
                        self.counters.protocol_refused.one();
                        StreamError::Unsupported
                    }
                    StreamUpgradeError::Timeout => StreamError::Lost("no answer in time".to_owned()),
                    StreamUpgradeError::Io(e) => StreamError::Lost(e.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = info.reply.send(Err(error));
            }
            _ => {}
        }
    }
}
