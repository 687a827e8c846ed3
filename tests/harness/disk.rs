//! A node's disk as its owner's misfortune treats it: files that rot, vanish, or come back from an old copy.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::Node;

/// Every file below `root`, in order; none if there is no such folder. What vanishes meanwhile is left out.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The files in which a node keeps complete artifacts of this size; there is one for each content.
pub fn artifacts(node: &Node, size: u64) -> Vec<PathBuf> {
    let mut all = files(&node.dir.join("artifacts/objects"));
    all.retain(|path| path.extension().is_none() && path.metadata().is_ok_and(|meta| meta.len() == size));
    all
}

/// The one file in which a node keeps the artifact of this size.
///
/// # Panics
/// If there is none, or more than one.
#[track_caller]
pub fn artifact(node: &Node, size: u64) -> PathBuf {
    let all = artifacts(node, size);
    assert!(all.len() == 1, "{}: artifacts of {size} bytes: {all:?}", node.handle);
    all.into_iter().next().expect("one")
}

/// What is left of transfers that did not end: parts and drafts. What lies in quarantine is shown by `status` and not counted.
pub fn leftovers(node: &Node) -> Vec<PathBuf> {
    ["partial", "tmp"].iter().flat_map(|name| files(&node.dir.join("artifacts").join(name))).collect()
}

/// Turns one bit around and leaves size and time as they were, as a dying disk does.
pub fn rot(path: &Path, at: u64) {
    let meta = path.metadata().expect("the file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("the file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x40], at).expect("a byte");
    file.set_times(std::fs::FileTimes::new().set_modified(meta.modified().expect("a time"))).expect("times");
    std::fs::set_permissions(path, meta.permissions()).expect("permissions");
}

/// Copies a folder with everything in it.
pub fn copy_dir(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}
