//! The signed statement of a release: an in-toto Statement v1 about one `manifest.json`.
//!
//! Owns the payload's form and bounds. Signing and counting signatures is the envelope's, authority the log's. On receipt the
//! bytes are the truth: they are parsed, never written anew.

use semver::Version;
use serde::Deserialize;
use serde_json::{Value, json};

use super::manifest::{self, Manifest, ManifestError, ManifestRef};
use super::metadata::{Metadata, Received, ShapeError};
pub use crate::documents::RELEASE_TYPE as PAYLOAD_TYPE;
use crate::ids::{Blake3, FederationId, MemberId, ProcessId, Sha256};
use crate::json::{self, JsonError};
use crate::limits::{
    JSON_INTEGER_MAX, LEAF_MAX_BYTES, MANIFEST_MAX_BYTES, RELEASE_FILES_MAX, RELEASE_PAYLOAD_MAX_BYTES,
};
use crate::words::shown;

/// SPEC: in-toto Attestation Framework, Statement v1, `_type`.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What the predicate means. A name, not an address: it must mean the same when no site answers any more.
pub const PREDICATE_TYPE: &str = "urn:verbund:release:v1";

/// Why a statement could not be made, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Would not fit a leaf of the log with all its signatures.
    #[error(
        "the metadata make a statement of {0} bytes, over the limit of {RELEASE_PAYLOAD_MAX_BYTES}: shorten the description \
         ({1} bytes) and the lists; long texts belong in a file of the release"
    )]
    TooLong(usize, usize),
    /// Over [`LEAF_MAX_BYTES`] on receipt.
    #[error("statement of {0} bytes is over the limit of {LEAF_MAX_BYTES}")]
    OverLeaf(usize),
    /// The metadata name terms that the manifest does not hold.
    #[error("terms = {0:?} names no file of the release")]
    Terms(String),
    /// A manifest that cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Not permitted JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not a statement about a release in the form that this version knows.
    #[error("statement: {0}")]
    Malformed(String),
    /// Metadata of another shape.
    #[error(transparent)]
    Metadata(#[from] ShapeError),
}

/// What a statement is made of.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The federation that it belongs to.
    pub federation: FederationId,
    /// The owner of the namespace.
    pub member: MemberId,
    /// When it was published, in seconds since 1970 UTC.
    pub time_s: u64,
    /// What the release says about itself.
    pub metadata: &'a Metadata,
    /// Its files.
    pub manifest: &'a Manifest,
}

/// A statement ready to be signed, and the manifest that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The payload to sign, of type [`PAYLOAD_TYPE`]; canonical JSON.
    pub payload: Vec<u8>,
    /// The bytes of `manifest.json`, an artifact of the release.
    pub manifest: Vec<u8>,
    /// Digests and sizes of the manifest.
    pub reference: ManifestRef,
}

impl Draft<'_> {
    /// Makes the payload and the manifest. The hash of the terms is taken from the manifest.
    ///
    /// # Errors
    /// [`StatementError`] if the metadata are too long for a leaf of the log, the terms no file of the release, the time over
    /// 2^53-1, or the manifest too long.
    pub fn prepare(&self) -> Result<Prepared, StatementError> {
        let (manifest, reference) = self.manifest.to_bytes()?;
        let mut metadata = self.metadata.clone();
        if let Some(terms) = &mut metadata.terms
            && let Some(path) = &terms.path
        {
            let file = self.manifest.file(path).ok_or_else(|| StatementError::Terms(path.clone()))?;
            terms.sha256 = Some(file.sha256);
        }
        if self.time_s > JSON_INTEGER_MAX {
            return Err(StatementError::Malformed(format!("time_s = {} is over 2^53-1", self.time_s)));
        }
        let payload = json::canonical(&json!({
            "_type": STATEMENT_TYPE,
            "subject": [{
                "name": manifest::NAME,
                "digest": { "sha256": reference.sha256.to_hex(), "blake3": reference.blake3.to_hex() },
            }],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "federation": self.federation,
                "member": self.member,
                "time_s": self.time_s,
                "manifest": { "size": reference.size, "files": reference.files, "total_size": reference.total_size },
                "metadata": metadata.to_json(),
            },
        }));
        if payload.len() > RELEASE_PAYLOAD_MAX_BYTES {
            let description = self.metadata.description.as_ref().map_or(0, String::len);
            return Err(StatementError::TooLong(payload.len(), description));
        }
        Ok(Prepared { payload, manifest, reference })
    }
}

