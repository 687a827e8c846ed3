//! Releases and their proof.

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Response, StatusCode};

use super::call::{Call, insert};
use super::processes::release_url;
use super::table::Answer;
use crate::http::answers::{FileItem, ReleaseBody};
use crate::http::library::{FileEntry, ProcessRef, ReleaseRef, ReleaseView};
use crate::http::problem::{Code, Problem};
use crate::http::text;

/// `/{federation}/releases/{member}/{slug}/{version}`
pub(super) async fn one(call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let release = match exact(&call, process, "").await? {
        Exact::Release(release) => release,
        Exact::Elsewhere(redirect) => return Ok(redirect),
    };
    let _making = call.making().await?;
    let view = call.app.library.release(&call.reader, &release).await?;
    call.json(&body(release, view))
}

/// `/{federation}/releases/{member}/{slug}/{version}/provenance`
pub(super) async fn provenance(call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let release = match exact(&call, process, "/provenance").await? {
        Exact::Release(release) => release,
        Exact::Elsewhere(redirect) => return Ok(redirect),
    };
    let _making = call.making().await?;
    let bytes = call.app.library.provenance(&call.reader, &release).await?;
    call.json_bytes(bytes.ok_or_else(Problem::not_found)?)
}

/// Where the version of a path leads.
pub(super) enum Exact {
    /// It is exact.
    Release(ReleaseRef),
    /// It was `latest`: the client is sent to the exact one.
    Elsewhere(Response<Body>),
}

/// The release of the path. `rest` is what follows the version in its URL.
pub(super) async fn exact(call: &Call, process: ProcessRef, rest: &str) -> Result<Exact, Problem> {
    if let Some(version) = call.version()? {
        return Ok(Exact::Release(ReleaseRef { process, version }));
    }
    let view = call.app.library.process(&call.reader, &process).await?;
    let version = view
        .latest
        .ok_or_else(|| Problem::new(Code::NotFound, "The process has no stable version that is not withdrawn."))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    insert(headers, header::LOCATION, &format!("{}{rest}", release_url(&process, &version)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    Ok(Exact::Elsewhere(response))
}

fn body(release: ReleaseRef, view: ReleaseView) -> ReleaseBody {
    let url = release_url(&release.process, &release.version);
    let file = |entry: FileEntry| {
        let href = format!("{url}/files/{}", text::encode_path(&entry.path));
        FileItem { entry, href }
    };
    ReleaseBody {
        version: release.version.to_string(),
        manifest: view.manifest,
        available: view.unavailable.is_none(),
        unavailable: view.unavailable,
        metadata: view.metadata,
        files: view.files.into_iter().map(file).collect(),
        evidence: view.evidence,
        statements: view.statements,
        provenance: format!("{url}/provenance"),
        bundle: format!("{url}/bundle.tar.zst"),
        federation: release.process.federation,
        member: release.process.member,
        slug: release.process.slug,
    }
}
