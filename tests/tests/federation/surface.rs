//! What users see and may rely on: exit codes, JSON, words, what a command leaves behind, and what never stands in a log.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use verbund_tests::{Federation, Folder, Node, Outcome, World, until};

/// The one JSON object on stderr of a command with `--json` that must have failed so.
#[track_caller]
fn problem(said: Outcome, exit: i32) -> Value {
    assert_eq!(said.code, exit, "{said}");
    assert_eq!(said.stdout, "", "{said}");
    let value: Value = serde_json::from_str(said.stderr.trim()).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(value["error"]["exit"], exit, "{said}");
    value["error"].clone()
}

/// `curl` against the HTTPS interface of a node: status and body.
fn curl(node: &Node, token: &str, path: &str) -> (u16, String) {
    let address = node.status()["addresses"]["https"][0].as_str().unwrap().to_owned();
    let output = Command::new("curl")
        .args(["-sS", "-m", "20", "-w", "\n%{http_code}", "--cacert"])
        .arg(node.dir.join("https.crt"))
        .args(["-H", &format!("Authorization: Bearer {token}"), &format!("https://{address}{path}")])
        .output()
        .expect("curl starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{output:?}"));
    (status.parse().unwrap_or(0), body.to_owned())
}

#[test]
fn failures_have_stable_exit_codes_and_are_json_where_it_is_asked_for() {
    let world = World::new();
    let mut node = world.init("de-he", "Hessen");
    // Without a daemon.
    assert_eq!(problem(node.cli("--json status"), 5)["code"], "unreachable");
    assert_eq!(problem(node.cli("--json process pull"), 2)["code"], "usage");
    assert_eq!(problem(node.cli("--json nonsense"), 2)["code"], "usage");
    assert!(node.cli("nonsense").refused(2).contains("Usage"), "people see how it is used");
    let again = node.command(["--json", "init", "--handle", "de-rp", "--name", "x"]);
    assert!(problem(again, 1)["detail"].as_str().unwrap().contains("initialised already for de-he"));
    let elsewhere = Node::at(world.join("nowhere"), "de-xx");
    assert!(elsewhere.cli("run").refused(3).contains("there is no data directory"));
    // With one.
    node.start();
    assert!(node.cli("run").refused(1).contains(&node.pid().to_string()), "a second daemon names the first");
    assert_eq!(problem(node.cli("--json process ls"), 3)["code"], "not_found");
    node.command(["federation", "create", "Mitte"]).ok();
    assert_eq!(problem(node.cli("--json process show nonsense"), 2)["code"], "bad_reference");
    assert_eq!(problem(node.cli("--json process show de-he/nichts"), 3)["code"], "not_found");
    assert_eq!(problem(node.cli("--json peer add verbund1_xx"), 2)["code"], "bad_ticket");
    let short = problem(node.cli("--json invite --for de-rp --valid-for 0s"), 2);
    assert!(short["next_step"].as_str().unwrap().contains("--valid-for"), "{short}");
    assert_eq!(problem(node.cli("--json publish nowhere"), 3)["code"], "not_found");
    node.command(["federation", "create", "Süd"]).ok();
    let several = problem(node.cli("--json process ls"), 2);
    assert_eq!(several["code"], "federation_required");
    let text = several.to_string();
    assert!(text.contains("mitte") && text.contains("sued") && text.contains("--federation"), "{text}");
    // A reader that leaves early is no failure.
    let line =
        format!("'{}' --data-dir '{}' --help | head -n 1", verbund_tests::program().display(), node.dir.display());
    let piped = Command::new("bash").args(["-c", &format!("set -o pipefail; {line}")]).output().unwrap();
    assert!(piped.status.success(), "{piped:?}");
}

