//! The network between the nodes, and the effects that reach it.

use std::collections::BTreeSet;

use crate::world::{Happening, World};
use verbund_protocol::core::{Effect, FetchError, FetchOrder, Input, serve};
use verbund_protocol::ids::{Blake3, PeerId, Sha256};
use verbund_protocol::limits::{FRAME_MAX_BYTES, GOSSIP_MAX_BYTES};
use verbund_protocol::release::manifest::Manifest;
use verbund_protocol::wire::sync::{Refusal, Request, Response};
use verbund_protocol::wire::{self, Gossip};

/// After this long a request has failed, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;
/// Gossip messages that are remembered for whoever repeats them.
const OVERHEARD_MAX: usize = 64;

impl World {
    fn delay(&mut self) -> u64 {
        let delay = self.rng.between(1, self.faults.delay_max_ms);
        if self.faults.stragglers == 0 || !self.rng.permille(self.faults.stragglers) {
            return delay;
        }
        self.trace.count("straggler");
        delay * self.rng.between(2, 50)
    }

    /// Whether a message is lost on its way, by chance or because nothing passes that way.
    fn lost(&mut self, from: usize, to: usize, chance: u64) -> bool {
        let chance = self.rng.permille(chance);
        let lost = chance || self.mute.contains(&(from, to));
        if lost {
            self.trace.count("message lost");
        }
        lost
    }

