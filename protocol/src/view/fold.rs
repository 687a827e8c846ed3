//! From records to rows: deterministic, without IO, the same live and on a rebuild.
//!
//! Owns every write to the view. Records were checked before they were committed; the fold checks only what depends on the
//! order of the log itself, which is what makes two nodes with the same logs have the same catalogue.

use super::charters::Charters;
use super::judge::{self, Judge, PREAMBLE};
use super::overlay::Overlay;
use super::rows::{Change, Rows, RowsError, Table};
use super::state::{self, CharterRow, CosignedRow, EntryRow, LeafAt, LogRow, Position, Verdict, key};
use std::collections::BTreeSet;

use crate::charter::certificate::{Certified, CharterBundle};
use crate::charter::rules::Charter;
use crate::codec::CodecError;
use crate::documents::{Approval, Change as CharterChange, Document, Kind, NodeInfo};
use crate::envelope::Envelope;
use crate::ids::{PeerId, Sha256};
use crate::limits::BATCH_MAX_BYTES;
use crate::log::{Cosignature, Origin, note, tree};
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
}

impl Fold {
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
            Record::Checkpoint { log, note } => checkpoint(rows, &self.charters, log, note),
            Record::Cosigned { log, size, root, cosignature } => {
                self.cosigned(rows, log, CosignedRow { size, root, cosignature })
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
                let mut row = log_row(rows, log)?;
                row.closed.forked = true;
                rows.store(Table::Promises, key::fork(&log), &proof)?;
                rows.store(Table::Logs, key::log(&log), &row)
            }
            Record::Reset { log } => reset(rows, log),
            Record::Local(local) => self::local(rows, local),
            Record::Audit(audit) => self::audit(rows, &audit),
            Record::Witnessed { log, note } => self.witnessed(rows, log, &note),
            Record::Row { table, key, value } => {
                rows.put(table, key, value);
                Ok(())
            }
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
                continue;
            }
            append(rows, &mut row, &leaf, place)?;
            fresh.push(leaf);
        }
        self.judge(rows, log, &mut row, fresh)?;
        rows.store(Table::Logs, key::log(&log), &row)
    }

    /// Judges as many waiting entries as can be; `fresh` are the bytes of the newest, from `row.size() - fresh.len()` on.
    fn judge(&self, rows: &mut Overlay<'_>, log: PeerId, row: &mut LogRow, fresh: Vec<Vec<u8>>) -> Result<(), RowsError> {
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
                let mut judge = Judge { rows, charters: &self.charters, log, row };
                let Some(verdicts) = judge.preamble([&start[0], &start[1], &start[2]])? else { break };
                for (index, verdict) in (0..).zip(verdicts) {
                    settle(rows, log, row, index, verdict)?;
                }
                continue;
            }
            let index = row.judged;
            let bytes = leaf(rows, index)?;
            let mut judge = Judge { rows, charters: &self.charters, log, row };
            let Some(verdict) = judge.entry(index, &bytes)? else { break };
            settle(rows, log, row, index, verdict)?;
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
        for (parts, prefix) in [(&bundle.identities, key::identity as fn(&Sha256) -> Vec<u8>), (&bundle.writers, key::writer)] {
            for bytes in parts {
                let id = Envelope::parse(bytes).map_err(|e| RowsError(e.to_string()))?.id();
                rows.put(Table::Documents, prefix(&id), bytes.clone());
            }
        }
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
                let mut row = log_row(rows, stop.log)?;
                row.closed.charter = Some((stop.size, stop.root));
                rows.store(Table::Logs, key::log(&stop.log), &row)?;
            }
        }
        // Entries that waited for this charter can be judged now.
        for (log, mut row) in state::logs(rows)? {
            if row.judged < row.size() {
                self.judge(rows, log, &mut row, Vec::new())?;
                rows.store(Table::Logs, key::log(&log), &row)?;
            }
        }
        Ok(())
    }

    fn cosigned(&self, rows: &mut Overlay<'_>, log: PeerId, new: CosignedRow) -> Result<(), RowsError> {
        let by = new.cosignature.peer;
        let key = key::cosigned(&log, &by);
        let newer = |old: &CosignedRow| {
            new.size > old.size || new.size == old.size && new.cosignature.time_s > old.cosignature.time_s
        };
        if state::get::<CosignedRow>(rows, Table::Promises, &key)?.is_none_or(|old| newer(&old)) {
            rows.store(Table::Promises, key, &new)?;
        }
        self.witness(rows, log, new.size, new.root)
    }

    /// Takes a witnessed note over from another node, after counting its cosignatures.
    fn witnessed(&self, rows: &mut Overlay<'_>, log: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
        let mut row = log_row(rows, log)?;
        let version = if row.charter > 0 { row.charter } else { state::meta(rows)?.charter };
        let Some(charter) = self.charters.get(rows, version)? else { return Ok(()) };
        let Ok(opened) = note::open(bytes, Origin::new(charter.federation, log), &|_| true) else { return Ok(()) };
        let checkpoint = *opened.signed.checkpoint();
        let counts = witnesses(&charter, &log, opened.signed.witnesses().map(|c| c.peer));
        if counts && row.witnessed.is_none_or(|(held, _)| held < checkpoint.size) {
            row.witnessed = Some((checkpoint.size, checkpoint.root));
            rows.store(Table::Logs, key::log(&log), &row)?;
            rows.put(Table::Promises, key::witnessed(&log), opened.signed.to_text().into_bytes());
        }
        Ok(())
    }

    /// Notes whether the checkpoint of this size is witnessed now.
    fn witness(&self, rows: &mut Overlay<'_>, log: PeerId, size: u64, root: Sha256) -> Result<(), RowsError> {
        let mut row = log_row(rows, log)?;
        if row.witnessed.is_some_and(|(held, _)| held >= size) {
            return Ok(());
        }
        let version = if row.charter > 0 { row.charter } else { state::meta(rows)?.charter };
        let Some(charter) = self.charters.get(rows, version)? else { return Ok(()) };
        let promises: Vec<CosignedRow> = state::list(rows, Table::Promises, &key::cosigned_of(&log), usize::MAX)?;
        let fitting: Vec<Cosignature> =
            promises.iter().filter(|p| p.size == size && p.root == root).map(|p| p.cosignature).collect();
        if !witnesses(&charter, &log, fitting.iter().map(|c| c.peer)) {
            return Ok(());
        }
        row.witnessed = Some((size, root));
        rows.store(Table::Logs, key::log(&log), &row)?;
        if row.note_size == size && row.note_root == Some(root) {
            let origin = Origin::new(charter.federation, log);
            if let Ok(opened) = note::merge(&row.note, origin, &|_| true, &fitting) {
                rows.put(Table::Promises, key::witnessed(&log), opened.signed.to_text().into_bytes());
            }
        }
        Ok(())
    }
}

