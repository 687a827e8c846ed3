//! Arbitrary, cut and damaged bytes in every decoder of messages, records, notes and tickets: never a panic, and what is decoded
//! encodes to what decodes to it.

use std::fmt::Debug;

use proptest::prelude::*;

use super::samples::*;
use super::*;
use crate::limits::{BATCH_MAX_BYTES, FRAME_MAX_BYTES};
use crate::log::{ConsistencyProof, ForkProof, Frontier, InclusionProof, Note};
use crate::record::{Batch, Record};
use crate::testing::cases;
use crate::wire::ticket::{PREFIX, Ticket};
use crate::wire::{join, sync};

/// Decodes as `T`; what is decoded is stable.
fn try_one<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = codec::decode::<T>(bytes, FRAME_MAX_BYTES) {
        let again = codec::encode(&value).unwrap();
        assert_eq!(codec::decode::<T>(&again, FRAME_MAX_BYTES).as_ref(), Ok(&value));
        assert!(again.len() <= bytes.len(), "the shortest form is written");
    }
    let _ = decode::<T>(federation(), bytes, FRAME_MAX_BYTES);
}

fn try_all(bytes: &[u8]) {
    try_one::<Gossip>(bytes);
    try_one::<sync::Request>(bytes);
    try_one::<sync::Response>(bytes);
    try_one::<join::Request>(bytes);
    try_one::<join::Response>(bytes);
    try_one::<SignedHoldings>(bytes);
    try_one::<Record>(bytes);
    try_one::<ForkProof>(bytes);
    try_one::<ConsistencyProof>(bytes);
    try_one::<InclusionProof>(bytes);
    try_one::<Frontier>(bytes);
    try_batch(bytes);
    let _ = Note::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Ticket>();
        let _ = format!("{PREFIX}{text}").parse::<Ticket>();
    }
}

fn try_batch(bytes: &[u8]) {
    let Ok(placed) = Batch::decode(bytes) else { return };
    for p in &placed {
        if let Record::Entries { leaves, .. } = &p.record {
            let at = p.leaves_at as usize;
            assert!(bytes[at..].starts_with(&leaves.concat()), "leaves stand where the batch says");
        }
    }
    let records: Vec<_> = placed.into_iter().map(|p| p.record).collect();
    let again = Batch { records: records.clone() }.encode().unwrap();
    let placed = Batch::decode(&again).unwrap();
    assert_eq!(placed.into_iter().map(|p| p.record).collect::<Vec<_>>(), records);
}

/// The bytes of every sample: bodies alone, and records and batches of them.
fn encoded() -> Vec<Vec<u8>> {
    fn all<T: Serialize>(samples: Vec<(&'static str, T)>) -> impl Iterator<Item = Vec<u8>> {
        samples.into_iter().map(|(_, body)| codec::encode(&body).unwrap())
    }
    let records = records().into_iter().chain(locals()).chain(origins()).map(|(_, record)| record);
    let records = records.filter(|r| !matches!(r, Record::Entries { .. })).collect();
    let log = PeerId(crate::ids::PublicKey([7; 32]));
    let leaves = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
    let entries = vec![Record::entries(log, 5, leaves.clone()), Record::Reset { log }, Record::entries(log, 8, leaves)];
    all(gossip())
        .chain(all(sync_requests()))
        .chain(all(sync_responses()))
        .chain(all(sync_refusals()))
        .chain(all(join_requests()))
        .chain(all(join_responses()))
        .chain(all(progresses()))
        .chain(all(refusals()))
        .chain(all(samples::records()))
        .chain(all(locals()))
        .chain([Batch { records }.encode().unwrap(), Batch { records: entries }.encode().unwrap()])
        .collect()
}

thread_local! {
    static ENCODED: Vec<Vec<u8>> = encoded();
}

#[test]
fn every_cut_of_every_message_is_refused() {
    fn check<T: DeserializeOwned>(bytes: &[u8]) {
        for cut in 0..bytes.len() {
            assert!(codec::decode::<T>(&bytes[..cut], FRAME_MAX_BYTES).is_err(), "{cut} of {}", bytes.len());
        }
        let longer = [bytes, &[0]].concat();
        assert!(matches!(codec::decode::<T>(&longer, FRAME_MAX_BYTES), Err(CodecError::Trailing(1))));
    }
    fn all<T: Serialize + DeserializeOwned>(samples: Vec<(&'static str, T)>) {
        samples.into_iter().for_each(|(_, body)| check::<T>(&codec::encode(&body).unwrap()));
    }
    all(gossip());
    all(sync_requests());
    all(sync_responses());
    all(join_requests());
    all(join_responses());
    all(progresses());
    all(refusals());
    all(records());
    all(locals());
}

#[test]
fn hostile_lengths_are_refused() {
    // Every place of every sample claims to be a length of 2^16 to 2^64.
    ENCODED.with(|all| {
        for good in all {
            for at in (0..good.len()).step_by(7) {
                for claim in
                    [&[251, 255, 255][..], &[252, 255, 255, 255, 3], &[253, 255, 255, 255, 255, 255, 255, 255, 127]]
                {
                    let bytes = [&good[..at], claim, &good[at..]].concat();
                    try_all(&bytes);
                }
            }
        }
    });
    assert!(Batch::decode(&[vec![1, 255, 255, 255, 255], vec![0; 64]].concat()).is_err());
    assert!(codec::decode::<Vec<u64>>(&[253, 0, 0, 0, 0, 0, 0, 0, 1], BATCH_MAX_BYTES).is_err());
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256), small in prop::collection::vec(0..12u8, 0..96)) {
        try_all(&bytes);
        try_all(&small);
    }

    #[test]
    fn damaged_messages_are_decoded_or_refused(pick: prop::sample::Index, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut: Option<prop::sample::Index>) {
        let mut bytes = ENCODED.with(|all| pick.get(all).clone());
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        try_all(&bytes);
    }

    #[test]
    fn a_damaged_statement_of_holdings_is_not_signed(at: prop::sample::Index, mask in 1..=255u8) {
        let Some(Gossip::Holdings(good)) = gossip().into_iter().map(|(_, g)| g).find(|g| matches!(g, Gossip::Holdings(_))) else { unreachable!() };
        let mut bytes = codec::encode(&good).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        if let Ok(damaged) = codec::decode::<SignedHoldings>(&bytes, FRAME_MAX_BYTES) {
            prop_assert!(damaged == good || !damaged.verify(federation()));
        }
    }
}
