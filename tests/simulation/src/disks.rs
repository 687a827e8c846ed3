//! Acts on disks: old copies, lost disks, flipped bits, rotten files.
//!
//! A node whose disk was put back relies on the others. Either all is quiet before, so that what it did is known to them, or what
//! fewer than k - 1 of them know is forgotten by the checkers too; what comes afterwards may hit it while it recovers. What nobody
//! else has is lost by design (the start rule in SPEC.md says so).

use std::collections::BTreeSet;

use verbund_protocol::core::Input;
use verbund_protocol::ids::Blake3;
use verbund_protocol::view::rows::{Rows as _, Table};
use verbund_protocol::view::state;

use crate::disk::Disk;
use crate::plan::{Act, Kind, Plan, tolerated};
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
    let hostile = hostile(w);
    let budget = tolerated(plan.members).max(usize::from(hostile == 0));
    let spent = hostile + w.nodes.iter().filter(|n| n.restored).count();
    if spent >= budget
        || w.nodes[node].newcomer
        || w.nodes[node].mirror
        || w.nodes[node].restored
        || w.newest_charter().members.len() < plan.members
    {
        return None;
    }
    let faults = w.faults.clone();
    // Without hostile members, and with the same members all the time, one disk may be put back whatever else goes on.
    let amid = spent == 0 && !plan.kinds.contains(&Kind::Members) && plan.hostile.is_empty() && dice.permille(600);
    if !amid && !quiet(w, node) {
        w.faults = faults;
        return None;
    }
    if w.nodes[node].up() {
        w.crash(node);
    }
    forget(w, node, amid);
    if amid {
        w.trace.count("disk put back while other faults go on");
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
    Some(format!("{}: {told}{}", w.name(node), if amid { ", while other faults go on" } else { "" }))
}

/// Members that break the rules, each once.
pub fn hostile(w: &World) -> usize {
    w.nodes.iter().filter(|n| n.hostile && !n.twin).count()
}

/// What may be lost with a disk: votes that nobody counted yet, and, if others were not up to date either, whatever fewer than
/// k - 1 of them have. Whoever answers after a restart, n - k + 1 of them at least, has all that is not forgotten here.
fn forget(w: &mut World, node: usize, amid: bool) {
    let me = w.nodes[node].peer();
    let others: Vec<usize> = w.honest().into_iter().filter(|i| *i != node).collect();
    let enough = w.newest_charter().quorum().saturating_sub(1);
    let known = |sizes: Vec<u64>| {
        let mut sizes = sizes;
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.get(enough.saturating_sub(1)).copied().unwrap_or(0)
    };
    let mut kept = Vec::new();
    for log in w.nodes.iter().map(|n| n.peer()) {
        let size = |i: &usize| if log == me { w.log(*i, me).size() } else { w.cosigned(*i, log, me) };
        kept.push((log, known(others.iter().map(size).collect())));
    }
    let Some(checks) = &mut w.checks else { return };
    checks.promises.forget_votes(&me);
    if amid {
        kept.into_iter().for_each(|(log, size)| checks.promises.forget_beyond(&me, &log, size));
        let own = w.nodes[node].peer();
        let size = known(
            others.iter().map(|i| state::log(&w.nodes[*i].disk, &own).unwrap().map_or(0, |r| r.size())).collect(),
        );
        checks.chain.forget_beyond(&own, size);
        checks.charters.forget(node);
        // What only few had it may write anew, and has forked then, as far as anybody can tell.
        checks.suspects.insert(own);
    }
}

/// A node looks through all of its files, and notices which of them are gone: `verbund store scrub`.
pub fn scrub(w: &mut World, node: usize) {
    let mut gone = BTreeSet::new();
    for (row_key, _) in w.nodes[node].disk.scan(Table::Artifacts, b"", b"", usize::MAX).unwrap() {
        let hash = Blake3(row_key[..32].try_into().unwrap());
        if w.nodes[node].artifacts.get(&hash).is_none_or(|bytes| Blake3::of(bytes) != hash) {
            w.nodes[node].artifacts.remove(&hash);
            gone.insert(hash);
        }
    }
    // Those of releases that are not whole yet are fetched again with the rest.
    w.nodes[node].artifacts.retain(|hash, bytes| Blake3::of(bytes) == *hash);
    for hash in gone {
        w.step(node, Input::Lost(hash));
    }
}

/// Whether the file is there as it should be.
pub fn has(w: &World, node: usize, hash: &Blake3) -> bool {
    w.nodes[node].artifacts.get(hash).is_some_and(|bytes| Blake3::of(bytes) == *hash)
}

/// A file rots. It is noticed and moved away at once, or when somebody reads it.
pub fn rot(w: &mut World, dice: &mut Rng, node: usize) -> Option<String> {
    let hashes: Vec<_> = w.nodes[node].artifacts.keys().copied().collect();
    let hash = *hashes.get(dice.index(hashes.len().max(1)))?;
    // Only if somebody else has it: else nobody could give it back.
    let others = (0..w.nodes.len()).any(|i| i != node && !w.nodes[i].hostile && has(w, i, &hash));
    if !others || !w.nodes[node].up() {
        return None;
    }
    w.nodes[node].rotten.insert(hash);
    if dice.permille(500) {
        w.trace.count("rotten file that is not noticed");
        w.nodes[node].artifacts.entry(hash).or_default().push(0);
        return Some(format!("{}: the file {hash} has rotted, and nobody notices", w.name(node)));
    }
    w.nodes[node].artifacts.remove(&hash);
    w.trace.count("rotten file");
    w.step(node, Input::Lost(hash));
    Some(format!("{}: the file {hash} has rotted", w.name(node)))
}
