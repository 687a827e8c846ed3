//! Logs of other members: taking entries and checkpoints in, cosigning them, noticing forks.
//!
//! Owns the rule that nothing is taken but what continues the own tree under a checkpoint that the log signed.

use std::collections::BTreeSet;

use super::api::{EventKind, Fault};
use super::branch::{self, Claim};
use super::{Cx, peers};
use crate::ids::{MemberId, PeerId, Sha256};
use crate::limits::{VOUCHED_MAX, WAITING_MAX};
use crate::log::{
    Checkpoint, ConsistencyProof, Cosignature, ForkProof, Frontier, Hashes as _, Head, Origin, SignedCheckpoint, note,
    sign_cosignature, tree, verify_cosignature,
};
use crate::record::Record;
use crate::view::judge::root_matches;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, CosignedRow, LogHashes, LogRow, key};
use crate::wire::{Gossip, sync};

/// How taking entries in went, if nobody was at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The log has grown to this size.
    Grew(u64),
    /// Nothing new.
    Known,
    /// They start beyond the own end; ask from there.
    Gap,
    /// The checkpoint is not one that the own tree leads to: a lie or a fork.
    Diverged(Box<SignedCheckpoint>),
}

/// Whether entries of `log` are wanted at all, and how many more.
pub fn wanted(cx: &Cx<'_>, log: &PeerId, recovering: bool) -> Result<Option<LogRow>, RowsError> {
    let row = state::log(cx.view, log)?;
    let listed = cx.charter.as_ref().is_some_and(|c| c.writers.values().any(|w| w.writer.peer == *log));
    let row = row.or_else(|| listed.then(|| LogRow::new(0)));
    // What the own log holds beyond doubt is written here; only where it ends by a proof does it follow others.
    let own = *log == cx.own.node.peer() && !recovering;
    let Some(row) = row.filter(|row| !own || row.closed.forked) else { return Ok(None) };
    if row.size() - row.judged > WAITING_MAX || row.end().is_some_and(|end| row.size() >= end) {
        return Ok(None);
    }
    Ok(Some(row))
}

