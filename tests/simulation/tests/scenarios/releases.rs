//! Releases: published, seen, held, witnessed, recalled, refused.

use verbund_protocol::core::{Command, Event, EventKind, FetchError};
use verbund_protocol::documents::{Correction, Document as _};
use verbund_protocol::ids::FederationId;
use verbund_protocol::keys::SecretKey;
use verbund_protocol::log::{Checkpoint, Origin, sign_checkpoint, tree};
use verbund_protocol::view::rows::{Rows, Table};
use verbund_protocol::view::state::{self, Verdict, key};
use verbund_protocol::wire::{self, Gossip};
use verbund_simulation::ops::catalogue;
use verbund_simulation::org::{Org, Wish};
use verbund_simulation::world::World;

fn hund(version: &str) -> Wish<'_> {
    Wish { slug: "hund", version, ..Wish::default() }
}

#[track_caller]
fn same_catalogue(w: &World) {
    let first = catalogue(&w.nodes[0].disk);
    for node in w.up() {
        assert_eq!(catalogue(&w.nodes[node].disk), first, "node {node}\n{}", w.describe());
    }
}

#[test]
fn a_release_reaches_everybody_and_is_witnessed() {
    let mut w = World::of(21, 4);
    let made = w.publish(0, &hund("1.0.0")).unwrap();
    w.expect(10_000, "all hold it", |w| (0..4).all(|n| w.holds(n, &made)));
    let log = w.nodes[0].peer();
    w.expect(10_000, "all others cosign, and everybody knows", |w| {
        let size = w.log(0, log).size();
        (0..4).all(|n| (1..4).all(|by| w.cosigned(n, log, w.nodes[by].peer()) == size))
            && (0..4).all(|n| w.log(n, log).witnessed.is_some_and(|(witnessed, _)| witnessed == size))
    });
    w.expect(60_000, "holders are known", |w| {
        let release = &w.releases(0)[0];
        (0..4).all(|n| w.nodes[n].core.as_ref().unwrap().holders(&log, release.index).len() == 3)
    });
    same_catalogue(&w);
}

#[test]
fn a_withdrawal_reaches_everybody() {
    let mut w = World::of(22, 3);
    let made = w.publish(1, &hund("1.0.0")).unwrap();
    let withdrawal = w.nodes[1].org.withdrawal(w.federation, "hund", made.id);
    w.command(1, Command::Append(withdrawal)).unwrap();
    let row = key::withdrawal(&w.nodes[1].org.member, &made.id);
    w.expect(30_000, "known", |w| (0..3).all(|n| w.nodes[n].disk.get(Table::Statements, &row).unwrap().is_some()));
    same_catalogue(&w);
}

#[test]
fn without_any_gossip_catching_up_brings_everything() {
    let mut w = World::founded(23, "de-he");
    w.faults.gossip_loss = 1_000;
    for (n, handle) in ["de-rp", "de-sl", "de-th"].iter().enumerate() {
        w.join(handle);
        w.admit_by_all(handle);
        w.expect(300_000, "in", |w| w.settled_members(n + 2));
    }
    let made = w.publish(2, &hund("1.0.0")).unwrap();
    w.expect(120_000, "all hold it", |w| (0..4).all(|n| w.holds(n, &made)));
    let log = w.nodes[2].peer();
    w.expect(120_000, "witnessed everywhere", |w| {
        (0..4).all(|n| w.log(n, log).witnessed.is_some_and(|(size, _)| size == w.log(2, log).size()))
    });
    w.expect(120_000, "level", World::level);
    same_catalogue(&w);
}

#[test]
fn two_publish_at_once() {
    let mut w = World::of(24, 3);
    for version in ["1.0.0", "1.0.1", "1.1.0"] {
        let (one, two) = (w.publish(0, &hund(version)).unwrap(), w.publish(1, &hund(version)).unwrap());
        w.expect(30_000, "all hold both", |w| (0..3).all(|n| w.holds(n, &one) && w.holds(n, &two)));
    }
    same_catalogue(&w);
}

#[test]
fn a_node_that_was_down_catches_up_with_fifty_releases() {
    let mut w = World::of(25, 3);
    w.crash(2);
    let made: Vec<_> = (0..50)
        .map(|n| w.publish(n % 2, &Wish { slug: &format!("p{n}"), version: "1.0.0", ..Wish::default() }).unwrap())
        .collect();
    w.run(10_000);
    w.start(2);
    w.expect(120_000, "all are held", |w| made.iter().all(|m| w.holds(2, m)));
    w.expect(60_000, "level", World::level);
    same_catalogue(&w);
}

