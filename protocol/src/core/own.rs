//! The own log: its first entries, the charters that it must carry, and what the member publishes.
//!
//! Owns the only place that signs checkpoints. Nothing is appended before the start rule allows it.

use super::api::{EventKind, Problem};
use super::{Cx, logs, succession};
use crate::charter::certificate::Certified;
use crate::documents::Kind;
use crate::envelope::Envelope;
use crate::ids::Sha256;
use crate::limits::GOSSIP_MAX_BYTES;
use crate::log::{Checkpoint, Origin, sign_checkpoint, tree};
use crate::record::Record;
use crate::view::charters;
use crate::view::judge;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, LogRow, Verdict, key};
use crate::wire::Gossip;

/// What the writing of the own log remembers between steps.
#[derive(Debug, Default)]
pub struct OwnLog {
    next_fresh_ms: u64,
}

impl OwnLog {
    /// Appends what the own log must carry: its first three entries, then every own identity and every charter in order.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn maintain(&mut self, cx: &mut Cx<'_>) -> Result<bool, RowsError> {
        if !cx.is_writer() {
            return Ok(false);
        }
        let Some(charter) = cx.charter.clone() else { return Ok(false) };
        let row = state::log(cx.view, &cx.own.node.peer())?;
        if row.as_ref().is_some_and(|row| row.orphan || row.end().is_some()) {
            return Ok(false);
        }
        let size = row.as_ref().map_or(0, LogRow::size);
        if size == 0 {
            let (Some(identity), Some(writer)) =
                (charter.identities.get(&cx.own.member), charter.writers.get(&cx.own.member))
            else {
                return Ok(false);
            };
            let identity = cx.view.get(Table::Documents, &key::identity(&identity.hash))?;
            let writer = cx.view.get(Table::Documents, &key::writer(&writer.hash))?;
            let (Some(identity), Some(writer)) = (identity, writer) else {
                return Err(RowsError("own identity or writer is missing".into()));
            };
            let leaf = charter_leaf(cx, charter.charter.version)?;
            self.append(cx, vec![identity, writer, leaf])?;
            return Ok(true);
        }
        let Some(row) = row else { return Ok(false) };
        if row.judged < row.size() {
            return Ok(false);
        }
        if let Some(identity) = next_identity(cx, &charter, &row)? {
            self.append(cx, vec![identity])?;
            return Ok(true);
        }
        if row.charter >= charter.charter.version {
            return Ok(false);
        }
        let leaves = (row.charter + 1..=charter.charter.version).take(16).map(|v| charter_leaf(cx, v));
        let leaves = leaves.collect::<Result<Vec<_>, _>>()?;
        self.append(cx, leaves)?;
        Ok(true)
    }

    /// Appends a signed document, if it would stand.
    ///
    /// # Errors
    /// `Err(Ok(problem))` says why it would not, `Err(Err(…))` is a fault of this node.
    pub fn publish(&mut self, cx: &mut Cx<'_>, leaf: Vec<u8>) -> Result<(u64, Sha256), Result<Problem, RowsError>> {
        let refused = |code, text: String| Ok(Problem::new(code, text));
        let envelope = Envelope::parse(&leaf).map_err(|e| refused("bad_document", e.to_string()))?;
        if matches!(
            Kind::of(&envelope),
            Kind::Charter | Kind::Unknown | Kind::Approval | Kind::Ordering | Kind::NodeInfo
        ) {
            return Err(refused(
                "bad_document",
                format!("a {} is not appended to a log by hand", Kind::of(&envelope).name()),
            ));
        }
        if !cx.is_writer() {
            return Err(refused(
                "not_writer",
                "this node does not write its member's log; publish on the node that does".into(),
            ));
        }
        let log = cx.own.node.peer();
        match judge::dry_run(cx.view, cx.charters, log, &leaf).map_err(Err)? {
            Verdict::Valid | Verdict::Kept => {}
            Verdict::Void(why) => {
                let forked = state::log(cx.view, &log).map_err(Err)?.is_some_and(|row| row.closed.forked);
                let text = if forked {
                    "this member's log is closed: it has forked, two copies of this node signed. A new writer has to be named with the root key".into()
                } else {
                    why
                };
                return Err(refused("would_be_void", text));
            }
            Verdict::Waiting => {
                return Err(refused("not_ready", "the own log is being brought up to date; try again".into()));
            }
        }
        let index = state::log(cx.view, &log).map_err(Err)?.map_or(0, |row| row.size());
        self.append(cx, vec![leaf]).map_err(Err)?;
        Ok((index, envelope.id()))
    }

    /// Appends leaves to the own log and signs its new checkpoint.
    ///
    /// # Errors
    /// [`RowsError`] if the tree cannot be computed: a fault of this node.
    pub fn append(&mut self, cx: &mut Cx<'_>, leaves: Vec<Vec<u8>>) -> Result<(), RowsError> {
        let log = cx.own.node.peer();
        let row = state::log(cx.view, &log)?.unwrap_or_else(|| LogRow::new(0));
        let first = row.size();
        let mut frontier = row.frontier.clone();
        let hashes: Vec<_> = leaves.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
        frontier.extend(&hashes).map_err(|e| RowsError(e.to_string()))?;
        let origin = Origin::new(cx.federation, log);
        let checkpoint =
            Checkpoint::new(origin, frontier.size(), frontier.root()).map_err(|e| RowsError(e.to_string()))?;
        let signed = sign_checkpoint(&cx.own.node, cx.federation, &checkpoint).map_err(|e| RowsError(e.to_string()))?;
        let note = signed.to_text().into_bytes();
        cx.record(Record::entries(log, first, leaves.clone()));
        cx.record(Record::Checkpoint { log, note: note.clone() });
        let pushed: usize = leaves.iter().map(Vec::len).sum();
        let leaves = if pushed + note.len() + 256 <= GOSSIP_MAX_BYTES { leaves } else { Vec::new() };
        cx.gossip(Gossip::Log { log, note, first, leaves });
        cx.event(EventKind::LogGrew { log, size: checkpoint.size });
        self.state_freshness(cx, &checkpoint);
        Ok(())
    }

    fn state_freshness(&mut self, cx: &mut Cx<'_>, checkpoint: &Checkpoint) {
        if let Some(cosignature) = logs::freshness(cx, checkpoint) {
            let (log, size, root) = (checkpoint.origin.peer, checkpoint.size, checkpoint.root);
            cx.gossip(Gossip::Cosigned { log, size, root, cosignature });
        }
        self.next_fresh_ms = cx.now.mono_ms + cx.set.freshness_ms;
    }

    /// States freshness again when it is time.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn tick(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        if cx.now.mono_ms < self.next_fresh_ms || !cx.is_writer() {
            return Ok(());
        }
        let log = cx.own.node.peer();
        if let Some(row) = state::log(cx.view, &log)?
            && let Ok(checkpoint) = Checkpoint::new(Origin::new(cx.federation, log), row.size(), row.frontier.root())
        {
            self.state_freshness(cx, &checkpoint);
        }
        Ok(())
    }
}

