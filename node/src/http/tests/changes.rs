//! Changes: by cursor, as a stream, as a feed; and questions with a body.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::harness::{NOW_S, Running, bearer, eventually, start};

/// Reads a stream until `text` has come.
async fn until(body: &mut Incoming, seen: &mut String, text: &str) {
    let read = async {
        while !seen.contains(text) {
            let frame = body.frame().await.expect("the stream goes on").expect("unbroken");
            seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.unwrap_or_else(|_| panic!("no {text:?}"));
}

fn ids(seen: &str) -> Vec<String> {
    seen.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
}

async fn follow(running: &Running, target: &str, headers: &[(&str, &str)]) -> hyper::Response<Incoming> {
    let mut client = running.client().await;
    let response = client.begin("GET", target, headers).await.unwrap();
    // The connection lives as long as its stream.
    std::mem::forget(client);
    response
}

#[tokio::test]
async fn changes_are_walked_with_cursors() {
    let running = start(|_| {}).await;
    running.library.newest.send_replace(5);
    let mut client = running.client().await;
    let first = client.get("/api/v1/mitte/changes?limit=3", &[]).await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), &first["more"]), (3, &true.into()));
    let next = first["next"].as_str().unwrap();
    let rest = client.get(&format!("/api/v1/mitte/changes?since={next}"), &[]).await.json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["more"]), (2, &false.into()));
    assert_eq!(rest["items"][0]["kind"], "release.available");
    let now = client.get("/api/v1/mitte/changes?since=now", &[]).await.json();
    assert_eq!((now["items"].as_array().unwrap().len(), &now["next"]), (0, &rest["next"]));
    // Of another list, and of a time that is not kept.
    let other = client.get(&format!("/api/v1/sued/changes?since={next}"), &[]).await;
    assert_eq!(other.problem(), (400, "invalid_cursor".into()));
    let old = crate::http::cursor::encode(&["changes", "mitte"], &99u64.to_be_bytes()).unwrap();
    let old = client.get(&format!("/api/v1/mitte/changes?since={old}"), &[]).await;
    assert_eq!(old.problem(), (410, "cursor_gone".into()));
}

