//! Sequences of inputs into the core of one member: what others send, in any order, valid, damaged and made up.
//!
//! The bytes are a program: each instruction is one input. Peers' keys are known here, so that what a hostile *member* may sign
//! (any leaf in its own log, any cosignature) gets past the signature checks. Owns the instructions and what must hold after each:
//! the core never fails, settles, and does a bounded amount for one input; what it says is bounded and can be shown; its log, its
//! promises and its charter never fall, not across restarts either; the same program gives the same effects.

mod exchange;
mod members;
mod node;
mod seeds;
mod tape;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use verbund_protocol::core::{Command, Effect, EventKind, FetchError, Input, Problem, Reply};
use verbund_protocol::ids::{Blake3, PeerId, PublicKey, Sha256};
use verbund_protocol::limits::{ENTRIES_MAX, FRAME_MAX_BYTES, GOSSIP_MAX_BYTES};
use verbund_protocol::log::Frontier;
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, CosignedRow};
use verbund_protocol::wire::{self, join};

use crate::check::words;
use node::Node;
pub use seeds::seeds;
use tape::Tape;
use world::{Heard, World, at, world};

/// Instructions of one program.
const INSTRUCTIONS_MAX: usize = 48;
/// Effects of one input with all that follows from it. Members here are three, logs and releases a handful.
const EFFECTS_MAX: usize = 400;
/// Records of one input, likewise; a leaf counts as part of its record.
const RECORDS_MAX: usize = 400;

pub fn core(data: &[u8]) {
    let said = Run::new(data).all();
    // Half of the programs are run twice.
    if data.len().is_multiple_of(2) {
        assert_eq!(Run::new(data).all(), said, "the same inputs gave other effects");
    }
}

struct Run<'a> {
    world: &'static World,
    tape: Tape<'a>,
    node: Node,
    now_ms: u64,
    wall_off_ms: i64,
    asked: Vec<u64>,
    fetches: Vec<u64>,
    ids: u64,
    logs: BTreeMap<PeerId, Frontier>,
    promises: BTreeMap<Vec<u8>, u64>,
    /// A digest of each effect, to compare two runs of one program.
    said: Vec<u64>,
}

impl<'a> Run<'a> {
    fn new(data: &'a [u8]) -> Self {
        let world = world();
        let mut tape = Tape(data);
        let (disk, own) = match tape.byte() % 4 {
            0 => (world.young.clone(), world.own()),
            3 => (world.joining.clone(), world.own_of_newcomer()),
            _ => (world.settled.clone(), world.own()),
        };
        let now_ms = 200_000;
        let node = Node::start(own, world.federation, disk, at(now_ms));
        let logs = state::logs(&node.disk).unwrap().into_iter().map(|(log, row)| (log, row.frontier)).collect();
        let (asked, fetches, promises) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { world, tape, node, now_ms, wall_off_ms: 0, asked, fetches, ids: 0, logs, promises, said: Vec::new() }
    }

    fn all(mut self) -> Vec<u64> {
        let settled = !self.promised().is_empty();
        if settled {
            // The start rule is over before anything else happens, as it is for a node that runs.
            for org in &self.world.orgs[1..] {
                self.give(Input::Connected(org.node.peer()));
            }
            self.give(Input::Command { id: 0, command: Command::SignAnyway });
        }
        for _ in 0..INSTRUCTIONS_MAX {
            if self.tape.0.is_empty() {
                break;
            }
            if let Some(input) = self.instruction() {
                self.give(input);
            }
        }
        self.said
    }

    fn peer(&mut self) -> PeerId {
        match self.tape.byte() % 4 {
            n @ 0..=2 => self.world.orgs[usize::from(n)].node.peer(),
            _ => PeerId(PublicKey([self.tape.byte(); 32])),
        }
    }

