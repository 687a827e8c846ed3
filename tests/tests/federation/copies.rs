//! Copies of a node: one that is older than what it signed, and two that run at once.

use serde_json::Value;
use verbund_tests::{Federation, Folder, Node, disk, until};

#[test]
fn a_node_started_on_an_old_copy_of_its_directory_fetches_its_own_log_first() {
    let mut federation = Federation::found(3);
    let folder = Folder::new(federation.world.path(), "vorher");
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 1);
    federation["de-he"].stop();
    let backup = federation.world.join("backup");
    disk::copy_dir(&federation["de-he"].dir.clone(), &backup);
    federation["de-he"].start();
    federation.connected();
    federation.publish("de-he", &Folder::new(federation.world.path(), "nachher").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 2);
    let size = federation["de-rp"].federation("mitte")["members"][0]["log_size"].as_u64().unwrap();

    // The disk is lost; the backup of before is restored.
    federation["de-he"].kill();
    let dir = federation["de-he"].dir.clone();
    std::fs::remove_dir_all(&dir).unwrap();
    disk::copy_dir(&backup, &dir);
    federation["de-he"].start();
    federation.connected();
    federation.hold(&["de-he"], 2);
    federation.publish("de-he", &Folder::new(federation.world.path(), "danach").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 3);
    for node in &federation.nodes {
        let now = node.federation("mitte");
        let hessen = now["members"].as_array().unwrap().iter().find(|m| m["handle"] == "de-he").unwrap().clone();
        assert_eq!(hessen["log"], "open", "no fork as {} sees it", node.handle);
        assert!(hessen["log_size"].as_u64().unwrap() > size, "{hessen}");
    }
}

#[test]
fn a_recovering_node_says_why_it_does_not_sign_and_signs_by_an_operators_decision() {
    let mut federation = Federation::found(2);
    for node in &mut federation.nodes {
        node.stop();
    }
    federation["de-he"].start();
    // What it waits for is known once its loop has begun.
    until("it says whom it waits for", || {
        let now = federation["de-he"].federation("mitte");
        assert_eq!(now["may_sign"], false, "{now}");
        let waits = now["recovering"]["waiting_for"] == serde_json::json!(["de-rp"]);
        if waits { Ok(()) } else { Err(now.to_string()) }
    });
    let folder = Folder::new(federation.world.path(), "zu-frueh");
    let said = federation["de-he"].command(["publish", folder.path.to_str().unwrap()]).refused(8);
    assert!(said.contains("recovering"), "{said}");
    federation["de-he"].cli("recover").refused(2);
    federation["de-he"].cli("recover --sign-anyway").ok();
    federation["de-he"].publish(&folder.path);
    let audit = federation["de-he"].get("/v1/audit")["records"].to_string();
    assert!(audit.contains("recover.sign-anyway"), "{audit}");
}

/// The row of a member in `status`.
fn row(node: &Node, handle: &str) -> Value {
    let now = node.federation("mitte");
    now["members"].as_array().into_iter().flatten().find(|m| m["handle"] == handle).cloned().unwrap_or_default()
}

