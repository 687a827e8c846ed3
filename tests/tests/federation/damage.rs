//! Damaged disks, limits, and copies of a node: what a node notices about itself and others, and what it does about it.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use verbund_tests::{Federation, Folder, Node, noise, until};

/// Every file below `root`.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

/// The file in which a node keeps an artifact of this size.
fn artifact(node: &Node, size: u64) -> PathBuf {
    let all = files(&node.dir.join("artifacts"));
    all.into_iter().find(|path| path.metadata().unwrap().len() == size).expect("the artifact's file")
}

/// Turns one byte around and leaves size and time as they were, as a dying disk does.
fn rot(path: &Path, at: u64) {
    use std::os::unix::fs::PermissionsExt as _;
    let meta = path.metadata().unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
    file.set_times(std::fs::FileTimes::new().set_modified(meta.modified().unwrap())).unwrap();
    std::fs::set_permissions(path, meta.permissions()).unwrap();
}

fn copy_dir(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn bit_rot_is_noticed_while_reading_never_sent_and_healed_from_another_holder() {
    const SIZE: usize = 3_000_001;
    let mut federation = Federation::found(2);
    let bytes = noise(3, SIZE);
    let folder = Folder::new(federation.world.path(), "akte").file("akte.bin", &bytes);
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    rot(&artifact(&federation["de-he"], SIZE as u64), 1_500_000);

    // A newcomer asks for it; whoever it asks, it gets the right bytes.
    let newcomer = federation.world.start("de-sl", "Saarland");
    federation.join(newcomer);
    federation.hold(&["de-sl"], 1);
    let out = federation.world.join("out");
    federation["de-sl"].command(["process", "pull", "de-he/akte", out.to_str().unwrap()]).ok();
    assert!(std::fs::read(out.join("akte.bin")).unwrap() == bytes);

    // Should the newcomer have asked the other one, reading it here brings it to light.
    let here = federation.world.join("here");
    federation["de-he"].command(["process", "pull", "de-he/akte", here.to_str().unwrap()]);
    until("the damage is told", || {
        let told = federation["de-he"].events().iter().any(|event| event["code"] == "artifact_damaged");
        if told { Ok(()) } else { Err("no event artifact_damaged".to_owned()) }
    });
    until("it is healed", || {
        let now = federation["de-he"].federation("mitte");
        if (now["held"].as_u64(), now["quarantined"].as_u64()) == (Some(1), Some(0)) {
            Ok(())
        } else {
            Err(now.to_string())
        }
    });
    let healed = federation.world.join("healed");
    federation["de-he"].command(["process", "pull", "de-he/akte", healed.to_str().unwrap()]).ok();
    assert!(std::fs::read(healed.join("akte.bin")).unwrap() == bytes);
}

#[test]
fn an_artifact_over_a_limit_is_named_with_it_and_does_not_hold_up_the_next_release() {
    let mut federation = Federation::found(2);
    let mut newcomer = federation.world.init("de-sl", "Saarland");
    newcomer.set("limits.artifact_max", "1MiB").start();
    let big = Folder::new(federation.world.path(), "zu-gross").file("gross.bin", &noise(9, 2 << 20));
    federation.publish("de-he", &big.path);
    federation.publish("de-he", &Folder::new(federation.world.path(), "klein").path);
    federation.join(newcomer);
    let pending = until("the small one is there, the large one is named", || {
        let now = federation["de-sl"].federation("mitte");
        let over = now["pending"].as_array().into_iter().flatten().find(|p| p["code"] == "over_limit").cloned();
        match over {
            Some(over) if now["held"] == 1 && now["known"] == 2 && now["over_limit"] == 1 => Ok(over),
            _ => Err(now.to_string()),
        }
    });
    assert!(
        pending["why"].as_str().unwrap().contains("1MiB") || pending["why"].as_str().unwrap().contains("1048576"),
        "{pending}"
    );
    assert!(pending["release"].as_str().unwrap().starts_with("de-he/zu-gross"), "{pending}");
    let missing = federation["de-sl"].json("sync status");
    assert_eq!(missing["federations"][0]["missing"].as_array().unwrap().len(), 1, "{missing}");
}

#[test]
fn a_node_started_on_an_old_copy_of_its_directory_fetches_its_own_log_first() {
    let mut federation = Federation::found(3);
    let folder = Folder::new(federation.world.path(), "vorher");
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 1);
    federation["de-he"].stop();
    let backup = federation.world.join("backup");
    copy_dir(&federation["de-he"].dir.clone(), &backup);
    federation["de-he"].start();
    federation.connected();
    federation.publish("de-he", &Folder::new(federation.world.path(), "nachher").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 2);
    let size = federation["de-rp"].federation("mitte")["members"][0]["log_size"].as_u64().unwrap();

    // The disk is lost; the backup of before is restored.
    federation["de-he"].kill();
    let dir = federation["de-he"].dir.clone();
    std::fs::remove_dir_all(&dir).unwrap();
    copy_dir(&backup, &dir);
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
    let now = federation["de-he"].federation("mitte");
    assert_eq!(now["may_sign"], false, "{now}");
    assert_eq!(now["recovering"]["waiting_for"], serde_json::json!(["de-rp"]), "{now}");
    let folder = Folder::new(federation.world.path(), "zu-frueh");
    let said = federation["de-he"].command(["publish", folder.path.to_str().unwrap()]).refused(8);
    assert!(said.contains("recovering"), "{said}");
    federation["de-he"].cli("recover").refused(2);
    federation["de-he"].cli("recover --sign-anyway").ok();
    federation["de-he"].publish(&folder.path);
    let audit = federation["de-he"].get("/v1/audit")["records"].to_string();
    assert!(audit.contains("recover.sign-anyway"), "{audit}");
}

