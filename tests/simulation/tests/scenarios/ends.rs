//! Where logs end: expulsion, hand-over, leaving, forks.

use verbund_protocol::core::{Command, Event, EventKind};
use verbund_protocol::documents::{Approval, Change, Document, Leave, LogEnd, Ordering, Writer};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::{PeerId, Sha256};
use verbund_protocol::log::{Checkpoint, Origin, sign_cosignature};
use verbund_protocol::record::{Batch, OrderingBundle, Record};
use verbund_simulation::disk::Disk;
use verbund_simulation::node::Node;
use verbund_simulation::ops::catalogue;
use verbund_simulation::org::{EPOCH_S, Wish};
use verbund_simulation::world::World;

fn wish(version: &str) -> Wish<'_> {
    Wish { slug: "hund", version, ..Wish::default() }
}

#[track_caller]
fn same_catalogue(w: &World, nodes: &[usize]) {
    let first = catalogue(&w.nodes[nodes[0]].disk);
    for node in nodes {
        assert_eq!(catalogue(&w.nodes[*node].disk), first, "node {node}\n{}", w.describe());
    }
}

fn expel(w: &mut World, by: &[usize], handle: &str) {
    for node in by {
        w.command(*node, Command::Expel { handle: handle.parse().unwrap() }).unwrap();
    }
}

#[test]
fn an_expelled_members_log_ends_at_the_same_size_everywhere() {
    for seed in 60..62 {
        let mut w = World::of(seed, 4);
        let made = w.publish(3, &wish("1.0.0")).unwrap();
        w.expect(30_000, "held", |w| (0..4).all(|n| w.holds(n, &made)));
        expel(&mut w, &[0, 1, 2], "de-th");
        // It goes on publishing meanwhile.
        let _ = w.publish(3, &wish("1.1.0"));
        w.expect(120_000, "it is out", |w| (0..3).all(|n| w.charter(n).members.len() == 3));
        let log = w.nodes[3].peer();
        let end = w.log(0, log).end();
        assert!(end.is_some_and(|end| end >= 4), "{end:?}");
        w.expect(60_000, "all hold it to its end", |w| (0..3).all(|n| Some(w.log(n, log).size()) >= end));
        for node in 0..3 {
            assert_eq!(w.log(node, log).end(), end);
            assert!(w.holds(node, &made), "what lies below stays");
            assert!(!w.nodes[node].gate.contains_key(&log), "it is let in no more");
        }
        w.expect(300_000, "the expelled one learns of it", |w| w.charter(3).members.len() == 3);
        assert!(!w.may_sign(3));
        assert_eq!(w.publish(3, &wish("3.0.0")).unwrap_err().code, "not_writer");
        w.expect(60_000, "the others go on", |w| (0..3).all(|n| w.may_sign(n)));
        let next = w.publish(0, &wish("1.0.0")).unwrap();
        w.expect(60_000, "held", |w| (0..3).all(|n| w.holds(n, &next)));
        same_catalogue(&w, &[0, 1, 2]);
        // A newcomer gets the closed log as well.
        let joined = w.join("de-bw");
        w.admit_by_all("de-bw");
        w.expect(120_000, "in", |w| {
            w.charter(joined).members.len() == 4 && w.holds(joined, &made) && w.may_sign(joined)
        });
        w.run(60_000);
        same_catalogue(&w, &[0, 1, 2, joined]);
    }
}

#[test]
fn an_expulsion_waits_until_the_log_is_held() {
    let mut w = World::of(67, 4);
    // Only one member ever got the last entries.
    w.partition(&[3], &[0, 1]);
    w.run(1_000);
    let made = w.publish(3, &wish("1.0.0")).unwrap();
    w.expect(30_000, "one holds it", |w| w.holds(2, &made));
    w.partition(&[2], &[0, 1]);
    w.run(1_000);
    expel(&mut w, &[0, 1], "de-th");
    w.run(1_000);
    w.cut.clear();
    w.partition(&[3], &[0, 1, 2]);
    expel(&mut w, &[2], "de-th");
    w.expect(120_000, "it is out", |w| (0..3).all(|n| w.charter(n).members.len() == 3));
    w.expect(60_000, "and what was cosigned stays", |w| (0..3).all(|n| w.holds(n, &made)));
    w.run(60_000);
    same_catalogue(&w, &[0, 1, 2]);
}

