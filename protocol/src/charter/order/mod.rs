//! Which eligible change becomes the next charter: Tendermint for one height, as a state machine.
//!
//! The voters of charter v agree on charter v+1 (the *height*) by the algorithm of "The latest gossip on BFT consensus"
//! (arXiv 1807.04938, algorithm 1). Values are SHA-256 hashes of charter payloads; votes count per member.
//!
//! Owns: rounds, locks, counting, the guard against signing twice, and the certificate of the decision. It must never read a
//! clock, verify a signature, look into a payload or send: it takes [`Input`]s and returns [`Output`]s, and equal inputs give
//! equal outputs. The caller makes the new state, or at least each own message, durable *before* it carries out any output.
//!
//! # Where it differs from the paper, and why
//!
//! - The height idles, without timers, until something is eligible here or any message for it arrives. A proposer without an
//!   eligible value waits for one as long as its round lets it.
//! - A verdict about a value may be outstanding, and "not valid" may later turn into "valid" (approvals still travel);
//!   "valid" is final. Waiting rules are evaluated again whenever one arrives.
//! - Line 49 needs no proposal: precommits name the value by hash, and the verdict implies that the payload is at hand.
//! - Line 55 moves on when f+1 members are in *any* round from `round` on, also when these rounds differ or lie too far ahead
//!   to keep their messages. One of them is honest, so nobody is led past all honest members.
//! - Only the first proposal of a round is prevoted on. Contradicting votes count per value (see `votes`), within bounds.
//! - A member may be barred from signing ([`Input::MaySign`]); it then counts and follows, takes no step of its own, and does
//!   what is due once it may. Own messages that it is shown move it to where it was: round, step and lock.
//! - [`Input::Certified`] ends the height with a certificate learnt elsewhere; members that have decided vote no more.

mod guard;
mod intake;
mod interface;
mod message;
mod rules;
mod status;
#[cfg(test)]
mod tests;
mod votes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use interface::{Decision, Input, Lock, Output, Step, TimeoutKind};
pub use message::{Kind, Message, Refusal};
pub use status::{Ballot, MemberStatus, Status};
pub use votes::{PROPOSALS_PER_ROUND_MAX, VOTES_PER_SLOT_MAX};

use crate::ids::{MemberId, Sha256};
use crate::limits;
use guard::Guard;
use votes::{Proposal, RoundVotes};

/// Rounds ahead of the current one whose messages are kept. Members in touch differ by one or two; whoever is further behind
/// catches up by line 55 and is then offered the messages again.
pub const ROUNDS_AHEAD_MAX: u32 = 8;
/// Rounds behind the current one whose messages are kept: a late quorum can still decide. Older rounds stay only while a
/// lock, a proof round or a quorum of precommits depends on them.
pub const ROUNDS_BEHIND_MAX: u32 = 32;
/// First wait for a proposal, in milliseconds: some round trips across the country with a durable write at each end.
pub const PROPOSE_BASE_MS: u64 = 1_000;
/// First wait for a quorum once votes of any kind are one, in milliseconds.
pub const VOTE_BASE_MS: u64 = 500;
/// Growth of the wait for a proposal per round, in milliseconds, so that rounds outgrow any actual delay.
pub const PROPOSE_STEP_MS: u64 = 500;
/// Growth of the wait for votes per round, in milliseconds.
pub const VOTE_STEP_MS: u64 = 250;
/// Longest wait, in milliseconds: a height that was stuck moves again within minutes.
pub const DELAY_MAX_MS: u64 = 60_000;

/// Why a machine cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Nobody could decide.
    #[error("a height needs at least one voting member")]
    NoMembers,
    /// More than a charter holds.
    #[error("{0} voting members are over the limit of {max}", max = limits::MEMBERS_MAX)]
    TooManyMembers(usize),
    /// A member would vote twice.
    #[error("{0} is listed twice")]
    Duplicate(MemberId),
    /// The own member has no vote here; observe instead.
    #[error("{0} is not a voting member")]
    NotVoting(MemberId),
}

/// `k = ⌊2n/3⌋ + 1`: how many of `n` voters are a quorum (1→1, 2→2, 3→3, 4→3, 7→5, 16→11).
pub const fn quorum(n: usize) -> usize {
    2 * n / 3 + 1
}

/// How long to wait, in milliseconds: grows with the round, up to [`DELAY_MAX_MS`].
pub fn delay_ms(kind: TimeoutKind, round: u32) -> u64 {
    let (base, step) = match kind {
        TimeoutKind::Propose => (PROPOSE_BASE_MS, PROPOSE_STEP_MS),
        TimeoutKind::Prevote | TimeoutKind::Precommit => (VOTE_BASE_MS, VOTE_STEP_MS),
    };
    base.saturating_add(step.saturating_mul(u64::from(round))).min(DELAY_MAX_MS)
}

/// What is known about the validity of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Verdict {
    Asked,
    Invalid,
    Valid,
}

/// A timer of the current round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Timer {
    #[default]
    Off,
    Set,
    Expired,
}

/// The timers of the current round; not part of the restored state, since timers do not survive their process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Timers {
    propose: Timer,
    prevote: Timer,
    precommit: Timer,
}

/// The machine of one height. Restored by serde; a restored one may not sign until [`Input::MaySign`] says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    height: u64,
    members: Vec<MemberId>,
    me: Option<MemberId>,
    #[serde(skip)]
    may_sign: bool,
    eligible: Option<Sha256>,
    verdicts: BTreeMap<Sha256, Verdict>,
    round: u32,
    step: Step,
    locked: Option<Lock>,
    valid: Option<Lock>,
    rounds: BTreeMap<u32, RoundVotes>,
    /// The highest round each other member was heard in, also where its message was too far ahead to keep.
    highest: BTreeMap<MemberId, u32>,
    guard: Guard,
    #[serde(skip)]
    timers: Timers,
    decision: Option<Decision>,
}

