//! The API as IT systems use it: its document, what is hidden, changes, archives, digests, and the command line over HTTPS.

#[path = "api/catalog.rs"]
mod catalog;
#[path = "api/schema.rs"]
mod schema;
#[path = "api/webhook.rs"]
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use verbund_tests::{Federation, Folder, Node, noise, until};

use super::pulling::{Https, Reply, certificate};

/// A federation whose nodes answer without a token too.
fn open_to_all(n: usize) -> Federation {
    Federation::found_with(n, |node| {
        node.set("https.anonymous", "true");
    })
}

/// For `de-rp` only.
fn hidden(root: &Path) -> Folder {
    Folder::new(root, "geheimsache").with("audience = { members = [\"de-rp\"] }").file("plan.txt", b"geheimer Plan")
}

fn public(root: &Path, id: &str) -> Folder {
    Folder::new(root, id).with("audience = \"public\"")
}

/// Withdraws a release.
fn withdraw(node: &Node, release: &str) {
    node.command(["withdraw", release, "--reason", "fehlerhaft", "--severity", "urgent"]).ok();
}

/// Waits until a node tells of a change.
fn told(https: &Https<'_>, kind: &str, slug: &str) -> Value {
    until(&format!("{kind} of {slug} is told"), || {
        let list = https.get("/api/v1/mitte/changes?limit=200", &[]).json();
        let fits = |item: &&Value| item["kind"] == kind && (slug.is_empty() || item["release"]["slug"] == slug);
        let found = list["items"].as_array().into_iter().flatten().find(fits).cloned();
        found.ok_or_else(|| list.to_string())
    })
}

#[test]
fn real_answers_are_what_the_document_says() {
    let federation = open_to_all(2);
    federation.publish("de-he", &public(federation.world.path(), "fundsache").path);
    federation.hold(&["de-he", "de-rp"], 1);
    withdraw(&federation["de-he"], "de-he/fundsache@1.0.0");
    let second = public(federation.world.path(), "fundsache").version("1.1.0");
    federation.publish("de-he", &second.path);
    federation.hold(&["de-he", "de-rp"], 2);
    let Some(https) = Https::new(&federation["de-rp"], federation.world.path()) else { return };
    told(&https, "release.available", "fundsache");
    told(&https, "release.withdrawn", "fundsache");
    let document = https.plain("/api/v1/openapi.json", &[]).json();
    assert_eq!(document["openapi"], "3.1.0");
    let release = https.get("/api/v1/mitte/releases/de-he/fundsache/1.1.0", &[]).json();
    let manifest = release["manifest"].as_str().unwrap().to_owned();

    let parameters = [
        ("{federation}", "mitte"),
        ("{member}", "de-he"),
        ("{slug}", "fundsache"),
        ("{version}", "1.1.0"),
        ("{path}", "hinweise.txt"),
    ];
    let mut seen: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let fill = |version: &str| {
                let filled = parameters.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
                filled.replace("/1.1.0", &format!("/{version}"))
            };
            let body = json!({ "digests": [manifest, "0".repeat(64)] }).to_string();
            let post: Vec<&str> = if method == "post" { vec!["--data", &body] } else { Vec::new() };
            let mut asks: Vec<(String, Vec<&str>)> = vec![
                (fill("1.1.0"), post.clone()),
                (format!("{}?unknown=1", fill("1.1.0")), post.clone()),
                (fill("1.1.0"), vec!["--request", "PUT"]),
                (fill("1.1.0"), vec!["--header", "Authorization: Bearer vbt_x"]),
            ];
            if path.contains("{version}") {
                asks.extend([(fill("latest"), vec![]), (fill("1.0.0"), vec![]), (fill("9.9.9"), vec![])]);
            }
            if path.contains("{federation}") {
                asks.push((fill("1.1.0").replace("mitte", "gibts-nicht"), post.clone()));
            }
            if path.contains("/changes") || path.ends_with(".atom") {
                let name = if path.ends_with(".atom") { "before" } else { "since" };
                asks.push((format!("{}?{name}=x", fill("1.1.0")), vec![]));
            }
            if method == "post" {
                asks.push((fill("1.1.0"), vec!["--data", "{"]));
            }
            for (target, extra) in asks {
                // A stream does not end: its head is what is looked at.
                let head = path.ends_with("/stream") && !target.contains('?');
                let extra: Vec<&str> = if head { [extra.as_slice(), &["--head"]].concat() } else { extra };
                let reply =
                    if extra.contains(&"--header") { https.plain(&target, &extra) } else { https.get(&target, &extra) };
                fits(&document, operation, &target, &reply);
                seen.entry(operation["operationId"].as_str().unwrap().to_owned()).or_default().insert(reply.status);
            }
        }
    }
    assert!(seen.len() >= 15, "{seen:?}");
    assert!(seen.values().all(|statuses| statuses.contains(&200) && statuses.contains(&400)), "{seen:?}");
    assert!(seen["getRelease"].is_superset(&BTreeSet::from([200, 307, 404, 405, 401])), "{seen:?}");
}

