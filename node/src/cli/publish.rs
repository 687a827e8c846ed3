//! `verbund publish` and `verbund withdraw`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;
use verbund_protocol::ids::{Blake3, Handle};

use super::Context;
use super::exit::{Exit, Failure};
use super::host::{Said, Scan};
use super::output::{bytes, clean, duration, list};
use crate::admin::api::{
    FileEntry, ProgressRequest, ReleaseChecked, ReleaseCreated, ReleaseRequest, Tick, WithdrawRequest, WithdrawSeverity,
};
use crate::admin::client::{Client, ClientError};
use crate::admin::{op, paths};
use crate::config::Interval;
use crate::publish::SourceError;

/// How long confirmations of other members are waited for, unless said otherwise.
const WAIT: Duration = Duration::from_secs(10);

/// How far a release must be before the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Wait {
    /// In this node's journal.
    Durable,
    /// Cosigned by enough other members.
    Witnessed,
    /// Cosigned, and its files held, by all members that may have them.
    Held,
}

/// Publish a folder, or a single export file.
///
/// A folder is described by its process.toml (--init writes a proposal). A single file needs none: title and keys are taken from
/// the file or from --title, and publish-defaults.toml beside it or above it says the rest.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder, with process.toml in it; or a file.
    path: PathBuf,
    /// Write a commented proposal of process.toml into the folder, and publish nothing.
    #[arg(long, conflicts_with_all = ["check", "wait", "timeout"])]
    init: bool,
    /// Check everything, and publish nothing.
    #[arg(long, conflicts_with_all = ["wait", "timeout"])]
    check: bool,
    /// What must be reached; without it `durable` decides, and confirmations are shown for a while.
    #[arg(long, value_name = "LEVEL")]
    wait: Option<Wait>,
    /// Longest time to wait for confirmations [default: 10s].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Interval>,
    /// Of a single file: what the process is called.
    #[arg(long, conflicts_with = "init")]
    title: Option<String>,
    /// Of a single file: what it does, in one sentence.
    #[arg(long, conflicts_with = "init")]
    summary: Option<String>,
    /// Of a single file: what changed.
    #[arg(long, conflicts_with = "init")]
    change: Option<String>,
    /// Of a single file: redaktionell, fachlich, rechtlich or sicherheit [default: fachlich].
    #[arg(long, conflicts_with = "init")]
    kind: Option<String>,
}

/// What `--json` shows.
#[derive(serde::Serialize)]
struct Published<'a> {
    #[serde(flatten)]
    created: &'a ReleaseCreated,
    reached: Reached,
    elapsed_ms: u64,
}

/// How far a release has come.
#[derive(Debug, Default, Clone, serde::Serialize)]
struct Reached {
    witnessed: bool,
    witnessed_by: Vec<Handle>,
    held_by: Vec<Handle>,
    complete: bool,
}

impl Reached {
    const fn is(&self, wait: Option<Wait>) -> bool {
        match wait {
            Some(Wait::Durable) => true,
            Some(Wait::Witnessed) => self.witnessed,
            Some(Wait::Held) | None => self.complete,
        }
    }
}

pub(super) async fn run(context: &Context<'_>, args: Args) -> Result<Exit, Failure> {
    if args.init {
        return propose(context, &args.path).map(|()| Exit::Ok);
    }
    let start = Instant::now();
    let said = Said { title: args.title, summary: args.summary, change: args.change, kind: args.kind };
    let scan = context.host.scan(&args.path, &said)?;
    for skipped in &scan.skipped {
        context.out.note(format!("left out: {}", clean(skipped)));
    }
    warn(context, &scan.warnings);
    let files = hash(context, &scan)?;
    let request = ReleaseRequest { federation: context.federation(), metadata: scan.metadata.clone(), files };
    let client = context.client()?;
    let checked = match client.call::<op::ReleaseCheck>(&request).await {
        Ok(checked) => checked,
        Err(ClientError::Unreachable { .. }) if args.check => {
            context.out.note(
                "the folder is in order; what the daemon knows (charter, earlier versions) could not be compared\n\
                 next:  repeat with a running daemon for a full check",
            );
            return Ok(Exit::Degraded);
        }
        Err(error) => return Err(explained(error, &scan)),
    };
    if args.check {
        return checked_only(context, &checked).map(|()| Exit::Ok);
    }
    upload(context, &client, &scan, &request.files, &checked.missing).await?;
    let created = client.call::<op::ReleaseCreate>(&request).await?;
    warn(context, &created.warnings);
    if !context.out.json {
        context.out.line(format!("{} {}", clean(&created.release), created.digest))?;
        context.out.note(if created.unchanged { "published before; nothing changed" } else { "✔ durable" });
    }
    let limit = args.timeout.map_or(WAIT, Interval::get);
    let mut reached = Reached::default();
    // With --quiet nobody looks at confirmations that decide nothing.
    if !(args.wait.is_none() && context.out.quiet) && args.wait != Some(Wait::Durable) {
        let watch = follow(context, &client, &created, args.wait, &mut reached);
        // A time-out shows in what was reached.
        if let Ok(result) = tokio::time::timeout(limit, watch).await
            && args.wait.is_some()
        {
            result?;
        }
    }
    if context.out.json {
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        context.out.json(&Published { created: &created, reached: reached.clone(), elapsed_ms })?;
    }
    verdict(context, &created, args.wait, &reached, limit)
}

