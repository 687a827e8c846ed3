//! Making the proof of one release from the view.
//!
//! Owns which checkpoint, entries and statements go into a file. Makes nothing that [`super::verify`] would refuse: where the view
//! does not hold what is needed yet, it says so. Signs nothing.

use std::collections::BTreeMap;

use super::chain::{self, Ends};
use super::format::{Bin, Entry, List, Provenance, Text};
use super::{CHARTERS_MAX, FORMAT, STATEMENTS_MAX, VerifyError};
use crate::charter::rules::Charter;
use crate::core::View;
use crate::documents::{Deprecation, Document, Kind, LogEnd, Withdrawal};
use crate::envelope::Envelope;
use crate::ids::{FederationId, PeerId, Sha256};
use crate::json::Object;
use crate::log::{ConsistencyProof, InclusionProof, SignedCheckpoint, TreeError};
use crate::view::charters::{self, Charters};
use crate::view::checkpoints;
use crate::view::judge::PREAMBLE;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, EntryRow, LogHashes, LogRow, ReleaseRow, Verdict, key};
use crate::view::statements;

/// Entry rows read at once.
const PAGE: usize = 1_024;
/// Statements about a process that are looked at, adoptions included.
const SCANNED_MAX: usize = 10_000;

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// The log is not known here.
    #[error("the log of {0} is not known here")]
    UnknownLog(PeerId),
    /// No release stands there, or not a valid one.
    #[error("entry {1} of the log of {0} is no valid release")]
    NoRelease(PeerId, u64),
    /// The log ended below the release.
    #[error("the log of {log} ended at {size} entries, below the release at {index}")]
    Ended {
        /// The log.
        log: PeerId,
        /// Entries that count.
        size: u64,
        /// The release.
        index: u64,
    },
    /// The log's entries are held, but no checkpoint that covers the release yet.
    #[error("no signed checkpoint of the log of {log} that covers entry {index} is held yet; it is being fetched")]
    NotYet {
        /// The log.
        log: PeerId,
        /// The release.
        index: u64,
    },
    /// The manifest is not that of the release: a fault of the caller or of the store.
    #[error("the manifest is {got}, the release names {expected}")]
    Manifest {
        /// What was given.
        got: Sha256,
        /// What the release names.
        expected: Sha256,
    },
    /// More charters than a file may hold.
    #[error("more than {CHARTERS_MAX} charters")]
    Charters,
    /// The file would be over a limit.
    #[error("the proof cannot be written: {0}")]
    Write(VerifyError),
    /// The view failed.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The log's own hashes failed.
    #[error("the log's tree: {0}")]
    Tree(#[from] TreeError),
}

/// What is pulled, by whom and when.
#[derive(Debug, Clone, Copy)]
pub struct Pulled<'a> {
    /// The log that carries the release.
    pub log: PeerId,
    /// Where in it.
    pub index: u64,
    /// The bytes of its `manifest.json`.
    pub manifest: &'a [u8],
    /// Now, in seconds since 1970.
    pub now_s: u64,
    /// The node that serves it.
    pub served_by: PeerId,
}

/// Makes the bytes of `.verbund/provenance.json`. The checkpoint is the largest witnessed one that covers the release and is held,
/// else the newest, with whatever cosignatures are held.
///
/// Reads the log's entries from its start to the last charter or identity in it, and those after the release if it was withdrawn.
///
/// # Errors
/// [`MakeError`]; [`MakeError::NotYet`] passes by itself.
pub fn make(view: &dyn View, charters: &Charters, pulled: &Pulled<'_>) -> Result<Vec<u8>, MakeError> {
    let Pulled { log, index, manifest, now_s, served_by } = *pulled;
    let row = state::log(view, &log)?.ok_or(MakeError::UnknownLog(log))?;
    let source = Source { view, log, row };
    let release = source.release(index)?;
    let got = Sha256::of(manifest);
    if got != release.manifest_sha256 {
        return Err(MakeError::Manifest { got, expected: release.manifest_sha256 });
    }
    let bundles = charters::bundles(view, 1, CHARTERS_MAX + 1)?;
    if bundles.len() > CHARTERS_MAX {
        return Err(MakeError::Charters);
    }
    let genesis = bundles.first().ok_or_else(|| RowsError("the genesis is missing".into()))?;
    let federation = FederationId(genesis.hash().0);
    let end = source.end(&bundles, index)?;
    let signed = source.candidates(federation, index)?;
    let upper = signed.iter().map(|s| s.checkpoint().size).max().ok_or(MakeError::NotYet { log, index })?;
    let authority = source.authority(index, upper)?;
    let signed = best(source.view, charters, &source, signed, &authority)?.ok_or(MakeError::NotYet { log, index })?;
    let size = signed.checkpoint().size;
    let entries = authority.into_iter().filter(|(at, _)| *at < size);
    let entries = entries
        .map(|(index, (leaf, _))| Ok(Object(Entry { index, leaf: Bin(leaf), proof: List(source.prove(index, size)?) })))
        .collect::<Result<Vec<_>, MakeError>>()?;
    let provenance = Provenance {
        format: FORMAT,
        federation,
        pulled_at_s: now_s,
        served_by,
        log,
        index,
        release: Bin(source.leaf(index)?.ok_or(MakeError::NoRelease(log, index))?.0),
        proof: List(source.prove(index, size)?),
        checkpoint: Text(signed.to_text()),
        entries: List(entries),
        charters: List(bundles.into_iter().map(Into::into).collect()),
        end: end.map_or(Ok(None), |end| source.join(size, end.size))?.map(Object),
        manifest: Bin(manifest.to_vec()),
        statements: List(source.statements(&release)?.into_iter().map(Bin).collect()),
    };
    provenance.write().map_err(MakeError::Write)
}

