//! From a request to its answer.
//!
//! Owns the checks that come before any route (method, body, token), the router, and what every answer carries. Routes below
//! `/api/v1` get a [`call::Call`] whose reader was let in.

mod call;
mod catalogue;
mod files;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, Request, Response, Version};
use axum::response::IntoResponse as _;
use axum::routing::get;
use hyper::body::{Body as _, Incoming};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

use super::body::{Access, LoggedBody};
use super::library::Library;
use super::problem::{Code, Problem};
use super::server::counters::{Counters, count};
use super::server::{Clock, HttpConfig};
use super::tokens::{Denied, Reader, Tokens, redact};

/// Longest request target, in bytes: the longest path fully escaped, and a cursor.
const TARGET_MAX_BYTES: usize = 4_096;
/// Of a path in the access log, in characters.
const LOGGED_PATH_CHARS: usize = 256;
/// JSON answers that are put together at a time: each may take some MiB while being made.
const ANSWERS_AT_ONCE: usize = 16;

/// Everything that routes need.
pub(super) struct App {
    library: Arc<dyn Library>,
    tokens: Arc<Tokens>,
    clock: Clock,
    counters: Arc<Counters>,
    anonymous_read: bool,
    answer_timeout: Duration,
    /// Memory for large answers, in KiB.
    memory: Arc<Semaphore>,
    memory_kib: u32,
    /// JSON answers being put together.
    making: Semaphore,
    router: TowerToHyperService<Router>,
}

impl App {
    pub(super) fn new(
        library: Arc<dyn Library>,
        tokens: Arc<Tokens>,
        clock: Clock,
        counters: Arc<Counters>,
        config: &HttpConfig,
    ) -> Self {
        let memory_kib = config.limits.answers_kib;
        Self {
            library,
            tokens,
            clock,
            counters,
            anonymous_read: config.anonymous_read,
            answer_timeout: config.limits.answer_timeout,
            memory: Arc::new(Semaphore::new(usize::try_from(memory_kib).unwrap_or(Semaphore::MAX_PERMITS))),
            memory_kib,
            making: Semaphore::new(ANSWERS_AT_ONCE),
            router: TowerToHyperService::new(router()),
        }
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

/// The routes. `Arc<App>` and the [`Reader`] travel in the request's extensions.
fn router() -> Router {
    let process = "/api/v1/{federation}/processes/{member}/{slug}";
    let release = "/api/v1/{federation}/releases/{member}/{slug}/{version}";
    Router::new()
        .route("/api/v1/federations", get(catalogue::federations))
        .route("/api/v1/{federation}/processes", get(catalogue::processes))
        .route(process, get(catalogue::process))
        .route(&format!("{process}/versions"), get(catalogue::versions))
        .route(release, get(catalogue::release))
        .route(&format!("{release}/provenance"), get(catalogue::provenance))
        .route(&format!("{release}/files/{{*path}}"), get(files::file))
        .fallback(|| async { Problem::not_found() })
}

/// Answers one request.
pub(super) async fn answer(app: Arc<App>, peer: SocketAddr, request: Request<Incoming>) -> Response<LoggedBody> {
    count(&app.counters.requests);
    let head = request.method() == Method::HEAD;
    let mut access = Access {
        peer,
        method: request.method().as_str().chars().take(16).collect(),
        path: redact(request.uri().path()).chars().take(LOGGED_PATH_CHARS).collect(),
        reader: "-".to_owned(),
        status: 0,
        started: Instant::now(),
    };
    let has_body = !request.body().is_end_stream();
    let dispatched = dispatch(&app, request, has_body, &mut access.reader);
    let mut response = match tokio::time::timeout(app.answer_timeout, dispatched).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::new(Code::TimedOut, "This node did not find the answer in time.").into_response(),
    };
    finish(response.headers_mut(), has_body);
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

/// Checks what every request must satisfy, then lets the router answer.
async fn dispatch(
    app: &Arc<App>,
    mut request: Request<Incoming>,
    has_body: bool,
    who: &mut String,
) -> Result<Response<Body>, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::new(Code::MethodNotAllowed, "Everything here is read-only: GET and HEAD."));
    }
    if has_body {
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
    let path = target.path();
    if !path.starts_with("/api/") {
        return Err(Problem::not_found());
    }
    let reader = reader(app, request.headers()).await.inspect_err(|problem| {
        if problem.code.status().is_client_error() {
            count(&app.counters.denied);
        }
    })?;
    *who = match &reader {
        Reader::Anonymous => "anonymous".to_owned(),
        Reader::Token(grant) => grant.id.to_string(),
    };
    // From here on nobody needs it, so nobody can leak it.
    request.headers_mut().remove(header::AUTHORIZATION);
    request.extensions_mut().insert(reader);
    request.extensions_mut().insert(Arc::clone(app));
    match app.router.call(request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// Who asks, by the `Authorization` header (RFC 6750 §2.1). A bad token is refused even where none is needed.
async fn reader(app: &App, headers: &HeaderMap) -> Result<Reader, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) if app.anonymous_read => return Ok(Reader::Anonymous),
        (None, _) => {
            return Err(Problem::new(Code::TokenMissing, "Send a token: Authorization: Bearer vbt_…"));
        }
        (Some(value), None) => value,
        _ => return Err(Problem::new(Code::BadRequest, "A request carries one Authorization field.")),
    };
    let invalid = || Problem::new(Code::TokenInvalid, "The token is not one of this node.");
    let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(invalid());
    }
    match app.tokens.verify(token.trim_matches(' '), (app.clock)()).await {
        Ok(Ok(grant)) => Ok(Reader::Token(grant)),
        Ok(Err(Denied::Invalid)) => Err(invalid()),
        Ok(Err(Denied::Expired)) => Err(Problem::new(Code::TokenExpired, "The token has expired.")),
        Ok(Err(Denied::Revoked)) => Err(Problem::new(Code::TokenRevoked, "The token was revoked.")),
        Err(error) => {
            tracing::error!(%error, "token not judged");
            Err(Problem::new(Code::Internal, "The token could not be checked; the node's log says why."))
        }
    }
}

/// What every answer carries: nothing here is a page, a script, or to be guessed at.
fn finish(headers: &mut HeaderMap, has_body: bool) {
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::VARY, "Authorization"),
    ];
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if has_body {
        // The body is not read: what follows on this connection would be taken for a request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
