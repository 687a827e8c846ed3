//! The command line as a whole, with a daemon and a host that answer as told.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use verbund_protocol::ids::{Blake3, FederationId, Sha256};
use verbund_protocol::provenance::{Report, Step, StepName};

use super::host::{Evidence, Founded, Founding, Launch, Said, Scan, ScannedFile};
use super::output::tests::Captured;
use super::*;
use crate::admin::fake::Fake;
use crate::admin::problem::{Code, Problem};
use crate::admin::roles::{Caller, Roles};
use crate::admin::server::{Options, Server};

mod publish;

/// Stands in for the rest of the program.
#[derive(Default)]
struct Stand {
    founded: Mutex<Vec<String>>,
    found_fails: bool,
    anchored: bool,
    seen: Mutex<BTreeMap<String, u64>>,
    /// What happens to the folder between the scan and the reading.
    after_scan: Mutex<Option<fn(&Path)>>,
}

impl Host for Stand {
    fn found(&self, founding: &Founding<'_>) -> Result<Founded, Failure> {
        if self.found_fails {
            return Err(Failure::failed("interrupted"));
        }
        self.founded.lock().unwrap().push(format!("{} {}", founding.name, founding.keys.root.public()));
        Ok(Founded { fingerprint: "12345 ".repeat(8).trim().to_owned(), certificate: None })
    }
    fn run(&self, _: Launch) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>> {
        unreachable!("no test runs the daemon in this process")
    }
    fn scan(&self, path: &Path, said: &Said) -> Result<Scan, Failure> {
        let scanned = crate::publish::scan(path).map_err(|problems| Failure::failed(problems[0].to_string()))?;
        let file = |f: &crate::publish::ScannedFile| ScannedFile {
            path: f.path.to_string(),
            media_type: f.media_type.into(),
            source: f.source.clone(),
        };
        let files = scanned.files.iter().map(file).collect();
        let metadata = json!({ "id": "x", "title": said.title });
        if let Some(meanwhile) = self.after_scan.lock().unwrap().take() {
            meanwhile(path);
        }
        Ok(Scan { metadata, files, single: scanned.single, ..Scan::default() })
    }
    fn propose(&self, _: &Path) -> Result<String, Failure> {
        Ok("# Vorschlag\n".into())
    }
    fn verify(&self, evidence: &Evidence<'_>) -> Result<Report, String> {
        *self.seen.lock().unwrap() = evidence.files.iter().map(|(path, d)| (path.clone(), d.size)).collect();
        if evidence.provenance == b"bad" {
            return Err("a: differs".into());
        }
        let step = Step { name: StepName::Files, ok: true, text: "all files".into(), next: None };
        Ok(Report { steps: vec![step], anchored: self.anchored && evidence.trust.is_some(), ..Report::default() })
    }
}

/// A daemon on a socket of its own.
struct Running {
    dir: tempfile::TempDir,
    fake: Arc<Fake>,
    _stop: tokio_util::sync::DropGuard,
}

async fn running(fake: Fake) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let identify: crate::admin::server::Identify =
        Arc::new(|who| Caller { uid: who.uid, user: None, pid: who.pid, roles: Roles::ALL, owner: true });
    let server = Server::bind(Options { socket, group: None, identify, artifact_max: 1 << 20 }).await.unwrap();
    let (fake, stop) = (Arc::new(fake), CancellationToken::new());
    tokio::spawn(server.serve(fake.clone(), stop.clone()));
    Running { dir, fake, _stop: stop.drop_guard() }
}

/// What a command wrote and how it ended.
struct Ended {
    exit: Exit,
    stdout: String,
    stderr: String,
}

