use super::samples::{envelope, federation};
use super::*;
use crate::charter::certificate::CharterBundle;
use crate::limits::*;
use crate::record::{Batch, Record};
use crate::wire::{join, sync};

fn taken<T: Serialize + DeserializeOwned>(body: &T) -> bool {
    let bytes = encode(federation(), body).unwrap();
    assert!(bytes.len() <= FRAME_MAX_BYTES, "{} bytes", bytes.len());
    match decode::<T>(federation(), &bytes, FRAME_MAX_BYTES) {
        Ok(_) => true,
        Err(FrameError::Codec(CodecError::Malformed(_))) => false,
        Err(e) => panic!("{e}"),
    }
}

/// That a list of `max` elements is taken and one of `max + 1` is not.
fn bounded<T: Serialize + DeserializeOwned>(max: usize, body: impl Fn(usize) -> T) {
    assert!(taken(&body(max)));
    assert!(!taken(&body(max + 1)));
}

#[test]
fn every_list_of_a_message_has_its_bound() {
    let peer = SecretKey::from_seed(&[1; 32]).peer();
    let part = || envelope("x");
    let leaves = |n| vec![Vec::new(); n];
    bounded(ENTRIES_MAX, |n| Gossip::Log { log: peer, note: vec![], first: 0, leaves: leaves(n) });
    bounded(ANSWER_PARTS_MAX, |n| Gossip::Ordering(vec![OrderingBundle::default(); n]));
    let entries = |n| sync::Entries { log: peer, first: 0, leaves: leaves(n), note: vec![], proof: None };
    bounded(ENTRIES_MAX, |n| sync::Response::Entries(entries(n)));
    bounded(ANSWER_CHARTERS_MAX, |n| sync::Response::Charters(vec![CharterBundle::default(); n]));
    bounded(ANSWER_CHARTERS_MAX, |n| join::Response::Charters(vec![CharterBundle::default(); n]));
    bounded(ANSWER_CHARTERS_MAX, |n| join::Request::Newer(vec![CharterBundle::default(); n]));
    bounded(ANSWER_PARTS_MAX, |n| sync::Response::Documents(vec![part(); n]));
    bounded(ANSWER_PARTS_MAX, |n| sync::Response::Ordering(vec![OrderingBundle::default(); n]));
    bounded(CERTIFICATE_PARTS_MAX, |n| {
        sync::Response::Charters(vec![CharterBundle { identities: vec![part(); n], ..CharterBundle::default() }])
    });
    bounded(CERTIFICATE_PARTS_MAX, |n| {
        Gossip::Ordering(vec![OrderingBundle { approvals: vec![part(); n], ..OrderingBundle::default() }])
    });
    bounded(ANSWER_PARTS_MAX, |n| {
        join::Response::Progress(join::Progress::Member { version: 1, nodes: vec![part(); n] })
    });
    bounded(MEMBERS_MAX, |n| {
        let approvals = vec![("de-he".parse().unwrap(), true); n];
        join::Response::Progress(join::Progress::Waiting { approvals, needed: 1 })
    });
    bounded(HOLDINGS_LOGS_MAX, |n| Holdings { logs: vec![LogHoldings { log: peer, below: 0, missing: vec![] }; n] });
    bounded(HOLDINGS_MISSING_MAX, |n| Holdings {
        logs: vec![LogHoldings { log: peer, below: 0, missing: vec![0; n] }],
    });
}

#[test]
fn every_part_of_a_message_has_its_bound() {
    let peer = SecretKey::from_seed(&[1; 32]).peer();
    bounded(LEAF_MAX_BYTES, |n| Gossip::Document(vec![0; n]));
    bounded(NOTE_MAX_BYTES, |n| Gossip::Log { log: peer, note: vec![0; n], first: 0, leaves: vec![] });
    bounded(LEAF_MAX_BYTES, |n| Gossip::Log { log: peer, note: vec![], first: 0, leaves: vec![vec![0; n]] });
    bounded(LEAF_MAX_BYTES, |n| sync::Response::Documents(vec![vec![0; n]]));
    assert!(taken(&sync::Response::Documents(vec![vec![0; ENVELOPE_MIN_BYTES]])));
    assert!(!taken(&sync::Response::Documents(vec![vec![0; ENVELOPE_MIN_BYTES - 1]])));
}

