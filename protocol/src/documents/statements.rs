//! Documents about releases and processes: correction, withdrawal, deprecation, adoption, transfer, advisory.
//!
//! Strings that stand for a choice (severity, stage) stay strings: receivers keep values that they do not know.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Document, DocumentError, plain, plain_opt};
use crate::ids::{FederationId, MemberId, Sha256, Slug};
use crate::limits::{BODIES_MAX, CORRECTION_FIELDS_MAX};

/// Descriptive keys of a release change. Signed by the publisher threshold of the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The federation.
    pub federation: FederationId,
    /// Owner of the process.
    pub member: MemberId,
    /// The process.
    pub process: Slug,
    /// The release that is corrected, by payload hash.
    pub release: Sha256,
    /// Keys of the metadata and their new values; only descriptive keys have an effect.
    pub fields: Map<String, Value>,
    /// Seconds since 1970.
    pub time_s: u64,
}

impl Document for Correction {
    const TYPE: &'static str = "application/vnd.verbund.correction.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        if self.fields.is_empty() || self.fields.len() > CORRECTION_FIELDS_MAX {
            return Err(DocumentError::Rule { key: "fields", rule: "1 to 64 keys" });
        }
        Ok(())
    }
}

/// A release is recalled. Signed by the publisher threshold of the owner. Nothing else ever removes a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The federation.
    pub federation: FederationId,
    /// Owner of the process.
    pub member: MemberId,
    /// The process.
    pub process: Slug,
    /// The release, by payload hash.
    pub release: Sha256,
    /// Why, for people.
    pub reason: String,
    /// `low`, `medium`, `high`, `critical`; others are kept and shown.
    pub severity: String,
    /// What to use instead: a reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// Holders are asked to delete the bytes.
    #[serde(default)]
    pub erase: bool,
    /// Seconds since 1970.
    pub time_s: u64,
}

impl Document for Withdrawal {
    const TYPE: &'static str = "application/vnd.verbund.withdrawal.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        plain("reason", &self.reason)?;
        plain("severity", &self.severity)?;
        plain_opt("successor", self.successor.as_deref())
    }
}

/// The end of a process or release is announced. Signed by the publisher threshold of the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deprecation {
    /// The federation.
    pub federation: FederationId,
    /// Owner of the process.
    pub member: MemberId,
    /// The process.
    pub process: Slug,
    /// One release, or the whole process if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Sha256>,
    /// Why, for people.
    pub reason: String,
    /// Last day of maintenance, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// What to use instead: a reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// Seconds since 1970.
    pub time_s: u64,
}

impl Document for Deprecation {
    const TYPE: &'static str = "application/vnd.verbund.deprecation.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        plain("reason", &self.reason)?;
        plain_opt("ends", self.ends.as_deref())?;
        plain_opt("successor", self.successor.as_deref())
    }
}

/// A member uses a release. Signed by its approver threshold; a later one about the same process replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The federation.
    pub federation: FederationId,
    /// Who uses it.
    pub member: MemberId,
    /// Owner of the process.
    pub owner: MemberId,
    /// The process.
    pub process: Slug,
    /// The release in use, or none for the process at large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Sha256>,
    /// `interesse`, `geplant`, `pilot`, `produktiv`, `beendet`; others are kept and shown.
    pub stage: String,
    /// Since when, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// For which bodies: ARS keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bodies: Vec<String>,
    /// For how many bodies, where they are not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The terms that it accepts, by SHA-256 of their file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Sha256>,
    /// Seconds since 1970.
    pub time_s: u64,
}

impl Document for Adoption {
    const TYPE: &'static str = "application/vnd.verbund.adoption.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        plain("stage", &self.stage)?;
        plain_opt("since", self.since.as_deref())?;
        if self.bodies.len() > BODIES_MAX {
            return Err(DocumentError::Rule { key: "bodies", rule: "at most 2,500" });
        }
        let ars = |b: &String| matches!(b.len(), 2 | 3 | 5 | 9 | 12) && b.bytes().all(|b| b.is_ascii_digit());
        if !self.bodies.iter().all(ars) {
            return Err(DocumentError::Rule { key: "bodies", rule: "ARS keys of 2, 3, 5, 9 or 12 digits" });
        }
        Ok(())
    }
}

/// A process moves to another member. Signed by the publisher threshold of the old owner; effective when the new owner
/// publishes a release that names it in `succeeds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The federation.
    pub federation: FederationId,
    /// The old owner.
    pub member: MemberId,
    /// The process in the old owner's namespace.
    pub process: Slug,
    /// The new owner.
    pub to: MemberId,
    /// The process in the new owner's namespace.
    pub slug: Slug,
    /// Seconds since 1970.
    pub time_s: u64,
}

impl Document for Transfer {
    const TYPE: &'static str = "application/vnd.verbund.transfer.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        if self.to == self.member {
            return Err(DocumentError::Rule { key: "to", rule: "another member" });
        }
        Ok(())
    }
}

/// Reserved: any member warns about a release. Signed by its approver threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisory {
    /// The federation.
    pub federation: FederationId,
    /// Who warns.
    pub member: MemberId,
    /// Owner of the process.
    pub owner: MemberId,
    /// The process.
    pub process: Slug,
    /// The release, by payload hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Sha256>,
    /// `low`, `medium`, `high`, `critical`; others are kept and shown.
    pub severity: String,
    /// The warning.
    pub text: String,
    /// Seconds since 1970.
    pub time_s: u64,
}

impl Document for Advisory {
    const TYPE: &'static str = "application/vnd.verbund.advisory.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        plain("severity", &self.severity)?;
        plain("text", &self.text)
    }
}
