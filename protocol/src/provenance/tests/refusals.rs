//! Files that another program could have made: each is refused at the step that it breaks.

use super::build::{Fed, files_of, key};
use super::{Release, StepName, Verdict, refused, standard, verify};
use crate::documents::Standing;
use crate::provenance::MakeError;
use crate::provenance::format::{Bin, Provenance, Text};
use crate::view::state::Verdict as Judged;

#[track_caller]
fn fails(proof: &Provenance, release: &Release, name: StepName, text: &str) {
    refused(&proof.write().unwrap(), &release.files, None, name, text);
}

/// The view calls the release void, nobody makes a proof of it, and one that is made all the same fails.
#[track_caller]
fn void(fed: &Fed, who: usize, release: &Release, entries: &[u64], name: StepName, text: &str) {
    assert!(matches!(fed.verdict(release), Judged::Void(_)), "{:?}", fed.verdict(release));
    assert_eq!(fed.make(release), Err(MakeError::NoRelease(release.log, release.index)));
    fails(&fed.raw(who, release, entries), release, name, text);
}

#[test]
fn signed_by_a_key_that_the_member_did_not_list() {
    let mut fed = Fed::of(2);
    let release = fed.publish_as(0, 0, "hundesteuer", "1.0.0", &[&key(50, 0)]);
    void(&fed, 0, &release, &[0, 1, 2, 3], StepName::Release, "not signed by the publisher threshold");
    let unsigned = fed.publish_as(0, 0, "hundesteuer", "1.0.1", &[]);
    void(&fed, 0, &unsigned, &[0, 1, 2, 3], StepName::Release, "not signed by the publisher threshold");
    let approver = fed.parties[0].approver();
    let role = fed.publish_as(0, 0, "hundesteuer", "1.0.2", &[&approver]);
    void(&fed, 0, &role, &[0, 1, 2, 3], StepName::Release, "not signed by the publisher threshold");
}

#[test]
fn in_the_namespace_of_another_member() {
    let mut fed = Fed::of(2);
    let (he, rp) = (fed.parties[0].publisher(), fed.parties[1].publisher());
    let release = fed.publish_as(1, 0, "hundesteuer", "1.0.0", &[&he, &rp]);
    void(&fed, 1, &release, &[0, 1, 2], StepName::Release, "in the namespace of");
}

#[test]
fn of_another_federation() {
    let mut fed = Fed::of(2);
    let foreign = Fed::with(2, 1);
    assert_eq!(foreign.federation(), fed.federation(), "same seeds, same federation");
    let foreign = Fed::with(1, 60);
    let (payload, manifest) = foreign.statement(0, "hundesteuer", "1.0.0", &files_of(&[("process.toml", "x")]));
    let publisher = fed.parties[0].publisher();
    let envelope = crate::envelope::Envelope::sign(crate::documents::RELEASE_TYPE, payload, [&publisher]).unwrap();
    let id = envelope.id();
    let index = fed.append(0, vec![envelope.into_bytes()]);
    let release = Release { log: fed.parties[0].log(), index, id, manifest, files: files_of(&[]) };
    void(&fed, 0, &release, &[0, 1, 2, 3], StepName::Release, "it names federation:");
}

#[test]
fn a_publisher_key_that_may_sign_other_processes_only() {
    let mut fed = Fed::of(2);
    let publisher = fed.parties[0].publisher();
    let at = fed.rotate(0, |identity| {
        let only = ["wohngeld".parse().unwrap()].into();
        identity.roles.publisher.slugs.insert(publisher.public(), only);
    });
    let refused = fed.publish_as(0, 0, "hundesteuer", "1.0.0", &[&publisher]);
    void(
        &fed,
        0,
        &refused,
        &[0, 1, 2, 3, at],
        StepName::Release,
        "hundesteuer is not signed by the publisher threshold",
    );
    let allowed = fed.publish_as(0, 0, "wohngeld", "1.0.0", &[&publisher]);
    let report = verify(&fed.make(&allowed).unwrap(), &allowed.files, Some(fed.trust())).unwrap();
    assert_eq!(report.verdict(), Verdict::Verified);
}