    fn instruction(&mut self) -> Option<Input> {
        self.ids += 1;
        let id = self.ids;
        Some(match self.tape.byte() % 21 {
            0 => {
                self.now_ms += u64::from(self.tape.number()) * 10;
                Input::Tick
            }
            1 => Input::Connected(self.peer()),
            2 => Input::Disconnected(self.peer()),
            3 | 4 => self.heard(id)?,
            5 => Input::Gossip { id, from: self.peer(), bytes: self.framed() },
            6 => Input::SyncRequest { id, from: self.peer(), bytes: self.framed() },
            7 => Input::Answer { tag: self.tag(), result: Ok(self.framed()) },
            8 => Input::JoinRequest { id, from: self.peer(), bytes: self.framed() },
            9 => Input::JoinAnswer { result: Ok(self.framed()) },
            20 => {
                let charters = join::Response::Charters(self.world.bundles.clone());
                Input::JoinAnswer { result: Ok(wire::encode(self.world.federation, charters).ok()?) }
            }
            10 | 11 => self.grown(id)?,
            12 => self.cosigned(id)?,
            13 => self.command(id),
            14 => self.fetched(),
            15 => Input::Lost(Blake3([self.tape.byte(); 32])),
            16 => Input::Answer { tag: self.tag(), result: Err("connection lost".into()) },
            17 => {
                // Clocks jump: ten minutes, ten years, backwards.
                let jump = [600_000, 315_360_000_000, -600_000, -315_360_000_000];
                self.wall_off_ms += jump[usize::from(self.tape.byte() % 4)];
                Input::Tick
            }
            19 => self.vote(id)?,
            _ => {
                let now = self.now();
                self.node.restart(now);
                self.asked.clear();
                self.fetches.clear();
                Input::Tick
            }
        })
    }

    fn now(&self) -> verbund_protocol::core::Now {
        let mut now = at(self.now_ms);
        now.wall_ms = now.wall_ms.saturating_add_signed(self.wall_off_ms);
        now
    }

    /// Bytes as they are, or as the body of a frame of this federation.
    fn framed(&mut self) -> Vec<u8> {
        let head = self.tape.byte() & 3 > 0;
        let body = self.tape.bytes();
        if head { [&[1][..], &self.world.federation.0, body].concat() } else { body.to_vec() }
    }

    fn tag(&mut self) -> u64 {
        self.tape.pick(&self.asked).copied().unwrap_or(u64::from(self.tape.byte()))
    }

    /// Something that was really said, as it was, or with one byte changed, or cut.
    fn heard(&mut self, id: u64) -> Option<Input> {
        let heard = self.tape.pick(&self.world.heard)?.clone();
        let (how, place, mask) = (self.tape.byte() % 4, usize::from(self.tape.number()), self.tape.byte());
        let change = |mut bytes: Vec<u8>| {
            let place = place % bytes.len().max(1);
            match how {
                0 => bytes.truncate(place),
                1 if !bytes.is_empty() => bytes[place] ^= mask,
                _ => {}
            }
            bytes
        };
        Some(match heard {
            Heard::Gossip(from, bytes) => Input::Gossip { id, from, bytes: change(bytes) },
            Heard::Request(from, bytes) => Input::SyncRequest { id, from, bytes: change(bytes) },
            Heard::Answer(bytes) => Input::Answer { tag: self.tag(), result: Ok(change(bytes)) },
        })
    }

    fn command(&mut self, id: u64) -> Input {
        let handle =
            |tape: &mut Tape<'_>| ["de-rp", "de-th", "de-he", "de-by"][usize::from(tape.byte() % 4)].parse().unwrap();
        let command = match self.tape.byte() % 8 {
            0 | 1 => {
                let org = &self.world.orgs[0];
                Command::Append(self.leaf(org))
            }
            2 => {
                let valid_s = u64::from(self.tape.number()) << (self.tape.byte() % 64);
                Command::Invite { handle: handle(&mut self.tape), id: [7; 16], secret: [8; 32], valid_s }
            }
            3 => Command::Admit { handle: handle(&mut self.tape), fingerprint: None },
            4 => Command::Expel { handle: handle(&mut self.tape) },
            5 => Command::Reject { handle: handle(&mut self.tape), reason: "nein".into() },
            6 => Command::SyncNow,
            _ => Command::SignAnyway,
        };
        Input::Command { id, command }
    }

