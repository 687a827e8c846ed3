//! `sync status` and `sync now`.

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::{Handle, Sha256};

use super::{LogState, Moment, PendingFetch, request};

request! {
    /// Which releases are missing, why, from whom.
    SyncStatusRequest {
        /// Only what this member (handle or peer id) lacks; absent: what this node lacks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
    }
}

/// Whether a node holds what it should.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// Per federation.
    pub federations: Vec<FederationSync>,
}

/// Replication of one federation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederationSync {
    /// Slug.
    pub slug: String,
    /// Releases held in full.
    pub held: u64,
    /// Releases that should be.
    pub known: u64,
    /// Logs: known size against the largest that any member claims.
    pub logs: Vec<LogSync>,
    /// Every missing release.
    pub missing: Vec<Missing>,
}

/// How far a log is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogSync {
    /// Whose.
    pub handle: Handle,
    /// Entries here.
    pub size: u64,
    /// The largest verified checkpoint seen.
    pub target: u64,
    /// State.
    pub log: LogState,
}

/// A release that is not complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// Reference with version.
    pub release: String,
    /// Hash of its statement.
    pub digest: Sha256,
    /// When its owner published it: so long it is missing at most.
    #[serde(default)]
    pub published: Moment,
    /// Bytes still missing.
    pub bytes: u64,
    /// Members that say they hold it.
    pub holders: Vec<Handle>,
    /// What is on its way or why not.
    pub files: Vec<PendingFetch>,
}

request! {
    /// Ask now instead of at the next interval.
    SyncNowRequest {
        /// Only this member (handle or peer id).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
    }
}

/// Who was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncStarted {
    /// Members that are being asked.
    pub asked: Vec<Handle>,
    /// Members that could not be: not connected, paused, blocked.
    pub unreachable: Vec<Handle>,
}
