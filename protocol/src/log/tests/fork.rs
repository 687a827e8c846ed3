use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, Selector};

use super::{Log, cases, federation, key, origin, owner};
use crate::codec;
use crate::ids::{FederationId, Sha256};
use crate::limits::{FORK_NOTE_MAX_BYTES, LOG_SIZE_MAX, PROOF_HASHES_MAX};
use crate::log::tree::{prove_consistency, reconstruct};
use crate::log::*;

fn path(log: &Log, from: u64, to: u64) -> ConsistencyProof {
    ConsistencyProof::make(from, to, log.size(), &log.stored).unwrap()
}

/// The proof as an accuser would put it together, unchecked.
fn accuse(log: &Log, from: u64, to: u64, consistency: Option<Vec<Sha256>>) -> ForkProof {
    ForkProof { a: log.signed(from).to_text(), b: log.signed(to).to_text(), consistency }
}

#[test]
fn every_fork_is_proven_at_every_pair_of_sizes() {
    const SIZE: u64 = 13;
    let main = Log::new(SIZE);
    for at in 0..SIZE {
        let other = Log::branch(SIZE, at, 1);
        for small in 1..=SIZE {
            for large in small..=SIZE {
                let (a, b) = (other.signed(small), main.signed(large));
                let made = ForkProof::new(&a, &b, (small < large).then(|| path(&main, small, large)).as_ref());
                let forked = small > at;
                assert_eq!(made.is_ok(), forked, "fork at {at}, sizes {small} and {large}: {made:?}");
                let Ok(proof) = made else { continue };
                let fork = proof.verify(federation()).unwrap();
                assert_eq!(fork.log(), owner().peer());
                assert_eq!((fork.a.size, fork.b.size), (small, large));
                // Given in the other order it is the same proof.
                let swapped = ForkProof::new(&b, &a, (small < large).then(|| path(&main, small, large)).as_ref());
                assert_eq!(swapped.unwrap(), proof);
            }
        }
    }
}

#[test]
fn a_received_proof_that_diverges_is_evidence() {
    let held = Log::branch(8, 5, 1);
    let log = Log::new(11);
    let received = path(&log, 8, 11);
    assert_eq!(received.check(held.head(8), log.head(11)), Err(ProofError::Diverged));
    assert!(ForkProof::new(&held.signed(8), &log.signed(11), Some(&received)).is_ok());
    // The path of RFC 6962 would not have shown it: at 8 leaves it begins with what the verifier holds itself.
    let rfc = prove_consistency(8, 11, 11, &log.stored).unwrap();
    assert_eq!(rfc.len() + 1, received.hashes.len());
    let mut proof = ForkProof::new(&held.signed(8), &log.signed(11), Some(&received)).unwrap();
    proof.consistency = Some(rfc);
    assert_eq!(proof.verify(federation()), Err(ForkError::Path(TreeError::Invalid)));
}

#[test]
fn an_honest_log_is_not_accused_with_its_own_paths() {
    let log = Log::new(10);
    for large in 1..=10 {
        for small in 1..=large {
            let (a, b) = (log.signed(small), log.signed(large));
            let expected = if small == large { ForkError::SameCheckpoint } else { ForkError::Consistent };
            assert_eq!(ForkProof::new(&a, &b, Some(&path(&log, small, large))), Err(expected));
            // Paths of other sizes of the same log, of RFC 6962's form, empty, too long.
            for other in 1..=large {
                let mut paths = vec![path(&log, other, large).hashes];
                paths.push(prove_consistency(other, large, 10, &log.stored).unwrap());
                paths.extend([vec![], vec![log.root(small)], vec![log.root(small); PROOF_HASHES_MAX + 1]]);
                for path in paths {
                    assert!(accuse(&log, small, large, Some(path)).verify(federation()).is_err());
                }
            }
        }
    }
}

