//! Against a second implementation of the same algorithm, from the same random schedules.
//!
//! One member in lockstep: both get the same inputs, say the same things and decide the same, up to the first place where
//! ours differs on purpose (module header): line 55 over several rounds, by a proposal or by n - k + 1 members, line 49 without the proposal.
//! Contradicting members are left to the mixed federations, since both count them differently.
//! Mixed federations: some members run one, some the other; they never disagree, and all decide once everything arrives.

use super::oracle::{Oracle, is_valid};
use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// One of the two implementations.
enum Engine {
    Ours(Box<Order>),
    Theirs(Box<Oracle>),
}

impl Engine {
    fn ours(n: usize, me: usize) -> Self {
        Self::Ours(Box::new(signing(n, me)))
    }

    fn theirs(n: usize, me: usize) -> Self {
        Self::Theirs(Box::new(Oracle::new(n, me)))
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        match self {
            Self::Theirs(oracle) => oracle.handle(input),
            Self::Ours(order) => {
                let mut out = order.handle(input);
                let mut at = 0;
                while at < out.len() {
                    if let Output::Check { value } = out[at] {
                        out.extend(order.handle(Input::Valid { value, valid: is_valid(value) }));
                    }
                    at += 1;
                }
                out
            }
        }
    }

    fn decided(&self) -> Option<Lock> {
        match self {
            Self::Ours(order) => order.status().decided,
            Self::Theirs(oracle) => oracle.decided,
        }
    }

    fn round(&self) -> u32 {
        match self {
            Self::Ours(order) => order.status().round,
            Self::Theirs(oracle) => oracle.round(),
        }
    }
}

/// What the other members say, at random but without contradicting themselves.
struct Others {
    n: usize,
    me: usize,
    /// The value that most of them favour, so that quorums happen.
    favourite: Sha256,
    agree: usize,
    /// Whether they also speak two rounds ahead and propose early: where line 55 differs on purpose.
    far: bool,
    said: BTreeMap<(usize, u32, Kind), Message>,
}

impl Others {
    fn speak(&mut self, rng: &mut Rng, now: u32) -> Option<Message> {
        if self.n == 1 {
            return None;
        }
        let by = (self.me + 1 + rng.below(self.n - 1)) % self.n;
        let round = match rng.below(12) {
            0 => now + 1,
            1 => now.saturating_sub(1),
            2 if self.far => now + 2,
            _ => now,
        };
        let any = [None, Some(value(1)), Some(value(2)), Some(value(9))][rng.below(4)];
        let what = if rng.percent(self.agree) { Some(self.favourite) } else { any };
        let turn = round as usize % self.n;
        let message = match rng.below(5) {
            0 | 1 if turn != self.me && (self.far || round <= now) => {
                let proof = if rng.percent(40) { round.checked_sub(1 + rng.below(2) as u32) } else { None };
                proposal(round, turn, what.unwrap_or(value(1)), proof)
            }
            0..=2 => prevote(round, by, what),
            _ => precommit(round, by, what),
        };
        let slot = ((0..self.n).find(|i| member(*i) == message.member)?, message.round, message.kind);
        Some(*self.said.entry(slot).or_insert(message))
    }

    /// Whether more than n/3 other members voted in exactly this round: what the other implementation goes by. (Ours asks
    /// for n - k + 1 members, which is one less if 3 divides n.)
    fn voters_in(&self, delivered: &BTreeSet<Message>, round: u32) -> bool {
        let voters: BTreeSet<MemberId> =
            delivered.iter().filter(|m| m.round == round && m.kind != Kind::Proposal).map(|m| m.member).collect();
        3 * voters.len() > self.n
    }
}

/// How a lockstep run ended.
#[derive(Debug, PartialEq)]
enum End {
    Decided,
    /// At a place where ours differs on purpose.
    Differs,
    Open,
}

