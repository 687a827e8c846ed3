//! Who gets in, and what is refused before any route.

use std::sync::atomic::Ordering::SeqCst;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::dial;
use super::harness::{NOW_S, RELEASE, bearer, start};

#[tokio::test]
async fn without_a_token_nothing_is_shown_unless_allowed() {
    let running = start(|config| config.anonymous_read = false).await;
    let mut client = running.client().await;
    for target in ["/api/v1/federations", RELEASE, "/api/v1/nord/processes", "/api/v1/x/y/z"] {
        let reply = client.get(target, &[]).await;
        assert_eq!(reply.problem(), (401, "token_missing".into()), "{target}");
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"verbund\"");
    }
    let (secret, _) = running.token("x", None, None).await;
    assert_eq!(client.get(RELEASE, &[("authorization", &bearer(&secret))]).await.status.as_u16(), 200);
    let lower = bearer(&secret).replace("Bearer ", "bearer   ");
    assert_eq!(client.get(RELEASE, &[("authorization", &lower)]).await.status.as_u16(), 200);
    assert_eq!(running.server.counters().denied, 4);
}

#[tokio::test]
async fn bad_tokens_are_refused_even_where_none_is_needed() {
    for anonymous_read in [false, true] {
        let running = start(|config| config.anonymous_read = anonymous_read).await;
        let mut client = running.client().await;
        let (secret, _) = running.token("x", None, None).await;
        let good = bearer(&secret);
        let wrong = format!("Bearer vbt_{}", "A".repeat(43));
        let basic = good.replace("Bearer", "Basic");
        for value in [
            wrong.as_str(),
            "Bearer",
            "Bearer ",
            "",
            "vbt_x",
            &basic,
            &good[..40],
            &format!("{good}x"),
            &format!("{good} {good}"),
        ] {
            let reply = client.get(RELEASE, &[("authorization", value)]).await;
            assert_eq!(reply.problem(), (401, "token_invalid".into()), "{value}");
            assert!(reply.header("www-authenticate").contains("invalid_token"));
        }
        let twice = client.get(RELEASE, &[("authorization", &good), ("authorization", &good)]).await;
        assert_eq!(twice.problem(), (400, "bad_request".into()));
    }
}

#[tokio::test]
async fn tokens_expire_and_are_revoked_at_once() {
    let running = start(|config| config.anonymous_read = false).await;
    let mut client = running.client().await;
    let (short, _) = running.token("short", None, Some(NOW_S + 10)).await;
    let (long, record) = running.token("long", None, None).await;
    let (short, long) = (bearer(&short), bearer(&long));
    assert_eq!(client.get(RELEASE, &[("authorization", &short)]).await.status.as_u16(), 200);
    running.now_s.store(NOW_S + 10, SeqCst);
    let reply = client.get(RELEASE, &[("authorization", &short)]).await;
    assert_eq!(reply.problem(), (401, "token_expired".into()));
    assert!(reply.header("www-authenticate").contains("expired"));
    assert_eq!(client.get(RELEASE, &[("authorization", &long)]).await.status.as_u16(), 200);
    running.tokens.revoke(record.id, NOW_S + 11).await.unwrap();
    let reply = client.get(RELEASE, &[("authorization", &long)]).await;
    assert_eq!(reply.problem(), (401, "token_revoked".into()));
}

#[tokio::test]
async fn a_token_for_one_federation_tells_nothing_of_others() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let (secret, _) = running.token("x", Some(&["mitte"]), None).await;
    let token = bearer(&secret);
    assert_eq!(client.get(RELEASE, &[("authorization", &token)]).await.status.as_u16(), 200);
    let rest = ["processes", "processes/de-he/hundesteuer", "releases/de-he/hundesteuer/1.2.0/files/antrag.xml"];
    let mut seen = Vec::new();
    for federation in ["sued", "nord", "%20", "MITTE"] {
        for rest in rest {
            let reply = client.get(&format!("/api/v1/{federation}/{rest}"), &[("authorization", &token)]).await;
            assert_eq!(reply.problem(), (403, "scope_denied".into()), "{federation}/{rest}");
            assert!(reply.header("www-authenticate").contains("insufficient_scope"));
            seen.push(reply.body);
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "an existing federation looks like any other");
}

