//! Golden vectors in `protocol/vectors/log`: what another implementation must reproduce.
//!
//! They are made from fixed seeds. A difference between what is made and what lies there is a change of the protocol; with
//! `VERBUND_WRITE_VECTORS=1` the files are written anew, deliberately. What is checked is always what was read from the files.

mod fork;
mod note;
mod tree;
mod wire;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key;
use crate::log::{Checkpoint, Cosignature, sign_cosignature};
use crate::testing::outcome;

/// As [`crate::testing::golden`], in the folder of logs.
fn golden<T: Serialize + DeserializeOwned>(name: &str, made: &T) -> T {
    crate::testing::golden(&format!("log/{name}"), made)
}

fn cosigned(checkpoint: &Checkpoint, number: u8, time_s: u64) -> Cosignature {
    sign_cosignature(&key(number), time_s, checkpoint).unwrap()
}
