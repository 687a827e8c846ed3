//! Headers, admin requests, configuration and addresses.

use std::path::PathBuf;

use axum::http::{HeaderMap, HeaderValue, header};
use verbund::admin::{Method, OPERATIONS, server};
use verbund::config::{Endpoint, Filter, Interval, Layers, Size, check_text, load};
use verbund::http::etag::{ETag, Verdict, judge, range_allowed};
use verbund::http::range::{Asked, parse};
use verbund::http::{cursor, text};
use verbund::net::HostPort;
use verbund_protocol::ids::Sha256;

use crate::check::{twice, words};

/// `Range`: a range lies in the file, and what cannot be met is told from what is ignored. The first eight bytes are the size.
pub fn range(data: &[u8]) {
    let Some((size, value)) = data.split_first_chunk::<8>() else { return };
    let size = u64::from_le_bytes(*size);
    let asked = parse(value, size);
    assert_eq!(asked, parse(value, size));
    match asked {
        Asked::One(range) => {
            assert!(range.start < range.end && range.end <= size, "{range:?} of {size}");
            // Said plainly, it is the same range.
            let plain = format!("bytes={}-{}", range.start, range.end - 1);
            assert_eq!(parse(plain.as_bytes(), size), Asked::One(range));
            assert!(value.len() >= 7 && value[..5].eq_ignore_ascii_case(b"bytes"));
        }
        Asked::Unsatisfiable => assert_ne!(parse(value, u64::MAX), Asked::Whole, "well formed whatever the size"),
        Asked::Whole => {}
    }
}

/// `If-Match`, `If-None-Match`, `If-Range` (the first byte says which), and what else a request brings: query, path, cursor.
pub fn conditions(data: &[u8]) {
    let Some((which, value)) = data.split_first() else { return };
    let tag = ETag::of(Sha256([0xab; 32]));
    if let Ok(value) = HeaderValue::from_bytes(value) {
        let names = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_RANGE];
        let name = &names[usize::from(*which) % names.len()];
        let headers = HeaderMap::from_iter([(name.clone(), value.clone())]);
        let verdict = judge(&headers, &tag);
        assert_eq!(verdict, judge(&headers, &tag));
        let bytes = value.as_bytes();
        let named = bytes.windows(tag.as_str().len()).any(|part| part == tag.as_str().as_bytes());
        // Nothing but the tag itself, or a star, is taken for it.
        let meant = named || bytes.contains(&b'*');
        match *name {
            header::IF_MATCH => assert!(verdict == Verdict::PreconditionFailed || verdict == Verdict::Proceed && meant),
            header::IF_NONE_MATCH => assert!(verdict == Verdict::Proceed || verdict == Verdict::NotModified && meant),
            _ => assert!(verdict == Verdict::Proceed && (!range_allowed(&headers, &tag) || named)),
        }
    }
    let Ok(value) = std::str::from_utf8(value) else { return };
    if let Some(pairs) = text::query_pairs(value) {
        let again: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", text::encode_path(name), text::encode_path(value)))
            .collect();
        let kept: Vec<_> = text::query_pairs(&again.join("&")).unwrap();
        assert_eq!(kept, pairs);
    }
    for header in [text::disposition(value).as_str(), text::media_type(value)] {
        assert!(header.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{header:?}");
    }
    if text::is_file_path(value) {
        assert!(!value.starts_with('/') && value.split('/').all(|s| !matches!(s, "" | "." | "..")));
    }
    if let Some(position) = cursor::decode(&["processes"], value) {
        assert_eq!(cursor::encode(&["processes"], &position).as_deref(), Some(value));
    }
}

/// The first byte chooses the operation. What is read is written and read as the same; a refusal can be shown.
pub fn admin(data: &[u8]) {
    let Some((which, sent)) = data.split_first() else { return };
    let (operation, method, _) = OPERATIONS[usize::from(*which) % OPERATIONS.len()];
    let read = || server::read(operation, sent).unwrap();
    match (read(), read()) {
        (Ok(value), Ok(again)) => {
            assert_eq!(value, again);
            if method == Method::Post {
                let written = serde_json::to_vec(&value).unwrap();
                assert_eq!(server::read(operation, &written).unwrap().unwrap(), value);
            }
        }
        (Err(problem), Err(again)) => {
            assert_eq!(problem.to_string(), again.to_string());
            words(&problem.to_string());
            let answer = serde_json::to_vec(&problem).unwrap();
            assert!(answer.len() <= 8 << 10, "{} bytes of an answer", answer.len());
        }
        _ => panic!("read in two ways"),
    }
}

