//! Tags: the versions of a process under the names that registries allow.
//!
//! Owns references (tag or digest) and the list of tags. Listed is what can be had here now and is not withdrawn; an exact version
//! that was withdrawn can still be named, as everywhere, with the recall among its referrers.

use axum::http::header;
use semver::Version;
use serde_json::json;
use verbund_protocol::ids::Sha256;

use super::Answer;
use crate::http::library::{PageRequest, ProcessRef, ReleaseSummary};
use crate::http::problem::{Code, Problem};
use crate::http::routes::{Call, insert};

/// The tag of the highest stable version that is not withdrawn.
const LATEST: &str = "latest";
/// A tag, in characters (OCI Distribution Specification 1.1, "Pulling manifests"). A longer version is reached by digest only.
const TAG_MAX: usize = 128;
/// Versions of a process that are looked through, newest first; far more than a process gathers.
const VERSIONS_MAX: usize = 2_000;
/// Versions read at a time.
const PAGE: usize = 200;

/// What a client names a manifest by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// The highest stable version.
    Latest,
    /// A version.
    Version(Version),
    /// Its hash.
    Digest(Sha256),
}

impl Reference {
    /// `None`: there is nothing of such a name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == LATEST {
            return Some(Self::Latest);
        }
        if text.contains(':') {
            return text.parse().ok().map(Self::Digest);
        }
        Version::parse(text).ok().map(Self::Version)
    }
}

/// The versions of a process that this reader may see, newest first.
pub(super) async fn versions(call: &Call, process: &ProcessRef) -> Result<Vec<ReleaseSummary>, Problem> {
    let mut all: Vec<ReleaseSummary> = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest { after: after.take(), limit: PAGE };
        let found = call.library().versions(&call.reader, process, page).await?;
        all.extend(found.items);
        after = found.next;
        if after.is_none() || all.len() >= VERSIONS_MAX {
            return Ok(all);
        }
    }
}

/// `/v2/{name}/tags/list?n=&last=`, in lexical order.
pub(super) async fn list(call: Call) -> Answer {
    let process = call.process()?;
    let [n, last] = call.query(["n", "last"])?;
    let limit = match n {
        None => usize::MAX,
        Some(text) => text.parse().map_err(|_| Problem::new(Code::InvalidParameter, "n is a number of tags."))?,
    };
    let _making = call.making().await?;
    let versions = versions(&call, &process).await?;
    let offered = versions.iter().filter(|version| version.available && !version.withdrawn);
    let mut tags: Vec<String> = offered.map(|v| v.version.to_string()).filter(|tag| tag.len() <= TAG_MAX).collect();
    if versions.iter().any(|v| v.available && !v.withdrawn && v.version.pre.is_empty()) {
        tags.push(LATEST.to_owned());
    }
    tags.sort();
    let from = last.map_or(0, |last| tags.partition_point(|tag| *tag <= last));
    let name = format!("{}/{}/{}", process.federation, process.member, process.slug);
    let page: Vec<&String> = tags.iter().skip(from).take(limit).collect();
    // SPEC: OCI Distribution Specification 1.1, "Listing Tags": the next page by RFC 8288.
    let more = page.last().filter(|_| from + page.len() < tags.len());
    let next = more.map(|last| format!("</v2/{name}/tags/list?n={limit}&last={last}>; rel=\"next\""));
    let mut response = call.json(&json!({ "name": name, "tags": page }))?;
    if let Some(next) = next {
        insert(response.headers_mut(), header::LINK, &next);
    }
    Ok(response)
}
