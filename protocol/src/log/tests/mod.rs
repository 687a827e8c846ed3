//! Tests of the log: shared trees, keys and an oracle that follows the text of RFC 6962 word by word.

mod fork;
mod merge;
mod note;
mod proof;
mod tree;
mod vectors;

use super::note::SignedCheckpoint;
use super::tree::{append_hashes, leaf_hash, node_hash, root};
use super::{Checkpoint, Frontier, Head, Origin, sign_checkpoint};
use crate::ids::{FederationId, Sha256};
use crate::keys::SecretKey;
use crate::testing::{cases, error_name};

/// A key that is the same in every run.
fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

fn federation() -> FederationId {
    FederationId([0xfe; 32])
}

/// The key of the log that most tests use.
fn owner() -> SecretKey {
    key(1)
}

fn origin() -> Origin {
    Origin::new(federation(), owner().peer())
}

/// A log in memory with all its hashes.
#[derive(Clone)]
struct Log {
    leaves: Vec<Sha256>,
    stored: Vec<Sha256>,
}

impl Log {
    /// A log of `size` leaves; from leaf `forked_at` on they differ from those of other values of `branch`.
    fn branch(size: u64, forked_at: u64, branch: u8) -> Self {
        let mut log = Self { leaves: Vec::new(), stored: Vec::new() };
        for index in 0..size {
            let branch = if index < forked_at { 0 } else { branch };
            log.push(format!("leaf {index} of branch {branch}").as_bytes());
        }
        log
    }

    fn new(size: u64) -> Self {
        Self::branch(size, size, 0)
    }

    fn push(&mut self, leaf: &[u8]) {
        let hash = leaf_hash(leaf);
        let new = append_hashes(self.size(), hash, &self.stored).unwrap();
        self.stored.extend(new);
        self.leaves.push(hash);
    }

    fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    fn root(&self, size: u64) -> Sha256 {
        root(size, &self.stored).unwrap()
    }

    fn head(&self, size: u64) -> Head {
        Head { size, root: self.root(size) }
    }

    fn frontier(&self, size: u64) -> Frontier {
        let mut frontier = Frontier::new();
        frontier.extend(&self.leaves[..usize::try_from(size).unwrap()]).unwrap();
        frontier
    }

    fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::new(origin(), size, self.root(size)).unwrap()
    }

    /// The checkpoint of the first `size` leaves, signed by the owner.
    fn signed(&self, size: u64) -> SignedCheckpoint {
        sign_checkpoint(&owner(), federation(), &self.checkpoint(size)).unwrap()
    }
}

/// SPEC: RFC 6962 §2.1, MTH over leaf hashes.
fn mth(leaves: &[Sha256]) -> Sha256 {
    match leaves {
        [] => Sha256::of(b""),
        [leaf] => *leaf,
        _ => {
            let k = split(leaves.len());
            node_hash(mth(&leaves[..k]), mth(&leaves[k..]))
        }
    }
}

/// SPEC: RFC 6962 §2.1.1, PATH.
fn path(index: usize, leaves: &[Sha256]) -> Vec<Sha256> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (mut below, beside) = if index < k {
        (path(index, &leaves[..k]), mth(&leaves[k..]))
    } else {
        (path(index - k, &leaves[k..]), mth(&leaves[..k]))
    };
    below.push(beside);
    below
}

/// SPEC: RFC 6962 §2.1.2, SUBPROOF.
fn subproof(m: usize, leaves: &[Sha256], whole: bool) -> Vec<Sha256> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = split(leaves.len());
    let (mut below, beside) = if m <= k {
        (subproof(m, &leaves[..k], whole), mth(&leaves[k..]))
    } else {
        (subproof(m - k, &leaves[k..], false), mth(&leaves[..k]))
    };
    below.push(beside);
    below
}

/// The largest power of two below `n`.
fn split(n: usize) -> usize {
    1 << (n - 1).ilog2()
}
