//! Opening a store: the journal first, then a view that agrees with it.

use std::{fs, io, path::Path, sync::Arc};

use verbund_protocol::view::rows::RowsError;

use super::{
    Options, ViewKind,
    apply::Run,
    error::{ReadError, StoreError},
    fold::{Fold, FoldError, FramePosition, Seq, check_hashes},
    journal::{CutTail, Damage, open::Journal, scan::Frame},
    overlay::{Reader, RowChange, Views},
    view::{Base, Mark, ViewError, memory::Memory, sled::Sled},
};

/// Frames that could not be folded kept in the report; more are only counted.
const UNFOLDED_MAX: usize = 100;

/// How the view came to agree with the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewReport {
    /// It was there; `frames` newer ones were folded.
    CaughtUp {
        /// How many.
        frames: u64,
    },
    /// It was built anew from `frames` frames.
    Built {
        /// How many.
        frames: u64,
        /// Why; `None` if there was nothing to build from and no view either.
        reason: Option<String>,
    },
}

/// A frame that the fold refused while the view was brought up to date. It was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfolded {
    /// Where it stands.
    pub at: FramePosition,
    /// What the fold said.
    pub reason: String,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Number of the last frame; 0 in an empty journal.
    pub last: Seq,
    /// Number of valid frames.
    pub frames: u64,
    /// Number of segments.
    pub segments: u64,
    /// A bad tail that was cut.
    pub cut_tail: Option<CutTail>,
    /// Damaged places further in, the first thousand. Nothing of them was changed.
    pub damaged: Vec<Damage>,
    /// Number of all damaged places.
    pub damages: u64,
    /// What became of the view.
    pub view: ViewReport,
    /// Frames that could not be folded, the first hundred.
    pub unfolded: Vec<Unfolded>,
    /// Number of all of them.
    pub unfolded_frames: u64,
}

impl OpenReport {
    /// Whether acknowledged records may be gone: the start rule has to find them again.
    #[must_use]
    pub fn lost_something(&self) -> bool {
        self.damages > 0 || self.cut_tail.as_ref().is_some_and(|cut| !cut.zeros)
    }
}

