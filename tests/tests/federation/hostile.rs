//! A member that turned: it has real keys, and says what it must not. What is refused, what is counted, and that the rest goes on.

use std::collections::BTreeMap;

use serde_json::Value;
use verbund_protocol::ids::{Blake3, FederationId, MemberId, Sha256};
use verbund_protocol::wire::sync::{Refusal, Request, Response};
use verbund_protocol::wire::{self, Gossip};
use verbund_tests::puppet::raw::{self, nobodys};
use verbund_tests::puppet::{Forged, Keys, Serving, address_of, peer_of, renumbered};
use verbund_tests::{Federation, Folder, Node, Puppet, noise, until};

/// How `node` sees the member `handle`.
fn row(node: &Node, handle: &str) -> Value {
    let now = node.federation("mitte");
    let row = now["members"].as_array().unwrap().iter().find(|member| member["handle"] == handle).cloned();
    row.unwrap_or_else(|| panic!("no {handle} in {now}"))
}

/// Waits until `node` counts at least `count` faults of this reason against `handle`.
#[track_caller]
fn blamed(node: &Node, handle: &str, reason: &str, count: u64) {
    until(&format!("{} counts {reason} against {handle}", node.handle), || {
        let view = node.json(&format!("peer show {handle}"));
        if view["faults"][reason].as_u64() >= Some(count) { Ok(()) } else { Err(view["faults"].to_string()) }
    });
    let status = node.status();
    assert!(status["refusals"][reason].as_u64() >= Some(count), "{reason}: {}", status["refusals"]);
}

/// Nobody else is blamed for what `handle` did.
fn nobody_else_is_blamed(federation: &Federation, honest: &[&str], reasons: &[&str]) {
    for handle in honest {
        for other in honest.iter().filter(|other| *other != handle) {
            let view = federation[handle].json(&format!("peer show {other}"));
            for reason in reasons {
                assert!(view["faults"][reason].is_null(), "{handle} blames {other}: {}", view["faults"]);
            }
        }
    }
}

/// A release of `by` arrives at the others that are named.
#[track_caller]
fn goes_on(federation: &Federation, by: &str, id: &str, at: &[&str]) {
    federation.publish(by, &Folder::new(federation.world.path(), id).path);
    for handle in at {
        complete(&federation[handle], &format!("{by}/{id}"));
    }
}

/// Waits until `node` has the files of the newest version.
#[track_caller]
fn complete(node: &Node, process: &str) {
    until(&format!("{process} is complete at {}", node.handle), || {
        let target = format!("/v1/processes/versions?process={}", process.replace('/', "%2F"));
        let list = node.try_get(&target)?;
        if list["versions"][0]["availability"]["state"] == "complete" { Ok(()) } else { Err(list.to_string()) }
    });
}

/// What the catalogue of `node` lists, sorted.
fn listed(node: &Node) -> Vec<String> {
    let list = node.json("process ls");
    let name = |process: &Value| process["process"].as_str().unwrap_or_else(|| panic!("{list}")).to_owned();
    let mut all: Vec<String> = list["processes"].as_array().unwrap().iter().map(name).collect();
    all.sort();
    all
}

fn all_artifacts(releases: &[&Forged]) -> BTreeMap<Blake3, Vec<u8>> {
    releases.iter().flat_map(|release| release.artifacts.clone()).collect()
}

fn member_of(node: &Node) -> MemberId {
    node.status()["node"]["member"].as_str().unwrap().parse().unwrap()
}

