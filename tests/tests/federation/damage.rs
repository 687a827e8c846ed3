//! Damaged disks and limits: what a node notices about itself, and what it does about it.

use std::path::PathBuf;

use serde_json::Value;
use verbund_tests::{Federation, Folder, Node, disk, noise, until};

/// What rots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    File,
    Manifest,
    Outboard,
}

const PARTS: [(Part, &str, usize); 3] =
    [(Part::File, "akte", 3_000_001), (Part::Manifest, "bescheid", 2_000_003), (Part::Outboard, "cedent", 1_000_007)];

/// The file on disk that holds this part of a release.
fn place(node: &Node, part: Part, name: &str, size: usize) -> PathBuf {
    match part {
        Part::File => disk::artifact(node, size as u64),
        Part::Outboard => disk::artifact(node, size as u64).with_extension("obao"),
        Part::Manifest => {
            let named = format!("{name}.bin");
            let all = disk::files(&node.dir.join("artifacts/objects"));
            let holds = |path: &PathBuf| {
                let small = path.metadata().is_ok_and(|meta| meta.len() < 10_000);
                small && String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(&named)
            };
            let found: Vec<_> = all.into_iter().filter(holds).collect();
            assert_eq!(found.len(), 1, "the manifest of {name}: {found:?}");
            found.into_iter().next().unwrap()
        }
    }
}

fn problem<'a>(status: &'a Value, code: &str) -> Option<&'a Value> {
    status["problems"].as_array().unwrap().iter().find(|problem| problem["code"] == code)
}

#[test]
fn bit_rot_in_a_file_a_manifest_or_its_hashes_is_noticed_while_reading_and_never_sent() {
    let mut federation = Federation::found(3);
    federation["de-sl"].stop();
    for (_, name, size) in PARTS {
        let folder = Folder::new(federation.world.path(), name).file(&format!("{name}.bin"), &noise(size as u64, size));
        federation.publish("de-he", &folder.path);
    }
    federation.hold(&["de-he", "de-rp"], 3);
    // Only the rotten holder is there when the third asks.
    federation["de-rp"].stop();
    for (part, name, size) in PARTS {
        let path = place(&federation["de-he"], part, name, size);
        let middle = path.metadata().unwrap().len() / 2;
        disk::rot(&path, middle);
    }
    federation["de-sl"].start();
    until("it has what is in order, and the damage is told where it is", || {
        let (there, here) = (federation["de-sl"].federation("mitte"), federation["de-he"].status());
        let now = &here["federations"][0];
        let kept = problem(&here, "quarantine_kept").map(|p| p["text"].to_string()).unwrap_or_default();
        let lacking = problem(&here, "artifact_quarantined").is_some();
        if there["held"] == 1 && now["quarantined"] == 2 && lacking && kept.contains("artifacts/quarantine") {
            Ok(())
        } else {
            Err(format!("there {}, here {now}, {kept}", there["held"]))
        }
    });
    // Its hashes were made again from bytes that are in order: no damage, nothing lost.
    federation["de-he"].wait_log("hashes of an artifact were made again");
    let told: Vec<_> = federation["de-he"].events().into_iter().filter(|e| e["code"] == "artifact_damaged").collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|event| event["text"].to_string().contains("artifacts/quarantine")), "{told:?}");
    assert_eq!(disk::files(&federation["de-he"].dir.join("artifacts/quarantine")).len(), 2);
    let sync = federation["de-he"].json("sync status").to_string();
    assert!(sync.contains("damaged on disk"), "{sync}");
    // Not to users of the node itself either.
    let out = federation.world.join("none");
    let said = federation["de-he"].command(["process", "pull", "de-he/akte", out.to_str().unwrap()]).refused(8);
    assert!(said.contains("not complete"), "{said}");

    // Another holder heals both; the one that asked received nothing wrong in all that time.
    federation["de-rp"].start();
    federation.connected();
    federation.hold(&["de-he", "de-rp", "de-sl"], 3);
    for handle in ["de-he", "de-sl"] {
        for (_, name, size) in PARTS {
            let out = federation.world.join(&format!("{handle}-{name}"));
            federation[handle].command(["process", "pull", &format!("de-he/{name}"), out.to_str().unwrap()]).ok();
            assert!(std::fs::read(out.join(format!("{name}.bin"))).unwrap() == noise(size as u64, size), "{name}");
        }
    }
    for handle in ["de-rp", "de-sl"] {
        let seen = federation[handle].get("/v1/peers/show?peer=de-he");
        // It may have let go in the middle, when it noticed; nothing wrong was sent.
        let faults = seen["faults"].as_object().unwrap();
        assert!(faults.keys().all(|reason| reason == "artifact_unfinished"), "{handle} of de-he: {seen}");
        let refused = |e: &&Value| e["code"] == "refused" && e["details"]["reason"] != "artifact_unfinished";
        let events = federation[handle].events();
        assert_eq!(events.iter().find(refused), None, "{handle}");
    }
    let status = federation["de-he"].status();
    assert_eq!(status["federations"][0]["quarantined"], 0, "{status}");
    assert!(problem(&status, "quarantine_kept").is_some(), "the disk stays suspect: {status}");
}

#[test]
fn bit_rot_is_noticed_while_reading_never_sent_and_healed_from_another_holder() {
    const SIZE: usize = 3_000_001;
    let mut federation = Federation::found(2);
    let bytes = noise(3, SIZE);
    let folder = Folder::new(federation.world.path(), "akte").file("akte.bin", &bytes);
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    disk::rot(&disk::artifact(&federation["de-he"], SIZE as u64), 1_500_000);

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
