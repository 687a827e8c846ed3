use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::Log;
use super::{cosigned, golden, outcome};
use crate::codec;
use crate::ids::Sha256;
use crate::limits::{LOG_SIZE_MAX, PROOF_HASHES_MAX};
use crate::log::*;

#[derive(Serialize, Deserialize)]
struct Wire {
    kind: String,
    name: String,
    /// The value in JSON, for valid bytes.
    json: Option<serde_json::Value>,
    /// The bytes of `codec`.
    hex: String,
    error: Option<String>,
}

/// Decodes as `T`, and compares the error, or the value encoded again and its JSON form.
fn wire_check<T: Serialize + DeserializeOwned>(case: &Wire) {
    let bytes = hex::decode(&case.hex).unwrap();
    let decoded = codec::decode::<T>(&bytes, 1 << 16);
    assert_eq!(outcome(decoded.as_ref()), case.error, "{} {}", case.kind, case.name);
    if let Ok(value) = decoded {
        assert_eq!(codec::encode(&value).unwrap(), bytes, "{}", case.name);
        assert_eq!(Some(serde_json::to_value(&value).unwrap()), case.json, "{}", case.name);
    }
}

fn wire_valid<T: Serialize>(kind: &str, value: &T) -> Wire {
    Wire {
        kind: kind.to_owned(),
        name: "valid".to_owned(),
        json: Some(serde_json::to_value(value).unwrap()),
        hex: hex::encode(codec::encode(value).unwrap()),
        error: None,
    }
}

fn wire_invalid<T: Serialize>(kind: &str, name: &str, value: &T) -> Wire {
    let hex = hex::encode(codec::encode(value).unwrap());
    Wire { kind: kind.to_owned(), name: name.to_owned(), json: None, hex, error: Some("Malformed".to_owned()) }
}

#[test]
fn wire_forms() {
    let (main, other) = (Log::new(9), Log::branch(9, 2, 1));
    let checkpoint = main.checkpoint(9);
    let consistency = ConsistencyProof::make(6, 9, 9, &main.stored).unwrap();
    let none: Vec<Sha256> = Vec::new();
    let many = vec![Sha256([0; 32]); PROOF_HASHES_MAX + 1];
    let made = vec![
        wire_valid("Checkpoint", &checkpoint),
        wire_valid("Cosignature", &cosigned(&checkpoint, 2, 1_700_000_000)),
        wire_valid("InclusionProof", &InclusionProof::make(5, 9, 9, &main.stored).unwrap()),
        wire_valid("ConsistencyProof", &consistency),
        wire_valid("Frontier", &main.frontier(9)),
        wire_valid("ForkProof", &ForkProof::new(&other.signed(6), &main.signed(9), Some(&consistency)).unwrap()),
        wire_valid("ForkProof", &ForkProof::new(&other.signed(9), &main.signed(9), None).unwrap()),
        wire_invalid("Checkpoint", "no leaves", &(checkpoint.origin, 0u64, checkpoint.root)),
        wire_invalid("Checkpoint", "a size over the limit", &(checkpoint.origin, LOG_SIZE_MAX + 1, checkpoint.root)),
        wire_invalid("InclusionProof", "an index beyond the tree", &(9u64, 9u64, &none)),
        wire_invalid("InclusionProof", "too many hashes", &(0u64, 9u64, &many)),
        wire_invalid("ConsistencyProof", "from no leaves", &(0u64, 9u64, &none)),
        wire_invalid("ConsistencyProof", "backwards", &(9u64, 6u64, &none)),
        wire_invalid("ConsistencyProof", "too many hashes", &(6u64, 9u64, &many)),
        wire_invalid("Frontier", "a peak too few", &(9u64, &many[..1])),
        wire_invalid("Frontier", "a size over the limit", &(LOG_SIZE_MAX + 1, &many[..1])),
        wire_invalid("ForkProof", "a note over the limit", &("x".repeat(513), "", Option::<Vec<Sha256>>::None)),
        wire_invalid("ForkProof", "too many hashes", &("", "", Some(&many))),
    ];
    for case in golden("wire.json", &made) {
        match case.kind.as_str() {
            "Checkpoint" => wire_check::<Checkpoint>(&case),
            "Cosignature" => wire_check::<Cosignature>(&case),
            "InclusionProof" => wire_check::<InclusionProof>(&case),
            "ConsistencyProof" => wire_check::<ConsistencyProof>(&case),
            "Frontier" => wire_check::<Frontier>(&case),
            "ForkProof" => wire_check::<ForkProof>(&case),
            other => panic!("unknown kind {other}"),
        }
    }
}
