//! What the library says, in shape. The texts of fields are part of the OpenAPI document.
//!
//! Owns no rule. Fields may be added; none changes its meaning or goes away within `/api/v1`.

use schemars::JsonSchema;
use semver::Version;
use serde::Serialize;
use verbund_protocol::ids::{Blake3, FederationId, Handle, MemberId, PeerId, Sha256, Slug};

/// A federation of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationView {
    /// Its name in paths.
    pub slug: Slug,
    /// Its id.
    pub id: FederationId,
    /// Its name for people.
    pub name: String,
}

/// A federation by its newest charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FederationDetail {
    /// Its name in paths.
    #[schemars(with = "String")]
    pub slug: Slug,
    /// Its id: the hash of its first charter.
    #[schemars(with = "String")]
    pub id: FederationId,
    /// The id as it is read out over the telephone: 8 groups of 5 digits.
    pub fingerprint: String,
    /// Its name for people.
    pub name: String,
    /// When it was founded, by its founder's clock (RFC 3339).
    pub founded: String,
    /// The newest charter (Mitgliederverzeichnis).
    pub charter: CharterView,
    /// Members that vote.
    pub voting: usize,
    /// Of whom so many decide: ⌊2n/3⌋+1.
    pub quorum: usize,
    /// Other members that must have cosigned a release for it to count as witnessed.
    pub witnesses_needed: usize,
    /// The cooperation agreement that members accepted, if one was named.
    pub agreement: Option<AgreementView>,
    /// Licence of releases that name none (SPDX).
    pub license: Option<String>,
    /// Terms of releases that name none.
    pub terms: Option<String>,
    /// The federation that this one was founded to replace.
    #[schemars(with = "Option<String>")]
    pub predecessor: Option<FederationId>,
}

/// A version of the charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CharterView {
    /// Rises by one with each change.
    pub version: u64,
    /// SHA-256 of its payload: what `process verify --trust FEDERATION@HASH` takes.
    #[schemars(with = "String")]
    pub hash: Sha256,
}

/// The agreement that a federation rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AgreementView {
    /// Title, as printed on it.
    pub title: String,
    /// Where it can be read.
    pub uri: Option<String>,
    /// SHA-256 of the file.
    #[schemars(with = "String")]
    pub sha256: Sha256,
}

/// A member (Partner) by the newest charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MemberView {
    /// What people call it.
    #[schemars(with = "String")]
    pub handle: Handle,
    /// Its name.
    pub name: String,
    /// Its id: the hash of its first identity.
    #[schemars(with = "String")]
    pub member: MemberId,
    /// The id as it is read out over the telephone.
    pub fingerprint: String,
    /// `full` votes, `associate` does not.
    pub standing: &'static str,
    /// Charter version that admitted it.
    pub since_version: u64,
    /// Functional mailbox.
    pub contact: Option<String>,
    /// The node that writes for it.
    #[schemars(with = "String")]
    pub writer: PeerId,
    /// Its log (Protokoll) as it is known here.
    pub log: LogView,
    /// Whether this node is connected with it. Only for readers with a token.
    pub connection: Option<ConnectionView>,
}

/// A log as it is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogView {
    /// Entries.
    pub size: u64,
    /// `open`, `closed` or `forked`.
    pub state: &'static str,
    /// The largest size that enough other members cosigned; null if none is.
    pub witnessed: Option<u64>,
    /// When its own node last stated that nothing newer exists (RFC 3339).
    pub fresh: Option<String>,
    /// Whether that is longer ago than 15 minutes, or was never.
    pub stale: bool,
}

/// A connection to a member's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConnectionView {
    /// `own` for the member of this node, `connected`, `disconnected`, `paused` or `blocked`.
    pub state: &'static str,
    /// Since when it is connected, or when it was last seen (RFC 3339).
    pub since: Option<String>,
}

