//! Releases as a publisher makes them, for any namespace and with any key.

use std::collections::BTreeMap;

use verbund_protocol::documents::{Document as _, RELEASE_TYPE, Withdrawal};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::{Blake3, FederationId, MemberId, Sha256};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::release::manifest::{FileEntry, Manifest};
use verbund_protocol::release::metadata::{Context, Metadata};
use verbund_protocol::release::statement::Draft;

/// A release: the leaf to be logged, and what it consists of.
#[derive(Debug, Clone)]
pub struct Forged {
    /// The envelope.
    pub leaf: Vec<u8>,
    /// Its payload's hash.
    pub id: Sha256,
    /// All artifacts, the manifest among them.
    pub artifacts: BTreeMap<Blake3, Vec<u8>>,
}

/// Version 1.0.0 of the process `id`, of one small file.
pub(super) fn forge(key: &SecretKey, member: MemberId, federation: FederationId, id: &str, content: &str) -> Forged {
    let bytes = content.as_bytes();
    let file = FileEntry {
        path: "hinweise.txt".parse().expect("a path"),
        size: bytes.len() as u64,
        media_type: "text/plain".into(),
        sha256: Sha256::of(bytes),
        blake3: Blake3::of(bytes),
    };
    let manifest = Manifest::new(vec![file]).expect("a manifest");
    let text = format!(
        "id = \"{id}\"\nversion = \"1.0.0\"\ntitle = \"Prozess {id}\"\nsummary = \"Ein Prozess für Tests\"\n\
         leistungsschluessel = [\"99108001001000\"]\nlevel = [\"kommunal\"]\nlicense = \"EUPL-1.2\"\n\
         maintenance = \"internal\"\ncontact = \"prozesse@example.org\"\nplatform = {{ name = \"civento\" }}\n\
         change = {{ kind = \"fachlich\", text = \"{content}\" }}\n"
    );
    let (metadata, _) = Metadata::from_toml("process.toml", &text, Context::default())
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let draft = Draft { federation, member, time_s: 1_767_225_600, metadata: &metadata, manifest: &manifest };
    let prepared = draft.prepare().expect("a statement");
    let envelope = Envelope::sign(RELEASE_TYPE, prepared.payload, [key]).expect("an envelope");
    let artifacts = [(prepared.reference.blake3, prepared.manifest), (Blake3::of(bytes), bytes.to_vec())];
    Forged { id: envelope.id(), leaf: envelope.into_bytes(), artifacts: artifacts.into() }
}

/// A recall of `release`, whatever it is.
pub(super) fn withdrawal(key: &SecretKey, member: MemberId, federation: FederationId, release: Sha256) -> Vec<u8> {
    let document = Withdrawal {
        federation,
        member,
        process: "zweimal".parse().expect("a slug"),
        release,
        reason: "So nicht".into(),
        severity: "high".into(),
        successor: None,
        erase: true,
        time_s: 1_767_225_600,
    };
    document.seal(&[key]).expect("a withdrawal").into_bytes()
}
