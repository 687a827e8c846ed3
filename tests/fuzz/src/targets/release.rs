//! Releases: `process.toml`, corrections, the statement, the manifest and paths.

use std::collections::BTreeSet;

use serde_json::Value;
use verbund_protocol::json;
use verbund_protocol::limits::{LEAF_MAX_BYTES, MANIFEST_MAX_BYTES, PATH_DEPTH_MAX, PATH_MAX_BYTES, RELEASE_FILES_MAX};
use verbund_protocol::release::metadata::{Context, Received};
use verbund_protocol::release::{Changes, Manifest, Metadata, PathSet, Problem, Release, SafePath};

use crate::check::{twice, words};
use crate::corpus;

/// Problems are few, and each can be shown.
fn problems(all: &[Problem]) {
    assert!(all.len() <= 201, "{} problems", all.len());
    all.iter().for_each(|problem| words(&problem.to_string()));
}

/// What publishing takes, receiving takes as well, and both read the same.
pub fn process_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = || Metadata::from_toml("process.toml", text, Context::default());
    let first = read();
    assert_eq!(first, read());
    match first {
        Err(all) => {
            assert!(!all.is_empty(), "a refusal says why");
            problems(&all);
        }
        Ok((metadata, warnings)) => {
            problems(&warnings);
            let signed = metadata.to_json();
            let received = Received::parse(signed.clone()).unwrap();
            assert_eq!((received.metadata(), received.raw()), (&metadata, &signed));
            assert_eq!(json::parse(&json::canonical(&signed)), Ok(signed));
        }
    }
}

pub fn correction_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = || Changes::from_toml("correction.toml", text);
    let first = read();
    assert_eq!(first, read());
    match first {
        Err(all) => {
            assert!(!all.is_empty(), "a refusal says why");
            problems(&all);
        }
        Ok((changes, warnings)) => {
            problems(&warnings);
            assert_eq!(Changes::from_fields(&changes.to_fields()).as_ref(), Ok(&changes));
        }
    }
}

/// A received correction changes what it says, once.
pub fn correction(data: &[u8]) {
    let Ok(Value::Object(fields)) = json::parse(data) else { return };
    let Some(changes) = twice(|| Changes::from_fields(&fields)) else { return };
    assert_eq!(Changes::from_fields(&changes.to_fields()).as_ref(), Ok(&changes));
    let original = original();
    let once = changes.apply(original);
    assert_eq!(changes.apply(&once), once);
    if changes.check(original).is_ok() {
        assert!(original.audience.within(&once.audience), "an audience only widens");
    }
    assert_eq!((&once.id, &once.license, &once.terms), (&original.id, &original.license, &original.terms));
}

fn original() -> &'static Metadata {
    static ORIGINAL: std::sync::OnceLock<Metadata> = std::sync::OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let full = corpus::files("release/process/valid", "toml");
        let text = full.iter().filter_map(|text| std::str::from_utf8(text).ok());
        let read = text.filter_map(|text| Metadata::from_toml("process.toml", text, Context::default()).ok());
        read.map(|(metadata, _)| metadata).next().unwrap()
    })
}

/// A statement is read in one way, also from its canonical form; its bounds hold.
pub fn statement(data: &[u8]) {
    let Some(release) = twice(|| Release::parse(data)) else { return };
    assert!(data.len() <= LEAF_MAX_BYTES);
    assert!((1..=MANIFEST_MAX_BYTES).contains(&release.manifest.size));
    assert!((1..=RELEASE_FILES_MAX as u64).contains(&release.manifest.files));
    assert!(release.version().build.is_empty());
    let canonical = json::canonical(&json::parse(data).unwrap());
    assert_eq!(Release::parse(&canonical).as_ref(), Ok(&release));
    let metadata = release.metadata.metadata();
    assert_eq!(Received::parse(metadata.to_json()).unwrap().metadata(), metadata);
    assert_eq!(release.process().slug, metadata.id);
}

