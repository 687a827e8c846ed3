//! A federation in virtual time: members, equivocators, a lossy network, crashes and rollbacks, all chosen by one seed.
//!
//! One tick is one virtual millisecond. Until `heal_at` everything may go wrong; from then on messages arrive within
//! [`DELAY_HEALED`] ticks, members that are up stay up, and every member knows every valid value.

mod faults;

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Longest delivery after healing, in ticks.
pub(super) const DELAY_HEALED: u64 = 50;
/// Interval of catching up with the others, in ticks.
const SYNC_EVERY: u64 = 300;
/// Values 1 to 3 are valid (once their approvals have arrived), 9 never is.
const VALID: std::ops::RangeInclusive<u8> = 1..=3;
const INVALID: u8 = 9;

#[derive(Debug, Clone)]
enum Event {
    Deliver { to: usize, message: Message },
    Certificate { to: usize, precommits: Vec<Message> },
    Timer { node: usize, life: u32, kind: TimeoutKind, round: u32 },
    Verdict { node: usize, life: u32, value: Sha256 },
    Arrive { node: usize, value: Sha256 },
    Eligible { node: usize, value: Option<Sha256> },
    Sync { node: usize },
    Junk { node: usize },
    Crash { node: usize },
    Start { node: usize },
    Recover { node: usize, life: u32 },
    Heal,
}

/// What a member is, for the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Follows the rules.
    Honest,
    /// Two machines with one key that talk to different members, and junk besides.
    Twins,
    /// Down for good from the healing on.
    Dead,
}

struct Node {
    member: usize,
    role: Role,
    up: bool,
    life: u32,
    /// The durable state: what a restart finds.
    order: Order,
    /// Older durable states: what a rollback finds.
    copies: Vec<Order>,
    /// Own messages of before a rollback that at least one peer has.
    remembered: Vec<Message>,
    recovering: bool,
    /// Whom this node talks to; equivocating twins share the members between them.
    audience: BTreeSet<usize>,
    /// Valid values whose approvals have arrived.
    arrived: BTreeSet<Sha256>,
}

