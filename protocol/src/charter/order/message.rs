//! What the voters of one height say to each other, and why a message is refused.
//!
//! Owns the shape of an ordering message as the machine sees it. Signatures, payloads and the writer's identity are wrapped
//! around it elsewhere and are verified before a message gets here.

use serde::{Deserialize, Serialize};

use crate::ids::{MemberId, Sha256};

/// What a message says. The order of the variants is the order in which an honest member speaks within a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `PROPOSAL`: the proposer of the round names a value.
    Proposal,
    /// `PREVOTE`: first vote, for the proposed value or nil.
    Prevote,
    /// `PRECOMMIT`: second vote, for a value with a quorum of prevotes, or nil.
    Precommit,
}

/// One verified message of a member (arXiv 1807.04938, algorithm 1: `⟨KIND, h, round, v, vr⟩`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Message {
    /// The charter version that is being agreed.
    pub height: u64,
    /// Round, from 0.
    pub round: u32,
    /// What is said.
    pub kind: Kind,
    /// Hash of the charter payload; `None` is nil, which only votes may carry.
    pub value: Option<Sha256>,
    /// `vr` of a proposal: the round in which the value had a quorum of prevotes; `None` is the paper's -1. Votes carry none.
    pub pol_round: Option<u32>,
    /// Who says it.
    pub member: MemberId,
}

impl Message {
    /// Whether the fields fit together: a proposal names a value and an earlier proof round, a vote has no proof round.
    pub fn is_well_formed(&self) -> bool {
        match self.kind {
            Kind::Proposal => self.value.is_some() && self.pol_round.is_none_or(|vr| vr < self.round),
            Kind::Prevote | Kind::Precommit => self.pol_round.is_none(),
        }
    }
}

/// Why a message was not taken. A refused message is not held: it may be offered again, and may then be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// For another charter version.
    #[error("for another height")]
    Height,
    /// From somebody who has no vote at this height.
    #[error("not from a voting member")]
    Member,
    /// Its fields contradict each other.
    #[error("malformed: a proposal needs a value and an earlier proof round, a vote has no proof round")]
    Malformed,
    /// A proposal by a member whose turn it is not.
    #[error("proposal by a member who is not the proposer of the round")]
    Proposer,
    /// More than [`super::ROUNDS_AHEAD_MAX`] rounds ahead. That its sender is there was noted.
    #[error("too many rounds ahead")]
    Ahead,
    /// For an old round that nothing depends on any more.
    #[error("round is no longer kept")]
    Behind,
    /// The sender has already said too many different things in this round.
    #[error("too many contradicting messages of this member in this round")]
    Crowded,
    /// A certificate whose messages are not a quorum of precommits for one value in one round.
    #[error("not a quorum of precommits")]
    NoQuorum,
}
