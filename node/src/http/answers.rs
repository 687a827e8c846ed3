//! The JSON bodies of `/api/v1`. The texts of fields are part of the OpenAPI document.
//!
//! Owns their shape: what the library says, with the addresses at which more can be had. Fields may be added; none changes its
//! meaning or goes away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use verbund_protocol::ids::{FederationId, Handle, Sha256, Slug};

use super::library::{
    ChangeKind, ConnectionView, Evidence, FederationDetail, FileEntry, MemberView, ReleaseSummary, Standing, Statements,
};

/// Federations that the reader may see.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FederationList {
    /// By slug.
    pub(super) items: Vec<FederationItem>,
}

/// A federation, and where its parts can be read.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FederationItem {
    /// Its name in paths.
    #[schemars(with = "String")]
    pub(super) slug: Slug,
    /// Its id.
    #[schemars(with = "String")]
    pub(super) id: FederationId,
    /// Its name for people.
    pub(super) name: String,
    /// Address of its details.
    pub(super) federation: String,
    /// Address of its processes.
    pub(super) processes: String,
    /// Address of its members.
    pub(super) members: String,
    /// Address of its changes.
    pub(super) changes: String,
}

/// A federation in full.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FederationBody {
    #[serde(flatten)]
    pub(super) detail: FederationDetail,
    /// Address of its processes.
    pub(super) processes: String,
    /// Address of its members.
    pub(super) members: String,
    /// Address of its changes.
    pub(super) changes: String,
    /// Address of its feed.
    pub(super) feed: String,
    /// Address of its DCAT-AP.de catalogue.
    pub(super) catalog: String,
}

/// Members of a federation.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MemberList {
    /// By handle.
    pub(super) items: Vec<MemberView>,
}

/// A page of releases.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReleaseList {
    /// In a stable order.
    pub(super) items: Vec<ReleaseItem>,
    /// Cursor of the next page; null at the end.
    pub(super) next: Option<String>,
}

/// A release in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReleaseItem {
    #[serde(flatten)]
    pub(super) summary: ReleaseSummary,
    /// Its address.
    pub(super) release: String,
}

/// A process.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProcessBody {
    /// Short name of the federation.
    #[schemars(with = "String")]
    pub(super) federation: Slug,
    /// Owner.
    #[schemars(with = "String")]
    pub(super) member: Handle,
    /// The process in its owner's namespace.
    #[schemars(with = "String")]
    pub(super) slug: Slug,
    /// The highest stable version that is not withdrawn.
    pub(super) latest: Option<String>,
    /// Its address.
    pub(super) latest_release: Option<String>,
    /// Address of all versions.
    pub(super) versions: String,
    /// Owner, title, adoptions, transfers.
    pub(super) details: Value,
}

/// A release.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReleaseBody {
    /// Short name of the federation.
    #[schemars(with = "String")]
    pub(super) federation: Slug,
    /// Owner.
    #[schemars(with = "String")]
    pub(super) member: Handle,
    /// The process in its owner's namespace.
    #[schemars(with = "String")]
    pub(super) slug: Slug,
    /// The version.
    pub(super) version: String,
    /// SHA-256 of the manifest that the publisher signed.
    #[schemars(with = "String")]
    pub(super) manifest: Sha256,
    /// Whether every file is complete and verified here.
    pub(super) available: bool,
    /// What is missing, in words.
    pub(super) unavailable: Option<String>,
    /// What the release says about itself, corrections applied.
    pub(super) metadata: Value,
    /// All files, in the manifest's order.
    pub(super) files: Vec<FileItem>,
    /// Who signed, where it stands in which log, who witnessed it, who holds it.
    #[schemars(with = "Evidence")]
    pub(super) evidence: Value,
    /// What was said about it since; null if nothing was.
    #[schemars(with = "Option<Statements>")]
    pub(super) statements: Value,
    /// Address of the offline proof.
    pub(super) provenance: String,
    /// Address of everything in one archive.
    pub(super) bundle: String,
}

/// A file of a release.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FileItem {
    #[serde(flatten)]
    pub(super) entry: FileEntry,
    /// Its address.
    pub(super) href: String,
}

/// Changes, in order.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChangeList {
    /// What happened.
    pub(super) items: Vec<ChangeItem>,
    /// Where to go on, now or later: `since` of the next request.
    pub(super) next: String,
    /// Whether there may be more already.
    pub(super) more: bool,
}

/// One change.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChangeItem {
    /// Its cursor: `since` this one.
    pub(super) id: String,
    /// What happened.
    pub(super) kind: ChangeKind,
    /// When this node noticed it (RFC 3339).
    pub(super) at: String,
    /// In one sentence.
    pub(super) text: String,
    /// The release that it is about, as it stands now.
    pub(super) release: Option<ReleaseItem>,
    /// Its id.
    #[schemars(with = "Option<String>")]
    pub(super) digest: Option<Sha256>,
    /// Reference to what to use instead, if one was named.
    pub(super) successor: Option<String>,
    /// Handle of the member that it is about.
    #[schemars(with = "Option<String>")]
    pub(super) member: Option<Handle>,
    /// Version of the charter, if that changed.
    pub(super) charter: Option<u64>,
}

/// Digests to look up.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckRequest {
    /// SHA-256 of releases (their statements), manifests or files: 64 hex digits, with or without `sha256:`. At most 500.
    #[schemars(length(max = 500))]
    pub(super) digests: Vec<String>,
}

/// How digests stand.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckAnswer {
    /// In the order of the request.
    pub(super) items: Vec<CheckItem>,
}

/// How one digest stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckItem {
    /// As it was asked for.
    #[schemars(with = "String")]
    pub(super) digest: Sha256,
    /// How it stands.
    pub(super) standing: Standing,
    /// What it is the digest of: `release`, `manifest` or `file`; null if unknown.
    pub(super) kind: Option<&'static str>,
    /// The release that it belongs to. If there are several, the one that stands best.
    pub(super) release: Option<ReleaseItem>,
    /// Path of the file in it.
    pub(super) path: Option<String>,
    /// The version to use, if it is another one.
    pub(super) newer: Option<ReleaseItem>,
    /// Why it is withdrawn or deprecated.
    pub(super) reason: Option<String>,
    /// Reference to what to use instead, if one was named.
    pub(super) successor: Option<String>,
}

/// Connections are hidden from readers without a token.
pub(super) fn without_connection(mut member: MemberView) -> MemberView {
    member.connection = None::<ConnectionView>;
    member
}
