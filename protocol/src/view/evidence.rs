//! Who vouches for how much of a log: cosignatures, the notes that they are over, and the largest witnessed note.
//!
//! Owns where a forked log ends. What is kept is the same whatever came first: of each cosigner the newest cosignature and, above
//! the largest witnessed note, the earlier ones; of each log its notes above that one. Whatever is bounded gives up the smallest
//! sizes first, which could prove the least.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::charters::Charters;
use super::overlay::Overlay;
use super::rows::{Rows, RowsError, Table};
use super::stake;
use super::state::{self, CosignedRow, LogRow, key};
use crate::charter::certificate::Certified;
use crate::ids::{PeerId, Sha256};
use crate::limits::{NOTES_KEPT_MAX, VOUCHED_MAX};
use crate::log::{Cosignature, Origin, SignedCheckpoint, note};

/// A checkpoint by size and root.
type Head = (u64, Sha256);

/// Takes a cosignature in that was verified.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn cosigned(charters: &Charters, rows: &mut Overlay<'_>, log: PeerId, new: CosignedRow) -> Result<(), RowsError> {
    let by = new.cosignature.peer;
    let key = key::cosigned(&log, &by);
    // Of two at one time, the same one everywhere.
    let rank = |c: &CosignedRow| (c.size, c.cosignature.time_s, c.cosignature.sig);
    let old = state::get::<CosignedRow>(rows, Table::Promises, &key)?;
    let superseded = match old {
        Some(old) if rank(&old) >= rank(&new) => Some(new),
        old => {
            rows.store(Table::Promises, key, &new)?;
            rows.remove(Table::Promises, key::vouched(&log, &by, new.size, &new.root));
            old
        }
    };
    if let Some(older) = superseded {
        vouch(rows, &log, older)?;
    }
    witness(charters, rows, log, (new.size, new.root))
}

/// Keeps an earlier cosignature while it could still make its checkpoint the largest witnessed one.
fn vouch(rows: &mut Overlay<'_>, log: &PeerId, older: CosignedRow) -> Result<(), RowsError> {
    let by = older.cosignature.peer;
    let newest: Option<CosignedRow> = state::get(rows, Table::Promises, &key::cosigned(log, &by))?;
    let same = newest.is_some_and(|n| (n.size, n.root) == (older.size, older.root));
    let witnessed = state::log(rows, log)?.and_then(|row| row.witnessed);
    if same || witnessed.is_some_and(|held| held >= (older.size, older.root)) {
        return Ok(());
    }
    let slot = key::vouched(log, &by, older.size, &older.root);
    if rows.get(Table::Promises, &slot)?.is_none() {
        rows.store(Table::Promises, slot, &older)?;
        bound(rows, &key::vouched_by(log, &by), VOUCHED_MAX)?;
    }
    Ok(())
}

/// Gives up the first rows under `prefix`, which are those of the smallest sizes, until `max` are left.
fn bound(rows: &mut Overlay<'_>, prefix: &[u8], max: usize) -> Result<(), RowsError> {
    let held = rows.scan(Table::Promises, prefix, &[], max + 8)?;
    for (key, _) in held.iter().take(held.len().saturating_sub(max)) {
        rows.remove(Table::Promises, key.clone());
    }
    Ok(())
}

/// Takes a checkpoint note in that the log signed.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn checkpoint(charters: &Charters, rows: &mut Overlay<'_>, log: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
    let mut row = super::fold::log_row(rows, log)?;
    let Some(charter) = charters.newest(rows)? else { return Ok(()) };
    let Ok(opened) = note::open(bytes, Origin::new(charter.federation, log), &|_| false) else { return Ok(()) };
    let head = (opened.signed.checkpoint().size, opened.signed.checkpoint().root);
    let bytes = opened.signed.without_cosignatures().to_text().into_bytes();
    let held = row.note_root.map(|root| (row.note_size, root));
    if held.is_some_and(|held| held > head) {
        keep(rows, &log, &row, head, bytes)?;
    } else if held != Some(head) {
        let before = std::mem::replace(&mut row.note, bytes);
        (row.note_size, row.note_root) = (head.0, Some(head.1));
        rows.store(Table::Logs, key::log(&log), &row)?;
        if let Some(held) = held {
            keep(rows, &log, &row, held, before)?;
        }
    }
    witness(charters, rows, log, head)
}

