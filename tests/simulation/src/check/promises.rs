//! I5: what a node promised stays: sizes that it cosigned, the size of its own log, its votes. Looked at where it leaves the node,
//! so that nothing counts which a crash took back before anybody saw it.

use std::collections::BTreeMap;

use verbund_protocol::core::Effect;
use verbund_protocol::documents::VoteKind;
use verbund_protocol::ids::PeerId;
use verbund_protocol::limits::GOSSIP_MAX_BYTES;
use verbund_protocol::view::rows::{Rows as _, Table};
use verbund_protocol::view::state::{self, key};
use verbund_protocol::wire::{self, Gossip};

use super::{Checks, seal};
use crate::world::World;

/// A vote, but for its value: by whom, at which height, in which round, of which kind.
type Ballot = (PeerId, u64, u64, String);

/// What left the nodes so far.
#[derive(Default)]
pub struct Promises {
    /// Largest size and its root by cosigner and log; of a node's own log its own checkpoints.
    cosigned: BTreeMap<(PeerId, PeerId), (u64, [u8; 32])>,
    /// Value and hash of the message.
    votes: BTreeMap<Ballot, (Option<String>, String)>,
}

impl Promises {
    /// The disk of this node is put back to where others were before: its votes may have been lost with nobody having seen them.
    pub fn forget_votes(&mut self, node: &PeerId) {
        self.votes.retain(|(by, ..), _| by != node);
    }

    /// Of what it signed of a log only this much is known to enough others.
    pub fn forget_beyond(&mut self, node: &PeerId, log: &PeerId, size: u64) {
        self.cosigned.retain(|(by, of), head| (by, of) != (node, log) || head.0 <= size);
    }
}

pub fn emitted(checks: &mut Checks, w: &World, node: usize, effect: &Effect) {
    let Effect::Gossip(bytes) = effect else { return };
    let me = w.nodes[node].peer();
    match wire::decode::<Gossip>(w.federation, bytes, GOSSIP_MAX_BYTES) {
        Ok(Gossip::Cosigned { log, size, root, cosignature }) if cosignature.peer == me => {
            grown(checks, w, node, log, (size, root.0));
        }
        Ok(Gossip::Log { log, note, .. }) if log == me => {
            // The body of a note: origin, size, root.
            let text = String::from_utf8_lossy(&note).into_owned();
            let size = text.lines().nth(1).and_then(|line| line.parse().ok());
            let Some(size) = size else { return checks.found("I5 nothing falls", "a note without a size") };
            let row = w.log(node, me);
            if row.note_size == size {
                grown(checks, w, node, log, (size, row.note_root.unwrap_or(row.frontier.root()).0));
            }
        }
        Ok(Gossip::Ordering(bundles)) => bundles.iter().for_each(|bundle| voted(checks, w, node, &bundle.message)),
        _ => {}
    }
}

fn grown(checks: &mut Checks, w: &World, node: usize, log: PeerId, head: (u64, [u8; 32])) {
    let by = w.nodes[node].peer();
    let last = checks.promises.cosigned.get(&(by, log)).copied().unwrap_or_default();
    if head.0 < last.0 || head.0 == last.0 && head.1 != last.1 {
        let text = format!("{} signed size {} of {log} after size {}", w.name(node), head.0, last.0);
        checks.found("I5 nothing falls", text);
    }
    checks.promises.cosigned.insert((by, log), head);
}

fn voted(checks: &mut Checks, w: &World, node: usize, message: &[u8]) {
    let Some(sealed) = seal::open(message) else { return };
    let vote = &sealed.value;
    let me = w.nodes[node].peer();
    if vote["writer"].as_str() != Some(&me.to_string()) {
        return;
    }
    let number = |name: &str| vote[name].as_u64().unwrap_or(0);
    let ballot = (me, number("height"), number("round"), vote["type"].as_str().unwrap_or("").to_owned());
    let value = vote["value"].as_str().map(str::to_owned);
    if let Some((held, _)) = checks.promises.votes.get(&ballot)
        && *held != value
    {
        let text =
            format!("{} voted {held:?} and {value:?} in round {} of height {}", w.name(node), ballot.2, ballot.1);
        checks.found("I5 one vote", text);
    }
    checks.promises.votes.insert(ballot, (value, sealed.id));
}

/// All that has left the node must still be on its disk.
pub fn crashed(checks: &mut Checks, w: &World, node: usize) {
    let (me, disk) = (w.nodes[node].peer(), &w.nodes[node].disk);
    if !disk.damaged.is_empty() {
        return;
    }
    let mut lost = Vec::new();
    for ((_, log), (size, _)) in checks.promises.cosigned.iter().filter(|((by, _), _)| *by == me) {
        let held = if *log == me { w.log(node, me).size() } else { w.cosigned(node, *log, me) };
        if held < *size {
            lost.push(format!("it signed size {size} of {log}, and its disk knows of {held}"));
        }
    }
    let height = state::meta(disk).unwrap().charter + 1;
    for ((_, _, round, kind), (_, id)) in
        checks.promises.votes.iter().filter(|((by, at, ..), _)| *by == me && *at == height)
    {
        let id = verbund_protocol::ids::Sha256::from_hex(id.trim_start_matches("sha256:")).unwrap();
        if disk.get(Table::Promises, &key::ordering(height, &id)).unwrap().is_none() {
            lost.push(format!("its {kind} of round {round} at height {height} is not on its disk"));
        }
    }
    for text in lost {
        checks.found("I5 nothing falls", format!("{} crashed: {text}", w.name(node)));
    }
}

pub fn observe(checks: &mut Checks, w: &World, node: usize) {
    // A proposal names no value but one that somebody proposed: kinds that are not known would be new here.
    let known = [VoteKind::Proposal, VoteKind::Prevote, VoteKind::Precommit].len();
    let kinds: std::collections::BTreeSet<&String> = checks.promises.votes.keys().map(|ballot| &ballot.3).collect();
    if kinds.len() > known {
        checks.found("I5 one vote", format!("{} votes in ways that are not known: {kinds:?}", w.name(node)));
    }
}
