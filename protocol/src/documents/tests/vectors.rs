//! Golden vectors in `protocol/vectors/documents`: one file for each kind, and one for envelopes and for JSON.

use serde::Deserialize;
use serde_json::json;

use super::samples::*;
use super::*;
use crate::identity::{Identity, IdentityError, PublisherRole, Role, VerifiedIdentity};
use crate::ids::PublicKey;
use crate::limits::SIGNATURES_MAX;
use crate::testing::{error_name, golden, outcome};

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

/// An identity chain, and what must not follow.
#[derive(Serialize, Deserialize)]
struct Identities {
    payload_type: String,
    keys: Vec<Key>,
    /// Each follows the one before.
    chain: Vec<Valid>,
    fingerprint: String,
    invalid: Vec<InvalidIdentity>,
}

#[derive(Serialize, Deserialize)]
struct InvalidIdentity {
    name: String,
    /// How many of the chain go before it.
    after: usize,
    envelope: String,
    error: String,
}

/// A version's name, who signs it, and its content.
type Named = (&'static str, Vec<Signer>, Identity);

/// Hessen's first identity, a second with all keys rotated and two of three root keys needed, a third with slugs.
fn identity_chain() -> (Vec<Signer>, Vec<Named>) {
    let signer = |role: &str, generation| Signer::new("de-he", role, generation);
    let public = |role: &str, generation| signer(role, generation).key().public();
    let world = world();
    let first = world.actor("de-he").identity.identity.clone();
    let (member, hash) = (world.actor("de-he").id(), world.actor("de-he").identity.hash);
    let mut second = Identity { version: 2, member: Some(member), prev: Some(hash), ..first.clone() };
    second.names.insert("en".into(), "Hesse".into());
    second.ags = Some("06".into());
    second.valid_until = Some("2030-12-31".into());
    second.roles.root = Role { keys: [2, 3, 4].map(|g| public("root", g)).into(), threshold: 2 };
    second.roles.approver = Role { keys: [2, 3].map(|g| public("approver", g)).into(), threshold: 2 };
    second.roles.nodes.push(public("node", 2));
    let two = [signer("root", 1), signer("root", 2), signer("root", 4)];
    let seal = |identity: &Identity, signers: &[Signer]| {
        let keys: Vec<_> = signers.iter().map(Signer::key).collect();
        identity.seal(&keys.iter().collect::<Vec<_>>()).unwrap()
    };
    let prev = Some(seal(&second, &two).id());
    let mut third = Identity { version: 3, prev, contact: None, ..second.clone() };
    let keys = vec![public("publisher", 1), public("publisher", 2)];
    let slugs = [(keys[1], ["hundesteuer".parse().unwrap(), "wohngeld".parse().unwrap()].into())].into();
    third.roles.publisher = PublisherRole { keys, threshold: 1, slugs };
    let keys = ["root", "approver", "publisher", "node"].into_iter().flat_map(|r| [1, 2].map(|g| signer(r, g)));
    let keys = keys.chain([signer("root", 3), signer("root", 4), signer("approver", 3)]).collect();
    let chain = vec![
        ("version 1", vec![signer("root", 1)], first),
        ("version 2: other root keys, two needed", two.into(), second),
        ("version 3: a publisher key for two slugs", vec![signer("root", 3), signer("root", 2)], third),
    ];
    (keys, chain)
}

fn invalid_identities(chain: &[Named]) -> Vec<(&'static str, usize, Vec<u8>)> {
    let (_, _, first) = &chain[0];
    let (_, two, second) = &chain[1];
    let forge = |value: &Value, signers: &[Signer]| {
        let keys: Vec<_> = signers.iter().map(Signer::key).collect();
        let envelope = Envelope::sign(IDENTITY_TYPE, json::canonical(value), &keys).unwrap();
        envelope.bytes().to_vec()
    };
    let alter = |identity: &Identity, pointer: &str, new: Value| {
        let mut value = serde_json::to_value(identity).unwrap();
        *value.pointer_mut(pointer).unwrap() = new;
        value
    };
    let one = |pointer: &str, new: Value| forge(&alter(first, pointer, new), &chain[0].1);
    let next = |pointer: &str, new: Value| forge(&alter(second, pointer, new), two);
    let whole = |signers: &[Signer]| forge(&serde_json::to_value(second).unwrap(), signers);
    let keys = |n: u8| json!((0..n).map(|n| SecretKey::from_seed(&[n; 32]).public()).collect::<Vec<_>>());
    vec![
        ("a first version 2", 0, one("/version", json!(2))),
        ("a first version that names a member", 0, whole(two)),
        ("not signed", 0, forge(&serde_json::to_value(first).unwrap(), &[])),
        (
            "signed by an approver",
            0,
            forge(&serde_json::to_value(first).unwrap(), &[Signer::new("de-he", "approver", 1)]),
        ),
        ("a key in two roles", 0, one("/roles/nodes", json!(first.roles.root.keys))),
        ("a key twice in a role", 0, one("/roles/root/keys", json!(vec![first.roles.root.keys[0]; 2]))),
        ("threshold 0", 0, one("/roles/root/threshold", json!(0))),
        ("a threshold over its keys", 0, one("/roles/approver/threshold", json!(2))),
        ("no publisher keys", 0, one("/roles/publisher/keys", json!([]))),
        ("no nodes", 0, one("/roles/nodes", json!([]))),
        ("17 nodes", 0, one("/roles/nodes", keys(17))),
        ("no names", 0, one("/names", json!({}))),
        ("an empty name", 0, one("/names/de", json!(""))),
        ("a control character in the contact", 0, one("/contact", json!("a\nb"))),
        ("a role as an array", 0, one("/roles/root", json!([first.roles.root.keys, 1]))),
        ("signed by the new root alone", 1, whole(&two[1..])),
        ("signed by the old root alone", 1, whole(&two[..1])),
        ("signed by the old root and one new key of two", 1, whole(&two[..2])),
        ("a gap", 1, next("/version", json!(3))),
        ("another member", 1, next("/member", json!(ids().rp))),
        ("another predecessor", 1, next("/prev", json!(hash("x")))),
        ("the same version again", 2, whole(two)),
        ("an AGS with a letter", 1, next("/ags", json!("0x"))),
        ("an AGS of 9 digits", 1, next("/ags", json!("064110000"))),
    ]
}

fn follow(chain: &[Envelope], next: &Envelope) -> Result<VerifiedIdentity, IdentityError> {
    VerifiedIdentity::chain(chain.iter().chain([next]))
}

#[test]
fn identity() {
    let (keys, chain) = identity_chain();
    let sealed = |(name, signers, identity): &Named| {
        let keys: Vec<_> = signers.iter().map(Signer::key).collect();
        valid(name, signers, &identity.seal(&keys.iter().collect::<Vec<_>>()).unwrap())
    };
    let valid: Vec<_> = chain.iter().map(sealed).collect();
    let envelopes: Vec<_> = valid.iter().map(|v| Envelope::parse(v.envelope.as_bytes()).unwrap()).collect();
    let invalid = invalid_identities(&chain).into_iter().map(|(name, after, bytes)| {
        let refused = Envelope::parse(&bytes).map(|next| follow(&envelopes[..after], &next)).unwrap();
        let error = error_name(&refused.expect_err(name));
        InvalidIdentity { name: name.to_owned(), after, envelope: text(&bytes), error }
    });
    let fingerprint = crate::identity::fingerprint(envelopes[0].id().as_bytes());
    let made = Identities {
        payload_type: IDENTITY_TYPE.to_owned(),
        keys: keys.iter().map(Key::of).collect(),
        invalid: invalid.collect(),
        chain: valid,
        fingerprint,
    };
    let found: Identities = golden("documents/identity.json", &made);
    let file =
        File { payload_type: found.payload_type, keys: found.keys, valid: vec![], lenient: vec![], invalid: vec![] };
    let mut before = Vec::new();
    for (case, (_, _, identity)) in found.chain.iter().zip(&chain) {
        let envelope = check_envelope(&file, case);
        let verified = follow(&before, &envelope).unwrap();
        assert_eq!((&verified.identity, verified.hash), (identity, case.sha256), "{}", case.name);
        assert_eq!(verified.member.0, found.chain[0].sha256.0);
        before.push(envelope);
    }
    for case in found.invalid {
        let next = Envelope::parse(case.envelope.as_bytes()).unwrap();
        assert_eq!(outcome(follow(&before[..case.after], &next)), Some(case.error), "{}", case.name);
    }
}

#[derive(Serialize, Deserialize)]
struct EnvelopeCase {
    name: String,
    envelope: String,
    /// Known keys whose signatures count, by name.
    signed_by: Vec<String>,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Envelopes {
    keys: Vec<Key>,
    /// What is signed of the first case: the pre-authentication encoding, in hex.
    pae_hex: String,
    cases: Vec<EnvelopeCase>,
}

#[test]
fn envelope() {
    let signers = [1, 2].map(|g| Signer::new("de-he", "root", g));
    let keys: Vec<_> = signers.iter().map(Signer::key).collect();
    let two = Envelope::sign("application/example+json", b"{\"a\":\"\xc3\xb6\"}".to_vec(), &keys).unwrap();
    let whole = text(two.bytes());
    let parsed: Value = serde_json::from_str(&whole).unwrap();
    let alter = |change: &dyn Fn(&mut Value)| {
        let mut value = parsed.clone();
        change(&mut value);
        serde_json::to_string(&value).unwrap()
    };
    let sig = |n: usize| parsed["signatures"][n]["sig"].as_str().unwrap().to_owned();
    let flipped =
        |n: usize| if sig(n).starts_with('A') { sig(n).replacen('A', "B", 1) } else { format!("A{}", &sig(n)[1..]) };
    let many: Vec<_> = (0..=SIGNATURES_MAX).map(|n| json!({ "keyid": n.to_string(), "sig": "" })).collect();
    let cases = vec![
        ("two signatures", whole.clone()),
        ("other members and spaces", alter(&|v| v["zz"] = json!(1)).replace(',', " , ")),
        ("no signatures", alter(&|v| v["signatures"] = json!([]))),
        ("a forged signature", alter(&|v| v["signatures"][0]["sig"] = json!(flipped(0)))),
        (
            "a signature under another key",
            alter(&|v| v["signatures"][1]["keyid"] = json!(keys[0].public().to_string().replace(':', "-"))),
        ),
        (
            "swapped signatures",
            alter(&|v| {
                v["signatures"][0]["sig"] = json!(sig(1));
                v["signatures"][1]["sig"] = json!(sig(0));
            }),
        ),
        ("a signature that is no base64", alter(&|v| v["signatures"][0]["sig"] = json!("***"))),
        ("a signature of 63 bytes", alter(&|v| v["signatures"][0]["sig"] = json!("A".repeat(84)))),
        ("a key id of another algorithm", alter(&|v| v["signatures"][0]["keyid"] = json!("ml-dsa-65:00"))),
        ("another payload type", alter(&|v| v["payloadType"] = json!("application/example"))),
        ("another payload", alter(&|v| v["payload"] = json!("e30="))),
        ("one key id twice", alter(&|v| v["signatures"][1]["keyid"] = v["signatures"][0]["keyid"].clone())),
        ("17 signatures", alter(&|v| v["signatures"] = json!(many))),
        ("a payload in URL-safe base64", alter(&|v| v["payload"] = json!("eyJhIjoi_7Yifg=="))),
        ("a payload without padding", alter(&|v| v["payload"] = json!("e30"))),
        ("a payload with stray bits", alter(&|v| v["payload"] = json!("e31="))),
        ("a payload with a line break", alter(&|v| v["payload"] = json!("e3\n0="))),
        ("no key id", alter(&|v| drop(v["signatures"][0].as_object_mut().unwrap().remove("keyid")))),
        ("no payload type", alter(&|v| drop(v.as_object_mut().unwrap().remove("payloadType")))),
        ("a key twice", whole.replacen('{', "{\"payload\":\"\",", 1)),
        ("an array", alter(&|v| *v = json!([v["payload"], v["payloadType"], v["signatures"]]))),
        ("a signature as an array", alter(&|v| v["signatures"][0] = json!(["k", ""]))),
        ("cut", whole[..whole.len() - 1].to_owned()),
    ];
    let case = |(name, envelope): (&str, String)| {
        let parsed = Envelope::parse(envelope.as_bytes());
        let by =
            |e: &Envelope| signers.iter().filter(|s| e.signed_by(&s.key().public())).map(|s| s.name.clone()).collect();
        let signed_by = parsed.as_ref().map(by).unwrap_or_default();
        EnvelopeCase { name: name.to_owned(), envelope, signed_by, error: outcome(parsed) }
    };
    let made = Envelopes {
        keys: signers.iter().map(Key::of).collect(),
        pae_hex: hex::encode([b"DSSEv1 24 application/example+json 10 ".as_slice(), two.payload()].concat()),
        cases: cases.into_iter().map(case).collect(),
    };
    let found: Envelopes = golden("documents/envelope.json", &made);
    for case in &found.cases {
        let parsed = Envelope::parse(case.envelope.as_bytes());
        assert_eq!(outcome(parsed.as_ref()), case.error, "{}", case.name);
        let Ok(envelope) = parsed else { continue };
        assert_eq!(text(envelope.bytes()), case.envelope, "kept as it came");
        let known: Vec<_> = found.keys.iter().map(|k| k.public).collect();
        assert_eq!(envelope.signers(&known).len(), case.signed_by.len(), "{}", case.name);
        for key in &found.keys {
            assert_eq!(envelope.signed_by(&key.public), case.signed_by.contains(&key.name), "{}", case.name);
        }
    }
    let signature = found.keys[0].secret().sign(&hex::decode(found.pae_hex).unwrap());
    assert!(crate::keys::verify(&found.keys[0].public, &hex::decode(made.pae_hex).unwrap(), &signature));
    assert!(found.cases[0].envelope.contains(&{
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(signature)
    }));
}

#[derive(Serialize, Deserialize)]
struct JsonCase {
    name: String,
    text: String,
    /// The canonical form, of what is read.
    canonical: Option<String>,
    error: Option<String>,
}

#[test]
fn json_texts() {
    let cases = [
        (
            "order of keys by UTF-16",
            "{\"\u{20ac}\":1,\"\\r\":2,\"\u{fb33}\":3,\"1\":4,\"\u{1f600}\":5,\"\u{80}\":6,\"\u{f6}\":7}",
        ),
        ("escapes that need not be", "[\"\\u0041\\/\\u00f6\\ud83d\\ude00\"]"),
        ("escapes that must be", "[\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\\u{7f}\u{2028}\"]"),
        ("spaces", " { \"a\" : [ 1 , true , null , { } ] } \n"),
        ("the largest integers", "[9007199254740991,-9007199254740991,0]"),
        ("an integer over 2^53-1", "9007199254740992"),
        ("an integer under -(2^53-1)", "-9007199254740992"),
        ("an integer over 64 bits", "18446744073709551616"),
        ("a fraction", "1.0"),
        ("an exponent", "1e2"),
        ("minus zero", "-0"),
        ("a leading zero", "01"),
        ("a plus sign", "+1"),
        ("a key twice", "{\"a\":1,\"a\":1}"),
        ("a key twice, once escaped", "{\"a\":1,\"\\u0061\":2}"),
        ("a key twice, further in", "[{\"b\":{\"a\":1,\"a\":1}}]"),
        ("a lone surrogate", "\"\\ud800\""),
        ("a control character", "\"\u{1}\""),
        ("a byte order mark", "\u{feff}{}"),
        ("a comment", "{}//"),
        ("a trailing comma", "[1,]"),
        ("two values", "{}{}"),
        ("nothing", ""),
        ("32 deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
        ("33 deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
    ];
    let case = |(name, input): (&str, &str)| {
        let parsed = json::parse(input.as_bytes());
        let canonical = parsed.as_ref().ok().map(|v| text(&json::canonical(v)));
        JsonCase { name: name.to_owned(), text: input.to_owned(), canonical, error: outcome(parsed) }
    };
    let made: Vec<_> = cases.into_iter().map(case).collect();
    for case in golden("documents/json.json", &made) {
        let parsed = json::parse(case.text.as_bytes());
        assert_eq!(outcome(parsed.as_ref()), case.error, "{}", case.name);
        assert_eq!(parsed.ok().map(|v| text(&json::canonical(&v))), case.canonical, "{}", case.name);
        if let Some(form) = case.canonical {
            assert_eq!(text(&json::canonical(&json::parse(form.as_bytes()).unwrap())), form, "{}", case.name);
        }
    }
}
