//! The catalogue as the operator sees it: every title, and every file that is held.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use verbund_protocol::ids::{Blake3, Handle};
use verbund_protocol::provenance::MakeError;
use verbund_protocol::release::Manifest;
use verbund_protocol::view::catalogue::{
    Catalogue, Filter, Listed, Name, Place, Reference, Target, Viewer, Void, Witnesses,
};

use super::super::node::{Named, Node, problem};
use super::super::shelf::{self, Detail, ManifestError, ProofError, Supply, supply};
use super::federation::{count, no_charter};
use super::search;
use crate::admin::api::*;
use crate::admin::{Code, Download, Problem};
use crate::blobs::ReadError;

/// Processes of a page, if nothing is said.
const LIMIT_DEFAULT: u32 = 100;
/// Most processes of a page.
const LIMIT_MAX: u32 = 1_000;
/// Versions that are shown of one process, the highest: the statement of each is read.
const VERSIONS_SHOWN: usize = 500;

/// One line of a list, as the catalogue gives it.
pub(super) struct Line {
    pub(super) listed: Listed,
    process: String,
    owner: Handle,
    owner_name: String,
    witnesses: Witnesses,
}

impl Line {
    pub(super) fn read(
        catalogue: &Catalogue<'_>,
        listed: Listed,
    ) -> Result<Option<Self>, verbund_protocol::view::rows::RowsError> {
        let Some(owner) = catalogue.owners().get(&listed.row.member) else { return Ok(None) };
        let (owner, owner_name) = (owner.handle.clone(), owner.name.clone());
        let (process, witnesses) = (catalogue.process_name(&listed.row), catalogue.witnesses(&listed.row)?);
        Ok(Some(Self { listed, process, owner, owner_name, witnesses }))
    }

    pub(super) fn row(self, federation: &str, supply: Supply) -> ProcessRow {
        ProcessRow {
            process: self.process,
            federation: federation.to_owned(),
            owner: self.owner,
            owner_name: self.owner_name,
            title: self.listed.effect.title.clone(),
            summary: self.listed.effect.summary.clone(),
            version: self.listed.version.to_string(),
            published: published(&self.listed),
            availability: availability(&self.listed, &supply),
            witnesses: count(self.witnesses.by.len()),
            witnesses_of: count(self.witnesses.of),
            held_by: supply.held_by,
            withdrawn: self.listed.effect.withdrawn.is_some(),
            deprecated: self.listed.effect.deprecated.is_some(),
            snippet: None,
        }
    }
}

fn published(listed: &Listed) -> Moment {
    Moment::from_unix_ms(listed.row.published_s.saturating_mul(1_000))
}

/// The state of the files here. Without looking at the disk everything counts as missing until all is here.
fn availability(listed: &Listed, supply: &Supply) -> Availability {
    match &supply.lacking {
        None => Availability::Complete,
        Some(lacking) if lacking.never => Availability::Absent { why: lacking.why.clone() },
        Some(lacking) => {
            let missing_bytes = listed.row.manifest_size.saturating_add(listed.row.total_size);
            Availability::Pending { missing_bytes, why: lacking.why.clone() }
        }
    }
}