/// Takes leaves in, if they lead to the checkpoint in `note`.
///
/// # Errors
/// `Err(Ok(fault))` names what the sender did wrong, `Err(Err(…))` a fault of this node.
pub fn take(cx: &mut Cx<'_>, recovering: bool, entries: sync::Entries) -> Result<Taken, Result<Fault, RowsError>> {
    let sync::Entries { log, first, leaves, note, proof } = entries;
    let Some(row) = wanted(cx, &log, recovering).map_err(Err)? else { return Ok(Taken::Known) };
    let origin = Origin::new(cx.federation, log);
    let head = row.end_head().map(|(size, root)| Head { size, root });
    let signed = match note.is_empty() {
        // The sender knows where the log ends, and has no note of just that size. Who does not know it yet learns it first.
        true if head.is_none() => return Ok(Taken::Known),
        true => None,
        false => {
            let opened = note::open(&note, origin, &|_| false);
            Some(opened.map_err(|e| Ok(Fault::new("bad_note", e.to_string())))?.signed)
        }
    };
    if first > row.size() {
        return Ok(Taken::Gap);
    }
    let given: Vec<Sha256> = leaves.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
    let have = usize::try_from(row.size() - first).unwrap_or(usize::MAX);
    let mut fresh: Vec<Vec<u8>> = leaves.into_iter().skip(have).collect();
    if let Some(end) = row.end() {
        fresh.truncate(usize::try_from(end.saturating_sub(row.size())).unwrap_or(usize::MAX));
    }
    if fresh.iter().any(|leaf| leaf.len() > crate::limits::LEAF_MAX_BYTES) {
        return Err(Ok(Fault::new("long_leaf", "a leaf is longer than an envelope may be")));
    }
    if fresh.is_empty() {
        return signed.map_or(Ok(Taken::Known), |signed| known_note(cx, &row, signed)).map_err(Err);
    }
    let mut frontier = row.frontier.clone();
    let hashes = given.get(have..have.saturating_add(fresh.len())).unwrap_or_default();
    frontier.extend(hashes).map_err(|e| Ok(Fault::new("bad_entries", e.to_string())))?;
    let checkpoint = signed.as_ref().map(|signed| signed.checkpoint().head());
    let claim = Claim { first, leaves: &given, to: checkpoint, proof: proof.as_ref() };
    let leads = |to: Head| leads(&frontier, proof.as_ref(), to);
    let by_note = checkpoint.is_some_and(leads);
    match head {
        None if by_note || signed.is_some() && crate::seeded::bug("leaves_without_consistency") => {}
        None => {
            claim.check().map_err(Ok)?;
            return Ok(signed.map_or(Taken::Known, |signed| Taken::Diverged(Box::new(signed))));
        }
        // Of a log that did not fork, any later checkpoint leads past the end that is known.
        Some(end) if leads(end) || by_note && frontier.size() < end.size && !row.closed.forked => {}
        Some(_) => return branch::mismatch(cx, log, &row, &claim),
    }
    // Whoever passes this on answers for all of it.
    let unchecked = crate::seeded::bug("leaves_without_consistency") || crate::seeded::bug("pass_on_unchecked");
    if !unchecked && !repeats(cx, &row, first, &given).map_err(Err)? {
        return Err(Ok(Fault::new("bad_entries", "leaves that do not stand below the checkpoint that came with them")));
    }
    let size = frontier.size();
    cx.record(Record::entries(log, row.size(), fresh));
    if let Some(signed) =
        signed.filter(|_| checkpoint.is_some_and(|c| c.size >= row.note_size && head.is_none_or(|end| c == end)))
    {
        cx.record(Record::Checkpoint { log, note: signed.without_cosignatures().to_text().into_bytes() });
    }
    cx.event(EventKind::LogGrew { log, size });
    Ok(Taken::Grew(size))
}

/// Whether a tree leads to a checkpoint: it is the one, or the path shows that it grows to it.
pub fn leads(frontier: &Frontier, proof: Option<&ConsistencyProof>, to: Head) -> bool {
    match frontier.size().cmp(&to.size) {
        std::cmp::Ordering::Equal => frontier.root() == to.root,
        std::cmp::Ordering::Less => proof.is_some_and(|p| p.check(frontier.head(), to).is_ok()),
        std::cmp::Ordering::Greater => false,
    }
}

