//! What is known about the view from outside of it, in one small file beside it: whether it can be opened at all.
//!
//! sled hands its writes to the system without `fsync`, may abort the process over damaged files, and can be silently wrong after
//! a power cut. So it is trusted only if it was closed, or if it was open under the same boot of the machine (then the system
//! still has all that a killed process wrote).

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::store::sync::lock;

const NAME: &str = "state";

/// Where the view stands in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being opened: if that is found at a start, the last try died over it.
    Opening,
    /// In use.
    Open,
    /// Rows that were there before are being written over in a flat file.
    Dirty,
    /// Closed after everything was made durable.
    Closed,
    /// Found wrong.
    Bad(String),
}

/// The file and what was last written to it.
pub(crate) struct State {
    dir: PathBuf,
    boot: String,
    bad: Mutex<bool>,
}

/// Identifies this boot of the machine; empty if the system does not say.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

impl State {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), boot: boot_id(), bad: Mutex::new(false) }
    }

    /// Why the view must not be opened as it is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let text = match fs::read_to_string(self.dir.join(NAME)) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err("no view is there".to_owned()),
            Err(e) => return Err(format!("its state cannot be read: {e}")),
        };
        let text = text.trim_end();
        let (phase, rest) = text.split_once(' ').unwrap_or((text, ""));
        match phase {
            "closed" => Ok(()),
            "open" if rest == self.boot && !rest.is_empty() => Ok(()),
            "open" => Err("the machine went down while it was open".to_owned()),
            "opening" => Err("the last try to open it did not end".to_owned()),
            "dirty" => Err("the process was killed while it rewrote hashes".to_owned()),
            "bad" => Err(rest.to_owned()),
            _ => Err("its state is unknown".to_owned()),
        }
    }

    /// Writes `phase`, durably. Once found bad it stays so.
    pub(crate) fn write(&self, phase: &Phase) -> io::Result<()> {
        let mut bad = lock(&self.bad);
        if *bad {
            return Ok(());
        }
        *bad = matches!(phase, Phase::Bad(_));
        let text = match phase {
            Phase::Opening => "opening".to_owned(),
            Phase::Open => format!("open {}", self.boot),
            Phase::Dirty => "dirty".to_owned(),
            Phase::Closed => "closed".to_owned(),
            Phase::Bad(reason) => format!("bad {}", reason.replace(['\n', '\r'], " ")),
        };
        let (path, new) = (self.dir.join(NAME), self.dir.join("state.new"));
        let mut file = File::create(&new)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()
    }
}