/// Why catching up stopped.
enum Stop {
    /// The base is at fault: build it anew.
    View(String),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl From<ViewError> for Stop {
    fn from(e: ViewError) -> Self {
        Self::View(e.0)
    }
}

impl From<RowsError> for Stop {
    fn from(e: RowsError) -> Self {
        Self::View(e.0)
    }
}

/// What catching up did.
#[derive(Default)]
struct Caught {
    frames: u64,
    unfolded: Vec<Unfolded>,
    unfolded_frames: u64,
}

/// Opens a view in `dir` that holds all rows of `journal`.
pub(super) fn view(
    dir: &Path,
    fold: &dyn Fold,
    options: &Options,
    journal: &Journal,
) -> Result<(Arc<Views>, OpenReport), StoreError> {
    let (folder, aside) = (dir.join("view"), dir.join("view.bad"));
    let mut reason = None;
    if options.view == ViewKind::Sled {
        match existing(&folder, fold, options, journal) {
            Ok(Some((views, caught))) => {
                remove(&aside).map_err(StoreError::io(&aside))?;
                let view = ViewReport::CaughtUp { frames: caught.frames };
                return Ok((views, report(journal, view, caught)));
            }
            Ok(None) => reason = (journal.count > 0).then(|| "no view is there".to_owned()),
            Err(Stop::View(why)) => reason = Some(why),
            Err(Stop::Store(e)) => return Err(e),
        }
        if let Some(reason) = &reason {
            tracing::warn!(reason, frames = journal.count, "the view is built anew from the journal");
        }
    }
    let base: Box<dyn Base> = match options.view {
        ViewKind::Memory => Box::new(Memory::default()),
        ViewKind::Sled => {
            move_aside(&folder, &aside).map_err(StoreError::io(&folder))?;
            let sled = Sled::open(&folder, fold.schema(), options.cache_bytes, options.verify_view);
            Box::new(sled.map_err(StoreError::View)?)
        }
    };
    let views = Arc::new(Views::new(base));
    let caught = match catch_up(&views, fold, journal, None) {
        Ok(caught) => caught,
        Err(Stop::View(why)) => return Err(StoreError::View(why)),
        Err(Stop::Store(e)) => return Err(e),
    };
    views.base.flush().map_err(|e| StoreError::View(e.0))?;
    remove(&aside).map_err(StoreError::io(&aside))?;
    let view = ViewReport::Built { frames: caught.frames, reason };
    Ok((views, report(journal, view, caught)))
}

/// The view that is there, caught up; `None` if there is none.
fn existing(
    folder: &Path,
    fold: &dyn Fold,
    options: &Options,
    journal: &Journal,
) -> Result<Option<(Arc<Views>, Caught)>, Stop> {
    if !folder.join("sled").exists() {
        return Ok(None);
    }
    let sled = Sled::open(folder, fold.schema(), options.cache_bytes, options.verify_view).map_err(Stop::View)?;
    let mark = sled.mark();
    if let Some(mark) = &mark {
        agrees(journal, mark)?;
    }
    let views = Arc::new(Views::new(Box::new(sled)));
    let caught = catch_up(&views, fold, journal, mark)?;
    Ok(Some((views, caught)))
}

/// Whether the journal still holds the frame that the view was built up to. A frame that was damaged since then is fine: what the
/// view knows of it is better than nothing. One that is gone means that the journal is older than the view.
fn agrees(journal: &Journal, mark: &Mark) -> Result<(), Stop> {
    if journal.damaged.iter().any(|damage| damage.covers(mark.at)) && mark.seq <= journal.last {
        return Ok(());
    }
    match journal.frames.frame(mark.at) {
        Ok((head, _)) if head.seq == mark.seq && head.body == mark.body => Ok(()),
        Err(ReadError::Io { source, .. }) => Err(Stop::Store(StoreError::io("journal")(source))),
        _ => Err(Stop::View(format!("it is ahead of the journal, or of another one: frame {} is not there", mark.seq))),
    }
}

/// Folds all frames behind `mark` into the base.
fn catch_up(views: &Arc<Views>, fold: &dyn Fold, journal: &Journal, mark: Option<Mark>) -> Result<Caught, Stop> {
    let reader = Reader(views.clone());
    let mut caught = Caught::default();
    let mut run = Run::default();
    let from = mark.map(|mark| FramePosition { segment: mark.at.segment, offset: mark.end });
    journal.replay(from, mark.map_or(0, |mark| mark.seq), &mut |frame: Frame<'_>| {
        let changes = fold.fold(&reader, frame.at, frame.payload).and_then(|changes| {
            check_hashes(&reader, &changes)?;
            Ok(changes)
        });
        let changes = match changes {
            Ok(changes) => changes,
            Err(FoldError::Rows(e)) => return Err(Stop::from(e)),
            Err(FoldError::Refused(reason)) => {
                tracing::warn!(at = %frame.at, reason, "a frame could not be folded and is skipped");
                caught.unfolded_frames += 1;
                if caught.unfolded.len() < UNFOLDED_MAX {
                    caught.unfolded.push(Unfolded { at: frame.at, reason });
                }
                Vec::new()
            }
        };
        caught.frames += 1;
        let rows = RowChange::share(changes);
        let (at, head) = (frame.at, frame.head);
        views.show(head.seq, &rows);
        run.add(Mark { at, end: at.offset + head.frame_bytes(), seq: head.seq, body: head.body }, rows);
        if run.is_full() {
            std::mem::take(&mut run).apply(views)?;
        }
        Ok::<(), Stop>(())
    })?;
    run.apply(views)?;
    Ok(caught)
}

fn report(journal: &Journal, view: ViewReport, caught: Caught) -> OpenReport {
    OpenReport {
        last: journal.last,
        frames: journal.count,
        segments: journal.segments(),
        cut_tail: journal.cut_tail.clone(),
        damaged: journal.damaged.clone(),
        damages: journal.damages,
        view,
        unfolded: caught.unfolded,
        unfolded_frames: caught.unfolded_frames,
    }
}

/// Makes room for a new view. The old one goes to another name first: sled may still hold a lock on its files after a panic.
fn move_aside(folder: &Path, aside: &Path) -> io::Result<()> {
    if folder.exists() {
        remove(aside)?;
        fs::rename(folder, aside)?;
    }
    fs::create_dir_all(folder)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
