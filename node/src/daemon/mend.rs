//! Makes a damaged journal whole: entries that stood in damaged frames are fetched from members again and appended anew.
//!
//! Owns finding them and asking for them. A leaf is taken only if it is the one whose hash stands in the tree, whoever sends it, so
//! nobody is judged here and nothing is decided. Must never append by itself: the federation's loop does.
//!
//! The damaged bytes stay where they are and are reported at every start, as a sign of a bad disk. What was in them besides entries
//! is repeated from the rows once, if no peer could give it back; the rest is polled from members as ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sha2::Digest as _;
use tracing::{info, warn};
use verbund_protocol::ids::PeerId;
use verbund_protocol::limits::FRAME_MAX_BYTES;
use verbund_protocol::log::tree;
use verbund_protocol::record::{Local, Record};
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, EntryRow, key};
use verbund_protocol::wire;
use verbund_protocol::wire::sync::{Entries, Request, Response};

use super::instance::{Instance, InstanceError};
use super::scrub::pages;
use crate::net::Protocol;
use crate::store::{Damage, FramePosition, StoreError};

/// First wait after members could not give everything back; doubled each time.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait: a member that is away for weeks may be the only one that has it.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Name of the value that says for which damage the local records were repeated.
const REPEATED: &str = "journal/repeated";

/// Entries that cannot be read, by log.
type Gaps = BTreeMap<PeerId, Vec<u64>>;

/// How far the mending is.
#[derive(Debug, Default)]
pub struct Mending {
    missing: AtomicU64,
    looked: AtomicBool,
}

impl Mending {
    /// Entries in damaged frames that are still to be fetched; `None` while that is being found out.
    pub fn missing(&self) -> Option<u64> {
        self.looked.load(Ordering::Acquire).then(|| self.missing.load(Ordering::Acquire))
    }
}

/// Whether a frame at `at` is damaged. `damaged` is sorted.
fn is_damaged(damaged: &[Damage], at: FramePosition) -> bool {
    let behind = damaged.partition_point(|damage| (damage.segment, damage.offset) <= (at.segment, at.offset));
    behind.checked_sub(1).and_then(|before| damaged.get(before)).is_some_and(|damage| damage.covers(at))
}

/// The entries whose frames are damaged.
fn gaps(rows: &dyn Rows, mut damaged: Vec<Damage>) -> Result<Gaps, RowsError> {
    damaged.sort_by_key(|damage| (damage.segment, damage.offset));
    let mut gaps = Gaps::new();
    if damaged.is_empty() {
        return Ok(gaps);
    }
    for (log, row) in state::logs(rows)? {
        pages(rows, Table::Entries, &row.number.to_be_bytes(), |row_key, value| {
            let batch = state::decode::<EntryRow>(value)?.at.batch;
            let index = row_key.last_chunk::<8>().map(|index| u64::from_be_bytes(*index));
            if let Some(index) = index
                && is_damaged(&damaged, FramePosition { segment: batch.segment, offset: batch.offset })
            {
                gaps.entry(log).or_default().push(index);
            }
            Ok(())
        })?;
    }
    Ok(gaps)
}

/// Those of the leaves that are wanted and right, as records.
fn fitting(rows: &dyn Rows, wanted: &[u64], entries: Entries) -> Result<Vec<Record>, RowsError> {
    let Some(row) = state::log(rows, &entries.log)? else { return Ok(Vec::new()) };
    let mut runs: Vec<(u64, Vec<Vec<u8>>)> = Vec::new();
    for (index, leaf) in (entries.first..).zip(entries.leaves) {
        let stored = tree::stored_count(index).map_err(|e| RowsError(e.to_string()))?;
        let hash = rows.get(Table::Hashes, &key::numbered(row.number, stored))?;
        let right = hash.as_deref() == Some(tree::leaf_hash(&leaf).0.as_slice());
        if !right || wanted.binary_search(&index).is_err() {
            continue;
        }
        match runs.last_mut() {
            Some((first, leaves)) if *first + leaves.len() as u64 == index => leaves.push(leaf),
            _ => runs.push((index, vec![leaf])),
        }
    }
    Ok(runs.into_iter().map(|(first, leaves)| Record::entries(entries.log, first, leaves)).collect())
}

/// Names a set of damaged places.
fn name_of(damaged: &[Damage]) -> Vec<u8> {
    let mut hash = sha2::Sha256::new();
    for damage in damaged {
        hash.update(damage.segment.to_be_bytes());
        hash.update(damage.offset.to_be_bytes());
        hash.update(damage.bytes.to_be_bytes());
    }
    hash.finalize().to_vec()
}