#[test]
fn what_a_member_must_not_publish_is_void_everywhere_and_its_own_operator_is_told_why() {
    let mut federation = Federation::found(3);
    goes_on(&federation, "de-sl", "gemeinsam", &["de-he", "de-rp"]);
    let victim = member_of(&federation["de-he"]);
    let puppet = Puppet::replace(&mut federation, "de-sl");
    let (me, keys) = (puppet.member, puppet.keys.clone());
    let foreign = FederationId([7; 32]);

    let first = puppet.forge(&keys.publisher, me, "zweimal", "erste Fassung");
    let second = puppet.forge(&keys.publisher, me, "zweimal", "andere Fassung");
    let good = puppet.forge(&keys.publisher, me, "danach", "in Ordnung");
    let wrong: [(Vec<u8>, &str); 7] = [
        (puppet.forge(&nobodys(1), me, "fremder-schluessel", "x").leaf, "not signed by the publisher threshold"),
        (puppet.forge(&keys.approver, me, "falsche-rolle", "x").leaf, "not signed by the publisher threshold"),
        (puppet.forge(&keys.publisher, victim, "fremder-namensraum", "x").leaf, "in another member's namespace"),
        (puppet.forge_in(foreign, "fremder-verbund").leaf, "it names another federation"),
        (second.leaf.clone(), "this version was published before, at index"),
        (puppet.withdrawal(victim, first.id), "in another member's namespace"),
        (b"kein Umschlag".to_vec(), ""),
    ];
    puppet.serving(Serving::Own(all_artifacts(&[&first, &second, &good])));
    puppet.append(std::slice::from_ref(&first.leaf));
    let from = puppet.append(&wrong.iter().map(|(leaf, _)| leaf.clone()).collect::<Vec<_>>());
    // One bad entry never stops a log.
    puppet.append(std::slice::from_ref(&good.leaf));

    for handle in ["de-he", "de-rp"] {
        let node = &federation[handle];
        federation.hold(&[handle], 3);
        assert_eq!(listed(node), ["de-sl/danach", "de-sl/gemeinsam", "de-sl/zweimal"], "{handle}");
        let list = node.json("process versions de-sl/zweimal");
        let versions = list["versions"].clone();
        assert_eq!(versions.as_array().unwrap().len(), 1, "{versions}");
        let void = list["void"].as_array().unwrap();
        assert_eq!(void.len(), 1, "the other one is named with its reason: {list}");
        assert_eq!((&void[0]["version"], &void[0]["index"]), (&"1.0.0".into(), &(from + 4).into()), "{list}");
        assert!(void[0]["reason"].as_str().unwrap().contains("published before"), "{list}");
        assert_eq!(versions[0]["digest"], first.id.to_string(), "the lower index stands: {versions}");

        let view = node.json("peer show de-sl");
        assert_eq!(view["void"], 7, "{view}");
        let events = node.events();
        for (index, (_, reason)) in (from..).zip(&wrong) {
            let shown = view["void_entries"].as_array().unwrap().iter().find(|entry| entry["index"] == index);
            let shown = shown.unwrap_or_else(|| panic!("entry {index}: {view}"));
            assert!(shown["reason"].as_str().unwrap().contains(reason), "{shown} should say {reason:?}");
            let told = |event: &&Value| event["code"] == "entry_void" && event["details"]["index"] == index;
            let event = events.iter().find(told).unwrap_or_else(|| panic!("no event of entry {index}"));
            assert_eq!(event["details"]["reason"], shown["reason"]);
            assert_eq!(event["member"], "de-sl");
        }
        blamed(node, "de-sl", "entry_void", 7);
        assert_eq!(row(node, "de-sl")["log"], "open");
    }
    goes_on(&federation, "de-he", "es-geht-weiter", &["de-rp"]);
    nobody_else_is_blamed(&federation, &["de-he", "de-rp"], &["entry_void"]);

    // The member's own node comes back: it fetches its log, judges as all do, and tells its operator.
    puppet.leave();
    federation["de-sl"].start();
    federation.connected();
    let concern = until("the publisher's operator is told", || {
        let status = federation["de-sl"].status();
        let problems = status["problems"].as_array().unwrap().iter();
        let own: Vec<_> = problems.filter(|problem| problem["code"] == "own_entry_void").cloned().collect();
        own.first().cloned().ok_or_else(|| status["problems"].to_string())
    });
    assert!(concern["text"].as_str().unwrap().starts_with("7 entries"), "{concern}");
    let log = federation["de-sl"].federation("mitte")["log"].clone();
    let seen = federation["de-he"].json("peer show de-sl")["void_entries"].clone();
    assert_eq!(log["void"], seen, "the publisher sees the reasons that the others see");
    goes_on(&federation, "de-sl", "wieder-ehrlich", &["de-he", "de-rp"]);
}

