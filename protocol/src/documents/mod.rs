//! The signed documents besides identities, charters and releases: their content, and what each must satisfy by itself.
//!
//! Owns formats and self-contained checks. Whether a signer had the authority is judged where the document stands (a log, a
//! certificate, a join); nothing here looks at keys beyond sealing.

pub mod membership;
pub mod statements;
#[cfg(test)]
mod tests;

use serde::{Serialize, de::DeserializeOwned};

use crate::envelope::{Envelope, EnvelopeError};
use crate::identity::IDENTITY_TYPE;
use crate::json::{self, JsonError};
use crate::keys::SecretKey;
use crate::limits::TEXT_MAX_CHARS;
use crate::words::quotable;

pub use membership::{Approval, Change, Leave, LogEnd, NodeInfo, Ordering, Request, Standing, VoteKind, Writer};
pub use statements::{Adoption, Advisory, Correction, Deprecation, Transfer, Withdrawal};

/// Payload type of a charter. Its envelope is unsigned: a charter is certified, not signed.
pub const CHARTER_TYPE: &str = "application/vnd.verbund.charter.v1+json";
/// Payload type of a release: an in-toto statement.
pub const RELEASE_TYPE: &str = "application/vnd.in-toto+json";

/// Why a document was refused by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The envelope holds another kind of document.
    #[error("expected {expected}, got {got:?}")]
    Type {
        /// Payload type wanted.
        expected: &'static str,
        /// Payload type found.
        got: String,
    },
    /// The payload is malformed.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// The envelope cannot be made.
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    /// A value breaks a rule of its document.
    #[error("{key}: {rule}")]
    Rule {
        /// Key in the payload.
        key: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

/// A document with a fixed payload type and a check of its own.
pub trait Document: Serialize + DeserializeOwned {
    /// Payload type of its envelope.
    const TYPE: &'static str;

    /// Whether the payload must be in canonical form (it is compared or rebuilt by others).
    const CANONICAL: bool = false;

    /// Checks the content by itself.
    ///
    /// # Errors
    /// [`DocumentError::Rule`] naming key and rule.
    fn check(&self) -> Result<(), DocumentError>;

    /// Reads the document in `envelope`.
    ///
    /// # Errors
    /// [`DocumentError`] for another type, a malformed payload or content that breaks a rule.
    fn open(envelope: &Envelope) -> Result<Self, DocumentError> {
        if envelope.payload_type() != Self::TYPE {
            return Err(DocumentError::Type { expected: Self::TYPE, got: quotable(envelope.payload_type()) });
        }
        let document: Self = if Self::CANONICAL {
            json::parse_canonical(envelope.payload())?
        } else {
            json::parse_as(envelope.payload())?
        };
        document.check()?;
        Ok(document)
    }

    /// Signs the document with `keys`.
    ///
    /// # Errors
    /// [`DocumentError`] if the content breaks a rule or does not fit a leaf.
    fn seal(&self, keys: &[&SecretKey]) -> Result<Envelope, DocumentError> {
        self.check()?;
        Ok(Envelope::sign(Self::TYPE, json::to_canonical(self)?, keys.iter().copied())?)
    }
}

/// What kind of document an envelope says it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the kinds are those of the documents of the same names")]
pub enum Kind {
    Identity,
    Writer,
    NodeInfo,
    Request,
    Approval,
    Charter,
    Ordering,
    Release,
    Correction,
    Withdrawal,
    Deprecation,
    Adoption,
    Transfer,
    Leave,
    Advisory,
    /// A kind that this version does not know. Kept in logs, without effect.
    Unknown,
}

impl Kind {
    /// The kind that `envelope`'s payload type names.
    pub fn of(envelope: &Envelope) -> Self {
        match envelope.payload_type() {
            IDENTITY_TYPE => Self::Identity,
            Writer::TYPE => Self::Writer,
            NodeInfo::TYPE => Self::NodeInfo,
            Request::TYPE => Self::Request,
            Approval::TYPE => Self::Approval,
            CHARTER_TYPE => Self::Charter,
            Ordering::TYPE => Self::Ordering,
            RELEASE_TYPE => Self::Release,
            Correction::TYPE => Self::Correction,
            Withdrawal::TYPE => Self::Withdrawal,
            Deprecation::TYPE => Self::Deprecation,
            Adoption::TYPE => Self::Adoption,
            Transfer::TYPE => Self::Transfer,
            Leave::TYPE => Self::Leave,
            Advisory::TYPE => Self::Advisory,
            _ => Self::Unknown,
        }
    }
    /// Its name as people see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Writer => "writer",
            Self::NodeInfo => "node_info",
            Self::Request => "request",
            Self::Approval => "approval",
            Self::Charter => "charter",
            Self::Ordering => "ordering",
            Self::Release => "release",
            Self::Correction => "correction",
            Self::Withdrawal => "withdrawal",
            Self::Deprecation => "deprecation",
            Self::Adoption => "adoption",
            Self::Transfer => "transfer",
            Self::Leave => "leave",
            Self::Advisory => "advisory",
            Self::Unknown => "unknown",
        }
    }
}

/// Checks a short text: present, bounded, no control characters.
pub(crate) fn plain(key: &'static str, text: &str) -> Result<(), DocumentError> {
    if text.is_empty() || text.chars().count() > TEXT_MAX_CHARS || text.chars().any(char::is_control) {
        return Err(DocumentError::Rule { key, rule: "must have 1 to 300 characters and no control characters" });
    }
    Ok(())
}

/// Checks a short text that may be absent.
pub(crate) fn plain_opt(key: &'static str, text: Option<&str>) -> Result<(), DocumentError> {
    text.map_or(Ok(()), |t| plain(key, t))
}
