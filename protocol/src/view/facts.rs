//! What the catalogue takes from a release's statement.

use super::state::{Audience, ReleaseRow};
use crate::ids::{Blake3, FederationId, MemberId, PeerId, Sha256, Slug};

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
    title: String,
    summary: String,
    manifest: Blake3,
    manifest_sha256: Sha256,
    manifest_size: u64,
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
            audience: self.audience.clone(),
            published_s: self.published_s,
        }
    }
}

/// Reads a release's statement.
pub fn of(_payload: &[u8]) -> Result<Facts, String> { Err("wip".into()) }
