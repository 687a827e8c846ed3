//! Traffic: what three cores say to each other, kept as it was said.

use std::collections::VecDeque;

use verbund_protocol::core::{Command, Effect, Input};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::FederationId;

use super::node::Node;
use super::world::{Heard, Org, at};

/// Carries effects from core to core until nothing is left to be said.
struct Exchange<'a> {
    nodes: &'a mut Vec<Node>,
    now_ms: u64,
    queue: VecDeque<(usize, Effect)>,
    heard: Vec<Heard>,
    tags: u64,
}

/// Lets `nodes` speak with each other for two and a half minutes, in which they release, adopt and want to expel one another. What the
/// first of them was told.
pub fn exchange(nodes: &mut Vec<Node>, orgs: &[Org; 3], federation: FederationId) -> Vec<Heard> {
    let mut exchange = Exchange { nodes, now_ms: 0, queue: VecDeque::new(), heard: Vec::new(), tags: 0 };
    exchange.run(orgs, federation);
    exchange.heard
}

impl Exchange<'_> {
    fn run(&mut self, orgs: &[Org; 3], federation: FederationId) {
        for to in 0..3 {
            for (_, org) in orgs.iter().enumerate().filter(|(from, _)| *from != to) {
                self.input(to, Input::Connected(org.node.peer()));
            }
        }
        for second in 1..150 {
            self.now_ms = second * 1_000;
            for node in 0..3 {
                self.input(node, Input::Tick);
            }
            if second == 70 {
                for (node, org) in orgs.iter().enumerate() {
                    let leaf = org.release(federation, "hundesteuer");
                    let id = Envelope::parse(&leaf).unwrap().id();
                    let more = org.statements(federation, "hundesteuer", id);
                    for leaf in std::iter::once(leaf).chain(more.into_iter().take(1)) {
                        self.input(node, Input::Command { id: 1, command: Command::Append(leaf) });
                    }
                }
                let command = Command::Expel { handle: orgs[2].handle.parse().unwrap() };
                self.input(1, Input::Command { id: 2, command });
            }
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        self.deliver(node, input);
        self.carry();
    }

    fn carry(&mut self) {
        let mut turns = 0;
        while let Some((from, effect)) = self.queue.pop_front() {
            turns += 1;
            assert!(turns < 20_000, "the exchange never ends");
            let sender = self.nodes[from].own.node.peer();
            match effect {
                Effect::Gossip(bytes) => {
                    // For half a minute the first hears no gossip, and has to catch up by asking.
                    let deaf = (70_000..100_000).contains(&self.now_ms);
                    for to in (0..3).filter(|to| *to != from && !(deaf && *to == 0)) {
                        self.tags += 1;
                        self.deliver(to, Input::Gossip { id: self.tags, from: sender, bytes: bytes.clone() });
                    }
                }
                Effect::Ask { tag, peer, bytes } => {
                    let Some(to) = self.nodes.iter().position(|n| n.own.node.peer() == peer) else { continue };
                    let answered = self.deliver(to, Input::SyncRequest { id: tag, from: sender, bytes });
                    if let Some(bytes) = answered {
                        self.deliver(from, Input::Answer { tag, result: Ok(bytes) });
                    }
                }
                _ => {}
            }
        }
    }

    /// One input; what follows is queued. The answer, if the input was a question.
    fn deliver(&mut self, node: usize, input: Input) -> Option<Vec<u8>> {
        if node == 0 {
            match &input {
                Input::Gossip { from, bytes, .. } => self.heard.push(Heard::Gossip(*from, bytes.clone())),
                Input::SyncRequest { from, bytes, .. } => self.heard.push(Heard::Request(*from, bytes.clone())),
                Input::Answer { result: Ok(bytes), .. } => self.heard.push(Heard::Answer(bytes.clone())),
                _ => {}
            }
        }
        let (effects, _) = self.nodes[node].step(at(self.now_ms), input);
        let mut answer = None;
        for effect in effects {
            match effect {
                Effect::Respond { bytes, .. } => answer = Some(bytes),
                other => self.queue.push_back((node, other)),
            }
        }
        answer
    }
}