/// Every path of the required length whose hashes are any of the tree's own nodes, roots and leaves: if it leads to the larger
/// root, then to the smaller too.
#[test]
fn no_combination_of_true_hashes_accuses() {
    const SIZE: u64 = 6;
    let log = Log::new(SIZE);
    let mut pool = log.stored.clone();
    pool.extend((1..=SIZE).map(|size| log.root(size)));
    pool.push(tree::empty_root());
    pool.sort();
    pool.dedup();
    let mut reached = 0;
    for large in 2..=SIZE {
        for small in 1..large {
            let steps = path(&log, small, large).hashes.len();
            let mut at = vec![0; steps];
            'paths: loop {
                let candidate: Vec<_> = at.iter().map(|&i| pool[i]).collect();
                let (r, s) = reconstruct(&candidate, small, large).unwrap();
                if s == log.root(large) {
                    assert_eq!(r, log.root(small), "sizes {small} and {large}");
                    reached += 1;
                }
                for digit in &mut at {
                    *digit += 1;
                    if *digit < pool.len() {
                        continue 'paths;
                    }
                    *digit = 0;
                }
                break;
            }
        }
    }
    // The true path of each pair is the only one that leads there.
    assert_eq!(reached, 15);
}

#[test]
fn what_is_no_proof_is_refused_with_its_reason() {
    let (main, other) = (Log::new(9), Log::branch(9, 2, 1));
    let good = ForkProof::new(&other.signed(6), &main.signed(9), Some(&path(&main, 6, 9))).unwrap();
    let same_size = ForkProof::new(&other.signed(9), &main.signed(9), None).unwrap();
    let refused = |proof: ForkProof, error: ForkError| assert_eq!(proof.verify(federation()), Err(error));
    assert_eq!(good.verify(FederationId([1; 32])), Err(ForkError::OtherFederation));
    refused(ForkProof { consistency: None, ..good.clone() }, ForkError::PathMissing);
    refused(ForkProof { a: good.b.clone(), b: good.a.clone(), ..good.clone() }, ForkError::Order);
    refused(ForkProof { a: good.b.clone(), ..good.clone() }, ForkError::SameCheckpoint);
    refused(ForkProof { a: main.signed(6).to_text(), ..good.clone() }, ForkError::Consistent);
    refused(ForkProof { b: other.signed(9).to_text(), ..good.clone() }, ForkError::LargerRoot);
    refused(ForkProof { b: main.signed(8).to_text(), ..good.clone() }, ForkError::Path(TreeError::Invalid));
    refused(ForkProof { a: other.signed(7).to_text(), ..good.clone() }, ForkError::Path(TreeError::Invalid));
    let turned = ForkProof { a: same_size.b.clone(), b: same_size.a.clone(), ..same_size.clone() };
    refused(turned, ForkError::Order);
    let with_path = ForkProof { consistency: Some(path(&main, 9, 9).hashes), ..same_size.clone() };
    refused(with_path, ForkError::PathUnexpected);
    refused(ForkProof { consistency: Some(vec![]), ..same_size.clone() }, ForkError::PathUnexpected);

    // Another log of the federation, by another key.
    let foreign = Checkpoint::new(Origin::new(federation(), key(2).peer()), 9, main.root(9)).unwrap();
    let foreign = sign_checkpoint(&key(2), federation(), &foreign).unwrap();
    refused(ForkProof { b: foreign.to_text(), ..good.clone() }, ForkError::TwoLogs);
    // A note that the log did not sign.
    let mut forged = Note::parse(good.b.as_bytes()).unwrap();
    forged.signatures[0].signature = key(2).sign(forged.body.as_bytes()).to_vec();
    refused(ForkProof { b: forged.to_text(), ..good.clone() }, ForkError::Note(NoteError::Signature));
    // A signed checkpoint of no leaves, and one that states more than three lines.
    for (body, error) in [
        (main.checkpoint(9).to_body().replace("\n9\n", "\n0\n"), CheckpointError::Size),
        (main.checkpoint(9).to_body() + "extension\n", CheckpointError::Lines),
    ] {
        let mut note = Note::parse(good.b.as_bytes()).unwrap();
        note.signatures[0].signature = owner().sign(body.as_bytes()).to_vec();
        note.body = body;
        refused(ForkProof { a: note.to_text(), ..good.clone() }, ForkError::Note(NoteError::Checkpoint(error)));
    }
    refused(ForkProof { a: "x".into(), ..good }, ForkError::Note(NoteError::NoSignatures));
}

