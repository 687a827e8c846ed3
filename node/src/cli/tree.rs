//! Reading folders: files with their hashes, without following links.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sha2::Digest as _;
use verbund_protocol::ids::Sha256;

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

/// Opens a file that is no link; never waits for the other end of a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is no ordinary file")) }
}

/// Size and SHA-256 of an open file.
pub(super) fn digest(mut file: File) -> io::Result<FileDigest> {
    let mut sha = sha2::Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut size = 0u64;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(FileDigest { size, sha256: Sha256(sha.finalize().into()) }),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = buffer.get(..read).unwrap_or_default();
        sha.update(piece);
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
