//! `publish` from the folder to the last confirmation.

use super::*;

/// A folder with the files `a` and `b`, and a daemon that takes a release of them; it lacks `a` only.
async fn publishing(ticks: Vec<Value>) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "aaa").unwrap();
    std::fs::write(folder.path().join("b"), "bb").unwrap();
    let checked = json!({
        "release": "de-he/x@1.0.0", "metadata": {}, "warnings": [], "missing": [Blake3::of(b"aaa")], "unchanged": false
    });
    let created = json!({
        "release": "de-he/x@1.0.0", "digest": Sha256([7; 32]), "index": 9, "unchanged": false, "warnings": [],
        "members": ["de-rp", "de-sl"], "audience": ["de-rp", "de-sl"]
    });
    let fake = Fake::default().answers("release_check", checked).answers("release_create", created);
    *fake.lines.lock().unwrap() = ticks.into_iter().map(Ok).collect();
    (running(fake).await, folder)
}

fn ticks() -> Vec<Value> {
    let at = "2026-01-01T00:00:00Z";
    vec![
        json!({ "tick": "durable", "at": at }),
        json!({ "tick": "cosigned", "handle": "de-rp", "at": at }),
        json!({ "tick": "witnessed", "witnesses": 1, "of": 2, "at": at }),
        json!({ "tick": "held", "handle": "de-rp", "at": at }),
        json!({ "tick": "held", "handle": "de-sl", "at": at }),
        json!({ "tick": "complete", "at": at }),
    ]
}

#[tokio::test]
async fn publish_uploads_what_is_missing_and_shows_each_confirmation() {
    let (running, folder) = publishing(ticks()).await;
    let ended = running.command(&["publish", folder.path().to_str().unwrap()]).await;
    assert_eq!(ended.exit, Exit::Ok, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("de-he/x@1.0.0 sha256:0707"), "{}", ended.stdout);
    for tick in ["✔ durable", "✔ de-rp witnessed it", "✔ witnessed by 1 of 2", "✔ de-sl holds it"] {
        assert!(ended.stderr.contains(tick), "{tick}: {}", ended.stderr);
    }
    let uploads = running.fake.asked("artifact_put");
    assert_eq!(uploads.len(), 1);
    assert_eq!(uploads[0]["size"], 3);
    assert_eq!(running.fake.asked("release_create")[0]["files"][1]["path"], "b");
}

#[tokio::test]
async fn publish_as_json_is_one_document() {
    let (running, folder) = publishing(ticks()).await;
    let ended = running.command(&["--json", "publish", folder.path().to_str().unwrap(), "--wait", "held"]).await;
    let value: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&value["reached"]["complete"], &value["index"]), (&json!(true), &json!(9)));
    assert_eq!(value["reached"]["held_by"], json!(["de-rp", "de-sl"]));
}