impl Order {
    /// The machine of charter version `height`, to be decided by `members`; `me` is `None` for observers.
    ///
    /// # Errors
    /// [`OrderError`] unless there are 1 to [`limits::MEMBERS_MAX`] different members, `me` among them.
    pub fn new(height: u64, mut members: Vec<MemberId>, me: Option<MemberId>) -> Result<Self, OrderError> {
        members.sort_unstable();
        if members.is_empty() {
            return Err(OrderError::NoMembers);
        }
        if members.len() > limits::MEMBERS_MAX {
            return Err(OrderError::TooManyMembers(members.len()));
        }
        if let Some(pair) = members.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(OrderError::Duplicate(pair[0]));
        }
        if let Some(me) = me
            && members.binary_search(&me).is_err()
        {
            return Err(OrderError::NotVoting(me));
        }
        Ok(Self {
            height,
            members,
            me,
            may_sign: false,
            eligible: None,
            verdicts: BTreeMap::new(),
            round: 0,
            step: Step::Idle,
            locked: None,
            valid: None,
            rounds: BTreeMap::new(),
            highest: BTreeMap::new(),
            guard: Guard::default(),
            timers: Timers::default(),
            decision: None,
        })
    }

    /// Takes one input and says what has to be done.
    pub fn handle(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if self.decision.is_some() {
            if input == Input::Restart {
                self.announce(&mut out);
            }
            return out;
        }
        match input {
            Input::Eligible { value } => {
                self.eligible = value;
                if value.is_some() && self.step == Step::Idle {
                    self.start_round(0, &mut out);
                }
            }
            Input::Valid { value, valid } => self.judge(value, valid),
            Input::Received(message) => self.receive(message, &mut out),
            Input::Certified { precommits } => self.certified(precommits, &mut out),
            Input::Timeout { kind, round } => self.expire(kind, round),
            Input::MaySign(may_sign) => self.may_sign = may_sign,
            Input::Restart => self.restart(&mut out),
        }
        self.advance(&mut out);
        out
    }

    /// The height: the charter version that is being agreed.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// The voters, in the order that names proposers.
    pub fn members(&self) -> &[MemberId] {
        &self.members
    }

    /// k of this height.
    pub fn quorum(&self) -> usize {
        if crate::seeded::bug("order_by_simple_majority") {
            return self.members.len() / 2 + 1;
        }
        quorum(self.members.len())
    }

    /// f + 1 = n - k + 1: so many members include an honest one.
    fn one_honest(&self) -> usize {
        (self.members.len() + 1).saturating_sub(self.quorum())
    }

    /// 2k - n: so many honest members, at least, are behind any quorum.
    fn support_min(&self) -> usize {
        (2 * self.quorum()).saturating_sub(self.members.len())
    }

    /// The proposer of `round`: `(height + round) mod n` over the sorted members.
    pub fn proposer(&self, round: u32) -> Option<MemberId> {
        let n = self.members.len() as u64;
        let index = self.height.checked_rem(n)?.checked_add(u64::from(round).checked_rem(n)?)?.checked_rem(n)?;
        usize::try_from(index).ok().and_then(|index| self.members.get(index)).copied()
    }

    /// The decision, once there is one.
    pub const fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// Every message held, for members that catch up. In an order that can be taken at once: by round, proposals first.
    pub fn messages(&self) -> Vec<Message> {
        let mut all = Vec::new();
        for (round, votes) in &self.rounds {
            if let Some(member) = self.proposer(*round) {
                all.extend(votes.proposals().iter().map(|p| self.proposal(*round, *p, member)));
            }
            all.extend(votes.prevotes.all().map(|(m, v)| self.vote(*round, Kind::Prevote, v, m)));
            all.extend(votes.precommits.all().map(|(m, v)| self.vote(*round, Kind::Precommit, v, m)));
        }
        all
    }

    /// The own messages that are kept, oldest first.
    pub fn own_messages(&self) -> Vec<Message> {
        self.guard.messages().copied().collect()
    }

    /// What has to travel with a message so that its receiver can follow it: with a precommit for a value, the proposal and
    /// the quorum of prevotes behind it; with a proposal that names a proof round, that round's proposal and prevotes. Empty
    /// for other messages. Their receiver may take them in any order.
    pub fn evidence_for(&self, message: &Message) -> Vec<Message> {
        let Some(value) = message.value else { return Vec::new() };
        let round = match (message.kind, message.pol_round) {
            (Kind::Precommit, _) => message.round,
            (Kind::Proposal, Some(round)) => round,
            _ => return Vec::new(),
        };
        let (Some(votes), Some(proposer)) = (self.rounds.get(&round), self.proposer(round)) else { return Vec::new() };
        let proposals = votes.proposals().iter().filter(|p| p.value == value);
        let mut evidence: Vec<Message> = proposals.map(|p| self.proposal(round, *p, proposer)).collect();
        evidence
            .extend(votes.prevotes.supporters(Some(value)).map(|m| self.vote(round, Kind::Prevote, Some(value), m)));
        evidence
    }

    fn vote(&self, round: u32, kind: Kind, value: Option<Sha256>, member: MemberId) -> Message {
        Message { height: self.height, round, kind, value, pol_round: None, member }
    }

    fn proposal(&self, round: u32, proposal: Proposal, member: MemberId) -> Message {
        let Proposal { value, pol_round } = proposal;
        Message { height: self.height, round, kind: Kind::Proposal, value: Some(value), pol_round, member }
    }
}
