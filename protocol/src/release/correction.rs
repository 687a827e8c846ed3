//! Corrections: descriptive keys of a release changed after it was published.
//!
//! Owns which keys may change (how a release is found and understood) and that an audience only widens. Files, licence, terms,
//! platform and dependencies never change: that is a new version. A correction never rewrites the release; it lies beside it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::metadata::{
    Audience, LegalBasis, Maintenance, Metadata, ShapeError, Stage, optional, received_caps, strict,
};
use super::problem::{Findings, Problem};
use super::toml::{self, Reader};

/// The keys that a correction may change.
pub const CORRECTABLE: [&str; 13] = [
    "title",
    "summary",
    "description",
    "leistungsschluessel",
    "no_key_reason",
    "ozg_id",
    "themenfeld",
    "keywords",
    "legal_basis",
    "contact",
    "maintenance",
    "stage",
    "audience",
];

/// The keys of a release that no correction may name; on receipt they have no effect, as unknown ones.
const FIXED: [&str; 19] = [
    "id",
    "version",
    "level",
    "regions",
    "fim_status",
    "maturity",
    "trust_level",
    "base_services",
    "platform",
    "depends",
    "parameters",
    "license",
    "terms",
    "cost",
    "change",
    "responsible",
    "partners",
    "based_on",
    "succeeds",
];

/// Why a correction has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionError {
    /// A key of another shape, or over its cap.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// No descriptive key.
    #[error("correction: no change; one of {} can change", CORRECTABLE.join(", "))]
    Empty,
    /// Somebody who may have the files would lose them.
    #[error("correction: the audience may only widen")]
    Narrower,
}

/// New values of descriptive keys; `None` leaves a key as it is. An empty list empties it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// See [`Metadata::title`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// See [`Metadata::summary`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// See [`Metadata::description`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// See [`Metadata::leistungsschluessel`]; setting keys removes `no_key_reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leistungsschluessel: Option<Vec<String>>,
    /// See [`Metadata::no_key_reason`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_key_reason: Option<String>,
    /// See [`Metadata::ozg_id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ozg_id: Option<Vec<String>>,
    /// See [`Metadata::themenfeld`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub themenfeld: Option<String>,
    /// See [`Metadata::keywords`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keywords: Option<Vec<String>>,
    /// See [`Metadata::legal_basis`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<Vec<LegalBasis>>,
    /// See [`Metadata::contact`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// See [`Metadata::maintenance`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// See [`Metadata::stage`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// See [`Metadata::audience`]; may only widen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
}

impl Changes {
    /// Reads the `fields` of a received correction: shapes and caps only. Keys that are not descriptive have no effect.
    ///
    /// # Errors
    /// [`CorrectionError::Shape`] naming the key, [`CorrectionError::Empty`] if no descriptive key is among them.
    pub fn from_fields(fields: &Map<String, Value>) -> Result<Self, CorrectionError> {
        for key in CORRECTABLE {
            if let Some(value) = fields.get(key) {
                received_caps(key, value)?;
            }
        }
        let changes = Self {
            title: optional(fields, "title")?,
            summary: optional(fields, "summary")?,
            description: optional(fields, "description")?,
            leistungsschluessel: optional(fields, "leistungsschluessel")?,
            no_key_reason: optional(fields, "no_key_reason")?,
            ozg_id: optional(fields, "ozg_id")?,
            themenfeld: optional(fields, "themenfeld")?,
            keywords: optional(fields, "keywords")?,
            legal_basis: optional(fields, "legal_basis")?,
            contact: optional(fields, "contact")?,
            maintenance: optional(fields, "maintenance")?,
            stage: optional(fields, "stage")?,
            audience: optional(fields, "audience")?,
        };
        if changes == Self::default() { Err(CorrectionError::Empty) } else { Ok(changes) }
    }

    /// The `fields` of a correction to sign.
    pub fn to_fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // Every key is a string and every value text, list or object of such, so this cannot be.
            _ => Map::new(),
        }
    }

    /// Reads changes from TOML with the rules of publishing.
    ///
    /// # Errors
    /// All problems found; a key that never changes is one of them. Warnings come with the changes.
    pub fn from_toml(file: &str, text: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let table = toml::parse(file, text)?;
        let mut findings = Findings::default();
        for key in FIXED {
            if let Some(node) = table.get(key) {
                findings.refuse(node.problem("fixed", key, "never changes after publication; release a new version"));
            }
        }
        let mut r = Reader::top(file, &table, &mut findings);
        for key in FIXED {
            r.node(key);
        }
        let changes = strict::changes(&mut r);
        r.finish(&[]);
        if changes == Self::default() && findings.errors.is_empty() {
            findings.refuse(Problem::file(
                "empty",
                file,
                format!("names no key to correct; one of {}", CORRECTABLE.join(", ")),
            ));
        }
        if findings.errors.is_empty() { Ok((changes, findings.warnings)) } else { Err(findings.errors) }
    }

    /// Whether these changes may be made to `original` (the release with all earlier corrections applied).
    ///
    /// # Errors
    /// [`CorrectionError::Empty`] or [`CorrectionError::Narrower`].
    pub fn check(&self, original: &Metadata) -> Result<(), CorrectionError> {
        if *self == Self::default() {
            return Err(CorrectionError::Empty);
        }
        match &self.audience {
            Some(audience) if !original.audience.within(audience) => Err(CorrectionError::Narrower),
            _ => Ok(()),
        }
    }

    /// `original` with these changes.
    #[must_use]
    pub fn apply(&self, original: &Metadata) -> Metadata {
        fn set<T: Clone>(place: &mut T, new: Option<&T>) {
            if let Some(new) = new {
                place.clone_from(new);
            }
        }
        fn set_some<T: Clone>(place: &mut Option<T>, new: Option<&T>) {
            if new.is_some() {
                *place = new.cloned();
            }
        }
        let mut m = original.clone();
        set(&mut m.title, self.title.as_ref());
        set(&mut m.summary, self.summary.as_ref());
        set_some(&mut m.description, self.description.as_ref());
        set(&mut m.leistungsschluessel, self.leistungsschluessel.as_ref());
        set_some(&mut m.no_key_reason, self.no_key_reason.as_ref());
        if !m.leistungsschluessel.is_empty() {
            m.no_key_reason = None;
        }
        set(&mut m.ozg_id, self.ozg_id.as_ref());
        set_some(&mut m.themenfeld, self.themenfeld.as_ref());
        set(&mut m.keywords, self.keywords.as_ref());
        set(&mut m.legal_basis, self.legal_basis.as_ref());
        set(&mut m.contact, self.contact.as_ref());
        set(&mut m.maintenance, self.maintenance.as_ref());
        set_some(&mut m.stage, self.stage.as_ref());
        set(&mut m.audience, self.audience.as_ref());
        m
    }
}

#[cfg(test)]
mod tests;
