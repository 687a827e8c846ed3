//! One node in two federations: the bytes of artifacts are shared on its disk, and nothing else.

use serde_json::Value;
use verbund_tests::{Federation, Folder, Node, disk, noise, until};

use super::pulling::Https;

/// The artifact that both federations publish.
const SHARED: usize = (24 << 20) + 5;

/// Thüringen in two federations: "mitte" with Hessen and Rheinland-Pfalz, "sued" with Bayern.
fn two() -> (Federation, Node) {
    let mut mitte = Federation::found(2);
    mitte.join(mitte.world.start("de-th", "Thüringen"));
    mitte["de-th"].command(["federation", "create", "Südverbund", "--slug", "sued"]).ok();
    let bayern = mitte.world.start("de-by", "Bayern");
    let ticket = mitte["de-th"].cli("--federation sued invite --for de-by").ok();
    bayern.command(["peer", "add", ticket.trim()]).ok();
    until("the request arrived", || {
        let open = mitte["de-th"].get("/v1/members/requests?federation=sued");
        if open["requests"][0]["handle"] == "de-by" { Ok(()) } else { Err(open.to_string()) }
    });
    mitte["de-th"].cli("--federation sued member admit de-by").ok();
    for (node, slug) in [(&bayern, "sued"), (&mitte["de-th"], "sued"), (&mitte["de-th"], "mitte")] {
        until(&format!("{} signs in {slug}", node.handle), || {
            let now = node.federation(slug);
            if now["may_sign"] == true { Ok(()) } else { Err(now["recovering"].to_string()) }
        });
    }
    (mitte, bayern)
}

#[track_caller]
fn holds(node: &Node, slug: &str, releases: u64) {
    until(&format!("{} holds {releases} releases of {slug}", node.handle), || {
        let now = node.federation(slug);
        let got = (now["held"].as_u64(), now["known"].as_u64());
        if got == (Some(releases), Some(releases)) { Ok(()) } else { Err(format!("{got:?}: {}", now["pending"])) }
    });
}

