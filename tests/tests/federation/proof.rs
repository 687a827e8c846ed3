//! Two programs that share no code judge every proof alike: `verbund process verify` and `scripts/verify.py`.
//!
//! The Python side makes the changes and says what it thinks of each; here the library judges the same bytes, and for folders the
//! program itself. What both refuse may be refused for other reasons.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use verbund_protocol::provenance::{self, Trust};
use verbund_tests::{Federation, Folder, until};

use crate::pulling::{Https, certificate};

/// What the mutator says about one changed proof.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    proof: String,
    files: std::collections::BTreeMap<String, (verbund_protocol::ids::Sha256, u64)>,
    trust: Option<String>,
    exit: u8,
    why: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether Python and its `cryptography` are there; said if not.
fn python() -> bool {
    let there = Command::new("python3").args(["-c", "import cryptography"]).output().is_ok_and(|o| o.status.success());
    if !there {
        eprintln!("SKIPPED: python3 with the package `cryptography` is missing");
    }
    there
}

/// Runs the mutator and compares verdicts. Gives how many cases there were, and how many of them were accepted.
fn compare(arguments: &[&str]) -> (usize, usize) {
    let mut child = Command::new("python3")
        .arg(root().join("tests/proof/mutate.py"))
        .args(arguments)
        .env("SEED", verbund_tests::seed().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let (mut cases, mut accepted, mut differ) = (0, 0, Vec::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let case: Case = serde_json::from_str(&line.unwrap()).unwrap();
        let proof = STANDARD.decode(&case.proof).unwrap();
        let trust = case.trust.as_deref().map(|text| text.parse::<Trust>().unwrap());
        let (exit, why) = match provenance::verify(&proof, &case.files, trust) {
            Ok(report) => {
                let why = report.failed().map_or_else(String::new, |step| format!("{}: {}", step.name, step.text));
                (report.verdict().exit_code(), why)
            }
            Err(error) => (6, error.to_string()),
        };
        cases += 1;
        accepted += usize::from(exit != 6);
        if exit != case.exit {
            differ.push(format!("{}: the program {exit} ({why}), verify.py {} ({})", case.name, case.exit, case.why));
        }
    }
    assert!(child.wait().unwrap().success(), "the mutator says why");
    assert!(differ.is_empty(), "seed {}, {} differ:\n{}", verbund_tests::seed(), differ.len(), differ.join("\n"));
    println!("{cases} cases, {accepted} accepted by both");
    (cases, accepted)
}

#[test]
fn verify_py_agrees_with_the_golden_vectors_of_what_a_proof_is_made_of() {
    if !python() {
        return;
    }
    let golden = Command::new("python3")
        .args(["tests/proof/golden.py", "protocol/vectors"])
        .current_dir(root())
        .output()
        .expect("python3 starts");
    assert!(golden.status.success(), "{}", String::from_utf8_lossy(&golden.stderr));
    let parts = String::from_utf8_lossy(&golden.stdout).lines().count();
    assert_eq!(parts, 7, "JSON, envelopes, identities, charters, trees, notes, points");
}

#[test]
fn verify_py_judges_every_change_of_a_golden_proof_alike() {
    if !python() {
        return;
    }
    let vectors = root().join("protocol/vectors/provenance");
    let (cases, accepted) = compare(&["vectors", vectors.to_str().unwrap()]);
    assert!(cases > 2_000 && accepted > 100, "{cases} cases, {accepted} accepted");
}

#[test]
fn verify_py_judges_every_well_signed_document_alike() {
    if !python() {
        return;
    }
    let (cases, accepted) = compare(&["forged"]);
    assert!(cases > 1_000 && accepted > 200, "{cases} cases, {accepted} accepted");
}

/// Exit code of `scripts/verify.py`.
fn verify_py(folder: &Path, trust: Option<&str>) -> i32 {
    let mut command = Command::new("python3");
    command.arg(root().join("scripts/verify.py")).arg(folder);
    command.args(trust.iter().flat_map(|trust| ["--trust", trust]));
    let output = command.output().expect("python3 starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("Traceback"), "{said}");
    output.status.code().expect("an exit code")
}

/// A change of a pulled folder.
type Change = fn(&Path);

/// What may happen to a folder, and how both programs must end.
const CHANGES: [(&str, i32, Change); 11] = [
    ("nothing", 0, |_| ()),
    ("an empty folder", 0, |dir| std::fs::create_dir(dir.join("leer")).unwrap()),
    ("a note beside the proof", 0, |dir| std::fs::write(dir.join(".verbund/notiz"), "x").unwrap()),
    ("a file more", 6, |dir| std::fs::write(dir.join("neu"), "").unwrap()),
    ("a file less", 6, |dir| std::fs::remove_file(dir.join("process.toml")).unwrap()),
    ("a byte more", 6, |dir| {
        let text = std::fs::read_to_string(dir.join("process.toml")).unwrap();
        std::fs::write(dir.join("process.toml"), text + " ").unwrap();
    }),
    ("another name", 6, |dir| std::fs::rename(dir.join("process.toml"), dir.join("Process.toml")).unwrap()),
    ("a link to the same bytes", 6, |dir| {
        std::fs::rename(dir.join("process.toml"), dir.join("../moved.toml")).unwrap();
        std::os::unix::fs::symlink("../moved.toml", dir.join("process.toml")).unwrap();
    }),
    ("a proof further in", 6, |dir| {
        std::fs::create_dir(dir.join("modell/.verbund")).unwrap();
        std::fs::copy(dir.join(".verbund/provenance.json"), dir.join("modell/.verbund/provenance.json")).unwrap();
    }),
    ("a name that is no UTF-8", 6, |dir| {
        use std::os::unix::ffi::OsStrExt as _;
        std::fs::write(dir.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    }),
    ("no proof", 3, |dir| std::fs::remove_file(dir.join(".verbund/provenance.json")).unwrap()),
];

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A federation of three in which the third has pulled what the first published.
fn pulled() -> (Federation, PathBuf, String) {
    let federation = Federation::found(3);
    let folder = Folder::new(federation.world.path(), "hundesteuer").file("modell/a.bpmn", b"<definitions/>");
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 1);
    let out = federation.world.join("out");
    federation["de-sl"].command(["process", "pull", "de-he/hundesteuer", out.to_str().unwrap()]).ok();
    let trust = federation.trust("de-rp");
    (federation, out, trust)
}

#[test]
fn two_programs_judge_a_pulled_folder_and_every_change_of_it_alike() {
    if !python() {
        return;
    }
    let (federation, out, trust) = pulled();
    let (cases, accepted) = compare(&["folder", out.to_str().unwrap(), &trust]);
    assert!(cases > 500 && accepted > 30, "{cases} cases, {accepted} accepted");

    let node = &federation["de-sl"];
    for (number, (name, expected, change)) in CHANGES.iter().enumerate() {
        let place = federation.world.join(&format!("changed-{number}"));
        std::fs::create_dir(&place).unwrap();
        let folder = place.join("out");
        copy(&out, &folder);
        change(&folder);
        let own = node.command(["process", "verify", folder.to_str().unwrap(), "--trust", &trust]).code;
        assert_eq!((own, verify_py(&folder, Some(&trust))), (*expected, *expected), "{name}");
    }
    let target = out.to_str().unwrap();
    let (id, hash) = trust.split_once('@').unwrap();
    let (other, short) = (format!("{id}@sha256:{}", "0".repeat(64)), format!("{id}@{}", &hash[..20]));
    for (trust, expected) in [(None, 8), (Some(other.as_str()), 8), (Some(short.as_str()), 2), (Some("x"), 2)] {
        let arguments =
            ["process", "verify", target].into_iter().chain(trust.iter().flat_map(|trust| ["--trust", trust]));
        let own = node.command(arguments).code;
        assert_eq!((own, verify_py(&out, trust)), (expected, expected), "{trust:?}");
    }
    assert_eq!(verify_py(&out.join("process.toml"), None), 2);
}

#[test]
fn verify_tells_each_step_and_writes_a_pruefprotokoll() {
    let (federation, out, trust) = pulled();
    let (node, target) = (&federation["de-sl"], out.to_str().unwrap());
    let record = federation.world.join("protokoll.md");
    let verify = |more: &[&str]| {
        let all: Vec<_> = ["process", "verify", target, "--trust", &trust].iter().chain(more).copied().collect();
        node.command(all)
    };
    let text = verify(&["--report", record.to_str().unwrap()]).ok();
    let steps =
        ["federation", "charters", "anchor", "checkpoint", "inclusion", "authority", "witnesses", "end", "release"];
    for step in steps.iter().chain(&["manifest", "files"]) {
        assert!(text.lines().any(|l| l.starts_with("ok ") && l.contains(&format!("{step}: "))), "{step}:\n{text}");
    }
    for said in ["recalls cannot be known offline", " ago", "signed", "ed25519:"] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
    let written = std::fs::read_to_string(&record).unwrap();
    let (_, charter) = trust.split_once('@').unwrap();
    for said in
        ["**Ergebnis: bestanden**", charter, "modell/a.bpmn", "ed25519:", "## Nicht geprüft", "de-he/hundesteuer"]
    {
        assert!(written.contains(said), "{said}:\n{written}");
    }
    let said = verify(&["--report", record.to_str().unwrap()]).refused(2);
    assert!(said.contains("--force"), "{said}");
    let json = node.command(["--json", "process", "verify", target, "--trust", &trust]).json();
    assert_eq!((&json["verdict"], &json["trust"]), (&"verified".into(), &trust.as_str().into()), "{json}");
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(11), "{json}");
    assert_eq!(json["listed"].as_array().map(Vec::len), Some(3), "{json}");
    std::fs::write(out.join("modell/a.bpmn"), "anders").unwrap();
    verify(&["--report", record.to_str().unwrap(), "--force"]).refused(6);
    let written = std::fs::read_to_string(&record).unwrap();
    assert!(written.contains("nicht bestanden") && written.contains("VERÄNDERT"), "{written}");
}

#[test]
fn a_monitor_reads_a_whole_log_from_a_node_that_does_not_own_it() {
    if !python() {
        return;
    }
    let (federation, _, trust) = pulled();
    let (owner, server) = (&federation["de-he"], &federation["de-rp"]);
    let Some(https) = Https::new(server, federation.world.path()) else { return };
    let logs = https.get("/logs/v1/mitte", &[]).json();
    let log = logs["items"].as_array().unwrap().iter().find(|l| l["member"] == "de-he").expect("its log").clone();
    assert_eq!(logs["items"].as_array().unwrap().len(), 3, "{logs}");
    let prefix = log["prefix"].as_str().unwrap();

    let token = server.command(["--quiet", "token", "create", "monitor"]).ok().trim().to_owned();
    let address = server.status()["addresses"]["https"][0].as_str().expect("an address").to_owned();
    let (federation_id, _) = trust.split_once('@').unwrap();
    let monitor = || {
        let output = Command::new("python3")
            .arg(root().join("tests/proof/monitor.py"))
            .arg(format!("https://{address}{prefix}"))
            .arg(certificate(server))
            .arg(federation_id)
            .arg(log["log"].as_str().unwrap())
            .env("TOKEN", &token)
            .output()
            .expect("python3 starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    // Cosignatures come a moment after the release is held.
    until("the log's checkpoint is cosigned by both others", || {
        let found = monitor();
        let cosigners = found["cosigners"].as_array().unwrap().len();
        if cosigners == 2 && found["bad"] == 0 { Ok(()) } else { Err(found.to_string()) }
    });
    let found = monitor();
    assert_eq!(found["entries"], found["size"]);
    let types = found["types"].as_array().unwrap();
    assert_eq!(types[0], "application/vnd.verbund.identity.v1+json", "{found}");
    assert!(types.contains(&"application/vnd.in-toto+json".into()), "the release: {found}");

    // Who has no token gets nothing; a member's own node answers likewise.
    let bare = |path: &str| https.without_token(path).status;
    for path in ["", "/checkpoint", "/tile/0/000.p/1", "/tile/entries/000.p/1"] {
        assert_eq!(bare(&format!("{prefix}{path}")), 401, "{path}");
    }
    for path in [
        "/tile/0/000",
        "/tile/0/000.p/255",
        "/tile/1/000.p/1",
        "/tile/0/0",
        "/tile/entries/x000/000.p/1",
        "/tile/0/001.p/1",
    ] {
        assert_eq!(https.get(&format!("{prefix}{path}"), &[]).status, 404, "{path}");
    }
    // A token covers its federation, and tells nothing of whether there are others.
    assert_eq!(https.get("/logs/v1/anderswo", &[]).status, 403);
    let Some(own) = Https::new(owner, federation.world.path()) else { return };
    assert_eq!(own.get(&format!("{prefix}/tile/0/000.p/4"), &[]).body.len(), 4 * 32);
}

#[test]
fn who_may_read_anonymously_sees_checkpoints_and_hashes_and_no_entries() {
    let federation = Federation::found_with(1, |node| {
        node.set("https.anonymous", "true");
    });
    let Some(https) = Https::new(&federation["de-he"], federation.world.path()) else { return };
    let logs = https.get("/logs/v1/mitte", &[]).json();
    let prefix = logs["items"][0]["prefix"].as_str().unwrap().to_owned();
    let status = |path: &str| https.without_token(&format!("{prefix}{path}")).status;
    assert_eq!((status("/checkpoint"), status("/tile/0/000.p/3")), (200, 200));
    assert_eq!(status("/tile/entries/000.p/3"), 401);
    assert_eq!(https.without_token("/logs/v1/mitte").status, 401);
    assert_eq!(https.get(&format!("{prefix}/tile/entries/000.p/3"), &[]).status, 200);
}
