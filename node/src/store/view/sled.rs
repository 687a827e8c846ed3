//! A base on disk: sled for the rows, flat files for the hashes.
//!
//! Owns everything below the view folder. Never trusts sled: every call is shielded from its panics, every row carries a checksum,
//! and the number and sum of all rows are recorded with each batch and counted again when opening.

use std::{
    fs::{self, File},
    io,
    ops::{Bound, ControlFlow},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, RwLock},
    thread,
    time::Duration,
};

use ::sled::Db;
use serde::{Deserialize, Serialize};
use verbund_protocol::{
    codec,
    view::rows::{Row, RowsError, Table, end_of},
};

use super::{
    Base, Batch, Mark, ViewError, Visit,
    hashes::{Counts, Hashes, Plan},
    state::{Phase, State},
};
use crate::store::sync::{lock, read, write};

/// Version of the rows' layout in sled: the view is rebuilt when it differs.
const LAYOUT: u32 = 1;
/// First key byte of what the base notes for itself; tables use their own numbers.
const OWN: u8 = 0xff;
const RECORD_KEY: [u8; 2] = [OWN, b'r'];
const COUNT_PREFIX: [u8; 2] = [OWN, b'h'];
/// Bound for decoding the record.
const RECORD_MAX_BYTES: usize = 256;
/// sled lets go of its lock some moments after the last handle: wait this long for one that this process still holds.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// Count and sum of the checksums of all rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    rows: u64,
    sum: u64,
}

impl Tally {
    fn add(&mut self, crc: u32) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(u64::from(crc));
    }
    fn remove(&mut self, crc: u32) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(u64::from(crc));
    }
}

/// What the base notes about itself in each batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    layout: u32,
    schema: u32,
    mark: Mark,
    tally: Tally,
}

struct Open {
    db: Db,
    hashes: Hashes,
    /// `None` until the first batch.
    record: Mutex<Option<Record>>,
}

/// See the module.
pub(crate) struct Sled {
    dir: PathBuf,
    schema: u32,
    state: State,
    open: RwLock<Option<Open>>,
}

fn seal(key: &[u8], value: &[u8]) -> (u32, Vec<u8>) {
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), value);
    let mut sealed = Vec::with_capacity(4 + value.len());
    sealed.extend_from_slice(&crc.to_le_bytes());
    sealed.extend_from_slice(value);
    (crc, sealed)
}

/// Checksum and value of a stored row.
fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<(u32, &'a [u8]), String> {
    let wrong = || format!("the checksum of row {} is wrong", hex::encode(key));
    let (crc, value) = sealed.split_first_chunk::<4>().ok_or_else(wrong)?;
    let crc = u32::from_le_bytes(*crc);
    if crc32c::crc32c_append(crc32c::crc32c(key), value) == crc
        || verbund_protocol::seeded::bug("row_with_wrong_checksum")
    {
        Ok((crc, value))
    } else {
        Err(wrong())
    }
}

fn stored_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + key.len());
    stored.push(table as u8);
    stored.extend_from_slice(key);
    stored
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// Runs `call` and turns a panic into an error. sled's own state may be broken after one, which is why every error leads to a
/// rebuild at the next opening.
fn shielded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("sled panicked: {what}"))
    })
}

impl Sled {
    /// Opens the view in `dir`, or starts an empty one if the folder is empty.
    ///
    /// # Errors
    /// Why the view has to be built anew; the caller then moves it aside.
    pub(crate) fn open(dir: &Path, schema: u32, cache_bytes: u64, verify: bool) -> Result<Self, String> {
        let state = State::new(dir);
        let rewritten = if dir.join("sled").exists() { state.check()? } else { 0 };
        state.write(&Phase::Opening).map_err(text)?;
        let open = shielded(|| {
            let db = open_db(&dir.join("sled"), cache_bytes)?;
            let (record, counts) = inspect(&db, schema, verify)?;
            if record.map_or(0, |record| record.mark.seq) < rewritten {
                return Err(format!("its hashes were rewritten by frame {rewritten}, which it lost"));
            }
            let hashes = Hashes::open(dir.join("hashes"), counts).map_err(text)?;
            Ok(Open { db, hashes, record: Mutex::new(record) })
        })?;
        state.write(&Phase::Open).map_err(text)?;
        Ok(Self { dir: dir.to_owned(), schema, state, open: RwLock::new(Some(open)) })
    }

