//! Where this node stands, kept for comparison with others.
//!
//! Owns a cache of digests and nothing else. What was recorded says what is stale; only that is read again, so that neither a
//! poll nor a step costs more with every entry ever logged.

use std::collections::{BTreeMap, BTreeSet};

use super::serve::{self, Digests};
use super::{Cx, replicate};
use crate::ids::PeerId;
use crate::record::{Local, Record};
use crate::view::rows::RowsError;
use crate::view::state;
use crate::wire::SignedHoldings;
use crate::wire::sync::{LogStatus, Status};

/// The cache.
#[derive(Debug, Default)]
pub struct Standing {
    logs: BTreeMap<PeerId, LogStatus>,
    forked: BTreeSet<PeerId>,
    /// Logs to be read again.
    stale: BTreeSet<PeerId>,
    /// All logs were read once.
    complete: bool,
    digests: Option<Digests>,
    holdings: Option<Option<SignedHoldings>>,
    gated: bool,
    /// Nothing was recorded since others were last compared with that could let more be asked of them.
    still: bool,
    /// Where logs that have forked were said to end.
    ends: BTreeMap<PeerId, Option<u64>>,
}

impl Standing {
    /// Notes what the records of a step make stale.
    pub fn note(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Entries { log, .. } | Record::Reset { log } => {
                    self.stale.insert(*log);
                    self.holdings = None;
                    self.still = false;
                }
                Record::Checkpoint { log, .. } | Record::Cosigned { log, .. } | Record::Witnessed { log, .. } => {
                    self.stale.insert(*log);
                }
                Record::Fork { log, .. } => {
                    self.stale.insert(*log);
                    self.digests = None;
                    self.holdings = None;
                    self.still = false;
                }
                Record::Ordering(_) => self.digests = None,
                Record::Document(_) => {
                    self.digests = None;
                    self.gated = false;
                }
                Record::Local(Local::Held { .. } | Local::Lost { .. }) => self.holdings = None,
                Record::Local(Local::Peer(_) | Local::PeerRemoved(_)) => self.gated = false,
                Record::Charter(_) | Record::Row { .. } => {
                    *self = Self { ends: std::mem::take(&mut self.ends), ..Self::default() };
                }
                Record::Local(_) | Record::Audit(_) => {}
            }
        }
    }

    /// Reads again what is stale.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn refresh(&mut self, cx: &Cx<'_>) -> Result<(), RowsError> {
        if !self.complete {
            self.stale.extend(state::logs(cx.view)?.into_iter().map(|(log, _)| log));
            self.complete = true;
        }
        for log in std::mem::take(&mut self.stale) {
            let Some(row) = state::log(cx.view, &log)? else { continue };
            let status = serve::log_status(cx.view, cx.charter.as_deref(), cx.own, log, &row)?;
            self.logs.insert(log, status);
            if row.closed.forked {
                self.forked.insert(log);
            }
        }
        Ok(())
    }

    /// What was known before this process began, so that it is not told once more.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn load(view: &dyn super::View) -> Result<Self, RowsError> {
        let forked = state::logs(view)?.into_iter().filter(|(_, row)| row.closed.forked);
        Ok(Self { ends: forked.map(|(log, row)| (log, row.end())).collect(), ..Self::default() })
    }

    /// Notes where a log that has forked ends. Says whether that is news.
    pub fn ends_at(&mut self, log: PeerId, end: Option<u64>) -> bool {
        self.ends.insert(log, end) != Some(end)
    }

    /// One log, as of the last refresh.
    pub fn log(&self, log: &PeerId) -> Option<&LogStatus> {
        self.logs.get(log)
    }

    /// Whether a log has forked, as of the last refresh.
    pub fn forked(&self, log: &PeerId) -> bool {
        self.forked.contains(log)
    }

    /// The digests.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn digests(&mut self, cx: &Cx<'_>) -> Result<Digests, RowsError> {
        if let Some(digests) = self.digests {
            return Ok(digests);
        }
        let digests = Digests::read(cx.view, cx.charter.as_deref())?;
        self.digests = Some(digests);
        Ok(digests)
    }

    /// The signed statement of what is held; the same until that changes.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn holdings(&mut self, cx: &Cx<'_>) -> Result<Option<SignedHoldings>, RowsError> {
        if let Some(held) = &self.holdings {
            return Ok(held.clone());
        }
        let statement = replicate::statement(cx)?;
        self.holdings = Some(statement.clone());
        Ok(statement)
    }

    /// The whole status.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn status(&mut self, cx: &Cx<'_>, recovering: bool) -> Result<Status, RowsError> {
        self.refresh(cx)?;
        let logs = self.logs.values().cloned().collect();
        let mut status = self.digests(cx)?.status(cx.now, cx.charter.as_deref(), logs, recovering);
        status.holdings = self.holdings(cx)?.as_ref().map(serve::holdings_digest).unwrap_or_default();
        Ok(status)
    }

    /// Whether others are worth comparing with again; it is taken to be done now.
    pub fn take_moved(&mut self) -> bool {
        !std::mem::replace(&mut self.still, true)
    }

    /// Whether whom to let in must be worked out again; it is taken to be done now.
    pub fn take_gate(&mut self) -> bool {
        !std::mem::replace(&mut self.gated, true)
    }
}
