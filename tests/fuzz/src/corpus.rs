//! Seeds: the golden vectors, read from the repository when they are needed, and forms of them that single targets take.
//!
//! Owns where seeds come from. What a target makes of a vector stands beside the target.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use verbund_protocol::ids::FederationId;

use crate::targets;

/// Folder of the golden vectors.
fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors")
}

/// The seeds of the target called `name`, without repetition.
///
/// # Panics
/// If there is no such target, or the repository lacks a vector.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let target = targets::TARGETS.iter().chain([&targets::CANARY]).find(|t| t.name == name);
    let target = target.unwrap_or_else(|| panic!("no target is called {name}"));
    let mut seeds = (target.seeds)();
    seeds.sort();
    seeds.dedup();
    seeds
}

/// Writes the seeds of all targets to `folder/TARGET/`, each named by its hash, for libFuzzer. Returns how many there are.
///
/// # Errors
/// What the system says.
pub fn write(folder: &std::path::Path) -> std::io::Result<BTreeMap<&'static str, usize>> {
    let mut counts = BTreeMap::new();
    for target in targets::TARGETS.iter().chain([&targets::CANARY]) {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        let seeds = corpus(target.name);
        for seed in &seeds {
            std::fs::write(folder.join(verbund_protocol::ids::Sha256::of(seed).to_hex()), seed)?;
        }
        counts.insert(target.name, seeds.len());
    }
    Ok(counts)
}

/// The federation of the wire, note and fork vectors.
pub fn federation() -> FederationId {
    FederationId([0xfe; 32])
}

/// A vector file.
pub fn json(file: &str) -> Value {
    let path = vectors().join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The content of all files with this ending in `folder` of the vectors, ascending by name.
pub fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let path = vectors().join(folder);
    let entries = std::fs::read_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    names.retain(|name| name.extension().is_some_and(|found| found == ending));
    names.sort();
    names.into_iter().map(|name| std::fs::read(name).unwrap()).collect()
}

/// All texts under the key `key`, at any depth.
pub fn texts(value: &Value, key: &str) -> Vec<String> {
    let mut out = Vec::new();
    walk(value, &mut |name, value| {
        if name == key
            && let Value::String(text) = value
        {
            out.push(text.clone());
        }
    });
    out
}

fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(map) => {
            for (name, value) in map {
                visit(name, value);
                walk(value, visit);
            }
        }
        _ => {}
    }
}

/// Every hex text under `key` of a file, as bytes.
pub fn hex(file: &str, key: &str) -> Vec<Vec<u8>> {
    texts(&json(file), key).into_iter().map(|text| hex::decode(text).unwrap()).collect()
}