#[tokio::test]
async fn waiting_decides_the_exit_code_only_when_asked_for() {
    let few = || ticks().into_iter().take(4).collect::<Vec<_>>();
    for (wait, exit) in
        [(None, Exit::Ok), (Some("durable"), Exit::Ok), (Some("witnessed"), Exit::Ok), (Some("held"), Exit::TimedOut)]
    {
        let (running, folder) = publishing(few()).await;
        let mut line = vec!["publish", folder.path().to_str().unwrap(), "--timeout", "20ms"];
        line.extend(wait.iter().flat_map(|level| ["--wait", level]));
        let ended = running.command(&line).await;
        assert_eq!(ended.exit, exit, "{wait:?}: {}", ended.stderr);
        if exit == Exit::TimedOut {
            assert!(ended.stderr.contains("open: de-sl"), "{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn check_publishes_nothing_and_works_without_a_daemon() {
    let (running, folder) = publishing(Vec::new()).await;
    let path = folder.path().to_str().unwrap();
    assert_eq!(running.command(&["publish", path, "--check"]).await.exit, Exit::Ok);
    assert!(running.fake.asked("release_create").is_empty() && running.fake.asked("artifact_put").is_empty());
    let nowhere = tempfile::tempdir().unwrap();
    let ended = command(&Stand::default(), nowhere.path(), &["publish", path, "--check"]).await;
    assert_eq!(ended.exit, Exit::Degraded);
}

#[tokio::test]
async fn init_of_a_folder_writes_the_proposal_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(command(&Stand::default(), folder.path(), &["publish", path, "--init"]).await.exit, Exit::Ok);
    std::fs::write(folder.path().join("process.toml"), "mine").unwrap();
    let ended = command(&Stand::default(), folder.path(), &["publish", path, "--init"]).await;
    assert_eq!(ended.exit, Exit::Failed);
    assert_eq!(std::fs::read(folder.path().join("process.toml")).unwrap(), b"mine");
}

/// Writes other bytes of the same length. Times of files are as coarse as the kernel's clock: repeated until they show it.
fn rewrite(path: &Path, bytes: &str) {
    use std::os::unix::fs::MetadataExt as _;
    let time = || path.metadata().map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
    let before = time();
    while time() == before {
        std::fs::write(path, bytes).unwrap();
    }
}

/// Publishes the folder while `meanwhile` happens to it between the scan and the reading.
async fn disturbed(meanwhile: fn(&Path)) -> (Running, Ended) {
    let (running, folder) = publishing(Vec::new()).await;
    let stand = Stand { after_scan: Mutex::new(Some(meanwhile)), ..Stand::default() };
    let ended = command(&stand, running.dir.path(), &["publish", folder.path().to_str().unwrap()]).await;
    // What a test moved away or put in its place.
    let _ = std::fs::remove_dir_all(folder.path().with_extension("away"));
    if folder.path().is_symlink() {
        std::fs::remove_file(folder.path()).unwrap();
    }
    (running, ended)
}

#[tokio::test]
async fn what_is_sent_is_the_file_that_was_scanned_or_nothing() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("changed", |root| rewrite(&root.join("a"), "aab")),
        ("replaced", |root| {
            std::fs::write(root.join("new"), "aaa").unwrap();
            std::fs::rename(root.join("new"), root.join("a")).unwrap();
        }),
        ("replaced", |root| {
            std::fs::remove_file(root.join("a")).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", root.join("a")).unwrap();
        }),
        ("replaced", |root| std::fs::remove_file(root.join("a")).unwrap()),
    ];
    for (word, meanwhile) in changes {
        let (running, ended) = disturbed(meanwhile).await;
        assert_eq!(ended.exit, Exit::Failed, "{}", ended.stderr);
        assert!(ended.stderr.contains(word) && ended.stderr.contains("nothing was published"), "{}", ended.stderr);
        for operation in ["release_check", "release_create", "artifact_put"] {
            assert!(running.fake.asked(operation).is_empty(), "{operation} after {word}");
        }
    }
}

#[tokio::test]
async fn a_path_that_leads_elsewhere_by_now_is_not_followed() {
    // The whole folder is exchanged for a link: the scanned one is still what is read.
    let (running, ended) = disturbed(|root| {
        let away = root.with_extension("away");
        std::fs::rename(root, &away).unwrap();
        std::os::unix::fs::symlink("/etc", root).unwrap();
    })
    .await;
    assert_eq!(ended.exit, Exit::Ok, "{}", ended.stderr);
    assert_eq!(running.fake.asked("artifact_put")[0]["size"], 3);
}

#[tokio::test]
async fn what_was_said_about_a_single_file_reaches_the_daemon() {
    let (running, folder) = publishing(Vec::new()).await;
    let file = folder.path().join("a");
    running.command(&["publish", file.to_str().unwrap(), "--title", "Antrag"]).await;
    let asked = &running.fake.asked("release_create")[0];
    assert_eq!(asked["metadata"]["title"], "Antrag");
    assert_eq!(asked["files"].as_array().unwrap().len(), 1, "its neighbours are not published: {asked}");
}
