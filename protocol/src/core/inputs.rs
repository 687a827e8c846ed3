//! One input, carried to the parts that it concerns, and what follows in the others.

use std::collections::BTreeMap;

use super::api::{Effect, EventKind, Fault, Input};
use super::outreach::Outreach;
use super::peers::Peers;
use super::standing::Standing;
use super::voids::Voids;
use super::{Cx, agree, approve, info, join, lodge, logs, own, replicate, serve, start, sync};
use crate::documents::Kind;
use crate::envelope::Envelope;
use crate::ids::PeerId;
use crate::limits::{FRAME_MAX_BYTES, GOSSIP_MAX_BYTES};
use crate::record::Record;
use crate::view::rows::{RowsError, Table};
use crate::view::state;
use crate::wire::sync::{Entries, Promise, Request, Response};
use crate::wire::{self, Gossip, SignedHoldings};

/// The parts of the core, borrowed apart from what they share.
pub struct Parts<'a> {
    pub peers: &'a mut Peers,
    pub start: &'a mut start::Start,
    pub agree: &'a mut agree::Agree,
    pub own_log: &'a mut own::OwnLog,
    pub replicate: &'a mut replicate::Replicate,
    pub join: &'a mut join::Join,
    pub standing: &'a mut Standing,
    pub outreach: &'a mut Outreach,
    pub voids: &'a mut Voids,
    pub dirty: &'a mut bool,
}

/// Longest time between two ticks, in milliseconds.
const TICK_MS: u64 = 5_000;
/// The same while the start rule waits for answers.
const START_TICK_MS: u64 = 500;

/// `Ok`, the sender's fault, or a fault of this node.
pub type Taken<T> = Result<T, Result<Fault, RowsError>>;