/// Who has not confirmed yet what is waited for, or shown by itself.
fn open(created: &ReleaseCreated, wait: Option<Wait>, reached: &Reached) -> Vec<Handle> {
    let missing = |all: &[Handle], said: &[Handle]| -> Vec<Handle> {
        all.iter().filter(|handle| !said.contains(handle)).cloned().collect()
    };
    let witnesses = missing(&created.members, &reached.witnessed_by);
    if wait == Some(Wait::Witnessed) {
        return witnesses;
    }
    let mut open = missing(&created.audience, &reached.held_by);
    open.extend(witnesses.into_iter().filter(|handle| !reached.witnessed && !created.audience.contains(handle)));
    open.sort();
    open
}

/// Whether what was waited for was reached.
fn verdict(
    context: &Context<'_>,
    created: &ReleaseCreated,
    wait: Option<Wait>,
    reached: &Reached,
    waited: Duration,
) -> Result<Exit, Failure> {
    let open = open(created, wait, reached);
    if reached.is(wait) || wait.is_none() {
        if !reached.complete && wait.is_none() && !open.is_empty() && !context.out.json {
            context.out.note(format!(
                "not confirmed yet: {}; it goes on by itself, `verbund status` shows who is not connected",
                list(&open)
            ));
        }
        return Ok(Exit::Ok);
    }
    let text = format!(
        "{} is published and durable, but after {} only witnessed by {} and held by {}; open: {}",
        clean(&created.release),
        duration(waited),
        list(&reached.witnessed_by),
        list(&reached.held_by),
        list(&open)
    );
    Err(Failure::new(Exit::TimedOut, text).next("`verbund status` shows who is not connected; it goes on by itself"))
}

fn warn(context: &Context<'_>, warnings: &[String]) {
    for warning in warnings {
        context.out.note(format!("warning: {}", clean(warning)));
    }
}

/// `--init`: writes the proposal, unless there is a process.toml.
fn propose(context: &Context<'_>, path: &Path) -> Result<(), Failure> {
    let text = context.host.propose(path)?;
    let file = path.join("process.toml");
    let written = std::fs::File::create_new(&file).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()
    });
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::failed(format!("{} exists already; it was left alone", file.display()))
                .next("edit it, and look with `verbund publish PATH --check`")
        }
        _ => Failure::io(format!("cannot write {}", file.display()), &error),
    })?;
    context.out.line(file.display().to_string())?;
    context.out.note("next:  fill in what is marked, then `verbund publish PATH --check`");
    Ok(())
}

fn checked_only(context: &Context<'_>, checked: &ReleaseChecked) -> Result<(), Failure> {
    context.out.show(checked, |out, checked| {
        let state = if checked.unchanged { "is published already, unchanged" } else { "can be published" };
        out.line(format!("{} {state}", clean(&checked.release)))
    })?;
    if !context.out.json {
        warn(context, &checked.warnings);
    }
    Ok(())
}

/// A refusal of a single file has no process.toml to be corrected.
fn explained(error: ClientError, scan: &Scan) -> Failure {
    let failure = Failure::from(error);
    if !scan.single || failure.errors.is_empty() {
        return failure;
    }
    failure.next(
        "say it with --title, --summary, --change or --kind, or in a publish-defaults.toml beside the file; for everything else \
         make a folder: `verbund publish FOLDER --init`; nothing was published",
    )
}

/// The file at `path` is not the one any more that was scanned, or cannot be read.
fn unsteady(path: &str, error: &SourceError) -> Failure {
    let failure = Failure::failed(format!("{} {error}", clean(path)));
    let mut failure = failure.next("wait until nothing writes to the folder, and publish again; nothing was published");
    if !matches!(error, SourceError::Unreadable(_)) {
        failure.code = "changed_while_reading".to_owned();
    }
    failure
}

/// Hashes the files as they were scanned, so that only those are uploaded that the daemon lacks.
fn hash(context: &Context<'_>, scan: &Scan) -> Result<Vec<FileEntry>, Failure> {
    let mut entries = Vec::with_capacity(scan.files.len());
    for (number, file) in scan.files.iter().enumerate() {
        context.out.progress(&format!("reading {}/{} {}", number + 1, scan.files.len(), file.path));
        let (sha256, blake3) = file.source.digest().map_err(|error| unsteady(&file.path, &error))?;
        let (path, media_type, size) = (file.path.clone(), file.media_type.clone(), file.source.stamp().size);
        entries.push(FileEntry { path, size, media_type, sha256, blake3 });
    }
    context.out.progress("");
    Ok(entries)
}

