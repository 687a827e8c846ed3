//! Crashes, old copies of disks, and the start rule.

use verbund_protocol::core::Command;
use verbund_protocol::record::Batch;
use verbund_simulation::disk::Disk;
use verbund_simulation::ops::catalogue;
use verbund_simulation::org::Wish;
use verbund_simulation::world::World;

fn wish(version: &str) -> Wish<'_> {
    Wish { slug: "hund", version, ..Wish::default() }
}

/// The disk of `node` as it is now, to be put back later.
fn copy(w: &World, node: usize) -> Disk {
    let disk = &w.nodes[node].disk;
    Disk::open(disk.journal[..disk.durable].to_vec())
}

#[test]
fn the_view_is_the_same_when_it_is_made_again() {
    let mut w = World::of(41, 3);
    w.publish(0, &wish("1.0.0")).unwrap();
    w.run(30_000);
    for node in &w.nodes {
        let again = Disk::open(node.disk.journal.clone());
        assert_eq!(format!("{:?}", again.rows), format!("{:?}", node.disk.rows));
    }
}

#[test]
fn a_founder_alone_waits_ten_seconds_after_a_restart() {
    let mut w = World::founded(42, "de-he");
    w.run(100);
    assert!(w.may_sign(0), "at once in the process that founded");
    w.crash(0);
    w.start(0);
    w.run(9_000);
    assert!(!w.may_sign(0));
    let refused = w.publish(0, &wish("1.0.0")).unwrap_err();
    assert_eq!(refused.code, "recovering");
    w.run(2_000);
    assert!(w.may_sign(0));
    w.publish(0, &wish("1.0.0")).unwrap();
}

#[test]
fn after_a_restart_all_are_asked_before_anything_is_signed() {
    let mut w = World::of(43, 4);
    w.crash(0);
    w.partition(&[0], &[1, 2, 3]);
    w.start(0);
    w.run(300_000);
    assert!(!w.may_sign(0), "nobody has answered");
    w.cut.clear();
    w.partition(&[0], &[2, 3]);
    w.run(300_000);
    // n = 4, k = 3: two others are needed after a minute.
    assert!(!w.may_sign(0), "one has answered");
    w.cut.clear();
    w.partition(&[0], &[3]);
    w.expect(30_000, "two have answered, and the minute is over", |w| w.may_sign(0));
    w.cut.clear();
    w.links_soon();
    w.crash(1);
    w.start(1);
    w.expect(5_000, "all answer at once", |w| w.may_sign(1));
}

#[test]
fn two_of_four_suffice_after_a_minute_not_before() {
    let mut w = World::of(44, 4);
    w.crash(0);
    w.crash(3);
    w.start(0);
    w.run(55_000);
    assert!(!w.may_sign(0));
    w.expect(10_000, "a minute", |w| w.may_sign(0));
}

#[test]
fn of_two_the_other_one_must_answer() {
    let mut w = World::of(45, 2);
    w.crash(0);
    w.crash(1);
    w.start(0);
    w.run(600_000);
    assert!(!w.may_sign(0));
    let code = w.command(0, Command::Append(Vec::new())).unwrap_err().code;
    assert_eq!(code, "recovering");
    w.start(1);
    w.expect(10_000, "nodes that recover answer and count", |w| w.may_sign(0) && w.may_sign(1));
}

#[test]
fn an_operator_may_sign_anyway() {
    let mut w = World::of(46, 2);
    w.crash(0);
    w.crash(1);
    w.start(0);
    w.command(0, Command::SignAnyway).unwrap();
    assert!(w.may_sign(0));
    w.publish(0, &wish("1.0.0")).unwrap();
}

#[test]
fn an_old_copy_of_the_disk_fetches_its_own_log_before_it_signs() {
    for seed in 470..472 {
        let mut w = World::of(seed, 4);
        w.publish(0, &wish("1.0.0")).unwrap();
        w.run(20_000);
        let old = copy(&w, 0);
        let made: Vec<_> = (1..6).map(|n| w.publish(0, &wish(&format!("1.{n}.0"))).unwrap()).collect();
        let theirs = w.publish(1, &wish("1.0.0")).unwrap();
        w.expect(30_000, "witnessed", |w| w.holds(3, &made[4]) && w.holds(0, &theirs));
        w.run(20_000);
        let log = w.nodes[0].peer();
        let size = w.log(1, log).size();
        w.crash(0);
        w.nodes[0].disk = old;
        w.start(0);
        assert!(w.log(0, log).size() < size);
        w.expect(120_000, "it may sign", |w| w.may_sign(0));
        assert_eq!(w.log(0, log).size(), size, "its own log came back first");
        let next = w.publish(0, &wish("2.0.0")).unwrap();
        w.expect(60_000, "it goes on", |w| (0..4).all(|n| w.holds(n, &next)));
        for node in 0..4 {
            assert!(!w.log(node, log).closed.forked);
            assert_eq!(catalogue(&w.nodes[node].disk), catalogue(&w.nodes[0].disk));
        }
    }
}