impl Parts<'_> {
    /// Handles one input, and what follows from it where that can be told already.
    pub fn handle(&mut self, cx: &mut Cx<'_>, input: Input) -> Result<(), RowsError> {
        match input {
            Input::Tick => self.tick(cx)?,
            Input::Applied => {}
            // The core has taken them over.
            Input::Addresses(_) => *self.dirty = true,
            Input::Connected(peer) => {
                self.peers.up(cx.now.mono_ms, peer);
                self.outreach.connected(&peer);
                self.replicate.offered(self.peers, &peer);
                sync::poll(cx, self.peers, false);
                self.recover(cx)?;
                self.replicate.announce_soon(cx);
                *self.dirty = true;
            }
            Input::Disconnected(peer) => self.peers.down(cx.now, &peer),
            Input::Gossip { id, from, bytes } => self.gossip(cx, id, from, &bytes)?,
            Input::SyncRequest { id, from, bytes } => self.sync_request(cx, id, from, &bytes)?,
            Input::Answer { tag, result } => self.answer(cx, tag, result)?,
            Input::JoinRequest { id, from, bytes } => self.join_request(cx, id, from, &bytes)?,
            Input::JoinAnswer { result } => {
                if self.outreach.waits() {
                    self.outreach.answer(cx, result)?;
                } else {
                    self.join.answer(cx, result)?;
                    self.join.tick(cx)?;
                }
            }
            Input::Command { id, command } => {
                let result = match self.command(cx, command) {
                    Ok(reply) => Ok(reply),
                    Err(Ok(problem)) => Err(problem),
                    Err(Err(e)) => return Err(e),
                };
                cx.effect(Effect::Reply { id, result });
            }
            Input::Fetched { tag, result } => self.replicate.fetched(cx, self.peers, tag, result)?,
            Input::Manifest { tag, files } => self.replicate.manifest(cx, self.peers, tag, files)?,
            Input::Lost(artifact) => self.replicate.lost(cx, artifact)?,
        }
        // With records of its own the step ends here: what follows from them is told when they are part of the view.
        while cx.records.is_empty() && std::mem::take(self.dirty) {
            self.follow(cx)?;
        }
        Ok(())
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        sync::poll(cx, self.peers, self.agree.hurries(cx.now.mono_ms));
        self.recover(cx)?;
        self.join.tick(cx)?;
        self.agree.tick(cx);
        if self.start.done() {
            self.own_log.tick(cx)?;
        }
        self.replicate.work(cx, self.peers, self.standing)
    }

    /// Goes on with the start rule; what the node may do then, it does when all that it was told is part of the view.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn recover(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        if self.start.tick(cx, self.peers)? {
            *self.dirty = true;
        }
        Ok(())
    }

    /// What follows from records that are part of the view now.
    fn follow(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        self.start.tick(cx, self.peers)?;
        self.voids.tell(cx)?;
        if self.standing.take_gate() {
            self.gate(cx)?;
        }
        self.announce_self(cx)?;
        let may_sign = self.start.done();
        if may_sign && self.own_log.maintain(cx)? {
            return Ok(());
        }
        self.agree.refresh(cx, may_sign)?;
        if may_sign {
            start::cosign_all(cx, self.agree)?;
        }
        if self.standing.take_moved() {
            for peer in self.peers.connected() {
                sync::compare(cx, self.peers, self.standing, peer, !may_sign)?;
            }
        }
        self.forked(cx)?;
        self.join.tick(cx)?;
        self.replicate.work(cx, self.peers, self.standing)
    }

    /// Tells where a log that has forked ends, as often as that changes. One of which another branch is held than the one that
    /// counts is fetched anew.
    fn forked(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        for (log, row) in state::logs(cx.view)? {
            if row.closed.forked && self.standing.ends_at(log, row.end()) {
                cx.event(EventKind::LogForked { log, size: row.end().unwrap_or(0) });
            }
            let Some((size, root)) = row.end_head().filter(|(size, _)| *size <= row.size()) else { continue };
            if size > 0 && !crate::view::judge::root_matches(&row, cx.view, size, root)? {
                cx.record(Record::Reset { log });
            }
        }
        Ok(())
    }

    /// Tells the network whom to let in and keep connected.
    fn gate(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        let Some(charter) = cx.charter.clone() else { return Ok(()) };
        let members = serve::members_nodes(&charter);
        self.peers.keep_only(&members);
        if !cx.is_member() {
            cx.effect(Effect::Gate(BTreeMap::new()));
            return Ok(());
        }
        let mut gate: BTreeMap<PeerId, Vec<String>> = members.into_iter().map(|peer| (peer, Vec::new())).collect();
        gate.remove(&cx.own.node.peer());
        for (peer, addresses) in &mut gate {
            addresses.extend(info::info_of(cx, peer)?.map(|info| info.addresses).unwrap_or_default());
        }
        let notes: Vec<crate::record::PeerNote> = state::list(cx.view, Table::Peers, b"", 4_096)?;
        self.peers.paused = notes.iter().filter(|note| note.paused).map(|note| note.peer).collect();
        for note in notes {
            if note.blocked {
                gate.remove(&note.peer);
            } else if let Some(addresses) = gate.get_mut(&note.peer) {
                addresses.extend(note.addresses);
            }
        }
        for addresses in gate.values_mut() {
            addresses.sort();
            addresses.dedup();
        }
        cx.effect(Effect::Gate(gate));
        Ok(())
    }

    /// Members are told how this node can be reached, whenever that has changed.
    fn announce_self(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        if !cx.is_member() || cx.own.addresses.is_empty() {
            return Ok(());
        }
        let held = info::info_of(cx, &cx.own.node.peer())?;
        let same = held.is_some_and(|h| h.addresses == cx.own.addresses && h.software == cx.own.software);
        if !same && let Some(info) = info::own_info(cx)? {
            cx.record(Record::Document(info.clone()));
            cx.gossip(Gossip::Document(info));
        }
        Ok(())
    }

    fn gossip(&mut self, cx: &mut Cx<'_>, id: u64, from: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
        let accept = match wire::decode::<Gossip>(cx.federation, bytes, GOSSIP_MAX_BYTES) {
            // SPEC: reject only what the sender itself answers for; a kind that is not known here is passed over.
            Err(e) => {
                cx.refuse(Some(from), "bad_gossip", e.to_string());
                None
            }
            Ok(message) => match self.gossiped(cx, from, message) {
                Ok(news) => news.then_some(true),
                Err(Ok(fault)) => {
                    cx.refuse(Some(from), fault.reason, fault.text);
                    Some(false)
                }
                Err(Err(e)) => return Err(e),
            },
        };
        cx.effect(Effect::Judge { id, accept });
        Ok(())
    }

    /// Takes a gossip message in; says whether it is worth passing on.
    fn gossiped(&mut self, cx: &mut Cx<'_>, from: PeerId, message: Gossip) -> Taken<bool> {
        match message {
            Gossip::Log { log, note, first, leaves } => {
                let bare = leaves.is_empty() || crate::seeded::bug("pass_on_unchecked");
                let entries = Entries { log, first, leaves, note, proof: None };
                let taken = logs::take(cx, !self.start.done(), entries)?;
                // A checkpoint whose leaves did not fit the message is news as well. Leaves that could not be checked are not
                // passed on: this node would answer for them.
                let news = matches!(taken, logs::Taken::Grew(_)) || bare && taken == logs::Taken::Gap;
                sync::after_take(cx, self.peers, from, log, taken).map_err(Err)?;
                Ok(news)
            }
            Gossip::Cosigned { log, size, root, cosignature } => {
                let before = cx.records.len();
                let news = logs::take_cosignature(cx, self.peers, Promise { log, size, root, cosignature })?;
                Ok(news || cx.records.len() > before)
            }
            Gossip::Document(bytes) => {
                let envelope = Envelope::parse(&bytes).map_err(|e| Ok(Fault::new("bad_document", e.to_string())))?;
                match Kind::of(&envelope) {
                    Kind::Approval => approve::take_approval(cx, &envelope),
                    Kind::NodeInfo => Ok(info::take_info(cx, &bytes)),
                    _ => Ok(false),
                }
            }
            Gossip::Ordering(bundles) => {
                let mut news = false;
                // What the message rests on first.
                for bundle in bundles.into_iter().rev() {
                    news |= self.agree.take(cx, bundle)?;
                }
                Ok(news)
            }
            Gossip::Holdings(signed) => self.holdings(cx, signed),
            Gossip::Charter { version, .. } => {
                let own = cx.charter.as_ref().map_or(0, |c| c.charter.version);
                if version > own && !self.peers.fetching_charters() {
                    self.peers.ask(cx, from, Request::Charters { from: own + 1 });
                }
                // Not passed on: whoever has the charter says so itself, and anybody could name versions that never were.
                Ok(false)
            }
            Gossip::Fork(proof) => {
                let before = cx.records.len();
                logs::close(cx, proof)?;
                Ok(cx.records.len() > before)
            }
        }
    }

    /// Takes a statement of holdings in. Says whether it is news.
    ///
    /// # Errors
    /// `Err(Ok(fault))` if it is not signed by its node, `Err(Err(…))` a fault of this node.
    pub fn holdings(&mut self, cx: &mut Cx<'_>, signed: SignedHoldings) -> Taken<bool> {
        let peer = signed.peer;
        let member = cx.charter.as_ref().is_some_and(|c| c.member_of(&peer).is_some());
        let older = self
            .peers
            .holdings
            .get(&peer)
            .is_some_and(|held| held.time_ms >= signed.time_ms && !crate::seeded::bug("holdings_replayed"));
        if !member || older || peer == cx.own.node.peer() {
            return Ok(false);
        }
        if !signed.verify(cx.federation) && !crate::seeded::bug("holdings_unsigned") {
            return Err(Ok(Fault::new("bad_holdings", "a statement of holdings that is not signed by its node")));
        }
        self.peers.holdings.insert(peer, signed);
        self.replicate.offered(self.peers, &peer);
        cx.event(EventKind::HoldingsChanged { peer });
        self.replicate.work(cx, self.peers, self.standing).map_err(Err)?;
        Ok(true)
    }

    fn sync_request(&mut self, cx: &mut Cx<'_>, id: u64, from: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
        let response = match wire::decode::<Request>(cx.federation, bytes, FRAME_MAX_BYTES) {
            Err(e) => {
                cx.refuse(Some(from), "bad_request", e.to_string());
                Response::Refused(wire::sync::Refusal::Unsupported)
            }
            Ok(Request::Holdings) => {
                let mut all: Vec<_> = self.standing.holdings(cx)?.into_iter().collect();
                all.extend(self.peers.holdings.values().take(63).cloned());
                Response::Holdings(all)
            }
            Ok(Request::Status) => Response::Status(self.standing.status(cx, !self.start.done())?),
            Ok(Request::Ordering) => Response::Ordering(self.agree.bundles(serve::PARTS_MAX_BYTES)),
            Ok(request) => {
                let recovering = !self.start.done();
                let answer = serve::answer(cx.view, cx.charters, cx.own, cx.now, recovering, from, &request)?;
                answer.unwrap_or(Response::Refused(wire::sync::Refusal::Unsupported))
            }
        };
        if let Ok(bytes) = wire::encode(cx.federation, response) {
            cx.effect(Effect::Respond { id, bytes });
        }
        Ok(())
    }

    fn join_request(&mut self, cx: &mut Cx<'_>, id: u64, from: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
        let response = match wire::decode(cx.federation, bytes, FRAME_MAX_BYTES) {
            Err(e) => {
                cx.refuse(Some(from), "bad_join", e.to_string());
                wire::join::Response::Refused(wire::join::Refused::Invalid(e.to_string()))
            }
            Ok(request) => lodge::serve(cx, self.own_log, self.start.done(), from, request)?,
        };
        if let Ok(bytes) = wire::encode(cx.federation, response) {
            cx.effect(Effect::Respond { id, bytes });
        }
        Ok(())
    }
}

impl super::Core {
    /// When the core wants an [`Input::Tick`] next, on the monotonic clock.
    pub fn next_due_ms(&self, now_ms: u64) -> u64 {
        let waiting = [
            sync::next_poll_ms(&self.peers, self.agree.hurries(now_ms)),
            self.agree.next_due_ms(),
            self.replicate.next_due_ms(),
            self.join.next_due_ms(),
            self.dirty.then_some(now_ms),
            // From the last tick on, not from now: a node that is asked something all the time must not wait for ever.
            Some(self.ticked_ms + if self.start.done() { TICK_MS } else { START_TICK_MS }),
        ];
        waiting.into_iter().flatten().min().unwrap_or(now_ms).max(now_ms)
    }
}
