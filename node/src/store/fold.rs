//! What the store asks of whoever understands the frames: deriving rows, and repeating what no peer can give back.
//!
//! Owns the contract and the admission rule for hash rows. Must never look into a frame.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::{Deserialize, Serialize};
use verbund_protocol::view::rows::{Change, Rows, RowsError, Table};

/// Number of a committed batch, rising from 1 over the whole journal. Frames written at a segment roll take numbers too, so the
/// numbers of two appends may lie more than one apart.
pub type Seq = u64;

/// Where a frame stands. Orders as the journal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FramePosition {
    /// Number of the segment file.
    pub segment: u32,
    /// Byte at which the frame (not its payload) starts in that file.
    pub offset: u64,
}

impl std::fmt::Display for FramePosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}+{}", self.segment, self.offset)
    }
}

/// Why no rows could be derived from a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The view could not be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The frame makes no sense to the fold, or its changes break a rule of the store.
    #[error("frame refused: {0}")]
    Refused(String),
}

/// Derives rows from journal frames. Pure and deterministic.
pub trait Fold: Send + Sync + 'static {
    /// The changes that `frame` (the payload of one committed batch), standing at `at`, makes to `rows`.
    ///
    /// Called once when the frame is appended and again whenever the view is rebuilt, with the same rows each time unless frames
    /// before it were damaged. Must not call the store.
    ///
    /// # Errors
    /// [`FoldError`]. When appending, nothing has then happened; when rebuilding, the frame is reported and skipped.
    fn fold(&self, rows: &dyn Rows, at: FramePosition, frame: &[u8]) -> Result<Vec<Change>, FoldError>;

    /// Frames that repeat all records which no peer could give back; written (and folded) at the start of each new segment, so
    /// that damage to old segments cannot lose them. Each at most [`super::FRAME_MAX_BYTES`]; an empty list is fine.
    ///
    /// # Errors
    /// [`FoldError`]. A refusal costs the repetition, not the append.
    fn carry(&self, rows: &dyn Rows) -> Result<Vec<Vec<u8>>, FoldError>;

    /// Number of the row schema: the view is rebuilt when it differs.
    fn schema(&self) -> u32;
}

/// Bytes of a key in [`Table::Hashes`]: log number (u32 BE) and hash index (u64 BE).
pub const HASH_KEY_BYTES: usize = 12;
/// Bytes of a value in [`Table::Hashes`].
pub const HASH_BYTES: usize = 32;

/// Log number and hash index of a key in [`Table::Hashes`].
pub(super) fn hash_key(key: &[u8]) -> Option<(u32, u64)> {
    let key: [u8; HASH_KEY_BYTES] = key.try_into().ok()?;
    let (log, index) = key.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*log), u64::from_be_bytes(index.try_into().ok()?)))
}

/// Checks that hash rows stay dense: a hash is appended at the end, replaced, or taken away from the end. They lie in flat files,
/// where a gap could not be told from a hash of zeros.
pub(super) fn check_hashes(rows: &dyn Rows, changes: &[Change]) -> Result<(), FoldError> {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for change in changes.iter().filter(|c| c.table == Table::Hashes) {
        let refuse = |why: &str| FoldError::Refused(format!("hash row {}: {why}", hex::encode(&change.key)));
        let (log, index) = hash_key(&change.key).ok_or_else(|| refuse("the key is not 12 bytes"))?;
        let count = match counts.entry(log) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let last = rows.last(Table::Hashes, &log.to_be_bytes())?.and_then(|(key, _)| hash_key(&key));
                new.insert(last.map_or(0, |(_, last)| last.saturating_add(1)))
            }
        };
        match &change.value {
            Some(value) if value.len() != HASH_BYTES => return Err(refuse("the value is not 32 bytes")),
            Some(_) if index > *count => return Err(refuse("it would leave a gap")),
            Some(_) => *count = (*count).max(index.saturating_add(1)),
            None if index.saturating_add(1) == *count => *count = index,
            None if index >= *count => {}
            None => return Err(refuse("only the last can be taken away")),
        }
    }
    Ok(())
}