#[test]
fn the_shortest_envelope_is_as_long_as_the_limit_says() {
    let shortest = crate::envelope::Envelope::sign("", Vec::new(), []).unwrap();
    assert_eq!(shortest.bytes().len(), ENVELOPE_MIN_BYTES);
}

#[test]
fn real_frames_decode_at_their_full_length() {
    // A status of all logs, an answer full of entries, small integers throughout: the most that decoding may claim per byte.
    let peer = SecretKey::from_seed(&[1; 32]).peer();
    let holdings = Holdings {
        logs: vec![LogHoldings { log: peer, below: 1, missing: vec![1; HOLDINGS_MISSING_MAX] }; HOLDINGS_LOGS_MAX],
    };
    assert!(taken(&holdings));
    let signed = SignedHoldings { peer, time_ms: 0, holdings, signature: ([0; 32], [0; 32]) };
    assert!(taken(&sync::Response::Holdings(vec![signed; 20])));
    let leaves = vec![vec![0; ENTRIES_MAX_BYTES / ENTRIES_MAX]; ENTRIES_MAX];
    let entries = sync::Entries { log: peer, first: 0, leaves, note: vec![0; NOTE_MAX_BYTES], proof: None };
    assert!(taken(&sync::Response::Entries(entries)));
    let records = vec![Record::entries(peer, 0, vec![Vec::new(); 100_000])];
    assert_eq!(Batch::decode(&Batch { records }.encode().unwrap()).unwrap().len(), 1);
}

#[test]
fn frames_over_their_cap_are_refused_unread() {
    let bytes = encode(federation(), Gossip::Document(vec![0; 100])).unwrap();
    let refused = decode::<Gossip>(federation(), &bytes, bytes.len() - 1);
    assert_eq!(refused, Err(FrameError::Codec(CodecError::TooLong { len: bytes.len(), max: bytes.len() - 1 })));
    assert!(decode::<Gossip>(federation(), &bytes, bytes.len()).is_ok());
}

#[test]
fn a_newer_version_is_named_whatever_it_says() {
    for version in [0, 2, 251, 70_000, u32::MAX] {
        let bytes = [codec::encode(&version).unwrap(), b"anything".to_vec()].concat();
        assert_eq!(decode::<Gossip>(federation(), &bytes, 100), Err(FrameError::Version(version)));
    }
    let other = FederationId([1; 32]);
    let bytes = encode(other, Gossip::Document(vec![])).unwrap();
    assert_eq!(decode::<Gossip>(federation(), &bytes, 100), Err(FrameError::Federation(other)));
}

#[test]
fn holdings_are_bound_to_their_node_federation_and_time() {
    let key = SecretKey::from_seed(&[1; 32]);
    let held = Holdings { logs: vec![LogHoldings { log: key.peer(), below: 9, missing: vec![2, 5] }] };
    assert!(held.has(&key.peer(), 8) && held.has(&key.peer(), 0));
    assert!(
        !held.has(&key.peer(), 9) && !held.has(&key.peer(), 2) && !held.has(&SecretKey::from_seed(&[2; 32]).peer(), 0)
    );
    let good = SignedHoldings::sign(&key, federation(), 7, held).unwrap();
    assert!(good.verify(federation()));
    assert!(!good.verify(FederationId([1; 32])));
    assert!(!SignedHoldings { time_ms: 8, ..good.clone() }.verify(federation()));
    assert!(!SignedHoldings { peer: SecretKey::from_seed(&[2; 32]).peer(), ..good.clone() }.verify(federation()));
    assert!(!SignedHoldings { holdings: Holdings::default(), ..good }.verify(federation()));
    let many = |logs, missing| Holdings {
        logs: vec![LogHoldings { log: key.peer(), below: 9, missing: vec![0; missing] }; logs],
    };
    for (logs, missing, fits) in [(300, 0, true), (301, 0, false), (1, 256, true), (1, 257, false)] {
        let signed = SignedHoldings::sign(&key, federation(), 7, many(logs, missing)).unwrap();
        assert_eq!(signed.verify(federation()), fits);
    }
}
