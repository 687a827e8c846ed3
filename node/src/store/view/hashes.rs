//! Hash rows in flat files: `hashes/<log number>.bin`, hash `index` at byte `index × 32`.
//!
//! Owns the files and the number of valid hashes in each; the numbers themselves are recorded with the rows they belong to, by
//! whoever applies them. Bytes behind the recorded number mean nothing. The hashes have no checksum: a Merkle root checks them.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use verbund_protocol::view::rows::{Row, end_of};

use super::{Shared, Visit};
use crate::store::{
    files::Files,
    fold::{HASH_BYTES, HASH_KEY_BYTES, hash_key},
    sync::{read, write},
};

/// Open files at one time.
const OPEN_MAX: usize = 64;
/// Hashes read at one time when walking.
const WALK_HASHES: u64 = 64;

/// Number of hashes by log number.
pub(crate) type Counts = BTreeMap<u32, u64>;

/// See the module.
pub(crate) struct Hashes {
    dir: PathBuf,
    files: Files,
    counts: RwLock<Counts>,
}

/// What a batch does to the files.
pub(crate) struct Plan<'a> {
    writes: BTreeMap<u32, Vec<(u64, &'a [u8])>>,
    /// The new numbers, of the logs that change.
    pub counts: Counts,
    /// Whether hashes that are valid now are written over or taken away: then the files no longer hold the old state.
    pub rewrites: bool,
}

/// Keys as numbers, in the order of their bytes.
fn number(log: u32, index: u64) -> u128 {
    u128::from(log) << 64 | u128::from(index)
}

fn key_of(log: u32, index: u64) -> [u8; HASH_KEY_BYTES] {
    let mut key = [0; HASH_KEY_BYTES];
    let (first, second) = key.split_at_mut(4);
    first.copy_from_slice(&log.to_be_bytes());
    second.copy_from_slice(&index.to_be_bytes());
    key
}

/// The number of the first possible key that is ≥ `bytes`.
fn first_from(bytes: &[u8]) -> u128 {
    let head = bytes.iter().copied().chain(std::iter::repeat(0)).take(HASH_KEY_BYTES);
    let padded = head.fold(0_u128, |sum, byte| sum << 8 | u128::from(byte));
    // A longer string is above the key that it starts with.
    padded + u128::from(bytes.len() > HASH_KEY_BYTES)
}

/// The number of the first possible key behind all that start with `prefix`.
fn first_behind(prefix: &[u8]) -> u128 {
    end_of(prefix).map_or(1 << 96, |end| first_from(&end))
}

fn split(number: u128) -> (u32, u64) {
    (u32::try_from(number >> 64).unwrap_or(u32::MAX), u64::try_from(number & u128::from(u64::MAX)).unwrap_or(u64::MAX))
}

fn byte_of(index: u64) -> io::Result<u64> {
    index.checked_mul(HASH_BYTES as u64).ok_or_else(|| io::Error::other("hash index too large"))
}

