//! The network of one federation instance: its own swarm, key, listeners and peers.
//!
//! Owns who is let in (the gate), who is dialled and kept connected, and all limits on what peers may send. The rest of the node
//! sees peer ids, bytes and events. Holds no domain logic: never looks into a message, never decides who is a member, never
//! writes to disk. Every queue, buffer, rate and time is bounded; see [`limits`].
//!
//! - Members ([`NetHandle::set_members`]) get gossip, `/verbund/1/sync` and `/verbund/1/blob`; everybody gets
//!   `/verbund/1/join`. All connections of a peer are of one kind; a membership change closes and dials again.
//! - One task owns the swarm. Handles send it commands over a bounded queue; it sends [`NetEvent`]s back. If nobody reads them,
//!   gossip is dropped, then requests are answered with "busy", then the network is no longer read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use libp2p::gossipsub::IdentTopic;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use verbund_protocol::ids::PeerId;

mod addr;
mod admission;
mod behaviour;
mod coalesce;
mod connections;
mod dial;
mod dialing;
mod gate;
mod gossip;
pub mod keylog;
pub mod limits;
mod metrics;
mod mux;
mod pacing;
mod rate;
mod requests;
mod rpc;
mod status;
mod streams;
mod task;
#[cfg(test)]
mod tests;
mod tls;

pub use addr::{AddrError, Host, HostPort};
pub use admission::ConnectionLimits;
pub use dial::{DialFailure, DialReason};
pub use gossip::{GossipId, Verdict};
pub use metrics::Counts;
pub use rpc::{Protocol, RequestError, Responder};
pub use status::{ConnectionStatus, PeerStatus, Status};
pub use streams::{BlobStream, BlobStreams, StreamError};

/// Targets of the `tracing` events of the libraries below that hostile peers can cause at "warn" or "error": the daemon's log
/// filter starts with it, so that nobody fills its disk from outside.
pub const LOG_FILTER: &str =
    "libp2p_request_response=error,libp2p_gossipsub=error,libp2p_swarm=error,yamux=off,libp2p_yamux=off";

/// How one instance is set up.
#[derive(Clone)]
pub struct Config {
    /// Seed of the node's Ed25519 key (RFC 8032 private key).
    pub seed: [u8; 32],
    /// Gossip topic: the federation id in hex.
    pub topic: String,
    /// Where to listen: literal addresses; port 0 is any free one. Empty: dial out only.
    pub listen: Vec<HostPort>,
    /// Whether strangers are let in and `/verbund/1/join` is served.
    pub join_enabled: bool,
    /// Neither send nor receive gossip: for tests of catching up alone.
    pub drop_gossip: bool,
    /// Limits of connections.
    pub limits: ConnectionLimits,
    /// A request from its first byte to the last of its answer.
    pub request_timeout: Duration,
    /// Until a stranger's connection without a stream is closed.
    pub stranger_idle: Duration,
    /// Between two pings of a member.
    pub ping_interval: Duration,
    /// Until a ping counts as lost; two in a row close the connection.
    pub ping_timeout: Duration,
}

impl Config {
    /// The defaults for this key, topic and listeners.
    pub fn new(seed: [u8; 32], topic: String, listen: Vec<HostPort>) -> Self {
        Self {
            seed,
            topic,
            listen,
            join_enabled: true,
            drop_gossip: false,
            limits: ConnectionLimits::default(),
            request_timeout: limits::REQUEST_TIMEOUT,
            stranger_idle: limits::STRANGER_IDLE,
            ping_interval: limits::PING_INTERVAL,
            ping_timeout: limits::PING_TIMEOUT,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("topic", &self.topic).field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Why an instance could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The key or its certificate could not be made.
    #[error("node key: {0}")]
    Key(String),
    /// Gossip could not be set up.
    #[error("{0}")]
    Gossip(String),
    /// Listening needs a literal address.
    #[error("cannot listen on {0}: a literal address is needed, such as 0.0.0.0:4101 or [::]:4101")]
    ListenName(HostPort),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The configured address.
        addr: HostPort,
        /// The system's error; `AddrInUse` if somebody else listens there.
        source: std::io::Error,
    },
}

/// Why a message was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It is longer than [`verbund_protocol::limits::GOSSIP_MAX_BYTES`].
    #[error("a gossip message of {0} bytes is over the limit")]
    TooLarge(usize),
    /// The network task is behind. Gossip is a hint: nothing is lost that catching up would not bring.
    #[error("the network task is behind")]
    Busy,
    /// The network task has ended.
    #[error("the network is shut down")]
    Closed,
}

