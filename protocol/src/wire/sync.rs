//! `/verbund/1/sync`: how members catch up. A request, an answer.

use serde::{Deserialize, Serialize};

use super::SignedHoldings;
use crate::charter::certificate::CharterBundle;
use crate::codec::bounded;
use crate::ids::{PeerId, Sha256};
use crate::limits::{
    ANSWER_CHARTERS_MAX, ANSWER_PARTS_MAX, ANSWER_PROMISES_MAX, ENTRIES_MAX, HOLDINGS_LOGS_MAX, NOTE_MAX_BYTES,
};
use crate::log::{ConsistencyProof, Cosignature, ForkProof};
use crate::record::OrderingBundle;

/// What a member may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Where do you stand?
    Status,
    /// Leaves of a log from `from` on.
    Entries {
        /// The log.
        log: PeerId,
        /// Index of the first leaf.
        from: u64,
    },
    /// The consistency path between two sizes of a log.
    Consistency {
        /// The log.
        log: PeerId,
        /// Smaller size.
        from: u64,
        /// Larger size.
        to: u64,
    },
    /// Certified charters from this version on.
    Charters {
        /// First version.
        from: u64,
    },
    /// Approvals of changes to the newest charter.
    Approvals,
    /// Ordering messages of the next height.
    Ordering,
    /// Node infos.
    Nodes,
    /// Cosignatures and the largest witnessed note of a log.
    Notes {
        /// The log.
        log: PeerId,
    },
    /// Fork proofs.
    Proofs,
    /// What you and others hold.
    Holdings,
    /// What you have of me: my log, my cosignatures, my ordering messages. Asked after every start.
    Mine,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To `Status`.
    Status(Status),
    /// To `Entries`.
    Entries(Entries),
    /// To `Consistency`, with the note of the larger size.
    Consistency(ConsistencyProof, #[serde(deserialize_with = "bounded::blob::<_, NOTE_MAX_BYTES>")] Vec<u8>),
    /// To `Charters`.
    Charters(#[serde(deserialize_with = "bounded::list::<_, _, ANSWER_CHARTERS_MAX>")] Vec<CharterBundle>),
    /// To `Approvals` and `Nodes`.
    Documents(#[serde(deserialize_with = "bounded::envelopes::<_, ANSWER_PARTS_MAX>")] Vec<Vec<u8>>),
    /// To `Ordering`.
    Ordering(#[serde(deserialize_with = "bounded::list::<_, _, ANSWER_PARTS_MAX>")] Vec<OrderingBundle>),
    /// To `Notes`.
    Notes(Notes),
    /// To `Proofs`.
    Proofs(#[serde(deserialize_with = "bounded::list::<_, _, HOLDINGS_LOGS_MAX>")] Vec<ForkProof>),
    /// To `Holdings`.
    Holdings(#[serde(deserialize_with = "bounded::list::<_, _, ANSWER_PROMISES_MAX>")] Vec<SignedHoldings>),
    /// To `Mine`.
    Mine(Mine),
    /// It cannot be answered.
    Refused(Refusal),
}

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refusal {
    /// No such log, or none of that size here yet.
    NotHere,
    /// The request is not known to this version, or malformed.
    Unsupported,
    /// Only for members.
    NotMember,
    /// A fault of the node that was asked.
    Internal,
}

/// Where a node stands. Digests are compared only: if they differ, the thing itself is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Highest protocol version spoken.
    pub protocol: u32,
    /// Its clock, in milliseconds since 1970, for display.
    pub time_ms: u64,
    /// Newest charter version; 0 if none.
    pub charter: u64,
    /// Its hash.
    pub charter_hash: Option<Sha256>,
    /// Logs, ascending.
    #[serde(deserialize_with = "bounded::list::<_, _, ANSWER_PARTS_MAX>")]
    pub logs: Vec<LogStatus>,
    /// Over the approvals of the next change.
    pub approvals: [u8; 8],
    /// Over the ordering messages of the next height.
    pub ordering: [u8; 8],
    /// Over the node infos.
    pub nodes: [u8; 8],
    /// Over the fork proofs: the logs that they are about.
    pub proofs: [u8; 8],
    /// Over own holdings.
    pub holdings: [u8; 8],
    /// It has not yet been told what it signed before; it signs nothing.
    pub recovering: bool,
}

/// Where a node stands with one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// The log.
    pub log: PeerId,
    /// Entries held.
    pub size: u64,
    /// Size of the newest checkpoint.
    pub note_size: u64,
    /// Largest witnessed size.
    pub witnessed: u64,
    /// Largest size that this node cosigned.
    pub cosigned: u64,
    /// Over the cosignatures, without their times.
    pub promises: [u8; 8],
}

/// Leaves, proven to be part of the tree that the note signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// The log.
    pub log: PeerId,
    /// Index of the first leaf.
    pub first: u64,
    /// Leaves.
    #[serde(deserialize_with = "bounded::leaves::<_, ENTRIES_MAX>")]
    pub leaves: Vec<Vec<u8>>,
    /// A checkpoint at or beyond the last leaf.
    #[serde(deserialize_with = "bounded::blob::<_, NOTE_MAX_BYTES>")]
    pub note: Vec<u8>,
    /// From the size that these leaves lead to, to the note's; none if they are equal.
    pub proof: Option<ConsistencyProof>,
}

/// Cosignatures of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// The log.
    pub log: PeerId,
    /// The newest checkpoint, signed by the log.
    #[serde(deserialize_with = "bounded::blob::<_, NOTE_MAX_BYTES>")]
    pub newest: Vec<u8>,
    /// The largest witnessed checkpoint with its cosignatures; empty if none is.
    #[serde(deserialize_with = "bounded::blob::<_, NOTE_MAX_BYTES>")]
    pub witnessed: Vec<u8>,
    /// Newest promise of each cosigner.
    #[serde(deserialize_with = "bounded::list::<_, _, ANSWER_PROMISES_MAX>")]
    pub promises: Vec<Promise>,
}

/// A node's newest cosignature of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The log.
    pub log: PeerId,
    /// Size.
    pub size: u64,
    /// Root.
    pub root: Sha256,
    /// The signature.
    pub cosignature: Cosignature,
}

/// What a member has of the asker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mine {
    /// Newest charter version that the answerer knows.
    pub charter: u64,
    /// The newest checkpoint of the asker's log; empty if none is known.
    #[serde(deserialize_with = "bounded::blob::<_, NOTE_MAX_BYTES>")]
    pub note: Vec<u8>,
    /// Entries of it that the answerer can deliver.
    pub size: u64,
    /// Cosignatures by the asker.
    #[serde(deserialize_with = "bounded::list::<_, _, ANSWER_PROMISES_MAX>")]
    pub promises: Vec<Promise>,
    /// Ordering messages by the asker at the next height, and what they rest on.
    #[serde(deserialize_with = "bounded::list::<_, _, ANSWER_PARTS_MAX>")]
    pub ordering: Vec<OrderingBundle>,
}
