//! I10: messages, queues and open requests stay under their named limits.

use std::collections::BTreeMap;

use verbund_protocol::core::Effect;
use verbund_protocol::ids::PeerId;
use verbund_protocol::limits::{
    APPROVALS_MAX, BATCH_MAX_BYTES, FRAME_MAX_BYTES, GOSSIP_MAX_BYTES, NOTES_KEPT_MAX, VOUCHED_MAX, WAITING_MAX,
};
use verbund_protocol::view::rows::{Rows as _, Table};
use verbund_protocol::view::state::{self, key};

use super::Checks;
use crate::world::World;

/// Requests under way to one peer: `core::peers::ASKED_MAX`.
const ASKED_MAX: usize = 16;
/// A request that was not answered so long is not waited for: the same there.
const ANSWER_MAX_MS: u64 = 60_000;
/// Artifacts that one node fetches at a time: the default of the settings, and one for each of the releases at once.
const FETCHES_MAX: usize = 16 + 8;

/// Requests that may still be answered, with their times: by node, its life, and peer.
#[derive(Default)]
pub struct Bounds {
    asked: BTreeMap<(usize, u32, PeerId), Vec<(u64, u64)>>,
}

impl Bounds {
    /// A connection broke, and with it whatever was asked over it.
    pub fn gone(&mut self, node: usize, peer: &PeerId) {
        self.asked.retain(|(by, _, of), _| *by != node || of != peer);
    }
}

pub fn emitted(checks: &mut Checks, w: &World, node: usize, effect: &Effect) {
    let (bytes, max) = match effect {
        Effect::Gossip(bytes) => (bytes.len(), GOSSIP_MAX_BYTES),
        Effect::Ask { bytes, .. } | Effect::AskJoin { bytes, .. } | Effect::Respond { bytes, .. } => {
            (bytes.len(), FRAME_MAX_BYTES)
        }
        _ => return,
    };
    if bytes > max {
        checks.found("I10 bounds", format!("{} sends {bytes} bytes, {max} are allowed", w.name(node)));
    }
    if let Effect::Ask { tag, peer, .. } = effect {
        let open = checks.bounds.asked.entry((node, w.nodes[node].life, *peer)).or_default();
        open.retain(|(other, at)| other != tag && w.now_ms - at < ANSWER_MAX_MS && w.open(node, *other));
        open.push((*tag, w.now_ms));
        if open.len() > ASKED_MAX {
            let text = format!("{} asks {peer} {} things at once", w.name(node), open.len());
            checks.found("I10 bounds", text);
        }
    }
}

pub fn observe(checks: &mut Checks, w: &World, node: usize) {
    let n = &w.nodes[node];
    let version = state::meta(&n.disk).unwrap().charter;
    let count = |table, prefix: &[u8]| n.disk.scan(table, prefix, prefix, usize::MAX).unwrap().len();
    let mut counted = vec![
        ("approvals", count(Table::Documents, &key::approvals(version)), APPROVALS_MAX),
        ("fetches", n.fetching.len(), FETCHES_MAX),
        ("bytes of a batch", n.disk.journal.last().map_or(0, Vec::len), BATCH_MAX_BYTES),
    ];
    for (log, row) in state::logs(&n.disk).unwrap() {
        counted.push(("notes", count(Table::Promises, &key::notes_of(&log)), NOTES_KEPT_MAX));
        for by in w.nodes.iter().map(|n| n.peer()) {
            counted.push(("cosignatures", count(Table::Promises, &key::vouched_by(&log, &by)), VOUCHED_MAX));
        }
        // One answer may come on top of those that wait.
        let waiting = (row.size() - row.judged) as usize;
        counted.push(("waiting entries", waiting, WAITING_MAX as usize + verbund_protocol::limits::ENTRIES_MAX));
    }
    if let Some(core) = &n.core {
        // A node that is connected is known even if it is no member any more.
        counted.push(("peers", core.peers().len(), w.nodes.len() * 2));
        let ordering = core.ordering(usize::MAX);
        counted.push(("ordering messages", ordering.len(), 16_384));
    }
    for (what, got, max) in counted {
        if got > max {
            checks.found("I10 bounds", format!("{} holds {got} {what}, {max} are allowed", w.name(node)));
        }
    }
}
