//! Problems as pages. They are made without knowing the reader, and so in both languages.

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use maud::html;

use super::language::{Language, back};
use super::{layout, login};
use crate::http::problem::{Code, Problem};
use crate::http::routes::insert;

/// The page of a problem.
pub(super) fn page(problem: Problem, path: &str) -> Response<Body> {
    let status = problem.code.status();
    let unknown = status == StatusCode::UNAUTHORIZED;
    let german = match problem.code {
        Code::NotFound => "Diese Seite gibt es nicht, oder sie ist für Sie nicht sichtbar.",
        Code::Erased => "Diese Version wurde zurückgerufen und auf Wunsch des Herausgebers gelöscht.",
        Code::ScopeDenied => "Ihr Zugangstoken gilt für diesen Verbund nicht.",
        Code::TokenMissing => "Bitte melden Sie sich an.",
        _ if unknown => "Ihr Zugangstoken gilt nicht mehr. Bitte melden Sie sich neu an.",
        Code::NotAvailable | Code::Damaged | Code::Busy | Code::TimedOut => {
            "Das ist gerade nicht möglich. Bitte versuchen Sie es gleich noch einmal."
        }
        Code::Internal => "Auf diesem Knoten ist ein Fehler aufgetreten; der Betreiber findet ihn im Protokoll.",
        _ => "Diese Anfrage kann so nicht beantwortet werden.",
    };
    let title = if unknown { "Anmelden · Log in" } else { "Das ging nicht · That did not work" };
    let body = html! {
        p role="alert" class="notice bad" { (german) }
        p lang="en" { (problem.detail) }
        @if unknown {
            (login::fields(Language::German, back(path), problem.code != Code::TokenMissing))
        } @else {
            p { a href="/" { "Zur Startseite" } }
        }
    };
    let page = layout::bare(Language::German, title, body).into_string();
    let length = page.len();
    // Status, Retry-After and the like are those of the problem.
    let mut response = problem.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    // Browsers would ask for a password of their own.
    headers.remove(header::WWW_AUTHENTICATE);
    if unknown {
        insert(headers, header::SET_COOKIE, &login::forget());
    }
    *response.body_mut() = Body::from(page);
    response
}
