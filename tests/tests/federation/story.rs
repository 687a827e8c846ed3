//! What users do, from the first node to the fourth.

use verbund_tests::{Federation, Folder, World, samples, until};

#[test]
fn one_node_founds_a_federation_and_publishes() {
    let federation = Federation::found(1);
    let node = &federation["de-he"];
    let folder = Folder::new(federation.world.path(), "hundesteuer-anmeldung");
    let published = node.publish(&folder.path);
    assert_eq!(published["release"], "de-he/hundesteuer-anmeldung@1.0.0");
    federation.hold(&["de-he"], 1);
    let found = node.json("process ls");
    assert_eq!(found["processes"][0]["process"], "de-he/hundesteuer-anmeldung", "{found}");
}

#[test]
fn a_fourth_state_joins_with_one_ticket_and_serves_when_the_owner_is_away() {
    let mut federation = Federation::found(3);
    let samples = samples();
    for (folder, handle) in samples.iter().zip(["de-he", "de-rp", "de-sl"].iter().cycle()) {
        federation.publish(handle, folder);
    }
    let newcomer = federation.world.start("de-th", "Thüringen");
    federation.join(newcomer);
    let all = samples.len() as u64;
    federation.hold(&["de-he", "de-rp", "de-sl", "de-th"], all);

    federation["de-he"].stop();
    let out = federation.world.join("pulled");
    let of_hessen = samples[0].file_name().unwrap().to_str().unwrap();
    let reference = format!("de-he/{of_hessen}");
    let newcomer = &federation["de-th"];
    newcomer.command(["process", "pull", &reference, out.to_str().unwrap()]).ok();
    let trust = federation.trust("de-th");
    let nobody = World::new();
    let offline = nobody.init("de-xx", "Offline");
    offline.command(["process", "verify", out.to_str().unwrap(), "--trust", &trust]).ok();
    for file in ["process.toml"] {
        assert_eq!(std::fs::read(samples[0].join(file)).unwrap(), std::fs::read(out.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn the_daemon_stops_at_sigterm_and_finds_everything_again() {
    let mut federation = Federation::found(1);
    let folder = Folder::new(federation.world.path(), "wohngeld-antrag");
    federation.publish("de-he", &folder.path);
    federation["de-he"].restart();
    federation.connected();
    federation.hold(&["de-he"], 1);
    until("nothing is wrong", || Ok(()));
}