/// Processes, by text and owner.
pub async fn process_list(node: &Arc<Node>, request: ProcessListRequest) -> Result<ProcessList, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    if let Some(found) = search::process_search(node, &named, &request).await? {
        return Ok(found);
    }
    let bad = |text: String| Problem::new(Code::BadRequest, text);
    let limit = request.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX) as usize;
    let after = request.after.map(|after| after.parse::<Place>()).transpose();
    let after = after
        .map_err(|_| bad("`after` is not a place of this list".into()).next("pass on `next` of the page before"))?;
    let member = request.member.map(|member| member.parse::<Name>()).transpose().map_err(|e| bad(e.to_string()))?;
    let (text, withdrawn) = (request.text.filter(|text| !text.is_empty()), request.withdrawn);
    let read = shelf::catalogue(&named.instance, move |catalogue, _| {
        let owner = member.map(|name| catalogue.owners().named(&name).map(|owner| owner.member).ok_or(name));
        let owner = match owner.transpose() {
            Ok(owner) => owner,
            Err(name) => return Ok(Err(name)),
        };
        let filter = Filter { text, owner, withdrawn };
        let page = catalogue.processes(&filter, &Viewer::Operator, after.as_ref(), limit)?;
        let lines =
            page.items.into_iter().map(|listed| Line::read(catalogue, listed)).collect::<Result<Vec<_>, _>>()?;
        Ok(Ok((lines.into_iter().flatten().collect::<Vec<_>>(), page.next)))
    });
    let read = read.await.map_err(problem)?.ok_or_else(|| no_charter(&named))?;
    let (lines, next) = read.map_err(|name| {
        Problem::new(Code::NotFound, format!("no member {name} in this federation"))
            .next("`verbund member ls` lists them")
    })?;
    let listed: Vec<_> = lines.iter().map(|line| &line.listed).collect();
    let supplies = supply(&named.instance, node.shared.member.node.peer(), &listed).await.map_err(problem)?;
    let rows = lines.into_iter().zip(supplies).map(|(line, supply)| line.row(&named.slug, supply));
    let next = next.map(|place| place.to_string());
    Ok(ProcessList { processes: rows.collect(), total: None, facets: BTreeMap::new(), next })
}

/// The federation and the target of a reference.
async fn read(node: &Arc<Node>, federation: Option<String>, text: &str) -> Result<(Named, Target), Problem> {
    let reference: Reference = text.parse().map_err(|e: verbund_protocol::view::catalogue::ReferenceError| {
        Problem::new(Code::BadReference, e.to_string())
    })?;
    let within = reference.federation.map(|slug| slug.to_string());
    let named = node.named(within.as_deref().or(federation.as_deref())).await?;
    if let (Some(within), Some(federation)) = (within, federation)
        && node.named(Some(&federation)).await?.instance.federation != named.instance.federation
    {
        let text = format!("the reference names federation {within:?}, the request {federation:?}");
        return Err(Problem::new(Code::BadReference, text).next("name one of them"));
    }
    Ok((named, reference.target))
}

/// The release that a request means.
async fn find(node: &Arc<Node>, federation: Option<String>, text: &str) -> Result<(Named, Detail), Problem> {
    let (named, target) = read(node, federation, text).await?;
    let found = shelf::catalogue(&named.instance, move |catalogue, view| {
        match catalogue.resolve(&target, &Viewer::Operator)? {
            Ok(listed) => Detail::read(catalogue, view, listed).map(Ok),
            Err(why) => Ok(Err(why)),
        }
    });
    let found = found.await.map_err(problem)?.ok_or_else(|| no_charter(&named))?;
    let detail = found.map_err(|why| {
        Problem::new(Code::NotFound, why.to_string())
            .next("`verbund process ls` and `process versions` show what there is")
    })?;
    Ok((named, detail))
}

/// Who has the files of one release.
async fn supply_of(node: &Node, named: &Named, listed: &Listed) -> Result<Supply, Problem> {
    let me = node.shared.member.node.peer();
    let supplies = supply(&named.instance, me, &[listed]).await.map_err(problem)?;
    Ok(supplies.into_iter().next().unwrap_or_default())
}