/// Mends for as long as the federation runs.
pub async fn run(instance: Arc<Instance>) {
    let stop = instance.stop().clone();
    let mending = async {
        loop {
            match mend(&instance).await {
                // What was fetched becomes durable when there is room; what is missing then is looked for again.
                Err(InstanceError::Store(StoreError::Full)) => tokio::time::sleep(RETRY_MIN).await,
                ended => return ended,
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        ended = mending => if let Err(error) = ended {
            warn!(%error, "the damaged journal is not mended any further");
        }
    }
}

async fn mend(instance: &Instance) -> Result<(), InstanceError> {
    let mut damages = instance.store.damages();
    let mut wait = RETRY_MIN;
    loop {
        damages.mark_unchanged();
        let damaged = instance.store.damaged();
        repeat(instance, &damaged).await?;
        let found = damaged.clone();
        let mut gaps = instance.read(move |view, _| gaps(view, found)).await?;
        let before = total(&gaps);
        instance.mending.missing.store(before, Ordering::Release);
        instance.mending.looked.store(true, Ordering::Release);
        if before > 0 {
            info!(entries = before, "entries in damaged frames of the journal are fetched from members");
        }
        fill(instance, &mut gaps).await?;
        let left = total(&gaps);
        instance.mending.missing.store(left, Ordering::Release);
        if left < before {
            wait = RETRY_MIN;
            let text = format!(
                "{} entries that stood in damaged frames of the journal were fetched again; {left} are still missing",
                before - left
            );
            instance.announce_mended(text, before - left, left);
        }
        let again = async {
            if left > 0 {
                tokio::time::sleep(wait).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = again => wait = (wait * 2).min(RETRY_MAX),
            changed = damages.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

fn total(gaps: &Gaps) -> u64 {
    gaps.values().map(|indices| indices.len() as u64).sum()
}

/// Repeats what no peer could give back, once for each set of damaged places.
async fn repeat(instance: &Instance, damaged: &[Damage]) -> Result<(), InstanceError> {
    if damaged.is_empty() {
        return Ok(());
    }
    let name = name_of(damaged);
    let noted = instance.read(|view, _| view.get(Table::Local, &key::value(REPEATED))).await?;
    if noted.as_ref() == Some(&name) {
        return Ok(());
    }
    let note = Record::Local(Local::Value { name: REPEATED.to_owned(), value: name });
    instance.append(vec![note], true).await
}

/// Fetches what it can from the members that are connected now, and takes it out of `gaps`.
async fn fill(instance: &Instance, gaps: &mut Gaps) -> Result<(), InstanceError> {
    if gaps.is_empty() {
        return Ok(());
    }
    let Ok(status) = instance.net.status().await else { return Ok(()) };
    let peers: Vec<PeerId> = status
        .peers
        .iter()
        .filter(|(_, peer)| !peer.connections.is_empty() && !peer.paused)
        .map(|(id, _)| *id)
        .collect();
    for (log, wanted) in gaps.iter_mut() {
        for peer in &peers {
            while let Some(first) = wanted.first().copied() {
                let Some(entries) = ask(instance, *peer, *log, first).await else { break };
                let sought = wanted.clone();
                let records = instance.read(move |view, _| fitting(view, &sought, entries)).await?;
                let got: Vec<u64> = records.iter().flat_map(indices).collect();
                if got.is_empty() {
                    break;
                }
                instance.append(records, false).await?;
                wanted.retain(|index| got.binary_search(index).is_err());
                if wanted.first() == Some(&first) {
                    // It has another leaf there, or none.
                    break;
                }
            }
        }
    }
    gaps.retain(|_, wanted| !wanted.is_empty());
    Ok(())
}

fn indices(record: &Record) -> std::ops::Range<u64> {
    match record {
        Record::Entries { first, leaves, .. } => *first..*first + leaves.len() as u64,
        _ => 0..0,
    }
}

/// The leaves that `peer` has of `log` from `from` on; `None` if it has none, or says something else.
async fn ask(instance: &Instance, peer: PeerId, log: PeerId, from: u64) -> Option<Entries> {
    let request = wire::encode(instance.federation, Request::Entries { log, from }).ok()?;
    let answer = instance.net.request(peer, Protocol::Sync, request).await.ok()?;
    match wire::decode(instance.federation, &answer, FRAME_MAX_BYTES).ok()? {
        Response::Entries(entries) if entries.log == log => Some(entries),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use verbund_protocol::ids::PublicKey;
    use verbund_protocol::record::Batch;

    use super::super::view::ProtocolFold;
    use super::*;
    use crate::store::{Options, Store, Weight};

    const LOG: PeerId = PeerId(PublicKey([7; 32]));
    const OTHER: PeerId = PeerId(PublicKey([8; 32]));

    fn leaf(n: u64) -> Vec<u8> {
        format!("leaf {n}").into_bytes()
    }

    fn open(dir: &std::path::Path) -> Store {
        Store::open(dir, Arc::new(ProtocolFold::default()), Options { floor_bytes: 0, ..Options::new([1; 32]) })
            .unwrap()
            .0
    }

    fn append(store: &Store, log: PeerId, first: u64, leaves: std::ops::Range<u64>) {
        let record = Record::entries(log, first, leaves.map(leaf).collect());
        store.append(Weight::Essential, Batch { records: vec![record] }.encode().unwrap()).unwrap();
    }

    /// Bytes of a frame in a journal are flipped on disk: the entries in it are named, taken back only if they are the right ones, and
    /// readable again; those of other frames are let be.
    #[test]
    fn entries_of_a_damaged_frame_are_found_and_read_again_from_their_new_place() {
        use std::os::unix::fs::FileExt as _;
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        append(&store, LOG, 0, 0..4);
        append(&store, LOG, 4, 4..7);
        append(&store, OTHER, 0, 0..3);
        append(&store, LOG, 7, 7..9);
        store.close().unwrap();
        drop(store);
        let path = dir.path().join("journal/00000000.seg");
        let at = std::fs::read(&path).unwrap().windows(6).position(|w| w == b"leaf 5").unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"L", at as u64).unwrap();

        let store = open(dir.path());
        let rows = store.reader();
        let wanted = gaps(&rows, store.damaged()).unwrap();
        assert_eq!(wanted, Gaps::from([(LOG, vec![4, 5, 6])]));
        let entries =
            |first: u64, leaves: Vec<Vec<u8>>| Entries { log: LOG, first, leaves, note: Vec::new(), proof: None };
        let lies = fitting(&rows, &wanted[&LOG], entries(4, vec![leaf(9), leaf(4), b"x".to_vec()])).unwrap();
        assert_eq!(lies, Vec::new(), "only what stands in the tree is taken");
        // Somebody answers with more than is missing, and with one that is wrong.
        let answer = entries(3, vec![leaf(3), leaf(4), b"x".to_vec(), leaf(6), leaf(7)]);
        let records = fitting(&rows, &wanted[&LOG], answer).unwrap();
        let places: Vec<_> = records.iter().map(indices).collect();
        assert_eq!(places, [4..5, 6..7]);
        store.append(Weight::Essential, Batch { records }.encode().unwrap()).unwrap();
        assert_eq!(gaps(&rows, store.damaged()).unwrap(), Gaps::from([(LOG, vec![5])]));
        let records = fitting(&rows, &[5], entries(5, vec![leaf(5)])).unwrap();
        store.append(Weight::Essential, Batch { records }.encode().unwrap()).unwrap();
        assert_eq!(gaps(&rows, store.damaged()).unwrap(), Gaps::new());
        store.close().unwrap();
        drop(store);

        // All of it is there at the next start, from a place that is whole.
        let store = open(dir.path());
        assert_eq!(store.damaged().len(), 1, "the bytes stay as they are");
        assert_eq!(gaps(&store.reader(), store.damaged()).unwrap(), Gaps::new());
        let row = state::log(&store.reader(), &LOG).unwrap().unwrap();
        for n in 0..9 {
            let entry: EntryRow =
                state::get(&store.reader(), Table::Entries, &key::numbered(row.number, n)).unwrap().unwrap();
            let at = FramePosition { segment: entry.at.batch.segment, offset: entry.at.batch.offset };
            assert_eq!(store.read(at, entry.at.offset, entry.at.len).unwrap(), leaf(n), "leaf {n}");
        }
    }

    #[test]
    fn damage_is_looked_up_by_place() {
        let damage = |segment, offset, bytes| Damage { segment, offset, bytes, after: 0, before: None };
        let damaged = [damage(1, 0, 0), damage(2, 100, 50), damage(2, 400, 1)];
        let at = |segment, offset| is_damaged(&damaged, FramePosition { segment, offset });
        assert!(at(1, 128) && at(1, 1 << 40), "a missing segment");
        assert!(at(2, 100) && at(2, 149) && at(2, 400));
        assert!(!at(0, 128) && !at(2, 99) && !at(2, 150) && !at(2, 401) && !at(3, 128));
    }
}