#[test]
fn keys_of_an_identity_above_and_of_one_long_before() {
    let mut fed = Fed::of(2);
    let (old, new) = (fed.parties[0].publisher(), key(51, 0));
    let early = fed.publish_as(0, 0, "hundesteuer", "1.0.0", &[&new]);
    let at = fed.rotate(0, |identity| identity.roles.publisher.keys = vec![new.public()]);
    void(&fed, 0, &early, &[0, 1, 2, 3], StepName::Release, "identity version 1");
    fails(
        &fed.raw(0, &early, &[0, 1, 2, 3, at]),
        &early,
        StepName::Authority,
        "a identity gives the release no authority",
    );
    let late = fed.publish_as(0, 0, "hundesteuer", "1.1.0", &[&old]);
    void(&fed, 0, &late, &[0, 1, 2, 3, at], StepName::Release, "identity version 2");
}

#[test]
fn an_identity_that_was_left_out_is_warned_of_where_the_charters_know_it() {
    let mut fed = Fed::of(2);
    let (old, new) = (fed.parties[0].publisher(), key(52, 0));
    fed.rotate(0, |identity| identity.roles.publisher.keys = vec![new.public()]);
    let late = fed.publish_as(0, 0, "hundesteuer", "1.1.0", &[&old]);
    fed.pin(0);
    // Only the log's own node can bring this about, by logging what it knows to be void; a file alone cannot show it.
    let report = verify(&fed.raw(0, &late, &[0, 1, 2, 3]).write().unwrap(), &late.files, None).unwrap();
    assert!(report.warnings.iter().any(|w| w.starts_with("the charters know identity version 2")), "{report:#?}");
}

#[test]
fn an_owner_that_is_no_member_any_more() {
    let mut fed = Fed::of(3);
    fed.expel(2, 3);
    let leaf = fed.bundles.last().unwrap().leaf().unwrap().into_bytes();
    let at = fed.append(2, vec![leaf]);
    let publisher = fed.parties[2].publisher();
    let release = fed.publish_as(2, 2, "hundesteuer", "1.0.0", &[&publisher]);
    fails(&fed.raw(2, &release, &[0, 1, 2, at]), &release, StepName::Authority, "no member as of charter 4");
    // Leaving the charter out of the file does not help: it ends the log.
    fails(&fed.raw(2, &release, &[0, 1, 2]), &release, StepName::End, "entry 4 is void");
}

#[test]
fn a_log_of_a_node_that_does_not_write() {
    let (fed, release) = standard();
    let mut proof = fed.raw(0, &release, &[0, 1, 2, 3, 4]);
    proof.log = fed.parties[1].log();
    fails(&proof, &release, StepName::Checkpoint, "belongs to another log");
    // de-rp copies the whole log of de-he under its own checkpoint.
    let mut copy = fed;
    copy.parties[1].leaves = copy.parties[0].leaves.clone();
    let proof = copy.raw(1, &release, &[0, 1, 2, 3, 4]);
    fails(&proof, &release, StepName::Authority, "does not name 12D3KooW");
}

#[test]
fn entries_that_give_no_authority() {
    let (fed, release) = standard();
    let with = |entries: &[u64]| fed.raw(0, &release, entries);
    assert_eq!(
        verify(&with(&[0, 1, 2, 3, 4]).write().unwrap(), &release.files, None).unwrap().verdict(),
        Verdict::Unanchored
    );
    fails(&with(&[]), &release, StepName::Authority, "not all there");
    fails(&with(&[0, 1]), &release, StepName::Authority, "not all there");
    fails(&with(&[1, 0, 2]), &release, StepName::Authority, "entry 0 must be the identity");
    fails(&with(&[0, 1, 3]), &release, StepName::Authority, "entry 2 must be the charter");
    fails(&with(&[0, 1, 2, 4]), &release, StepName::Authority, "charter 3 does not follow charter 1");
    fails(&with(&[0, 1, 2, 3, 3]), &release, StepName::Authority, "entry 3 stands after entry 3");
    fails(&with(&[0, 1, 2, 4, 3]), &release, StepName::Authority, "does not follow");
    fails(&with(&[0, 1, 2, 3, 4, 5]), &release, StepName::Authority, "a release gives the release no authority");
    let first = Release { index: 2, files: files_of(&[]), manifest: release.manifest.clone(), ..release };
    fails(&fed.raw(0, &first, &[0, 1, 2]), &first, StepName::Authority, "one of the first three");
    // Without the newer charters the release is judged, and its witnesses counted, by the older: by nobody else.
    let older = verify(&with(&[0, 1, 2]).write().unwrap(), &release.files, None).unwrap();
    assert_eq!(older.witnessed.map(|w| (w.count, w.of, w.charter)), Some((0, 0, 1)));
}

