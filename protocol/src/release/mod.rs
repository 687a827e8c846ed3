//! What a release says and holds: paths, the manifest, the metadata of `process.toml`, the signed statement and its corrections.
//!
//! Owns the rules of publishing (strict: every refusal names file, key, value and rule) and of receiving (lenient: shapes and
//! caps only; unknown keys and values are kept). Everything is a function of its arguments: no file, clock or network access,
//! no signing, and no judgement on who may publish what; those belong to the node, the envelope and the log.

pub mod correction;
pub mod derive;
pub mod lint;
pub mod manifest;
pub mod metadata;
pub mod path;
pub mod problem;
pub mod reference;
pub mod statement;
pub mod text;
mod toml;

pub use correction::Changes;
pub use derive::{CharterDefaults, Derived, Inputs, Published, Submission, TextFile, derive};
pub use manifest::{FileEntry, Manifest, ManifestRef};
pub use metadata::{Metadata, Received};
pub use path::{PathSet, SafePath};
pub use problem::{Findings, Problem};
pub use reference::{ProcessRef, ReleaseRef};
pub use statement::Release;

#[cfg(test)]
mod vectors;
