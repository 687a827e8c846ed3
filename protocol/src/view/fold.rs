//! From records to rows: deterministic, without IO, the same live and on a rebuild.
//!
//! Owns every write to the view. Records were checked before they were committed; the fold checks only what depends on the
//! order of the log itself, which is what makes two nodes with the same logs have the same catalogue.

use std::sync::Arc;

use super::ahead::Ahead;
use super::charters::{self, Charters};
use super::evidence::{self, end};
use super::judge::{self, Judge, PREAMBLE};
use super::overlay::Overlay;
use super::rows::{Change, Rows, RowsError, Table};
use super::stake;
use super::state::{self, CharterRow, CosignedRow, EntryRow, LeafAt, LogRow, Position, Verdict, VoidRow, key};
use crate::charter::certificate::CharterBundle;
use crate::charter::rules::Charter;
use crate::codec::CodecError;
use crate::documents::{Approval, Change as CharterChange, Document, Kind, NodeInfo};
use crate::envelope::Envelope;
use crate::identity::Identity;
use crate::ids::{PeerId, Sha256};
use crate::limits::BATCH_MAX_BYTES;
use crate::log::tree;
use crate::record::{Audit, Batch, Local, Placed, Record};

/// Why a batch could not be folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The view failed.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The bytes are not a batch.
    #[error("batch: {0}")]
    Codec(#[from] CodecError),
}

/// The fold, with its cache of charters.
#[derive(Debug, Default)]
pub struct Fold {
    charters: Charters,
    ahead: Arc<Ahead>,
}

impl Fold {
    /// A fold that finds in `ahead` what was read before its turn.
    pub fn new(ahead: Arc<Ahead>) -> Self {
        Self { charters: Charters::default(), ahead }
    }

    /// The changes that the batch at `at` makes to `rows`.
    ///
    /// # Errors
    /// [`FoldError`] if the view fails or the bytes are no batch.
    pub fn fold(&self, rows: &dyn Rows, at: Position, batch: &[u8]) -> Result<Vec<Change>, FoldError> {
        let mut overlay = Overlay::new(rows);
        for placed in Batch::decode(batch)? {
            self.record(&mut overlay, at, placed)?;
        }
        Ok(overlay.into_changes())
    }

    /// Batches that repeat what no peer could give back: own promises and local matters.
    ///
    /// # Errors
    /// [`FoldError`] if the view fails.
    pub fn carry(&self, rows: &dyn Rows) -> Result<Vec<Vec<u8>>, FoldError> {
        let mut out = Vec::new();
        let mut batch = Batch::default();
        let mut bytes = 0;
        for (table, key, value) in carried(rows)? {
            bytes += key.len() + value.len() + 64;
            if bytes > BATCH_MAX_BYTES / 2 && !batch.is_empty() {
                out.push(std::mem::take(&mut batch).encode()?);
                bytes = 0;
            }
            batch.records.push(Record::Row { table, key, value });
        }
        if !batch.is_empty() {
            out.push(batch.encode()?);
        }
        Ok(out)
    }

    fn record(&self, rows: &mut Overlay<'_>, at: Position, placed: Placed) -> Result<(), RowsError> {
        match placed.record {
            Record::Entries { log, first, leaves, .. } => self.entries(rows, at, placed.leaves_at, log, first, leaves),
            Record::Checkpoint { log, note } => evidence::checkpoint(&self.charters, rows, log, &note),
            Record::Cosigned { log, size, root, cosignature } => {
                evidence::cosigned(&self.charters, rows, log, CosignedRow { size, root, cosignature })
            }
            Record::Charter(bundle) => self.charter(rows, bundle),
            Record::Document(bytes) => document(rows, bytes),
            Record::Ordering(bundle) => {
                if let Ok(envelope) = Envelope::parse(&bundle.message)
                    && let Ok(message) = crate::documents::Ordering::open(&envelope)
                {
                    rows.store(Table::Promises, key::ordering(message.height, &envelope.id()), &bundle)?;
                }
                Ok(())
            }
            Record::Fork { log, proof } => {
                if rows.get(Table::Promises, &key::fork(&log))?.is_none() {
                    rows.store(Table::Promises, key::fork(&log), &proof)?;
                }
                end(rows, log, |row| row.closed.forked = true)
            }
            Record::Reset { log } => reset(rows, log),
            Record::Local(local) => self::local(rows, local),
            Record::Audit(audit) => self::audit(rows, &audit),
            Record::Witnessed { log, note } => evidence::witnessed(&self.charters, rows, log, &note),
            Record::Row { table, key, value } => self.repeated(rows, table, key, value),
        }
    }