async fn command(host: &Stand, data_dir: &Path, arguments: &[&str]) -> Ended {
    let line = std::iter::once("verbund").chain(arguments.iter().copied());
    let cli = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
    let captured = Captured::default();
    let mut out = captured.out(cli.global.json);
    out.quiet = cli.global.quiet;
    let context = Context {
        out: out.clone(),
        host,
        data_dir: data_dir.to_owned(),
        socket: cli.global.socket,
        federation: cli.global.federation,
        server: None,
    };
    let result = match cli.command {
        command @ Command::Init(_) => carry_out(&context, command),
        command => speak(&context, command).await,
    };
    let exit = result.unwrap_or_else(|failure| {
        out.failure(&failure);
        failure.exit
    });
    Ended { exit, stdout: captured.stdout(), stderr: captured.stderr() }
}

impl Running {
    async fn command(&self, arguments: &[&str]) -> Ended {
        command(&Stand::default(), self.dir.path(), arguments).await
    }
}

#[test]
fn the_command_tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_story_is_understood() {
    let hash = "0".repeat(64);
    let trust = format!("verbund process verify OUT --trust federation:{hash}@sha256:{hash}");
    let lines = [
        "verbund init --data-dir D --handle de-he --name Hessen --listen 127.0.0.1:0 --listen [::1]:0 --announce h:1 --https 127.0.0.1:0",
        "verbund run --data-dir D",
        "verbund --data-dir D federation create Mitte --slug mitte",
        "verbund --data-dir D federation show",
        "verbund --data-dir D federation log --json",
        "verbund --data-dir D invite --for de-rp --valid-for 7d",
        "verbund --data-dir E peer add TICKET --wait",
        "verbund peer ls --json",
        "verbund peer show de-he",
        "verbund peer ping de-he",
        "verbund peer pause de-he --reason x",
        "verbund peer resume de-he",
        "verbund peer block de-he",
        "verbund peer unblock de-he",
        "verbund peer rm de-he",
        "verbund member requests --json",
        "verbund member admit de-rp --fingerprint 12345",
        "verbund member reject de-rp --reason x",
        "verbund member expel de-rp",
        "verbund member ls",
        "verbund member show de-rp",
        "verbund publish PATH --init",
        "verbund publish PATH --check",
        "verbund publish PATH --wait witnessed --json",
        "verbund withdraw de-he/x@1.0.0 --reason falsch",
        "verbund process ls --json",
        "verbund process search hund",
        "verbund process show de-he/x",
        "verbund process versions de-he/x",
        "verbund process pull de-he/x@^1.0 OUT --json",
        &trust,
        "verbund status --json",
        "verbund sync status",
        "verbund sync now",
        "verbund events --follow --json",
        "verbund audit",
        "verbund token create amt --valid-for 30d --scope read",
        "verbund token ls",
        "verbund token revoke amt",
        "verbund config show",
        "verbund config check",
        "verbund recover --sign-anyway",
        "verbund store df",
        "verbund store scrub",
        "verbund store gc --dry-run",
        "verbund completions bash",
        "verbund man",
        "verbund --federation mitte --socket s -v status",
    ];
    for line in lines {
        if let Err(error) = Cli::try_parse_from(line.split(' ')) {
            panic!("{line}: {error}");
        }
    }
    for wrong in [
        "verbund recover",
        "verbund publish P --init --check",
        "verbund init --handle DE-HE --name x",
        "verbund process verify O --trust x",
    ] {
        let error = Cli::try_parse_from(wrong.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{wrong}");
    }
}

#[test]
fn manual_and_completions_cover_all_commands() {
    let captured = Captured::default();
    manual(&captured.out(false)).unwrap();
    let text = captured.stdout();
    for name in ["verbund\\-process\\-pull", "verbund\\-member\\-admit", "verbund\\-run"] {
        assert!(text.contains(name), "{name}");
    }
}

#[tokio::test]
async fn no_daemon_is_5_and_names_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let ended = command(&Stand::default(), dir.path(), &["status"]).await;
    assert_eq!((ended.exit, ended.stdout.as_str()), (Exit::Unreachable, ""));
    assert!(ended.stderr.contains("admin.sock") && ended.stderr.contains("next:"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_configured_socket_is_found() {
    let running = running(Fake::default().answers("member_list", json!({ "members": [] }))).await;
    let other = tempfile::tempdir().unwrap();
    let socket = running.dir.path().join("admin.sock");
    std::fs::write(other.path().join("node.toml"), format!("[admin]\nsocket = {socket:?}")).unwrap();
    assert_eq!(command(&Stand::default(), other.path(), &["member", "ls"]).await.exit, Exit::Ok);
    std::fs::write(other.path().join("node.toml"), "[admni]").unwrap();
    let ended = command(&Stand::default(), other.path(), &["member", "ls"]).await;
    assert_eq!(ended.exit, Exit::Usage);
    assert!(ended.stderr.contains("did you mean \"admin\""), "{}", ended.stderr);
}

#[tokio::test]
async fn problems_of_the_daemon_become_exit_codes() {
    let problem = Problem::new(Code::NotFound, "there is no member de-xx").next("`verbund member ls` lists them");
    let running = running(Fake::default().refuses("member_show", problem)).await;
    let ended = running.command(&["member", "show", "de-xx"]).await;
    assert_eq!(ended.exit, Exit::NotFound);
    assert_eq!(ended.stderr, "error: there is no member de-xx\nnext:  `verbund member ls` lists them\n");
    let ended = running.command(&["--json", "member", "show", "de-xx"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ended.stderr).unwrap()["error"]["code"], "not_found");
}

#[tokio::test]
async fn a_ticket_stands_alone_on_stdout() {
    let answer = json!({
        "ticket": "verbund1abc", "federation": "mitte", "handle": "de-rp", "valid_until": "2026-01-01T00:00:00Z",
        "addresses": [], "warnings": ["only loopback"]
    });
    let running = running(Fake::default().answers("invite", answer)).await;
    let ended = running.command(&["--federation", "mitte", "invite", "--for", "de-rp", "--valid-for", "2d"]).await;
    assert_eq!(ended.stdout, "verbund1abc\n");
    assert!(ended.stderr.contains("warning: only loopback"));
    let asked = running.fake.asked("invite");
    assert_eq!(asked, [json!({ "federation": "mitte", "handle": "de-rp", "valid_ms": 172_800_000 })]);
}

fn joining(state: Value) -> Value {
    json!({
        "slug": "mitte", "federation": FederationId([1; 32]), "name": "Mitte", "federation_fingerprint": "11111",
        "member_fingerprint": "22222", "charter": Sha256([2; 32]),
        "peer": "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", "state": state
    })
}

#[tokio::test]
async fn peer_add_shows_fingerprints_and_ends_with_the_decision() {
    let lodged = json!({ "state": "lodged", "approvals": 0, "needed": 3, "approved_by": [] });
    let running = running(Fake::default().answers("peer_add", joining(lodged))).await;
    let ended = running.command(&["peer", "add", "TICKET"]).await;
    assert_eq!(ended.exit, Exit::Ok);
    assert!(ended.stdout.contains("11111") && ended.stdout.contains("22222"), "{}", ended.stdout);

    let refused = json!({ "state": "refused", "code": "handle_taken", "reason": "de-rp exists", "by": "de-he" });
    running.fake.lines.lock().unwrap().push(Ok(joining(refused)));
    let ended = running.command(&["peer", "add", "TICKET", "--wait"]).await;
    assert_eq!(ended.exit, Exit::Failed);
    assert!(ended.stderr.contains("refused by de-he: de-rp exists"), "{}", ended.stderr);

    // Nothing comes: the time-out ends it, and the request stays.
    let ended = running.command(&["peer", "add", "TICKET", "--wait", "--timeout", "10ms"]).await;
    assert_eq!(ended.exit, Exit::TimedOut);
    assert!(ended.stderr.contains("stays lodged"), "{}", ended.stderr);
}

#[tokio::test]
async fn init_makes_keys_and_configuration_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    let line =
        ["init", "--handle", "de-he", "--name", "Hessen \"Mitte\"", "--listen", "127.0.0.1:0", "--https", "[::1]:0"];
    let host = Stand { found_fails: true, ..Stand::default() };
    assert_eq!(command(&host, &data, &line).await.exit, Exit::Failed);
    let first = crate::keys::KeyFiles::at(&data, None).load(crate::keys::KeyRole::Root).unwrap().unwrap();

    let host = Stand::default();
    let ended = command(&host, &data, &line).await;
    assert_eq!(ended.exit, Exit::Ok, "{}", ended.stderr);
    assert!(ended.stdout.contains("12345 12345") && ended.stderr.contains("verbund run"), "{}", ended.stderr);
    assert_eq!(*host.founded.lock().unwrap(), [format!("Hessen \"Mitte\" {}", first.public())], "keys are kept");
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let config =
        load(&Layers { file: Some(data.join("node.toml")), required: true, ..Layers::default() }).unwrap().config;
    assert_eq!((config.name.as_deref(), config.listen.len()), (Some("Hessen \"Mitte\""), 1));
    assert_eq!(config.https.listen[0].to_string(), "[::1]:0");

    let before = std::fs::read(data.join("node.toml")).unwrap();
    let ended = command(&host, &data, &line).await;
    assert_eq!(ended.exit, Exit::Failed);
    assert!(ended.stderr.contains("initialised already for de-he; nothing was changed"), "{}", ended.stderr);
    assert_eq!(std::fs::read(data.join("node.toml")).unwrap(), before);
}

#[tokio::test]
async fn init_leaves_foreign_folders_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("letter.txt"), "x").unwrap();
    let ended = command(&Stand::default(), dir.path(), &["init", "--handle", "de-he", "--name", "x"]).await;
    assert!(ended.stderr.contains("letter.txt"), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let line = ["init", "--handle", "de-he", "--name", "x", "--announce", "0.0.0.0:1"];
    let ended = command(&Stand::default(), &dir.path().join("new"), &line).await;
    assert_eq!(ended.exit, Exit::Usage);
    assert!(!dir.path().join("new").exists(), "a mistake makes nothing");
}

#[tokio::test]
async fn pull_over_the_socket() {
    let files = [("process.toml", "id"), ("bpmn/a.bpmn", "<x/>")];
    let entry = |(path, text): &(&str, &str)| json!({ "path": path, "size": text.len(), "media_type": "t", "sha256": Sha256::of(text.as_bytes()), "blake3": Blake3::of(text.as_bytes()) });
    let view = json!({
        "release": "de-he/x@1.0.0", "federation": "mitte", "digest": Sha256([5; 32]), "owner": "de-he",
        "member": "member:".to_owned() + &"0".repeat(64), "version": "1.0.0", "title": "X", "metadata": {},
        "files": files.iter().map(entry).collect::<Vec<_>>(), "bytes": 6, "published": "2026-01-01T00:00:00Z",
        "availability": { "state": "complete" }, "witnesses": 1, "witnesses_of": 2, "witnessed_by": [], "held_by": []
    });
    let fake = Fake::default().answers("release_show", &view).answers("provenance_get", json!({ "p": 1 }));
    for (path, text) in files {
        fake.files.lock().unwrap().insert(path.to_owned(), text.into());
    }
    let running = running(fake).await;
    let out = running.dir.path().join("out");
    let ended = running.command(&["--json", "process", "pull", "de-he/x", out.to_str().unwrap()]).await;
    assert_eq!(ended.exit, Exit::Ok, "{}", ended.stderr);
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["written"].as_array().unwrap().len(), 2);
    assert_eq!(std::fs::read(out.join("bpmn/a.bpmn")).unwrap(), b"<x/>");
    // Pinned to what was shown, not to what may be the newest by then.
    assert_eq!(running.fake.asked("provenance_get")[0]["release"], json!(Sha256([5; 32])));

    running.fake.files.lock().unwrap().insert("process.toml".into(), "di".into());
    std::fs::remove_file(out.join("process.toml")).unwrap();
    let ended = running.command(&["process", "pull", "de-he/x", out.to_str().unwrap()]).await;
    assert_eq!(ended.exit, Exit::Verification, "{}", ended.stderr);
}

