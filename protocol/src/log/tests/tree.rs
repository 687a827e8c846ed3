use proptest::collection::vec;
use proptest::prelude::*;

use super::{Log, cases, mth, path, subproof};
use crate::codec;
use crate::ids::Sha256;
use crate::limits::{LOG_SIZE_MAX, PROOF_HASHES_MAX};
use crate::log::tree::*;
use crate::log::{Frontier, Head};

/// The eight leaves and roots that implementations of Certificate Transparency test with.
const CT_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const CT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn roots_are_those_of_certificate_transparency() {
    assert_eq!(empty_root(), Sha256::of(b""));
    let mut log = Log::new(0);
    assert_eq!(log.root(0), empty_root());
    for (leaf, root) in CT_LEAVES.iter().zip(CT_ROOTS) {
        log.push(&hex::decode(leaf).unwrap());
        assert_eq!(log.root(log.size()).to_hex(), root);
        assert_eq!(log.frontier(log.size()).root().to_hex(), root);
    }
}

#[test]
fn every_small_proof_is_that_of_the_rfc_and_checks() {
    let log = Log::new(34);
    for t in 1..=log.size() {
        let leaves = &log.leaves[..t as usize];
        let root = log.root(t);
        assert_eq!(root, mth(leaves));
        assert_eq!(stored_count(t).unwrap(), 2 * t - u64::from(t.count_ones()));
        for n in 0..t {
            let proof = prove_inclusion(n, t, log.size(), &log.stored).unwrap();
            assert_eq!(proof, path(n as usize, leaves));
            assert_eq!(check_inclusion(&proof, n, leaves[n as usize], t, root), Ok(()));
        }
        for n in 1..=t {
            let proof = prove_consistency(n, t, log.size(), &log.stored).unwrap();
            assert_eq!(proof, subproof(n as usize, leaves, true));
            assert_eq!(check_consistency(&proof, n, log.root(n), t, root), Ok(()));
            let seeded = prove_seeded(n, t, log.size(), &log.stored).unwrap();
            assert_eq!(seeded, subproof(n as usize, leaves, false));
            assert_eq!(unseeded(&seeded, n, t), proof);
            assert_eq!(reconstruct(&seeded, n, t), Ok((log.root(n), root)));
        }
    }
}

#[test]
fn a_path_of_another_length_is_refused() {
    let log = Log::new(21);
    for t in 1..=21 {
        for n in 1..=t {
            let seeded = prove_seeded(n, t, 21, &log.stored).unwrap();
            let mut longer = seeded.clone();
            longer.push(Sha256([0; 32]));
            assert_eq!(reconstruct(&longer, n, t), Err(TreeError::Invalid));
            assert_eq!(reconstruct(&seeded[..seeded.len() - 1], n, t), Err(TreeError::Invalid));
            assert_eq!(check_consistency(&longer, n, log.root(n), t, log.root(t)), Err(TreeError::Invalid));
        }
    }
    assert_eq!(reconstruct(&[], 1, 1), Err(TreeError::Invalid));
}

#[test]
fn sizes_out_of_range_are_refused() {
    let log = Log::new(8);
    let out = |r: Result<Vec<Sha256>, TreeError>| assert!(matches!(r, Err(TreeError::OutOfRange { .. })), "{r:?}");
    let zero = Sha256([0; 32]);
    for prove in [prove_consistency, prove_seeded] {
        out(prove(0, 8, 8, &log.stored));
        out(prove(0, 0, 8, &log.stored));
        out(prove(5, 4, 8, &log.stored));
        out(prove(4, 9, 8, &log.stored));
        out(prove(1, u64::MAX, u64::MAX, &log.stored));
        out(prove(1, 0, 0, &log.stored));
    }
    // The hashes of leaf 7 are there, but not yet owned.
    out(prove_consistency(4, 8, 7, &log.stored));
    out(prove_inclusion(7, 8, 7, &log.stored));
    out(prove_inclusion(8, 8, 8, &log.stored));
    out(prove_inclusion(0, 0, 8, &log.stored));
    out(append_hashes(LOG_SIZE_MAX, zero, &log.stored));
    out(append_hashes(u64::MAX, zero, &log.stored));
    out(peaks(LOG_SIZE_MAX + 1, &log.stored));
    let refused = |r: Result<(), TreeError>| assert!(matches!(r, Err(TreeError::OutOfRange { .. })), "{r:?}");
    refused(check_inclusion(&[], 0, zero, 0, empty_root()));
    refused(check_inclusion(&[], 1, zero, 1, zero));
    refused(check_consistency(&[], 0, empty_root(), 0, empty_root()));
    refused(check_consistency(&[], 0, empty_root(), 8, log.root(8)));
    refused(check_consistency(&[], 9, zero, 8, log.root(8)));
    refused(check_consistency(&[], 1, zero, LOG_SIZE_MAX + 1, zero));
    refused(stored_count(LOG_SIZE_MAX + 1).map(drop));
    refused(root(u64::MAX, &log.stored).map(drop));
    let long = vec![zero; PROOF_HASHES_MAX + 1];
    let too_long = TreeError::PathTooLong { len: PROOF_HASHES_MAX + 1, max: PROOF_HASHES_MAX };
    assert_eq!(check_inclusion(&long, 0, zero, 2, zero), Err(too_long.clone()));
    assert_eq!(check_consistency(&long, 1, zero, 2, zero), Err(too_long.clone()));
    assert_eq!(reconstruct(&long, 1, 2), Err(too_long));
}

