//! The form of manifests, fixed: another digest would be another artifact to everyone who pulled it.

use verbund_protocol::ids::Sha256;
use verbund_protocol::release::Release;

use super::manifest::{self, Layer};
use super::tags::Reference;

fn release() -> (Sha256, Release) {
    let vector = "../protocol/vectors/release/statement/valid/full.json";
    let payload = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(vector)).unwrap();
    (Sha256::of(&payload), Release::parse(&payload).unwrap())
}

fn layers() -> Vec<Layer> {
    let layer = |title: &str, media_type: &str| Layer {
        digest: Sha256::of(title.as_bytes()),
        size: title.len() as u64,
        media_type: media_type.to_owned(),
        title: title.to_owned(),
    };
    vec![layer("anmeldung/ablauf.bpmn", "application/xml"), layer("process.toml", "application/toml")]
}

#[test]
fn the_manifest_of_a_release_has_one_form() {
    let (id, release) = release();
    let bytes = manifest::of_release(id, &release, &layers());
    let golden = include_str!("tests/manifest.json").trim_end();
    assert_eq!(String::from_utf8(bytes).unwrap(), golden);
}

#[test]
fn a_referrer_names_its_subject() {
    let layer = &layers()[0];
    let bytes = manifest::of_referrer("application/vnd.example", (Sha256::of(b"subject"), 7), layer);
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["subject"]["digest"], Sha256::of(b"subject").to_string());
    assert_eq!(value["subject"]["mediaType"], manifest::MANIFEST_TYPE);
    assert_eq!(value["layers"][0]["annotations"]["org.opencontainers.image.title"], "anmeldung/ablauf.bpmn");
}

#[test]
fn a_reference_is_a_tag_or_a_digest() {
    let digest = Sha256::of(b"x");
    assert_eq!(Reference::parse(&digest.to_string()), Some(Reference::Digest(digest)));
    assert_eq!(Reference::parse("latest"), Some(Reference::Latest));
    assert_eq!(Reference::parse("1.2.0-rc.1"), Some(Reference::Version("1.2.0-rc.1".parse().unwrap())));
    for bad in ["", "1.2", "sha512:00", "sha256:zz", "../x", "1.2.0 "] {
        assert_eq!(Reference::parse(bad), None, "{bad:?}");
    }
}