/// An answer whose status is documented, and whose body is of the form that is.
fn fits(document: &Value, operation: &Value, target: &str, reply: &Reply) {
    let answer = &operation["responses"][reply.status.to_string()];
    assert!(answer.is_object(), "{target}: {} is not documented: {}", reply.status, operation["responses"]);
    // Of HEAD, curl puts the head where a body would be.
    if reply.body.is_empty() || reply.body.starts_with(b"HTTP/1.1 ") {
        return;
    }
    let kind = reply.header("content-type").split(';').next().unwrap_or_default().to_owned();
    let content = answer["content"].as_object().unwrap_or_else(|| panic!("{target}: a body that is not documented"));
    let Some(content) = content.get(&kind).or_else(|| content.get("*/*")) else {
        panic!("{target}: {kind} is not documented: {answer}");
    };
    if let Some(schema) = content.get("schema") {
        let misfits = schema::misfits(document, schema, &reply.json());
        assert!(misfits.is_empty(), "{target}: {misfits:#?}\n{:#}", reply.json());
    }
}

#[test]
fn what_is_hidden_is_nowhere() {
    let federation = open_to_all(3);
    let world = federation.world.path();
    let published = federation.publish("de-he", &hidden(world).path);
    federation.publish("de-he", &public(world, "fundsache").path);
    federation.hold(&["de-he", "de-rp"], 2);
    let digest = published["digest"].as_str().unwrap().to_owned();
    let Some(owner) = Https::new(&federation["de-he"], world) else { return };
    let (Some(guest), Some(stranger)) =
        (Https::new(&federation["de-rp"], world), Https::new(&federation["de-sl"], world))
    else {
        return;
    };
    told(&stranger, "release.available", "fundsache");
    let release = owner.get("/api/v1/mitte/releases/de-he/geheimsache/1.0.0", &[]).json();
    let manifest = release["manifest"].as_str().unwrap().to_owned();
    let files = release["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == "plan.txt").unwrap()["sha256"].as_str().unwrap().to_owned();
    withdraw(&federation["de-he"], "de-he/geheimsache@1.0.0");
    for may in [&owner, &guest] {
        told(may, "release.withdrawn", "geheimsache");
    }
    // What came after it has arrived, so it has too.
    federation.publish("de-he", &public(world, "wohngeld").path);
    told(&stranger, "release.available", "wohngeld");

    let lists = [
        "/federations",
        "/mitte",
        "/mitte/members",
        "/mitte/processes?limit=200",
        "/mitte/processes?q=geheim",
        "/mitte/changes?limit=200",
        "/mitte/feed.atom",
        "/mitte/catalog.jsonld?limit=200",
        "/openapi.json",
    ];
    let below = [
        "/mitte/processes/de-he/NAME",
        "/mitte/processes/de-he/NAME/versions",
        "/mitte/releases/de-he/NAME/1.0.0",
        "/mitte/releases/de-he/NAME/latest",
        "/mitte/releases/de-he/NAME/1.0.0/provenance",
        "/mitte/releases/de-he/NAME/1.0.0/bundle.tar.zst",
        "/mitte/releases/de-he/NAME/1.0.0/bundle.tar.zst?proof=false",
        "/mitte/releases/de-he/NAME/1.0.0/files/plan.txt",
    ];
    let question = json!({ "digests": [digest, manifest, file] }).to_string();
    let ask = |https: &Https<'_>, token: bool, path: &str, extra: &[&str]| {
        let path = format!("/api/v1{path}");
        if token { https.get(&path, extra) } else { https.plain(&path, extra) }
    };
    // The owner without a token, the member that may not have it, with and without one.
    for (who, https, token) in
        [("nobody at de-he", &owner, false), ("de-sl", &stranger, true), ("nobody at de-sl", &stranger, false)]
    {
        for path in lists {
            let reply = ask(https, token, path, &[]);
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            assert_eq!(reply.status, 200, "{who}: {path}: {text}");
            let about = [digest.as_str(), &manifest, &file].iter().any(|secret| text.contains(secret));
            assert!(!about && !text.contains("geheim"), "{who}: {path}: {text}");
        }
        for path in below {
            let reply = |name: &str| ask(https, token, &path.replace("NAME", name), &[]);
            let (there, absent) = (reply("geheimsache"), reply("gibtsnicht"));
            assert_eq!((there.status, &there.body), (404, &absent.body), "{who}: {path}");
        }
        let checked = ask(https, token, "/mitte/check", &["--data", &question]).json();
        for item in checked["items"].as_array().unwrap() {
            assert_eq!((&item["standing"], &item["release"]), (&json!("unknown"), &Value::Null), "{who}: {item}");
        }
    }
    // Those who may have it see it in all of these places.
    for (who, https) in [("de-he", &owner), ("de-rp", &guest)] {
        for path in ["/mitte/processes?limit=200", "/mitte/changes?limit=200", "/mitte/feed.atom"] {
            let text = String::from_utf8_lossy(&ask(https, true, path, &[]).body).into_owned();
            assert!(text.contains("geheimsache"), "{who}: {path}: {text}");
        }
        let checked = ask(https, true, "/mitte/check", &["--data", &question]).json();
        let kinds: Vec<_> = checked["items"].as_array().unwrap().iter().map(|item| item["kind"].clone()).collect();
        assert_eq!(kinds, ["release", "manifest", "file"], "{who}: {checked}");
        assert!(checked["items"].as_array().unwrap().iter().all(|item| item["standing"] == "withdrawn"), "{checked}");
    }
}

