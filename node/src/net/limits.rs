//! The bounds of the network layer that protect this node only; the ones that peers must agree on are in
//! [`verbund_protocol::limits`]. Each has its unit and its reason. Owns nothing but numbers.

use std::time::Duration;

use verbund_protocol::limits;

/// Request or answer of `/verbund/1/sync`, in bytes.
pub const SYNC_MAX_BYTES: usize = limits::FRAME_MAX_BYTES;
/// Request of `/verbund/1/join`, in bytes: ticket, identity and request are a few KiB, an identity chain some 100 KiB.
pub const JOIN_REQUEST_MAX_BYTES: usize = 256 << 10;
/// Answer of `/verbund/1/join`, in bytes: one charter with the chains that prove it, at 150 members.
pub const JOIN_ANSWER_MAX_BYTES: usize = 1 << 20;
/// Step by which a frame's buffer grows, in bytes: what an announced but unsent length can cost.
pub const FRAME_STEP_BYTES: usize = 64 << 10;
/// Memory of all frames being read or answered for members, in bytes.
pub const SYNC_BUDGET_BYTES: usize = 32 << 20;
/// Memory of all join requests being read or answered, in bytes: strangers must not press on members.
pub const JOIN_BUDGET_BYTES: usize = 4 << 20;
/// Memory of all answers that this node is waiting for, in bytes.
pub const ANSWER_BUDGET_BYTES: usize = 64 << 20;

/// Requests of one peer and protocol that are in work at a time.
pub const INBOUND_PER_PEER: usize = 8;
/// Sync requests of all members that are in work at a time.
pub const INBOUND_SYNC_TOTAL: usize = 256;
/// Join requests of all peers that are in work or whose answer is being sent: bounds the answers held in memory.
pub const INBOUND_JOIN_TOTAL: usize = 24;
/// Own requests to one peer at a time, over all protocols.
pub const OUTBOUND_PER_PEER: usize = 8;
/// Own requests to all peers at a time.
pub const OUTBOUND_TOTAL: usize = 512;
/// Streams of the request protocols on one connection, both directions: above the two limits per peer, so that the
/// polite answer "busy" is reached before the library drops a stream without a word.
pub const RPC_STREAMS: usize = 24;
/// Streams of the join protocol on one stranger's connection.
pub const STRANGER_RPC_STREAMS: usize = 4;

/// Artifact streams that this node may have open to one member.
pub const BLOB_OUTBOUND_PER_PEER: usize = 32;
/// Artifact streams that one member may have open to this node: twice of what it opens, because it learns of an end first.
pub const BLOB_INBOUND_PER_PEER: usize = 2 * BLOB_OUTBOUND_PER_PEER;
/// Accepted artifact streams that nobody has taken yet.
pub const BLOB_ACCEPT_QUEUE: usize = 64;
/// yamux streams of a member's connection: all of the above, gossip and ping, with little room, because each may hold 256 KiB that
/// nobody read.
pub const MEMBER_STREAMS: usize = 160;
/// What the windows of a member's connection may grow by, all streams together, in bytes: two streams over 60 ms at 1 Gbit/s.
pub const MEMBER_WINDOW_GROWTH_BYTES: usize = 16 << 20;
/// yamux streams of a stranger's connection; each may hold 256 KiB that nobody read.
pub const STRANGER_STREAMS: usize = 8;
/// Inbound streams of one connection whose protocol is being negotiated.
pub const NEGOTIATING_STREAMS: usize = 32;

/// Connections to one member: two when both dial at once, and one more for each dial by hand.
pub const PER_MEMBER: usize = 4;
/// Connections to one stranger, for the same reasons.
pub const PER_STRANGER: usize = 4;
/// Connections that strangers opened; the oldest makes room for the newest.
pub const STRANGERS_INBOUND: usize = 32;
/// Connections to strangers that this node opened (joining, checking an address).
pub const STRANGERS_OUTBOUND: usize = 16;
/// Inbound connections that are still shaking hands.
pub const PENDING_INBOUND: usize = 128;
/// The same of one network (IPv4 /24, IPv6 /56): a half, so that one network cannot take all.
pub const PENDING_INBOUND_PER_NETWORK: usize = 64;

/// Addresses that are tried for one peer, after names are resolved.
pub const ADDRESSES_PER_PEER: usize = 16;
/// Addresses that one name may stand for.
pub const ADDRESSES_PER_NAME: usize = 4;
/// Commands that wait for the network task.
pub const COMMAND_QUEUE: usize = 256;
/// Events that wait for their reader, in the channel.
pub const EVENT_QUEUE: usize = 256;
/// Events held back before gossip is dropped and requests are answered with "busy".
pub const OUTBOX_SOFT: usize = 64;
/// Events held back before the network is no longer read at all.
pub const OUTBOX_HARD: usize = 512;
/// Gossip messages that wait for one slow member: at most 6 MiB each.
pub const GOSSIP_QUEUE: usize = 128;

/// Gossip of one member: burst, in units of one message and [`GOSSIP_UNIT_BYTES`].
pub const GOSSIP_BURST: u32 = 8_192;
/// Gossip of one member: units per second. Far above what members say to each other: a release is some three messages of each.
/// With the burst it bounds what is remembered of one member's messages ([`GOSSIP_REMEMBERED`]) to 39,000 ids, some 10 MiB.
pub const GOSSIP_PER_S: u32 = 1_024;
/// A message costs one unit more for each of these, in bytes.
pub const GOSSIP_UNIT_BYTES: usize = 4 << 10;
/// How long a message's id is remembered, so that it is not passed on twice: far longer than any queue holds one.
pub const GOSSIP_REMEMBERED: Duration = Duration::from_secs(30);

/// Join requests of one stranger: burst.
pub const JOIN_PEER_BURST: u32 = 30;
/// Join requests of one stranger: per second.
pub const JOIN_PEER_PER_S: u32 = 3;
/// Join requests of all strangers: burst.
pub const JOIN_TOTAL_BURST: u32 = 120;
/// Join requests of all strangers: per second.
pub const JOIN_TOTAL_PER_S: u32 = 24;

/// TCP connect, TLS handshake and multiplexer together.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request from its first byte to the last of its answer, on either side.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Resolving a name.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Until a stranger's connection without a stream is closed. Connections between members are kept.
pub const STRANGER_IDLE: Duration = Duration::from_secs(30);
/// Until a stranger's connection is closed in any case.
pub const STRANGER_AGE: Duration = Duration::from_secs(600);
/// Between two pings of a member.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Until a ping counts as lost; two in a row close the connection.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// First pause after a failed dial.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest pause between two dials.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A connection that lasted this long resets the pause.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Head start of the node with the smaller key, so that two nodes seldom dial each other at once.
pub const DIAL_STAGGER: Duration = Duration::from_millis(300);
/// Until a lost listener is opened again.
pub const RELISTEN_AFTER: Duration = Duration::from_secs(5);
/// Until connections that do not close are abandoned on shutdown.
pub const SHUTDOWN_GRACE: Duration = Duration::from_millis(1_500);
