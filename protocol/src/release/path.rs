//! Paths of files inside a release.
//!
//! Owns what a path may look like, on every operating system that may ever hold the release, and which paths may stand
//! together. Both publishing and receiving are strict here: a path is used to write files. Never touches a file.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::is_nfc;

use super::text::{fold, is_forbidden, name_of};
use crate::limits::{PATH_DEPTH_MAX, PATH_MAX_BYTES, PATH_SEGMENT_MAX_BYTES};

/// Folder at the top of a pulled release that holds what the node adds (provenance); never part of a release.
pub const RESERVED_FOLDER: &str = ".verbund";

/// Why a path, or a set of paths, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No characters.
    #[error("a path must not be empty")]
    Empty,
    /// Over [`PATH_MAX_BYTES`], or a segment over [`PATH_SEGMENT_MAX_BYTES`].
    #[error("{len} bytes are over the limit of {max} for a {what}")]
    TooLong {
        /// `path` or `file name`.
        what: &'static str,
        /// Length in bytes.
        len: usize,
        /// Limit in bytes.
        max: usize,
    },
    /// Over [`PATH_DEPTH_MAX`] segments.
    #[error("nested deeper than {PATH_DEPTH_MAX} folders")]
    TooDeep,
    /// Starts at the root of a file system or a drive.
    #[error("is an absolute path; paths are relative to the published folder")]
    Absolute,
    /// A backslash separates folders on Windows only.
    #[error("contains a backslash; folders are separated by '/'")]
    Backslash,
    /// NUL, another control character, or one that reorders what is displayed.
    #[error("contains {0}")]
    Control(String),
    /// `..` would leave the folder, `.` gives a file two names.
    #[error("contains the segment {0:?}")]
    Dots(&'static str),
    /// `a//b` or a slash at the end.
    #[error("contains an empty segment (doubled or final '/')")]
    EmptySegment,
    /// Windows strips them silently, so that the file would come back under another name.
    #[error("the name {0:?} ends in a dot or a space, which Windows drops; rename it")]
    TrailingDotOrSpace(String),
    /// Two spellings of one name.
    #[error(
        "not in Unicode normal form C, as macOS and some archives write names; rename it (for example with convmv)"
    )]
    NotNfc,
    /// Under `.verbund/`.
    #[error("{RESERVED_FOLDER}/ is reserved for provenance")]
    Reserved,
    /// The path stands there twice.
    #[error("listed twice")]
    Duplicate,
    /// Differs from another only by case.
    #[error("differs only by upper and lower case from {0:?}; rename one of them")]
    CaseTwin(String),
    /// Another path uses this one as a folder, or the other way round.
    #[error("is both a file and a folder ({0:?})")]
    FileAndFolder(String),
}

/// A relative path in a release: `/`-separated, NFC, without anything that could leave the folder or change its meaning on
/// another system. At most [`PATH_MAX_BYTES`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SafePath(String);

impl SafePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names from the top folder down to the file.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// What keeps this path from being written on Windows, if anything does; a warning, because nodes and most systems do not care.
    pub fn windows_concern(&self) -> Option<String> {
        self.segments().find_map(|segment| {
            if let Some(c) = segment.chars().find(|c| matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')) {
                return Some(format!("{segment:?} contains {c:?}, which Windows does not allow in names"));
            }
            let stem = segment.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
            is_device(&stem).then(|| format!("{segment:?} is a device name on Windows"))
        })
    }
}

/// CON, PRN, AUX, NUL, COM0-9, LPT0-9 (also with superscript digits), whatever extension follows.
fn is_device(stem: &str) -> bool {
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|n| {
            let mut digits = n.chars();
            matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    };
    matches!(stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

impl FromStr for SafePath {
    type Err = PathError;
    fn from_str(path: &str) -> Result<Self, PathError> {
        check(path).map(|()| Self(path.to_owned()))
    }
}

fn check(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.len() > PATH_MAX_BYTES {
        return Err(PathError::TooLong { what: "path", len: path.len(), max: PATH_MAX_BYTES });
    }
    if let Some(c) = path.chars().find(|&c| is_forbidden(c)) {
        return Err(PathError::Control(name_of(c)));
    }
    if path.contains('\\') {
        return Err(PathError::Backslash);
    }
    let drive = path.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && path.as_bytes().get(1) == Some(&b':');
    if path.starts_with('/') || drive {
        return Err(PathError::Absolute);
    }
    if !is_nfc(path) {
        return Err(PathError::NotNfc);
    }
    for (depth, segment) in path.split('/').enumerate() {
        if depth >= PATH_DEPTH_MAX {
            return Err(PathError::TooDeep);
        }
        check_segment(segment)?;
        if depth == 0 && fold(segment) == RESERVED_FOLDER {
            return Err(PathError::Reserved);
        }
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), PathError> {
    match segment {
        "" => Err(PathError::EmptySegment),
        "." => Err(PathError::Dots(".")),
        ".." => Err(PathError::Dots("..")),
        s if s.len() > PATH_SEGMENT_MAX_BYTES => {
            Err(PathError::TooLong { what: "file name", len: s.len(), max: PATH_SEGMENT_MAX_BYTES })
        }
        s if s.ends_with(['.', ' ']) => Err(PathError::TrailingDotOrSpace(s.to_owned())),
        _ => Ok(()),
    }
}

impl TryFrom<String> for SafePath {
    type Error = PathError;
    fn try_from(path: String) -> Result<Self, PathError> {
        check(&path).map(|()| Self(path))
    }
}
impl From<SafePath> for String {
    fn from(path: SafePath) -> Self {
        path.0
    }
}
impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Paths that may stand together: none twice, none a case twin of another (folders included), none both file and folder.
///
/// Kept as a tree of segments, so that memory grows with the bytes of the paths and not with their depth.
#[derive(Debug, Default)]
pub struct PathSet {
    nodes: BTreeMap<(u32, String), Entry>,
    next: u32,
    files: usize,
}

#[derive(Debug)]
struct Entry {
    id: u32,
    spelling: String,
    file: bool,
}

impl PathSet {
    /// Files added so far.
    pub fn len(&self) -> usize {
        self.files
    }

    /// Whether no file was added.
    pub fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`PathError::Duplicate`], [`PathError::CaseTwin`] or [`PathError::FileAndFolder`]; the set stays usable.
    pub fn insert(&mut self, path: &SafePath) -> Result<(), PathError> {
        let mut parent = 0;
        let mut taken = String::new();
        let mut segments = path.segments().peekable();
        while let Some(segment) = segments.next() {
            let file = segments.peek().is_none();
            if !taken.is_empty() {
                taken.push('/');
            }
            match self.nodes.get(&(parent, fold(segment))) {
                Some(entry) => {
                    taken.push_str(&entry.spelling);
                    if entry.spelling != segment {
                        return Err(PathError::CaseTwin(taken));
                    }
                    if file && entry.file {
                        return Err(PathError::Duplicate);
                    }
                    if file || entry.file {
                        return Err(PathError::FileAndFolder(taken));
                    }
                    parent = entry.id;
                }
                None => {
                    taken.push_str(segment);
                    self.next += 1;
                    let entry = Entry { id: self.next, spelling: segment.to_owned(), file };
                    self.nodes.insert((parent, fold(segment)), entry);
                    parent = self.next;
                }
            }
        }
        self.files += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
