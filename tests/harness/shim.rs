//! A disk that fails on command: full from the nth call on, or with syncs that fail from the nth on and stay failed.
//!
//! Owns `shim.c`, compiled for each test and loaded into one daemon before the C library, and the words that both share. What fails
//! is chosen while the daemon runs. Must never be taken for a disk that loses what it was given: that is [`super::disk`].

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Node;

/// Words of the file that is shared with the daemon, in the order of `struct control` in `shim.c`.
#[derive(Debug, Clone, Copy)]
enum Word {
    FullFrom,
    SpaceCalls,
    SpaceFailed,
    SyncFrom,
    SyncCalls,
    SyncFailed,
    Hold,
    Holding,
    Trace,
}
const WORDS: u64 = 9;
const WORD_BYTES: u64 = 8;

/// Calls since the counting began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// All.
    pub seen: u64,
    /// Those that failed.
    pub failed: u64,
}

/// The disk of one node.
#[derive(Debug)]
pub struct Shim {
    control: File,
    lines: PathBuf,
    dir: PathBuf,
}

impl Shim {
    /// Puts the shim under `node`, from its next start on. `None`, after saying why, where this machine cannot.
    ///
    /// # Panics
    /// If there is a compiler and it refuses the source.
    pub fn under(node: &mut Node) -> Option<Self> {
        if !cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")) {
            eprintln!("skipped: needs Linux with the GNU C library and 64 bits");
            return None;
        }
        if !Command::new("cc").arg("--version").output().is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: needs a C compiler called cc");
            return None;
        }
        let library = node.dir.with_extension("so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/shim.c");
        let mut compile = Command::new("cc");
        compile.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
        let made = compile.arg(&library).arg(source).output().expect("cc starts");
        assert!(made.status.success(), "shim.c: {}", String::from_utf8_lossy(&made.stderr));
        let (shared, lines) = (node.dir.with_extension("control"), node.dir.with_extension("calls"));
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
        let control = options.open(&shared).expect("a control file");
        control.set_len(WORDS * WORD_BYTES).expect("a control file");
        for (name, path) in
            [("LD_PRELOAD", &library), ("FIRE_DIR", &node.dir), ("FIRE_CONTROL", &shared), ("FIRE_LOG", &lines)]
        {
            node.env.insert(name.to_owned(), path.to_str().expect("a path in UTF-8").to_owned());
        }
        Some(Self { control, lines, dir: node.dir.clone() })
    }

    fn get(&self, word: Word) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, word as u64 * WORD_BYTES).expect("a control word");
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, word: Word, value: u64) {
        self.control.write_all_at(&value.to_ne_bytes(), word as u64 * WORD_BYTES).expect("a control word");
    }

    /// Counts calls for space anew; the `nth` and all later ones find a full disk (0: none).
    pub fn full_from(&self, nth: u64) {
        self.set(Word::FullFrom, 0);
        self.set(Word::SpaceCalls, 0);
        self.set(Word::SpaceFailed, 0);
        self.set(Word::FullFrom, nth);
    }

    /// Calls for space since [`Self::full_from`].
    pub fn space(&self) -> Calls {
        Calls { seen: self.get(Word::SpaceCalls), failed: self.get(Word::SpaceFailed) }
    }

    /// Counts syncs anew; the `nth` and all later ones fail (0: none).
    pub fn syncs_fail_from(&self, nth: u64) {
        self.set(Word::SyncFrom, 0);
        self.set(Word::SyncCalls, 0);
        self.set(Word::SyncFailed, 0);
        self.set(Word::SyncFrom, nth);
    }

    /// Syncs since [`Self::syncs_fail_from`].
    pub fn syncs(&self) -> Calls {
        Calls { seen: self.get(Word::SyncCalls), failed: self.get(Word::SyncFailed) }
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.set(Word::FullFrom, 0);
        self.set(Word::SyncFrom, 0);
    }

    /// Whether syncs of journals wait from now on.
    pub fn hold(&self, hold: bool) {
        self.set(Word::Hold, u64::from(hold));
    }

    /// Syncs that wait now.
    pub fn holding(&self) -> u64 {
        self.get(Word::Holding)
    }

    /// Whether every call is noted from now on.
    pub fn trace(&self, on: bool) {
        self.set(Word::Trace, u64::from(on));
    }

    /// What was noted: what, path, and the new path of what was renamed; paths below the node's folder, and without it.
    pub fn lines(&self) -> Vec<(String, String, String)> {
        let text = std::fs::read_to_string(&self.lines).unwrap_or_default();
        let root = format!("{}/", self.dir.display());
        let split = |line: &str| {
            let below =
                |path: &str| format!("{path}/").strip_prefix(&root).map(|rest| rest.trim_end_matches('/').to_owned());
            let mut parts = line.split('\t').map(|part| below(part).unwrap_or_else(|| part.to_owned()));
            let mut part = || parts.next().unwrap_or_default();
            (part(), part(), part())
        };
        text.lines().map(split).collect()
    }

    /// The kinds of calls that failed: what on which file, without the digits that tell one from the other.
    pub fn failed_sites(&self) -> BTreeSet<String> {
        let failed = self.lines().into_iter().filter(|(what, _, _)| what.starts_with('E'));
        failed.map(|(what, path, _)| format!("{what} {}", kind(&path))).collect()
    }
}

/// A path without names that are chosen by content or counted.
fn kind(path: &str) -> String {
    let word = |word: &str| {
        let hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex && (word.len() == 2 || word.bytes().any(|byte| byte.is_ascii_digit())) {
            "*".to_owned()
        } else {
            word.to_owned()
        }
    };
    let part = |part: &str| part.split('.').map(word).collect::<Vec<_>>().join(".");
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
