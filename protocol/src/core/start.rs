//! The start rule: a node cannot know that its disk was rolled back, so it asks the members what it signed before it signs.
//!
//! Owns the decision whether the node may sign.

use std::collections::BTreeSet;

use super::api::{EventKind, Fault, Now};
use super::{Cx, agree, logs, peers};
use crate::charter::rules::Charter;
use crate::ids::{MemberId, PeerId};
use crate::record::Record;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, CosignedRow, key};
use crate::wire::sync::{Mine, Request};

/// Where the start rule stands.
#[derive(Debug)]
pub struct Start {
    since_ms: u64,
    founded: bool,
    answered: BTreeSet<MemberId>,
    /// The charter version at which they answered: at another one there is more to tell.
    version: u64,
    /// Size of the own log that somebody claims to have.
    own_size: u64,
    done: bool,
    forced: bool,
}

impl Start {
    /// Nothing is known yet. `founded`: this process founded the federation, so nothing was signed before.
    pub fn new(now: Now, founded: bool) -> Self {
        Self {
            since_ms: now.mono_ms,
            founded,
            answered: BTreeSet::new(),
            version: 0,
            own_size: 0,
            done: false,
            forced: false,
        }
    }

    /// Whether the node may sign.
    pub const fn done(&self) -> bool {
        self.done
    }

    /// Since when the members are asked, on the monotonic clock.
    pub const fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// Members that have answered.
    pub const fn answered(&self) -> &BTreeSet<MemberId> {
        &self.answered
    }

    /// Why the node may not sign yet, in words. Of the members in `charter` all others have to answer, or so many as matter once
    /// `wait_ms` are over.
    pub fn why(&self, cx_now: Now, wait_ms: u64, charter: Option<&Charter>) -> String {
        let others = charter.map_or(0, |c| c.members.len().saturating_sub(1));
        let needed = charter.map_or(0, enough);
        if others == 0 {
            return "recovering: waiting for a moment whether anybody knows of more than this disk".to_owned();
        }
        let told = self.answered.len();
        let said = format!("recovering: {told} of {others} other members have told what this node signed before");
        let waited = cx_now.mono_ms.saturating_sub(self.since_ms);
        if told == others || told >= needed && waited >= wait_ms {
            return format!("{said}; it is being fetched back from them");
        }
        match wait_ms.saturating_sub(waited).div_ceil(1_000) {
            0 => format!("{said}; it waits until {needed} have"),
            left => format!("{said}; after {left} s more, {needed} are enough"),
        }
    }

    /// Signs from now on whatever was or was not answered.
    pub fn force(&mut self) {
        self.forced = true;
    }

