//! I1: what was acknowledged stays, and what was witnessed is in every later checkpoint. I3: all checkpoints of a log that honest
//! nodes accept are of one chain. I8: no other leaf is ever served than the one that was logged.
//!
//! Every leaf is read from the disk and hashed here; roots are computed over all leaves, as RFC 6962 writes it down.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use verbund_protocol::core::{Effect, Reply, View as _};
use verbund_protocol::ids::PeerId;
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, EntryRow, LogRow, key};
use verbund_protocol::wire::sync::Response;

use super::Checks;
use crate::world::World;

type Hash = [u8; 32];

/// What is known of all logs.
#[derive(Default)]
pub struct Chain {
    /// Hashes of the leaves of logs whose owners keep the rules, as the first honest node had them.
    leaves: BTreeMap<PeerId, Vec<Hash>>,
    /// How much of each log of each node was looked at.
    seen: BTreeMap<(usize, PeerId), usize>,
    roots: BTreeMap<(PeerId, usize), Hash>,
    /// The largest size of each log that any honest node held for witnessed, and its root.
    witnessed: BTreeMap<PeerId, (u64, Hash)>,
    /// Entries that an honest node said are durable.
    acknowledged: BTreeMap<(PeerId, u64), Hash>,
}

impl Chain {
    /// Of a log only this much is known to enough others than its owner, whose disk is put back.
    pub fn forget_beyond(&mut self, log: &PeerId, size: u64) {
        self.acknowledged.retain(|(of, index), _| of != log || *index < size);
    }
}

fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// SPEC: RFC 6962 §2.1.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        many => {
            let mut half = 1;
            while half * 2 < many.len() {
                half *= 2;
            }
            let (left, right) = (root(&many[..half]), root(&many[half..]));
            Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
        }
    }
}

/// The hash of one leaf as it lies on a disk; `None` if it is not there or cannot be read.
fn held(w: &World, node: usize, row: &LogRow, index: u64) -> Option<Hash> {
    let disk = &w.nodes[node].disk;
    let entry: EntryRow = state::get(disk, Table::Entries, &key::numbered(row.number, index)).ok()??;
    disk.leaf(entry.at).ok().map(|leaf| leaf_hash(&leaf))
}

fn all_held(w: &World, node: usize, row: &LogRow, size: u64) -> Option<Vec<Hash>> {
    (0..size).map(|index| held(w, node, row, index)).collect()
}

pub fn emitted(checks: &mut Checks, w: &World, node: usize, effect: &Effect) {
    let Effect::Reply { result: Ok(Reply::Appended { index, .. }), .. } = effect else { return };
    let log = w.nodes[node].peer();
    match held(w, node, &w.log(node, log), *index) {
        Some(hash) => drop(checks.chain.acknowledged.insert((log, *index), hash)),
        None => {
            checks.found("I1 durable stays", format!("{} acknowledged entry {index}, which is not there", w.name(node)))
        }
    }
}

pub fn served(checks: &mut Checks, w: &World, node: usize, response: &Response) {
    let Response::Entries(entries) = response else { return };
    let known = checks.chain.leaves.get(&entries.log).cloned().unwrap_or_default();
    for (at, leaf) in (entries.first as usize..).zip(&entries.leaves) {
        if known.get(at).is_some_and(|known| *known != leaf_hash(leaf)) {
            let text = format!("{} served another entry {at} of {}", w.name(node), entries.log);
            checks.found("I8 nothing damaged is served", text);
        }
    }
}

pub fn crashed(checks: &mut Checks, w: &World, node: usize) {
    let log = w.nodes[node].peer();
    let row = w.log(node, log);
    let own = checks.chain.acknowledged.range((log, 0)..=(log, u64::MAX));
    let lost: Vec<u64> =
        own.filter(|((_, i), hash)| held(w, node, &row, *i) != Some(**hash)).map(|((_, i), _)| *i).collect();
    if !lost.is_empty() && w.nodes[node].disk.damaged.is_empty() {
        checks.found("I1 durable stays", format!("{} lost acknowledged entries {lost:?} in a crash", w.name(node)));
    }
}

