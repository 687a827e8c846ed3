//! Reading folders: files with their hashes, without following links.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sha2::Digest as _;
use verbund_protocol::ids::{Blake3, Sha256};

use super::host::FileDigest;

/// The folder that `pull` keeps its own records in.
pub(super) const OWN_FOLDER: &str = ".verbund";
/// Entries of a folder that are looked at; a release has at most 10,000 files.
const ENTRIES_MAX: usize = 200_000;
/// Depth of folders: a path of 512 bytes cannot be deeper.
const DEPTH_MAX: usize = 256;
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// What lies in a folder.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Ordinary files by path.
    pub(super) files: Vec<String>,
    /// Links, devices, names that are no UTF-8: what no release can hold.
    pub(super) odd: Vec<String>,
}

/// Lists a folder without its own records. Links are listed as odd and not followed.
pub(super) fn walk(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::default();
    let mut open = vec![(root.to_owned(), String::new(), 0)];
    while let Some((dir, prefix, depth)) = open.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let path = format!("{prefix}{}", name.to_string_lossy());
            if prefix.is_empty() && name == OWN_FOLDER {
                continue;
            }
            if tree.files.len() + tree.odd.len() + open.len() >= ENTRIES_MAX {
                return Err(io::Error::other(format!("more than {ENTRIES_MAX} entries")));
            }
            let kind = entry.file_type()?;
            match (name.to_str(), kind.is_dir(), kind.is_file()) {
                (Some(_), true, _) if depth < DEPTH_MAX => open.push((entry.path(), format!("{path}/"), depth + 1)),
                (Some(_), _, true) => tree.files.push(path),
                _ => tree.odd.push(path),
            }
        }
    }
    tree.files.sort();
    tree.odd.sort();
    Ok(tree)
}

/// Size and both hashes of a file that no link leads to.
pub(super) fn hash(path: &Path) -> io::Result<(u64, Sha256, Blake3)> {
    let file = open_unlinked(path)?;
    let mut blake = blake3::Hasher::new();
    let (size, sha256) = pieces(file, |piece| {
        blake.update(piece);
    })?;
    Ok((size, sha256, Blake3(*blake.finalize().as_bytes())))
}

/// Opens a file that is no link; never waits for the other end of a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is no ordinary file")) }
}

/// Opens a file to which no link leads: a folder on the way that was swapped for a link since it was scanned must not let the
/// bytes of another place into a release.
pub(super) fn open_unlinked(path: &Path) -> io::Result<File> {
    let common = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failed = |error| match error {
        Errno::LOOP | Errno::NOTDIR => {
            io::Error::other("was replaced by a link while it was published; publish again when the folder is at rest")
        }
        error => io::Error::from(error),
    };
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let flags = match parts.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY,
            None => OFlags::RDONLY | OFlags::NONBLOCK,
        };
        let from = at.as_ref().map_or(rustix::fs::CWD, AsFd::as_fd);
        at = Some(rustix::fs::openat(from, part.as_os_str(), common | flags, Mode::empty()).map_err(failed)?);
    }
    let file = at.map(File::from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is no ordinary file")) }
}

/// Size and SHA-256 of an open file.
pub(super) fn digest(file: File) -> io::Result<FileDigest> {
    pieces(file, |_| ()).map(|(size, sha256)| FileDigest { size, sha256 })
}

fn pieces(mut file: File, mut also: impl FnMut(&[u8])) -> io::Result<(u64, Sha256)> {
    let mut sha = sha2::Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut size = 0u64;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok((size, Sha256(sha.finalize().into()))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = buffer.get(..read).unwrap_or_default();
        sha.update(piece);
        also(piece);
        size += read as u64;
    }
}

/// Hashes all `files` of a folder.
pub(super) fn digests(root: &Path, files: &[String]) -> Result<BTreeMap<String, FileDigest>, (String, io::Error)> {
    let one = |path: &String| match open(&root.join(path)).and_then(digest) {
        Ok(found) => Ok((path.clone(), found)),
        Err(error) => Err((path.clone(), error)),
    };
    files.iter().map(one).collect()
}