#[test]
fn a_log_that_starts_with_another_identity_or_charter() {
    let mut fed = Fed::of(2);
    let member = fed.parties[1].log();
    fed.rotate(1, |identity| identity.contact = Some("amt@example.de".into()));
    let rotated = fed.parties[1].identities[1].bytes().to_vec();
    fed.parties[1].leaves[0] = rotated;
    let publisher = fed.parties[1].publisher();
    fed.parties[1].leaves.truncate(3);
    let release = fed.publish_as(1, 1, "hundesteuer", "1.0.0", &[&publisher]);
    assert_eq!(release.log, member);
    fails(&fed.raw(1, &release, &[0, 1, 2]), &release, StepName::Authority, "not the identity that charter 2 pins");

    let mut other = Fed::with(1, 70);
    other.admit(Standing::Full);
    fed.parties[1].leaves[2] = other.bundles[1].leaf().unwrap().into_bytes();
    fails(&fed.raw(1, &release, &[0, 1, 2]), &release, StepName::Authority, "not the certified charter 2");
}

#[test]
fn charters_that_do_not_hold() {
    let (fed, release) = standard();
    let good = fed.raw(0, &release, &[0, 1, 2, 3, 4]);
    let with = |change: &dyn Fn(&mut Vec<crate::charter::certificate::CharterBundle>)| {
        let mut bundles = fed.bundles.clone();
        change(&mut bundles);
        let mut proof = good.clone();
        proof.charters.0 = bundles.into_iter().map(Into::into).collect();
        proof
    };
    fails(&with(&|b| b.clear()), &release, StepName::Federation, "holds no charter");
    fails(&with(&|b| drop(b.remove(0))), &release, StepName::Federation, "its first charter is the genesis of");
    fails(&with(&|b| drop(b.remove(1))), &release, StepName::Charters, "charter 2:");
    fails(&with(&|b| drop(b[2].precommits.pop())), &release, StepName::Charters, "1 of 2 precommits");
    fails(&with(&|b| drop(b[2].approvals.pop())), &release, StepName::Charters, "1 of 2 approvals");
    fails(&with(&|b| b[2].approvals[1] = b[2].approvals[0].clone()), &release, StepName::Charters, "1 of 2 approvals");
    fails(&with(&|b| b[2].identities.clear()), &release, StepName::Charters, "charter 3:");
    fails(&with(&|b| b[2].payload.push(b' ')), &release, StepName::Charters, "canonical");
    fails(&with(&|b| drop(b.pop())), &release, StepName::Authority, "entry 4 is not the certified charter 3");
    fails(&with(&|b| b.extend(b.clone())), &release, StepName::Charters, "charter 4:");
    let foreign = Fed::with(3, 90);
    let mut swapped = good.clone();
    swapped.charters.0 = foreign.bundles.iter().cloned().map(Into::into).collect();
    fails(&swapped, &release, StepName::Federation, "the file names");
    swapped.federation = foreign.federation();
    fails(&swapped, &release, StepName::Checkpoint, "belongs to another log");
}

