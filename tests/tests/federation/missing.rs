//! Artifacts that cannot be had: what a node says of them, what it does about them, and that nothing waits for them.

use serde_json::Value;
use verbund_tests::{Federation, Folder, Node, disk, noise, until};

const SIZE: u64 = 200_003;

/// The file that `handle` says it lacks of `release`.
fn pending(node: &Node, release: &str) -> Result<Value, String> {
    let now = node.federation("mitte");
    let found = now["pending"].as_array().into_iter().flatten().find(|p| {
        let name = p["release"].as_str().unwrap_or_default();
        name.strip_prefix(release).is_some_and(|rest| rest.starts_with('@'))
    });
    found.cloned().ok_or_else(|| format!("nothing of {release} is pending: {now}"))
}

/// When `node` said that it cannot have `release`, in order, in milliseconds.
fn blocked_at(node: &Node, release: &str) -> Vec<u64> {
    let of = |event: &Value| {
        event["code"] == "release_blocked" && event["release"].as_str().is_some_and(|name| name.starts_with(release))
    };
    node.events().iter().filter(|event| of(event)).map(|event| millis(event["at"].as_str().unwrap())).collect()
}

/// `2026-01-31T12:34:56.789Z` as milliseconds since some midnight of the same month; enough to compare within a test.
fn millis(text: &str) -> u64 {
    let (day, time) = text.trim_end_matches('Z').split_once('T').expect("a time");
    let number = |text: &str| text.parse::<f64>().expect("a number");
    let parts: Vec<f64> = time.split(':').map(number).collect();
    let seconds = number(&day[8..]) * 86_400.0 + parts[0] * 3_600.0 + parts[1] * 60.0 + parts[2];
    (seconds * 1_000.0) as u64
}

#[test]
fn what_nobody_can_deliver_is_named_backs_off_alone_and_comes_when_a_holder_is_back() {
    let mut federation = Federation::found(3);
    for handle in ["de-rp", "de-sl"] {
        federation[handle].stop();
    }
    for (seed, name) in [(11, "verloren"), (12, "verlegt")] {
        let folder =
            Folder::new(federation.world.path(), name).file("akte.bin", &noise(seed, SIZE as usize + seed as usize));
        federation.publish("de-he", &folder.path);
    }
    // Complete at its publisher, so that the manifest can be had and it is the file that nobody has.
    federation.hold(&["de-he"], 2);
    // The only copies go before anybody else had them: one with its folder, one whose folder is still there.
    federation["de-he"].stop();
    let lost = disk::artifact(&federation["de-he"], SIZE + 11);
    let aside = federation.world.join("aside");
    std::fs::rename(&lost, &aside).unwrap();
    std::fs::remove_file(disk::artifact(&federation["de-he"], SIZE + 12)).unwrap();
    for node in &mut federation.nodes {
        node.start();
    }
    federation.connected();

    // Every node names file, code, why, from whom, and when it tries again; its owner that it went from its own disk.
    for handle in ["de-he", "de-rp", "de-sl"] {
        for release in ["de-he/verloren", "de-he/verlegt"] {
            until(&format!("{handle} says what it lacks of {release}"), || {
                let file = pending(&federation[handle], release)?;
                let named = file["file"] == "akte.bin"
                    && matches!(file["code"].as_str(), Some("backing_off" | "no_holder"))
                    && file["why"].as_str().is_some_and(|why| why.starts_with("de-") && why.contains(": holder "))
                    && file["from"].as_str().is_some_and(|from| from.starts_with("de-") && from != handle)
                    && file["next_try"].is_string()
                    && file["attempts"].as_u64() > Some(0);
                if named { Ok(()) } else { Err(file.to_string()) }
            });
        }
    }
    let told = federation["de-he"].events();
    assert!(told.iter().any(|event| event["code"] == "artifact_lost"), "{told:?}");
    let sync = federation["de-rp"].json("sync status");
    let missing = sync["federations"][0]["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 2, "{sync}");
    assert!(missing.iter().all(|m| m["holders"] == serde_json::json!([])), "nobody claims to hold it: {sync}");
    let said = federation["de-rp"].command(["process", "pull", "de-he/verloren", "/nonexistent/x"]).refused(8);
    assert!(said.contains("not complete") && said.contains("sync status"), "{said}");

    // What comes after it is not held up, and it is asked for less and less often.
    federation.publish("de-he", &Folder::new(federation.world.path(), "danach").path);
    for handle in ["de-he", "de-rp", "de-sl"] {
        until(&format!("{handle} has what came later"), || {
            let now = federation[handle].federation("mitte");
            if (now["held"].as_u64(), now["known"].as_u64()) == (Some(1), Some(3)) {
                Ok(())
            } else {
                Err(now.to_string())
            }
        });
    }
    let tries = until("four tries", || {
        let tries = blocked_at(&federation["de-rp"], "de-he/verloren");
        if tries.len() >= 4 { Ok(tries) } else { Err(format!("{tries:?}")) }
    });
    let last = tries.len() - 1;
    assert!(tries[last] - tries[last - 1] > tries[1] - tries[0], "the pauses grow: {tries:?}");

    // Published again from its folder, the one comes back at once; the other when its file is back.
    let folder = federation.world.join("verlegt");
    let again = federation["de-he"].publish(&folder);
    assert_eq!(again["unchanged"], true, "{again}");
    for handle in ["de-he", "de-rp", "de-sl"] {
        until(&format!("{handle} has what was published again"), || {
            let now = federation[handle].federation("mitte");
            if now["held"] == 2 { Ok(()) } else { Err(now.to_string()) }
        });
    }
    federation["de-he"].stop();
    std::fs::rename(&aside, &lost).unwrap();
    federation["de-he"].start();
    federation.connected();
    federation.hold(&["de-he", "de-rp", "de-sl"], 3);
    let out = federation.world.join("out");
    federation["de-sl"].command(["process", "pull", "de-he/verloren", out.to_str().unwrap()]).ok();
    assert!(std::fs::read(out.join("akte.bin")).unwrap() == noise(11, SIZE as usize + 11));
    for node in &federation.nodes {
        assert_eq!(disk::leftovers(node), [""; 0].map(std::path::PathBuf::from), "{}", node.handle);
    }
}