#[test]
fn an_archive_is_whole_verifies_and_is_the_same_on_every_node() {
    let federation = Federation::found(2);
    let world = federation.world.path();
    let long = format!("modelle/{}/Straße & mehr.bpmn", "ebene".repeat(30));
    let big = noise(5, 3 << 20);
    let folder = Folder::new(world, "hundesteuer").file(&long, &big).file("leer.txt", b"");
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    let target = "/api/v1/mitte/releases/de-he/hundesteuer/1.0.0/bundle.tar.zst";
    let (mut plain, mut frames) = (Vec::new(), Vec::new());
    for handle in ["de-he", "de-rp"] {
        let Some(https) = Https::new(&federation[handle], world) else { return };
        let without = https.get(&format!("{target}?proof=false"), &[]);
        assert_eq!(without.status, 200);
        let tag = without.header("etag").to_owned();
        assert!(without.header("cache-control").contains("immutable"));
        let known = format!("If-None-Match: {tag}");
        assert_eq!(https.get(&format!("{target}?proof=false"), &["--header", &known]).status, 304);
        plain.push((tag, without.body));
        let whole = https.get(target, &[]);
        assert_eq!(whole.status, 200);
        let out = world.join(format!("ausgepackt-{handle}"));
        unpack(&whole.body, &out);
        let trust = federation.trust(handle);
        federation[handle].command(["process", "verify", out.to_str().unwrap(), "--trust", &trust]).ok();
        assert!(
            std::fs::read(out.join(&long)).unwrap() == big && std::fs::read(out.join("leer.txt")).unwrap().is_empty()
        );
        // The same folder as a pull makes.
        let pulled = world.join(format!("geholt-{handle}"));
        federation[handle].command(["process", "pull", "de-he/hundesteuer", pulled.to_str().unwrap()]).ok();
        for file in [long.as_str(), "leer.txt", "process.toml", "hinweise.txt"] {
            assert!(std::fs::read(out.join(file)).unwrap() == std::fs::read(pulled.join(file)).unwrap(), "{file}");
        }
        frames.push(whole.body);
    }
    assert!(plain[0] == plain[1], "without proof it is the same on both nodes, byte for byte");
    // The frame of the files, which comes first, is the same with the proof too.
    let same = frames[0].iter().zip(&frames[1]).take_while(|(a, b)| a == b).count();
    assert!(same >= plain[0].1.len() - 64, "{same} of {} bytes are the same", plain[0].1.len());
}

