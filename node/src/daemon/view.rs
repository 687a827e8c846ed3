//! The core's view on this node's store: rows as they are folded, leaves as they stand in the journal.

use std::sync::Arc;

use verbund_protocol::core::View;
use verbund_protocol::view::ahead::Ahead;
use verbund_protocol::view::fold::{self, Fold};
use verbund_protocol::view::rows::{Change, Row, Rows, RowsError, Table};
use verbund_protocol::view::state::{LeafAt, Position, SCHEMA};

use crate::store::{self, FoldError, FramePosition, Store};

/// Hands the protocol's fold to the store.
#[derive(Debug, Default)]
pub struct ProtocolFold(Fold);

impl ProtocolFold {
    /// A fold that finds in `ahead` what was read before its turn.
    pub fn new(ahead: Arc<Ahead>) -> Self {
        Self(Fold::new(ahead))
    }
}

fn error(error: fold::FoldError) -> FoldError {
    match error {
        fold::FoldError::Rows(e) => FoldError::Rows(e),
        fold::FoldError::Codec(e) => FoldError::Refused(e.to_string()),
    }
}

impl store::Fold for ProtocolFold {
    fn fold(&self, rows: &dyn Rows, at: FramePosition, frame: &[u8]) -> Result<Vec<Change>, FoldError> {
        let at = Position { segment: at.segment, offset: at.offset };
        self.0.fold(rows, at, frame).map_err(error)
    }
    fn carry(&self, rows: &dyn Rows) -> Result<Vec<Vec<u8>>, FoldError> {
        self.0.carry(rows).map_err(error)
    }
    fn schema(&self) -> u32 {
        SCHEMA
    }
}

/// Rows and leaves of one store. Reading blocks: keep it off the runtime's threads.
#[derive(Clone)]
pub struct StoreView {
    store: Store,
    reader: store::Reader,
}

impl StoreView {
    /// The view of `store`.
    pub fn new(store: &Store) -> Arc<Self> {
        Arc::new(Self { store: store.clone(), reader: store.reader() })
    }
}

impl Rows for StoreView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.reader.get(table, key)
    }
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        self.reader.scan(table, prefix, from, limit)
    }
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        self.reader.last(table, prefix)
    }
}

impl View for StoreView {
    fn leaf(&self, at: LeafAt) -> Result<Vec<u8>, RowsError> {
        let batch = FramePosition { segment: at.batch.segment, offset: at.batch.offset };
        self.store.read(batch, at.offset, at.len).map(|bytes| bytes.to_vec()).map_err(|e| RowsError(e.to_string()))
    }
}
