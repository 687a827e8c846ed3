//! What goes into the core and what comes out of it.

use std::collections::BTreeMap;

use crate::ids::{Blake3, Handle, MemberId, PeerId, Sha256};
use crate::keys::SecretKey;
use crate::record::{Audit, PeerNote};

/// The time, as the caller's clocks have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since 1970, for what is signed and shown. May jump.
    pub wall_ms: u64,
    /// Milliseconds since some start, for waiting. Never falls.
    pub mono_ms: u64,
}

impl Now {
    /// Seconds since 1970.
    pub const fn wall_s(&self) -> u64 {
        self.wall_ms / 1_000
    }
}

/// Who this node is, and the keys that lie beside it.
#[derive(Debug, Clone)]
pub struct Own {
    /// The member.
    pub member: MemberId,
    /// Its handle.
    pub handle: Handle,
    /// Its identity chain, as envelope bytes.
    pub identities: Vec<Vec<u8>>,
    /// Its writer for this federation as signed; empty for one that is not known here.
    pub writer: Vec<u8>,
    /// The node's key.
    pub node: SecretKey,
    /// Approver keys that lie here; may be none.
    pub approvers: Vec<SecretKey>,
    /// Publisher keys that lie here; may be none.
    pub publishers: Vec<SecretKey>,
    /// Addresses to announce, `host:port`.
    pub addresses: Vec<String>,
    /// Name and version of the software.
    pub software: String,
}

/// Periods and limits that an operator may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between two polls of a peer, in milliseconds.
    pub poll_ms: u64,
    /// Between two statements of freshness, in milliseconds.
    pub freshness_ms: u64,
    /// Start rule: after this long, n − k + 1 answers suffice.
    pub start_wait_ms: u64,
    /// Start rule: how long a federation's only member waits for a contradiction.
    pub start_alone_ms: u64,
    /// Releases fetched at a time.
    pub releases_at_once: usize,
    /// Artifacts fetched at a time, over all releases.
    pub fetches_at_once: usize,
    /// Larger artifacts are not fetched, in bytes.
    pub artifact_max_bytes: u64,
    /// Whether strangers may lodge requests here.
    pub join_enabled: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll_ms: 15_000,
            freshness_ms: 300_000,
            start_wait_ms: 60_000,
            start_alone_ms: 10_000,
            releases_at_once: 8,
            fetches_at_once: 16,
            artifact_max_bytes: crate::limits::ARTIFACT_MAX_BYTES,
            join_enabled: true,
        }
    }
}

