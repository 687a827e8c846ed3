//! What changed in a federation, in the order in which this node noticed it.
//!
//! Owns the list, its numbers and its bound. A change stands in it only when it is durable, here and in the journal; it is shown
//! by [`super::library`], which decides who may see it. Feeds, streams and webhooks all read from here.

mod file;
#[cfg(test)]
mod tests;
mod track;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use verbund_protocol::ids::{FederationId, PeerId, Sha256};

use super::clock::now;
use super::instance::Instance;
use file::{Line, Lines};
pub use file::{Noted, What};

/// Changes that are kept: years of a federation's life, some 20 MiB on disk.
const KEPT_MAX: usize = 100_000;
/// So many more are kept before the file is written anew.
const SLACK: usize = 10_000;
/// Bytes of an epoch.
pub const EPOCH_BYTES: usize = 8;

/// The lists of all federations of a node.
#[derive(Debug, Default)]
pub struct ChangeLists(Mutex<BTreeMap<FederationId, Arc<ChangeList>>>);

impl ChangeLists {
    /// Opens the list of a federation and lets it follow what happens there, until the federation ends. Blocks.
    ///
    /// # Errors
    /// What the system says.
    pub fn follow(&self, data_dir: &Path, instance: &Arc<Instance>) -> io::Result<()> {
        let path = data_dir.join("changes").join(format!("{}.log", instance.federation.to_hex()));
        let list = Arc::new(ChangeList::open(&path, KEPT_MAX)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(instance.federation, Arc::clone(&list));
        tokio::spawn(track::run(Arc::clone(instance), list));
        Ok(())
    }

    /// The list of a federation.
    pub fn get(&self, federation: &FederationId) -> Option<Arc<ChangeList>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(federation).cloned()
    }

    /// Forgets a federation that is no more; its file goes too.
    pub fn forget(&self, federation: &FederationId) {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(federation);
        if let Some(list) = list {
            let _ = std::fs::remove_file(list.path());
        }
    }
}

/// The changes of one federation.
#[derive(Debug)]
pub struct ChangeList {
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
    kept_max: usize,
}

#[derive(Debug)]
struct Inner {
    lines: Lines,
    epoch: [u8; EPOCH_BYTES],
    changes: VecDeque<Noted>,
    /// How far each log was looked through.
    seen: BTreeMap<PeerId, u64>,
    /// Releases whose availability was told.
    told: BTreeSet<Sha256>,
    /// Newest charter that was told.
    charter: u64,
    next: u64,
}

/// What was read of a file.
#[derive(Default)]
struct Read {
    epoch: [u8; EPOCH_BYTES],
    changes: VecDeque<Noted>,
    seen: BTreeMap<PeerId, u64>,
    told: BTreeSet<Sha256>,
    charter: u64,
    next: u64,
}

impl Read {
    fn take(&mut self, line: Line) -> bool {
        match line {
            Line::Epoch(text) => return hex::decode_to_slice(text, &mut self.epoch).is_ok(),
            Line::Seen { log, size } => drop(self.seen.insert(log, size)),
            Line::Old(release) => drop(self.told.insert(release)),
            Line::Change(noted) => {
                // Numbers follow one another; the first that is kept may be any.
                if self.next > 0 && noted.n != self.next {
                    return false;
                }
                self.next = noted.n + 1;
                match &noted.what {
                    What::Available(release) => drop(self.told.insert(*release)),
                    What::Charter(version) => self.charter = self.charter.max(*version),
                    _ => {}
                }
                self.changes.push_back(noted);
            }
        }
        true
    }
}

fn new_epoch() -> io::Result<String> {
    let mut bytes = [0; EPOCH_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex::encode(bytes))
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// In the order that was asked for.
    pub changes: Vec<Noted>,
    /// Whether the list goes on.
    pub more: bool,
}

