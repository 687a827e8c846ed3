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
        self.last < Some((round, kind))
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
