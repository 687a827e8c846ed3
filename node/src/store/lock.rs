//! One process per store: an advisory lock on the folder.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

use super::error::StoreError;

const NAME: &str = "lock";

/// Locks `dir` for as long as the returned file stays open. The kernel lets go of it when the process ends in whatever way.
pub(super) fn acquire(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(NAME);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StoreError::io(&path))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        // Who holds it is a courtesy; a file that cannot be read changes nothing about the refusal.
        let known = (&mut file).take(20).read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
        let holder = if known { holder.trim().to_owned() } else { "(unknown)".to_owned() };
        return Err(StoreError::Locked { path: dir.to_owned(), holder });
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(StoreError::io(&path))?;
    Ok(file)
}