#[test]
fn cosigned_sizes_never_fall_after_an_old_copy() {
    let mut w = World::of(48, 4);
    let old = copy(&w, 1);
    let log = w.nodes[0].peer();
    w.publish(0, &wish("1.0.0")).unwrap();
    w.expect(30_000, "cosigned", |w| w.cosigned(0, log, w.nodes[1].peer()) == w.log(0, log).size());
    let before = w.cosigned(0, log, w.nodes[1].peer());
    w.crash(1);
    w.nodes[1].disk = old;
    w.start(1);
    w.expect(60_000, "it may sign", |w| w.may_sign(1));
    assert!(w.cosigned(1, log, w.nodes[1].peer()) >= before, "it was told what it had promised");
}

#[test]
fn a_founder_whose_disk_forgot_the_others_is_told_by_them() {
    let mut w = World::founded(49, "de-he");
    w.run(1_000);
    let old = copy(&w, 0);
    let joined = w.join("de-rp");
    w.admit_by_all("de-rp");
    w.expect(30_000, "in", |w| w.settled_members(joined + 1));
    w.publish(0, &wish("1.0.0")).unwrap();
    w.run(10_000);
    w.crash(0);
    w.nodes[0].disk = old;
    w.start(0);
    w.expect(9_000, "it is shown the newer charter", |w| w.charter(0).version == 2);
    w.expect(60_000, "and has its log again", |w| w.settled_members(2));
    assert!(!w.log(1, w.nodes[0].peer()).closed.forked);
}

#[test]
fn a_crash_at_any_moment_loses_nothing_acknowledged() {
    for seed in 500..506 {
        let mut w = World::of(seed, 2);
        w.faults.commit_max_ms = 40;
        let mut made = Vec::new();
        for n in 0..5 {
            made.push(w.publish(0, &wish(&format!("1.{n}.0"))).unwrap());
            let wait = w.rng.below(60);
            w.run(wait);
            w.crash(0);
            w.run(10);
            w.start(0);
            w.expect(60_000, "it may sign", |w| w.may_sign(0));
        }
        w.heal();
        w.expect(120_000, "all is there", |w| made.iter().all(|m| w.holds(0, m) && w.holds(1, m)));
        assert!((0..2).all(|n| !w.log(n, w.nodes[0].peer()).closed.forked), "seed {seed}");
    }
}

/// What somebody answered who knew no more than an old copy does is no answer about the charter since.
#[test]
fn answers_count_for_the_charter_at_which_they_were_given() {
    let mut w = World::of(52, 3);
    w.run(20_000);
    let old = [copy(&w, 0), copy(&w, 1)];
    w.join("de-th");
    w.admit_by_all("de-th");
    w.expect(60_000, "four", |w| w.settled_members(4));
    for (node, disk) in old.into_iter().enumerate() {
        w.crash(node);
        w.nodes[node].disk = disk;
    }
    w.partition(&[0, 1], &[2, 3]);
    w.start(0);
    w.start(1);
    w.run(5_000);
    assert!(w.nodes[0].core.as_ref().unwrap().start().is_some_and(|(_, answered)| answered.len() == 1));
    // Now one of those that know the newer charter is there, and the other one is gone: of two that are needed one has answered.
    w.cut.clear();
    w.partition(&[0], &[1, 3]);
    w.partition(&[1], &[2, 3]);
    w.run(300_000);
    assert_eq!(w.charter(0).version, 4, "{}", w.describe());
    assert!(!w.may_sign(0), "{}", w.describe());
    w.cut.clear();
    w.links_soon();
    w.expect(120_000, "all have answered", |w| (0..4).all(|n| w.may_sign(n)));
}

