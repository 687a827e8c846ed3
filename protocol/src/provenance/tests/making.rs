//! Which checkpoint, entries and statements go into a file, and when there is none.

use super::build::{COSIGNED_S, Fed, files_of, key};
use super::{StepName, Verdict, edit, failing, refused, standard, verify};
use crate::documents::{Change, Document, Standing};
use crate::ids::Sha256;
use crate::json::Object;
use crate::provenance::{MakeError, Report};
use crate::record::Record;

fn report(fed: &Fed, release: &super::Release) -> Report {
    let report = verify(&fed.make(release).unwrap(), &release.files, Some(fed.trust())).unwrap();
    assert_eq!(failing(&report), None);
    assert_eq!(report.verdict(), Verdict::Verified);
    report
}

fn warned(report: &Report, text: &str) -> bool {
    report.warnings.iter().any(|w| w.contains(text))
}

#[test]
fn the_witnessed_checkpoint_is_taken_although_a_newer_one_is_signed() {
    let (mut fed, release) = standard();
    fed.publish(0, "hundesteuer", "1.4.0", &[("a", "b")]);
    fed.cosign(0, &[1]);
    let report = report(&fed, &release);
    assert_eq!(report.release.unwrap().checkpoint_size, 8);
    assert!(report.witnessed.unwrap().reached());
}

#[test]
fn the_newest_checkpoint_is_taken_if_no_witnessed_one_covers_the_release() {
    let (mut fed, _) = standard();
    let release = fed.publish(0, "hundesteuer", "1.4.0", &[("a", "b")]);
    let alone = report(&fed, &release);
    assert_eq!(alone.release.as_ref().unwrap().checkpoint_size, 9);
    assert!(warned(&alone, "not witnessed: 0 of 2"), "{:?}", alone.warnings);
    assert!(warned(&alone, "age is not known"));
    assert_eq!((alone.checkpoint_time_s, alone.age_s(9)), (None, None));
    fed.cosign(0, &[2]);
    let one = report(&fed, &release);
    assert!(warned(&one, "not witnessed: 1 of 2 other members cosigned the checkpoint, 2 are needed"));
    assert_eq!(one.checkpoint_time_s, Some(COSIGNED_S + 2));
    fed.cosign(0, &[1]);
    assert!(report(&fed, &release).witnessed.unwrap().reached());
}

#[test]
fn a_founder_alone_is_never_witnessed() {
    let mut fed = Fed::of(1);
    let release = fed.publish(0, "hundesteuer", "1.0.0", &[("a", "b")]);
    let report = report(&fed, &release);
    let witnessed = report.witnessed.as_ref().unwrap();
    assert_eq!((witnessed.count, witnessed.of, witnessed.needed, witnessed.reached()), (0, 0, 1, false));
    assert!(warned(&report, "not witnessed"));
}

#[test]
fn witnesses_are_counted_by_the_last_charter_below_the_checkpoint() {
    let (mut fed, release) = standard();
    fed.admit(Standing::Full);
    fed.publish(0, "hundesteuer", "1.4.0", &[("a", "b")]);
    fed.cosign(0, &[1, 3]);
    let report = report(&fed, &release);
    let witnessed = report.witnessed.unwrap();
    assert_eq!((witnessed.charter, witnessed.count, witnessed.of, witnessed.needed), (4, 2, 3, 2));
    assert_eq!(report.release.unwrap().checkpoint_size, 10);
}

#[test]
fn associates_have_no_vote_and_are_not_counted() {
    let mut fed = Fed::of(2);
    fed.admit(Standing::Associate);
    let release = fed.publish(0, "hundesteuer", "1.0.0", &[("a", "b")]);
    fed.cosign(0, &[2]);
    let witnessed = report(&fed, &release).witnessed.unwrap();
    assert_eq!((witnessed.count, witnessed.of, witnessed.needed), (0, 1, 1));
}

#[test]
fn the_identity_below_the_release_judges_it() {
    let mut fed = Fed::of(2);
    let first = fed.publish(0, "hundesteuer", "1.0.0", &[("a", "1")]);
    let (old, new) = (fed.parties[0].publisher(), key(77, 0));
    fed.rotate(0, |identity| identity.roles.publisher.keys = vec![new.public()]);
    let by_old = fed.publish_as(0, 0, "hundesteuer", "1.1.0", &[&old]);
    let by_new = fed.publish_as(0, 0, "hundesteuer", "1.2.0", &[&new]);
    fed.cosign(0, &[1]);
    let facts = |r| report(&fed, r).release.unwrap();
    assert_eq!(facts(&first).identity_version, 1);
    assert_eq!(facts(&by_new).identity_version, 2);
    let log = by_old.log;
    assert_eq!(fed.make(&by_old), Err(MakeError::NoRelease(log, by_old.index)));
}

