//! Which of several entries stands, where only one can: a version of a process, a withdrawal.
//!
//! Owns the rule that the lowest (writer seq, log index) of a member stands, among entries below the ends of their logs. Every
//! entry that could stand is remembered, so that neither the order in which logs arrive nor a later closing of one of them
//! changes what two nodes with the same logs show. A release of a process that has moved before stands nowhere ([`moved`]).

use super::moved::{self, Moved};
use super::overlay::Overlay;
use super::rows::{Rows, RowsError, Table};
use super::state::{self, EntryRow, LogRow, Place, ReleaseRow, Verdict, VoidRow, key};
use crate::codec;
use crate::documents::{Kind, Transfer};
use crate::ids::{MemberId, PeerId, Sha256, Slug};
use crate::limits::BATCH_MAX_BYTES;

/// Candidates read at once: mostly there is one.
const PAGE: usize = 8;

/// Tables whose rows are claimed in this way.
pub const TABLES: [Table; 2] = [Table::Releases, Table::Statements];

/// Says whether an entry counts, where the stored row of its log does not know it yet.
pub type Override<'a> = &'a dyn Fn(&PeerId, u64) -> Option<bool>;

/// The tables in which a claim has its rows, all under the same key.
const fn held_in(table: Table) -> &'static [Table] {
    match table {
        Table::Releases => &[Table::Releases, Table::Search],
        _ => &[Table::Statements],
    }
}

/// What was settled of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The first entry that counts.
    first: Option<Place>,
    /// Where the process of a release went.
    moved: Option<Moved>,
}

impl Settled {
    /// The entry that stands: the first, unless the process had moved before.
    fn winner(&self) -> Option<Place> {
        self.first.filter(|place| self.moved.as_ref().is_none_or(|moved| !moved.voids(*place)))
    }
    /// The verdict on an entry that could stand.
    pub fn verdict(&self, place: Place) -> Verdict {
        match (self.first, &self.moved) {
            (Some(first), _) if first != place => {
                Verdict::Void(format!("this version was published before, at index {} of {}", first.index, first.log))
            }
            (_, Some(moved)) if moved.voids(place) => Verdict::Void(format!(
                "the process moved to {}/{} before, at index {} of {}",
                moved.to, moved.slug, moved.at.index, moved.at.log
            )),
            _ => Verdict::Valid,
        }
    }
}

/// Claims the row `main` of `table` for the entry at `place`, with its values in the tables of the claim, in their order.
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
) -> Result<Settled, RowsError> {
    rows.put(table, key::claim_at(&place.log, place.index), main.to_vec());
    let counts = judging(place, row);
    let scope = Scope { counts: &counts, judging: Some((place, row.number)) };
    let alone = Settled { first: Some(place), moved: moved_from(rows, table, main)? };
    let settled =
        if alone.winner().is_some() && row.counts(place.index) && first(rows, table, main, scope.counts)?.is_none() {
            // As mostly: nobody else claims it.
            stand(rows, table, main, place, values)?;
            alone
        } else {
            rows.store(table, key::candidate(main, place), &values)?;
            elect(rows, table, main, &scope)?
        };
    if table == Table::Releases && settled.first == Some(place) {
        // The one that was first until now has named what it succeeds in vain.
        let second = candidates(rows, table, main, scope.counts, 2)?.pop();
        for named in [Some(place), second].into_iter().flatten() {
            if let Some((member, slug)) = moved::predecessor(rows, main, named)? {
                resettle(rows, &member, &slug, &scope)?;
            }
        }
    }
    Ok(settled)
}

/// Notes a transfer of the log's owner and settles the process that it is about.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn transfer(rows: &mut Overlay<'_>, place: Place, transfer: &Transfer, row: &LogRow) -> Result<(), RowsError> {
    moved::note_transfer(rows, place, transfer)?;
    if moved::of(rows, &transfer.member, &transfer.process)?.is_some_and(|moved| moved.at < place) {
        // The first decides: one behind it changes nothing.
        return Ok(());
    }
    let counts = judging(place, row);
    let scope = Scope { counts: &counts, judging: Some((place, row.number)) };
    resettle(rows, &transfer.member, &transfer.process, &scope)
}

/// While the log of `place` is judged, its stored row is older than `row`.
fn judging(place: Place, row: &LogRow) -> impl Fn(&PeerId, u64) -> Option<bool> {
    move |log: &PeerId, index: u64| (*log == place.log).then(|| row.counts(index))
}

