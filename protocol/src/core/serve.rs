//! Answers to sync requests: pure reading, also beside the core's loop.
//!
//! Owns what is shown to whom. Callers wait until what was read is durable before they send it.

use std::collections::BTreeSet;

use sha2::Digest as _;

use super::View;
use super::api::{Now, Own};
use crate::charter::certificate::Certified;
use crate::codec;
use crate::documents::{Document as _, Ordering};
use crate::envelope::Envelope;
use crate::ids::PeerId;
use crate::limits::{
    ANSWER_CHARTERS_MAX, ANSWER_PARTS_MAX, ANSWER_PROMISES_MAX, ENTRIES_MAX, ENTRIES_MAX_BYTES, FRAME_MAX_BYTES,
    HOLDINGS_LOGS_MAX,
};
use crate::log::{ConsistencyProof, ForkProof};
use crate::record::OrderingBundle;
use crate::view::charters::{self, Charters};
use crate::view::rows::{Rows, RowsError, Table};
use crate::view::state::{self, CosignedRow, EntryRow, LogHashes, LogRow, key};
use crate::wire::SignedHoldings;
use crate::wire::sync::{Entries, LogStatus, Mine, Notes, Promise, Refusal, Request, Response, Status};

/// Bytes that an answer of many parts may have.
pub const PARTS_MAX_BYTES: usize = FRAME_MAX_BYTES - (64 << 10);
/// Cosigners of one log: every node of every member.
const PROMISES_MAX: usize = ANSWER_PROMISES_MAX;
/// Rows under one digest.
const DIGEST_ROWS_MAX: usize = 16_384;

/// Answers `request` of the node `asker`. `None` for holdings, which only the core knows.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn answer(
    view: &dyn View,
    charters: &Charters,
    own: &Own,
    now: Now,
    recovering: bool,
    asker: PeerId,
    request: &Request,
) -> Result<Option<Response>, RowsError> {
    Ok(Some(match request {
        Request::Status => Response::Status(status(view, charters, own, now, recovering)?),
        Request::Entries { log, from } => entries(view, *log, *from)?,
        Request::Consistency { log, from, to } => consistency(view, *log, *from, *to)?,
        Request::Charters { from } => Response::Charters(charters_from(view, *from)?),
        Request::Approvals => {
            let version = state::meta(view)?.charter;
            Response::Documents(documents(view, &key::approvals(version))?)
        }
        Request::Nodes => Response::Documents(nodes(view, charters.newest(view)?.as_deref())?),
        Request::Ordering => Response::Ordering(ordering(view, None)?),
        Request::Notes { log } => notes(view, *log)?,
        Request::Proofs => {
            let proofs: Vec<ForkProof> = state::list(view, Table::Promises, b"f", HOLDINGS_LOGS_MAX)?;
            Response::Proofs(proofs)
        }
        Request::Mine => Response::Mine(mine(view, asker)?),
        Request::Holdings => return Ok(None),
    }))
}

/// Where this node stands, from the view alone.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn status(
    view: &dyn View,
    charters: &Charters,
    own: &Own,
    now: Now,
    recovering: bool,
) -> Result<Status, RowsError> {
    let charter = charters.newest(view)?;
    let mut logs = Vec::new();
    for (log, row) in state::logs(view)? {
        logs.push(log_status(view, charter.as_deref(), own, log, &row)?);
    }
    let digests = Digests::read(view, charter.as_deref())?;
    Ok(digests.status(now, charter.as_deref(), logs, recovering))
}

