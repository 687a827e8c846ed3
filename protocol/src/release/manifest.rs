//! `manifest.json`: the files of a release, with their sizes and hashes.
//!
//! Owns its one byte form (RFC 8785) and its strict reading: the manifest decides which files are written where. It is an
//! artifact like the files that it names; the release statement carries its digests.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::json;

use super::path::{PathError, PathSet, SafePath};
use crate::ids::{Blake3, Sha256};
use crate::json::{self, Object};
use crate::limits::{JSON_INTEGER_MAX, MANIFEST_MAX_BYTES, RELEASE_FILES_MAX};
use crate::words::{quotable, shown};

/// The format that this module reads and writes. Readers ignore keys they do not know; anything more is another number.
pub const FORMAT: u64 = 1;
/// Name of the manifest as the subject of the release statement.
pub const NAME: &str = "manifest.json";
/// A media type, in bytes (RFC 6838 allows 127 for each half; real ones are far shorter).
const MEDIA_TYPE_MAX_BYTES: usize = 127;

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Over [`MANIFEST_MAX_BYTES`].
    #[error("manifest of {0} bytes is over the limit of {MANIFEST_MAX_BYTES}")]
    TooLong(u64),
    /// Not JSON, or without the members of a manifest.
    #[error("manifest: {0}")]
    Malformed(String),
    /// A newer form.
    #[error("manifest format {0} is not known here (this is {FORMAT}); update this node")]
    Format(u64),
    /// No files.
    #[error("a release needs at least one file")]
    Empty,
    /// Over [`RELEASE_FILES_MAX`].
    #[error("more than {RELEASE_FILES_MAX} files")]
    TooMany,
    /// A path, or two paths together, break the rules.
    #[error("path {path:?}: {error}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        error: PathError,
    },
    /// Files are not in ascending byte order of their paths.
    #[error("path {0:?}: files are not sorted by path")]
    Unsorted(String),
    /// Not `type/subtype` in lower-case ASCII.
    #[error("path {path:?}: {media_type:?} is not a media type")]
    MediaType {
        /// The file.
        path: String,
        /// What it claims.
        media_type: String,
    },
    /// Over 2^53-1 bytes, alone or together.
    #[error("path {0:?}: sizes are over 2^53-1 bytes")]
    Size(String),
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it lies in the folder.
    pub path: SafePath,
    /// Bytes.
    pub size: u64,
    /// What it is, as recognised when it was published: `type/subtype`.
    pub media_type: String,
    /// SHA-256 of its bytes: carries the proof.
    pub sha256: Sha256,
    /// BLAKE3 of its bytes: its address and the root of its transfer.
    pub blake3: Blake3,
}

/// The files of a release, sorted by path; at least one, at most [`RELEASE_FILES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    files: Vec<FileEntry>,
    total_size: u64,
}

/// What a release statement says about its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestRef {
    /// SHA-256 of `manifest.json`.
    pub sha256: Sha256,
    /// BLAKE3 of `manifest.json`: its address as an artifact.
    pub blake3: Blake3,
    /// Bytes of `manifest.json`.
    pub size: u64,
    /// Files that it lists.
    pub files: u64,
    /// Bytes of those files together.
    pub total_size: u64,
}

