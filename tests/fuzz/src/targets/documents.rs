//! Signed documents: the envelope, each kind of document, and the identity with its chain.

use std::collections::BTreeSet;
use std::fmt::Debug;

use serde_json::Value;
use verbund_protocol::documents::{
    Adoption, Advisory, Approval, Correction, Deprecation, Document, Kind, Leave, NodeInfo, Ordering, Request,
    Transfer, Withdrawal, Writer,
};
use verbund_protocol::envelope::{Envelope, EnvelopeError};
use verbund_protocol::identity::{IDENTITY_TYPE, Identity, VerifiedIdentity};
use verbund_protocol::ids::{PublicKey, Sha256};
use verbund_protocol::json;
use verbund_protocol::keys::SecretKey;
use verbund_protocol::limits::{JSON_INTEGER_MAX, LEAF_MAX_BYTES, ROLE_KEYS_MAX, SIGNATURES_MAX};

use crate::check::{refused, twice};
use crate::corpus;

/// An envelope is kept as it came; checking signatures ahead changes no count; no signature is counted under another key.
pub fn envelope(data: &[u8]) {
    let Some(envelope) = twice(|| Envelope::parse(data)) else { return };
    assert!(data.len() <= LEAF_MAX_BYTES);
    assert_eq!(envelope.bytes(), data);
    assert_eq!(envelope.id(), Sha256::of(envelope.payload()));
    let ids = key_ids(data);
    assert!(ids.len() <= SIGNATURES_MAX && ids.iter().collect::<BTreeSet<_>>().len() == ids.len());
    assert_eq!(envelope.is_unsigned(), ids.is_empty());
    let keys: Vec<PublicKey> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    let signers = envelope.signers(&keys);
    assert_eq!(envelope.clone().checked().signers(&keys), signers, "what is checked ahead counts alike");
    let own = SecretKey::from_seed(&[7; 32]);
    match envelope.with_signature(&own) {
        Ok(more) => {
            assert!(more.signed_by(&own.public()) && more.payload() == envelope.payload());
            assert_eq!(more.signers(&keys), signers, "others' signatures stay");
        }
        Err(EnvelopeError::TooLong(_) | EnvelopeError::TooManySignatures(_) | EnvelopeError::DuplicateKeyId(_)) => {}
        Err(error) => panic!("{error}"),
    }
    let _ = Kind::of(&envelope).name();
}

/// The key ids of an envelope that was read, as a stock JSON reader finds them.
fn key_ids(data: &[u8]) -> Vec<String> {
    let value: Value = serde_json::from_slice(data).unwrap();
    let signatures = value["signatures"].as_array().unwrap();
    signatures.iter().map(|s| s["keyid"].as_str().unwrap().to_owned()).collect()
}

type Check = fn(&[u8]);

/// Every kind: its payload type, and the check of a payload.
const KINDS: [(&str, &str, Check); 12] = [
    ("writer", Writer::TYPE, payload::<Writer>),
    ("node_info", NodeInfo::TYPE, payload::<NodeInfo>),
    ("request", Request::TYPE, payload::<Request>),
    ("approval", Approval::TYPE, payload::<Approval>),
    ("ordering", Ordering::TYPE, payload::<Ordering>),
    ("leave", Leave::TYPE, payload::<Leave>),
    ("correction", Correction::TYPE, payload::<Correction>),
    ("withdrawal", Withdrawal::TYPE, payload::<Withdrawal>),
    ("deprecation", Deprecation::TYPE, payload::<Deprecation>),
    ("adoption", Adoption::TYPE, payload::<Adoption>),
    ("transfer", Transfer::TYPE, payload::<Transfer>),
    ("advisory", Advisory::TYPE, payload::<Advisory>),
];

/// The first byte chooses the kind, the rest is its payload.
pub fn documents(data: &[u8]) {
    let Some((kind, payload)) = data.split_first() else { return };
    let (_, _, check) = KINDS[usize::from(*kind) % KINDS.len()];
    check(payload);
}