/// Where this node stands with one log.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn log_status(
    view: &dyn View,
    charter: Option<&Certified>,
    own: &Own,
    log: PeerId,
    row: &LogRow,
) -> Result<LogStatus, RowsError> {
    let promises: Vec<CosignedRow> = state::list(view, Table::Promises, &key::cosigned_of(&log), PROMISES_MAX)?;
    let cosigned = promises.iter().find(|p| p.cosignature.peer == own.node.peer()).map_or(0, |p| p.size);
    let witnessed = row.witnessed.map_or(0, |(size, _)| size);
    // Times do not count: they change all the time. Nor do former members: a newcomer takes nothing from them.
    let member = |p: &&CosignedRow| charter.is_some_and(|c| c.member_of(&p.cosignature.peer).is_some());
    let mut parts: Vec<_> = promises.iter().filter(member).map(|p| (p.cosignature.peer, p.size, p.root)).collect();
    if row.closed.forked {
        // Whatever may move its end counts: earlier cosignatures too, of whichever branch.
        let vouched: Vec<CosignedRow> = state::list(view, Table::Promises, &key::vouched_of(&log), PROMISES_MAX)?;
        parts.extend(vouched.iter().filter(member).map(|p| (p.cosignature.peer, p.size, p.root)));
        parts.sort_unstable();
    }
    // Of a log that has forked, members may hold different branches for a while; of others, the branch counts.
    let head = (!row.closed.forked).then(|| (row.size(), row.frontier.root()));
    let all = codec::encode(&(parts, row.witnessed, head)).unwrap_or_default();
    let promises = digest(std::iter::once(all.as_slice()));
    Ok(LogStatus { log, size: row.size(), note_size: row.note_size, witnessed, cosigned, promises })
}

/// Digests over what is compared as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Digests {
    /// Over the approvals of the next change.
    pub approvals: [u8; 8],
    /// Over the ordering messages of the next height.
    pub ordering: [u8; 8],
    /// Over the node infos of members.
    pub nodes: [u8; 8],
    /// Over the fork proofs.
    pub proofs: [u8; 8],
}

impl Digests {
    /// Computes them.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn read(view: &dyn View, charter: Option<&Certified>) -> Result<Self, RowsError> {
        let version = charter.map_or(0, |c| c.charter.version);
        let keys = |table, prefix: &[u8]| -> Result<[u8; 8], RowsError> {
            let rows = view.scan(table, prefix, prefix, DIGEST_ROWS_MAX)?;
            Ok(digest(rows.iter().map(|(key, _)| key.as_slice())))
        };
        let mut nodes = Vec::new();
        for peer in charter.map(members_nodes).unwrap_or_default() {
            nodes.extend(view.get(Table::Documents, &key::node_info(&peer))?);
        }
        Ok(Self {
            approvals: keys(Table::Documents, &key::approvals(version))?,
            ordering: keys(Table::Promises, &key::ordering_at(version + 1))?,
            nodes: digest(nodes.iter().map(Vec::as_slice)),
            proofs: keys(Table::Promises, b"f")?,
        })
    }

    /// The status that they are part of.
    pub fn status(self, now: Now, charter: Option<&Certified>, logs: Vec<LogStatus>, recovering: bool) -> Status {
        let Self { approvals, ordering, nodes, proofs } = self;
        Status {
            protocol: crate::wire::PROTOCOL_VERSION,
            time_ms: now.wall_ms,
            charter: charter.map_or(0, |c| c.charter.version),
            charter_hash: charter.map(|c| c.hash),
            logs,
            approvals,
            ordering,
            nodes,
            proofs,
            holdings: [0; 8],
            recovering,
        }
    }
}

/// All nodes of all members, ascending.
pub fn members_nodes(charter: &Certified) -> BTreeSet<PeerId> {
    charter.identities.values().flat_map(|i| i.identity.roles.nodes.iter().map(|key| PeerId(*key))).collect()
}

/// Node infos of members, as many as fit.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn nodes(rows: &dyn Rows, charter: Option<&Certified>) -> Result<Vec<Vec<u8>>, RowsError> {
    let mut bytes = 0;
    let mut out = Vec::new();
    for peer in charter.map(members_nodes).unwrap_or_default() {
        let Some(info) = rows.get(Table::Documents, &key::node_info(&peer))? else { continue };
        bytes += info.len() + 8;
        if bytes > PARTS_MAX_BYTES {
            break;
        }
        out.push(info);
    }
    Ok(out)
}

fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> [u8; 8] {
    let mut hash = sha2::Sha256::new();
    let mut any = false;
    for part in parts {
        any = true;
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut out = [0; 8];
    if any {
        out.copy_from_slice(&hash.finalize()[..8]);
    }
    out
}

/// The digest over a statement of holdings, without its time.
pub fn holdings_digest(holdings: &SignedHoldings) -> [u8; 8] {
    let bytes = codec::encode(&holdings.holdings).unwrap_or_default();
    digest(std::iter::once(bytes.as_slice()))
}

/// Leaves of a log from `from` on, as many as fit, with what proves them.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn entries(view: &dyn View, log: PeerId, from: u64) -> Result<Response, RowsError> {
    let Some(row) = state::log(view, &log)? else { return Ok(Response::Refused(Refusal::NotHere)) };
    let refused = Ok(Response::Refused(Refusal::NotHere));
    let end = row.end().map_or(row.size(), |end| end.min(row.size()));
    let head = row.end_head().filter(|(size, _)| *size > 0 && *size <= row.size());
    let (note, size) = match head {
        // Where the log ends is known otherwise than by a note, and only leaves that lead there are of use.
        Some((size, root)) if crate::view::judge::root_matches(&row, view, size, root)? => {
            let note = if row.note_size == size && row.note_root == Some(root) {
                row.note.clone()
            } else if row.witnessed == Some((size, root)) {
                view.get(Table::Promises, &key::witnessed(&log))?.unwrap_or_default()
            } else {
                Vec::new()
            };
            (note, size)
        }
        Some(_) => return refused,
        None if row.closed.forked || row.note.is_empty() => return refused,
        None => (row.note.clone(), row.note_size),
    };
    if from >= end || size > row.size() {
        return refused;
    }
    let mut leaves = Vec::new();
    let mut bytes = 0;
    let scanned = view.scan(
        Table::Entries,
        &row.number.to_be_bytes(),
        &key::numbered(row.number, from),
        ENTRIES_MAX.min(usize::try_from(size.min(end).saturating_sub(from)).unwrap_or(ENTRIES_MAX)),
    )?;
    for (_, value) in scanned {
        let entry: EntryRow = state::decode(&value)?;
        bytes += entry.at.len as usize;
        if bytes > ENTRIES_MAX_BYTES && !leaves.is_empty() {
            break;
        }
        leaves.push(view.leaf(entry.at)?);
    }
    let to = from + leaves.len() as u64;
    let proof = if to < size {
        let hashes = LogHashes { rows: view, number: row.number };
        Some(ConsistencyProof::make(to, size, row.size(), &hashes).map_err(|e| RowsError(e.to_string()))?)
    } else {
        None
    };
    Ok(Response::Entries(Entries { log, first: from, leaves, note, proof }))
}

fn consistency(view: &dyn View, log: PeerId, from: u64, to: u64) -> Result<Response, RowsError> {
    let Some(row) = state::log(view, &log)? else { return Ok(Response::Refused(Refusal::NotHere)) };
    // Only the size of the newest checkpoint has a signature to go with it.
    if from == 0 || from >= to || to != row.note_size || to > row.size() {
        return Ok(Response::Refused(Refusal::NotHere));
    }
    let hashes = LogHashes { rows: view, number: row.number };
    let proof = ConsistencyProof::make(from, to, row.size(), &hashes).map_err(|e| RowsError(e.to_string()))?;
    Ok(Response::Consistency(proof, row.note))
}

/// Charters from a version on, as many as fit.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn charters_from(rows: &dyn Rows, from: u64) -> Result<Vec<charters::CharterBundle>, RowsError> {
    let mut bytes = 0;
    let size = |b: &charters::CharterBundle| {
        let parts = [&b.identities, &b.writers, &b.approvals, &b.precommits];
        b.payload.len() + parts.into_iter().flatten().map(|p| p.len() + 8).sum::<usize>() + 64
    };
    let mut out: Vec<charters::CharterBundle> = Vec::new();
    for bundle in charters::bundles(rows, from, ANSWER_CHARTERS_MAX)? {
        bytes += size(&bundle);
        if bytes > PARTS_MAX_BYTES && !out.is_empty() {
            break;
        }
        out.push(bundle);
    }
    Ok(out)
}