#[test]
fn a_single_file_is_published_without_process_toml() {
    let federation = Federation::found(2);
    let root = federation.world.join("ablage");
    std::fs::create_dir(&root).unwrap();
    let file = root.join("Fundsache melden.txt");
    std::fs::write(&file, "Hinweise für die Fundsachenmeldung\n").unwrap();
    let path = file.to_str().unwrap();
    let node = &federation["de-he"];

    let said = node.command(["publish", path]).refused(1);
    assert!(said.contains("contact") && said.contains("publish-defaults.toml"), "{said}");
    let defaults = "contact = \"prozesse@example.org\"\nlevel = [\"kommunal\"]\nmaintenance = \"internal\"\n\
                    platform = { name = \"civento\" }\n";
    std::fs::write(root.join("publish-defaults.toml"), defaults).unwrap();
    let said = node.command(["publish", root.to_str().unwrap(), "--title", "x"]).refused(2);
    assert!(said.contains("process.toml"), "{said}");

    let first = node.command(["--json", "publish", path, "--wait", "held", "--timeout", "60s"]).json();
    assert_eq!(first["release"], "de-he/fundsache-melden@1.0.0");
    let again = node.command(["--json", "publish", path]).json();
    assert_eq!((&again["unchanged"], &again["digest"]), (&Value::Bool(true), &first["digest"]));
    // The same bytes under another title say something new.
    let titled = node.command(["--json", "publish", path, "--title", "Fundsache", "--kind", "redaktionell"]).json();
    assert_eq!(titled["release"], "de-he/fundsache-melden@1.0.1");
    federation.hold(&["de-he", "de-rp"], 2);

    let out = federation.world.join("out");
    federation["de-rp"].command(["process", "pull", "de-he/fundsache-melden", out.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read(out.join("Fundsache melden.txt")).unwrap(), std::fs::read(&file).unwrap());
    let names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the file and .verbund, nothing made up: {names:?}");
}

#[test]
fn only_the_release_that_was_named_is_withdrawn_and_only_by_its_owner() {
    let federation = Federation::found(2);
    // Both publish a process of the same name.
    for handle in ["de-he", "de-rp"] {
        let folder = Folder::new(&federation.world.join(handle.trim_start_matches("de-")), "fund");
        federation.publish(handle, &folder.path);
    }
    federation.hold(&["de-he", "de-rp"], 2);
    let rp = &federation["de-rp"];
    let said = rp.command(["withdraw", "de-he/fund@1.0.0", "--reason", "x"]).refused(4);
    assert!(said.contains("de-he"), "{said}");
    let said = rp.command(["withdraw", "de-rp/fund", "--reason", "x"]).refused(2);
    assert!(said.contains("VERSION"), "{said}");
    assert!(rp.json("process show de-rp/fund")["withdrawn"].is_null(), "the own one of that name is untouched");
    rp.command(["withdraw", "mitte:de-rp/fund@1.0.0", "--reason", "Fehler"]).ok();
    assert!(rp.json("process show de-rp/fund@1.0.0")["withdrawn"].as_str().unwrap().contains("Fehler"));
    assert!(rp.json("process show de-he/fund@1.0.0")["withdrawn"].is_null());
}

#[test]
fn a_release_for_named_members_is_complete_when_they_hold_it() {
    let federation = Federation::found(3);
    let folder = Folder::new(federation.world.path(), "intern").with("audience = { members = [\"de-rp\"] }");
    let said = federation["de-he"].command([
        "--json",
        "publish",
        folder.path.to_str().unwrap(),
        "--wait",
        "held",
        "--timeout",
        "60s",
    ]);
    let published = said.json();
    assert_eq!(published["audience"], serde_json::json!(["de-rp"]));
    assert_eq!(published["members"], serde_json::json!(["de-rp", "de-sl"]));
    assert_eq!(published["reached"]["held_by"], serde_json::json!(["de-rp"]));
    // Its files are nobody else's business.
    let out = federation.world.join("out");
    let said = federation["de-sl"].command(["process", "pull", "de-he/intern", out.to_str().unwrap()]);
    assert!(said.code != 0 && !out.join("hinweise.txt").exists(), "{said}");
    let token = federation["de-sl"].command(["token", "create", "IT"]).ok();
    let (status, body) =
        curl(&federation["de-sl"], token.trim(), "/api/v1/mitte/releases/de-he/intern/1.0.0/files/hinweise.txt");
    assert!(status != 200 && !body.contains("Hinweise zu intern"), "{status} {body}");
}

#[test]
fn open_requests_say_since_when_a_member_is_away() {
    let mut federation = Federation::found(2);
    let newcomer = federation.world.start("de-th", "Thüringen");
    let ticket = federation.invite("de-th");
    let said = newcomer.command(["peer", "add", ticket.as_str()]);
    assert!(said.stdout.contains("0 of 2 approvals"), "the newcomer knows at once how many it takes: {said}");
    assert!(said.stderr.contains("member admit de-th"), "{said}");
    federation.requested(&federation["de-he"], "de-th");
    federation["de-rp"].stop();
    let away = |node: &Node| {
        let open = node.get("/v1/members/requests")["requests"][0].clone();
        open["approvals"].as_array().unwrap().iter().find(|a| a["handle"] == "de-rp").unwrap()["disconnected_since"]
            .as_str()
            .map(str::to_owned)
    };
    let first = until("de-rp is seen to be away", || away(&federation["de-he"]).ok_or_else(|| "it is not".to_owned()));
    // A second look, by a command that takes its time: the moment stays.
    let said = federation["de-he"].cli("member requests").ok();
    assert!(said.contains("0 of 2") && said.contains("de-rp – not connected for"), "{said}");
    assert_eq!(away(&federation["de-he"]), Some(first));
    // An admission by member id is the same as one by handle.
    let member = federation["de-he"].json("member requests")["requests"][0]["member"].as_str().unwrap().to_owned();
    let said = federation["de-he"].command(["member", "admit", member.as_str()]).ok();
    assert!(said.contains("1 of 2 approvals"), "{said}");
}

#[test]
fn a_pull_that_is_refused_leaves_a_folder_as_it_was_and_verify_says_what_is_wrong() {
    let federation = Federation::found(1);
    let node = &federation["de-he"];
    let folder = Folder::new(federation.world.path(), "fund");
    federation.publish("de-he", &folder.path);
    let out = federation.world.join("fremd");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("hinweise.txt"), "meins").unwrap();
    let target = out.to_str().unwrap();
    node.command(["process", "pull", "de-he/fund", target]).refused(1);
    let names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["hinweise.txt"]);
    assert_eq!(std::fs::read(out.join("hinweise.txt")).unwrap(), b"meins");
    let said = node.command(["process", "pull", "de-he/fund", out.join("hinweise.txt").to_str().unwrap()]).refused(1);
    assert!(said.contains("is no folder"), "{said}");

    node.command(["process", "pull", "--force", "de-he/fund", target]).ok();
    let verify = |trust: &str| node.command(["process", "verify", target, "--trust", trust]);
    let trust = federation.trust("de-he");
    assert_eq!(verify(&trust).code, 0);
    let (id, _) = trust.split_once('@').unwrap();
    let unknown = verify(&format!("{id}@sha256:{}", "0".repeat(64)));
    assert_eq!(unknown.code, 8, "{unknown}");
    assert!(unknown.stderr.contains("the charter that you trust is none of those"), "{unknown}");
    std::fs::write(out.join("hinweise.txt"), "anders").unwrap();
    let said = verify(&trust).refused(6);
    assert!(said.contains("changed: \"hinweise.txt\""), "{said}");
    assert_eq!(said.matches("next:").count(), 1, "one next step: {said}");
}

