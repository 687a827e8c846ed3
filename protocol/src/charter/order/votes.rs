//! What has been said in one round, and how it counts.
//!
//! Owns counting by member, and the bounds on contradicting messages. Knows no rules: it never decides what follows.
//!
//! A member that contradicts itself counts once towards "anything" and once towards each value it voted for. Ignoring its
//! second vote altogether would be safe as well, but could block the height for good: one honest member may hold a lock whose
//! quorum contains the first vote, while the others saw the second one first and could never recognise that quorum (the paper
//! rests on its gossip property here: what one honest process received, all receive).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{MemberId, Sha256};

/// Different votes kept of one member in one round and kind. The first one, plus one for each value that can have a quorum
/// at all: there are at most two values that `2k - n > n/3` members voted for first.
pub const VOTES_PER_SLOT_MAX: usize = 3;

/// Different proposals kept in one round: the first, and room for those that others may have seen first.
pub const PROPOSALS_PER_ROUND_MAX: usize = 4;

/// What became of a message that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added<T> {
    /// First of its member in this round and kind.
    New,
    /// Already held.
    Known,
    /// Contradicts the first one, which is given; held too.
    Conflict(T),
    /// Contradicts, and there is no room.
    Crowded,
}

impl<T> Added<T> {
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Added<U> {
        match self {
            Self::New => Added::New,
            Self::Known => Added::Known,
            Self::Conflict(first) => Added::Conflict(f(first)),
            Self::Crowded => Added::Crowded,
        }
    }
}

/// The votes of one kind in one round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Per member the values it voted for, the first one first; never empty.
    cast: BTreeMap<MemberId, Vec<Option<Sha256>>>,
}

impl Tally {
    /// Adds a vote. With the slot full it is only taken if at least `support_min` members voted for `value` first, so that it
    /// may complete a quorum that honest members rely on; it then takes the place of a vote without that support.
    pub(super) fn add(&mut self, member: MemberId, value: Option<Sha256>, support_min: usize) -> Added<Option<Sha256>> {
        let Some(slot) = self.cast.get(&member) else {
            self.cast.insert(member, vec![value]);
            return Added::New;
        };
        if slot.contains(&value) {
            return Added::Known;
        }
        let replaced = if slot.len() < VOTES_PER_SLOT_MAX {
            None
        } else if self.first_votes(value) >= support_min {
            let weak = (1..slot.len()).find(|i| self.first_votes(slot[*i]) < support_min);
            let Some(index) = weak else { return Added::Crowded };
            Some(index)
        } else {
            return Added::Crowded;
        };
        let slot = self.cast.entry(member).or_default();
        match replaced.and_then(|index| slot.get_mut(index)) {
            Some(place) => *place = value,
            None => slot.push(value),
        }
        slot.first().map_or(Added::New, |first| Added::Conflict(*first))
    }

    /// Members that voted at all: `⟨…, ∗⟩` in the paper.
    pub(super) fn voters(&self) -> usize {
        self.cast.len()
    }

    /// Members that voted for `value` (nil is `None`).
    pub(super) fn count(&self, value: Option<Sha256>) -> usize {
        self.cast.values().filter(|slot| slot.contains(&value)).count()
    }

    /// Members whose first vote was for `value`.
    fn first_votes(&self, value: Option<Sha256>) -> usize {
        self.cast.values().filter(|slot| slot.first() == Some(&value)).count()
    }

    /// The value (not nil) that at least `quorum` members voted for; the lowest, should there be more than one.
    pub(super) fn quorum_value(&self, quorum: usize) -> Option<Sha256> {
        if self.voters() < quorum {
            return None;
        }
        let mut counts: BTreeMap<Sha256, usize> = BTreeMap::new();
        for value in self.cast.values().flatten().flatten() {
            *counts.entry(*value).or_default() += 1;
        }
        counts.into_iter().find(|(_, count)| *count >= quorum).map(|(value, _)| value)
    }

    /// Members that voted for `value`, in order.
    pub(super) fn supporters(&self, value: Option<Sha256>) -> impl Iterator<Item = MemberId> + '_ {
        self.cast.iter().filter(move |(_, slot)| slot.contains(&value)).map(|(member, _)| *member)
    }

    /// Every vote held.
    pub(super) fn all(&self) -> impl Iterator<Item = (MemberId, Option<Sha256>)> + '_ {
        self.cast.iter().flat_map(|(member, slot)| slot.iter().map(|value| (*member, *value)))
    }

    /// The first vote of `member`.
    pub(super) fn first(&self, member: &MemberId) -> Option<Option<Sha256>> {
        self.cast.get(member).and_then(|slot| slot.first().copied())
    }
}

/// A proposal of the round's proposer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proposal {
    /// What is proposed.
    pub(super) value: Sha256,
    /// The paper's `vr`; `None` is -1.
    pub(super) pol_round: Option<u32>,
}

/// Everything held of one round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RoundVotes {
    /// Proposals, the first one first: it alone is prevoted on; the others can still be locked and decided.
    proposals: Vec<Proposal>,
    /// First votes.
    pub(super) prevotes: Tally,
    /// Second votes.
    pub(super) precommits: Tally,
}

impl RoundVotes {
    /// Adds a proposal. When full, one whose value has the first prevotes of `support_min` members takes the place of one
    /// that has not.
    pub(super) fn propose(&mut self, proposal: Proposal, support_min: usize) -> Added<Proposal> {
        if self.proposals.contains(&proposal) {
            return Added::Known;
        }
        let Some(first) = self.proposals.first().copied() else {
            self.proposals.push(proposal);
            return Added::New;
        };
        if self.proposals.len() < PROPOSALS_PER_ROUND_MAX {
            self.proposals.push(proposal);
            return Added::Conflict(first);
        }
        let supported = |p: &Proposal| self.prevotes.first_votes(Some(p.value)) >= support_min;
        // A second proposal of a value already held adds nothing to what can be locked.
        if !supported(&proposal) || self.proposed(proposal.value) {
            return Added::Crowded;
        }
        match (1..self.proposals.len()).find(|i| !supported(&self.proposals[*i])) {
            Some(index) => {
                self.proposals[index] = proposal;
                Added::Conflict(first)
            }
            None => Added::Crowded,
        }
    }

    /// The proposal that counts for prevoting.
    pub(super) fn leading(&self) -> Option<Proposal> {
        self.proposals.first().copied()
    }

    /// Whether a proposal of `value` is held.
    pub(super) fn proposed(&self, value: Sha256) -> bool {
        self.proposals.iter().any(|p| p.value == value)
    }

    /// Every proposal held.
    pub(super) fn proposals(&self) -> &[Proposal] {
        &self.proposals
    }
}
