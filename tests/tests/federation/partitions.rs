//! Networks that break and networks that are slow: what was cut off catches up, and nobody is taken for a liar.

use std::time::Duration;

use serde_json::Value;
use verbund_tests::netns::Network;
use verbund_tests::proxy::{self, Line};
use verbund_tests::{Federation, Folder, Node, STATES, admin_get, noise, until};

/// The row of a member in `status`.
fn row(node: &Node, handle: &str) -> Value {
    let now = node.federation("mitte");
    now["members"].as_array().into_iter().flatten().find(|m| m["handle"] == handle).cloned().unwrap_or_default()
}

/// Waits until `node` is, or is not, connected with `handle`.
#[track_caller]
fn connection(node: &Node, handle: &str, connected: bool) {
    until(&format!("{} and {handle} connected: {connected}", node.handle), || {
        let row = row(node, handle);
        if (row["connection"]["state"] == "connected") == connected { Ok(()) } else { Err(row.to_string()) }
    });
}

/// Nobody is blocked, no log is closed, and no fault is counted against a member but what broken lines make.
fn nobody_is_blamed(federation: &Federation) {
    for node in &federation.nodes {
        let now = node.federation("mitte");
        for member in now["members"].as_array().unwrap() {
            assert_eq!(member["log"], "open", "{} of {member}", node.handle);
        }
        for other in federation.handles().into_iter().filter(|other| *other != node.handle) {
            let seen = node.get(&format!("/v1/peers/show?peer={other}"));
            let faults = seen["faults"].as_object().unwrap();
            assert!(faults.keys().all(|reason| reason == "artifact_unfinished"), "{} of {other}: {seen}", node.handle);
            assert_ne!(seen["blocked"], true, "{} of {other}: {seen}", node.handle);
        }
    }
}

/// Four nodes with a network each; `None`, and said, where that is not permitted.
fn apart() -> Option<(Network, Federation)> {
    let Some(network) = Network::new(4) else {
        eprintln!("SKIPPED: network namespaces cannot be made here (root and iproute2 are needed)");
        return None;
    };
    let place = |node: &mut Node| {
        let number = STATES.iter().position(|(handle, _)| *handle == node.handle).unwrap();
        node.inside = Some(network.namespace(number));
        let address = format!("{}:0", network.address(number));
        node.set("listen", &address);
    };
    let federation = Federation::found_with(4, place);
    Some((network, federation))
}

#[test]
fn a_partition_in_two_halves_heals_and_both_halves_have_everything() {
    let Some((network, mut federation)) = apart() else { return };
    federation.publish("de-he", &Folder::new(federation.world.path(), "vorher").path);
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 1);
    // Two halves by cutting each line between them, both ways; then one node all alone.
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        network.mute(a, b);
        network.mute(b, a);
    }
    for (node, handle) in [("de-he", "de-sl"), ("de-rp", "de-th"), ("de-sl", "de-rp"), ("de-th", "de-he")] {
        connection(&federation[node], handle, false);
    }
    federation.publish("de-he", &Folder::new(federation.world.path(), "im-westen").path);
    federation
        .publish("de-th", &Folder::new(federation.world.path(), "im-osten").file("a.bin", &noise(1, 3 << 20)).path);
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 2);
    // Three of four are a quorum; two are not: nobody can be admitted now, and nothing is witnessed.
    let log = federation["de-he"].federation("mitte")["log"].clone();
    assert!(log["witnessed_size"].as_u64() < log["size"].as_u64(), "{log}");
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        network.unmute(a, b);
        network.unmute(b, a);
    }
    federation.connected();
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 3);
    until("what was cut off is witnessed", || {
        let log = federation["de-he"].federation("mitte")["log"].clone();
        if log["witnessed_size"] == log["size"] { Ok(()) } else { Err(log.to_string()) }
    });
    network.isolate(3);
    connection(&federation["de-he"], "de-th", false);
    federation.publish("de-th", &Folder::new(federation.world.path(), "ganz-allein").path);
    federation.publish("de-rp", &Folder::new(federation.world.path(), "ohne-thueringen").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 4);
    network.reconnect(3);
    federation.connected();
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 5);
    nobody_is_blamed(&federation);
}

#[test]
fn a_line_that_carries_one_way_only_is_noticed_and_goes_round_by_others() {
    let Some((network, mut federation)) = apart() else { return };
    // Hessen hears Saarland and is not heard by it.
    network.mute(0, 2);
    connection(&federation["de-he"], "de-sl", false);
    connection(&federation["de-sl"], "de-he", false);
    federation.publish("de-he", &Folder::new(federation.world.path(), "umweg").file("a.bin", &noise(2, 200_000)).path);
    federation.publish("de-sl", &Folder::new(federation.world.path(), "rueckweg").path);
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], 2);
    until("it is witnessed by those that hear it", || {
        let log = federation["de-he"].federation("mitte")["log"].clone();
        if log["witnessed_size"] == log["size"] { Ok(()) } else { Err(log.to_string()) }
    });
    network.unmute(0, 2);
    federation.connected();
    nobody_is_blamed(&federation);
}

#[test]
fn a_member_behind_a_long_slow_line_gets_everything_and_is_not_blamed_for_it() {
    // Each is reached by the others over such a line, and in no other way: nobody is told where it really listens.
    let line = Line { delay: Duration::from_millis(80), rate: 2 << 20 };
    let federation = Federation::found_with(3, |node| {
        let socket = node.dir.join("admin.sock");
        let listens = move || {
            let status = admin_get(&socket, "/v1/status").ok()?.json();
            status["federations"][0]["listen"][0].as_str()?.parse().ok()
        };
        node.set("announce", &proxy::line(listens, line).to_string());
    });
    let bytes = noise(3, 4 << 20);
    federation.publish("de-he", &Folder::new(federation.world.path(), "gross").file("a.bin", &bytes).path);
    for number in 0..5 {
        federation.publish("de-sl", &Folder::new(federation.world.path(), &format!("klein-{number}")).path);
    }
    federation.hold(&["de-he", "de-rp", "de-sl"], 6);
    nobody_is_blamed(&federation);
}
