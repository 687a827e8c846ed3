//! Rows with changes on top that nobody else sees yet.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rows::{Change, Row, Rows, RowsError, Table};
use crate::codec;

/// Reads through to `base`, except for what was changed here.
pub struct Overlay<'a> {
    base: &'a dyn Rows,
    changed: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    order: Vec<(Table, Vec<u8>)>,
}

impl<'a> Overlay<'a> {
    /// Nothing changed yet.
    pub fn new(base: &'a dyn Rows) -> Self {
        Self { base, changed: BTreeMap::new(), order: Vec::new() }
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
        let slot = (table, key);
        if !self.changed.contains_key(&slot) {
            self.order.push(slot.clone());
        }
        self.changed.insert(slot, value);
    }
    /// The changes, each row once, in the order in which rows were first touched.
    pub fn into_changes(mut self) -> Vec<Change> {
        let take = |slot: (Table, Vec<u8>)| {
            let value = self.changed.remove(&slot).flatten();
            Change { table: slot.0, key: slot.1, value }
        };
        self.order.into_iter().map(take).collect()
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        match self.changed.get(&(table, key.to_vec())) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        let start = from.max(prefix).to_vec();
        let mine: Vec<_> = self
            .changed
            .range((table, start)..)
            .take_while(|((t, key), _)| *t == table && key.starts_with(prefix))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        // Rows removed here may hide that many of the base's.
        let hidden = mine.iter().filter(|(_, value)| value.is_none()).count();
        let mut rows: BTreeMap<_, _> =
            self.base.scan(table, prefix, from, limit.saturating_add(hidden))?.into_iter().collect();
        for (key, value) in mine {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        let mine = self.changed.range((table, prefix.to_vec())..);
        let mine: Vec<_> = mine.take_while(|((t, key), _)| *t == table && key.starts_with(prefix)).collect();
        let base = self.base.last(table, prefix)?;
        let hidden =
            base.as_ref().is_some_and(|(key, _)| self.changed.get(&(table, key.clone())).is_some_and(Option::is_none));
        if hidden {
            return Ok(self.scan(table, prefix, prefix, usize::MAX)?.pop());
        }
        let newest =
            mine.into_iter().rev().find_map(|((_, key), value)| value.as_ref().map(|v| (key.clone(), v.clone())));
        Ok(match (newest, base) {
            (Some(a), Some(b)) if b.0 > a.0 => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        })
    }
}
