//! Golden vectors in `protocol/vectors/documents`: one file for each kind, and one for envelopes and for JSON.

mod identity;
mod texts;

use serde::Deserialize;
use serde_json::json;

use super::samples::*;
use super::*;
use crate::ids::PublicKey;
use crate::testing::{golden, outcome};

#[derive(Serialize, Deserialize)]
struct Key {
    name: String,
    /// Of RFC 8032; hex.
    seed: String,
    public: PublicKey,
}

impl Key {
    fn of(signer: &Signer) -> Self {
        Self { name: signer.name.clone(), seed: hex::encode(signer.seed), public: signer.key().public() }
    }
    fn secret(&self) -> SecretKey {
        let key = SecretKey::from_seed(&hex::decode(&self.seed).unwrap().try_into().unwrap());
        assert_eq!(key.public(), self.public);
        key
    }
}

/// A document that is read, and written the same.
#[derive(Serialize, Deserialize)]
struct Valid {
    name: String,
    signed_by: Vec<String>,
    payload: String,
    sha256: Sha256,
    envelope: String,
}

/// A document that is read as the first valid one, though it was written otherwise.
#[derive(Serialize, Deserialize)]
struct Lenient {
    name: String,
    payload: String,
    sha256: Sha256,
}

/// A payload that is refused, whoever signed it.
#[derive(Serialize, Deserialize)]
struct Invalid {
    name: String,
    payload: String,
    error: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    payload_type: String,
    keys: Vec<Key>,
    valid: Vec<Valid>,
    lenient: Vec<Lenient>,
    invalid: Vec<Invalid>,
}