/// What happens on the network. Only members appear in connection events.
#[derive(Debug)]
pub enum NetEvent {
    /// This node listens on this address; with port 0 or a wildcard configured it is the real one.
    Listening(HostPort),
    /// A listener failed; it is opened again after a pause.
    ListenFailed {
        /// The address.
        addr: HostPort,
        /// The system's words.
        reason: String,
    },
    /// The first connection to a member is open.
    Connected {
        /// The member's node.
        peer: PeerId,
        /// Its address as seen here; the port is its own only if this node dialled.
        address: HostPort,
        /// Whether the member dialled.
        inbound: bool,
    },
    /// The last connection to a member closed.
    Disconnected {
        /// The member's node.
        peer: PeerId,
        /// Why, in words.
        reason: String,
    },
    /// A member could not be reached.
    DialFailed {
        /// The member's node.
        peer: PeerId,
        /// Every address and what was wrong with it.
        error: DialFailure,
        /// Milliseconds until the next try.
        next_try_ms: u64,
    },
    /// A member takes part in gossip from now on: what is published reaches it.
    GossipReady {
        /// The member's node.
        peer: PeerId,
    },
    /// A gossip message. Must be judged by [`NetHandle::report`], or it is not passed on.
    Gossip {
        /// What to report on.
        id: GossipId,
        /// The member that passed it on, not necessarily its author.
        from: PeerId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A request to be answered within the time-out.
    Request {
        /// Who asks.
        peer: PeerId,
        /// Whether the peer is a member now.
        member: bool,
        /// Which protocol; [`Protocol::Sync`] comes from members only.
        protocol: Protocol,
        /// The request.
        bytes: Vec<u8>,
        /// The way back; dropping it tells the peer that there is no answer.
        respond: Responder,
    },
}

/// A successful dial: the handshake proved the expected key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialled {
    /// The address that answered first.
    pub address: HostPort,
    /// TCP connect, TLS and multiplexer together.
    pub handshake: Duration,
}

/// Who belongs to the federation, as the network needs to know it.
#[derive(Clone, Debug, Default)]
struct Targets {
    members: BTreeMap<PeerId, Vec<HostPort>>,
    paused: BTreeSet<PeerId>,
    blocked: BTreeSet<PeerId>,
}

/// What handles ask of the task.
#[derive(Debug)]
enum Command {
    Dial { peer: PeerId, addrs: Vec<HostPort>, reply: oneshot::Sender<Result<Dialled, DialFailure>> },
    Publish(Vec<u8>),
    Report(GossipId, Verdict),
    Request { peer: PeerId, protocol: Protocol, bytes: Vec<u8>, reply: oneshot::Sender<Result<Vec<u8>, RequestError>> },
    OpenBlob { peer: PeerId, reply: oneshot::Sender<Result<BlobStream, StreamError>> },
    Status(oneshot::Sender<Status>),
}

/// The way to one instance's network. Cheap to clone; when all are gone the network shuts down.
#[derive(Clone, Debug)]
pub struct NetHandle {
    local: PeerId,
    commands: mpsc::Sender<Command>,
    targets: Arc<watch::Sender<Targets>>,
    cancel: CancellationToken,
    /// Closes when the task has ended.
    ended: watch::Receiver<()>,
}

/// Starts an instance. Must be called within a tokio runtime.
///
/// # Errors
/// [`NetError`] if the key is unusable or a listener cannot be opened; nothing is left running then.
pub fn start(config: &Config) -> Result<(NetHandle, mpsc::Receiver<NetEvent>, BlobStreams), NetError> {
    let (command_tx, commands) = mpsc::channel(limits::COMMAND_QUEUE);
    let (events, event_rx) = mpsc::channel(limits::EVENT_QUEUE);
    let (accepted, blob_rx) = mpsc::channel(limits::BLOB_ACCEPT_QUEUE);
    let (targets_tx, targets) = watch::channel(Targets::default());
    let (end, ended) = watch::channel(());
    let cancel = CancellationToken::new();
    let counters = Arc::default();
    let topic = IdentTopic::new(config.topic.clone());
    let swarm = behaviour::swarm(config, &topic, &counters, accepted)?;
    let local =
        addr::from_libp2p(swarm.local_peer_id()).ok_or_else(|| NetError::Key("not an Ed25519 key".to_owned()))?;
    let channels = task::Channels { commands, events, targets, cancel: cancel.clone(), end };
    let mut task = task::Task::new(swarm, local, topic, config, counters, channels);
    task.listen(&config.listen)?;
    tokio::spawn(task.run());
    let handle = NetHandle { local, commands: command_tx, targets: Arc::new(targets_tx), cancel, ended };
    Ok((handle, event_rx, BlobStreams { rx: blob_rx }))
}