/// Appends whatever it is given to a log, as only a node that breaks the rules does, and tells the members.
fn append_by_force(w: &mut World, node: usize, leaf: Vec<u8>) -> u64 {
    let (log, federation) = (w.nodes[node].peer(), w.federation);
    w.run(10_000);
    let row = w.log(node, log);
    let mut frontier = row.frontier.clone();
    frontier.append(tree::leaf_hash(&leaf)).unwrap();
    let checkpoint = Checkpoint::new(Origin::new(federation, log), frontier.size(), frontier.root()).unwrap();
    let note = sign_checkpoint(&w.nodes[node].own.node, federation, &checkpoint).unwrap().to_text().into_bytes();
    let (first, leaves) = (row.size(), vec![leaf]);
    let message = wire::encode(federation, Gossip::Log { log, note, first, leaves }).unwrap();
    for to in w.up().into_iter().filter(|to| *to != node) {
        let (id, from, bytes) = (w.id(), log, message.clone());
        w.step(to, verbund_protocol::core::Input::Gossip { id, from, bytes });
    }
    w.crash(node);
    first
}

#[track_caller]
fn void_everywhere(w: &World, node: usize, index: u64, why: &str) {
    for other in w.up() {
        let verdict = w.verdict(other, w.nodes[node].peer(), index);
        assert!(matches!(&verdict, Some(Verdict::Void(text)) if text.contains(why)), "{verdict:?}");
        let log = w.nodes[node].peer();
        let marked = state::voids(&w.nodes[other].disk, &log, 0, 10).unwrap();
        assert!(matches!(marked.as_slice(), [(at, text)] if *at == index && text.contains(why)), "{marked:?}");
        let told =
            |e: &EventKind| matches!(e, EventKind::EntryVoid { log: l, index: i, .. } if (*l, *i) == (log, index));
        assert_eq!(w.nodes[other].events.iter().filter(|e| told(&e.kind)).count(), 1);
        let core = w.nodes[other].core.as_ref().unwrap();
        let report = core.peers().into_iter().find(|p| p.peer == log).unwrap();
        assert_eq!(report.faults.get("entry_void"), Some(&1));
    }
    same_catalogue(w);
}

#[test]
fn a_release_without_authority_is_void_with_its_reason_on_every_node() {
    let stranger = SecretKey::from_seed(&[99; 32]);
    for case in 0..5 {
        let mut w = World::of(26, 3);
        let first = w.publish(2, &hund("1.0.0")).unwrap();
        w.expect(30_000, "held", |w| w.holds(0, &first));
        let (org, other) = (w.nodes[2].org.clone(), w.nodes[1].org.clone());
        let federation = w.federation;
        let (made, why) = match case {
            0 => (org.release_by(&stranger, org.member, federation, &hund("2.0.0")), "publisher threshold"),
            1 => (org.release_by(&org.approver, org.member, federation, &hund("2.0.0")), "publisher threshold"),
            2 => {
                (org.release_by(&org.publisher, other.member, federation, &hund("2.0.0")), "another member's namespace")
            }
            3 => (org.release(federation, &Wish { content: "other", ..hund("1.0.0") }), "published before"),
            _ => (org.release(FederationId([7; 32]), &hund("2.0.0")), "another federation"),
        };
        // Its own node says so before anything is logged.
        let problem = w.command(2, Command::Append(made.leaf.clone())).unwrap_err();
        assert_eq!(problem.code, "would_be_void");
        assert!(problem.text.contains(why), "{problem}");
        // A node that logs it all the same gains nothing, and its log goes on.
        let index = append_by_force(&mut w, 2, made.leaf);
        w.run(1_000);
        void_everywhere(&w, 2, index, why);
        assert_eq!(w.releases(0).len(), 1);
        // Back from its fault, the publisher's own node has it from the others, and the reason with it.
        w.start(2);
        let log = w.nodes[2].peer();
        w.expect(60_000, "the reason is back at its publisher", |w| {
            let marked = state::voids(&w.nodes[2].disk, &log, 0, 10).unwrap();
            matches!(marked.as_slice(), [(at, text)] if *at == index && text.contains(why))
        });
    }
}