/// What a file is made of: documents with their signers, and payloads that are refused.
struct Made<T> {
    valid: Vec<(&'static str, T)>,
    signers: Vec<Signer>,
    invalid: Vec<(&'static str, Vec<u8>)>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn valid(name: &str, signers: &[Signer], envelope: &Envelope) -> Valid {
    Valid {
        name: name.to_owned(),
        signed_by: signers.iter().map(|s| s.name.clone()).collect(),
        payload: text(envelope.payload()),
        sha256: envelope.id(),
        envelope: text(envelope.bytes()),
    }
}

/// Envelope and payload are as the case says, and exactly the signers signed.
fn check_envelope(file: &File, case: &Valid) -> Envelope {
    let envelope = Envelope::parse(case.envelope.as_bytes()).unwrap();
    assert_eq!(envelope.payload_type(), file.payload_type);
    assert_eq!((text(envelope.payload()), envelope.id()), (case.payload.clone(), case.sha256), "{}", case.name);
    assert_eq!(Sha256::of(case.payload.as_bytes()), case.sha256);
    for key in &file.keys {
        assert_eq!(envelope.signed_by(&key.public), case.signed_by.contains(&key.name), "{}: {}", case.name, key.name);
    }
    envelope
}

/// How any document may be written otherwise and is read the same, unless it must be canonical.
fn otherwise<T: Document>(all: &[(&'static str, T)]) -> Vec<(String, Vec<u8>)> {
    let first = &all[0].1;
    let object = |document: &T| value(document).as_object().unwrap().clone();
    let absent = |key: &String| !object(first).contains_key(key);
    let absent: std::collections::BTreeSet<_> =
        all.iter().flat_map(|(_, d)| object(d)).map(|(key, _)| key).filter(absent).collect();
    let mut out = vec![
        ("a key that is not known".to_owned(), with(first, "/zz", json!({ "later": [1] }))),
        ("spaces, line breaks".to_owned(), serde_json::to_vec_pretty(&value(first)).unwrap()),
    ];
    for key in absent {
        let mut object = object(first);
        object.insert(key.clone(), Value::Null);
        out.push((format!("null for the absent {key}"), json::canonical(&Value::Object(object))));
    }
    out
}

/// What every document refuses.
fn always<T: Document>(document: &T) -> Vec<(String, Vec<u8>)> {
    let object = value(document);
    let object = object.as_object().unwrap();
    let required = |key: &str| T::open(&forge::<T>(&with(document, &format!("/{key}"), Value::Null), &[])).is_err();
    let mut out: Vec<_> = object
        .keys()
        .filter(|key| required(key))
        .map(|key| (format!("without {key}"), with(document, &format!("/{key}"), Value::Null)))
        .collect();
    let good = text(&json::canonical(&value(document)));
    let key = object.keys().next().unwrap();
    let doubled = format!("{{{}:null,{}", serde_json::to_string(key).unwrap(), &good[1..]);
    out.push(("a key twice".into(), doubled.into_bytes()));
    out.push(("a fraction".into(), good.replacen('{', "{\"a\":1.0,", 1).into_bytes()));
    out.push(("an integer over 2^53-1".into(), good.replacen('{', "{\"a\":9007199254740992,", 1).into_bytes()));
    out.push(("bytes after it".into(), format!("{good}x").into_bytes()));
    out.push(("the array of its members".into(), json::canonical(&Value::Array(object.values().cloned().collect()))));
    if object.contains_key("federation") {
        let upper = object["federation"].as_str().unwrap().to_uppercase().replace("FEDERATION", "federation");
        out.push(("an id in upper case".into(), with(document, "/federation", json!(upper))));
    }
    out
}

fn check<T: Document + PartialEq + std::fmt::Debug>(name: &str, made: &Made<T>) {
    let error = |payload: &[u8]| outcome(T::open(&forge::<T>(payload, &[])));
    let first = &made.valid[0].1;
    let keys: Vec<_> = made.signers.iter().map(Signer::key).collect();
    let keys: Vec<_> = keys.iter().collect();
    let mut file = File {
        payload_type: T::TYPE.to_owned(),
        keys: made.signers.iter().map(Key::of).collect(),
        valid: made.valid.iter().map(|(n, d)| valid(n, &made.signers, &d.seal(&keys).unwrap())).collect(),
        lenient: Vec::new(),
        invalid: Vec::new(),
    };
    for (name, payload) in otherwise(&made.valid) {
        let error = error(&payload);
        let (sha256, payload) = (Sha256::of(&payload), text(&payload));
        match error {
            None => file.lenient.push(Lenient { name, payload, sha256 }),
            Some(error) => file.invalid.push(Invalid { name, payload, error }),
        }
    }
    assert_eq!(file.lenient.is_empty(), T::CANONICAL, "{name}");
    let own = made.invalid.iter().map(|(name, payload)| ((*name).to_owned(), payload.clone()));
    for (name, payload) in own.chain(always(first)) {
        let error = error(&payload).unwrap_or_else(|| panic!("{name} is read"));
        file.invalid.push(Invalid { name, payload: text(&payload), error });
    }
    let file = golden(&format!("documents/{name}.json"), &file);
    for (case, (_, document)) in file.valid.iter().zip(&made.valid) {
        let envelope = check_envelope(&file, case);
        let opened = T::open(&envelope).unwrap();
        assert_eq!(&opened, document, "{}", case.name);
        let secrets: Vec<_> = file.keys.iter().filter(|k| case.signed_by.contains(&k.name)).map(Key::secret).collect();
        let secrets: Vec<_> = secrets.iter().collect();
        assert_eq!(text(opened.seal(&secrets).unwrap().bytes()), case.envelope, "{}", case.name);
    }
    for case in &file.lenient {
        let envelope = forge::<T>(case.payload.as_bytes(), &[]);
        assert_eq!((T::open(&envelope).as_ref(), envelope.id()), (Ok(first), case.sha256), "{}", case.name);
    }
    for case in &file.invalid {
        let opened = T::open(&forge::<T>(case.payload.as_bytes(), &[]));
        assert_eq!(outcome(opened).as_ref(), Some(&case.error), "{}", case.name);
    }
}

fn by(role: &str) -> Vec<Signer> {
    vec![Signer::new("de-he", role, 1)]
}

#[test]
fn writer() {
    let valid = writers();
    let (joined, next) = (valid[0].1.clone(), valid[2].1.clone());
    let invalid = vec![
        ("seq 0", with(&joined, "/seq", json!(0))),
        ("seq 2 without prev and closes", with(&joined, "/seq", json!(2))),
        ("seq 1 with prev and closes", with(&next, "/seq", json!(1))),
        ("seq 2 without federation", with(&next, "/federation", Value::Null)),
        (
            "a peer that is no Ed25519 key",
            with(&joined, "/peer", json!("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")),
        ),
        ("closes as an array", with(&next, "/closes", json!([next.peer, 17, hash("root")]))),
    ];
    check("writer", &Made { valid, signers: by("root"), invalid });
}

#[test]
fn node_info() {
    let valid = node_infos();
    let first = valid[0].1.clone();
    let invalid = vec![
        ("17 addresses", with(&first, "/addresses", json!(vec!["a:1"; 17]))),
        ("a space in an address", with(&first, "/addresses", json!(["a b:1"]))),
        ("an address that is not ASCII", with(&first, "/addresses", json!(["bücher.example:1"]))),
        ("no software", with(&first, "/software", json!(""))),
        ("a negative version", with(&first, "/protocol", json!(-1))),
    ];
    check("node_info", &Made { valid, signers: by("node"), invalid });
}

#[test]
fn request() {
    let valid = requests();
    let first = valid[0].1.clone();
    let invalid = vec![
        ("a handle in upper case", with(&first, "/handle", json!("DE-TH"))),
        ("a hash without its algorithm", with(&first, "/identity", json!(hash("x").to_hex()))),
        ("a member that is a federation", with(&first, "/member", json!(first.federation))),
    ];
    check("request", &Made { valid, signers: vec![Signer::new("de-th", "approver", 1)], invalid });
}

#[test]
fn approval() {
    let valid = approvals();
    let first = valid[0].1.clone();
    let invalid = vec![
        ("a change of an unknown kind", with(&first, "/change/kind", json!("dissolve"))),
        ("a change with a proposer", with(&first, "/change/proposer", json!("de-he"))),
        ("an amendment of nothing", with(&first, "/change", json!({ "kind": "amend" }))),
        ("an amendment of a member that changes nothing of it", {
            with(&first, "/change", json!({ "kind": "amend", "member": first.member, "name": "x" }))
        }),
        ("an amendment of nobody's handle", with(&first, "/change", json!({ "kind": "amend", "handle": "de-xx" }))),
        ("a standing that is not known", with(&first, "/change/standing", json!("honorary"))),
    ];
    check("approval", &Made { valid, signers: by("approver"), invalid });
}

#[test]
fn ordering() {
    let valid = orderings();
    let (vote, genesis, proposal) = (valid[0].1.clone(), valid[1].1.clone(), valid[2].1.clone());
    let invalid = vec![
        ("a proposal of nothing", with(&proposal, "/value", Value::Null)),
        ("a proposal with the round of a later polka", with(&proposal, "/pol_round", json!(0))),
        ("a vote with the round of a polka", with(&Ordering { round: 2, ..vote.clone() }, "/pol_round", json!(1))),
        ("height 0", with(&genesis, "/height", json!(0))),
        ("height 1 with a predecessor", with(&vote, "/height", json!(1))),
        ("height 2 without one", with(&genesis, "/height", json!(2))),
        ("height 2 without federation", with(&vote, "/federation", Value::Null)),
        ("height 2 without prev", with(&vote, "/prev", Value::Null)),
        ("a type that is not known", with(&vote, "/type", json!("Precommit"))),
        ("a type as an object", with(&vote, "/type", json!({ "precommit": null }))),
        ("a round over 32 bits", with(&vote, "/round", json!(1_u64 << 32))),
    ];
    check("ordering", &Made { valid, signers: by("node"), invalid });
}

#[test]
fn leave() {
    let valid = leaves();
    let first = valid[0].1.clone();
    let invalid = vec![("an empty reason", with(&first, "/reason", json!("")))];
    check("leave", &Made { valid, signers: by("approver"), invalid });
}

#[test]
fn correction() {
    let valid = corrections();
    let first = valid[0].1.clone();
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("k{n}"), json!(0))).collect();
    let invalid = vec![
        ("no fields", with(&first, "/fields", json!({}))),
        ("65 fields", with(&first, "/fields", json!(many))),
        ("fields as an array", with(&first, "/fields", json!(["title"]))),
        ("a slug with an underscore", with(&first, "/process", json!("hunde_steuer"))),
    ];
    check("correction", &Made { valid, signers: by("publisher"), invalid });
}

#[test]
fn withdrawal() {
    let valid = withdrawals();
    let first = valid[0].1.clone();
    let invalid = vec![
        ("an empty reason", with(&first, "/reason", json!(""))),
        ("a reason of 301 characters", with(&first, "/reason", json!("ß".repeat(301)))),
        ("a control character", with(&first, "/successor", json!("a\u{1b}[2J"))),
        ("erase as a number", with(&first, "/erase", json!(1))),
    ];
    check("withdrawal", &Made { valid, signers: by("publisher"), invalid });
}

#[test]
fn deprecation() {
    let valid = deprecations();
    let first = valid[0].1.clone();
    let invalid = vec![("an empty end", with(&first, "/ends", json!("")))];
    check("deprecation", &Made { valid, signers: by("publisher"), invalid });
}

#[test]
fn adoption() {
    let valid = adoptions();
    let first = valid[0].1.clone();
    let invalid = vec![
        ("a body of 4 digits", with(&first, "/bodies", json!(["0731"]))),
        ("a body with a letter", with(&first, "/bodies", json!(["0a"]))),
        ("2,501 bodies", with(&first, "/bodies", json!(vec!["07"; 2501]))),
        ("no stage", with(&first, "/stage", json!(""))),
        ("a negative count", with(&first, "/count", json!(-1))),
    ];
    check("adoption", &Made { valid, signers: vec![Signer::new("de-rp", "approver", 1)], invalid });
}

#[test]
fn transfer() {
    let valid = transfers();
    let first = valid[0].1.clone();
    let invalid = vec![("to its owner", with(&first, "/to", json!(first.member)))];
    check("transfer", &Made { valid, signers: by("publisher"), invalid });
}

#[test]
fn advisory() {
    let valid = advisories();
    let first = valid[0].1.clone();
    let invalid = vec![("no text", with(&first, "/text", json!("")))];
    check("advisory", &Made { valid, signers: vec![Signer::new("de-rp", "approver", 1)], invalid });
}
