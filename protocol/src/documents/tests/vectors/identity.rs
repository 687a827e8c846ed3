use serde_json::json;

use super::*;
use crate::identity::{Identity, IdentityError, PublisherRole, Role, VerifiedIdentity};
use crate::testing::error_name;

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
