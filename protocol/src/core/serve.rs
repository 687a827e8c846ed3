//! Answers to sync requests: pure reading, also beside the core's loop.
//!
//! Owns what is shown to whom. Callers wait until what was read is durable before they send it.

use sha2::Digest as _;

use super::api::{Now, Own};
use super::View;
use crate::codec;
use crate::ids::PeerId;
use crate::limits::{ENTRIES_MAX, ENTRIES_MAX_BYTES, FRAME_MAX_BYTES};
use crate::log::{ConsistencyProof, ForkProof};
use crate::record::OrderingBundle;
use crate::view::charters::{self, Charters};
use crate::view::rows::{Rows, RowsError, Table};
use crate::view::state::{self, CosignedRow, EntryRow, LogHashes, key};
use crate::wire::SignedHoldings;
use crate::wire::sync::{Entries, LogStatus, Mine, Notes, Promise, Refusal, Request, Response, Status};

/// Bytes that an answer of many parts may have.
const PARTS_MAX_BYTES: usize = FRAME_MAX_BYTES - (64 << 10);

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
        Request::Nodes => Response::Documents(documents(view, b"n")?),
        Request::Ordering => Response::Ordering(ordering(view)?),
        Request::Notes { log } => notes(view, *log)?,
        Request::Proofs => {
            let proofs: Vec<ForkProof> = state::list(view, Table::Promises, b"f", 256)?;
            Response::Proofs(proofs)
        }
        Request::Mine => Response::Mine(mine(view, asker)?),
        Request::Holdings => return Ok(None),
    }))
}

/// Where this node stands.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn status(view: &dyn View, charters: &Charters, own: &Own, now: Now, recovering: bool) -> Result<Status, RowsError> {
    let charter = charters.newest(view)?;
    let version = charter.as_ref().map_or(0, |c| c.charter.version);
    let mut logs = Vec::new();
    for (log, row) in state::logs(view)? {
        let promises: Vec<CosignedRow> = state::list(view, Table::Promises, &key::cosigned_of(&log), usize::MAX)?;
        let cosigned = promises.iter().find(|p| p.cosignature.peer == own.node.peer()).map_or(0, |p| p.size);
        // Times do not count: they change all the time.
        let witnessed = row.witnessed.map_or(0, |(size, _)| size);
        let parts = promises.iter().map(|p| (p.cosignature.peer, p.size, p.root)).collect::<Vec<_>>();
        let promises = digest(codec::encode(&(parts, witnessed)).unwrap_or_default().chunks(usize::MAX));
        logs.push(LogStatus { log, size: row.size(), note_size: row.note_size, witnessed, cosigned, promises });
    }
    let keys = |table, prefix: &[u8]| -> Result<[u8; 8], RowsError> {
        let rows = view.scan(table, prefix, prefix, usize::MAX)?;
        Ok(digest(rows.iter().map(|(key, _)| key.as_slice())))
    };
    let nodes = view.scan(Table::Documents, b"n", b"n", usize::MAX)?;
    Ok(Status {
        protocol: crate::wire::PROTOCOL_VERSION,
        time_ms: now.wall_ms,
        charter: version,
        charter_hash: charter.map(|c| c.hash),
        logs,
        approvals: keys(Table::Documents, &key::approvals(version))?,
        ordering: keys(Table::Promises, &key::ordering_at(version + 1))?,
        nodes: digest(nodes.iter().map(|(_, value)| value.as_slice())),
        proofs: keys(Table::Promises, b"f")?,
        holdings: [0; 8],
        recovering,
    })
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
    let end = row.end().map_or(row.size(), |end| end.min(row.size()));
    let witnessed = row.witnessed.filter(|(size, _)| row.closed.forked && *size == end);
    let (note, size) = match witnessed {
        Some((size, _)) => (view.get(Table::Promises, &key::witnessed(&log))?.unwrap_or_default(), size),
        None => (row.note.clone(), row.note_size),
    };
    if from >= end || size > row.size() || note.is_empty() {
        return Ok(Response::Refused(Refusal::NotHere));
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
    for bundle in charters::bundles(rows, from, 256)? {
        bytes += size(&bundle);
        if bytes > PARTS_MAX_BYTES && !out.is_empty() {
            break;
        }
        out.push(bundle);
    }
    Ok(out)
}

/// Documents under a prefix, as many as fit.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn documents(rows: &dyn Rows, prefix: &[u8]) -> Result<Vec<Vec<u8>>, RowsError> {
    let mut bytes = 0;
    let scanned = rows.scan(Table::Documents, prefix, prefix, 1_024)?;
    let fits = |value: &Vec<u8>| {
        bytes += value.len() + 8;
        bytes <= PARTS_MAX_BYTES
    };
    Ok(scanned.into_iter().map(|(_, value)| value).take_while(fits).collect())
}

fn ordering(view: &dyn View) -> Result<Vec<OrderingBundle>, RowsError> {
    let height = state::meta(view)?.charter + 1;
    let all: Vec<OrderingBundle> = state::list(view, Table::Promises, &key::ordering_at(height), 4_096)?;
    let mut bytes = 0;
    let size = |b: &OrderingBundle| {
        let parts = [&b.approvals, &b.identities, &b.writers];
        b.message.len() + b.payload.as_ref().map_or(0, Vec::len) + parts.into_iter().flatten().map(Vec::len).sum::<usize>()
    };
    // The asker's own messages are of use only with what they rest on, so others' come along, as far as they fit.
    Ok(all
        .into_iter()
        .take_while(|b| {
            bytes += size(b) + 64;
            bytes <= PARTS_MAX_BYTES
        })
        .collect())
}

fn promises(view: &dyn View, log: PeerId, by: Option<PeerId>) -> Result<Vec<Promise>, RowsError> {
    let rows: Vec<CosignedRow> = state::list(view, Table::Promises, &key::cosigned_of(&log), 1_024)?;
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
        ordering: ordering(view)?,
    })
}

