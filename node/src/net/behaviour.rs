//! What a node speaks and over what: the composition of the protocols, the transport and the listeners.
//!
//! Owns the construction only. TCP, TLS 1.3 and yamux, nothing else: no second encryption to keep, no discovery, no relay.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, Transport as _, upgrade::Version};
use libp2p::gossipsub::IdentTopic;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, Swarm, ping, tcp};
use tokio::sync::{Semaphore, mpsc};

use super::admission::{Admission, Members};
use super::gate::Gated;
use super::metrics::Counters;
use super::rpc::{Codec, Protocol};
use super::{Config, NetError, gossip, limits, mux, pacing, rpc, streams, tls};

/// What members may use.
#[derive(NetworkBehaviour)]
pub(super) struct Member {
    pub(super) gossip: pacing::Behaviour,
    pub(super) sync: rpc::Behaviour,
    pub(super) blobs: streams::Behaviour,
    pub(super) ping: ping::Behaviour,
}

/// The whole node. The gate comes first: it alone refuses connections, before any other part has counted them.
#[derive(NetworkBehaviour)]
pub(super) struct Node {
    pub(super) members: Gated<Member>,
    pub(super) join: rpc::Behaviour,
}

/// Builds the swarm of one instance; it listens nowhere yet.
pub(super) fn swarm(
    config: &Config,
    topic: &IdentTopic,
    counters: &Arc<Counters>,
    accepted: mpsc::Sender<(PeerId, streams::BlobStream)>,
) -> Result<Swarm<Node>, NetError> {
    let keypair = Keypair::ed25519_from_bytes(config.seed).map_err(|e| NetError::Key(e.to_string()))?;
    let local = keypair.public().to_peer_id();
    let members = Members::default();
    let transport = transport(&keypair, members.clone())?;
    let answers = Arc::new(Semaphore::new(limits::ANSWER_BUDGET_BYTES));
    let codec = |protocol| Codec::new(protocol, answers.clone(), counters.clone());
    let ping = ping::Config::new().with_interval(config.ping_interval).with_timeout(config.ping_timeout);
    let gossip = gossip::behaviour(topic, config.drop_gossip).map_err(|e| NetError::Gossip(e.to_string()))?;
    let inner = Member {
        gossip: pacing::Behaviour::new(gossip, counters.clone()),
        sync: rpc::behaviour(codec(Protocol::Sync), true, config.request_timeout),
        blobs: streams::Behaviour::new(accepted, counters.clone()),
        ping: ping::Behaviour::new(ping),
    };
    let admission = Admission::new(config.limits, config.join_enabled, members);
    let node = Node {
        members: Gated::new(admission, inner, counters.clone()),
        join: rpc::behaviour(codec(Protocol::Join), config.join_enabled, config.request_timeout),
    };
    let swarm_config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(config.stranger_idle)
        .with_max_negotiating_inbound_streams(limits::NEGOTIATING_STREAMS)
        // All addresses of a peer at once, IPv6 and IPv4 in turn and slightly staggered (RFC 8305).
        .with_smart_dial();
    Ok(Swarm::new(transport, node, local, swarm_config))
}

fn transport(keypair: &Keypair, members: Members) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let tls = tls::Config::new(keypair).map_err(|e| NetError::Key(e.to_string()))?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    Ok(tcp
        .upgrade(Version::V1Lazy)
        .authenticate(tls)
        // The key is proven at this point: a stranger gets few streams, because each can hold unread bytes.
        .multiplex_ext(
            move |peer, _| {
                if members.contains(peer) { mux::Config::member() } else { mux::Config::stranger() }
            },
        )
        .timeout(limits::HANDSHAKE_TIMEOUT)
        .boxed())
}

/// Whether nobody else listens on `addr`. The library shares listening ports (`SO_REUSEPORT`), so that two nodes of one user
/// with the same port by mistake would each get a part of the connections; a plain bind finds the other one.
pub(super) fn check_free(addr: SocketAddr) -> io::Result<()> {
    use rustix::net::{self, AddressFamily, SocketType, sockopt};
    if addr.port() == 0 {
        return Ok(());
    }
    if addr.is_ipv4() {
        return TcpListener::bind(addr).map(drop);
    }
    // IPv6 only, as the library listens: `[::]` must not collide with our own `0.0.0.0`.
    let socket = net::socket(AddressFamily::INET6, SocketType::STREAM, None)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &addr)?;
    net::listen(&socket, 1)?;
    Ok(())
}
