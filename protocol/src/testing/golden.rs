//! Vector files, names of errors, and how property tests run.

use std::fmt::Debug;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};

use proptest::test_runner::{Config, RngSeed};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Property tests print their seed, which is another one each time, and leave no files behind. `VERBUND_PROPERTY_SEED` repeats one.
pub(crate) fn cases(cases: u32) -> Config {
    let given = std::env::var("VERBUND_PROPERTY_SEED").ok();
    let seed = given.map_or_else(|| RandomState::new().build_hasher().finish(), |seed| seed.parse().unwrap());
    // Shown when the test fails.
    eprintln!("repeat these cases with VERBUND_PROPERTY_SEED={seed}");
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() }
}

/// Compares `made` with the vector file `name`, or writes it if `VERBUND_WRITE_VECTORS` is 1, and returns what the file holds.
pub(crate) fn golden<T: Serialize + DeserializeOwned>(name: &str, made: &T) -> T {
    assert!(FILES.contains(&name), "{name} is not in the list of vector files");
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    let text = serde_json::to_string_pretty(made).unwrap() + "\n";
    if std::env::var_os("VERBUND_WRITE_VECTORS").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    assert!(found == text, "{name} differs from what this code makes: a change of the protocol?");
    serde_json::from_str(&found).unwrap()
}

/// Every vector file, and folders whose readers take whatever lies in them. A file that is not here is read by no test.
const FILES: [&str; 37] = [
    "charter/chain.json",
    "charter/invalid.json",
    "documents/adoption.json",
    "documents/advisory.json",
    "documents/approval.json",
    "documents/correction.json",
    "documents/deprecation.json",
    "documents/envelope.json",
    "documents/identity.json",
    "documents/json.json",
    "documents/leave.json",
    "documents/node_info.json",
    "documents/ordering.json",
    "documents/request.json",
    "documents/transfer.json",
    "documents/withdrawal.json",
    "documents/writer.json",
    "log/fork.json",
    "log/note.json",
    "log/tree.json",
    "log/wire.json",
    "provenance/alone.json",
    "provenance/beyond.json",
    "provenance/cases.json",
    "provenance/copied.json",
    "provenance/expelled.json",
    "provenance/namespace.json",
    "provenance/rotated.json",
    "provenance/unlisted.json",
    "provenance/witnessed.json",
    "ticket.json",
    "wire/gossip.json",
    "wire/join_request.json",
    "wire/join_response.json",
    "wire/record.json",
    "wire/sync_request.json",
    "wire/sync_response.json",
];

/// Folders of cases in files of their own, with the ends of their names: the case, and what is expected of it.
const FOLDERS: [(&str, &str, &str); 6] = [
    ("release/manifest/invalid", "json", "error"),
    ("release/manifest/valid", "json", "canonical"),
    ("release/process/invalid", "toml", "error"),
    ("release/process/valid", "toml", "json"),
    ("release/statement/invalid", "json", "error"),
    ("release/statement/valid", "json", "reading"),
];

/// Files below `folder`, relative to the vectors, without what is for people.
fn below(folder: &Path) -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&path));
        } else if entry.file_name() != "README.md" {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn every_vector_file_is_read_by_a_test() {
    let covered = |file: &String| {
        let case = |(folder, case, want): &(&str, &str, &str)| {
            let stem =
                file.strip_prefix(folder).and_then(|name| name.strip_prefix('/')).map(|name| name.split_once('.'));
            stem.flatten().is_some_and(|(_, end)| end == *case || end == *want)
        };
        FILES.contains(&file.as_str()) || FOLDERS.iter().any(case)
    };
    let stray: Vec<_> = below(Path::new("")).into_iter().filter(|file| !covered(file)).collect();
    assert!(stray.is_empty(), "no test reads {stray:?}");
    for (folder, case, want) in FOLDERS {
        let all = below(Path::new(folder));
        let with = |end: &str| all.iter().filter(|f| f.ends_with(&format!(".{end}"))).count();
        assert!(
            with(case) > 0 && with(case) == with(want),
            "{folder}: every case has its expectation, and no expectation is left over"
        );
    }
}

/// The name of an error: its variant, and that of the error in it.
pub(crate) fn error_name(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    let mut names = Vec::new();
    for part in text.split('(') {
        let name: String = part.chars().take_while(char::is_ascii_alphanumeric).collect();
        if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
            break;
        }
        names.push(name.clone());
        if name.len() != part.len() {
            break;
        }
    }
    names.join(".")
}

/// The error's name, or nothing.
pub(crate) fn outcome<T, E: Debug>(result: Result<T, E>) -> Option<String> {
    result.err().map(|e| error_name(&e))
}