#[tokio::test]
async fn a_stream_goes_on_where_its_client_was() {
    let running = start(|_| {}).await;
    running.library.newest.send_replace(2);
    let mut response = follow(&running, "/api/v1/mitte/changes/stream", &[]).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut seen = String::new();
    until(response.body_mut(), &mut seen, "retry: ").await;
    assert!(ids(&seen).is_empty(), "without a cursor it begins with what is new: {seen}");
    running.library.newest.send_replace(3);
    until(response.body_mut(), &mut seen, "\n\n").await;
    until(response.body_mut(), &mut seen, "mehr: 3").await;
    let last = ids(&seen).pop().unwrap();
    drop(response);
    running.library.newest.send_replace(120);
    let asks = [("accept", "text/event-stream"), ("last-event-id", last.as_str())];
    let mut response = follow(&running, "/api/v1/mitte/changes", &asks).await;
    let mut seen = String::new();
    until(response.body_mut(), &mut seen, "mehr: 120").await;
    assert_eq!(ids(&seen).len(), 117, "none is missing, none comes twice");
    assert!(!seen.contains("mehr: 3\""), "{seen}");
    let bad = running.client().await.get("/api/v1/mitte/changes/stream", &[("last-event-id", "x")]).await;
    assert_eq!(bad.problem(), (400, "invalid_cursor".into()));
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_the_server() {
    let running = start(|config| config.anonymous_read = false).await;
    let (secret, record) = running.token("x", None, None).await;
    let token = bearer(&secret);
    let mut revoked = follow(&running, "/api/v1/mitte/changes/stream", &[("authorization", &token)]).await;
    let mut seen = String::new();
    until(revoked.body_mut(), &mut seen, "retry: ").await;
    running.tokens.revoke(record.id, NOW_S).await.unwrap();
    running.library.newest.send_replace(1);
    let rest = tokio::time::timeout(Duration::from_secs(30), revoked.into_body().collect()).await.unwrap();
    assert!(rest.unwrap().to_bytes().is_empty(), "nothing is told to whom may not read any more");
    let (secret, _) = running.token("y", None, None).await;
    let token = bearer(&secret);
    let mut open = follow(&running, "/api/v1/mitte/changes/stream", &[("authorization", &token)]).await;
    until(open.body_mut(), &mut String::new(), "retry: ").await;
    // Long grace: if it had to be waited for, this test would hang.
    let stopped = tokio::time::timeout(Duration::from_secs(30), running.server.shutdown(Duration::from_secs(3_600)));
    assert!(stopped.await.is_ok(), "a stream ends by itself when the server stops");
}

#[tokio::test]
async fn streams_are_counted() {
    let running = start(|config| config.limits.connections_per_address = 512).await;
    let mut open = Vec::new();
    for _ in 0..128 {
        open.push(follow(&running, "/api/v1/mitte/changes/stream", &[]).await);
    }
    assert!(open.iter().all(|response| response.status().as_u16() == 200));
    let mut client = running.client().await;
    assert_eq!(client.get("/api/v1/mitte/changes/stream", &[]).await.problem(), (503, "busy".into()));
    open.pop();
    eventually("a place for another stream", || running.server.counters().connections_open < 130).await;
    assert_eq!(client.get("/api/v1/mitte/changes?since=now", &[]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn the_feed_is_escaped_and_has_an_entity_tag() {
    let running = start(|_| {}).await;
    running.library.newest.send_replace(2);
    let mut client = running.client().await;
    let reply = client.get("/api/v1/mitte/feed.atom", &[]).await;
    let xml = String::from_utf8(reply.body.to_vec()).unwrap();
    assert_eq!(reply.header("content-type"), "application/atom+xml; charset=utf-8");
    assert!(xml.contains("<title>OZG-Verbund &lt;Mitte&gt;</title>") && xml.contains("Version &amp; mehr: 2"), "{xml}");
    assert!(xml.contains("<link rel=\"self\"") && xml.contains("href=\"https://localhost/api/v1/mitte/feed.atom\""));
    assert_eq!(xml.matches("<entry>").count(), 2);
    let tag = reply.header("etag").to_owned();
    assert_eq!(client.get("/api/v1/mitte/feed.atom", &[("if-none-match", &tag)]).await.status.as_u16(), 304);
}

#[tokio::test]
async fn digests_are_asked_for_within_bounds() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let hex = "ab".repeat(32);
    let ask = |digests: &[String]| serde_json::json!({ "digests": digests }).to_string();
    let reply = client.post("/api/v1/mitte/check", &[], ask(&[hex.clone(), format!("sha256:{hex}")])).await;
    assert_eq!(reply.json()["items"][1]["standing"], "unknown");
    for bad in [ask(&["xyz".into()]), ask(&vec![hex; 501]), "{}".into(), "[".into(), r#"{"digests":[],"x":1}"#.into()] {
        assert_eq!(client.post("/api/v1/mitte/check", &[], bad).await.problem(), (400, "invalid_body".into()));
    }
    let large = client.post("/api/v1/mitte/check", &[], vec![b' '; (64 << 10) + 1]).await;
    assert_eq!(large.problem(), (413, "body_too_large".into()));
}

#[tokio::test]
async fn the_document_is_open_to_all_and_nothing_else_is() {
    let running = start(|config| config.anonymous_read = false).await;
    let mut client = running.client().await;
    let reply = client.get("/api/v1/openapi.json", &[]).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["openapi"]), (200, &"3.1.0".into()));
    for target in ["/api/v1/openapi.json/", "/api/v1/mitte/openapi.json", "/api/v1/mitte"] {
        assert_eq!(client.get(target, &[]).await.problem(), (401, "token_missing".into()), "{target}");
    }
}