/// Versions of a process.
pub async fn process_versions(node: &Arc<Node>, request: ProcessRequest) -> Result<VersionList, Problem> {
    let (named, target) = read(node, request.federation, &request.process).await?;
    let Target::Process { owner, slug, .. } = target else {
        return Err(Problem::new(
            Code::BadReference,
            "a process is named OWNER/PROCESS, such as de-he/hundesteuer-anmeldung",
        ));
    };
    let unknown = format!("there is no process {owner}/{slug} in {}", named.name);
    let found = shelf::catalogue(&named.instance, move |catalogue, view| {
        let Some(owner) = catalogue.owners().named(&owner) else { return Ok((Vec::new(), Vec::new())) };
        let versions = catalogue.versions(&owner.member, &slug, &Viewer::Operator)?;
        let mut void = catalogue.voids_of(&owner.member, &slug, VERSIONS_SHOWN)?;
        void.retain(|void| !versions.iter().any(|listed| listed.place() == (void.log, void.index)));
        let read = |listed| Detail::read(catalogue, view, listed);
        let details = versions.into_iter().take(VERSIONS_SHOWN).map(read).collect::<Result<Vec<_>, _>>()?;
        Ok((details, void.into_iter().filter_map(void_release).collect()))
    });
    let (details, void) = found.await.map_err(problem)?.ok_or_else(|| no_charter(&named))?;
    let Some(first) = details.first() else {
        return Err(Problem::new(Code::NotFound, unknown).next("`verbund process search TEXT` finds processes"));
    };
    let (process, title) = (first.process.clone(), first.listed.effect.title.clone());
    let listed: Vec<_> = details.iter().map(|detail| &detail.listed).collect();
    let supplies = supply(&named.instance, node.shared.member.node.peer(), &listed).await.map_err(problem)?;
    let row = |(detail, supply): (&Detail, Supply)| VersionRow {
        version: detail.listed.version.to_string(),
        digest: detail.listed.row.id,
        published: published(&detail.listed),
        change_kind: detail.change.0.clone(),
        change: detail.change.1.clone(),
        availability: availability(&detail.listed, &supply),
        withdrawn: shelf::withdrawn(&detail.listed),
        void: detail.listed.void.clone(),
    };
    Ok(VersionList { process, title, versions: details.iter().zip(supplies).map(row).collect(), void })
}

fn void_release(void: Void) -> Option<VoidRelease> {
    let (_, _, version) = void.release?;
    Some(VoidRelease { version, index: void.index, reason: void.reason })
}

/// A release with its files.
pub async fn release_show(node: &Arc<Node>, request: ReleaseQuery) -> Result<ReleaseView, Problem> {
    let (named, detail) = find(node, request.federation, &request.release).await?;
    let supply = supply_of(node, &named, &detail.listed).await?;
    // What is on its way already has its manifest mostly; without it the files are not known yet.
    let manifest = match node.manifests.get(&node.shared.blobs, &detail.listed.row).await {
        Ok(manifest) => Some(manifest),
        Err(ManifestError::Read(ReadError::NotHeld(hash))) => {
            lost(&named, &detail.listed, hash);
            None
        }
        Err(error) => return Err(unreadable(&named, &detail.listed, &error)),
    };
    let mut availability = availability(&detail.listed, &supply);
    if let (Availability::Pending { missing_bytes, .. }, Some(manifest)) = (&mut availability, &manifest) {
        *missing_bytes = missing(node, manifest);
    }
    let entry = |file: &verbund_protocol::release::FileEntry| FileEntry {
        path: file.path.to_string(),
        size: file.size,
        media_type: file.media_type.clone(),
        sha256: file.sha256,
        blake3: file.blake3,
    };
    let mut recognised = BTreeMap::new();
    if let Some(manifest) = &manifest {
        for file in crate::search::file_words(&node.shared.blobs, manifest).await {
            let found = file.found;
            let notes = found.notes.iter().map(|note| (*note).to_owned()).collect();
            let format = found.format.name().to_owned();
            recognised.insert(file.path, FileKind { format, version: found.version, title: found.title, notes });
        }
    }
    let Detail { listed, process, owner, metadata, witnesses, witnessed_by, moved_to, .. } = detail;
    Ok(ReleaseView {
        release: format!("{process}@{}", listed.version),
        federation: named.slug,
        digest: listed.row.id,
        owner,
        member: listed.row.member,
        version: listed.version.to_string(),
        title: listed.effect.title.clone(),
        metadata,
        files: manifest.iter().flat_map(|m| m.files()).map(entry).collect(),
        recognised,
        bytes: listed.row.total_size,
        published: published(&listed),
        availability,
        witnesses: count(witnesses.by.len()),
        witnesses_of: count(witnesses.of),
        witnessed_by,
        held_by: supply.held_by,
        withdrawn: shelf::withdrawn(&listed),
        deprecated: shelf::deprecated(&listed),
        moved_to,
    })
}