pub fn observe(checks: &mut Checks, w: &World, node: usize) {
    for (log, row) in state::logs(&w.nodes[node].disk).unwrap() {
        if !checks.suspects.contains(&log) && !follow(checks, w, node, log, &row) {
            continue;
        }
        if let Some((size, root)) = row.witnessed {
            let known = checks.chain.witnessed.entry(log).or_insert((size, root.0));
            *known = (*known).max((size, root.0));
        }
    }
}

/// Compares one node's log with the one that is known. Whether all of it could be read.
fn follow(checks: &mut Checks, w: &World, node: usize, log: PeerId, row: &LogRow) -> bool {
    let size = row.size() as usize;
    let from = checks.chain.seen.get(&(node, log)).copied().filter(|seen| *seen <= size).unwrap_or(0);
    for index in from..size {
        let Some(hash) = held(w, node, row, index as u64) else { return false };
        let known = checks.chain.leaves.entry(log).or_default();
        if index == known.len() {
            known.push(hash);
        } else if known[index] != hash {
            let text = format!("{} holds another entry {index} of {log} than others", w.name(node));
            checks.found("I3 one chain", text);
            return false;
        }
    }
    checks.chain.seen.insert((node, log), size);
    let note = row.note_root.map(|root| (row.note_size, root.0));
    let heads = [note, row.witnessed.map(|(size, root)| (size, root.0)), Some((row.size(), row.frontier.root().0))];
    for (size, claimed) in heads.into_iter().flatten() {
        // A checkpoint may be known before the leaves below it, or before any.
        let below = checks.chain.leaves.get(&log).and_then(|known| known.get(..size as usize));
        let Some(below) = below else { continue };
        let own = *checks.chain.roots.entry((log, size as usize)).or_insert_with(|| root(below));
        if size > 0 && own != claimed {
            let text = format!("{} has a checkpoint of {log} at {size} that its entries do not lead to", w.name(node));
            checks.found("I3 one chain", text);
        }
    }
    true
}

/// Whatever its owner does: the entries below the end of a log are the same everywhere, and lead to the checkpoint that is held.
fn alike(checks: &mut Checks, w: &World, members: &[usize]) {
    let mut known: BTreeMap<PeerId, Vec<Hash>> = BTreeMap::new();
    for node in members {
        for (log, row) in state::logs(&w.nodes[*node].disk).unwrap() {
            let end = row.end().map_or(row.size(), |end| end.min(row.size()));
            let Some(leaves) = all_held(w, *node, &row, end) else { continue };
            let note = row.note_root.filter(|_| !row.closed.forked && row.note_size > 0);
            let below = note.and_then(|note| Some((note, leaves.get(..row.note_size as usize)?)));
            if below.is_some_and(|(note, below)| root(below) != note.0) {
                let text = format!("{} holds entries of {log} that do not lead to its checkpoint", w.name(*node));
                checks.found("I3 one chain", text);
            }
            let other = known.entry(log).or_insert_with(|| leaves.clone());
            if other.iter().zip(&leaves).any(|(a, b)| a != b) {
                checks.found("I3 one chain", format!("{} holds other entries of {log} than others", w.name(*node)));
            }
        }
    }
}

pub fn end(checks: &mut Checks, w: &World, members: &[usize]) {
    alike(checks, w, members);
    for (log, (size, witnessed)) in checks.chain.witnessed.clone() {
        for node in members {
            let row = w.log(*node, log);
            match all_held(w, *node, &row, size) {
                Some(leaves) if root(&leaves) == witnessed => {}
                Some(_) => {
                    let text =
                        format!("{} has another history of {log} below {size} than was witnessed", w.name(*node));
                    checks.found("I1 witnessed stays", text);
                }
                None => {
                    let text = format!("{} has {} of {size} witnessed entries of {log}", w.name(*node), row.size());
                    checks.found("I1 witnessed stays", text);
                }
            }
        }
    }
    for ((log, index), hash) in checks.chain.acknowledged.clone() {
        for node in members {
            let row = w.log(*node, log);
            // An expulsion may end a log below what its node acknowledged since.
            if row.counts(index) && held(w, *node, &row, index) != Some(hash) {
                let text = format!("{} lacks entry {index} of {log}, which was acknowledged", w.name(*node));
                checks.found("I1 durable stays", text);
            }
        }
    }
}
