//! A node's disk: the journal of batches, and the view folded from it.

use verbund_protocol::core::View;
use verbund_protocol::record::Batch;
use verbund_protocol::view::Fold;
use verbund_protocol::view::rows::{MemoryRows, Row, Rows, RowsError, Table};
use verbund_protocol::view::state::{LeafAt, Position};

/// Journal and view. Batches from `durable` on are lost in a crash.
#[derive(Default)]
pub struct Disk {
    pub journal: Vec<Vec<u8>>,
    pub durable: usize,
    pub rows: MemoryRows,
    fold: Fold,
}

impl Disk {
    /// The disk with this journal, its view rebuilt.
    pub fn open(journal: Vec<Vec<u8>>) -> Self {
        let mut disk = Self { durable: journal.len(), ..Self::default() };
        for batch in journal {
            disk.fold(batch);
        }
        disk
    }

    pub fn append(&mut self, batch: Batch) {
        self.fold(batch.encode().unwrap());
    }

    fn fold(&mut self, bytes: Vec<u8>) {
        let at = Position { segment: 0, offset: self.journal.len() as u64 };
        let changes = self.fold.fold(&self.rows, at, &bytes).unwrap();
        self.rows.apply(changes);
        self.journal.push(bytes);
    }

    /// What a crash leaves.
    pub fn crashed(&self) -> Self {
        Self::open(self.journal[..self.durable].to_vec())
    }
}

impl Rows for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.rows.get(table, key)
    }
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        self.rows.scan(table, prefix, from, limit)
    }
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        self.rows.last(table, prefix)
    }
}

impl View for Disk {
    fn leaf(&self, at: LeafAt) -> Result<Vec<u8>, RowsError> {
        let batch = usize::try_from(at.batch.offset).ok().and_then(|n| self.journal.get(n));
        let (start, end) = (at.offset as usize, at.offset as usize + at.len as usize);
        let leaf = batch.and_then(|bytes| bytes.get(start..end));
        leaf.map(<[u8]>::to_vec).ok_or_else(|| RowsError(format!("no leaf at {at:?}")))
    }
}
