//! Charter changes: approvals, what they make eligible, and the agreement on the next version.
//!
//! Owns the driving of [`crate::charter::order`]: its messages are signed, stored and sent here, its questions answered.

use std::collections::{BTreeMap, BTreeSet};

use super::Cx;
use super::api::{EventKind, Fault, Problem};
use crate::charter::certificate::{Certified, CharterBundle, VerifiedWriter};
use crate::charter::order::{Input as OrderInput, Message, Order, Output, TimeoutKind};
use crate::charter::rules::Charter;
use crate::documents::{Approval, Change, Document, LogEnd, Ordering, Standing, VoteKind, Writer};
use crate::envelope::Envelope;
use crate::identity::{Identity, fingerprint};
use crate::ids::{MemberId, PeerId, Sha256};
use crate::record::{OrderingBundle, Record};
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, CosignedRow, key};
use crate::wire::Gossip;

/// Payloads of proposals kept at a height: what the machine keeps per round, over a few rounds.
const PROPOSALS_MAX: usize = 64;
/// Approvals of one member kept for one base version, so that no member can keep those of others out.
const APPROVALS_PER_MEMBER_MAX: usize = 32;
/// Approvals kept for one base version.
const APPROVALS_MAX: usize = crate::limits::MEMBERS_MAX * APPROVALS_PER_MEMBER_MAX;
/// After a new message others are polled faster for this long, in milliseconds: gossip may be lost, and rounds are short.
const HURRY_MS: u64 = 120_000;

/// The agreement at the height after the newest charter.
#[derive(Debug, Default)]
pub struct Agree {
    order: Option<Order>,
    /// What this member would propose now.
    candidate: Option<(Sha256, CharterBundle)>,
    /// Charters that somebody proposed, by payload hash, without precommits. Each was checked by itself.
    proposals: BTreeMap<Sha256, CharterBundle>,
    /// When something new was last said at this height.
    news_ms: Option<u64>,
    /// Signed messages as they came.
    signed: BTreeMap<Message, OrderingBundle>,
    timers: Vec<(u64, TimeoutKind, u32)>,
    may_sign: bool,
}

/// A charter version was certified.
pub fn adopted(cx: &mut Cx<'_>, charter: &Certified) {
    let (version, hash) = (charter.charter.version, charter.hash);
    cx.event(EventKind::CharterAdopted { version, members: charter.charter.members.len() });
    cx.gossip(Gossip::Charter { version, hash });
}

/// A change with its approvals, as envelope bytes.
pub type Eligible = (Change, Vec<Vec<u8>>);

/// Changes of the newest charter that enough members approved, with the approvals. Ascending by change.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn eligible_changes(cx: &Cx<'_>) -> Result<Vec<Eligible>, RowsError> {
    let Some(charter) = &cx.charter else { return Ok(Vec::new()) };
    let needed = charter.charter.quorum();
    Ok(approved(cx, charter)?
        .into_iter()
        .filter(|(_, by)| by.len() >= needed)
        .map(|(change, by)| (change, by.into_values().collect()))
        .collect())
}

/// Valid approvals of each change, by member. They were checked when they were recorded.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn approved(cx: &Cx<'_>, charter: &Certified) -> Result<BTreeMap<Change, BTreeMap<MemberId, Vec<u8>>>, RowsError> {
    approved_rows(cx.view, charter)
}

/// As [`approved`], from the view alone.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn approved_rows(
    view: &dyn super::View,
    charter: &Certified,
) -> Result<BTreeMap<Change, BTreeMap<MemberId, Vec<u8>>>, RowsError> {
    let mut changes: BTreeMap<Change, BTreeMap<MemberId, Vec<u8>>> = BTreeMap::new();
    let rows = view.scan(Table::Documents, &key::approvals(charter.charter.version), &[], APPROVALS_MAX)?;
    for (_, bytes) in rows {
        if let Ok(approval) = Envelope::parse(&bytes).map_err(|_| ()).and_then(|e| Approval::open(&e).map_err(|_| ())) {
            changes.entry(approval.change).or_default().insert(approval.member, bytes);
        }
    }
    Ok(changes)
}