    pub fn reachable(&self, a: usize, b: usize) -> bool {
        a != b && self.nodes[b].up() && !self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// The running node with this peer id that `from` reaches: of clones, the first.
    pub fn find(&self, from: usize, peer: &PeerId) -> Option<usize> {
        (0..self.nodes.len()).find(|i| self.nodes[*i].peer() == *peer && self.reachable(from, *i))
    }

    /// Whether both let each other in.
    pub fn mutual(&self, a: usize, b: usize) -> bool {
        let gates = |a: usize, b: usize| self.nodes[a].gate.contains_key(&self.nodes[b].peer());
        self.reachable(a, b) && self.nodes[a].up() && gates(a, b) && gates(b, a)
    }

    /// Tells each core whom it is connected with: whoever it lets in and reaches. The other may take it for a stranger.
    pub(crate) fn link(&mut self) {
        self.links_due = false;
        for a in 0..self.nodes.len() {
            if !self.nodes[a].up() {
                continue;
            }
            let wanted: Vec<PeerId> = self.nodes[a].gate.keys().copied().collect();
            let life = |b: usize| (b, self.nodes[b].life);
            let linked: BTreeSet<(usize, u32)> =
                wanted.iter().filter_map(|peer| self.find(a, peer)).map(life).collect();
            let before = std::mem::replace(&mut self.nodes[a].linked, linked.clone());
            for b in before.difference(&linked) {
                let peer = self.nodes[b.0].peer();
                self.checked(|checks, _| checks.bounds.gone(a, &peer));
                self.step(a, Input::Disconnected(peer));
            }
            for b in linked.difference(&before) {
                let peer = self.nodes[b.0].peer();
                self.step(a, Input::Connected(peer));
            }
        }
    }

    /// Carries out the effects that wait for nothing that is not durable.
    pub(crate) fn carry_out(&mut self, node: usize) {
        while let Some((needs, _)) = self.nodes[node].effects.front() {
            if *needs > self.nodes[node].disk.durable {
                return;
            }
            let Some((_, effect)) = self.nodes[node].effects.pop_front() else { return };
            self.effect(node, effect);
        }
    }

    fn effect(&mut self, node: usize, effect: Effect) {
        self.checked(|checks, w| checks.emitted(w, node, &effect));
        match effect {
            Effect::Gossip(bytes) => {
                if self.overheard.len() >= OVERHEARD_MAX {
                    self.overheard.remove(0);
                }
                self.overheard.push(bytes.clone());
                self.nodes[node].seen.insert(Sha256::of(&bytes));
                let bytes = self.relayed(node, bytes);
                self.spread(node, None, &bytes);
            }
            Effect::Judge { id, accept } => {
                if let Some((from, bytes)) = self.nodes[node].judging.remove(&id)
                    && accept == Some(true)
                {
                    let bytes = self.relayed(node, bytes);
                    self.spread(node, Some(from), &bytes);
                }
            }
            Effect::Ask { tag, peer, bytes } => {
                let to = self.find(node, &peer).filter(|to| self.mutual(node, *to));
                self.under_way.insert((node, tag));
                self.request(node, to, Some(tag), bytes);
            }
            Effect::AskJoin { peer, bytes, .. } => {
                let to = self.find(node, &peer);
                self.request(node, to, None, bytes);
            }
            Effect::Respond { id, bytes } => {
                let bytes = if self.nodes[node].forges { self.boast(bytes) } else { bytes };
                if let Some((to, life, tag)) = self.asked.remove(&(node, id)) {
                    self.respond(node, to, life, tag, Ok(bytes));
                }
            }
            Effect::Gate(gate) => {
                self.nodes[node].gate = gate;
                self.links_soon();
            }
            Effect::Fetch(order) => self.fetch(node, order),
            Effect::ReadManifest { tag, hash } => {
                if self.nodes[node].unreadable > 0 {
                    // The disk gave it back wrong: it was moved away.
                    self.nodes[node].unreadable -= 1;
                    self.nodes[node].artifacts.remove(&hash);
                }
                let files = match self.nodes[node].artifacts.get(&hash).map(|bytes| Manifest::parse(bytes)) {
                    None => Err(FetchError::Local("not here".to_owned())),
                    Some(Err(e)) => Err(FetchError::Refused(e.to_string())),
                    Some(Ok(manifest)) => {
                        Ok(manifest.files().iter().map(|f| (f.blake3, f.sha256, f.size)).collect::<Vec<_>>())
                    }
                };
                let life = self.nodes[node].life;
                self.later(1, node, Happening::Input { life, input: Input::Manifest { tag, files } });
            }
            Effect::Reply { id, result } => drop(self.nodes[node].replies.insert(id, result)),
            Effect::Event(event) => self.nodes[node].events.push(event),
        }
    }

    /// What a node makes of gossip that it sends or hands on: whoever forges changes the last leaf.
    fn relayed(&self, node: usize, bytes: Vec<u8>) -> Vec<u8> {
        if !self.nodes[node].forges {
            return bytes;
        }
        let Ok(Gossip::Log { log, note, first, mut leaves }) = wire::decode(self.federation, &bytes, GOSSIP_MAX_BYTES)
        else {
            return bytes;
        };
        leaves.last_mut().into_iter().for_each(|leaf| leaf.push(b' '));
        wire::encode(self.federation, Gossip::Log { log, note, first, leaves }).unwrap_or(bytes)
    }

    /// A status by which its sender has more than there is.
    fn boast(&self, bytes: Vec<u8>) -> Vec<u8> {
        let Ok(Response::Status(mut status)) = wire::decode(self.federation, &bytes, FRAME_MAX_BYTES) else {
            return bytes;
        };
        for log in &mut status.logs {
            (log.size, log.witnessed, log.promises) = (log.size + 1_000, log.witnessed + 1_000, [7; 8]);
        }
        (status.charter, status.approvals, status.proofs) = (status.charter + 3, [7; 8], [7; 8]);
        wire::encode(self.federation, Response::Status(status)).unwrap_or(bytes)
    }

    fn spread(&mut self, node: usize, but: Option<usize>, bytes: &[u8]) {
        for to in 0..self.nodes.len() {
            if Some(to) == but || !self.mutual(node, to) || self.lost(node, to, self.faults.gossip_loss) {
                continue;
            }
            let twice = self.rng.permille(self.faults.duplicates);
            if twice {
                self.trace.count("message duplicated");
            }
            for _ in 0..1 + u8::from(twice) {
                let delay = self.delay();
                self.later(delay, to, Happening::Gossip { from: node, bytes: bytes.to_vec() });
            }
        }
    }

    pub(crate) fn gossiped(&mut self, node: usize, from: usize, bytes: Vec<u8>) {
        if !self.mutual(from, node) || !self.nodes[node].seen.insert(Sha256::of(&bytes)) {
            return;
        }
        if self.nodes[node].full
            && matches!(wire::decode(self.federation, &bytes, GOSSIP_MAX_BYTES), Ok(Gossip::Log { .. }))
        {
            return;
        }
        let id = self.id();
        self.nodes[node].judging.insert(id, (from, bytes.clone()));
        let from = self.nodes[from].peer();
        self.step(node, Input::Gossip { id, from, bytes });
    }

    fn request(&mut self, node: usize, to: Option<usize>, tag: Option<u64>, bytes: Vec<u8>) {
        let life = self.nodes[node].life;
        let lost = self.lost(node, to.unwrap_or(node), self.faults.request_loss);
        match to.filter(|_| !lost) {
            Some(to) => {
                let delay = self.delay();
                self.later(delay, to, Happening::Request { from: node, from_life: life, tag, bytes });
            }
            None => {
                let delay = if to.is_some() { TIMEOUT_MS } else { 5 };
                self.answer_later(delay, node, life, tag, Err("no answer".to_owned()));
            }
        }
    }

    pub(crate) fn requested(&mut self, node: usize, from: usize, from_life: u32, tag: Option<u64>, bytes: Vec<u8>) {
        let connected = if tag.is_some() { self.mutual(from, node) } else { self.reachable(from, node) };
        if !connected || !self.nodes[node].up() {
            self.answer_later(50, from, from_life, tag, Err("connection lost".to_owned()));
            return;
        }
        let peer = self.nodes[from].peer();
        if tag.is_some()
            && let Ok(Request::Entries { log, from: first }) = wire::decode(self.federation, &bytes, FRAME_MAX_BYTES)
        {
            let disk = &self.nodes[node].disk;
            // Served beside the core, from what is durable: nothing else is shown to others.
            if disk.durable < disk.journal.len() {
                self.later(1, node, Happening::Request { from, from_life, tag, bytes });
                return;
            }
            let mut response = serve::entries(disk, log, first).unwrap_or(Response::Refused(Refusal::Internal));
            self.checked(|checks, w| checks.served(w, node, &response));
            if self.nodes[node].withholds {
                response = Response::Refused(Refusal::NotHere);
            }
            if let (true, Response::Entries(entries)) = (self.nodes[node].forges, &mut response)
                && let Some(leaf) = entries.leaves.last_mut()
            {
                leaf.push(b' ');
            }
            let bytes = wire::encode(self.federation, response).unwrap();
            self.respond(node, from, from_life, tag, Ok(bytes));
            return;
        }
        if self.nodes[node].full && tag.is_none() {
            let refused = wire::join::Refused::NotNow("its disk is nearly full".to_owned());
            let bytes = wire::encode(self.federation, wire::join::Response::Refused(refused)).unwrap();
            return self.respond(node, from, from_life, tag, Ok(bytes));
        }
        let id = self.id();
        self.asked.insert((node, id), (from, from_life, tag));
        let input = match tag {
            Some(_) => Input::SyncRequest { id, from: peer, bytes },
            None => Input::JoinRequest { id, from: peer, bytes },
        };
        self.step(node, input);
    }

    fn respond(&mut self, by: usize, to: usize, life: u32, tag: Option<u64>, result: Result<Vec<u8>, String>) {
        if self.lost(by, to, self.faults.request_loss) {
            self.answer_later(TIMEOUT_MS, to, life, tag, Err("no answer".to_owned()));
        } else {
            let delay = self.delay();
            self.answer_later(delay, to, life, tag, result);
        }
    }

    fn answer_later(&mut self, delay: u64, to: usize, life: u32, tag: Option<u64>, result: Result<Vec<u8>, String>) {
        let input = match tag {
            Some(tag) => Input::Answer { tag, result },
            None => Input::JoinAnswer { result },
        };
        self.later(delay, to, Happening::Input { life, input });
    }

    fn fetch(&mut self, node: usize, order: FetchOrder) {
        let FetchOrder { tag, from, hash, sha256, size } = order;
        self.nodes[node].fetches.push((from, hash));
        self.nodes[node].fetching.insert(tag);
        let own = from == self.nodes[node].peer();
        let holder = if own { None } else { self.find(node, &from).filter(|to| self.mutual(node, *to)) };
        let result = match holder {
            _ if self.read(node, &hash).is_some() => Ok(()),
            _ if self.nodes[node].full => Err(FetchError::Full("the disk is nearly full".into())),
            Some(holder) if self.mute.contains(&(holder, node)) || self.mute.contains(&(node, holder)) => {
                Err(FetchError::Connection("connection lost".into()))
            }
            None if own => Err(FetchError::Refused("not here".into())),
            None => Err(FetchError::Connection("not connected".into())),
            // It need not have anything to send something.
            Some(holder) if self.nodes[holder].liar => Err(FetchError::Fault("bytes that do not match".into())),
            Some(holder) => match self.read(holder, &hash) {
                None => Err(FetchError::Refused("not held".into())),
                Some(bytes) => {
                    assert_eq!((Sha256::of(&bytes), bytes.len() as u64), (sha256, size));
                    self.nodes[node].rotten.remove(&hash);
                    self.nodes[node].artifacts.insert(hash, bytes);
                    Ok(())
                }
            },
        };
        let (life, delay) = (self.nodes[node].life, self.delay());
        self.later(delay, node, Happening::Input { life, input: Input::Fetched { tag, result } });
    }

    /// A file as a node reads it: verified. One that has rotted is moved away then.
    fn read(&mut self, node: usize, hash: &Blake3) -> Option<Vec<u8>> {
        let bytes = self.nodes[node].artifacts.get(hash)?;
        if Blake3::of(bytes) == *hash {
            return Some(bytes.clone());
        }
        self.nodes[node].artifacts.remove(hash);
        let life = self.nodes[node].life;
        self.later(1, node, Happening::Input { life, input: Input::Lost(*hash) });
        None
    }
}