/// Whether those of the leaves that are held already are the same here.
fn repeats(cx: &Cx<'_>, row: &LogRow, first: u64, given: &[Sha256]) -> Result<bool, RowsError> {
    let hashes = LogHashes { rows: cx.view, number: row.number };
    for (index, hash) in (first..row.size()).zip(given) {
        let at = tree::stored_count(index).map_err(|e| RowsError(e.to_string()))?;
        if hashes.stored(at).map_err(|e| RowsError(e.to_string()))? != *hash {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A checkpoint at or below the own size: known, or another history.
fn known_note(cx: &mut Cx<'_>, row: &LogRow, signed: SignedCheckpoint) -> Result<Taken, RowsError> {
    let Checkpoint { size, root, origin } = *signed.checkpoint();
    if size > row.size() {
        return Ok(Taken::Gap);
    }
    if row.closed.forked {
        return Ok(Taken::Known);
    }
    if !root_matches(row, cx.view, size, root)? {
        return Ok(Taken::Diverged(Box::new(signed)));
    }
    if size > row.note_size {
        cx.record(Record::Checkpoint { log: origin.peer, note: signed.to_text().into_bytes() });
    }
    Ok(Taken::Known)
}

/// Proves a fork from the own checkpoint and another of the same log, if they contradict each other.
///
/// `path` is the other's consistency path, where its checkpoint is the larger one.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn prove_fork(
    cx: &Cx<'_>,
    theirs: &SignedCheckpoint,
    path: Option<&ConsistencyProof>,
) -> Result<Option<ForkProof>, RowsError> {
    let log = theirs.checkpoint().origin.peer;
    let Some(row) = state::log(cx.view, &log)? else { return Ok(None) };
    let Ok(ours) = note::open(&row.note, Origin::new(cx.federation, log), &|_| false) else { return Ok(None) };
    let (small, large) = (theirs.checkpoint().size, row.note_size);
    let own_path;
    let path = if small < large && large <= row.size() {
        let hashes = LogHashes { rows: cx.view, number: row.number };
        own_path = ConsistencyProof::make(small, large, row.size(), &hashes).map_err(|e| RowsError(e.to_string()))?;
        Some(&own_path)
    } else {
        path
    };
    Ok(ForkProof::new(&ours.signed, theirs, path).ok())
}

/// Takes a fork proof in: the log is closed.
///
/// # Errors
/// `Err(Ok(fault))` if it proves nothing, `Err(Err(…))` a fault of this node.
pub fn close(cx: &mut Cx<'_>, proof: ForkProof) -> Result<(), Result<Fault, RowsError>> {
    let fork = proof.verify(cx.federation).map_err(|e| Ok(Fault::new("bad_fork_proof", e.to_string())))?;
    let log = fork.log();
    let row = state::log(cx.view, &log).map_err(Err)?;
    let listed = cx.charter.as_ref().is_some_and(|c| c.writers.values().any(|w| w.writer.peer == log));
    if row.is_none() && !listed {
        return Err(Ok(Fault::new("foreign_log", "a fork proof about a log that no member writes")));
    }
    if row.is_some_and(|row| row.closed.forked) {
        return Ok(());
    }
    // Where the log ends is told when the proof is part of the view, and again whenever evidence moves it.
    cx.record(Record::Fork { log, proof: proof.clone() });
    cx.gossip(Gossip::Fork(proof));
    Ok(())
}

/// Cosigns the newest checkpoint of `log` if everything below it is held, it extends what was cosigned before, and its member is
/// none of those whose expulsion is under way.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn cosign(cx: &mut Cx<'_>, log: PeerId, row: &LogRow, expelled: &BTreeSet<MemberId>) -> Result<(), RowsError> {
    let me = cx.own.node.peer();
    let Some(root) = row
        .note_root
        .filter(|_| row.note_size > 0 && (row.note_size == row.size() || crate::seeded::bug("cosign_unseen")))
    else {
        return Ok(());
    };
    let others = cx.charter.as_ref().is_some_and(|c| c.writers.values().any(|w| w.writer.peer == log));
    if log == me
        || !others
        || !cx.is_writer()
        || row.end().is_some()
        || row.orphan
        || root != row.frontier.root() && !crate::seeded::bug("cosign_unseen")
    {
        return Ok(());
    }
    let held: Option<CosignedRow> = state::get(cx.view, Table::Promises, &key::cosigned(&log, &me))?;
    if let Some(held) = held {
        // SPEC: cosigned sizes never fall, and each extends the one before.
        let falls = held.size >= row.size() && !crate::seeded::bug("cosign_smaller");
        if falls || !crate::seeded::bug("cosign_other_branch") && !root_matches(row, cx.view, held.size, held.root)? {
            return Ok(());
        }
    }
    // SPEC: from the moment that an expulsion is eligible, the log of that member is cosigned no further.
    if cx
        .charter
        .as_ref()
        .and_then(|c| c.member_of(&log))
        .is_some_and(|member| expelled.contains(&member) && !crate::seeded::bug("cosign_the_expelled"))
    {
        return Ok(());
    }
    let size = row.note_size;
    let Ok(checkpoint) = Checkpoint::new(Origin::new(cx.federation, log), size, root) else { return Ok(()) };
    if let Ok(cosignature) = sign_cosignature(&cx.own.node, cx.now.wall_s(), &checkpoint) {
        cx.record(Record::Cosigned { log, size, root, cosignature });
        cx.gossip(Gossip::Cosigned { log, size, root, cosignature });
        cx.event(EventKind::Cosigned { log, size, by: me });
    }
    Ok(())
}

/// Takes a cosignature of another node in. Says whether it was news.
///
/// # Errors
/// `Err(Ok(fault))` names what is wrong with it, `Err(Err(…))` a fault of this node.
pub fn take_cosignature(
    cx: &mut Cx<'_>,
    peers: &mut peers::Peers,
    promise: sync::Promise,
) -> Result<bool, Result<Fault, RowsError>> {
    let sync::Promise { log, size, root, cosignature } = promise;
    let by = cosignature.peer;
    let origin = Origin::new(cx.federation, log);
    let member = cx.charter.as_ref().and_then(|c| c.member_of(&by));
    if member.is_none() || by == cx.own.node.peer() {
        return Ok(false);
    }
    let Some(row) = state::log(cx.view, &log).map_err(Err)? else { return Ok(false) };
    let held: Option<CosignedRow> = state::get(cx.view, Table::Promises, &key::cosigned(&log, &by)).map_err(Err)?;
    let newer = |held: CosignedRow| (size, cosignature.time_s) > (held.size, held.cosignature.time_s);
    let own_freshness = by == log;
    if !own_freshness && !held.is_none_or(newer) && !earlier(cx, &row, &promise, held).map_err(Err)? {
        return Ok(false);
    }
    let checkpoint =
        Checkpoint::new(origin, size, root).map_err(|e| Ok(Fault::new("bad_cosignature", e.to_string())))?;
    if !crate::seeded::bug("cosignature_unverified") {
        verify_cosignature(&cosignature, &checkpoint).map_err(|e| Ok(Fault::new("bad_cosignature", e.to_string())))?;
    }
    if own_freshness {
        return Ok(peers.fresh(log, cosignature.time_s));
    }
    // One over a size that is not held yet is had again when it is: by polling. Of a log that has forked, each is evidence of
    // where it ends, whichever branch is held here.
    if row.closed.forked || size <= row.size() && root_matches(&row, cx.view, size, root).map_err(Err)? {
        cx.record(Record::Cosigned { log, size, root, cosignature });
        cx.event(EventKind::Cosigned { log, size, by });
        return Ok(true);
    }
    Ok(false)
}

/// Whether a cosignature that is not its node's newest one is wanted all the same: it may make its checkpoint the largest
/// witnessed one, whichever came first.
fn earlier(cx: &Cx<'_>, row: &LogRow, promise: &sync::Promise, newest: Option<CosignedRow>) -> Result<bool, RowsError> {
    let sync::Promise { log, size, root, cosignature } = promise;
    if row.witnessed.is_some_and(|held| held >= (*size, *root))
        || newest.is_some_and(|n| (n.size, n.root) == (*size, *root))
    {
        return Ok(false);
    }
    let kept = key::vouched(log, &cosignature.peer, *size, root);
    if cx.view.get(Table::Promises, &kept)?.is_some() {
        return Ok(false);
    }
    // Of more than are kept the smallest are given up, and not taken again.
    let kept = cx.view.scan(Table::Promises, &key::vouched_by(log, &cosignature.peer), &[], VOUCHED_MAX)?;
    let smallest = kept.first().and_then(|(key, _)| key::head_of(key));
    Ok(kept.len() < VOUCHED_MAX || smallest.is_none_or(|smallest| smallest < (*size, *root)))
}

/// Own statement that this is the newest checkpoint of the own log.
pub fn freshness(cx: &Cx<'_>, checkpoint: &Checkpoint) -> Option<Cosignature> {
    sign_cosignature(&cx.own.node, cx.now.wall_s(), checkpoint).ok()
}
