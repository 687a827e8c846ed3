//! I11: nobody who keeps the rules is blamed, kept out or left without for what others do, or for what went wrong here.

use verbund_protocol::view::state;

use super::Checks;
use crate::world::World;

/// Refusals that are counted of whoever hands something on, and say nothing about it: what a later version may say, a request to
/// join by one whose standing the two see differently for a while, and what the way between them spoilt.
const NO_BLAME: [&str; 4] = ["bad_gossip", "bad_request", "join_refused", "artifact_unfinished"];

pub fn observe(checks: &mut Checks, w: &World, node: usize) {
    let Some(core) = &w.nodes[node].core else { return };
    for report in core.peers() {
        let honest = w.nodes.iter().filter(|n| n.peer() == report.peer).all(|n| !n.hostile);
        let faults: Vec<_> = report.faults.iter().filter(|(reason, _)| !NO_BLAME.contains(reason)).collect();
        if honest && !faults.is_empty() {
            let whose = w.nodes.iter().find(|n| n.peer() == report.peer).map_or("?", |n| &n.org.handle);
            checks.found("I11 no blame", format!("{} blames {whose} for {faults:?}", w.name(node)));
        }
    }
}

/// When all has healed, honest members let each other in, and their logs are open.
pub fn end(checks: &mut Checks, w: &World, members: &[usize]) {
    for a in members {
        for b in members.iter().filter(|b| *b != a) {
            let peer = w.nodes[*b].peer();
            if !w.nodes[*a].gate.contains_key(&peer) {
                checks.found("I11 no blame", format!("{} keeps {} out", w.name(*a), w.name(*b)));
            }
            let once = checks.suspects.contains(&peer);
            if !once && state::log(&w.nodes[*a].disk, &peer).unwrap().is_some_and(|row| row.closed.forked) {
                checks.found("I11 no blame", format!("{} takes the log of {} for forked", w.name(*a), w.name(*b)));
            }
        }
    }
}