    fn entries(
        &self,
        rows: &mut Overlay<'_>,
        at: Position,
        leaves_at: u32,
        log: PeerId,
        first: u64,
        leaves: Vec<Vec<u8>>,
    ) -> Result<(), RowsError> {
        let mut row = log_row(rows, log)?;
        if first > row.size() {
            // A damaged batch before this one left a gap; the entries will be fetched again.
            return Ok(());
        }
        let mut offset = leaves_at;
        let mut fresh = Vec::new();
        for (index, leaf) in (first..).zip(leaves) {
            let len = u32::try_from(leaf.len()).unwrap_or(u32::MAX);
            let place = LeafAt { batch: at, offset, len };
            offset += len;
            if index < row.size() {
                // Fetched again, because its frame was damaged: from now on it is read where it is whole.
                relocate(rows, &row, index, &leaf, place)?;
                continue;
            }
            append(rows, &mut row, &leaf, place)?;
            fresh.push(leaf);
        }
        let judged = row.judged;
        self.judge(rows, log, &mut row, fresh)?;
        rows.store(Table::Logs, key::log(&log), &row)?;
        if row.judged > judged { evidence::review(&self.charters, rows, log, judged) } else { Ok(()) }
    }

    /// Judges as many waiting entries as can be; `fresh` are the bytes of the newest, from `row.size() - fresh.len()` on.
    fn judge(
        &self,
        rows: &mut Overlay<'_>,
        log: PeerId,
        row: &mut LogRow,
        fresh: Vec<Vec<u8>>,
    ) -> Result<(), RowsError> {
        let size = row.size();
        let fresh_from = size - fresh.len() as u64;
        let leaf = |rows: &Overlay<'_>, index: u64| -> Result<Vec<u8>, RowsError> {
            match index.checked_sub(fresh_from).and_then(|i| usize::try_from(i).ok()).and_then(|i| fresh.get(i)) {
                Some(leaf) => Ok(leaf.clone()),
                None => rows
                    .get(Table::Documents, &judge::waiting_key(&log, index))?
                    .ok_or_else(|| RowsError(format!("waiting entry {index} of {log} is missing"))),
            }
        };
        while row.judged < size {
            if row.judged < PREAMBLE && !row.orphan {
                if size < PREAMBLE {
                    break;
                }
                let start = [leaf(rows, 0)?, leaf(rows, 1)?, leaf(rows, 2)?];
                let mut judge = Judge { rows, charters: &self.charters, ahead: Some(&self.ahead), log, row };
                let Some(verdicts) = judge.preamble([&start[0], &start[1], &start[2]])? else { break };
                for ((index, verdict), leaf) in (0..).zip(verdicts).zip(&start) {
                    settle(rows, log, row, index, leaf, verdict, index < fresh_from)?;
                }
                continue;
            }
            let index = row.judged;
            let bytes = leaf(rows, index)?;
            let mut judge = Judge { rows, charters: &self.charters, ahead: Some(&self.ahead), log, row };
            let Some(verdict) = judge.entry(index, &bytes)? else { break };
            settle(rows, log, row, index, &bytes, verdict, index < fresh_from)?;
        }
        for (index, leaf) in (fresh_from..).zip(fresh).filter(|(index, _)| *index >= row.judged) {
            rows.put(Table::Documents, judge::waiting_key(&log, index), leaf);
        }
        Ok(())
    }

    fn charter(&self, rows: &mut Overlay<'_>, bundle: CharterBundle) -> Result<(), RowsError> {
        let charter = Charter::parse(&bundle.payload).map_err(|e| RowsError(e.to_string()))?;
        let mut meta = state::meta(rows)?;
        if charter.version != meta.charter + 1 {
            // Seen before, or after a gap that damage left.
            return Ok(());
        }
        for (parts, prefix) in
            [(&bundle.identities, key::identity as fn(&Sha256) -> Vec<u8>), (&bundle.writers, key::writer)]
        {
            for bytes in parts {
                let envelope = Envelope::parse(bytes).map_err(|e| RowsError(e.to_string()))?;
                rows.put(Table::Documents, prefix(&envelope.id()), bytes.clone());
                if let Some(prev) = Identity::parse(&envelope).ok().and_then(|identity| identity.prev) {
                    rows.put(Table::Documents, key::follower(&prev, &envelope.id()), Vec::new());
                }
            }
        }
        let closes = charters::closes(&charter, &bundle);
        rows.store(Table::Charters, key::charter(charter.version), &CharterRow { bundle })?;
        for (key, _) in rows.scan(Table::Documents, &key::approvals(meta.charter), &[], usize::MAX)? {
            rows.remove(Table::Documents, key);
        }
        for (key, _) in rows.scan(Table::Promises, &key::ordering_at(charter.version), &[], usize::MAX)? {
            rows.remove(Table::Promises, key);
        }
        meta.charter = charter.version;
        rows.store(Table::Meta, key::META.to_vec(), &meta)?;
        if matches!(charter.change, Some(CharterChange::Expel { .. })) {
            for stop in &charter.stops {
                end(rows, stop.log, |row| row.closed.charter = Some((stop.size, stop.root)))?;
            }
        }
        for closes in closes {
            let first = |held: Option<u64>| held.map_or(closes.size, |size| size.min(closes.size));
            end(rows, closes.log, |row| row.closed.owner = Some(first(row.closed.owner)))?;
        }
        // Entries that waited for this charter can be judged now.
        for (log, mut row) in state::logs(rows)? {
            let judged = row.judged;
            if judged < row.size() {
                self.judge(rows, log, &mut row, Vec::new())?;
                rows.store(Table::Logs, key::log(&log), &row)?;
                evidence::review(&self.charters, rows, log, judged)?;
            }
        }
        Ok(())
    }

    /// A row as it stood, repeated; where the state of a log goes with it, that is restored too.
    fn repeated(&self, rows: &mut Overlay<'_>, table: Table, key: Vec<u8>, value: Vec<u8>) -> Result<(), RowsError> {
        let log = key.get(1..33).and_then(|bytes| bytes.try_into().ok());
        let log = log.map(|bytes| PeerId(crate::ids::PublicKey(bytes)));
        let kind = key.first().copied();
        rows.put(table, key, value.clone());
        match (table, kind, log) {
            (Table::Promises, Some(b'f'), Some(log)) => end(rows, log, |row| row.closed.forked = true),
            (Table::Promises, Some(b'w'), Some(log)) => evidence::witnessed(&self.charters, rows, log, &value),
            _ => Ok(()),
        }
    }
}