#[test]
fn an_old_copy_from_before_its_vote_and_cosignatures_serves_and_signs_nothing_until_it_was_told() {
    let mut federation = Federation::found(3);
    federation.publish("de-he", &Folder::new(federation.world.path(), "vorher").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 1);
    federation["de-sl"].stop();
    let backup = federation.world.join("backup");
    disk::copy_dir(&federation["de-sl"].dir.clone(), &backup);
    federation["de-sl"].start();
    federation.connected();
    // It approves and votes for a new charter, cosigns the others' logs, and logs a release of its own.
    let newcomer = federation.world.start("de-th", "Thüringen");
    federation.join(newcomer);
    federation.publish("de-he", &Folder::new(federation.world.path(), "nachher").path);
    federation.publish("de-sl", &Folder::new(federation.world.path(), "eigenes").path);
    let all = ["de-he", "de-rp", "de-sl", "de-th"];
    federation.hold(&all, 3);
    until("all vouch for all", || {
        let open = federation.nodes.iter().map(|node| node.federation("mitte")["log"].clone());
        let open: Vec<_> = open.filter(|log| log["witnesses"] != 3 || log["witnessed_size"] != log["size"]).collect();
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) }
    });
    let size = row(&federation["de-he"], "de-sl")["log_size"].as_u64().unwrap();

    // The backup is restored while nobody can be reached.
    for node in &mut federation.nodes {
        node.kill();
    }
    let dir = federation["de-sl"].dir.clone();
    std::fs::remove_dir_all(&dir).unwrap();
    disk::copy_dir(&backup, &dir);
    federation["de-sl"].start();
    let now = until("the time for all to answer is over, and it says what it waits for", || {
        let now = federation["de-sl"].federation("mitte");
        let why = now["recovering"]["why"].as_str().unwrap_or_default();
        if why.contains("it waits until 1 have") { Ok(now) } else { Err(now["recovering"].to_string()) }
    });
    assert_eq!(now["may_sign"], false, "{now}");
    assert_eq!(now["recovering"]["waiting_for"], serde_json::json!(["de-he", "de-rp"]), "{now}");
    let concern = federation["de-sl"].status()["problems"].to_string();
    assert!(concern.contains("\"recovering\"") && concern.contains("recover --sign-anyway"), "{concern}");
    // It serves what it holds, and signs neither releases nor invitations.
    let out = federation.world.join("out");
    federation["de-sl"].command(["process", "pull", "de-he/vorher", out.to_str().unwrap()]).ok();
    let folder = Folder::new(federation.world.path(), "zu-frueh");
    let said = federation["de-sl"].command(["publish", folder.path.to_str().unwrap()]).refused(8);
    assert!(said.contains("recovering"), "{said}");
    federation["de-sl"].cli("invite --for de-by").refused(8);

    // They are back: it learns what it signed, and only then signs.
    for handle in ["de-he", "de-rp", "de-th"] {
        federation[handle].start();
    }
    federation.connected();
    federation.hold(&all, 3);
    assert_eq!(federation["de-sl"].federation("mitte")["charter_version"], 4);
    assert!(federation["de-sl"].events().iter().any(|event| event["code"] == "recovered"));
    federation.publish("de-sl", &folder.path);
    federation.hold(&all, 4);
    for node in &federation.nodes {
        let saarland = row(node, "de-sl");
        assert_eq!(saarland["log"], "open", "{}: {saarland}", node.handle);
        assert_eq!(saarland["log_size"], size + 1, "{}: its log goes on where it was", node.handle);
        let codes: Vec<_> = node.events().iter().map(|event| event["code"].to_string()).collect();
        for bad in ["\"log_forked\"", "\"equivocated\"", "\"refused\""] {
            assert!(!codes.iter().any(|code| code == bad), "{}: {bad}", node.handle);
        }
    }
}

/// The sizes at which a node said that the log of `handle` ends, oldest first.
fn ends_told(node: &Node, handle: &str) -> Vec<u64> {
    let events = node.events();
    let forks = events.iter().filter(|event| event["code"] == "log_forked" && event["member"] == handle);
    forks.map(|event| event["details"]["size"].as_u64().unwrap()).collect()
}

#[test]
fn a_forked_log_is_closed_at_the_same_size_on_every_node_also_its_own_and_one_that_comes_later() {
    let mut federation = Federation::found(4);
    federation.publish("de-sl", &Folder::new(federation.world.path(), "gemeinsam").path);
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 1);
    until("all vouch for it", || {
        let log = federation["de-sl"].federation("mitte")["log"].clone();
        if log["witnesses"] == 3 { Ok(()) } else { Err(log.to_string()) }
    });
    // The same node twice, each unaware of the other; one member is away from before the fork until long after.
    federation["de-sl"].stop();
    let twin_dir = federation.world.join("zwilling");
    disk::copy_dir(&federation["de-sl"].dir.clone(), &twin_dir);
    federation["de-th"].stop();
    federation["de-sl"].start();
    federation.connected();
    federation.publish("de-sl", &Folder::new(federation.world.path(), "eine-seite").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 2);
    until("this side is witnessed", || {
        let log = federation["de-sl"].federation("mitte")["log"].clone();
        if log["witnessed_size"] == log["size"] { Ok(()) } else { Err(log.to_string()) }
    });
    let size = federation["de-sl"].federation("mitte")["log"]["size"].as_u64().unwrap();
    for node in federation.nodes.iter_mut().filter(|node| node.handle != "de-th") {
        node.stop();
    }
    let mut twin = Node::at(twin_dir, "de-sl");
    twin.start();
    twin.cli("recover --sign-anyway").ok();
    twin.publish(&Folder::new(federation.world.path(), "andere-seite").path);
    for handle in ["de-he", "de-rp"] {
        federation[handle].start();
    }
    let closed = |node: &Node| {
        until(&format!("{} closed the forked log where it was witnessed last", node.dir.display()), || {
            let row = row(node, "de-sl");
            let told = ends_told(node, "de-sl");
            assert!(told.is_sorted_by(|a, b| a < b), "evidence only adds: {told:?}");
            if row["log"] == "forked" && told.last() == Some(&size) { Ok(()) } else { Err(format!("{told:?} {row}")) }
        });
    };
    for node in [&federation["de-he"], &federation["de-rp"], &twin] {
        closed(node);
    }
    // The late one; and the node that wrote the side that counts, in place of the one that wrote the other.
    federation["de-th"].start();
    closed(&federation["de-th"]);
    twin.stop();
    federation["de-sl"].start();
    closed(&federation["de-sl"]);
    let status = federation["de-sl"].status();
    assert!(status["problems"].to_string().contains("own_log_forked"), "{status}");

    // One catalogue everywhere: what was witnessed stands, what lies beyond is void; the others go on.
    federation.publish("de-he", &Folder::new(federation.world.path(), "es-geht-weiter").path);
    for node in &federation.nodes {
        until(&format!("{} has the same catalogue", node.handle), || {
            let list = node.get("/v1/processes");
            let mut names: Vec<_> =
                list["processes"].as_array().unwrap().iter().map(|p| p["process"].as_str().unwrap()).collect();
            names.sort_unstable();
            let held = node.federation("mitte")["held"].clone();
            if names == ["de-he/es-geht-weiter", "de-sl/eine-seite", "de-sl/gemeinsam"] && held == 3 {
                Ok(())
            } else {
                Err(format!("{names:?}, held {held}"))
            }
        });
    }
    let folder = Folder::new(federation.world.path(), "zu-spaet");
    let said = federation["de-sl"].command(["publish", folder.path.to_str().unwrap()]);
    assert!(said.code != 0 && said.stderr.contains("fork"), "{said}");
}

