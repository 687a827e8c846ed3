//! What a node answers over HTTPS, as far as the command line shows it.
//!
//! Owns the translation into what the daemon answers over its socket, so that both are shown alike.

use serde::Deserialize;
use serde_json::Value;
use verbund_protocol::ids::{Blake3, Handle, MemberId, Sha256};

use crate::admin::api::{Availability, FileEntry, Moment, ProcessRow, ReleaseView};

#[derive(Debug, Deserialize)]
pub(super) struct Federations {
    pub(super) items: Vec<FederationItem>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FederationItem {
    pub(super) slug: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    pub(super) items: Vec<Item>,
    pub(super) next: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Item {
    pub(super) member: Handle,
    pub(super) owner_name: String,
    pub(super) slug: String,
    pub(super) version: semver::Version,
    pub(super) title: String,
    pub(super) summary: String,
    pub(super) published: Moment,
    pub(super) available: bool,
    pub(super) withdrawn: bool,
    pub(super) deprecated: bool,
    pub(super) witnesses: u32,
    pub(super) witnesses_of: u32,
    pub(super) held_by: Option<Vec<Handle>>,
    pub(super) release: String,
}

impl Item {
    pub(super) fn name(&self) -> String {
        format!("{}/{}@{}", self.member, self.slug, self.version)
    }

    pub(super) fn row(self, federation: &str) -> ProcessRow {
        let here = Availability::Complete;
        let away = || Availability::Pending { missing_bytes: 0, why: "not complete on that node".to_owned() };
        ProcessRow {
            process: format!("{}/{}", self.member, self.slug),
            federation: federation.to_owned(),
            owner: self.member,
            owner_name: self.owner_name,
            title: self.title,
            summary: self.summary,
            version: self.version.to_string(),
            published: self.published,
            availability: if self.available { here } else { away() },
            witnesses: self.witnesses,
            witnesses_of: self.witnesses_of,
            held_by: self.held_by.unwrap_or_default(),
            withdrawn: self.withdrawn,
            deprecated: self.deprecated,
            snippet: None,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Release {
    pub(super) federation: String,
    pub(super) member: Handle,
    pub(super) slug: String,
    pub(super) version: semver::Version,
    available: bool,
    unavailable: Option<String>,
    metadata: Value,
    files: Vec<File>,
    pub(super) evidence: Evidence,
    statements: Option<Statements>,
    pub(super) provenance: String,
}

#[derive(Debug, Deserialize)]
struct File {
    path: String,
    size: u64,
    media_type: String,
    sha256: Sha256,
    blake3: Blake3,
}

#[derive(Debug, Deserialize)]
pub(super) struct Evidence {
    pub(super) digest: Sha256,
    owner: MemberId,
    published: Moment,
    witnesses: Vec<Handle>,
    of: u32,
    held_by: Vec<Handle>,
}

#[derive(Debug, Default, Deserialize)]
struct Statements {
    withdrawn: Option<Said>,
    deprecated: Option<Said>,
    moved_to: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Said {
    text: String,
}

impl Release {
    pub(super) fn view(self) -> ReleaseView {
        let entry = |file: File| FileEntry {
            path: file.path,
            size: file.size,
            media_type: file.media_type,
            sha256: file.sha256,
            blake3: file.blake3,
        };
        let files: Vec<_> = self.files.into_iter().map(entry).collect();
        let bytes = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
        let Statements { withdrawn, deprecated, moved_to } = self.statements.unwrap_or_default();
        let why = self.unavailable.unwrap_or_default();
        ReleaseView {
            release: format!("{}/{}@{}", self.member, self.slug, self.version),
            federation: self.federation,
            digest: self.evidence.digest,
            owner: self.member,
            member: self.evidence.owner,
            version: self.version.to_string(),
            title: self.metadata.get("title").and_then(Value::as_str).unwrap_or_default().to_owned(),
            metadata: self.metadata,
            files,
            recognised: Default::default(),
            bytes,
            published: self.evidence.published,
            availability: if self.available {
                Availability::Complete
            } else {
                Availability::Pending { missing_bytes: bytes, why }
            },
            witnesses: u32::try_from(self.evidence.witnesses.len()).unwrap_or(u32::MAX),
            witnesses_of: self.evidence.of,
            witnessed_by: self.evidence.witnesses,
            held_by: self.evidence.held_by,
            withdrawn: withdrawn.map(|said| said.text),
            deprecated: deprecated.map(|said| said.text),
            moved_to,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckAnswer {
    pub(super) items: Vec<CheckItem>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckItem {
    pub(super) standing: String,
    pub(super) kind: Option<String>,
    pub(super) release: Option<Item>,
    pub(super) newer: Option<Item>,
    pub(super) reason: Option<String>,
    pub(super) successor: Option<String>,
}
