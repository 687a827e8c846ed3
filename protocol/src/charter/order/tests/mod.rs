//! Tests of the ordering machine: each line of the paper, restoring, bounds, a model of whole federations, and a second
//! implementation as oracle.

mod bounds;
mod chaos;
mod differential;
mod lines;
mod model;
mod oracle;
mod restore;
mod sim;

use super::*;

/// Divisible by every n tested, so that the proposer of round r is member `r mod n`.
const HEIGHT: u64 = 840;

fn member(index: usize) -> MemberId {
    MemberId([u8::try_from(index).unwrap() + 1; 32])
}

fn members(n: usize) -> Vec<MemberId> {
    (0..n).map(member).collect()
}

fn value(index: u8) -> Sha256 {
    Sha256([index; 32])
}

fn proposal(round: u32, by: usize, value: Sha256, pol_round: Option<u32>) -> Message {
    Message { height: HEIGHT, round, kind: Kind::Proposal, value: Some(value), pol_round, member: member(by) }
}

fn prevote(round: u32, by: usize, value: Option<Sha256>) -> Message {
    Message { height: HEIGHT, round, kind: Kind::Prevote, value, pol_round: None, member: member(by) }
}

fn precommit(round: u32, by: usize, value: Option<Sha256>) -> Message {
    Message { height: HEIGHT, round, kind: Kind::Precommit, value, pol_round: None, member: member(by) }
}

/// A machine of member `me` of `n` that may sign.
fn signing(n: usize, me: usize) -> Order {
    let mut order = Order::new(HEIGHT, members(n), Some(member(me))).unwrap();
    order.handle(Input::MaySign(true));
    order
}

/// A machine whose application finds the given values valid, and which records what it does.
struct Bench {
    order: Order,
    valid: Vec<Sha256>,
    out: Vec<Output>,
}

impl Bench {
    fn new(n: usize, me: usize) -> Self {
        Self { order: signing(n, me), valid: vec![value(1), value(2)], out: Vec::new() }
    }

    /// Feeds an input, answers the questions it raises, and returns what was done for it.
    fn feed(&mut self, input: Input) -> Vec<Output> {
        let mut out = self.order.handle(input);
        let mut at = 0;
        while at < out.len() {
            if let Output::Check { value } = out[at] {
                let valid = self.valid.contains(&value);
                out.extend(self.order.handle(Input::Valid { value, valid }));
            }
            at += 1;
        }
        self.out.extend(out.iter().cloned());
        out
    }

    fn receive(&mut self, message: Message) -> Vec<Output> {
        self.feed(Input::Received(message))
    }

    fn receive_all(&mut self, messages: impl IntoIterator<Item = Message>) -> Vec<Output> {
        messages.into_iter().flat_map(|m| self.receive(m)).collect()
    }

    fn eligible(&mut self, index: u8) -> Vec<Output> {
        self.feed(Input::Eligible { value: Some(value(index)) })
    }

    fn timeout(&mut self, kind: TimeoutKind, round: u32) -> Vec<Output> {
        self.feed(Input::Timeout { kind, round })
    }

    fn status(&self) -> Status {
        self.order.status()
    }
}

fn sent(out: &[Output]) -> Vec<Message> {
    out.iter().filter_map(|o| if let Output::Send(m) = o { Some(*m) } else { None }).collect()
}

fn timers(out: &[Output]) -> Vec<(TimeoutKind, u32)> {
    out.iter()
        .filter_map(|o| if let Output::Timer { kind, round, .. } = o { Some((*kind, *round)) } else { None })
        .collect()
}

fn refusals(out: &[Output]) -> Vec<Refusal> {
    out.iter().filter_map(|o| if let Output::Refused { reason, .. } = o { Some(*reason) } else { None }).collect()
}

fn decided(out: &[Output]) -> Option<Lock> {
    out.iter().find_map(|o| match o {
        Output::Decide { value, round, .. } => Some(Lock { value: *value, round: *round }),
        _ => None,
    })
}

/// A small, fixed generator (SplitMix64): a seed names a run for good.
#[derive(Clone)]
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

/// The seeds to run: the first `count`, `ORDER_RUNS` times as many, or the one in `ORDER_SEED` to repeat a failure.
fn seeds(count: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("ORDER_SEED") {
        Some(seed) => vec![seed],
        None => (0..count * number("ORDER_RUNS").unwrap_or(1)).collect(),
    }
}

/// Names the seed when a run fails inside.
fn with_seed(seed: u64, run: impl FnOnce(u64) + std::panic::UnwindSafe) {
    if let Err(panic) = std::panic::catch_unwind(move || run(seed)) {
        eprintln!("failed with ORDER_SEED={seed}");
        std::panic::resume_unwind(panic);
    }
}