/// Takes an approval in. Says whether it was new.
///
/// # Errors
/// `Err(Ok(fault))` names what is wrong with it, `Err(Err(…))` a fault of this node.
pub fn take_approval(cx: &mut Cx<'_>, envelope: &Envelope) -> Result<bool, Result<Fault, RowsError>> {
    let fault = |text: String| Ok(Fault::new("bad_approval", text));
    let approval = Approval::open(envelope).map_err(|e| fault(e.to_string()))?;
    let Some(charter) = cx.charter.clone() else { return Ok(false) };
    if approval.federation != cx.federation {
        return Err(Ok(Fault::new("other_federation", "an approval of another federation")));
    }
    if approval.base_version != charter.charter.version {
        return Ok(false);
    }
    let votes = charter.charter.member(&approval.member).is_some_and(|m| m.standing == Standing::Full);
    let signed = charter.identities.get(&approval.member).is_some_and(|i| i.identity.roles.approver.signed(envelope));
    if !votes || !signed {
        return Err(fault("not signed by the approver threshold of a voting member".into()));
    }
    let row = key::approval(approval.base_version, &envelope.id());
    if cx.view.get(Table::Documents, &row).map_err(Err)?.is_some() {
        return Ok(false);
    }
    let held =
        cx.view.scan(Table::Documents, &key::approvals(approval.base_version), &[], APPROVALS_MAX).map_err(Err)?;
    if held.len() >= APPROVALS_PER_MEMBER_MAX {
        let by = |bytes: &[u8]| Envelope::parse(bytes).ok().and_then(|e| Approval::open(&e).ok()).map(|a| a.member);
        let own = held.iter().filter(|(_, bytes)| by(bytes) == Some(approval.member)).count();
        if own >= APPROVALS_PER_MEMBER_MAX {
            return Err(Ok(Fault::new("too_many_approvals", "more approvals of one member than are kept")));
        }
    }
    cx.record(Record::Document(envelope.bytes().to_vec()));
    Ok(true)
}

/// Approves a change with the approver keys that lie here.
///
/// # Errors
/// `Err(Ok(problem))` if it cannot be approved, `Err(Err(…))` a fault of this node.
pub fn approve(cx: &mut Cx<'_>, change: Change) -> Result<(usize, usize), Result<Problem, RowsError>> {
    let problem = |code, text: &str| Ok(Problem::new(code, text));
    let charter = cx.charter.clone().ok_or_else(|| problem("not_member", "this node is in no charter yet"))?;
    if charter.charter.member(&cx.own.member).is_none_or(|m| m.standing != Standing::Full) {
        return Err(problem("not_voting", "this member has no vote in the federation"));
    }
    if let Err(e) = charter.charter.next(charter.hash, &change, &[]) {
        return Err(problem("bad_change", &e.to_string()));
    }
    let identity = charter.identities.get(&cx.own.member);
    let approval = Approval {
        federation: cx.federation,
        member: cx.own.member,
        base_version: charter.charter.version,
        change: change.clone(),
    };
    let keys: Vec<_> = cx.own.approvers.iter().collect();
    let envelope = approval.seal(&keys).map_err(|e| problem("bad_change", &e.to_string()))?;
    if identity.is_none_or(|i| !i.identity.roles.approver.signed(&envelope)) {
        return Err(problem(
            "no_approver_key",
            "the approver keys on this node do not reach the threshold; sign on the machine that has them",
        ));
    }
    let mut by = approved(cx, &charter).map_err(Err)?.remove(&change).unwrap_or_default();
    by.insert(cx.own.member, Vec::new());
    cx.record(Record::Document(envelope.bytes().to_vec()));
    cx.gossip(Gossip::Document(envelope.into_bytes()));
    Ok((by.len(), charter.charter.quorum()))
}

