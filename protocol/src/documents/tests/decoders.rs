//! Arbitrary, cut and damaged bytes in every reader of documents: refused or read, never a panic, and what is read is what was
//! signed.

use proptest::prelude::*;

use super::samples::*;
use super::*;
use crate::identity::{Identity, VerifiedIdentity};
use crate::testing::cases;

/// Opens `envelope` as every kind of document; how many it is.
fn open_all(envelope: &Envelope) -> usize {
    fn one<T: Document + PartialEq + std::fmt::Debug>(envelope: &Envelope) -> usize {
        let Ok(document) = T::open(envelope) else { return 0 };
        // What was read can be written, and reads the same.
        let sealed = document.seal(&[]).unwrap();
        assert_eq!(T::open(&sealed).unwrap(), document);
        assert!(!T::CANONICAL || sealed.payload() == envelope.payload());
        1
    }
    let read = [
        one::<Writer>(envelope),
        one::<NodeInfo>(envelope),
        one::<Request>(envelope),
        one::<Approval>(envelope),
        one::<Ordering>(envelope),
        one::<Leave>(envelope),
        one::<Correction>(envelope),
        one::<Withdrawal>(envelope),
        one::<Deprecation>(envelope),
        one::<Adoption>(envelope),
        one::<Transfer>(envelope),
        one::<Advisory>(envelope),
    ];
    let identity = Identity::parse(envelope).is_ok();
    let _ = VerifiedIdentity::first(envelope);
    let _ = Kind::of(envelope).name();
    read.iter().sum::<usize>() + usize::from(identity)
}

/// One of each kind, as signed.
fn samples() -> Vec<Envelope> {
    fn seal<T: Document>(all: Vec<(&'static str, T)>) -> Vec<Envelope> {
        all.into_iter().map(|(_, d)| d.seal(&[&he().approver]).unwrap()).collect()
    }
    let mut all = vec![world().actor("de-he").identities[0].clone()];
    all.extend(seal(writers()));
    all.extend(seal(node_infos()));
    all.extend(seal(requests()));
    all.extend(seal(approvals()));
    all.extend(seal(orderings()));
    all.extend(seal(leaves()));
    all.extend(seal(corrections()));
    all.extend(seal(withdrawals()));
    all.extend(seal(deprecations()));
    all.extend(seal(adoptions()));
    all.extend(seal(transfers()));
    all.extend(seal(advisories()));
    all
}

thread_local! {
    static SAMPLES: Vec<Envelope> = samples();
}

fn sample(pick: &prop::sample::Index) -> Envelope {
    SAMPLES.with(|all| pick.get(all).clone())
}

#[test]
fn every_sample_is_one_kind() {
    SAMPLES.with(|all| assert!(all.iter().all(|e| open_all(e) == 1)));
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Envelope::parse(&bytes).is_err());
        for sample in SAMPLES.with(Clone::clone) {
            let envelope = Envelope::sign(sample.payload_type(), bytes.clone(), []).unwrap();
            prop_assert_eq!(open_all(&envelope), 0);
        }
    }

    #[test]
    fn a_damaged_envelope_has_no_signature_or_the_same_content(pick: prop::sample::Index, at: prop::sample::Index, mask in 1..=255u8) {
        let good = sample(&pick);
        let mut bytes = good.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let _ = Envelope::parse(&bytes[..at]);
        if let Ok(envelope) = Envelope::parse(&bytes) {
            open_all(&envelope);
            if envelope.signed_by(&he().approver.public()) {
                prop_assert_eq!((envelope.payload(), envelope.payload_type()), (good.payload(), good.payload_type()));
            }
        }
    }

    #[test]
    fn a_damaged_payload_is_read_or_refused(pick: prop::sample::Index, at: prop::sample::Index, mask: u8, cut: bool) {
        let good = sample(&pick);
        let mut payload = good.payload().to_vec();
        let at = at.index(payload.len());
        payload[at] ^= mask;
        if cut {
            payload.truncate(at);
        }
        open_all(&Envelope::sign(good.payload_type(), payload, []).unwrap());
    }

    #[test]
    fn any_member_may_be_anything(pick: prop::sample::Index, key: prop::sample::Index, kind in 0..7usize, number in -3..300i64) {
        let good = sample(&pick);
        let mut value = json::parse(good.payload()).unwrap();
        let object = value.as_object_mut().unwrap();
        let key = key.get(&object.keys().cloned().collect::<Vec<_>>()).clone();
        let new = [
            Value::Null,
            Value::Bool(true),
            Value::from(number),
            Value::from("x".repeat(usize::try_from(number.unsigned_abs()).unwrap())),
            Value::from(vec![number; 3]),
            serde_json::json!({ "kind": "amend", "x": number }),
            serde_json::json!({ "root": { "keys": [], "threshold": number } }),
        ];
        object.insert(key, new[kind].clone());
        open_all(&Envelope::sign(good.payload_type(), json::canonical(&value), []).unwrap());
    }
}
