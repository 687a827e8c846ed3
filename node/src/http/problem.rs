//! Errors as clients see them: RFC 9457 problem documents with a stable `code`.
//!
//! Owns the list of codes, their status and their wording. A code is part of the API: never renamed, never given another
//! meaning. A detail names what the client can change; it never carries a token, a path of this machine or an inner error.

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use axum::response::IntoResponse;

/// What went wrong. The text form ([`Code::as_str`]) is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Nothing here, or nothing that this reader may see.
    NotFound,
    /// The request breaks HTTP itself.
    BadRequest,
    /// The path of a file cannot be one.
    InvalidPath,
    /// A query parameter is unknown, doubled, malformed or out of bounds.
    InvalidParameter,
    /// The cursor is not one that this list gave out.
    InvalidCursor,
    /// What followed the cursor is not kept any more.
    CursorGone,
    /// No bearer token, and anonymous reading is off.
    TokenMissing,
    /// The bearer token is malformed or unknown.
    TokenInvalid,
    /// The bearer token was valid once.
    TokenExpired,
    /// The bearer token was withdrawn by the operator.
    TokenRevoked,
    /// The token is good, but not for this.
    ScopeDenied,
    /// The resource has no such method.
    MethodNotAllowed,
    /// Requests carry no body here.
    BodyRefused,
    /// The body has more bytes than are taken here.
    BodyTooLarge,
    /// The body is not what is taken here.
    InvalidBody,
    /// The request target is longer than any that means something.
    UriTooLong,
    /// `If-Match` named other bytes.
    PreconditionFailed,
    /// The file has none of the bytes asked for.
    RangeNotSatisfiable,
    /// Known, but not yet complete and verified on this node.
    NotAvailable,
    /// Erased at its publisher's request.
    Erased,
    /// The stored copy failed its check; it is not sent.
    Damaged,
    /// Too much at once; try again.
    Busy,
    /// This node did not answer in time.
    TimedOut,
    /// A fault of this node.
    Internal,
}

/// All of them, for the document that lists them.
pub const ALL: [Code; 24] = [
    Code::NotFound,
    Code::BadRequest,
    Code::InvalidPath,
    Code::InvalidParameter,
    Code::InvalidCursor,
    Code::CursorGone,
    Code::TokenMissing,
    Code::TokenInvalid,
    Code::TokenExpired,
    Code::TokenRevoked,
    Code::ScopeDenied,
    Code::MethodNotAllowed,
    Code::BodyRefused,
    Code::BodyTooLarge,
    Code::InvalidBody,
    Code::UriTooLong,
    Code::PreconditionFailed,
    Code::RangeNotSatisfiable,
    Code::NotAvailable,
    Code::Erased,
    Code::Damaged,
    Code::Busy,
    Code::TimedOut,
    Code::Internal,
];

impl Code {
    /// The stable text form.
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad_request", "Bad request"),
            Self::InvalidPath => (StatusCode::BAD_REQUEST, "invalid_path", "Invalid file path"),
            Self::InvalidParameter => (StatusCode::BAD_REQUEST, "invalid_parameter", "Invalid query parameter"),
            Self::InvalidCursor => (StatusCode::BAD_REQUEST, "invalid_cursor", "Invalid cursor"),
            Self::CursorGone => (StatusCode::GONE, "cursor_gone", "Cursor too old"),
            Self::TokenMissing => (StatusCode::UNAUTHORIZED, "token_missing", "Token required"),
            Self::TokenInvalid => (StatusCode::UNAUTHORIZED, "token_invalid", "Token not accepted"),
            Self::TokenExpired => (StatusCode::UNAUTHORIZED, "token_expired", "Token expired"),
            Self::TokenRevoked => (StatusCode::UNAUTHORIZED, "token_revoked", "Token revoked"),
            Self::ScopeDenied => (StatusCode::FORBIDDEN, "scope_denied", "Outside the token's scope"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
            Self::BodyRefused => (StatusCode::BAD_REQUEST, "body_refused", "Request body refused"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Request body too large"),
            Self::InvalidBody => (StatusCode::BAD_REQUEST, "invalid_body", "Invalid request body"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri_too_long", "Request target too long"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition_failed", "Precondition failed"),
            Self::RangeNotSatisfiable => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "Range not satisfiable")
            }
            Self::NotAvailable => (StatusCode::SERVICE_UNAVAILABLE, "not_available", "Not available on this node yet"),
            Self::Erased => (StatusCode::GONE, "erased", "Erased"),
            Self::Damaged => (StatusCode::SERVICE_UNAVAILABLE, "damaged", "Stored copy damaged"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy"),
            Self::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, "timed_out", "Timed out"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }

    /// Seconds after which trying again makes sense.
    const fn retry_after_s(self) -> Option<&'static str> {
        match self {
            Self::NotAvailable | Self::Damaged => Some("30"),
            Self::Busy | Self::TimedOut => Some("5"),
            _ => None,
        }
    }

    /// SPEC: RFC 6750 §3: a request without any token gets no error code, others say what is wrong.
    const fn challenge(self) -> Option<&'static str> {
        match self {
            Self::TokenMissing => Some("Bearer realm=\"verbund\""),
            Self::TokenInvalid => Some("Bearer realm=\"verbund\", error=\"invalid_token\""),
            Self::TokenExpired => {
                Some("Bearer realm=\"verbund\", error=\"invalid_token\", error_description=\"expired\"")
            }
            Self::TokenRevoked => {
                Some("Bearer realm=\"verbund\", error=\"invalid_token\", error_description=\"revoked\"")
            }
            Self::ScopeDenied => Some("Bearer realm=\"verbund\", error=\"insufficient_scope\""),
            _ => None,
        }
    }
}

/// One error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong.
    pub code: Code,
    /// One sentence for the person who reads the client's log.
    pub detail: String,
    /// For [`Code::RangeNotSatisfiable`]: the size of the file in bytes.
    pub size: Option<u64>,
    /// For [`Code::MethodNotAllowed`]: what is allowed, as in the `Allow` header.
    pub allow: Option<String>,
}

impl Problem {
    /// A problem with its sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), size: None, allow: None }
    }

    /// The resource knows only these methods.
    pub fn method_not_allowed(methods: &[Method]) -> Self {
        let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let detail = format!("There are only: {allow}.");
        Self { allow: Some(allow), ..Self::new(Code::MethodNotAllowed, detail) }
    }

    /// What was presented is no token of this node.
    pub fn token_invalid() -> Self {
        Self::new(Code::TokenInvalid, "The token is not one of this node.")
    }

    /// Nothing here, or hidden: both look the same.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing at this address, or nothing that this reader may see.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let (status, code, title) = self.code.row();
        let body = serde_json::json!({
            "type": format!("urn:verbund:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "code": code,
            "detail": self.detail,
        })
        .to_string();
        let length = body.len();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.code.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if let Some(challenge) = self.code.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if let Some(size) = self.size
            && let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}"))
        {
            headers.insert(header::CONTENT_RANGE, value);
        }
        // For surfaces that tell problems in another form.
        response.extensions_mut().insert(self);
        response
    }
}
