//! Tests of the documents: their rules, what is read and refused, and their golden vectors.

mod decoders;
mod rules;
mod samples;
mod vectors;

use serde_json::Value;

use super::*;
use crate::ids::Sha256;
use crate::testing::{Keys, seed};

/// The seed of the world that the samples are from.
const WORLD: u64 = 1;

/// A key that signs samples: `de-he approver 1`.
#[derive(Clone)]
struct Signer {
    name: String,
    seed: [u8; 32],
}

impl Signer {
    fn new(handle: &str, role: &str, generation: u64) -> Self {
        Self { name: format!("{handle} {role} {generation}"), seed: seed(WORLD, handle, role, generation) }
    }

    fn key(&self) -> SecretKey {
        SecretKey::from_seed(&self.seed)
    }
}

/// Signs anything as a document of kind `T`, whatever its rules say.
fn forge<T: Document>(payload: &[u8], signers: &[Signer]) -> Envelope {
    let keys: Vec<_> = signers.iter().map(Signer::key).collect();
    Envelope::sign(T::TYPE, payload.to_vec(), &keys).unwrap()
}

/// A document's JSON, to change.
fn value<T: Document>(document: &T) -> Value {
    serde_json::to_value(document).unwrap()
}

/// The document with `key` (a JSON pointer) replaced, or removed for `Value::Null`.
fn with<T: Document>(document: &T, pointer: &str, new: Value) -> Vec<u8> {
    let mut value = value(document);
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let object = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if new.is_null() {
        object.remove(key).map(drop)
    } else {
        object.insert(key.to_owned(), new).map(drop)
    };
    json::canonical(&value)
}

fn he() -> Keys {
    Keys::new(WORLD, "de-he", 1)
}
