//! Filling in what people need not type: id, version, licence, terms, and what `publish-defaults.toml` says for a whole team.
//!
//! Owns the order in which sources count: `process.toml`, then `publish-defaults.toml`, then the charter, then the folder and the
//! versions so far. A value keeps its place, so that a refusal names the file it stands in. Pure: the caller reads files.

use std::collections::btree_map::Entry;

use semver::{Prerelease, Version};
use serde::{Deserialize, Serialize};

use super::metadata::{ChangeKind, Context, Metadata, strict};
use super::problem::{Findings, Problem};
use super::text::slugify;
use super::toml::{self, Node, Reader, Table, Value};

/// Keys that `publish-defaults.toml` may set: what is the same for all processes of a team.
pub const DEFAULT_KEYS: [&str; 9] =
    ["contact", "cost", "level", "license", "maintenance", "partners", "platform", "regions", "responsible"];

/// A file and its text.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name, for problems.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A file and its text, owned: what a publisher hands to its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFile {
    /// Its name, for problems.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl TextFile {
    /// As a source.
    pub fn source(&self) -> Source<'_> {
        Source { file: &self.name, text: &self.text }
    }
}

/// What the publisher's side knows of the metadata. The node, which knows versions and charter, completes it, so that both sides
/// follow one set of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// `process.toml`.
    pub process: TextFile,
    /// `publish-defaults.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<TextFile>,
    /// Name of the published folder.
    pub folder: String,
}

impl Submission {
    /// Completes and checks the metadata with what the node knows; see [`derive()`].
    ///
    /// # Errors
    /// All problems found.
    pub fn complete(
        &self,
        published: &Published,
        charter: &CharterDefaults,
        context: Context<'_>,
    ) -> Result<Derived, Vec<Problem>> {
        derive(Inputs {
            process: self.process.source(),
            defaults: self.defaults.as_ref().map(TextFile::source),
            folder: &self.folder,
            published,
            charter,
            context,
        })
    }
}

/// What the charter sets for releases that say nothing themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CharterDefaults {
    /// Licence, as an SPDX expression.
    pub license: Option<String>,
    /// Terms of use of releases that name none, as the charter words them.
    pub terms: Option<String>,
}

impl From<&crate::charter::rules::Rules> for CharterDefaults {
    fn from(rules: &crate::charter::rules::Rules) -> Self {
        Self { license: rules.license.clone(), terms: rules.terms.clone() }
    }
}

/// The versions of a process that its owner has released so far, in any order, withdrawn ones included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// The versions.
    pub versions: Vec<Version>,
}

impl Published {
    /// The version after a change of `kind`: patch for `redaktionell` and `sicherheit`, minor for `fachlich` and `rechtlich`,
    /// 1.0.0 if there is none yet. A pre-release that is the highest becomes its release.
    ///
    /// A new major version is never derived: that others must adapt is for people to decide.
    pub fn next(&self, kind: &ChangeKind) -> Version {
        let Some(last) = self.versions.iter().max() else { return Version::new(1, 0, 0) };
        let mut next = Version::new(last.major, last.minor, last.patch);
        if last.pre == Prerelease::EMPTY {
            match kind {
                ChangeKind::Fachlich | ChangeKind::Rechtlich => {
                    next = Version::new(last.major, last.minor.saturating_add(1), 0)
                }
                _ => next.patch = next.patch.saturating_add(1),
            }
        }
        next
    }

    /// Whether `version` may be released now: it must be higher than all with its major version.
    ///
    /// # Errors
    /// A stable code (`version_taken`, `version_falls`) and the rule in words.
    pub fn admits(&self, version: &Version) -> Result<(), (&'static str, String)> {
        if self.versions.contains(version) {
            let rule =
                "is released already, and a version never changes; raise it, or leave `version` out to have it derived";
            return Err(("version_taken", rule.to_owned()));
        }
        match self.versions.iter().filter(|v| v.major == version.major).max() {
            Some(highest) if highest > version => Err((
                "version_falls",
                format!("versions rise within a major version, and {highest} is released already"),
            )),
            _ => Ok(()),
        }
    }
}

/// All that metadata are made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// `process.toml`.
    pub process: Source<'a>,
    /// `publish-defaults.toml`, from the nearest parent folder that has one.
    pub defaults: Option<Source<'a>>,
    /// Name of the published folder.
    pub folder: &'a str,
    /// Versions so far. For an explicit version that is among them the answer is the problem `version_taken`; to tell an identical
    /// publication from a changed one, derive again without that version and compare manifest and metadata.
    pub published: &'a Published,
    /// Defaults of the federation.
    pub charter: &'a CharterDefaults,
    /// What else the rules need to know.
    pub context: Context<'a>,
}

