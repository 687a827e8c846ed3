//! What HTTPS clients read: the catalogues and artifacts of all federations of this node.
//!
//! Owns what exists for whom. A token makes its bearer a system of this member: it sees what the member may have, that is what is
//! public, for the federation, or for members among which this one is, and the member's own releases in any case. Who comes
//! without a token, where the operator allows that, sees public releases and the names of the federations, nothing else.
//!
//! A withdrawn release is offered no more: lists mark it and "the latest" passes it over. Whoever names its exact version still
//! gets it, with the recall beside it, unless its publisher asked to delete it. Files are served from complete and verified
//! releases only, and nothing is served that is not durable.

mod changes;
mod check;
mod federations;
mod files;
mod lists;
mod logs;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;
use verbund_protocol::ids::{PeerId, Sha256, Slug};
use verbund_protocol::view::catalogue::{Catalogue, Listed, Name, Selector, Target, Viewer};
use verbund_protocol::view::charters;
use verbund_protocol::view::checkpoints::Tile;
use verbund_protocol::view::rows::RowsError;
use verbund_protocol::view::state;

use super::changes::ChangeLists;
use super::instance::{InstanceError, Shared};
use super::node::{Named, Node};
use super::shelf::{self, Detail, ManifestError, Manifests, Supply, supply};
use super::view::StoreView;
use crate::admin::Problem;
use crate::blobs::ReadError;
use crate::http::Library;
use crate::http::library::*;
use crate::http::tokens::Reader;

/// Gives all federations of the node.
type Federations = Box<dyn Fn() -> BoxFuture<'static, Result<Vec<Named>, Problem>> + Send + Sync>;

/// The node's library.
pub struct NodeLibrary {
    federations: Federations,
    shared: Shared,
    manifests: Arc<Manifests>,
    changes: Arc<ChangeLists>,
    /// Which manifests list a file: made when it is first asked for.
    files: tokio::sync::Mutex<check::FileIndex>,
}

fn internal(error: impl std::fmt::Display) -> LibraryError {
    LibraryError::Internal(error.to_string())
}

fn instance_error(error: InstanceError) -> LibraryError {
    internal(error)
}

impl NodeLibrary {
    /// The library of `node`.
    pub fn new(node: Arc<Node>) -> Self {
        let (shared, manifests, changes) = (node.shared.clone(), node.manifests.clone(), node.changes.clone());
        let federations: Federations = Box::new(move || {
            let node = node.clone();
            Box::pin(async move { node.all().await })
        });
        Self { federations, shared, manifests, changes, files: Default::default() }
    }

    async fn federation(&self, slug: &Slug) -> Result<Named, LibraryError> {
        let all = (self.federations)().await.map_err(internal)?;
        all.into_iter().find(|named| named.slug == slug.as_str()).ok_or(LibraryError::NotFound)
    }

    /// Looks into a federation's catalogue with the eyes of a reader.
    async fn look<T: Send + 'static>(
        &self,
        reader: &Reader,
        slug: &Slug,
        look: impl FnOnce(&Catalogue<'_>, &StoreView, &Viewer) -> Result<Result<T, LibraryError>, RowsError>
        + Send
        + 'static,
    ) -> Result<(Named, T), LibraryError> {
        let named = self.federation(slug).await?;
        let member = match reader {
            Reader::Anonymous => None,
            Reader::Token(_) => Some(self.shared.member.id),
        };
        let read = shelf::catalogue(&named.instance, move |catalogue, view| {
            let viewer = member.map_or(Viewer::Public, |member| catalogue.viewer(member));
            look(catalogue, view, &viewer)
        });
        let found = read.await.map_err(instance_error)?.ok_or(LibraryError::NotFound)?;
        Ok((named, found?))
    }

    async fn detail(&self, reader: &Reader, release: &ReleaseRef) -> Result<(Named, Detail), LibraryError> {
        let ReleaseRef { process, version } = release;
        let target = Target::Process {
            owner: Name::Handle(process.member.clone()),
            slug: process.slug.clone(),
            selector: Selector::Exact(version.clone()),
        };
        let (named, detail) = self
            .look(reader, &process.federation, move |catalogue, view, viewer| {
                match catalogue.resolve(&target, viewer)? {
                    Ok(listed) => Detail::read(catalogue, view, listed).map(Ok),
                    Err(_) => Ok(Err(LibraryError::NotFound)),
                }
            })
            .await?;
        match &detail.listed.effect.withdrawn {
            Some(withdrawal) if withdrawal.erase => Err(LibraryError::Erased(withdrawal.reason.clone())),
            _ => Ok((named, detail)),
        }
    }

    async fn supply(&self, named: &Named, listed: &Listed) -> Result<Supply, LibraryError> {
        let me = self.shared.member.node.peer();
        let supplies = supply(&named.instance, me, &[listed]).await.map_err(instance_error)?;
        Ok(supplies.into_iter().next().unwrap_or_default())
    }

