//! What the catalogue takes from a release's statement.

use super::state::{Audience, ReleaseRow};
use crate::ids::{Blake3, FederationId, MemberId, PeerId, Sha256, Slug};
use crate::release::ProcessRef;
use crate::release::metadata::{self, Metadata};
use crate::release::statement::Release;

/// The parts of a release that views are made of.
pub struct Facts {
    /// The federation that it names.
    pub federation: FederationId,
    /// The owner that it names.
    pub member: MemberId,
    /// The process.
    pub slug: Slug,
    /// The version.
    pub version: String,
    /// Text that substring search looks at, lower case.
    pub search: String,
    /// The process that this one takes over from another member.
    pub succeeds: Option<ProcessRef>,
    title: String,
    summary: String,
    manifest: Blake3,
    manifest_sha256: Sha256,
    manifest_size: u64,
    files: u64,
    total_size: u64,
    audience: Audience,
    published_s: u64,
}

impl Facts {
    /// The catalogue's row.
    pub fn row(&self, log: PeerId, index: u64, id: Sha256) -> ReleaseRow {
        ReleaseRow {
            member: self.member,
            slug: self.slug.clone(),
            version: self.version.clone(),
            log,
            index,
            id,
            title: self.title.clone(),
            summary: self.summary.clone(),
            manifest: self.manifest,
            manifest_sha256: self.manifest_sha256,
            manifest_size: self.manifest_size,
            files: self.files,
            total_size: self.total_size,
            audience: self.audience.clone(),
            published_s: self.published_s,
        }
    }
}

/// Reads a release's statement.
///
/// # Errors
/// The reason in words, for whoever published it.
pub fn of(payload: &[u8]) -> Result<Facts, String> {
    let release = Release::parse(payload).map_err(|e| e.to_string())?;
    let manifest = release.manifest;
    let (federation, member, published_s) = (release.federation, release.member, release.time_s);
    let metadata = release.metadata.into_metadata();
    let search = search_text(&metadata);
    Ok(Facts {
        federation,
        member,
        slug: metadata.id,
        version: metadata.version.to_string(),
        search,
        succeeds: metadata.succeeds,
        title: metadata.title,
        summary: metadata.summary,
        manifest: manifest.blake3,
        manifest_sha256: manifest.sha256,
        manifest_size: manifest.size,
        files: manifest.files,
        total_size: manifest.total_size,
        audience: match metadata.audience {
            metadata::Audience::Federation => Audience::Federation,
            metadata::Audience::Public => Audience::Public,
            metadata::Audience::Members(handles) => {
                Audience::Members(handles.iter().map(|h| h.as_str().to_owned()).collect())
            }
            // A form that is not known admits nobody but the owner.
            metadata::Audience::Other(_) => Audience::Members(Vec::new()),
        },
        published_s,
    })
}

fn search_text(metadata: &Metadata) -> String {
    let mut parts = vec![metadata.id.as_str(), &metadata.title, &metadata.summary];
    parts.extend(metadata.description.as_deref());
    parts.extend(metadata.themenfeld.as_deref());
    let lists = [&metadata.keywords, &metadata.leistungsschluessel, &metadata.ozg_id];
    parts.extend(lists.into_iter().flatten().map(String::as_str));
    parts.extend(metadata.legal_basis.iter().map(|l| l.name.as_str()));
    parts.join("\n").to_lowercase()
}