    /// Reads under the shield; whatever fails makes the view bad.
    fn reading<T>(&self, call: impl FnOnce(&Open) -> Result<T, String>) -> Result<T, RowsError> {
        let open = read(&self.open);
        let Some(open) = open.as_ref() else { return Err(RowsError("the view is closed".to_owned())) };
        shielded(|| call(open)).map_err(|e| {
            self.distrust(&e);
            RowsError(e)
        })
    }

    fn changing<T>(&self, call: impl FnOnce(&Open) -> Result<T, String>) -> Result<T, ViewError> {
        self.reading(call).map_err(|e| ViewError(e.0))
    }
}

/// Opens sled after clearing what a kill during an earlier opening leaves: sled would fail on it for ever.
fn open_db(dir: &Path, cache_bytes: u64) -> Result<Db, String> {
    if dir.exists() {
        for entry in fs::read_dir(dir).map_err(text)? {
            let entry = entry.map_err(text)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating")) {
                fs::remove_file(entry.path()).map_err(text)?;
            }
        }
    }
    // Without its own flushing thread: the applying thread flushes, where a failure is noticed.
    let config = ::sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
    let mut tries = 0;
    loop {
        match config.open() {
            Err(::sled::Error::Io(e)) if tries < LOCK_TRIES && e.to_string().contains("could not acquire lock") => {
                tries += 1;
                thread::sleep(LOCK_PAUSE);
            }
            opened => return opened.map_err(text),
        }
    }
}

/// Reads what the base noted about itself, and compares it with what is there.
fn inspect(db: &Db, schema: u32, verify: bool) -> Result<(Option<Record>, Counts), String> {
    let Some(sealed) = db.get(RECORD_KEY).map_err(text)? else {
        return if db.is_empty() { Ok((None, Counts::new())) } else { Err("its record is missing".to_owned()) };
    };
    let (_, bytes) = unseal(&RECORD_KEY, &sealed)?;
    let record: Record = codec::decode(bytes, RECORD_MAX_BYTES).map_err(text)?;
    if record.layout != LAYOUT {
        return Err(format!("its layout is {}, not {LAYOUT}", record.layout));
    }
    if record.schema != schema {
        return Err(format!("its row schema is {}, not {schema}", record.schema));
    }
    let mut counts = Counts::new();
    for row in db.scan_prefix(COUNT_PREFIX) {
        let (key, sealed) = row.map_err(text)?;
        let (_, count) = unseal(&key, &sealed)?;
        let log = key.get(COUNT_PREFIX.len()..).and_then(|log| log.try_into().ok()).map(u32::from_be_bytes);
        let count = count.try_into().ok().map(u64::from_le_bytes);
        counts.extend([log.zip(count).ok_or("a hash count is malformed")?]);
    }
    if verify {
        let mut tally = Tally::default();
        for row in db.range(..[OWN]) {
            let (key, sealed) = row.map_err(text)?;
            tally.add(unseal(&key, &sealed)?.0);
        }
        if tally != record.tally && !verbund_protocol::seeded::bug("view_with_other_tally") {
            return Err(format!("it has {} rows, and not the {} recorded", tally.rows, record.tally.rows));
        }
    }
    Ok((Some(record), counts))
}

impl Open {
    fn batch(&self, batch: &Batch, plan: Option<&Plan<'_>>, mark: &Mark, schema: u32) -> Result<(), String> {
        let mut record = lock(&self.record);
        let mut tally = record.map(|record| record.tally).unwrap_or_default();
        let mut writes = ::sled::Batch::default();
        for (table, rows) in batch.iter().filter(|(table, _)| **table != Table::Hashes) {
            for (key, value) in rows {
                let stored = stored_key(*table, key);
                if let Some(old) = self.db.get(&stored).map_err(text)? {
                    tally.remove(unseal(&stored, &old)?.0);
                }
                match value {
                    Some(value) => {
                        let (crc, sealed) = seal(&stored, value);
                        tally.add(crc);
                        writes.insert(stored, sealed);
                    }
                    None => writes.remove(stored),
                }
            }
        }
        for (log, count) in plan.iter().flat_map(|plan| &plan.counts) {
            let key = [&COUNT_PREFIX[..], &log.to_be_bytes()].concat();
            let (_, sealed) = seal(&key, &count.to_le_bytes());
            writes.insert(key, sealed);
        }
        let new = Record { layout: LAYOUT, schema, mark: *mark, tally };
        let (_, sealed) = seal(&RECORD_KEY, &codec::encode(&new).map_err(text)?);
        writes.insert(&RECORD_KEY, sealed);
        self.db.apply_batch(writes).map_err(text)?;
        *record = Some(new);
        Ok(())
    }
}