    async fn release_view(&self, reader: &Reader, release: &ReleaseRef) -> Result<ReleaseView, LibraryError> {
        let (named, detail) = self.detail(reader, release).await?;
        let supply = self.supply(&named, &detail.listed).await?;
        let log = detail.listed.row.log;
        let identity = named.instance.read(move |view, _| {
            let hash = state::log(view, &log)?.and_then(|row| row.identity);
            hash.map_or(Ok(None), |hash| charters::identity(view, &hash))
        });
        let identity = identity.await.map_err(instance_error)?;
        let mut unavailable = supply.lacking.as_ref().map(|lacking| lacking.why.clone());
        let manifest = match self.manifests.get(&self.shared.blobs, &detail.listed.row).await {
            Ok(manifest) => Some(manifest),
            // Known by its title only: the files are named once the manifest is here.
            Err(ManifestError::Read(ReadError::NotHeld(_))) if unavailable.is_some() => None,
            Err(error) => {
                tracing::warn!(release = %detail.process, %error, "the manifest of a held release cannot be read");
                files::lost(&named, &error);
                unavailable.get_or_insert_with(|| "a file was damaged on this node and is fetched again".to_owned());
                None
            }
        };
        let entry = |file: &verbund_protocol::release::FileEntry| FileEntry {
            path: file.path.to_string(),
            size: file.size,
            media_type: file.media_type.clone(),
            sha256: file.sha256,
            blake3: file.blake3,
        };
        Ok(ReleaseView {
            manifest: detail.listed.row.manifest_sha256,
            files: manifest.iter().flat_map(|m| m.files()).map(entry).collect(),
            evidence: words::evidence(&detail, &supply, identity.as_ref().map(|known| &known.identity)),
            statements: words::statements(&detail.listed, detail.moved_to.clone()),
            metadata: detail.metadata,
            unavailable,
        })
    }

    async fn process_view(&self, reader: &Reader, process: &ProcessRef) -> Result<ProcessView, LibraryError> {
        let ProcessRef { federation, member, slug } = process.clone();
        let look = move |catalogue: &Catalogue<'_>, _: &StoreView, viewer: &Viewer| {
            let owner = catalogue.owners().named(&Name::Handle(member));
            let Some(owner) = owner else { return Ok(Err(LibraryError::NotFound)) };
            let versions = catalogue.versions(&owner.member, &slug, viewer)?;
            let offered = |listed: &&Listed| listed.effect.withdrawn.is_none() && listed.version.pre.is_empty();
            let latest = versions.iter().find(offered);
            let Some(shown) = latest.or_else(|| versions.first()) else { return Ok(Err(LibraryError::NotFound)) };
            let said = catalogue.said(&owner.member, &slug)?;
            let details = words::process(catalogue, owner, shown, versions.len(), &said)?;
            Ok(Ok(ProcessView { latest: latest.map(|listed| listed.version.clone()), details }))
        };
        self.look(reader, &federation, look).await.map(|(_, view)| view)
    }
}

impl Library for NodeLibrary {
    fn federations<'a>(&'a self, _: &'a Reader) -> Answer<'a, Vec<FederationView>> {
        Box::pin(async move {
            let all = (self.federations)().await.map_err(internal)?;
            let mut views = Vec::with_capacity(all.len());
            for named in all {
                // One that is still being joined has no catalogue yet.
                let known = named.instance.charter().await.map_err(instance_error)?.is_some();
                if let Some(slug) = named.slug.parse().ok().filter(|_| known) {
                    views.push(FederationView { slug, id: named.instance.federation, name: named.name });
                }
            }
            Ok(views)
        })
    }
    fn search<'a>(
        &'a self,
        reader: &'a Reader,
        federation: &'a Slug,
        query: Option<&'a str>,
        page: PageRequest,
    ) -> Answer<'a, Page<ReleaseSummary>> {
        Box::pin(self.list(reader, federation, query, page))
    }
    fn process<'a>(&'a self, reader: &'a Reader, process: &'a ProcessRef) -> Answer<'a, ProcessView> {
        Box::pin(self.process_view(reader, process))
    }
    fn versions<'a>(
        &'a self,
        reader: &'a Reader,
        process: &'a ProcessRef,
        page: PageRequest,
    ) -> Answer<'a, Page<ReleaseSummary>> {
        Box::pin(self.list_versions(reader, process, page))
    }
    fn release<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef) -> Answer<'a, ReleaseView> {
        Box::pin(self.release_view(reader, release))
    }
    fn provenance<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef) -> Answer<'a, Option<Bytes>> {
        Box::pin(self.proof(reader, release))
    }
    fn open_file<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef, path: &'a str) -> Answer<'a, FileHandle> {
        Box::pin(self.file(reader, release, path))
    }
    fn logs<'a>(&'a self, federation: &'a Slug) -> Answer<'a, Vec<HeldLog>> {
        Box::pin(self.all_logs(federation))
    }
    fn checkpoint<'a>(&'a self, federation: &'a Slug, log: PeerId) -> Answer<'a, String> {
        Box::pin(self.newest_checkpoint(federation, log))
    }
    fn tile<'a>(&'a self, federation: &'a Slug, log: PeerId, tile: Tile) -> Answer<'a, Bytes> {
        Box::pin(self.log_tile(federation, log, tile))
    }
    fn federation<'a>(&'a self, _: &'a Reader, federation: &'a Slug) -> Answer<'a, FederationDetail> {
        Box::pin(self.federation_view(federation))
    }
    fn members<'a>(&'a self, _: &'a Reader, federation: &'a Slug) -> Answer<'a, Vec<MemberView>> {
        Box::pin(self.member_views(federation))
    }
    fn changes<'a>(
        &'a self,
        reader: &'a Reader,
        federation: &'a Slug,
        since: Since,
        limit: usize,
    ) -> Answer<'a, Changes> {
        Box::pin(self.changes_for(reader, federation, since, limit))
    }
    fn changed<'a>(&'a self, federation: &'a Slug) -> Answer<'a, watch::Receiver<u64>> {
        Box::pin(async move { Ok(self.change_list(federation).await?.newest()) })
    }
    fn check<'a>(&'a self, reader: &'a Reader, federation: &'a Slug, digests: Vec<Sha256>) -> Answer<'a, Vec<Checked>> {
        Box::pin(self.checked(reader, federation, digests))
    }
    fn described<'a>(
        &'a self,
        reader: &'a Reader,
        federation: &'a Slug,
        page: PageRequest,
    ) -> Answer<'a, Page<Described>> {
        Box::pin(self.describe(reader, federation, page))
    }
}
