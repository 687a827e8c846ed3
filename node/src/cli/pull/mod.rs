//! `verbund process pull`: a release becomes a folder, byte for byte.
//!
//! Owns what happens to the folder. A file appears at once and in full, after its SHA-256 was compared; what is there already and
//! right is left alone; what a former pull wrote and the release no longer holds goes; everything else stays and is told. The
//! proof is written last, so that a folder with a proof is complete. Can be interrupted at any point and repeated.

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::Pin;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use verbund_protocol::ids::Sha256;

use super::Context;
use super::exit::{Exit, Failure};
use super::host::FileDigest;
use super::output::{bytes, clean};
use crate::admin::api::{Availability, FileEntry, FileQuery, ReleaseQuery, ReleaseView};
use crate::admin::client::{Bytestream, Client};
use crate::admin::{op, paths};
use folder::{Folder, Found};

/// Foreign files that are named; more are only counted.
const FOREIGN_MAX: usize = 50;
/// A proof, in bytes.
pub(super) const PROVENANCE_MAX: usize = 64 << 20;

/// Where the bytes of files come from.
pub(super) trait Source {
    /// Opens a file of the release.
    fn open<'a>(&'a self, path: &'a str) -> Pin<Box<dyn Future<Output = Result<Bytestream, Failure>> + 'a>>;
}

/// What a pull wrote: the next one knows by it which files are its own.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    /// The release.
    release: String,
    /// Its digest.
    digest: Option<Sha256>,
    /// Files by path, with every hash that a pull wrote or was about to write.
    files: BTreeMap<String, BTreeSet<Sha256>>,
}

/// A release to write.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) release: &'a str,
    pub(super) digest: Sha256,
    pub(super) files: &'a [FileEntry],
    pub(super) provenance: &'a [u8],
    /// Replace what differs and is not a pull's own.
    pub(super) force: bool,
}

/// What a pull did.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Report {
    release: String,
    digest: String,
    /// Files written.
    written: Vec<String>,
    /// Files that were right already.
    unchanged: usize,
    /// Files of a former pull that are gone now.
    removed: Vec<String>,
    /// Files that are not of this release, and stay.
    foreign: Vec<String>,
    /// All of them.
    foreign_total: usize,
    /// Bytes written.
    bytes: u64,
}

/// The daemon as the source of one release.
struct Daemon<'a> {
    client: &'a Client,
    federation: Option<String>,
    release: String,
}

impl Source for Daemon<'_> {
    fn open<'a>(&'a self, path: &'a str) -> Pin<Box<dyn Future<Output = Result<Bytestream, Failure>> + 'a>> {
        Box::pin(async move {
            let (federation, release) = (self.federation.clone(), self.release.clone());
            let query = FileQuery { federation, release, path: path.to_owned() };
            Ok(self.client.download(paths::FILES, &query).await?.1)
        })
    }
}

/// Pulls `release` into `out`.
pub(super) async fn run(context: &Context<'_>, release: String, out: &Path, force: bool) -> Result<Exit, Failure> {
    let client = context.client()?;
    let federation = context.federation();
    let view = client.call::<op::ReleaseShow>(&ReleaseQuery { federation, release }).await?;
    complete(&view)?;
    // By digest from here on: a newer version that arrives now must not get mixed in.
    let pinned = view.digest.to_string();
    let federation = Some(view.federation.clone());
    let query = ReleaseQuery { federation: federation.clone(), release: pinned.clone() };
    let provenance = all(client.download(paths::PROVENANCE, &query).await?.1).await?;
    let source = Daemon { client: &client, federation, release: pinned };
    into_folder(context, &view, &provenance, &source, out, force).await
}

/// Whether a release can be pulled: all of it is there.
pub(super) fn complete(view: &ReleaseView) -> Result<(), Failure> {
    match &view.availability {
        Availability::Complete => {}
        Availability::Pending { missing_bytes, why } => {
            let text = format!(
                "{} is not complete here: {} missing, {}",
                clean(&view.release),
                bytes(*missing_bytes),
                clean(why)
            );
            return Err(
                Failure::new(Exit::Degraded, text).next("it arrives by itself; `verbund sync status` shows from whom")
            );
        }
        Availability::Absent { why } => {
            let text = format!("{} is not here: {}", clean(&view.release), clean(why));
            return Err(Failure::new(Exit::NotFound, text).next("`verbund process show` tells who holds it"));
        }
    }
    Ok(())
}

