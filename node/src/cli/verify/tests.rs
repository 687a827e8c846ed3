use verbund_protocol::ids::{FederationId, PeerId, PublicKey};
use verbund_protocol::provenance::{Cosigner, FileDiff, Listed, Witnessed};

use super::*;

fn checked(report: Result<Report, String>, at_s: u64) -> String {
    let trust = Some(Trust { federation: FederationId([2; 32]), charter: Sha256([3; 32]) });
    let dir = Path::new("/tmp/Hund|e`#");
    let proof = (Sha256([4; 32]), 17);
    record::write(&Checked { dir, at: Moment::from_unix_ms(at_s * 1_000), trust, proof, report })
}

fn step(name: StepName, ok: bool, text: &str) -> Step {
    Step { name, ok, text: text.to_owned(), next: None }
}

fn found() -> Report {
    let handle = |text: &str| text.parse().unwrap();
    Report {
        steps: vec![
            step(StepName::Anchor, true, "the trusted charter is version 2 of the chain"),
            step(StepName::Files, true, "all 1 files"),
        ],
        anchored: true,
        trusted: Some(2),
        charters: vec![Sha256([5; 32]), Sha256([3; 32])],
        witnessed: Some(Witnessed { count: 1, of: 2, needed: 2, charter: 2, by: vec![handle("de-rp")] }),
        cosigners: vec![Cosigner { member: Some(handle("de-rp")), node: PeerId(PublicKey([6; 32])), time_s: 1_000 }],
        checkpoint_time_s: Some(1_000),
        listed: vec![Listed { path: "a|b\n# c".into(), size: 3, sha256: Sha256([7; 32]) }],
        files: Some(FileDiff::default()),
        warnings: vec!["not witnessed".into()],
        ..Report::default()
    }
}

#[test]
fn a_pruefprotokoll_says_what_was_checked_and_what_was_not_and_is_the_same_every_time() {
    let text = checked(Ok(found()), 1_000 + 3 * 86_400);
    for said in [
        "**Ergebnis: bestanden**",
        "1970-01-04T00:16:40Z",
        concat!("verbund ", env!("CARGO_PKG_VERSION")),
        &Sha256([3; 32]).to_string(),
        &Sha256([4; 32]).to_string(),
        &Sha256([7; 32]).to_string(),
        &PeerId(PublicKey([6; 32])).to_string(),
        "| de-rp |",
        "1 von 2 anderen Mitgliedern",
        "3 d alt",
        "| 2 | `sha256:0303",
        "## Nicht geprüft",
        "Rückrufe",
        "## Hinweise des Programms",
    ] {
        assert!(text.contains(said), "{said} is missing:\n{text}");
    }
    assert_eq!(text, checked(Ok(found()), 1_000 + 3 * 86_400));
    let later = checked(Ok(found()), 2_000 + 3 * 86_400);
    let differ = text.lines().zip(later.lines()).filter(|(a, b)| a != b).count();
    assert_eq!((differ, text.lines().count()), (1, later.lines().count()), "the time of the check alone");
}

#[test]
fn text_of_others_never_becomes_markup_of_a_pruefprotokoll() {
    let text = checked(Ok(found()), 5_000);
    assert!(text.contains("| a\\|b\u{fffd}\\# c | 3 |"), "{text}");
    assert!(text.contains("Hund\\|e\\`\\#"), "{text}");
}

#[test]
fn a_pruefprotokoll_names_what_failed() {
    let mut report = found();
    report.steps[1] = step(StepName::Files, false, "changed: \"x\"");
    report.files =
        Some(FileDiff { missing: vec!["a|b\n# c".into()], extra: vec!["fremd".into()], ..FileDiff::default() });
    let text = checked(Ok(report), 5_000);
    for said in ["**Ergebnis: nicht bestanden", "NICHT ERFÜLLT", "FEHLT", "| fremd | | | GEHÖRT NICHT DAZU |"] {
        assert!(text.contains(said), "{said} is missing:\n{text}");
    }
    let text = checked(Err("the proof is malformed".into()), 5_000);
    assert!(text.contains("nicht lesbar: the proof is malformed") && text.contains("## Nicht geprüft"), "{text}");
    let mut report = found();
    report.anchored = false;
    report.steps[0].ok = false;
    let text = checked(Ok(report), 5_000);
    assert!(text.contains("in sich stimmig") && text.contains("): offen."), "{text}");
}

#[test]
fn a_pruefprotokoll_is_not_written_over_another_file_by_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("protokoll.md");
    write(&file, false, "eins").unwrap();
    let refused = write(&file, false, "zwei").unwrap_err();
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.next_step.contains("--force"), "{}", refused.next_step);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "eins");
    write(&file, true, "drei").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "drei");
}
