//! Files: headers, ranges, conditions, and what must not happen.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use verbund_protocol::ids::Sha256;

use super::fake::{BIG_BYTES, FILES, content};
use super::harness::{RELEASE, start};
use crate::http::text;

fn url(path: &str) -> String {
    format!("{RELEASE}/files/{}", text::encode_path(path))
}

#[tokio::test]
async fn every_file_comes_whole_with_its_headers() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for (path, media_type) in FILES {
        let reply = client.get(&url(path), &[]).await;
        let bytes = content(path);
        let hash = Sha256::of(&bytes);
        assert_eq!((reply.status.as_u16(), reply.cut), (200, false), "{path}");
        assert_eq!(reply.body, bytes, "{path}");
        assert_eq!(reply.header("content-length"), bytes.len().to_string());
        assert_eq!(reply.header("etag"), format!("\"{hash}\""));
        assert_eq!(reply.header("repr-digest"), format!("sha-256=:{}:", STANDARD.encode(hash.as_bytes())));
        assert_eq!(reply.header("accept-ranges"), "bytes");
        assert_eq!(reply.header("cache-control"), "private, immutable, max-age=31536000");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(reply.header("content-security-policy").starts_with("sandbox;"));
        assert_eq!(reply.header("content-disposition"), text::disposition(path));
        let want = if media_type.contains('\r') { "application/octet-stream" } else { media_type };
        assert_eq!(reply.header("content-type"), want);
        assert!(!reply.headers.contains_key("x-evil"));
    }
}

#[tokio::test]
async fn a_range_is_a_part_with_the_digest_of_the_whole() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let whole = content("antrag.xml");
    let size = whole.len();
    let last = size - 1;
    for (header, start, end) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=8-17".to_owned(), 8, 18),
        ("bytes=20-".to_owned(), 20, size),
        ("bytes=-4".to_owned(), size - 4, size),
        ("bytes=-9999".to_owned(), 0, size),
        (format!("bytes={last}-99999"), last, size),
        ("bytes=0-99999999999999999999".to_owned(), 0, size),
    ] {
        let reply = client.get(&url("antrag.xml"), &[("range", &header)]).await;
        assert_eq!(reply.status.as_u16(), 206, "{header}");
        assert_eq!(reply.body, whole.slice(start..end), "{header}");
        assert_eq!(reply.header("content-range"), format!("bytes {start}-{}/{size}", end - 1));
        assert_eq!(reply.header("content-length"), (end - start).to_string());
        let digest = STANDARD.encode(Sha256::of(&whole).as_bytes());
        assert_eq!(reply.header("repr-digest"), format!("sha-256=:{digest}:"));
        assert_eq!(reply.header("etag"), format!("\"{}\"", Sha256::of(&whole)));
    }
}

#[tokio::test]
async fn a_file_put_together_from_ranges_is_the_file() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let mut bytes = Vec::new();
    while bytes.len() < BIG_BYTES {
        let range = format!("bytes={}-{}", bytes.len(), bytes.len() + 999_999);
        bytes.extend_from_slice(&client.get(&url("big.bin"), &[("range", &range)]).await.body);
    }
    assert!(bytes == content("big.bin"));
}

#[tokio::test]
async fn ranges_outside_are_416_with_the_size() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for (path, header, size) in [
        ("antrag.xml", "bytes=27-", 27),
        ("antrag.xml", "bytes=-0", 27),
        ("leer.txt", "bytes=0-", 0),
        ("leer.txt", "bytes=0-0", 0),
    ] {
        let reply = client.get(&url(path), &[("range", header)]).await;
        assert_eq!(reply.problem(), (416, "range_not_satisfiable".into()), "{path} {header}");
        assert_eq!(reply.header("content-range"), format!("bytes */{size}"));
    }
}

#[tokio::test]
async fn ranges_that_do_not_apply_give_the_whole_file() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let tag = format!("\"{}\"", Sha256::of(&content("antrag.xml")));
    let weak = format!("W/{tag}");
    let whole: &[&[(&str, &str)]] = &[
        &[("range", "bytes=0-1,4-5")],
        &[("range", "bytes=0-5,3-8")],
        &[("range", "bytes=5-1")],
        &[("range", "lines=1-2")],
        &[("range", "bytes=0-1"), ("range", "bytes=0-1")],
        &[("range", "bytes=0-1"), ("if-range", "\"other\"")],
        &[("range", "bytes=0-1"), ("if-range", &weak)],
        &[("range", "bytes=0-1"), ("if-range", "Wed, 21 Oct 2015 07:28:00 GMT")],
        &[("range", "bytes=99-"), ("if-range", "\"other\"")],
        &[("if-range", &tag)],
    ];
    for headers in whole {
        let reply = client.get(&url("antrag.xml"), headers).await;
        assert_eq!((reply.status.as_u16(), reply.body), (200, content("antrag.xml")), "{headers:?}");
    }
    let part = client.get(&url("antrag.xml"), &[("range", "bytes=0-1"), ("if-range", &tag)]).await;
    assert_eq!((part.status.as_u16(), part.body.as_ref()), (206, b"<a".as_ref()));
    let empty = client.get(&url("leer.txt"), &[("range", "bytes=-5")]).await;
    assert_eq!((empty.status.as_u16(), empty.body.len()), (200, 0));
}

