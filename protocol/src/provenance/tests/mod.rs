//! The offline proof: a federation in memory, what is proven from it, and every way to tamper with the proof.

mod build;
mod making;
mod mutate;
mod refusals;
mod scale;
mod tiles;
mod vectors;

use std::collections::BTreeMap;

use build::{Fed, Release, files_of};

use super::{Files, Report, StepName, Trust, Verdict, VerifyError, verify};

/// A release by de-he, the founder of three, in its log at 5, witnessed by both others at 8 entries.
pub(super) fn standard() -> (Fed, Release) {
    let mut fed = Fed::of(3);
    let other = fed.publish(0, "wohngeld", "1.0.0", &[("a.txt", "other")]);
    assert_eq!(other.index, 5);
    let release =
        fed.publish(0, "hundesteuer", "1.2.0", &[("process.toml", "id = 1"), ("bpmn/prozess.bpmn", "<bpmn/>")]);
    fed.publish(0, "hundesteuer", "1.3.0", &[("process.toml", "id = 2")]);
    fed.cosign(0, &[1, 2]);
    (fed, release)
}

/// Reads the file as JSON, changes it, and writes it again.
pub(super) fn edit(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(bytes).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

/// The step that fails, with its words.
pub(super) fn failing(report: &Report) -> Option<(StepName, &str)> {
    assert_eq!(report.verdict() == Verdict::Failed, report.failed().is_some());
    report.failed().map(|step| {
        assert!(step.next.as_ref().is_some_and(|next| !next.is_empty()), "{step:?}");
        (step.name, step.text.as_str())
    })
}

/// Checks that exactly this step fails, in words that hold `text`.
#[track_caller]
pub(super) fn refused(bytes: &[u8], files: &Files, trust: Option<Trust>, name: StepName, text: &str) {
    let report = verify(bytes, files, trust).unwrap();
    let (step, why) = failing(&report).unwrap_or_else(|| panic!("verified, expected {name}: {text}"));
    assert_eq!(step, name, "{why}");
    assert!(why.contains(text), "{why}");
    assert_eq!(report.verdict().exit_code(), 6);
}

#[test]
fn a_pulled_release_verifies_and_says_what_it_is() {
    let (fed, release) = standard();
    let bytes = fed.make(&release).unwrap();
    let report = verify(&bytes, &release.files, Some(fed.trust())).unwrap();
    assert_eq!((report.verdict(), report.verdict().exit_code()), (Verdict::Verified, 0), "{report:#?}");
    let facts = report.release.as_ref().unwrap();
    assert_eq!(
        (facts.handle.as_str(), facts.process.as_str(), facts.version.as_str()),
        ("de-he", "hundesteuer", "1.2.0")
    );
    assert_eq!((facts.federation, facts.release, facts.index), (fed.federation(), release.id, release.index));
    assert_eq!((facts.charter_version, facts.charter, facts.checkpoint_size), (3, fed.newest().hash, 8));
    let witnessed = report.witnessed.as_ref().unwrap();
    assert_eq!((witnessed.count, witnessed.of, witnessed.needed, witnessed.charter), (2, 2, 2, 3));
    assert_eq!(witnessed.by.iter().map(ToString::to_string).collect::<Vec<_>>(), ["de-rp", "de-sl"]);
    assert_eq!(report.checkpoint_time_s, Some(build::COSIGNED_S + 1));
    assert_eq!(report.age_s(build::COSIGNED_S + 61), Some(60));
    assert_eq!(report.age_s(0), Some(0), "a clock behind that of the witnesses is no underflow");
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
    assert!(report.warnings[0].starts_with("recalls cannot be known offline"));
    assert_eq!(report.steps.len(), 11);
    assert!(report.steps.iter().all(|step| step.ok && step.next.is_none() && !step.text.is_empty()));
}

#[test]
fn any_charter_of_the_chain_anchors_and_no_other_does() {
    let (fed, release) = standard();
    let bytes = fed.make(&release).unwrap();
    for bundle in &fed.bundles {
        let trust = Trust { charter: bundle.hash(), ..fed.trust() };
        assert_eq!(verify(&bytes, &release.files, Some(trust)).unwrap().verdict(), Verdict::Verified);
    }
    let later = Trust { charter: crate::ids::Sha256([7; 32]), ..fed.trust() };
    for trust in [None, Some(later)] {
        let report = verify(&bytes, &release.files, trust).unwrap();
        assert_eq!((report.verdict(), report.verdict().exit_code(), report.anchored), (Verdict::Unanchored, 8, false));
        let anchor = report.steps.iter().find(|s| s.name == StepName::Anchor).unwrap();
        assert!(!anchor.ok && anchor.next.is_some());
        assert!(report.release.is_some(), "it is consistent all the same");
    }
    let foreign = Trust { federation: Fed::with(3, 99).federation(), ..fed.trust() };
    refused(&bytes, &release.files, Some(foreign), StepName::Federation, "trusted is federation:");
}

#[test]
fn a_folder_without_anchor_still_fails_for_its_files() {
    let (fed, release) = standard();
    let bytes = fed.make(&release).unwrap();
    refused(&bytes, &files_of(&[("process.toml", "id = 1")]), None, StepName::Files, "missing: \"bpmn/prozess.bpmn\"");
}

#[test]
fn missing_changed_and_extra_files_are_listed_apart() {
    let (fed, release) = standard();
    let bytes = fed.make(&release).unwrap();
    let found =
        files_of(&[("process.toml", "id = 9"), ("neu.txt", ""), (".verbund/provenance.json", ""), (".verbund/x", "")]);
    let report = verify(&bytes, &found, Some(fed.trust())).unwrap();
    let diff = report.files.clone().unwrap();
    assert_eq!(diff.missing, ["bpmn/prozess.bpmn"]);
    assert_eq!(diff.changed, ["process.toml"]);
    assert_eq!(diff.extra, [".verbund/x", "neu.txt"]);
    assert_eq!(failing(&report).unwrap().0, StepName::Files);
    assert!(report.release.is_some(), "what the folder should be is proven");
    // Same hash and another size is no file of any disk, and does not pass.
    let mut sized = release.files.clone();
    sized.get_mut("process.toml").unwrap().1 += 1;
    refused(&bytes, &sized, Some(fed.trust()), StepName::Files, "changed: \"process.toml\"");
    let mut extra = release.files.clone();
    extra.extend((0..9).map(|n| (format!("x{n}"), *release.files.values().next().unwrap())));
    refused(&bytes, &extra, Some(fed.trust()), StepName::Files, "and 4 more");
}

#[test]
fn trust_is_read_with_and_without_prefixes() {
    let trust = Fed::of(1).trust();
    let (f, c) = (trust.federation, trust.charter);
    assert_eq!(format!("{f}@{c}").parse(), Ok(trust));
    assert_eq!(format!("{}@{}", f.to_hex(), c.to_hex()).parse(), Ok(trust));
    for bad in ["", "@", &f.to_string(), &format!("{c}@{f}"), &format!("{f}@{}", &c.to_hex()[1..])] {
        assert!(bad.parse::<Trust>().is_err(), "{bad}");
    }
}

#[test]
fn a_file_that_is_none_is_refused_as_a_whole() {
    let (fed, release) = standard();
    let bytes = fed.make(&release).unwrap();
    let read = |bytes: &[u8]| verify(bytes, &BTreeMap::new(), None).unwrap_err();
    assert!(matches!(read(b""), VerifyError::Malformed(_)));
    assert!(matches!(read(b"{}"), VerifyError::Malformed(_)));
    assert_eq!(read(b"{\"format\":2,\"new\":[]}"), VerifyError::Format(2));
    assert!(matches!(read(&[b' '; super::PROVENANCE_MAX_BYTES + 1]), VerifyError::TooLong(_)));
    let set = |key: &'static str, value: serde_json::Value| edit(&bytes, |v| v[key] = value);
    assert!(read(&set("unknown", 1.into())).to_string().contains("unknown field"));
    assert!(read(&set("pulled_at_s", (1_u64 << 53).into())).to_string().contains("2^53-1"));
    assert!(read(&set("index", 1.5.into())).to_string().contains("floating point"));
    assert!(read(&set("release", "***".into())).to_string().contains("base64"));
    assert!(read(&set("release", "AAB=".into())).to_string().contains("base64"), "stray bits");
    assert!(read(&set("release", "A".repeat(90_000).into())).to_string().contains("at most 65535 bytes"));
    let hash = format!("sha256:{}", "0".repeat(64));
    assert!(read(&set("proof", vec![hash.clone(); 65].into())).to_string().contains("a list of at most 64"));
    assert!(read(&set("statements", vec![""; 17].into())).to_string().contains("a list of at most 16"));
    assert!(read(&set("checkpoint", "x".repeat(65_537).into())).to_string().contains("at most 65536 bytes"));
    let twice = String::from_utf8(bytes.clone()).unwrap().replacen("\"index\"", "\"format\":1,\"index\"", 1);
    assert!(read(twice.as_bytes()).to_string().contains("duplicate field"));
    let mut trailing = bytes.clone();
    trailing.extend_from_slice(b"{}");
    assert!(read(&trailing).to_string().contains("trailing"));
}
