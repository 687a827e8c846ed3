//! Changes as an Atom feed (RFC 4287), newest first, older ones page by page (RFC 5005 §3).
//!
//! Owns the XML. Ids are tag URIs (RFC 4151) made of the federation's and the release's id only, so that a reader which asks
//! another node knows an entry again; their authority lies below `.invalid`, which nobody can own.

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use verbund_protocol::ids::Sha256;

use super::call::{Call, insert};
use super::changes::{mark, place};
use super::dcat::base;
use super::table::{Answer, BASE};
use crate::admin::api::Moment;
use crate::http::etag::{ETag, Verdict};
use crate::http::library::{ChangeKind, ChangeView, FederationDetail, Since};

/// Entries of a page.
const ENTRIES: usize = 50;

/// `/{federation}/feed.atom`
pub(super) async fn feed(call: Call) -> Answer {
    let federation = call.federation()?;
    let [before] = call.query(["before"])?;
    let from = before.as_deref().map(|text| place(&federation, text)).transpose()?;
    let _making = call.making().await?;
    let detail = call.app.library.federation(&call.reader, &federation).await?;
    let page = call.app.library.changes(&call.reader, &federation, Since::Newest(from), ENTRIES).await?;
    let base = base(&call.headers);
    let address = format!("{base}{BASE}/{federation}/feed.atom");
    let itself = before.as_ref().map_or_else(|| address.clone(), |before| format!("{address}?before={before}"));
    let mut links = vec![("self", itself), ("first", address.clone())];
    if page.more {
        links.push(("next", format!("{address}?before={}", mark(&federation, &page.next)?)));
    }
    let xml = write(&base, &detail, &links, &page.items);
    let tag = ETag::of(Sha256::of(xml.as_bytes()));
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    insert(headers, header::ETAG, tag.as_str());
    if call.condition(&tag)? == Verdict::NotModified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/atom+xml; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(xml.len()));
    if call.method != Method::HEAD {
        *response.body_mut() = Body::from(xml);
    }
    Ok(response)
}

/// Ids of a federation's feed start so.
fn tag(detail: &FederationDetail) -> String {
    let id = detail.id.to_hex();
    let (short, day) = (id.get(..16).unwrap_or_default(), detail.founded.get(..10).unwrap_or("1970-01-01"));
    format!("tag:{short}.verbund.invalid,{day}:")
}

fn write(base: &str, detail: &FederationDetail, links: &[(&str, String)], items: &[ChangeView]) -> String {
    let mut xml =
        String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n");
    let newest = items.first().map_or_else(|| detail.founded.clone(), |item| moment(item.at_ms));
    xml.push_str(&format!("  <id>{}feed</id>\n", tag(detail)));
    xml.push_str(&format!("  <title>{}</title>\n", escape(&detail.name)));
    xml.push_str(&format!("  <updated>{newest}</updated>\n"));
    xml.push_str(&format!("  <author><name>{}</name></author>\n", escape(&detail.name)));
    for (rel, href) in links {
        xml.push_str(&format!("  <link rel=\"{rel}\" type=\"application/atom+xml\" href=\"{}\"/>\n", escape(href)));
    }
    items.iter().for_each(|item| entry(&mut xml, base, detail, item));
    xml.push_str("</feed>\n");
    xml
}

fn entry(xml: &mut String, base: &str, detail: &FederationDetail, item: &ChangeView) {
    // The same on every node: what happened, and to what. Corrections and the like may come again: they have their number here.
    let what = match (&item.release, item.charter) {
        (Some(release), _) => release.digest.to_hex(),
        (None, Some(version)) => format!("charter-{version}"),
        (None, None) => item.number.to_string(),
    };
    let again = matches!(item.kind, ChangeKind::Corrected | ChangeKind::Deprecated);
    let number = if again { format!("/{}", item.number) } else { String::new() };
    xml.push_str("  <entry>\n");
    xml.push_str(&format!("    <id>{}{}/{what}{number}</id>\n", tag(detail), item.kind.as_str()));
    xml.push_str(&format!("    <title>{}</title>\n", escape(&item.text)));
    xml.push_str(&format!("    <updated>{}</updated>\n", moment(item.at_ms)));
    xml.push_str(&format!("    <category term=\"{}\"/>\n", item.kind.as_str()));
    match &item.release {
        Some(release) => {
            let line = &release.summary;
            let (member, slug, version) = (&line.member, &line.slug, &line.version);
            let href = format!("{base}{BASE}/{}/releases/{member}/{slug}/{version}", detail.slug);
            xml.push_str(&format!("    <author><name>{member}</name></author>\n"));
            xml.push_str(&format!(
                "    <link rel=\"alternate\" type=\"application/json\" href=\"{}\"/>\n",
                escape(&href)
            ));
            xml.push_str(&format!("    <summary>{}</summary>\n", escape(&line.summary)));
        }
        None => xml.push_str(&format!("    <content type=\"text\">{}</content>\n", escape(&item.text))),
    }
    xml.push_str("  </entry>\n");
}

fn moment(ms: u64) -> String {
    Moment::from_unix_ms(ms).to_string()
}

/// SPEC: XML 1.0 §2.2 and §2.4: characters that XML cannot hold are replaced, those that mean something are escaped.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    #[test]
    fn text_cannot_leave_its_element() {
        assert_eq!(escape("a</title><x y=\"1\">&\u{0}\n"), "a&lt;/title&gt;&lt;x y=&quot;1&quot;&gt;&amp;\u{fffd} ");
    }

    #[test]
    fn a_host_that_is_none_gives_relative_links() {
        let with = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            base(&headers)
        };
        assert_eq!(with("knoten.hessen.example:8443"), "https://knoten.hessen.example:8443");
        assert_eq!(with("[2001:db8::1]:8443"), "https://[2001:db8::1]:8443");
        assert_eq!(with("x\"><script>"), "");
    }
}
