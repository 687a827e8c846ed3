//! What this member has itself said at the height, so that it never says anything else instead.
//!
//! Owns the rule (height, round, kind) → hash. It is filled by what the machine sends and by own messages that come back from
//! peers after a rollback; it never forgets how far own messages reach.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::{Kind, Message};

/// Own messages of one height.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guard {
    /// Own messages of the rounds that are kept.
    rounds: BTreeMap<u32, BTreeMap<Kind, Message>>,
    /// The last slot in which anything was said. A member speaks in the order of rounds and kinds, so below it every slot may
    /// have been used, known or not.
    last: Option<(u32, Kind)>,
}

impl Guard {
    /// Whether nothing was said yet in this slot or after it.
    pub(super) fn allows(&self, round: u32, kind: Kind) -> bool {
        self.last < Some((round, kind)) || crate::seeded::bug("vote_twice")
    }

    /// Notes an own message; `false` if the slot is taken, by the same message or another.
    pub(super) fn record(&mut self, message: Message) -> bool {
        self.last = self.last.max(Some((message.round, message.kind)));
        let slots = self.rounds.entry(message.round).or_default();
        if slots.contains_key(&message.kind) {
            return false;
        }
        slots.insert(message.kind, message);
        true
    }

    /// What was said in a slot, as far as it is kept.
    pub(super) fn said(&self, round: u32, kind: Kind) -> Option<&Message> {
        self.rounds.get(&round)?.get(&kind)
    }

    /// The last round in which anything was said.
    pub(super) fn last_round(&self) -> Option<u32> {
        self.last.map(|(round, _)| round)
    }

    /// Own messages that are kept, oldest first.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.rounds.values().flat_map(BTreeMap::values)
    }

    /// Forgets the content, not the use, of slots in rounds for which `keep` says no.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.rounds.retain(|round, _| keep(*round));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{MemberId, Sha256};

    #[test]
    fn slots_are_used_once_and_in_order() {
        let message = |round, kind, value: u8| Message {
            height: 7,
            round,
            kind,
            value: Some(Sha256([value; 32])),
            pol_round: None,
            member: MemberId([1; 32]),
        };
        let mut guard = Guard::default();
        assert!(guard.allows(0, Kind::Proposal));
        assert!(guard.record(message(2, Kind::Prevote, 1)));
        for (round, kind) in [(0, Kind::Precommit), (2, Kind::Proposal), (2, Kind::Prevote)] {
            assert!(!guard.allows(round, kind), "{round} {kind:?}");
        }
        assert!(guard.allows(2, Kind::Precommit) && guard.allows(3, Kind::Proposal));
        assert!(!guard.record(message(2, Kind::Prevote, 2)), "the first one stays");
        assert_eq!(guard.said(2, Kind::Prevote), Some(&message(2, Kind::Prevote, 1)));
        assert!(guard.record(message(1, Kind::Prevote, 3)), "an older one, learnt late");
        assert_eq!(guard.last_round(), Some(2));
        guard.retain(|_| false);
        assert!(guard.messages().next().is_none() && !guard.allows(2, Kind::Prevote), "forgotten, but used");
    }
}