#[test]
fn failures_of_the_store_keep_their_reason() {
    struct Broken;
    impl Hashes for Broken {
        fn stored(&self, _: u64) -> Result<Sha256, HashesError> {
            Err(HashesError::Unreadable("disk".into()))
        }
    }
    let broken = TreeError::Hashes(HashesError::Unreadable("disk".into()));
    assert_eq!(root(3, &Broken), Err(broken.clone()));
    assert_eq!(append_hashes(1, Sha256([0; 32]), &Broken), Err(broken.clone()));
    assert_eq!(prove_inclusion(0, 3, 3, &Broken), Err(broken.clone()));
    assert_eq!(prove_consistency(1, 3, 3, &Broken), Err(broken.clone()));
    assert_eq!(Frontier::load(3, &Broken), Err(broken));
    // A store that is shorter than was claimed.
    let log = Log::new(3);
    assert_eq!(root(5, &log.stored), Err(TreeError::Hashes(HashesError::Missing(6))));
}

#[test]
fn a_path_taken_for_another_size_shows_another_index_and_is_refused_by_the_head() {
    let log = Log::new(3);
    let proof = crate::log::InclusionProof::make(2, 3, 3, &log.stored).unwrap();
    // The trap: the path of leaf 2 of 3 checks as leaf 1 of 2 under the same root.
    assert_eq!(check_inclusion(&proof.hashes, 1, log.leaves[2], 2, log.root(3)), Ok(()));
    let lie = crate::log::InclusionProof { index: 1, size: 2, hashes: proof.hashes };
    let head = Head { size: 3, root: log.root(3) };
    assert_eq!(lie.check(log.leaves[2], head), Err(crate::log::ProofError::OtherSize { got: 2, expected: 3 }));
}

/// A tree of any size whose leaves are all the same: one hash per level.
struct Uniform(Vec<Sha256>);

impl Uniform {
    fn new() -> Self {
        let mut levels = vec![leaf_hash(b"same")];
        for level in 0..60 {
            let below: Sha256 = levels[level];
            levels.push(node_hash(below, below));
        }
        Self(levels)
    }
}

impl Hashes for Uniform {
    fn stored(&self, index: u64) -> Result<Sha256, HashesError> {
        let (level, _) = tlog_tiles::tlog::split_stored_hash_index(index);
        self.0.get(usize::from(level)).copied().ok_or(HashesError::Missing(index))
    }
}

#[test]
fn the_largest_tree_works() {
    let tree = Uniform::new();
    let head = Frontier::load(LOG_SIZE_MAX, &tree).unwrap().head();
    assert_eq!(head.root, root(LOG_SIZE_MAX, &tree).unwrap());
    assert!(Frontier::load(LOG_SIZE_MAX, &tree).unwrap().append(tree.0[0]).is_err());
    assert!(Frontier::load(LOG_SIZE_MAX - 1, &tree).unwrap().extend(&[tree.0[0]; 2]).is_err());
    assert_eq!(append_hashes(LOG_SIZE_MAX - 1, tree.0[0], &tree).unwrap(), &tree.0[..1]);
    assert_eq!(stored_index(0, LOG_SIZE_MAX - 1).unwrap() + 1, stored_count(LOG_SIZE_MAX).unwrap());
    assert!(stored_index(0, LOG_SIZE_MAX).is_err() && stored_index(52, 1).is_err() && stored_index(53, 0).is_err());
    let mut longest = 0;
    for from in (0..53).flat_map(|bit| [1 << bit, (1 << bit) + 1, LOG_SIZE_MAX - (1 << bit)]) {
        let seeded = prove_seeded(from, LOG_SIZE_MAX, LOG_SIZE_MAX, &tree).unwrap();
        longest = longest.max(seeded.len());
        assert_eq!(reconstruct(&seeded, from, LOG_SIZE_MAX), Ok((root(from, &tree).unwrap(), head.root)));
        let proof = prove_inclusion(from - 1, LOG_SIZE_MAX, LOG_SIZE_MAX, &tree).unwrap();
        assert_eq!(check_inclusion(&proof, from - 1, tree.0[0], LOG_SIZE_MAX, head.root), Ok(()));
    }
    // What the comment of PROOF_HASHES_MAX says.
    assert_eq!(longest, 54);
}

#[test]
fn a_frontier_is_refused_unless_peaks_fit_the_size() {
    let log = Log::new(6);
    let good = Frontier::load(6, &log.stored).unwrap();
    let bytes = codec::encode(&good).unwrap();
    assert_eq!(codec::decode::<Frontier>(&bytes, 1024).unwrap(), good);
    assert_eq!(serde_json::from_str::<Frontier>(&serde_json::to_string(&good).unwrap()).unwrap(), good);
    for (size, peaks) in [(6, 1), (6, 3), (7, 2), (0, 1), (1, 0), (LOG_SIZE_MAX + 1, 1), (u64::MAX, 64)] {
        let peaks = vec![Sha256([7; 32]); peaks];
        assert!(Frontier::from_parts(size, peaks.clone()).is_err(), "{size}");
        assert!(codec::decode::<Frontier>(&codec::encode(&(size, peaks)).unwrap(), 4096).is_err(), "{size}");
    }
}

