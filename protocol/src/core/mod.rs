//! The decision core of one federation: `step(now, input) → records to commit, effects to carry out afterwards`.
//!
//! Owns what a node decides. It reads the view, never writes it: records go to the journal, the fold derives the view from them,
//! and only then are the effects carried out. Deterministic: the same inputs give the same outputs. No clock, no IO.

mod agree;
#[cfg(test)]
mod alone;
mod answers;
mod api;
mod approve;
mod branch;
mod command;
mod info;
mod inputs;
mod join;
mod lodge;
mod logs;
mod outreach;
mod own;
mod peers;
mod propose;
mod replicate;
pub mod report;
pub mod serve;
mod standing;
mod start;
mod succession;
mod sync;
mod voids;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::charter::certificate::Certified;
use crate::ids::{FederationId, PeerId};
use crate::record::{Batch, Record};
use crate::view::charters::Charters;
use crate::view::rows::{Rows, RowsError};
use crate::view::state::LeafAt;

pub use api::{
    Command, Effect, Event, EventKind, Fault, FetchError, FetchOrder, Input, Now, Own, Problem, Reply, Settings,
};

/// How long a request to join is listed, in seconds.
pub const fn join_request_life_s() -> u64 {
    lodge::REQUEST_LIFE_S
}

/// What the core reads: rows, and leaves by their place.
pub trait View: Rows {
    /// The bytes of a leaf.
    ///
    /// # Errors
    /// [`RowsError`] if they cannot be read.
    fn leaf(&self, at: LeafAt) -> Result<Vec<u8>, RowsError>;
}

/// What a step decided. The batch is committed first; the effects follow when it is durable.
#[derive(Debug, Default)]
pub struct Step {
    /// Records to commit together.
    pub batch: Batch,
    /// What to do once they are durable.
    pub effects: Vec<Effect>,
}

/// What the parts of the core share within one step.
struct Cx<'a> {
    now: Now,
    view: &'a dyn View,
    own: &'a Own,
    set: &'a Settings,
    charters: &'a Charters,
    federation: FederationId,
    charter: Option<Arc<Certified>>,
    records: Vec<Record>,
    effects: Vec<Effect>,
    counts: &'a mut BTreeMap<String, u64>,
    faults: &'a mut BTreeMap<PeerId, BTreeMap<&'static str, u64>>,
}

impl Cx<'_> {
    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
    fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
    fn gossip(&mut self, message: crate::wire::Gossip) {
        if let Ok(bytes) = crate::wire::encode(self.federation, message)
            && bytes.len() <= crate::limits::GOSSIP_MAX_BYTES
        {
            self.effects.push(Effect::Gossip(bytes));
        }
    }
    fn event(&mut self, kind: EventKind) {
        self.effects.push(Effect::Event(Event { time_ms: self.now.wall_ms, kind }));
    }
    /// Counts a refusal by its reason and says whose fault it was. Not every one is told: whoever sends rubbish without end would
    /// else push everything out of the events, and fill the disk with lines of the log. After the first eight of a peer and
    /// reason each doubling is, with the number so far.
    fn refuse(&mut self, peer: Option<PeerId>, reason: &'static str, text: impl Into<String>) {
        let so_far = self.count(peer, reason, 1);
        let text = match so_far {
            0..=8 => text.into(),
            n if n.is_power_of_two() => format!("{} ({n} times so far)", text.into()),
            _ => return,
        };
        self.event(EventKind::Refused { peer, reason: reason.to_owned(), text });
    }
    /// Counts `n` refusals; returns how many there are of this peer, or of all strangers.
    fn count(&mut self, peer: Option<PeerId>, reason: &'static str, n: u64) -> u64 {
        let all = self.counts.entry(reason.to_owned()).or_default();
        *all += n;
        let all = *all;
        // Of members only: strangers are many and would fill the memory.
        match peer.filter(|p| self.charter.as_ref().is_some_and(|c| c.member_of(p).is_some())) {
            Some(peer) if n > 0 => {
                let of_peer = self.faults.entry(peer).or_default().entry(reason).or_default();
                *of_peer += n;
                *of_peer
            }
            _ => all,
        }
    }
    fn is_member(&self) -> bool {
        self.charter.as_ref().is_some_and(|c| c.charter.member(&self.own.member).is_some())
    }
    /// Whether this node writes its member's log, by the newest charter.
    fn is_writer(&self) -> bool {
        self.charter.as_ref().is_some_and(|c| c.writer_of(&self.own.member) == Some(self.own.node.peer()))
    }
}