impl Manifest {
    /// A manifest of `files`, in any order.
    ///
    /// # Errors
    /// [`ManifestError`] for none or too many files, paths that cannot stand together, malformed media types and excessive sizes.
    pub fn new(mut files: Vec<FileEntry>) -> Result<Self, ManifestError> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self::checked(files)
    }

    fn checked(files: Vec<FileEntry>) -> Result<Self, ManifestError> {
        if files.is_empty() {
            return Err(ManifestError::Empty);
        }
        if files.len() > RELEASE_FILES_MAX {
            return Err(ManifestError::TooMany);
        }
        let mut set = PathSet::default();
        let mut total_size = 0_u64;
        for (i, file) in files.iter().enumerate() {
            let path = || file.path.to_string();
            set.insert(&file.path).map_err(|error| ManifestError::Path { path: path(), error })?;
            if i > 0 && files[i - 1].path > file.path {
                return Err(ManifestError::Unsorted(path()));
            }
            if !is_media_type(&file.media_type) {
                return Err(ManifestError::MediaType {
                    path: path(),
                    media_type: file.media_type.chars().take(80).collect(),
                });
            }
            total_size = total_size
                .checked_add(file.size)
                .filter(|total| *total <= JSON_INTEGER_MAX)
                .ok_or_else(|| ManifestError::Size(path()))?;
        }
        Ok(Self { files, total_size })
    }

    /// Reads the bytes of a `manifest.json`.
    ///
    /// # Errors
    /// [`ManifestError`]; stops at the first. Memory stays proportional to `bytes`, of which there may be [`MANIFEST_MAX_BYTES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MANIFEST_MAX_BYTES {
            return Err(ManifestError::TooLong(bytes.len() as u64));
        }
        let malformed = |e: serde_json::Error| ManifestError::Malformed(shown(e));
        // The format is read first, so that a newer one is named as such and not as malformed.
        let Object(Head { format }) = serde_json::from_slice(bytes).map_err(malformed)?;
        if format != FORMAT {
            return Err(ManifestError::Format(format));
        }
        json::check(bytes).map_err(|e| ManifestError::Malformed(shown(e)))?;
        let Object(Wire { files: WireFiles(wire) }) = serde_json::from_slice(bytes).map_err(malformed)?;
        if wire.len() > RELEASE_FILES_MAX {
            return Err(ManifestError::TooMany);
        }
        let files = wire.into_iter().map(|Object(file)| FileEntry::try_from(file)).collect::<Result<Vec<_>, _>>()?;
        Self::checked(files)
    }

    /// The bytes of `manifest.json` (RFC 8785) and what the statement says about them.
    ///
    /// # Errors
    /// [`ManifestError::TooLong`] if paths are so long that the manifest is over [`MANIFEST_MAX_BYTES`].
    pub fn to_bytes(&self) -> Result<(Vec<u8>, ManifestRef), ManifestError> {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|f| {
                json!({
                    "path": f.path, "size": f.size, "media_type": f.media_type,
                    "sha256": f.sha256.to_hex(), "blake3": f.blake3.to_hex(),
                })
            })
            .collect();
        let bytes = json::canonical(&json!({ "format": FORMAT, "files": files }));
        let size = bytes.len() as u64;
        if size > MANIFEST_MAX_BYTES {
            return Err(ManifestError::TooLong(size));
        }
        let reference = ManifestRef {
            sha256: Sha256::of(&bytes),
            blake3: Blake3::of(&bytes),
            size,
            files: self.files.len() as u64,
            total_size: self.total_size,
        };
        Ok((bytes, reference))
    }

    /// The files, ascending by path.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.binary_search_by(|f| f.path.as_str().cmp(path)).ok().and_then(|i| self.files.get(i))
    }

    /// Bytes of all files together.
    pub fn total_size(&self) -> u64 {
        self.total_size
    }
}

/// `type/subtype` of RFC 6838 names, in lower case.
pub fn is_media_type(text: &str) -> bool {
    let name = |part: &str| {
        part.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b))
    };
    text.len() <= MEDIA_TYPE_MAX_BYTES && text.split_once('/').is_some_and(|(t, s)| name(t) && name(s))
}

#[derive(Deserialize)]
struct Head {
    format: u64,
}

#[derive(Deserialize)]
struct Wire {
    files: WireFiles,
}

#[derive(Deserialize)]
struct WireFile {
    path: String,
    size: u64,
    media_type: String,
    sha256: String,
    blake3: String,
}

impl TryFrom<WireFile> for FileEntry {
    type Error = ManifestError;
    fn try_from(wire: WireFile) -> Result<Self, ManifestError> {
        let digest =
            |e: crate::ids::IdError| ManifestError::Malformed(shown(format_args!("path {:?}: {e}", wire.path)));
        let sha256 = Sha256::from_hex(&wire.sha256).map_err(digest)?;
        let blake3 = Blake3::from_hex(&wire.blake3).map_err(digest)?;
        let path = wire.path.parse().map_err(|error| ManifestError::Path { path: quotable(&wire.path), error })?;
        Ok(Self { path, size: wire.size, media_type: wire.media_type, sha256, blake3 })
    }
}

/// Reads at most one file more than allowed, so that a hostile list costs no more memory than a full one.
struct WireFiles(Vec<Object<WireFile>>);

impl<'de> Deserialize<'de> for WireFiles {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = WireFiles;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of files")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<WireFiles, A::Error> {
                let mut files = Vec::new();
                while files.len() <= RELEASE_FILES_MAX {
                    match seq.next_element()? {
                        Some(file) => files.push(file),
                        None => return Ok(WireFiles(files)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(WireFiles(files))
            }
        }
        d.deserialize_seq(Bounded)
    }
}

#[cfg(test)]
mod tests;
