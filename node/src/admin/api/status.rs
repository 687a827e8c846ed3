//! `status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::{FederationId, Handle, MemberId, PeerId, Sha256};

use super::Moment;

/// Everything about a node on one screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The node itself.
    pub node: NodeStatus,
    /// Where it can be reached, as chosen: port 0 never stands here.
    pub addresses: Addresses,
    /// Its federations, by slug.
    pub federations: Vec<FederationStatus>,
    /// Bytes moved since the start of the process.
    pub transfer: Transfer,
    /// How often something was refused since the start, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Free space.
    pub disk: Disk,
    /// The journals of all federations together.
    pub journal: Journal,
    /// What someone should look at, worst first.
    pub problems: Vec<Concern>,
}

/// Who the node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The member's handle.
    pub handle: Handle,
    /// The member's name.
    pub name: String,
    /// The member's id.
    pub member: MemberId,
    /// The member's fingerprint: 8 groups of 5 digits.
    pub fingerprint: String,
    /// The node's peer id.
    pub peer: PeerId,
    /// Version of the software.
    pub version: String,
    /// Start of the process.
    pub started: Moment,
    /// The node's clock when it answered.
    pub now: Moment,
    /// Process id of the daemon.
    pub pid: u32,
}

/// Addresses that all federations share; each has its own listen addresses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Addresses {
    /// HTTPS, `host:port`.
    pub https: Vec<String>,
    /// Path of the admin socket.
    pub admin: String,
}

/// One federation as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederationStatus {
    /// Short name, unique on this node.
    pub slug: String,
    /// Id.
    pub id: FederationId,
    /// Name.
    pub name: String,
    /// Newest verified charter.
    pub charter_version: u64,
    /// Its payload's hash; what `--trust` takes.
    pub charter: Sha256,
    /// Voting members.
    pub n: u32,
    /// Of which so many decide.
    pub k: u32,
    /// This member's standing.
    pub standing: Standing,
    /// Where this instance listens, `host:port`.
    pub listen: Vec<String>,
    /// What it tells others, `host:port`.
    pub announce: Vec<String>,
    /// Whether the node signs for its member.
    pub may_sign: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovering: Option<Recovering>,
    /// Decisions that wait for an approval by this member.
    pub approvals_awaited: Vec<AwaitedApproval>,
    /// The log this node writes.
    pub log: OwnLog,
    /// The members, this one included, by handle.
    pub members: Vec<MemberRow>,
    /// Releases whose files are complete and verified here.
    pub held: u64,
    /// Releases that this node should hold.
    pub known: u64,
    /// Artifacts whose bytes on disk do not match their hash, waiting to be fetched again.
    pub quarantined: u64,
    /// Artifacts over a local limit.
    pub over_limit: u64,
    /// Artifacts on their way, at most [`PENDING_MAX`].
    pub pending: Vec<PendingFetch>,
    /// All that are on their way.
    pub pending_total: u64,
}

/// Pending fetches that `status` lists; `sync status` lists all.
pub const PENDING_MAX: usize = 100;

/// A member's standing in its federation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Votes.
    Full,
    /// All rights but a vote.
    Associate,
    /// Asked to join; not yet decided.
    Requested,
    /// Expelled or left.
    Former,
}

/// Why a node signs nothing yet (the start rule).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovering {
    /// In words.
    pub why: String,
    /// Since when.
    pub since: Moment,
    /// Members that answered.
    pub answered: Vec<Handle>,
    /// Members still asked.
    pub waiting_for: Vec<Handle>,
}

/// A decision that waits for this member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AwaitedApproval {
    /// `admit`, `expel` or `amend`.
    pub change: String,
    /// The member it is about.
    pub handle: Handle,
    /// That member's fingerprint.
    pub fingerprint: String,
    /// Approvals so far.
    pub approvals: u32,
    /// Approvals needed.
    pub needed: u32,
    /// Since when it waits.
    pub since: Moment,
}

