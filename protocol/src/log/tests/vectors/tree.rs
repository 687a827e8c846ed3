use serde::{Deserialize, Serialize};

use super::super::Log;
use super::{golden, outcome};
use crate::ids::Sha256;
use crate::limits::{LOG_SIZE_MAX, PROOF_HASHES_MAX};
use crate::log::*;

#[derive(Serialize, Deserialize)]
struct Inclusion {
    name: String,
    leaf_hash: Sha256,
    tree: Head,
    index: u64,
    size: u64,
    hashes: Vec<Sha256>,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Consistency {
    name: String,
    from_tree: Head,
    to_tree: Head,
    from: u64,
    to: u64,
    /// The seeded path.
    hashes: Vec<Sha256>,
    /// The path of RFC 6962, for valid ones.
    rfc6962: Option<Vec<Sha256>>,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Tree {
    leaves_hex: Vec<String>,
    leaf_hashes: Vec<Sha256>,
    /// Of 0, 1, 2, … leaves.
    roots: Vec<Sha256>,
    /// Complete subtrees in the order of their storage.
    stored: Vec<Sha256>,
    inclusion: Vec<Inclusion>,
    consistency: Vec<Consistency>,
}

fn valid_inclusion(log: &Log, index: u64, size: u64) -> Inclusion {
    Inclusion {
        name: format!("leaf {index} of {size}"),
        leaf_hash: log.leaves[usize::try_from(index).unwrap()],
        tree: log.head(size),
        index,
        size,
        hashes: InclusionProof::make(index, size, log.size(), &log.stored).unwrap().hashes,
        error: None,
    }
}

fn valid_consistency(log: &Log, from: u64, to: u64) -> Consistency {
    let proof = ConsistencyProof::make(from, to, log.size(), &log.stored).unwrap();
    Consistency {
        name: format!("{from} to {to}"),
        from_tree: log.head(from),
        to_tree: log.head(to),
        from,
        to,
        rfc6962: Some(proof.rfc6962().to_vec()),
        hashes: proof.hashes,
        error: None,
    }
}

fn bad<T>(mut case: T, name: &str, error: &str, set: impl Fn(&mut T) -> (&mut String, &mut Option<String>)) -> T {
    let (case_name, case_error) = set(&mut case);
    *case_name = name.to_owned();
    *case_error = Some(error.to_owned());
    case
}

fn invalid_inclusions(log: &Log) -> Vec<Inclusion> {
    let of = |name: &str, error: &str, change: &dyn Fn(&mut Inclusion)| {
        let mut case = valid_inclusion(log, 2, 7);
        change(&mut case);
        bad(case, name, error, |c| (&mut c.name, &mut c.error))
    };
    let zero = Sha256([0; 32]);
    vec![
        of("another leaf", "Tree.Invalid", &|c| c.leaf_hash = log.leaves[3]),
        of("another root", "Tree.Invalid", &|c| c.tree.root = log.root(6)),
        of("another index", "Tree.Invalid", &|c| c.index = 3),
        of("a flipped bit", "Tree.Invalid", &|c| c.hashes[1].0[31] ^= 1),
        of("one hash too few", "Tree.Invalid", &|c| c.hashes.truncate(c.hashes.len() - 1)),
        of("one hash too many", "Tree.Invalid", &|c| c.hashes.push(zero)),
        of("more hashes than any tree needs", "Tree.PathTooLong", &|c| c.hashes = vec![zero; PROOF_HASHES_MAX + 1]),
        of("an index beyond the tree", "Tree.OutOfRange", &|c| c.index = 7),
        of("a tree without leaves", "Tree.OutOfRange", &|c| (c.index, c.size, c.tree.size) = (0, 0, 0)),
        of("another size that the path would fit", "OtherSize", &|c| c.size = 8),
        of("a size over the limit", "Tree.OutOfRange", &|c| {
            (c.size, c.tree.size) = (LOG_SIZE_MAX + 1, LOG_SIZE_MAX + 1);
        }),
    ]
}

fn invalid_consistencies(log: &Log) -> Vec<Consistency> {
    let other = Log::branch(8, 2, 1);
    let of = |from: u64, name: &str, error: &str, change: &dyn Fn(&mut Consistency)| {
        let mut case = valid_consistency(log, from, 7);
        change(&mut case);
        case.rfc6962 = None;
        bad(case, name, error, |c| (&mut c.name, &mut c.error))
    };
    vec![
        of(3, "a fork: the smaller tree is another", "Diverged", &|c| c.from_tree = other.head(3)),
        of(4, "a fork at a power of two", "Diverged", &|c| c.from_tree = other.head(4)),
        of(3, "another larger root", "Tree.Invalid", &|c| c.to_tree = other.head(7)),
        of(3, "a flipped bit", "Tree.Invalid", &|c| c.hashes[0].0[0] ^= 1),
        of(3, "one hash too few", "Tree.Invalid", &|c| c.hashes.truncate(c.hashes.len() - 1)),
        of(3, "one hash too many", "Tree.Invalid", &|c| c.hashes.push(Sha256([0; 32]))),
        of(4, "the seed left out, as RFC 6962 does", "Tree.Invalid", &|c| c.hashes = c.rfc6962.take().unwrap()),
        of(3, "more hashes than any tree needs", "Tree.PathTooLong", &|c| {
            c.hashes = vec![Sha256([0; 32]); PROOF_HASHES_MAX + 1];
        }),
        of(3, "from no leaves", "Tree.OutOfRange", &|c| (c.from, c.from_tree) = (0, log.head(0))),
        of(3, "backwards", "Tree.OutOfRange", &|c| (c.from, c.from_tree) = (8, log.head(8))),
        of(3, "sizes of another tree", "OtherSize", &|c| c.from = 2),
    ]
}

#[test]
fn trees() {
    let log = Log::new(8);
    let mut made = Tree {
        leaves_hex: (0..8).map(|i| hex::encode(format!("leaf {i} of branch 0"))).collect(),
        leaf_hashes: log.leaves.clone(),
        roots: (0..=8).map(|size| log.root(size)).collect(),
        stored: log.stored.clone(),
        inclusion: [(0, 1), (0, 2), (2, 3), (2, 7), (6, 7), (5, 8)].map(|(i, s)| valid_inclusion(&log, i, s)).into(),
        consistency: [(1, 1), (1, 2), (2, 3), (3, 7), (4, 7), (6, 8), (8, 8)]
            .map(|(f, t)| valid_consistency(&log, f, t))
            .into(),
    };
    made.inclusion.extend(invalid_inclusions(&log));
    made.consistency.extend(invalid_consistencies(&log));
    let found = golden("tree.json", &made);

    let mut frontier = Frontier::new();
    let mut stored = Vec::new();
    assert_eq!(frontier.root(), found.roots[0]);
    for (i, leaf) in found.leaves_hex.iter().enumerate() {
        let hash = tree::leaf_hash(&hex::decode(leaf).unwrap());
        assert_eq!(hash, found.leaf_hashes[i]);
        frontier.append_stored(hash, &mut stored).unwrap();
        assert_eq!(frontier.root(), found.roots[i + 1]);
    }
    assert_eq!(stored, found.stored);
    for c in found.inclusion {
        let proof = InclusionProof { index: c.index, size: c.size, hashes: c.hashes };
        assert_eq!(outcome(proof.check(c.leaf_hash, c.tree)), c.error, "{}", c.name);
    }
    for c in found.consistency {
        let proof = ConsistencyProof { from: c.from, to: c.to, hashes: c.hashes };
        assert_eq!(outcome(proof.check(c.from_tree, c.to_tree)), c.error, "{}", c.name);
        if let Some(path) = c.rfc6962 {
            assert_eq!(proof.rfc6962(), path, "{}", c.name);
            let (from, to) = (c.from_tree, c.to_tree);
            assert_eq!(tree::check_consistency(&path, from.size, from.root, to.size, to.root), Ok(()), "{}", c.name);
        }
    }
}