/// `node.toml`, or, if the first line begins so, variables of the environment. Every mistake can be shown.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.starts_with("VERBUND_") {
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let layers = Layers { environment: text.lines().filter_map(pair).collect(), ..Layers::default() };
        match load(&layers) {
            Ok(effective) => effective.warnings.iter().for_each(|warning| words(warning)),
            Err(error) => error.to_string().split('\n').for_each(words),
        }
        return;
    }
    let mistakes = check_text("node.toml", text);
    assert_eq!(mistakes, check_text("node.toml", text));
    mistakes.iter().for_each(|mistake| words(&mistake.to_string()));
}

/// Texts of single values: what is read is written in one way, and reads as itself.
pub fn addresses(data: &[u8]) {
    macro_rules! stable {
        ($text:expr, $($kind:ty),*) => {$(
            if let Some(value) = twice(|| $text.parse::<$kind>()) {
                let written = value.to_string();
                assert_eq!(written.parse::<$kind>().as_ref().map(ToString::to_string), Ok(written.clone()));
            }
        )*};
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    stable!(text, HostPort, Endpoint, Size, Interval, Filter);
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let texts = |all: &[&str]| all.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    match target {
        "range" => {
            let values = [
                "bytes=0-0",
                "bytes=5-",
                "bytes=-5",
                "bytes=0-18446744073709551615",
                "bytes=3-2",
                "bytes=1-2,4-5",
                "items=0-1",
            ];
            let sizes = [0_u64, 10, u64::MAX];
            let pair = |size: u64| values.map(|value| [&size.to_le_bytes()[..], value.as_bytes()].concat());
            sizes.into_iter().flat_map(pair).collect()
        }
        "conditions" => {
            let tag = format!("\"sha256:{}\"", "ab".repeat(32));
            let values = [tag.clone(), format!("W/{tag}"), "*".into(), format!("\"a,b\" , {tag}"), "\"open".into()];
            let conditions = (0..3).flat_map(|which| values.clone().map(|v| [&[which][..], v.as_bytes()].concat()));
            let cursor = cursor::encode(&["processes"], b"here").unwrap();
            let others = [
                "q=hund&limit=20",
                "a/b c.bpmn",
                "text/html; charset=utf-8",
                "text/html\t; a=b",
                "text/html\r\n; a=b",
                "%2e%2e/%00",
                &cursor,
            ];
            conditions.chain(others.map(|v| [&[0][..], v.as_bytes()].concat())).collect()
        }
        "admin" => {
            let bodies = [
                r#"{"handle":"de-th","valid_s":3600}"#,
                r#"{"ticket":"verbund1_x","federation":"mitte"}"#,
                r#"{"name":"Verbund Mitte","slug":"mitte","license":"EUPL-1.2"}"#,
                r#"{"release":"de-he/hund@1.0.0","reason":"Fehler","severity":"high"}"#,
                r#"{"peer":"12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"}"#,
                r#"{"handle":"de-th","reason":"nein"}"#,
                r#"{"name":"amt","expires":"2027-01-01T00:00:00Z","federations":["mitte"]}"#,
                r#"{"metadata":{"file":"process.toml","text":"id = 1"},"files":[{"path":"a","size":1}]}"#,
                r#"{"dry_run":true}"#,
                "",
            ];
            let queries = ["federation=mitte", "release=de-he/hund@1.0.0", "limit=10&after=5&code=log_grew", ""];
            let one = |(at, (_, method, _)): (usize, &(&str, Method, &str))| {
                let sent = if *method == Method::Get { &queries[..] } else { &bodies[..] };
                let at = u8::try_from(at).unwrap();
                sent.iter().map(move |text| [&[at][..], text.as_bytes()].concat()).collect::<Vec<_>>()
            };
            OPERATIONS.iter().enumerate().flat_map(one).collect()
        }
        "config" => {
            let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/node.toml");
            let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let set: String =
                text.lines().map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n").collect();
            let environment =
                "VERBUND_HTTPS__LISTEN=[::1]:8443,192.0.2.1:0\nVERBUND_LOG__LEVEL=info\nVERBUND_LIMITS__FETCHES=x\n";
            let short =
                "handle = \"de-he\"\nlisten = [\"[::]:7400\"]\n[federation.mitte]\nannounce = [\"a.example:1\"]\n";
            vec![text.into_bytes(), set.into_bytes(), environment.into(), short.into()]
        }
        _ => texts(&[
            "192.0.2.1:0",
            "[2001:db8::1]:7400",
            "verbund.hessen.de:7400",
            "8 GiB",
            "15 s",
            "5m",
            "info,verbund::net=debug",
            "",
        ]),
    }
}