pub(super) struct Sim {
    rng: Rng,
    pub(super) n: usize,
    now: u64,
    heal_at: u64,
    healed: bool,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Event>,
    nodes: Vec<Node>,
    loss: usize,
    /// Chance that a receiver misses what some members say in one round and kind: the proposal, or n - k votes (then it still
    /// hears a quorum, but another one than its neighbour), or all. This is what makes hidden locks and hidden decisions.
    blackout: usize,
    narrow: bool,
    salt: u64,
    /// Chance that catching up works before the healing.
    sync: usize,
    duplicates: usize,
    delay_max: u64,
    crashes: usize,
    /// Rollbacks that may forget messages which no peer has; each counts as a faulty member.
    forgetful: usize,
    /// Everything that honest members ever sent, by slot.
    said: BTreeMap<(usize, u32, Kind), Message>,
    /// Everything that honest members ever decided.
    pub(super) decisions: Vec<(usize, Lock)>,
    pub(super) evidence: usize,
    /// Highest round of an honest member at the time of healing.
    pub(super) heal_round: u32,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x1234_5678_9abc_def1) ^ seed);
        let n = [1, 2, 3, 4, 4, 4, 5, 6, 7, 7][rng.below(10)];
        let faults = n - quorum(n);
        let (twins, dead, forgetful) = Self::share(&mut rng, faults);
        let mut roles = vec![Role::Honest; n];
        for role in std::iter::repeat_n(Role::Twins, twins).chain(std::iter::repeat_n(Role::Dead, dead)) {
            let mut at = rng.below(n);
            while roles[at] != Role::Honest {
                at = (at + 1) % n;
            }
            roles[at] = role;
        }
        let mut sim = Self {
            n,
            now: 0,
            heal_at: 2_000 + rng.next() % 30_000,
            healed: false,
            sequence: 0,
            queue: BTreeMap::new(),
            nodes: Vec::new(),
            loss: [0, 0, 5, 30][rng.below(4)],
            blackout: [0, 25, 50, 75][rng.below(4)],
            narrow: rng.percent(80),
            salt: rng.next(),
            sync: [0, 2, 5, 60][rng.below(4)],
            duplicates: [0, 10, 30][rng.below(3)],
            delay_max: [20, 400, 4_000][rng.below(3)],
            crashes: [0, 1, 4][rng.below(3)],
            forgetful,
            said: BTreeMap::new(),
            decisions: Vec::new(),
            evidence: 0,
            heal_round: 0,
            rng,
        };
        for (member, role) in roles.into_iter().enumerate() {
            sim.add(member, role);
        }
        sim.schedule();
        sim
    }

    /// Distributes the faults that are allowed over equivocators, dead members and forgetful rollbacks.
    fn share(rng: &mut Rng, faults: usize) -> (usize, usize, usize) {
        let mut counts = [0; 4];
        for _ in 0..faults {
            counts[rng.below(4)] += 1;
        }
        let [twins, more, dead, forgetful] = counts;
        (twins + more, dead, forgetful)
    }

    fn add(&mut self, index: usize, role: Role) {
        let order = Order::new(HEIGHT, members(self.n), Some(member(index))).unwrap();
        let mut audience: BTreeSet<usize> = (0..self.n).filter(|other| *other != index).collect();
        let node = |audience, order| Node {
            member: index,
            role,
            up: true,
            life: 0,
            order,
            copies: Vec::new(),
            remembered: Vec::new(),
            recovering: false,
            audience,
            arrived: BTreeSet::new(),
        };
        if role == Role::Twins {
            let second: BTreeSet<usize> = audience.iter().copied().filter(|_| self.rng.percent(50)).collect();
            let overlap = self.rng.percent(30);
            audience.retain(|other| overlap || !second.contains(other));
            self.nodes.push(node(second, order.clone()));
        }
        self.nodes.push(node(audience, order));
    }

    fn schedule(&mut self) {
        self.at(self.heal_at, Event::Heal);
        let early = self.rng.percent(60);
        for node in 0..self.nodes.len() {
            self.at(0, Event::Start { node });
            let first_sync = self.rng.next() % SYNC_EVERY;
            self.at(first_sync, Event::Sync { node });
            for v in VALID {
                let when = if early { 0 } else { self.rng.next() % self.heal_at };
                self.at(when, Event::Arrive { node, value: value(v) });
            }
            if self.rng.percent(70) {
                let chosen = self.eligible_for(node);
                let when = if early { 1 } else { self.rng.next() % self.heal_at };
                self.at(when, Event::Eligible { node, value: Some(chosen) });
                if self.rng.percent(20) {
                    let when = self.rng.next() % self.heal_at;
                    self.at(when, Event::Eligible { node, value: None });
                }
            }
            match self.nodes[node].role {
                Role::Twins => self.at(0, Event::Junk { node }),
                _ => {
                    for _ in 0..self.crashes {
                        let when = self.rng.next() % self.heal_at;
                        self.at(when, Event::Crash { node });
                    }
                }
            }
        }
    }

    fn eligible_for(&mut self, node: usize) -> Sha256 {
        let invalid = self.nodes[node].role == Role::Twins && self.rng.percent(30);
        value(if invalid { INVALID } else { 1 + self.rng.below(3) as u8 })
    }

    fn at(&mut self, when: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((when.max(self.now), self.sequence), event);
    }

    fn node_of(&self, member: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |i| self.nodes[*i].member == member)
    }

    fn delay(&mut self) -> u64 {
        self.rng.next() % if self.healed { DELAY_HEALED } else { self.delay_max }
    }

    fn misses(&self, to: usize, message: &Message) -> bool {
        let slot = (to as u64) << 40 | u64::from(message.round) << 8 | message.kind as u64;
        let mut rng = Rng(self.salt ^ slot);
        let from = usize::from(message.member.0[0]) + rng.below(self.n);
        let muted = !self.narrow || message.kind == Kind::Proposal || from % self.n < self.n - quorum(self.n);
        rng.percent(self.blackout) && muted
    }

    /// Sends to every machine of a member, unless the network loses it.
    fn send(&mut self, to: usize, message: Message) {
        let targets: Vec<usize> = self.node_of(to).collect();
        for node in targets {
            if !self.healed && (self.rng.percent(self.loss) || self.misses(to, &message)) {
                continue;
            }
            let copies = if self.rng.percent(self.duplicates) { 2 } else { 1 };
            for _ in 0..copies {
                let when = self.now + self.delay();
                self.at(when, Event::Deliver { to: node, message });
            }
        }
    }

    /// Honest members that stay.
    pub(super) fn lasting(&self) -> impl Iterator<Item = &Order> {
        self.nodes.iter().filter(|node| node.role == Role::Honest).map(|node| &node.order)
    }

    pub(super) fn finished(&self) -> bool {
        self.lasting().all(|order| order.decision().is_some())
    }

    /// Ticks within which everybody decides after healing: the last recovery, and the waits of 2n rounds, as long as they
    /// are by then.
    fn deadline(&self) -> u64 {
        let rounds = self.heal_round..=self.heal_round + 2 * self.n as u32;
        let waits = |round| {
            [TimeoutKind::Propose, TimeoutKind::Prevote, TimeoutKind::Precommit]
                .map(|k| delay_ms(k, round))
                .iter()
                .sum()
        };
        let total: u64 = rounds.map(|round| -> u64 { waits(round) }).sum();
        self.heal_at + 2_000 + total + SYNC_EVERY * 2
    }

    /// Runs to the end: everybody has decided, or the deadline after healing has passed.
    pub(super) fn run(&mut self) {
        while let Some(((when, _), event)) = self.queue.pop_first() {
            self.now = when;
            if self.healed && (self.finished() || self.now > self.deadline()) {
                break;
            }
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, message } => self.input(to, Input::Received(message)),
            Event::Certificate { to, precommits } => self.input(to, Input::Certified { precommits }),
            Event::Timer { node, life, kind, round } => {
                if self.nodes[node].life == life {
                    self.input(node, Input::Timeout { kind, round });
                }
            }
            Event::Verdict { node, life, value } => {
                if self.nodes[node].life == life {
                    self.verdict(node, value);
                }
            }
            Event::Arrive { node, value } => {
                self.nodes[node].arrived.insert(value);
                self.input(node, Input::Valid { value, valid: true });
            }
            Event::Eligible { node, value } => {
                if let Some(value) = value {
                    self.nodes[node].arrived.insert(value);
                }
                self.input(node, Input::Eligible { value });
            }
            Event::Sync { node } => self.sync(node),
            Event::Junk { node } => self.junk(node),
            Event::Crash { node } => self.crash(node),
            Event::Start { node } => self.start(node),
            Event::Recover { node, life } => {
                if self.nodes[node].life == life {
                    self.recover(node);
                }
            }
            Event::Heal => self.heal(),
        }
    }

    fn verdict(&mut self, node: usize, value: Sha256) {
        let valid = self.nodes[node].role == Role::Twins || self.nodes[node].arrived.contains(&value);
        // While approvals are missing, some applications say no, others nothing.
        if valid || value.0[0] == INVALID || node.is_multiple_of(2) {
            self.input(node, Input::Valid { value, valid });
        }
    }

    fn input(&mut self, index: usize, input: Input) {
        let node = &mut self.nodes[index];
        let own_key =
            node.role == Role::Twins && matches!(&input, Input::Received(m) if m.member == member(node.member));
        if !node.up || own_key {
            return;
        }
        if node.role != Role::Twins && self.rng.percent(10) {
            node.copies.push(node.order.clone());
        }
        let out = node.order.handle(input);
        // The state is durable now. A crash before its effects loses them all.
        if !self.healed && self.crashes > 0 && node.role != Role::Twins && self.rng.percent(1) {
            self.note(index, &out);
            self.stop(index);
            return;
        }
        self.note(index, &out);
        for output in out {
            self.effect(index, output);
        }
    }

    /// The invariants that hold for each single output of an honest member.
    fn note(&mut self, index: usize, out: &[Output]) {
        let node = &self.nodes[index];
        if node.role == Role::Twins {
            return;
        }
        for output in out {
            match output {
                Output::Send(message) => {
                    assert_eq!(message.member, member(node.member));
                    let slot = (node.member, message.round, message.kind);
                    let before = self.said.insert(slot, *message);
                    assert!(before.is_none_or(|before| before == *message), "{before:?} then {message:?}");
                }
                Output::Decide { value, round, precommits } => {
                    assert_ne!(value.0[0], INVALID, "validity");
                    let voters: BTreeSet<MemberId> = precommits.iter().map(|m| m.member).collect();
                    assert!(voters.len() >= quorum(self.n) && voters.len() == precommits.len());
                    assert!(precommits.iter().all(|m| (m.round, m.value) == (*round, Some(*value))));
                    self.decisions.push((node.member, Lock { value: *value, round: *round }));
                }
                Output::Evidence { first, second } => {
                    assert_eq!((first.member, first.round, first.kind), (second.member, second.round, second.kind));
                    assert_ne!(first, second);
                    let accused = (0..self.n).find(|i| member(*i) == first.member).unwrap();
                    let twins = self.node_of(accused).any(|i| self.nodes[i].role == Role::Twins);
                    assert!(twins, "honest members contradict nobody, nor themselves: {first:?} {second:?}");
                    self.evidence += 1;
                }
                _ => {}
            }
        }
    }

    fn effect(&mut self, index: usize, output: Output) {
        match output {
            Output::Send(message) => {
                let audience = self.nodes[index].audience.clone();
                for to in audience {
                    self.send(to, message);
                }
            }
            Output::Timer { kind, round, delay_ms } => {
                let life = self.nodes[index].life;
                self.at(self.now + delay_ms, Event::Timer { node: index, life, kind, round });
            }
            Output::Check { value } => {
                let (life, when) = (self.nodes[index].life, self.now + self.rng.next() % 30);
                self.at(when, Event::Verdict { node: index, life, value });
            }
            _ => {}
        }
    }

    /// Catches up with the others: asks for what it lacks.
    fn sync(&mut self, index: usize) {
        self.at(self.now + SYNC_EVERY, Event::Sync { node: index });
        if !self.nodes[index].up {
            return;
        }
        let held: BTreeSet<Message> = self.nodes[index].order.messages().into_iter().collect();
        for other in 0..self.nodes.len() {
            let reached = self.healed || self.rng.percent(self.sync);
            let node = &self.nodes[other];
            if other == index || !node.up || node.role == Role::Twins || !reached {
                continue;
            }
            let missing: Vec<Message> = node.order.messages().into_iter().filter(|m| !held.contains(m)).collect();
            if let Some(decision) = node.order.decision() {
                let precommits = decision.precommits.clone();
                let when = self.now + self.delay();
                self.at(when, Event::Certificate { to: index, precommits });
            }
            let when = self.now + self.delay();
            for message in missing {
                self.at(when, Event::Deliver { to: index, message });
            }
        }
    }

    fn heal(&mut self) {
        self.healed = true;
        let agreed = value(1 + self.rng.below(3) as u8);
        for node in 0..self.nodes.len() {
            if self.nodes[node].role == Role::Dead {
                self.nodes[node].up = false;
                continue;
            }
            self.start(node);
            for v in VALID {
                self.happen(Event::Arrive { node, value: value(v) });
            }
            if self.nodes[node].order.status().eligible.is_none() {
                self.input(node, Input::Eligible { value: Some(agreed) });
            }
        }
        self.heal_round = self.lasting().map(|order| order.status().round).max().unwrap_or(0);
    }

    /// Agreement over everything ever decided, and termination.
    pub(super) fn judge(&self) {
        for pair in self.decisions.windows(2) {
            assert_eq!(pair[0].1.value, pair[1].1.value, "agreement: {:?}", self.decisions);
        }
        let late: Vec<Status> = self.lasting().filter(|order| order.decision().is_none()).map(Order::status).collect();
        assert!(
            late.is_empty(),
            "termination: n {} healed at {} in round {}, now {}: {late:#?}",
            self.n,
            self.heal_at,
            self.heal_round,
            self.now
        );
    }
}