/// Secrets of a node's keys, as they stand in the files and as hex.
fn key_material(dir: &Path) -> Vec<String> {
    use base64::Engine as _;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir.join("keys")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| !line.starts_with("-----") && line.len() > 16) {
            found.push(line.to_owned());
            if let Ok(der) = base64::engine::general_purpose::STANDARD.decode(line)
                && der.len() == 48
            {
                // SPEC: RFC 8410 §7: the seed is the last 32 bytes of the document.
                let hex: String = der[16..].iter().map(|byte| format!("{byte:02x}")).collect();
                found.push(hex);
            }
        }
    }
    assert!(found.len() >= 8, "four keys in both forms");
    found
}

#[test]
fn no_secret_reaches_a_log_an_event_or_the_audit() {
    use base64::Engine as _;
    let loud = |node: &mut Node| {
        node.set("log.level", "info,verbund=trace").set("log.format", "json");
    };
    let mut federation = Federation::found_with(1, loud);
    let mut newcomer = federation.world.init("de-rp", "Rheinland-Pfalz");
    loud(&mut newcomer);
    newcomer.start();
    let mut secrets = Vec::new();
    // A whole session, with everything in the wrong place once.
    let ticket = federation.invite("de-rp");
    let body = ticket.split_once('_').unwrap().1;
    secrets.push(body[..60].to_owned());
    secrets.push(body[body.len() - 60..].to_owned());
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let secret = text.split_once("\"secret\":\"").and_then(|(_, rest)| rest.split_once('"')).unwrap().0.to_owned();
    assert!(secret.len() >= 32);
    secrets.push(secret);
    newcomer.command(["peer", "add", &ticket[..ticket.len() - 1]]).refused(2);
    newcomer.command(["peer", "show", ticket.as_str()]);
    newcomer.command(["peer", "block", ticket.as_str()]);
    federation["de-he"].command(["member", "reject", "de-xx", "--reason", ticket.as_str()]);
    newcomer.command(["peer", "add", ticket.as_str()]).ok();
    federation.admit("de-rp");
    federation.nodes.push(newcomer);
    federation.connected();
    let folder = Folder::new(federation.world.path(), "fund");
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    let token = federation["de-rp"].command(["token", "create", "IT"]).ok().trim().to_owned();
    secrets.push(token.clone());
    assert_eq!(curl(&federation["de-rp"], &token, "/api/v1/mitte/processes").0, 200);
    let misplaced = format!("/api/v1/{token}/processes?q={token}");
    curl(&federation["de-rp"], &token, &misplaced);
    curl(&federation["de-rp"], &format!("{token}x"), "/api/v1/mitte/processes");
    // Whoever finds a token that leaked can revoke it with nothing else.
    federation["de-rp"].command(["token", "revoke", token.as_str()]).ok();
    assert_eq!(curl(&federation["de-rp"], &token, "/api/v1/mitte/processes").0, 401);
    federation["de-rp"].command(["token", "revoke", &format!("{token}y")]).refused(3);
    for node in &federation.nodes {
        secrets.extend(key_material(&node.dir));
    }
    for node in &mut federation.nodes {
        let audit = node.json("audit --limit 1000").to_string();
        assert!(audit.contains("token.revoke") || node.handle != "de-rp", "{audit}");
        let events = Value::from(node.events()).to_string();
        node.stop();
        let log = node.log();
        assert!(log.lines().count() > 20 && log.contains("\"level\":\"DEBUG\""), "it was loud: {log}");
        for (place, text) in [("log", &log), ("audit", &audit), ("events", &events)] {
            for secret in &secrets {
                let line = text.lines().find(|line| line.contains(secret.as_str()));
                assert!(line.is_none(), "a secret stands in the {place} of {}: {line:?}", node.handle);
            }
        }
    }
}

