//! The Prozessbibliothek as pages: for people who look for a process, and for those who decide whether to use it.
//!
//! Owns the HTML, its two languages, and logging in with a token. Pages need no JavaScript and load nothing from elsewhere; the
//! content policy says so. What exists for whom is the [`Library`](crate::http::Library)'s to say. Every text of a member is escaped;
//! the only markup that is put into a page as it comes is the picture that [`verbund_library::diagram`] makes, which escapes too.

mod federation;
mod home;
mod language;
mod layout;
mod login;
mod news;
mod process;
mod refusal;
mod search;

use axum::Router;
use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use maud::Markup;

use crate::http::problem::Problem;
use crate::http::routes::mount::Mount;
use crate::http::routes::{Call, files, insert};
use crate::http::text;

/// What a page answers.
type Answer = Result<Response<Body>, Problem>;

/// What pages may do: show themselves, their style and their picture, and send forms back here. Everything else is forbidden.
static HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::VARY, "Cookie, Accept-Language"),
];
/// Forms are read, in bytes: a token and an address.
const FORM_MAX_BYTES: usize = 4 << 10;
/// The style of all pages.
const STYLE: &str = include_str!("style.css");
/// Browsers ask for one on every page.
const ICON: &str = include_str!("icon.svg");

/// The surface: everything that no other covers.
pub(crate) fn mount() -> Mount {
    Mount::new("", router())
        .accept(&[Method::GET, Method::HEAD, Method::POST], FORM_MAX_BYTES)
        .credentials(login::credentials)
        .open(|path| matches!(path, "/login" | "/logout" | "/language" | "/style.css" | "/icon.svg"))
        .refusals(refusal::page)
        .headers(&HEADERS)
}

fn router() -> Router {
    let process = "/f/{federation}/p/{member}/{slug}";
    Router::new()
        .route("/", get(home::page))
        .route("/style.css", get(|call| asset(call, STYLE, "text/css; charset=utf-8")))
        .route("/icon.svg", get(|call| asset(call, ICON, "image/svg+xml")))
        .route("/login", get(login::page).post(login::login))
        .route("/logout", post(login::logout))
        .route("/language", post(language::choose))
        .route("/f/{federation}", get(search::page))
        .route("/f/{federation}/members", get(federation::page))
        .route("/f/{federation}/news", get(news::page))
        .route(process, get(process::newest))
        .route(&format!("{process}/{{version}}"), get(process::page))
        .route(&format!("{process}/{{version}}/files/{{*path}}"), get(file))
}

/// Something that comes with the program.
async fn asset(call: Call, text: &'static str, media_type: &'static str) -> Answer {
    let [] = call.query([])?;
    let mut response = call.json_bytes(Bytes::from_static(text.as_bytes()))?;
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    Ok(response)
}

/// A file of a release, for people who are logged in: the same as in the API.
async fn file(call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let path = call.parameter("path").to_owned();
    let version = call.version()?.ok_or_else(Problem::not_found)?;
    let release = crate::http::library::ReleaseRef { process, version };
    let file = call.library().open_file(&call.reader, &release, &path).await?;
    let media_type = text::media_type(&file.media_type).to_owned();
    let mut response = files::deliver(&call, file, &media_type).await?;
    insert(response.headers_mut(), header::CONTENT_DISPOSITION, &text::disposition(&path));
    Ok(response)
}

/// Sends a page.
fn html(call: &Call, page: Markup) -> Answer {
    let mut response = call.json_bytes(Bytes::from(page.into_string()))?;
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    Ok(response)
}

/// Sends the browser elsewhere on this server, to be asked for by GET.
fn see(path: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    insert(response.headers_mut(), header::LOCATION, path);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
