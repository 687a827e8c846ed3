//! What people write to name a process or a release: `[FEDERATION:]de-he/slug[@1.2.0|@^1.2|@sha256:…]`.
//!
//! Owns the text form. What it leads to is the catalogue's to find.

use std::fmt;
use std::str::FromStr;

use semver::{Version, VersionReq};

use super::owners::Name;
use crate::ids::{Sha256, Slug};

/// A reference that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a reference: {why}")]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

/// Which version of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The highest stable one that is not withdrawn.
    Newest,
    /// This one.
    Exact(Version),
    /// The highest one that fits and is not withdrawn.
    Range(VersionReq),
    /// The one whose statement has this hash.
    Digest(Sha256),
}

/// A text that names a process or a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Short name of the federation, if it names one.
    pub federation: Option<Slug>,
    /// What it names there.
    pub target: Target,
}

/// What a reference names within its federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A version of a process.
    Process {
        /// Its owner.
        owner: Name,
        /// Its name.
        slug: Slug,
        /// Which version.
        selector: Selector,
    },
    /// The release whose statement has this hash, of whatever process.
    Release(Sha256),
}

const FORM: &str = "expected [federation:]owner/process[@version], such as de-he/hundesteuer-anmeldung@1.2.0";
const VERSION: &str = "after @ comes a version in three numbers (1.2.0), a range (^1.2) or sha256: and 64 hex digits";

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let refused = |why| ReferenceError { text: text.chars().take(80).collect(), why };
        let (place, selector) = match text.split_once('@') {
            Some((place, selector)) => (place, Some(selector)),
            None => (text, None),
        };
        let Some((owner, slug)) = place.split_once('/') else {
            // A hash says everything: `process pull` goes on by it.
            let (federation, digest) =
                federation(place, |rest| rest.parse::<Sha256>().ok()).ok_or_else(|| refused(FORM))?;
            if selector.is_some() {
                return Err(refused(FORM));
            }
            return Ok(Self { federation, target: Target::Release(digest) });
        };
        let (federation, owner) = federation(owner, |rest| rest.parse::<Name>().ok()).ok_or_else(|| refused(FORM))?;
        let slug = slug.parse().map_err(|_| refused(FORM))?;
        let selector = match selector {
            None => Selector::Newest,
            Some(selector) => parse_selector(selector).ok_or_else(|| refused(VERSION))?,
        };
        Ok(Self { federation, target: Target::Process { owner, slug, selector } })
    }
}

/// Reads `rest` or `federation:rest`.
fn federation<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<(Option<Slug>, T)> {
    if let Some(value) = read(text) {
        return Some((None, value));
    }
    let (federation, rest) = text.split_once(':')?;
    Some((Some(federation.parse().ok()?), read(rest)?))
}

fn parse_selector(text: &str) -> Option<Selector> {
    if let Ok(version) = Version::parse(text) {
        return Some(Selector::Exact(version));
    }
    if text.starts_with("sha256:") {
        return text.parse().ok().map(Selector::Digest);
    }
    // semver reads a bare `1.2` as `^1.2`; here it would be a version with a part forgotten.
    let range = text.starts_with(|c: char| !c.is_ascii_digit());
    range.then(|| VersionReq::parse(text).ok()).flatten().map(Selector::Range)
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => Ok(()),
            Self::Exact(version) => write!(f, "@{version}"),
            Self::Range(range) => write!(f, "@{range}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}
