use serde_json::json;

use super::samples::*;
use super::*;
use crate::limits::{ADDRESS_MAX_BYTES, ADDRESSES_MAX, BODIES_MAX, CORRECTION_FIELDS_MAX};

/// That `document` is refused by the rule about `key`, by its signer and by everybody who reads it.
fn refused<T: Document + std::fmt::Debug>(document: &T, key: &str) {
    let sealed = document.seal(&[]);
    let rule = match &sealed {
        Err(DocumentError::Rule { key, .. }) => *key,
        other => panic!("{document:?}: {other:?}"),
    };
    assert_eq!(rule, key, "{document:?}");
    let payload = json::to_canonical(document).unwrap();
    let opened = T::open(&forge::<T>(&payload, &[]));
    assert_eq!(opened.unwrap_err(), sealed.unwrap_err());
}

/// Texts that no short text may be.
fn bad_texts() -> [String; 4] {
    [String::new(), "x".repeat(301), "a\u{7}b".into(), "a\u{85}b".into()]
}

#[test]
fn a_writer_is_first_or_follows() {
    let all = writers();
    let (joined, founder, next) = (&all[0].1, &all[1].1, &all[2].1);
    assert!(all.iter().all(|(_, w)| w.check().is_ok()));
    refused(&Writer { seq: 0, ..joined.clone() }, "seq");
    refused(&Writer { seq: 1, ..next.clone() }, "seq");
    refused(&Writer { seq: 2, ..joined.clone() }, "seq");
    refused(&Writer { prev: None, ..next.clone() }, "seq");
    refused(&Writer { closes: None, ..next.clone() }, "seq");
    refused(&Writer { prev: next.prev, ..founder.clone() }, "seq");
    refused(&Writer { closes: next.closes, ..founder.clone() }, "seq");
    refused(&Writer { federation: None, ..next.clone() }, "federation");
}

#[test]
fn addresses_are_few_short_and_plain() {
    let full = &node_infos()[0].1;
    let with = |addresses: Vec<String>| NodeInfo { addresses, ..full.clone() };
    let most = with(vec![format!("{}:65535", "x".repeat(ADDRESS_MAX_BYTES - 6)); ADDRESSES_MAX]);
    assert_eq!(most.check(), Ok(()));
    refused(&with(vec!["a:1".into(); ADDRESSES_MAX + 1]), "addresses");
    for bad in ["", ":1", "a b:1", "bücher.example:1", "a\u{1b}[1m:1", &"x".repeat(ADDRESS_MAX_BYTES + 1)] {
        refused(&with(vec!["a:1".into(), bad.into()]), "addresses");
    }
    for bad in bad_texts() {
        refused(&NodeInfo { software: bad, ..full.clone() }, "software");
    }
}

#[test]
fn an_amendment_names_a_member_with_what_changes_of_it() {
    let all = approvals();
    let base = &all[0].1;
    let amend = |set: &dyn Fn(&mut Change)| {
        let mut change = crate::testing::World::amendment(None);
        set(&mut change);
        Approval { change, ..base.clone() }
    };
    refused(&amend(&|_| ()), "change");
    refused(
        &amend(&|c| {
            if let Change::Amend { member, .. } = c {
                *member = Some(ids().rp)
            }
        }),
        "change",
    );
    refused(
        &amend(&|c| {
            if let Change::Amend { handle, .. } = c {
                *handle = "de-xx".parse().ok()
            }
        }),
        "change",
    );
    refused(
        &amend(&|c| {
            if let Change::Amend { standing, .. } = c {
                *standing = Some(Standing::Full)
            }
        }),
        "change",
    );
    refused(
        &amend(&|c| {
            if let Change::Amend { identity, .. } = c {
                *identity = Some(hash("x"))
            }
        }),
        "change",
    );
    refused(
        &amend(&|c| {
            if let Change::Amend { writer, .. } = c {
                *writer = Some(hash("x"))
            }
        }),
        "change",
    );
    for bad in bad_texts() {
        refused(
            &amend(&|c| {
                if let Change::Amend { name, .. } = c {
                    *name = Some(bad.clone())
                }
            }),
            "change.name",
        );
        refused(
            &amend(&|c| {
                if let Change::Amend { license, .. } = c {
                    *license = Some(bad.clone())
                }
            }),
            "change.license",
        );
    }
    let both = amend(&|c| {
        if let Change::Amend { member, handle, name, .. } = c {
            (*member, *handle, *name) = (Some(ids().rp), "de-xx".parse().ok(), Some("Mitte".into()));
        }
    });
    assert_eq!(both.check(), Ok(()));
}

#[test]
fn an_approval_has_one_text() {
    let approval = &approvals()[0].1;
    let open = |payload: &[u8]| Approval::open(&forge::<Approval>(payload, &[]));
    let good = json::to_canonical(approval).unwrap();
    assert_eq!(open(&good).as_ref(), Ok(approval));
    let not_canonical = Err(DocumentError::Json(JsonError::NotCanonical));
    assert_eq!(open(&with(approval, "/note", json!("x"))), not_canonical);
    let spaced = String::from_utf8(good).unwrap().replace(':', ": ");
    assert_eq!(open(spaced.as_bytes()), not_canonical);
    let inside = open(&with(approval, "/change/proposer", json!("x")));
    assert!(matches!(inside, Err(DocumentError::Json(JsonError::Shape(_)))), "{inside:?}");
    let array = open(&with(approval, "/change", json!(["expel", ids().rp])));
    assert!(array.is_err(), "{array:?}");
}

