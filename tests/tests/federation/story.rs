//! What users do, from the first node to the fourth, and with two federations on one node.

use verbund_tests::{Federation, Folder, World, samples};

#[test]
fn one_node_founds_a_federation_and_publishes() {
    let federation = Federation::found(1);
    let folder = Folder::new(federation.world.path(), "hundesteuer-anmeldung");
    let published = federation["de-he"].publish(&folder.path);
    assert_eq!(published["release"], "de-he/hundesteuer-anmeldung@1.0.0");
    assert_eq!(published["unchanged"], false);
    federation.hold(&["de-he"], 1);
    let found = federation["de-he"].json("process ls");
    assert_eq!(found["processes"][0]["process"], "de-he/hundesteuer-anmeldung", "{found}");
    let again = federation["de-he"].publish(&folder.path);
    assert_eq!(
        (&again["unchanged"], &again["digest"]),
        (&true.into(), &published["digest"]),
        "publishing is idempotent"
    );
}

#[test]
fn a_fourth_state_joins_with_one_ticket_and_hands_over_what_an_absent_one_published() {
    let mut federation = Federation::found(3);
    let samples = samples();
    for (folder, handle) in samples.iter().zip(["de-he", "de-rp", "de-sl"].iter().cycle()) {
        federation.publish(handle, folder);
    }
    let newcomer = federation.world.start("de-th", "Thüringen");
    federation.join(newcomer);
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], samples.len() as u64);

    federation["de-he"].stop();
    let out = federation.world.join("pulled");
    let name = samples[0].file_name().unwrap().to_str().unwrap();
    federation["de-th"].command(["process", "pull", &format!("de-he/{name}"), out.to_str().unwrap()]).ok();
    same_files(&samples[0], &out);

    // Somebody without node and network who only knows what to trust.
    let trust = federation.trust("de-th");
    let nobody = World::new();
    let offline = verbund_tests::Node::at(nobody.join("none"), "de-xx");
    offline.command(["process", "verify", out.to_str().unwrap(), "--trust", &trust]).ok();
    offline.command(["process", "verify", out.to_str().unwrap()]).refused(8);
    let (federation_id, _) = trust.split_once('@').unwrap();
    let other = format!("{federation_id}@{}", "00".repeat(32));
    // A charter that the proof's chain does not contain anchors nothing: the proof may simply be older.
    offline.command(["process", "verify", out.to_str().unwrap(), "--trust", &other]).refused(8);
    std::fs::write(out.join("process.toml"), b"# forged\n").unwrap();
    offline.command(["process", "verify", out.to_str().unwrap(), "--trust", &trust]).refused(6);
}

#[test]
fn a_publisher_sees_each_member_confirm() {
    let federation = Federation::found(3);
    let folder = Folder::new(federation.world.path(), "wohngeld");
    let path = folder.path.to_str().unwrap();
    let done = federation["de-rp"].command(["--json", "publish", path, "--wait", "held", "--timeout", "60s"]).json();
    let mut holders: Vec<&str> =
        done["reached"]["held_by"].as_array().unwrap().iter().map(|h| h.as_str().unwrap()).collect();
    holders.sort_unstable();
    assert_eq!(holders, ["de-he", "de-sl"], "{done}");
    assert_eq!(done["reached"]["witnessed"], true, "{done}");
    // What one node says of the others, each of them says too.
    for node in &federation.nodes {
        verbund_tests::until(&format!("{} knows who holds it and who vouches for it", node.handle), || {
            let row = node.get("/v1/processes")["processes"][0].clone();
            let holders = row["held_by"].as_array().map_or(0, Vec::len);
            if (holders, row["witnesses"].as_u64()) == (3, Some(2)) { Ok(()) } else { Err(row.to_string()) }
        });
    }
}

#[test]
fn the_daemon_stops_at_sigterm_and_finds_everything_again() {
    let mut federation = Federation::found(2);
    let folder = Folder::new(federation.world.path(), "wohngeld-antrag");
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    let before = federation["de-he"].status();
    for node in &mut federation.nodes {
        node.restart();
    }
    federation.connected();
    federation.hold(&["de-he", "de-rp"], 1);
    let after = federation["de-he"].status();
    assert_eq!(before["node"]["peer"], after["node"]["peer"]);
    assert_eq!(before["federations"][0]["listen"], after["federations"][0]["listen"], "port 0 is chosen once and kept");
    assert_eq!(before["addresses"]["https"], after["addresses"]["https"], "port 0 is chosen once and kept");
    federation.publish("de-rp", &Folder::new(federation.world.path(), "elterngeld").path);
    federation.hold(&["de-he", "de-rp"], 2);
}

