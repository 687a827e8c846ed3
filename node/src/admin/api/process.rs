//! The catalogue: processes and releases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::{Handle, MemberId, Sha256};

use super::{FileEntry, Moment, request};

request! {
    /// List or search processes.
    ProcessListRequest {
        /// Text that must occur.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Only of this member (handle or id).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
        /// Only of this OZG-Themenfeld.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        /// Only of this level: bund, land, kommunal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<String>,
        /// Only of this stage: entwurf, pilot, produktiv.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
        /// Only for this platform.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<String>,
        /// Only with this licence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        licence: Option<String>,
        /// Only with this base service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_service: Option<String>,
        /// Withdrawn ones too.
        #[serde(default)]
        withdrawn: bool,
        /// At most so many; absent: 100; at most 1000.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// Continue after this: `next` of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    }
}

/// A page of processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessList {
    /// Best first if there was a text, otherwise by reference.
    pub processes: Vec<ProcessRow>,
    /// All that were found, on all pages; absent where they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// For each facet its values and how many processes that were found have them, most frequent first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, Vec<FacetCount>>,
    /// Where the next page starts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How often a value of a facet occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetCount {
    /// Value.
    pub value: String,
    /// Processes that have it.
    pub count: u64,
}

/// A place that matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snippet {
    /// Where it is from: `summary`, `description`, `keywords`, `legal_basis`, `file`.
    pub field: String,
    /// The file, if it is from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Plain text.
    pub text: String,
    /// What matches: first byte and the byte after the last, in UTF-8.
    pub ranges: Vec<(u64, u64)>,
}

/// A process by its highest stable release that is not withdrawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Reference without version: `de-he/hundesteuer-anmeldung`.
    pub process: String,
    /// Federation slug.
    pub federation: String,
    /// Owner.
    pub owner: Handle,
    /// Owner's name.
    pub owner_name: String,
    /// Title.
    pub title: String,
    /// Summary.
    pub summary: String,
    /// Version.
    pub version: String,
    /// When it was published, by its owner's statement.
    pub published: Moment,
    /// State of the files here.
    pub availability: Availability,
    /// Other members that cosigned it.
    pub witnesses: u32,
    /// Other members that could.
    pub witnesses_of: u32,
    /// Members that hold the files.
    pub held_by: Vec<Handle>,
    /// Withdrawn.
    pub withdrawn: bool,
    /// End announced.
    pub deprecated: bool,
    /// Why it was found, if a text was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
}

/// Whether a release can be pulled here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Availability {
    /// Complete and verified.
    Complete,
    /// On its way.
    Pending {
        /// Bytes missing.
        missing_bytes: u64,
        /// Why.
        why: String,
    },
    /// Not for this member, or skipped by its rules.
    Absent {
        /// Why.
        why: String,
    },
}

request! {
    /// A process is named.
    ProcessRequest {
        /// Reference; a version in it is ignored.
        process: String,
    }
}

/// All versions of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionList {
    /// Reference without version.
    pub process: String,
    /// Title of the newest.
    pub title: String,
    /// Highest first.
    pub versions: Vec<VersionRow>,
    /// Entries of its owner's logs that name this process and have no effect; oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub void: Vec<VoidRelease>,
}

/// A release that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidRelease {
    /// Version that it names.
    pub version: String,
    /// Its place in the log, from 0.
    pub index: u64,
    /// Why it is void.
    pub reason: String,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionRow {
    /// Version.
    pub version: String,
    /// Hash of the statement.
    pub digest: Sha256,
    /// When it was published, by its owner's statement.
    pub published: Moment,
    /// Kind of change.
    pub change_kind: String,
    /// What changed.
    pub change: String,
    /// State of the files here.
    pub availability: Availability,
    /// Why it was withdrawn, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// Why it is void, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
}

request! {
    /// A release is named.
    ReleaseQuery {
        /// Reference: `[FEDERATION:]de-he/slug[@1.2.0|@^1.2|@sha256:…]`.
        release: String,
    }
}

/// What a file is, by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileKind {
    /// Format, for people: `BPMN`, `XProzess`, `civento-Export`.
    pub format: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the file calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What was left unread, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A release in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Reference with version.
    pub release: String,
    /// Federation slug.
    pub federation: String,
    /// Hash of the statement.
    pub digest: Sha256,
    /// Owner.
    pub owner: Handle,
    /// Owner's id.
    pub member: MemberId,
    /// Version.
    pub version: String,
    /// Title, with corrections applied.
    pub title: String,
    /// All metadata, with corrections applied.
    pub metadata: serde_json::Value,
    /// Its files, by path.
    pub files: Vec<FileEntry>,
    /// What the files are, by path, as far as they are here and were recognised.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recognised: BTreeMap<String, FileKind>,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// When it was published, by its owner's statement.
    pub published: Moment,
    /// State of the files here.
    pub availability: Availability,
    /// Other members that cosigned it.
    pub witnesses: u32,
    /// Other members that could.
    pub witnesses_of: u32,
    /// Who cosigned it.
    pub witnessed_by: Vec<Handle>,
    /// Who holds the files.
    pub held_by: Vec<Handle>,
    /// Why it was withdrawn, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// Announced end, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// The process of another member that goes on with this one, if it was transferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
}

request! {
    /// The bytes of one file of a release.
    FileQuery {
        /// Reference with version, or digest.
        release: String,
        /// Path in the release.
        path: String,
    }
}
