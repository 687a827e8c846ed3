//! OCI distribution, read-only: stock registry clients list, inspect and copy processes.
//!
//! Owns the surface `/v2`: names (`{federation}/{member}/{slug}`), tags (versions), manifests, blobs and referrers, in the words and
//! errors of the specification. What exists for whom is the [`Library`](crate::http::Library)'s to say; each answer goes through it
//! with the reader of its request, also where the bytes are remembered here. It must never make a manifest of anything that could
//! differ between two nodes.
//!
//! SPEC: OCI Distribution Specification 1.1, OCI Image Specification 1.1.

mod archive;
mod blobs;
mod errors;
mod manifest;
mod packages;
mod referrers;
mod tags;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, Response};
use axum::routing::get;
use bytes::Bytes;
use verbund_protocol::ids::Sha256;

use super::etag::{ETag, Verdict};
use super::problem::{Code, Problem};
use super::routes::mount::Mount;
use super::routes::{Call, insert};
use packages::Packages;
use tags::Reference;

/// What routes answer.
type Answer = Result<Response<Body>, Problem>;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Old clients ask for it before they speak.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// A tag may come to mean another release; a digest never.
const REVALIDATE: &str = "private, no-cache";
const FOREVER: &str = "private, immutable, max-age=31536000";

/// The surface.
pub(super) fn mount() -> Mount {
    Mount::new("/v2", router(Arc::new(Packages::default()))).credentials(errors::credentials).refusals(errors::refusal)
}

fn router(packages: Arc<Packages>) -> Router {
    let name = "/v2/{federation}/{member}/{slug}";
    Router::new()
        .route("/v2", get(base))
        .route("/v2/", get(base))
        .route(&format!("{name}/tags/list"), get(tags::list))
        .route(&format!("{name}/manifests/{{reference}}"), get(manifest))
        .route(&format!("{name}/blobs/{{digest}}"), get(blobs::blob))
        .route(&format!("{name}/referrers/{{digest}}"), get(referrers::referrers))
        .with_state(packages)
}

/// `/v2/`: this is a registry, and the reader may use it.
async fn base(call: Call) -> Answer {
    let [] = call.query([])?;
    let mut response = call.json_bytes(Bytes::from_static(b"{}"))?;
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    Ok(response)
}

/// `/v2/{name}/manifests/{reference}`
async fn manifest(State(packages): State<Arc<Packages>>, call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let unknown = || Problem::new(Code::NotFound, "There is no such manifest, or none that this reader may see.");
    let reference = Reference::parse(call.parameter("reference")).ok_or_else(unknown)?;
    let _making = call.making().await?;
    let (package, caching) = match reference {
        Reference::Digest(digest) => match packages.by_manifest(&call, &process, digest).await? {
            Some(package) => (package, FOREVER),
            None => {
                let referrer = packages.referrer(&call, &process, digest).await?.ok_or_else(unknown)?;
                return send(&call, referrer.bytes, digest, referrer.media_type, FOREVER);
            }
        },
        Reference::Latest => {
            let latest = call.library().process(&call.reader, &process).await?.latest.ok_or_else(unknown)?;
            (packages.of(&call, &process, &latest).await?, REVALIDATE)
        }
        Reference::Version(version) => (packages.of(&call, &process, &version).await?, REVALIDATE),
    };
    send(&call, package.bytes.clone(), package.digest, manifest::MANIFEST_TYPE, caching)
}

/// Sends bytes that are named by their hash.
fn send(call: &Call, bytes: Bytes, digest: Sha256, media_type: &str, caching: &'static str) -> Answer {
    let mut response = Response::new(Body::empty());
    let tag = ETag::of(digest);
    let not_modified = call.condition(&tag)? == Verdict::NotModified;
    let headers = response.headers_mut();
    insert(headers, header::ETAG, tag.as_str());
    insert(headers, CONTENT_DIGEST, &digest.to_string());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if not_modified {
        *response.status_mut() = axum::http::StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    insert(headers, header::CONTENT_TYPE, media_type);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if call.method != Method::HEAD {
        call.hold(&mut response, bytes)?;
    }
    Ok(response)
}