/// The own identity that follows the last one in the own log, if there is one: as it lies on this node, or as the charter pins it.
fn next_identity(cx: &Cx<'_>, charter: &Certified, row: &LogRow) -> Result<Option<Vec<u8>>, RowsError> {
    let pinned = charter.identities.get(&cx.own.member).map(|identity| identity.hash);
    let mut next = succession::own_identities_after(cx, &row.identity).first().cloned();
    if let Some(pinned) = pinned.filter(|hash| next.is_none() && Some(*hash) != row.identity) {
        let chain = succession::identity_chain(cx, &pinned, row.identity)?.unwrap_or_default();
        next = chain.into_iter().next();
    }
    let Some(next) = next else { return Ok(None) };
    // What would not move the log on is not appended, or it would be without end.
    let verdict = judge::dry_run(cx.view, cx.charters, cx.own.node.peer(), &next)?;
    Ok((verdict == Verdict::Valid).then_some(next))
}

/// The leaf by which a log carries the charter of `version`.
fn charter_leaf(cx: &Cx<'_>, version: u64) -> Result<Vec<u8>, RowsError> {
    let bundle = charters::bundles(cx.view, version, 1)?.pop();
    let bundle = bundle.ok_or_else(|| RowsError(format!("charter {version} is missing")))?;
    bundle.leaf().map(Envelope::into_bytes).map_err(|e| RowsError(e.to_string()))
}
