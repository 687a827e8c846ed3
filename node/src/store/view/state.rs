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

use crate::store::{fold::Seq, sync::lock};

const NAME: &str = "state";

/// Where the view stands in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being opened: if that is found at a start, the last try died over it.
    Opening,
    /// In use.
    Open,
    /// Closed after everything was made durable.
    Closed,
    /// Found wrong.
    Bad(String),
}

#[derive(Default)]
struct Kept {
    bad: bool,
    rewritten: Seq,
}

/// The file and what was last written to it.
pub(crate) struct State {
    dir: PathBuf,
    boot: String,
    kept: Mutex<Kept>,
}

/// Identifies this boot of the machine; empty if the system does not say.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

impl State {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), boot: boot_id(), kept: Mutex::default() }
    }

    /// The newest frame that wrote over hashes in place: a view that is not that far holds hashes that it should not.
    ///
    /// # Errors
    /// Why the view must not be opened as it is.
    pub(crate) fn check(&self) -> Result<Seq, String> {
        let text = match fs::read_to_string(self.dir.join(NAME)) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err("no view is there".to_owned()),
            Err(e) => return Err(format!("its state cannot be read: {e}")),
        };
        let mut words = text.trim_end().splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (phase, rewritten, rest) = (word(), word().parse::<Seq>(), word());
        let rewritten = rewritten.map_err(|_| "its state is unknown".to_owned())?;
        match phase {
            "closed" => {}
            "open" if rest == self.boot && !rest.is_empty() => {}
            "open" => return Err("the machine went down while it was open".to_owned()),
            "opening" => return Err("the last try to open it did not end".to_owned()),
            "bad" => return Err(rest.to_owned()),
            _ => return Err("its state is unknown".to_owned()),
        }
        lock(&self.kept).rewritten = rewritten;
        Ok(rewritten)
    }

    /// Notes, durably, that frame `seq` is about to write over hashes.
    pub(crate) fn rewrite(&self, seq: Seq) -> io::Result<()> {
        lock(&self.kept).rewritten = seq;
        self.write(&Phase::Open)
    }

    /// Writes `phase`, durably. Once found bad it stays so.
    pub(crate) fn write(&self, phase: &Phase) -> io::Result<()> {
        let mut kept = lock(&self.kept);
        if kept.bad {
            return Ok(());
        }
        kept.bad = matches!(phase, Phase::Bad(_));
        let rewritten = kept.rewritten;
        let text = match phase {
            Phase::Opening => format!("opening {rewritten}"),
            Phase::Open => format!("open {rewritten} {}", self.boot),
            Phase::Closed => format!("closed {rewritten}"),
            Phase::Bad(reason) => format!("bad {rewritten} {}", reason.replace(['\n', '\r'], " ")),
        };
        let (path, new) = (self.dir.join(NAME), self.dir.join("state.new"));
        let mut file = File::create(&new)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()
    }
}
