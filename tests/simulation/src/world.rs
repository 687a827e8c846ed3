//! A federation of real cores in virtual time. One seed chooses the order of everything, and what goes wrong.
//!
//! The shell around each core does what a node's driver does: append the batch, fold it, tell the core, and carry out effects
//! only when all that was appended before them is durable.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Checks;
use crate::node::{Armed, Node};
use crate::org::Made;
use crate::rng::Rng;
use crate::trace::Trace;
use verbund_protocol::core::Input;
use verbund_protocol::ids::FederationId;

/// What can go wrong, in chances per thousand and milliseconds.
#[derive(Debug, Clone)]
pub struct Faults {
    /// Gossip messages that are lost.
    pub gossip_loss: u64,
    /// Requests or answers that are lost.
    pub request_loss: u64,
    /// Gossip messages that come twice.
    pub duplicates: u64,
    /// Messages that take up to fifty times as long, so that those behind them overtake.
    pub stragglers: u64,
    /// Longest delivery.
    pub delay_max_ms: u64,
    /// Longest commit.
    pub commit_max_ms: u64,
    /// Whether a crash may leave frames that were written and not synced.
    pub torn: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            gossip_loss: 0,
            request_loss: 0,
            duplicates: 0,
            stragglers: 0,
            delay_max_ms: 20,
            commit_max_ms: 5,
            torn: false,
        }
    }
}

/// What happens at a time.
#[derive(Debug)]
pub enum Happening {
    Tick {
        life: u32,
    },
    Commit {
        life: u32,
        upto: usize,
    },
    /// Something arrives at the core.
    Input {
        life: u32,
        input: Input,
    },
    /// A request arrives, to be answered to another node.
    Request {
        from: usize,
        from_life: u32,
        tag: Option<u64>,
        bytes: Vec<u8>,
    },
    Gossip {
        from: usize,
        bytes: Vec<u8>,
    },
    /// The network looks whom it can connect.
    Links,
    /// The process ends, if it runs.
    Crash,
    /// The process is started, if it does not run.
    Start,
    /// The shell fetches what stood in damaged frames.
    Mend,
}

pub struct World {
    pub federation: FederationId,
    pub nodes: Vec<Node>,
    pub now_ms: u64,
    pub rng: Rng,
    /// Inputs that cores were given so far.
    pub steps: u64,
    pub faults: Faults,
    /// Pairs of nodes that cannot reach each other.
    pub cut: BTreeSet<(usize, usize)>,
    /// What the first of the two sends never reaches the second.
    pub mute: BTreeSet<(usize, usize)>,
    pub trace: Trace,
    /// Looks at everything that happens, if anybody does.
    pub checks: Option<Box<Checks>>,
    /// Releases that were made, with their artifacts.
    pub made: Vec<Made>,
    /// Gossip of late, to be repeated by whoever has an interest in it.
    pub overheard: Vec<Vec<u8>>,
    queue: BTreeMap<(u64, u64, u64), (usize, Happening)>,
    sequence: u64,
    /// Sync requests that were sent and neither answered nor given up: node and tag.
    pub(crate) under_way: BTreeSet<(usize, u64)>,
    /// Requests at a core that wait for its answer: node and id, then who asked, its life, and its tag.
    pub(crate) asked: BTreeMap<(usize, u64), (usize, u32, Option<u64>)>,
    next_id: u64,
    pub(crate) links_due: bool,
    /// Ticks at one instant, to notice a core that wants to be woken without end.
    busy: (u64, u32),
}

impl World {
    pub fn empty(seed: u64, federation: FederationId) -> Self {
        Self {
            federation,
            nodes: Vec::new(),
            now_ms: 1_000,
            rng: Rng::new(seed),
            steps: 0,
            faults: Faults::default(),
            cut: BTreeSet::new(),
            mute: BTreeSet::new(),
            trace: Trace::default(),
            checks: None,
            made: Vec::new(),
            overheard: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            under_way: BTreeSet::new(),
            asked: BTreeMap::new(),
            next_id: 1,
            links_due: false,
            busy: (0, 0),
        }
    }