/// Between cosigning and a restart the disk is put back: the node is told what it has promised, and promises no less and nothing
/// else.
#[test]
fn a_disk_put_back_after_cosigning_promises_nothing_else() {
    for seed in 53..56 {
        let mut w = World::of(seed, 4);
        let log = w.nodes[3].peer();
        w.run(20_000);
        let old = copy(&w, 1);
        w.publish(3, &wish("1.0.0")).unwrap();
        let me = w.nodes[1].peer();
        w.expect(30_000, "cosigned, and others know", |w| {
            let size = w.log(3, log).size();
            (0..4).all(|n| w.cosigned(n, log, me) == size)
        });
        let promised = w.cosigned(0, log, me);
        w.crash(1);
        w.nodes[1].disk = old;
        w.start(1);
        let root = w.log(0, log).frontier.root();
        w.expect(90_000, "it may sign", |w| w.may_sign(1));
        assert!(w.cosigned(1, log, me) >= promised, "seed {seed}: told before it signs");
        w.publish(3, &wish("1.1.0")).unwrap();
        w.expect(60_000, "it goes on from there", |w| w.cosigned(0, log, me) > promised);
        let held = w.log(1, log);
        assert!(
            verbund_protocol::view::judge::root_matches(&held, &w.nodes[1].disk, promised, root).unwrap(),
            "seed {seed}"
        );
    }
}

/// The disk of `node` with the frame `n` of its journal lost, as after damage: nothing of it is folded, and nothing moves.
fn without(w: &World, node: usize, n: usize) -> Disk {
    let disk = &w.nodes[node].disk;
    let mut journal = disk.journal[..disk.durable].to_vec();
    journal[n] = Batch::default().encode().unwrap();
    Disk::open(journal)
}

#[test]
fn whichever_frame_is_damaged_the_logs_are_whole_again_and_nothing_forks() {
    let frames = {
        let mut w = World::of(60, 3);
        w.publish(0, &wish("1.0.0")).unwrap();
        w.run(20_000);
        w.nodes[0].disk.durable
    };
    for n in (0..frames).step_by(3) {
        let mut w = World::of(60, 3);
        w.publish(0, &wish("1.0.0")).unwrap();
        w.run(20_000);
        let sizes: Vec<u64> = (0..3).map(|node| w.log(1, w.nodes[node].peer()).size()).collect();
        let damaged = without(&w, 0, n);
        w.crash(0);
        w.nodes[0].disk = damaged;
        w.start(0);
        w.expect(120_000, &format!("it may sign again without frame {n}"), |w| w.may_sign(0));
        let next = w.publish(0, &wish("2.0.0")).unwrap();
        w.expect(120_000, &format!("all is whole again without frame {n}"), |w| {
            (0..3).all(|node| w.holds(node, &next) && w.log(0, w.nodes[node].peer()).size() >= sizes[node])
        });
        for node in 0..3 {
            assert!(!w.log(node, w.nodes[0].peer()).closed.forked, "frame {n}");
            assert_eq!(catalogue(&w.nodes[node].disk), catalogue(&w.nodes[0].disk), "frame {n}");
        }
    }
}

#[test]
fn entries_below_an_own_checkpoint_that_nobody_else_has_are_not_written_anew() {
    let mut w = World::founded(61, "de-he");
    w.publish(0, &wish("1.0.0")).unwrap();
    w.publish(0, &wish("1.1.0")).unwrap();
    w.run(5_000);
    let log = w.nodes[0].peer();
    let (size, frames) = (w.log(0, log).size(), w.nodes[0].disk.durable);
    // The frame of the release before the last: its checkpoint is lost as well, that of the last is not.
    let damaged = (0..frames).rev().map(|n| without(&w, 0, n)).find(|disk| {
        let row = verbund_protocol::view::state::log(disk, &log).unwrap().unwrap();
        row.size() < size && row.note_size == size
    });
    w.crash(0);
    w.nodes[0].disk = damaged.expect("such a frame");
    w.start(0);
    w.run(600_000);
    assert!(!w.may_sign(0), "it would sign another tree of a size that it signed before");
    assert_eq!(w.publish(0, &wish("2.0.0")).unwrap_err().code, "recovering");
    w.command(0, Command::SignAnyway).unwrap();
    assert!(w.may_sign(0), "an operator who knows better decides");
}
