//! The full-text search of a running node: what it finds that another published, what it hides, and that it comes back.

use serde_json::Value;
use verbund_tests::{Federation, Folder, Node, until};

use super::pulling::Https;

fn search(node: &Node, query: &str) -> Value {
    node.get(&format!("/v1/processes?{query}"))
}

fn names(list: &Value) -> Vec<&str> {
    list["processes"].as_array().unwrap().iter().map(|row| row["process"].as_str().unwrap()).collect()
}

/// Waits for the event that says a release is here, then for the search to know it.
#[track_caller]
fn available(node: &Node, release: &str) {
    until(&format!("{release} is available on {}", node.handle), || {
        let there = |event: &Value| event["code"] == "release_available" && event["release"] == *release;
        if node.events().iter().any(there) { Ok(()) } else { Err("no such event".to_owned()) }
    });
}

#[track_caller]
fn found(node: &Node, query: &str, process: &str) -> Value {
    until(&format!("{} finds {process} by {query}", node.handle), || {
        let list = search(node, query);
        // A plain search would not count: the index answers.
        if list["total"].is_u64() && names(&list).contains(&process) { Ok(list) } else { Err(list.to_string()) }
    })
}

const MODEL: &[u8] = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"><process name="Halterwechsel">
    <documentation>Der Bezirksschornsteinfeger wird benachrichtigt.</documentation></process></definitions>"#
    .as_bytes();

#[test]
fn a_release_is_found_on_a_node_that_does_not_own_it_by_other_words_and_by_its_files() {
    let mut federation = Federation::found(2);
    let folder = Folder::new(federation.world.path(), "fuehrerschein").file("modell.bpmn", MODEL);
    let folder = folder.with("keywords = [\"Fahrerlaubnis\"]\nstage = \"pilot\"");
    federation.publish("de-he", &folder.path);
    available(&federation["de-rp"], "de-he/fuehrerschein@1.0.0");
    for query in ["text=F%C3%BChrerscheine", "text=lappen", "text=99%20108%20001", "text=schornsteinfeger"] {
        found(&federation["de-rp"], query, "de-he/fuehrerschein");
    }
    let list = found(&federation["de-rp"], "text=Schornsteinfeger&stage=pilot", "de-he/fuehrerschein");
    assert_eq!(list["processes"][0]["snippet"]["path"], "modell.bpmn", "{list}");
    assert_eq!(list["facets"]["member"], serde_json::json!([{ "value": "de-he", "count": 1 }]));
    assert!(names(&search(&federation["de-rp"], "text=Schornsteinfeger&stage=produktiv")).is_empty());
    let shown = federation["de-rp"].json("process show de-he/fuehrerschein");
    assert_eq!(shown["recognised"]["modell.bpmn"]["format"], "BPMN", "{shown}");

    // What is withdrawn is found no more, and again if asked for.
    federation["de-he"].command(["withdraw", "de-he/fuehrerschein@1.0.0", "--reason", "Fehler"]).ok();
    until("the withdrawal has reached the search", || {
        let list = search(&federation["de-rp"], "text=lappen");
        if names(&list).is_empty() { Ok(()) } else { Err(list.to_string()) }
    });
    found(&federation["de-rp"], "text=lappen&withdrawn=true", "de-he/fuehrerschein");

    // Damage of every file of the index does not stop the node, and is mended by itself.
    federation["de-rp"].stop();
    for file in std::fs::read_dir(federation["de-rp"].dir.join("search")).unwrap() {
        std::fs::write(file.unwrap().path(), b"x").unwrap();
    }
    federation["de-rp"].start();
    found(&federation["de-rp"], "text=lappen&withdrawn=true", "de-he/fuehrerschein");
}

#[test]
fn what_is_for_others_is_not_found_over_https() {
    let federation = Federation::found(3);
    let folder = |name: &str| Folder::new(federation.world.path(), name);
    federation.publish("de-he", &folder("offen").with("keywords = [\"Waldkindergarten\"]").path);
    let closed = folder("geheim").with("keywords = [\"Waldkindergarten\"]\naudience = { members = [\"de-rp\"] }");
    federation.publish("de-he", &closed.path);
    available(&federation["de-rp"], "de-he/geheim@1.0.0");
    // Operators see all titles; once the index of the third knows both, it hides one from systems.
    for node in ["de-rp", "de-sl"] {
        found(&federation[node], "text=waldkindergarten", "de-he/offen");
        found(&federation[node], "text=waldkindergarten", "de-he/geheim");
    }
    let over_https = |node: &str| {
        let scratch = federation.world.join(&format!("curl-{node}"));
        std::fs::create_dir_all(&scratch).unwrap();
        let https = Https::new(&federation[node], &scratch)?;
        let reply = https.get("/api/v1/mitte/processes?q=Waldkindergaerten", &[]);
        assert_eq!(reply.status, 200);
        let text = reply.json().to_string();
        Some((text.contains("\"offen\""), text.contains("geheim")))
    };
    let (Some(admitted), Some(other)) = (over_https("de-rp"), over_https("de-sl")) else { return };
    assert_eq!((admitted, other), ((true, true), (true, false)));
}