    pub fn later(&mut self, delay_ms: u64, node: usize, what: Happening) {
        self.sequence += 1;
        // Of what happens at one time, the seed chooses what is first.
        let order = if matches!(what, Happening::Commit { .. }) { self.sequence } else { self.rng.draw() };
        self.queue.insert((self.now_ms + delay_ms, order, self.sequence), (node, what));
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The next thing happens; `false` if there is none before `until_ms`.
    fn next(&mut self, until_ms: u64) -> bool {
        let Some((&(at, ..), _)) = self.queue.first_key_value() else { return false };
        if at > until_ms {
            return false;
        }
        let Some((_, (node, what))) = self.queue.pop_first() else { return false };
        self.now_ms = self.now_ms.max(at);
        self.happen(node, what);
        true
    }

    pub fn run(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while self.next(until) {}
        self.now_ms = until;
    }

    /// Runs until `what` holds, at most `limit_ms`; says whether it does.
    pub fn until(&mut self, limit_ms: u64, what: impl Fn(&Self) -> bool) -> bool {
        let (start, end) = (self.now_ms, self.now_ms + limit_ms);
        while !what(self) {
            if self.now_ms >= end {
                return false;
            }
            // Looked at closely at first, then rarely.
            let slice = (self.now_ms + (self.now_ms - start).clamp(400, 16_000) / 8).min(end);
            while self.next(slice) {}
            self.now_ms = slice;
        }
        true
    }

    #[track_caller]
    pub fn expect(&mut self, limit_ms: u64, why: &str, what: impl Fn(&Self) -> bool) {
        let done = self.until(limit_ms, what);
        assert!(done, "not within {limit_ms} ms: {why}\n{}", self.describe());
    }

    /// One input for a core, and what follows from it.
    pub fn step(&mut self, node: usize, input: Input) {
        let now = self.now_ms;
        self.steps += 1;
        if !self.nodes[node].up() {
            return;
        }
        self.trace.input(now, node, &input);
        self.nodes[node].step(now, input, &mut self.trace);
        self.settle(node);
    }

    fn settle(&mut self, node: usize) {
        let commit = self.rng.between(0, self.faults.commit_max_ms);
        let n = &mut self.nodes[node];
        if !n.up() {
            return;
        }
        let (life, upto) = (n.life, n.disk.journal.len());
        if n.disk.durable < upto {
            self.later(commit, node, Happening::Commit { life, upto });
        }
        self.carry_out(node);
        self.schedule(node);
    }

    fn schedule(&mut self, node: usize) {
        let now = self.now_ms;
        let n = &mut self.nodes[node];
        let Some(core) = &n.core else { return };
        let due = core.next_due_ms(now - n.boot_ms) + n.boot_ms;
        if due < n.tick_at_ms {
            n.tick_at_ms = due.max(now);
            let (life, delay) = (n.life, n.tick_at_ms - now);
            self.later(delay, node, Happening::Tick { life });
        }
    }

    fn happen(&mut self, node: usize, what: Happening) {
        match what {
            Happening::Tick { life } if self.nodes[node].life == life => {
                let again = self.busy.0 == self.now_ms;
                self.busy = (self.now_ms, if again { self.busy.1 + 1 } else { 0 });
                assert!(self.busy.1 < 2_000, "{} wants to be woken without end", self.nodes[node].org.handle);
                self.nodes[node].tick_at_ms = u64::MAX;
                self.step(node, Input::Tick);
            }
            Happening::Commit { life, upto } if self.nodes[node].life == life => self.committed(node, upto),
            Happening::Input { life, input } if self.nodes[node].life == life => {
                if let Input::Answer { tag, .. } = &input {
                    self.under_way.remove(&(node, *tag));
                }
                let input = self.nodes[node].let_in(input);
                self.step(node, input);
            }
            Happening::Tick { .. } | Happening::Commit { .. } | Happening::Input { .. } => {}
            Happening::Request { from, from_life, tag, bytes } => self.requested(node, from, from_life, tag, bytes),
            Happening::Gossip { from, bytes } => self.gossiped(node, from, bytes),
            Happening::Links => self.link(),
            Happening::Crash if self.nodes[node].up() => self.crash(node),
            Happening::Start if !self.nodes[node].up() => self.start(node),
            Happening::Mend => self.mend(node),
            Happening::Crash | Happening::Start => {}
        }
    }

    fn committed(&mut self, node: usize, upto: usize) {
        if self.nodes[node].armed == Some(Armed::BeforeCommit) {
            self.trace.count("crash before commit");
            return self.crash(node);
        }
        let disk = &mut self.nodes[node].disk;
        disk.durable = disk.durable.max(upto);
        if self.nodes[node].armed == Some(Armed::AfterCommit) {
            self.trace.count("crash after commit, before effects");
            return self.crash(node);
        }
        self.carry_out(node);
    }

    /// Whether a sync request of `node` is still to be answered.
    pub fn open(&self, node: usize, tag: u64) -> bool {
        self.under_way.contains(&(node, tag))
    }

    /// Lets the checkers look, if there are any.
    pub fn checked(&mut self, look: impl FnOnce(&mut Checks, &Self)) {
        if let Some(mut checks) = self.checks.take() {
            look(&mut checks, self);
            self.checks = Some(checks);
        }
    }

    pub fn start(&mut self, node: usize) {
        let now = self.now_ms;
        self.nodes[node].start(now);
        let addresses = self.nodes[node].own.addresses.clone();
        self.step(node, Input::Addresses(addresses));
        self.step(node, Input::Tick);
        self.links_soon();
    }

    pub fn crash(&mut self, node: usize) {
        // Frames that were written need not be lost where nobody waited for the disk.
        let written = self.nodes[node].disk.journal.len() - self.nodes[node].disk.durable;
        let survive = if self.faults.torn && written > 0 { self.rng.below(written as u64 + 1) as usize } else { 0 };
        if self.faults.torn && survive < written {
            self.trace.count("torn tail");
        }
        if self.nodes[node].armed.is_some() {
            let after = self.rng.between(50, 20_000);
            self.later(after, node, Happening::Start);
        }
        self.nodes[node].crash(survive);
        self.asked.retain(|(at, _), _| *at != node);
        self.under_way.retain(|(at, _)| *at != node);
        self.links_soon();
        self.checked(|checks, w| checks.crashed(w, node));
    }

    /// Cuts each of `left` off from each of `right`.
    pub fn partition(&mut self, left: &[usize], right: &[usize]) {
        for a in left {
            for b in right {
                self.cut.insert((*a.min(b), *a.max(b)));
            }
        }
        self.links_soon();
    }

    pub fn heal(&mut self) {
        self.cut.clear();
        self.mute.clear();
        self.faults = Faults::default();
        self.links_soon();
    }

    pub fn links_soon(&mut self) {
        if !std::mem::replace(&mut self.links_due, true) {
            let delay = self.rng.between(1, 10);
            self.later(delay, 0, Happening::Links);
        }
    }
}