#[test]
fn a_member_leaves() {
    let mut w = World::of(68, 3);
    let made = w.publish(2, &wish("1.0.0")).unwrap();
    let org = w.nodes[2].org.clone();
    let leave = Leave { federation: w.federation, member: org.member, reason: None, time_s: EPOCH_S };
    let leaf = leave.seal(&[&org.approver]).unwrap().into_bytes();
    w.command(2, Command::Append(leaf)).unwrap();
    w.run(30_000);
    let log = w.nodes[2].peer();
    for node in 0..3 {
        assert_eq!(w.log(node, log).end(), Some(w.log(2, log).size()));
        assert!(w.holds(node, &made));
    }
    assert_eq!(w.publish(2, &wish("1.1.0")).unwrap_err().code, "would_be_void");
    same_catalogue(&w, &[0, 1, 2]);
}

/// Every member's operator approves a change by hand.
pub fn approve_all(w: &mut World, change: &Change) {
    let base_version = w.charter(0).version;
    for node in 0..3 {
        let by = w.nodes[node].org.clone();
        let approval = Approval { federation: w.federation, member: by.member, base_version, change: change.clone() };
        let bytes = approval.seal(&[&by.approver]).unwrap().into_bytes();
        let message =
            verbund_protocol::wire::encode(w.federation, verbund_protocol::wire::Gossip::Document(bytes)).unwrap();
        let (id, from) = (w.id(), w.nodes[2].peer());
        w.step(0, verbund_protocol::core::Input::Gossip { id, from, bytes: message });
    }
}

/// With three members all must agree; also the one whose node has died.
#[test]
fn the_node_that_follows_a_dead_one_votes_for_itself() {
    let mut w = World::of(70, 3);
    let made = w.publish(2, &wish("1.0.0")).unwrap();
    w.expect(30_000, "held", |w| (0..3).all(|n| w.holds(n, &made)));
    w.run(20_000);
    w.crash(2);
    let org = w.nodes[2].org.clone();
    let (log, row) = (w.nodes[2].peer(), w.log(0, w.nodes[2].peer()));
    let writer = Writer {
        federation: Some(w.federation),
        member: org.member,
        seq: 2,
        prev: Some(w.charter(0).member(&org.member).unwrap().writer),
        peer: org.spare().peer(),
        closes: Some(LogEnd { log, size: row.size(), root: row.frontier.root() }),
    };
    let writer = writer.seal(&[&org.root]).unwrap();
    // Another member logs the document for it.
    w.command(0, Command::Append(writer.bytes().to_vec())).unwrap();
    let slot = w.nodes.len();
    let mut spare = Node::new(org.clone(), w.federation, writer.bytes().to_vec(), slot);
    spare.own.node = org.spare();
    spare.disk = Disk::open(w.nodes[0].disk.journal[..1].to_vec());
    w.nodes.push(spare);
    w.start(slot);
    w.expect(60_000, "it mirrors", |w| w.charter(slot).version == 3 && w.log(slot, log).size() == row.size());
    let change = Change::Amend {
        member: Some(org.member),
        handle: None,
        standing: None,
        identity: None,
        writer: Some(writer.id()),
        name: None,
        license: None,
    };
    approve_all(&mut w, &change);
    w.expect(120_000, "the charter names it", |w| [0, 1, slot].iter().all(|n| w.charter(*n).version == 4));
    w.expect(120_000, "it may sign", |w| w.may_sign(slot));
    let next = w.publish(slot, &wish("1.1.0")).unwrap();
    w.expect(60_000, "held", |w| [0, 1, slot].iter().all(|n| w.holds(*n, &next) && w.holds(*n, &made)));
    w.run(60_000);
    same_catalogue(&w, &[0, 1, slot]);
}