/// The row of a log, which is numbered if it is new.
pub(super) fn log_row(rows: &mut Overlay<'_>, log: PeerId) -> Result<LogRow, RowsError> {
    if let Some(row) = state::log(rows, &log)? {
        return Ok(row);
    }
    let mut meta = state::meta(rows)?;
    let row = LogRow::new(meta.logs);
    meta.logs += 1;
    rows.store(Table::Meta, key::META.to_vec(), &meta)?;
    Ok(row)
}

fn append(rows: &mut Overlay<'_>, row: &mut LogRow, leaf: &[u8], at: LeafAt) -> Result<(), RowsError> {
    let fault = |e: tree::TreeError| RowsError(e.to_string());
    let index = row.size();
    let from = tree::stored_count(index).map_err(fault)?;
    let mut stored = Vec::new();
    row.frontier.append_stored(tree::leaf_hash(leaf), &mut stored).map_err(fault)?;
    for (at, hash) in (from..).zip(stored) {
        rows.put(Table::Hashes, key::numbered(row.number, at), hash.0.to_vec());
    }
    rows.store(Table::Entries, key::numbered(row.number, index), &EntryRow { at, verdict: Verdict::Waiting })
}

/// An entry that is held stands at another place as well, if this is the same leaf.
fn relocate(rows: &mut Overlay<'_>, row: &LogRow, index: u64, leaf: &[u8], at: LeafAt) -> Result<(), RowsError> {
    let stored = tree::stored_count(index).map_err(|e| RowsError(e.to_string()))?;
    let hash = rows.get(Table::Hashes, &key::numbered(row.number, stored))?;
    if hash.as_deref() != Some(tree::leaf_hash(leaf).0.as_slice()) {
        return Ok(());
    }
    let key = key::numbered(row.number, index);
    match state::get::<EntryRow>(rows, Table::Entries, &key)? {
        Some(entry) => rows.store(Table::Entries, key, &EntryRow { at, ..entry }),
        None => Ok(()),
    }
}

