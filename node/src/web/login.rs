//! Logging in with a read token.
//!
//! The token itself is the session: it lies in a cookie that no script can read and that is sent over TLS only, ends with the token,
//! and is judged anew for every page. Nothing is kept here. The cookie does not come with forms of other sites (SameSite), and what
//! changes anything is a POST.

use axum::http::header;
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};

use super::language::{self, Language, back, form};
use super::{Answer, layout, see};
use crate::http::problem::Problem;
use crate::http::routes::{Call, insert};
use crate::http::tokens::Reader;

/// SPEC: RFC 6265bis §4.1.3.2: the prefix binds it to this host and to TLS.
const COOKIE: &str = "__Host-verbund";
/// A browser forgets it after a working day, in seconds.
const KEPT_S: u32 = 43_200;

/// The token of a request.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    Ok(language::cookie(headers, COOKIE).filter(|token| !token.is_empty()).map(str::to_owned))
}

/// The header that makes a browser forget the token.
pub(super) fn forget() -> String {
    format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
}

/// The form. `wrong` says that what was entered is no token of this node.
pub(super) fn fields(language: Language, to: &str, wrong: bool) -> Markup {
    let t = |german, english| language.of_two(german, english);
    html! {
        form method="post" action="/login" class="login" {
            input type="hidden" name="back" value=(to);
            @if wrong {
                p role="alert" class="notice bad" id="wrong" {
                    (t("Dieses Zugangstoken gilt hier nicht (mehr). Fragen Sie den Betreiber dieses Knotens nach einem neuen.",
                       "This access token is not valid here (any more). Ask the operator of this node for a new one."))
                }
            }
            label for="token" { (t("Zugangstoken", "Access token")) }
            input type="password" id="token" name="token" required autocomplete="current-password"
                aria-describedby=[wrong.then_some("wrong")] aria-invalid=[wrong.then_some("true")];
            p class="hint" {
                (t("Der Betreiber erstellt es mit: ", "The operator makes it with: ")) code { "verbund token create NAME" }
            }
            button type="submit" { (t("Anmelden", "Log in")) }
        }
    }
}

/// `GET /login?back=`
pub(super) async fn page(call: Call) -> Answer {
    let language = Language::of(&call.headers);
    let [to] = call.query(["back"])?;
    let to = to.unwrap_or_default();
    let body = fields(language, back(&to), false);
    super::html(&call, layout::Page::new(&call, language, language.of_two("Anmelden", "Log in")).show(body))
}

/// `POST /login`
pub(super) async fn login(call: Call) -> Answer {
    let language = Language::of(&call.headers);
    let [token, to] = form(&call, ["token", "back"])?;
    let token = token.trim();
    match call.verify(token).await {
        Ok(Reader::Token(_)) => {
            let mut response = see(back(&to));
            let cookie = format!("{COOKIE}={token}; Path=/; Max-Age={KEPT_S}; Secure; HttpOnly; SameSite=Lax");
            insert(response.headers_mut(), header::SET_COOKIE, &cookie);
            Ok(response)
        }
        Ok(Reader::Anonymous) => Ok(see("/login")),
        Err(problem) if problem.code.status() == StatusCode::UNAUTHORIZED => {
            let page = layout::Page::new(&call, language, language.of_two("Anmelden", "Log in"));
            let mut response = super::html(&call, page.show(fields(language, back(&to), true)))?;
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /logout`
pub(super) async fn logout(_call: Call) -> Answer {
    let mut response = see("/login");
    insert(response.headers_mut(), header::SET_COOKIE, &forget());
    Ok(response)
}