/// A manifest is read in one way; its paths could be written on any system, side by side.
pub fn manifest(data: &[u8]) {
    let Some(manifest) = twice(|| Manifest::parse(data)) else { return };
    let files = manifest.files();
    assert!((1..=RELEASE_FILES_MAX).contains(&files.len()));
    assert!(files.windows(2).all(|pair| pair[0].path < pair[1].path));
    files.iter().for_each(|file| safe(&file.path));
    assert_eq!(files.iter().map(|file| file.size).sum::<u64>(), manifest.total_size());
    let (bytes, reference) = manifest.to_bytes().unwrap();
    assert_eq!(Manifest::parse(&bytes).as_ref(), Ok(&manifest));
    assert_eq!((reference.files, reference.size), (files.len() as u64, bytes.len() as u64));
    assert_eq!(manifest.file(files[0].path.as_str()), Some(&files[0]));
    let lower: BTreeSet<_> = files.iter().map(|file| file.path.as_str().to_lowercase()).collect();
    assert_eq!(lower.len(), files.len(), "no two names meet where case does not count");
}

/// What a path must be, said a second time.
fn safe(path: &SafePath) {
    let text = path.as_str();
    assert!(!text.is_empty() && text.len() <= PATH_MAX_BYTES && path.segments().count() <= PATH_DEPTH_MAX);
    assert!(!text.contains('\\') && !text.chars().any(char::is_control));
    assert!(path.segments().all(|s| !s.is_empty() && s != "." && s != ".."), "{text}");
    assert!(!std::path::Path::new(text).is_absolute());
    let joined = std::path::Path::new("/base").join(text);
    assert!(joined.components().all(|c| !matches!(c, std::path::Component::ParentDir)));
    let top = path.segments().next().unwrap_or_default().to_lowercase();
    assert!(joined.starts_with("/base") && top != ".verbund", "{text}");
}

/// Paths, one a line: each is refused or safe; together they can stand side by side.
pub fn paths(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut set = PathSet::default();
    for line in text.split('\n') {
        let Some(path) = twice(|| line.parse::<SafePath>()) else { continue };
        assert_eq!(path.as_str(), line);
        safe(&path);
        if let Some(concern) = path.windows_concern() {
            words(&concern);
        }
        let before = set.len();
        match set.insert(&path) {
            Ok(()) => assert!(set.insert(&path).is_err() && set.len() == before + 1, "nothing stands there twice"),
            Err(error) => words(&error.to_string()),
        }
    }
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let both = |folder: &str, ending: &str| {
        ["valid", "invalid"]
            .into_iter()
            .flat_map(|kind| corpus::files(&format!("release/{folder}/{kind}"), ending))
            .collect()
    };
    match target {
        "process_toml" => both("process", "toml"),
        "correction_toml" => {
            let texts: Vec<Vec<u8>> = both("process", "toml");
            let short = ["title = \"Neuer Titel\"\nkeywords = [\"Hund\", \"Steuer\"]\n", "audience = \"public\"\n"];
            texts.into_iter().chain(short.map(|text| text.as_bytes().to_vec())).collect()
        }
        "correction" => {
            let payloads = corpus::texts(&corpus::json("documents/correction.json"), "payload");
            let fields = |text: &String| Some(json::canonical(json::parse(text.as_bytes()).ok()?.get("fields")?));
            let metadata = corpus::files("release/process/valid", "json");
            payloads.iter().filter_map(fields).chain(metadata).collect()
        }
        "statement" => both("statement", "json"),
        "manifest" => both("manifest", "json"),
        _ => {
            let files: Vec<Vec<u8>> = both("manifest", "json");
            let all = |bytes: &Vec<u8>| {
                let value = serde_json::from_slice::<Value>(bytes).ok()?;
                Some(corpus::texts(&value, "path").into_iter().take(20).collect::<Vec<_>>().join("\n").into_bytes())
            };
            files.iter().filter_map(all).collect()
        }
    }
}
