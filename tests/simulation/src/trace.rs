//! What happened in a run: a hash over everything that went into cores and came out of them, and a story that people can read.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use verbund_protocol::core::{Effect, Input};

/// Hash, story and numbers of one run.
#[derive(Default)]
pub struct Trace {
    hash: Sha256,
    /// One line for each act, with its time.
    pub told: Vec<String>,
    /// How often each kind of fault was injected.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Trace {
    /// One more fault of this kind.
    pub fn count(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// An input, before the core takes it.
    pub fn input(&mut self, now_ms: u64, node: usize, input: &Input) {
        self.fold(&now_ms.to_le_bytes());
        self.fold(&(node as u64).to_le_bytes());
        match input {
            Input::Gossip { id, from, bytes } => self.message(b"g", *id, from.key().as_bytes(), bytes),
            Input::SyncRequest { id, from, bytes } => self.message(b"s", *id, from.key().as_bytes(), bytes),
            Input::JoinRequest { id, from, bytes } => self.message(b"j", *id, from.key().as_bytes(), bytes),
            Input::Answer { tag, result: Ok(bytes) } => self.message(b"a", *tag, &[0; 32], bytes),
            other => self.fold(format!("{other:?}").as_bytes()),
        }
    }

    /// What a step decided.
    pub fn output(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Gossip(bytes) => self.message(b"G", 0, &[0; 32], bytes),
                Effect::Ask { tag, peer, bytes } => self.message(b"A", *tag, peer.key().as_bytes(), bytes),
                Effect::Respond { id, bytes } => self.message(b"R", *id, &[0; 32], bytes),
                other => self.fold(format!("{other:?}").as_bytes()),
            }
        }
    }

    /// What a step recorded, encoded.
    pub fn batch(&mut self, bytes: &[u8]) {
        self.message(b"B", 0, &[0; 32], bytes);
    }

    fn message(&mut self, kind: &[u8], id: u64, peer: &[u8; 32], bytes: &[u8]) {
        self.fold(kind);
        self.fold(&id.to_le_bytes());
        self.fold(peer);
        self.fold(bytes);
    }

    fn fold(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    /// The hash so far, in hex.
    pub fn hash(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }
}
