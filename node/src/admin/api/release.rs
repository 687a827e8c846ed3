//! Publishing and withdrawing.

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::{Blake3, Handle, Sha256};

use super::{Moment, request};

/// An artifact as the daemon stored it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its address.
    pub blake3: Blake3,
    /// Its hash in documents.
    pub sha256: Sha256,
    /// Size in bytes.
    pub size: u64,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path in the release, `/` between components.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Media type as recognised.
    pub media_type: String,
    /// Hash in documents.
    pub sha256: Sha256,
    /// Address.
    pub blake3: Blake3,
}

request! {
    /// Publish a release, or check whether it could be.
    ReleaseRequest {
        /// The metadata of `process.toml` as JSON, with what the folder itself tells; the daemon completes it from the charter and
        /// from earlier releases, and then checks it strictly.
        metadata: serde_json::Value,
        /// The files, in order of their paths.
        files: Vec<FileEntry>,
    }
}

/// A release that could be published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseChecked {
    /// The reference it would have.
    pub release: String,
    /// The completed metadata.
    pub metadata: serde_json::Value,
    /// What should be looked at.
    pub warnings: Vec<String>,
    /// Artifacts that the daemon does not hold yet and needs first.
    pub missing: Vec<Blake3>,
    /// The very same release is already there: publishing changes nothing.
    pub unchanged: bool,
}

/// A release that is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseCreated {
    /// Reference with version.
    pub release: String,
    /// Hash of its statement.
    pub digest: Sha256,
    /// Position in the log.
    pub index: u64,
    /// It had been published before; nothing changed.
    pub unchanged: bool,
    /// What should be looked at, such as titles reaching all members although files do not.
    pub warnings: Vec<String>,
    /// Other members, by handle: those that can witness it.
    pub members: Vec<Handle>,
    /// Those of them that may have its files, and so can hold it.
    #[serde(default)]
    pub audience: Vec<Handle>,
}

request! {
    /// Follow a release on its way.
    ProgressRequest {
        /// Reference with version, or digest.
        release: String,
    }
}

/// A step of a release on its way. After `complete` nothing follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tick", rename_all = "snake_case")]
pub enum Tick {
    /// It stands in the journal.
    Durable {
        /// When.
        at: Moment,
    },
    /// A member cosigned it.
    Cosigned {
        /// Who.
        handle: Handle,
        /// When this node learned of it.
        at: Moment,
    },
    /// Enough members cosigned it.
    Witnessed {
        /// How many.
        witnesses: u32,
        /// Of how many others.
        of: u32,
        /// When.
        at: Moment,
    },
    /// A member holds all its files.
    Held {
        /// Who.
        handle: Handle,
        /// When this node learned of it.
        at: Moment,
    },
    /// All members that may have the files hold them, and all cosigned.
    Complete {
        /// When.
        at: Moment,
    },
}

request! {
    /// Withdraw a release.
    WithdrawRequest {
        /// Reference with version.
        release: String,
        /// Why; everyone reads it.
        reason: String,
        /// How urgent.
        #[serde(default)]
        severity: WithdrawSeverity,
        /// What to use instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        successor: Option<String>,
        /// Ask holders to delete the bytes.
        #[serde(default)]
        erase: bool,
    }
}

/// How urgent a withdrawal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawSeverity {
    /// Should no longer be used.
    #[default]
    Normal,
    /// Must be replaced soon.
    Urgent,
    /// Does harm: switch off.
    Critical,
}

/// A withdrawal that is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// Reference with version.
    pub release: String,
    /// Position in the log.
    pub index: u64,
    /// Who is known to use it.
    pub adopters: Vec<Handle>,
}