impl Agree {
    /// The machine, for display.
    pub const fn order(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    /// The next timer.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.timers.iter().map(|(due, _, _)| *due).min()
    }

    /// Whether members are agreeing just now.
    pub fn hurries(&self, now_ms: u64) -> bool {
        self.news_ms.is_some_and(|at| now_ms.saturating_sub(at) < HURRY_MS)
    }

    /// Signed messages of the height, newest round first, as many as fit into `max_bytes`.
    pub fn bundles(&self, max_bytes: usize) -> Vec<OrderingBundle> {
        let Some(order) = &self.order else { return Vec::new() };
        let mut messages = order.messages();
        messages.sort_by_key(|m| (std::cmp::Reverse(m.round), m.kind, m.member));
        let mut bytes = 0;
        let fits = |bundle: &&OrderingBundle| {
            let parts = [&bundle.approvals, &bundle.identities, &bundle.writers];
            bytes += bundle.message.len() + bundle.payload.as_ref().map_or(0, Vec::len) + 64;
            bytes += parts.into_iter().flatten().map(|part| part.len() + 8).sum::<usize>();
            bytes <= max_bytes
        };
        messages.iter().filter_map(|m| self.signed.get(m)).take_while(fits).cloned().collect()
    }

    /// Follows the charter and the approvals: a new height, a new candidate, new verdicts.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn refresh(&mut self, cx: &mut Cx<'_>, may_sign: bool) -> Result<(), RowsError> {
        let Some(charter) = cx.charter.clone() else { return Ok(()) };
        let height = charter.charter.version + 1;
        if self.order.as_ref().is_none_or(|o| o.height() != height) {
            self.begin(cx, &charter, height)?;
        }
        let writes = cx.is_writer() || successor(cx, &charter).is_some();
        if may_sign && writes && !self.may_sign {
            self.may_sign = true;
            self.feed(cx, OrderInput::MaySign(true));
        }
        let candidate = self.candidate(cx, &charter)?;
        let value = candidate.as_ref().map(|(value, _)| *value);
        if value.is_some() && value != self.candidate.as_ref().map(|(value, _)| *value) {
            self.news_ms = Some(cx.now.mono_ms);
        }
        self.candidate = candidate;
        self.feed(cx, OrderInput::Eligible { value });
        // What was not valid for want of an approval or an entry may be now.
        for value in self.proposals.keys().copied().collect::<Vec<_>>() {
            let valid = self.is_valid(cx, &value)?;
            if valid {
                self.feed(cx, OrderInput::Valid { value, valid });
            }
        }
        Ok(())
    }

    fn begin(&mut self, cx: &mut Cx<'_>, charter: &Certified, height: u64) -> Result<(), RowsError> {
        let voting = charter.charter.voting();
        let writes = cx.is_writer() || successor(cx, charter).is_some();
        let me = Some(cx.own.member).filter(|m| voting.contains(m) && writes);
        let order = Order::new(height, voting, me).map_err(|e| RowsError(e.to_string()))?;
        *self = Self { order: Some(order), ..Self::default() };
        let stored: Vec<OrderingBundle> = state::list(cx.view, Table::Promises, &key::ordering_at(height), usize::MAX)?;
        for bundle in stored {
            if let Ok(message) = self.remember(cx, charter, bundle) {
                self.feed(cx, OrderInput::Received(message));
            }
        }
        self.feed(cx, OrderInput::Restart);
        Ok(())
    }

    /// The first eligible change, as a proposal. One that was checked before is not checked again.
    fn candidate(&self, cx: &Cx<'_>, charter: &Certified) -> Result<Option<(Sha256, CharterBundle)>, RowsError> {
        for (change, approvals) in eligible_changes(cx)? {
            let Some(bundle) = proposal(cx, charter, &change, approvals)? else { continue };
            let value = bundle.hash();
            if self.payload(&value).is_some() || charter.proposal(&bundle).is_ok() {
                return Ok(Some((value, bundle)));
            }
        }
        Ok(None)
    }

    /// The proposed charter with this hash.
    fn payload(&self, value: &Sha256) -> Option<&CharterBundle> {
        let own = self.candidate.as_ref().filter(|(hash, _)| hash == value).map(|(_, bundle)| bundle);
        own.or_else(|| self.proposals.get(value))
    }

    /// Whether this member may vote for a proposal. What it says by itself was checked when it came.
    fn is_valid(&self, cx: &Cx<'_>, value: &Sha256) -> Result<bool, RowsError> {
        let Some(bundle) = self.payload(value) else { return Ok(false) };
        let Ok(next) = Charter::parse(&bundle.payload) else { return Ok(false) };
        for stop in &next.stops {
            // SPEC: prevote an expulsion only when all below the stop is held, and it cuts off nothing that was cosigned here.
            let row = state::log(cx.view, &stop.log)?;
            let held = match &row {
                Some(row) if stop.size > 0 => crate::view::judge::root_matches(row, cx.view, stop.size, stop.root)?,
                _ => stop.size == 0 && stop.root == crate::log::tree::empty_root(),
            };
            let cosigned: Option<CosignedRow> =
                state::get(cx.view, Table::Promises, &key::cosigned(&stop.log, &cx.own.node.peer()))?;
            if !held || cosigned.is_some_and(|c| c.size > stop.size) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes an ordering message in. Says whether it was new.
    ///
    /// # Errors
    /// `Err(Ok(fault))` names what is wrong with it, `Err(Err(…))` a fault of this node.
    pub fn take(&mut self, cx: &mut Cx<'_>, bundle: OrderingBundle) -> Result<bool, Result<Fault, RowsError>> {
        let Some(charter) = cx.charter.clone() else { return Ok(false) };
        if self.order.is_none() {
            self.refresh(cx, false).map_err(Err)?;
        }
        let fault = |text: String| Ok(Fault::new("bad_ordering", text));
        let envelope = Envelope::parse(&bundle.message).map_err(|e| fault(e.to_string()))?;
        let vote = Ordering::open(&envelope).map_err(|e| fault(e.to_string()))?;
        if vote.federation != Some(cx.federation) {
            return Err(Ok(Fault::new("other_federation", "an ordering message of another federation")));
        }
        if vote.height != charter.charter.version + 1 {
            return Ok(false);
        }
        if self.signed.contains_key(&plain(&vote)) {
            return Ok(false);
        }
        let message = self.remember(cx, &charter, bundle.clone()).map_err(Ok)?;
        // It stands before what follows from it, also in the journal.
        let place = cx.records.len();
        cx.record(Record::Ordering(bundle));
        if self.feed(cx, OrderInput::Received(message)).contains(&message) {
            // Not taken, so not kept: a member must not be able to fill the journal with votes for rounds far away.
            cx.records.remove(place);
            self.signed.remove(&message);
            return Ok(false);
        }
        self.news_ms = Some(cx.now.mono_ms);
        Ok(true)
    }

    /// Checks a message and keeps it with what came with it.
    fn remember(&mut self, cx: &Cx<'_>, charter: &Certified, bundle: OrderingBundle) -> Result<Message, Fault> {
        let fault = |text: &str| Fault::new("bad_ordering", text);
        let envelope = Envelope::parse(&bundle.message).map_err(|e| fault(&e.to_string()))?;
        let vote = Ordering::open(&envelope).map_err(|e| fault(&e.to_string()))?;
        if vote.federation != Some(cx.federation) || vote.prev != Some(charter.hash) {
            return Err(fault("it follows another charter"));
        }
        let pinned = charter.writer_of(&vote.member) == Some(vote.writer);
        let follows = || bundle.writers.iter().any(|bytes| follows(charter, bytes) == Some((vote.member, vote.writer)));
        if !(pinned || follows()) || !envelope.signed_by(&vote.writer.key()) {
            return Err(fault("not signed by the writer of its member, or one that follows it"));
        }
        if vote.kind == VoteKind::Proposal
            && let Some(value) = vote.value
            && self.payload(&value).is_none()
        {
            let Some(payload) = &bundle.payload else { return Err(fault("a proposal without its payload")) };
            if Sha256::of(payload) != value {
                return Err(fault("the payload is not that of the value"));
            }
            let proposal = CharterBundle {
                payload: payload.clone(),
                identities: bundle.identities.clone(),
                writers: bundle.writers.clone(),
                approvals: bundle.approvals.clone(),
                precommits: Vec::new(),
            };
            // A bad proposal is simply not voted for; only a good one replaces what is held.
            if charter.proposal(&proposal).is_ok() {
                self.keep(value, proposal);
            }
        }
        let message = plain(&vote);
        self.signed.insert(message, bundle);
        Ok(message)
    }

    /// Keeps a proposal; those that no message speaks of any more make room.
    fn keep(&mut self, value: Sha256, proposal: CharterBundle) {
        if self.proposals.len() >= PROPOSALS_MAX
            && let Some(order) = &self.order
        {
            let used: BTreeSet<Sha256> = order.messages().iter().filter_map(|m| m.value).collect();
            self.proposals.retain(|value, _| used.contains(value));
        }
        if self.proposals.len() < PROPOSALS_MAX {
            self.proposals.insert(value, proposal);
        }
    }

    /// Lets due timers go off.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono_ms;
        let (due, later) = self.timers.drain(..).partition(|(at, _, _)| *at <= now);
        self.timers = later;
        let due: Vec<(u64, TimeoutKind, u32)> = due;
        for (_, kind, round) in due {
            self.feed(cx, OrderInput::Timeout { kind, round });
        }
    }

    /// Gives the machine an input and does what it says. Returns the messages that it did not take.
    fn feed(&mut self, cx: &mut Cx<'_>, input: OrderInput) -> Vec<Message> {
        let mut inputs = vec![input];
        let mut refused = Vec::new();
        while let Some(input) = inputs.pop() {
            let Some(order) = &mut self.order else { break };
            for output in order.handle(input) {
                match output {
                    Output::Send(message) => self.send(cx, message),
                    Output::Timer { kind, round, delay_ms } => {
                        self.timers.push((cx.now.mono_ms + delay_ms, kind, round));
                    }
                    Output::Check { value } => {
                        if self.is_valid(cx, &value).unwrap_or(false) {
                            inputs.push(OrderInput::Valid { value, valid: true });
                        }
                    }
                    Output::Decide { value, precommits, .. } => self.decide(cx, value, &precommits),
                    Output::Evidence { first, second } => {
                        let text = format!("{first:?} and {second:?}");
                        cx.event(EventKind::Equivocated { member: first.member, text });
                    }
                    Output::Refused { message, .. } => refused.push(message),
                    Output::Entered { .. } | Output::Locked { .. } => {}
                }
            }
        }
        refused
    }

    /// Signs an own message, keeps it, and sends it with what its receivers need.
    fn send(&mut self, cx: &mut Cx<'_>, message: Message) {
        let Some(charter) = cx.charter.clone() else { return };
        if message.kind == VoteKind::Proposal
            && let Some((value, bundle)) = &self.candidate
            && message.value == Some(*value)
        {
            // The candidate may change; what was proposed stays.
            let (value, bundle) = (*value, bundle.clone());
            self.keep(value, bundle);
        }
        self.news_ms = Some(cx.now.mono_ms);
        let bundle = match self.signed.get(&message) {
            Some(bundle) => bundle.clone(),
            None => {
                let vote = Ordering {
                    federation: Some(cx.federation),
                    prev: Some(charter.hash),
                    height: message.height,
                    round: message.round,
                    kind: message.kind,
                    value: message.value,
                    pol_round: message.pol_round,
                    member: message.member,
                    writer: cx.own.node.peer(),
                };
                let Ok(envelope) = vote.seal(&[&cx.own.node]) else { return };
                let mut bundle = self.bundle(&message, envelope.into_bytes());
                // Others know of a node that follows the pinned one by what it shows them.
                bundle.writers.extend(successor(cx, &charter).filter(|bytes| !bundle.writers.contains(bytes)));
                cx.record(Record::Ordering(bundle.clone()));
                self.signed.insert(message, bundle.clone());
                bundle
            }
        };
        let mut bundles = vec![bundle];
        if let Some(order) = &self.order {
            bundles.extend(order.evidence_for(&message).iter().filter_map(|m| self.signed.get(m).cloned()));
        }
        let whole = crate::wire::encode(cx.federation, Gossip::Ordering(bundles.clone()));
        if whole.is_ok_and(|bytes| bytes.len() <= crate::limits::GOSSIP_MAX_BYTES) {
            cx.gossip(Gossip::Ordering(bundles));
        } else {
            // Piece by piece; what is too long by itself is polled for.
            bundles.into_iter().rev().for_each(|bundle| cx.gossip(Gossip::Ordering(vec![bundle])));
        }
    }

    fn bundle(&self, message: &Message, bytes: Vec<u8>) -> OrderingBundle {
        let mut bundle = OrderingBundle { message: bytes, ..OrderingBundle::default() };
        if message.kind == VoteKind::Proposal
            && let Some(proposal) = message.value.and_then(|value| self.payload(&value))
        {
            bundle.payload = Some(proposal.payload.clone());
            bundle.approvals = proposal.approvals.clone();
            bundle.identities = proposal.identities.clone();
            bundle.writers = proposal.writers.clone();
        }
        bundle
    }

    fn decide(&mut self, cx: &mut Cx<'_>, value: Sha256, precommits: &[Message]) {
        let Some(charter) = cx.charter.clone() else { return };
        // Only what is valid here is decided here, and only what is at hand is valid; a charter that others have decided on
        // without this node is fetched from them as soon as they name its version.
        let Some(mut bundle) = self.payload(&value).cloned() else { return };
        for signed in precommits.iter().filter_map(|m| self.signed.get(m)) {
            bundle.precommits.push(signed.message.clone());
            let more = signed.writers.iter().filter(|bytes| follows(&charter, bytes).is_some());
            let more: Vec<_> = more.filter(|bytes| !bundle.writers.contains(bytes)).cloned().collect();
            bundle.writers.extend(more);
        }
        // What cannot be certified here is fetched from those who can.
        if let Ok(next) = charter.next(&bundle) {
            cx.record(Record::Charter(bundle));
            adopted(cx, &next);
        }
    }
}

