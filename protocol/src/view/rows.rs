//! The contract between the folded views and whatever keeps them: ordered tables of small rows.
//!
//! Owns the table names and the reading contract. A row is derived from the journal and may be lost at any time: nothing is
//! true because it stands in a row. Implementations live in memory ([`MemoryRows`]) and in the node's store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A table of rows. The number is part of stored keys: append, never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Table {
    /// Single values: counters and cursors of the fold.
    Meta = 0,
    /// State of each log.
    Logs = 1,
    /// Position and judgement of each log entry.
    Entries = 2,
    /// Merkle tree hashes: key = log number (u32 BE) + stored hash index (u64 BE), value = 32 bytes. Dense from index 0 in each log.
    Hashes = 3,
    /// Certified charters by version.
    Charters = 4,
    /// Documents that stand outside of logs, by kind and id.
    Documents = 5,
    /// Releases by process and version.
    Releases = 6,
    /// What releases refer to an artifact.
    Artifacts = 7,
    /// Statements about releases and processes: withdrawals, deprecations, corrections, adoptions, transfers.
    Statements = 8,
    /// Own durable promises: cosigned sizes, ordering guard and messages.
    Promises = 9,
    /// Known peers: addresses, blocks, notes.
    Peers = 10,
    /// Local matters of this node: tickets, tokens, settings.
    Local = 11,
    /// Audit records by time.
    Audit = 12,
    /// Substring search text by release.
    Search = 13,
}

impl Table {
    /// All tables, in order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Meta,
        Self::Logs,
        Self::Entries,
        Self::Hashes,
        Self::Charters,
        Self::Documents,
        Self::Releases,
        Self::Artifacts,
        Self::Statements,
        Self::Promises,
        Self::Peers,
        Self::Local,
        Self::Audit,
        Self::Search,
    ];
}

/// A row changes or goes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub table: Table,
    /// Which row.
    pub key: Vec<u8>,
    /// The new value; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// A row as a scan returns it: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The view cannot be read: a fault of this node, never of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("view unreadable: {0}")]
pub struct RowsError(pub String);

/// Ordered reading. Keys compare as bytes. Readers see every change applied before their call, committed or not.
pub trait Rows {
    /// The value at `key`.
    ///
    /// # Errors
    /// [`RowsError`] if the underlying store fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError>;

    /// At most `limit` rows whose key starts with `prefix` and is ≥ `from` (pass the prefix itself or an empty slice to start at
    /// the first), ascending.
    ///
    /// # Errors
    /// [`RowsError`] if the underlying store fails.
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError>;

    /// The row with the highest key that starts with `prefix`.
    ///
    /// # Errors
    /// [`RowsError`] if the underlying store fails.
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError>;
}

/// Rows in memory: the simulator's store, and the reference for the contract tests.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryRows {
    /// Applies `changes` in order.
    pub fn apply(&mut self, changes: Vec<Change>) {
        for Change { table, key, value } in changes {
            let rows = self.tables.entry(table).or_default();
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
    }
}

impl Rows for MemoryRows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        Ok(self.tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        let Some(rows) = self.tables.get(&table) else { return Ok(Vec::new()) };
        let start = from.max(prefix).to_vec();
        Ok(rows
            .range(start..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect())
    }
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        let Some(rows) = self.tables.get(&table) else { return Ok(None) };
        let found = match end_of(prefix) {
            Some(end) => rows.range(prefix.to_vec()..end).next_back(),
            None => rows.range(prefix.to_vec()..).next_back(),
        };
        Ok(found.map(|(k, v)| (k.clone(), v.clone())))
    }
}

/// The first key after all that start with `prefix`; `None` if there is no such key.
pub fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
