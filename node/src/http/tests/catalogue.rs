//! Lists, processes, releases, proofs and the forms of their answers.

use super::client::finish;
use super::fake::PROOF_BYTES;
use super::harness::{RELEASE, bearer, start};

#[tokio::test]
async fn federations_are_listed_as_far_as_the_token_goes() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let slugs = |reply: &super::client::Reply| {
        let json = reply.json();
        json["items"].as_array().unwrap().iter().map(|f| f["slug"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(slugs(&client.get("/api/v1/federations", &[]).await), ["mitte", "sued"]);
    let (secret, _) = running.token("x", Some(&["sued"]), None).await;
    let reply = client.get("/api/v1/federations", &[("authorization", &bearer(&secret))]).await;
    assert_eq!(slugs(&reply), ["sued"]);
    assert_eq!(reply.json()["items"][0]["processes"], "/api/v1/sued/processes");
    assert!(!String::from_utf8_lossy(&reply.body).contains("mitte"));
}

#[tokio::test]
async fn a_list_is_walked_to_its_end_with_cursors() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let (mut seen, mut target, mut pages) = (Vec::new(), "/api/v1/mitte/processes?limit=200".to_owned(), 0);
    loop {
        let json = client.get(&target, &[]).await.json();
        let items = json["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["slug"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(cursor) = json["next"].as_str() else { break };
        target = format!("/api/v1/mitte/processes?limit=200&cursor={cursor}");
    }
    assert_eq!((seen.len(), pages), (450, 3));
    assert!(seen.is_sorted());
    let first = client.get("/api/v1/mitte/processes", &[]).await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 50);
    assert_eq!(first["items"][0]["release"], "/api/v1/mitte/releases/de-he/p-000/1.0.0");
}

#[tokio::test]
async fn a_search_text_is_decoded_once() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for q in ["Pr%C3%BCfung+%26+mehr", "%20Pr%c3%bcfung%20%26%20mehr+"] {
        let json = client.get(&format!("/api/v1/mitte/processes?q={q}"), &[]).await.json();
        assert_eq!(json["items"][0]["slug"], "pruefung", "{q}");
    }
    let none = client.get("/api/v1/mitte/processes?q=nichts", &[]).await.json();
    assert_eq!((none["items"].as_array().unwrap().len(), none["next"].is_null()), (0, true));
}

#[tokio::test]
async fn parameters_are_checked() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let long = format!("q={}", "x".repeat(201));
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=5&limit=5",
        "seach=x",
        "q=%00",
        "q=%zz",
        "q=%ff",
        &long,
    ] {
        let reply = client.get(&format!("/api/v1/mitte/processes?{query}"), &[]).await;
        assert_eq!(reply.problem(), (400, "invalid_parameter".into()), "{query}");
    }
    assert_eq!(client.get(&format!("{RELEASE}?x=1"), &[]).await.problem().1, "invalid_parameter");
    let cursor = client.get("/api/v1/mitte/processes", &[]).await.json()["next"].as_str().unwrap().to_owned();
    for target in [
        format!("/api/v1/mitte/processes?q=x&cursor={cursor}"),
        format!("/api/v1/sued/processes?cursor={cursor}"),
        format!("/api/v1/mitte/processes/de-he/hundesteuer/versions?cursor={cursor}"),
        "/api/v1/mitte/processes?cursor=AAAA".into(),
        "/api/v1/mitte/processes?cursor=".into(),
    ] {
        assert_eq!(client.get(&target, &[]).await.problem(), (400, "invalid_cursor".into()), "{target}");
    }
}

#[tokio::test]
async fn processes_and_versions() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let process = client.get("/api/v1/mitte/processes/de-he/hundesteuer", &[]).await.json();
    assert_eq!(process["latest"], "1.2.0");
    assert_eq!(process["latest_release"], RELEASE);
    let versions = client.get(process["versions"].as_str().unwrap(), &[]).await.json();
    let listed: Vec<_> = versions["items"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!(listed, ["2.0.0", "1.2.0", "1.0.0"]);
    assert_eq!(versions["items"][0]["available"], false);
}