impl Base for Sled {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.reading(|open| {
            if table == Table::Hashes {
                return open.hashes.get(key).map_err(text);
            }
            let stored = stored_key(table, key);
            let Some(sealed) = open.db.get(&stored).map_err(text)? else { return Ok(None) };
            Ok(Some(unseal(&stored, &sealed)?.1.to_vec()))
        })
    }

    fn walk(&self, table: Table, prefix: &[u8], from: &[u8], visit: Visit<'_>) -> Result<(), RowsError> {
        self.reading(|open| {
            if table == Table::Hashes {
                return open.hashes.walk(prefix, from, visit).map_err(text);
            }
            let (start, prefix) = (stored_key(table, from.max(prefix)), stored_key(table, prefix));
            for row in open.db.range(start..) {
                let (stored, sealed) = row.map_err(text)?;
                if !stored.starts_with(&prefix) {
                    break;
                }
                let (_, value) = unseal(&stored, &sealed)?;
                if visit(stored.get(1..).unwrap_or_default(), value) == ControlFlow::Break(()) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn last_below(&self, table: Table, prefix: &[u8], below: Option<&[u8]>) -> Result<Option<Row>, RowsError> {
        self.reading(|open| {
            if table == Table::Hashes {
                return open.hashes.last_below(prefix, below).map_err(text);
            }
            let start = stored_key(table, prefix);
            let end = end_of(&start);
            let below = below.map(|below| stored_key(table, below));
            let end = match (end, below) {
                (Some(end), Some(below)) => end.min(below),
                (one, other) => match one.or(other) {
                    Some(end) => end,
                    None => return Ok(None),
                },
            };
            if end <= start {
                return Ok(None);
            }
            let range = (Bound::Included(start), Bound::Excluded(end));
            let Some(row) = open.db.range(range).next_back() else { return Ok(None) };
            let (stored, sealed) = row.map_err(text)?;
            let (_, value) = unseal(&stored, &sealed)?;
            Ok(Some((stored.get(1..).unwrap_or_default().to_vec(), value.to_vec())))
        })
    }

    fn apply(&self, batch: &Batch, mark: &Mark) -> Result<(), ViewError> {
        self.changing(|open| {
            let plan = batch.get(&Table::Hashes).map(|changes| open.hashes.plan(changes));
            if plan.as_ref().is_some_and(|plan| plan.rewrites) {
                self.state.rewrite(mark.seq).map_err(text)?;
            }
            if let Some(plan) = &plan {
                open.hashes.write(plan).map_err(text)?;
            }
            open.batch(batch, plan.as_ref(), mark, self.schema)?;
            if let Some(plan) = plan {
                open.hashes.commit(plan.counts);
            }
            Ok(())
        })
    }

    fn mark(&self) -> Option<Mark> {
        let open = read(&self.open);
        let record = *lock(&open.as_ref()?.record);
        record.map(|record| record.mark)
    }

    fn flush(&self) -> Result<(), ViewError> {
        self.changing(|open| open.db.flush().map(drop).map_err(text))
    }

    fn close(&self) -> Result<(), ViewError> {
        let Some(open) = write(&self.open).take() else { return Ok(()) };
        let closed = shielded(|| {
            open.db.flush().map_err(text)?;
            open.hashes.sync().map_err(text)?;
            drop(open);
            sync_tree(&self.dir.join("sled")).map_err(text)
        });
        match closed {
            Ok(()) => self.state.write(&Phase::Closed).map_err(|e| ViewError(text(e))),
            Err(e) => {
                self.distrust(&e);
                Err(ViewError(e))
            }
        }
    }

    fn distrust(&self, reason: &str) {
        tracing::error!(reason, "the view is wrong: it will be rebuilt at the next start");
        if let Err(e) = self.state.write(&Phase::Bad(reason.to_owned())) {
            tracing::error!(error = %e, "and that could not be noted");
        }
    }
}

/// Makes all files below `dir` durable: sled itself does not.
fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { sync_tree(&path)? } else { File::open(&path)?.sync_all()? }
    }
    File::open(dir)?.sync_all()
}
