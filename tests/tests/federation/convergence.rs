//! All nodes end with the same catalogue and the same files, whatever happened on the way.

use std::time::Duration;

use verbund_tests::{Federation, Folder, noise, until, within};

const MIB: u64 = 1 << 20;

#[test]
fn a_node_killed_while_it_receives_a_large_artifact_goes_on_where_it_was() {
    const SIZE: u64 = 200 * MIB;
    let mut federation = Federation::found(2);
    let bytes = noise(1, SIZE as usize);
    let folder = Folder::new(federation.world.path(), "gross").file("gross.bin", &bytes);
    federation["de-rp"].stop();
    federation.publish("de-he", &folder.path);
    federation["de-rp"].spawn();
    // The daemon announces itself early; what counts is that it receives.
    let before = within(Duration::from_secs(60), "the artifact is on its way", || {
        let status = federation["de-rp"].try_get("/v1/status")?;
        let received = status["transfer"]["bytes_received"].as_u64().unwrap_or(0);
        if received > 20 * MIB { Ok(status["transfer"].clone()) } else { Err(format!("{received} bytes so far")) }
    });
    federation["de-rp"].kill();
    assert!(before["bytes_received"].as_u64().unwrap() < SIZE, "killed too late to show anything: {before}");
    federation["de-rp"].start();
    federation.hold(&["de-he", "de-rp"], 1);
    let after = federation["de-rp"].status()["transfer"].clone();
    let number = |value: &serde_json::Value, key: &str| value[key].as_u64().unwrap();
    let window = number(&after, "window_bytes");
    assert!(window > 0 && window <= 32 * MIB, "the window is named and small: {after}");
    assert!(number(&after, "bytes_received_again") <= window, "{after}");
    // Small files come with the large one: a little more than its size is fine, the part before the kill is not.
    assert!(number(&after, "bytes_received") < SIZE - 20 * MIB + window + MIB, "before {before}, after {after}");
}

#[test]
fn a_member_that_was_away_gets_the_fifty_releases_it_missed() {
    let mut federation = Federation::found(3);
    federation["de-sl"].stop();
    let folder = Folder::new(federation.world.path(), "bewohnerparkausweis");
    for number in 0..50 {
        let folder = folder.clone().version(&format!("1.0.{number}")).file("stand.txt", format!("{number}").as_bytes());
        federation.publish(if number % 2 == 0 { "de-he" } else { "de-rp" }, &folder.path);
    }
    federation["de-sl"].start();
    federation.connected();
    federation.hold(&["de-he", "de-rp", "de-sl"], 50);
}

#[test]
fn without_any_gossip_catch_up_alone_brings_everything() {
    let federation = Federation::found_with(3, |node| {
        node.set("gossip.enabled", "false");
    });
    for (number, handle) in ["de-he", "de-rp", "de-sl", "de-he"].into_iter().enumerate() {
        federation.publish(handle, &Folder::new(federation.world.path(), &format!("prozess-{number}")).path);
    }
    federation.hold(&["de-he", "de-rp", "de-sl"], 4);
    until("all vouch for the logs of the others", || {
        let log = federation["de-he"].federation("mitte")["log"].clone();
        if log["witnesses"] == 2 && log["witnessed_size"] == log["size"] { Ok(()) } else { Err(log.to_string()) }
    });
}

#[test]
fn two_nodes_that_publish_at_the_same_time_both_get_through() {
    let federation = Federation::found(3);
    std::thread::scope(|scope| {
        for handle in ["de-he", "de-rp"] {
            let federation = &federation;
            scope.spawn(move || {
                for number in 0..10 {
                    let folder = Folder::new(&federation.world.join(handle), &format!("von-{handle}-{number}"));
                    federation[handle].publish(&folder.path);
                }
            });
        }
    });
    federation.hold(&["de-he", "de-rp", "de-sl"], 20);
    let catalogue = |handle: &str| -> Vec<String> {
        let rows = federation[handle].get("/v1/processes?limit=1000");
        rows["processes"].as_array().unwrap().iter().map(|row| row["process"].to_string()).collect()
    };
    assert_eq!(catalogue("de-he"), catalogue("de-rp"));
    assert_eq!(catalogue("de-he"), catalogue("de-sl"));
}

#[test]
fn a_node_killed_at_any_moment_keeps_what_it_acknowledged_and_goes_on() {
    let mut federation = Federation::found(2);
    let mut published = 0;
    for round in 0..6_u64 {
        let folder =
            Folder::new(federation.world.path(), &format!("runde-{round}")).file("a.bin", &noise(round, 300_000));
        federation.connected();
        federation["de-he"].publish(&folder.path);
        published += 1;
        // A different moment each time: of the publisher after its acknowledgement, of the receiver in between.
        std::thread::sleep(Duration::from_millis(round * 7));
        let victim = if round % 2 == 0 { "de-he" } else { "de-rp" };
        federation[victim].kill().start();
    }
    federation.connected();
    federation.hold(&["de-he", "de-rp"], published);
    for node in &federation.nodes {
        assert_eq!(node.status()["journal"]["damaged"], 0, "{}", node.handle);
    }
}
