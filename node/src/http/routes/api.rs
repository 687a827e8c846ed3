//! The surface `/api/v1`.

use axum::Router;
use axum::http::Method;
use axum::routing::get;

use super::mount::Mount;
use super::{catalogue, files};

/// What gets as far as the routes.
const METHODS: &[Method] = &[Method::GET, Method::HEAD];

/// The API.
pub(super) fn mount() -> Mount {
    Mount::new("/api", router()).accept(METHODS, 0)
}

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
}
