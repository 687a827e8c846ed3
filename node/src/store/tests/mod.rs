//! Shared by the store's tests: a fold that shows mistakes, a disk that fails on request, and comparison of whole views.

mod contract;
mod crash;
mod faults;
mod forget;
mod kill;
mod views;

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use verbund_protocol::{
    codec,
    view::rows::{Change, MemoryRows, Row, Rows, Table},
};

use super::{
    Disk, Fold, FoldError, FramePosition, OpenReport, Options, RealDisk, SegmentFile, Seq, Store, StoreError, ViewKind,
    Weight,
};

pub const INSTANCE: [u8; 32] = [7; 32];

/// What a frame of the toy fold does. Counting twice, or on half of the rows, shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    Set(u8, Vec<u8>, Vec<u8>),
    Remove(u8, Vec<u8>),
    /// Adds one to the number at this key of `Meta`.
    Count(Vec<u8>),
    /// Appends to the hashes of a log.
    Hash(u32, u8),
    /// Takes the last hash of a log away.
    Pop(u32),
    /// A record that each new segment repeats.
    Keep(Vec<u8>, Vec<u8>),
    /// Notes the position of the frame at this key of `Entries`.
    Place(Vec<u8>),
    /// A change that breaks the density of hashes.
    Gap(u32),
    Refuse,
}

pub fn frame(ops: &[Op]) -> Vec<u8> {
    codec::encode(&ops).unwrap()
}

pub fn hash(byte: u8) -> Vec<u8> {
    vec![byte; 32]
}

pub fn hash_key(log: u32, index: u64) -> Vec<u8> {
    [&log.to_be_bytes()[..], &index.to_be_bytes()].concat()
}

pub struct Toy {
    pub schema: u32,
    /// Bytes of nonsense appended to each carry frame, to make it too long.
    pub ballast: usize,
}

pub fn toy() -> Arc<Toy> {
    Arc::new(Toy { schema: 1, ballast: 0 })
}

impl Fold for Toy {
    fn fold(&self, rows: &dyn Rows, at: FramePosition, frame: &[u8]) -> Result<Vec<Change>, FoldError> {
        let ops: Vec<Op> =
            codec::decode(frame, super::FRAME_MAX_BYTES).map_err(|e| FoldError::Refused(e.to_string()))?;
        let mut changes: Vec<Change> = Vec::new();
        let mut lens: BTreeMap<u32, u64> = BTreeMap::new();
        for op in ops {
            let len = |log: u32, lens: &BTreeMap<u32, u64>| -> Result<u64, FoldError> {
                if let Some(len) = lens.get(&log) {
                    return Ok(*len);
                }
                let last = rows.last(Table::Hashes, &log.to_be_bytes())?;
                Ok(last.map_or(0, |(key, _)| u64::from_be_bytes(key[4..].try_into().unwrap()) + 1))
            };
            let (table, key, value) = match op {
                Op::Set(table, key, value) => (Table::ALL[table as usize], key, Some(value)),
                Op::Remove(table, key) => (Table::ALL[table as usize], key, None),
                Op::Count(key) => {
                    let before = changes.iter().rev().find(|c| c.table == Table::Meta && c.key == key);
                    let old = match before {
                        Some(change) => change.value.clone(),
                        None => rows.get(Table::Meta, &key)?,
                    };
                    let old = old.map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()));
                    (Table::Meta, key, Some((old + 1).to_be_bytes().to_vec()))
                }
                Op::Hash(log, byte) => {
                    let index = len(log, &lens)?;
                    lens.insert(log, index + 1);
                    (Table::Hashes, hash_key(log, index), Some(hash(byte)))
                }
                Op::Pop(log) => match len(log, &lens)?.checked_sub(1) {
                    Some(index) => {
                        lens.insert(log, index);
                        (Table::Hashes, hash_key(log, index), None)
                    }
                    None => continue,
                },
                Op::Keep(key, value) => (Table::Local, key, Some(value)),
                Op::Place(key) => (Table::Entries, key, Some(codec::encode(&at).unwrap())),
                Op::Gap(log) => (Table::Hashes, hash_key(log, len(log, &lens)? + 1), Some(hash(0))),
                Op::Refuse => return Err(FoldError::Refused("asked to".to_owned())),
            };
            changes.push(Change { table, key, value });
        }
        Ok(changes)
    }

    fn carry(&self, rows: &dyn Rows) -> Result<Vec<Vec<u8>>, FoldError> {
        let rows = rows.scan(Table::Local, &[], &[], usize::MAX)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ops: Vec<Op> = rows.into_iter().map(|(key, value)| Op::Keep(key, value)).collect();
        let mut carried = frame(&ops);
        carried.resize(carried.len() + self.ballast, 0);
        Ok(vec![carried])
    }

    fn schema(&self) -> u32 {
        self.schema
    }
}

