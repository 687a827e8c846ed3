//! The views: rows derived from the journal, kept where they can be read in order.
//!
//! Owns the contract of a base (what lies below the overlay), in memory and in sled. A base holds the rows of whole frames only, and
//! says up to which frame. Must never be trusted: whatever it holds can be derived again.

pub(super) mod hashes;
pub(super) mod memory;
pub(super) mod sled;
pub(super) mod state;

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use serde::{Deserialize, Serialize};
use verbund_protocol::view::rows::{Row, RowsError, Table};

use super::fold::{FramePosition, Seq};

/// Shared bytes of a key or value: they stand in the overlay and on their way to the base at the same time.
pub(super) type Shared = Arc<[u8]>;

/// The last changes to rows in a run of whole frames: the new value, or `None` where the row goes away.
pub(super) type Batch = BTreeMap<Table, BTreeMap<Shared, Option<Shared>>>;

/// How far into the journal a base is: the last frame applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Where it stands.
    pub at: FramePosition,
    /// Where it ends.
    pub end: u64,
    /// Its number.
    pub seq: Seq,
    /// Its checksum, so that another frame at the same place is noticed.
    pub body: u32,
}

/// The base failed; it has to be built again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct ViewError(pub String);

/// Called with each row of a walk.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Rows below the overlay.
pub(super) trait Base: Send + Sync {
    /// The value at `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError>;

    /// Visits the rows whose key starts with `prefix` and is ≥ `from`, ascending.
    fn walk(&self, table: Table, prefix: &[u8], from: &[u8], visit: Visit<'_>) -> Result<(), RowsError>;

    /// The row with the highest key that starts with `prefix` and lies below `below`.
    fn last_below(&self, table: Table, prefix: &[u8], below: Option<&[u8]>) -> Result<Option<Row>, RowsError>;

    /// Applies `batch` and moves to `mark`, both or neither as far as a later opening can see.
    fn apply(&self, batch: &Batch, mark: &Mark) -> Result<(), ViewError>;

    /// How far the base is; `None` if it is empty.
    fn mark(&self) -> Option<Mark>;

    /// Hands what was applied to the system, so that a kill does not cost it.
    fn flush(&self) -> Result<(), ViewError>;

    /// Makes everything durable and lets go of all files; every later call fails.
    fn close(&self) -> Result<(), ViewError>;

    /// Sees to it that the next opening builds the base again.
    fn distrust(&self, reason: &str);
}
