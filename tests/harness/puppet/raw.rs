//! A peer on the bare library: it can open any protocol, and send anything over it.
//!
//! Speaks the node's transport (TCP, TLS 1.3, yamux) and nothing by itself: it answers nothing and offers nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::core::Transport as _;
use libp2p::core::transport::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, StreamProtocol, Swarm, tcp, tls, yamux};
use verbund::net::HostPort;
use verbund_protocol::ids::PeerId;
use verbund_protocol::keys::SecretKey;

pub use super::keys::nobodys;
pub use libp2p::Stream;
pub use libp2p_stream::OpenStreamError;

/// The gossip protocol that it takes part in.
const GOSSIP: StreamProtocol = StreamProtocol::new("/meshsub/1.1.0");

/// One connection.
pub struct Raw {
    control: libp2p_stream::Control,
    peer: libp2p::PeerId,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Dials `peer` at `address` with this key; `Err` says why there is no connection. Must be called within a runtime.
pub async fn dial(key: &SecretKey, address: &HostPort, peer: &PeerId) -> Result<Raw, String> {
    let keypair = Keypair::ed25519_from_bytes(key.seed()).map_err(|error| error.to_string())?;
    let target: Multiaddr = address.to_multiaddr(peer).map_err(|error| error.to_string())?;
    let transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(tls::Config::new(&keypair).map_err(|error| error.to_string())?)
        .multiplex(yamux::Config::default())
        .boxed();
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(600));
    let behaviour = libp2p_stream::Behaviour::new();
    let mut control = behaviour.new_control();
    // A daemon stops listening to the gossip of one who does not take its own.
    let mut gossip = control.accept(GOSSIP).map_err(|error| error.to_string())?;
    let mut swarm = Swarm::new(transport, behaviour, keypair.public().to_peer_id(), config);
    swarm.dial(target).map_err(|error| error.to_string())?;
    let peer = loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => break peer_id,
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.to_string()),
            _ => {}
        }
    };
    let driver = tokio::spawn(async move {
        let swarm = async {
            loop {
                swarm.select_next_some().await;
            }
        };
        let deaf = async {
            while let Some((_, mut stream)) = gossip.next().await {
                let _ = futures::io::copy(&mut stream, &mut futures::io::sink()).await;
            }
        };
        futures::future::join(swarm, deaf).await;
    });
    Ok(Raw { control, peer, driver })
}

impl Raw {
    /// Opens a stream of any protocol.
    ///
    /// # Errors
    /// What the library says: above all that the other side does not offer it.
    pub async fn open(&self, protocol: &str) -> Result<Stream, OpenStreamError> {
        let protocol = StreamProtocol::try_from_owned(protocol.to_owned()).expect("a protocol name");
        self.control.clone().open_stream(self.peer, protocol).await
    }
}

/// Sends a request of the protocols that carry frames, and waits for the answer: its status byte and its bytes.
///
/// # Errors
/// In words, if the other side ended the stream without one.
pub async fn request(raw: &Raw, protocol: &str, bytes: &[u8]) -> Result<(u8, Vec<u8>), String> {
    let mut stream = raw.open(protocol).await.map_err(|error| error.to_string())?;
    let frame = [&u32::try_from(bytes.len()).expect("a frame").to_be_bytes(), bytes].concat();
    let answered = async {
        stream.write_all(&frame).await?;
        stream.close().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = answered.await.map_err(|error| error.to_string())?;
    match answer.split_first() {
        Some((status, rest)) => Ok((*status, rest.get(4..).unwrap_or_default().to_vec())),
        None => Err("the stream ended without an answer".to_owned()),
    }
}

/// Bytes sent by all of an attack.
pub type Sent = Arc<AtomicU64>;

/// Sends `chunk` over and over until `bytes` are sent, or nobody takes them for `patience`. Counts what was taken.
pub async fn pour(stream: &mut Stream, chunk: &[u8], bytes: usize, patience: Duration, sent: &Sent) -> bool {
    let mut done = 0;
    while done < bytes {
        let rest = &chunk[done % chunk.len()..];
        match tokio::time::timeout(patience, stream.write(&rest[..rest.len().min(bytes - done)])).await {
            Ok(Ok(n)) if n > 0 => {
                sent.fetch_add(n as u64, Ordering::Relaxed);
                done += n;
            }
            _ => return false,
        }
    }
    tokio::time::timeout(patience, stream.flush()).await.is_ok_and(|flushed| flushed.is_ok())
}

/// A gossip message of the library as it travels: a protobuf RPC with anonymous messages of one topic, behind its length.
pub fn gossip_rpc<'a>(topic: &str, messages: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut rpc = Vec::new();
    for data in messages {
        let mut message = Vec::with_capacity(data.len() + topic.len() + 16);
        field(&mut message, 2, data);
        field(&mut message, 4, topic.as_bytes());
        field(&mut rpc, 2, &message);
    }
    let mut out = Vec::with_capacity(rpc.len() + 5);
    varint(&mut out, rpc.len() as u64);
    out.extend(rpc);
    out
}

/// A control message of the library's gossip that prunes `topic`, with a time to stay away in seconds.
pub fn gossip_prune(topic: &str, backoff_s: u64) -> Vec<u8> {
    let (mut prune, mut control, mut rpc) = (Vec::new(), Vec::new(), Vec::new());
    field(&mut prune, 1, topic.as_bytes());
    prune.push(3 << 3);
    varint(&mut prune, backoff_s);
    field(&mut control, 4, &prune);
    field(&mut rpc, 3, &control);
    let mut out = Vec::with_capacity(rpc.len() + 5);
    varint(&mut out, rpc.len() as u64);
    out.extend(rpc);
    out
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8 & 0x7f) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