#[test]
fn a_proof_holds_the_log_s_own_line_only() {
    let (main, other) = (Log::new(9), Log::branch(9, 2, 1));
    let mut signed = other.signed(6);
    signed.add(sign_cosignature(&key(2), 1, signed.checkpoint()).unwrap()).unwrap();
    // Making a proof drops cosignatures.
    let good = ForkProof::new(&signed, &main.signed(9), Some(&path(&main, 6, 9))).unwrap();
    assert_eq!(good.a, other.signed(6).to_text());
    let line = good.a.lines().last().unwrap();
    let twice = format!("{}{line}\n", good.a);
    let extra = format!("{}\u{2014} n AAAAAAA=\n", good.a);
    assert!(extra.len() <= FORK_NOTE_MAX_BYTES);
    assert_eq!(ForkProof { a: extra, ..good.clone() }.verify(federation()), Err(ForkError::NotBare));
    let long = ForkError::NoteTooLong(twice.len());
    assert_eq!(ForkProof { a: twice, ..good.clone() }.verify(federation()), Err(long));
    let long = ForkProof { b: signed.to_text(), ..good };
    assert_eq!(long.verify(federation()), Err(ForkError::NoteTooLong(long.b.len())));
    assert!(codec::decode::<ForkProof>(&codec::encode(&long).unwrap(), 1 << 16).is_err());
}

#[test]
fn cosignatures_do_not_accuse() {
    // An owner that cosigned two branches, but signed one of them only.
    let (main, other) = (Log::new(9), Log::branch(9, 2, 1));
    let cosignature = sign_cosignature(&owner(), 1, &other.checkpoint(9)).unwrap();
    let mut note = Note::parse(other.signed(9).to_text().as_bytes()).unwrap();
    note.signatures = vec![cosignature.to_line()];
    let proof = ForkProof { a: note.to_text(), b: main.signed(9).to_text(), consistency: None };
    assert_eq!(proof.verify(federation()), Err(ForkError::Note(NoteError::Unsigned)));
    note.signatures[0] = Note::parse(main.signed(9).to_text().as_bytes()).unwrap().signatures.remove(0);
    note.signatures[0].signature = cosignature.sig.to_vec();
    let proof = ForkProof { a: note.to_text(), ..proof };
    assert_eq!(proof.verify(federation()), Err(ForkError::Note(NoteError::Signature)));
}

#[test]
fn the_longest_note_fits() {
    let largest = Checkpoint::new(origin(), LOG_SIZE_MAX, Sha256([0xff; 32])).unwrap();
    let text = sign_checkpoint(&owner(), federation(), &largest).unwrap().to_text();
    // What the comment of FORK_NOTE_MAX_BYTES says.
    assert_eq!(text.len(), 418);
}

#[test]
fn proofs_survive_both_codecs() {
    let (main, other) = (Log::new(9), Log::branch(9, 2, 1));
    let good = ForkProof::new(&other.signed(6), &main.signed(9), Some(&path(&main, 6, 9))).unwrap();
    let same_size = ForkProof::new(&other.signed(9), &main.signed(9), None).unwrap();
    for proof in [&good, &same_size] {
        let bytes = codec::encode(proof).unwrap();
        assert_eq!(&codec::decode::<ForkProof>(&bytes, 1 << 16).unwrap(), proof);
        assert_eq!(&serde_json::from_str::<ForkProof>(&serde_json::to_string(proof).unwrap()).unwrap(), proof);
    }
    let long = ForkProof { consistency: Some(vec![Sha256([0; 32]); PROOF_HASHES_MAX + 1]), ..good };
    assert!(codec::decode::<ForkProof>(&codec::encode(&long).unwrap(), 1 << 16).is_err());
    let too_long = TreeError::PathTooLong { len: PROOF_HASHES_MAX + 1, max: PROOF_HASHES_MAX };
    assert_eq!(long.verify(federation()), Err(ForkError::Path(too_long)));
}

