//! The overlay: rows of frames that have not reached the base yet, and reading across both.
//!
//! Owns atomicity for readers. Rows enter the overlay frame by frame under the write lock, and leave it after the base holds them. A
//! reader holds the read lock while it looks at both, so what the base takes in meanwhile is masked by equal or newer rows.

use std::{
    collections::BTreeMap,
    iter::Peekable,
    ops::{Bound, ControlFlow},
    sync::{Arc, RwLock},
};

use verbund_protocol::view::rows::{Change, Row, Rows, RowsError, Table};

use super::{
    fold::Seq,
    sync::{read, write},
    view::{Base, Batch, Shared},
};

/// Memory that a row in the overlay takes beside its key and value, in bytes: map slots, counters and its place in the queue.
const ROW_OVERHEAD_BYTES: u64 = 160;

/// A row of a frame on its way to the base.
pub(super) struct RowChange {
    pub table: Table,
    pub key: Shared,
    pub value: Option<Shared>,
}

impl RowChange {
    /// Shares the bytes of `changes`.
    pub(super) fn share(changes: Vec<Change>) -> Vec<Self> {
        let share = |c: Change| Self { table: c.table, key: c.key.into(), value: c.value.map(Into::into) };
        changes.into_iter().map(share).collect()
    }

    /// Bytes of memory it takes.
    pub(super) fn weight(&self) -> u64 {
        ROW_OVERHEAD_BYTES + (self.key.len() + self.value.as_ref().map_or(0, |value| value.len())) as u64
    }
}

struct Slot {
    seq: Seq,
    value: Option<Shared>,
}

type Slots = BTreeMap<Shared, Slot>;

#[derive(Default)]
struct Layer {
    tables: BTreeMap<Table, Slots>,
}

/// Base and overlay.
pub(super) struct Views {
    pub base: Box<dyn Base>,
    layer: RwLock<Layer>,
}

impl Views {
    pub(super) fn new(base: Box<dyn Base>) -> Self {
        Self { base, layer: RwLock::default() }
    }

    /// Makes the rows of frame `seq` visible, all at once.
    pub(super) fn show(&self, seq: Seq, changes: &[RowChange]) {
        let mut layer = write(&self.layer);
        for RowChange { table, key, value } in changes {
            layer.tables.entry(*table).or_default().insert(key.clone(), Slot { seq, value: value.clone() });
        }
    }

    /// Whether the base holds everything.
    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        read(&self.layer).tables.values().all(BTreeMap::is_empty)
    }

    /// Forgets rows that the base holds: those of `batch` which no frame after `seq` changed.
    pub(super) fn settle(&self, seq: Seq, batch: &Batch) {
        let mut layer = write(&self.layer);
        for (table, rows) in batch {
            let Some(slots) = layer.tables.get_mut(table) else { continue };
            for key in rows.keys() {
                if slots.get(key).is_some_and(|slot| slot.seq <= seq) {
                    slots.remove(key);
                }
            }
        }
    }
}

/// Reads the rows of all frames appended before each call. Cheap to clone.
#[derive(Clone)]
pub struct Reader(pub(super) Arc<Views>);

impl Reader {
    /// Calls `look` with rows that stay the same until it returns: several reads see the same frames.
    ///
    /// Appends wait meanwhile: be short, and use nothing of the store but these rows, or it locks up.
    pub fn consistent<T>(&self, look: impl FnOnce(&dyn Rows) -> T) -> T {
        let layer = read(&self.0.layer);
        look(&Held { base: self.0.base.as_ref(), layer: &layer })
    }
}

impl Rows for Reader {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.consistent(|rows| rows.get(table, key))
    }
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        self.consistent(|rows| rows.scan(table, prefix, from, limit))
    }
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        self.consistent(|rows| rows.last(table, prefix))
    }
}

/// Base and overlay under the read lock.
struct Held<'a> {
    base: &'a dyn Base,
    layer: &'a Layer,
}

impl Held<'_> {
    fn slots(&self, table: Table) -> Option<&Slots> {
        self.layer.tables.get(&table).filter(|slots| !slots.is_empty())
    }
}

impl Rows for Held<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        match self.slots(table).and_then(|slots| slots.get(key)) {
            Some(slot) => Ok(slot.value.as_ref().map(|value| value.to_vec())),
            None => self.base.get(table, key),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        let start = from.max(prefix);
        let empty = Slots::new();
        let slots = self.slots(table).unwrap_or(&empty);
        let mut over = slots
            .range::<[u8], _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .peekable();
        self.base.walk(table, prefix, from, &mut |key, value| {
            emit(&mut over, Some(key), limit, &mut rows);
            if rows.len() < limit {
                match over.next_if(|(over, _)| ***over == *key) {
                    Some((_, Slot { value: Some(value), .. })) => rows.push((key.to_vec(), value.to_vec())),
                    Some((_, Slot { value: None, .. })) => {}
                    None => rows.push((key.to_vec(), value.to_vec())),
                }
            }
            if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        emit(&mut over, None, limit, &mut rows);
        Ok(rows)
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        let Some(slots) = self.slots(table) else { return self.base.last_below(table, prefix, None) };
        let end = verbund_protocol::view::rows::end_of(prefix);
        let bound = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let over = slots
            .range::<[u8], _>((Bound::Included(prefix), bound))
            .rev()
            .find_map(|(key, slot)| slot.value.as_ref().map(|value| (key, value)));
        let mut below: Option<Vec<u8>> = None;
        let under = loop {
            let Some((key, value)) = self.base.last_below(table, prefix, below.as_deref())? else { break None };
            match slots.get(key.as_slice()) {
                Some(slot) if slot.value.is_none() => below = Some(key),
                // A row that is changed above is found there.
                Some(_) => break None,
                None => break Some((key, value)),
            }
        };
        Ok(match (over, under) {
            (Some((key, _)), Some(under)) if **key < *under.0 => Some(under),
            (Some((key, value)), _) => Some((key.to_vec(), value.to_vec())),
            (None, under) => under,
        })
    }
}

/// Moves rows of the overlay that stand before `until` to `rows`.
fn emit<'a>(
    over: &mut Peekable<impl Iterator<Item = (&'a Shared, &'a Slot)>>,
    until: Option<&[u8]>,
    limit: usize,
    rows: &mut Vec<Row>,
) {
    while rows.len() < limit {
        let Some((key, slot)) = over.next_if(|(key, _)| until.is_none_or(|until| ***key < *until)) else { break };
        if let Some(value) = &slot.value {
            rows.push((key.to_vec(), value.to_vec()));
        }
    }
}