fn settle(
    rows: &mut Overlay<'_>,
    log: PeerId,
    row: &mut LogRow,
    index: u64,
    leaf: &[u8],
    verdict: Verdict,
    waited: bool,
) -> Result<(), RowsError> {
    if matches!(verdict, Verdict::Void(_)) {
        rows.store(Table::Logs, key::void(&log, index), &void_row(leaf))?;
    }
    let key = key::numbered(row.number, index);
    let entry: Option<EntryRow> = state::get(rows, Table::Entries, &key)?;
    let entry = entry.ok_or_else(|| RowsError(format!("entry {index} of {log} is missing")))?;
    rows.store(Table::Entries, key, &EntryRow { verdict, ..entry })?;
    if waited {
        rows.remove(Table::Documents, judge::waiting_key(&log, index));
    }
    row.judged = index + 1;
    Ok(())
}

/// What a void entry says it is, for people.
fn void_row(leaf: &[u8]) -> VoidRow {
    let envelope = Envelope::parse(leaf).ok();
    let kind = envelope.as_ref().map_or(Kind::Unknown, Kind::of);
    let facts = envelope.filter(|_| kind == Kind::Release).and_then(|e| super::facts::of(e.payload()).ok());
    VoidRow { kind: kind.name().to_owned(), release: facts.map(|f| (f.member, f.slug, f.version)) }
}