#[test]
fn members_meet_over_ipv6() {
    let world = World::new();
    let mut founder = world.init_at("de-he", "de-he", "Hessen", "[::1]:0");
    founder.start();
    founder.command(["federation", "create", "OZG-Verbund Mitte", "--slug", "mitte"]).ok();
    let mut other = world.init_at("de-rp", "de-rp", "Rheinland-Pfalz", "[::1]:0");
    other.start();
    let mut federation = Federation { nodes: vec![founder], slug: "mitte".to_owned(), world };
    federation.join(other);
    let listen = federation["de-rp"].federation("mitte")["listen"].to_string();
    assert!(listen.contains("[::1]:"), "{listen}");
    federation.publish("de-rp", &Folder::new(federation.world.path(), "elterngeld").path);
    federation.hold(&["de-he", "de-rp"], 1);
}

#[test]
fn a_node_in_two_federations_shows_nothing_of_one_in_the_other() {
    let mut mitte = Federation::found(2);
    mitte.join(mitte.world.start("de-th", "Thüringen"));
    let secret = Folder::new(mitte.world.path(), "nur-fuer-mitte");
    mitte.publish("de-he", &secret.path);
    mitte.hold(&["de-he", "de-rp", "de-th"], 1);

    // Thüringen founds a second one and lets Bayern join.
    mitte["de-th"].command(["federation", "create", "Südverbund", "--slug", "sued"]).ok();
    let bayern = mitte.world.start("de-by", "Bayern");
    let ticket = mitte["de-th"].cli("--federation sued invite --for de-by").ok();
    bayern.command(["peer", "add", ticket.trim()]).ok();
    verbund_tests::until("the request arrived", || {
        let open = mitte["de-th"].get("/v1/members/requests?federation=sued");
        if open["requests"][0]["handle"] == "de-by" { Ok(()) } else { Err(open.to_string()) }
    });
    let in_mitte = mitte["de-th"].get("/v1/members/requests?federation=mitte");
    assert_eq!(in_mitte["requests"], serde_json::json!([]), "a request is seen where it was lodged only");
    mitte["de-th"].cli("--federation sued member admit de-by").ok();
    let own = Folder::new(mitte.world.path(), "nur-fuer-sued");
    mitte["de-th"].publish_in(Some("sued"), &own.path);
    verbund_tests::until("Bayern holds what was published for it", || {
        let now = bayern.federation("sued");
        if now["held"] == 1 { Ok(()) } else { Err(now.to_string()) }
    });

    // One address and port each; commands must say which one they mean.
    let status = mitte["de-th"].status();
    let listen = |slug: &str| mitte["de-th"].federation(slug)["listen"].clone();
    assert_eq!(status["federations"].as_array().unwrap().len(), 2);
    assert_ne!(listen("mitte"), listen("sued"));
    let which = mitte["de-th"].command(["publish", own.path.to_str().unwrap()]).refused(2);
    assert!(which.contains("mitte") && which.contains("sued"), "{which}");

    // Nothing of one in the other: neither names nor files, on no node, through no interface.
    let all =
        |node: &verbund_tests::Node, slug: &str| node.json(&format!("--federation {slug} process ls")).to_string();
    assert!(!all(&mitte["de-th"], "sued").contains("mitte") && !all(&mitte["de-th"], "mitte").contains("sued"));
    assert!(!all(&mitte["de-he"], "mitte").contains("sued"));
    for line in ["status", "process ls", "events", "member ls", "federation ls"] {
        let seen = bayern.cli(&format!("--json {line}")).stdout;
        assert!(!seen.contains("mitte") && !seen.contains("de-he"), "{line} on Bayern's node: {seen}");
    }
    for handle in ["de-he", "de-rp"] {
        let seen = mitte[handle].status().to_string() + &mitte[handle].cli("--json member ls").stdout;
        assert!(!seen.contains("sued") && !seen.contains("de-by"), "{handle}: {seen}");
    }
}

/// Compares two folders byte for byte; `.verbund` is the pull's own.
fn same_files(expected: &std::path::Path, found: &std::path::Path) {
    let list = |root: &std::path::Path| {
        let mut all = Vec::new();
        let mut open = vec![root.to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    all.push(path.strip_prefix(root).unwrap().to_path_buf());
                }
            }
        }
        all.retain(|path| !path.starts_with(".verbund"));
        all.sort();
        all
    };
    assert_eq!(list(expected), list(found));
    for path in list(expected) {
        assert!(std::fs::read(expected.join(&path)).unwrap() == std::fs::read(found.join(&path)).unwrap(), "{path:?}");
    }
}