/// The log that the release stands in.
struct Source<'a> {
    view: &'a dyn View,
    log: PeerId,
    row: LogRow,
}

/// Entries that give authority, by index: the leaf, and the version of a charter.
type Authority = BTreeMap<u64, (Vec<u8>, Option<u64>)>;

impl Source<'_> {
    /// The catalogue's row of the release, if it stands.
    fn release(&self, index: u64) -> Result<ReleaseRow, MakeError> {
        if let Some(size) = self.row.end().filter(|size| index >= *size) {
            return Err(MakeError::Ended { log: self.log, size, index });
        }
        let none = MakeError::NoRelease(self.log, index);
        let Some(at) = self.view.get(Table::Releases, &key::release_at(&self.log, index))? else { return Err(none) };
        let release: Option<ReleaseRow> = state::get(self.view, Table::Releases, &at)?;
        release.filter(|r| r.log == self.log && r.index == index && self.row.counts(index)).ok_or(none)
    }

    /// Where charters and writers end the log, if they do.
    fn end(&self, bundles: &[charters::CharterBundle], index: u64) -> Result<Option<LogEnd>, MakeError> {
        let mut ends = Ends::default();
        for bundle in bundles {
            let charter = Charter::parse(&bundle.payload).map_err(|e| RowsError(e.to_string()))?;
            ends.add(&self.log, &charter, bundle);
        }
        match ends.end() {
            Some((end, _)) if index >= end.size => Err(MakeError::Ended { log: self.log, size: end.size, index }),
            end => Ok(end.map(|(end, _)| end)),
        }
    }

    /// Checkpoints that cover `index` and that the entries held lead to: the witnessed one, and the newest with its cosignatures.
    fn candidates(&self, federation: FederationId, index: u64) -> Result<Vec<SignedCheckpoint>, MakeError> {
        let mut signed = checkpoints::held(self.view, federation, &self.log, &self.row)?;
        signed.retain(|signed| signed.checkpoint().size > index);
        Ok(signed)
    }

    /// The first three entries, later identities of the owner below `index`, and later charters below `upper`.
    fn authority(&self, index: u64, upper: u64) -> Result<Authority, MakeError> {
        let mut found = Authority::new();
        let (mut charter, mut identity) = (0, None);
        let mut from = 0;
        while from < upper && (from < PREAMBLE || charter != self.row.charter || identity != self.row.identity) {
            let rows = self.rows(from, upper)?;
            if rows.is_empty() {
                return Err(RowsError(format!("entry {from} of {} is missing", self.log)).into());
            }
            for (at, row) in rows {
                from = at + 1;
                let release = key::release_at(&self.log, at);
                if row.verdict != Verdict::Valid || self.view.get(Table::Releases, &release)?.is_some() {
                    continue;
                }
                let leaf = self.view.leaf(row.at)?;
                let Ok(envelope) = Envelope::parse(&leaf) else { continue };
                match Kind::of(&envelope) {
                    Kind::Charter => {
                        let content = Charter::parse(envelope.payload()).map_err(|e| RowsError(e.to_string()))?;
                        charter = content.version;
                        found.insert(at, (leaf, Some(charter)));
                    }
                    Kind::Identity => {
                        identity = Some(envelope.id());
                        if at < index {
                            found.insert(at, (leaf, None));
                        }
                    }
                    Kind::Writer if at < PREAMBLE => drop(found.insert(at, (leaf, None))),
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// Rows of a page of entries from `from` on, below `upper`.
    fn rows(&self, from: u64, upper: u64) -> Result<Vec<(u64, EntryRow)>, MakeError> {
        let limit = usize::try_from(upper.saturating_sub(from)).unwrap_or(PAGE).min(PAGE);
        let number = self.row.number;
        let rows = self.view.scan(Table::Entries, &number.to_be_bytes(), &key::numbered(number, from), limit)?;
        (from..).zip(rows).map(|(at, (_, value))| Ok((at, state::decode(&value)?))).collect()
    }

    /// The bytes of an entry and its verdict.
    fn leaf(&self, index: u64) -> Result<Option<(Vec<u8>, Verdict)>, MakeError> {
        let row: Option<EntryRow> = state::get(self.view, Table::Entries, &key::numbered(self.row.number, index))?;
        row.map(|row| Ok((self.view.leaf(row.at)?, row.verdict))).transpose()
    }

    fn hashes(&self) -> LogHashes<'_> {
        LogHashes { rows: self.view, number: self.row.number }
    }

    fn prove(&self, index: u64, size: u64) -> Result<Vec<Sha256>, MakeError> {
        Ok(InclusionProof::make(index, size, self.row.size(), &self.hashes())?.hashes)
    }

    /// That the checkpoint and the end of the log are of one history.
    fn join(&self, size: u64, end: u64) -> Result<Option<ConsistencyProof>, MakeError> {
        if size == end {
            return Ok(None);
        }
        Ok(Some(ConsistencyProof::make(size.min(end), size.max(end), self.row.size(), &self.hashes())?))
    }

    /// The withdrawal of the release, then deprecations of it or of its process, newest first.
    fn statements(&self, release: &ReleaseRow) -> Result<Vec<Vec<u8>>, MakeError> {
        let mut out: Vec<_> = self.withdrawal(release)?.into_iter().collect();
        let mut deprecations = Vec::new();
        statements::about(self.view, &release.member, &release.slug, SCANNED_MAX, |bytes| {
            let said = Envelope::parse(bytes).ok().and_then(|envelope| Deprecation::open(&envelope).ok());
            if let Some(said) = said.filter(|said| said.release.is_none_or(|id| id == release.id)) {
                deprecations.push((said.time_s, bytes.to_vec()));
            }
            true
        })?;
        deprecations.sort_by(|a, b| b.cmp(a));
        out.extend(deprecations.into_iter().map(|(_, bytes)| bytes));
        out.truncate(STATEMENTS_MAX);
        Ok(out)
    }

    /// The envelope of the withdrawal, which the view keeps without its signatures.
    fn withdrawal(&self, release: &ReleaseRow) -> Result<Option<Vec<u8>>, MakeError> {
        if self.view.get(Table::Statements, &key::withdrawal(&release.member, &release.id))?.is_none() {
            return Ok(None);
        }
        let mut from = release.index + 1;
        while from < self.row.judged {
            let rows = self.rows(from, self.row.judged)?;
            if rows.is_empty() {
                break;
            }
            for (at, row) in rows {
                from = at + 1;
                if row.verdict != Verdict::Valid {
                    continue;
                }
                let leaf = self.view.leaf(row.at)?;
                let said = Envelope::parse(&leaf).ok().and_then(|e| Withdrawal::open(&e).ok());
                if said.is_some_and(|said| said.release == release.id) {
                    return Ok(Some(leaf));
                }
            }
        }
        Ok(None)
    }
}

/// The largest witnessed checkpoint, else the largest.
fn best(
    view: &dyn View,
    charters: &Charters,
    source: &Source<'_>,
    signed: Vec<SignedCheckpoint>,
    authority: &Authority,
) -> Result<Option<SignedCheckpoint>, MakeError> {
    let Some(owner) = source.row.owner else { return Ok(None) };
    let mut best = None;
    for signed in signed {
        let size = signed.checkpoint().size;
        let version = authority.range(..size).rev().find_map(|(_, (_, version))| *version);
        let Some(version) = version else { continue };
        let charter = charters.get(view, version)?.ok_or_else(|| RowsError(format!("charter {version} is missing")))?;
        let rank = (chain::witnesses(&charter, &owner, &signed).reached(), size);
        if best.as_ref().is_none_or(|(held, _)| rank > *held) {
            best = Some((rank, signed));
        }
    }
    Ok(best.map(|(_, signed)| signed))
}