/// A value that was filled in, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The key.
    pub key: &'static str,
    /// The value, if it is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its source in words.
    pub from: String,
}

/// Complete metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The metadata.
    pub metadata: Metadata,
    /// What the publisher should know.
    pub warnings: Vec<Problem>,
    /// What was filled in.
    pub notes: Vec<Note>,
}

/// Completes and checks the metadata of a folder.
///
/// # Errors
/// All problems found, of `process.toml` and of `publish-defaults.toml`.
pub fn derive(inputs: Inputs<'_>) -> Result<Derived, Vec<Problem>> {
    let mut findings = Findings::default();
    let mut notes = Vec::new();
    let parsed = |source: Source<'_>, findings: &mut Findings| {
        toml::parse(source.file, source.text).unwrap_or_else(|problems| {
            problems.into_iter().for_each(|p| findings.refuse(p));
            Table::new()
        })
    };
    let mut table = parsed(inputs.process, &mut findings);
    if let Some(source) = inputs.defaults {
        let defaults = parsed(source, &mut findings);
        check_defaults(source, &defaults, &mut findings);
        merge(&mut table, defaults, &mut notes);
    }
    // Without a readable file every key would be missing; that says nothing.
    if findings.errors.iter().any(|p| matches!(p.code, "toml" | "too_long") && p.key.is_none()) {
        return Err(findings.errors);
    }
    charter_defaults(&mut table, inputs.charter, &mut notes);
    own_names(&mut table, inputs, &mut notes);
    let metadata = strict::read(inputs.process.file, &table, inputs.context, &mut findings);
    if let (Some(metadata), Some(node)) = (&metadata, table.get("version"))
        && let Err((code, rule)) = inputs.published.admits(&metadata.version)
    {
        findings.refuse(node.problem(code, "version", rule));
    }
    match metadata {
        Some(metadata) if findings.errors.is_empty() => Ok(Derived { metadata, warnings: findings.warnings, notes }),
        _ => Err(findings.errors),
    }
}

/// Refuses keys that belong to one process only.
fn check_defaults(source: Source<'_>, defaults: &Table, findings: &mut Findings) {
    let mut reader = Reader::top(source.file, defaults, findings);
    for key in DEFAULT_KEYS {
        reader.node(key);
    }
    reader.finish(&[]);
}

fn merge(table: &mut Table, defaults: Table, notes: &mut Vec<Note>) {
    for (key, node) in defaults {
        let Some(known) = DEFAULT_KEYS.iter().find(|k| **k == key) else { continue };
        if let Entry::Vacant(place) = table.entry(key) {
            notes.push(Note { key: known, value: node.value.shown(), from: node.file.to_string() });
            place.insert(node);
        }
    }
}

/// Puts a derived value where none is.
fn fill(table: &mut Table, notes: &mut Vec<Note>, key: &'static str, from: &str, value: Value) {
    if !table.contains_key(key) {
        notes.push(Note { key, value: value.shown(), from: from.to_owned() });
        table.insert(key.to_owned(), Node { file: from.into(), line: 0, value });
    }
}

fn charter_defaults(table: &mut Table, charter: &CharterDefaults, notes: &mut Vec<Note>) {
    const FROM: &str = "charter";
    if let Some(license) = &charter.license {
        fill(table, notes, "license", FROM, Value::Text(license.clone()));
    }
    if let Some(terms) = &charter.terms {
        let named = Node { file: FROM.into(), line: 0, value: Value::Text(terms.clone()) };
        fill(table, notes, "terms", FROM, Value::Table(Table::from([("charter".to_owned(), named)])));
    }
}

/// The id from the folder's name, the version from those so far and the kind of change.
fn own_names(table: &mut Table, inputs: Inputs<'_>, notes: &mut Vec<Note>) {
    let slug = slugify(inputs.folder);
    if !slug.is_empty() {
        fill(table, notes, "id", "name of the folder", Value::Text(slug));
    }
    let kind = match table.get("change").map(|n| &n.value) {
        Some(Value::Table(change)) => match change.get("kind").map(|n| &n.value) {
            Some(Value::Text(kind)) => ChangeKind::known(kind.trim()),
            _ => None,
        },
        _ => None,
    };
    // A missing or unknown kind is refused by the reading; to miss a version as well would only confuse.
    let kind = kind.unwrap_or(ChangeKind::Fachlich);
    let from = match inputs.published.versions.iter().max() {
        Some(last) => format!("{last} and change {kind}"),
        None => "first release".to_owned(),
    };
    fill(table, notes, "version", &from, Value::Text(inputs.published.next(&kind).to_string()));
}

#[cfg(test)]
mod tests;
