//! Golden vectors in `protocol/vectors/log`: what another implementation must reproduce.
//!
//! They are made from fixed seeds. A difference between what is made and what lies there is a change of the protocol; with
//! `VERBUND_WRITE_VECTORS=1` the files are written anew, deliberately. What is checked is always what was read from the files.

mod fork;
mod note;
mod tree;
mod wire;

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{error_name, key};
use crate::log::{Checkpoint, Cosignature, sign_cosignature};

/// Compares `made` with the file, or writes the file, and returns what the file holds.
fn golden<T: Serialize + DeserializeOwned>(name: &str, made: &T) -> T {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/log").join(name);
    let text = serde_json::to_string_pretty(made).unwrap() + "\n";
    if std::env::var_os("VERBUND_WRITE_VECTORS").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    assert!(found == text, "{name} differs from what this code makes: a change of the protocol?");
    serde_json::from_str(&found).unwrap()
}

/// The error's name, or nothing.
fn outcome<T, E: std::fmt::Debug>(result: Result<T, E>) -> Option<String> {
    result.err().map(|e| error_name(&e))
}

fn cosigned(checkpoint: &Checkpoint, number: u8, time_s: u64) -> Cosignature {
    sign_cosignature(&key(number), time_s, checkpoint).unwrap()
}