/// Bytes of distinct files that are not here.
fn missing(node: &Node, manifest: &Manifest) -> u64 {
    let files: BTreeMap<Blake3, u64> = manifest.files().iter().map(|file| (file.blake3, file.size)).collect();
    files.iter().filter(|(hash, _)| !node.shared.blobs.has(hash)).map(|(_, size)| *size).fold(0, u64::saturating_add)
}

/// An artifact of a release that counts as held is gone: the federation learns of it and fetches it again.
fn lost(named: &Named, listed: &Listed, hash: Blake3) {
    if listed.held && !named.instance.try_tell(verbund_protocol::core::Input::Lost(hash)) {
        tracing::warn!(artifact = %hash, "a missing artifact could not be reported; `verbund store scrub` finds it again");
    }
}

/// Why a file of a held release cannot be read.
fn unreadable(named: &Named, listed: &Listed, error: &ManifestError) -> Problem {
    let again = "it is fetched again from the members that hold it; repeat the command then";
    match error {
        ManifestError::Read(ReadError::NotHeld(hash)) => {
            lost(named, listed, *hash);
            Problem::new(Code::Incomplete, format!("{hash} has disappeared from the disk")).next(again)
        }
        ManifestError::Read(ReadError::Corrupt { .. }) => {
            Problem::new(Code::VerificationFailed, error.to_string()).next(again)
        }
        ManifestError::Read(_) => Problem::new(Code::Internal, error.to_string()).next("see the daemon's log"),
        ManifestError::Malformed(_) => {
            Problem::new(Code::VerificationFailed, error.to_string()).next("ask its publisher")
        }
    }
}

/// The manifest of a release that is complete here.
async fn complete(node: &Node, named: &Named, detail: &Detail) -> Result<Arc<Manifest>, Problem> {
    if !detail.listed.held {
        let supply = supply_of(node, named, &detail.listed).await?;
        let why = supply.lacking.map_or_else(String::new, |lacking| lacking.why);
        let text = format!("{}@{} is not complete here: {why}", detail.process, detail.listed.version);
        return Err(Problem::new(Code::Incomplete, text).next("`verbund sync status` shows what is missing"));
    }
    let read = node.manifests.get(&node.shared.blobs, &detail.listed.row).await;
    read.map_err(|error| unreadable(named, &detail.listed, &error))
}

/// A file of a release.
pub async fn file_get(node: &Arc<Node>, request: FileQuery) -> Result<Download, Problem> {
    let (named, detail) = find(node, request.federation, &request.release).await?;
    let manifest = complete(node, &named, &detail).await?;
    let file = manifest.file(&request.path).ok_or_else(|| {
        let text = format!("{}@{} has no file {:?}", detail.process, detail.listed.version, request.path);
        Problem::new(Code::NotFound, text).next("`verbund process show` lists its files")
    })?;
    let failed = |error: ReadError| unreadable(&named, &detail.listed, &ManifestError::Read(error));
    let reader = node.shared.blobs.open_reader(&file.blake3).map_err(failed)?;
    let size = reader.size();
    let bytes = reader.stream(0..size).await.map_err(failed)?;
    let bytes = bytes.map_err(std::io::Error::other).boxed();
    Ok(Download { size, media_type: file.media_type.clone(), bytes })
}

/// `provenance.json` of a release.
pub async fn provenance_get(node: &Arc<Node>, request: ReleaseQuery) -> Result<Bytes, Problem> {
    let (named, detail) = find(node, request.federation, &request.release).await?;
    complete(node, &named, &detail).await?;
    let me = node.shared.member.node.peer();
    let made = shelf::proof(&named.instance, &node.shared.blobs, me, &detail.listed.row).await;
    made.map_err(|error| match &error {
        ProofError::Manifest(error) => unreadable(&named, &detail.listed, error),
        ProofError::Instance(_) => Problem::new(Code::Internal, error.to_string()).next("see the daemon's log"),
        ProofError::Make(MakeError::NotYet { .. }) => {
            Problem::new(Code::Incomplete, error.to_string()).next("repeat the command in a moment")
        }
        ProofError::Make(_) => Problem::new(Code::Internal, error.to_string()),
    })
}