    /// Asks those who have not answered, and decides.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn tick(&mut self, cx: &mut Cx<'_>, peers: &mut peers::Peers) -> Result<bool, RowsError> {
        if self.done || !cx.is_member() {
            return Ok(false);
        }
        let Some(charter) = cx.charter.clone() else { return Ok(false) };
        if charter.charter.version != self.version {
            self.version = charter.charter.version;
            self.answered.clear();
        }
        for (member, writer) in &charter.writers {
            if *member != cx.own.member && !self.answered.contains(member) {
                peers.ask(cx, writer.writer.peer, Request::Mine);
            }
        }
        if !self.forced && !self.complete(cx, &charter)? {
            return Ok(false);
        }
        self.done = true;
        cx.event(EventKind::Recovered);
        Ok(true)
    }

    fn complete(&self, cx: &Cx<'_>, charter: &crate::charter::certificate::Certified) -> Result<bool, RowsError> {
        if crate::seeded::bug("skip_start_rule") {
            return Ok(true);
        }
        let waited = cx.now.mono_ms.saturating_sub(self.since_ms);
        let row = state::log(cx.view, &cx.own.node.peer())?;
        let (own, signed) = row.map_or((0, 0), |row| (row.size(), row.note_size));
        // SPEC: a longer own log is fetched first; also one of which this disk knows only the checkpoint that it signed, because
        // the entries below were damaged.
        if own < self.own_size.max(signed) {
            return Ok(false);
        }
        let others: BTreeSet<_> =
            charter.charter.members.iter().map(|m| m.member).filter(|m| *m != cx.own.member).collect();
        if others.is_empty() {
            return Ok(self.founded || waited >= cx.set.start_alone_ms);
        }
        if self.founded && own == 0 || others.is_subset(&self.answered) {
            return Ok(true);
        }
        let voting = charter.charter.voting();
        let voted = self.answered.iter().filter(|m| voting.contains(m)).count();
        Ok(waited >= cx.set.start_wait_ms && voted >= enough(&charter.charter))
    }

    /// Takes an answer in: what was signed before is made known here again before anything new is signed.
    ///
    /// # Errors
    /// `Err(Ok(fault))` names what is wrong with it, `Err(Err(…))` a fault of this node.
    pub fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        peers: &mut peers::Peers,
        agree: &mut agree::Agree,
        peer: PeerId,
        mine: Mine,
    ) -> Result<(), Result<Fault, RowsError>> {
        let version = cx.charter.as_ref().map_or(0, |c| c.charter.version);
        if mine.charter > version {
            // Asked again when the newer charters are known.
            peers.ask(cx, peer, Request::Charters { from: version + 1 });
            return Ok(());
        }
        let me = cx.own.node.peer();
        if !mine.note.is_empty() {
            let checkpoint = crate::log::verify_checkpoint(&mine.note, cx.federation, me)
                .map_err(|e| Ok(Fault::new("bad_note", e.to_string())))?;
            // Only what can be delivered is waited for: a claim alone must not keep the node from signing.
            self.own_size = self.own_size.max(checkpoint.size.min(mine.size));
        }
        for promise in mine.promises {
            if promise.cosignature.peer == me {
                recall(cx, promise)?;
            }
        }
        for bundle in mine.ordering {
            agree.take(cx, bundle)?;
        }
        if let Some(member) = cx.charter.as_ref().and_then(|c| c.member_of(&peer)).filter(|_| self.version == version) {
            self.answered.insert(member);
        }
        let own = state::log(cx.view, &me).map_err(Err)?.map_or(0, |row| row.size());
        if own < self.own_size && !peers.fetching(&me) {
            peers.ask(cx, peer, Request::Entries { log: me, from: own });
        }
        Ok(())
    }
}

/// How many voting members include one that is honest and has seen all that was decided: n − k + 1.
fn enough(charter: &Charter) -> usize {
    charter.voting().len() - charter.quorum() + 1
}

/// An own cosignature that this disk does not know is kept, so that no smaller one is ever made.
fn recall(cx: &mut Cx<'_>, promise: crate::wire::sync::Promise) -> Result<(), Result<Fault, RowsError>> {
    let crate::wire::sync::Promise { log, size, root, cosignature } = promise;
    let held: Option<CosignedRow> =
        state::get(cx.view, Table::Promises, &key::cosigned(&log, &cosignature.peer)).map_err(Err)?;
    if held.is_some_and(|h| h.size >= size) || crate::seeded::bug("forget_own_cosignature") {
        return Ok(());
    }
    let fault = |e: String| Ok(Fault::new("bad_cosignature", e));
    let origin = crate::log::Origin::new(cx.federation, log);
    let checkpoint = crate::log::Checkpoint::new(origin, size, root).map_err(|e| fault(e.to_string()))?;
    crate::log::verify_cosignature(&cosignature, &checkpoint).map_err(|e| fault(e.to_string()))?;
    cx.record(Record::Cosigned { log, size, root, cosignature });
    Ok(())
}

/// Cosigns the heads of all logs, as far as it may.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn cosign_all(cx: &mut Cx<'_>, agree: &agree::Agree) -> Result<(), RowsError> {
    let expelled = agree.expelled(cx)?;
    for (log, row) in state::logs(cx.view)? {
        logs::cosign(cx, log, &row, &expelled)?;
    }
    Ok(())
}
