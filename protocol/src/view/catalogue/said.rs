//! What was said about a process and its releases after they were published.
//!
//! Owns the reading of the statements, their order, and what each of them has an effect on. Statements of one kind are ordered by
//! the time that their publisher wrote into them, then by hash, so that all nodes with the same logs read the same.

use serde_json::{Map, Value};

use crate::documents::{Adoption, Correction, Deprecation, Document, Kind, Transfer, Withdrawal};
use crate::envelope::Envelope;
use crate::ids::{MemberId, Sha256, Slug};
use crate::json;
use crate::release::Changes;
use crate::release::metadata::Audience;
use crate::view::rows::{Rows, RowsError, Table};
use crate::view::state::{self, ReleaseRow, key};
use crate::view::statements;

/// Statements of one process that are read at most, adoptions by others included. Far above any real process; the bound keeps a
/// member that floods its log from making other members' processes slow to list.
pub const STATEMENTS_MAX: usize = 10_000;

/// Everything said about one process, in order.
#[derive(Debug, Default)]
pub struct Said {
    corrections: Vec<(u64, Sha256, Correction)>,
    deprecations: Vec<(u64, Sha256, Deprecation)>,
    adoptions: Vec<(u64, Sha256, Adoption)>,
    transfers: Vec<(u64, Sha256, Transfer)>,
}

/// What holds of one release, all statements considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Title, corrected.
    pub title: String,
    /// Summary, corrected.
    pub summary: String,
    /// Who may have the files: as published, or wider.
    pub audience: Audience,
    /// The recall, if there is one.
    pub withdrawn: Option<Withdrawal>,
    /// The newest announcement of the end of this release or of the whole process.
    pub deprecated: Option<Deprecation>,
    /// Corrections that have an effect, oldest first.
    pub corrections: Vec<Changes>,
}

impl Said {
    /// Reads what was said about a process.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn about(rows: &dyn Rows, member: &MemberId, slug: &Slug) -> Result<Self, RowsError> {
        let mut said = Self::default();
        statements::about(rows, member, slug, STATEMENTS_MAX, |envelope| {
            said.take(envelope);
            true
        })?;
        said.corrections.sort_by_key(|(time, id, _)| (*time, *id));
        said.deprecations.sort_by_key(|(time, id, _)| (*time, *id));
        said.adoptions.sort_by_key(|(time, id, _)| (*time, *id));
        said.transfers.sort_by_key(|(time, id, _)| (*time, *id));
        Ok(said)
    }

    /// Statements were judged before they became rows: one that cannot be read says nothing.
    fn take(&mut self, bytes: &[u8]) {
        let Ok(envelope) = Envelope::parse(bytes) else { return };
        let id = envelope.id();
        match Kind::of(&envelope) {
            Kind::Correction => self.corrections.extend(Correction::open(&envelope).ok().map(|d| (d.time_s, id, d))),
            Kind::Deprecation => self.deprecations.extend(Deprecation::open(&envelope).ok().map(|d| (d.time_s, id, d))),
            Kind::Adoption => self.adoptions.extend(Adoption::open(&envelope).ok().map(|d| (d.time_s, id, d))),
            Kind::Transfer => self.transfers.extend(Transfer::open(&envelope).ok().map(|d| (d.time_s, id, d))),
            _ => {}
        }
    }

    /// What holds of `row`, a release of this process.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn of(&self, rows: &dyn Rows, row: &ReleaseRow) -> Result<Effect, RowsError> {
        let about = |release: Option<Sha256>| release.is_none_or(|id| id == row.id);
        let deprecated = self.deprecations.iter().rev().find(|(_, _, d)| about(d.release)).map(|(_, _, d)| d.clone());
        let mut effect = Effect {
            title: row.title.clone(),
            summary: row.summary.clone(),
            audience: audience(&row.audience),
            withdrawn: withdrawal(rows, row)?,
            deprecated,
            corrections: Vec::new(),
        };
        for (_, _, correction) in self.corrections.iter().filter(|(_, _, c)| c.release == row.id) {
            let Ok(changes) = Changes::from_fields(&correction.fields) else { continue };
            if let Some(wider) = &changes.audience {
                // SPEC: an audience may only widen; a correction that narrows it has no effect at all.
                if !effect.audience.within(wider) {
                    continue;
                }
                effect.audience = wider.clone();
            }
            changes.title.iter().for_each(|title| effect.title.clone_from(title));
            changes.summary.iter().for_each(|summary| effect.summary.clone_from(summary));
            effect.corrections.push(changes);
        }
        Ok(effect)
    }

    /// The newest adoption of each member, oldest first.
    pub fn adoptions(&self) -> Vec<&Adoption> {
        let newer =
            |n: usize, member: &MemberId| self.adoptions.iter().skip(n + 1).any(|(_, _, d)| d.member == *member);
        self.adoptions
            .iter()
            .enumerate()
            .filter(|(n, (_, _, d))| !newer(*n, &d.member))
            .map(|(_, (_, _, d))| d)
            .collect()
    }

    /// The newest announcement that the process moves.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.transfers.last().map(|(_, _, transfer)| transfer)
    }
}

impl Effect {
    /// Corrected texts that a search looks at, lower case.
    pub fn search(&self) -> String {
        let mut parts = Vec::new();
        for changes in &self.corrections {
            let single = [&changes.title, &changes.summary, &changes.description, &changes.themenfeld];
            parts.extend(single.into_iter().flatten().map(String::as_str));
            let lists = [&changes.keywords, &changes.leistungsschluessel, &changes.ozg_id];
            parts.extend(lists.into_iter().flatten().flatten().map(String::as_str));
            parts.extend(changes.legal_basis.iter().flatten().map(|basis| basis.name.as_str()));
        }
        parts.join("\n").to_lowercase()
    }

    /// The metadata `raw` of a release with the corrections applied; keys that this version does not know are kept.
    pub fn metadata(&self, raw: &Value) -> Value {
        let mut map = raw.as_object().cloned().unwrap_or_else(Map::new);
        for changes in &self.corrections {
            map.extend(changes.to_fields());
            if changes.leistungsschluessel.as_ref().is_some_and(|keys| !keys.is_empty()) {
                map.remove("no_key_reason");
            }
        }
        Value::Object(map)
    }
}

/// The recall of a release. One that names another process than the release's was signed by keys that answer for that process only.
fn withdrawal(rows: &dyn Rows, row: &ReleaseRow) -> Result<Option<Withdrawal>, RowsError> {
    let payload = rows.get(Table::Statements, &key::withdrawal(&row.member, &row.id))?;
    let read = payload.and_then(|bytes| json::parse_as::<Withdrawal>(&bytes).ok());
    Ok(read.filter(|withdrawal| withdrawal.process == row.slug))
}

/// An audience as the row keeps it.
fn audience(row: &state::Audience) -> Audience {
    match row {
        state::Audience::Federation => Audience::Federation,
        state::Audience::Public => Audience::Public,
        state::Audience::Members(handles) => Audience::Members(handles.iter().filter_map(|h| h.parse().ok()).collect()),
    }
}