/// Writes a release that is complete into `out`, and tells what was done.
pub(super) async fn into_folder(
    context: &Context<'_>,
    view: &ReleaseView,
    provenance: &[u8],
    source: &dyn Source,
    out: &Path,
    force: bool,
) -> Result<Exit, Failure> {
    let wanted = Wanted { release: &view.release, digest: view.digest, files: &view.files, provenance, force };
    let report = write(out, &wanted, source, &|text| context.out.progress(text)).await?;
    context.out.progress("");
    if let Some(reason) = &view.withdrawn {
        context.out.note(format!("warning: this release is withdrawn: {}", clean(reason)));
    }
    context.out.show(&report, |stdout, report| {
        stdout.line(format!(
            "{} in {}: {} written ({}), {} unchanged, {} removed",
            clean(&report.release),
            out.display(),
            report.written.len(),
            bytes(report.bytes),
            report.unchanged,
            report.removed.len()
        ))
    })?;
    for path in &report.foreign {
        context.out.note(format!("not of this release, left alone: {}", clean(path)));
    }
    if report.foreign_total > report.foreign.len() {
        context.out.note(format!("and {} more", report.foreign_total - report.foreign.len()));
    }
    Ok(Exit::Ok)
}

/// What the last pull into a folder noted: the release, and its digest. Nothing of a pull that did not end.
pub(super) fn noted(folder: &Path) -> Option<(String, Sha256)> {
    let file = super::tree::open(&folder.join(super::tree::OWN_FOLDER).join(folder::RECORD)).ok()?;
    let record: Record = serde_json::from_reader(std::io::Read::take(file, folder::RECORD_MAX)).ok()?;
    Some((record.release, record.digest?))
}

async fn all(mut pieces: Bytestream) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| broken("the proof", &error))?);
        if bytes.len() > PROVENANCE_MAX {
            return Err(Failure::failed("the proof is larger than any proof can be"));
        }
    }
    Ok(bytes)
}

fn broken(what: &str, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{what} broke off: {error}"))
        .next("repeat the command; what is complete is not fetched again. `verbund events` tells if a file was damaged")
}

/// What is to be done.
struct Plan<'a> {
    fetch: Vec<&'a FileEntry>,
    unchanged: usize,
    obsolete: Vec<String>,
}

/// Writes a release into the folder `out`.
pub(super) async fn write(
    out: &Path,
    wanted: &Wanted<'_>,
    source: &dyn Source,
    progress: &dyn Fn(&str),
) -> Result<Report, Failure> {
    check_paths(wanted.files)?;
    let folder = Folder::open(out)?;
    let record: Record = folder.record()?.unwrap_or_default();
    let plan = plan(&folder, &record, wanted, progress).inspect_err(|_| folder.leave())?;
    let mut report = Report {
        release: wanted.release.to_owned(),
        digest: wanted.digest.to_string(),
        unchanged: plan.unchanged,
        ..Report::default()
    };
    if !plan.fetch.is_empty() || !plan.obsolete.is_empty() || record.digest != Some(wanted.digest) {
        // A folder in change must not look complete.
        folder.forget_provenance()?;
        folder.save_record(&intention(&record, wanted))?;
    }
    for path in &plan.obsolete {
        if folder.remove(path, record.files.get(path))? {
            report.removed.push(path.clone());
        }
    }
    for (number, entry) in plan.fetch.iter().enumerate() {
        progress(&format!("{}/{} {} ({})", number + 1, plan.fetch.len(), entry.path, bytes(entry.size)));
        let pieces = source.open(&entry.path).await?;
        fetch(&folder, entry, pieces).await?;
        report.written.push(entry.path.clone());
        report.bytes += entry.size;
    }
    folder.sync_folders(wanted.files.iter().map(|file| file.path.as_str()))?;
    folder.save_record(&finished(wanted))?;
    folder.save_provenance(wanted.provenance)?;
    let known: BTreeSet<&str> = wanted.files.iter().map(|file| file.path.as_str()).collect();
    let lies = super::tree::walk(out).map_err(|error| Failure::io(format!("cannot read {}", out.display()), &error))?;
    let mut foreign: Vec<String> =
        lies.files.into_iter().chain(lies.odd).filter(|path| !known.contains(path.as_str())).collect();
    report.foreign_total = foreign.len();
    foreign.truncate(FOREIGN_MAX);
    report.foreign = foreign;
    Ok(report)
}

