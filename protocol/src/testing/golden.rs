//! Vector files, names of errors, and how property tests run.

use std::fmt::Debug;
use std::path::PathBuf;

use proptest::test_runner::Config;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Property tests print their seed and leave no files behind.
pub(crate) fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Compares `made` with the vector file `name`, or writes it if `VERBUND_WRITE_VECTORS` is 1, and returns what the file holds.
pub(crate) fn golden<T: Serialize + DeserializeOwned>(name: &str, made: &T) -> T {
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
