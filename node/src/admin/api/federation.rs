//! Federations, their charters and their members.

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::{FederationId, Handle, MemberId, PeerId, Sha256};

use super::{LogState, Moment, Standing, request};

request! {
    /// Found a federation.
    FederationCreateRequest {
        /// Name for people.
        name: String,
        /// Short name; absent: derived from the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slug: Option<String>,
        /// The cooperation agreement that members accept by its hash.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agreement: Option<Agreement>,
        /// Default licence of releases (SPDX or `LicenseRef-…`); absent: EUPL-1.2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        license: Option<String>,
        /// Default terms of releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terms: Option<String>,
    }
}

/// The agreement a federation rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Title.
    pub title: String,
    /// Where it can be read.
    pub uri: String,
    /// Hash of its bytes.
    pub sha256: Sha256,
}

/// All federations of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederationList {
    /// By slug.
    pub federations: Vec<FederationView>,
}

/// A federation by its newest charter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederationView {
    /// Short name.
    pub slug: String,
    /// Id.
    pub id: FederationId,
    /// Fingerprint of the id: 8 groups of 5 digits.
    pub fingerprint: String,
    /// Name.
    pub name: String,
    /// Newest charter version.
    pub version: u64,
    /// Its payload's hash.
    pub charter: Sha256,
    /// Voting members.
    pub n: u32,
    /// Quorum.
    pub k: u32,
    /// Agreement, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// Default licence.
    pub license: String,
    /// Default terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
    /// Members, by handle.
    pub members: Vec<MemberView>,
}

/// The charters of a federation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CharterLog {
    /// Short name.
    pub slug: String,
    /// Id.
    pub id: FederationId,
    /// Versions, oldest first.
    pub versions: Vec<CharterEntry>,
}

/// One charter version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CharterEntry {
    /// Version.
    pub version: u64,
    /// Its payload's hash.
    pub hash: Sha256,
    /// What changed, in words: "admits de-th".
    pub change: String,
    /// Who approved.
    pub approvals: Vec<Handle>,
    /// Voting members after it.
    pub n: u32,
    /// Quorum after it.
    pub k: u32,
    /// When this node learned of it.
    pub learned: Moment,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// Handle.
    pub handle: Handle,
    /// Name.
    pub name: String,
    /// Id.
    pub member: MemberId,
    /// Fingerprint: 8 groups of 5 digits.
    pub fingerprint: String,
    /// Standing.
    pub standing: Standing,
    /// Version of its identity.
    pub identity_version: u64,
    /// Its identity is past its date: a warning, nothing more.
    pub identity_expired: bool,
    /// The node that writes for it.
    pub writer: PeerId,
    /// Functional contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Entries of its log known here.
    pub log_size: u64,
    /// State of its log.
    pub log: LogState,
    /// Releases in the catalogue.
    pub releases: u64,
    /// Charter version that admitted it.
    pub since_version: u64,
}

/// Members of a federation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberList {
    /// By handle.
    pub members: Vec<MemberView>,
}

request! {
    /// A member is named.
    MemberRequest {
        /// Handle or member id.
        member: String,
    }
}

/// Open decisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberRequests {
    /// Oldest first; requests for one handle stand together.
    pub requests: Vec<JoinRequest>,
}

/// Someone asks to join, or a change waits for approvals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Federation slug.
    pub federation: String,
    /// `admit`, `expel` or `amend`.
    pub change: String,
    /// The handle it claims.
    pub handle: Handle,
    /// Name.
    pub name: String,
    /// Member id.
    pub member: MemberId,
    /// Fingerprint to compare by telephone.
    pub fingerprint: String,
    /// When it was lodged.
    pub since: Moment,
    /// When it lapses.
    pub until: Moment,
    /// Who invited it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<Handle>,
    /// Approvals needed.
    pub needed: u32,
    /// Every voting member, with what it said.
    pub approvals: Vec<ApprovalRow>,
    /// Others that claim the same handle.
    pub rivals: u32,
}

/// What a voting member said about a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// Who.
    pub handle: Handle,
    /// Whether it approved.
    pub approved: bool,
    /// Not connected since then, if so: why nothing can come at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnected_since: Option<Moment>,
}

request! {
    /// Approve an admission.
    AdmitRequest {
        /// Handle or member id.
        member: String,
        /// The fingerprint read out; required when two claim the handle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fingerprint: Option<String>,
        /// Admit with all rights but a vote.
        #[serde(default)]
        associate: bool,
    }
}

request! {
    /// Refuse a request, or approve an expulsion.
    DismissRequest {
        /// Handle or member id.
        member: String,
        /// The fingerprint; required when two claim the handle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fingerprint: Option<String>,
        /// Why; the other side sees it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Who it is about.
    pub handle: Handle,
    /// Fingerprint of that member.
    pub fingerprint: String,
    /// Approvals, this one included.
    pub approvals: u32,
    /// Approvals needed.
    pub needed: u32,
    /// Charter version that made it effective, once decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charter_version: Option<u64>,
    /// In one sentence.
    pub text: String,
}