#[test]
fn a_forked_log_is_closed_on_every_node_at_the_same_size_and_the_others_go_on() {
    let mut federation = Federation::found(4);
    federation.publish("de-sl", &Folder::new(federation.world.path(), "gemeinsam").path);
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 1);
    until("all vouch for it", || {
        let log = federation["de-sl"].federation("mitte")["log"].clone();
        if log["witnesses"] == 3 { Ok(()) } else { Err(log.to_string()) }
    });
    // The same node twice, each unaware of the other.
    federation["de-sl"].stop();
    let twin_dir = federation.world.join("zwilling");
    copy_dir(&federation["de-sl"].dir.clone(), &twin_dir);
    federation["de-sl"].start();
    federation.connected();
    federation.publish("de-sl", &Folder::new(federation.world.path(), "eine-seite").path);
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 2);
    for node in &mut federation.nodes {
        node.stop();
    }
    let mut twin = Node::at(twin_dir, "de-sl");
    twin.start();
    twin.cli("recover --sign-anyway").ok();
    twin.publish(&Folder::new(federation.world.path(), "andere-seite").path);
    for handle in ["de-he", "de-rp", "de-th"] {
        federation[handle].start();
    }
    let closed = |handle: &str| {
        until(&format!("{handle} closed the forked log"), || {
            let now = federation[handle].federation("mitte");
            let row = now["members"].as_array().unwrap().iter().find(|m| m["handle"] == "de-sl").unwrap().clone();
            let event = federation[handle].events().into_iter().rev().find(|event| event["code"] == "log_forked");
            match event {
                Some(event) if row["log"] == "forked" => Ok(event["details"]["size"].clone()),
                _ => Err(row.to_string()),
            }
        })
    };
    let first = closed("de-he");
    for handle in ["de-rp", "de-th"] {
        until("all close it at the same size", || {
            let other = closed(handle);
            if other == closed("de-he") { Ok(()) } else { Err(format!("{handle}: {other}, de-he: {first}")) }
        });
    }
    federation.publish("de-he", &Folder::new(federation.world.path(), "es-geht-weiter").path);
    until("the others go on", || {
        let list = federation["de-th"].get("/v1/processes").to_string();
        if list.contains("es-geht-weiter") { Ok(()) } else { Err(list) }
    });
}
