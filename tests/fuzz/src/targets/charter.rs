//! Charters: the payload, and bundles with their certificates.

use std::collections::BTreeSet;

use serde_json::Value;
use verbund_protocol::charter::certificate::{Certified, CharterBundle};
use verbund_protocol::charter::rules::{Charter, quorum};
use verbund_protocol::codec;
use verbund_protocol::documents::{Approval, Document, Ordering};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::limits::{CHARTER_MAX_BYTES, FRAME_MAX_BYTES, MEMBERS_MAX};

use crate::check::{refused, twice};
use crate::corpus;

/// A charter has one form; its lists are bounded and in order.
pub fn charter(data: &[u8]) {
    let Some(charter) = twice(|| Charter::parse(data)) else { return };
    assert!(data.len() <= CHARTER_MAX_BYTES);
    assert_eq!(charter.payload().as_deref(), Ok(data));
    assert!((1..=MEMBERS_MAX).contains(&charter.members.len()));
    assert!(charter.members.windows(2).all(|pair| pair[0].member < pair[1].member), "sorted, none twice");
    let handles: BTreeSet<_> = charter.members.iter().map(|m| &m.handle).collect();
    assert_eq!(handles.len(), charter.members.len(), "no handle twice");
    let (voting, needed) = (charter.voting().len(), charter.quorum());
    assert!(needed == quorum(voting) && 3 * needed > 2 * voting);
}

/// Bundles in order, as `/verbund/1/sync` serves them. What is certified has a quorum behind it, counted a second time here.
pub fn bundles(data: &[u8]) {
    let read = || codec::decode::<Vec<CharterBundle>>(data, FRAME_MAX_BYTES);
    let Some(bundles) = twice(read) else { return };
    let mut newest: Option<Certified> = None;
    for bundle in &bundles {
        let check = || newest.as_ref().map_or_else(|| Certified::genesis(bundle), |before| before.next(bundle));
        let Some(next) = twice(check) else { break };
        let before = newest.as_ref().map(|c| c.charter.version);
        assert_eq!(next.charter.version, before.unwrap_or(0) + 1);
        assert_eq!((next.hash, next.charter.payload().unwrap()), (bundle.hash(), bundle.payload.clone()));
        let voters = newest.as_ref().map_or_else(|| next.charter.voting(), |before| before.charter.voting());
        let needed = quorum(voters.len());
        let speaks = |members: BTreeSet<_>| members.iter().filter(|m| voters.contains(m)).count() >= needed;
        assert!(speaks(opened(&bundle.approvals, |a: Approval| a.member)), "too few approvals");
        assert!(speaks(opened(&bundle.precommits, |o: Ordering| o.member)), "too few precommits");
        for member in &next.charter.members {
            let writer = next.writer_of(&member.member).unwrap();
            assert_eq!(next.member_of(&writer), Some(member.member));
        }
        if let Some(before) = &newest {
            assert_eq!(before.proposal(bundle).as_ref(), Ok(&next), "what is certified could be proposed");
            if let Err(error) = next.next(bundle) {
                refused(&error);
            } else {
                panic!("one bundle is two versions");
            }
        }
        newest = Some(next);
    }
}

fn opened<T: Document, M: Ord>(parts: &[Vec<u8>], member: fn(T) -> M) -> BTreeSet<M> {
    let open = |bytes: &Vec<u8>| T::open(&Envelope::parse(bytes).ok()?).ok();
    parts.iter().filter_map(open).map(member).collect()
}

fn bundle(value: &Value) -> CharterBundle {
    let parts = |key: &str| {
        let parts = value[key].as_array().into_iter().flatten();
        parts.map(|part| part.as_str().unwrap().as_bytes().to_vec()).collect()
    };
    CharterBundle {
        payload: value["payload"].as_str().unwrap().as_bytes().to_vec(),
        identities: parts("identities"),
        writers: parts("writers"),
        approvals: parts("approvals"),
        precommits: parts("precommits"),
    }
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let valid: Vec<_> = corpus::json("charter/chain.json")["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| bundle(&v["bundle"]))
        .collect();
    let invalid = corpus::json("charter/invalid.json");
    let invalid = invalid.as_array().unwrap();
    match target {
        "charter" => {
            let payloads = invalid.iter().map(|case| bundle(&case["bundle"]).payload);
            valid.into_iter().map(|b| b.payload).chain(payloads).collect()
        }
        _ => {
            let cases = invalid.iter().map(|case| {
                let after = usize::try_from(case["after"].as_u64().unwrap()).unwrap();
                [&valid[..after.min(valid.len())], &[bundle(&case["bundle"])]].concat()
            });
            let prefixes = (1..=valid.len()).map(|n| valid[..n].to_vec());
            cases.chain(prefixes).map(|chain| codec::encode(&chain).unwrap()).collect()
        }
    }
}
