//! Catch-up: ask members where they stand, and for whatever they have and this node lacks. The truth behind gossip.
//!
//! Owns the polling. What comes in is judged where it belongs.

use super::api::Fault;
use super::logs::{self, Taken};
use super::peers::{Peer, Peers, Topic};
use super::standing::Standing;
use super::{Cx, agree, branch, serve};
use crate::charter::certificate::{Certified, CharterBundle};
use crate::ids::PeerId;
use crate::record::Record;
use crate::view::rows::RowsError;
use crate::view::state;
use crate::wire::sync::{Request, Status};

/// Between two polls while members agree on a charter, in milliseconds: gossip may be lost, and a round takes a second or two.
const HURRY_MS: u64 = 1_000;

/// When a connected peer is polled next.
fn due_ms(entry: &Peer, hurry: bool) -> u64 {
    if hurry { entry.next_poll_ms.min(entry.polled_ms + HURRY_MS) } else { entry.next_poll_ms }
}

/// Asks those whose turn it is.
pub fn poll(cx: &mut Cx<'_>, peers: &mut Peers, hurry: bool) {
    let now = cx.now.mono_ms;
    for peer in peers.connected() {
        let Some(entry) = peers.table.get_mut(&peer) else { continue };
        if now < due_ms(entry, hurry) {
            continue;
        }
        entry.polled_ms = now;
        // Spread over a quarter of the period, by the peer's id, so that restarted nodes do not poll in step.
        let spread = u64::from(peer.key().as_bytes()[0]) * (cx.set.poll_ms / 4) / 255;
        entry.next_poll_ms = now + cx.set.poll_ms - spread;
        peers.ask(cx, peer, Request::Status);
    }
}

/// When the next poll is due.
pub fn next_poll_ms(peers: &Peers, hurry: bool) -> Option<u64> {
    peers.table.values().filter(|p| p.connected_ms.is_some()).map(|p| due_ms(p, hurry)).min()
}

/// Takes a peer's status and asks for what it has and this node lacks.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn status(
    cx: &mut Cx<'_>,
    peers: &mut Peers,
    standing: &mut Standing,
    peer: PeerId,
    status: Status,
    recovering: bool,
) -> Result<(), RowsError> {
    if let Some(entry) = peers.table.get_mut(&peer) {
        let theirs = i64::try_from(status.time_ms).unwrap_or(i64::MAX);
        entry.clock_offset_ms = i64::try_from(cx.now.wall_ms).unwrap_or(i64::MAX).saturating_sub(theirs);
        entry.status = Some((cx.now.mono_ms, status));
        // Whatever still differs is asked for again: an answer may have been lost, or could not be used then.
        entry.asked_for.clear();
    }
    compare(cx, peers, standing, peer, recovering)
}

/// Compares what `peer` last said with what is here.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn compare(
    cx: &mut Cx<'_>,
    peers: &mut Peers,
    standing: &mut Standing,
    peer: PeerId,
    recovering: bool,
) -> Result<(), RowsError> {
    let Some((_, status)) = peers.table.get(&peer).and_then(|p| p.status.clone()) else { return Ok(()) };
    let version = cx.charter.as_ref().map_or(0, |c| c.charter.version);
    if status.charter > version && !peers.fetching_charters() {
        peers.ask(cx, peer, Request::Charters { from: version + 1 });
    }
    standing.refresh(cx)?;
    for theirs in &status.logs {
        let own = standing.log(&theirs.log);
        let size = own.map_or(0, |own| own.size);
        if theirs.size > size
            && peers.serves(&peer)
            && !peers.fetching(&theirs.log)
            && logs::wanted(cx, &theirs.log, recovering)?.is_some()
        {
            peers.ask(cx, peer, Request::Entries { log: theirs.log, from: size });
        }
        // Another digest at one size may be another root; else what cosignatures are over must be held to be of use. A log
        // that has forked is compared by its evidence alone.
        let differs = own.is_some_and(|own| {
            own.promises != theirs.promises
                && (own.size >= theirs.cosigned || own.witnessed < theirs.witnessed || standing.forked(&theirs.log))
        });
        if differs {
            ask_once(cx, peers, peer, Topic::Notes(theirs.log), theirs.promises, Request::Notes { log: theirs.log });
        }
    }
    let mine = standing.digests(cx)?;
    if status.charter == version {
        if status.approvals != mine.approvals {
            ask_once(cx, peers, peer, Topic::Approvals, status.approvals, Request::Approvals);
        }
        if status.ordering != mine.ordering {
            ask_once(cx, peers, peer, Topic::Ordering, status.ordering, Request::Ordering);
        }
        if status.nodes != mine.nodes {
            ask_once(cx, peers, peer, Topic::Nodes, status.nodes, Request::Nodes);
        }
    }
    if status.proofs != mine.proofs {
        ask_once(cx, peers, peer, Topic::Proofs, status.proofs, Request::Proofs);
    }
    let held = peers.holdings.get(&peer).map(serve::holdings_digest).unwrap_or_default();
    if status.holdings != held {
        ask_once(cx, peers, peer, Topic::Holdings, status.holdings, Request::Holdings);
    }
    Ok(())
}