/// What happens to the core.
#[derive(Debug)]
pub enum Input {
    /// Time passes.
    Tick,
    /// The batch of the step before is part of the view.
    Applied,
    /// The node can be reached at these addresses.
    Addresses(Vec<String>),
    /// A member's node is connected.
    Connected(PeerId),
    /// It is no longer.
    Disconnected(PeerId),
    /// A gossip message.
    Gossip {
        /// Names the message for [`Effect::Judge`].
        id: u64,
        /// Who handed it on.
        from: PeerId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A sync request other than for entries, which are served beside the core.
    SyncRequest {
        /// Names the request for [`Effect::Respond`].
        id: u64,
        /// Who asks.
        from: PeerId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// The answer to an [`Effect::Ask`].
    Answer {
        /// Its tag.
        tag: u64,
        /// The frame, or why there is none.
        result: Result<Vec<u8>, String>,
    },
    /// A stranger's (or member's) request on the join protocol.
    JoinRequest {
        /// Names the request for [`Effect::Respond`].
        id: u64,
        /// Who asks.
        from: PeerId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// The answer to an [`Effect::AskJoin`].
    JoinAnswer {
        /// The frame, or why there is none.
        result: Result<Vec<u8>, String>,
    },
    /// An operator's or program's wish.
    Command {
        /// Names it for [`Effect::Reply`].
        id: u64,
        /// What.
        command: Command,
    },
    /// The end of an [`Effect::Fetch`].
    Fetched {
        /// Its tag.
        tag: u64,
        /// How it went.
        result: Result<(), FetchError>,
    },
    /// The content of a manifest that was asked for with [`Effect::ReadManifest`].
    Manifest {
        /// Its tag.
        tag: u64,
        /// BLAKE3, sha256 and size of each distinct file. [`FetchError::Refused`] if it is no manifest; any other error says that it
        /// could not be read, which is this node's own fault and may pass.
        files: Result<Vec<(Blake3, Sha256, u64)>, FetchError>,
    },
    /// An artifact that was held is missing or damaged.
    Lost(Blake3),
}

/// Why a fetch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The holder said no, or does not have it.
    Refused(String),
    /// The holder sent something wrong.
    Fault(String),
    /// The connection broke.
    Connection(String),
    /// The holder let go before the end: it stalled, was too slow, or ended early.
    Unfinished(String),
    /// This node could not take it: over the limit, a failing disk.
    Local(String),
    /// This node's disk is too full to take it.
    Full(String),
}

impl FetchError {
    /// The reason in words.
    pub fn text(&self) -> &str {
        match self {
            Self::Refused(text)
            | Self::Fault(text)
            | Self::Connection(text)
            | Self::Unfinished(text)
            | Self::Local(text)
            | Self::Full(text) => text,
        }
    }
}

/// One artifact to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOrder {
    /// Names it.
    pub tag: u64,
    /// From whom.
    pub from: PeerId,
    /// The address.
    pub hash: Blake3,
    /// What its SHA-256 must be.
    pub sha256: Sha256,
    /// What its size must be, in bytes.
    pub size: u64,
}

/// What the caller does, once the batch of the same step is durable; questions at once ([`Effect::is_question`]).
#[derive(Debug)]
pub enum Effect {
    /// Publish a gossip message.
    Gossip(Vec<u8>),
    /// Say whether a gossip message is to be passed on.
    Judge {
        /// Its name.
        id: u64,
        /// `Some(true)` accept, `Some(false)` reject, `None` ignore.
        accept: Option<bool>,
    },
    /// Send a sync request.
    Ask {
        /// Names the answer.
        tag: u64,
        /// To whom.
        peer: PeerId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Send a join request to a node that need not be connected.
    AskJoin {
        /// To whom.
        peer: PeerId,
        /// Where.
        addresses: Vec<String>,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Answer a request.
    Respond {
        /// Its name.
        id: u64,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Let in, dial and keep connected exactly these nodes.
    Gate(BTreeMap<PeerId, Vec<String>>),
    /// Fetch an artifact, resuming what is there; if it is held already, say so at once.
    Fetch(FetchOrder),
    /// Read a held manifest.
    ReadManifest {
        /// Names the answer.
        tag: u64,
        /// Its address.
        hash: Blake3,
    },
    /// Answer a command.
    Reply {
        /// Its name.
        id: u64,
        /// How it went.
        result: Result<Reply, Problem>,
    },
    /// Tell whoever watches.
    Event(Event),
}

impl Effect {
    /// Whether it need not wait until the batch is durable: a question promises nothing, and what a node asks for tells others no
    /// more than what it has. So the next entries of a log come in while those before them are judged and synced, and artifacts
    /// while the release is: nothing refers to them before their own record is durable.
    pub const fn is_question(&self) -> bool {
        matches!(self, Self::Ask { .. } | Self::Fetch(_) | Self::ReadManifest { .. })
    }
}

/// A wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make a ticket.
    Invite {
        /// For whom.
        handle: Handle,
        /// Names it; random.
        id: [u8; 16],
        /// The secret; random.
        secret: [u8; 32],
        /// Seconds from now.
        valid_s: u64,
    },
    /// Approve the request of a handle.
    Admit {
        /// Whose.
        handle: Handle,
        /// The member fingerprint read out by the newcomer; needed if two claim the handle.
        fingerprint: Option<String>,
    },
    /// Refuse the request of a handle.
    Reject {
        /// Whose.
        handle: Handle,
        /// Why; the requester sees it.
        reason: String,
    },
    /// Approve an expulsion.
    Expel {
        /// Whose.
        handle: Handle,
    },
    /// Append a signed document to the own log.
    Append(Vec<u8>),
    /// Note something about a peer.
    Peer(PeerNote),
    /// Drop what was noted about a peer.
    RemovePeer(PeerId),
    /// Keep a named value.
    Value {
        /// Its name.
        name: String,
        /// The bytes; none to remove it.
        value: Vec<u8>,
    },
    /// Keep an audit record.
    Audit(Audit),
    /// Ask all peers now.
    SyncNow,
    /// Sign although not all members could be asked what was signed before.
    SignAnyway,
}

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to say but that it is durable.
    Done,
    /// A ticket line.
    Ticket(String),
    /// An entry of the own log.
    Appended {
        /// Its index.
        index: u64,
        /// The payload's hash.
        id: Sha256,
    },
    /// An approval, with the approvals so far and those needed.
    Approved {
        /// Who is spoken of.
        member: MemberId,
        /// Its fingerprint.
        fingerprint: String,
        /// Members that have approved, this one included.
        approvals: usize,
        /// Quorum.
        needed: usize,
    },
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    /// Stable name for programs.
    pub code: &'static str,
    /// For people: what is wrong, and what to do next.
    pub text: String,
}

impl Problem {
    /// A problem.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// Something that people or programs may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// What.
    pub kind: EventKind,
}

/// What happened. Past tense, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A charter version holds.
    CharterAdopted {
        /// Version.
        version: u64,
        /// Members in it.
        members: usize,
    },
    /// A log grew.
    LogGrew {
        /// Which.
        log: PeerId,
        /// Its size.
        size: u64,
    },
    /// An entry of a log was judged void: it stays in the log without effect.
    EntryVoid {
        /// Its log.
        log: PeerId,
        /// Its place.
        index: u64,
        /// Why.
        reason: String,
    },
    /// A log was cosigned.
    Cosigned {
        /// Which.
        log: PeerId,
        /// Up to which size.
        size: u64,
        /// By whom.
        by: PeerId,
    },
    /// A node said what it holds.
    HoldingsChanged {
        /// Which node.
        peer: PeerId,
    },
    /// A release is complete and verified here.
    ReleaseAvailable {
        /// Its log.
        log: PeerId,
        /// Its place.
        index: u64,
    },
    /// A release cannot be had for now.
    ReleaseBlocked {
        /// Its log.
        log: PeerId,
        /// Its place.
        index: u64,
        /// Why.
        reason: String,
    },
    /// A held artifact was damaged and is fetched again.
    ArtifactLost {
        /// Its address.
        artifact: Blake3,
        /// Releases that it belongs to.
        releases: usize,
    },
    /// A log was closed by a fork proof.
    LogForked {
        /// Which.
        log: PeerId,
        /// Where it ends.
        size: u64,
    },
    /// A member asks to join.
    RequestLodged {
        /// Under which handle.
        handle: Handle,
        /// Who.
        member: MemberId,
    },
    /// Own request: what the issuer said.
    JoinProgressed {
        /// In words.
        text: String,
    },
    /// The node may sign now.
    Recovered,
    /// Something from outside was refused.
    Refused {
        /// Whose it was.
        peer: Option<PeerId>,
        /// Stable name.
        reason: String,
        /// In words.
        text: String,
    },
    /// Two messages of one member contradict each other.
    Equivocated {
        /// Who.
        member: MemberId,
        /// In words.
        text: String,
    },
}

impl EventKind {
    /// Stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CharterAdopted { .. } => "charter_adopted",
            Self::LogGrew { .. } => "log_grew",
            Self::EntryVoid { .. } => "entry_void",
            Self::Cosigned { .. } => "cosigned",
            Self::HoldingsChanged { .. } => "holdings_changed",
            Self::ReleaseAvailable { .. } => "release_available",
            Self::ReleaseBlocked { .. } => "release_blocked",
            Self::ArtifactLost { .. } => "artifact_lost",
            Self::LogForked { .. } => "log_forked",
            Self::RequestLodged { .. } => "request_lodged",
            Self::JoinProgressed { .. } => "join_progressed",
            Self::Recovered => "recovered",
            Self::Refused { .. } => "refused",
            Self::Equivocated { .. } => "equivocated",
        }
    }
}

/// A peer's message was wrong; the reason is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable name.
    pub reason: &'static str,
    /// In words.
    pub text: String,
}

impl Fault {
    /// A fault.
    pub fn new(reason: &'static str, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}
