//! Agreement under a hostile scheduler: no clock, every message and timer in any order or never, one equivocator that votes
//! for what its listener wants to hear, and rollbacks. Short runs, many of them: this is the test that finds a missing lock.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const RUNS: u64 = 800;
const STEPS: usize = 700;

struct Chaos {
    rng: Rng,
    n: usize,
    /// The equivocator, if n allows one: f is spent on it, so nobody else may forget what it said.
    liar: Option<usize>,
    orders: Vec<Order>,
    inbox: Vec<(usize, Message)>,
    timers: Vec<BTreeSet<(u32, TimeoutKind)>>,
    said: BTreeMap<(MemberId, u32, Kind), Message>,
    decisions: Vec<(usize, Lock)>,
    /// Messages that are held back: of one kind in one round a listener misses up to n - k senders, so that it still hears
    /// a quorum, but another one than its neighbour.
    held: Vec<(usize, Message)>,
    /// Chances in percent: to hold back a message that may be, to lie, to let go of a held one, to roll back.
    odds: [usize; 4],
    salt: u64,
    /// Chance, in percent, that the equivocator votes as its listener has just been told by another.
    echo: usize,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed ^ 0xc4a0_5eed);
        let n = [2, 3, 4, 4, 4, 4, 5, 7][rng.below(8)];
        let liar = (n > quorum(n)).then(|| rng.below(n));
        let orders = (0..n).map(|i| signing(n, i)).collect();
        let odds = [[60, 8, 1, 2], [90, 15, 2, 4], [40, 5, 5, 3], [100, 15, 1, 3]][rng.below(4)];
        let echo = [0, 30, 60, 80][rng.below(4)];
        let timers = vec![BTreeSet::new(); n];
        Self {
            rng,
            n,
            liar,
            orders,
            inbox: Vec::new(),
            timers,
            said: BTreeMap::new(),
            decisions: Vec::new(),
            held: Vec::new(),
            odds,
            salt: seed,
            echo,
        }
    }

    fn feed(&mut self, node: usize, input: Input) {
        if self.liar == Some(node) {
            return;
        }
        for output in self.orders[node].handle(input) {
            match output {
                Output::Send(message) => {
                    let before = self.said.insert((message.member, message.round, message.kind), message);
                    assert!(before.is_none_or(|before| before == message), "{before:?} then {message:?}");
                    self.send(node, message);
                }
                Output::Timer { kind, round, .. } => {
                    self.timers[node].insert((round, kind));
                }
                Output::Check { value } => self.feed(node, Input::Valid { value, valid: true }),
                Output::Decide { value, round, .. } => self.decisions.push((node, Lock { value, round })),
                Output::Evidence { first, .. } => {
                    assert_eq!(Some(first.member), self.liar.map(member), "honest members contradict nobody");
                }
                _ => {}
            }
        }
    }

    fn run(&mut self) {
        for node in 0..self.n {
            let own = value(1 + self.rng.below(2) as u8);
            self.feed(node, Input::Eligible { value: Some(own) });
        }
        for _ in 0..STEPS {
            let [_, lie, release, roll_back] = self.odds;
            if self.rng.percent(lie) {
                self.lie();
            } else if self.rng.percent(release) && !self.held.is_empty() {
                let late = self.held.swap_remove(self.rng.below(self.held.len()));
                self.inbox.push(late);
            } else if self.rng.percent(roll_back) {
                self.roll_back();
            } else if self.inbox.is_empty() || self.rng.percent(2) {
                self.expire();
            } else {
                let (to, message) = self.inbox.swap_remove(self.rng.below(self.inbox.len()));
                if self.rng.percent(5) {
                    self.inbox.push((to, message));
                }
                self.feed(to, Input::Received(message));
            }
        }
        for pair in self.decisions.windows(2) {
            assert_eq!(pair[0].1.value, pair[1].1.value, "agreement, n {}: {:?}", self.n, self.decisions);
        }
    }

    fn send(&mut self, from: usize, message: Message) {
        for to in (0..self.n).filter(|to| *to != from) {
            let mut fate = Rng(self.salt ^ (to as u64) << 40 ^ u64::from(message.round) << 8 ^ message.kind as u64);
            let muted = (from + fate.below(self.n)) % self.n < self.n - quorum(self.n);
            let missed = message.kind == Kind::Proposal && fate.percent(self.odds[0] / 2);
            // The equivocator agrees with everybody, to everybody.
            if let Some(liar) = self.liar.filter(|liar| *liar != to && message.kind != Kind::Proposal)
                && self.rng.percent(self.echo)
            {
                self.inbox.push((to, Message { member: member(liar), ..message }));
            }
            if missed || muted && fate.percent(self.odds[0]) {
                self.held.push((to, message));
            } else {
                self.inbox.push((to, message));
            }
        }
    }

    fn expire(&mut self) {
        let node = self.rng.below(self.n);
        let now = self.orders[node].status().round;
        self.timers[node].retain(|(round, _)| *round >= now);
        if let Some((round, kind)) = self.timers[node].pop_first() {
            self.feed(node, Input::Timeout { kind, round });
        }
    }

    fn lie(&mut self) {
        let Some(liar) = self.liar else { return };
        let to = self.rng.below(self.n);
        let status = self.orders[to].status();
        let round = status.round;
        let other = [None, Some(value(1)), Some(value(2))][self.rng.below(3)];
        let wanted = if self.rng.percent(70) { status.proposal } else { other };
        let message = match self.rng.below(5) {
            0..=2 if round as usize % self.n == liar => {
                let proof = if self.rng.percent(80) { round.checked_sub(1 + self.rng.below(3) as u32) } else { None };
                proposal(round, liar, other.unwrap_or(value(2)), proof)
            }
            0..=2 => prevote(round, liar, wanted),
            _ => precommit(round, liar, wanted),
        };
        self.feed(to, Input::Received(message));
    }

    /// Back to nothing; then everything said before is shown again, in any order, before the member may sign.
    fn roll_back(&mut self) {
        // Rather somebody who has decided: it forgets that, and goes on.
        let decided = (0..self.n).find(|node| self.orders[*node].decision().is_some());
        let node = decided.filter(|_| self.rng.percent(80)).unwrap_or(self.rng.below(self.n));
        let mut own = self.orders[node].own_messages();
        let eligible = self.orders[node].status().eligible;
        self.orders[node] = Order::new(HEIGHT, members(self.n), Some(member(node))).unwrap();
        self.timers[node].clear();
        self.feed(node, Input::Eligible { value: eligible });
        while !own.is_empty() {
            let next = own.swap_remove(self.rng.below(own.len()));
            self.feed(node, Input::Received(next));
        }
        self.feed(node, Input::MaySign(true));
    }
}

#[test]
fn agreement_under_a_hostile_scheduler() {
    let (mut decided, mut split, mut highest) = (0, 0, 0);
    for seed in seeds(RUNS) {
        let mut report = (0, 0, 0);
        let out = std::panic::AssertUnwindSafe(&mut report);
        with_seed(seed, move |seed| {
            let out = out;
            let mut chaos = Chaos::new(seed);
            chaos.run();
            let rounds: BTreeSet<u32> = chaos.decisions.iter().map(|(_, lock)| lock.round).collect();
            *out.0 = (chaos.decisions.len(), rounds.len(), rounds.last().copied().unwrap_or(0));
        });
        decided += usize::from(report.0 > 0);
        split += usize::from(report.1 > 1);
        highest = highest.max(report.2);
    }
    println!("runs with a decision: {decided}, with decisions in several rounds: {split}, highest round: {highest}");
    if std::env::var("ORDER_SEED").is_err() {
        assert!(decided > 200 && split > 3, "{decided} {split}");
    }
}
