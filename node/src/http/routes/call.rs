//! One request as routes see it, and the answers they share.
//!
//! Owns the reading of path and query, and JSON answers with their validators.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use semver::Version;
use serde::Serialize;
use verbund_protocol::ids::{Handle, Sha256, Slug};

use super::App;
use super::dispatch::ReadBody;
use crate::http::body::HeldBody;
use crate::http::cursor;
use crate::http::etag::{self, ETag, Verdict};
use crate::http::library::{Library, LibraryError, Page, PageRequest, ProcessRef};
use crate::http::problem::{Code, Problem};
use crate::http::server::counters::count;
use crate::http::text;
use crate::http::tokens::Reader;

/// Items of a page if nothing is said.
const LIMIT_DEFAULT: usize = 50;
/// Most items of a page.
const LIMIT_MAX: usize = 200;
/// A search text, in characters.
const QUERY_MAX_CHARS: usize = 200;
/// Answers up to this size, in bytes, are not accounted for: the number of connections bounds them.
const SMALL_ANSWER_BYTES: usize = 64 << 10;

/// A request that was let in.
pub(crate) struct Call {
    pub(super) app: Arc<App>,
    pub(crate) reader: Reader,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// Read in full; empty if there was none.
    pub(crate) body: Bytes,
    parameters: Vec<(String, String)>,
    query: Option<String>,
    target: String,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let app = parts.extensions.get::<Arc<App>>().cloned();
        let reader = parts.extensions.get::<Reader>().cloned();
        let (Some(app), Some(reader)) = (app, reader) else {
            tracing::error!("a request reached its route without having been let in");
            return Err(Problem::new(Code::Internal, "The request could not be judged."));
        };
        // axum has decoded each parameter once; what was no UTF-8 has no match in any manifest.
        let parameters = match RawPathParams::from_request_parts(parts, &()).await {
            Ok(raw) => raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            Err(_) if parts.uri.path().contains('%') => {
                return Err(Problem::new(Code::InvalidPath, "The path is not UTF-8 once decoded."));
            }
            Err(_) => Vec::new(),
        };
        Ok(Self {
            app,
            reader,
            method: parts.method.clone(),
            headers: std::mem::take(&mut parts.headers),
            body: parts.extensions.remove::<ReadBody>().unwrap_or_default().0,
            parameters,
            query: parts.uri.query().map(str::to_owned),
            target: parts.uri.path_and_query().map(|target| target.as_str().to_owned()).unwrap_or_default(),
        })
    }
}

impl Call {
    /// The library.
    pub(crate) fn library(&self) -> &dyn Library {
        &*self.app.library
    }

    /// The library, for what outlives the request.
    pub(crate) fn shared_library(&self) -> Arc<dyn Library> {
        Arc::clone(&self.app.library)
    }

    /// Path and query, as they came.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Who bears a token, for surfaces on which one logs in.
    pub(crate) async fn verify(&self, token: &str) -> Result<Reader, Problem> {
        self.app.verify(token).await
    }

    /// A part of the path, decoded.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The federation of the path, if the reader may read there. Whether it exists is not looked at before, so that a token
    /// for one federation tells nothing about others.
    pub(crate) fn federation(&self) -> Result<Slug, Problem> {
        let slug: Result<Slug, _> = self.parameter("federation").parse();
        let allowed = match (&slug, &self.reader) {
            (Ok(slug), reader) => reader.may_read(slug),
            (Err(_), Reader::Anonymous) => true,
            (Err(_), Reader::Token(grant)) => grant.federations.is_none(),
        };
        if !allowed {
            count(&self.app.counters.denied);
            return Err(Problem::new(Code::ScopeDenied, "The token does not cover this federation."));
        }
        slug.map_err(|_| Problem::not_found())
    }

    /// The process of the path, likewise.
    pub(crate) fn process(&self) -> Result<ProcessRef, Problem> {
        let federation = self.federation()?;
        let member: Handle = self.parameter("member").parse().map_err(|_| Problem::not_found())?;
        let slug: Slug = self.parameter("slug").parse().map_err(|_| Problem::not_found())?;
        Ok(ProcessRef { federation, member, slug })
    }

    /// The version of the path: `None` is `latest`.
    pub(crate) fn version(&self) -> Result<Option<Version>, Problem> {
        let text = self.parameter("version");
        if text == "latest" {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| Problem::not_found())
    }

    /// The values of the query's parameters, in the order of `known`. Unknown and repeated ones are refused: a filter that is
    /// silently dropped gives a wrong answer.
    pub(crate) fn query<const N: usize>(&self, known: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let invalid = |detail: String| Problem::new(Code::InvalidParameter, detail);
        let pairs = text::query_pairs(self.query.as_deref().unwrap_or_default())
            .ok_or_else(|| invalid("The query is not well-formed UTF-8 in percent-encoding.".to_owned()))?;
        let mut values = [const { None }; N];
        for (name, value) in pairs {
            let slot = known.iter().position(|k| *k == name).and_then(|at| values.get_mut(at));
            match slot {
                None if N == 0 => return Err(invalid("This address takes no parameters.".to_owned())),
                None => return Err(invalid(format!("Unknown parameter; there are: {}.", known.join(", ")))),
                Some(Some(_)) => return Err(invalid("A parameter is given twice.".to_owned())),
                Some(slot) => *slot = Some(value),
            }
        }
        Ok(values)
    }

