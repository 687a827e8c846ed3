//! Who is blamed where a log has forked: nobody who hands on what its owner signed, and whoever changes it.

use verbund_protocol::core::{Command, Input};
use verbund_protocol::ids::PeerId;
use verbund_protocol::log::{Checkpoint, ForkProof, Origin, sign_checkpoint, tree};
use verbund_protocol::record::{Batch, Record};
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state;
use verbund_protocol::wire::{self, Gossip};
use verbund_simulation::disk::Disk;
use verbund_simulation::node::Node;
use verbund_simulation::ops::catalogue;
use verbund_simulation::org::Wish;
use verbund_simulation::world::World;

fn wish(version: &str) -> Wish<'_> {
    Wish { slug: "hund", version, ..Wish::default() }
}

/// How often `node` counts something against another one.
fn blames(w: &World, node: usize, whom: PeerId) -> u64 {
    let peers = w.nodes[node].core.as_ref().map(|core| core.peers()).unwrap_or_default();
    let faults = peers.into_iter().filter(|report| report.peer == whom).flat_map(|report| report.faults);
    faults.map(|(_, times)| times).sum()
}

/// Member 3 runs twice. 0 and 2 witness a longer end of its log than 1 knows of; 2 loses its disk, hears of the fork and of the
/// longer end from 0, which hands no entries out, and then meets 1. Returns the log and the size that all have in common.
fn two_ends(w: &mut World) -> (PeerId, u64) {
    let before = w.publish(3, &wish("1.0.0")).unwrap();
    w.expect(30_000, "held", |w| (0..4).all(|n| w.holds(n, &before)));
    w.run(20_000);
    let log = w.nodes[3].peer();
    let common = w.log(0, log).size();
    let original = &w.nodes[3];
    let mut clone = Node::new(original.org.clone(), w.federation, original.own.writer.clone(), w.nodes.len());
    clone.disk = Disk::open(original.disk.journal[..original.disk.durable].to_vec());
    w.nodes.push(clone);
    let clone = w.nodes.len() - 1;
    w.partition(&[3, 0, 2], &[1, clone]);
    w.start(clone);
    w.command(clone, Command::SignAnyway).unwrap();
    w.publish(3, &Wish { content: "left", ..wish("2.0.0") }).unwrap();
    w.publish(clone, &Wish { content: "right", ..wish("2.0.0") }).unwrap();
    w.publish(clone, &Wish { content: "right", ..wish("2.1.0") }).unwrap();
    w.expect(60_000, "two histories", |w| {
        w.log(0, log).witnessed.is_some_and(|(size, _)| size == common + 1) && w.log(1, log).size() == common + 2
    });
    w.run(10_000);
    // 0 meets the other copy. Of 1 it is left to the tests what it learns.
    [1, 2, 3].into_iter().for_each(|node| w.crash(node));
    w.heal();
    w.expect(60_000, "the fork is seen", |w| w.log(0, log).closed.forked);
    w.run(10_000);
    w.crash(clone);
    (log, common)
}

#[test]
fn whoever_relays_another_branch_of_a_forked_log_is_not_blamed_and_whoever_changes_it_is() {
    for liar in [false, true] {
        let mut w = World::of(81, 4);
        let (log, common) = two_ends(&mut w);
        // 1 has the proof of the fork, and none of the evidence that came with it: for it the log ends where all have the same.
        let proofs: Vec<ForkProof> = state::list(&w.nodes[0].disk, Table::Promises, b"f", 9).unwrap();
        w.nodes[1].disk.append(Batch { records: vec![Record::Fork { log, proof: proofs[0].clone() }] });
        w.nodes[1].disk.durable += 1;
        assert_eq!(w.log(1, log).end(), Some(common));
        w.nodes[2].disk = Disk::open(w.nodes[0].disk.journal[..1].to_vec());
        w.nodes[0].withholds = true;
        w.nodes[1].forges = liar;
        w.partition(&[1], &[0, 2]);
        w.start(2);
        w.expect(120_000, "it hears of the longer end", |w| w.log(2, log).end() == Some(common + 1));
        assert_eq!(w.log(2, log).size(), 0);
        w.heal();
        w.partition(&[1], &[0]);
        w.start(1);
        w.run(60_000);
        let (first, second) = (w.nodes[1].peer(), w.nodes[2].peer());
        if liar {
            assert!(w.count(2, "bad_entries") > 0 && blames(&w, 2, first) > 0, "{}", w.describe());
            continue;
        }
        assert!(w.count(2, "other_branch") > 0, "it was asked, and answered with the shorter end\n{}", w.describe());
        assert_eq!((blames(&w, 2, first), blames(&w, 1, second)), (0, 0), "{}", w.describe());
        w.nodes[0].withholds = false;
        w.heal();
        w.expect(300_000, "all come to the longer end", |w| {
            (0..3).all(|n| w.log(n, log).end() == Some(common + 1) && w.log(n, log).size() == common + 1)
        });
        w.run(60_000);
        for node in 0..3 {
            assert_eq!(catalogue(&w.nodes[node].disk), catalogue(&w.nodes[0].disk), "{}", w.describe());
            for other in (0..3).filter(|other| *other != node) {
                assert_eq!(blames(&w, node, w.nodes[other].peer()), 0, "{node} of {other}\n{}", w.describe());
            }
        }
    }
}

/// A message as node 3 would make it by hand: its own checkpoint over `right`, with `sent` as the leaves from `first` on.
fn by_hand(w: &World, first: u64, right: &[Vec<u8>], sent: Vec<Vec<u8>>) -> Vec<u8> {
    let log = w.nodes[3].peer();
    let mut frontier = w.log(0, log).frontier.clone();
    for leaf in right {
        frontier.append(tree::leaf_hash(leaf)).unwrap();
    }
    let checkpoint = Checkpoint::new(Origin::new(w.federation, log), frontier.size(), frontier.root()).unwrap();
    let note = sign_checkpoint(&w.nodes[3].own.node, w.federation, &checkpoint).unwrap().to_text().into_bytes();
    wire::encode(w.federation, Gossip::Log { log, note, first, leaves: sent }).unwrap()
}

#[test]
fn leaves_that_were_not_checked_are_not_passed_on() {
    let mut w = World::of(82, 4);
    w.run(20_000);
    let (log, from) = (w.nodes[3].peer(), w.nodes[3].peer());
    let size = w.log(0, log).size();
    let leaf = |text: &str| text.as_bytes().to_vec();
    // One repeats a leaf that is held already, and changes it: what it says is a lie. The other has leaves beyond what is held:
    // nobody can tell whether they are right.
    let changed = by_hand(&w, size - 1, &[leaf("a")], vec![leaf("b"), leaf("a")]);
    let beyond = by_hand(&w, size + 1, &[leaf("a"), leaf("c")], vec![leaf("lie")]);
    for (bytes, refused) in [(changed, 1), (beyond, 1)] {
        let id = w.id();
        w.nodes[0].judging.insert(id, (3, bytes.clone()));
        w.step(0, Input::Gossip { id, from, bytes });
        assert_eq!((w.log(0, log).size(), w.count(0, "bad_entries")), (size, refused));
        w.run(5_000);
        // Whoever passes such a thing on would answer for it.
        for (node, other) in (0..3).flat_map(|node| (0..3).map(move |other| (node, other))) {
            let whom = w.nodes[other].peer();
            assert_eq!(blames(&w, node, whom), 0, "{node} of {other}\n{}", w.describe());
        }
    }
}