#[test]
fn another_node_takes_over_a_members_log() {
    let mut w = World::of(69, 3);
    let made = w.publish(2, &wish("1.0.0")).unwrap();
    w.expect(30_000, "held", |w| (0..3).all(|n| w.holds(n, &made)));
    w.run(20_000);
    let org = w.nodes[2].org.clone();
    let (log, row) = (w.nodes[2].peer(), w.log(0, w.nodes[2].peer()));
    let first = w.charter(0).member(&org.member).unwrap().writer;
    let writer = Writer {
        federation: Some(w.federation),
        member: org.member,
        seq: 2,
        prev: Some(first),
        peer: org.spare().peer(),
        closes: Some(LogEnd { log, size: row.size(), root: row.frontier.root() }),
    };
    let writer = writer.seal(&[&org.root]).unwrap();
    // The writer is logged by the member itself, so that all can propose the change.
    w.command(2, Command::Append(writer.bytes().to_vec())).unwrap();
    w.run(10_000);
    let amend = Change::Amend {
        member: Some(org.member),
        handle: None,
        standing: None,
        identity: None,
        writer: Some(writer.id()),
        name: None,
        license: None,
    };
    approve_all(&mut w, &amend);
    w.expect(60_000, "the charter names the new node", |w| (0..3).all(|n| w.charter(n).version == 4));
    w.crash(2);
    let slot = w.nodes.len();
    let mut spare = Node::new(org.clone(), w.federation, writer.bytes().to_vec(), slot);
    spare.own.node = org.spare();
    // It starts from what its member's former node had.
    spare.disk = Disk::open(w.nodes[2].disk.journal.clone());
    spare.artifacts = w.nodes[2].artifacts.clone();
    w.nodes.push(spare);
    w.start(slot);
    w.expect(120_000, "it may sign", |w| w.may_sign(slot));
    let next = w.publish(slot, &wish("1.1.0")).unwrap();
    w.expect(60_000, "held", |w| [0, 1, slot].iter().all(|n| w.holds(*n, &next)));
    for node in [0, 1, slot] {
        assert_eq!(w.log(node, log).end(), Some(row.size()), "the former log ends where the writer says");
        assert!(w.holds(node, &made));
    }
    // The former writer's log comes first: the same version again is void.
    let again = w.nodes[slot].org.release(w.federation, &Wish { content: "other", ..wish("1.0.0") });
    assert_eq!(w.command(slot, Command::Append(again.leaf)).unwrap_err().code, "would_be_void");
    same_catalogue(&w, &[0, 1, slot]);
}

/// Where a node said that a forked log ends, one after the other.
fn told(w: &World, node: usize, log: PeerId) -> Vec<u64> {
    let size = |event: &Event| match event.kind {
        EventKind::LogForked { log: of, size } if of == log => Some(size),
        _ => None,
    };
    w.nodes[node].events.iter().filter_map(size).collect()
}

/// A copy of a member's disk runs elsewhere with the same key: the two sign two histories.
fn cloned(w: &mut World, node: usize) -> usize {
    let original = &w.nodes[node];
    let mut clone = Node::new(original.org.clone(), w.federation, original.own.writer.clone(), w.nodes.len());
    clone.disk = Disk::open(original.disk.journal[..original.disk.durable].to_vec());
    w.nodes.push(clone);
    w.nodes.len() - 1
}

/// The sizes at which a node said that a forked log ends, oldest first.
fn ends_told(w: &World, node: usize) -> Vec<u64> {
    let size = |e: &Event| match e.kind {
        EventKind::LogForked { size, .. } => Some(size),
        _ => None,
    };
    w.nodes[node].events.iter().filter_map(size).collect()
}

