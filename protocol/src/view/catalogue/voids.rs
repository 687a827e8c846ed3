//! Entries that have no effect, with their reasons: what a publisher must see of its own log.
//!
//! Owns the reading only. A void entry is listed for whoever operates a node; nobody else is shown it.

use super::Catalogue;
use crate::ids::{MemberId, PeerId, Slug};
use crate::limits::VOIDS_SCANNED_MAX;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, EntryRow, LeafAt, LogRow, Verdict, VoidRow, key};

/// A void entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Void {
    /// Its log.
    pub log: PeerId,
    /// Its place there.
    pub index: u64,
    /// Whose log it is; `None` if it does not start as a log must.
    pub owner: Option<MemberId>,
    /// The kind of document that it says it is.
    pub kind: String,
    /// Of a release that can be read: the owner, process and version that it names.
    pub release: Option<(MemberId, Slug, String)>,
    /// Why it is void.
    pub reason: String,
    /// Where its bytes stand.
    pub at: Option<LeafAt>,
}

impl Catalogue<'_> {
    /// At most `limit` void entries of a log, ascending, from behind `after` on.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn voids(&self, log: &PeerId, after: Option<u64>, limit: usize) -> Result<Vec<Void>, RowsError> {
        let Some(row) = self.logs.get(log) else { return Ok(Vec::new()) };
        let from = after.map_or(Some(0), |index| index.checked_add(1));
        let Some(from) = from else { return Ok(Vec::new()) };
        let end = row.end().map_or(row.size(), |end| end.min(row.size()));
        let mut out = Vec::new();
        if from < end {
            for (at, value) in self.rows.scan(Table::Logs, &key::voids_of(log), &key::void(log, from), limit)? {
                let index = at.last_chunk::<8>().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
                if index < end {
                    out.push(self.void_at(log, row, index, Some(state::decode(&value)?))?);
                }
            }
        }
        // What lies beyond the end is void, whatever it was before the log was closed.
        for index in from.max(end)..row.size() {
            if out.len() >= limit {
                break;
            }
            out.push(self.void_at(log, row, index, state::get(self.rows, Table::Logs, &key::void(log, index))?)?);
        }
        Ok(out)
    }

    /// Void releases that name this process, of all logs of its owner: at most `limit`.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn voids_of(&self, member: &MemberId, slug: &Slug, limit: usize) -> Result<Vec<Void>, RowsError> {
        let mut out = Vec::new();
        for (log, _) in self.logs.iter().filter(|(_, row)| row.owner == Some(*member)) {
            let voids = self.voids(log, None, VOIDS_SCANNED_MAX)?;
            let named = |void: &Void| void.release.as_ref().is_some_and(|(m, s, _)| m == member && s == slug);
            out.extend(voids.into_iter().filter(named).take(limit.saturating_sub(out.len())));
        }
        Ok(out)
    }

    fn void_at(&self, log: &PeerId, row: &LogRow, index: u64, known: Option<VoidRow>) -> Result<Void, RowsError> {
        let claimed = self.rows.get(Table::Releases, &key::release_at(log, index))?;
        let release = claimed.and_then(|main| key::release_parts(&main));
        let kind = if release.is_some() { "release" } else { "entry" }.to_owned();
        let VoidRow { kind, release } = known.unwrap_or(VoidRow { kind, release });
        let entry: Option<EntryRow> = state::get(self.rows, Table::Entries, &key::numbered(row.number, index))?;
        let at = entry.as_ref().map(|entry| entry.at);
        let reason = match (entry.map(|entry| entry.verdict), row.end()) {
            (_, Some(end)) if index >= end => format!("it lies beyond the end of its log, which is at {end}"),
            (Some(Verdict::Void(reason)), _) => reason,
            _ => "it has no effect".to_owned(),
        };
        Ok(Void { log: *log, index, owner: row.owner, kind, release, reason, at })
    }
}