/// The core of one federation instance.
#[derive(Debug)]
pub struct Core {
    own: Own,
    set: Settings,
    federation: FederationId,
    charters: Charters,
    counts: BTreeMap<String, u64>,
    faults: BTreeMap<PeerId, BTreeMap<&'static str, u64>>,
    peers: peers::Peers,
    start: start::Start,
    agree: agree::Agree,
    own_log: own::OwnLog,
    replicate: replicate::Replicate,
    join: join::Join,
    standing: standing::Standing,
    outreach: outreach::Outreach,
    voids: voids::Voids,
    /// Something that other parts react to was recorded since they last looked.
    dirty: bool,
    /// When time last passed here, on the monotonic clock.
    ticked_ms: u64,
}

impl Core {
    /// The core of the federation whose rows `view` holds.
    ///
    /// `founded` says that this very process founded it and nothing can have been signed before.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn new(
        own: Own,
        set: Settings,
        federation: FederationId,
        founded: bool,
        now: Now,
        view: &dyn View,
    ) -> Result<Self, RowsError> {
        let charters = Charters::default();
        let agree = agree::Agree::default();
        let join = join::Join::load(view)?;
        Ok(Self {
            own,
            set,
            federation,
            charters,
            counts: BTreeMap::new(),
            faults: BTreeMap::new(),
            peers: peers::Peers::default(),
            start: start::Start::new(now, founded),
            agree,
            own_log: own::OwnLog::default(),
            replicate: replicate::Replicate::default(),
            join,
            standing: standing::Standing::load(view)?,
            outreach: outreach::Outreach::default(),
            voids: voids::Voids::default(),
            dirty: true,
            ticked_ms: now.mono_ms,
        })
    }

    /// The federation.
    pub const fn federation(&self) -> FederationId {
        self.federation
    }

    /// Takes one input. After the returned batch has been folded into the view, the caller gives [`Input::Applied`].
    ///
    /// # Errors
    /// [`RowsError`] if the view fails: a fault of this node, on which it must not go on.
    pub fn step(&mut self, now: Now, input: Input, view: &dyn View) -> Result<Step, RowsError> {
        match &input {
            Input::Addresses(addresses) => self.own.addresses.clone_from(addresses),
            Input::Tick => self.ticked_ms = now.mono_ms,
            _ => {}
        }
        let charter = self.charters.newest(view)?;
        let mut cx = Cx {
            now,
            view,
            own: &self.own,
            set: &self.set,
            charters: &self.charters,
            federation: self.federation,
            charter,
            records: Vec::new(),
            effects: Vec::new(),
            counts: &mut self.counts,
            faults: &mut self.faults,
        };
        let mut parts = inputs::Parts {
            peers: &mut self.peers,
            start: &mut self.start,
            agree: &mut self.agree,
            own_log: &mut self.own_log,
            replicate: &mut self.replicate,
            join: &mut self.join,
            standing: &mut self.standing,
            outreach: &mut self.outreach,
            voids: &mut self.voids,
            dirty: &mut self.dirty,
        };
        parts.handle(&mut cx, input)?;
        let step = Step { batch: Batch { records: cx.records }, effects: cx.effects };
        self.standing.note(&step.batch.records);
        self.voids.note(&step.batch.records);
        self.dirty |= !step.batch.is_empty();
        Ok(step)
    }

    /// Refusals by reason since the start.
    pub const fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }
}
