//! What seeds of the simulator found once, each as the shortest story that shows it.

use verbund_protocol::core::Command;
use verbund_simulation::disk::Disk;
use verbund_simulation::node::Node;
use verbund_simulation::ops::catalogue;
use verbund_simulation::org::Wish;
use verbund_simulation::world::World;

fn wish(version: &str) -> Wish<'_> {
    Wish { slug: "hund", version, ..Wish::default() }
}

/// A copy of a node as its disk is now, with the same key. It is not started yet.
fn cloned(w: &mut World, node: usize) -> usize {
    let original = &w.nodes[node];
    let mut clone = Node::new(original.org.clone(), w.federation, original.own.writer.clone(), w.nodes.len());
    clone.disk = Disk::open(original.disk.journal[..original.disk.durable].to_vec());
    w.nodes.push(clone);
    w.nodes.len() - 1
}

fn expel(w: &mut World, by: &[usize], handle: &str) {
    for node in by {
        w.command(*node, Command::Expel { handle: handle.parse().unwrap() }).unwrap();
    }
}

#[track_caller]
fn same_catalogue(w: &World, nodes: &[usize]) {
    let first = catalogue(&w.nodes[nodes[0]].disk);
    for node in nodes {
        assert_eq!(catalogue(&w.nodes[*node].disk), first, "node {node}\n{}", w.describe());
    }
}

/// Seed 1: the job went on asking for the files of the release that stood at the same place of the other branch, for ever.
#[test]
fn a_release_job_follows_its_place_to_another_branch_of_a_forked_log() {
    let mut w = World::of(90, 4);
    w.run(20_000);
    let log = w.nodes[3].peer();
    let clone = cloned(&mut w, 3);
    w.partition(&[3, 0, 1], &[2, clone]);
    w.start(clone);
    w.command(clone, Command::SignAnyway).unwrap();
    let left = w.publish(3, &Wish { content: "left", ..wish("2.0.0") }).unwrap();
    let right = w.publish(clone, &Wish { content: "right", ..wish("2.0.0") }).unwrap();
    // Nobody will ever have the files of the one that does not count in the end.
    w.nodes[clone].artifacts.clear();
    w.nodes[2].artifacts.clear();
    let size = w.log(3, log).size();
    w.expect(60_000, "each sees one history", |w| {
        w.holds(0, &left) && w.holds(1, &left) && w.log(2, log).size() == size && !w.holds(2, &right)
    });
    // So often that its next try is some time away, as it is when the log changes.
    w.run(120_000);
    w.crash(clone);
    w.heal();
    w.expect(120_000, "the left one counts", |w| (0..3).all(|n| w.log(n, log).end() == Some(size)));
    w.expect(900_000, "and its files are held, not those of the other", |w| w.holds(2, &left));
    assert!(
        right
            .artifacts
            .keys()
            .filter(|hash| !left.artifacts.contains_key(*hash))
            .all(|hash| { !w.nodes[2].artifacts.contains_key(hash) })
    );
    same_catalogue(&w, &[0, 1, 2]);
}

/// Seeds 35 and 117: what was due stayed due, and nobody looked at it, because a node that is no member fetches nothing.
#[test]
fn an_expelled_node_is_not_woken_without_end() {
    let mut w = World::of(91, 4);
    w.run(20_000);
    let made = w.publish(0, &wish("1.0.0")).unwrap();
    w.nodes.iter_mut().for_each(|node| node.artifacts.clear());
    w.run(60_000);
    let waits = |w: &World| {
        let core = w.nodes[3].core.as_ref().unwrap();
        core.missing(w.nodes[3].now(w.now_ms)).iter().any(|missing| missing.failures > 0)
    };
    assert!(waits(&w) && !w.holds(3, &made), "it waits for what nobody has\n{}", w.describe());
    expel(&mut w, &[0, 1, 2], "de-th");
    w.expect(600_000, "it learns that it is out", |w| w.charter(3).members.len() == 3);
    let before = w.steps;
    w.run(1_800_000);
    // Four nodes, of which each wakes every few seconds.
    assert!(w.steps - before < 40_000, "{} inputs in half an hour", w.steps - before);
}

/// Seed 42: a node that closed the log early asked for as many witnesses as the larger federation needed that it knew then.
#[test]
fn where_a_forked_log_ends_is_counted_by_charters_that_are_not_held_yet() {
    let mut w = World::of(92, 5);
    w.run(20_000);
    let log = w.nodes[4].peer();
    let common = w.log(1, log).size();
    let clone = cloned(&mut w, 4);
    // 1 approves, and sees no more of what the others do.
    expel(&mut w, &[1], "de-th");
    w.run(2_000);
    w.partition(&[1, clone], &[0, 2, 3, 4]);
    expel(&mut w, &[0, 2, 4], "de-th");
    w.expect(240_000, "it is out", |w| [0, 2, 4].iter().all(|n| w.charter(*n).members.len() == 4));
    w.publish(4, &Wish { content: "left", ..wish("2.0.0") }).unwrap();
    w.start(clone);
    w.command(clone, Command::SignAnyway).unwrap();
    w.publish(clone, &Wish { content: "right", ..wish("2.0.0") }).unwrap();
    // Two others witness the left one, which is enough of four, and was not enough of five.
    w.expect(60_000, "two histories", |w| {
        let (size, witnessed) = (w.log(4, log).size(), w.log(0, log).witnessed);
        size > common + 1 && witnessed.is_some_and(|w| w.0 == size) && w.log(1, log).size() == common + 1
    });
    let end = w.log(0, log).size();
    w.run(20_000);
    [3, 4, clone].into_iter().for_each(|node| w.crash(node));
    w.heal();
    w.expect(240_000, "the fork is seen", |w| [0, 1, 2].iter().all(|n| w.log(*n, log).closed.forked));
    w.run(240_000);
    let ends: Vec<_> = [0, 1, 2].into_iter().map(|n| w.log(n, log).end()).collect();
    assert_eq!(ends, vec![Some(end); 3], "{}", w.describe());
    same_catalogue(&w, &[0, 1, 2]);
}
