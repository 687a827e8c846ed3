//! The rules of algorithm 1, each with its lines in the paper (arXiv 1807.04938).
//!
//! Owns every step of the algorithm and every own message. After each input the rules run until none applies.

use super::message::{Kind, Message};
use super::votes::Proposal;
use super::{Decision, Lock, Order, Output, Step, TimeoutKind, Timer, Timers, Verdict, delay_ms};
use crate::ids::Sha256;

impl Order {
    /// Runs the rules until none applies, then sets the timers that are due. It ends: each rule that applies moves the round
    /// or the step forward, raises the valid value, or decides.
    pub(super) fn advance(&mut self, out: &mut Vec<Output>) {
        while self.step != Step::Decided
            && (self.decide(out)
                || self.skip(out)
                || self.propose(out)
                || self.prevote(out)
                || self.precommit_value(out)
                || self.precommit_nil(out)
                || self.time_out(out))
        {}
        self.set_timers(out);
    }

    /// Lines 11-13: `StartRound(round)`. Proposing (14-19) is a rule of its own, since an eligible value may come later.
    pub(super) fn start_round(&mut self, round: u32, out: &mut Vec<Output>) {
        self.round = round;
        self.step = Step::Propose;
        self.timers = Timers::default();
        self.prune();
        out.push(Output::Entered { round });
        if let Some(leading) = self.rounds.get(&round).and_then(|votes| votes.leading()) {
            self.ask(leading.value, true, out);
        }
    }

    /// Lines 14-19: the proposer proposes its valid value, with the round of its quorum, or else its own candidate.
    fn propose(&mut self, out: &mut Vec<Output>) -> bool {
        let ours = self.me.is_some() && self.proposer(self.round) == self.me;
        if !ours || self.step != Step::Propose || self.guard.said(self.round, Kind::Proposal).is_some() {
            return false;
        }
        let (value, pol_round) = match (self.valid, self.eligible) {
            (Some(valid), _) => (valid.value, Some(valid.round)), // 15-16
            (None, Some(eligible)) => (eligible, None),           // 18
            (None, None) => return false,
        };
        if pol_round.is_none() && self.may_sign {
            // It stays valid for this height should the own candidate change afterwards.
            self.verdicts.insert(value, Verdict::Valid);
        }
        self.cast(Kind::Proposal, Some(value), pol_round, out) // 19
    }

    /// Lines 22-33: the first vote on the proposal of the round.
    fn prevote(&mut self, out: &mut Vec<Output>) -> bool {
        if self.step != Step::Propose || !self.signs() {
            return false;
        }
        let leading = self.rounds.get(&self.round).and_then(|votes| votes.leading());
        let Some(Proposal { value, pol_round }) = leading else { return false };
        let free = match pol_round {
            // 22-23
            None => self.locked.is_none_or(|lock| lock.value == value),
            // 28-29
            Some(vr) => {
                if self.prevotes_for(vr, Some(value)) < self.quorum() {
                    return false;
                }
                self.locked.is_none_or(|lock| lock.round <= vr || lock.value == value)
            }
        };
        let vote = match self.verdict(value) {
            _ if !free && !crate::seeded::bug("forget_lock") => None, // 26, 32
            Some(Verdict::Valid) => Some(value),                      // 24, 30
            Some(Verdict::Invalid) => None,                           // 26, 32
            Some(Verdict::Asked) => return false,                     // line 57 bounds the wait
            None => {
                self.ask(value, false, out);
                return false;
            }
        };
        self.step_to(Step::Prevote, Kind::Prevote, vote, out) // 25, 27, 31, 33
    }

    /// Lines 36-43: a quorum of prevotes for a proposed, valid value: lock and precommit, or at least remember it.
    fn precommit_value(&mut self, out: &mut Vec<Output>) -> bool {
        if !matches!(self.step, Step::Prevote | Step::Precommit) {
            return false;
        }
        let Some(votes) = self.rounds.get(&self.round) else { return false };
        let polka = votes.prevotes.quorum_value(self.quorum()).filter(|value| votes.proposed(*value));
        let Some(value) = polka else { return false };
        if self.verdict(value) != Some(Verdict::Valid) {
            self.ask(value, false, out);
            return false;
        }
        let lock = Lock { value, round: self.round };
        if self.step == Step::Prevote {
            // 37-41
            let cast = self.step_to(Step::Precommit, Kind::Precommit, Some(value), out);
            if cast {
                self.lock(lock, out);
            }
            return cast;
        }
        // 42-43, "for the first time"
        let first = self.valid.is_none_or(|valid| valid.round < self.round);
        if first {
            self.valid = Some(lock);
        }
        first
    }

    /// Lines 44-46: a quorum of prevotes for nil.
    fn precommit_nil(&mut self, out: &mut Vec<Output>) -> bool {
        self.step == Step::Prevote
            && self.prevotes_for(self.round, None) >= self.quorum()
            && self.step_to(Step::Precommit, Kind::Precommit, None, out)
    }

    /// Lines 49-54: a quorum of precommits for a valid value, in any round that is kept.
    fn decide(&mut self, out: &mut Vec<Output>) -> bool {
        let quorum = self.quorum();
        let committed: Vec<(u32, Sha256)> = self
            .rounds
            .iter()
            .filter_map(|(round, votes)| Some((*round, votes.precommits.quorum_value(quorum)?)))
            .collect();
        for (round, value) in committed {
            if self.verdict(value) != Some(Verdict::Valid) {
                self.ask(value, false, out);
                continue;
            }
            let precommits = self.precommits_for(round, value);
            self.conclude(Decision { value, round, precommits }, out);
            return true;
        }
        false
    }

