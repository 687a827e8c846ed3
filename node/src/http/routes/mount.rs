//! A surface of the server: its routes, and what it wants otherwise than the others.
//!
//! A module brings its routes with one line in [`super::mounts`]. Its handlers take a [`super::Call`], whose reader was let in;
//! nothing here lets a surface skip the bounds of a request.
//!
//! ```text
//! pub(crate) fn mount() -> Mount {
//!     Mount::new("/v2", Router::new().route("/v2/", get(base)))
//!         .credentials(basic_or_bearer)   // where the token stands; by default `Authorization: Bearer`
//!         .refusals(errors)               // how a problem is told; by default RFC 9457
//!         .headers(&HEADERS)              // what every answer carries
//!         .open(|path| path == "/v2/x")   // paths for which nobody needs a token
//!         .accept(&[Method::GET, Method::HEAD, Method::POST], 4 << 10)
//! }
//! ```

use axum::Router;
use axum::body::Body;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, Method, Response};
use axum::response::IntoResponse as _;
use hyper_util::service::TowerToHyperService;

use crate::http::problem::{Code, Problem};

/// What answers carry if a surface does not say otherwise: nothing here is a page, a script, or to be guessed at.
pub(crate) static DATA_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::VARY, "Authorization"),
];
/// Largest request body that any surface may take, in bytes: the number of connections bounds how many there are.
pub(crate) const BODY_MAX_BYTES: usize = 64 << 10;

/// The token that a request presents, in clear; `None` if it presents none. An error if what it presents cannot be one.
pub(crate) type Credentials = fn(&HeaderMap) -> Result<Option<String>, Problem>;
/// How a problem is told. The path of the request is for those who tell it differently, depending on what was asked for.
pub(crate) type Refusals = fn(Problem, &str) -> Response<Body>;

/// A surface.
pub(crate) struct Mount {
    prefix: &'static str,
    router: Router,
    policy: Policy,
}

/// What a surface wants otherwise.
#[derive(Clone, Copy)]
pub(super) struct Policy {
    pub(super) methods: &'static [Method],
    pub(super) body_max: usize,
    pub(super) open: fn(&str) -> bool,
    pub(super) credentials: Credentials,
    pub(super) refusals: Refusals,
    pub(super) headers: &'static [(HeaderName, &'static str)],
}

const READING: &[Method] = &[Method::GET, Method::HEAD];

impl Policy {
    /// Of paths that no surface covers.
    pub(super) fn nowhere() -> Self {
        Self {
            methods: READING,
            body_max: 0,
            open: |_| false,
            credentials: bearer,
            refusals: |problem, _| problem.into_response(),
            headers: &DATA_HEADERS,
        }
    }
}

impl Mount {
    /// A surface below `prefix` (without a slash at its end; empty for everything else), read-only, with bearer tokens and RFC
    /// 9457 problems. The router names whole paths. Its fallback is "not found", and a method without a route is refused.
    pub(crate) fn new(prefix: &'static str, router: Router) -> Self {
        Self { prefix, router, policy: Policy::nowhere() }
    }

    /// Methods that get as far as the router, and the largest body in bytes (at most [`BODY_MAX_BYTES`]). GET and HEAD never
    /// have one.
    pub(crate) fn accept(mut self, methods: &'static [Method], body_max: usize) -> Self {
        self.policy.methods = methods;
        self.policy.body_max = if body_max < BODY_MAX_BYTES { body_max } else { BODY_MAX_BYTES };
        self
    }

    /// Paths that are answered to anybody: without a token the reader is anonymous there, also where anonymous reading is off.
    /// What they show must be the same for all.
    pub(crate) fn open(mut self, open: fn(&str) -> bool) -> Self {
        self.policy.open = open;
        self
    }

    /// Where the token stands.
    pub(crate) fn credentials(mut self, credentials: Credentials) -> Self {
        self.policy.credentials = credentials;
        self
    }

    /// How problems are told.
    pub(crate) fn refusals(mut self, refusals: Refusals) -> Self {
        self.policy.refusals = refusals;
        self
    }

    /// Headers of every answer, in place of [`DATA_HEADERS`].
    pub(crate) fn headers(mut self, headers: &'static [(HeaderName, &'static str)]) -> Self {
        self.policy.headers = headers;
        self
    }
}

/// A surface in service.
pub(super) struct Mounted {
    pub(super) prefix: &'static str,
    pub(super) policy: Policy,
    pub(super) router: TowerToHyperService<Router>,
}

impl From<Mount> for Mounted {
    fn from(mount: Mount) -> Self {
        let Mount { prefix, router, policy } = mount;
        // What is allowed instead is added by the router, which knows.
        let unfit = || async { Problem::new(Code::MethodNotAllowed, "This address has no such method.") };
        let router = router.fallback(|| async { Problem::not_found() }).method_not_allowed_fallback(unfit);
        Self { prefix, policy, router: TowerToHyperService::new(router) }
    }
}

impl Mounted {
    /// Whether a path lies below the prefix.
    pub(super) fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// SPEC: RFC 6750 §2.1: the token in `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = authorization(headers)? else { return Ok(None) };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim_matches(' ').to_owned())),
        _ => Err(Problem::token_invalid()),
    }
}

/// The one `Authorization` field of a request.
pub(crate) fn authorization(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Problem::token_invalid()),
        _ => Err(Problem::new(Code::BadRequest, "A request carries one Authorization field.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_segments() {
        let covers = |prefix, path| Mounted::from(Mount::new(prefix, Router::new())).covers(path);
        assert!(covers("/api", "/api/v1") && covers("/api", "/api") && covers("/v2", "/v2/"));
        assert!(!covers("/api", "/apis") && !covers("/v2", "/v22/x") && !covers("/api", "/"));
        assert!(covers("", "/") && covers("", "/x"));
        assert!(!covers("", "*"), "what is no path is nobody's");
    }
}