#[tokio::test]
async fn a_release_lists_files_that_can_be_fetched() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let json = client.get(RELEASE, &[]).await.json();
    assert_eq!((json["available"].clone(), json["evidence"]["witnessed"].clone()), (true.into(), 3.into()));
    let files = json["files"].as_array().unwrap();
    let file = files.iter().find(|f| f["path"] == "formulare/Prüfung 1.html").unwrap();
    let reply = client.get(file["href"].as_str().unwrap(), &[]).await;
    assert_eq!(reply.header("etag"), format!("\"{}\"", file["sha256"].as_str().unwrap()));
    let missing = client.get("/api/v1/mitte/releases/de-he/hundesteuer/2.0.0", &[]).await.json();
    assert_eq!(
        (missing["available"].clone(), missing["unavailable"].clone()),
        (false.into(), "2 of 7 files are missing".into())
    );
}

#[tokio::test]
async fn latest_leads_to_the_exact_version() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let base = "/api/v1/mitte/releases/de-he/hundesteuer/latest";
    for rest in ["", "/provenance", "/files/formulare/Pr%C3%BCfung%201.html"] {
        let reply = client.get(&format!("{base}{rest}"), &[]).await;
        assert_eq!(reply.status.as_u16(), 307);
        assert_eq!(reply.header("location"), format!("{RELEASE}{rest}"));
        assert_eq!(reply.header("cache-control"), "no-cache");
        assert_eq!(client.get(reply.header("location"), &[]).await.status.as_u16(), 200);
    }
    let none = client.get("/api/v1/mitte/releases/de-he/ohne-version/latest", &[]).await;
    assert_eq!(none.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn json_is_kept_and_asked_for_again() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for target in [RELEASE.to_owned(), format!("{RELEASE}/provenance"), "/api/v1/federations".into()] {
        let first = client.get(&target, &[]).await;
        assert_eq!(first.header("cache-control"), "private, no-cache");
        assert_eq!(first.header("vary"), "Authorization");
        let again = client.get(&target, &[("if-none-match", first.header("etag"))]).await;
        assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, first.header("etag")));
        assert_eq!(client.get(&target, &[("if-match", "\"x\"")]).await.problem().0, 412);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_a_problem() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for target in [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/federations",
        "/api/v1/nord",
        "/api/v1/nord/processes",
        "/api/v1/MITTE/processes",
        "/api/v1/%2e%2e/processes",
        "/api/v1/mitte/processes/",
        "/api/v1/mitte/processes/de-he/unbekannt",
        "/api/v1/mitte/processes/DE-HE/hundesteuer",
        "/api/v1/mitte/releases/de-he/hundesteuer/1.2",
        "/api/v1/mitte/releases/de-he/hundesteuer/3.0.0",
        "/api/v1/mitte/releases/de-he/hundesteuer/v1.2.0",
        "/api/v1/mitte/releases/de-he/hundesteuer/1.0.0/provenance",
        "/api/v1/mitte/releases/de-he/hundesteuer/1.2.0/files",
    ] {
        assert_eq!(client.get(target, &[]).await.problem(), (404, "not_found".into()), "{target}");
    }
    let plus = client.get("/api/v1/mitte/releases/de-he/hundesteuer/1.2.0-beta.1+x", &[]).await.json();
    assert_eq!(plus["version"], "1.2.0-beta.1+x");
}

#[tokio::test]
async fn inner_reasons_stay_inside() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for q in ["intern", "lang"] {
        let reply = client.get(&format!("/api/v1/mitte/processes?q={q}"), &[]).await;
        assert_eq!(reply.problem(), (500, "internal".into()));
        assert!(!String::from_utf8_lossy(&reply.body).contains("secret"));
    }
}

#[tokio::test]
async fn large_answers_take_memory_and_give_it_back() {
    let running = start(|config| {
        config.limits.answers_kib = 1;
    })
    .await;
    let target = "/api/v1/mitte/releases/de-he/hundesteuer/1.9.0/provenance";
    let (mut slow, mut other) = (running.client().await, running.client().await);
    let begun = slow.begin("GET", target, &[]).await.unwrap();
    assert_eq!(other.get(target, &[]).await.problem(), (503, "busy".into()));
    assert_eq!(other.get(RELEASE, &[]).await.status.as_u16(), 200, "small ones are not held up");
    let reply = finish(begun).await;
    assert!(!reply.cut && reply.body.len() > PROOF_BYTES);
    let again = other.get(target, &[]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (200, reply.body.len()));
}