/// What is read can be signed, and then reads the same; a kind that others rebuild has one form only.
fn payload<T: Document + PartialEq + Debug>(payload: &[u8]) {
    let Ok(envelope) = Envelope::sign(T::TYPE, payload.to_vec(), []) else { return };
    let Some(document) = twice(|| T::open(&envelope)) else { return };
    match document.seal(&[]) {
        Ok(sealed) => {
            assert_eq!(T::open(&sealed).as_ref(), Ok(&document));
            assert!(!T::CANONICAL || sealed.payload() == payload);
        }
        // A payload full of text that must be escaped may grow over a leaf when it is written anew.
        Err(error) => assert!(payload.len() > LEAF_MAX_BYTES / 12, "{error}"),
    }
    // No other kind reads it, whatever it says.
    let other = if T::TYPE == Leave::TYPE { Writer::TYPE } else { Leave::TYPE };
    assert!(T::open(&Envelope::sign(other, payload.to_vec(), []).unwrap()).is_err());
}

/// A payload, an envelope, or a chain of envelopes, one a line.
pub fn identity(data: &[u8]) {
    let lines: Vec<_> = data.split(|b| *b == b'\n').collect();
    if lines.len() > 1 {
        return chain(&lines);
    }
    let envelope = Envelope::parse(data).or_else(|_| Envelope::sign(IDENTITY_TYPE, data.to_vec(), []));
    let Ok(envelope) = envelope else { return };
    let Some(identity) = twice(|| Identity::parse(&envelope)) else { return };
    assert!(identity.version >= 1 && identity.version <= JSON_INTEGER_MAX);
    let roles = &identity.roles;
    let mut keys: Vec<_> = roles.root.keys.iter().chain(&roles.approver.keys).chain(&roles.publisher.keys).collect();
    keys.extend(&roles.nodes);
    assert!(keys.len() <= 4 * ROLE_KEYS_MAX);
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "no key in two roles, none twice");
    for role in [&roles.root, &roles.approver] {
        assert!(role.threshold >= 1 && role.threshold as usize <= role.keys.len());
    }
    let canonical = json::to_canonical(&identity).unwrap();
    let again = Envelope::sign(IDENTITY_TYPE, canonical, []).unwrap();
    assert_eq!(Identity::parse(&again).as_ref(), Ok(&identity));
    let _ = identity.name();
    match VerifiedIdentity::first(&envelope) {
        Ok(first) => {
            assert!(identity.version == 1 && first.hash == envelope.id() && first.member.0 == envelope.id().0);
            assert!(threshold(&identity, &envelope), "nothing is verified without its root threshold");
        }
        Err(error) => refused(&error),
    }
}

/// Counted a second time: distinct root keys that signed.
fn threshold(identity: &Identity, envelope: &Envelope) -> bool {
    let root = &identity.roles.root;
    let signed: BTreeSet<_> = root.keys.iter().filter(|key| envelope.signed_by(key)).collect();
    signed.len() >= root.threshold as usize
}

fn chain(lines: &[&[u8]]) {
    let envelopes: Vec<_> = lines.iter().filter_map(|line| Envelope::parse(line).ok()).collect();
    let Some(last) = twice(|| VerifiedIdentity::chain(&envelopes)) else { return };
    let all: Vec<_> = envelopes.iter().map(|e| Identity::parse(e).unwrap()).collect();
    assert_eq!(last.identity, *all.last().unwrap());
    for (n, (identity, envelope)) in all.iter().zip(&envelopes).enumerate() {
        assert_eq!(identity.version, n as u64 + 1);
        assert_eq!(identity.prev, n.checked_sub(1).map(|before| envelopes[before].id()));
        assert!(threshold(identity, envelope));
        assert!(n == 0 || threshold(&all[n - 1], envelope), "the old root key agrees");
    }
    assert_eq!(last.member.0, envelopes[0].id().0);
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let bytes = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    let identity = || corpus::json("documents/identity.json");
    match target {
        "envelope" => {
            let kinds = KINDS.map(|(kind, ..)| format!("documents/{kind}.json"));
            let files = kinds.into_iter().chain(["documents/envelope.json".into(), "documents/identity.json".into()]);
            files.flat_map(|file| bytes(corpus::texts(&corpus::json(&file), "envelope"))).collect()
        }
        "documents" => {
            let of = |(at, (kind, ..)): (usize, &(&str, &str, Check))| {
                let payloads = corpus::texts(&corpus::json(&format!("documents/{kind}.json")), "payload");
                payloads.into_iter().map(move |p| [&[u8::try_from(at).unwrap()], p.as_bytes()].concat())
            };
            KINDS.iter().enumerate().flat_map(of).collect()
        }
        _ => {
            let value = identity();
            let chain = corpus::texts(&value["chain"], "envelope").join("\n").into_bytes();
            [bytes(corpus::texts(&value, "payload")), bytes(corpus::texts(&value, "envelope")), vec![chain]].concat()
        }
    }
}