#[test]
fn a_document_of_another_federation_is_refused_on_every_way_in() {
    let mut federation = Federation::found(3);
    // Another federation with a charter of its own, founded by somebody else.
    let other = federation.world.start("de-by", "Bayern");
    other.command(["federation", "create", "Anderer Verbund", "--slug", "anderer"]).ok();
    let before = federation["de-he"].federation("mitte")["charter_version"].clone();
    let puppet = Puppet::replace(&mut federation, "de-sl");
    let foreign: FederationId = other.federation("anderer")["id"].as_str().unwrap().parse().unwrap();
    let he = peer_of(&federation["de-he"]);

    // A sync frame.
    assert_eq!(puppet.ask_in(foreign, he, &Request::Status), Response::Refused(Refusal::Unsupported));
    blamed(&federation["de-he"], "de-sl", "bad_request", 1);
    // A gossip frame.
    puppet.gossip_bytes(wire::encode(foreign, Gossip::Charter { version: 99, hash: Sha256([1; 32]) }).unwrap());
    // An approval, a statement of holdings, a checkpoint: of the other federation in frames of this one.
    puppet.gossip(Gossip::Document(puppet.approval_in(foreign)));
    puppet.gossip(Gossip::Holdings(puppet.holdings_in(foreign)));
    puppet.gossip(puppet.log_in(foreign));
    for handle in ["de-he", "de-rp"] {
        for reason in ["bad_gossip", "bad_holdings", "bad_note", "other_federation"] {
            blamed(&federation[handle], "de-sl", reason, 1);
        }
    }
    // An answer in a frame of the other federation.
    puppet.script(Some(Box::new(move |request| {
        let status = matches!(request, Request::Status);
        status.then(|| wire::encode(foreign, Response::Refused(Refusal::NotHere)).unwrap())
    })));
    blamed(&federation["de-he"], "de-sl", "bad_answer", 1);
    // The other federation's charter as if it were the next one here, with its own certificate.
    let next = before.as_u64().unwrap() + 1;
    let charter = renumbered(&puppet.charter_of(&other, "anderer"), next);
    let (here, status) = (puppet.federation, puppet.status());
    puppet.script(Some(Box::new(move |request| {
        let answer = match request {
            Request::Status => Response::Status(wire::sync::Status { charter: next, ..status.clone() }),
            Request::Charters { .. } => Response::Charters(vec![charter.clone()]),
            _ => return None,
        };
        Some(wire::encode(here, answer).unwrap())
    })));
    blamed(&federation["de-he"], "de-sl", "bad_charter", 1);
    goes_on(&federation, "de-he", "es-geht-weiter", &["de-rp"]);
    for handle in ["de-he", "de-rp"] {
        let node = &federation[handle];
        assert_eq!(node.federation("mitte")["charter_version"], before);
        assert_eq!(listed(node), ["de-he/es-geht-weiter"]);
        assert_eq!(node.json("member requests")["requests"], serde_json::json!([]));
    }
    nobody_else_is_blamed(
        &federation,
        &["de-he", "de-rp"],
        &["bad_gossip", "bad_holdings", "bad_note", "bad_answer", "bad_charter", "other_federation"],
    );
}