#[tokio::test]
async fn verify_hands_over_the_folder_and_ends_by_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    std::fs::create_dir_all(dir.path().join("sub/.verbund")).unwrap();
    std::fs::create_dir(dir.path().join(".verbund")).unwrap();
    std::fs::write(dir.path().join("a"), "aaa").unwrap();
    std::fs::write(dir.path().join("sub/.verbund/b"), "bb").unwrap();
    let host = Stand { anchored: true, ..Stand::default() };
    let missing = command(&host, dir.path(), &["process", "verify", path]).await;
    assert_eq!(missing.exit, Exit::NotFound);
    std::fs::write(dir.path().join(".verbund/provenance.json"), "{}").unwrap();
    assert_eq!(command(&host, dir.path(), &["process", "verify", path]).await.exit, Exit::Degraded);
    let seen = host.seen.lock().unwrap().clone();
    assert_eq!(seen, BTreeMap::from([("a".to_owned(), 3), ("sub/.verbund/b".to_owned(), 2)]));

    let trust = format!("{}@{}", FederationId([2; 32]), Sha256([3; 32]));
    let ended = command(&host, dir.path(), &["process", "verify", path, "--trust", &trust]).await;
    assert_eq!(ended.exit, Exit::Ok);
    assert!(ended.stdout.contains("verified"), "{}", ended.stdout);

    std::fs::write(dir.path().join(".verbund/provenance.json"), "bad").unwrap();
    assert_eq!(command(&host, dir.path(), &["process", "verify", path]).await.exit, Exit::Verification);
    std::fs::write(dir.path().join(".verbund/provenance.json"), "{}").unwrap();
    std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
    let ended = command(&host, dir.path(), &["process", "verify", path, "--trust", &trust]).await;
    assert_eq!(ended.exit, Exit::Verification);
    assert!(ended.stderr.contains("link"), "{}", ended.stderr);
}

