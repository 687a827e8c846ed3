//! What is searched.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What documents are counted by and filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facet {
    /// Federation that it was found in.
    Federation,
    /// Owner.
    Member,
    /// OZG-Themenfeld.
    Topic,
    /// Level of the state that runs it.
    Level,
    /// How far it is.
    Stage,
    /// What it runs on.
    Platform,
    /// Licence.
    Licence,
    /// Base services that it needs.
    BaseService,
}

impl Facet {
    /// All of them, in the order in which people are shown them.
    pub const ALL: [Self; 8] = [
        Self::Federation,
        Self::Member,
        Self::Topic,
        Self::Level,
        Self::Stage,
        Self::Platform,
        Self::Licence,
        Self::BaseService,
    ];

    /// Its name in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Federation => "federation",
            Self::Member => "member",
            Self::Topic => "topic",
            Self::Level => "level",
            Self::Stage => "stage",
            Self::Platform => "platform",
            Self::Licence => "licence",
            Self::BaseService => "base_service",
        }
    }
}

impl fmt::Display for Facet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No facet has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no facet; there are federation, member, topic, level, stage, platform, licence, base_service")]
pub struct UnknownFacet(String);

impl FromStr for Facet {
    type Err = UnknownFacet;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|facet| facet.name() == text)
            .ok_or_else(|| UnknownFacet(text.chars().take(40).collect()))
    }
}

/// The text of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileText {
    /// Path in the release.
    pub path: String,
    /// Plain text, as [`crate::formats`] found it.
    pub text: String,
}

/// One thing that can be found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Document {
    /// Its name, unlike any other document's; orders what scores the same.
    pub key: String,
    /// What it belongs to: documents of a group are replaced and removed together.
    pub group: String,
    /// Who may see it: those who hold one of these classes. Nobody, if empty.
    pub classes: Vec<String>,
    /// Who must not see it although they hold one of `classes`: those who hold one of these.
    pub except: Vec<String>,
    /// Title.
    pub title: String,
    /// Keywords.
    pub keywords: Vec<String>,
    /// In a sentence.
    pub summary: String,
    /// At length.
    pub description: String,
    /// What it rests on.
    pub legal_basis: Vec<String>,
    /// Keys: Leistungsschlüssel, OZG-ID, the platform's own. Found as a whole and by their beginning.
    pub numbers: Vec<String>,
    /// Text of its files.
    pub files: Vec<FileText>,
    /// What it is counted and filtered by.
    pub facets: BTreeMap<Facet, Vec<String>>,
    /// The caller's own; comes back with a hit.
    pub data: serde_json::Value,
}
