//! Which processes have moved to another member, and from which place of the old owner's logs on its releases are void.
//!
//! Owns the effect of a transfer (SPEC-6.11). The transfer stands in a log of the old owner, the release that takes it up in one of
//! the new owner; either may arrive first, and either may fall away when a log is closed. Both are therefore noted by place, and
//! the move is settled again whenever one of them comes or goes. Whether a release takes a transfer up does not depend on moves,
//! so that no move depends on another one, or on the order of arrival.

use serde::{Deserialize, Serialize};

use super::overlay::Overlay;
use super::rows::{Rows, RowsError, Table};
use super::stake::{self, Override};
use super::state::{self, Place, key};
use crate::documents::Transfer;
use crate::ids::{MemberId, Slug};
use crate::limits::TRANSFERS_MAX;

/// Rows read at once.
const PAGE: usize = 64;

/// Where a process went, and from where on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Place of the transfer in the old owner's logs.
    pub at: Place,
    /// The new owner.
    pub to: MemberId,
    /// The process in its namespace.
    pub slug: Slug,
}

impl Moved {
    /// Whether a release of the old owner at `place` came too late.
    pub fn voids(&self, place: Place) -> bool {
        place > self.at && !crate::seeded::bug("move_voids_nothing")
    }
}

/// Where the process went, if it has moved.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn of(rows: &dyn Rows, member: &MemberId, slug: &Slug) -> Result<Option<Moved>, RowsError> {
    state::get(rows, Table::Releases, &key::moved(member, slug))
}

/// Notes a transfer, before [`settle`].
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn note_transfer(rows: &mut Overlay<'_>, place: Place, transfer: &Transfer) -> Result<(), RowsError> {
    let key = key::transfer(&transfer.member, &transfer.process, place);
    rows.store(Table::Statements, key, &(transfer.to, transfer.slug.clone()))
}

/// Whether a transfer of this process is noted at `place`.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn is_transfer(rows: &dyn Rows, member: &MemberId, slug: &Slug, place: Place) -> Result<bool, RowsError> {
    Ok(rows.get(Table::Statements, &key::transfer(member, slug, place))?.is_some())
}

/// Forgets a transfer; the move is still to be settled.
pub fn forget_transfer(rows: &mut Overlay<'_>, member: &MemberId, slug: &Slug, place: Place) {
    rows.remove(Table::Statements, key::transfer(member, slug, place));
}

/// Notes that the release at `place`, whose row is `main`, names a process in `succeeds`.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn note_successor(
    rows: &mut Overlay<'_>,
    main: &[u8],
    place: Place,
    member: &MemberId,
    slug: &Slug,
) -> Result<(), RowsError> {
    rows.put(Table::Releases, key::successor(member, slug, main, place), Vec::new());
    rows.store(Table::Releases, key::predecessor(main, place), &(*member, slug.clone()))
}

/// The process that the release at `place` names in `succeeds`.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn predecessor(rows: &dyn Rows, main: &[u8], place: Place) -> Result<Option<(MemberId, Slug)>, RowsError> {
    state::get(rows, Table::Releases, &key::predecessor(main, place))
}

/// All processes that releases of this version name, standing or not, each once.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn predecessors(rows: &dyn Rows, main: &[u8]) -> Result<Vec<(MemberId, Slug)>, RowsError> {
    let mut named: Vec<(MemberId, Slug)> = state::list(rows, Table::Releases, &key::predecessors(main), usize::MAX)?;
    named.sort_unstable();
    named.dedup();
    Ok(named)
}

/// Forgets what the release at `place` names.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn forget_successor(rows: &mut Overlay<'_>, main: &[u8], place: Place) -> Result<(), RowsError> {
    if let Some((member, slug)) = predecessor(rows, main, place)? {
        rows.remove(Table::Releases, key::successor(&member, &slug, main, place));
        rows.remove(Table::Releases, key::predecessor(main, place));
    }
    Ok(())
}

/// Settles where a process is. Returns whether that has changed, so that its releases are to be settled again.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn settle(rows: &mut Overlay<'_>, member: &MemberId, slug: &Slug, counts: Override<'_>) -> Result<bool, RowsError> {
    let mut now = None;
    let prefix = key::transfers(member, slug);
    let mut looked_at = 0;
    each(rows, Table::Statements, &prefix, |rows, at, value| {
        let at = key::place_of(at).ok_or_else(|| RowsError("transfer key".into()))?;
        if !stake::counted(rows, at, counts)? {
            return Ok(true);
        }
        let (to, new): (MemberId, Slug) = state::decode(value)?;
        if taken_up(rows, member, slug, &to, &new, counts)? {
            now = Some(Moved { at, to, slug: new });
        }
        looked_at += 1;
        Ok(now.is_none() && looked_at < TRANSFERS_MAX)
    })?;
    if of(rows, member, slug)? == now {
        return Ok(false);
    }
    match &now {
        Some(moved) => rows.store(Table::Releases, key::moved(member, slug), moved)?,
        None => rows.remove(Table::Releases, key::moved(member, slug)),
    }
    Ok(true)
}

/// Whether a release of `to/new` that is the first of its version names `member/slug`.
fn taken_up(
    rows: &Overlay<'_>,
    member: &MemberId,
    slug: &Slug,
    to: &MemberId,
    new: &Slug,
    counts: Override<'_>,
) -> Result<bool, RowsError> {
    let mut found = false;
    let mut looked_at = 0;
    each(rows, Table::Releases, &key::successors(member, slug, to, new), |rows, at, _| {
        let place = key::place_of(at).ok_or_else(|| RowsError("successor key".into()))?;
        if !stake::counted(rows, place, counts)? {
            return Ok(true);
        }
        let main = key::successor_main(at, member, slug).ok_or_else(|| RowsError("successor key".into()))?;
        found = stake::first(rows, Table::Releases, main, counts)? == Some(place);
        looked_at += 1;
        Ok(!found && looked_at < TRANSFERS_MAX)
    })?;
    Ok(found)
}

/// Visits rows in order until `visit` says that it is enough.
fn each(
    rows: &Overlay<'_>,
    table: Table,
    prefix: &[u8],
    mut visit: impl FnMut(&Overlay<'_>, &[u8], &[u8]) -> Result<bool, RowsError>,
) -> Result<(), RowsError> {
    let mut from = prefix.to_vec();
    loop {
        let page = rows.scan(table, prefix, &from, PAGE)?;
        for (key, value) in &page {
            if !visit(rows, key, value)? {
                return Ok(());
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(()),
        }
    }
}
