//! Anything may go wrong, chosen by a seed: after healing, all have the same.

use std::collections::BTreeMap;

use verbund_protocol::core::Command;
use verbund_protocol::ids::PeerId;
use verbund_protocol::view::rows::{Rows, Table};
use verbund_simulation::disk::Disk;
use verbund_simulation::ops::catalogue;
use verbund_simulation::org::{Org, Wish};
use verbund_simulation::world::{Faults, World};

/// Seeds of one run of the tests; `VERBUND_SEEDS=from..to` runs others.
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("VERBUND_SEEDS") else { return default };
    let (from, to) = text.split_once("..").expect("from..to");
    from.parse().expect("from")..to.parse().expect("to")
}

/// Prints the seed of a run that fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0}: run it again with VERBUND_SEEDS={0}..{1}", self.0, self.0 + 1);
        }
    }
}

/// What must never fall: own cosigned sizes, own log, charter version.
fn promises(w: &World, node: usize) -> BTreeMap<String, u64> {
    let n = &w.nodes[node];
    let mut out = BTreeMap::new();
    let logs: Vec<PeerId> = w.nodes.iter().map(|n| n.peer()).collect();
    for log in logs {
        out.insert(format!("cosigned {log}"), w.cosigned(node, log, n.peer()));
    }
    out.insert("own log".into(), w.log(node, n.peer()).size());
    out.insert("charter".into(), w.charter(node).version);
    out
}

/// A disk is put back to an old copy. Only while all others are there and have what it had: what nobody else has is lost.
fn roll_back(w: &mut World, node: usize) {
    w.heal();
    for node in 0..w.nodes.len() {
        if !w.nodes[node].up() {
            w.start(node);
        }
    }
    w.run(90_000);
    if w.up().iter().any(|i| w.charter(*i) != w.charter(0)) || !w.may_sign(node) {
        return;
    }
    w.crash(node);
    let keep = w.rng.between(1, w.nodes[node].disk.journal.len() as u64) as usize;
    w.nodes[node].disk = Disk::open(w.nodes[node].disk.journal[..keep].to_vec());
    w.start(node);
    w.expect(120_000, "it may sign again", |w| w.may_sign(node));
}

fn act(w: &mut World, seed: u64, n: usize, versions: &mut u64) {
    let node = w.rng.index(n);
    if w.rng.permille(30) {
        return roll_back(w, node);
    }
    match w.rng.below(12) {
        0 if w.nodes[node].up() => w.crash(node),
        0 | 1 => {
            for node in 0..w.nodes.len() {
                if !w.nodes[node].up() {
                    w.start(node);
                }
            }
        }
        2 => {
            let other = w.rng.index(n);
            if node != other {
                w.partition(&[node], &[other]);
            }
        }
        3 => {
            w.cut.clear();
            w.links_soon();
        }
        4 => {
            w.faults = Faults {
                gossip_loss: w.rng.below(1_001),
                request_loss: w.rng.below(400),
                duplicates: w.rng.below(300),
                delay_max_ms: w.rng.between(1, 800),
                commit_max_ms: w.rng.between(0, 100),
                ..Faults::default()
            };
        }
        5..=8 if w.may_sign(node) => {
            *versions += 1;
            let version = format!("1.{versions}.0");
            let made =
                w.nodes[node].org.release(w.federation, &Wish { slug: "hund", version: &version, ..Wish::default() });
            w.nodes[node].artifacts.extend(made.artifacts);
            let id = w.id();
            w.step(node, verbund_protocol::core::Input::Command { id, command: Command::Append(made.leaf) });
        }
        9 if w.may_sign(node) && w.nodes.len() < n + 2 => {
            let handle = format!("de-x{}{}", seed % 10, w.nodes.len());
            if let Ok(Ok(ticket)) =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.invite(node, &handle, 3_600)))
            {
                w.newcomer(Org::new(&handle), &ticket);
            }
        }
        10 | 11 => {
            for handle in w.requests(node) {
                if w.may_sign(node) {
                    let command = Command::Admit { handle: handle.parse().unwrap(), fingerprint: None };
                    let id = w.id();
                    w.step(node, verbund_protocol::core::Input::Command { id, command });
                }
            }
        }
        _ => {}
    }
}

#[test]
fn after_healing_all_have_the_same() {
    for seed in seeds(0..6) {
        let _seed = Seed(seed);
        let n = 2 + (seed % 3) as usize;
        let mut w = World::of(seed, n);
        let mut versions = 0;
        for _ in 0..60 {
            let before: Vec<_> = (0..n).map(|node| promises(&w, node)).collect();
            let durable: Vec<_> =
                (0..n).map(|node| w.nodes[node].disk.durable == w.nodes[node].disk.journal.len()).collect();
            act(&mut w, seed, n, &mut versions);
            let wait = w.rng.below(4_000);
            w.run(wait);
            for node in (0..n).filter(|node| durable[*node]) {
                for (what, now) in promises(&w, node) {
                    assert!(now >= before[node].get(&what).copied().unwrap_or(0), "seed {seed}: {what} fell on {node}");
                }
            }
        }
        w.heal();
        for node in 0..w.nodes.len() {
            if !w.nodes[node].up() {
                w.start(node);
            }
        }
        let members = |w: &World| -> Vec<usize> {
            (0..w.nodes.len())
                .filter(|i| w.charter(0).members.iter().any(|m| m.member == w.nodes[*i].org.member))
                .collect()
        };
        w.expect(600_000, "all may sign", |w| members(w).iter().all(|i| w.may_sign(*i)));
        let same = |w: &World| {
            let nodes = members(w);
            let charter = w.charter(0);
            nodes.iter().all(|i| w.charter(*i) == charter)
                && nodes.iter().all(|i| catalogue(&w.nodes[*i].disk) == catalogue(&w.nodes[0].disk))
        };
        w.expect(300_000, "all have the same", same);
        // And everything can be had.
        w.expect(1_300_000, "all is held", |w| {
            members(w).iter().all(|i| w.nodes[*i].disk.scan(Table::Local, b"m", b"", 1).unwrap().is_empty())
        });
        for node in members(&w) {
            for (log, row) in verbund_protocol::view::state::logs(&w.nodes[node].disk).unwrap() {
                assert!(!row.closed.forked, "seed {seed}: an honest log was taken for forked: {log}");
            }
        }
        eprintln!("seed {seed}: {} nodes, {} steps, {} s", w.nodes.len(), w.steps, w.now_ms / 1_000);
        // The view is what the journal says.
        for node in members(&w) {
            let again = Disk::open(w.nodes[node].disk.journal.clone());
            assert!(format!("{:?}", again.rows) == format!("{:?}", w.nodes[node].disk.rows), "seed {seed}");
        }
    }
}