#[tokio::test]
async fn config_check_names_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(command(&Stand::default(), dir.path(), &["config", "check"]).await.exit, Exit::NotFound);
    std::fs::write(dir.path().join("node.toml"), "\n[limits]\nconections = 3").unwrap();
    let ended = command(&Stand::default(), dir.path(), &["config", "check"]).await;
    assert_eq!(ended.exit, Exit::Usage);
    assert!(
        ended.stderr.contains("node.toml:3:1: limits.conections: unknown key; did you mean \"connections\"?"),
        "{}",
        ended.stderr
    );
    std::fs::write(dir.path().join("node.toml"), "[limits]\nconnections = 30").unwrap();
    assert_eq!(command(&Stand::default(), dir.path(), &["config", "check"]).await.exit, Exit::Ok);
    let ended = command(&Stand::default(), dir.path(), &["config", "show"]).await;
    assert!(
        ended.stdout.lines().any(|l| l.starts_with("limits.connections") && l.ends_with("file")),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let row = |n: u32| {
        json!({
            "process": format!("de-he/p{n}"), "federation": "mitte", "owner": "de-he", "owner_name": "Hessen",
            "title": "Hundesteuer \u{1b}[31m", "summary": "", "version": "1.0.0", "published": "2026-01-01T00:00:00Z",
            "availability": { "state": "complete" }, "witnesses": 2, "witnesses_of": 2, "held_by": ["de-he"],
            "withdrawn": false, "deprecated": false
        })
    };
    // The same page with the same continuation for ever: the command must end.
    let running = running(Fake::default().answers("process_list", json!({ "processes": [row(1)], "next": "x" }))).await;
    let ended = running.command(&["process", "search", "Hund"]).await;
    assert_eq!(running.fake.asked("process_list").len(), 2);
    assert!(ended.stdout.contains("de-he/p1") && !ended.stdout.contains('\u{1b}'));
}