/// Cosignatures of the newest entry of the node's own log that it knows.
fn vouched_for(node: &Node, by: u64) {
    until(&format!("{by} vouch for the log of {}", node.handle), || {
        let log = node.federation("mitte")["log"].clone();
        if log["witnesses"] == by { Ok(()) } else { Err(log.to_string()) }
    });
}

#[test]
fn the_end_of_a_forked_log_is_told_again_when_evidence_that_comes_later_raises_it() {
    let mut federation = Federation::found(4);
    federation.publish("de-sl", &Folder::new(federation.world.path(), "gemeinsam").path);
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 1);
    vouched_for(&federation["de-sl"], 3);
    let common = federation["de-sl"].federation("mitte")["log"]["size"].as_u64().unwrap();
    federation["de-sl"].stop();
    let twin_dir = federation.world.join("zwilling");
    disk::copy_dir(&federation["de-sl"].dir.clone(), &twin_dir);
    federation["de-sl"].start();
    federation.connected();

    // One vouches for the side that will count, and goes; then a second one, which the first does not learn of.
    federation["de-he"].stop();
    federation["de-th"].stop();
    federation.publish("de-sl", &Folder::new(federation.world.path(), "eine-seite").path);
    vouched_for(&federation["de-sl"], 1);
    federation["de-rp"].stop();
    federation["de-he"].start();
    federation["de-he"].cli("recover --sign-anyway").ok();
    vouched_for(&federation["de-sl"], 2);
    let witnessed = common + 1;
    until("the second one knows that it is witnessed", || {
        let said = federation["de-he"].command(["process", "show", "de-sl/eine-seite", "--json"]);
        let shown: Value = serde_json::from_str(&said.stdout).map_err(|_| said.to_string())?;
        if shown["witnesses"] == 2 { Ok(()) } else { Err(shown.to_string()) }
    });
    federation["de-he"].stop();
    federation["de-sl"].stop();
    // The third one sees the other side only.
    let mut twin = Node::at(twin_dir, "de-sl");
    twin.start();
    twin.cli("recover --sign-anyway").ok();
    federation["de-th"].start();
    twin.publish(&Folder::new(federation.world.path(), "andere-seite").path);
    until("the third one has the other side", || {
        let row = row(&federation["de-th"], "de-sl");
        if row["log_size"] == witnessed { Ok(()) } else { Err(row.to_string()) }
    });
    twin.stop();

    let told = |node: &Node, sizes: &[u64]| {
        until(&format!("{} was told {sizes:?}", node.handle), || {
            let told = ends_told(node, "de-sl");
            if told == sizes { Ok(()) } else { Err(format!("{told:?} {}", row(node, "de-sl"))) }
        });
    };
    // The two sides meet: what both know to be witnessed is what they have in common.
    federation["de-rp"].start();
    told(&federation["de-rp"], &[common]);
    told(&federation["de-th"], &[common]);
    // With the one that knows more, the end is raised everywhere, and said again.
    federation["de-he"].start();
    told(&federation["de-rp"], &[common, witnessed]);
    told(&federation["de-th"], &[common, witnessed]);
    told(&federation["de-he"], &[witnessed]);
    for handle in ["de-he", "de-rp", "de-th"] {
        until(&format!("{handle} shows what was witnessed, and only that"), || {
            let list = federation[handle].get("/v1/processes");
            let names: Vec<_> =
                list["processes"].as_array().unwrap().iter().map(|p| p["process"].as_str().unwrap()).collect();
            if names == ["de-sl/eine-seite", "de-sl/gemeinsam"] { Ok(()) } else { Err(format!("{names:?}")) }
        });
    }
}
