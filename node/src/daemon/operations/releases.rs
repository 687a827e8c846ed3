//! Publishing and withdrawing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use tokio_util::compat::FuturesAsyncReadCompatExt as _;
use verbund_protocol::charter::certificate::Certified;
use verbund_protocol::core::{Command, Reply};
use verbund_protocol::documents::{Document as _, RELEASE_TYPE, Withdrawal};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::{Handle, MemberId, Sha256, Slug};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::release::derive::Submission;
use verbund_protocol::release::metadata::{Audience, Context};
use verbund_protocol::release::statement::{Draft, Prepared};
use verbund_protocol::release::{self, CharterDefaults, Derived, Manifest, Published};
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, ReleaseRow, key};

use super::super::clock::now;
use super::super::node::{Named, Node, problem};
use super::federation::charter;
use super::members::command;
use super::select;
use crate::admin::api::*;
use crate::admin::{Code, Problem, Refusal, Upload};
use crate::blobs::StoreError;

/// A release that keeps all rules, ready to be signed.
struct Completed {
    reference: String,
    derived: Derived,
    prepared: Prepared,
    /// The same release, if it was published before.
    published: Option<ReleaseRow>,
}

fn refusals(problems: Vec<release::Problem>) -> Problem {
    let refusal = |p: release::Problem| Refusal {
        file: p.line.map_or_else(|| p.file.clone(), |line| format!("{}:{line}", p.file)),
        key: p.key.unwrap_or_default(),
        value: p.value.unwrap_or_default(),
        rule: p.rule,
    };
    let taken = problems.iter().any(|p| p.code == "version_taken");
    let count = problems.len();
    let text = if count == 1 { "one rule is broken".to_owned() } else { format!("{count} rules are broken") };
    let code = if taken && count == 1 { Code::VersionTaken } else { Code::Refused };
    Problem::new(code, text)
        .errors(problems.into_iter().map(refusal).collect())
        .next("correct the folder and publish again; nothing was published")
}

fn publisher_key(node: &Node) -> Result<&SecretKey, Problem> {
    node.shared.member.publisher.as_ref().ok_or_else(|| {
        Problem::new(Code::KeyMissing, "the publisher key is not on this node").next("publish where the key lies")
    })
}

/// Releases of one process, with their versions.
fn versions(rows: &dyn Rows, member: &MemberId, slug: &Slug) -> Result<Vec<ReleaseRow>, RowsError> {
    state::list(rows, Table::Releases, &key::process(member, slug), usize::MAX)
}

/// Completes the metadata, and finds out whether the same was published before.
async fn complete(node: &Arc<Node>, named: &Named, request: &ReleaseRequest) -> Result<Completed, Problem> {
    let charter = charter(named).await?;
    let member = node.shared.member.id;
    let submission: Submission = serde_json::from_value(request.metadata.clone())
        .map_err(|e| Problem::new(Code::BadRequest, format!("metadata: {e}")))?;
    let manifest = manifest(&request.files)?;
    let defaults = CharterDefaults::from(&charter.charter.rules);
    let files: BTreeSet<String> = request.files.iter().map(|f| f.path.clone()).collect();
    let handle = node.shared.member.identity.handle.clone();
    let derive = |published: &Published| {
        submission
            .complete(published, &defaults, Context { owner: Some(&handle), files: Some(&files) })
            .map_err(refusals)
    };
    // First without a history: which process is it, and which version if one is named?
    let draft = derive(&Published::default())?;
    let slug = draft.metadata.id.clone();
    let rows = named.instance.read({
        let slug = slug.clone();
        move |view, _| versions(view, &member, &slug)
    });
    let before = rows.await.map_err(problem)?;
    let (_, reference) = manifest.to_bytes().map_err(|e| Problem::new(Code::Refused, e.to_string()))?;
    // Without process.toml among the files they do not tell by themselves what was said about them.
    let described = files.contains(crate::publish::PROCESS_FILE);
    let told = |row: &&ReleaseRow| row.title == draft.metadata.title && row.summary == draft.metadata.summary;
    let same = before.iter().filter(|row| row.manifest_sha256 == reference.sha256).find(|row| described || told(row));
    let derived = match same {
        // The same files with the same description: the release that they made before.
        Some(row) => {
            let others = before.iter().filter(|o| o.id != row.id).filter_map(|o| o.version.parse().ok());
            let mut derived = derive(&Published { versions: others.collect() }).unwrap_or_else(|_| draft.clone());
            derived.metadata.version = row.version.parse().unwrap_or(derived.metadata.version);
            derived
        }
        None => derive(&Published { versions: before.iter().filter_map(|row| row.version.parse().ok()).collect() })?,
    };
    let time_s = same.map_or_else(|| now().wall_s(), |row| row.published_s);
    let draft = Draft {
        federation: named.instance.federation,
        member,
        time_s,
        metadata: &derived.metadata,
        manifest: &manifest,
    };
    let prepared = draft.prepare().map_err(|e| Problem::new(Code::Refused, e.to_string()))?;
    let reference = format!("{handle}/{slug}@{}", derived.metadata.version);
    Ok(Completed { reference, prepared, published: same.cloned(), derived })
}