/// The node's own log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnLog {
    /// Entries.
    pub size: u64,
    /// Largest size that enough others cosigned.
    pub witnessed_size: u64,
    /// Other members that cosigned the current size: the w of "w of n-1".
    pub witnesses: u32,
    /// Other members that could: the n-1.
    pub witnesses_of: u32,
    /// Entries that all members hold for void, the newest ones: at most [`VOID_MAX`].
    #[serde(default)]
    pub void: Vec<VoidEntry>,
}

/// An entry that stays in its log without effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidEntry {
    /// Its index.
    pub index: u64,
    /// Why.
    pub reason: String,
}

/// Void entries of one log that are named.
pub const VOID_MAX: usize = 10;

/// One member as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Handle.
    pub handle: Handle,
    /// Name.
    pub name: String,
    /// Its writer node.
    pub peer: PeerId,
    /// Standing.
    pub standing: Standing,
    /// Whether this is the node's own member.
    pub own: bool,
    /// The connection.
    pub connection: Connection,
    /// Releases that it lacks of those this node holds, and why; at most [`PENDING_MAX`].
    pub behind: Vec<Behind>,
    /// How many it lacks in all.
    pub behind_by: u64,
    /// Its clock minus ours, in milliseconds, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
    /// Size of its log as known here.
    pub log_size: u64,
    /// State of its log.
    pub log: LogState,
    /// When its own latest timestamp is older than the freshness bound.
    pub stale: bool,
    /// Entries of its log that are void, counted up to a thousand; `peer show` names them.
    #[serde(default)]
    pub void: u64,
}

/// State of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogState {
    /// Grows.
    Open,
    /// Ended by a writer, a leave or a charter.
    Closed,
    /// Ended by a fork proof.
    Forked,
}

/// State of the connection to a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Connection {
    /// The node itself.
    Own,
    /// Connected.
    Connected {
        /// Since when.
        since: Moment,
        /// The other end, `host:port`.
        address: String,
    },
    /// Not connected.
    Disconnected {
        /// Since when; absent if there never was a connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Moment>,
        /// The last error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// When the next try is due.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_try: Option<Moment>,
    },
    /// Paused by an operator.
    Paused,
    /// Blocked by an operator.
    Blocked,
}

/// A release that a member lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Behind {
    /// Reference with version.
    pub release: String,
    /// Why, as far as known.
    pub why: String,
}

/// An artifact that is on its way here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingFetch {
    /// The release that needs it.
    pub release: String,
    /// Its path there.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// Bytes received and verified so far.
    pub received: u64,
    /// Stable reason: `fetching`, `no_holder`, `over_limit`, `disk_full`, `refused`, `backing_off`, `quarantined`, …
    pub code: String,
    /// The reason in words, with the limit if one is exceeded.
    pub why: String,
    /// From whom: the holder asked now or last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Handle>,
    /// When the next try is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Moment>,
    /// Tries so far.
    pub attempts: u32,
}

/// Counters of bytes of artifacts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Received and verified.
    pub bytes_received: u64,
    /// Received although they had been received before: what a crash or a switch of holders cost.
    pub bytes_received_again: u64,
    /// Sent.
    pub bytes_sent: u64,
    /// The in-flight window of one artifact: the most that one interruption may cost.
    pub window_bytes: u64,
}

/// Free space where the data directory lies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Free for the daemon.
    pub free_bytes: u64,
    /// Below this nothing is taken in.
    pub floor_bytes: u64,
    /// Whether intake is stopped for lack of space.
    pub intake_stopped: bool,
}

/// The journals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// Bytes on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of a torn end that the last start cut off.
    pub cut_bytes: u64,
    /// Damaged frames found, each named in `problems`.
    pub damaged: u64,
}

/// Something that someone should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concern {
    /// Stable, for monitoring.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// Since when.
    pub since: Moment,
    /// In words.
    pub text: String,
    /// What to do.
    pub next_step: String,
    /// Federation slug, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<String>,
}

/// How bad a concern is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Will become a problem.
    Warning,
    /// The node does not do its work in full.
    Error,
}