#[test]
fn statements_of_the_owner_are_shown_and_no_others() {
    let (mut fed, release) = standard();
    let publisher = fed.parties[0].publisher();
    let deprecation = fed.deprecation(0, "hundesteuer", Some(release.id)).seal(&[&publisher]).unwrap();
    let other = fed.deprecation(0, "hundesteuer", Some(Sha256([1; 32]))).seal(&[&publisher]).unwrap();
    let withdrawal = fed.withdrawal(0, "hundesteuer", release.id).seal(&[&publisher]).unwrap();
    let leaves = [&deprecation, &other, &withdrawal].map(|e| e.bytes().to_vec());
    fed.append(0, leaves.into());
    let shown = report(&fed, &release);
    let kinds: Vec<_> = shown.statements.iter().map(|s| (s.kind, s.reason.as_str(), s.severity.as_deref())).collect();
    assert_eq!(kinds, [("withdrawal", "rechnet falsch", Some("high")), ("deprecation", "endet", None)]);
    assert!(warned(&shown, "withdrawn when it was pulled: rechnet falsch; use de-he/hundesteuer@1.3.0 instead"));
    assert!(warned(&shown, "deprecated when it was pulled"));

    let forged = fed.withdrawal(0, "hundesteuer", release.id).seal(&[&fed.parties[1].publisher()]).unwrap();
    let elsewhere = fed.withdrawal(0, "hundesteuer", Sha256([2; 32])).seal(&[&publisher]).unwrap();
    let text = |e: &crate::envelope::Envelope| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(e.bytes())
    };
    let list = vec![text(&forged), text(&elsewhere), text(&other), "AAAA".to_owned(), text(&deprecation)];
    let bytes = edit(&fed.make(&release).unwrap(), |v| v["statements"] = list.into());
    let shown = verify(&bytes, &release.files, Some(fed.trust())).unwrap();
    assert_eq!(shown.verdict(), Verdict::Verified, "statements prove nothing either way");
    assert_eq!(shown.statements.len(), 1);
    assert!(warned(&shown, "4 statements in the file are not by the owner about this release"));
}

#[test]
fn what_an_expelled_member_published_before_its_stop_stays_provable() {
    let mut fed = Fed::of(3);
    let kept = fed.publish(2, "hundesteuer", "1.0.0", &[("a", "1")]);
    let size = fed.parties[2].leaves.len();
    let cut = fed.publish(2, "hundesteuer", "1.1.0", &[("a", "2")]);
    fed.cosign(2, &[0, 1]);
    let before = fed.make(&cut).unwrap();
    let joined = fed.make(&kept).unwrap();
    assert!(!String::from_utf8(joined).unwrap().contains("\"end\""), "nothing ends the log yet");
    fed.expel(2, size);
    let after = report(&fed, &kept);
    assert!(warned(&after, "no longer a member as of charter 4"));
    let end = after.steps.iter().find(|s| s.name == StepName::End).unwrap();
    assert!(end.text.contains("ended the log at 4 entries, above the release"), "{}", end.text);
    let ended = MakeError::Ended { log: cut.log, size: 4, index: cut.index };
    assert_eq!(fed.make(&cut), Err(ended));
    // The old file with the newer charters shows what it is; without them it cannot know.
    assert_eq!(verify(&before, &cut.files, None).unwrap().verdict(), Verdict::Unanchored);
    let newer = serde_json::from_slice::<serde_json::Value>(&fed.make(&kept).unwrap()).unwrap();
    let grafted = edit(&before, |v| v["charters"] = newer["charters"].clone());
    refused(&grafted, &cut.files, Some(fed.trust()), StepName::End, "entry 4 is void");
}