    /// Answers with JSON that may change at any time: clients keep it, but ask again each time.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<Response<Body>, Problem> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            tracing::error!(%error, "an answer could not be written");
            Problem::new(Code::Internal, "The answer could not be written.")
        })?;
        self.json_bytes(bytes.into())
    }

    /// Answers with bytes that are JSON already.
    pub(crate) fn json_bytes(&self, bytes: Bytes) -> Result<Response<Body>, Problem> {
        self.bytes(bytes, "application/json", "private, no-cache")
    }

    /// Answers with bytes of a media type, and says how long clients may keep them.
    pub(crate) fn bytes(
        &self,
        bytes: Bytes,
        media_type: &'static str,
        caching: &'static str,
    ) -> Result<Response<Body>, Problem> {
        let tag = ETag::of(Sha256::of(&bytes));
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        insert(headers, header::ETAG, tag.as_str());
        if self.condition(&tag)? == Verdict::NotModified {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        self.hold(&mut response, bytes)?;
        Ok(response)
    }

    /// Makes bytes the body of an answer, with their share of the memory; nothing to HEAD.
    pub(crate) fn hold(&self, response: &mut Response<Body>, bytes: Bytes) -> Result<(), Problem> {
        if self.method != Method::HEAD && !bytes.is_empty() {
            let share = self.share(bytes.len())?;
            *response.body_mut() = Body::new(HeldBody { bytes, _share: share });
        }
        Ok(())
    }

    /// Judges the request's conditions; a failed precondition is an error.
    pub(crate) fn condition(&self, tag: &ETag) -> Result<Verdict, Problem> {
        // SPEC: RFC 9110 §13.2.1: conditions are of what is read; what is asked with a body has no tag to compare.
        if !matches!(self.method, Method::GET | Method::HEAD) {
            return Ok(Verdict::Proceed);
        }
        match etag::judge(&self.headers, tag) {
            Verdict::PreconditionFailed => {
                Err(Problem::new(Code::PreconditionFailed, "If-Match names other bytes than these."))
            }
            verdict => Ok(verdict),
        }
    }

    /// The right to put an answer together, held until its body is ready: sending is bounded by memory, not by number.
    pub(crate) async fn making(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        self.app.making.acquire().await.map_err(|_| Problem::new(Code::Busy, "The server is stopping."))
    }

    /// A share of the memory for large answers. Nobody waits for one: who waits holds an answer in memory already.
    fn share(&self, bytes: usize) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, Problem> {
        if bytes <= SMALL_ANSWER_BYTES {
            return Ok(None);
        }
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).min(self.app.memory_kib);
        match Arc::clone(&self.app.memory).try_acquire_many_owned(kib) {
            Ok(share) => Ok(Some(share)),
            Err(_) => Err(Problem::new(Code::Busy, "Too many large answers are being sent.")),
        }
    }

    /// The `limit` and `cursor` of a list.
    pub(crate) fn page(limit: Option<String>, cursor: Option<String>, list: &[&str]) -> Result<PageRequest, Problem> {
        let limit = match limit {
            None => LIMIT_DEFAULT,
            Some(text) => text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
                Problem::new(Code::InvalidParameter, format!("limit is a number from 1 to {LIMIT_MAX}."))
            })?,
        };
        let bad = || Problem::new(Code::InvalidCursor, "The cursor is not one of this list; start again without.");
        let after = cursor.map(|text| cursor::decode(list, &text).ok_or_else(bad)).transpose()?;
        Ok(PageRequest { after, limit })
    }

    /// The `q` of a search: trimmed, `None` if empty.
    pub(crate) fn search_text(q: Option<String>) -> Result<Option<String>, Problem> {
        let Some(q) = q.map(|q| q.trim().to_owned()).filter(|q| !q.is_empty()) else { return Ok(None) };
        if q.chars().count() > QUERY_MAX_CHARS || q.chars().any(char::is_control) {
            let detail = format!("q has at most {QUERY_MAX_CHARS} printable characters.");
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        Ok(Some(q))
    }
}

/// The cursor of the next page.
pub(crate) fn next_cursor<T>(page: &Page<T>, list: &[&str]) -> Result<Option<String>, Problem> {
    let Some(position) = &page.next else { return Ok(None) };
    cursor::encode(list, position).map(Some).ok_or_else(|| {
        tracing::error!(bytes = position.len(), "the library's position is too long for a cursor");
        Problem::new(Code::Internal, "The next page cannot be named.")
    })
}

impl From<LibraryError> for Problem {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::NotFound => Self::not_found(),
            LibraryError::BadPosition => {
                Self::new(Code::InvalidCursor, "The cursor is not one of this list; start again without.")
            }
            LibraryError::PositionGone => {
                Self::new(Code::CursorGone, "What followed the cursor is not kept any more; start again without.")
            }
            LibraryError::NotAvailable(reason) => Self::new(Code::NotAvailable, reason),
            LibraryError::Erased(reason) => Self::new(Code::Erased, reason),
            LibraryError::Damaged(reason) => {
                tracing::warn!(reason, "damaged file not sent");
                Self::new(Code::Damaged, "The stored copy failed its check and is being replaced.")
            }
            LibraryError::Internal(reason) => {
                tracing::error!(reason, "the library failed");
                Self::new(Code::Internal, "This node failed; its log says why.")
            }
        }
    }
}

impl From<Infallible> for Problem {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Sets a header to text that is known to be printable ASCII; what is not is left out rather than sent broken.
pub(crate) fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => tracing::error!(%name, "a header value is not printable"),
    }
}
