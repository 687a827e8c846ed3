//! What operators see of the network. Owns the shapes only.

use std::collections::BTreeMap;

use serde::Serialize;
use verbund_protocol::ids::PeerId;

use super::addr::HostPort;
use super::metrics::Counts;

/// One open connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionStatus {
    /// The peer's address as seen here.
    pub address: HostPort,
    /// Whether the peer dialled.
    pub inbound: bool,
    /// When it was opened, in milliseconds since 1970.
    pub since_ms: u64,
    /// Last measured round trip, in microseconds.
    pub rtt_us: Option<u64>,
    /// Whether the peer treats this node as a member; `None` until that is known.
    pub accepted: Option<bool>,
}

/// One member, connected or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PeerStatus {
    /// Where it is dialled.
    pub addresses: Vec<HostPort>,
    /// Its open connections, the oldest first; usually one.
    pub connections: Vec<ConnectionStatus>,
    /// Whether it takes part in gossip.
    pub gossip: bool,
    /// Whether it is being dialled now.
    pub dialing: bool,
    /// Failed dials and short connections since the last stable one.
    pub attempts: u32,
    /// Milliseconds until the next dial.
    pub next_try_ms: Option<u64>,
    /// Why the last dial failed or the last connection closed; none after a success.
    pub last_error: Option<String>,
    /// Paused here.
    pub paused: bool,
    /// Blocked here.
    pub blocked: bool,
}

/// The state of one instance's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where this node listens, with real ports.
    pub listening: Vec<HostPort>,
    /// All members but this node.
    pub peers: BTreeMap<PeerId, PeerStatus>,
    /// Open connections of strangers.
    pub strangers: usize,
    /// What was refused, dropped and done.
    pub counts: Counts,
}
