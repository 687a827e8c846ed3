//! Void entries: whose they are, and telling of them when they come.
//!
//! Owns how far each log was looked through, which a restart may forget: what was void before is shown by the rows, not told
//! again. Decides nothing: the judgement is the view's.

use std::collections::{BTreeMap, BTreeSet};

use super::Cx;
use super::api::EventKind;
use crate::ids::PeerId;
use crate::record::Record;
use crate::view::rows::RowsError;
use crate::view::state;

/// Void entries of one log that are told one by one in a step; a log full of them must not drown all other events.
const TOLD_MAX: usize = 16;
/// Void entries of one log that are counted in a step.
const COUNTED_MAX: usize = 4_096;

/// What was looked at.
#[derive(Debug, Default)]
pub struct Voids {
    looked: BTreeMap<PeerId, u64>,
    moved: BTreeSet<PeerId>,
    /// Logs may have moved that no record names.
    all: bool,
    begun: bool,
}

impl Voids {
    /// Notes what the records of a step may have moved.
    pub fn note(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Entries { log, .. } => drop(self.moved.insert(*log)),
                Record::Reset { log } => drop(self.looked.insert(*log, 0)),
                // Entries that waited for it are judged now.
                Record::Charter(_) | Record::Row { .. } => self.all = true,
                _ => {}
            }
        }
    }

    /// Tells of entries that became void since the last look.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn tell(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        if !self.begun {
            self.looked = state::logs(cx.view)?.into_iter().map(|(log, row)| (log, row.judged)).collect();
            self.begun = true;
            // What the first step recorded is part of it.
            (self.moved, self.all) = (BTreeSet::new(), false);
            return Ok(());
        }
        let mut logs = std::mem::take(&mut self.moved);
        if std::mem::take(&mut self.all) {
            logs.extend(state::logs(cx.view)?.into_iter().map(|(log, _)| log));
        }
        for log in logs {
            let Some(row) = state::log(cx.view, &log)? else { continue };
            let from = self.looked.insert(log, row.judged).unwrap_or(0);
            if row.judged <= from {
                continue;
            }
            let found = state::voids(cx.view, &log, from, COUNTED_MAX)?;
            let count = found.len();
            cx.count(Some(log), "entry_void", count as u64);
            for (number, (index, mut reason)) in (1..).zip(found.into_iter().take(TOLD_MAX)) {
                if number == TOLD_MAX && count > TOLD_MAX {
                    reason = format!("{reason}; {} more follow it", count - TOLD_MAX);
                }
                cx.event(EventKind::EntryVoid { log, index, reason });
            }
        }
        Ok(())
    }
}
