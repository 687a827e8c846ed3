//! The store of one instance: a journal that is the truth, and a view of it that may be deleted at any time.
//!
//! Owns `journal/` and `view/` in the instance's folder, the order *append → durable → applied*, and the lock that keeps a second
//! process out. Must never acknowledge what is not durable, change a byte of the journal behind its end, or interpret a frame.
//!
//! One driver appends. [`Store::append`] folds the frame against everything appended before and shows its rows to readers at once;
//! the journal thread makes it durable together with all that waits ([`Store::committed`]); the view thread then brings its rows to
//! the base in batches. Whatever the base lacks at a start is folded again.

mod append;
mod apply;
mod commit;
mod disk;
mod error;
mod files;
mod floor;
mod fold;
mod gate;
mod journal;
mod lock;
mod open;
mod overlay;
mod sync;
mod view;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{Builder, JoinHandle},
};

use bytes::Bytes;
use tokio::sync::watch;

use self::{
    apply::Applier,
    commit::{Committer, Job, Progress},
    floor::Floor,
    gate::Gate,
    journal::{
        format::{HEADER_BYTES, Salt},
        open::Journal,
        read::Frames,
    },
    overlay::Views,
    sync::{Queue, lock, read},
};
pub use self::{
    disk::{Disk, RealDisk, SegmentFile},
    error::{ReadError, StoreError},
    floor::FloorState,
    fold::{Fold, FoldError, FramePosition, HASH_BYTES, HASH_KEY_BYTES, Seq},
    journal::{
        CutTail, Damage,
        format::{FORMAT, FRAME_MAX_BYTES},
    },
    open::{OpenReport, Unfolded, ViewReport},
    overlay::Reader,
};

/// Where the rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewKind {
    /// In sled and flat files.
    Sled,
    /// In memory: built from the journal at every start.
    Memory,
}

/// How a store is set up.
#[derive(Clone)]
pub struct Options {
    /// Tag of the instance the journal belongs to, such as a hash over federation and node. A journal with another one is refused.
    pub instance: [u8; 32],
    /// A new segment is started before a frame would grow one beyond this. A single larger frame still fits.
    pub segment_bytes: u64,
    /// Bytes of frames that may wait for the journal before [`Store::append`] blocks.
    pub queue_bytes: u64,
    /// Bytes of memory that rows not yet in the base may take before [`Store::append`] blocks.
    pub overlay_bytes: u64,
    /// Intake stops when less is free on the disk.
    pub floor_bytes: u64,
    /// Memory for sled's cache in bytes.
    pub cache_bytes: u64,
    /// Where rows are kept.
    pub view: ViewKind,
    /// Whether to count and check all rows when opening; without it silent damage is found only when a row is read, and lost rows
    /// never.
    pub verify_view: bool,
    /// The disk; tests put one here that fails.
    pub disk: Arc<dyn Disk>,
}

impl Options {
    /// The defaults for the instance with the tag `instance`.
    #[must_use]
    pub fn new(instance: [u8; 32]) -> Self {
        Self {
            instance,
            segment_bytes: 64 << 20,
            queue_bytes: 32 << 20,
            overlay_bytes: 64 << 20,
            floor_bytes: 256 << 20,
            cache_bytes: 64 << 20,
            view: ViewKind::Sled,
            verify_view: true,
            disk: Arc::new(RealDisk),
        }
    }
}

/// What a frame is for, when the disk is nearly full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Grows with what others send or publish: refused below the disk floor.
    Intake,
    /// Keeps the node going: promises, audit, judgements. Passes as long as the disk takes it.
    Essential,
}