/// Whose writer this is, and which node it names, if it follows the one that the charter pins.
fn follows(charter: &Certified, writer: &[u8]) -> Option<(MemberId, PeerId)> {
    let envelope = Envelope::parse(writer).ok()?;
    let member = Writer::open(&envelope).ok()?.member;
    let (identity, pinned) = (charter.identities.get(&member)?, charter.writers.get(&member)?);
    let next = VerifiedWriter::check(&envelope, Some(charter.federation), identity, Some(pinned)).ok()?;
    Some((member, next.writer.peer))
}

/// The writer by which this node takes over from the pinned one, before a charter says so: it votes on that charter.
fn successor(cx: &Cx<'_>, charter: &Certified) -> Option<Vec<u8>> {
    let own = (cx.own.member, cx.own.node.peer());
    let bytes = &cx.own.writer;
    (!bytes.is_empty() && follows(charter, bytes) == Some(own)).then(|| bytes.clone())
}

fn plain(vote: &Ordering) -> Message {
    Message {
        height: vote.height,
        round: vote.round,
        kind: vote.kind,
        value: vote.value,
        pol_round: vote.pol_round,
        member: vote.member,
    }
}

/// The next charter by `change`, with all but the precommits; `None` while a document that it rests on is not known here.
fn proposal(
    cx: &Cx<'_>,
    charter: &Certified,
    change: &Change,
    approvals: Vec<Vec<u8>>,
) -> Result<Option<CharterBundle>, RowsError> {
    let mut bundle = CharterBundle { approvals, ..CharterBundle::default() };
    let mut stops = Vec::new();
    match change {
        Change::Admit { identity, writer, .. } => {
            let Some(identities) = identity_chain(cx, identity, None)? else { return Ok(None) };
            let Some(writers) = writer_chain(cx, writer, None)? else { return Ok(None) };
            (bundle.identities, bundle.writers) = (identities, writers);
        }
        Change::Expel { member } => {
            let Some(log) = charter.writer_of(member) else { return Ok(None) };
            let row = state::log(cx.view, &log)?;
            let (size, root) = row.map_or((0, crate::log::tree::empty_root()), |r| (r.size(), r.frontier.root()));
            stops.push(LogEnd { log, size, root });
        }
        Change::Amend { member: Some(member), identity, writer, .. } => {
            let pinned = (charter.identities.get(member).map(|i| i.hash), charter.writers.get(member).map(|w| w.hash));
            if let Some(identity) = identity {
                let Some(chain) = identity_chain(cx, identity, pinned.0)? else { return Ok(None) };
                bundle.identities = chain;
            }
            if let Some(writer) = writer {
                let Some(chain) = writer_chain(cx, writer, pinned.1)? else { return Ok(None) };
                bundle.writers = chain;
            }
        }
        Change::Amend { member: None, .. } => {}
    }
    let next = charter.charter.next(charter.hash, change, &stops).and_then(|next| next.payload());
    Ok(next.ok().map(|payload| CharterBundle { payload, ..bundle }))
}

