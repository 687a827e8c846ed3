//! The golden vectors in `protocol/vectors/release`: what is accepted, and what is refused with which words.
//!
//! `VERBUND_BLESS=1 cargo test -p verbund-protocol release::vectors` rewrites the expectations; the difference is then read by a person.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::metadata::{Context, Metadata};
use super::{Manifest, Release};
use crate::json;

/// Runs `outcome` on each `*.EXTENSION` in a folder and compares with `*.WANT` beside it. An outcome is text for the expectation.
fn run(folder: &str, extension: &str, want: &str, outcome: impl Fn(&[u8]) -> Option<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/release").join(folder);
    let mut inputs: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == extension) && !p.to_string_lossy().ends_with(want))
        .collect();
    inputs.sort();
    assert!(inputs.len() > 1, "no vectors in {}", folder.display());
    let mut seen = BTreeSet::new();
    for input in inputs {
        let got =
            outcome(&fs::read(&input).unwrap()).unwrap_or_else(|| panic!("{}: on the wrong side", input.display()));
        let expected = input.with_extension(want);
        if std::env::var_os("VERBUND_BLESS").is_some() {
            fs::write(&expected, &got).unwrap();
        }
        let text = fs::read_to_string(&expected).unwrap_or_else(|e| panic!("{}: {e}", expected.display()));
        assert_eq!(got, text, "{}", input.display());
        assert!(want != "error" || seen.insert(got), "{}: two vectors for one refusal", input.display());
    }
}

fn line(error: &impl ToString) -> String {
    format!("{}\n", error.to_string())
}

#[test]
fn manifests() {
    run("manifest/valid", "json", "canonical", |bytes| {
        let (written, _) = Manifest::parse(bytes).ok()?.to_bytes().ok()?;
        String::from_utf8(written).ok()
    });
    run("manifest/invalid", "json", "error", |bytes| Manifest::parse(bytes).err().map(|e| line(&e)));
}

#[test]
fn statements() {
    run("statement/valid", "json", "reading", |bytes| {
        let release = Release::parse(bytes).ok()?;
        let m = release.manifest;
        Some(format!(
            "{}\n{}\n{}\n{}\n{}\n{} {} {} bytes, {} files, {} bytes in all\n{}\n",
            release.federation,
            release.member,
            release.process().slug,
            release.version(),
            release.time_s,
            m.sha256,
            m.blake3,
            m.size,
            m.files,
            m.total_size,
            String::from_utf8(json::canonical(release.metadata.raw())).ok()?,
        ))
    });
    run("statement/invalid", "json", "error", |bytes| Release::parse(bytes).err().map(|e| line(&e)));
}

#[test]
fn process_files() {
    let read =
        |bytes: &[u8]| Metadata::from_toml("process.toml", std::str::from_utf8(bytes).unwrap(), Context::default());
    run("process/valid", "toml", "json", |bytes| {
        String::from_utf8(json::canonical(&read(bytes).ok()?.0.to_json())).ok().map(|text| line(&text))
    });
    run("process/invalid", "toml", "error", |bytes| {
        read(bytes).err().map(|problems| problems.iter().map(line).collect())
    });
}
