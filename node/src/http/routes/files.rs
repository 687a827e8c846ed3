//! Files of a release, whole or in part.
//!
//! Owns the headers of a file. The path of a URL is decoded once and looked up exactly as it stands in the manifest; it never
//! becomes a path of this machine.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::call::{Call, insert};
use super::releases::{Exact, exact};
use crate::http::body::FileBody;
use crate::http::etag::{self, ETag, Verdict};
use crate::http::library::FileHandle;
use crate::http::problem::{Code, Problem};
use crate::http::range::{self, Asked};
use crate::http::server::counters::count;
use crate::http::text;

/// (process, version) is immutable, so its bytes never change; only those let in may keep them.
const FOREVER: &str = "private, immutable, max-age=31536000";
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// `/{federation}/releases/{member}/{slug}/{version}/files/{path}`
pub(super) async fn file(call: Call) -> Result<Response<Body>, Problem> {
    let process = call.process()?;
    let [] = call.query([])?;
    let path = call.parameter("path");
    if !text::is_file_path(path) {
        return Err(Problem::new(Code::InvalidPath, "No file of a release has such a path."));
    }
    let release = match exact(&call, process, &format!("/files/{}", text::encode_path(path))).await? {
        Exact::Release(release) => release,
        Exact::Elsewhere(redirect) => return Ok(redirect),
    };
    let file = call.app.library.open_file(&call.reader, &release, path).await?;
    let media_type = text::media_type(&file.media_type).to_owned();
    let mut response = deliver(&call, file, &media_type).await?;
    if response.status() != StatusCode::NOT_MODIFIED {
        insert(response.headers_mut(), header::CONTENT_DISPOSITION, &text::disposition(path));
    }
    Ok(response)
}

/// Sends a file under this media type, as conditions and range of the request want it.
pub(crate) async fn deliver(call: &Call, file: FileHandle, media_type: &str) -> Result<Response<Body>, Problem> {
    let tag = ETag::of(file.sha256);
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), &file, &tag);
    if call.condition(&tag)? == Verdict::NotModified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let headers = response.headers_mut();
    insert(headers, header::CONTENT_TYPE, media_type);
    let range = match asked(call, &tag, file.size) {
        Asked::Whole => 0..file.size,
        Asked::One(range) => {
            insert(headers, header::CONTENT_RANGE, &content_range(&range, file.size));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            range
        }
        Asked::Unsatisfiable => {
            let detail = format!("The file has {} bytes.", file.size);
            return Err(Problem { size: Some(file.size), ..Problem::new(Code::RangeNotSatisfiable, detail) });
        }
    };
    send(call, response, file, range).await
}

/// What 200, 206 and 304 all say of a file.
fn describe(headers: &mut HeaderMap, file: &FileHandle, tag: &ETag) {
    insert(headers, header::ETAG, tag.as_str());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // SPEC: RFC 9530 §3.1: the digest of the whole representation, on a part too.
    insert(headers, REPR_DIGEST, &format!("sha-256=:{}:", STANDARD.encode(file.sha256.as_bytes())));
}

/// SPEC: RFC 9110 §14.2: ranges are defined for GET only. A field that is given twice is not understood.
fn asked(call: &Call, tag: &ETag, size: u64) -> Asked {
    let mut values = call.headers.get_all(header::RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if call.method == Method::GET && etag::range_allowed(&call.headers, tag) => {
            range::parse(value.as_bytes(), size)
        }
        _ => Asked::Whole,
    }
}

/// SPEC: RFC 9110 §14.4. `range` is not empty.
fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

async fn send(
    call: &Call,
    mut response: Response<Body>,
    file: FileHandle,
    range: Range<u64>,
) -> Result<Response<Body>, Problem> {
    let length = range.end.saturating_sub(range.start);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if call.method == Method::HEAD || length == 0 {
        return Ok(response);
    }
    let counters = Arc::clone(call.app.counters());
    let stream = file.reader.read(range);
    match FileBody::open(stream, length, call.app.answer_timeout, counters).await {
        Ok(body) => {
            *response.body_mut() = Body::new(body);
            Ok(response)
        }
        Err(reason) => {
            count(&call.app.counters.files_failed);
            tracing::warn!(%reason, "file not sent");
            Err(Problem::new(Code::Damaged, "The stored copy failed its check and is being replaced."))
        }
    }
}