#[test]
fn a_federation_that_cannot_listen_leaves_nothing_behind_and_has_addresses_of_its_own_if_told() {
    let world = World::new();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let mut node = world.init_at("de-he", "de-he", "Hessen", &format!("127.0.0.1:{port}"));
    node.start();
    let said = node.command(["federation", "create", "Mitte"]).refused(1);
    assert!(said.contains(&port.to_string()) && said.contains("[federation.SLUG]"), "{said}");
    // Neither now nor at the next start.
    node.restart();
    assert_eq!(node.status()["federations"], serde_json::json!([]));
    drop(busy);
    node.command(["federation", "create", "Mitte"]).ok();
    // A second one at the same port: refused, and the first is not harmed.
    node.command(["federation", "create", "Süd"]).refused(1);
    node.restart();
    let file = node.dir.join("node.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n[federation.sued]\nlisten = [\"127.0.0.1:0\"]\n")).unwrap();
    node.restart();
    node.command(["federation", "create", "Süd"]).ok();
    let listens = |node: &Node, slug: &str| node.federation(slug)["listen"][0].as_str().unwrap_or_default().to_owned();
    let chosen = listens(&node, "sued");
    assert!(chosen.starts_with("127.0.0.1:") && !chosen.ends_with(&format!(":{port}")), "{chosen}");
    // The addresses of a federation hold over a restart.
    node.restart();
    assert_eq!(listens(&node, "mitte"), format!("127.0.0.1:{port}"));
    assert_eq!(listens(&node, "sued"), chosen);
}