/// Keeps a note above the largest witnessed one.
fn keep(rows: &mut Overlay<'_>, log: &PeerId, row: &LogRow, head: Head, note: Vec<u8>) -> Result<(), RowsError> {
    if row.witnessed.is_some_and(|held| held >= head) {
        return Ok(());
    }
    rows.put(Table::Promises, key::note(log, head.0, &head.1), note);
    bound(rows, &key::notes_of(log), NOTES_KEPT_MAX)
}

/// Takes a witnessed note over from another node, after counting its cosignatures.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn witnessed(charters: &Charters, rows: &mut Overlay<'_>, log: PeerId, bytes: &[u8]) -> Result<(), RowsError> {
    let row = super::fold::log_row(rows, log)?;
    let Some(newest) = charters.newest(rows)? else { return Ok(()) };
    let Ok(opened) = note::open(bytes, Origin::new(newest.federation, log), &|_| true) else { return Ok(()) };
    let head = (opened.signed.checkpoint().size, opened.signed.checkpoint().root);
    let by: Vec<PeerId> = opened.signed.witnesses().map(|c| c.peer).collect();
    if row.witnessed.is_none_or(|held| held < head) && counted(charters, rows, &row, &log, head.0, &by)?.is_some() {
        set_witnessed(rows, log, &opened.signed)?;
    }
    Ok(())
}

/// Notes whether this checkpoint is witnessed now. Only one whose note is held counts: others must be able to see the same.
fn witness(charters: &Charters, rows: &mut Overlay<'_>, log: PeerId, head: Head) -> Result<(), RowsError> {
    let row = super::fold::log_row(rows, log)?;
    if row.witnessed.is_some_and(|held| held >= head) {
        return Ok(());
    }
    let mut fitting: Vec<Cosignature> = Vec::new();
    for promise in promises(rows, &log)? {
        if (promise.size, promise.root) == head {
            fitting.push(promise.cosignature);
        }
    }
    let by: Vec<PeerId> = fitting.iter().map(|c| c.peer).collect();
    let Some(charter) = counted(charters, rows, &row, &log, head.0, &by)? else { return Ok(()) };
    let bytes = match row.note_root.map(|root| (row.note_size, root)) == Some(head) {
        true => Some(row.note.clone()),
        false => rows.get(Table::Promises, &key::note(&log, head.0, &head.1))?,
    };
    let origin = Origin::new(charter.federation, log);
    let merged = bytes.and_then(|bytes| note::merge(&bytes, origin, &|_| true, &fitting).ok());
    match merged.filter(|opened| opened.signed.checkpoint().root == head.1) {
        Some(opened) => set_witnessed(rows, log, &opened.signed),
        None => Ok(()),
    }
}

fn set_witnessed(rows: &mut Overlay<'_>, log: PeerId, signed: &SignedCheckpoint) -> Result<(), RowsError> {
    let head = (signed.checkpoint().size, signed.checkpoint().root);
    rows.put(Table::Promises, key::witnessed(&log), signed.to_text().into_bytes());
    for (key, _) in rows.scan(Table::Promises, &key::notes_of(&log), &[], usize::MAX)? {
        if key::head_of(&key).is_some_and(|kept| kept <= head) {
            rows.remove(Table::Promises, key);
        }
    }
    for (key, _) in rows.scan(Table::Promises, &key::vouched_of(&log), &[], usize::MAX)? {
        if key::head_of(&key).is_some_and(|kept| kept <= head) {
            rows.remove(Table::Promises, key);
        }
    }
    end(rows, log, |row| row.witnessed = Some(head))
}