#[test]
fn a_lying_holder_is_counted_and_the_next_one_is_asked() {
    const LARGE: usize = 100_001;
    let mut federation = Federation::found(3);
    goes_on(&federation, "de-he", "vorher", &["de-rp", "de-sl"]);
    let puppet = Puppet::replace(&mut federation, "de-sl");
    let honest = peer_of(&federation["de-he"]);
    // It says in advance that it holds whatever Hessen will publish.
    let claims = || {
        let told = |event: &&Value| event["code"] == "holdings_changed" && event["member"] == "de-sl";
        federation["de-rp"].events().iter().filter(told).count()
    };
    let before = claims();
    puppet.claim(&[(honest, u64::MAX)]);
    until("the claim is believed", || if claims() > before { Ok(()) } else { Err(format!("{before} claims")) });
    let publish = |id: &str, seed: u64| {
        let folder = Folder::new(federation.world.path(), id).file("akte.bin", &noise(seed, LARGE));
        federation.publish("de-he", &folder.path);
    };
    let count = |reason: &str| federation["de-rp"].json("peer show de-sl")["faults"][reason].as_u64().unwrap_or(0);
    // Which of the two holders is asked first is a matter of hashes: several are published until it was the liar.
    let arrive = |id: &str, serving: Serving, reason: &str| {
        puppet.serving(serving);
        let (asked, counted) = (puppet.asked(LARGE as u64), count(reason));
        for number in 0..32 {
            let id = format!("{id}-{number}");
            publish(&id, number);
            complete(&federation["de-rp"], &format!("de-he/{id}"));
            let out = federation.world.join(&format!("aus-{id}"));
            federation["de-rp"].command(["process", "pull", &format!("de-he/{id}"), out.to_str().unwrap()]).ok();
            assert!(std::fs::read(out.join("akte.bin")).unwrap() == noise(number, LARGE), "{id}");
            if puppet.asked(LARGE as u64) > asked {
                return blamed(&federation["de-rp"], "de-sl", reason, counted + 1);
            }
        }
        panic!("the liar was never asked for the large file");
    };
    // A changed byte in the third group: the first two are kept, the third comes from the next holder.
    arrive("gedreht", Serving::Flip { from: honest, at: 40_000 }, "bad_artifact");
    arrive("groesser", Serving::Size, "bad_artifact");
    arrive("kuerzer", Serving::Early { from: honest, bytes: 20_000 }, "artifact_unfinished");

    // One that stalls is given up after 30 s; what is published meanwhile does not wait for that.
    puppet.serving(Serving::Stall { from: honest, bytes: 100 });
    let begun = std::time::Instant::now();
    let (asked, counted) = (puppet.asked(0), count("artifact_unfinished"));
    let stalled = (0..32).map(|number| format!("stockt-{number}")).find(|id| {
        publish(id, 99);
        let target = format!("/v1/processes/versions?process=de-he%2F{id}");
        until(&format!("{id} is asked of the liar, or complete"), || {
            let list = federation["de-rp"].try_get(&target)?;
            let done = list["versions"][0]["availability"]["state"] == "complete";
            if puppet.asked(0) > asked {
                Ok(true)
            } else if done {
                Ok(false)
            } else {
                Err(list.to_string())
            }
        })
    });
    let stalled = format!("de-he/{}", stalled.expect("the liar is asked"));
    puppet.serving(Serving::Nothing);
    goes_on(&federation, "de-he", "derweil", &["de-rp"]);
    let pending = federation["de-rp"].json("sync status").to_string();
    // On a machine so busy that this took longer than the stall, the order tells nothing.
    if begun.elapsed() < std::time::Duration::from_secs(20) {
        assert!(pending.contains(&stalled), "{stalled} still stalls: {pending}");
    }
    complete(&federation["de-rp"], &stalled);
    blamed(&federation["de-rp"], "de-sl", "artifact_unfinished", counted + 1);

    let now = federation["de-rp"].federation("mitte");
    assert_eq!((now["quarantined"].as_u64(), now["pending_total"].as_u64()), (Some(0), Some(0)), "{now}");
    let partial = federation["de-rp"].dir.join("artifacts/partial");
    let left = std::fs::read_dir(&partial).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing half is left in {}", partial.display());
    nobody_else_is_blamed(&federation, &["de-he", "de-rp"], &["bad_artifact", "artifact_unfinished"]);
}

/// Control messages of gossip whose times no clock can hold: a library that adds them to its own ends the process.
#[test]
fn control_messages_with_absurd_times_end_nothing() {
    let mut federation = Federation::found(3);
    federation["de-sl"].stop();
    let node = &federation["de-he"];
    let (address, peer) = (address_of(node, "mitte"), peer_of(node));
    let id: FederationId = node.federation("mitte")["id"].as_str().unwrap().parse().unwrap();
    let key = Keys::of(&federation["de-sl"]).node;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let raw = raw::dial(&key, &address, &peer).await.unwrap();
        let mut stream = raw.open("/meshsub/1.1.0").await.unwrap();
        for backoff in [u64::MAX, u64::MAX / 2, i64::MAX as u64, u64::MAX / 1_000, 1 << 40, 0] {
            let sent = raw::Sent::default();
            let message = raw::gossip_prune(&id.to_hex(), backoff);
            assert!(raw::pour(&mut stream, &message, message.len(), verbund_tests::PATIENCE, &sent).await);
        }
        // Answered after what came before it on the connection.
        let request = wire::encode(id, Request::Status).unwrap();
        raw::request(&raw, "/verbund/1/sync", &request).await.unwrap();
    });
    assert!(federation["de-he"].runs(), "{}", federation["de-he"].log_tail());
    federation.publish("de-rp", &Folder::new(federation.world.path(), "danach").path);
    federation.hold(&["de-he", "de-rp"], 1);
}
