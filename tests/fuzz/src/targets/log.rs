//! Logs: checkpoints, notes, cosignatures, proofs and fork proofs.

use serde_json::Value;
use verbund_protocol::codec;
use verbund_protocol::ids::{PeerId, Sha256};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::limits::{
    FORK_NOTE_MAX_BYTES, LOG_SIZE_MAX, NOTE_MAX_BYTES, NOTE_SIGNATURES_MAX, PROOF_HASHES_MAX,
};
use verbund_protocol::log::{
    self, Checkpoint, ConsistencyProof, Cosignature, ForkProof, Frontier, Head, InclusionProof, Note, Origin,
    ProofError, cosigner_name, verify_checkpoint, verify_cosignature,
};

use crate::check::{decoded, refused, twice};
use crate::{corpus, oracle};

/// A checkpoint has one text.
pub fn checkpoint(data: &[u8]) {
    decoded::<Checkpoint>(data, 1 << 10);
    decoded::<Frontier>(data, 4 << 10);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(origin) = twice(|| text.parse::<Origin>()) {
        assert_eq!(origin.to_string(), text);
    }
    let Some(checkpoint) = twice(|| Checkpoint::parse(text)) else { return };
    assert_eq!(checkpoint.to_body(), text);
    assert!((1..=LOG_SIZE_MAX).contains(&checkpoint.size));
    let bytes = codec::encode(&checkpoint).unwrap();
    assert_eq!(codec::decode(&bytes, bytes.len()), Ok(checkpoint));
}

fn log_of_the_vectors() -> PeerId {
    SecretKey::from_seed(&[1; 32]).peer()
}

/// A note has one text; every line is counted once; what was verified verifies again, alone and beside others.
pub fn note(data: &[u8]) {
    let Some(note) = twice(|| Note::parse(data)) else { return };
    assert!(data.len() <= NOTE_MAX_BYTES && note.signatures.len() <= NOTE_SIGNATURES_MAX);
    assert_eq!(note.to_text().as_bytes(), data);
    let origin = Origin::new(corpus::federation(), log_of_the_vectors());
    let Some(opened) = twice(|| log::open(data, origin, &|_| true)) else { return };
    let signed = &opened.signed;
    assert_eq!(signed.checkpoint().to_body(), note.body);
    assert_eq!(verify_checkpoint(data, origin.federation, origin.peer).as_ref(), Ok(signed.checkpoint()));
    let cosigned = signed.cosignatures().count();
    assert!(cosigned + opened.refused.len() + opened.skipped < note.signatures.len(), "one line is the log's own");
    assert_eq!(signed.witnesses().count() + usize::from(signed.fresh_at_s().is_some()), cosigned);
    for cosignature in signed.cosignatures() {
        assert_eq!(verify_cosignature(cosignature, signed.checkpoint()), Ok(()));
    }
    let again = log::open(signed.to_text().as_bytes(), origin, &|_| true).unwrap();
    assert_eq!((&again.signed, again.refused.len(), again.skipped), (signed, 0, 0));
    opened.refused.iter().for_each(|line| refused(&line.fault));
}

/// A cosignature (bincode, then a checkpoint to verify it on) is a line that is read as itself; a changed one does not verify.
pub fn cosignature(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(peer) = log::cosign::cosigner_of(text)
    {
        assert_eq!(cosigner_name(peer), text);
    }
    let Some((cosignature, checkpoint)) = decoded::<(Cosignature, Checkpoint)>(data, 1 << 10) else { return };
    let line = cosignature.to_line();
    assert_eq!(line.name, cosigner_name(cosignature.peer));
    if twice(|| verify_cosignature(&cosignature, &checkpoint)).is_none() {
        return;
    }
    for changed in [
        Cosignature { time_s: cosignature.time_s ^ 1, ..cosignature },
        Cosignature { peer: log_of_the_vectors(), ..cosignature },
    ] {
        assert!(changed == cosignature || verify_cosignature(&changed, &checkpoint).is_err());
    }
    let other = Checkpoint { size: checkpoint.size ^ 2, ..checkpoint };
    assert!(verify_cosignature(&cosignature, &other).is_err());
}

/// A path that proves a leaf leads to the root by the steps of RFC 9162 as well, and the other way round.
pub fn inclusion(data: &[u8]) {
    let read = || codec::decode::<(Sha256, Sha256, InclusionProof)>(data, 4 << 10);
    let Some((leaf, root, proof)) = twice(read) else { return };
    assert!(proof.hashes.len() <= PROOF_HASHES_MAX && proof.index < proof.size && proof.size <= LOG_SIZE_MAX);
    let head = Head { size: proof.size, root };
    let expected = oracle::inclusion_root(proof.index, proof.size, leaf, &proof.hashes);
    assert_eq!(twice(|| proof.check(leaf, head)).is_some(), expected == Some(root));
    if let Some(root) = expected {
        assert_eq!(proof.check(leaf, Head { root, ..head }), Ok(()), "the root that the path leads to");
    }
    assert!(proof.check(leaf, Head { size: proof.size + 1, ..head }).is_err());
}

