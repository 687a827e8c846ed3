//! Where changes are kept: one file for each federation, appended line by line.
//!
//! Owns its form: `CRC32C SPACE JSON` on each line, the first of which gives the file its epoch. A torn line at the end is cut, a
//! damaged file is put aside and begun anew under another epoch, so that cursors into the old one are refused and not misread.
//! The order of changes is this node's own: it cannot be made again from the journal, and nothing but cursors depends on it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::{MemberId, PeerId, Sha256, Slug};

/// A line, in bytes: two ids and a name.
const LINE_MAX_BYTES: usize = 1_024;

/// What is noted of a change. Texts and audiences are looked up when it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A release is complete and verified here.
    Available(Sha256),
    /// A release was withdrawn.
    Withdrawn(Sha256),
    /// A release was corrected.
    Corrected(Sha256),
    /// The end of a release, or of a whole process, was announced.
    Deprecated {
        /// Owner.
        member: MemberId,
        /// Process.
        slug: Slug,
        /// The release, if it is only that.
        release: Option<Sha256>,
    },
    /// A charter version holds.
    Charter(u64),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Its number: one more than the one before.
    pub n: u64,
    /// When it was noticed, in milliseconds since 1970.
    pub at_ms: u64,
    /// What happened.
    pub what: What,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first line: which file this is.
    Epoch(String),
    /// A change.
    Change(Noted),
    /// Entries of a log up to here were looked through.
    Seen {
        /// The log.
        log: PeerId,
        /// Its size.
        size: u64,
    },
    /// A release whose availability was noted in a line that is not kept any more.
    Old(Sha256),
}

/// The file, open for appending.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: File,
}

fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(line)?;
    Ok(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())).into_bytes())
}

fn decode(line: &str) -> Option<Line> {
    let (sum, json) = line.split_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if sum == crc32c::crc32c(json.as_bytes()) { serde_json::from_str(json).ok() } else { None }
}

impl Lines {
    /// Opens the file, or begins it with `epoch`. What it holds goes to `take`, which says whether a line fits the ones before.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, epoch: &str, mut take: impl FnMut(Line) -> bool) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::begin(path, epoch, take),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let (mut reader, mut good, mut first) = (BufReader::new(file), 0u64, true);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut reader, LINE_MAX_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            let text = line.strip_suffix(b"\n").and_then(|text| std::str::from_utf8(text).ok());
            let taken = text.and_then(decode).is_some_and(|line| {
                let begins = matches!(line, Line::Epoch(_));
                begins == first && take(line)
            });
            if !taken {
                break;
            }
            (good, first) = (good + read as u64, false);
        }
        if first || good + LINE_MAX_BYTES as u64 * 4 < length {
            // More than an append that a crash cut short.
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("damaged at byte {good} of {length}")));
        }
        let file = OpenOptions::new().append(true).open(path)?;
        if good < length {
            tracing::warn!(path = %path.display(), cut = length - good, "the end of the list of changes was torn, and is cut");
            file.set_len(good)?;
            file.sync_data()?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    fn begin(path: &Path, epoch: &str, mut take: impl FnMut(Line) -> bool) -> io::Result<Self> {
        let line = Line::Epoch(epoch.to_owned());
        let lines = Self::write(path, std::iter::once(&line))?;
        take(line);
        Ok(lines)
    }

    /// Puts a damaged file aside and begins a new one.
    ///
    /// # Errors
    /// What the system says.
    pub fn renew(path: &Path, epoch: &str, take: impl FnMut(Line) -> bool) -> io::Result<Self> {
        std::fs::rename(path, path.with_extension("damaged"))?;
        Self::begin(path, epoch, take)
    }

    /// Replaces the file as a whole.
    ///
    /// # Errors
    /// What the system says; the old file stays then.
    pub fn write<'a>(path: &Path, lines: impl Iterator<Item = &'a Line>) -> io::Result<Self> {
        let draft = path.with_extension("new");
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend(encode(line)?);
        }
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), file: OpenOptions::new().append(true).open(path)? })
    }

    /// Appends lines; durable when it returns.
    ///
    /// # Errors
    /// What the system says; then nothing of them counts, and the file must be opened again.
    pub fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend(encode(line)?);
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