    fn fetched(&mut self) -> Input {
        let tag = self.tape.pick(&self.fetches).copied().unwrap_or(u64::from(self.tape.byte()));
        let fault = || FetchError::Fault("wrong bytes".into());
        match self.tape.byte() % 4 {
            0 => Input::Fetched { tag, result: Ok(()) },
            1 => Input::Fetched { tag, result: Err(fault()) },
            2 => Input::Manifest { tag, files: Err(fault()) },
            _ => {
                let count = usize::from(self.tape.byte() % 40);
                let file = |n: usize| (Blake3([u8::try_from(n).unwrap(); 32]), Sha256([1; 32]), 1 << n);
                Input::Manifest { tag, files: Ok((0..count).map(file).collect()) }
            }
        }
    }

    fn give(&mut self, input: Input) {
        let now = self.now();
        let (effects, records) = self.node.step(now, input);
        assert!(effects.len() <= EFFECTS_MAX && records <= RECORDS_MAX, "{} effects, {records} records", effects.len());
        for effect in &effects {
            self.effect(effect);
            self.said.push(digest(effect));
        }
        self.said.extend([records as u64, self.node.refusals()]);
        let promised = self.promised();
        for (what, before) in &self.promises {
            let after = promised.get(what).copied().unwrap_or(0);
            assert!(after >= *before, "what was promised fell from {before} to {after}");
        }
        self.promises = promised;
    }

    /// What must never fall: the charter, the own log, and every size that this node cosigned.
    fn promised(&self) -> BTreeMap<Vec<u8>, u64> {
        let disk = &self.node.disk;
        let me = self.node.own.node.peer();
        let mut out = BTreeMap::from([(b"charter".to_vec(), state::meta(disk).unwrap().charter)]);
        if let Some(row) = state::log(disk, &me).unwrap() {
            out.insert(b"own log".to_vec(), row.size());
        }
        for (log, _) in state::logs(disk).unwrap() {
            let key = state::key::cosigned(&log, &me);
            if let Some(row) = state::get::<CosignedRow>(disk, Table::Promises, &key).unwrap() {
                out.insert(key, row.size);
            }
        }
        if out.len() == 1 { BTreeMap::new() } else { out }
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Gossip(bytes) => assert!(bytes.len() <= GOSSIP_MAX_BYTES),
            Effect::Ask { tag, bytes, .. } => {
                assert!(bytes.len() <= FRAME_MAX_BYTES);
                self.asked.push(*tag);
                let set: BTreeSet<_> = self.asked.iter().collect();
                assert_eq!(set.len(), self.asked.len(), "no tag is given twice");
            }
            Effect::AskJoin { bytes, addresses, .. } => assert!(bytes.len() <= FRAME_MAX_BYTES && addresses.len() < 64),
            Effect::Respond { bytes, .. } => assert!(bytes.len() <= FRAME_MAX_BYTES),
            Effect::Gate(peers) => assert!(peers.len() <= 64),
            Effect::Fetch(order) => self.fetches.push(order.tag),
            Effect::ReadManifest { tag, .. } => self.fetches.push(*tag),
            Effect::Reply { result: Err(Problem { text, .. }), .. } => words(text),
            Effect::Reply { result: Ok(Reply::Ticket(line)), .. } => words(line),
            Effect::Event(event) => match &event.kind {
                EventKind::Refused { text, .. }
                | EventKind::Equivocated { text, .. }
                | EventKind::JoinProgressed { text } => words(text),
                EventKind::EntryVoid { reason, .. } | EventKind::ReleaseBlocked { reason, .. } => words(reason),
                EventKind::LogGrew { size, .. } => assert!(*size <= (ENTRIES_MAX as u64) * 64),
                _ => {}
            },
            Effect::Judge { .. } | Effect::Reply { .. } => {}
        }
    }
}

/// What tells one effect from another. Most are bytes, which are not worth being written out.
fn digest(effect: &Effect) -> u64 {
    let mut hasher = DefaultHasher::new();
    match effect {
        Effect::Gossip(bytes) | Effect::Respond { bytes, .. } => bytes.hash(&mut hasher),
        Effect::Ask { tag, peer, bytes } => (tag, peer, bytes).hash(&mut hasher),
        Effect::AskJoin { bytes, .. } => bytes.hash(&mut hasher),
        other => format!("{other:?}").hash(&mut hasher),
    }
    hasher.finish()
}
