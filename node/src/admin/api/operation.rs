//! Events, audit, tokens, configuration and the store.

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::Handle;

use super::{Moment, Severity, request};

request! {
    /// List or follow events.
    EventsRequest {
        /// Only after this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// At most so many of the newest; absent: 100; at most 1000. Ignored while following.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// Only with this code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    }
}

/// Events, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventList {
    /// The events.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one; a gap means that a slow reader missed some.
    pub number: u64,
    /// When.
    pub at: Moment,
    /// Stable.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// In words.
    pub text: String,
    /// Federation slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<String>,
    /// The member it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Handle>,
    /// The release it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// More, by code.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub details: serde_json::Map<String, serde_json::Value>,
}

request! {
    /// List the audit.
    AuditRequest {
        /// At most so many of the newest; absent: 100; at most 1000.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// Only since then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Moment>,
    }
}

/// Audit records, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditList {
    /// The records.
    pub records: Vec<AuditRecord>,
}

/// Who changed what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When the request came.
    pub at: Moment,
    /// User id of the caller, by the kernel.
    pub uid: u32,
    /// Its name, if the system knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Process id of the caller, by the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// What: `member.admit`, …
    pub operation: String,
    /// On what: the parameters that name it, never a secret.
    pub subject: String,
    /// Federation slug or id as the caller gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<String>,
    /// `ok`, or the code of the problem.
    pub outcome: String,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// Catalogue and files.
    Read,
    /// Entry bundles of the logs, as a monitor needs them.
    Log,
}

request! {
    /// Make a token for an IT system.
    TokenCreateRequest {
        /// Name, for people.
        name: String,
        /// What it allows; empty: `read`.
        #[serde(default)]
        scopes: Vec<TokenScope>,
        /// How long, in milliseconds; absent: 365 days.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_ms: Option<u64>,
    }
}

/// A new token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// Shown once; only its hash is kept.
    pub token: String,
    /// What is kept about it.
    #[serde(flatten)]
    pub view: TokenView,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenView {
    /// Id, for `revoke`.
    pub id: String,
    /// Name.
    pub name: String,
    /// Federation slug.
    pub federation: String,
    /// What it allows.
    pub scopes: Vec<TokenScope>,
    /// When it was made.
    pub created: Moment,
    /// When it ends.
    pub valid_until: Moment,
    /// Last use, roughly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Moment>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenList {
    /// By creation.
    pub tokens: Vec<TokenView>,
}

request! {
    /// A token is named.
    TokenRequest {
        /// Id or name.
        token: String,
    }
}

/// Effective configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigShow {
    /// Every key, in order.
    pub values: Vec<ConfigValue>,
}

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigValue {
    /// `https.listen`.
    pub key: String,
    /// The value; absent if none is set.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub value: serde_json::Value,
    /// `default`, `file`, `environment VERBUND_…` or `flag`.
    pub origin: String,
}

request! {
    /// End recovery by decision of an operator.
    RecoverRequest {
        /// Must be true: the caller knows that a second copy of this node would fork its log.
        sign_anyway: bool,
    }
}

/// Where the space goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreDf {
    /// Artifacts held.
    pub artifacts: u64,
    /// Their bytes.
    pub artifact_bytes: u64,
    /// Bytes of unfinished ones.
    pub partial_bytes: u64,
    /// Bytes in quarantine.
    pub quarantine_bytes: u64,
    /// Bytes that garbage collection would free now.
    pub reclaimable_bytes: u64,
    /// Bytes of journals.
    pub journal_bytes: u64,
    /// Bytes of views.
    pub view_bytes: u64,
    /// Free space.
    pub free_bytes: u64,
    /// Below this nothing is taken in.
    pub floor_bytes: u64,
}

request! {
    /// Read artifacts and compare them with their hashes.
    ScrubRequest {
        /// Only the files of this release.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<String>,
    }
}

/// A scrub that was started, or is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scrub {
    /// Artifacts to read.
    pub artifacts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Artifacts read so far.
    pub checked: u64,
    /// Mismatches found so far; each is an event.
    pub damaged: u64,
    /// Whether it is through.
    pub finished: bool,
}

request! {
    /// Delete artifacts that nothing refers to.
    GcRequest {
        /// Say only what would be deleted.
        #[serde(default)]
        dry_run: bool,
    }
}

/// What garbage collection did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gc {
    /// Artifacts deleted, or that would be.
    pub artifacts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Kept for now because they are younger than the grace time or pinned.
    pub kept: u64,
    /// Whether nothing was deleted on purpose.
    pub dry_run: bool,
}
