//! A federation of real cores in virtual time. One seed chooses the order of everything, and what goes wrong.
//!
//! The shell around each core does what a node's driver does: append the batch, fold it, tell the core, and carry out effects
//! only when all that was appended before them is durable.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::Node;
use crate::rng::Rng;
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
    /// Longest delivery.
    pub delay_max_ms: u64,
    /// Longest commit.
    pub commit_max_ms: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self { gossip_loss: 0, request_loss: 0, duplicates: 0, delay_max_ms: 20, commit_max_ms: 5 }
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
    queue: BTreeMap<(u64, u64, u64), (usize, Happening)>,
    sequence: u64,
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
            queue: BTreeMap::new(),
            sequence: 0,
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
        self.nodes[node].step(now, input);
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
            Happening::Commit { life, upto } if self.nodes[node].life == life => {
                let disk = &mut self.nodes[node].disk;
                disk.durable = disk.durable.max(upto);
                self.carry_out(node);
            }
            Happening::Input { life, input } if self.nodes[node].life == life => self.step(node, input),
            Happening::Tick { .. } | Happening::Commit { .. } | Happening::Input { .. } => {}
            Happening::Request { from, from_life, tag, bytes } => self.requested(node, from, from_life, tag, bytes),
            Happening::Gossip { from, bytes } => self.gossiped(node, from, bytes),
            Happening::Links => self.link(),
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
        self.nodes[node].crash();
        self.asked.retain(|(at, _), _| *at != node);
        self.links_soon();
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