/// One line of a list of processes (its newest stable release) or of versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReleaseSummary {
    /// Owner of the namespace.
    #[schemars(with = "String")]
    pub member: Handle,
    /// Its name.
    pub owner_name: String,
    /// The process.
    #[schemars(with = "String")]
    pub slug: Slug,
    /// The version.
    #[serde(serialize_with = "as_text")]
    #[schemars(with = "String")]
    pub version: Version,
    /// SHA-256 of the signed statement's payload: the id of the release.
    #[schemars(with = "String")]
    pub digest: Sha256,
    /// Title for people.
    pub title: String,
    /// One sentence.
    pub summary: String,
    /// When it was published, by its publisher's clock (RFC 3339).
    pub published: String,
    /// Whether its files can be had from this node now.
    pub available: bool,
    /// Whether its publisher recalled it.
    pub withdrawn: bool,
    /// Whether its publisher announced its end.
    pub deprecated: bool,
    /// Other members whose cosignatures cover it.
    pub witnesses: usize,
    /// Other members that could cosign.
    pub witnesses_of: usize,
    /// Members that state that they hold all files; null where it was not asked for.
    #[schemars(with = "Option<Vec<String>>")]
    pub held_by: Option<Vec<Handle>>,
}

pub(super) fn as_text<S: serde::Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(version)
}

/// A process.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessView {
    /// The highest stable version that is not withdrawn, available or not.
    pub latest: Option<Version>,
    /// Everything to be shown about the process: title, owner, transfers, adoptions.
    pub details: serde_json::Value,
}

/// One file of a release, as its manifest states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileEntry {
    /// Relative path, as in the manifest.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// As declared by the publisher.
    pub media_type: String,
    /// Over the whole file.
    #[schemars(with = "String")]
    pub sha256: Sha256,
    /// Over the whole file.
    #[schemars(with = "String")]
    pub blake3: Blake3,
}

/// A release.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseView {
    /// SHA-256 of the manifest that the publisher signed.
    pub manifest: Sha256,
    /// What the release says about itself, corrections applied.
    pub metadata: serde_json::Value,
    /// All files, in the manifest's order.
    pub files: Vec<FileEntry>,
    /// An [`Evidence`].
    pub evidence: serde_json::Value,
    /// Withdrawal, deprecation and the like ([`Statements`]); `null` if there is none.
    pub statements: serde_json::Value,
    /// `None` if every file is complete and verified here, otherwise what is missing, in words.
    pub unavailable: Option<String>,
}

/// Who signed a release, where it stands in which log, who witnessed it, who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Evidence {
    /// Id of the member that published it.
    #[schemars(with = "String")]
    pub owner: MemberId,
    /// SHA-256 of the signed statement's payload: the id of the release.
    #[schemars(with = "String")]
    pub digest: Sha256,
    /// The statement as it was signed: a DSSE envelope, base64.
    pub envelope: String,
    /// Who signed it, with which keys.
    pub signatures: Vec<SignatureView>,
    /// When it was published, by its publisher's clock (RFC 3339).
    pub published: String,
    /// The log that it stands in.
    #[schemars(with = "String")]
    pub log: PeerId,
    /// Its place there, from 0.
    pub index: u64,
    /// Members whose cosignatures cover it.
    #[schemars(with = "Vec<String>")]
    pub witnesses: Vec<Handle>,
    /// Whether these are enough.
    pub witnessed: bool,
    /// How many are needed.
    pub needed: usize,
    /// How many other members could cosign.
    pub of: usize,
    /// Version of the charter by which they are counted.
    pub charter: u64,
    /// Members that state that they hold all files.
    #[schemars(with = "Vec<String>")]
    pub held_by: Vec<Handle>,
}

/// One valid signature under a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SignatureView {
    /// The member whose key it is.
    #[schemars(with = "String")]
    pub member: Handle,
    /// `publisher`: the role of the key in the member's identity.
    pub role: &'static str,
    /// The public key (Ed25519), as the identity lists it.
    pub key: String,
}

/// What was said about a release after it was published.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Statements {
    /// Its recall.
    pub withdrawn: Option<WithdrawnView>,
    /// Its announced end, or that of the whole process.
    pub deprecated: Option<DeprecatedView>,
    /// Corrections that have an effect, oldest first; `metadata` has them applied.
    pub corrections: Vec<serde_json::Value>,
    /// The process of another member that goes on with this one, if it was transferred.
    pub moved_to: Option<String>,
}