/// As [`inclusion`], for two trees; a path that shows another past is told from one that shows nothing.
pub fn consistency(data: &[u8]) {
    let read = || codec::decode::<(Sha256, Sha256, ConsistencyProof)>(data, 4 << 10);
    let Some((small, large, proof)) = twice(read) else { return };
    assert!(proof.hashes.len() <= PROOF_HASHES_MAX && proof.from <= proof.to && proof.to <= LOG_SIZE_MAX);
    let heads = |small, large| (Head { size: proof.from, root: small }, Head { size: proof.to, root: large });
    let check = |small, large| {
        let (from, to) = heads(small, large);
        proof.check(from, to)
    };
    let expected = oracle::consistency_roots(proof.from, proof.to, &proof.hashes);
    let _ = twice(|| check(small, large));
    match (check(small, large), expected) {
        (Ok(()), Some(roots)) => assert_eq!(roots, (small, large)),
        (Err(ProofError::Diverged), Some((s, l))) => assert!(l == large && s != small),
        (Err(_), Some((_, l))) => assert_ne!(l, large, "a path that leads to the larger root says something"),
        (Err(error), None) => assert_ne!(error, ProofError::Diverged, "a path of a wrong length accuses nobody"),
        (Ok(()), None) => panic!("a path of a wrong length"),
    }
    if let Some((small, large)) = expected {
        assert_eq!(check(small, large), Ok(()));
        let (from, to) = heads(small, large);
        let plain = log::tree::check_consistency(proof.rfc6962(), from.size, from.root, to.size, to.root);
        assert_eq!(plain, Ok(()), "readers of other make take the path without its seed");
    }
}

/// A fork proof that counts holds two notes of one log which contradict each other, by the steps of RFC 9162 as well.
pub fn fork(data: &[u8]) {
    let federation = corpus::federation();
    let Some(proof) = decoded::<ForkProof>(data, 4 << 10) else { return };
    assert!(proof.a.len() <= FORK_NOTE_MAX_BYTES && proof.b.len() <= FORK_NOTE_MAX_BYTES);
    let Some(fork) = twice(|| proof.verify(federation)) else { return };
    let (a, b) = (fork.a, fork.b);
    for (text, checkpoint) in [(&proof.a, a), (&proof.b, b)] {
        assert_eq!(verify_checkpoint(text.as_bytes(), federation, fork.log()), Ok(checkpoint), "the log signed both");
    }
    assert!(a.size <= b.size && (a.size, a.root) != (b.size, b.root));
    match &proof.consistency {
        None => assert_eq!(a.size, b.size),
        Some(path) => {
            let (small, large) = oracle::consistency_roots(a.size, b.size, path).unwrap();
            assert!(large == b.root && small != a.root, "what the larger tree begins with is not the smaller one");
        }
    }
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let bytes = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    let wire = |kind: &str| -> Vec<Vec<u8>> {
        let all = corpus::json("log/wire.json");
        let of = all.as_array().unwrap().iter().filter(|case| case["kind"] == kind);
        of.filter_map(|case| hex::decode(case["hex"].as_str()?).ok()).collect()
    };
    let notes = || bytes(corpus::texts(&corpus::json("log/note.json"), "note"));
    match target {
        "checkpoint" => {
            let body = |note: Vec<u8>| Some(Note::parse(&note).ok()?.body.into_bytes());
            let bodies = notes().into_iter().filter_map(body);
            bodies.chain(wire("Checkpoint")).chain(wire("Frontier")).collect()
        }
        "note" => notes(),
        "cosignature" => {
            let key = SecretKey::from_seed(&[2; 32]);
            let checkpoint =
                Checkpoint::new(Origin::new(corpus::federation(), log_of_the_vectors()), 9, Sha256::of(b"root"));
            let checkpoint = checkpoint.unwrap();
            let good = log::sign_cosignature(&key, 1_700_000_000, &checkpoint).unwrap();
            let good = codec::encode(&(good, checkpoint)).unwrap();
            let tail = codec::encode(&checkpoint).unwrap();
            let others = wire("Cosignature").into_iter().map(|c| [c, tail.clone()].concat());
            others.chain([good, cosigner_name(key.peer()).into_bytes()]).collect()
        }
        "inclusion" => tree_seeds("inclusion", |case| {
            let hash = |value: &Value| value.as_str()?.parse::<Sha256>().ok();
            let numbers = [case["index"].as_u64()?, case["size"].as_u64()?];
            let hashes: Option<Vec<_>> = case["hashes"].as_array()?.iter().map(hash).collect();
            let proof = (numbers[0], numbers[1], hashes?);
            codec::encode(&(hash(&case["leaf_hash"])?, hash(&case["tree"]["root"])?, proof)).ok()
        }),
        "consistency" => tree_seeds("consistency", |case| {
            let hash = |value: &Value| value.as_str()?.parse::<Sha256>().ok();
            let numbers = [case["from"].as_u64()?, case["to"].as_u64()?];
            let hashes: Option<Vec<_>> = case["hashes"].as_array()?.iter().map(hash).collect();
            let proof = (numbers[0], numbers[1], hashes?);
            codec::encode(&(hash(&case["from_tree"]["root"])?, hash(&case["to_tree"]["root"])?, proof)).ok()
        }),
        _ => {
            let all = corpus::json("log/fork.json");
            let proofs = all["proofs"].as_array().unwrap().iter().map(|case| {
                let hashes = case["consistency"]
                    .as_array()
                    .map(|path| path.iter().filter_map(|h| h.as_str()?.parse::<Sha256>().ok()).collect::<Vec<_>>());
                codec::encode(&(case["a"].as_str().unwrap(), case["b"].as_str().unwrap(), hashes)).unwrap()
            });
            proofs.chain(wire("ForkProof")).collect()
        }
    }
}

fn tree_seeds(key: &str, encode: impl Fn(&Value) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    corpus::json("log/tree.json")[key].as_array().unwrap().iter().filter_map(encode).collect()
}
