//! What an operator sees of a height.
//!
//! Owns the view only; it changes nothing.

use serde::{Deserialize, Serialize};

use super::{Lock, Order, Step};
use crate::ids::{MemberId, Sha256};

/// What a member said first in one kind of message of the current round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ballot {
    /// Nothing was received.
    Missing,
    /// Nil.
    Nil,
    /// A value.
    Value(Sha256),
}

/// One voter in the current round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Who.
    pub member: MemberId,
    /// The highest round it was heard in; `None` if never.
    pub round: Option<u32>,
    /// Its prevote in the current round.
    pub prevote: Ballot,
    /// Its precommit in the current round.
    pub precommit: Ballot,
}

/// A height at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The charter version that is being agreed.
    pub height: u64,
    /// Current round.
    pub round: u32,
    /// Where this member is in it.
    pub step: Step,
    /// Whether this member votes and may sign now.
    pub may_sign: bool,
    /// Votes needed.
    pub quorum: usize,
    /// Whose turn it is to propose; `None` cannot happen with at least one member.
    pub proposer: Option<MemberId>,
    /// What it proposed, as far as received.
    pub proposal: Option<Sha256>,
    /// The own candidate.
    pub eligible: Option<Sha256>,
    /// `lockedValue`, `lockedRound`.
    pub locked: Option<Lock>,
    /// `validValue`, `validRound`.
    pub valid: Option<Lock>,
    /// The decision: value and round.
    pub decided: Option<Lock>,
    /// The voters, in the order of their ids.
    pub members: Vec<MemberStatus>,
}

impl Order {
    /// A height at a glance, for operators.
    pub fn status(&self) -> Status {
        let votes = self.rounds.get(&self.round);
        let ballot = |first: Option<Option<Sha256>>| match first {
            None => Ballot::Missing,
            Some(None) => Ballot::Nil,
            Some(Some(value)) => Ballot::Value(value),
        };
        let own_round = self.guard.last_round();
        let members = self.members.iter().map(|member| MemberStatus {
            member: *member,
            round: if self.me == Some(*member) { own_round } else { self.highest.get(member).copied() },
            prevote: ballot(votes.and_then(|votes| votes.prevotes.first(member))),
            precommit: ballot(votes.and_then(|votes| votes.precommits.first(member))),
        });
        Status {
            height: self.height,
            round: self.round,
            step: self.step,
            may_sign: self.me.is_some() && self.may_sign,
            quorum: self.quorum(),
            proposer: self.proposer(self.round),
            proposal: votes.and_then(|votes| votes.leading()).map(|p| p.value),
            eligible: self.eligible,
            locked: self.locked,
            valid: self.valid,
            decided: self.decision.as_ref().map(|d| Lock { value: d.value, round: d.round }),
            members: members.collect(),
        }
    }
}