/// One hash of an accuser's path: anything, or a true hash of the log, perhaps with a bit flipped.
#[derive(Debug, Clone)]
enum Piece {
    Random([u8; 32]),
    True(Selector),
    Flipped(Selector, usize),
    /// What stands there in the true path.
    InPlace,
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        1 => any::<[u8; 32]>().prop_map(Piece::Random),
        2 => any::<Selector>().prop_map(Piece::True),
        1 => (any::<Selector>(), 0usize..256).prop_map(|(s, bit)| Piece::Flipped(s, bit)),
        6 => Just(Piece::InPlace),
    ]
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn no_path_accuses_an_honest_log(
        size in 2u64..80, a: u64, b: u64,
        pieces in vec(piece(), 16), length in prop_oneof![3 => Just(0i8), 1 => -2i8..=2],
    ) {
        let log = Log::new(size);
        let large = 2 + b % (size - 1);
        let small = 1 + a % (large - 1);
        let truth = path(&log, small, large).hashes;
        let wanted = truth.len().saturating_add_signed(length.into());
        let mut pool = log.stored.clone();
        pool.extend((0..=size).map(|n| log.root(n)));
        let forged: Vec<Sha256> = pieces.iter().take(wanted).enumerate().map(|(i, piece)| match piece {
            Piece::Random(bytes) => Sha256(*bytes),
            Piece::True(s) => *s.select(&pool),
            Piece::Flipped(s, bit) => {
                let mut hash = *s.select(&pool);
                hash.0[bit / 8] ^= 1 << (bit % 8);
                hash
            }
            Piece::InPlace => truth.get(i).copied().unwrap_or(Sha256([0; 32])),
        }).collect();
        let same = forged == truth;
        let verdict = accuse(&log, small, large, Some(forged)).verify(federation());
        if same {
            prop_assert_eq!(verdict, Err(ForkError::Consistent));
        } else {
            prop_assert!(matches!(verdict, Err(ForkError::LargerRoot | ForkError::Path(_))), "{:?}", verdict);
        }
    }

    #[test]
    fn a_damaged_proof_accuses_of_the_same_or_nothing(
        size in 2u64..40, a: u64, b: u64, fork: u64, at: Index, bit in 0u8..8, cut: Index,
    ) {
        let large = 2 + b % (size - 1);
        let small = 1 + a % (large - 1);
        let main = Log::new(large);
        let other = Log::branch(small, fork % small, 1);
        let proof = ForkProof::new(&other.signed(small), &main.signed(large), Some(&path(&main, small, large))).unwrap();
        let fork = proof.verify(federation()).unwrap();
        let bytes = codec::encode(&proof).unwrap();
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1 << bit;
        for bytes in [flipped, bytes[..cut.index(bytes.len())].to_vec()] {
            if let Ok(proof) = codec::decode::<ForkProof>(&bytes, 1 << 16)
                && let Ok(other) = proof.verify(federation())
            {
                prop_assert_eq!(other, fork);
            }
        }
    }

    #[test]
    fn damaged_notes_do_not_accuse_an_honest_log(size in 2u64..40, a: u64, at: Index, bit in 0u8..8, which: bool) {
        let log = Log::new(size);
        let small = 1 + a % (size - 1);
        let mut proof = accuse(&log, small, size, Some(path(&log, small, size).hashes));
        let note = if which { &mut proof.a } else { &mut proof.b };
        let mut bytes = note.clone().into_bytes();
        bytes[at.index(note.len())] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(bytes) {
            *note = text;
            prop_assert!(proof.verify(federation()).is_err());
        }
    }
}