/// Leaves up to `size` were just taken: asks for those behind them, so that they come while these are judged and made durable. One
/// answer is under way at a time, whose length is bounded: however long a log is, no more of it is in memory.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn go_on(
    cx: &mut Cx<'_>,
    peers: &mut Peers,
    peer: PeerId,
    log: PeerId,
    size: u64,
    recovering: bool,
) -> Result<(), RowsError> {
    let status = peers.table.get(&peer).and_then(|p| p.status.as_ref());
    let more = status.is_some_and(|(_, status)| status.logs.iter().any(|l| l.log == log && l.size > size));
    if more
        && peers.serves(&peer)
        && !peers.fetching(&log)
        && logs::wanted(cx, &log, recovering)?.is_some_and(|row| row.end().is_none_or(|end| size < end))
    {
        peers.ask(cx, peer, Request::Entries { log, from: size });
    }
    Ok(())
}

/// Asks for what stands behind a digest, once for each status in which it stood.
fn ask_once(cx: &mut Cx<'_>, peers: &mut Peers, peer: PeerId, topic: Topic, digest: [u8; 8], request: Request) {
    let asked = peers.table.get(&peer).and_then(|p| p.asked_for.get(&topic).copied());
    if asked != Some(digest)
        && peers.ask(cx, peer, request)
        && let Some(entry) = peers.table.get_mut(&peer)
    {
        entry.asked_for.insert(topic, digest);
    }
}

/// Takes charters in, in order, each checked by itself.
///
/// # Errors
/// `Err(Ok(fault))` for a charter that is not certified, `Err(Err(…))` a fault of this node.
pub fn charters(cx: &mut Cx<'_>, bundles: Vec<CharterBundle>) -> Result<u64, Result<Fault, RowsError>> {
    let mut newest: Option<Certified> = cx.charter.as_deref().cloned();
    for bundle in bundles {
        let version = crate::charter::rules::Charter::parse(&bundle.payload)
            .map_err(|e| Ok(Fault::new("bad_charter", e.to_string())))?
            .version;
        if newest.as_ref().is_some_and(|c| c.charter.version >= version) {
            continue;
        }
        let checked = match &newest {
            Some(before) => before.next(&bundle),
            None => Certified::genesis(&bundle),
        };
        let checked = checked.map_err(|e| Ok(Fault::new("bad_charter", e.to_string())))?;
        if checked.federation != cx.federation {
            return Err(Ok(Fault::new("other_federation", "a charter of another federation")));
        }
        agree::adopted(cx, &checked);
        cx.record(Record::Charter(bundle));
        newest = Some(checked);
    }
    Ok(newest.map_or(0, |c| c.charter.version))
}

/// What follows from leaves that were taken or not.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn after_take(
    cx: &mut Cx<'_>,
    peers: &mut Peers,
    peer: PeerId,
    log: PeerId,
    taken: Taken,
) -> Result<(), RowsError> {
    match taken {
        Taken::Grew(_) | Taken::Known => {}
        Taken::Gap => {
            let from = state::log(cx.view, &log)?.map_or(0, |row| row.size());
            if !peers.fetching(&log) {
                peers.ask(cx, peer, Request::Entries { log, from });
            }
        }
        Taken::Diverged(theirs) => branch::diverged(cx, peers, peer, log, &theirs)?,
    }
    Ok(())
}
