//! From records to rows: deterministic, without IO, the same live and on a rebuild.
//!
//! Owns every write to the view. Records were checked before they were committed; the fold checks only what depends on the
//! order of the log itself, which is what makes two nodes with the same logs have the same catalogue.

use super::ahead::Ahead;
use super::charters::Charters;
use super::judge::{self, Judge, PREAMBLE};
use super::overlay::Overlay;
use super::rows::{Change, Rows, RowsError, Table};
use super::stake;
use super::state::{self, CharterRow, CosignedRow, EntryRow, LeafAt, LogRow, Position, Verdict, key};
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::charter::certificate::{Certified, CharterBundle};
use crate::charter::rules::Charter;
use crate::codec::CodecError;
use crate::documents::{Approval, Change as CharterChange, Document, Kind, NodeInfo, Writer};
use crate::envelope::Envelope;
use crate::ids::{PeerId, Sha256};
use crate::limits::BATCH_MAX_BYTES;
use crate::log::{Cosignature, Origin, SignedCheckpoint, note, tree};
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
            Record::Checkpoint { log, note } => self.checkpoint(rows, log, &note),
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
                if rows.get(Table::Promises, &key::fork(&log))?.is_none() {
                    rows.store(Table::Promises, key::fork(&log), &proof)?;
                }
                end(rows, log, |row| row.closed.forked = true)
            }
            Record::Reset { log } => reset(rows, log),
            Record::Local(local) => self::local(rows, local),
            Record::Audit(audit) => self::audit(rows, &audit),
            Record::Witnessed { log, note } => self.witnessed(rows, log, &note),
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
                continue;
            }
            append(rows, &mut row, &leaf, place)?;
            fresh.push(leaf);
        }
        self.judge(rows, log, &mut row, fresh)?;
        rows.store(Table::Logs, key::log(&log), &row)
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
                for (index, verdict) in (0..).zip(verdicts) {
                    settle(rows, log, row, index, verdict)?;
                }
                continue;
            }
            let index = row.judged;
            let bytes = leaf(rows, index)?;
            let mut judge = Judge { rows, charters: &self.charters, ahead: Some(&self.ahead), log, row };
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
        for (parts, prefix) in
            [(&bundle.identities, key::identity as fn(&Sha256) -> Vec<u8>), (&bundle.writers, key::writer)]
        {
            for bytes in parts {
                let id = Envelope::parse(bytes).map_err(|e| RowsError(e.to_string()))?.id();
                rows.put(Table::Documents, prefix(&id), bytes.clone());
            }
        }
        let writers = bundle.writers.clone();
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
        for bytes in &writers {
            let writer = Envelope::parse(bytes).ok().filter(|e| charter.members.iter().any(|m| m.writer == e.id()));
            if let Some(closes) = writer.and_then(|e| Writer::open(&e).ok()).and_then(|w| w.closes) {
                let first = |held: Option<u64>| held.map_or(closes.size, |size| size.min(closes.size));
                end(rows, closes.log, |row| row.closed.owner = Some(first(row.closed.owner)))?;
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
        let old = state::get::<CosignedRow>(rows, Table::Promises, &key)?;
        if old.as_ref().is_some_and(|old| !newer(old)) {
            return Ok(());
        }
        rows.store(Table::Promises, key, &new)?;
        self.witness(rows, log, new.size, new.root)?;
        // A note that nobody's newest cosignature is over will not be witnessed any more.
        if let Some(old) = old.filter(|old| old.size != new.size)
            && !promises(rows, &log)?.iter().any(|p| p.size == old.size)
        {
            rows.remove(Table::Promises, key::note(&log, old.size));
        }
        Ok(())
    }

    fn checkpoint(&self, rows: &mut Overlay<'_>, log: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
        let mut row = log_row(rows, log)?;
        let Some(charter) = self.charters.newest(rows)? else { return Ok(()) };
        let Ok(opened) = note::open(bytes, Origin::new(charter.federation, log), &|_| false) else { return Ok(()) };
        let checkpoint = *opened.signed.checkpoint();
        if checkpoint.size < row.note_size {
            return Ok(());
        }
        let before = std::mem::replace(&mut row.note, opened.signed.without_cosignatures().to_text().into_bytes());
        let old = std::mem::replace(&mut row.note_size, checkpoint.size);
        row.note_root = Some(checkpoint.root);
        rows.store(Table::Logs, key::log(&log), &row)?;
        let waits = old > row.witnessed.map_or(0, |(size, _)| size) && old < checkpoint.size;
        if waits && promises(rows, &log)?.iter().any(|p| p.size == old) {
            rows.put(Table::Promises, key::note(&log, old), before);
        }
        self.witness(rows, log, checkpoint.size, checkpoint.root)
    }

    /// Takes a witnessed note over from another node, after counting its cosignatures.
    fn witnessed(&self, rows: &mut Overlay<'_>, log: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
        let row = log_row(rows, log)?;
        let Some(newest) = self.charters.newest(rows)? else { return Ok(()) };
        let Ok(opened) = note::open(bytes, Origin::new(newest.federation, log), &|_| true) else { return Ok(()) };
        let checkpoint = *opened.signed.checkpoint();
        let by: Vec<PeerId> = opened.signed.witnesses().map(|c| c.peer).collect();
        let mut counts = false;
        for version in charters_at(rows, &row, &log, checkpoint.size, newest.charter.version)? {
            let charter = self.charters.get(rows, version)?;
            counts |= charter.is_some_and(|charter| witnesses(&charter, &log, by.iter().copied()));
        }
        if counts && row.witnessed.is_none_or(|held| held < (checkpoint.size, checkpoint.root)) {
            self.set_witnessed(rows, log, &opened.signed)?;
        }
        Ok(())
    }

    /// Notes whether the checkpoint of this size is witnessed now. Only one whose note is held counts: others must be able to
    /// see the same.
    fn witness(&self, rows: &mut Overlay<'_>, log: PeerId, size: u64, root: Sha256) -> Result<(), RowsError> {
        let row = log_row(rows, log)?;
        if row.witnessed.is_some_and(|held| held >= (size, root)) {
            return Ok(());
        }
        let fitting: Vec<Cosignature> =
            promises(rows, &log)?.iter().filter(|p| p.size == size && p.root == root).map(|p| p.cosignature).collect();
        let newest = state::meta(rows)?.charter;
        let version = charters_at(rows, &row, &log, size, newest)?.pop();
        let Some(charter) = version.map(|v| self.charters.get(rows, v)).transpose()?.flatten() else { return Ok(()) };
        if !witnesses(&charter, &log, fitting.iter().map(|c| c.peer)) {
            return Ok(());
        }
        let bytes = match row.note_size == size {
            true => Some(row.note.clone()),
            false => rows.get(Table::Promises, &key::note(&log, size))?,
        };
        let origin = Origin::new(charter.federation, log);
        let merged = bytes.and_then(|bytes| note::merge(&bytes, origin, &|_| true, &fitting).ok());
        match merged.filter(|opened| opened.signed.checkpoint().root == root) {
            Some(opened) => self.set_witnessed(rows, log, &opened.signed),
            None => Ok(()),
        }
    }

    fn set_witnessed(&self, rows: &mut Overlay<'_>, log: PeerId, signed: &SignedCheckpoint) -> Result<(), RowsError> {
        let checkpoint = *signed.checkpoint();
        rows.put(Table::Promises, key::witnessed(&log), signed.to_text().into_bytes());
        for (key, _) in rows.scan(Table::Promises, &key::notes_of(&log), &[], usize::MAX)? {
            if key.last_chunk::<8>().is_some_and(|size| u64::from_be_bytes(*size) <= checkpoint.size) {
                rows.remove(Table::Promises, key);
            }
        }
        end(rows, log, |row| row.witnessed = Some((checkpoint.size, checkpoint.root)))
    }

    /// A row as it stood, repeated; where the state of a log goes with it, that is restored too.
    fn repeated(&self, rows: &mut Overlay<'_>, table: Table, key: Vec<u8>, value: Vec<u8>) -> Result<(), RowsError> {
        let log = key.get(1..33).and_then(|bytes| bytes.try_into().ok());
        let log = log.map(|bytes| PeerId(crate::ids::PublicKey(bytes)));
        let kind = key.first().copied();
        rows.put(table, key, value.clone());
        match (table, kind, log) {
            (Table::Promises, Some(b'f'), Some(log)) => end(rows, log, |row| row.closed.forked = true),
            (Table::Promises, Some(b'w'), Some(log)) => self.witnessed(rows, log, &value),
            _ => Ok(()),
        }
    }
}

