//! Which of several entries stands, where only one can: a version of a process, a statement.
//!
//! Owns the rule that the lowest (writer seq, log index) of a member stands, among entries below the ends of their logs. Every
//! entry that could stand is remembered, so that neither the order in which logs arrive nor a later closing of one of them
//! changes what two nodes with the same logs show.

use super::overlay::Overlay;
use super::rows::{Rows, RowsError, Table};
use super::state::{self, EntryRow, LogRow, ReleaseRow, Verdict, key};
use crate::codec;
use crate::ids::{PeerId, Sha256};
use crate::limits::BATCH_MAX_BYTES;

/// Bytes of a place in a candidate's key: writer seq, index, log.
const PLACE_BYTES: usize = 8 + 8 + 32;

/// Tables whose rows are claimed in this way.
pub const TABLES: [Table; 2] = [Table::Releases, Table::Statements];

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its writer's number.
    pub seq: u64,
    /// Its log.
    pub log: PeerId,
    /// Its index there.
    pub index: u64,
}

/// Says whether an entry counts, where the stored row of its log does not know it yet.
pub type Override<'a> = &'a dyn Fn(&PeerId, u64) -> Option<bool>;

fn prefix(main: &[u8]) -> Vec<u8> {
    let len = u32::try_from(main.len()).unwrap_or(u32::MAX);
    [b"c", len.to_be_bytes().as_slice(), main].concat()
}

fn candidate(main: &[u8], place: Place) -> Vec<u8> {
    let Place { seq, index, log } = place;
    [prefix(main).as_slice(), &seq.to_be_bytes(), &index.to_be_bytes(), log.key().as_bytes()].concat()
}

fn place_of(candidate: &[u8]) -> Option<Place> {
    let place = candidate.get(candidate.len().checked_sub(PLACE_BYTES)?..)?;
    let (seq, rest) = place.split_first_chunk::<8>()?;
    let (index, log) = rest.split_first_chunk::<8>()?;
    let log = PeerId(crate::ids::PublicKey(log.try_into().ok()?));
    Some(Place { seq: u64::from_be_bytes(*seq), index: u64::from_be_bytes(*index), log })
}

/// The tables in which a claim has its rows, all under the same key.
const fn held_in(table: Table) -> &'static [Table] {
    match table {
        Table::Releases => &[Table::Releases, Table::Search],
        _ => &[Table::Statements],
    }
}

/// Claims the row `main` of `table` for the entry at `place`, with its values in the tables of the claim, in their order.
///
/// Returns the place that stands.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn claim(
    rows: &mut Overlay<'_>,
    table: Table,
    main: &[u8],
    place: Place,
    values: &[Vec<u8>],
    row: &LogRow,
) -> Result<Option<Place>, RowsError> {
    rows.store(table, candidate(main, place), &values)?;
    rows.put(table, key::claim_at(&place.log, place.index), main.to_vec());
    let number = (place.log, row.number);
    let counts = |log: &PeerId, index: u64| (*log == place.log).then(|| row.counts(index));
    elect(rows, table, main, &counts, Some((place, number.1)))
}

/// Settles which entry stands in the row `main` of `table`. `judging` is judged by the caller and keeps its verdict.
///
/// # Errors
/// [`RowsError`] if the view fails.
fn elect(
    rows: &mut Overlay<'_>,
    table: Table,
    main: &[u8],
    counts: Override<'_>,
    judging: Option<(Place, u32)>,
) -> Result<Option<Place>, RowsError> {
    let mut standing = None;
    let mut winner = None;
    let mut all = Vec::new();
    for (key, value) in rows.scan(table, &prefix(main), &[], usize::MAX)? {
        let place = place_of(&key).ok_or_else(|| RowsError("candidate key".into()))?;
        let known = counts(&place.log, place.index);
        let fits = match known {
            Some(fits) => fits,
            None => state::log(rows, &place.log)?.is_some_and(|row| row.counts(place.index)),
        };
        if value.is_empty() {
            standing = Some(place);
        }
        if fits && winner.is_none() {
            winner = Some(place);
        }
        all.push((place, fits));
    }
    if standing != winner {
        if let Some(old) = standing {
            demote(rows, table, main, old)?;
        }
        if let Some(new) = winner {
            promote(rows, table, main, new)?;
        }
    }
    if table == Table::Releases {
        for (place, fits) in all {
            if fits && judging.is_none_or(|(judged, _)| judged != place) {
                let number = match judging {
                    Some((judged, number)) if judged.log == place.log => number,
                    _ => state::log(rows, &place.log)?.map_or(u32::MAX, |row| row.number),
                };
                let verdict = verdict(place, winner);
                let entry = key::numbered(number, place.index);
                if let Some(held) = state::get::<EntryRow>(rows, Table::Entries, &entry)?
                    && held.verdict != verdict
                {
                    state::mark(rows, &place.log, place.index, &verdict)?;
                    rows.store(Table::Entries, entry, &EntryRow { verdict, ..held })?;
                }
            }
        }
    }
    Ok(winner)
}