    /// Lines 55-56: f+1 members are in later rounds; the earliest round that f+1 of them have reached.
    pub(super) fn skip(&mut self, out: &mut Vec<Output>) -> bool {
        let mut highest: Vec<u32> = self.highest.values().copied().filter(|round| *round > self.round).collect();
        highest.sort_unstable_by(|a, b| b.cmp(a));
        match self.one_honest().checked_sub(1).and_then(|index| highest.get(index)) {
            Some(round) => {
                self.start_round(*round, out);
                true
            }
            None => false,
        }
    }

    /// Lines 57-60 (`OnTimeoutPropose`), 61-64 (`OnTimeoutPrevote`), 65-67 (`OnTimeoutPrecommit`).
    fn time_out(&mut self, out: &mut Vec<Output>) -> bool {
        if self.timers.propose == Timer::Expired && self.step == Step::Propose {
            return self.step_to(Step::Prevote, Kind::Prevote, None, out) || self.next_round(out);
        }
        if self.timers.prevote == Timer::Expired && self.step == Step::Prevote {
            return self.step_to(Step::Precommit, Kind::Precommit, None, out) || self.next_round(out);
        }
        self.next_round(out)
    }

    fn next_round(&mut self, out: &mut Vec<Output>) -> bool {
        match self.round.checked_add(1) {
            Some(next) if self.timers.precommit == Timer::Expired => {
                self.start_round(next, out);
                true
            }
            _ => false,
        }
    }

    /// Lines 21, 34-35, 47-48: each timer once per round. Line 21 holds for a proposer with nothing to propose, too.
    /// Observers need none: they follow by lines 49 and 55.
    fn set_timers(&mut self, out: &mut Vec<Output>) {
        if self.me.is_none() || self.step == Step::Decided || self.step == Step::Idle {
            return;
        }
        let (quorum, round) = (self.quorum(), self.round);
        let (prevoters, precommitters) =
            self.rounds.get(&round).map_or((0, 0), |votes| (votes.prevotes.voters(), votes.precommits.voters()));
        let mut set = |timer: &mut Timer, kind: TimeoutKind, due: bool| {
            if due && *timer == Timer::Off {
                *timer = Timer::Set;
                out.push(Output::Timer { kind, round, delay_ms: delay_ms(kind, round) });
            }
        };
        set(&mut self.timers.propose, TimeoutKind::Propose, self.step == Step::Propose);
        set(&mut self.timers.prevote, TimeoutKind::Prevote, self.step == Step::Prevote && prevoters >= quorum);
        set(&mut self.timers.precommit, TimeoutKind::Precommit, precommitters >= quorum);
    }
}

/// What the rules are made of.
impl Order {
    fn signs(&self) -> bool {
        self.me.is_some() && self.may_sign
    }

    /// Votes and moves on; `false`, and nothing changed, if this member may not sign.
    fn step_to(&mut self, step: Step, kind: Kind, value: Option<Sha256>, out: &mut Vec<Output>) -> bool {
        let cast = self.cast(kind, value, None, out);
        if cast {
            self.step = step;
        }
        cast
    }

    /// Says something in the current round, at most once per kind: counted here, sent by the caller once it is durable.
    fn cast(&mut self, kind: Kind, value: Option<Sha256>, pol_round: Option<u32>, out: &mut Vec<Output>) -> bool {
        let Some(member) = self.me.filter(|_| self.may_sign) else { return false };
        if !self.guard.allows(self.round, kind) {
            return false;
        }
        let message = Message { height: self.height, round: self.round, kind, value, pol_round, member };
        self.guard.record(message);
        out.push(Output::Send(message));
        self.store(message, out);
        true
    }

    /// Lines 38-39 and 42-43.
    pub(super) fn lock(&mut self, lock: Lock, out: &mut Vec<Output>) {
        self.locked = Some(lock);
        if self.valid.is_none_or(|valid| valid.round <= lock.round) {
            self.valid = Some(lock);
        }
        out.push(Output::Locked { value: lock.value, round: lock.round });
    }

    pub(super) fn conclude(&mut self, decision: Decision, out: &mut Vec<Output>) {
        self.step = Step::Decided;
        self.timers = Timers::default();
        self.decision = Some(decision);
        self.announce(out);
    }

    pub(super) fn announce(&self, out: &mut Vec<Output>) {
        if let Some(Decision { value, round, precommits }) = self.decision.clone() {
            out.push(Output::Decide { value, round, precommits });
        }
    }

    fn verdict(&self, value: Sha256) -> Option<Verdict> {
        if self.eligible == Some(value) { Some(Verdict::Valid) } else { self.verdicts.get(&value).copied() }
    }

    /// Asks for a verdict if there is none, or, with `again`, if it was "not valid" when last asked.
    pub(super) fn ask(&mut self, value: Sha256, again: bool, out: &mut Vec<Output>) {
        let due = match self.verdict(value) {
            None => true,
            Some(Verdict::Invalid) => again,
            Some(Verdict::Asked | Verdict::Valid) => false,
        };
        if due {
            self.verdicts.insert(value, Verdict::Asked);
            out.push(Output::Check { value });
        }
    }

    fn prevotes_for(&self, round: u32, value: Option<Sha256>) -> usize {
        self.rounds.get(&round).map_or(0, |votes| votes.prevotes.count(value))
    }

    fn precommits_for(&self, round: u32, value: Sha256) -> Vec<Message> {
        self.rounds.get(&round).map_or_else(Vec::new, |votes| {
            votes
                .precommits
                .supporters(Some(value))
                .map(|m| self.vote(round, Kind::Precommit, Some(value), m))
                .collect()
        })
    }
}
