//! One input, carried to the parts that it concerns, and what follows in the others.

use std::collections::BTreeMap;

use super::api::{Command, Effect, EventKind, Fault, Input, Problem, Reply};
use super::outreach::Outreach;
use super::peers::Peers;
use super::standing::Standing;
use super::{Cx, agree, join, logs, own, replicate, serve, start, sync};
use crate::documents::{Change, Kind};
use crate::envelope::Envelope;
use crate::ids::{PeerId, Sha256};
use crate::limits::{FRAME_MAX_BYTES, GOSSIP_MAX_BYTES};
use crate::record::{Local, Record, Ticket as TicketRow};
use crate::view::rows::{RowsError, Table};
use crate::view::state;
use crate::wire::sync::{Entries, Promise, Request, Response};
use crate::wire::ticket::Ticket;
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
    pub dirty: &'a mut bool,
}

/// `Ok`, the sender's fault, or a fault of this node.
type Taken<T> = Result<T, Result<Fault, RowsError>>;

/// Takes one of many parts of an answer: a part that is wrong does not keep the others out.
fn one_by_one(cx: &mut Cx<'_>, peer: PeerId, take: impl FnOnce(&mut Cx<'_>) -> Taken<()>) -> Taken<()> {
    match take(cx) {
        Err(Ok(fault)) => {
            cx.refuse(Some(peer), fault.reason, fault.text);
            Ok(())
        }
        other => other,
    }
}

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
            Input::Disconnected(peer) => self.peers.down(cx.now.mono_ms, &peer),
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
            Input::Fetched { tag, result } => self.replicate.fetched(cx, self.peers, tag, result),
            Input::Manifest { tag, files } => self.replicate.manifest(cx, self.peers, tag, files),
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
    fn recover(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        if self.start.tick(cx, self.peers)? {
            *self.dirty = true;
        }
        Ok(())
    }

    /// What follows from records that are part of the view now.
    fn follow(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        self.start.tick(cx, self.peers)?;
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
            start::cosign_all(cx)?;
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

    /// A log of which another branch is held than the one that counts is fetched anew.
    fn forked(&self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        for (log, row) in state::logs(cx.view)? {
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
            addresses.extend(join::info_of(cx, peer)?.map(|info| info.addresses).unwrap_or_default());
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
        let held = join::info_of(cx, &cx.own.node.peer())?;
        let same = held.is_some_and(|h| h.addresses == cx.own.addresses && h.software == cx.own.software);
        if !same && let Some(info) = join::own_info(cx)? {
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
                let entries = Entries { log, first, leaves, note, proof: None };
                let taken = logs::take(cx, !self.start.done(), entries)?;
                // A checkpoint whose leaves did not fit the message is news as well.
                let news = matches!(taken, logs::Taken::Grew(_) | logs::Taken::Gap);
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
                    Kind::Approval => agree::take_approval(cx, &envelope),
                    Kind::NodeInfo => Ok(join::take_info(cx, &bytes)),
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
                Ok(version > own)
            }
            Gossip::Fork(proof) => {
                let before = cx.records.len();
                logs::close(cx, proof)?;
                Ok(cx.records.len() > before)
            }
        }
    }

    fn holdings(&mut self, cx: &mut Cx<'_>, signed: SignedHoldings) -> Taken<bool> {
        let peer = signed.peer;
        let member = cx.charter.as_ref().is_some_and(|c| c.member_of(&peer).is_some());
        let older = self.peers.holdings.get(&peer).is_some_and(|held| held.time_ms >= signed.time_ms);
        if !member || older || peer == cx.own.node.peer() {
            return Ok(false);
        }
        if !signed.verify(cx.federation) {
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

    fn answer(&mut self, cx: &mut Cx<'_>, tag: u64, result: Result<Vec<u8>, String>) -> Result<(), RowsError> {
        let Some(asked) = self.peers.answered(tag) else { return Ok(()) };
        let peer = asked.peer;
        let decoded = match result {
            Ok(bytes) => wire::decode::<Response>(cx.federation, &bytes, FRAME_MAX_BYTES).map_err(|e| e.to_string()),
            Err(_) => {
                // The connection's fault, or the peer is busy: asked again at the next poll.
                *cx.counts.entry("no_answer".to_owned()).or_default() += 1;
                if asked.request == Request::Status {
                    self.outreach.unanswered(cx, peer)?;
                }
                return Ok(());
            }
        };
        match decoded {
            Err(text) => cx.refuse(Some(peer), "bad_answer", text),
            Ok(response) => match self.answered(cx, peer, asked.request, response) {
                Ok(()) => {}
                Err(Ok(fault)) => cx.refuse(Some(peer), fault.reason, fault.text),
                Err(Err(e)) => return Err(e),
            },
        }
        Ok(())
    }

    fn answered(&mut self, cx: &mut Cx<'_>, peer: PeerId, request: Request, response: Response) -> Taken<()> {
        let recovering = !self.start.done();
        match (request, response) {
            (_, Response::Refused(_)) => {}
            (Request::Status, Response::Status(status)) => {
                sync::status(cx, self.peers, self.standing, peer, status, recovering).map_err(Err)?;
            }
            (Request::Entries { log, .. }, Response::Entries(entries)) if entries.log == log => {
                let taken = logs::take(cx, recovering, entries)?;
                if let logs::Taken::Grew(size) = taken {
                    sync::go_on(cx, self.peers, peer, log, size, recovering).map_err(Err)?;
                }
                sync::after_take(cx, self.peers, peer, log, taken).map_err(Err)?;
            }
            (Request::Consistency { log, .. }, Response::Consistency(proof, note)) => {
                self.consistency(cx, peer, log, &proof, &note)?;
            }
            (Request::Charters { .. }, Response::Charters(bundles)) => {
                sync::charters(cx, bundles)?;
            }
            (Request::Approvals, Response::Documents(documents)) => {
                for bytes in documents {
                    let envelope =
                        Envelope::parse(&bytes).map_err(|e| Ok(Fault::new("bad_document", e.to_string())))?;
                    one_by_one(cx, peer, |cx| agree::take_approval(cx, &envelope).map(drop))?;
                }
            }
            (Request::Nodes, Response::Documents(documents)) => {
                for bytes in documents {
                    join::take_info(cx, &bytes);
                }
            }
            (Request::Ordering, Response::Ordering(bundles)) => {
                // Served newest round first; taken oldest first, as they were said.
                for bundle in bundles.into_iter().rev() {
                    one_by_one(cx, peer, |cx| self.agree.take(cx, bundle).map(drop))?;
                }
            }
            (Request::Notes { log }, Response::Notes(notes)) if notes.log == log => self.notes(cx, notes)?,
            (Request::Proofs, Response::Proofs(proofs)) => {
                for proof in proofs {
                    one_by_one(cx, peer, |cx| logs::close(cx, proof))?;
                }
            }
            (Request::Holdings, Response::Holdings(all)) => {
                for signed in all {
                    one_by_one(cx, peer, |cx| self.holdings(cx, signed).map(drop))?;
                }
            }
            (Request::Mine, Response::Mine(mine)) => {
                self.start.answer(cx, self.peers, self.agree, peer, mine)?;
                self.recover(cx).map_err(Err)?;
            }
            _ => return Err(Ok(Fault::new("bad_answer", "an answer to another question"))),
        }
        Ok(())
    }

    fn consistency(
        &self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        log: PeerId,
        path: &crate::log::ConsistencyProof,
        note: &[u8],
    ) -> Taken<()> {
        let origin = crate::log::Origin::new(cx.federation, log);
        let theirs =
            crate::log::open(note, origin, &|_| false).map_err(|e| Ok(Fault::new("bad_note", e.to_string())))?;
        match logs::prove_fork(cx, &theirs.signed, Some(path)).map_err(Err)? {
            Some(proof) => logs::close(cx, proof),
            None => {
                cx.refuse(
                    Some(peer),
                    "bad_entries",
                    "leaves that do not lead to a checkpoint which extends the own one",
                );
                Ok(())
            }
        }
    }

    fn notes(&mut self, cx: &mut Cx<'_>, notes: wire::sync::Notes) -> Taken<()> {
        let log = notes.log;
        for promise in notes.promises {
            if promise.log == log {
                logs::take_cosignature(cx, self.peers, promise)?;
            }
        }
        if !notes.witnessed.is_empty() {
            let origin = crate::log::Origin::new(cx.federation, log);
            let opened = crate::log::open(&notes.witnessed, origin, &|_| false)
                .map_err(|e| Ok(Fault::new("bad_note", e.to_string())))?;
            let size = opened.signed.checkpoint().size;
            let row = state::log(cx.view, &log).map_err(Err)?;
            let root = opened.signed.checkpoint().root;
            if row.is_some_and(|row| row.witnessed.is_none_or(|held| held < (size, root))) {
                cx.record(Record::Witnessed { log, note: notes.witnessed });
            }
        }
        if !notes.newest.is_empty() {
            let entries = Entries { log, first: 0, leaves: Vec::new(), note: notes.newest, proof: None };
            let taken = logs::take(cx, !self.start.done(), entries)?;
            if let logs::Taken::Diverged(theirs) = taken
                && let Some(proof) = logs::prove_fork(cx, &theirs, None).map_err(Err)?
            {
                logs::close(cx, proof)?;
            }
        }
        Ok(())
    }

    fn join_request(&mut self, cx: &mut Cx<'_>, id: u64, from: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
        let response = match wire::decode(cx.federation, bytes, FRAME_MAX_BYTES) {
            Err(e) => {
                cx.refuse(Some(from), "bad_join", e.to_string());
                wire::join::Response::Refused(wire::join::Refused::Invalid(e.to_string()))
            }
            Ok(request) => join::serve(cx, self.own_log, self.start.done(), from, request)?,
        };
        if let Ok(bytes) = wire::encode(cx.federation, response) {
            cx.effect(Effect::Respond { id, bytes });
        }
        Ok(())
    }

    fn command(&mut self, cx: &mut Cx<'_>, command: Command) -> Result<Reply, Result<Problem, RowsError>> {
        let signing = matches!(
            command,
            Command::Append(_) | Command::Admit { .. } | Command::Expel { .. } | Command::Invite { .. }
        );
        if signing && !self.start.done() {
            let others = cx.charter.as_ref().map_or(0, |c| c.charter.members.len().saturating_sub(1));
            let why = self.start.why(cx.now, cx.set.start_wait_ms, others);
            return Err(Ok(Problem::new("recovering", format!("{why}. Try again, or see `verbund status`"))));
        }
        match command {
            Command::Invite { handle, id, secret, valid_s } => self.invite(cx, handle, id, secret, valid_s),
            Command::Admit { handle, fingerprint } => {
                let (_, request) = join::meant(cx, &handle, fingerprint.as_deref())?;
                let (approvals, needed) = agree::approve(cx, join::admission(&request))?;
                let fingerprint = agree::member_fingerprint(&request.member);
                Ok(Reply::Approved { member: request.member, fingerprint, approvals, needed })
            }
            Command::Reject { handle, reason } => {
                let (id, _) = join::meant(cx, &handle, None)?;
                cx.record(Record::Local(Local::Rejected { request: id, reason }));
                Ok(Reply::Done)
            }
            Command::Expel { handle } => {
                let member = cx.charter.as_ref().and_then(|c| c.charter.by_handle(&handle)).map(|m| m.member);
                let member = member
                    .ok_or_else(|| Ok(Problem::new("not_found", format!("no member has the handle {handle}"))))?;
                let (approvals, needed) = agree::approve(cx, Change::Expel { member })?;
                Ok(Reply::Approved { member, fingerprint: agree::member_fingerprint(&member), approvals, needed })
            }
            Command::Append(leaf) => {
                let (index, id) = self.own_log.publish(cx, leaf)?;
                Ok(Reply::Appended { index, id })
            }
            Command::Peer(note) => {
                cx.record(Record::Local(Local::Peer(note)));
                Ok(Reply::Done)
            }
            Command::RemovePeer(peer) => {
                cx.record(Record::Local(Local::PeerRemoved(peer)));
                Ok(Reply::Done)
            }
            Command::Value { name, value } => {
                cx.record(Record::Local(Local::Value { name, value }));
                Ok(Reply::Done)
            }
            Command::Audit(audit) => {
                cx.record(Record::Audit(audit));
                Ok(Reply::Done)
            }
            Command::SyncNow => {
                for peer in self.peers.connected() {
                    if let Some(entry) = self.peers.table.get_mut(&peer) {
                        entry.next_poll_ms = cx.now.mono_ms;
                    }
                }
                sync::poll(cx, self.peers, false);
                Ok(Reply::Done)
            }
            Command::SignAnyway => {
                self.start.force();
                self.recover(cx).map_err(Err)?;
                Ok(Reply::Done)
            }
        }
    }

    fn invite(
        &self,
        cx: &mut Cx<'_>,
        handle: crate::ids::Handle,
        id: [u8; 16],
        secret: [u8; 32],
        valid_s: u64,
    ) -> Result<Reply, Result<Problem, RowsError>> {
        let problem = |code, text: String| Ok(Problem::new(code, text));
        if !cx.is_writer() {
            return Err(problem(
                "not_writer",
                "this node does not write its member's log; invite from the node that does".into(),
            ));
        }
        let Some(charter) = cx.charter.clone() else { return Err(problem("not_member", "in no charter yet".into())) };
        if charter.charter.by_handle(&handle).is_some() {
            return Err(problem("already_member", format!("{handle} is already a member")));
        }
        if cx.own.addresses.is_empty() {
            return Err(problem(
                "no_address",
                "this node has no address that others could dial; set announce in node.toml".into(),
            ));
        }
        let expires_s = cx.now.wall_s().saturating_add(valid_s);
        let ticket = Ticket {
            federation: cx.federation,
            name: charter.charter.rules.name.clone(),
            charter: charter.hash,
            peer: cx.own.node.peer(),
            addresses: cx.own.addresses.clone(),
            handle: handle.clone(),
            id: hex::encode(id),
            secret: hex::encode(secret),
            expires_s,
        };
        let row = TicketRow { id, secret_hash: Sha256::of(&secret), handle, expires_s, used_by: None };
        cx.record(Record::Local(Local::Ticket(row)));
        Ok(Reply::Ticket(ticket.to_line()))
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
            (!self.start.done()).then_some(now_ms + 500),
            Some(now_ms + 5_000),
        ];
        waiting.into_iter().flatten().min().unwrap_or(now_ms).max(now_ms)
    }
}