#[tokio::test]
async fn conditions_spare_the_bytes() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let tag = format!("\"{}\"", Sha256::of(&content("antrag.xml")));
    let (weak, list) = (format!("W/{tag}"), format!("\"a\", {tag}"));
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("if-none-match", &tag)], 304),
        (&[("if-none-match", &weak)], 304),
        (&[("if-none-match", &list)], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"a\""), ("if-none-match", &tag)], 304),
        (&[("if-none-match", &tag), ("range", "bytes=0-1")], 304),
        (&[("if-none-match", "\"other\"")], 200),
        (&[("if-none-match", "\"other\""), ("range", "bytes=0-1")], 206),
        (&[("if-match", &tag)], 200),
        (&[("if-match", "*")], 200),
        (&[("if-match", &weak)], 412),
        (&[("if-match", "\"other\"")], 412),
        (&[("if-match", "\"other\""), ("if-none-match", &tag)], 412),
        (&[("if-match", &tag), ("if-none-match", &tag)], 304),
    ];
    for (headers, status) in cases {
        let before = running.library.reads.load(SeqCst);
        let reply = client.get(&url("antrag.xml"), headers).await;
        assert_eq!(reply.status.as_u16(), *status, "{headers:?}");
        assert_eq!(running.library.reads.load(SeqCst) - before, usize::from(*status < 300), "{headers:?}");
        if *status == 304 {
            assert!(reply.body.is_empty());
            assert_eq!(reply.header("etag"), tag);
            assert_eq!(reply.header("cache-control"), "private, immutable, max-age=31536000");
        }
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_reads_nothing() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let mut targets: Vec<String> = FILES.iter().map(|(path, _)| url(path)).collect();
    targets.extend([RELEASE.into(), format!("{RELEASE}/provenance"), url("missing"), "/".into()]);
    targets.extend(["/api/v1/federations".into(), "/api/v1/mitte/processes?limit=3".into()]);
    targets.push("/api/v1/mitte/releases/de-he/hundesteuer/latest".into());
    for target in targets {
        let mut get = client.get(&target, &[]).await;
        let before = running.library.reads.load(SeqCst);
        let mut head = client.send("HEAD", &target, &[]).await.unwrap();
        assert_eq!(running.library.reads.load(SeqCst), before, "{target}");
        assert!(head.body.is_empty());
        get.headers.remove("date");
        head.headers.remove("date");
        assert_eq!((head.status, &head.headers), (get.status, &get.headers), "{target}");
    }
    let ranged = client.send("HEAD", &url("antrag.xml"), &[("range", "bytes=0-1")]).await.unwrap();
    assert_eq!((ranged.status.as_u16(), ranged.header("content-length")), (200, "27"));
}

#[tokio::test]
async fn a_damaged_file_is_never_taken_for_whole() {
    let running = start(|_| {}).await;
    for path in ["midway.bin", "short.bin", "long.bin"] {
        let mut client = running.client().await;
        let reply = client.get(&url(path), &[]).await;
        assert_eq!(reply.status.as_u16(), 200);
        assert!(reply.cut && reply.body.len() < BIG_BYTES, "{path}: {} bytes", reply.body.len());
        assert!(client.send("GET", RELEASE, &[]).await.is_err(), "{path}: the connection must be gone");
    }
    let mut client = running.client().await;
    let reply = client.get(&url("at-once.bin"), &[]).await;
    assert_eq!(reply.problem(), (503, "damaged".into()));
    assert!(!reply.headers.contains_key("etag") && reply.header("cache-control") == "no-store");
    assert_eq!(running.server.counters().files_failed, 4);
    assert_eq!(running.server.counters().bodies_cut, 3);
    assert_eq!(client.get(&url("antrag.xml"), &[]).await.status.as_u16(), 200, "others are served");
}

#[tokio::test]
async fn a_store_that_stops_giving_bytes_is_given_up() {
    let running = start(|config| config.limits.answer_timeout = Duration::from_millis(300)).await;
    let reply = running.client().await.get(&url("stuck.bin"), &[]).await;
    assert!(reply.cut);
}

#[tokio::test]
async fn what_is_not_available_is_not_served() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for (version, want) in [("2.0.0", (503, "not_available")), ("1.0.0", (410, "erased")), ("1.9.0", (503, "damaged"))]
    {
        let reply =
            client.get(&format!("/api/v1/mitte/releases/de-he/hundesteuer/{version}/files/antrag.xml"), &[]).await;
        assert_eq!(reply.problem(), (want.0, want.1.into()));
        assert_eq!(want.0 == 503, reply.headers.contains_key("retry-after"));
        assert!(!String::from_utf8_lossy(&reply.body).contains("/secret/place"));
    }
    assert_eq!(running.library.reads.load(SeqCst), 0);
}

#[tokio::test]
async fn paths_do_not_leave_the_release() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for path in [
        "../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/antrag.xml",
        "./antrag.xml",
        "%2Fetc%2Fpasswd",
        "antrag.xml%00",
        "antrag.xml%00.html",
        "formulare//x",
        "formulare/",
        "a%0d%0aX-Evil:%201",
        "%ff%fe",
        "..",
    ] {
        let reply = client.get(&format!("{RELEASE}/files/{path}"), &[]).await;
        assert_eq!(reply.problem(), (400, "invalid_path".into()), "{path}");
    }
    for path in
        ["antrag.xml%2500", "%252e%252e%252fantrag.xml", "ANTRAG.XML", "antrag.xml%20", "formulare", "..\\antrag.xml"]
    {
        let reply = client.get(&format!("{RELEASE}/files/{path}"), &[]).await;
        assert_eq!(reply.problem(), (404, "not_found".into()), "{path}");
    }
    let encoded = client.get(&format!("{RELEASE}/files/formulare%2FPr%c3%bcfung%201.html"), &[]).await;
    assert_eq!(encoded.body, content("formulare/Prüfung 1.html"));
}
