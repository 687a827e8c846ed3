//! Walking a folder.
//!
//! Owns what is part of a release, what is skipped, and what makes a folder unfit. Bounded in files, entries and depth, whatever
//! the folder holds; opens regular files only.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, statat};
use verbund_protocol::limits::{PATH_DEPTH_MAX, PATH_MAX_BYTES, RELEASE_FILES_MAX};
use verbund_protocol::release::path::RESERVED_FOLDER;
use verbund_protocol::release::{Findings, PathSet, Problem, SafePath};

use super::source::{FileSource, SourceError, Stamp, open_below};
use super::{PROCESS_FILE, Scanned, ScannedFile, Skipped, TextFile, defaults, media, too_long};

/// Entries of all kinds looked at, so that endless empty folders end.
const ENTRIES_MAX: usize = 100_000;
/// Skipped entries that are named; more are only counted.
const SKIPPED_MAX: usize = 200;

/// Reads a folder, or a single file: which files a release of it would have. Judges no metadata.
///
/// # Errors
/// All problems found: links, special and unreadable files, names that cannot be kept, too many files or none.
pub fn scan(path: &Path) -> Result<Scanned, Vec<Problem>> {
    let shown = path.display().to_string();
    let refuse = |code, rule: String| vec![Problem::file(code, shown.clone(), rule)];
    let unreadable = |e: std::io::Error| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { "not_found" } else { "unreadable" };
        refuse(code, format!("cannot be opened: {e}"))
    };
    let root = path.canonicalize().map_err(unreadable)?;
    let (folder, file) = match (root.is_dir(), root.parent(), root.file_name()) {
        (false, Some(parent), Some(name)) => (parent.to_owned(), Some(name.to_owned())),
        _ => (root.clone(), None),
    };
    let fd = open(&folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| unreadable(e.into()))?;
    let mut walk = Walk::new(Arc::new(fd), shown.clone());
    match &file {
        None => walk.run(),
        Some(name) if name == PROCESS_FILE => {
            let rule =
                format!("is the description of a process, not the process: publish its folder, {}", folder.display());
            return Err(refuse("not_a_folder", rule));
        }
        Some(name) => walk.single(name)?,
    }
    walk.finish(root, file.is_some())
}

/// One walk over a folder.
struct Walk {
    root: Arc<OwnedFd>,
    shown: String,
    /// Folders still to be read, by their path from the root; empty is the root itself.
    pending: Vec<String>,
    paths: PathSet,
    files: Vec<ScannedFile>,
    skipped: Vec<Skipped>,
    findings: Findings,
    entries: usize,
}

impl Walk {
    fn new(root: Arc<OwnedFd>, shown: String) -> Self {
        Self {
            root,
            shown,
            pending: vec![String::new()],
            paths: PathSet::default(),
            files: Vec::new(),
            skipped: Vec::new(),
            findings: Findings::default(),
            entries: 0,
        }
    }

    fn refuse(&mut self, code: &'static str, path: &str, rule: impl Into<String>) {
        self.findings.refuse(Problem::file(code, path, rule));
    }

    fn run(&mut self) {
        while let Some(folder) = self.pending.pop() {
            if let Err(e) = self.folder(&folder) {
                let name = if folder.is_empty() { self.shown.clone() } else { folder };
                self.refuse("unreadable", &name, format!("folder cannot be read: {e}"));
            }
            if self.files.len() > RELEASE_FILES_MAX {
                let shown = self.shown.clone();
                self.refuse(
                    "too_many_files",
                    &shown,
                    format!("more than {RELEASE_FILES_MAX} files; pack them or publish several processes"),
                );
                return;
            }
            if self.entries > ENTRIES_MAX {
                let shown = self.shown.clone();
                self.refuse("too_many_files", &shown, format!("more than {ENTRIES_MAX} files and folders"));
                return;
            }
        }
    }