impl Hashes {
    /// Opens the files in `dir` with `counts` valid hashes each. What stands behind them is cut off, and files of other logs are removed:
    /// a killed process may have written them before it recorded them.
    ///
    /// # Errors
    /// An [`io::Error`], also if a file is shorter than recorded.
    pub(crate) fn open(dir: PathBuf, counts: Counts) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let log = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
            if !log.is_some_and(|log| counts.contains_key(&log) && path == file_path(&dir, log)) {
                fs::remove_file(&path)?;
            }
        }
        for (log, count) in &counts {
            let (path, bytes) = (file_path(&dir, *log), byte_of(*count)?);
            let file = OpenOptions::new().read(true).write(true).create(*count == 0).truncate(false).open(&path)?;
            let len = file.metadata()?.len();
            if len < bytes {
                return Err(io::Error::other(format!("{} has {len} of {bytes} bytes", path.display())));
            }
            if len > bytes {
                file.set_len(bytes)?;
            }
        }
        Ok(Self { dir, files: Files::new(OPEN_MAX), counts: RwLock::new(counts) })
    }

    fn file(&self, log: u32) -> io::Result<Arc<File>> {
        let path = file_path(&self.dir, log);
        self.files.get(log, || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path))
    }

    fn hash(&self, log: u32, index: u64) -> io::Result<Vec<u8>> {
        let mut hash = vec![0; HASH_BYTES];
        self.file(log)?.read_exact_at(&mut hash, byte_of(index)?)?;
        Ok(hash)
    }

    pub(crate) fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Some((log, index)) = hash_key(key) else { return Ok(None) };
        let count = read(&self.counts).get(&log).copied().unwrap_or(0);
        if index < count { self.hash(log, index).map(Some) } else { Ok(None) }
    }

    pub(crate) fn walk(&self, prefix: &[u8], from: &[u8], visit: Visit<'_>) -> io::Result<()> {
        let (mut next, behind) = (first_from(from.max(prefix)), first_behind(prefix));
        let logs: Counts = read(&self.counts).range(split(next.min(behind)).0..).map(|(l, c)| (*l, *c)).collect();
        for (log, count) in logs {
            let end = number(log, count).min(behind);
            next = next.max(number(log, 0));
            while next < end {
                let hashes = u64::try_from(end - next).unwrap_or(u64::MAX).min(WALK_HASHES);
                let (_, index) = split(next);
                let mut bytes = vec![0; usize::try_from(hashes).map_err(io::Error::other)? * HASH_BYTES];
                self.file(log)?.read_exact_at(&mut bytes, byte_of(index)?)?;
                for (index, hash) in (index..).zip(bytes.chunks_exact(HASH_BYTES)) {
                    if visit(&key_of(log, index), hash) == ControlFlow::Break(()) {
                        return Ok(());
                    }
                }
                next += u128::from(hashes);
            }
        }
        Ok(())
    }

    pub(crate) fn last_below(&self, prefix: &[u8], below: Option<&[u8]>) -> io::Result<Option<Row>> {
        let bound = below.map_or(u128::MAX, first_from).min(first_behind(prefix));
        let start = first_from(prefix);
        let found = read(&self.counts).iter().rev().find_map(|(log, count)| {
            let end = number(*log, *count).min(bound);
            (end > number(*log, 0).max(start)).then(|| split(end - 1))
        });
        let Some((log, index)) = found else { return Ok(None) };
        Ok(Some((key_of(log, index).to_vec(), self.hash(log, index)?)))
    }

    /// What `changes` do to the files. They are dense, which admission has checked.
    pub(crate) fn plan<'a>(&self, changes: &'a BTreeMap<Shared, Option<Shared>>) -> Plan<'a> {
        let counts = read(&self.counts);
        let mut plan = Plan { writes: BTreeMap::new(), counts: Counts::new(), rewrites: false };
        for (key, value) in changes {
            let Some((log, index)) = hash_key(key) else { continue };
            let old = counts.get(&log).copied().unwrap_or(0);
            plan.rewrites |= index < old;
            let new = plan.counts.entry(log).or_insert(old);
            match value {
                Some(value) => {
                    *new = (*new).max(index.saturating_add(1));
                    plan.writes.entry(log).or_default().push((index, value));
                }
                // Keys come ascending and what is taken away is the end: the first of them is the new length.
                None => *new = (*new).min(index),
            }
        }
        plan
    }

    /// Writes the hashes of `plan`; they become readable with [`Self::commit`].
    pub(crate) fn write(&self, plan: &Plan<'_>) -> io::Result<()> {
        for (log, hashes) in &plan.writes {
            let file = self.file(*log)?;
            let mut run: Vec<u8> = Vec::new();
            let mut start = 0;
            let mut expected = None;
            for (index, hash) in hashes {
                if expected != Some(*index) {
                    file.write_all_at(&run, start)?;
                    run.clear();
                    start = byte_of(*index)?;
                }
                run.extend_from_slice(hash);
                expected = index.checked_add(1);
            }
            file.write_all_at(&run, start)?;
        }
        Ok(())
    }

    /// Makes what `counts` says valid.
    pub(crate) fn commit(&self, counts: Counts) {
        write(&self.counts).extend(counts);
    }

    /// Makes all files durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        for log in read(&self.counts).keys() {
            self.file(*log)?.sync_all()?;
        }
        File::open(&self.dir)?.sync_all()
    }
}

fn file_path(dir: &Path, log: u32) -> PathBuf {
    dir.join(format!("{log}.bin"))
}
