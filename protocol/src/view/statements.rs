//! Statements about processes other than withdrawals: corrections, deprecations, adoptions, transfers, advisories.
//!
//! Owns how they are kept. Any number of them holds at a time, so none is elected: each entry has a row of its own, with its place,
//! and whether it is below the end of its log is seen when it is read.

use std::collections::BTreeMap;

use super::overlay::Overlay;
use super::rows::{Rows, RowsError, Table};
use super::state::{self, LogRow, Place, key};
use crate::ids::{MemberId, PeerId, Sha256, Slug};

/// Rows read at once.
const PAGE: usize = 512;

/// Notes a statement about the process `slug` of `owner`: an envelope, by the hash of its payload.
pub fn note(rows: &mut Overlay<'_>, owner: &MemberId, slug: &Slug, id: &Sha256, place: Place, envelope: &[u8]) {
    let main = key::statement(owner, slug, id);
    rows.put(Table::Statements, key::stated(&main, place), envelope.to_vec());
    rows.put(Table::Statements, key::claim_at(&place.log, place.index), main);
}

/// Reads what was said about a process, each statement once, in the order of their hashes, until `visit` says that it is enough:
/// at most `limit` of them.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn about(
    rows: &dyn Rows,
    owner: &MemberId,
    slug: &Slug,
    limit: usize,
    mut visit: impl FnMut(&[u8]) -> bool,
) -> Result<(), RowsError> {
    let prefix = key::statements(owner, slug);
    let mut from = prefix.clone();
    let mut logs: BTreeMap<PeerId, Option<LogRow>> = BTreeMap::new();
    let mut last: Option<Vec<u8>> = None;
    let mut read = 0;
    loop {
        let page = rows.scan(Table::Statements, &prefix, &from, PAGE)?;
        for (at, envelope) in &page {
            let place = key::place_of(at).ok_or_else(|| RowsError("statement key".into()))?;
            let main = key::stated_main(at).ok_or_else(|| RowsError("statement key".into()))?;
            let log = match logs.get(&place.log) {
                Some(log) => log,
                None => &*logs.entry(place.log).or_insert(state::log(rows, &place.log)?),
            };
            if last.as_deref() == Some(main) || !log.as_ref().is_some_and(|log| log.counts(place.index)) {
                continue;
            }
            last = Some(main.to_vec());
            if read == limit || !visit(envelope) {
                return Ok(());
            }
            read += 1;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(()),
        }
    }
}
