//! Acts on disks: old copies, lost disks, flipped bits, rotten files.
//!
//! A node whose disk was put back relies on the others. So that what it did is known to them, all is quiet before; what comes
//! afterwards may hit it while it recovers. What nobody else has is lost by design (the start rule in SPEC.md says so).

use std::collections::BTreeSet;

use verbund_protocol::core::Input;
use verbund_protocol::ids::Blake3;
use verbund_protocol::view::rows::{Rows as _, Table};

use crate::disk::Disk;
use crate::plan::{Act, Plan, tolerated};
use crate::rng::Rng;
use crate::world::{Faults, Happening, World};

/// How long it is quiet before a disk is put back, in milliseconds.
const QUIET_MS: u64 = 90_000;

/// Everything works for a while; says whether all have the same and `node` may sign.
fn quiet(w: &mut World, node: usize) -> bool {
    w.heal();
    for node in 0..w.nodes.len() {
        w.nodes[node].full = false;
        if !w.nodes[node].up() && !w.nodes[node].retired {
            w.start(node);
        }
    }
    w.run(QUIET_MS);
    let honest: Vec<usize> = w.honest().into_iter().filter(|i| !w.nodes[*i].restored).collect();
    let log = w.nodes[node].peer();
    let size = w.log(node, log).size();
    w.nodes[node].up()
        && w.may_sign(node)
        && honest.iter().all(|i| w.charter(*i) == w.charter(node) && w.log(*i, log).size() == size && w.may_sign(*i))
        && !w.nodes[node].mirror
}

pub fn restore(w: &mut World, plan: &Plan, dice: &mut Rng, act: Act, node: usize) -> Option<String> {
    // As many members as may break the rules may forget instead. Where none may, all others remember: one may forget.
    let budget = tolerated(plan.members).max(usize::from(plan.hostile.is_empty()));
    let spent = plan.hostile.len() + w.nodes.iter().filter(|n| n.restored).count();
    if spent >= budget
        || w.nodes[node].newcomer
        || w.nodes[node].restored
        || w.newest_charter().members.len() < plan.members
    {
        return None;
    }
    let faults = w.faults.clone();
    if !quiet(w, node) {
        w.faults = faults;
        return None;
    }
    w.crash(node);
    let me = w.nodes[node].peer();
    if let Some(checks) = &mut w.checks {
        checks.promises.forget_votes(&me);
    }
    let journal = w.nodes[node].disk.journal.clone();
    let told = match act {
        Act::OldCopy => {
            let keep = dice.between(1, journal.len() as u64) as usize;
            w.nodes[node].disk = Disk::open(journal[..keep].to_vec());
            w.trace.count("old copy of a disk");
            format!("{keep} of {} frames are left", journal.len())
        }
        Act::Lost => {
            // What an operator has at hand: the keys, and the federation's genesis from any member.
            w.nodes[node].disk = Disk::open(w.nodes[0].disk.journal[..1].to_vec());
            w.nodes[node].artifacts.clear();
            w.trace.count("lost disk");
            "all is lost".to_owned()
        }
        _ => {
            let damaged: BTreeSet<usize> =
                (0..dice.between(1, 4)).map(|_| 1 + dice.index((journal.len() - 1).max(1))).collect();
            let told = format!("frames {damaged:?} of {} are damaged", journal.len());
            w.trace.count("flipped bits in stored frames");
            if dice.permille(500) {
                w.nodes[node].disk = Disk::open_damaged(journal, damaged);
            } else {
                // The view was not hit.
                w.nodes[node].disk.damaged = damaged;
            }
            told
        }
    };
    w.nodes[node].restored = true;
    w.faults = if dice.permille(500) { faults } else { Faults::default() };
    w.start(node);
    w.later(1_000, node, Happening::Mend);
    Some(format!("{}: {told}", w.name(node)))
}

/// A node looks through all of its files, and notices which of them are gone: `verbund store scrub`.
pub fn scrub(w: &mut World, node: usize) {
    let mut gone = BTreeSet::new();
    for (row_key, _) in w.nodes[node].disk.scan(Table::Artifacts, b"", b"", usize::MAX).unwrap() {
        let hash = Blake3(row_key[..32].try_into().unwrap());
        if !w.nodes[node].artifacts.contains_key(&hash) {
            gone.insert(hash);
        }
    }
    for hash in gone {
        w.step(node, Input::Lost(hash));
    }
}

/// A file is found damaged, and moved away.
pub fn rot(w: &mut World, dice: &mut Rng, node: usize) -> Option<String> {
    let hashes: Vec<_> = w.nodes[node].artifacts.keys().copied().collect();
    let hash = *hashes.get(dice.index(hashes.len().max(1)))?;
    // Only if somebody else has it: else nobody could give it back.
    let others =
        (0..w.nodes.len()).any(|i| i != node && !w.nodes[i].hostile && w.nodes[i].artifacts.contains_key(&hash));
    if !others || !w.nodes[node].up() {
        return None;
    }
    w.nodes[node].artifacts.remove(&hash);
    w.trace.count("rotten file");
    w.step(node, Input::Lost(hash));
    Some(format!("{}: the file {hash} has rotted", w.name(node)))
}
