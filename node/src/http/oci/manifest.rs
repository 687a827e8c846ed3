//! The image manifest of a release.
//!
//! Pure. Owns the one byte form: it follows from the signed statement and the manifest of the release alone, so that it is the same
//! on every node, for ever. What may change (corrections, handles, witnesses, a recall) is no part of it. Changing this form
//! changes the digest of everything that was pulled before: golden bytes stand in the tests.

use serde_json::{Map, Value, json};
use verbund_protocol::ids::{Sha256, Slug};
use verbund_protocol::json::canonical;
use verbund_protocol::release::Release;

use crate::admin::api::Moment;
use crate::http::library::FileEntry;

/// Media type of image manifests.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of image indexes.
pub(super) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// What a release is among artifacts.
pub(super) const PROCESS_TYPE: &str = "application/vnd.verbund.process.v1";
/// Files of a release that get a layer each. More become one archive: skopeo's cost grows with the square of the layers (52 s for
/// 1,000 of them).
pub(super) const LAYERS_MAX: usize = 64;
/// Media type of the archive.
const ARCHIVE_TYPE: &str = "application/x-tar";
/// SPEC: OCI Image Specification 1.1, "Guidance for an Empty Descriptor".
pub(super) const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The annotation by which clients name the file that they write.
const TITLE: &str = "org.opencontainers.image.title";

/// One layer: what a client writes as one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Of its bytes.
    pub(super) digest: Sha256,
    /// In bytes.
    pub(super) size: u64,
    /// As declared by the publisher.
    pub(super) media_type: String,
    /// The path that the client gives it.
    pub(super) title: String,
}

impl Layer {
    /// A file.
    pub(super) fn of(file: &FileEntry) -> Self {
        Self { digest: file.sha256, size: file.size, media_type: file.media_type.clone(), title: file.path.clone() }
    }

    /// All files in one.
    pub(super) fn archive(slug: &Slug, version: &str, digest: Sha256, size: u64) -> Self {
        Self { digest, size, media_type: ARCHIVE_TYPE.to_owned(), title: format!("{slug}-{version}.tar") }
    }

    fn descriptor(&self) -> Value {
        let mut descriptor = described(&self.media_type, self.digest, self.size);
        descriptor.insert("annotations".to_owned(), json!({ TITLE: self.title }));
        Value::Object(descriptor)
    }
}

fn described(media_type: &str, digest: Sha256, size: u64) -> Map<String, Value> {
    let entries = [("mediaType", json!(media_type)), ("digest", json!(digest)), ("size", json!(size))];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The manifest of the release that `statement` (the payload's hash is `id`) tells of.
pub(super) fn of_release(id: Sha256, statement: &Release, layers: &[Layer]) -> Vec<u8> {
    let metadata = statement.metadata.metadata();
    let created = Moment::from_unix_ms(statement.time_s.saturating_mul(1_000)).to_string();
    canonical(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": PROCESS_TYPE,
        "config": described(EMPTY_TYPE, Sha256::of(EMPTY), EMPTY.len() as u64),
        "layers": layers.iter().map(Layer::descriptor).collect::<Vec<_>>(),
        "annotations": {
            TITLE: metadata.title,
            "org.opencontainers.image.description": metadata.summary,
            "org.opencontainers.image.version": metadata.version.to_string(),
            "org.opencontainers.image.licenses": metadata.license,
            "org.opencontainers.image.created": created,
            "verbund.federation": statement.federation,
            "verbund.member": statement.member,
            "verbund.process": metadata.id,
            "verbund.release": id,
            "verbund.manifest": statement.manifest.sha256,
        },
    }))
}

/// The manifest of something said about a release: one layer, which refers to the manifest of the release.
pub(super) fn of_referrer(artifact_type: &str, subject: (Sha256, u64), layer: &Layer) -> Vec<u8> {
    canonical(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": artifact_type,
        "config": described(EMPTY_TYPE, Sha256::of(EMPTY), EMPTY.len() as u64),
        "layers": [layer.descriptor()],
        "subject": described(MANIFEST_TYPE, subject.0, subject.1),
    }))
}

/// The list of what refers to a manifest: (type, digest, size) of each.
pub(super) fn index(referrers: &[(&str, Sha256, u64)]) -> Vec<u8> {
    let one = |(artifact_type, digest, size): &(&str, Sha256, u64)| {
        let mut descriptor = described(MANIFEST_TYPE, *digest, *size);
        descriptor.insert("artifactType".to_owned(), json!(artifact_type));
        Value::Object(descriptor)
    };
    canonical(&json!({
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": referrers.iter().map(one).collect::<Vec<_>>(),
    }))
}
