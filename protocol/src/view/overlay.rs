//! Rows with changes on top that nobody else sees yet.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use serde::Serialize;

use super::rows::{Change, Row, Rows, RowsError, Table, end_of};
use crate::codec;

/// A row that was changed, with its turn among the changes.
#[derive(Debug, Clone)]
struct Slot {
    turn: usize,
    value: Option<Vec<u8>>,
}

/// Reads through to `base`, except for what was changed here.
pub struct Overlay<'a> {
    base: &'a dyn Rows,
    changed: BTreeMap<Table, BTreeMap<Vec<u8>, Slot>>,
    turns: usize,
}

impl<'a> Overlay<'a> {
    /// Nothing changed yet.
    pub fn new(base: &'a dyn Rows) -> Self {
        Self { base, changed: BTreeMap::new(), turns: 0 }
    }
    /// Sets a row to raw bytes.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.set(table, key, Some(value));
    }
    /// Sets a row to an encoded value.
    ///
    /// # Errors
    /// [`RowsError`] if the value cannot be encoded.
    pub fn store<T: Serialize>(&mut self, table: Table, key: Vec<u8>, value: &T) -> Result<(), RowsError> {
        let bytes = codec::encode(value).map_err(|e| RowsError(format!("row: {e}")))?;
        self.put(table, key, bytes);
        Ok(())
    }
    /// Removes a row.
    pub fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.set(table, key, None);
    }
    fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        match self.changed.entry(table).or_default().entry(key) {
            Entry::Occupied(mut slot) => slot.get_mut().value = value,
            Entry::Vacant(slot) => {
                slot.insert(Slot { turn: self.turns, value });
                self.turns += 1;
            }
        }
    }
    /// The changes, each row once, in the order in which rows were first touched.
    pub fn into_changes(self) -> Vec<Change> {
        let rows = self.changed.into_iter().flat_map(|(table, rows)| rows.into_iter().map(move |row| (table, row)));
        let mut changes: Vec<_> =
            rows.map(|(table, (key, slot))| (slot.turn, Change { table, key, value: slot.value })).collect();
        changes.sort_unstable_by_key(|(turn, _)| *turn);
        changes.into_iter().map(|(_, change)| change).collect()
    }
    /// Changed rows of a table from `start` on, under `prefix`.
    fn mine<'b>(
        &'b self,
        table: Table,
        prefix: &'b [u8],
        start: &'b [u8],
    ) -> impl DoubleEndedIterator<Item = (&'b Vec<u8>, &'b Option<Vec<u8>>)> {
        let end = end_of(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        let rows =
            self.changed.get(&table).filter(|_| !matches!(&end, Bound::Excluded(end) if end.as_slice() <= start));
        rows.into_iter()
            .flat_map(move |rows| {
                let end = match &end {
                    Bound::Excluded(end) => Bound::Excluded(end.as_slice()),
                    _ => Bound::Unbounded,
                };
                rows.range::<[u8], _>((Bound::Included(start), end))
            })
            .map(|(key, slot)| (key, &slot.value))
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        match self.changed.get(&table).and_then(|rows| rows.get(key)) {
            Some(slot) => Ok(slot.value.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        let mine: Vec<_> = self.mine(table, prefix, from.max(prefix)).collect();
        // Rows removed here may hide that many of the base's.
        let hidden = mine.iter().filter(|(_, value)| value.is_none()).count();
        let base = self.base.scan(table, prefix, from, limit.saturating_add(hidden))?;
        if mine.is_empty() {
            return Ok(base);
        }
        let mut rows: BTreeMap<_, _> = base.into_iter().collect();
        for (key, value) in mine {
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        let base = self.base.last(table, prefix)?;
        let hidden = base.as_ref().is_some_and(|(key, _)| {
            self.changed.get(&table).and_then(|rows| rows.get(key)).is_some_and(|slot| slot.value.is_none())
        });
        if hidden {
            return Ok(self.scan(table, prefix, prefix, usize::MAX)?.pop());
        }
        let mut mine = self.mine(table, prefix, prefix).rev();
        let newest = mine.find_map(|(key, value)| value.as_ref().map(|value| (key.clone(), value.clone())));
        Ok(match (newest, base) {
            (Some(a), Some(b)) if b.0 > a.0 => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        })
    }
}