#[test]
fn rubbish_without_end_is_counted_and_told_now_and_then() {
    let mut w = World::of(28, 2);
    let from = w.nodes[1].peer();
    let before = w.nodes[0].events.len();
    for n in 0..100_u8 {
        let id = w.id();
        w.step(0, verbund_protocol::core::Input::Gossip { id, from, bytes: vec![n; 3] });
    }
    let core = w.nodes[0].core.as_ref().unwrap();
    assert_eq!(core.counts().get("bad_gossip"), Some(&100));
    assert_eq!(core.peers().iter().find(|p| p.peer == from).unwrap().faults.get("bad_gossip"), Some(&100));
    let refused = |e: &&Event| matches!(&e.kind, EventKind::Refused { reason, .. } if reason == "bad_gossip");
    let told: Vec<_> = w.nodes[0].events[before..].iter().filter(refused).collect();
    assert_eq!(told.len(), 8 + 3, "the first eight, then 16, 32 and 64");
    assert!(matches!(&told[10].kind, EventKind::Refused { text, .. } if text.ends_with("(64 times so far)")));
}

#[test]
fn documents_by_hand_are_checked() {
    let mut w = World::of(27, 2);
    let code = |w: &mut World, leaf: Vec<u8>| w.command(0, Command::Append(leaf)).unwrap_err().code;
    assert_eq!(code(&mut w, b"{}".to_vec()), "bad_document");
    let charter = w.nodes[0].org.found().0.leaf().unwrap().into_bytes();
    assert_eq!(code(&mut w, charter), "bad_document");
    let other = Org::new("de-sl");
    let foreign = other.release(w.federation, &hund("1.0.0")).leaf;
    assert_eq!(code(&mut w, foreign), "would_be_void");
}

#[test]
fn files_for_named_members_are_fetched_by_them_alone() {
    let mut w = World::of(28, 3);
    let made = w.publish(0, &Wish { audience: Some("de-rp"), ..hund("1.0.0") }).unwrap();
    w.expect(30_000, "the named one holds it", |w| w.holds(1, &made));
    w.run(60_000);
    assert_eq!(w.releases(2).len(), 1, "the title reaches all members");
    assert!(w.nodes[2].fetches.iter().all(|(_, hash)| *hash != made.manifest), "its files do not");
    let missing = w.nodes[2].core.as_ref().unwrap().missing(w.nodes[2].now(w.now_ms));
    assert!(missing[0].refused && missing[0].why.contains("audience"), "{missing:?}");
}

#[test]
fn a_correction_that_widens_the_audience_lets_others_fetch() {
    let mut w = World::of(34, 3);
    let made = w.publish(0, &Wish { audience: Some("de-rp"), ..hund("1.0.0") }).unwrap();
    w.expect(30_000, "the named one holds it", |w| w.holds(1, &made));
    let org = w.nodes[0].org.clone();
    let correction = Correction {
        federation: w.federation,
        member: org.member,
        process: "hund".parse().unwrap(),
        release: made.id,
        fields: serde_json::json!({ "audience": "federation" }).as_object().unwrap().clone(),
        time_s: 1,
    };
    let leaf = correction.seal(&[&org.publisher]).unwrap().into_bytes();
    w.command(0, Command::Append(leaf)).unwrap();
    w.expect(700_000, "all may", |w| w.holds(2, &made));
}

#[test]
fn nothing_is_fetched_from_a_paused_peer() {
    let mut w = World::of(35, 3);
    let peer = w.nodes[0].peer();
    let note = |paused| {
        Command::Peer(verbund_protocol::record::PeerNote { peer, addresses: Vec::new(), blocked: false, paused })
    };
    w.command(1, note(true)).unwrap();
    w.crash(2);
    let made = w.publish(0, &hund("1.0.0")).unwrap();
    w.run(120_000);
    assert!(!w.holds(1, &made));
    assert!(w.nodes[1].fetches.iter().all(|(from, hash)| *hash != made.manifest || *from != peer));
    w.command(1, note(false)).unwrap();
    w.expect(120_000, "it goes on", |w| w.holds(1, &made));
}

