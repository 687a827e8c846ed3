//! The rows that the fold keeps: their keys, their values, and typed reading.
//!
//! Owns the row schema. Values are bincode; documents inside them stay the bytes that were signed.

pub mod key;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::rows::{Rows, RowsError, Table};
use crate::codec;
use crate::documents::Kind;
use crate::envelope::Envelope;
use crate::ids::{Blake3, MemberId, PeerId, Sha256, Slug};
use crate::limits::BATCH_MAX_BYTES;
use crate::log::{Cosignature, Frontier, Hashes, HashesError};

/// Number of the row schema; a view of another number is rebuilt.
pub const SCHEMA: u32 = 4;

/// Place of a batch in the journal, as the store numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// Segment file.
    pub segment: u32,
    /// Byte in it.
    pub offset: u64,
}

/// Where an entry stands. The order is that of a member's entries: a later writer's come after those of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its writer's number.
    pub seq: u64,
    /// Its index in the log.
    pub index: u64,
    /// The log.
    pub log: PeerId,
}

/// Where a leaf's bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafAt {
    /// The batch.
    pub batch: Position,
    /// Offset in the batch, in bytes.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

/// What is known of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// Short local number, for keys.
    pub number: u32,
    /// Entries held.
    pub frontier: Frontier,
    /// The newest checkpoint note that the log signed, without cosignatures; empty if none is known.
    pub note: Vec<u8>,
    /// Its size; 0 if none is known.
    pub note_size: u64,
    /// Its root.
    pub note_root: Option<Sha256>,
    /// Entries judged; entries from here on wait for a charter that is not known yet.
    pub judged: u64,
    /// Number of its writer among those of the owner, once its first three entries were judged good.
    pub seq: u64,
    /// Whose log it is, once its first three entries were judged good.
    pub owner: Option<MemberId>,
    /// The start of the log is not what it must be: nothing in it counts.
    pub orphan: bool,
    /// Hash of the owner's identity at the judged end.
    pub identity: Option<Sha256>,
    /// Charter version at the judged end.
    pub charter: u64,
    /// Closings of the log.
    pub closed: Closings,
    /// Largest size that is witnessed, and its root.
    pub witnessed: Option<(u64, Sha256)>,
    /// How often the log was reset.
    pub resets: u32,
}

/// Sizes at which a log was closed, by the ways to close it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closings {
    /// By the charter that expelled the member: final.
    pub charter: Option<(u64, Sha256)>,
    /// By the next writer, or by leaving.
    pub owner: Option<u64>,
    /// A fork was proven: the log ends at its largest witnessed size.
    pub forked: bool,
}

impl LogRow {
    /// A log of which nothing is held.
    pub fn new(number: u32) -> Self {
        Self {
            number,
            frontier: Frontier::new(),
            note: Vec::new(),
            note_size: 0,
            note_root: None,
            judged: 0,
            seq: 0,
            owner: None,
            orphan: false,
            identity: None,
            charter: 0,
            closed: Closings::default(),
            witnessed: None,
            resets: 0,
        }
    }
    /// Entries held.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }
    /// Entries from here on never count; `None` while the log is open.
    pub fn end(&self) -> Option<u64> {
        if let Some((size, _)) = self.closed.charter {
            return Some(size);
        }
        let fork = self.closed.forked.then(|| {
            self.witnessed.map_or(0, |(size, _)| if crate::seeded::bug("close_fork_at_zero") { 0 } else { size })
        });
        match (self.closed.owner, fork) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
    /// Where the log ends by its owner's or the members' decision, which never changes afterwards.
    pub fn final_end(&self) -> Option<u64> {
        self.closed.charter.map(|(size, _)| size).or(self.closed.owner)
    }
    /// Size and root at which the log ends, where the root is known from elsewhere than its own checkpoints.
    pub fn end_head(&self) -> Option<(u64, Sha256)> {
        if self.closed.charter.is_some() {
            return self.closed.charter;
        }
        self.witnessed.filter(|(size, _)| self.closed.forked && self.end() == Some(*size))
    }
    /// Whether the entry at `index` is below the end.
    pub fn counts(&self, index: u64) -> bool {
        !self.orphan && self.end().is_none_or(|end| index < end)
    }
}

/// What was decided about one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Not judged yet.
    Waiting,
    /// It stands.
    Valid,
    /// A copy of a foreign document, or of a kind that is not known: kept, without effect.
    Kept,
    /// It has no effect, for this reason.
    Void(String),
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// Where its bytes stand.
    pub at: LeafAt,
    /// What was decided.
    pub verdict: Verdict,
}

/// What is known of a void entry besides its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidRow {
    /// The kind of document that it says it is.
    pub kind: String,
    /// Of a release that can be read: the owner, process and version that it names.
    pub release: Option<(MemberId, Slug, String)>,
}

