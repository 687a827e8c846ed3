//! Checkpoints of logs as they are handed to others, and the tiles below them.
//!
//! Owns which notes the entries held lead to, with the cosignatures held of each, and what a tile holds. Signs nothing.
//!
//! SPEC: C2SP tlog-tiles.

use super::judge;
use super::rows::{Rows, RowsError, Table};
use super::state::{self, CosignedRow, EntryRow, LogHashes, LogRow, key};
use crate::core::View;
use crate::ids::{FederationId, PeerId, Sha256};
use crate::log::{Origin, SignedCheckpoint, note, tree};

/// Hashes or entries of a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Levels of tree that one level of tiles spans.
const TILE_HEIGHT: u8 = 8;
/// Tile levels of the largest log (2^53 entries): 0 to 6.
pub const TILE_LEVEL_MAX: u8 = 6;

/// Checkpoints of `log` that its entries held here lead to: the witnessed one, and the newest, with the cosignatures held of each.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn held(
    rows: &dyn Rows,
    federation: FederationId,
    log: &PeerId,
    row: &LogRow,
) -> Result<Vec<SignedCheckpoint>, RowsError> {
    let origin = Origin::new(federation, *log);
    let promises: Vec<CosignedRow> = state::list(rows, Table::Promises, &key::cosigned_of(log), usize::MAX)?;
    let witnessed = rows.get(Table::Promises, &key::witnessed(log))?.unwrap_or_default();
    let mut out = Vec::new();
    for bytes in [&witnessed, &row.note] {
        let Ok(opened) = note::open(bytes, origin, &|_| true) else { continue };
        let mut signed = opened.signed;
        let (size, root) = (signed.checkpoint().size, signed.checkpoint().root);
        if size > row.size() || !judge::root_matches(row, rows, size, root)? {
            continue;
        }
        for promise in promises.iter().filter(|p| p.size == size && p.root == root) {
            // One that does not verify is not worth failing for: it is left out.
            let _ = signed.add(promise.cosignature);
        }
        out.push(signed);
    }
    Ok(out)
}

/// The newest checkpoint of `log` that its entries held here lead to.
///
/// # Errors
/// As [`held`].
pub fn newest(rows: &dyn Rows, federation: FederationId, log: &PeerId) -> Result<Option<SignedCheckpoint>, RowsError> {
    let Some(row) = state::log(rows, log)? else { return Ok(None) };
    Ok(held(rows, federation, log, &row)?.into_iter().max_by_key(|signed| signed.checkpoint().size))
}

/// Which tile: `index` among those of its level, `width` its hashes or entries, 1 to [`TILE_WIDTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Level of hash tiles, or `None` for a bundle of entries.
    pub level: Option<u8>,
    /// Its place.
    pub index: u64,
    /// How much of it.
    pub width: u64,
}

impl Tile {
    /// Where its hashes or entries start on their level, if a log of `size` entries has them all.
    fn start(&self, size: u64) -> Option<u64> {
        let below = u32::from(self.level.unwrap_or_default()) * u32::from(TILE_HEIGHT);
        let start = self.index.checked_mul(TILE_WIDTH)?;
        let there = size.checked_shr(below).unwrap_or_default();
        let fits = (1..=TILE_WIDTH).contains(&self.width) && start.checked_add(self.width)? <= there;
        fits.then_some(start)
    }

    /// The hashes of a tile one after the other, or the entries, each after its length in two bytes, big-endian. `None` if the
    /// entries of the log that are held do not fill it.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails, or an entry's bytes cannot be read.
    pub fn read(&self, view: &dyn View, log: &PeerId) -> Result<Option<Vec<u8>>, RowsError> {
        let Some(row) = state::log(view, log)? else { return Ok(None) };
        let Some(start) = self.start(row.size()) else { return Ok(None) };
        match self.level {
            Some(level) => hashes(view, &row, level, start..start + self.width).map(Some),
            None => entries(view, &row, start..start + self.width).map(Some),
        }
    }
}

fn hashes(rows: &dyn Rows, row: &LogRow, level: u8, places: std::ops::Range<u64>) -> Result<Vec<u8>, RowsError> {
    use crate::log::tree::Hashes as _;
    let stored = LogHashes { rows, number: row.number };
    let mut out = Vec::new();
    for place in places {
        let at = tree::stored_index(level * TILE_HEIGHT, place).map_err(|e| RowsError(e.to_string()))?;
        let Sha256(hash) = stored.stored(at).map_err(|e| RowsError(e.to_string()))?;
        out.extend_from_slice(&hash);
    }
    Ok(out)
}

fn entries(view: &dyn View, row: &LogRow, places: std::ops::Range<u64>) -> Result<Vec<u8>, RowsError> {
    let mut out = Vec::new();
    for place in places {
        let entry: Option<EntryRow> = state::get(view, Table::Entries, &key::numbered(row.number, place))?;
        let entry = entry.ok_or_else(|| RowsError(format!("entry {place} is missing")))?;
        let leaf = view.leaf(entry.at)?;
        let len = u16::try_from(leaf.len()).map_err(|_| RowsError(format!("entry {place} is over a leaf's length")))?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&leaf);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_there_as_soon_as_the_log_fills_it_and_not_before() {
        let start = |level, index, width, size| Tile { level, index, width }.start(size);
        assert_eq!(start(Some(0), 0, 256, 256), Some(0));
        assert_eq!(start(Some(0), 0, 256, 255), None);
        assert_eq!(start(Some(0), 1, 1, 257), Some(256));
        assert_eq!(start(Some(1), 0, 1, 256), Some(0));
        assert_eq!(start(Some(1), 0, 1, 255), None);
        assert_eq!(start(Some(1), 0, 2, 511), None);
        assert_eq!(start(None, 2, 5, 517), Some(512));
        assert_eq!(start(None, 2, 6, 517), None);
        for width in [0, 257, u64::MAX] {
            assert_eq!(start(Some(0), 0, width, u64::MAX), None, "{width}");
        }
        assert_eq!(start(Some(0), u64::MAX, 1, u64::MAX), None);
        assert_eq!(start(Some(255), 0, 1, u64::MAX), None);
    }
}