/// Unpacks an archive; `tar` of the system does it, as it would for an administrator.
fn unpack(bytes: &[u8], out: &Path) {
    std::fs::create_dir_all(out).unwrap();
    let archive = out.with_extension("tar.zst");
    std::fs::write(&archive, bytes).unwrap();
    let output = Command::new("tar").args(["--zstd", "-xf"]).arg(&archive).arg("-C").arg(out).output().expect("tar");
    assert!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn changes_go_on_after_a_restart_and_are_streamed() {
    let mut federation = Federation::found(2);
    let world = federation.world.path().to_owned();
    federation.publish("de-he", &Folder::new(&world, "fundsache").path);
    let cursor = {
        let Some(https) = Https::new(&federation["de-rp"], &world) else { return };
        told(&https, "release.available", "fundsache");
        let list = https.get("/api/v1/mitte/changes", &[]).json();
        let kinds: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["kind"].clone()).collect();
        assert!(kinds.contains(&json!("member.joined")), "{list}");
        list["next"].as_str().unwrap().to_owned()
    };
    federation["de-rp"].restart();
    federation.connected();
    let Some(https) = Https::with(&federation["de-rp"], &world, &["--quiet", "token", "create", "b"]) else { return };
    let target = format!("/api/v1/mitte/changes?since={cursor}");
    assert_eq!(https.get(&target, &[]).json()["items"], json!([]), "nothing comes twice");
    federation.publish("de-he", &Folder::new(&world, "fundsache").version("1.1.0").path);
    until("the new version is told", || match https.get(&target, &[]).json()["items"].as_array().map(Vec::len) {
        Some(1) => Ok(()),
        other => Err(format!("{other:?} changes")),
    });
    withdraw(&federation["de-he"], "de-he/fundsache@1.0.0");
    told(&https, "release.withdrawn", "fundsache");
    let list = https.get(&target, &[]).json();
    let seen: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["kind"].clone()).collect();
    assert_eq!(seen, ["release.available", "release.withdrawn"], "{list}");
    // curl ends the stream after two seconds: all there is has come by then.
    let asks =
        ["--no-buffer", "--header", "Accept: text/event-stream", "--header", &format!("Last-Event-ID: {cursor}")];
    let stream = https.streamed("/api/v1/mitte/changes", &asks, "release.withdrawn");
    assert_eq!(stream.matches("\nevent: ").count(), 2, "{stream}");
    let ids: Vec<_> = stream.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids[1], list["next"].as_str().unwrap());
}