/// More of a log was judged: charters that decide who witnesses what may be known now.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn review(charters: &Charters, rows: &mut Overlay<'_>, log: PeerId, judged: u64) -> Result<(), RowsError> {
    let Some(row) = state::log(rows, &log)? else { return Ok(()) };
    let fresh = |size: u64| size > judged && size <= row.judged;
    if let Some((size, root)) = row.witnessed.filter(|(size, _)| fresh(*size)) {
        // It was counted by whatever charter might hold there. Now the one that does is known.
        let note = rows.get(Table::Promises, &key::witnessed(&log))?.unwrap_or_default();
        let newest = charters.newest(rows)?;
        let opened = newest.and_then(|c| note::open(&note, Origin::new(c.federation, log), &|_| true).ok());
        let by: Vec<PeerId> = opened.iter().flat_map(|o| o.signed.witnesses().map(|c| c.peer)).collect();
        let own = super::judge::root_matches(&row, rows, size, root)?;
        if own && counted(charters, rows, &row, &log, size, &by)?.is_none() {
            rows.remove(Table::Promises, key::witnessed(&log));
            end(rows, log, |row| row.witnessed = None)?;
        }
    }
    let heads: BTreeSet<Head> = promises(rows, &log)?.iter().map(|p| (p.size, p.root)).collect();
    for head in heads.into_iter().rev().filter(|head| fresh(head.0)) {
        witness(charters, rows, log, head)?;
    }
    Ok(())
}

/// Cosignatures of a log: the newest of each node, and the earlier ones that are kept.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn promises(rows: &dyn Rows, log: &PeerId) -> Result<Vec<CosignedRow>, RowsError> {
    let mut all: Vec<CosignedRow> = state::list(rows, Table::Promises, &key::cosigned_of(log), usize::MAX)?;
    all.extend(state::list::<CosignedRow>(rows, Table::Promises, &key::vouched_of(log), usize::MAX)?);
    Ok(all)
}

/// The charter by which cosignatures of these nodes make a checkpoint of `size` witnessed, if one does: the last one below it in
/// the log. Of a log of which so much is not held, any that may be it: it is counted again when it is held.
fn counted(
    charters: &Charters,
    rows: &Overlay<'_>,
    row: &LogRow,
    log: &PeerId,
    size: u64,
    by: &[PeerId],
) -> Result<Option<Arc<Certified>>, RowsError> {
    let newest = state::meta(rows)?.charter;
    for version in charters_at(rows, row, log, size, newest)? {
        if let Some(charter) = charters.get(rows, version)?
            && charter.writers.values().any(|w| w.writer.peer == *log)
            && witnesses(&charter, log, by.iter().copied())
        {
            return Ok(Some(charter));
        }
    }
    Ok(None)
}

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
    // Where less is held, later charters may follow below it. Else a node that closed a forked log early would ask for other
    // witnesses than those that hold more of it, and never come to hold more itself.
    let last = if size > row.size() && !crate::seeded::bug("end_by_old_charter") { newest } else { 0 };
    Ok(at.map_or_else(Vec::new, |at: u64| (at..=last.max(at)).collect()))
}

/// Whether cosignatures by these nodes make a checkpoint of `log` witnessed: by k - 1 other members with a vote, each counted once.
pub fn witnesses(charter: &Certified, log: &PeerId, nodes: impl Iterator<Item = PeerId>) -> bool {
    let owner = charter.member_of(log);
    let voting = charter.charter.voting();
    let others = nodes
        .filter_map(|peer| charter.member_of(&peer))
        .filter(|m| (Some(*m) != owner || crate::seeded::bug("witness_of_own_log")) && voting.contains(m));
    let members: BTreeSet<_> = others.collect();
    !members.is_empty() && members.len() >= charter.charter.witnesses_needed()
}

/// Changes where a log ends, and settles again what that concerns.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn end(rows: &mut Overlay<'_>, log: PeerId, change: impl FnOnce(&mut LogRow)) -> Result<(), RowsError> {
    let mut row = super::fold::log_row(rows, log)?;
    let before = row.end();
    change(&mut row);
    let after = row.end();
    rows.store(Table::Logs, key::log(&log), &row)?;
    if before == after {
        return Ok(());
    }
    let from = before.unwrap_or(u64::MAX).min(after.unwrap_or(u64::MAX));
    stake::settle_from(rows, &log, row.seq, from)
}

#[cfg(test)]
mod tests;
