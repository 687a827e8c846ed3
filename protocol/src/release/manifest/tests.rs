use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn entry(path: &str, size: u64) -> FileEntry {
    FileEntry {
        path: path.parse().unwrap(),
        size,
        media_type: "text/plain".into(),
        sha256: Sha256::of(path.as_bytes()),
        blake3: Blake3::of(path.as_bytes()),
    }
}

fn value() -> Value {
    let (bytes, _) = Manifest::new(vec![entry("b", 2), entry("a/c", 3), entry("a!", 1)]).unwrap().to_bytes().unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn parse(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(&serde_json::to_vec(value).unwrap())
}

#[test]
fn sorted_by_bytes_whatever_the_order_given() {
    let manifest = Manifest::new(vec![entry("b", 2), entry("a/c", 3), entry("a!", 1)]).unwrap();
    assert_eq!(manifest.files().iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a!", "a/c", "b"]);
    assert_eq!(manifest.total_size(), 6);
    assert_eq!(manifest.file("a/c").unwrap().size, 3);
    assert_eq!(manifest.file("c"), None);
    let (bytes, reference) = manifest.to_bytes().unwrap();
    assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
    assert_eq!((reference.files, reference.total_size, reference.size), (3, 6, bytes.len() as u64));
    assert_eq!(reference.sha256, Sha256::of(&bytes));
}

#[test]
fn refuses_sets_of_files_that_cannot_be_written() {
    assert_eq!(Manifest::new(vec![]), Err(ManifestError::Empty));
    let error = Manifest::new(vec![entry("A", 0), entry("a", 0)]).unwrap_err();
    assert!(matches!(error, ManifestError::Path { error: PathError::CaseTwin(_), .. }), "{error}");
    let error = Manifest::new(vec![entry("a", 0), entry("a", 0)]).unwrap_err();
    assert!(matches!(error, ManifestError::Path { error: PathError::Duplicate, .. }), "{error}");
    let many = |n: usize| (0..n).map(|i| entry(&format!("f{i}"), 0)).collect();
    assert_eq!(Manifest::new(many(10_001)), Err(ManifestError::TooMany));
    let full = Manifest::new(many(10_000)).unwrap();
    assert_eq!(Manifest::parse(&full.to_bytes().unwrap().0).unwrap().files().len(), 10_000);
    assert_eq!(Manifest::new(vec![entry("a", JSON_INTEGER_MAX), entry("b", 1)]), Err(ManifestError::Size("b".into())));
    let mut bad = entry("a", 0);
    bad.media_type = "text".into();
    assert!(matches!(Manifest::new(vec![bad]), Err(ManifestError::MediaType { .. })));
}

#[test]
fn a_manifest_of_longest_paths_is_written_or_refused() {
    let long = |i: usize| format!("{}/{}/{i:06}", "a".repeat(250), "b".repeat(250));
    let files = (0..10_000).map(|i| entry(&long(i), 0)).collect();
    match Manifest::new(files).unwrap().to_bytes() {
        Ok((bytes, _)) => assert!(bytes.len() as u64 <= MANIFEST_MAX_BYTES),
        Err(e) => assert!(matches!(e, ManifestError::TooLong(_))),
    }
}

#[test]
fn reading_is_strict_where_files_are_written() {
    for (edit, why) in [
        (Box::new(|v: &mut Value| v["files"][0]["path"] = "../x".into()) as Box<dyn Fn(&mut Value)>, ".."),
        (Box::new(|v| v["files"][0]["path"] = "/etc/passwd".into()), "absolute"),
        (Box::new(|v| v["files"][0]["path"] = ".verbund/provenance.json".into()), "reserved"),
        (Box::new(|v| v["files"][0]["path"] = "c".into()), "not sorted"),
        (Box::new(|v| v["files"][1]["path"] = "a!".into()), "twice"),
        (Box::new(|v| v["files"][1]["path"] = "a!/x".into()), "both a file and a folder"),
        (Box::new(|v| v["files"][2]["size"] = (-1).into()), "invalid value"),
        (Box::new(|v| v["files"][2]["size"] = 1.5.into()), "not an integer"),
        (Box::new(|v| v["files"][2]["size"] = (1_u64 << 53).into()), "2^53-1"),
        (Box::new(|v| v["files"][2]["sha256"] = "00".into()), "SHA-256"),
        (Box::new(|v| v["files"][2]["blake3"] = "F".repeat(64).into()), "BLAKE3"),
        (Box::new(|v| v["files"][2]["media_type"] = "Text/Plain".into()), "media type"),
        (Box::new(|v| v["files"] = Value::Array(vec![])), "at least one"),
        (Box::new(|v| v["format"] = 2.into()), "format 2 is not known"),
        (Box::new(|v| drop(v.as_object_mut().unwrap().remove("format"))), "format"),
    ] {
        let mut v = value();
        edit(&mut v);
        let error = parse(&v).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    let text = String::from_utf8(serde_json::to_vec(&value()).unwrap()).unwrap();
    assert!(
        Manifest::parse(text.replacen("\"size\":1", "\"size\":1,\"size\":1", 1).as_bytes()).is_err(),
        "duplicate key"
    );
    assert!(Manifest::parse(format!("{text} x").as_bytes()).is_err(), "trailing bytes");
    assert!(matches!(Manifest::parse(&vec![b' '; MANIFEST_MAX_BYTES as usize + 1]), Err(ManifestError::TooLong(_))));
}

#[test]
fn unknown_keys_are_ignored() {
    let mut v = value();
    v["new"] = "x".into();
    v["files"][0]["mode"] = 420.into();
    assert_eq!(parse(&v).unwrap().files().len(), 3);
}

#[test]
fn too_many_files_are_refused_without_being_kept() {
    let one = serde_json::to_string(&value()["files"][0]).unwrap();
    let text = format!("{{\"format\":1,\"files\":[{}]}}", vec![one; 20_000].join(","));
    assert_eq!(Manifest::parse(text.as_bytes()), Err(ManifestError::TooMany));
}

proptest! {
    #![proptest_config(crate::testing::cases(256))]

    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let _ = Manifest::parse(&bytes);
        let mut real = serde_json::to_vec(&value()).unwrap();
        let i = at.index(real.len());
        real[i] ^= flip;
        let _ = Manifest::parse(&real);
        let _ = Manifest::parse(&real[..i]);
    }

    #[test]
    fn writing_and_reading_are_inverse(paths in prop::collection::btree_set("[a-zäöü0-9 ._-]{1,12}[a-z]", 1..20), size in 0_u64..1_000_000) {
        let files: Vec<_> = paths.iter().filter(|p| p.parse::<SafePath>().is_ok()).map(|p| entry(p, size)).collect();
        if let Ok(manifest) = Manifest::new(files) {
            let (bytes, _) = manifest.to_bytes().unwrap();
            prop_assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        }
    }
}
