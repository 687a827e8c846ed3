//! Frames of the wire and batches of the journal.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use verbund_protocol::limits::*;
use verbund_protocol::record::{Batch, Record};
use verbund_protocol::view::Fold;
use verbund_protocol::view::rows::MemoryRows;
use verbund_protocol::view::state::Position;
use verbund_protocol::wire::{self, Gossip, Holdings, PROTOCOL_VERSION, join, sync};

use crate::check::{encodes, refused, twice};
use crate::corpus;

/// A frame is read in one way, and writing it anew never makes it longer. A frame without its head is given one.
fn frame<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8], max_bytes: usize) -> Option<T> {
    let federation = corpus::federation();
    let head = [&[1][..], &federation.0].concat();
    let framed = if data.starts_with(&head) { data.to_vec() } else { [head.as_slice(), data].concat() };
    if framed.len() != data.len() {
        // As it is, too: it must be refused, in words.
        refused(&wire::decode::<T>(federation, data, max_bytes).unwrap_err());
    }
    let body = twice(|| wire::decode::<T>(federation, &framed, max_bytes))?;
    encodes(&body, framed.len() - head.len());
    let again = wire::encode(federation, &body).unwrap();
    assert_eq!(wire::decode::<T>(federation, &again, max_bytes).as_ref(), Ok(&body));
    // A frame of a newer version says so, and nothing else.
    let newer = [&[2], framed.get(1..).unwrap_or_default()].concat();
    assert_eq!(wire::decode::<T>(federation, &newer, max_bytes), Err(wire::FrameError::Version(PROTOCOL_VERSION + 1)));
    Some(body)
}

pub fn gossip(data: &[u8]) {
    match frame::<Gossip>(data, GOSSIP_MAX_BYTES) {
        Some(Gossip::Log { note, leaves, .. }) => {
            assert!(note.len() <= NOTE_MAX_BYTES && leaves.len() <= ENTRIES_MAX);
            assert!(leaves.iter().all(|leaf| leaf.len() <= LEAF_MAX_BYTES));
        }
        Some(Gossip::Document(bytes)) => assert!(bytes.len() <= LEAF_MAX_BYTES),
        Some(Gossip::Ordering(bundles)) => assert!(bundles.len() <= ANSWER_PARTS_MAX),
        Some(Gossip::Holdings(signed)) => {
            held(&signed.holdings);
            let _ = signed.verify(corpus::federation());
        }
        Some(Gossip::Fork(proof)) => drop(proof.verify(corpus::federation())),
        Some(Gossip::Cosigned { .. } | Gossip::Charter { .. }) | None => {}
    }
}

fn held(holdings: &Holdings) {
    assert!(holdings.logs.len() <= HOLDINGS_LOGS_MAX);
    for log in &holdings.logs {
        assert!(log.missing.len() <= HOLDINGS_MISSING_MAX);
        assert!(!holdings.has(&log.log, log.below) || holdings.logs.iter().any(|other| other.below > log.below));
    }
}

pub fn sync_request(data: &[u8]) {
    frame::<sync::Request>(data, FRAME_MAX_BYTES);
}

pub fn sync_response(data: &[u8]) {
    let parts = match frame::<sync::Response>(data, FRAME_MAX_BYTES) {
        Some(sync::Response::Entries(entries)) => {
            assert!(entries.leaves.iter().all(|leaf| leaf.len() <= LEAF_MAX_BYTES));
            assert!(entries.leaves.len() <= ENTRIES_MAX && entries.note.len() <= NOTE_MAX_BYTES);
            0
        }
        Some(sync::Response::Documents(documents)) => {
            assert!(documents.iter().all(|d| (ENVELOPE_MIN_BYTES..=LEAF_MAX_BYTES).contains(&d.len())));
            documents.len()
        }
        Some(sync::Response::Status(status)) => status.logs.len(),
        Some(sync::Response::Ordering(bundles)) => bundles.len(),
        Some(sync::Response::Charters(charters)) => charters.len(),
        Some(sync::Response::Proofs(proofs)) => proofs.len(),
        Some(sync::Response::Holdings(all)) => {
            all.iter().for_each(|signed| held(&signed.holdings));
            all.len()
        }
        Some(sync::Response::Notes(notes)) => notes.promises.len(),
        Some(sync::Response::Mine(mine)) => mine.promises.len().max(mine.ordering.len()),
        Some(sync::Response::Consistency(proof, _)) => proof.hashes.len(),
        Some(sync::Response::Refused(_)) | None => 0,
    };
    assert!(parts <= ANSWER_PARTS_MAX);
}

pub fn join_request(data: &[u8]) {
    match frame::<join::Request>(data, FRAME_MAX_BYTES) {
        Some(join::Request::Lodge(lodge)) => {
            assert!(lodge.identities.len() <= IDENTITY_CHAIN_MAX);
            assert!([&lodge.writer, &lodge.request, &lodge.node_info].iter().all(|part| part.len() <= LEAF_MAX_BYTES));
        }
        Some(join::Request::Newer(charters)) => assert!(charters.len() <= ANSWER_CHARTERS_MAX),
        Some(join::Request::Charters { .. } | join::Request::Progress { .. }) | None => {}
    }
}

pub fn join_response(data: &[u8]) {
    match frame::<join::Response>(data, FRAME_MAX_BYTES) {
        Some(join::Response::Charters(charters)) => assert!(charters.len() <= ANSWER_CHARTERS_MAX),
        Some(join::Response::Progress(join::Progress::Waiting { approvals, .. })) => {
            assert!(approvals.len() <= MEMBERS_MAX);
        }
        Some(join::Response::Progress(join::Progress::Member { nodes, .. })) => {
            assert!(nodes.len() <= ANSWER_PARTS_MAX)
        }
        Some(_) | None => {}
    }
}

/// A batch is what its records say, leaves stand where it says; the fold takes any batch or refuses it, and always alike.
pub fn batch(data: &[u8]) {
    let fold = || {
        let at = Position { segment: 0, offset: 0 };
        Fold::default().fold(&MemoryRows::default(), at, data).map_err(|e| e.to_string())
    };
    let folded = fold();
    assert!(folded == fold(), "the same batch folds in two ways");
    if let Err(text) = &folded {
        crate::check::words(text);
    }
    let Some(placed) = twice(|| Batch::decode(data)) else {
        assert!(folded.is_err(), "what is no batch is not folded");
        return;
    };
    for p in &placed {
        if let Record::Entries { leaves, .. } = &p.record {
            assert!(data[p.leaves_at as usize..].starts_with(&leaves.concat()), "leaves stand where the batch says");
        }
    }
    let records: Vec<_> = placed.into_iter().map(|p| p.record).collect();
    let again = Batch { records: records.clone() }.encode().unwrap();
    let placed = Batch::decode(&again).unwrap();
    assert!(placed.into_iter().map(|p| p.record).eq(records));
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    if target == "batch" {
        let file = corpus::json("wire/record.json");
        let bytes = |key: &str| -> Vec<_> {
            corpus::texts(&file[key], "hex").into_iter().map(|text| hex::decode(text).unwrap()).collect()
        };
        // A record is put into a batch of its own: its version, the length of the header, a list of one.
        let alone = |record: Vec<u8>| {
            let header = [vec![1], record].concat();
            [vec![1], u32::try_from(header.len()).unwrap().to_le_bytes().to_vec(), header].concat()
        };
        let records = ["records", "locals", "origins"].into_iter().flat_map(bytes).map(alone);
        return bytes("batches").into_iter().chain(records).collect();
    }
    corpus::hex(&format!("wire/{target}.json"), "hex")
}