    /// One file of the folder, as if it were all that lies there.
    fn single(&mut self, name: &OsStr) -> Result<(), Vec<Problem>> {
        let refuse = |rule: String| vec![Problem::file("bad_name", self.shown.clone(), rule)];
        let text = name.to_str().ok_or_else(|| refuse("the name is not UTF-8; rename it".to_owned()))?.to_owned();
        let stat =
            statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| refuse(format!("cannot be read: {e}")))?;
        self.entry(text, FileType::from_raw_mode(stat.st_mode), Stamp::of(&stat));
        Ok(())
    }

    fn folder(&mut self, folder: &str) -> std::io::Result<()> {
        let fd = match folder {
            "" => self.root.try_clone()?,
            path => open_below(&self.root, path, OFlags::DIRECTORY)?,
        };
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES_MAX || self.files.len() > RELEASE_FILES_MAX {
                return Ok(());
            }
            let join = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let Ok(text) = name.to_str() else {
                let path = join(&name.to_string_lossy());
                self.refuse("bad_name", &path, "the name is not UTF-8; rename it (for example with convmv)");
                continue;
            };
            let path = join(text);
            if let Some(reason) = skip_reason(folder.is_empty(), text) {
                if self.skipped.len() < SKIPPED_MAX {
                    self.skipped.push(Skipped { path, reason });
                }
                continue;
            }
            // Not the entry's own type: some file systems leave it out.
            match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => self.entry(path, FileType::from_raw_mode(stat.st_mode), Stamp::of(&stat)),
                Err(e) => self.refuse("unreadable", &path, format!("cannot be read: {e}")),
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: String, kind: FileType, stamp: Stamp) {
        match kind {
            FileType::RegularFile => self.file(&path, stamp),
            FileType::Directory if path.len() > PATH_MAX_BYTES || path.split('/').count() >= PATH_DEPTH_MAX => {
                self.refuse(
                    "bad_name",
                    &path,
                    format!("nested deeper than {PATH_DEPTH_MAX} folders or {PATH_MAX_BYTES} bytes"),
                );
            }
            FileType::Directory => self.pending.push(path),
            FileType::Symlink => {
                let rule = "is a symbolic link, and links are not followed: they may lead out of the folder or change; put a copy there";
                self.refuse("symlink", &path, rule);
            }
            other => {
                let what = match other {
                    FileType::Fifo => "a named pipe",
                    FileType::Socket => "a socket",
                    _ => "a device",
                };
                self.refuse("special_file", &path, format!("is {what}, not a file; remove it"));
            }
        }
    }

    fn file(&mut self, path: &str, stamp: Stamp) {
        let safe: SafePath = match path.parse() {
            Ok(safe) => safe,
            Err(e) => return self.refuse("bad_name", path, format!("the path cannot be kept: {e}")),
        };
        if let Err(e) = self.paths.insert(&safe) {
            return self.refuse("bad_name", path, e.to_string());
        }
        if let Some(concern) = safe.windows_concern() {
            self.findings.warn(Problem::file("windows_name", path, concern));
        }
        let source = FileSource::new(self.root.clone(), safe.clone(), stamp);
        let mut head = Vec::new();
        match source.read_up_to(media::HEAD_BYTES, |window| head.extend_from_slice(window)) {
            Ok(_) => {
                let media_type = media::recognise(safe.name(), &head);
                self.files.push(ScannedFile { path: safe, size: stamp.size, media_type, source });
            }
            Err(e) => self.findings.refuse(e.problem(&safe)),
        }
    }

    /// `root` is what was named, free of links; `single` says that it is a file.
    fn finish(mut self, root: PathBuf, single: bool) -> Result<Scanned, Vec<Problem>> {
        if self.files.is_empty() && self.findings.errors.is_empty() {
            let shown = self.shown.clone();
            self.refuse("no_files", &shown, "holds no files");
        }
        // The order of a folder's entries is the file system's; what is shown and made of it must not be.
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        let process = self.process_file();
        let defaults = defaults::find(&root, &mut self.findings);
        self.findings.errors.sort_by(|a, b| (a.code == "more", &a.file).cmp(&(b.code == "more", &b.file)));
        self.findings.warnings.sort_by(|a, b| (a.code == "more", &a.file).cmp(&(b.code == "more", &b.file)));
        if !self.findings.errors.is_empty() {
            return Err(self.findings.errors);
        }
        let name = if single { root.file_stem() } else { root.file_name() };
        let folder = name.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Scanned {
            root,
            folder,
            single,
            files: self.files,
            skipped: self.skipped,
            warnings: self.findings.warnings,
            process,
            defaults,
        })
    }

    fn process_file(&mut self) -> Option<TextFile> {
        let file = self.files.iter().find(|f| f.path.as_str() == PROCESS_FILE)?;
        if let Some(rule) = too_long(file.size) {
            self.refuse("too_long", PROCESS_FILE, rule);
            return None;
        }
        let mut bytes = Vec::new();
        let read: Result<u64, SourceError> =
            file.source.read_up_to(file.size, |window| bytes.extend_from_slice(window));
        if let Err(e) = read {
            let problem = e.problem(&file.path);
            self.findings.refuse(problem);
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(TextFile { name: PROCESS_FILE.to_owned(), text }),
            Err(_) => {
                self.refuse("not_utf8", PROCESS_FILE, "is not UTF-8 text; save it as UTF-8");
                None
            }
        }
    }
}

/// Why an entry is left out although it is there. `top` says whether it lies directly in the published folder.
fn skip_reason(top: bool, name: &str) -> Option<&'static str> {
    match name {
        ".git" => Some("version control, not part of a release"),
        "Thumbs.db" | ".DS_Store" => Some("left by a file manager"),
        name if name.starts_with("~$") => {
            Some("lock file of an office program; close the document to be sure it is saved")
        }
        name if top && name == RESERVED_FOLDER => Some("provenance of the release that this folder was pulled from"),
        _ => None,
    }
}