/// The store at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Segments on disk.
    pub segments: u64,
    /// Bytes of the journal.
    pub bytes: u64,
    /// Number of the last frame appended.
    pub appended: Seq,
    /// Number of the last frame that is durable.
    pub committed: Seq,
    /// Number of the last frame whose rows are in the base.
    pub applied: Seq,
    /// Syncs since opening that committed frames.
    pub syncs: u64,
    /// Bytes of frames that wait for the journal.
    pub queued_bytes: u64,
    /// Bytes of rows that wait for the base.
    pub overlay_bytes: u64,
    /// Damaged places found when opening and since, the first thousand.
    pub damaged: Vec<Damage>,
    /// Frames of segment rolls that had to be left out since opening: local records in old segments are not repeated.
    pub carries_skipped: u64,
    /// Free space against the floor.
    pub floor: FloorState,
    /// Whether the journal waits for room on the disk, whatever the free space is said to be.
    pub full: bool,
    /// Why the store has failed, if it has.
    pub failed: Option<String>,
}

/// Where the next frame goes.
struct Cursor {
    next: FramePosition,
    last: Seq,
    /// A frame other than those of the roll stands in this segment.
    used: bool,
    must_roll: bool,
}

struct Inner {
    fold: Arc<dyn Fold>,
    views: Arc<Views>,
    frames: Arc<Frames>,
    salt: Salt,
    disk: Arc<dyn Disk>,
    /// The folder of the journal.
    journal: PathBuf,
    segment_bytes: u64,
    cursor: Mutex<Cursor>,
    gate: Arc<Gate>,
    jobs: Arc<Queue<Job>>,
    progress: Arc<Progress>,
    committed: watch::Receiver<Seq>,
    applied: Arc<AtomicU64>,
    carries_skipped: AtomicU64,
    damaged: Mutex<Vec<Damage>>,
    /// Number of damaged places known.
    damages: watch::Sender<usize>,
    floor: Floor,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<File>>,
}