#[test]
fn what_nobody_can_deliver_waits_alone() {
    let mut w = World::of(29, 3);
    let gone = w.nodes[0].org.release(w.federation, &hund("1.0.0"));
    w.command(0, Command::Append(gone.leaf.clone())).unwrap();
    let half = w.nodes[0].org.release(w.federation, &hund("1.1.0"));
    w.nodes[0].artifacts.insert(half.manifest, half.artifacts[&half.manifest].clone());
    w.command(0, Command::Append(half.leaf.clone())).unwrap();
    let later: Vec<_> = (0..20)
        .map(|n| w.publish(0, &Wish { slug: &format!("p{n}"), version: "1.0.0", ..Wish::default() }).unwrap())
        .collect();
    w.expect(60_000, "later ones are there", |w| later.iter().all(|m| w.holds(1, m) && w.holds(2, m)));
    w.run(600_000);
    let tries = w.nodes[1].fetches.iter().filter(|(_, hash)| *hash == gone.manifest).count();
    assert!(tries < 60, "{tries} tries in ten minutes: it backs off");
    let missing = w.nodes[1].core.as_ref().unwrap().missing(w.nodes[1].now(w.now_ms));
    assert_eq!(missing.len(), 2);
    assert!(missing.iter().all(|m| !m.refused && !m.why.is_empty() && m.next_try_ms.is_some()), "{missing:?}");
    assert!(w.happened(1, |e| matches!(e, EventKind::ReleaseBlocked { .. })) > 0);
    // Once somebody has it, it comes.
    w.nodes[0].artifacts.extend(gone.artifacts.clone());
    w.nodes[0].artifacts.extend(half.artifacts.clone());
    w.expect(700_000, "it comes", |w| [&gone, &half].iter().all(|m| w.holds(1, m) && w.holds(2, m)));
}

#[test]
fn a_file_over_the_limit_is_named() {
    let mut w = World::of(30, 2);
    w.crash(1);
    w.nodes[1].settings.artifact_max_bytes = 10;
    w.start(1);
    let made = w.publish(0, &hund("1.0.0")).unwrap();
    let missing = |w: &World| w.nodes[1].core.as_ref().unwrap().missing(w.nodes[1].now(w.now_ms));
    w.expect(60_000, "it is named", |w| {
        missing(w).iter().any(|m| m.refused && m.why.contains("over this node's limit"))
    });
    assert!(!w.holds(1, &made));
}

#[test]
fn a_lost_artifact_is_fetched_from_another_holder() {
    let mut w = World::of(31, 3);
    let made = w.publish(0, &hund("1.0.0")).unwrap();
    w.expect(30_000, "all hold it", |w| (0..3).all(|n| w.holds(n, &made)));
    w.crash(0);
    let lost = *made.artifacts.keys().next().unwrap();
    w.nodes[1].artifacts.remove(&lost);
    w.step(1, verbund_protocol::core::Input::Lost(lost));
    assert!(!w.holds(1, &made));
    w.expect(60_000, "it is back", |w| w.holds(1, &made));
    assert_eq!(w.happened(1, |e| matches!(e, EventKind::ArtifactLost { releases: 1, .. })), 1);
}

#[test]
fn a_holder_of_wrong_bytes_is_counted_and_passed_over() {
    let mut w = World::of(32, 4);
    let made = w.publish(0, &hund("1.0.0")).unwrap();
    w.expect(30_000, "all hold it", |w| (0..4).all(|n| w.holds(n, &made)));
    for liar in [0, 2] {
        w.nodes[liar].liar = true;
    }
    for hash in made.artifacts.keys() {
        w.nodes[1].artifacts.remove(hash);
        w.step(1, verbund_protocol::core::Input::Lost(*hash));
    }
    w.expect(60_000, "it is back", |w| w.holds(1, &made));
    assert!(w.count(1, "bad_artifact") > 0);
    let faults =
        w.happened(1, |e| matches!(e, EventKind::Refused { reason, peer: Some(_), .. } if reason == "bad_artifact"));
    assert!(faults > 0, "and named");
}

#[test]
fn an_own_fault_is_nobody_elses() {
    let mut w = World::of(33, 2);
    w.crash(1);
    let made = w.publish(0, &hund("1.0.0")).unwrap();
    w.run(1_000);
    w.start(1);
    // Its disk is full for a while.
    let full = |w: &mut World, tag| {
        let result = Err(FetchError::Local("the disk is full".into()));
        w.step(1, verbund_protocol::core::Input::Fetched { tag, result });
    };
    for tag in 0..3 {
        full(&mut w, tag);
    }
    w.expect(60_000, "it goes on by itself", |w| w.holds(1, &made));
    assert_eq!(w.count(1, "bad_artifact"), 0);
}

#[test]
fn a_manifest_that_the_disk_gives_back_wrong_is_fetched_again() {
    let mut w = World::of(34, 2);
    w.nodes[1].unreadable = 2;
    let made = w.publish(0, &hund("1.0.0")).unwrap();
    w.expect(60_000, "it goes on by itself", |w| w.holds(1, &made));
    assert_eq!(w.nodes[1].unreadable, 0);
    assert_eq!(w.count(1, "bad_artifact"), 0, "and nobody is blamed");
}
