//! A node's disk: the journal of batches, and the view folded from it.

use std::collections::BTreeSet;

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
    /// Frames whose checksum is wrong: what was in them can be read no more.
    pub damaged: BTreeSet<usize>,
    fold: Fold,
}

impl Disk {
    /// The disk with this journal, its view rebuilt.
    pub fn open(journal: Vec<Vec<u8>>) -> Self {
        Self::open_damaged(journal, BTreeSet::new())
    }

    /// The same, some frames being damaged: the view is what the others say.
    pub fn open_damaged(journal: Vec<Vec<u8>>, damaged: BTreeSet<usize>) -> Self {
        let mut disk = Self { durable: journal.len(), damaged, ..Self::default() };
        for batch in journal {
            disk.fold(batch);
        }
        disk
    }

    /// The same disk once more; caches begin empty.
    pub fn copied(&self) -> Self {
        let Self { journal, durable, rows, damaged, .. } = self;
        let (journal, rows, damaged) = (journal.clone(), rows.clone(), damaged.clone());
        Self { journal, durable: *durable, rows, damaged, fold: Fold::default() }
    }

    pub fn append(&mut self, batch: Batch) {
        self.fold(batch.encode().unwrap());
    }

    fn fold(&mut self, bytes: Vec<u8>) {
        let frame = self.journal.len();
        if !self.damaged.contains(&frame) {
            let at = Position { segment: 0, offset: frame as u64 };
            let changes = self.fold.fold(&self.rows, at, &bytes).unwrap();
            self.rows.apply(changes);
        }
        self.journal.push(bytes);
    }

    /// A crash: of what was not durable, the first `survive` frames had reached the disk all the same, and the next one is torn:
    /// its checksum tells, and it is cut off. The view is kept where it says no more than the journal, else made again.
    pub fn crash(&mut self, survive: usize) {
        let keep = (self.durable + survive).min(self.journal.len());
        if keep < self.journal.len() {
            self.journal.truncate(keep);
            *self = Self::open_damaged(std::mem::take(&mut self.journal), std::mem::take(&mut self.damaged));
        }
        self.durable = keep;
        self.fold = Fold::default();
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
        let frame = usize::try_from(at.batch.offset).unwrap_or(usize::MAX);
        if self.damaged.contains(&frame) {
            return Err(RowsError(format!("frame {frame} is damaged")));
        }
        let (start, end) = (at.offset as usize, at.offset as usize + at.len as usize);
        let leaf = self.journal.get(frame).and_then(|bytes| bytes.get(start..end));
        leaf.map(<[u8]>::to_vec).ok_or_else(|| RowsError(format!("no leaf at {at:?}")))
    }
}
