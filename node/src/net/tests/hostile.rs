//! Peers that do not keep to the protocol, built on the bare library.

use super::*;
use crate::net::limits;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::core::Transport as _;
use libp2p::core::transport::upgrade::Version;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent, dummy};
use libp2p::{StreamProtocol, Swarm, identity::Keypair, tcp, tls, yamux};

/// A bare swarm that speaks the node's transport and whatever its behaviour does.
fn bare<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    with_key(&Keypair::generate_ed25519(), behaviour)
}

fn with_key<B: NetworkBehaviour>(key: &Keypair, behaviour: B) -> Swarm<B> {
    let transport = tcp::tokio::Transport::new(tcp::Config::new())
        .upgrade(Version::V1Lazy)
        .authenticate(tls::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(PATIENCE);
    Swarm::new(transport, behaviour, key.public().to_peer_id(), config)
}

fn multiaddr(node: &Node) -> libp2p::Multiaddr {
    node.addr.to_multiaddr(&node.peer).unwrap()
}

/// A bare peer that is connected to `node` and can open any stream.
async fn attacker(node: &Node) -> (libp2p_stream::Control, libp2p::PeerId) {
    attacker_with(&Keypair::generate_ed25519(), node).await
}

async fn attacker_with(key: &Keypair, node: &Node) -> (libp2p_stream::Control, libp2p::PeerId) {
    let mut swarm = with_key(key, libp2p_stream::Behaviour::new());
    let control = swarm.behaviour().new_control();
    swarm.dial(multiaddr(node)).unwrap();
    let peer = loop {
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } = within(swarm.select_next_some()).await {
            break peer_id;
        }
    };
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    (control, peer)
}

const JOIN: StreamProtocol = StreamProtocol::new("/verbund/1/join");

#[tokio::test(flavor = "multi_thread")]
async fn hostile_lengths_are_refused_and_the_node_goes_on() {
    let node = Node::start(1).await;
    let (mut control, peer) = attacker(&node).await;
    for len in [u32::MAX, limits::JOIN_REQUEST_MAX_BYTES as u32 + 1, 1 << 31] {
        let mut stream = within(control.open_stream(peer, JOIN)).await.unwrap();
        stream.write_all(&len.to_be_bytes()).await.unwrap();
        stream.write_all(&[0; 100]).await.unwrap_or_default();
        let mut answer = Vec::new();
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "no answer to an oversized request");
    }
    assert_eq!(within(node.net.status()).await.unwrap().counts.oversize, 3);
    // On the same connection, a proper request.
    let mut stream = within(control.open_stream(peer, JOIN)).await.unwrap();
    stream.write_all(&[0, 0, 0, 2, b'o', b'k']).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, [&[0, 0, 0, 0, 5], b"re:ok".as_slice()].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_protocol_is_refused() {
    let node = Node::start(1).await;
    let key = Keypair::generate_ed25519();
    // On the first connection and on a second one with the same key beside it.
    let (first, peer) = attacker_with(&key, &node).await;
    let (second, _) = attacker_with(&key, &node).await;
    let protocols = [
        "/verbund/1/sync",
        "/verbund/1/blob",
        "/meshsub/1.3.0",
        "/meshsub/1.1.0",
        "/floodsub/1.0.0",
        "/ipfs/ping/1.0.0",
        "/ipfs/id/1.0.0",
    ];
    for mut control in [first, second] {
        for protocol in protocols {
            let opened = within(control.open_stream(peer, StreamProtocol::new(protocol))).await;
            assert!(matches!(opened, Err(libp2p_stream::OpenStreamError::UnsupportedProtocol(_))), "{protocol}");
        }
        assert!(within(control.open_stream(peer, JOIN)).await.is_ok());
    }
    assert_eq!(within(node.net.status()).await.unwrap().strangers, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_streams_are_cut() {
    let node = Node::start(1).await;
    let mut served = 0;
    // Opens join streams that never end, until the node ends the connection.
    let (mut control, peer) = attacker(&node).await;
    let mut open = Vec::new();
    let ended = async {
        while let Ok(mut stream) = control.open_stream(peer, JOIN).await {
            if stream.write_all(&[0, 4, 0, 0]).await.is_err() {
                return;
            }
            open.push(stream);
            served += 1;
            assert!(served <= limits::STRANGER_STREAMS, "a stranger has few streams");
        }
    };
    within(ended).await;
    // Others are served.
    let (mut control, peer) = attacker(&node).await;
    let mut stream = within(control.open_stream(peer, JOIN)).await.unwrap();
    stream.write_all(&[0, 0, 0, 1, b'x']).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"\0\0\0\0\x04re:x");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_are_refused() {
    let node = Node::start(1).await;
    let mut swarm = bare(libp2p_stream::Behaviour::new());
    let mut incoming = swarm.behaviour().new_control().accept(JOIN).unwrap();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let addr = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = within(swarm.select_next_some()).await {
            break crate::net::addr::socket(&address).unwrap().into();
        }
    };
    let peer = crate::net::addr::from_libp2p(swarm.local_peer_id()).unwrap();
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    // In turn: an answer over the cap, an unknown status, a truncated answer.
    tokio::spawn(async move {
        for answer in [vec![0, 255, 255, 255, 255, 1, 2, 3], vec![77], vec![0, 0, 0, 0, 9, 1]] {
            let (_, mut stream) = incoming.next().await.unwrap();
            stream.write_all(&answer).await.unwrap();
            let _ = stream.close().await;
        }
    });
    within(node.net.dial_once(peer, vec![addr])).await.unwrap();
    let ask = || within(node.net.request(peer, Protocol::Join, b"?".to_vec()));
    let max = limits::JOIN_ANSWER_MAX_BYTES as u64;
    assert_eq!(ask().await, Err(RequestError::TooLarge { len: u64::from(u32::MAX), max }));
    assert!(matches!(ask().await, Err(RequestError::Lost(_))));
    assert!(matches!(ask().await, Err(RequestError::Lost(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_locks_no_member_out() {
    let (a, mut b) = pair(1, 2).await;
    let mut late = Node::start(3).await;
    // Half of the flood never says a word.
    let mut mute = Vec::new();
    for _ in 0..200 {
        mute.extend(tokio::net::TcpStream::connect(a.addr.socket().unwrap()).await);
    }
    // The other half shakes hands and stays.
    let mut flood = Vec::new();
    for _ in 0..200 {
        let mut swarm = bare(dummy::Behaviour);
        swarm.dial(multiaddr(&a)).unwrap();
        flood.push(tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        }));
        let status = within(a.net.status()).await.unwrap();
        assert!(status.strangers <= 2 * limits::STRANGERS_INBOUND, "{}", status.strangers);
    }
    // A member that is dialled joins in the middle of it, and the old one has lost nothing.
    late.lets_in(&[a.peer]);
    a.members(&[&b, &late]);
    late.connected(a.peer).await;
    assert_eq!(asked(&late, &a, b"1").await.unwrap(), b"re:1");
    assert_eq!(within(b.net.request(a.peer, Protocol::Sync, b"2".to_vec())).await.unwrap(), b"re:2");
    assert_eq!(echoed(&b, &a, b"artifact").await, b"artifact");
    while let Ok(seen) = b.seen.try_recv() {
        assert!(!matches!(seen, Seen::Disconnected(..)), "{seen:?}");
    }
    let status = within(a.net.status()).await.unwrap();
    assert!(status.strangers <= 2 * limits::STRANGERS_INBOUND);
    assert!(status.counts.refused_full + status.counts.strangers_evicted > 0, "{:?}", status.counts);
    for task in flood {
        task.abort();
    }
}
