use serde::{Deserialize, Serialize};

use super::super::{Log, federation, key, owner};
use super::{golden, outcome};
use crate::ids::{FederationId, PeerId, Sha256};
use crate::limits::PROOF_HASHES_MAX;
use crate::log::*;

#[derive(Serialize, Deserialize)]
struct ForkCase {
    name: String,
    a: String,
    b: String,
    consistency: Option<Vec<Sha256>>,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Forks {
    federation: FederationId,
    log: PeerId,
    proofs: Vec<ForkCase>,
}

fn forks_made() -> Vec<(&'static str, ForkProof, Option<&'static str>)> {
    let (main, other) = (Log::new(9), Log::branch(9, 2, 1));
    let path = |from, to| ConsistencyProof::make(from, to, 9, &main.stored).unwrap();
    let proof = |a: &Log, from, b: &Log, to, consistency| ForkProof {
        a: a.signed(from).to_text(),
        b: b.signed(to).to_text(),
        consistency,
    };
    let good = proof(&other, 6, &main, 9, Some(path(6, 9).hashes));
    let same_size = ForkProof::new(&other.signed(9), &main.signed(9), None).unwrap();
    let mut flipped = path(6, 9).hashes;
    flipped[0].0[0] ^= 1;
    let foreign = Checkpoint::new(Origin::new(federation(), key(2).peer()), 9, main.root(9)).unwrap();
    let foreign = sign_checkpoint(&key(2), federation(), &foreign).unwrap().to_text();
    let unsigned = main.signed(9).to_text().replace("\n9\n", "\n8\n");
    let elsewhere = Checkpoint::new(Origin::new(FederationId([1; 32]), owner().peer()), 9, main.root(9)).unwrap();
    let elsewhere = sign_checkpoint(&owner(), FederationId([1; 32]), &elsewhere).unwrap().to_text();
    vec![
        ("one size, two roots", same_size.clone(), None),
        ("two sizes", good.clone(), None),
        ("the smaller is a power of two", proof(&other, 4, &main, 7, Some(path(4, 7).hashes)), None),
        ("the smaller has one leaf", proof(&Log::branch(1, 0, 1), 1, &main, 2, Some(path(1, 2).hashes)), None),
        ("an honest log", proof(&main, 6, &main, 9, Some(path(6, 9).hashes)), Some("Consistent")),
        ("an honest log at a power of two", proof(&main, 4, &main, 9, Some(path(4, 9).hashes)), Some("Consistent")),
        ("an honest log, a flipped bit", proof(&main, 6, &main, 9, Some(flipped)), Some("LargerRoot")),
        (
            "an honest log, without the seed",
            proof(&main, 4, &main, 9, Some(path(4, 9).rfc6962().to_vec())),
            Some("Path.Invalid"),
        ),
        ("an honest log, an empty path", proof(&main, 6, &main, 9, Some(vec![])), Some("Path.Invalid")),
        ("an honest log, one note twice", proof(&main, 9, &main, 9, None), Some("SameCheckpoint")),
        ("before the fork", proof(&other, 2, &main, 9, Some(path(2, 9).hashes)), Some("Consistent")),
        ("no path", ForkProof { consistency: None, ..good.clone() }, Some("PathMissing")),
        (
            "a path for one size",
            ForkProof { consistency: Some(path(9, 9).hashes), ..same_size },
            Some("PathUnexpected"),
        ),
        (
            "a path over the limit",
            ForkProof { consistency: Some(vec![Sha256([0; 32]); PROOF_HASHES_MAX + 1]), ..good.clone() },
            Some("Path.PathTooLong"),
        ),
        ("larger before smaller", ForkProof { a: good.b.clone(), b: good.a.clone(), ..good.clone() }, Some("Order")),
        ("two logs", ForkProof { b: foreign, ..good.clone() }, Some("TwoLogs")),
        (
            "another federation",
            ForkProof { a: elsewhere.clone(), b: elsewhere, ..good.clone() },
            Some("OtherFederation"),
        ),
        ("a note that was not signed", ForkProof { b: unsigned, ..good.clone() }, Some("Note.Signature")),
        (
            "a foreign line",
            ForkProof { b: format!("{}\u{2014} n AAAAAAA=\n", good.b), ..good.clone() },
            Some("NotBare"),
        ),
        ("a note over the limit", ForkProof { b: format!("{}{}", good.b, good.b), ..good }, Some("NoteTooLong")),
    ]
}

#[test]
fn forks() {
    let case = |(name, proof, error): (&str, ForkProof, Option<&str>)| {
        assert_eq!(outcome(proof.verify(federation())).as_deref(), error, "{name}");
        let ForkProof { a, b, consistency } = proof;
        ForkCase { name: name.to_owned(), a, b, consistency, error: error.map(str::to_owned) }
    };
    let made =
        Forks { federation: federation(), log: owner().peer(), proofs: forks_made().into_iter().map(case).collect() };
    let found = golden("fork.json", &made);
    for case in found.proofs {
        let proof = ForkProof { a: case.a, b: case.b, consistency: case.consistency };
        let verdict = proof.verify(found.federation);
        assert_eq!(outcome(verdict.as_ref()), case.error, "{}", case.name);
        assert!(verdict.is_err() || verdict.is_ok_and(|fork| fork.log() == found.log), "{}", case.name);
    }
}
