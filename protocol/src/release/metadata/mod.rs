//! What a release says about itself: the keys of `process.toml`, and of the predicate of the signed statement.
//!
//! Owns the typed form and its JSON. Two readings lead here: [`strict`] from `process.toml` when publishing, and
//! [`Received`] from signed JSON, which keeps what it does not know. Judges neither ownership nor the rest of the catalogue.

mod received;
mod rules;
pub mod strict;
mod values;

pub use received::{Received, ShapeError};
pub use rules::{BASE_SERVICES, THEMENFELDER};
pub use strict::Context;
pub use values::{
    Audience, BaseService, Change, ChangeKind, Cost, CostKind, Dependency, DependencyKind, FimStatus, LegalBasis,
    Level, Maintenance, MaintenanceKind, Maturity, Origin, Parameter, ParameterType, Platform, Stage, Terms,
};

use semver::Version;
use serde::{Deserialize, Serialize};

use super::reference::ProcessRef;
use crate::ids::Slug;

pub(super) use received::{optional, within_caps as received_caps};

/// All that a release says about itself. Optional texts and lists are absent from its JSON when empty.
///
/// The rules of each key are those of publishing; a received value is only bounded (see [`Received`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Name of the process in its owner's namespace.
    pub id: Slug,
    /// Semantic version without build metadata; rising within a major version.
    pub version: Version,
    /// Plain text, at most 300 characters.
    pub title: String,
    /// Plain text, at most 150 characters.
    pub summary: String,
    /// Plain text of several lines, at most 10,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Keys of the LeiKa: 14 digits each, without spaces; federal ones start 99.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leistungsschluessel: Vec<String>,
    /// Why there is no Leistungsschlüssel; mandatory if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_key_reason: Option<String>,
    /// Numbers of the OZG-Umsetzungskatalog: 5 digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ozg_id: Vec<String>,
    /// One of [`THEMENFELDER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub themenfeld: Option<String>,
    /// At most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// What the service rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legal_basis: Vec<LegalBasis>,
    /// Who runs it; at least one.
    pub level: Vec<Level>,
    /// Where it applies: prefixes of the Amtlicher Regionalschlüssel (2, 3, 5, 9 or 12 digits); empty means everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Editorial status in FIM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fim_status: Option<FimStatus>,
    /// OZG Reifegrad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maturity: Option<Maturity>,
    /// Level of trust that users must be identified with: 00, 10, 15, 20, 30, 40 (XZuFi).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_level: Option<String>,
    /// Shared services that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_services: Vec<BaseService>,
    /// What it runs on.
    pub platform: Platform,
    /// Other processes that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<Dependency>,
    /// What must be set before it runs; never values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// SPDX expression, or `LicenseRef-…`.
    pub license: String,
    /// Terms of use, beside the licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// Who may have the files.
    #[serde(default)]
    pub audience: Audience,
    /// What re-use costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Who keeps it up to date.
    pub maintenance: Maintenance,
    /// What changed since the last version.
    pub change: Change,
    /// A functional mailbox.
    pub contact: String,
    /// The body in charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responsible: Option<String>,
    /// The development community.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partners: Vec<String>,
    /// The release that this one was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<Origin>,
    /// The process of another owner that this one continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeds: Option<ProcessRef>,
}

impl Metadata {
    /// The JSON of the statement's predicate.
    pub fn to_json(&self) -> serde_json::Value {
        // Every key is a string and every value text, list, number or object of such, so this cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
pub(in crate::release) mod tests;