#[tokio::test]
async fn what_is_hidden_looks_like_what_does_not_exist() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let (partner, _) = running.token("partner", None, None).await;
    let (stranger, _) = running.token("stranger", None, None).await;
    for rest in [
        "processes/de-he/NAME",
        "processes/de-he/NAME/versions",
        "releases/de-he/NAME/1.2.0",
        "releases/de-he/NAME/latest",
        "releases/de-he/NAME/1.2.0/provenance",
        "releases/de-he/NAME/1.2.0/files/antrag.xml",
    ] {
        let target = |name: &str| format!("/api/v1/mitte/{}", rest.replace("NAME", name));
        let open = client.get(&target("geheim"), &[("authorization", &bearer(&partner))]).await;
        assert!(open.status.as_u16() < 400, "{rest}");
        for headers in [vec![], vec![("authorization", bearer(&stranger))]] {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let hidden = client.get(&target("geheim"), &headers).await;
            let absent = client.get(&target("gibtsnicht"), &headers).await;
            assert_eq!(hidden.problem(), (404, "not_found".into()), "{rest}");
            assert_eq!(hidden.body, absent.body, "{rest}");
        }
    }
}

#[tokio::test]
async fn a_failing_token_store_lets_nobody_in() {
    let running = start(|config| config.anonymous_read = false).await;
    let (secret, _) = running.token("x", None, None).await;
    running.store.broken.store(true, SeqCst);
    let reply = running.client().await.get(RELEASE, &[("authorization", &bearer(&secret))]).await;
    assert_eq!(reply.problem(), (500, "internal".into()));
    assert!(!String::from_utf8_lossy(&reply.body).contains("fire"));
}

#[tokio::test]
async fn everything_is_read_only() {
    let running = start(|_| {}).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
        for target in [RELEASE, "/logs/v1/nord", "/api/v1/nord/processes"] {
            if method == "CONNECT" {
                continue;
            }
            let reply = running.client().await.send(method, target, &[]).await.unwrap();
            assert_eq!(reply.problem(), (405, "method_not_allowed".into()), "{method} {target}");
            let allowed = if target.starts_with("/api/") && method != "POST" { "GET, HEAD, POST" } else { "GET, HEAD" };
            assert_eq!(reply.header("allow"), allowed, "{method} {target}");
        }
    }
    let reply = running.client().await.get("/api/v1/mitte/check", &[]).await;
    assert_eq!((reply.problem().0, reply.header("allow")), (405, "POST"));
    // Pages take forms, and say so in a page.
    for (method, target, allowed) in
        [("POST", "/", "GET,HEAD"), ("PUT", "/", "GET, HEAD, POST"), ("CONNECT", "localhost:443", "GET, HEAD, POST")]
    {
        let reply = running.client().await.send(method, target, &[]).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, allowed), "{method} {target}");
    }
}

/// Sends bytes and returns what comes until the server closes.
async fn raw(running: &super::harness::Running, request: &str) -> String {
    let mut tls = dial(running.server.addresses()[0], running.tls()).await.unwrap();
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bodies_are_refused_and_end_the_connection() {
    let running = start(|_| {}).await;
    let smuggled = "GET /api/v1/federations HTTP/1.1\r\nhost: x\r\n\r\n";
    for head in [
        format!("GET {RELEASE} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!(
            "GET {RELEASE} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "GET {RELEASE} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello{smuggled}"
        ),
    ] {
        let answer = raw(&running, &head).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("body_refused"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "what follows is not taken for a request: {answer}");
    }
    let post = raw(&running, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\nabc").await;
    assert!(post.starts_with("HTTP/1.1 413") && post.contains("connection: close"), "{post}");
    let large = "POST /api/v1/mitte/check HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\nabc";
    let large = raw(&running, large).await;
    assert!(large.starts_with("HTTP/1.1 413") && large.contains("body_too_large"), "{large}");
    assert!(large.contains("connection: close"), "{large}");
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let running = start(|_| {}).await;
    for (request, status) in [
        ("GET /api/v1/federations HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), "400"),
        ("GET /api/v1/federations HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".to_owned(), "400"),
        ("GET /api/v1/federations HTTP/1.0\r\n\r\n".to_owned(), "200"),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "a".repeat(4097)), "414"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(64 << 10)), "431"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(100)), "431"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = raw(&running, &request).await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.split(' ').nth(1) == Some(status), "{status}: {line:?} to {:.60}", request);
    }
}