/// What both say. Snippets, counts and what files are come from the node's index, which the API does not show yet.
fn shared(text: &str) -> Value {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return json!(text) };
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| !matches!(key.as_str(), "total" | "facets" | "recognised"));
    }
    for row in value.get_mut("processes").and_then(Value::as_array_mut).into_iter().flatten() {
        row.as_object_mut().map(|fields| fields.remove("snippet"));
    }
    value
}

#[test]
fn the_command_line_works_over_https_as_it_does_here() {
    let federation = Federation::found(2);
    let world = federation.world.path();
    federation.publish("de-he", &Folder::new(world, "hundesteuer").file("a/b.txt", &noise(3, 200_000)).path);
    federation.publish("de-he", &Folder::new(world, "wohngeld").path);
    federation.hold(&["de-he", "de-rp"], 2);
    let node = &federation["de-rp"];
    let (address, token) = (node.status()["addresses"]["https"][0].as_str().unwrap().to_owned(), world.join("token"));
    std::fs::write(&token, node.command(["--quiet", "token", "create", "remote"]).ok()).unwrap();
    let certificate = certificate(node);
    let remote = |more: &[&str]| {
        let server = format!("https://{address}");
        let flags = ["--server", &server, "--token-file", token.to_str().unwrap(), "--cacert"];
        node.command([&flags[..], &[certificate.to_str().unwrap()], more].concat())
    };
    for line in [
        &["process", "ls"][..],
        &["process", "search", "hunde"],
        &["--json", "process", "search", "hunde"],
        &["--json", "process", "show", "de-he/hundesteuer@^1"],
    ] {
        let (there, here) = (remote(line).ok(), node.command(line).ok());
        assert_eq!(shared(&there), shared(&here), "{line:?}");
    }
    let digest = node.json("process show de-he/hundesteuer")["digest"].as_str().unwrap().to_owned();
    let (out, other) = (world.join("geholt/hundesteuer"), world.join("geholt/wohngeld"));
    remote(&["process", "pull", &digest, out.to_str().unwrap()]).ok();
    remote(&["process", "pull", "mitte:de-he/wohngeld@1.0.0", other.to_str().unwrap()]).ok();
    node.command(["process", "verify", out.to_str().unwrap(), "--trust", &federation.trust("de-rp")]).ok();
    let again = remote(&["--json", "process", "pull", "de-he/hundesteuer", out.to_str().unwrap()]).json();
    assert_eq!((again["written"].as_array().unwrap().len(), &again["unchanged"]), (0, &json!(3)), "{again}");

    let folder = world.join("geholt");
    let outdated = ["--json", "process", "outdated", folder.to_str().unwrap()];
    let both = || (remote(&outdated), node.command(outdated));
    let (there, here) = both();
    assert_eq!((there.code, there.stdout.clone()), (0, here.stdout.clone()), "{there} {here}");
    withdraw(&federation["de-he"], "de-he/wohngeld@1.0.0");
    federation.publish("de-he", &Folder::new(world, "hundesteuer").version("1.1.0").path);
    federation.hold(&["de-rp"], 3);
    until("the recall is known", || {
        let (there, here) = both();
        let standing = |text: &str| {
            let rows: Value = serde_json::from_str(text).unwrap_or_default();
            rows.as_array().into_iter().flatten().map(|row| row["standing"].clone()).collect::<Vec<_>>()
        };
        let wanted = vec![json!("superseded"), json!("withdrawn")];
        let said = (there.code, standing(&there.stdout), here.code, standing(&here.stdout));
        if said == (8, wanted.clone(), 8, wanted) { Ok(()) } else { Err(format!("{said:?}")) }
    });
    let (there, here) = both();
    assert_eq!(there.stdout, here.stdout);
    // Refusals have the exit codes of the local command.
    remote(&["process", "show", "de-he/gibtsnicht"]).refused(3);
    remote(&["status"]).refused(2);
    node.command(["--server", &format!("https://{address}"), "process", "ls"]).refused(5);
    std::fs::write(&token, "vbt_falsch").unwrap();
    remote(&["process", "ls"]).refused(4);
}