/// Whether cosignatures by these nodes make a checkpoint of `log` witnessed: k - 1 other members, each counted once.
pub fn witnesses(charter: &Certified, log: &PeerId, nodes: impl Iterator<Item = PeerId>) -> bool {
    let owner = charter.member_of(log);
    let members: BTreeSet<_> = nodes.filter_map(|peer| charter.member_of(&peer)).filter(|m| Some(*m) != owner).collect();
    !members.is_empty() && members.len() >= charter.charter.witnesses_needed()
}

fn log_row(rows: &mut Overlay<'_>, log: PeerId) -> Result<LogRow, RowsError> {
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

fn settle(rows: &mut Overlay<'_>, log: PeerId, row: &mut LogRow, index: u64, verdict: Verdict) -> Result<(), RowsError> {
    let key = key::numbered(row.number, index);
    let entry: Option<EntryRow> = state::get(rows, Table::Entries, &key)?;
    let entry = entry.ok_or_else(|| RowsError(format!("entry {index} of {log} is missing")))?;
    rows.store(Table::Entries, key, &EntryRow { verdict, ..entry })?;
    let waiting = judge::waiting_key(&log, index);
    if rows.get(Table::Documents, &waiting)?.is_some() {
        rows.remove(Table::Documents, waiting);
    }
    row.judged = index + 1;
    Ok(())
}

fn checkpoint(rows: &mut Overlay<'_>, charters: &Charters, log: PeerId, bytes: Vec<u8>) -> Result<(), RowsError> {
    let mut row = log_row(rows, log)?;
    let Some(charter) = charters.newest(rows)? else { return Ok(()) };
    let Ok(opened) = note::open(&bytes, Origin::new(charter.federation, log), &|_| false) else { return Ok(()) };
    let checkpoint = opened.signed.checkpoint();
    if checkpoint.size >= row.note_size {
        row.note_size = checkpoint.size;
        row.note_root = Some(checkpoint.root);
        row.note = opened.signed.without_cosignatures().to_text().into_bytes();
        rows.store(Table::Logs, key::log(&log), &row)?;
    }
    Ok(())
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
                if old.is_none_or(|old| old.time_s < info.time_s) {
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
    for (at, process) in rows.scan(Table::Releases, &key::releases_of(&log), &[], usize::MAX)? {
        rows.remove(Table::Releases, at);
        if let Some(row) = state::get::<state::ReleaseRow>(rows, Table::Releases, &process)? {
            rows.remove(Table::Releases, key::release_id(&row.id));
        }
        rows.remove(Table::Releases, process.clone());
        rows.remove(Table::Search, process);
    }
    let mut fresh = LogRow::new(row.number);
    std::mem::swap(&mut fresh.closed, &mut row.closed);
    fresh.closed.owner = None;
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

/// Rows that no peer could give back. Held releases are not among them: the artifacts tell.
fn carried(rows: &dyn Rows) -> Result<Vec<(Table, Vec<u8>, Vec<u8>)>, RowsError> {
    let mut out = Vec::new();
    let prefixes: [(Table, &[u8]); 9] = [
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
