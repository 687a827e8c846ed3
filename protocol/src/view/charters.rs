//! Certified charters, read back from rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::rows::{Rows, RowsError, Table};
use super::state::{self, CharterRow, key};
pub use crate::charter::certificate::CharterBundle;
use crate::charter::certificate::{Certified, VerifiedWriter};
use crate::charter::rules::Charter;
use crate::documents::{Document, LogEnd, Writer};
use crate::envelope::Envelope;
use crate::identity::VerifiedIdentity;
use crate::ids::{FederationId, Sha256};

/// Charters kept parsed at most: the newest ones are asked for most.
const CACHED_MAX: usize = 64;

/// Reads charters and keeps the parsed ones. A certified version never changes, so nothing here goes stale.
#[derive(Debug, Default)]
pub struct Charters {
    cache: Mutex<BTreeMap<u64, Arc<Certified>>>,
}

impl Charters {
    /// The charter of `version`, if it is known.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails, or holds a charter without what it pins.
    pub fn get(&self, rows: &dyn Rows, version: u64) -> Result<Option<Arc<Certified>>, RowsError> {
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&version).cloned();
        if cached.is_some() {
            return Ok(cached);
        }
        let Some(row) = state::get::<CharterRow>(rows, Table::Charters, &key::charter(version))? else {
            return Ok(None);
        };
        let certified = Arc::new(load(rows, &row.bundle)?);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(version, certified.clone());
        while cache.len() > CACHED_MAX {
            cache.pop_first();
        }
        Ok(Some(certified))
    }

    /// The newest charter, if any is known.
    ///
    /// # Errors
    /// As [`Charters::get`].
    pub fn newest(&self, rows: &dyn Rows) -> Result<Option<Arc<Certified>>, RowsError> {
        self.get(rows, state::meta(rows)?.charter)
    }
}

/// The charter bundles from version `from` on.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn bundles(rows: &dyn Rows, from: u64, limit: usize) -> Result<Vec<CharterBundle>, RowsError> {
    let scanned = rows.scan(Table::Charters, b"", &key::charter(from), limit)?;
    scanned.iter().map(|(_, value)| state::decode::<CharterRow>(value).map(|row| row.bundle)).collect()
}

/// Where logs end by the writers that a charter pins (SPEC-10.16). A writer that its certificate merely carries closes nothing.
pub fn closes(charter: &Charter, bundle: &CharterBundle) -> Vec<LogEnd> {
    let writers = bundle.writers.iter().filter_map(|bytes| Envelope::parse(bytes).ok());
    let every = crate::seeded::bug("unpinned_writer_closes");
    let pinned = writers.filter(|e| every || charter.members.iter().any(|member| member.writer == e.id()));
    pinned.filter_map(|e| Writer::open(&e).ok()?.closes).collect()
}

/// An identity that was checked before, by the hash of its payload.
///
/// # Errors
/// [`RowsError`] if the view fails or holds something else.
pub fn identity(rows: &dyn Rows, hash: &Sha256) -> Result<Option<VerifiedIdentity>, RowsError> {
    let Some(bytes) = rows.get(Table::Documents, &key::identity(hash))? else { return Ok(None) };
    let envelope = Envelope::parse(&bytes).map_err(|e| RowsError(e.to_string()))?;
    VerifiedIdentity::stored(&envelope).map(Some).map_err(|e| RowsError(e.to_string()))
}

/// A writer that was checked before, by the hash of its payload.
///
/// # Errors
/// [`RowsError`] if the view fails or holds something else.
pub fn writer(rows: &dyn Rows, hash: &Sha256) -> Result<Option<VerifiedWriter>, RowsError> {
    let Some(bytes) = rows.get(Table::Documents, &key::writer(hash))? else { return Ok(None) };
    let envelope = Envelope::parse(&bytes).map_err(|e| RowsError(e.to_string()))?;
    let writer = Writer::open(&envelope).map_err(|e| RowsError(e.to_string()))?;
    Ok(Some(VerifiedWriter { writer, hash: envelope.id() }))
}

fn load(rows: &dyn Rows, bundle: &CharterBundle) -> Result<Certified, RowsError> {
    let charter = Charter::parse(&bundle.payload).map_err(|e| RowsError(e.to_string()))?;
    let hash = bundle.hash();
    let mut identities = BTreeMap::new();
    let mut writers = BTreeMap::new();
    let missing = |what: &str| RowsError(format!("charter {}: a pinned {what} is missing", charter.version));
    for m in &charter.members {
        identities.insert(m.member, identity(rows, &m.identity)?.ok_or_else(|| missing("identity"))?);
        writers.insert(m.member, writer(rows, &m.writer)?.ok_or_else(|| missing("writer"))?);
    }
    let federation = charter.federation.unwrap_or(FederationId(hash.0));
    Ok(Certified { charter, hash, federation, identities, writers })
}
