//! The offline proof.

use std::sync::OnceLock;

use verbund_protocol::provenance::{Files, Trust, Verdict, verify};

use crate::check::{twice, words};
use crate::corpus;

/// Longest text of one step: it names handles, keys and paths.
const TEXT_MAX_BYTES: usize = 64 << 10;

struct Base {
    files: Vec<Files>,
    trust: Trust,
    /// What the vectors prove.
    releases: Vec<String>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let cases = corpus::json("provenance/cases.json");
        let cases = cases.as_array().unwrap();
        let trust = cases.iter().find_map(|case| case["trust"].as_str()?.parse().ok()).unwrap();
        let mut files: Vec<Files> = Vec::new();
        for case in cases {
            let entry = |(path, file): (&String, &serde_json::Value)| {
                Some((path.clone(), (file["sha256"].as_str()?.parse().ok()?, file["size"].as_u64()?)))
            };
            let folder: Files = case["folder"].as_object().unwrap().iter().filter_map(entry).collect();
            if !files.contains(&folder) {
                files.push(folder);
            }
        }
        let releases = cases.iter().filter_map(|case| case["release"].as_str()).map(ToOwned::to_owned).collect();
        Base { files, trust, releases }
    })
}

/// Whatever is changed in a file: it is no proof, fails, or proves a release that the vectors know. Every text can be shown.
pub fn provenance(data: &[u8]) {
    let base = base();
    let folder = &base.files[data.len() % base.files.len()];
    let Some(report) = twice(|| verify(data, folder, Some(base.trust))) else { return };
    for text in report.steps.iter().flat_map(|s| [Some(&s.text), s.next.as_ref()]).flatten().chain(&report.warnings) {
        assert!(text.len() <= TEXT_MAX_BYTES, "{} bytes: {text:.200}", text.len());
        words(&text.chars().take(400).collect::<String>());
    }
    assert!(report.steps.len() <= 11 && report.anchored <= report.steps.len().gt(&2));
    if report.verdict() != Verdict::Failed {
        let facts = report.release.as_ref().unwrap();
        assert!(base.releases.contains(&facts.release.to_string()), "no vector proves {}", facts.release);
        assert!(report.files.as_ref().is_some_and(verbund_protocol::provenance::FileDiff::is_empty));
        assert!(report.anchored == (report.verdict() == Verdict::Verified));
    }
}

pub fn seeds(_: &str) -> Vec<Vec<u8>> {
    let names = ["alone", "beyond", "copied", "expelled", "namespace", "rotated", "unlisted", "witnessed"];
    let compact = |name: &str| serde_json::to_vec(&corpus::json(&format!("provenance/{name}.json"))).unwrap();
    names.map(compact).to_vec()
}