/// One run: how many inputs were compared, and how it ended.
fn lockstep(seed: u64) -> (usize, End) {
    let mut rng = Rng(seed ^ 0xd1ff);
    let n = [1, 2, 3, 4, 4, 5, 7, 8][rng.below(8)];
    let me = rng.below(n);
    let (mut ours, mut theirs) = (Engine::ours(n, me), Engine::theirs(n, me));
    let agree = [30, 60, 85][rng.below(3)];
    let mut others = Others { n, me, favourite: value(1), agree, far: rng.percent(30), said: BTreeMap::new() };
    let mut delivered = BTreeSet::new();
    let mut timers: [BTreeSet<(TimeoutKind, u32)>; 2] = Default::default();
    let mut log: Vec<Input> = Vec::new();
    for step in 0..150 {
        let before = ours.round();
        let common: Vec<(TimeoutKind, u32)> =
            timers[0].intersection(&timers[1]).copied().filter(|(_, round)| *round == before).collect();
        let input = match rng.below(20) {
            0 => Input::Eligible { value: Some(value(1 + rng.below(2) as u8)) },
            1..=3 if !common.is_empty() => {
                let (kind, round) = common[rng.below(common.len())];
                timers.iter_mut().for_each(|t| assert!(t.remove(&(kind, round))));
                Input::Timeout { kind, round }
            }
            _ => match others.speak(&mut rng, before) {
                Some(message) => {
                    delivered.insert(message);
                    Input::Received(message)
                }
                None => continue,
            },
        };
        log.push(input.clone());
        let out = [ours.feed(input.clone()), theirs.feed(input)];
        for (timers, out) in timers.iter_mut().zip(&out) {
            timers.extend(super::timers(out));
        }
        let entered = ours.round();
        if entered > before + 1 || entered != theirs.round() {
            // Line 55 by the rule that only ours has.
            if entered > theirs.round() && !others.voters_in(&delivered, entered) {
                return (step, End::Differs);
            }
        }
        if let Some(lock) = ours.decided()
            && theirs.decided().is_none()
        {
            // Line 49 without the proposal: with it, the other one decides the same.
            let proposed = delivered
                .iter()
                .any(|m| m.round == lock.round && m.kind == Kind::Proposal && m.value == Some(lock.value));
            assert!(!proposed, "seed {seed} step {step}: only ours decided {lock:?}\n{log:#?}");
            theirs.feed(Input::Received(proposal(lock.round, lock.round as usize % n, lock.value, None)));
            assert_eq!(theirs.decided(), Some(lock), "seed {seed} step {step}\n{log:#?}");
            return (step, End::Decided);
        }
        let context =
            || format!("seed {seed} n {n} me {me} step {step}\n{log:#?}\nours {:#?}\ntheirs {:#?}", out[0], out[1]);
        assert_eq!(sent(&out[0]), sent(&out[1]), "{}", context());
        assert_eq!(ours.decided(), theirs.decided(), "{}", context());
        assert_eq!(ours.round(), theirs.round(), "{}", context());
        if ours.decided().is_some() {
            return (step, End::Decided);
        }
    }
    (150, End::Open)
}

#[test]
fn one_member_in_lockstep() {
    let (mut steps, mut decisions, mut differ) = (0, 0, 0);
    for seed in seeds(1_500) {
        let (compared, end) = lockstep(seed);
        steps += compared;
        decisions += usize::from(end == End::Decided);
        differ += usize::from(end == End::Differs);
    }
    println!("inputs compared: {steps}, decisions: {decisions}, ended by a known difference: {differ}");
    if std::env::var("ORDER_SEED").is_err() {
        assert!(steps > 20_000 && decisions > 200, "{steps} {decisions}");
    }
}

/// A federation of engines with a random order of delivery; timers go off at random first and when nothing else is left.
fn federation(seed: u64, mut engines: Vec<Engine>, eager: usize) -> Vec<Lock> {
    let n = engines.len();
    let mut rng = Rng(seed ^ 0xfede);
    let mut inbox: Vec<(usize, Message)> = Vec::new();
    let mut timers: Vec<BTreeSet<(u32, TimeoutKind)>> = vec![BTreeSet::new(); n];
    let mut inputs: Vec<(usize, Input)> = (0..n)
        .map(|node| (node, Input::Eligible { value: Some(value(1 + (seed as usize + node) as u8 % 3)) }))
        .collect();
    for _ in 0..4_000 {
        if engines.iter().all(|e| e.decided().is_some()) {
            break;
        }
        let (node, input) = if let Some(input) = inputs.pop() {
            input
        } else if !inbox.is_empty() && !rng.percent(eager) {
            let (to, message) = inbox.swap_remove(rng.below(inbox.len()));
            (to, Input::Received(message))
        } else {
            let node = rng.below(n);
            let now = engines[node].round();
            timers[node].retain(|(round, _)| *round >= now);
            let Some((round, kind)) = timers[node].pop_first() else { continue };
            (node, Input::Timeout { kind, round })
        };
        for output in engines[node].feed(input) {
            match output {
                Output::Send(message) => inbox.extend((0..n).filter(|to| *to != node).map(|to| (to, message))),
                Output::Timer { kind, round, .. } => {
                    timers[node].insert((round, kind));
                }
                _ => {}
            }
        }
    }
    let decisions: Vec<Lock> = engines.iter().filter_map(Engine::decided).collect();
    assert!(decisions.windows(2).all(|pair| pair[0].value == pair[1].value), "seed {seed}: {decisions:?}");
    decisions
}

#[test]
fn both_decide_the_same_when_nothing_fails() {
    for seed in seeds(60) {
        let n = 1 + (seed as usize % 7);
        let ours = federation(seed, (0..n).map(|me| Engine::ours(n, me)).collect(), 0);
        let theirs = federation(seed, (0..n).map(|me| Engine::theirs(n, me)).collect(), 0);
        assert_eq!(ours.len(), n, "seed {seed}");
        assert_eq!(ours, theirs, "seed {seed}");
    }
}

#[test]
fn mixed_federations_agree() {
    let mut complete = 0;
    let all = seeds(150);
    for seed in all.iter().copied() {
        let n = 1 + (seed as usize % 7);
        let mut rng = Rng(seed);
        let eager = [0, 2, 10][rng.below(3)];
        let engine = |me| if rng.percent(50) { Engine::ours(n, me) } else { Engine::theirs(n, me) };
        complete += usize::from(federation(seed, (0..n).map(engine).collect(), eager).len() == n);
    }
    println!("federations in which everybody decided: {complete} of {}", all.len());
    assert!(complete * 10 >= all.len() * 5, "{complete}");
}
