//! What every request must satisfy before a route sees it, and what every answer carries.
//!
//! Owns the order of the checks: surface, method, host, length, reader, body. Nobody's body is read before the reader was let in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, Request, Response, Version};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service as _;

use super::App;
use super::mount::Policy;
use crate::http::body::{Access, LoggedBody};
use crate::http::problem::{Code, Problem};
use crate::http::server::counters::count;
use crate::http::tokens::{Denied, Reader, redact};

/// Longest request target, in bytes: the longest path fully escaped, and a cursor.
const TARGET_MAX_BYTES: usize = 4_096;
/// Of a path in the access log, in characters.
const LOGGED_PATH_CHARS: usize = 256;

/// The body of a request, read in full; travels in its extensions.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadBody(pub(super) Bytes);

/// Answers one request.
pub(in crate::http) async fn answer(
    app: Arc<App>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<LoggedBody> {
    count(&app.counters.requests);
    let head = request.method() == Method::HEAD;
    let path = request.uri().path().to_owned();
    let mut access = Access {
        peer,
        method: request.method().as_str().chars().take(16).collect(),
        path: redact(&path).chars().take(LOGGED_PATH_CHARS).collect(),
        reader: "-".to_owned(),
        status: 0,
        started: Instant::now(),
    };
    let policy = app.mounted(&path).map_or_else(Policy::nowhere, |mounted| mounted.policy);
    let mut unread = !request.body().is_end_stream();
    let dispatched = dispatch(&app, request, &policy, &mut unread, &mut access.reader);
    let mut response = match tokio::time::timeout(app.answer_timeout, dispatched).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => (policy.refusals)(problem, &path),
        Err(_) => (policy.refusals)(Problem::new(Code::TimedOut, "This node did not find the answer in time."), &path),
    };
    finish(response.headers_mut(), policy.headers, unread);
    if head {
        *response.body_mut() = Body::empty();
    }
    access.status = response.status().as_u16();
    count(match access.status {
        200..=299 => &app.counters.answers_2xx,
        300..=399 => &app.counters.answers_3xx,
        400..=499 => &app.counters.answers_4xx,
        _ => &app.counters.answers_5xx,
    });
    let counters = Arc::clone(&app.counters);
    response.map(|body| LoggedBody::new(body, access, counters))
}

/// Checks what every request must satisfy, then lets the router answer. `unread` says whether a body is still on its way.
async fn dispatch(
    app: &Arc<App>,
    request: Request<Incoming>,
    policy: &Policy,
    unread: &mut bool,
    who: &mut String,
) -> Result<Response<Body>, Problem> {
    if !policy.methods.contains(request.method()) {
        return Err(Problem::method_not_allowed(policy.methods));
    }
    let takes_body = policy.body_max > 0 && !matches!(*request.method(), Method::GET | Method::HEAD);
    if *unread && !takes_body {
        return Err(Problem::new(Code::BodyRefused, "Requests here carry no body."));
    }
    // SPEC: RFC 9112 §3.2: exactly one Host field.
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Problem::new(Code::BadRequest, "A request names its host once."));
    }
    let target = request.uri();
    if target.path().len() + target.query().map_or(0, str::len) > TARGET_MAX_BYTES {
        return Err(Problem::new(Code::UriTooLong, format!("A request target has at most {TARGET_MAX_BYTES} bytes.")));
    }
    let mounted = app.mounted(target.path()).ok_or_else(Problem::not_found)?;
    let reader = reader(app, policy, request.headers(), target.path()).await.inspect_err(|problem| {
        if problem.code.status().is_client_error() {
            count(&app.counters.denied);
        }
    })?;
    *who = match &reader {
        Reader::Anonymous => "anonymous".to_owned(),
        Reader::Token(grant) => grant.id.to_string(),
    };
    let (mut parts, body) = request.into_parts();
    let body = if *unread { read(body, policy.body_max).await? } else { Bytes::new() };
    *unread = false;
    // From here on nobody needs it, so nobody can leak it.
    parts.headers.remove(header::AUTHORIZATION);
    parts.extensions.insert(reader);
    parts.extensions.insert(Arc::clone(app));
    parts.extensions.insert(ReadBody(body));
    let mut response = match mounted.router.call(Request::from_parts(parts, Body::empty())).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    // What a route refused is told as this surface tells it.
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return Ok(response) };
    let allow = response.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok());
    problem.allow = problem.allow.or_else(|| allow.map(str::to_owned));
    Err(problem)
}

/// The body of a request, in full. What is announced as too large is refused before it comes.
async fn read(body: Incoming, max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("A request body here has at most {max} bytes."));
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    match Limited::new(body, max).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Code::BadRequest, "The request body broke off.")),
    }
}

/// Who asks. A bad token is refused even where none is needed.
async fn reader(app: &App, policy: &Policy, headers: &HeaderMap, path: &str) -> Result<Reader, Problem> {
    match (policy.credentials)(headers)? {
        Some(token) => app.verify(&token).await,
        None if app.anonymous_read || (policy.open)(path) => Ok(Reader::Anonymous),
        None => Err(Problem::new(Code::TokenMissing, "Send a token: Authorization: Bearer vbt_…")),
    }
}

impl App {
    /// Whether a reader that was let in still would be.
    pub(super) async fn stands(&self, reader: &Reader) -> bool {
        match reader {
            Reader::Anonymous => self.anonymous_read,
            Reader::Token(grant) => matches!(self.tokens.stands(grant.id, (self.clock)()).await, Ok(Ok(()))),
        }
    }

    /// Who bears a token.
    pub(super) async fn verify(&self, token: &str) -> Result<Reader, Problem> {
        match self.tokens.verify(token, (self.clock)()).await {
            Ok(Ok(grant)) => Ok(Reader::Token(grant)),
            Ok(Err(Denied::Invalid)) => Err(Problem::token_invalid()),
            Ok(Err(Denied::Expired)) => Err(Problem::new(Code::TokenExpired, "The token has expired.")),
            Ok(Err(Denied::Revoked)) => Err(Problem::new(Code::TokenRevoked, "The token was revoked.")),
            Err(error) => {
                tracing::error!(%error, "token not judged");
                Err(Problem::new(Code::Internal, "The token could not be checked; the node's log says why."))
            }
        }
    }
}

/// What every answer carries.
fn finish(headers: &mut HeaderMap, always: &[(HeaderName, &'static str)], unread: bool) {
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if unread {
        // The body is not read: what follows on this connection would be taken for a request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
