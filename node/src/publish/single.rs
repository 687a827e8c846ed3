//! The description of a single export file that is published without a folder and without `process.toml`.
//!
//! Owns what is said for the publisher where nothing was said: title and keys as recognised in the file, a summary that repeats
//! the title. The rest is derived as for a folder; what is the same for a whole team stands in `publish-defaults.toml` beside the
//! file or above it. The description is no file of the release.

use std::fmt::Write as _;

use verbund_protocol::limits::{SUMMARY_MAX_CHARS, TITLE_MAX_CHARS};
use verbund_protocol::release::Submission;

use super::proposal::{gather, quoted};
use super::{Scanned, TextFile};

/// What the publisher said about a single file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// What the process is called; absent: as the file says, or its name.
    pub title: Option<String>,
    /// What it does; absent: the title.
    pub summary: Option<String>,
    /// What changed; absent: that the file was exported.
    pub change: Option<String>,
    /// The kind of change; absent: `fachlich`.
    pub kind: Option<String>,
}

impl Said {
    /// Whether anything was said.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

fn cut(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect::<String>().trim().to_owned()
}

/// The description, as a `process.toml` would have it. What was said is passed on as it is: the rules judge it.
pub(super) fn submission(scanned: &Scanned, said: &Said) -> Submission {
    let hints = gather(scanned);
    let name = scanned.files.first().map_or("", |file| file.path.name());
    let beautiful = scanned.folder.replace(['-', '_'], " ");
    let title = said.title.clone().unwrap_or_else(|| cut(hints.names.first().unwrap_or(&beautiful), TITLE_MAX_CHARS));
    let summary = said.summary.clone().unwrap_or_else(|| cut(&title, SUMMARY_MAX_CHARS));
    let change = said.change.clone().unwrap_or_else(|| format!("Export {name}"));
    let kind = said.kind.as_deref().unwrap_or("fachlich");
    let keys: Vec<String> = hints.keys.iter().map(|key| quoted(key)).collect();
    let mut text = String::new();
    let _ = writeln!(text, "title = {}\nsummary = {}", quoted(&title), quoted(&summary));
    let _ = writeln!(text, "change = {{ kind = {}, text = {} }}", quoted(kind), quoted(&change));
    let _ = writeln!(text, "leistungsschluessel = [{}]", keys.join(", "));
    if keys.is_empty() {
        text.push_str("no_key_reason = \"nicht angegeben\"\n");
    }
    text.push_str(&hints.needs_lines());
    text.push_str(&hints.platform_line().unwrap_or_default());
    let process = TextFile { name: format!("description of {name}"), text };
    Submission { process, defaults: scanned.defaults.clone(), folder: scanned.folder.clone() }
}