fn document(rows: &mut Overlay<'_>, bytes: Vec<u8>) -> Result<(), RowsError> {
    let Ok(envelope) = Envelope::parse(&bytes) else { return Ok(()) };
    match Kind::of(&envelope) {
        Kind::Approval => {
            if let Ok(approval) = Approval::open(&envelope)
                && approval.base_version >= state::meta(rows)?.charter
            {
                rows.put(Table::Documents, key::approval(approval.base_version, &envelope.id()), bytes);
            }
        }
        Kind::NodeInfo => {
            if let Ok(info) = NodeInfo::open(&envelope) {
                let key = key::node_info(&info.peer);
                let old = rows.get(Table::Documents, &key)?;
                let old = old.and_then(|b| Envelope::parse(&b).ok()).and_then(|e| NodeInfo::open(&e).ok());
                if old.is_none_or(|old| old.time_s < info.time_s || crate::seeded::bug("node_info_replayed")) {
                    rows.put(Table::Documents, key, bytes);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Drops what is held of a log; its closings, promises and witnessed note stay.
fn reset(rows: &mut Overlay<'_>, log: PeerId) -> Result<(), RowsError> {
    let mut row = log_row(rows, log)?;
    let count = tree::stored_count(row.size()).map_err(|e| RowsError(e.to_string()))?;
    for index in (0..count).rev() {
        rows.remove(Table::Hashes, key::numbered(row.number, index));
    }
    for index in 0..row.size() {
        rows.remove(Table::Entries, key::numbered(row.number, index));
        rows.remove(Table::Documents, judge::waiting_key(&log, index));
        rows.remove(Table::Local, key::missing(&log, index));
    }
    stake::forget(rows, &log, row.seq)?;
    let prefixes = [
        (Table::Documents, key::stand_in(&log)),
        (Table::Documents, key::newest_in(&log)),
        (Table::Logs, key::charters_in(&log)),
        (Table::Logs, key::voids_of(&log)),
    ];
    for (table, prefix) in prefixes {
        for (key, _) in rows.scan(table, &prefix, &[], usize::MAX)? {
            rows.remove(table, key);
        }
    }
    let mut fresh = LogRow::new(row.number);
    std::mem::swap(&mut fresh.closed, &mut row.closed);
    // An own leave is judged again when it comes again; what a later writer says of the log stays.
    fresh.closed.owner = None;
    for bundle in charters::bundles(rows, 1, usize::MAX)? {
        let charter = Charter::parse(&bundle.payload).map_err(|e| RowsError(e.to_string()))?;
        let ends = charters::closes(&charter, &bundle).into_iter().filter(|end| end.log == log).map(|end| end.size);
        fresh.closed.owner = ends.chain(fresh.closed.owner).min();
    }
    fresh.witnessed = row.witnessed;
    fresh.resets = row.resets + 1;
    rows.store(Table::Logs, key::log(&log), &fresh)
}

fn local(rows: &mut Overlay<'_>, local: Local) -> Result<(), RowsError> {
    match local {
        Local::Origin(origin) => rows.store(Table::Local, key::ORIGIN.to_vec(), &origin)?,
        Local::Ticket(ticket) => rows.store(Table::Local, key::ticket(&ticket.id), &ticket)?,
        Local::TicketUsed { id, member } => {
            let key = key::ticket(&id);
            if let Some(mut ticket) = state::get::<crate::record::Ticket>(rows, Table::Local, &key)? {
                ticket.used_by.get_or_insert(member);
                rows.store(Table::Local, key, &ticket)?;
            }
        }
        Local::Peer(note) => rows.store(Table::Peers, key::peer(&note.peer), &note)?,
        Local::PeerRemoved(peer) => rows.remove(Table::Peers, key::peer(&peer)),
        Local::Held { log, index, artifacts } => {
            for artifact in &artifacts {
                rows.put(Table::Artifacts, key::artifact(artifact, &log, index), Vec::new());
            }
            rows.remove(Table::Local, key::missing(&log, index));
        }
        Local::Lost { log, index } => rows.put(Table::Local, key::missing(&log, index), Vec::new()),
        Local::Rejected { request, reason } => {
            rows.put(Table::Local, key::rejected(&request), reason.into_bytes());
        }
        Local::Value { name, value } if value.is_empty() => rows.remove(Table::Local, key::value(&name)),
        Local::Value { name, value } => rows.put(Table::Local, key::value(&name), value),
    }
    Ok(())
}

fn audit(rows: &mut Overlay<'_>, audit: &Audit) -> Result<(), RowsError> {
    let mut meta = state::meta(rows)?;
    let key = [audit.time_ms.to_be_bytes(), meta.sequence.to_be_bytes()].concat();
    meta.sequence += 1;
    rows.store(Table::Meta, key::META.to_vec(), &meta)?;
    rows.store(Table::Audit, key, audit)
}

/// A row by its place: table, key, value.
type Carried = (Table, Vec<u8>, Vec<u8>);

/// Rows that no peer could give back. Held releases are not among them: the artifacts tell.
fn carried(rows: &dyn Rows) -> Result<Vec<Carried>, RowsError> {
    let mut out = Vec::new();
    let prefixes: [(Table, &[u8]); 11] = [
        (Table::Promises, b"k"),
        (Table::Promises, b"d"),
        (Table::Promises, b"c"),
        (Table::Promises, b"o"),
        (Table::Promises, b"w"),
        (Table::Promises, b"f"),
        (Table::Peers, b""),
        (Table::Local, key::ORIGIN),
        (Table::Local, b"t"),
        (Table::Local, b"r"),
        (Table::Local, b"v"),
    ];
    for (table, prefix) in prefixes {
        out.extend(rows.scan(table, prefix, &[], usize::MAX)?.into_iter().map(|(key, value)| (table, key, value)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublicKey;
    use crate::view::rows::MemoryRows;

    /// Entries that are held come again: only the place at which they are read changes, and only for the same bytes.
    #[test]
    fn an_entry_that_comes_again_is_read_at_its_new_place() {
        let log = PeerId(PublicKey([7; 32]));
        let (fold, mut rows) = (Fold::default(), MemoryRows::default());
        let take = |rows: &mut MemoryRows, offset: u64, first: u64, leaves: &[&[u8]]| {
            let leaves = leaves.iter().map(|leaf| leaf.to_vec()).collect();
            let bytes = Batch { records: vec![Record::entries(log, first, leaves)] }.encode().unwrap();
            let at = Position { segment: 0, offset };
            rows.apply(fold.fold(rows, at, &bytes).unwrap());
            bytes
        };
        take(&mut rows, 100, 0, &[b"a", b"b", b"c", b"d"]);
        let before = state::log(&rows, &log).unwrap().unwrap();
        let again = take(&mut rows, 900, 1, &[b"b", b"X"]);
        let place = |index: u64| {
            let entry: EntryRow =
                state::get(&rows, Table::Entries, &key::numbered(before.number, index)).unwrap().unwrap();
            entry.at
        };
        assert_eq!(
            [0, 1, 2, 3].map(|index| place(index).batch.offset),
            [100, 900, 100, 100],
            "the leaf X is another one"
        );
        let moved = place(1);
        assert_eq!(&again[moved.offset as usize..(moved.offset + moved.len) as usize], b"b");
        assert_eq!(state::log(&rows, &log).unwrap().unwrap(), before, "nothing else of the log has changed");
    }
}