fn names(rows: &Value) -> Vec<String> {
    let all = rows["processes"].as_array().unwrap().iter();
    let mut names: Vec<_> = all.map(|row| row["process"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn two_federations_on_one_node_replicate_at_once_share_bytes_on_disk_and_show_nothing_of_each_other() {
    let (mut mitte, bayern) = two();
    let world = mitte.world.path().to_path_buf();
    let folder = |place: &str, name: &str, file: &[u8]| Folder::new(&world.join(place), name).file("akte.bin", file);
    // Four publish at the same time, Thüringen in both.
    let publish = |node: &Node, slug: &str, place: &str, kind: &str| {
        for number in 0..6_u64 {
            let bytes = noise(number * 7 + place.len() as u64, 300_000);
            node.publish_in(Some(slug), &folder(place, &format!("{kind}-{number}"), &bytes).path);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&mitte["de-he"], "mitte", "he", "hessisch"));
        scope.spawn(|| publish(&mitte["de-th"], "mitte", "thm", "mittig"));
        scope.spawn(|| publish(&mitte["de-th"], "sued", "ths", "suedlich"));
        scope.spawn(|| publish(&bayern, "sued", "by", "bairisch"));
    });
    for handle in ["de-he", "de-rp", "de-th"] {
        holds(&mitte[handle], "mitte", 12);
    }
    holds(&mitte["de-th"], "sued", 12);
    holds(&bayern, "sued", 12);

    // The same bytes, in both, while Thüringen is away: it fetches them once, for both at the same time.
    mitte["de-th"].stop();
    let bytes = noise(99, SHARED);
    mitte["de-he"].publish_in(Some("mitte"), &folder("he", "gemeinsam-mitte", &bytes).path);
    bayern.publish_in(Some("sued"), &folder("by", "gemeinsam-sued", &bytes).path);
    mitte["de-th"].start();
    holds(&mitte["de-th"], "mitte", 13);
    holds(&mitte["de-th"], "sued", 13);
    disk::artifact(&mitte["de-th"], SHARED as u64);
    assert_eq!(disk::leftovers(&mitte["de-th"]), Vec::<std::path::PathBuf>::new());
    let waited: Vec<_> = mitte["de-th"].events().into_iter().filter(|e| e["code"] == "release_blocked").collect();
    let in_the_way = waited.iter().filter(|event| event.to_string().contains("received")).count();
    assert_eq!(in_the_way, 0, "one waits for the other's bytes and takes them: {waited:?}");
    let again = mitte["de-th"].status()["transfer"]["bytes_received"].as_u64().unwrap();
    assert!(again < (SHARED + (4 << 20)) as u64, "the bytes came once: {again}");

    apart(&mitte, &bayern);
}

/// Nothing of one federation in the other: through no interface of the node in both, and on no node in one.
fn apart(mitte: &Federation, bayern: &Node) {
    let th = &mitte["de-th"];
    let of = |node: &Node, slug: &str| names(&node.get(&format!("/v1/processes?limit=1000&federation={slug}")));
    let (in_mitte, in_sued) = (of(th, "mitte"), of(th, "sued"));
    assert_eq!((in_mitte.len(), in_sued.len()), (13, 13));
    assert!(in_mitte.iter().all(|name| !in_sued.contains(name)), "{in_mitte:?} {in_sued:?}");
    assert_eq!(of(&mitte["de-he"], "mitte"), in_mitte);
    assert_eq!(of(bayern, "sued"), in_sued);

    // Each event of the node names its federation and speaks of nothing else.
    for event in th.events() {
        let text = event.to_string();
        match event["federation"].as_str() {
            Some("mitte") => assert!(!text.contains("de-by") && !text.contains("suedlich"), "{text}"),
            Some("sued") => assert!(!text.contains("de-he") && !text.contains("mittig"), "{text}"),
            _ => assert_eq!(event["release"], Value::Null, "{text}"),
        }
    }
    let status = |node: &Node, slug: &str| node.get(&format!("/v1/status?federation={slug}")).to_string();
    assert!(!status(th, "mitte").contains("de-by") && !status(th, "sued").contains("de-he"));
    for (node, strange) in
        [(&mitte["de-he"], ["sued", "de-by"]), (&mitte["de-rp"], ["sued", "de-by"]), (bayern, ["mitte", "de-he"])]
    {
        let events = node.events();
        let all = [node.status().to_string(), serde_json::to_string(&events).unwrap()].concat();
        for word in strange {
            assert!(!all.contains(word), "{word} on the node of {}: {all}", node.handle);
        }
    }

    // Over HTTPS each path leads into its federation only, and a token opens its own.
    for (slug, own, foreign) in
        [("mitte", "de-he/hessisch-0", "de-by/bairisch-0"), ("sued", "de-by/bairisch-0", "de-he/hessisch-0")]
    {
        let create = ["--quiet", "--federation", slug, "token", "create", slug];
        let Some(https) = Https::with(th, mitte.world.path(), &create) else { return };
        let other = if slug == "mitte" { "sued" } else { "mitte" };
        for path in ["processes", &format!("releases/{foreign}/1.0.0"), &format!("releases/{own}/1.0.0")] {
            let reply = https.get(&format!("/api/v1/{other}/{path}"), &[]);
            let nowhere = https.get(&format!("/api/v1/nirgends/{path}"), &[]);
            assert_eq!((reply.status, nowhere.status), (403, 403), "a token of {slug} at {path} of {other}");
            assert_eq!(reply.body, nowhere.body, "the other federation looks like one that does not exist");
        }
        let list = https.get(&format!("/api/v1/{slug}/processes?limit=100"), &[]).json().to_string();
        let (own_name, foreign_name) = (own.split_once('/').unwrap().1, foreign.split_once('/').unwrap().1);
        assert!(list.contains(own_name) && !list.contains(foreign_name), "{slug}: {list}");
        assert_eq!(https.get(&format!("/api/v1/{slug}/releases/{own}/1.0.0"), &[]).status, 200);
        assert_eq!(https.get(&format!("/api/v1/{slug}/releases/{foreign}/1.0.0"), &[]).status, 404);
        assert_eq!(https.get(&format!("/api/v1/{slug}/releases/{foreign}/1.0.0/files/akte.bin"), &[]).status, 404);
        let file = https.get(&format!("/api/v1/{slug}/releases/{own}/1.0.0/files/akte.bin"), &[]);
        assert_eq!((file.status, file.body.len()), (200, 300_000));
    }
}