/// What is settled in one go.
struct Scope<'a> {
    counts: Override<'a>,
    /// The entry whose verdict the caller keeps, and the number of its log.
    judging: Option<(Place, u32)>,
}

/// Whether the entry at `place` is below the end of its log.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn counted(rows: &dyn Rows, place: Place, counts: Override<'_>) -> Result<bool, RowsError> {
    if crate::seeded::bug("ignore_log_end") {
        return Ok(true);
    }
    match counts(&place.log, place.index) {
        Some(fits) => Ok(fits),
        None => Ok(state::log(rows, &place.log)?.is_some_and(|row| row.counts(place.index))),
    }
}

/// The first entry that could stand in the row `main` and counts.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn first(rows: &dyn Rows, table: Table, main: &[u8], counts: Override<'_>) -> Result<Option<Place>, RowsError> {
    let looked_at = if crate::seeded::bug("later_version_wins") { usize::MAX } else { 1 };
    Ok(candidates(rows, table, main, counts, looked_at)?.pop())
}

/// The first `limit` entries that could stand in the row `main` and count.
fn candidates(
    rows: &dyn Rows,
    table: Table,
    main: &[u8],
    counts: Override<'_>,
    limit: usize,
) -> Result<Vec<Place>, RowsError> {
    let prefix = key::candidates(main);
    let mut from = prefix.clone();
    let mut found = Vec::new();
    loop {
        let page = rows.scan(table, &prefix, &from, PAGE)?;
        for (key, _) in &page {
            let place = key::place_of(key).ok_or_else(|| RowsError("candidate key".into()))?;
            if counted(rows, place, counts)? {
                found.push(place);
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(found),
        }
    }
}

/// Settles which entry stands in the row `main` of `table`.
///
/// # Errors
/// [`RowsError`] if the view fails.
fn elect(rows: &mut Overlay<'_>, table: Table, main: &[u8], scope: &Scope<'_>) -> Result<Settled, RowsError> {
    let first = first(rows, table, main, scope.counts)?;
    let settled = Settled { first, moved: moved_from(rows, table, main)? };
    let winner = settled.winner();
    if let Some(place) = winner
        && scope.judging.is_some()
        && rows.get(table, &key::candidate(main, place))?.is_some_and(|value| value.is_empty())
    {
        // It stands already, and only the entry that is judged has come to it.
        return Ok(settled);
    }
    let mut standing = None;
    let mut all = Vec::new();
    for (key, value) in rows.scan(table, &key::candidates(main), &[], usize::MAX)? {
        let place = key::place_of(&key).ok_or_else(|| RowsError("candidate key".into()))?;
        if value.is_empty() {
            standing = Some(place);
        }
        all.push(place);
    }
    if standing != winner && !(standing.is_some() && crate::seeded::bug("first_arrival_wins")) {
        if let Some(old) = standing {
            demote(rows, table, main, old)?;
        }
        if let Some(new) = winner {
            promote(rows, table, main, new)?;
        }
    }
    if table == Table::Releases {
        for place in all {
            if scope.judging.is_none_or(|(judged, _)| judged != place) && counted(rows, place, scope.counts)? {
                let number = match scope.judging {
                    Some((judged, number)) if judged.log == place.log => number,
                    _ => state::log(rows, &place.log)?.map_or(u32::MAX, |row| row.number),
                };
                let verdict = settled.verdict(place);
                let entry = key::numbered(number, place.index);
                if let Some(held) = state::get::<EntryRow>(rows, Table::Entries, &entry)?
                    && held.verdict != verdict
                {
                    note_void(rows, main, place, &verdict)?;
                    rows.store(Table::Entries, entry, &EntryRow { verdict, ..held })?;
                }
            }
        }
    }
    Ok(settled)
}

/// Where the process of a release went.
fn moved_from(rows: &dyn Rows, table: Table, main: &[u8]) -> Result<Option<Moved>, RowsError> {
    match (table, key::release_parts(main)) {
        (Table::Releases, Some((member, slug, _))) => moved::of(rows, &member, &slug),
        _ => Ok(None),
    }
}

/// Settles where a process is, and, if that has changed, which of its releases stand.
fn resettle(rows: &mut Overlay<'_>, member: &MemberId, slug: &Slug, scope: &Scope<'_>) -> Result<(), RowsError> {
    if !moved::settle(rows, member, slug, scope.counts)? {
        return Ok(());
    }
    let mut mains: Vec<Vec<u8>> = Vec::new();
    for (key, _) in rows.scan(Table::Releases, &key::candidates_of(member, slug), &[], usize::MAX)? {
        let main = key::candidate_main(&key).ok_or_else(|| RowsError("candidate key".into()))?;
        if mains.last().is_none_or(|last| last != main) {
            mains.push(main.to_vec());
        }
    }
    for main in mains {
        elect(rows, Table::Releases, &main, scope)?;
    }
    Ok(())
}

/// Lists a release among the void entries of its log, or no longer.
fn note_void(rows: &mut Overlay<'_>, main: &[u8], place: Place, verdict: &Verdict) -> Result<(), RowsError> {
    let row = key::void(&place.log, place.index);
    match verdict {
        Verdict::Void(_) => {
            let release = key::release_parts(main);
            rows.store(Table::Logs, row, &VoidRow { kind: Kind::Release.name().to_owned(), release })?;
        }
        Verdict::Waiting | Verdict::Valid | Verdict::Kept => {
            if rows.get(Table::Logs, &row)?.is_some() {
                rows.remove(Table::Logs, row);
            }
        }
    }
    Ok(())
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
    rows.store(table, key::candidate(main, place), &values)
}

fn promote(rows: &mut Overlay<'_>, table: Table, main: &[u8], place: Place) -> Result<(), RowsError> {
    let bytes = rows.get(table, &key::candidate(main, place))?.unwrap_or_default();
    let values: Vec<Vec<u8>> =
        codec::decode(&bytes, BATCH_MAX_BYTES).map_err(|e| RowsError(format!("candidate: {e}")))?;
    stand(rows, table, main, place, &values)
}

/// The entry at `place` stands in the row `main`.
fn stand(rows: &mut Overlay<'_>, table: Table, main: &[u8], place: Place, values: &[Vec<u8>]) -> Result<(), RowsError> {
    let id = if table == Table::Releases { release_id(values)? } else { None };
    for (held, value) in held_in(table).iter().zip(values) {
        rows.put(*held, main.to_vec(), value.clone());
    }
    if let Some(id) = id {
        rows.put(table, key::release_id(&id), main.to_vec());
    }
    if table == Table::Releases {
        rows.put(Table::Local, key::missing(&place.log, place.index), Vec::new());
    }
    // The values stand in the rows themselves as long as the entry does.
    rows.put(table, key::candidate(main, place), Vec::new());
    Ok(())
}

/// The end of a log has moved: what it claims from `index` on is settled again.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn settle_from(rows: &mut Overlay<'_>, log: &PeerId, seq: u64, index: u64) -> Result<(), RowsError> {
    let scope = Scope { counts: &|_, _| None, judging: None };
    for table in TABLES {
        for (at, main) in rows.scan(table, &key::claims_of(log), &key::claim_at(log, index), usize::MAX)? {
            settle_at(rows, table, &main, Place { seq, log: *log, index: index_of(&at) }, &scope)?;
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
    let scope = Scope { counts: &none, judging: None };
    for table in TABLES {
        for (at, main) in rows.scan(table, &key::claims_of(log), &[], usize::MAX)? {
            let place = Place { seq, log: *log, index: index_of(&at) };
            settle_at(rows, table, &main, place, &scope)?;
            if let Some((member, slug)) = stated(table, &main) {
                moved::forget_transfer(rows, &member, &slug, place);
                rows.remove(table, key::stated(&main, place));
            } else {
                moved::forget_successor(rows, &main, place)?;
                rows.remove(table, key::candidate(&main, place));
            }
            rows.remove(table, at);
        }
    }
    Ok(())
}

/// Settles the row `main`, which `place` claims, and the moves that depend on whether that entry counts.
fn settle_at(
    rows: &mut Overlay<'_>,
    table: Table,
    main: &[u8],
    place: Place,
    scope: &Scope<'_>,
) -> Result<(), RowsError> {
    if let Some((member, slug)) = stated(table, main) {
        let transfer = moved::is_transfer(rows, &member, &slug, place)?;
        return if transfer { resettle(rows, &member, &slug, scope) } else { Ok(()) };
    }
    elect(rows, table, main, scope)?;
    if table == Table::Releases && !crate::seeded::bug("move_not_resettled") {
        for (member, slug) in moved::predecessors(rows, main)? {
            resettle(rows, &member, &slug, scope)?;
        }
    }
    Ok(())
}

/// The process that a statement is about which is not elected.
fn stated(table: Table, main: &[u8]) -> Option<(MemberId, Slug)> {
    if table == Table::Statements { key::statement_process(main) } else { None }
}

/// The index at the end of a [`key::claim_at`].
fn index_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