#[test]
fn a_full_extend_changes_nothing() {
    let tree = Uniform::new();
    let mut frontier = Frontier::load(LOG_SIZE_MAX - 1, &tree).unwrap();
    let before = frontier.clone();
    assert!(frontier.extend(&[tree.0[0]; 2]).is_err());
    assert_eq!(frontier, before);
    frontier.extend(&[tree.0[0]]).unwrap();
    assert_eq!(frontier.root(), root(LOG_SIZE_MAX, &tree).unwrap());
}

fn hashes(max: usize) -> impl Strategy<Value = Vec<Sha256>> {
    vec(any::<[u8; 32]>().prop_map(Sha256), 0..=max)
}

/// Sizes of every magnitude, often beside a power of two.
fn size() -> impl Strategy<Value = u64> {
    (0u32..64, -2i64..=2, any::<u64>(), any::<bool>())
        .prop_map(|(bit, off, any, near)| if near { (1u64 << bit).wrapping_add_signed(off) } else { any >> bit })
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_frontier_equals_the_stored_tree(first in 0u64..200, more in 0u64..200) {
        let log = Log::new(first + more);
        let mut frontier = Frontier::load(first, &log.stored).unwrap();
        prop_assert_eq!(&frontier, &log.frontier(first));
        let count = stored_count(first).unwrap() as usize;
        let mut stored = log.stored[..count].to_vec();
        for (at, &leaf) in log.leaves[first as usize..].iter().enumerate() {
            let expected = append_hashes(first + at as u64, leaf, &stored).unwrap();
            let before = stored.len();
            frontier.append_stored(leaf, &mut stored).unwrap();
            prop_assert_eq!(&stored[before..], &expected);
            prop_assert_eq!(frontier.root(), log.root(frontier.size()));
        }
        prop_assert_eq!(&stored, &log.stored);
        prop_assert_eq!(frontier.head(), log.head(first + more));
        prop_assert_eq!(frontier.peaks(), &peaks(first + more, &log.stored).unwrap()[..]);
    }

    #[test]
    fn a_flipped_bit_breaks_every_proof(size in 2u64..150, a: u64, b: u64, at: usize, bit in 0usize..256) {
        let log = Log::new(size);
        let (index, from) = (a % size, 1 + b % (size - 1));
        let mut proof = prove_inclusion(index, size, size, &log.stored).unwrap();
        let at_hash = at % proof.len();
        proof[at_hash].0[bit / 8] ^= 1 << (bit % 8);
        let leaf = log.leaves[index as usize];
        prop_assert_eq!(check_inclusion(&proof, index, leaf, size, log.root(size)), Err(TreeError::Invalid));
        let mut proof = prove_consistency(from, size, size, &log.stored).unwrap();
        let at_hash = at % proof.len();
        proof[at_hash].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(
            check_consistency(&proof, from, log.root(from), size, log.root(size)),
            Err(TreeError::Invalid)
        );
        let mut seeded = prove_seeded(from, size, size, &log.stored).unwrap();
        let at_hash = at % seeded.len();
        seeded[at_hash].0[bit / 8] ^= 1 << (bit % 8);
        let (_, large) = reconstruct(&seeded, from, size).unwrap();
        prop_assert_ne!(large, log.root(size));
    }
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn nothing_panics_and_nothing_random_checks(n in size(), t in size(), own in size(), path in hashes(70), root_of: [u8; 32]) {
        let random = Sha256(root_of);
        let tree = Uniform::new();
        prop_assert!(check_inclusion(&path, n, tree.0[0], t, random).is_err());
        // The one thing that checks: a tree extends itself, by an empty path.
        let trivial = n == t && (1..=LOG_SIZE_MAX).contains(&t) && path.is_empty();
        prop_assert_eq!(check_consistency(&path, n, random, t, random).is_ok(), trivial);
        let _ = reconstruct(&path, n, t);
        let _ = (stored_count(n), stored_index((t & 0xff) as u8, n), unseeded(&path, n, t).len());
        let provable = 1 <= n && n <= t && t <= own.min(LOG_SIZE_MAX);
        prop_assert_eq!(prove_consistency(n, t, own, &tree).is_ok(), provable);
        prop_assert_eq!(prove_seeded(n, t, own, &tree).is_ok(), provable);
        prop_assert_eq!(prove_inclusion(n, t, own, &tree).is_ok(), n < t && t <= own.min(LOG_SIZE_MAX));
        prop_assert_eq!(root(n, &tree).is_ok(), n <= LOG_SIZE_MAX);
        prop_assert_eq!(append_hashes(n, random, &tree).is_ok(), n < LOG_SIZE_MAX);
    }
}