#[test]
fn evidence_that_comes_later_raises_the_end_of_a_forked_log_and_is_told_again() {
    let mut w = World::of(740, 4);
    let before = w.publish(3, &wish("1.0.0")).unwrap();
    w.expect(30_000, "held", |w| (0..4).all(|n| w.holds(n, &before)));
    w.run(20_000);
    let log = w.nodes[3].peer();
    let common = w.log(0, log).size();
    let clone = cloned(&mut w, 3);
    // One witness after the other sees the left history, neither knows of the other; together they witness it.
    w.partition(&[3], &[1, 2]);
    w.partition(&[0], &[1, 2]);
    w.publish(3, &Wish { content: "left", ..wish("2.0.0") }).unwrap();
    w.expect(30_000, "first", |w| w.log(0, log).size() > common);
    w.run(5_000);
    w.heal();
    w.partition(&[3], &[0, 2]);
    w.partition(&[1], &[0, 2]);
    w.partition(&[0], &[2]);
    w.expect(30_000, "second", |w| w.log(1, log).size() > common && w.log(3, log).witnessed.unwrap().0 > common);
    w.crash(3);
    // The right history reaches the third.
    w.heal();
    w.partition(&[clone], &[0, 1]);
    w.partition(&[0], &[1, 2]);
    w.partition(&[1], &[2]);
    w.start(clone);
    w.command(clone, Command::SignAnyway).unwrap();
    w.publish(clone, &Wish { content: "right", ..wish("2.0.0") }).unwrap();
    w.expect(30_000, "third", |w| w.log(2, log).size() > common);
    w.crash(clone);
    // Two of them compare: one witness of the left history is not enough.
    w.heal();
    w.partition(&[1], &[0, 2]);
    w.expect(120_000, "the fork is seen", |w| [0, 2].iter().all(|n| w.log(*n, log).closed.forked));
    w.run(20_000);
    assert_eq!((ends_told(&w, 0), ends_told(&w, 2)), (vec![common], vec![common]));
    // The other one's cosignature is.
    w.heal();
    w.expect(120_000, "it ends later", |w| (0..3).all(|n| w.log(n, log).end() == Some(common + 1)));
    w.run(20_000);
    for node in 0..3 {
        assert_eq!(ends_told(&w, node).last(), Some(&(common + 1)), "node {node}");
    }
    assert_eq!((ends_told(&w, 0).len(), ends_told(&w, 2).len()), (2, 2));
    w.expect(120_000, "and up to there it is held", |w| (0..3).all(|n| w.log(n, log).size() > common));
    same_catalogue(&w, &[0, 1, 2]);
}

#[test]
fn a_forked_log_is_closed_by_the_proof_at_one_size_everywhere() {
    for seed in 700..704 {
        let mut w = World::of(seed, 4);
        let before = w.publish(3, &wish("1.0.0")).unwrap();
        w.expect(30_000, "held", |w| (0..4).all(|n| w.holds(n, &before)));
        w.run(20_000);
        let log = w.nodes[3].peer();
        let clone = cloned(&mut w, 3);
        // Two see one history, one the other.
        w.partition(&[3], &[2, clone]);
        w.partition(&[clone], &[0, 1]);
        w.partition(&[2], &[0, 1]);
        w.run(1_000);
        w.start(clone);
        w.command(clone, Command::SignAnyway).unwrap();
        let (left, right) = (1 + w.rng.below(3), 1 + w.rng.below(3));
        for n in 0..left {
            w.publish(3, &Wish { content: "left", ..wish(&format!("2.{n}.0")) }).unwrap();
        }
        for n in 0..right {
            w.publish(clone, &Wish { content: "right", ..wish(&format!("2.{n}.0")) }).unwrap();
        }
        w.run(30_000);
        w.crash(clone);
        w.heal();
        w.expect(120_000, "all see the fork", |w| (0..3).all(|n| w.log(n, log).closed.forked));
        w.expect(120_000, "and where it ends", |w| {
            let end = w.log(0, log).end();
            (0..3).all(|n| w.log(n, log).end() == end && Some(w.log(n, log).size()) >= end)
        });
        w.run(60_000);
        let end = w.log(0, log).end().unwrap();
        assert!(end >= 4, "what was witnessed before the fork stands: {end}");
        for node in 0..3 {
            assert_eq!(w.log(node, log).end(), Some(end), "seed {seed}\n{}", w.describe());
            // Told again whenever evidence raised it, so the last word is the same everywhere.
            let said: Vec<u64> = told(&w, node, log);
            assert!(said.is_sorted() && said.last() == Some(&end), "seed {seed} node {node}: {said:?}, ends at {end}");
            assert!(said.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed} node {node}: nothing twice: {said:?}");
            assert!(w.holds(node, &before));
        }
        // Also the node whose log it is comes to the same, whichever of the two histories it wrote.
        w.expect(120_000, "its own node too", |w| w.log(3, log).end() == Some(end) && w.log(3, log).size() >= end);
        same_catalogue(&w, &[0, 1, 2, 3]);
        assert_eq!(w.publish(3, &wish("3.0.0")).unwrap_err().code, "would_be_void");
        // The others go on.
        let next = w.publish(0, &wish("1.0.0")).unwrap();
        w.expect(60_000, "held", |w| (0..3).all(|n| w.holds(n, &next)));
        // A newcomer finds the log closed at the same size.
        let joined = w.join("de-bw");
        w.admit_by_all("de-bw");
        w.expect(120_000, "in", |w| w.charter(joined).members.len() == 5 && w.log(joined, log).end() == Some(end));
        w.run(60_000);
        same_catalogue(&w, &[0, 1, 2, joined]);
    }
}

