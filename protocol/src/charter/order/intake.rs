//! What comes in: which messages are held, for how long, and what own ones say about the past.
//!
//! Owns the window of rounds and the restoring of round, step and lock. Takes no step of the algorithm.

use std::collections::BTreeSet;

use super::message::{Kind, Message, Refusal};
use super::votes::{Added, Proposal};
use super::{
    Decision, Lock, Order, Output, ROUNDS_AHEAD_MAX, ROUNDS_BEHIND_MAX, Step, TimeoutKind, Timer, Timers, Verdict,
};
use crate::ids::{MemberId, Sha256};

impl Order {
    fn check(&self, message: &Message) -> Result<(), Refusal> {
        if message.height != self.height {
            return Err(Refusal::Height);
        }
        if self.members.binary_search(&message.member).is_err() {
            return Err(Refusal::Member);
        }
        if !message.is_well_formed() {
            return Err(Refusal::Malformed);
        }
        if message.kind == Kind::Proposal && self.proposer(message.round) != Some(message.member) {
            return Err(Refusal::Proposer);
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, message: Message, out: &mut Vec<Output>) {
        if let Err(reason) = self.check(&message) {
            out.push(Output::Refused { message, reason });
            return;
        }
        if self.step == Step::Idle {
            self.start_round(0, out);
        }
        if self.me == Some(message.member) {
            self.remember(&message, out);
        } else {
            let highest = self.highest.entry(message.member).or_default();
            *highest = (*highest).max(message.round);
            // First, so that the message that moves this member on is within the window.
            self.skip(out);
        }
        self.store(message, out);
    }

    /// An own message, from before a restart or by a predecessor: it says where this member was and what it is locked on.
    fn remember(&mut self, message: &Message, out: &mut Vec<Output>) {
        self.guard.record(*message);
        if message.round > self.round {
            self.start_round(message.round, out);
        }
        // Also if it contradicts another own message: a lock too many costs a round, one too few could cost agreement.
        if let (Kind::Precommit, Some(value)) = (message.kind, message.value)
            && self.locked.is_none_or(|lock| lock.round < message.round)
            && !crate::seeded::bug("restart_unlocked")
        {
            self.lock(Lock { value, round: message.round }, out);
        }
        if message.round == self.round {
            self.step = self.step.max(match message.kind {
                Kind::Proposal => Step::Propose,
                Kind::Prevote => Step::Prevote,
                Kind::Precommit => Step::Precommit,
            });
        }
    }

    /// Holds a message if its round is kept and its member's slot has room.
    pub(super) fn store(&mut self, message: Message, out: &mut Vec<Output>) {
        if message.round > self.round.saturating_add(ROUNDS_AHEAD_MAX) {
            out.push(Output::Refused { message, reason: Refusal::Ahead });
            return;
        }
        if message.round < self.oldest() && !self.pinned().contains(&message.round) {
            out.push(Output::Refused { message, reason: Refusal::Behind });
            return;
        }
        match self.add(&message) {
            Added::Known => return,
            Added::Crowded => {
                out.push(Output::Refused { message, reason: Refusal::Crowded });
                return;
            }
            Added::Conflict(first) => out.push(Output::Evidence { first, second: message }),
            Added::New => {}
        }
        if let (Kind::Proposal, Some(value)) = (message.kind, message.value) {
            self.ask(value, message.round == self.round, out);
        }
    }

    fn add(&mut self, message: &Message) -> Added<Message> {
        let Message { round, kind, value, pol_round, member, .. } = *message;
        let support_min = self.support_min();
        let votes = self.rounds.entry(round).or_default();
        let added = match (kind, value) {
            (Kind::Proposal, None) => return Added::Known, // Not well-formed: refused before.
            (Kind::Proposal, Some(value)) => {
                let added = votes.propose(Proposal { value, pol_round }, support_min);
                return added.map(|first| self.proposal(round, first, member));
            }
            (Kind::Prevote, _) => votes.prevotes.add(member, value, support_min),
            (Kind::Precommit, _) => votes.precommits.add(member, value, support_min),
        };
        added.map(|first| self.vote(round, kind, first, member))
    }

    /// The first round whose messages are kept in any case.
    fn oldest(&self) -> u32 {
        self.round.saturating_sub(ROUNDS_BEHIND_MAX)
    }

    /// Old rounds that something still depends on: the own lock and valid value, the proof rounds of proposals that are to
    /// be prevoted on, and a quorum of precommits that waits for its verdict.
    fn pinned(&self) -> BTreeSet<u32> {
        let quorum = self.quorum();
        let mut pinned: BTreeSet<u32> = self.locked.iter().chain(&self.valid).map(|lock| lock.round).collect();
        pinned.extend(self.rounds.range(self.round..).filter_map(|(_, votes)| votes.leading()?.pol_round));
        let committed = self.rounds.iter().find(|(_, votes)| votes.precommits.quorum_value(quorum).is_some());
        pinned.extend(committed.map(|(round, _)| *round));
        pinned
    }

    /// Forgets what no rule can use any more.
    pub(super) fn prune(&mut self) {
        let (oldest, pinned, quorum) = (self.oldest(), self.pinned(), self.quorum());
        let keep = |round: u32| round >= oldest || pinned.contains(&round);
        self.rounds.retain(|round, _| keep(*round));
        self.guard.retain(keep);
        let mut used: BTreeSet<Sha256> = self.locked.iter().chain(&self.valid).map(|lock| lock.value).collect();
        for votes in self.rounds.values() {
            used.extend(votes.proposals().iter().map(|p| p.value));
            used.extend(votes.precommits.quorum_value(quorum));
        }
        self.verdicts.retain(|value, _| used.contains(value));
    }

    /// Takes a verdict that was asked for.
    pub(super) fn judge(&mut self, value: Sha256, valid: bool) {
        if !valid && self.eligible == Some(value) {
            self.eligible = None;
        }
        if let Some(verdict) = self.verdicts.get_mut(&value)
            && *verdict != Verdict::Valid
        {
            *verdict = if valid { Verdict::Valid } else { Verdict::Invalid };
        }
    }

    /// Ends the height with a certificate learnt elsewhere. It stands by itself: no verdict is asked for.
    pub(super) fn certified(&mut self, precommits: Vec<Message>, out: &mut Vec<Output>) {
        let Some(first) = precommits.first().copied() else { return };
        let fits = |m: &Message| {
            self.check(m).is_ok()
                && m.kind == Kind::Precommit
                && m.value.is_some()
                && (m.round, m.value) == (first.round, first.value)
        };
        let distinct: BTreeSet<MemberId> = precommits.iter().map(|m| m.member).collect();
        let complete = distinct.len() >= self.quorum() && distinct.len() == precommits.len();
        match first.value.filter(|_| complete && precommits.iter().all(fits)) {
            Some(value) => self.conclude(Decision { value, round: first.round, precommits }, out),
            None => out.push(Output::Refused { message: first, reason: Refusal::NoQuorum }),
        }
    }

    /// Notes that a timer of the current round went off.
    pub(super) fn expire(&mut self, kind: TimeoutKind, round: u32) {
        let timer = match kind {
            TimeoutKind::Propose => &mut self.timers.propose,
            TimeoutKind::Prevote => &mut self.timers.prevote,
            TimeoutKind::Precommit => &mut self.timers.precommit,
        };
        if round == self.round && *timer == Timer::Set {
            *timer = Timer::Expired;
        }
    }

    /// Timers, questions and sendings of before are gone with the process: they are repeated.
    pub(super) fn restart(&mut self, out: &mut Vec<Output>) {
        self.timers = Timers::default();
        for (value, verdict) in &mut self.verdicts {
            if *verdict != Verdict::Valid {
                *verdict = Verdict::Asked;
                out.push(Output::Check { value: *value });
            }
        }
        out.extend(self.guard.messages().filter(|m| m.round == self.round).map(|m| Output::Send(*m)));
    }
}