impl NetHandle {
    /// This node.
    pub fn local_peer(&self) -> PeerId {
        self.local
    }

    /// Sets the members: they are let in, dialled at these addresses and kept connected. Connections of peers that became or
    /// ceased to be members are closed; members are dialled again at once. An entry without addresses is let in only. This
    /// node itself may be among them. Never blocks; the last call wins.
    pub fn set_members(&self, members: BTreeMap<PeerId, Vec<HostPort>>) {
        self.targets.send_if_modified(|t| {
            let changed = t.members != members;
            t.members = members;
            changed
        });
    }

    /// Sets the peers that are not talked to for a while: neither dialled nor let in.
    pub fn set_paused(&self, paused: BTreeSet<PeerId>) {
        self.targets.send_if_modified(|t| {
            let changed = t.paused != paused;
            t.paused = paused;
            changed
        });
    }

    /// Sets the peers that are not talked to at all, not even to join.
    pub fn set_blocked(&self, blocked: BTreeSet<PeerId>) {
        self.targets.send_if_modified(|t| {
            let changed = t.blocked != blocked;
            t.blocked = blocked;
            changed
        });
    }

    /// Dials `peer` now at these addresses, whether it is connected or not, and reports success only after the handshake
    /// proved its key. Several are tried at once; if another node answers, the remaining ones are tried. A member or stranger
    /// that was not connected is connected afterwards; strangers for as long as they are used.
    ///
    /// # Errors
    /// [`DialFailure`] with the reason for every address.
    pub async fn dial_once(&self, peer: PeerId, addrs: Vec<HostPort>) -> Result<Dialled, DialFailure> {
        let cancelled = || DialFailure::all(&addrs, &DialReason::Cancelled);
        let (reply, answer) = oneshot::channel();
        let command = Command::Dial { peer, addrs: addrs.clone(), reply };
        self.commands.send(command).await.map_err(|_| cancelled())?;
        answer.await.map_err(|_| cancelled())?
    }

    /// Publishes a gossip message. Success means that it was handed to the network task; delivery is not assured.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish(&self, bytes: Vec<u8>) -> Result<(), PublishError> {
        if bytes.len() > verbund_protocol::limits::GOSSIP_MAX_BYTES {
            return Err(PublishError::TooLarge(bytes.len()));
        }
        self.commands.try_send(Command::Publish(bytes)).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => PublishError::Busy,
            mpsc::error::TrySendError::Closed(_) => PublishError::Closed,
        })
    }

    /// Judges a received gossip message. A verdict that is lost because the task is behind counts as [`Verdict::Ignore`].
    pub fn report(&self, id: GossipId, verdict: Verdict) {
        let _ = self.commands.try_send(Command::Report(id, verdict));
    }

    /// Sends a request and waits for its answer. `Sync` needs a connected member, `Join` any connection.
    ///
    /// # Errors
    /// [`RequestError`]; after `TimedOut` and `Lost` the peer may have acted on the request.
    pub async fn request(&self, peer: PeerId, protocol: Protocol, bytes: Vec<u8>) -> Result<Vec<u8>, RequestError> {
        let max = protocol.request_max_bytes();
        if bytes.len() > max {
            return Err(RequestError::TooLarge { len: bytes.len() as u64, max: max as u64 });
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Request { peer, protocol, bytes, reply };
        self.commands.send(command).await.map_err(|_| RequestError::Closed)?;
        answer.await.map_err(|_| RequestError::Closed)?
    }

    /// Opens an artifact stream to a connected member. The peer may drop it at once when it is busy; that shows as an end of
    /// the stream before its first byte.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn open_blob(&self, peer: PeerId) -> Result<BlobStream, StreamError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::OpenBlob { peer, reply }).await.map_err(|_| StreamError::Closed)?;
        answer.await.unwrap_or_else(|_| Err(StreamError::Lost("the connection closed".to_owned())))
    }

    /// The state of listeners, members and counters.
    ///
    /// # Errors
    /// [`RequestError::Closed`] if the network has ended.
    pub async fn status(&self) -> Result<Status, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Status(reply)).await.map_err(|_| RequestError::Closed)?;
        answer.await.map_err(|_| RequestError::Closed)
    }

    /// Closes all connections and listeners and waits until that is done, at most 2 s.
    pub async fn shutdown(&self) {
        self.cancel.cancel();
        let mut ended = self.ended.clone();
        // The task drops its end when it is through; a task that hangs is left to the runtime.
        let _ = tokio::time::timeout(Duration::from_secs(2), ended.changed()).await;
    }
}
