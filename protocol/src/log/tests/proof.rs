use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Log, cases};
use crate::codec;
use crate::ids::Sha256;
use crate::limits::{LOG_SIZE_MAX, PROOF_HASHES_MAX};
use crate::log::*;

#[test]
fn proofs_survive_both_codecs_and_check() {
    let log = Log::new(13);
    let inclusion = InclusionProof::make(5, 11, 13, &log.stored).unwrap();
    let consistency = ConsistencyProof::make(6, 13, 13, &log.stored).unwrap();
    let bytes = codec::encode(&inclusion).unwrap();
    assert_eq!(codec::decode::<InclusionProof>(&bytes, 4096).unwrap(), inclusion);
    let json = serde_json::to_string(&inclusion).unwrap();
    assert_eq!(serde_json::from_str::<InclusionProof>(&json).unwrap(), inclusion);
    let bytes = codec::encode(&consistency).unwrap();
    assert_eq!(codec::decode::<ConsistencyProof>(&bytes, 4096).unwrap(), consistency);
    let json = serde_json::to_string(&consistency).unwrap();
    assert_eq!(serde_json::from_str::<ConsistencyProof>(&json).unwrap(), consistency);
    assert_eq!(inclusion.check(log.leaves[5], log.head(11)), Ok(()));
    assert_eq!(consistency.check(log.head(6), log.head(13)), Ok(()));
    assert_eq!(tree::check_consistency(consistency.rfc6962(), 6, log.root(6), 13, log.root(13)), Ok(()));
    let invalid = Err(ProofError::Tree(TreeError::Invalid));
    assert_eq!(inclusion.check(log.leaves[4], log.head(11)), invalid);
    assert_eq!(consistency.check(log.head(6), Head { size: 13, root: log.root(12) }), invalid);
    let other = Head { size: 6, root: log.root(5) };
    assert_eq!(consistency.check(other, log.head(13)), Err(ProofError::Diverged));
    assert_eq!(consistency.check(log.head(7), log.head(13)), Err(ProofError::OtherSize { got: 6, expected: 7 }));
    assert_eq!(consistency.check(log.head(6), log.head(12)), Err(ProofError::OtherSize { got: 13, expected: 12 }));
}

#[test]
fn a_tree_extends_itself() {
    let log = Log::new(9);
    for size in 1..=9 {
        let proof = ConsistencyProof::make(size, size, 9, &log.stored).unwrap();
        assert_eq!(proof.hashes, [log.root(size)]);
        assert_eq!(proof.check(log.head(size), log.head(size)), Ok(()));
        assert_eq!(proof.rfc6962(), []);
    }
}

#[test]
fn proofs_out_of_range_are_not_decoded() {
    let hashes = |n: usize| vec![Sha256([3; 32]); n];
    let cases = [
        (0, 1, PROOF_HASHES_MAX, true),
        (0, 1, PROOF_HASHES_MAX + 1, false),
        (1, 1, 0, false),
        (0, 0, 0, false),
        (2, 1, 0, false),
        (LOG_SIZE_MAX - 1, LOG_SIZE_MAX, 0, true),
        (1, LOG_SIZE_MAX + 1, 0, false),
        (u64::MAX, u64::MAX, 0, false),
    ];
    for (index, size, n, good) in cases {
        let bytes = codec::encode(&(index, size, hashes(n))).unwrap();
        assert_eq!(codec::decode::<InclusionProof>(&bytes, 1 << 16).is_ok(), good, "{index} {size} {n}");
        let json = serde_json::json!({ "index": index, "size": size, "hashes": hashes(n) }).to_string();
        assert_eq!(serde_json::from_str::<InclusionProof>(&json).is_ok(), good, "{index} {size} {n}");
    }
    let cases = [(0, 1, 1, false), (1, 1, 1, true), (2, 1, 1, false), (1, 2, PROOF_HASHES_MAX + 1, false)];
    for (from, to, n, good) in cases {
        let bytes = codec::encode(&(from, to, hashes(n))).unwrap();
        assert_eq!(codec::decode::<ConsistencyProof>(&bytes, 1 << 16).is_ok(), good, "{from} {to} {n}");
    }
    // A length that no memory holds.
    let mut bytes = codec::encode(&(1u64, 2u64)).unwrap();
    bytes.extend([0xfd; 9]);
    assert!(codec::decode::<ConsistencyProof>(&bytes, 1 << 16).is_err());
}

#[test]
fn every_smaller_tree_that_differs_is_seen_to_diverge() {
    let log = Log::new(20);
    let other = Log::branch(20, 0, 1);
    for to in 2..=20 {
        for from in 1..to {
            let proof = ConsistencyProof::make(from, to, 20, &log.stored).unwrap();
            assert_eq!(proof.check(other.head(from), log.head(to)), Err(ProofError::Diverged), "{from} {to}");
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn damaged_proofs_never_check_as_something_else(size in 2u64..60, a: u64, b: u64, at: Index, bit in 0u8..8, cut: Index) {
        let log = Log::new(size);
        let (index, from) = (a % size, 1 + b % size);
        let inclusion = InclusionProof::make(index, size, size, &log.stored).unwrap();
        let consistency = ConsistencyProof::make(from, size, size, &log.stored).unwrap();
        for bytes in damaged(&codec::encode(&inclusion).unwrap(), at, bit, cut) {
            if let Ok(proof) = codec::decode::<InclusionProof>(&bytes, 1 << 16) {
                prop_assert!(proof.check(log.leaves[index as usize], log.head(size)).is_err() || proof == inclusion);
            }
        }
        for bytes in damaged(&codec::encode(&consistency).unwrap(), at, bit, cut) {
            if let Ok(proof) = codec::decode::<ConsistencyProof>(&bytes, 1 << 16) {
                let checked = proof.check(log.head(from), log.head(size));
                prop_assert!(checked.is_err() || proof == consistency);
                // An honest log is never seen to diverge.
                prop_assert_ne!(checked, Err(ProofError::Diverged));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = codec::decode::<InclusionProof>(&bytes, 1 << 16);
        let _ = codec::decode::<ConsistencyProof>(&bytes, 1 << 16);
        let _ = codec::decode::<ForkProof>(&bytes, 1 << 16);
        let _ = codec::decode::<Frontier>(&bytes, 1 << 16);
    }
}

fn damaged(bytes: &[u8], at: Index, bit: u8, cut: Index) -> [Vec<u8>; 2] {
    let mut flipped = bytes.to_vec();
    flipped[at.index(bytes.len())] ^= 1 << bit;
    [flipped, bytes[..cut.index(bytes.len())].to_vec()]
}
