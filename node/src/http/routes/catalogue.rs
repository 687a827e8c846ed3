//! Federations, processes, versions, releases and their proof.

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Response, StatusCode};
use semver::Version;
use serde_json::{Value, json};

use super::call::{Call, insert, next_cursor};
use crate::http::library::{FileEntry, Page, ProcessRef, ReleaseRef, ReleaseSummary, ReleaseView};
use crate::http::problem::{Code, Problem};
use crate::http::text;

type Answer = Result<Response<Body>, Problem>;

/// `/federations`
pub(super) async fn federations(call: Call) -> Answer {
    let [] = call.query([])?;
    let _making = call.making().await?;
    let mut all = call.app.library.federations(&call.reader).await?;
    all.retain(|federation| call.reader.may_read(&federation.slug));
    let items: Vec<Value> = all
        .iter()
        .map(|f| {
            json!({ "slug": f.slug, "id": f.id, "name": f.name, "processes": format!("/api/v1/{}/processes", f.slug) })
        })
        .collect();
    call.json(&json!({ "items": items }))
}

/// `/{federation}/processes`
pub(super) async fn processes(call: Call) -> Answer {
    let federation = call.federation()?;
    let [q, limit, cursor] = call.query(["q", "limit", "cursor"])?;
    let q = Call::search_text(q)?;
    let list = ["processes", federation.as_str(), q.as_deref().unwrap_or_default()];
    let page = Call::page(limit, cursor, &list)?;
    let _making = call.making().await?;
    let found = call.app.library.search(&call.reader, &federation, q.as_deref(), page).await?;
    let next = next_cursor(&found, &list)?;
    call.json(&list_of(federation.as_str(), &found, next))
}

/// `/{federation}/processes/{member}/{slug}`
pub(super) async fn process(call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let _making = call.making().await?;
    let view = call.app.library.process(&call.reader, &process).await?;
    let base = process_url(&process);
    call.json(&json!({
        "federation": process.federation,
        "member": process.member,
        "slug": process.slug,
        "latest": view.latest.as_ref().map(Version::to_string),
        "latest_release": view.latest.map(|version| release_url(&process, &version)),
        "versions": format!("{base}/versions"),
        "details": view.details,
    }))
}

/// `/{federation}/processes/{member}/{slug}/versions`
pub(super) async fn versions(call: Call) -> Answer {
    let process = call.process()?;
    let [limit, cursor] = call.query(["limit", "cursor"])?;
    let list = ["versions", process.federation.as_str(), process.member.as_str(), process.slug.as_str()];
    let page = Call::page(limit, cursor, &list)?;
    let _making = call.making().await?;
    let found = call.app.library.versions(&call.reader, &process, page).await?;
    let next = next_cursor(&found, &list)?;
    call.json(&list_of(process.federation.as_str(), &found, next))
}

/// `/{federation}/releases/{member}/{slug}/{version}`
pub(super) async fn release(call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let release = match exact(&call, process, "").await? {
        Exact::Release(release) => release,
        Exact::Elsewhere(redirect) => return Ok(redirect),
    };
    let _making = call.making().await?;
    let view = call.app.library.release(&call.reader, &release).await?;
    call.json(&release_json(&release, &view))
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

fn process_url(process: &ProcessRef) -> String {
    format!("/api/v1/{}/processes/{}/{}", process.federation, process.member, process.slug)
}

fn release_url(process: &ProcessRef, version: &Version) -> String {
    format!("/api/v1/{}/releases/{}/{}/{version}", process.federation, process.member, process.slug)
}

fn list_of(federation: &str, page: &Page<ReleaseSummary>, next: Option<String>) -> Value {
    let items: Vec<Value> = page
        .items
        .iter()
        .map(|item| {
            let mut value = json!(item);
            let url = format!("/api/v1/{federation}/releases/{}/{}/{}", item.member, item.slug, item.version);
            if let Value::Object(fields) = &mut value {
                fields.insert("release".to_owned(), Value::String(url));
            }
            value
        })
        .collect();
    json!({ "items": items, "next": next })
}

fn release_json(release: &ReleaseRef, view: &ReleaseView) -> Value {
    let url = release_url(&release.process, &release.version);
    let file = |entry: &FileEntry| {
        let mut value = json!(entry);
        if let Value::Object(fields) = &mut value {
            let href = format!("{url}/files/{}", text::encode_path(&entry.path));
            fields.insert("href".to_owned(), Value::String(href));
        }
        value
    };
    json!({
        "federation": release.process.federation,
        "member": release.process.member,
        "slug": release.process.slug,
        "version": release.version.to_string(),
        "manifest": view.manifest,
        "available": view.unavailable.is_none(),
        "unavailable": view.unavailable,
        "metadata": view.metadata,
        "files": view.files.iter().map(file).collect::<Vec<_>>(),
        "evidence": view.evidence,
        "statements": view.statements,
        "provenance": format!("{url}/provenance"),
    })
}