/// The newest charters, ascending, as many as fit.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn newest_charters(rows: &dyn Rows) -> Result<Vec<charters::CharterBundle>, RowsError> {
    let newest = state::meta(rows)?.charter;
    let mut from = newest.saturating_sub(255).max(1);
    loop {
        let out = charters_from(rows, from)?;
        // Those that did not fit are the newest ones: begin later, until they do.
        match out.len() as u64 {
            0 => return Ok(out),
            n if from + n > newest => return Ok(out),
            n => from += n.div_ceil(2),
        }
    }
}

/// Documents under a prefix, as many as fit.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn documents(rows: &dyn Rows, prefix: &[u8]) -> Result<Vec<Vec<u8>>, RowsError> {
    let mut bytes = 0;
    let scanned = rows.scan(Table::Documents, prefix, prefix, ANSWER_PARTS_MAX)?;
    let fits = |value: &Vec<u8>| {
        bytes += value.len() + 8;
        bytes <= PARTS_MAX_BYTES
    };
    Ok(scanned.into_iter().map(|(_, value)| value).take_while(fits).collect())
}

/// Ordering messages of the next height, those of `asker` first: it must get all of them back.
fn ordering(view: &dyn View, asker: Option<PeerId>) -> Result<Vec<OrderingBundle>, RowsError> {
    let height = state::meta(view)?.charter + 1;
    let mut all: Vec<OrderingBundle> = state::list(view, Table::Promises, &key::ordering_at(height), DIGEST_ROWS_MAX)?;
    let own = |b: &OrderingBundle| {
        let vote = Envelope::parse(&b.message).ok().and_then(|e| Ordering::open(&e).ok());
        vote.is_some_and(|vote| Some(vote.writer) == asker)
    };
    all.sort_by_cached_key(|b| !own(b));
    let mut bytes = 0;
    let size = |b: &OrderingBundle| {
        let parts = [&b.approvals, &b.identities, &b.writers];
        b.message.len()
            + b.payload.as_ref().map_or(0, Vec::len)
            + parts.into_iter().flatten().map(Vec::len).sum::<usize>()
    };
    // Own messages are of use only with what they rest on, so others' come along, as far as they fit.
    Ok(all
        .into_iter()
        .take_while(|b| {
            bytes += size(b) + 64;
            bytes <= PARTS_MAX_BYTES
        })
        .collect())
}

fn promises(view: &dyn View, log: PeerId, by: Option<PeerId>) -> Result<Vec<Promise>, RowsError> {
    let mut rows: Vec<CosignedRow> = state::list(view, Table::Promises, &key::cosigned_of(&log), PROMISES_MAX)?;
    if by.is_none() {
        let room = PROMISES_MAX.saturating_sub(rows.len());
        rows.extend(state::list::<CosignedRow>(view, Table::Promises, &key::vouched_of(&log), room)?);
    }
    let fits = rows.into_iter().filter(|row| by.is_none_or(|by| row.cosignature.peer == by));
    Ok(fits.map(|CosignedRow { size, root, cosignature }| Promise { log, size, root, cosignature }).collect())
}

fn notes(view: &dyn View, log: PeerId) -> Result<Response, RowsError> {
    let Some(row) = state::log(view, &log)? else { return Ok(Response::Refused(Refusal::NotHere)) };
    let witnessed = view.get(Table::Promises, &key::witnessed(&log))?.unwrap_or_default();
    Ok(Response::Notes(Notes { log, newest: row.note, witnessed, promises: promises(view, log, None)? }))
}

fn mine(view: &dyn View, asker: PeerId) -> Result<Mine, RowsError> {
    let row = state::log(view, &asker)?;
    let mut own = Vec::new();
    for (log, _) in state::logs(view)? {
        own.extend(promises(view, log, Some(asker))?);
    }
    Ok(Mine {
        charter: state::meta(view)?.charter,
        size: row.as_ref().map_or(0, |r| r.size()),
        note: row.map_or_else(Vec::new, |r| r.note),
        promises: own,
        ordering: ordering(view, Some(asker))?,
    })
}