/// A recall (Rückruf).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WithdrawnView {
    /// Why.
    pub reason: String,
    /// `low`, `medium`, `high`, `critical`, or what else the publisher wrote.
    pub severity: String,
    /// What to use instead: a reference.
    pub successor: Option<String>,
    /// Whether holders are asked to delete the files.
    pub erase: bool,
    /// When (RFC 3339).
    pub at: String,
    /// All of it in one line.
    pub text: String,
}

/// An announced end (abgekündigt).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeprecatedView {
    /// Why.
    pub reason: String,
    /// Last day of maintenance, `YYYY-MM-DD`.
    pub ends: Option<String>,
    /// What to use instead: a reference.
    pub successor: Option<String>,
    /// When it was announced (RFC 3339).
    pub at: String,
    /// All of it in one line.
    pub text: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ChangeKind {
    /// All files of a new release are complete and verified on this node.
    #[serde(rename = "release.available")]
    Available,
    /// A release was recalled.
    #[serde(rename = "release.withdrawn")]
    Withdrawn,
    /// Descriptive metadata of a release changed.
    #[serde(rename = "release.corrected")]
    Corrected,
    /// The end of a release or process was announced.
    #[serde(rename = "release.deprecated")]
    Deprecated,
    /// A member was admitted.
    #[serde(rename = "member.joined")]
    Joined,
    /// A member was expelled.
    #[serde(rename = "member.expelled")]
    Expelled,
    /// The charter changed otherwise.
    #[serde(rename = "charter.amended")]
    Amended,
}

impl ChangeKind {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "release.available",
            Self::Withdrawn => "release.withdrawn",
            Self::Corrected => "release.corrected",
            Self::Deprecated => "release.deprecated",
            Self::Joined => "member.joined",
            Self::Expelled => "member.expelled",
            Self::Amended => "charter.amended",
        }
    }
}

/// One change, as far as the reader may know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeView {
    /// Its number on this node: the order of changes, with gaps.
    pub number: u64,
    /// The place after it.
    pub place: super::Position,
    /// When this node noticed it, in milliseconds since 1970.
    pub at_ms: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// In one sentence.
    pub text: String,
    /// The release that it is about.
    pub release: Option<ChangedRelease>,
    /// The member that it is about, and its name.
    pub member: Option<(Handle, String)>,
    /// The version of the charter, if that changed.
    pub charter: Option<u64>,
}

/// The release that a change is about, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedRelease {
    /// Its id.
    pub digest: Sha256,
    /// Its line in lists.
    pub summary: ReleaseSummary,
    /// Reference to what to use instead, if one was named.
    pub successor: Option<String>,
}

/// Changes of a federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// In order.
    pub items: Vec<ChangeView>,
    /// Place after the last one that was looked at: where to go on, now or later.
    pub next: super::Position,
    /// Whether there may be more already.
    pub more: bool,
}

/// Where to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// At the oldest change that is kept.
    Start,
    /// At the next one that happens.
    Now,
    /// After this place.
    After(super::Position),
    /// At the newest, going backwards, before this place or from the end: for feeds.
    Newest(Option<super::Position>),
}

/// What is known of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Of the newest stable version of its process.
    Current,
    /// There is a newer stable version.
    Superseded,
    /// Its end was announced.
    Deprecated,
    /// It was recalled.
    Withdrawn,
    /// Not of any release that the reader may see.
    Unknown,
}

/// What a digest that was asked for belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How it stands.
    pub standing: Standing,
    /// `release`, `manifest` or `file`: what the digest is of.
    pub kind: Option<&'static str>,
    /// The release that stands best of those with this digest.
    pub release: Option<ReleaseSummary>,
    /// The path of the file in it, if it is one.
    pub path: Option<String>,
    /// The version to use, if it is another one.
    pub newer: Option<ReleaseSummary>,
    /// Why it is withdrawn or deprecated, in words.
    pub reason: Option<String>,
    /// Reference to what to use instead, if one was named.
    pub successor: Option<String>,
}

/// A process with the metadata of its newest release, for catalogues of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its line in lists.
    pub summary: ReleaseSummary,
    /// Name of its owner.
    pub owner: String,
    /// Metadata, corrections applied.
    pub metadata: serde_json::Value,
    /// When it was published, in seconds since 1970.
    pub published_s: u64,
    /// When its first version was published.
    pub issued_s: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// SHA-256 of its manifest.
    pub manifest: Sha256,
}