/// Handle to an open store; cheap to clone. The last one to go closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    /// Opens the store in `dir`, creating what is missing. Blocks for as long as reading the whole journal takes, and rebuilding the
    /// view if it must be.
    ///
    /// # Errors
    /// [`StoreError`]. Damage to the journal is not an error but in the report.
    pub fn open(dir: &Path, fold: Arc<dyn Fold>, options: Options) -> Result<(Self, OpenReport), StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io(dir))?;
        let lock = lock::acquire(dir)?;
        if let Some(Err(e)) = dir.parent().map(|parent| options.disk.sync_dir(parent)) {
            // The parent is not this store's, and may not be readable for this user.
            tracing::debug!(error = %e, "the parent folder could not be synced");
        }
        let journal = Journal::open(options.disk.clone(), dir.join("journal"), options.instance)?;
        let (views, report) = open::view(dir, fold.as_ref(), &options, &journal)?;
        tracing::info!(
            dir = %dir.display(), frames = report.frames, segments = report.segments, last = report.last,
            damages = report.damages, view = ?report.view, "store opened"
        );
        if report.lost_something() {
            tracing::warn!(cut_tail = ?report.cut_tail, damaged = ?report.damaged, "the journal is damaged");
        }
        let store = Self::start(dir, fold, options, journal, views, lock)?;
        Ok((store, report))
    }

    fn start(
        dir: &Path,
        fold: Arc<dyn Fold>,
        options: Options,
        journal: Journal,
        views: Arc<Views>,
        lock: File,
    ) -> Result<Self, StoreError> {
        let gate = Arc::new(Gate::new(options.queue_bytes, options.overlay_bytes));
        let (jobs, settled) = (Arc::new(Queue::new()), Arc::new(Queue::new()));
        let (sender, committed) = watch::channel(journal.last);
        let (progress, applied) = (Arc::new(Progress::default()), Arc::new(AtomicU64::new(journal.last)));
        progress.segments.store(journal.segments(), Ordering::Relaxed);
        progress.bytes.store(journal.bytes, Ordering::Relaxed);
        let cursor = Cursor {
            next: journal.end,
            last: journal.last,
            used: journal.end.offset > HEADER_BYTES,
            must_roll: journal.must_roll,
        };
        let salt = journal.salt();
        let store = Self(Arc::new(Inner {
            fold,
            views: views.clone(),
            frames: journal.frames.clone(),
            salt,
            disk: options.disk.clone(),
            journal: dir.join("journal"),
            segment_bytes: options.segment_bytes,
            cursor: Mutex::new(cursor),
            gate: gate.clone(),
            jobs: jobs.clone(),
            progress: progress.clone(),
            committed,
            applied: applied.clone(),
            carries_skipped: AtomicU64::new(0),
            damages: watch::Sender::new(journal.damaged.len()),
            damaged: Mutex::new(journal.damaged),
            floor: Floor::new(options.disk, dir.to_owned(), options.floor_bytes),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        }));
        let applier = Applier { views, queue: settled.clone(), jobs: jobs.clone(), gate: gate.clone(), applied };
        let committer = Committer { writer: journal.writer, jobs, applied: settled, gate, progress, committed: sender };
        store.spawn(dir, "store-view", move || applier.run())?;
        store.spawn(dir, "store-journal", move || committer.run())?;
        Ok(store)
    }

    fn spawn(&self, dir: &Path, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = Builder::new().name(name.to_owned()).spawn(run).map_err(StoreError::io(dir))?;
        lock(&self.0.threads).push(thread);
        Ok(())
    }

    /// Appends a batch as one frame: assigns its place, folds it, and shows its rows to all readers. It is durable when
    /// [`Self::committed`] reaches the number returned.
    ///
    /// Called by one driver at a time. Blocks the thread while too much waits for the disk, never for a sync of its own; folding may
    /// read from the view. On a runtime wait for [`Self::ready`] and use [`Self::try_append`].
    ///
    /// # Errors
    /// [`StoreError`]; nothing has then happened.
    pub fn append(&self, weight: Weight, frame: Vec<u8>) -> Result<Seq, StoreError> {
        self.0.gate.wait()?;
        self.0.append(weight, frame)
    }

    /// Like [`Self::append`], but refuses with [`StoreError::Busy`] instead of blocking.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has then happened.
    pub fn try_append(&self, weight: Weight, frame: Vec<u8>) -> Result<Seq, StoreError> {
        if !self.0.gate.has_room()? {
            return Err(StoreError::Busy);
        }
        self.0.append(weight, frame)
    }

    /// Waits until [`Self::try_append`] has room. With one driver it then succeeds once.
    ///
    /// # Errors
    /// [`StoreError::Failed`] or [`StoreError::Closed`].
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.0.gate.ready().await
    }

    /// The number of the last durable frame. Its sender goes away when the store fails or closes: then nothing more will be durable,
    /// and [`Self::failure`] says why.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Seq> {
        self.0.committed.clone()
    }

    /// Waits until frame `seq` is durable.
    ///
    /// # Errors
    /// [`StoreError::Failed`] or [`StoreError::Closed`] if it will not be; [`StoreError::Full`] if it has to wait for room on the disk.
    pub async fn durable(&self, seq: Seq) -> Result<(), StoreError> {
        let mut committed = self.committed();
        tokio::select! {
            biased;
            done = committed.wait_for(|committed| *committed >= seq) => match done {
                Ok(_) => Ok(()),
                Err(_) => Err(self.failure().map_or(StoreError::Closed, StoreError::Failed)),
            },
            () = self.full() => Err(StoreError::Full),
        }
    }

    /// Waits until the journal has to wait for room on the disk.
    pub async fn full(&self) {
        let mut full = self.0.progress.full.subscribe();
        if full.wait_for(|full| *full).await.is_err() {
            // The sender lives as long as this store does.
            std::future::pending::<()>().await;
        }
    }

    /// Why the store has failed, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.0.gate.failure()
    }

    /// Reads the rows of all frames appended before each call, durable or not.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(self.0.views.clone())
    }

    /// `len` bytes from `offset` of the payload of the frame at `at`, also if it is not written yet. Every byte has passed the frame's
    /// checksum. Blocks for a disk read.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, at: FramePosition, offset: u32, len: u32) -> Result<Bytes, ReadError> {
        let payload = self.read_frame(at)?;
        let (start, end) = (offset as usize, (offset as usize).saturating_add(len as usize));
        if end > payload.len() {
            return Err(ReadError::Range { at, offset, len, payload: payload.len() });
        }
        Ok(payload.slice(start..end))
    }

    /// The whole payload of the frame at `at`, also if it is not written yet. Blocks for a disk read.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_frame(&self, at: FramePosition) -> Result<Bytes, ReadError> {
        if let Some(payload) = read(&self.0.progress.pending).get(&at) {
            return Ok(payload.clone());
        }
        let read = self.0.frames.payload(at);
        if matches!(read, Err(ReadError::Damaged(_))) {
            self.0.note_damage(at);
        }
        read
    }

    /// Whether frames of [`Weight::Intake`] are taken: enough disk space is free, and the journal is not waiting for any.
    #[must_use]
    pub fn accepts_intake(&self) -> bool {
        !*self.0.progress.full.borrow() && self.0.floor.state().accepts_intake
    }

    /// Segments on disk.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.0.progress.segments.load(Ordering::Relaxed)
    }

    /// The store at a glance. Costs one look at the file system.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = &self.0;
        let (queued_bytes, overlay_bytes) = inner.gate.load();
        Status {
            segments: inner.progress.segments.load(Ordering::Relaxed),
            bytes: inner.progress.bytes.load(Ordering::Relaxed),
            appended: lock(&inner.cursor).last,
            committed: *inner.committed.borrow(),
            applied: inner.applied.load(Ordering::Relaxed),
            syncs: inner.progress.syncs.load(Ordering::Relaxed),
            queued_bytes,
            overlay_bytes,
            damaged: lock(&inner.damaged).clone(),
            carries_skipped: inner.carries_skipped.load(Ordering::Relaxed),
            floor: inner.floor.state(),
            full: *inner.progress.full.borrow(),
            failed: inner.gate.failure(),
        }
    }

    /// Begins a new segment, and so repeats all records that no peer could give back: after damage to older segments. Returns the
    /// number of the last frame written.
    ///
    /// Called by the one driver, like [`Self::append`], and blocks like it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has then happened.
    pub fn repeat(&self) -> Result<Seq, StoreError> {
        self.0.gate.wait()?;
        self.0.repeat()
    }

    /// Forgets all segments but the newest `keep`, for a journal whose every segment repeats what has to last, and of which the rest
    /// may go. Segments whose repetition had to be left out keep everything. Blocks for a few syncs; safe to be killed at any point.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was forgotten then is as yet undecided, and nothing else is touched.
    pub fn forget(&self, keep: usize) -> Result<(), StoreError> {
        let inner = &self.0;
        if inner.carries_skipped.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let left = journal::forget::forget(&*inner.disk, &inner.journal, keep);
        let (segments, bytes) = left.map_err(StoreError::io(&inner.journal))?;
        // Also what the journal thread counted meanwhile.
        inner.progress.segments.store(segments, Ordering::Relaxed);
        inner.progress.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The damaged places of the journal that are known now, the first thousand.
    #[must_use]
    pub fn damaged(&self) -> Vec<Damage> {
        lock(&self.0.damaged).clone()
    }

    /// Changes whenever another damaged place becomes known.
    #[must_use]
    pub fn damages(&self) -> watch::Receiver<usize> {
        self.0.damages.subscribe()
    }

    /// Has the view rebuilt at the next start: for a row that contradicts what it was derived from, or at the operator's wish.
    pub fn distrust_view(&self, reason: &str) {
        self.0.views.base.distrust(reason);
    }

    /// Commits what was appended, brings the view to rest, and lets go of all files. Takes seconds at most; blocks. Readers that are
    /// still around get errors from then on.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if not everything appended became durable, or the view could not be closed well. All is let go of in
    /// any case.
    pub fn close(&self) -> Result<(), StoreError> {
        self.0.close()
    }
}