impl ChangeList {
    fn open(path: &Path, kept_max: usize) -> io::Result<Self> {
        let epoch = new_epoch()?;
        let mut read = Read::default();
        let lines = match Lines::open(path, &epoch, |line| read.take(line)) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(path = %path.display(), %error, "the list of changes is put aside and begun anew; clients with cursors start again");
                read = Read::default();
                Lines::renew(path, &epoch, |line| read.take(line))?
            }
            opened => opened?,
        };
        let Read { epoch, changes, seen, told, charter, next } = read;
        let next = next.max(1);
        let inner = Inner { lines, epoch, changes, seen, told, charter, next };
        Ok(Self { inner: Mutex::new(inner), newest: watch::channel(next - 1).0, kept_max })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self) -> PathBuf {
        self.lock().lines.path().to_owned()
    }

    /// Shows the number of the newest change.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Which list this is: numbers of another one mean nothing here.
    pub fn epoch(&self) -> [u8; EPOCH_BYTES] {
        self.lock().epoch
    }

    /// At most `limit` changes after number `after`, oldest first. `None` if some of them are not kept any more.
    pub fn after(&self, after: u64, limit: usize) -> Option<Part> {
        let inner = self.lock();
        let first = inner.changes.front().map_or(inner.next, |noted| noted.n);
        // 0 is the beginning, wherever that is by now.
        if after != 0 && after + 1 < first || after >= inner.next {
            return None;
        }
        let skip = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let mut rest = inner.changes.iter().skip(skip);
        let changes: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        Some(Part { changes, more: rest.next().is_some() })
    }

    /// At most `limit` changes before number `before` (or from the newest on), newest first.
    pub fn before(&self, before: Option<u64>, limit: usize) -> Part {
        let inner = self.lock();
        let older = |noted: &&Noted| before.is_none_or(|before| noted.n < before);
        let mut rest = inner.changes.iter().rev().filter(older);
        let changes: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        Part { changes, more: rest.next().is_some() }
    }

    /// What was looked through and told so far.
    fn progress(&self) -> (BTreeMap<PeerId, u64>, BTreeSet<Sha256>, u64) {
        let inner = self.lock();
        (inner.seen.clone(), inner.told.clone(), inner.charter)
    }

    /// Keeps what was found; durable when it returns. Blocks.
    fn keep(&self, found: Vec<What>, seen: BTreeMap<PeerId, u64>) -> io::Result<()> {
        let mut inner = self.lock();
        let at_ms = now().wall_ms;
        let mut lines = Vec::with_capacity(found.len() + seen.len());
        let noted = found.into_iter().zip(inner.next..).map(|(what, n)| Noted { n, at_ms, what });
        let noted: Vec<_> = noted.collect();
        lines.extend(noted.iter().cloned().map(Line::Change));
        // After the changes: if the end is torn off, its entries are looked through again.
        lines.extend(seen.iter().map(|(log, size)| Line::Seen { log: *log, size: *size }));
        if lines.is_empty() {
            return Ok(());
        }
        inner.lines.append(&lines)?;
        inner.seen.extend(seen);
        for one in noted {
            inner.next = one.n + 1;
            match &one.what {
                What::Available(release) => drop(inner.told.insert(*release)),
                What::Charter(version) => inner.charter = inner.charter.max(*version),
                _ => {}
            }
            inner.changes.push_back(one);
        }
        if inner.changes.len() > self.kept_max + SLACK.min(self.kept_max) {
            inner.shorten(self.kept_max)?;
        }
        let newest = inner.next - 1;
        drop(inner);
        self.newest.send_replace(newest);
        Ok(())
    }
}

impl Inner {
    /// Forgets the oldest changes, and writes the file anew.
    fn shorten(&mut self, kept: usize) -> io::Result<()> {
        while self.changes.len() > kept {
            self.changes.pop_front();
        }
        let available = |noted: &Noted| match &noted.what {
            What::Available(release) => Some(*release),
            _ => None,
        };
        let still: BTreeSet<_> = self.changes.iter().filter_map(available).collect();
        let mut lines = vec![Line::Epoch(hex::encode(self.epoch))];
        lines.extend(self.told.difference(&still).map(|release| Line::Old(*release)));
        lines.extend(self.changes.iter().cloned().map(Line::Change));
        lines.extend(self.seen.iter().map(|(log, size)| Line::Seen { log: *log, size: *size }));
        self.lines = Lines::write(self.lines.path(), lines.iter())?;
        Ok(())
    }
}