#[test]
fn a_fork_at_one_size_is_found_by_what_was_cosigned() {
    let mut w = World::of(72, 3);
    let log = w.nodes[2].peer();
    let clone = cloned(&mut w, 2);
    w.partition(&[2], &[1, clone]);
    w.partition(&[clone], &[0]);
    w.partition(&[0], &[1]);
    w.run(1_000);
    w.start(clone);
    w.command(clone, Command::SignAnyway).unwrap();
    w.publish(2, &Wish { content: "left", ..wish("2.0.0") }).unwrap();
    w.publish(clone, &Wish { content: "right", ..wish("2.0.0") }).unwrap();
    w.run(20_000);
    w.crash(2);
    w.crash(clone);
    w.heal();
    w.expect(120_000, "seen", |w| (0..2).all(|n| w.log(n, log).closed.forked));
    w.run(60_000);
    same_catalogue(&w, &[0, 1]);
}

/// The proposal that a node holds, as it shows it to others.
fn proposal(w: &World, node: usize) -> Option<OrderingBundle> {
    let bundles = w.nodes[node].core.as_ref()?.ordering(1 << 20);
    bundles.into_iter().find(|bundle| bundle.payload.is_some())
}

fn show(w: &mut World, node: usize, bundle: OrderingBundle) {
    let bytes =
        verbund_protocol::wire::encode(w.federation, verbund_protocol::wire::Gossip::Ordering(vec![bundle])).unwrap();
    let (id, from) = (w.id(), w.nodes[1].peer());
    w.step(node, verbund_protocol::core::Input::Gossip { id, from, bytes });
}

/// A node that learns of an expulsion by the proposal alone, without the approvals behind it having come by themselves.
fn shown_an_expulsion(seed: u64) -> (World, OrderingBundle) {
    let mut w = World::of(seed, 4);
    w.run(20_000);
    w.partition(&[0], &[1, 2, 3]);
    w.partition(&[3], &[1, 2]);
    w.run(1_000);
    expel(&mut w, &[1, 2], "de-th");
    let (org, member) = (w.nodes[0].org.clone(), w.nodes[3].org.member);
    let approval =
        Approval { federation: w.federation, member: org.member, base_version: 4, change: Change::Expel { member } };
    let bytes = approval.seal(&[&org.approver]).unwrap().into_bytes();
    let message =
        verbund_protocol::wire::encode(w.federation, verbund_protocol::wire::Gossip::Document(bytes)).unwrap();
    let (id, from) = (w.id(), w.nodes[2].peer());
    w.step(1, verbund_protocol::core::Input::Gossip { id, from, bytes: message });
    w.expect(120_000, "proposed", |w| proposal(w, 1).is_some());
    let bundle = proposal(&w, 1).unwrap();
    (w, bundle)
}

