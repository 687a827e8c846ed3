//! A base in memory: built from the journal at every start. For tests and small nodes.

use std::{
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
    sync::RwLock,
};

use verbund_protocol::view::rows::{Row, RowsError, Table, end_of};

use super::{Base, Batch, Mark, Shared, ViewError, Visit};
use crate::store::sync::{read, write};

type Tables = BTreeMap<Table, BTreeMap<Shared, Shared>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Memory {
    tables: RwLock<(Tables, Option<Mark>)>,
}

impl Base for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        Ok(read(&self.tables).0.get(&table).and_then(|rows| rows.get(key)).map(|value| value.to_vec()))
    }

    fn walk(&self, table: Table, prefix: &[u8], from: &[u8], visit: Visit<'_>) -> Result<(), RowsError> {
        let tables = read(&self.tables);
        let Some(rows) = tables.0.get(&table) else { return Ok(()) };
        for (key, value) in rows.range::<[u8], _>((Bound::Included(from.max(prefix)), Bound::Unbounded)) {
            if !key.starts_with(prefix) || visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn last_below(&self, table: Table, prefix: &[u8], below: Option<&[u8]>) -> Result<Option<Row>, RowsError> {
        let tables = read(&self.tables);
        let Some(rows) = tables.0.get(&table) else { return Ok(None) };
        let end = end_of(prefix);
        let bound = match (end.as_deref(), below) {
            (Some(end), Some(below)) => Bound::Excluded(end.min(below)),
            (Some(one), None) | (None, Some(one)) => Bound::Excluded(one),
            (None, None) => Bound::Unbounded,
        };
        if matches!(bound, Bound::Excluded(bound) if bound <= prefix) {
            return Ok(None);
        }
        let last = rows.range::<[u8], _>((Bound::Included(prefix), bound)).next_back();
        Ok(last.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn apply(&self, batch: &Batch, mark: &Mark) -> Result<(), ViewError> {
        let mut tables = write(&self.tables);
        for (table, changes) in batch {
            let rows = tables.0.entry(*table).or_default();
            for (key, value) in changes {
                match value {
                    Some(value) => drop(rows.insert(key.clone(), value.clone())),
                    None => drop(rows.remove(key)),
                }
            }
        }
        tables.1 = Some(*mark);
        Ok(())
    }

    fn mark(&self) -> Option<Mark> {
        read(&self.tables).1
    }

    fn flush(&self) -> Result<(), ViewError> {
        Ok(())
    }

    fn close(&self) -> Result<(), ViewError> {
        Ok(())
    }

    fn distrust(&self, _reason: &str) {}
}