/// The identity with this hash and all before it down to the one after `pinned`, oldest first; `None` if one is not known.
fn identity_chain(cx: &Cx<'_>, hash: &Sha256, pinned: Option<Sha256>) -> Result<Option<Vec<Vec<u8>>>, RowsError> {
    let prev = |envelope: &Envelope| Identity::parse(envelope).ok().map(|identity| identity.prev);
    chain(cx, *hash, pinned, key::identity, prev)
}

/// As [`identity_chain`], of writers.
fn writer_chain(cx: &Cx<'_>, hash: &Sha256, pinned: Option<Sha256>) -> Result<Option<Vec<Vec<u8>>>, RowsError> {
    let prev = |envelope: &Envelope| Writer::open(envelope).ok().map(|writer| writer.prev);
    chain(cx, *hash, pinned, key::writer, prev)
}

fn chain(
    cx: &Cx<'_>,
    hash: Sha256,
    pinned: Option<Sha256>,
    row: fn(&Sha256) -> Vec<u8>,
    prev: impl Fn(&Envelope) -> Option<Option<Sha256>>,
) -> Result<Option<Vec<Vec<u8>>>, RowsError> {
    let mut chain = Vec::new();
    let mut next = Some(hash).filter(|hash| Some(*hash) != pinned);
    while let Some(hash) = next {
        let Some(bytes) = cx.view.get(Table::Documents, &row(&hash))? else { return Ok(None) };
        let Some(before) = Envelope::parse(&bytes).ok().and_then(|envelope| prev(&envelope)) else { return Ok(None) };
        next = before.filter(|hash| Some(*hash) != pinned);
        chain.push(bytes);
        if chain.len() > crate::limits::IDENTITY_CHAIN_MAX {
            return Ok(None);
        }
    }
    chain.reverse();
    Ok(Some(chain))
}

/// The fingerprint of a member, as it is read out over the phone.
pub fn member_fingerprint(member: &MemberId) -> String {
    fingerprint(member.as_bytes())
}