#[test]
fn a_log_is_cosigned_no_further_once_the_expulsion_of_its_member_is_proposed() {
    let (mut w, bundle) = shown_an_expulsion(74);
    let (log, me) = (w.nodes[3].peer(), w.nodes[0].peer());
    show(&mut w, 0, bundle);
    let before = w.cosigned(0, log, me);
    assert!(before > 0);
    // It sees the member alone, which goes on publishing.
    w.cut.remove(&(0, 3));
    w.links_soon();
    let size = w.log(3, log).size();
    w.publish(3, &wish("1.0.0")).unwrap();
    w.expect(60_000, "it gets the entry", |w| w.log(0, log).size() > size);
    w.run(60_000);
    assert_eq!(w.cosigned(0, log, me), before, "it may have voted to end the log below");
    w.cut.clear();
    w.links_soon();
    w.expect(240_000, "it is out", |w| (0..3).all(|n| w.charter(n).members.len() == 3));
    assert!((0..3).all(|n| w.log(n, log).end() >= Some(before)));
}

/// What travels beside a signed proposal is not signed with it: whoever passes it on may leave it out.
#[test]
fn a_proposal_without_its_approvals_keeps_the_whole_one_out_nowhere() {
    let (mut w, bundle) = shown_an_expulsion(75);
    show(&mut w, 0, OrderingBundle { approvals: Vec::new(), ..bundle.clone() });
    assert_eq!(w.count(0, "bad_ordering"), 1);
    assert!(proposal(&w, 0).is_none(), "it is neither kept nor shown to others");
    show(&mut w, 0, bundle.clone());
    assert_eq!(proposal(&w, 0).unwrap().approvals, bundle.approvals);
    // Nor does anything come in that nobody needs.
    let junk = OrderingBundle { approvals: vec![vec![b' '; 60_000]; 30], payload: Some(vec![7; 9_000]), ..bundle };
    show(&mut w, 0, junk);
    assert_eq!(w.nodes[0].core.as_ref().unwrap().ordering(1 << 20).iter().filter(|b| b.payload.is_some()).count(), 1);
}

#[test]
fn nobody_votes_to_end_a_log_below_what_it_cosigned() {
    // A member cosigned more of a log than its disk still holds: others told it so after its disk was put back.
    let mut w = World::of(76, 4);
    w.run(20_000);
    w.crash(0);
    let (log, federation) = (w.nodes[3].peer(), w.federation);
    let checkpoint = Checkpoint::new(Origin::new(federation, log), 50, Sha256([5; 32])).unwrap();
    let cosignature = sign_cosignature(&w.nodes[0].own.node, EPOCH_S, &checkpoint).unwrap();
    let promise = Record::Cosigned { log, size: 50, root: checkpoint.root, cosignature };
    w.nodes[0].disk.append(Batch { records: vec![promise] });
    w.nodes[0].disk.durable += 1;
    w.start(0);
    w.expect(120_000, "it may sign", |w| w.may_sign(0));
    // Of the four one is away, so that all others would have to vote for it.
    w.partition(&[3], &[0, 1, 2]);
    expel(&mut w, &[0, 1, 2], "de-th");
    w.run(240_000);
    let bundles = w.nodes[0].core.as_ref().unwrap().ordering(1 << 20);
    let messages = bundles.iter().map(|b| Ordering::open(&Envelope::parse(&b.message).unwrap()).unwrap());
    let said: Vec<Ordering> = messages.filter(|m| m.member == w.nodes[0].org.member).collect();
    assert!(!said.is_empty() && said.iter().all(|m| m.value.is_none()), "{said:?}");
    assert_eq!(w.charter(1).version, 4);
}