/// A disk that counts, stalls and fails.
#[derive(Default)]
pub struct TestDisk {
    pub syncs: AtomicU64,
    /// How often names were made durable.
    pub named: AtomicU64,
    pub fail_sync: AtomicBool,
    pub fail_write: AtomicBool,
    pub full: AtomicBool,
    pub free: Mutex<Option<u64>>,
    /// Held syncs wait here.
    stalled: Mutex<Stall>,
    changed: Condvar,
}

#[derive(Default)]
struct Stall {
    on: bool,
    waiting: u32,
}

impl TestDisk {
    /// From now on syncs do not return.
    pub fn stall(&self) {
        self.stalled.lock().unwrap().on = true;
    }

    pub fn release(&self) {
        self.stalled.lock().unwrap().on = false;
        self.changed.notify_all();
    }

    /// Waits until a sync is held.
    pub fn wait_stalled(&self) {
        let stalled = self.stalled.lock().unwrap();
        drop(self.changed.wait_while(stalled, |stall| stall.waiting == 0).unwrap());
    }
}

/// A shared [`TestDisk`]: what `Options` take, while the test keeps its own handle.
#[derive(Clone, Default)]
pub struct Handle(pub Arc<TestDisk>);

struct TestFile(Box<dyn SegmentFile>, Handle);

impl SegmentFile for TestFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.1.0.fail_write.load(Ordering::SeqCst) {
            // Half of it arrives, as with a full disk.
            self.0.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::Error::other("write fails as asked"));
        }
        if self.1.0.full.load(Ordering::SeqCst) {
            self.0.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        let disk = &self.1.0;
        let mut stalled = disk.stalled.lock().unwrap();
        if stalled.on {
            stalled.waiting += 1;
            disk.changed.notify_all();
            stalled = disk.changed.wait_while(stalled, |stall| stall.on).unwrap();
            stalled.waiting -= 1;
        }
        drop(stalled);
        disk.syncs.fetch_add(1, Ordering::SeqCst);
        if disk.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("sync fails as asked"));
        }
        Ok(())
    }
}

impl Disk for Handle {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(TestFile(RealDisk.create(path)?, self.clone())))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(TestFile(RealDisk.open(path)?, self.clone())))
    }
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.0.named.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let free = *self.0.free.lock().unwrap();
        free.map_or_else(|| RealDisk.free_bytes(dir), Ok)
    }
}

/// Options with a disk that does not sync, and no floor.
pub fn options(view: ViewKind) -> (Options, Handle) {
    let disk = Handle::default();
    let options = Options { view, floor_bytes: 0, disk: Arc::new(disk.clone()), ..Options::new(INSTANCE) };
    (options, disk)
}

pub fn open(dir: &Path, view: ViewKind) -> (Store, OpenReport) {
    Store::open(dir, toy(), options(view).0).unwrap()
}

pub fn append(store: &Store, ops: &[Op]) -> Seq {
    store.append(Weight::Essential, frame(ops)).unwrap()
}

pub fn append_all(store: &Store, frames: &[Vec<Op>]) {
    for ops in frames {
        append(store, ops);
    }
}

/// Waits until `seq` is durable or will not be.
pub fn durable(store: &Store, seq: Seq) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.durable(seq))
}

/// All rows of all tables.
pub fn dump(rows: &dyn Rows) -> Vec<(Table, Vec<Row>)> {
    Table::ALL.into_iter().map(|table| (table, rows.scan(table, &[], &[], usize::MAX).unwrap())).collect()
}

/// What folding `frames` into memory gives, leaving out positions.
pub fn model(frames: &[Vec<Op>]) -> MemoryRows {
    let mut rows = MemoryRows::default();
    for ops in frames {
        let at = FramePosition { segment: 0, offset: 0 };
        let changes = toy().fold(&rows, at, &frame(ops)).unwrap();
        rows.apply(changes);
    }
    rows
}

pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A frame that touches several tables, of which `n` shows which it was.
pub fn sample(n: u32) -> Vec<Op> {
    let key = n.to_be_bytes().to_vec();
    vec![
        Op::Set(5, key.clone(), vec![n as u8; (n as usize * 7) % 40]),
        Op::Count(b"frames".to_vec()),
        Op::Hash(n % 3, n as u8),
        Op::Set(6, key, n.to_be_bytes().to_vec()),
        Op::Keep(vec![n as u8 % 4], n.to_be_bytes().to_vec()),
    ]
}
