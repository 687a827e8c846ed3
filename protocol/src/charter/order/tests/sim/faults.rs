//! What goes wrong in the simulated federation: equivocators, crashes and rollbacks.

use super::super::*;
use super::{Event, INVALID, Role, Sim};
use std::collections::BTreeSet;

impl Sim {
    /// Signed nonsense of an equivocator, to random members.
    pub(super) fn junk(&mut self, index: usize) {
        let pause = 50 + self.rng.next() % 1_000;
        self.at(self.now + pause, Event::Junk { node: index });
        let by = self.nodes[index].member;
        let near = self.nodes[self.rng.below(self.nodes.len())].order.status().round;
        let round = (near + self.rng.below(3) as u32).saturating_sub(self.rng.below(2) as u32);
        let any = [None, Some(value(1)), Some(value(2)), Some(value(3)), Some(value(INVALID))][self.rng.below(5)];
        let message = match self.rng.below(3) {
            0 => {
                let pol_round = if self.rng.percent(50) { round.checked_sub(1) } else { None };
                proposal(round, by, any.unwrap_or(value(2)), pol_round)
            }
            1 => prevote(round, by, any),
            _ => precommit(round, by, any),
        };
        if message.kind == Kind::Proposal && round as usize % self.n != by {
            return;
        }
        for to in (0..self.n).filter(|to| *to != by).collect::<Vec<_>>() {
            if self.rng.percent(40) {
                self.send(to, message);
            }
        }
    }

    pub(super) fn stop(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.up = false;
        node.life += 1;
        let pause = self.rng.next() % 3_000;
        self.at(self.now + pause, Event::Start { node: index });
    }

    /// A crash, or a rollback to an older state. Without forgetting, peers hold what this member said; otherwise only what
    /// they have received by now, which makes it one of the f faulty members.
    pub(super) fn crash(&mut self, index: usize) {
        if !self.nodes[index].up || self.healed {
            return;
        }
        self.stop(index);
        if self.rng.percent(50) {
            return;
        }
        let node = &mut self.nodes[index];
        let me = member(node.member);
        let own = node.order.own_messages();
        let stale = if self.rng.percent(30) || node.copies.is_empty() {
            Order::new(HEIGHT, members(self.n), Some(me)).unwrap()
        } else {
            node.copies.swap_remove(self.rng.below(node.copies.len()))
        };
        node.order = stale;
        node.copies.clear();
        node.recovering = true;
        if self.forgetful > 0 {
            self.forgetful -= 1;
            self.queue.retain(|_, event| !matches!(event, Event::Deliver { message, .. } if message.member == me));
            let by = self.nodes[index].member;
            let known = self.known_of(index);
            self.said.retain(|(member, ..), message| *member != by || known.contains(message));
            // Peers that are rolled back afterwards do not take it with them: one fault counts once.
            self.nodes[index].remembered.extend(known);
            // What it decided alone is forgotten with it.
            self.decisions.retain(|(member, _)| *member != by);
        } else {
            self.nodes[index].remembered.extend(own);
        }
    }

    /// What other honest members durably hold of a member's own messages.
    fn known_of(&self, index: usize) -> BTreeSet<Message> {
        let me = member(self.nodes[index].member);
        let others = self.nodes.iter().filter(|node| node.role != Role::Twins && member(node.member) != me);
        others.flat_map(|node| node.order.messages()).filter(|m| m.member == me).collect()
    }

    pub(super) fn start(&mut self, index: usize) {
        if self.nodes[index].up && self.nodes[index].life > 0 || self.healed && self.nodes[index].role == Role::Dead {
            return;
        }
        let bytes = crate::codec::encode(&self.nodes[index].order).unwrap();
        self.nodes[index].order = crate::codec::decode(&bytes, 1 << 22).unwrap();
        self.nodes[index].up = true;
        self.input(index, Input::Restart);
        if self.nodes[index].recovering {
            let (life, pause) = (self.nodes[index].life, self.rng.next() % 2_000);
            self.at(self.now + pause, Event::Recover { node: index, life });
        } else {
            self.input(index, Input::MaySign(true));
        }
    }

    /// Shows a member that was rolled back what it said before, in any order; only then may it sign.
    pub(super) fn recover(&mut self, index: usize) {
        let mut own: Vec<Message> = self.known_of(index).into_iter().collect();
        own.extend(self.nodes[index].remembered.iter().copied());
        while !own.is_empty() && self.nodes[index].up {
            let next = own.swap_remove(self.rng.below(own.len()));
            self.input(index, Input::Received(next));
        }
        if self.nodes[index].up {
            self.nodes[index].recovering = false;
            self.input(index, Input::MaySign(true));
        }
    }
}