/// Newest promises about a log.
fn promises(rows: &Overlay<'_>, log: &PeerId) -> Result<Vec<CosignedRow>, RowsError> {
    state::list(rows, Table::Promises, &key::cosigned_of(log), usize::MAX)
}

/// The charter versions by whose quorum a checkpoint of `size` may count as witnessed: the last one below it in the log. Of a
/// log of which so much is not held, that may be any version.
fn charters_at(rows: &Overlay<'_>, row: &LogRow, log: &PeerId, size: u64, newest: u64) -> Result<Vec<u64>, RowsError> {
    if row.owner.is_none() {
        return Ok((1..=newest).collect());
    }
    if row.judged < size.min(row.size()) {
        // A charter may wait among the entries below.
        return Ok(Vec::new());
    }
    let mut at = None;
    for (key, value) in rows.scan(Table::Logs, &key::charters_in(log), &[], usize::MAX)? {
        if key.last_chunk::<8>().is_some_and(|index| u64::from_be_bytes(*index) < size) {
            at = Some(state::decode::<u64>(&value)?);
        }
    }
    Ok(at.into_iter().collect())
}

/// Changes where a log ends, and settles again what that concerns.
fn end(rows: &mut Overlay<'_>, log: PeerId, change: impl FnOnce(&mut LogRow)) -> Result<(), RowsError> {
    let mut row = log_row(rows, log)?;
    let before = row.end();
    change(&mut row);
    let after = row.end();
    rows.store(Table::Logs, key::log(&log), &row)?;
    if before == after {
        return Ok(());
    }
    let from = before.unwrap_or(u64::MAX).min(after.unwrap_or(u64::MAX));
    stake::settle_from(rows, &log, from)
}

