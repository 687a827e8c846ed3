//! One node without IO: a core, its journal, and the view folded from it.

use std::sync::Arc;

use verbund_protocol::core::{Core, Effect, Input, Now, Own, Settings, View};
use verbund_protocol::ids::FederationId;
use verbund_protocol::record::Batch;
use verbund_protocol::view::Fold;
use verbund_protocol::view::rows::{MemoryRows, Row, Rows, RowsError, Table};
use verbund_protocol::view::state::{LeafAt, Position};

/// Steps that may follow from one input.
const SETTLE_MAX: usize = 200;

/// A journal and the view folded from it.
#[derive(Clone, Default)]
pub struct Disk {
    journal: Vec<Arc<Vec<u8>>>,
    rows: MemoryRows,
}

impl Disk {
    /// Commits a batch.
    ///
    /// # Panics
    /// If the fold refuses what the core recorded.
    pub fn append(&mut self, fold: &Fold, batch: Batch) {
        let bytes = batch.encode().expect("a batch that the core makes can be written");
        let at = Position { segment: 0, offset: self.journal.len() as u64 };
        let changes = fold.fold(&self.rows, at, &bytes).expect("a batch that the core makes can be folded");
        self.rows.apply(changes);
        self.journal.push(Arc::new(bytes));
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

/// One core and its disk.
pub struct Node {
    pub own: Own,
    pub federation: FederationId,
    pub disk: Disk,
    fold: Fold,
    core: Core,
}

impl Node {
    /// Starts on `disk`.
    pub fn start(own: Own, federation: FederationId, disk: Disk, now: Now) -> Self {
        let core = Core::new(own.clone(), Settings::default(), federation, false, now, &disk).unwrap();
        Self { own, federation, disk, fold: Fold::default(), core }
    }

    /// The process ends and begins anew on its disk.
    pub fn restart(&mut self, now: Now) {
        self.fold = Fold::default();
        self.core = Core::new(self.own.clone(), Settings::default(), self.federation, false, now, &self.disk).unwrap();
    }

    /// One input and what follows from it; all effects, and records committed.
    ///
    /// # Panics
    /// If the core fails, never settles, or records what cannot be folded.
    pub fn step(&mut self, now: Now, input: Input) -> (Vec<Effect>, usize) {
        let (mut effects, mut records, mut input) = (Vec::new(), 0, input);
        for turn in 0.. {
            assert!(turn < SETTLE_MAX, "the core never settles");
            let step = self
                .core
                .step(now, input, &self.disk)
                .expect("nothing that comes from outside is a fault of this node");
            effects.extend(step.effects);
            if step.batch.is_empty() {
                break;
            }
            records += step.batch.records.len();
            self.disk.append(&self.fold, step.batch);
            input = Input::Applied;
        }
        (effects, records)
    }

    /// Refusals counted so far.
    pub fn refusals(&self) -> u64 {
        self.core.counts().values().sum()
    }
}
