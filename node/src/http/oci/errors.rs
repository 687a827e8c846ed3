//! Credentials and errors as registry clients know them.
//!
//! Owns the translation; what went wrong is decided elsewhere.

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::problem::{Code, Problem};
use crate::http::routes::mount::{authorization, bearer};

/// The token, as `Authorization: Bearer`, or as the password of `Basic`: what `skopeo login` and `oras login` send. The user name
/// says nothing and is not looked at.
///
/// SPEC: RFC 7617 §2.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = authorization(headers)? else { return Ok(None) };
    let Some((_, encoded)) = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")) else {
        return bearer(headers);
    };
    let decoded = STANDARD.decode(encoded.trim_matches(' ')).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let token = decoded.as_deref().and_then(|text| text.split_once(':')).map(|(_, password)| password.to_owned());
    token.map(Some).ok_or_else(Problem::token_invalid)
}

/// SPEC: OCI Distribution Specification 1.1, "Error Codes".
pub(super) fn refusal(problem: Problem, path: &str) -> Response<Body> {
    let code = match problem.code {
        Code::NotFound | Code::Erased => match path.split('/').nth(5) {
            Some("manifests") => "MANIFEST_UNKNOWN",
            Some("blobs") => "BLOB_UNKNOWN",
            _ => "NAME_UNKNOWN",
        },
        Code::TokenMissing | Code::TokenInvalid | Code::TokenExpired | Code::TokenRevoked => "UNAUTHORIZED",
        Code::ScopeDenied => "DENIED",
        Code::MethodNotAllowed | Code::BodyRefused => "UNSUPPORTED",
        Code::InvalidCursor | Code::InvalidParameter => "PAGINATION_NUMBER_INVALID",
        Code::Busy | Code::NotAvailable | Code::TimedOut | Code::Damaged => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    };
    let body = serde_json::json!({
        "errors": [{ "code": code, "message": problem.detail, "detail": { "code": problem.code.as_str() } }],
    })
    .to_string();
    let length = body.len();
    // Status, Allow, Retry-After and the like are those of the problem.
    let mut response = problem.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if response.status() == StatusCode::UNAUTHORIZED {
        // Registry clients take a Bearer challenge for the address of a token service, and there is none.
        let basic = HeaderValue::from_static("Basic realm=\"verbund\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    *response.body_mut() = Body::from(body);
    response
}