/// Whether cosignatures by these nodes make a checkpoint of `log` witnessed: k - 1 other members, each counted once.
pub fn witnesses(charter: &Certified, log: &PeerId, nodes: impl Iterator<Item = PeerId>) -> bool {
    let owner = charter.member_of(log);
    let members: BTreeSet<_> =
        nodes.filter_map(|peer| charter.member_of(&peer)).filter(|m| Some(*m) != owner).collect();
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

fn settle(
    rows: &mut Overlay<'_>,
    log: PeerId,
    row: &mut LogRow,
    index: u64,
    verdict: Verdict,
) -> Result<(), RowsError> {
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
    stake::forget(rows, &log, row.seq)?;
    for (table, prefix) in [(Table::Documents, key::stand_in(&log)), (Table::Logs, key::charters_in(&log))] {
        for (key, _) in rows.scan(table, &prefix, &[], usize::MAX)? {
            rows.remove(table, key);
        }
    }
    let mut fresh = LogRow::new(row.number);
    std::mem::swap(&mut fresh.closed, &mut row.closed);
    // An own leave is judged again when it comes again; what a later writer says of the log stays.
    fresh.closed.owner = None;
    for bundle in super::charters::bundles(rows, 1, usize::MAX)? {
        let closes = bundle.writers.iter().filter_map(|w| Writer::open(&Envelope::parse(w).ok()?).ok()?.closes);
        for size in closes.filter(|c| c.log == log).map(|c| c.size) {
            fresh.closed.owner = Some(fresh.closed.owner.map_or(size, |held| held.min(size)));
        }
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
    let prefixes: [(Table, &[u8]); 10] = [
        (Table::Promises, b"k"),
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
