//! The agreement on the next charter.
//!
//! Owns the driving of [`crate::charter::order`]: its messages are signed, stored and sent here, its questions answered. What may be
//! agreed on is said in [`super::approve`] and [`super::propose`].

use std::collections::{BTreeMap, BTreeSet};

use super::api::{EventKind, Fault};
use super::propose::{holds_stops, proposal, speakers};
use super::{Cx, approve, succession};
use crate::charter::certificate::{Certified, CharterBundle};
use crate::charter::chain::Chains;
use crate::charter::order::{Input as OrderInput, Message, Order, Output, TimeoutKind};
use crate::charter::rules::Charter;
use crate::documents::{Change, Document, Ordering, VoteKind};
use crate::envelope::Envelope;
use crate::ids::{MemberId, Sha256};
use crate::limits::PROPOSALS_MAX;
use crate::record::{OrderingBundle, Record};
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, key};
use crate::wire::Gossip;

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
    /// By what this node shows that it speaks for its member at this height, if it does.
    shown: Option<succession::Chain>,
    /// Votes by one of two writers of a member that contradict each other: a certificate can carry the other one only.
    barred: BTreeSet<Message>,
    /// The height is begun again, without what was barred.
    again: bool,
}

/// A charter version was certified.
pub fn adopted(cx: &mut Cx<'_>, charter: &Certified) {
    let (version, hash) = (charter.charter.version, charter.hash);
    cx.event(EventKind::CharterAdopted { version, members: charter.charter.members.len() });
    cx.gossip(Gossip::Charter { version, hash });
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
            self.barred.clear();
            self.begin(cx, &charter, height)?;
        } else if std::mem::take(&mut self.again) {
            self.begin(cx, &charter, height)?;
        }
        if may_sign && self.shown.is_some() && !self.may_sign {
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
        let shown = succession::speaks(cx, charter)?;
        let me = Some(cx.own.member).filter(|m| voting.contains(m) && shown.is_some());
        let order = Order::new(height, voting, me).map_err(|e| RowsError(e.to_string()))?;
        *self = Self { order: Some(order), shown, barred: std::mem::take(&mut self.barred), ..Self::default() };
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
        for (change, approvals) in approve::eligible_changes(cx)? {
            let Some(bundle) = proposal(cx, charter, &change, approvals)? else { continue };
            let value = bundle.hash();
            let checked = self.payload(&value).is_some() || charter.proposal(&bundle).is_ok();
            // Nor is anything proposed that this member would not vote for: after a rollback it may have cosigned more than it holds.
            if checked && holds_stops(cx, &bundle)? {
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
        self.payload(value).map_or(Ok(false), |bundle| holds_stops(cx, bundle))
    }

    /// Members whose expulsion is eligible here, or was proposed by somebody with the approvals that make it so.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn expelled(&self, cx: &Cx<'_>) -> Result<BTreeSet<MemberId>, RowsError> {
        let proposed = self.proposals.values().filter_map(|bundle| Charter::parse(&bundle.payload).ok()?.change);
        let eligible = approve::eligible_changes(cx)?.into_iter().map(|(change, _)| change);
        let expelled = |change| match change {
            Change::Expel { member } => Some(member),
            Change::Admit { .. } | Change::Amend { .. } => None,
        };
        Ok(eligible.chain(proposed).filter_map(expelled).collect())
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
        let message = self.remember(cx, &charter, bundle).map_err(Ok)?;
        let Some(bundle) = self.signed.get(&message).cloned() else { return Ok(false) };
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
        let (identities, writers) = speakers(charter, &vote, &bundle)
            .filter(|_| envelope.signed_by(&vote.writer.key()))
            .ok_or_else(|| fault("not signed by the writer of its member, or one that follows it"))?;
        let message = plain(&vote);
        if self.barred.contains(&message) {
            return Err(fault("by a writer that contradicts another one of its member"));
        }
        if vote.kind == VoteKind::Proposal
            && let Some(value) = vote.value
            && !self.proposals.contains_key(&value)
        {
            self.propose(charter, value, &bundle)?;
        }
        // Nothing is kept or passed on but what was checked: what comes beside a message is not signed with it.
        let mut kept = self.bundle(&message, bundle.message);
        kept.identities
            .extend(identities.into_iter().filter(|bytes| !kept.identities.contains(bytes)).collect::<Vec<_>>());
        kept.writers.extend(writers.into_iter().filter(|bytes| !kept.writers.contains(bytes)).collect::<Vec<_>>());
        self.signed.insert(message, kept);
        Ok(message)
    }

    /// Takes the charter that a proposal carries. One that nobody may vote for is not taken: others would have to be shown it.
    fn propose(&mut self, charter: &Certified, value: Sha256, bundle: &OrderingBundle) -> Result<(), Fault> {
        let fault = |text: String| Fault::new("bad_ordering", text);
        let own = self.candidate.as_ref().filter(|(hash, _)| *hash == value).map(|(_, bundle)| bundle.clone());
        let proposal = match own {
            Some(own) => own,
            None => {
                let payload = bundle.payload.clone().ok_or_else(|| fault("a proposal without its payload".into()))?;
                if Sha256::of(&payload) != value {
                    return Err(fault("the payload is not that of the value".into()));
                }
                let (identities, writers) = (bundle.identities.clone(), bundle.writers.clone());
                let (approvals, precommits) = (bundle.approvals.clone(), Vec::new());
                if approvals.len() > charter.charter.voting().len() {
                    return Err(fault("a proposal with more approvals than members that vote".into()));
                }
                let proposal = CharterBundle { payload, identities, writers, approvals, precommits };
                charter.proposal(&proposal).map_err(|e| fault(format!("a proposal that cannot be voted for: {e}")))?;
                proposal
            }
        };
        self.keep(value, proposal);
        if self.proposals.contains_key(&value) { Ok(()) } else { Err(fault("too many proposals".into())) }
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
                let (identities, writers) = self.shown.clone().unwrap_or_default();
                bundle
                    .identities
                    .extend(identities.into_iter().filter(|b| !bundle.identities.contains(b)).collect::<Vec<_>>());
                bundle.writers.extend(writers.into_iter().filter(|b| !bundle.writers.contains(b)).collect::<Vec<_>>());
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
        let mut chains = Chains::new(Some(&charter));
        chains.extend(&bundle.identities, &bundle.writers);
        let mut apart = Vec::new();
        for (message, signed) in precommits.iter().filter_map(|m| Some((m, self.signed.get(m)?))) {
            let (identities, writers) = chains.extend(&signed.identities, &signed.writers);
            bundle.identities.extend(identities);
            bundle.writers.extend(writers);
            let vote = Envelope::parse(&signed.message).ok().and_then(|e| Ordering::open(&e).ok());
            if vote.is_some_and(|vote| chains.writes_for(&vote.member, vote.writer)) {
                bundle.precommits.push(signed.message.clone());
            } else {
                apart.push(*message);
            }
        }
        match charter.next(&bundle) {
            Ok(next) => {
                cx.record(Record::Charter(bundle));
                adopted(cx, &next);
            }
            // Decided by votes that no certificate can hold together. Without them others may decide.
            Err(_) if !apart.is_empty() => {
                self.barred.extend(apart);
                self.again = true;
            }
            // What cannot be certified here is fetched from those who can.
            Err(_) => {}
        }
    }
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
