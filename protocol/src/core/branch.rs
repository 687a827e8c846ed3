//! Leaves that do not lead to where this node stands: another branch of a log that forked, or a lie?
//!
//! Owns the answer, and with it who is blamed. Members that keep the rules hold different branches of a forked log for a while, and
//! different ends of it until the evidence is everywhere; so only what contradicts itself is its sender's fault. Never blames
//! anybody for what is held here, or was held when something was asked.

use super::Cx;
use super::api::Fault;
use super::logs::{self, Taken, leads};
use super::peers::{Doubt, Peers};
use crate::ids::{PeerId, Sha256};
use crate::limits::RESETS_MAX;
use crate::log::{ConsistencyProof, Frontier, Head, Origin, SignedCheckpoint, note, tree};
use crate::record::Record;
use crate::view::rows::RowsError;
use crate::view::state::{self, LogRow};
use crate::wire::sync::Request;

/// What somebody says of a log: leaves, and the checkpoint that they are said to lead to.
#[derive(Debug)]
pub struct Claim<'a> {
    /// Index of the first leaf.
    pub first: u64,
    /// Hashes of the leaves.
    pub leaves: &'a [Sha256],
    /// The checkpoint, signed by the log; `None` where its sender knows the end of the log otherwise.
    pub to: Option<Head>,
    /// From behind the leaves to the checkpoint.
    pub proof: Option<&'a ConsistencyProof>,
}

impl Claim<'_> {
    /// Whether it is a lie whatever anybody holds: all leaves from the first on are there, and do not lead to `to`.
    fn contradicts(&self, to: Head) -> bool {
        let behind = self.first.saturating_add(self.leaves.len() as u64);
        let mut alone = Frontier::new();
        behind > to.size || self.first == 0 && (alone.extend(self.leaves).is_err() || !leads(&alone, self.proof, to))
    }

    /// The fault of its sender, if it contradicts itself.
    ///
    /// # Errors
    /// That fault.
    pub fn check(&self) -> Result<(), Fault> {
        match self.to.is_some_and(|to| self.contradicts(to)) {
            true => Err(Fault::new("bad_entries", "the leaves do not lead to the checkpoint that came with them")),
            false => Ok(()),
        }
    }
}

/// Nobody's fault that can be told: the log has forked, and another branch of it came than the one that counts here.
fn other(cx: &mut Cx<'_>, log: &PeerId) {
    cx.refuse(None, "other_branch", format!("another branch of the log {log} than the one that is held here"));
}

/// Leaves that do not lead to where the log is known to end. Those held may be of another branch: in doubt all are fetched anew,
/// which a liar can bring about a few times only.
///
/// # Errors
/// `Err(Ok(fault))` if they contradict themselves, `Err(Err(…))` a fault of this node.
pub fn mismatch(
    cx: &mut Cx<'_>,
    log: PeerId,
    row: &LogRow,
    claim: &Claim<'_>,
) -> Result<Taken, Result<Fault, RowsError>> {
    claim.check().map_err(Ok)?;
    // Who sends no checkpoint knows the end by the charter: it is the same for all that have it.
    let closed = row.closed.charter.filter(|_| claim.to.is_none());
    if let Some((size, root)) = closed.filter(|(size, root)| claim.contradicts(Head { size: *size, root: *root })) {
        let text = format!("the leaves do not lead to the end of the log at {size}, {root}");
        return Err(Ok(Fault::new("bad_entries", text)));
    }
    if crate::seeded::bug("blame_another_branch") {
        return Err(Ok(Fault::new("bad_entries", "the leaves do not lead to the known end of the log")));
    }
    if row.size() > 0 && row.resets < RESETS_MAX {
        cx.record(Record::Reset { log });
    } else {
        other(cx, &log);
    }
    Ok(Taken::Known)
}

/// A checkpoint that the own tree does not lead to: proves the fork, or asks for what proves it, or shows the lie.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn diverged(
    cx: &mut Cx<'_>,
    peers: &mut Peers,
    peer: PeerId,
    log: PeerId,
    theirs: &SignedCheckpoint,
) -> Result<(), RowsError> {
    if let Some(proof) = logs::prove_fork(cx, theirs, None)? {
        return match logs::close(cx, proof) {
            Err(Ok(fault)) => {
                cx.refuse(Some(peer), fault.reason, fault.text);
                Ok(())
            }
            Err(Err(e)) => Err(e),
            Ok(()) => Ok(()),
        };
    }
    let Some(row) = state::log(cx.view, &log)? else { return Ok(()) };
    // A path from the own checkpoint proves a fork; it may be of another branch than the leaves that are held.
    let own = row.note_root.map(|root| Head { size: row.note_size, root });
    let to = theirs.checkpoint().head();
    let from = own.filter(|own| 0 < own.size && own.size < to.size).unwrap_or_else(|| row.frontier.head());
    ask(cx, peers, peer, log, &Doubt { from, to });
    Ok(())
}

/// Asks for the path between two checkpoints of which one is the peer's.
fn ask(cx: &mut Cx<'_>, peers: &mut Peers, peer: PeerId, log: PeerId, doubt: &Doubt) {
    if doubt.from.size == 0 || doubt.from.size >= doubt.to.size {
        return other(cx, &log);
    }
    if peers.ask(cx, peer, Request::Consistency { log, from: doubt.from.size, to: doubt.to.size }) {
        peers.doubts.insert((peer, log), *doubt);
    }
}

/// Takes the path that a peer was asked for. It is compared with what was held when the doubt arose: what is held now may be another
/// branch.
///
/// # Errors
/// `Err(Ok(fault))` names what the sender did wrong, `Err(Err(…))` a fault of this node.
pub fn explained(
    cx: &mut Cx<'_>,
    peers: &mut Peers,
    peer: PeerId,
    log: PeerId,
    path: &ConsistencyProof,
    bytes: &[u8],
) -> Result<(), Result<Fault, RowsError>> {
    let fault = |text: &str| Ok(Fault::new("bad_entries", text));
    let opened = note::open(bytes, Origin::new(cx.federation, log), &|_| false);
    let theirs = opened.map_err(|e| Ok(Fault::new("bad_note", e.to_string())))?.signed;
    let Some(doubt) = peers.doubts.remove(&(peer, log)) else { return Ok(()) };
    let Some(row) = state::log(cx.view, &log).map_err(Err)? else { return Ok(()) };
    if row.closed.forked || theirs.checkpoint().head() != doubt.to {
        // Shown by others meanwhile, or the peer has moved on: whatever still differs shows again.
        return Ok(());
    }
    let ends = tree::reconstruct(&path.hashes, doubt.from.size, doubt.to.size);
    let (small, large) = ends.map_err(|e| Ok(Fault::new("bad_entries", e.to_string())))?;
    if large != doubt.to.root {
        return Err(fault("a path that does not lead to the checkpoint that came with it"));
    }
    if small != doubt.from.root {
        return match logs::prove_fork(cx, &theirs, Some(path)).map_err(Err)? {
            Some(proof) => logs::close(cx, proof),
            None => {
                other(cx, &log);
                Ok(())
            }
        };
    }
    // Its log goes on where this node stood, by its own word. Had it sent the leaves behind that, they would have fitted.
    let held = row.frontier.head();
    if held == doubt.from {
        return Err(fault("leaves that do not lead to a checkpoint which extends the own one"));
    }
    if held.size < doubt.from.size {
        ask(cx, peers, peer, log, &Doubt { from: held, ..doubt });
    }
    Ok(())
}
