//! The largest folder, and long logs.

use super::build::Fed;
use super::{Files, StepName, Verdict, failing, verify};
use crate::ids::Sha256;
use crate::limits::RELEASE_FILES_MAX;

#[test]
fn ten_thousand_files() {
    let file =
        |n: usize| (format!("ordner-{:03}/datei-{n:05}.bpmn", n % 100), (Sha256::of(&n.to_le_bytes()), n as u64));
    let files: Files = (0..RELEASE_FILES_MAX).map(file).collect();
    let mut fed = Fed::of(2);
    let release = fed.publish_files(0, "hundesteuer", "1.0.0", files);
    let bytes = fed.make(&release).unwrap();
    let report = verify(&bytes, &release.files, Some(fed.trust())).unwrap();
    assert_eq!(report.verdict(), Verdict::Verified);
    let mut changed = release.files.clone();
    changed.values_mut().for_each(|(_, size)| *size += 1);
    let report = verify(&bytes, &changed, Some(fed.trust())).unwrap();
    assert_eq!(report.files.as_ref().unwrap().changed.len(), RELEASE_FILES_MAX);
    let (step, text) = failing(&report).unwrap();
    assert_eq!(step, StepName::Files);
    assert!(text.len() < 1_000 && text.ends_with("and 9995 more"), "{text}");
}

#[test]
fn a_long_log_is_read_only_where_it_must_be() {
    let mut fed = Fed::of(2);
    let mut last = None;
    for n in 0..60 {
        last = Some(fed.publish(0, "hundesteuer", &format!("1.{n}.0"), &[("a", "b")]));
    }
    let release = last.unwrap();
    let reads = |fed: &Fed| {
        let before = fed.store.reads.get();
        let bytes = fed.make(&release).unwrap();
        let report = verify(&bytes, &release.files, Some(fed.trust())).unwrap();
        assert_eq!(report.verdict(), Verdict::Verified);
        fed.store.reads.get() - before
    };
    assert_eq!(reads(&fed), 5, "the first three, one charter, the release");
    fed.admit(crate::documents::Standing::Full);
    assert_eq!(reads(&fed), 6, "and the later charter, but none of 59 other releases");
}