/// The verdict on an entry that would stand if it were the first.
pub fn verdict(place: Place, winner: Option<Place>) -> Verdict {
    match winner {
        Some(first) if first != place => {
            Verdict::Void(format!("this version was published before, at index {} of {}", first.index, first.log))
        }
        _ => Verdict::Valid,
    }
}

/// The payload hash of the release whose row is the first of a claim's values.
fn release_id(values: &[Vec<u8>]) -> Result<Option<Sha256>, RowsError> {
    values
        .first()
        .filter(|row| !row.is_empty())
        .map(|row| state::decode::<ReleaseRow>(row).map(|row| row.id))
        .transpose()
}

fn demote(rows: &mut Overlay<'_>, table: Table, main: &[u8], place: Place) -> Result<(), RowsError> {
    let mut values = Vec::new();
    for held in held_in(table) {
        values.push(rows.get(*held, main)?.unwrap_or_default());
        rows.remove(*held, main.to_vec());
    }
    if table == Table::Releases {
        rows.remove(Table::Local, key::missing(&place.log, place.index));
        if let Some(id) = release_id(&values)? {
            rows.remove(table, key::release_id(&id));
        }
    }
    rows.store(table, candidate(main, place), &values)
}

fn promote(rows: &mut Overlay<'_>, table: Table, main: &[u8], place: Place) -> Result<(), RowsError> {
    let slot = candidate(main, place);
    let bytes = rows.get(table, &slot)?.unwrap_or_default();
    let values: Vec<Vec<u8>> =
        codec::decode(&bytes, BATCH_MAX_BYTES).map_err(|e| RowsError(format!("candidate: {e}")))?;
    let id = if table == Table::Releases { release_id(&values)? } else { None };
    for (held, value) in held_in(table).iter().zip(values) {
        rows.put(*held, main.to_vec(), value);
    }
    if let Some(id) = id {
        rows.put(table, key::release_id(&id), main.to_vec());
    }
    if table == Table::Releases {
        rows.put(Table::Local, key::missing(&place.log, place.index), Vec::new());
    }
    // The values stand in the rows themselves as long as the entry does.
    rows.put(table, slot, Vec::new());
    Ok(())
}

/// The end of a log has moved: what it claims from `index` on is settled again.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn settle_from(rows: &mut Overlay<'_>, log: &PeerId, index: u64) -> Result<(), RowsError> {
    for table in TABLES {
        for (_, main) in rows.scan(table, &key::claims_of(log), &key::claim_at(log, index), usize::MAX)? {
            elect(rows, table, &main, &|_, _| None, None)?;
        }
    }
    Ok(())
}

/// Everything that a log claims is forgotten.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn forget(rows: &mut Overlay<'_>, log: &PeerId, seq: u64) -> Result<(), RowsError> {
    let none = |of: &PeerId, _: u64| (of == log).then_some(false);
    for table in TABLES {
        for (at, main) in rows.scan(table, &key::claims_of(log), &[], usize::MAX)? {
            elect(rows, table, &main, &none, None)?;
            let index = at.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            rows.remove(table, candidate(&main, Place { seq, log: *log, index }));
            rows.remove(table, at);
        }
    }
    Ok(())
}
