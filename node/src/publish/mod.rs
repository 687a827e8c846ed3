//! From a folder to what can be released: its files, its metadata, and what is wrong with either.
//!
//! Owns reading a publisher's folder, which may be hostile, broken or changing: nothing outside it is read except
//! `publish-defaults.toml` in a parent, no link is followed, no special file opened. Never changes the folder, never stores, signs
//! or sends anything.

mod defaults;
pub mod media;
mod proposal;
mod single;
pub mod source;
mod walk;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use verbund_protocol::ids::Handle;
use verbund_protocol::limits::PROCESS_TOML_MAX_BYTES;
use verbund_protocol::release::derive::Note;
use verbund_protocol::release::lint::{self, Lint};
use verbund_protocol::release::metadata::{Context, Metadata};
use verbund_protocol::release::{CharterDefaults, Manifest, Problem, Published, SafePath, Submission};

pub use proposal::init_proposal;
pub use single::Said;
pub use source::{FileSource, SourceError};
pub use verbund_protocol::release::TextFile;
pub use walk::scan;

/// The file that says what a folder is.
pub const PROCESS_FILE: &str = "process.toml";
/// The file in a parent folder that says what is the same for all processes of a team.
pub const DEFAULTS_FILE: &str = "publish-defaults.toml";

/// Bytes of one file that are searched for secrets; what lies beyond is said to be unsearched.
const LINT_FILE_MAX_BYTES: u64 = 16 << 20;
/// Bytes of one folder that are searched for secrets.
const LINT_FOLDER_MAX_BYTES: u64 = 256 << 20;

/// One file of the folder.
#[derive(Debug, Clone)]
pub struct ScannedFile {
    /// Path in the release.
    pub path: SafePath,
    /// Bytes when it was scanned.
    pub size: u64,
    /// What it is, by content first and name second.
    pub media_type: &'static str,
    /// Where its bytes come from.
    pub source: FileSource,
}

/// Something in the folder that is not part of the release, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Path in the folder.
    pub path: String,
    /// Why, in words.
    pub reason: &'static str,
}

/// A folder, read without judging its metadata.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// The folder, without links in its path.
    pub root: PathBuf,
    /// Its name; of a single file its name without the ending.
    pub folder: String,
    /// Whether this is one file that was published without a folder of its own.
    pub single: bool,
    /// Its files, ascending by path; at least one.
    pub files: Vec<ScannedFile>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// What the publisher should know.
    pub warnings: Vec<Problem>,
    /// `process.toml`, if there is one.
    pub process: Option<TextFile>,
    /// The nearest `publish-defaults.toml` of a parent folder.
    pub defaults: Option<TextFile>,
}

/// A folder that may be released: complete metadata, and files to import.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The folder.
    pub scanned: Scanned,
    /// What the release says about itself.
    pub metadata: Metadata,
    /// What the publisher should know, of folder and metadata.
    pub warnings: Vec<Problem>,
    /// What was derived, for the publisher to see.
    pub notes: Vec<Note>,
}

/// What is known about the process beside its folder.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Handle of the publisher.
    pub owner: Option<&'a Handle>,
    /// Versions so far.
    pub published: &'a Published,
    /// Defaults of the federation.
    pub charter: &'a CharterDefaults,
}

impl Scanned {
    /// What a node needs to complete the metadata of this folder, or of this single file and what was said about it.
    ///
    /// # Errors
    /// A problem that names `verbund publish --init` if a folder has no `process.toml`.
    pub fn submission(&self, said: &Said) -> Result<Submission, Vec<Problem>> {
        if self.single {
            return Ok(single::submission(self, said));
        }
        let Some(process) = self.process.clone() else {
            let rule = format!("missing; `verbund publish --init {}` writes a commented proposal", self.root.display());
            return Err(vec![Problem::file("no_process_file", PROCESS_FILE, rule)]);
        };
        Ok(Submission { process, defaults: self.defaults.clone(), folder: self.folder.clone() })
    }
}

/// Reads a folder, completes its metadata and checks everything that can be checked before its files are imported.
///
/// Where the folder lies with the publisher and versions and charter with a node, [`scan`], [`Scanned::submission`] and [`lint_files`] do
/// the publisher's part, and [`Submission::complete`] the node's.
///
/// # Errors
/// All problems found: of the folder if it cannot be read as a release, otherwise of its metadata.
pub fn prepare(folder: &Path, known: Known<'_>) -> Result<Ready, Vec<Problem>> {
    let scanned = scan(folder)?;
    let files: BTreeSet<String> = scanned.files.iter().map(|f| f.path.to_string()).collect();
    let context = Context { owner: known.owner, files: Some(&files) };
    let derived = scanned.submission(&Said::default())?.complete(known.published, known.charter, context)?;
    let mut warnings = scanned.warnings.clone();
    warnings.extend(derived.warnings);
    warnings.extend(lint_files(&scanned)?);
    Ok(Ready { metadata: derived.metadata, notes: derived.notes, warnings, scanned })
}

/// Reads all files once and makes the manifest, without storing anything (`publish --check`).
///
/// # Errors
/// A problem for each file that cannot be read or changes meanwhile, and for a manifest out of bounds.
pub fn manifest(scanned: &Scanned) -> Result<Manifest, Vec<Problem>> {
    let mut entries = Vec::with_capacity(scanned.files.len());
    let mut problems = Vec::new();
    for file in &scanned.files {
        match file.source.digest() {
            Ok((sha256, blake3)) => entries.push(verbund_protocol::release::FileEntry {
                path: file.path.clone(),
                size: file.size,
                media_type: file.media_type.to_owned(),
                sha256,
                blake3,
            }),
            Err(e) => problems.push(e.problem(&file.path)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Manifest::new(entries)
        .map_err(|e| vec![Problem::file("manifest", scanned.root.display().to_string(), e.to_string())])
}

/// Searches the text files for what was probably not meant to be published. Warnings only; unreadable files are refusals.
///
/// # Errors
/// A problem for a file that cannot be read or changes meanwhile.
pub fn lint_files(scanned: &Scanned) -> Result<Vec<Problem>, Vec<Problem>> {
    let mut warnings = Vec::new();
    let mut left = LINT_FOLDER_MAX_BYTES;
    for file in scanned.files.iter().filter(|f| lint::is_text(f.media_type)) {
        let budget = left.min(LINT_FILE_MAX_BYTES);
        let mut search = Lint::new(file.media_type);
        let read =
            file.source.read_up_to(budget, |window| search.feed(window)).map_err(|e| vec![e.problem(&file.path)])?;
        left -= read;
        for found in search.finish() {
            // The contact of process.toml is checked, and warned about, as such.
            if file.path.as_str() == PROCESS_FILE && found.kind == lint::Kind::PersonalMailbox {
                continue;
            }
            let problem = Problem::file(found.kind.code(), file.path.as_str(), found.kind.rule());
            warnings.push(problem.line(found.line).key(found.what));
        }
        if read < file.size {
            let rule = format!("only the first {read} of {} bytes were searched for secrets", file.size);
            warnings.push(Problem::file("not_searched", file.path.as_str(), rule));
        }
    }
    Ok(warnings)
}

/// Whether a file of metadata is small enough to be read, in words if not.
fn too_long(size: u64) -> Option<String> {
    (size > PROCESS_TOML_MAX_BYTES as u64)
        .then(|| format!("{size} bytes are over the limit of {PROCESS_TOML_MAX_BYTES}"))
}

#[cfg(test)]
mod tests;