fn manifest(files: &[FileEntry]) -> Result<Manifest, Problem> {
    let entry = |f: &FileEntry| {
        let path = f.path.parse().map_err(|e: release::path::PathError| format!("{}: {e}", f.path))?;
        Ok(release::FileEntry {
            path,
            size: f.size,
            media_type: f.media_type.clone(),
            sha256: f.sha256,
            blake3: f.blake3,
        })
    };
    let entries = files.iter().map(entry).collect::<Result<_, String>>();
    let made = entries.and_then(|entries| Manifest::new(entries).map_err(|e| e.to_string()));
    made.map_err(|e| Problem::new(Code::Refused, e))
}

fn words(warnings: &[release::Problem]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

/// Completes and checks a release without publishing it.
pub async fn release_check(node: &Arc<Node>, request: ReleaseRequest) -> Result<ReleaseChecked, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let completed = complete(node, &named, &request).await?;
    let mut missing: Vec<_> =
        request.files.iter().map(|f| f.blake3).filter(|hash| !node.shared.blobs.has(hash)).collect();
    missing.sort();
    missing.dedup();
    Ok(ReleaseChecked {
        release: completed.reference,
        metadata: completed.derived.metadata.to_json(),
        warnings: words(&completed.derived.warnings),
        missing,
        unchanged: completed.published.is_some(),
    })
}

/// Signs and publishes a release whose files are uploaded; durable when answered.
pub async fn release_create(node: &Arc<Node>, request: ReleaseRequest) -> Result<ReleaseCreated, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let charter = charter(&named).await?;
    let completed = complete(node, &named, &request).await?;
    let me = node.shared.member.id;
    let members = others(&charter, me);
    let audience: Vec<Handle> =
        members.iter().filter(|handle| may_have(&completed.derived.metadata.audience, handle)).cloned().collect();
    let members = members.into_iter().collect();
    let warnings = words(&completed.derived.warnings);
    let release = completed.reference;
    if let Some(row) = completed.published {
        restore(node, &named, &row, completed.prepared.manifest).await?;
        return Ok(ReleaseCreated {
            release,
            digest: row.id,
            index: row.index,
            unchanged: true,
            warnings,
            members,
            audience,
        });
    }
    let pins = present(node, &request.files).await?;
    let manifest = node.shared.blobs.import_bytes(completed.prepared.manifest).await.map_err(|e| blob_problem(&e))?;
    let envelope = Envelope::sign(RELEASE_TYPE, completed.prepared.payload, [publisher_key(node)?])
        .map_err(|e| Problem::new(Code::Refused, e.to_string()))?;
    let (index, digest) = append(&named, envelope).await?;
    drop((pins, manifest));
    Ok(ReleaseCreated { release, digest, index, unchanged: false, warnings, members, audience })
}

/// Whether another member may have the files of a release that is being published.
fn may_have(audience: &Audience, handle: &Handle) -> bool {
    match audience {
        Audience::Federation | Audience::Public => true,
        Audience::Members(named) => named.contains(handle),
        Audience::Other(_) => false,
    }
}

/// Publishing again is also how files come back that were lost here: the folder's were uploaded, the manifest is made again, and
/// the release is completed from them at once.
async fn restore(node: &Arc<Node>, named: &Named, row: &ReleaseRow, manifest: Vec<u8>) -> Result<(), Problem> {
    let mark = key::missing(&row.log, row.index);
    let missing = named.instance.read(move |view, _| view.get(Table::Local, &mark)).await.map_err(problem)?;
    if missing.is_some() {
        node.shared.blobs.import_bytes(manifest).await.map_err(|e| blob_problem(&e))?;
        command(named, Command::SyncNow).await?;
    }
    Ok(())
}

/// All files are here, and are what the manifest says; they stay until the release refers to them.
async fn present(node: &Arc<Node>, files: &[FileEntry]) -> Result<Vec<crate::blobs::Pin>, Problem> {
    let blobs = &node.shared.blobs;
    let mut pins = Vec::with_capacity(files.len());
    for file in files {
        pins.push(blobs.pin(file.blake3));
        if blobs.size(&file.blake3) != Some(file.size) {
            return Err(Problem::new(Code::Conflict, format!("{} was not uploaded", file.path))
                .next("upload every artifact that `releases/check` names as missing"));
        }
        let sha256 = node.sha256(&file.blake3).await.map_err(|e| Problem::new(Code::Internal, e))?;
        if sha256 != file.sha256 {
            return Err(Problem::new(
                Code::VerificationFailed,
                format!("{} has {sha256}, not {}", file.path, file.sha256),
            ));
        }
    }
    Ok(pins)
}

