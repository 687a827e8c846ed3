//! Questions and answers.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;

use super::document::Facet;

/// Hits of one answer at most.
pub const LIMIT_MAX: usize = 200;
/// Characters of a question that are read; what lies beyond is ignored. A sentence fits.
pub const TEXT_MAX_CHARS: usize = 300;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// What is looked for; `None` or nothing but punctuation lists everything.
    pub text: Option<String>,
    /// Classes that the viewer holds. Without any, nothing is found.
    pub viewer: Vec<String>,
    /// Of each facet named, a hit has one of the values.
    pub filters: BTreeMap<Facet, Vec<String>>,
    /// At most this many hits; at least 1 and at most [`LIMIT_MAX`] are given.
    pub limit: usize,
    /// Goes on after this place.
    pub after: Option<Cursor>,
}

/// A place in the list of hits.
///
/// As long as the index does not change, the pages of a question are the parts of one list. If it changes in between, the list goes
/// on after the same score and key: a hit whose score moved may come twice or not at all. Without a text the order is that of the
/// keys and nothing moves.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    pub(super) score: f32,
    pub(super) key: String,
}

/// Not a cursor of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a list of hits; pass on `next` of the page before as it came")]
pub struct CursorError;

/// Longest key in a cursor that is read, in bytes.
const CURSOR_KEY_MAX: usize = 1_024;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}", self.score.to_bits(), self.key)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (score, key) = text.split_once('.').ok_or(CursorError)?;
        if score.len() != 8 || key.len() > CURSOR_KEY_MAX {
            return Err(CursorError);
        }
        let score = f32::from_bits(u32::from_str_radix(score, 16).map_err(|_| CursorError)?);
        if !score.is_finite() {
            return Err(CursorError);
        }
        Ok(Self { score, key: key.to_owned() })
    }
}

impl Eq for Cursor {}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Answer {
    /// All hits, on all pages.
    pub total: usize,
    /// Best first; what scores the same by key.
    pub hits: Vec<Hit>,
    /// For each facet the values of what was found, most frequent first. The counts of a facet disregard the filter of that facet
    /// alone, so that they say what choosing another value would give.
    pub facets: BTreeMap<Facet, Vec<Count>>,
    /// Where the next page starts; `None` at the end.
    #[serde(skip)]
    pub next: Option<Cursor>,
}

/// How often a value occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Value of a facet.
    pub value: String,
    /// Documents that have it.
    pub count: usize,
}

/// Where a text was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Title.
    Title,
    /// Keywords.
    Keywords,
    /// Summary.
    Summary,
    /// Description.
    Description,
    /// Legal basis.
    LegalBasis,
    /// Text of a file.
    File,
}

/// Text, and which parts of it match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Marked {
    /// Where it is from.
    pub field: Field,
    /// Path of the file, if it is from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Plain text, cut at words where it is long.
    pub text: String,
    /// What matches, in bytes of `text` (UTF-8), on character boundaries, ascending, apart from each other.
    pub ranges: Vec<Range<usize>>,
}

/// One document that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// Its key.
    pub key: String,
    /// Its group.
    pub group: String,
    /// How well it fits; only to be compared within one list. 0 without a text.
    pub score: f32,
    /// Its title in full.
    pub title: Marked,
    /// A place that matches, or the summary.
    pub snippet: Marked,
    /// The caller's own.
    pub data: serde_json::Value,
}