#[test]
fn checkpoints_and_paths_that_do_not_hold() {
    let (fed, release) = standard();
    let good = fed.raw(0, &release, &[0, 1, 2, 3, 4]);
    let with = |change: &dyn Fn(&mut Provenance)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof
    };
    let note = |from: &str, to: &str| Text(good.checkpoint.0.replacen(from, to, 1));
    fails(&with(&|p| p.checkpoint = Text(String::new())), &release, StepName::Checkpoint, "no signature lines");
    fails(&with(&|p| p.checkpoint = note("\n8\n", "\n9\n")), &release, StepName::Checkpoint, "does not match");
    fails(&with(&|p| p.index = 7), &release, StepName::Inclusion, "entry 7 is not shown");
    fails(&with(&|p| p.index = 8), &release, StepName::Inclusion, "out of range");
    fails(&with(&|p| p.proof.0.truncate(2)), &release, StepName::Inclusion, "entry 6 is not shown");
    fails(&with(&|p| p.release.0.push(b' ')), &release, StepName::Inclusion, "entry 6 is not shown");
    fails(&with(&|p| p.entries.0[3].leaf.0.push(b' ')), &release, StepName::Inclusion, "entry 3 is not shown");
    fails(&with(&|p| p.entries.0[3].proof.0.clear()), &release, StepName::Inclusion, "entry 3 is not shown");
    fails(&with(&|p| p.manifest = Bin(b"{}".to_vec())), &release, StepName::Manifest, "the release names sha256:");
}

#[test]
fn a_manifest_that_the_release_does_not_name() {
    let (fed, release) = standard();
    let mut proof = fed.raw(0, &release, &[0, 1, 2, 3, 4]);
    // Of other files of the same sizes, which lie in the folder.
    let mut files = release.files.clone();
    let (sha256, _) = files.values_mut().next().unwrap();
    let other = crate::ids::Sha256::of(b"another file");
    let text = String::from_utf8(proof.manifest.0).unwrap();
    assert!(text.contains(&sha256.to_hex()));
    proof.manifest = Bin(text.replacen(&sha256.to_hex(), &other.to_hex(), 1).into_bytes());
    *sha256 = other;
    refused(&proof.write().unwrap(), &files, None, StepName::Manifest, "the release names sha256:");
}

#[test]
fn cosignatures_that_do_not_count_fail_nothing() {
    let (fed, release) = standard();
    let good = fed.raw(0, &release, &[0, 1, 2, 3, 4]);
    let stranger = Fed::with(2, 120);
    let checkpoint = super::build::checkpoint(fed.federation(), fed.parties[0].log(), &fed.parties[0].leaves);
    let line = |key: &crate::keys::SecretKey, time_s| {
        crate::log::sign_cosignature(key, time_s, &checkpoint).unwrap().to_line().to_text()
    };
    let lines: Vec<&str> = good.checkpoint.0.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 7, "three of text, one empty, the log's and two cosignatures");
    let sl = fed.parties[2].log().to_string();
    let line_of_sl = lines.iter().find(|l| l.contains(&sl)).unwrap();
    let counted = |lines: String| {
        let mut proof = good.clone();
        proof.checkpoint = Text(lines);
        let report = verify(&proof.write().unwrap(), &release.files, Some(fed.trust())).unwrap();
        assert_eq!(report.verdict(), Verdict::Verified);
        (report.witnessed.unwrap().count, report.checkpoint_time_s, report.warnings.len())
    };
    let own = lines[..5].concat();
    assert_eq!(counted(good.checkpoint.0.clone()).0, 2);
    assert_eq!(counted(own.clone()), (0, None, 3));
    assert_eq!(counted(own.clone() + &line(&stranger.parties[0].node(), 5)), (0, None, 3));
    assert_eq!(counted(own.clone() + &line(&fed.parties[0].node(), 5)), (0, Some(5), 2), "freshness is no witness");
    let mut bad = crate::log::sign_cosignature(&fed.parties[1].node(), 5, &checkpoint).unwrap();
    bad.sig[0] ^= 1;
    assert_eq!(counted(own + line_of_sl + &bad.to_line().to_text()), (1, Some(super::build::COSIGNED_S + 2), 3));
}