#[test]
fn a_checkpoint_of_another_history_than_the_stop_is_refused() {
    let mut fed = Fed::of(3);
    let kept = fed.publish(2, "hundesteuer", "1.0.0", &[("a", "1")]);
    let size = fed.parties[2].leaves.len();
    fed.publish(2, "hundesteuer", "1.1.0", &[("a", "2")]);
    fed.expel(2, size);
    let good = fed.raw(2, &kept, &[0, 1, 2]);
    refused(&good.write().unwrap(), &kept.files, None, StepName::End, "does not show that the checkpoint agrees");
    let mut shown = good;
    shown.end = Some(Object(fed.path(2, 4, 5)));
    assert_eq!(verify(&shown.write().unwrap(), &kept.files, None).unwrap().verdict(), Verdict::Unanchored);

    // The expelled member signs another history from entry 3 on, with a release below the stop.
    let mut forked = fed;
    forked.parties[2].leaves.truncate(3);
    let other = forked.publish_as(2, 2, "gewerbe", "1.0.0", &[&forked.parties[2].publisher()]);
    let same_size = forked.raw(2, &other, &[0, 1, 2]);
    refused(&same_size.write().unwrap(), &other.files, None, StepName::End, "one size and two roots");
    forked.append(2, vec![b"{}".to_vec()]);
    let mut longer = forked.raw(2, &other, &[0, 1, 2]);
    longer.end = Some(Object(forked.path(2, 4, 5)));
    refused(&longer.write().unwrap(), &other.files, None, StepName::End, "does not extend");
}

#[test]
fn a_writer_that_follows_ends_the_log() {
    let mut fed = Fed::of(2);
    let kept = fed.publish(0, "hundesteuer", "1.0.0", &[("a", "1")]);
    let size = fed.parties[0].leaves.len();
    let cut = fed.publish(0, "hundesteuer", "1.1.0", &[("a", "2")]);
    fed.hand_over(0, size);
    let after = report(&fed, &kept);
    assert!(warned(&after, "identity version 2 of the owner"), "{:?}", after.warnings);
    let ended = MakeError::Ended { log: cut.log, size: size as u64, index: cut.index };
    assert_eq!(fed.make(&cut), Err(ended));
    let entries: Vec<u64> = (0..4).collect();
    refused(
        &fed.raw(0, &cut, &entries).write().unwrap(),
        &cut.files,
        None,
        StepName::End,
        "the writer that follows it",
    );
}

#[test]
fn there_is_no_proof_of_what_is_not_there() {
    let (mut fed, release) = standard();
    let with = |index| super::Release { index, files: files_of(&[]), manifest: release.manifest.clone(), ..release };
    for index in [0, 3, 99] {
        assert_eq!(fed.make(&with(index)), Err(MakeError::NoRelease(release.log, index)));
    }
    let unknown = key(200, 3).peer();
    let stranger = super::Release { log: unknown, ..with(6) };
    assert_eq!(fed.make(&stranger), Err(MakeError::UnknownLog(unknown)));
    let other = super::Release { manifest: b"{}".to_vec(), ..with(6) };
    assert!(matches!(fed.make(&other), Err(MakeError::Manifest { got, .. }) if got == Sha256::of(b"{}")));

    // The entries of another log are held, a checkpoint that covers them is not.
    let fresh = fed.statement(1, "gewerbe", "1.0.0", &files_of(&[("a", "b")]));
    let publisher = fed.parties[1].publisher();
    let envelope = crate::envelope::Envelope::sign(crate::documents::RELEASE_TYPE, fresh.0, [&publisher]).unwrap();
    let (log, index) = (fed.parties[1].log(), fed.parties[1].leaves.len() as u64);
    fed.store.commit(vec![Record::entries(log, index, vec![envelope.bytes().to_vec()])]);
    let waiting = super::Release { log, index, id: envelope.id(), manifest: fresh.1, files: files_of(&[]) };
    assert_eq!(fed.make(&waiting), Err(MakeError::NotYet { log, index }));
}

#[test]
fn a_renamed_member_is_shown_by_the_charter_that_judged_the_release() {
    let (mut fed, release) = standard();
    let change = Change::Amend {
        member: Some(fed.parties[0].member),
        handle: Some("de-hessen".parse().unwrap()),
        standing: None,
        identity: None,
        writer: None,
        name: Some("Verbund Neu".into()),
        license: None,
    };
    fed.change(&change, &[], (Vec::new(), Vec::new()));
    let facts = report(&fed, &release).release.unwrap();
    assert_eq!(
        (facts.handle.as_str(), facts.federation_name.as_str(), facts.charter_version),
        ("de-he", "Verbund Neu", 4)
    );
}