/// A release as its statement tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The federation that it belongs to.
    pub federation: FederationId,
    /// The owner of the namespace.
    pub member: MemberId,
    /// When its publisher says that it was published, in seconds since 1970 UTC; nothing is decided by it.
    pub time_s: u64,
    /// Its manifest.
    pub manifest: ManifestRef,
    /// What it says about itself, with what this version does not know.
    pub metadata: Received,
}

impl Release {
    /// Reads a payload of type [`PAYLOAD_TYPE`]: bounds and shapes only. Unknown keys are ignored; the payload keeps them.
    ///
    /// # Errors
    /// [`StatementError`] for anything that is not a statement of [`PREDICATE_TYPE`] about exactly one manifest within bounds.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        if payload.len() > LEAF_MAX_BYTES {
            return Err(StatementError::OverLeaf(payload.len()));
        }
        let mut value = json::parse(payload)?;
        // Taken out before the rest is read, so that its refusals name keys, and it is not copied.
        let metadata = value.get_mut("predicate").and_then(|p| p.get_mut("metadata")).map(Value::take);
        let wire: Wire = json::from_value(value).map_err(|e| StatementError::Malformed(shown(e)))?;
        let manifest = wire.reference()?;
        let metadata = metadata.ok_or_else(|| StatementError::Malformed("missing field `metadata`".into()))?;
        Ok(Self {
            federation: wire.predicate.federation,
            member: wire.predicate.member,
            time_s: wire.predicate.time_s,
            manifest,
            metadata: Received::parse(metadata)?,
        })
    }

    /// The process that it is a version of.
    pub fn process(&self) -> ProcessId {
        ProcessId { member: self.member, slug: self.metadata.metadata().id.clone() }
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.metadata.metadata().version
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<WireSubject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: WirePredicate,
}

#[derive(Deserialize)]
struct WireSubject {
    name: String,
    digest: WireDigest,
}

#[derive(Deserialize)]
struct WireDigest {
    sha256: String,
    blake3: String,
}

#[derive(Deserialize)]
struct WirePredicate {
    federation: FederationId,
    member: MemberId,
    time_s: u64,
    manifest: WireSizes,
}

#[derive(Deserialize)]
struct WireSizes {
    size: u64,
    files: u64,
    total_size: u64,
}

impl Wire {
    fn reference(&self) -> Result<ManifestRef, StatementError> {
        let malformed = |why: String| Err(StatementError::Malformed(why));
        if self.kind != STATEMENT_TYPE {
            return malformed(format!("_type must be {STATEMENT_TYPE}"));
        }
        if self.predicate_type != PREDICATE_TYPE {
            return malformed(format!("predicateType must be {PREDICATE_TYPE}"));
        }
        let [subject] = self.subject.as_slice() else {
            return malformed(format!("exactly one subject is required, not {}", self.subject.len()));
        };
        if subject.name != manifest::NAME {
            return malformed(format!("the subject must be {}", manifest::NAME));
        }
        let WireSizes { size, files, total_size } = self.predicate.manifest;
        let sizes_ok = (1..=MANIFEST_MAX_BYTES).contains(&size)
            && (1..=RELEASE_FILES_MAX as u64).contains(&files)
            && total_size <= JSON_INTEGER_MAX;
        if !sizes_ok {
            return malformed(format!("a manifest of {size} bytes and {files} files is out of bounds"));
        }
        let digest = |e: crate::ids::IdError| StatementError::Malformed(shown(e));
        Ok(ManifestRef {
            sha256: Sha256::from_hex(&subject.digest.sha256).map_err(digest)?,
            blake3: Blake3::from_hex(&subject.digest.blake3).map_err(digest)?,
            size,
            files,
            total_size,
        })
    }
}

#[cfg(test)]
mod tests;