#[test]
fn an_ordering_message_fits_its_height_and_kind() {
    let all = orderings();
    let (vote, genesis, proposal) = (&all[0].1, &all[1].1, &all[2].1);
    refused(&Ordering { value: None, ..proposal.clone() }, "value");
    refused(&Ordering { pol_round: Some(0), ..proposal.clone() }, "pol_round");
    refused(&Ordering { round: 3, pol_round: Some(3), ..proposal.clone() }, "pol_round");
    refused(&Ordering { round: 3, pol_round: Some(2), ..vote.clone() }, "pol_round");
    refused(&Ordering { round: 3, pol_round: Some(2), kind: VoteKind::Prevote, ..vote.clone() }, "pol_round");
    refused(&Ordering { height: 0, ..genesis.clone() }, "prev");
    refused(&Ordering { height: 0, ..vote.clone() }, "prev");
    refused(&Ordering { height: 1, ..vote.clone() }, "prev");
    refused(&Ordering { height: 2, ..genesis.clone() }, "prev");
    refused(&Ordering { prev: None, ..vote.clone() }, "prev");
    refused(&Ordering { federation: None, ..vote.clone() }, "prev");
    refused(&Ordering { prev: vote.prev, ..genesis.clone() }, "prev");
    refused(&Ordering { federation: vote.federation, ..genesis.clone() }, "prev");
}

#[test]
fn statements_keep_their_bounds() {
    let correction = &corrections()[0].1;
    refused(&Correction { fields: serde_json::Map::new(), ..correction.clone() }, "fields");
    let many = |n: usize| (0..n).map(|i| (format!("k{i}"), json!(i))).collect();
    assert_eq!(Correction { fields: many(CORRECTION_FIELDS_MAX), ..correction.clone() }.check(), Ok(()));
    refused(&Correction { fields: many(CORRECTION_FIELDS_MAX + 1), ..correction.clone() }, "fields");
    let adoption = &adoptions()[0].1;
    let bodies = |n: usize, ars: &str| Adoption { bodies: vec![ars.into(); n], ..adoption.clone() };
    refused(&bodies(BODIES_MAX + 1, "073150000000"), "bodies");
    for bad in ["", "7", "0731", "073150", "0731500000", "0731500000000", "07a"] {
        refused(&bodies(1, bad), "bodies");
    }
    // The longest list fits a leaf.
    let most = bodies(BODIES_MAX, "073150000000").seal(&[&he().approver]).unwrap();
    assert!(most.bytes().len() <= crate::limits::LEAF_MAX_BYTES);
    let transfer = &transfers()[0].1;
    refused(&Transfer { to: transfer.member, ..transfer.clone() }, "to");
}

#[test]
fn texts_of_statements_are_short_and_plain() {
    let (withdrawal, deprecation) = (&withdrawals()[0].1, &deprecations()[0].1);
    let (adoption, advisory, leave) = (&adoptions()[0].1, &advisories()[0].1, &leaves()[0].1);
    for bad in bad_texts() {
        refused(&Withdrawal { reason: bad.clone(), ..withdrawal.clone() }, "reason");
        refused(&Withdrawal { severity: bad.clone(), ..withdrawal.clone() }, "severity");
        refused(&Withdrawal { successor: Some(bad.clone()), ..withdrawal.clone() }, "successor");
        refused(&Deprecation { reason: bad.clone(), ..deprecation.clone() }, "reason");
        refused(&Deprecation { ends: Some(bad.clone()), ..deprecation.clone() }, "ends");
        refused(&Deprecation { successor: Some(bad.clone()), ..deprecation.clone() }, "successor");
        refused(&Adoption { stage: bad.clone(), ..adoption.clone() }, "stage");
        refused(&Adoption { since: Some(bad.clone()), ..adoption.clone() }, "since");
        refused(&Advisory { severity: bad.clone(), ..advisory.clone() }, "severity");
        refused(&Advisory { text: bad.clone(), ..advisory.clone() }, "text");
        refused(&Leave { reason: Some(bad), ..leave.clone() }, "reason");
    }
    // Characters, not bytes.
    let long = "ß".repeat(300);
    assert_eq!(Withdrawal { reason: long, ..withdrawal.clone() }.check(), Ok(()));
}

#[test]
fn a_kind_is_known_by_its_payload_type() {
    let mut seen = std::collections::BTreeSet::new();
    let types = [
        IDENTITY_TYPE,
        Writer::TYPE,
        NodeInfo::TYPE,
        Request::TYPE,
        Approval::TYPE,
        CHARTER_TYPE,
        Ordering::TYPE,
        RELEASE_TYPE,
        Correction::TYPE,
        Withdrawal::TYPE,
        Deprecation::TYPE,
        Adoption::TYPE,
        Transfer::TYPE,
        Leave::TYPE,
        Advisory::TYPE,
        "application/vnd.verbund.writer.v2+json",
    ];
    for kind in types {
        let envelope = Envelope::sign(kind, b"{}".to_vec(), []).unwrap();
        assert!(seen.insert(Kind::of(&envelope)), "{kind}");
    }
    assert!(seen.contains(&Kind::Unknown));
}