/// A release of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRow {
    /// Owner.
    pub member: MemberId,
    /// Process.
    pub slug: Slug,
    /// Version, semver text.
    pub version: String,
    /// The log that carries it.
    pub log: PeerId,
    /// Index there.
    pub index: u64,
    /// SHA-256 of its payload.
    pub id: Sha256,
    /// Title.
    pub title: String,
    /// Summary.
    pub summary: String,
    /// BLAKE3 of the manifest.
    pub manifest: Blake3,
    /// SHA-256 of the manifest.
    pub manifest_sha256: Sha256,
    /// Size of the manifest in bytes.
    pub manifest_size: u64,
    /// Files in the release.
    pub files: u64,
    /// Bytes of those files together.
    pub total_size: u64,
    /// Who may have the files.
    pub audience: Audience,
    /// Seconds since 1970, as the publisher said.
    pub published_s: u64,
}

/// Who may have the files of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// All members.
    Federation,
    /// Everyone.
    Public,
    /// These handles, and the owner.
    Members(Vec<String>),
}

/// A certified charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharterRow {
    /// As received.
    pub bundle: crate::charter::certificate::CharterBundle,
}

/// A cosignature with what it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CosignedRow {
    /// Size.
    pub size: u64,
    /// Root.
    pub root: Sha256,
    /// The signature.
    pub cosignature: Cosignature,
}

/// The view's own counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRow {
    /// Next log number.
    pub logs: u32,
    /// Newest charter version; 0 if none.
    pub charter: u64,
    /// Next number in the sequence of catalogue events.
    pub sequence: u64,
}

/// Reads the value at `key`.
///
/// # Errors
/// [`RowsError`] if the view fails or the row is not of this type.
pub fn get<T: DeserializeOwned>(rows: &dyn Rows, table: Table, key: &[u8]) -> Result<Option<T>, RowsError> {
    rows.get(table, key)?.map(|bytes| decode(&bytes)).transpose()
}

/// Reads all values under `prefix`, up to `limit`.
///
/// # Errors
/// As [`get`].
pub fn list<T: DeserializeOwned>(
    rows: &dyn Rows,
    table: Table,
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<T>, RowsError> {
    rows.scan(table, prefix, prefix, limit)?.iter().map(|(_, bytes)| decode(bytes)).collect()
}

/// Decodes a row's value.
///
/// # Errors
/// [`RowsError`] if it is not of this type.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RowsError> {
    codec::decode(bytes, BATCH_MAX_BYTES).map_err(|e| RowsError(format!("row: {e}")))
}

/// The counters.
///
/// # Errors
/// As [`get`].
pub fn meta(rows: &dyn Rows) -> Result<MetaRow, RowsError> {
    Ok(get(rows, Table::Meta, key::META)?.unwrap_or_default())
}

/// The row of a log.
///
/// # Errors
/// As [`get`].
pub fn log(rows: &dyn Rows, log: &PeerId) -> Result<Option<LogRow>, RowsError> {
    get(rows, Table::Logs, &key::log(log))
}

/// All logs.
///
/// # Errors
/// As [`get`].
pub fn logs(rows: &dyn Rows) -> Result<Vec<(PeerId, LogRow)>, RowsError> {
    let mut out = Vec::new();
    for (key, value) in rows.scan(Table::Logs, b"l", b"l", usize::MAX)? {
        let peer: [u8; 32] = key[1..].try_into().map_err(|_| RowsError("log key".into()))?;
        out.push((PeerId(crate::ids::PublicKey(peer)), decode(&value)?));
    }
    Ok(out)
}

/// Void entries of `log` from `from` on, ascending, with their reasons: at most `limit`.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn voids(rows: &dyn Rows, log: &PeerId, from: u64, limit: usize) -> Result<Vec<(u64, String)>, RowsError> {
    let Some(row) = self::log(rows, log)? else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for (at, _) in rows.scan(Table::Logs, &key::voids_of(log), &key::void(log, from), limit)? {
        let index = at.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let entry: Option<EntryRow> = get(rows, Table::Entries, &key::numbered(row.number, index))?;
        if let Some(Verdict::Void(reason)) = entry.map(|entry| entry.verdict) {
            out.push((index, reason));
        }
    }
    Ok(out)
}

/// The stored hashes of one log.
pub struct LogHashes<'a> {
    /// Where they are read.
    pub rows: &'a dyn Rows,
    /// The log's number.
    pub number: u32,
}

impl Hashes for LogHashes<'_> {
    fn stored(&self, index: u64) -> Result<Sha256, HashesError> {
        let row = self.rows.get(Table::Hashes, &key::numbered(self.number, index));
        let bytes = row.map_err(|e| HashesError::Unreadable(e.0))?.ok_or(HashesError::Missing(index))?;
        Ok(Sha256(bytes.try_into().map_err(|_| HashesError::Missing(index))?))
    }
}

/// The kind of the document in `leaf`, as far as it can be read.
pub fn kind_of(leaf: &[u8]) -> Kind {
    Envelope::parse(leaf).map_or(Kind::Unknown, |e| Kind::of(&e))
}
