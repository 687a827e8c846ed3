//! How one release names other processes and releases.
//!
//! Owns the text forms `[FEDERATION:]handle/slug` and `[FEDERATION:]handle/slug@version`. Resolves nothing: whether the process
//! exists is decided by the catalogue.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::ids::{Handle, Slug};

/// Why a reference was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a reference to a {what}: expected {expected}")]
pub struct ReferenceError {
    what: &'static str,
    expected: &'static str,
    text: String,
}

/// A process by the handle of its owner: `[FEDERATION:]de-he/hundesteuer-anmeldung`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProcessRef {
    /// Slug of another federation; `None` is the one that the release belongs to.
    pub federation: Option<Slug>,
    /// Handle of the owner of the namespace.
    pub owner: Handle,
    /// Name in it.
    pub slug: Slug,
}

impl FromStr for ProcessRef {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse_process(text).ok_or_else(|| ReferenceError {
            what: "process",
            expected: "[federation:]owner/slug such as de-he/hundesteuer-anmeldung",
            text: text.chars().take(80).collect(),
        })
    }
}

fn parse_process(text: &str) -> Option<ProcessRef> {
    let (federation, rest) = match text.split_once(':') {
        Some((federation, rest)) => (Some(federation.parse().ok()?), rest),
        None => (None, text),
    };
    let (owner, slug) = rest.split_once('/')?;
    Some(ProcessRef { federation, owner: owner.parse().ok()?, slug: slug.parse().ok()? })
}

impl fmt::Display for ProcessRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(federation) = &self.federation {
            write!(f, "{federation}:")?;
        }
        write!(f, "{}/{}", self.owner, self.slug)
    }
}

/// One version of a process: `[FEDERATION:]de-he/hundesteuer-anmeldung@1.2.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReleaseRef {
    /// The process.
    pub process: ProcessRef,
    /// Its version.
    pub version: Version,
}

impl FromStr for ReleaseRef {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        text.split_once('@')
            .and_then(|(process, version)| {
                Some(Self { process: parse_process(process)?, version: Version::parse(version).ok()? })
            })
            .ok_or_else(|| ReferenceError {
                what: "release",
                expected: "[federation:]owner/slug@version such as de-he/hundesteuer-anmeldung@1.2.0",
                text: text.chars().take(80).collect(),
            })
    }
}

impl fmt::Display for ReleaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.process, self.version)
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl From<$name> for String {
            fn from(reference: $name) -> Self {
                reference.to_string()
            }
        }
        impl TryFrom<String> for $name {
            type Error = ReferenceError;
            fn try_from(text: String) -> Result<Self, ReferenceError> {
                text.parse()
            }
        }
    };
}
text_form!(ProcessRef);
text_form!(ReleaseRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip() {
        for text in ["de-he/hund", "mitte:de-he/hund"] {
            assert_eq!(text.parse::<ProcessRef>().unwrap().to_string(), text);
            let release = format!("{text}@1.2.0-rc.1");
            assert_eq!(release.parse::<ReleaseRef>().unwrap().to_string(), release);
        }
        for text in ["hund", "de-he/", "/hund", "de-he/hund/x", "DE-HE/hund", "a:b:de-he/hund", "de-he/hund@1.0.0", ""]
        {
            assert!(text.parse::<ProcessRef>().is_err(), "{text}");
        }
        for text in ["de-he/hund", "de-he/hund@^1", "de-he/hund@1.2"] {
            assert!(text.parse::<ReleaseRef>().is_err(), "{text}");
        }
    }
}