async fn append(named: &Named, envelope: Envelope) -> Result<(u64, Sha256), Problem> {
    match command(named, Command::Append(envelope.into_bytes())).await? {
        Reply::Appended { index, id } => Ok((index, id)),
        _ => Err(Problem::new(Code::Internal, "the core answered something else than was asked")),
    }
}

fn blob_problem(error: &StoreError) -> Problem {
    let code = if error.is_full() { Code::DiskFull } else { Code::Internal };
    Problem::new(code, error.to_string())
}

/// Stores the bytes of an upload.
pub async fn artifact_put(node: &Arc<Node>, bytes: Upload) -> Result<Artifact, Problem> {
    let broken: Arc<std::sync::Mutex<Option<Problem>>> = Arc::default();
    let kept = broken.clone();
    let bytes = bytes.map_err(move |problem| {
        let text = problem.to_string();
        *kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(problem);
        std::io::Error::other(text)
    });
    let max = node.shared.config.limits.artifact_max.0;
    let reader = bytes.into_async_read().compat();
    match node.shared.blobs.import(reader, max).await {
        Ok(imported) => {
            node.remember(imported.blake3, imported.sha256);
            Ok(Artifact { blake3: imported.blake3, sha256: imported.sha256, size: imported.size })
        }
        Err(error) => {
            let upload = broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            Err(upload.unwrap_or_else(|| blob_problem(&error)))
        }
    }
}

/// The own release that a request means: by digest, or by reference with a version.
pub(super) async fn own_release(
    node: &Arc<Node>,
    named: &Named,
    wanted: &str,
) -> Result<(ReleaseRow, Arc<Certified>), Problem> {
    let charter = charter(named).await?;
    if !select::is_exact(wanted)? {
        return Err(Problem::new(Code::BadReference, format!("{wanted:?} names no version"))
            .next("name one release: OWNER/PROCESS@VERSION; `verbund process versions` lists them"));
    }
    let (found, text) = (charter.clone(), wanted.to_owned());
    let read = named.instance.read(move |view, _| Ok(select::release(view, &found, &text)));
    let row = read.await.map_err(problem)??;
    if row.member != node.shared.member.id {
        let owner =
            charter.charter.member(&row.member).map_or_else(|| row.member.to_string(), |m| m.handle.to_string());
        return Err(Problem::new(Code::Denied, format!("{wanted:?} is a release of {owner}, not of this member"))
            .next("only its publisher can do this: ask there"));
    }
    Ok((row, charter))
}

/// Withdraws a release; durable when answered.
pub async fn release_withdraw(node: &Arc<Node>, request: WithdrawRequest) -> Result<Withdrawn, Problem> {
    let federation = select::federation(request.federation.as_deref(), &request.release)?;
    let named = node.named(federation).await?;
    let (row, charter) = own_release(node, &named, &request.release).await?;
    let asked = row.clone();
    let before = named.instance.read(move |view, _| select::withdrawn(view, &asked)).await.map_err(problem)?;
    if before {
        // A second withdrawal would stand in the log without any effect.
        return Err(Problem::new(Code::Conflict, format!("{} is withdrawn already", request.release))
            .next("`verbund process show` says since when and why; that reason stays"));
    }
    let severity = match request.severity {
        WithdrawSeverity::Normal => "medium",
        WithdrawSeverity::Urgent => "high",
        WithdrawSeverity::Critical => "critical",
    };
    let document = Withdrawal {
        federation: named.instance.federation,
        member: row.member,
        process: row.slug.clone(),
        release: row.id,
        reason: request.reason,
        severity: severity.to_owned(),
        successor: request.successor,
        erase: request.erase,
        time_s: now().wall_s(),
    };
    let envelope = document.seal(&[publisher_key(node)?]).map_err(|e| Problem::new(Code::BadRequest, e.to_string()))?;
    let (index, _) = append(&named, envelope).await?;
    let owner = charter.charter.member(&row.member).map_or_else(|| row.member.to_string(), |m| m.handle.to_string());
    Ok(Withdrawn { release: format!("{owner}/{}@{}", row.slug, row.version), index, adopters: Vec::new() })
}

/// Handles of all members but one.
pub(super) fn others(charter: &Certified, member: MemberId) -> BTreeSet<Handle> {
    charter.charter.members.iter().filter(|m| m.member != member).map(|m| m.handle.clone()).collect()
}
