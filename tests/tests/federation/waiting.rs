//! What `publish` waits for, and how it ends when that does not come.

use std::path::Path;

use serde_json::Value;
use verbund_tests::{Federation, Folder, Node, Outcome, until};

fn publish(node: &Node, folder: &Path, more: &[&str]) -> Outcome {
    let path = folder.to_str().unwrap();
    node.command([&["--json", "publish", path], more].concat())
}

/// What `--json` says, whatever the exit code.
fn said(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

#[test]
fn each_level_of_wait_has_its_exit_code_and_a_member_that_is_away_is_named() {
    let mut federation = Federation::found(3);
    let root = federation.world.path().to_path_buf();
    let folder = |name: &str| Folder::new(&root, name).path;
    for level in ["durable", "witnessed", "held"] {
        publish(&federation["de-he"], &folder(&format!("alle-{level}")), &["--wait", level, "--timeout", "60s"]).ok();
    }

    // Two others have to vouch, and one of them is away: durable is what decides, unless more is asked for.
    federation["de-sl"].stop();
    let away = ["--timeout", "2s"];
    publish(&federation["de-he"], &folder("durable"), &[&["--wait", "durable"][..], &away].concat()).ok();
    let shown = publish(&federation["de-he"], &folder("ohne"), &away);
    assert_eq!(said(&shown)["reached"]["witnessed"], false, "{shown}");
    shown.ok();
    for (level, name) in [("witnessed", "bezeugt"), ("held", "gehalten")] {
        let late = publish(&federation["de-he"], &folder(name), &["--wait", level, "--timeout", "5s"]);
        assert_eq!(late.code, 7, "{late}");
        let reached = said(&late)["reached"].clone();
        assert_eq!((&reached["witnessed"], &reached["complete"]), (&false.into(), &false.into()), "{late}");
        assert_eq!(reached["witnessed_by"], serde_json::json!(["de-rp"]), "{late}");
        assert!(late.stderr.contains("published and durable") && late.stderr.contains("open: de-sl"), "{late}");
        assert!(late.stderr.contains("next"), "it says what to do: {late}");
    }

    // Nothing has to be done again: it goes on by itself, and asking again waits for the same release.
    federation["de-sl"].start();
    federation.connected();
    federation.hold(&["de-he", "de-rp", "de-sl"], 7);
    let again = publish(&federation["de-he"], &root.join("gehalten"), &["--wait", "held", "--timeout", "60s"]);
    let again = again.json();
    assert_eq!((&again["unchanged"], &again["reached"]["complete"]), (&true.into(), &true.into()), "{again}");
}

#[test]
fn held_means_held_by_those_that_may_have_the_files() {
    let federation = Federation::found(3);
    let folder = Folder::new(federation.world.path(), "vertraulich").with("audience = { members = [\"de-rp\"] }");
    let done = publish(&federation["de-he"], &folder.path, &["--wait", "held", "--timeout", "60s"]).json();
    assert_eq!(done["reached"]["held_by"], serde_json::json!(["de-rp"]), "{done}");
    // The third knows the title, and neither fetches nor is counted as lacking anything.
    until("the third knows of it", || {
        let list = federation["de-sl"].get("/v1/processes").to_string();
        let now = federation["de-sl"].federation("mitte");
        if list.contains("vertraulich") && now["known"] == 0 { Ok(()) } else { Err(format!("{list} {now}")) }
    });
    let said = federation["de-sl"].command(["process", "pull", "de-he/vertraulich", "/nonexistent/x"]);
    assert!(said.code != 0 && said.stderr.contains("audience"), "{said}");
}
