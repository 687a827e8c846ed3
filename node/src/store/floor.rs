//! The disk floor: intake stops while what is left is needed to keep the journal writable.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::disk::Disk;

/// Free space against the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloorState {
    /// Free bytes; `None` if the file system would not say.
    pub free_bytes: Option<u64>,
    /// Intake stops below this.
    pub floor_bytes: u64,
    /// Whether intake goes on.
    pub accepts_intake: bool,
}

/// Watches the free space of one folder.
pub(super) struct Floor {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    floor_bytes: u64,
    low: AtomicBool,
}

impl Floor {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, floor_bytes: u64) -> Self {
        Self { disk, dir, floor_bytes, low: AtomicBool::new(false) }
    }

    /// Measures now. Once stopped, intake resumes an eighth above the floor, so that it does not flap.
    pub(super) fn state(&self) -> FloorState {
        let free_bytes = self.disk.free_bytes(&self.dir).ok();
        let was_low = self.low.load(Ordering::Relaxed);
        let bound = if was_low { self.floor_bytes.saturating_add(self.floor_bytes / 8) } else { self.floor_bytes };
        let low = match free_bytes {
            Some(free) => free < bound,
            None => was_low,
        };
        if low != was_low {
            self.low.store(low, Ordering::Relaxed);
            let (free, floor) = (free_bytes.unwrap_or_default(), self.floor_bytes);
            if low {
                tracing::warn!(free, floor, dir = %self.dir.display(), "disk floor reached: intake stops");
            } else {
                tracing::info!(free, floor, dir = %self.dir.display(), "disk space is back: intake resumes");
            }
        }
        FloorState { free_bytes, floor_bytes: self.floor_bytes, accepts_intake: !low }
    }
}
