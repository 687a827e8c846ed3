//! `scripts/verify.py`, which was written from SPEC.md and shares no code with this crate, judges every proof alike: the golden
//! ones changed in one place after the other, and forged ones in which every document is well signed and one is not as it should be.
//!
//! Only whether a proof is accepted is compared. The Python side makes the cases (`tests/proof`).

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::ids::Sha256;
use crate::provenance::{Trust, verify};

/// One changed proof, and what `verify.py` says.
#[derive(Deserialize)]
struct Case {
    name: String,
    proof: String,
    files: BTreeMap<String, (Sha256, u64)>,
    trust: Option<String>,
    exit: u8,
    why: String,
}

fn judged(case: &Case) -> (u8, String) {
    let proof = STANDARD.decode(&case.proof).unwrap();
    let trust = case.trust.as_deref().map(|text| text.parse::<Trust>().unwrap());
    match verify(&proof, &case.files, trust) {
        Ok(report) => {
            let why = report.failed().map_or_else(String::new, |step| format!("{}: {}", step.name, step.text));
            (report.verdict().exit_code(), why)
        }
        Err(error) => (6, error.to_string()),
    }
}

/// Whether Python and its `cryptography` are there; said if not.
fn python() -> bool {
    let there = Command::new("python3").args(["-c", "import cryptography"]).output().is_ok_and(|o| o.status.success());
    if !there {
        eprintln!("SKIPPED: python3 with the package `cryptography` is missing");
    }
    there
}

/// The top of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares all cases that the mutator makes. Gives how many there were, and how many both accept; `None` without Python.
fn compare(arguments: &[&str]) -> Option<(usize, usize)> {
    if !python() {
        return None;
    }
    let root = root();
    let seed = std::env::var("SEED").unwrap_or_else(|_| "1".to_owned());
    let mut child = Command::new("python3")
        .arg(root.join("tests/proof/mutate.py"))
        .args(arguments)
        .env("SEED", &seed)
        .current_dir(&root)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut cases, mut accepted, mut differ) = (0, 0, Vec::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let case: Case = serde_json::from_str(&line.unwrap()).unwrap();
        let (exit, why) = judged(&case);
        cases += 1;
        accepted += usize::from(exit != 6);
        if exit != case.exit {
            differ.push(format!("{}: here {exit} ({why}), verify.py {} ({})", case.name, case.exit, case.why));
        }
    }
    assert!(child.wait().unwrap().success(), "the mutator says why");
    assert!(differ.is_empty(), "SEED={seed}: {} of {cases} differ:\n{}", differ.len(), differ.join("\n"));
    println!("{cases} cases, {accepted} accepted by both");
    Some((cases, accepted))
}

#[test]
fn verify_py_judges_every_change_of_a_golden_proof_alike() {
    let Some((cases, accepted)) = compare(&["vectors", "protocol/vectors/provenance"]) else { return };
    assert!(cases > 2_000 && accepted > 100, "{cases} cases, {accepted} accepted");
}

#[test]
fn verify_py_judges_every_well_signed_document_alike() {
    let Some((cases, accepted)) = compare(&["forged"]) else { return };
    assert!(cases > 1_000 && accepted > 200, "{cases} cases, {accepted} accepted");
}

#[test]
fn verify_py_agrees_with_the_golden_vectors_of_what_a_proof_is_made_of() {
    if !python() {
        return;
    }
    let golden = Command::new("python3")
        .args(["tests/proof/golden.py", "protocol/vectors"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(golden.status.success(), "{}", String::from_utf8_lossy(&golden.stderr));
    assert_eq!(
        String::from_utf8_lossy(&golden.stdout).lines().count(),
        7,
        "JSON, envelopes, identities, charters, trees, notes, points"
    );
}