/// Uploads the artifacts that the daemon lacks. What is sent is the file that was scanned and hashed, or nothing is published.
async fn upload(
    context: &Context<'_>,
    client: &Client,
    scan: &Scan,
    entries: &[FileEntry],
    missing: &[Blake3],
) -> Result<(), Failure> {
    let mut wanted: std::collections::BTreeSet<Blake3> = missing.iter().copied().collect();
    for (entry, file) in entries.iter().zip(&scan.files) {
        if !wanted.remove(&entry.blake3) {
            continue;
        }
        context.out.progress(&format!("uploading {} ({})", entry.path, bytes(entry.size)));
        let opened = file.source.open().map_err(|error| unsteady(&entry.path, &error))?;
        let read = opened.file().try_clone();
        let read = read.map_err(|error| Failure::io(format!("cannot read {}", clean(&entry.path)), &error))?;
        // A file that grows is read no further; one that shrinks ends the upload early.
        let read = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(read), entry.size);
        let reader = tokio_util::io::ReaderStream::with_capacity(read, 256 << 10);
        let stored = client.upload(entry.size, Box::pin(reader)).await;
        // Before the daemon's answer: that the upload ended early says less than why.
        opened.unchanged().map_err(|error| unsteady(&entry.path, &error))?;
        let stored = stored?;
        if (stored.blake3, stored.sha256, stored.size) != (entry.blake3, entry.sha256, entry.size) {
            let changed = SourceError::Changed { before: entry.size, after: stored.size };
            return Err(unsteady(&entry.path, &changed));
        }
    }
    context.out.progress("");
    Ok(())
}

/// Shows each confirmation until what is waited for is reached.
async fn follow(
    context: &Context<'_>,
    client: &Client,
    created: &ReleaseCreated,
    wait: Option<Wait>,
    reached: &mut Reached,
) -> Result<(), Failure> {
    let release = created.digest.to_string();
    let request = ProgressRequest { federation: context.federation(), release };
    let mut ticks = client.lines::<_, Tick>(paths::PROGRESS, &request).await?;
    let tell = |text: String| {
        if !context.out.json {
            context.out.note(text);
        }
    };
    while !reached.is(wait) {
        let Some(tick) = ticks.next().await else { return Ok(()) };
        match tick? {
            Tick::Durable { .. } => {}
            Tick::Cosigned { handle, .. } => {
                tell(format!("✔ {handle} witnessed it"));
                reached.witnessed_by.push(handle);
            }
            Tick::Witnessed { witnesses, of, .. } => {
                reached.witnessed = true;
                tell(format!("✔ witnessed by {witnesses} of {of}"));
            }
            Tick::Held { handle, .. } => {
                tell(format!("✔ {handle} holds it"));
                reached.held_by.push(handle);
            }
            Tick::Complete { .. } => {
                reached.complete = true;
                // Nothing follows, so nothing else can be reached either.
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Withdraw a release: it stays in the log, is no longer offered, and everyone sees why.
#[derive(Debug, clap::Args)]
pub(super) struct WithdrawArgs {
    /// The release, with its version: de-he/hundesteuer-anmeldung@1.2.0.
    release: String,
    /// Why; everyone reads it.
    #[arg(long)]
    reason: String,
    /// How urgent it is.
    #[arg(long, value_enum, default_value_t)]
    severity: Severity,
    /// What to use instead.
    #[arg(long, value_name = "REF")]
    successor: Option<String>,
    /// Ask holders to delete the files.
    #[arg(long)]
    erase: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Severity {
    /// Should no longer be used.
    #[default]
    Normal,
    /// Must be replaced soon.
    Urgent,
    /// Does harm: switch off.
    Critical,
}

pub(super) async fn withdraw(context: &Context<'_>, args: WithdrawArgs) -> Result<(), Failure> {
    let severity = match args.severity {
        Severity::Normal => WithdrawSeverity::Normal,
        Severity::Urgent => WithdrawSeverity::Urgent,
        Severity::Critical => WithdrawSeverity::Critical,
    };
    let (release, reason, successor, erase) = (args.release, args.reason, args.successor, args.erase);
    let request = WithdrawRequest { federation: context.federation(), release, reason, severity, successor, erase };
    let answer = context.call::<op::ReleaseWithdraw>(request).await?;
    context.out.show(&answer, |out, answer| {
        out.line(format!("{} withdrawn; known to use it: {}", clean(&answer.release), list(&answer.adopters)))
    })
}