/// Paths are checked here too: whoever wrote the manifest, nothing is written outside of the folder.
fn check_paths(files: &[FileEntry]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for file in files {
        let bad = if !folder::is_safe(&file.path) {
            "is not a safe path"
        } else if !seen.insert(file.path.as_str()) {
            "occurs twice"
        } else {
            continue;
        };
        let text = format!("the release is malformed: the path {:?} {bad}; nothing was written", clean(&file.path));
        return Err(Failure::new(Exit::Verification, text).next("report it to the release's owner"));
    }
    Ok(())
}

/// Compares folder and release. Nothing is changed yet.
fn plan<'a>(
    folder: &Folder,
    record: &Record,
    wanted: &Wanted<'a>,
    progress: &dyn Fn(&str),
) -> Result<Plan<'a>, Failure> {
    let known: BTreeSet<&str> = wanted.files.iter().map(|file| file.path.as_str()).collect();
    let obsolete: Vec<String> =
        record.files.keys().filter(|p| !known.contains(p.as_str()) && folder::is_safe(p)).cloned().collect();
    let mut plan = Plan { fetch: Vec::new(), unchanged: 0, obsolete };
    let mut conflicts = Vec::new();
    for (number, entry) in wanted.files.iter().enumerate() {
        progress(&format!("comparing {}/{} {}", number + 1, wanted.files.len(), entry.path));
        let right = FileDigest { size: entry.size, sha256: entry.sha256 };
        match folder.find(&entry.path, entry.size)? {
            Found::File(found) if found == Some(right) => plan.unchanged += 1,
            Found::Nothing => plan.fetch.push(entry),
            // Written by a pull and changed since, or of another version.
            Found::File(_) if wanted.force || record.files.contains_key(&entry.path) => plan.fetch.push(entry),
            // A former pull's file or folder that is about to go.
            Found::Blocked(at) if makes_way(&plan.obsolete, &at) => plan.fetch.push(entry),
            Found::File(_) => conflicts.push(format!("{}: another file lies there", entry.path)),
            Found::Blocked(at) => {
                conflicts.push(format!("{}: {at} is in the way (link, folder or special file)", entry.path))
            }
        }
    }
    if conflicts.is_empty() {
        return Ok(plan);
    }
    let more = conflicts.len().saturating_sub(10);
    conflicts.truncate(10);
    if more > 0 {
        conflicts.push(format!("and {more} more"));
    }
    Err(Failure::failed(format!(
        "nothing was written, because foreign files are in the way:\n{}",
        conflicts.join("\n")
    ))
    .next("move them away or choose an empty folder; --force replaces ordinary files"))
}

/// Whether what lies at `path` is a former pull's file, or a folder with such.
fn makes_way(obsolete: &[String], path: &str) -> bool {
    obsolete.iter().any(|old| old == path || old.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
}

/// The record before anything is written: what an interrupted pull may leave is known as its own.
fn intention(record: &Record, wanted: &Wanted<'_>) -> Record {
    let mut next = Record { release: wanted.release.to_owned(), digest: None, files: record.files.clone() };
    for file in wanted.files {
        next.files.entry(file.path.clone()).or_default().insert(file.sha256);
    }
    next
}

/// The record when all is written.
fn finished(wanted: &Wanted<'_>) -> Record {
    let files = wanted.files.iter().map(|file| (file.path.clone(), BTreeSet::from([file.sha256]))).collect();
    Record { release: wanted.release.to_owned(), digest: Some(wanted.digest), files }
}

/// Fetches one file; it appears only if it is what the release says.
async fn fetch(folder: &Folder, entry: &FileEntry, mut pieces: Bytestream) -> Result<(), Failure> {
    let mut draft = folder.draft()?;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| broken(&clean(&entry.path), &error))?;
        draft.write(&piece)?;
        if draft.size() > entry.size {
            break;
        }
    }
    let found = draft.digest();
    let right = FileDigest { size: entry.size, sha256: entry.sha256 };
    if found != right && !verbund_protocol::seeded::bug("pull_unverified") {
        let text = format!(
            "{} is not what the release says: expected {} bytes {}, received {} bytes {}; it was not written",
            clean(&entry.path),
            entry.size,
            entry.sha256,
            found.size,
            found.sha256
        );
        return Err(Failure::new(Exit::Verification, text).next("`verbund store scrub` checks what the daemon holds"));
    }
    draft.publish(&entry.path)
}

#[cfg(test)]
mod tests;
