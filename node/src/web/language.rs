//! German first, English as well.
//!
//! Owns the choice: what the reader chose, else what the browser prefers, else German.

use axum::http::HeaderMap;
use axum::http::header;

use super::{Answer, see};
use crate::http::problem::{Code, Problem};
use crate::http::routes::{Call, insert};
use crate::http::text::query_pairs;

/// The cookie that remembers what was chosen.
const COOKIE: &str = "verbund_language";
/// It is remembered so long, in seconds: a year.
const REMEMBERED_S: u32 = 31_536_000;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    German,
    English,
}

impl Language {
    /// Of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match cookie(headers, COOKIE) {
            Some("de") => return Self::German,
            Some("en") => return Self::English,
            _ => {}
        }
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // SPEC: RFC 9110 §12.5.4. The order in which browsers write them is that of preference.
        let first = accepted.split(',').map(|part| part.trim().get(..2).unwrap_or_default().to_ascii_lowercase());
        match first.into_iter().find(|tag| tag == "de" || tag == "en").as_deref() {
            Some("en") => Self::English,
            _ => Self::German,
        }
    }

    /// The text in this language.
    pub(super) fn of_two(self, german: &'static str, english: &'static str) -> &'static str {
        match self {
            Self::German => german,
            Self::English => english,
        }
    }

    /// Its tag.
    pub(super) fn tag(self) -> &'static str {
        self.of_two("de", "en")
    }
}

/// A cookie of a request.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// The fields of a form. Unknown ones are passed over.
pub(super) fn form<const N: usize>(call: &Call, names: [&str; N]) -> Result<[String; N], Problem> {
    let invalid = || Problem::new(Code::InvalidBody, "The form cannot be read.");
    let text = std::str::from_utf8(&call.body).map_err(|_| invalid())?;
    let pairs = query_pairs(text).ok_or_else(invalid)?;
    Ok(names.map(|name| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default()))
}

/// A path on this server to go back to; the start page if it is none.
pub(super) fn back(path: &str) -> &str {
    let plain = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.chars().all(|c| c.is_ascii_graphic());
    if plain { path } else { "/" }
}

/// `POST /language`: remembers a language.
pub(super) async fn choose(call: Call) -> Answer {
    let [to, from] = form(&call, ["to", "back"])?;
    let to = if to == "en" { "en" } else { "de" };
    let mut response = see(back(&from));
    let cookie = format!("{COOKIE}={to}; Path=/; Max-Age={REMEMBERED_S}; Secure; HttpOnly; SameSite=Lax");
    insert(response.headers_mut(), header::SET_COOKIE, &cookie);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(accepted: &'static str, cookie: &'static str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(accepted));
        headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
        Language::of(&headers)
    }

    #[test]
    fn what_was_chosen_counts_then_the_browser_then_german() {
        assert_eq!(of("en-GB,en;q=0.9,de;q=0.8", ""), Language::English);
        assert_eq!(of("fr,de;q=0.5,en;q=0.3", ""), Language::German);
        assert_eq!(of("fr", ""), Language::German);
        assert_eq!(of("*", "x=y"), Language::German);
        assert_eq!(of("de", "a=b; verbund_language=en"), Language::English);
    }

    #[test]
    fn nobody_is_sent_to_another_server() {
        for bad in ["https://example.org/", "//example.org", "/\\example.org", "", "x", "/a b", "/ä", "/a\r\nX: y"] {
            assert_eq!(back(bad), "/", "{bad:?}");
        }
        assert_eq!(back("/f/mitte?q=hund"), "/f/mitte?q=hund");
    }
}
