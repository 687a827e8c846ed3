//! Lists of processes and versions.

use std::str::FromStr as _;

use semver::Version;
use verbund_protocol::ids::Slug;
use verbund_protocol::view::catalogue::{Catalogue, Filter, Listed, Name, Place, Viewer};
use verbund_protocol::view::rows::RowsError;

use super::NodeLibrary;
use super::words::moment;
use crate::daemon::node::Named;
use crate::daemon::shelf::{Detail, Supply, supply};
use crate::daemon::view::StoreView;
use crate::http::library::{Described, LibraryError, Page, PageRequest, ProcessRef, ReleaseSummary};
use crate::http::tokens::Reader;

impl NodeLibrary {
    pub(super) async fn list(
        &self,
        reader: &Reader,
        federation: &Slug,
        query: Option<&str>,
        page: PageRequest,
    ) -> Result<Page<ReleaseSummary>, LibraryError> {
        let after = page.after.as_deref().map(place).transpose()?;
        let filter = Filter { text: query.map(str::to_owned), owner: None, withdrawn: true };
        let look = move |catalogue: &Catalogue<'_>, _: &StoreView, viewer: &Viewer| {
            let found = catalogue.processes(&filter, viewer, after.as_ref(), page.limit)?;
            let items = lines(catalogue, found.items)?;
            Ok(Ok(Page { items, next: found.next.map(|place| place.to_string().into_bytes()) }))
        };
        let (named, page) = self.look(reader, federation, look).await?;
        self.held(&named, page).await
    }

    /// Says of each line who holds it.
    async fn held(
        &self,
        named: &Named,
        page: Page<(ReleaseSummary, Listed)>,
    ) -> Result<Page<ReleaseSummary>, LibraryError> {
        let listed: Vec<&Listed> = page.items.iter().map(|(_, listed)| listed).collect();
        let me = self.shared.member.node.peer();
        let supplies = supply(&named.instance, me, &listed).await.map_err(super::instance_error)?;
        let line = |((summary, _), supply): ((ReleaseSummary, Listed), Supply)| ReleaseSummary {
            held_by: Some(supply.held_by),
            ..summary
        };
        Ok(Page { items: page.items.into_iter().zip(supplies).map(line).collect(), next: page.next })
    }

    pub(super) async fn list_versions(
        &self,
        reader: &Reader,
        process: &ProcessRef,
        page: PageRequest,
    ) -> Result<Page<ReleaseSummary>, LibraryError> {
        let after = page.after.as_deref().map(version).transpose()?;
        let ProcessRef { federation, member, slug } = process.clone();
        let look = move |catalogue: &Catalogue<'_>, _: &StoreView, viewer: &Viewer| {
            let owner = catalogue.owners().named(&Name::Handle(member));
            let Some(owner) = owner else { return Ok(Err(LibraryError::NotFound)) };
            let versions = catalogue.versions(&owner.member, &slug, viewer)?;
            if versions.is_empty() {
                return Ok(Err(LibraryError::NotFound));
            }
            let mut rest = versions.iter().filter(|listed| after.as_ref().is_none_or(|after| listed.version < *after));
            let shown: Vec<_> = rest.by_ref().take(page.limit).cloned().collect();
            let more = rest.next().and(shown.last()).map(|last| last.version.to_string().into_bytes());
            Ok(Ok(Page { items: lines(catalogue, shown)?, next: more }))
        };
        let (named, page) = self.look(reader, &federation, look).await?;
        self.held(&named, page).await
    }

    /// Processes with the metadata of their newest release; those of which everything is withdrawn are left out.
    pub(super) async fn describe(
        &self,
        reader: &Reader,
        federation: &Slug,
        page: PageRequest,
    ) -> Result<Page<Described>, LibraryError> {
        let after = page.after.as_deref().map(place).transpose()?;
        let look = move |catalogue: &Catalogue<'_>, view: &StoreView, viewer: &Viewer| {
            let found = catalogue.processes(&Filter::default(), viewer, after.as_ref(), page.limit)?;
            let mut items = Vec::with_capacity(found.items.len());
            for listed in found.items {
                let Some(summary) = summary(catalogue, &listed)? else { continue };
                let owner = catalogue.owners().get(&listed.row.member).map(|owner| owner.name.clone());
                let versions = catalogue.versions(&listed.row.member, &listed.row.slug, viewer)?;
                let issued_s = versions.iter().map(|version| version.row.published_s).min();
                let row = listed.row.clone();
                let detail = Detail::read(catalogue, view, listed)?;
                items.push(Described {
                    owner: owner.unwrap_or_default(),
                    metadata: detail.metadata,
                    issued_s: issued_s.unwrap_or(row.published_s),
                    published_s: row.published_s,
                    bytes: row.total_size,
                    manifest: row.manifest_sha256,
                    summary,
                });
            }
            Ok(Ok(Page { items, next: found.next.map(|place| place.to_string().into_bytes()) }))
        };
        self.look(reader, federation, look).await.map(|(_, page)| page)
    }
}

fn text(position: &[u8]) -> Result<&str, LibraryError> {
    std::str::from_utf8(position).map_err(|_| LibraryError::BadPosition)
}

fn place(position: &[u8]) -> Result<Place, LibraryError> {
    Place::from_str(text(position)?).map_err(|_| LibraryError::BadPosition)
}

fn version(position: &[u8]) -> Result<Version, LibraryError> {
    Version::parse(text(position)?).map_err(|_| LibraryError::BadPosition)
}

/// The lines of releases that can be listed, with the releases.
fn lines(catalogue: &Catalogue<'_>, listed: Vec<Listed>) -> Result<Vec<(ReleaseSummary, Listed)>, RowsError> {
    let mut lines = Vec::with_capacity(listed.len());
    for listed in listed {
        if let Some(line) = summary(catalogue, &listed)? {
            lines.push((line, listed));
        }
    }
    Ok(lines)
}

/// One line of a list. Addresses name members by handle: a former member whose handle went to another is not listed.
pub(super) fn summary(catalogue: &Catalogue<'_>, listed: &Listed) -> Result<Option<ReleaseSummary>, RowsError> {
    let Some(owner) = catalogue.owners().get(&listed.row.member) else { return Ok(None) };
    let Name::Handle(member) = owner.named.clone() else { return Ok(None) };
    let erased = listed.effect.withdrawn.as_ref().is_some_and(|withdrawal| withdrawal.erase);
    let witnesses = catalogue.witnesses(&listed.row)?;
    Ok(Some(ReleaseSummary {
        member,
        owner_name: owner.name.clone(),
        slug: listed.row.slug.clone(),
        version: listed.version.clone(),
        digest: listed.row.id,
        title: listed.effect.title.clone(),
        summary: listed.effect.summary.clone(),
        published: moment(listed.row.published_s),
        available: listed.held && !erased,
        withdrawn: listed.effect.withdrawn.is_some(),
        deprecated: listed.effect.deprecated.is_some(),
        witnesses: witnesses.by.len(),
        witnesses_of: witnesses.of,
        held_by: None,
    }))
}
