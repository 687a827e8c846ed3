use proptest::prelude::*;

use super::*;
use crate::documents::RELEASE_TYPE;
use crate::envelope::Envelope;
use crate::keys::SecretKey;
use crate::limits::SIGNATURES_MAX;
use crate::release::FileEntry;
use crate::release::metadata::Context;
use crate::release::metadata::tests::with;

fn manifest() -> Manifest {
    let entry = |path: &str| FileEntry {
        path: path.parse().unwrap(),
        size: 10,
        media_type: "text/plain".into(),
        sha256: Sha256::of(path.as_bytes()),
        blake3: Blake3::of(path.as_bytes()),
    };
    Manifest::new(vec![entry("process.toml"), entry("NUTZUNG.md")]).unwrap()
}

fn metadata(line: &str) -> Metadata {
    Metadata::from_toml("p", &with("x", line), Context::default()).unwrap().0
}

fn prepare(metadata: &Metadata) -> Result<Prepared, StatementError> {
    let (federation, member) = (FederationId([1; 32]), MemberId([2; 32]));
    Draft { federation, member, time_s: 1_767_225_600, metadata, manifest: &manifest() }.prepare()
}

#[test]
fn what_was_made_is_what_is_read() {
    let metadata = metadata("terms = \"NUTZUNG.md\"");
    let prepared = prepare(&metadata).unwrap();
    let release = Release::parse(&prepared.payload).unwrap();
    assert_eq!(release.manifest, prepared.reference);
    assert_eq!(
        (release.federation, release.member, release.time_s),
        (FederationId([1; 32]), MemberId([2; 32]), 1_767_225_600)
    );
    assert_eq!(release.version().to_string(), "1.0.0");
    assert_eq!(release.process().slug.as_str(), "hundesteuer-anmeldung");
    let terms = release.metadata.metadata().terms.clone().unwrap();
    assert_eq!(terms.sha256, Some(Sha256::of(b"NUTZUNG.md")), "terms are accepted by the hash of the file");
    assert_eq!(Manifest::parse(&prepared.manifest).unwrap(), manifest());
}

#[test]
fn terms_must_be_in_the_manifest() {
    let error = prepare(&metadata("terms = \"fehlt.md\"")).unwrap_err();
    assert_eq!(error, StatementError::Terms("fehlt.md".into()));
}

#[test]
fn a_full_payload_fits_a_leaf_with_every_signature() {
    // Four bytes to the character: the longest description alone is within bounds, with long lists it is not.
    let mut metadata = metadata("");
    metadata.description = Some("𝄞".repeat(10_000));
    assert!(prepare(&metadata).unwrap().payload.len() > 40_000);
    metadata.partners = vec!["x".repeat(300); 30];
    let error = prepare(&metadata).unwrap_err();
    assert!(matches!(error, StatementError::TooLong(_, 40_000)), "{error}");
    assert!(error.to_string().contains("shorten the description"));
    let keys: Vec<_> = (0..SIGNATURES_MAX as u8).map(|n| SecretKey::from_seed(&[n; 32])).collect();
    let envelope = Envelope::sign(RELEASE_TYPE, vec![b' '; RELEASE_PAYLOAD_MAX_BYTES], &keys).unwrap();
    assert!(envelope.bytes().len() <= LEAF_MAX_BYTES);
}

#[test]
fn refuses_statements_of_other_form() {
    let good: Value = serde_json::from_slice(&prepare(&metadata("")).unwrap().payload).unwrap();
    let refused = |edit: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        edit(&mut value);
        Release::parse(&serde_json::to_vec(&value).unwrap()).unwrap_err().to_string()
    };
    for (edit, why) in [
        (&(|v: &mut Value| v["_type"] = "x".into()) as &dyn Fn(&mut Value), "_type"),
        (&|v: &mut Value| v["predicateType"] = "urn:verbund:release:v2".into(), "predicateType"),
        (&|v: &mut Value| v["subject"] = json!([]), "exactly one subject"),
        (
            &|v: &mut Value| {
                let s = v["subject"][0].clone();
                v["subject"].as_array_mut().unwrap().push(s)
            },
            "exactly one subject",
        ),
        (&|v: &mut Value| v["subject"][0]["name"] = "other.json".into(), "manifest.json"),
        (&|v: &mut Value| v["subject"][0]["digest"]["sha256"] = "ab".into(), "SHA-256"),
        (&|v: &mut Value| drop(v["subject"][0]["digest"].as_object_mut().unwrap().remove("blake3")), "blake3"),
        (&|v: &mut Value| v["predicate"]["federation"] = "x".into(), "federation id"),
        (&|v: &mut Value| v["predicate"]["manifest"]["size"] = (9_u64 << 20).into(), "out of bounds"),
        (&|v: &mut Value| v["predicate"]["manifest"]["files"] = 0.into(), "out of bounds"),
        (&|v: &mut Value| v["predicate"]["manifest"]["files"] = 10_001.into(), "out of bounds"),
        (&|v: &mut Value| v["predicate"]["time_s"] = 1.5.into(), "not an integer"),
        (&|v: &mut Value| drop(v["predicate"].as_object_mut().unwrap().remove("metadata")), "metadata"),
        (&|v: &mut Value| v["predicate"]["metadata"]["title"] = "x".repeat(301).into(), "limit of 300"),
        (&|v: &mut Value| v["predicate"] = Value::Null, "Predicate"),
    ] {
        let error = refused(edit);
        assert!(error.contains(why), "{why}: {error}");
    }
    let text = String::from_utf8(prepare(&metadata("")).unwrap().payload).unwrap();
    let doubled = text.replacen("\"time_s\":", "\"time_s\":1,\"time_s\":", 1);
    assert!(Release::parse(doubled.as_bytes()).unwrap_err().to_string().contains("duplicate key"));
    assert!(matches!(Release::parse(&vec![b' '; LEAF_MAX_BYTES + 1]), Err(StatementError::OverLeaf(_))));
}

#[test]
fn unknown_keys_are_kept_in_the_metadata_and_ignored_elsewhere() {
    let mut value: Value = serde_json::from_slice(&prepare(&metadata("")).unwrap().payload).unwrap();
    value["predicate"]["new"] = json!([1]);
    value["subject"][0]["digest"]["sha512"] = "00".into();
    value["predicate"]["metadata"]["new"] = json!({ "a": 1 });
    let release = Release::parse(&serde_json::to_vec(&value).unwrap()).unwrap();
    assert_eq!(release.metadata.raw()["new"], json!({ "a": 1 }));
}

proptest! {
    #![proptest_config(crate::testing::cases(256))]

    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let _ = Release::parse(&bytes);
        let mut real = prepare(&metadata("")).unwrap().payload;
        let i = at.index(real.len());
        let _ = Release::parse(&real[..i]);
        real[i] ^= flip;
        let _ = Release::parse(&real);
    }
}
