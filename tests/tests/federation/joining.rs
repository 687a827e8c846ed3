//! Tickets, requests and admissions: who gets in, who does not, and what they are told.

use verbund_protocol::ids::PeerId;
use verbund_protocol::wire::ticket::Ticket;
use verbund_tests::{Federation, until};

#[test]
fn admission_takes_effect_at_the_quorum_and_not_before() {
    let mut federation = Federation::found(3);
    let newcomer = federation.world.start("de-th", "Thüringen");
    newcomer.command(["peer", "add", &federation.invite("de-th")]).ok();
    for handle in ["de-he", "de-rp"] {
        federation.requested(&federation[handle], "de-th");
        federation[handle].cli("member admit de-th").ok();
    }
    // Every operator sees the approvals so far.
    for node in &federation.nodes {
        until(&format!("{} sees 2 of 3 approvals", node.handle), || {
            let request = node.get("/v1/members/requests")["requests"][0].clone();
            let given = request["approvals"].as_array().into_iter().flatten().filter(|a| a["approved"] == true).count();
            if (given, request["needed"].as_u64()) == (2, Some(3)) { Ok(()) } else { Err(request.to_string()) }
        });
        assert_eq!(node.federation("mitte")["charter_version"], 3);
    }
    let awaited = federation["de-sl"].federation("mitte")["approvals_awaited"].clone();
    assert_eq!(awaited[0]["handle"], "de-th", "status says what waits for this member: {awaited}");
    federation["de-sl"].cli("member admit de-th").ok();
    federation.nodes.push(newcomer);
    federation.connected();
    for node in &federation.nodes {
        assert_eq!(node.federation("mitte")["charter_version"], 4, "{}", node.handle);
    }
}

#[test]
fn two_admissions_raced_by_different_operators_end_in_one_order_everywhere() {
    let mut federation = Federation::found(2);
    let thueringen = federation.world.start("de-th", "Thüringen");
    let bayern = federation.world.start("de-by", "Bayern");
    thueringen.command(["peer", "add", &federation.invite("de-th")]).ok();
    let ticket = federation["de-rp"].cli("invite --for de-by").ok();
    bayern.command(["peer", "add", ticket.trim()]).ok();
    for node in &federation.nodes {
        federation.requested(node, "de-th");
        federation.requested(node, "de-by");
    }
    std::thread::scope(|scope| {
        for (operator, order) in [("de-he", ["de-th", "de-by"]), ("de-rp", ["de-by", "de-th"])] {
            let node = &federation[operator];
            scope.spawn(move || {
                for handle in order {
                    node.cli(&format!("member admit {handle}"));
                }
            });
        }
    });
    // An approval lapses with the next charter version: whoever is still missing is approved again.
    until("both are members", || {
        for node in &federation.nodes {
            for request in node.get("/v1/members/requests")["requests"].as_array().into_iter().flatten() {
                let given = |h: &str| {
                    request["approvals"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .any(|a| a["handle"] == h && a["approved"] == true)
                };
                if !given(&node.handle) {
                    node.cli(&format!("member admit {}", request["handle"].as_str().unwrap_or_default()));
                }
            }
        }
        // Three decide together from the first admission on.
        for newcomer in [&thueringen, &bayern] {
            if let Ok(open) = newcomer.try_get("/v1/members/requests")
                && let Some(request) = open["requests"].as_array().and_then(|all| all.first())
            {
                newcomer.cli(&format!("member admit {}", request["handle"].as_str().unwrap_or_default()));
            }
        }
        let members = federation["de-he"].get("/v1/members");
        let count = members["members"].as_array().map_or(0, Vec::len);
        if count == 4 { Ok(()) } else { Err(format!("{count} members")) }
    });
    federation.nodes.extend([thueringen, bayern]);
    federation.connected();
    let history = |handle: &str| {
        let log = federation[handle].get("/v1/federations/log");
        log["versions"].as_array().unwrap().iter().map(|v| v["hash"].clone()).collect::<Vec<_>>()
    };
    let first = history("de-he");
    assert_eq!(first.len(), 4);
    for handle in ["de-rp", "de-th", "de-by"] {
        until("all know the same charters", || {
            let other = history(handle);
            if other == first { Ok(()) } else { Err(format!("{handle}: {other:?}, de-he: {first:?}")) }
        });
    }
}

#[test]
fn a_rejected_newcomer_is_told_why() {
    let federation = Federation::found(1);
    let newcomer = federation.world.start("de-th", "Thüringen");
    let ticket = federation.invite("de-th");
    let said = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| newcomer.command(["peer", "add", &ticket, "--wait", "--timeout", "60s"]));
        federation.requested(&federation["de-he"], "de-th");
        federation["de-he"].command(["member", "reject", "de-th", "--reason", "Vertrag fehlt noch"]).ok();
        waiting.join().unwrap()
    });
    assert!(said.code == 1 && said.stderr.contains("Vertrag fehlt noch"), "{said}");
    let told = newcomer.events().iter().any(|event| event["text"].to_string().contains("Vertrag fehlt noch"));
    assert!(told, "it stands in the events too");
    assert_eq!(federation["de-he"].get("/v1/members/requests")["requests"], serde_json::json!([]));
    assert_eq!(federation["de-he"].federation("mitte")["charter_version"], 1);
}

#[test]
fn an_expired_ticket_is_refused_with_its_reason() {
    let federation = Federation::found(1);
    let newcomer = federation.world.start("de-th", "Thüringen");
    let ticket = federation["de-he"].cli("invite --for de-th --valid-for 1s").ok();
    let expires = ticket.trim().parse::<Ticket>().unwrap().expires_s;
    until("the ticket is over", || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        if now > expires { Ok(()) } else { Err(format!("{now} of {expires}")) }
    });
    let said = newcomer.command(["peer", "add", ticket.trim()]).refused(1);
    assert!(said.contains("expired"), "{said}");
    assert_eq!(federation["de-he"].get("/v1/members/requests")["requests"], serde_json::json!([]));
    // What failed leaves nothing behind: a new ticket works.
    newcomer.command(["peer", "add", &federation.invite("de-th")]).ok();
}

#[test]
fn a_ticket_used_by_a_second_identity_is_refused_and_stays_with_the_first() {
    let federation = Federation::found(1);
    let ticket = federation.invite("de-th");
    let first = federation.world.start("de-th", "Thüringen");
    first.command(["peer", "add", &ticket]).ok();
    let mut second = federation.world.init_at("other", "de-th", "Auch Thüringen", "127.0.0.1:0");
    second.start();
    let said = second.command(["peer", "add", &ticket]).refused(1);
    assert!(said.contains("used"), "{said}");
    // The same identity may use it again: a crash must not burn it.
    first.command(["peer", "add", &ticket]).ok();
    let open = federation["de-he"].get("/v1/members/requests")["requests"].clone();
    assert_eq!(open.as_array().unwrap().len(), 1, "{open}");
    assert_eq!(open[0]["fingerprint"], first.status()["node"]["fingerprint"]);
}

#[test]
fn two_that_claim_one_handle_are_admitted_only_by_fingerprint() {
    let federation = Federation::found(1);
    let first = federation.world.start("de-th", "Thüringen");
    first.command(["peer", "add", &federation.invite("de-th")]).ok();
    let mut second = federation.world.init_at("other", "de-th", "Auch Thüringen", "127.0.0.1:0");
    second.start();
    second.command(["peer", "add", &federation.invite("de-th")]).ok();
    until("both requests are shown together", || {
        let open = federation["de-he"].get("/v1/members/requests")["requests"].clone();
        if open.as_array().unwrap().len() == 2 { Ok(()) } else { Err(open.to_string()) }
    });
    let said = federation["de-he"].cli("member admit de-th").refused(1);
    assert!(said.contains("fingerprint"), "{said}");
    let fingerprint = second.status()["node"]["fingerprint"].as_str().unwrap().to_owned();
    federation["de-he"].command(["member", "admit", "de-th", "--fingerprint", &fingerprint]).ok();
    let members = federation["de-he"].get("/v1/members")["members"].clone();
    assert!(members.as_array().unwrap().iter().any(|m| m["fingerprint"] == fingerprint.as_str()), "{members}");
}

#[test]
fn peer_add_names_the_expected_and_the_actual_key_when_they_differ() {
    let federation = Federation::found(1);
    let newcomer = federation.world.start("de-th", "Thüringen");
    let mut ticket: Ticket = federation.invite("de-th").parse().unwrap();
    let actual = ticket.peer;
    let third = federation.world.start("de-by", "Bayern");
    ticket.peer = third.status()["node"]["peer"].as_str().unwrap().parse::<PeerId>().unwrap();
    let said = newcomer.command(["peer", "add", &ticket.to_line()]).refused(6);
    assert!(said.contains(&ticket.peer.to_string()) && said.contains(&actual.to_string()), "{said}");
    assert_eq!(newcomer.status()["federations"], serde_json::json!([]), "nothing of it is left");
}

#[test]
fn peer_add_says_that_a_port_refused() {
    let mut federation = Federation::found(1);
    let newcomer = federation.world.start("de-th", "Thüringen");
    let ticket = federation.invite("de-th");
    federation["de-he"].stop();
    let said = newcomer.command(["peer", "add", &ticket]).refused(1);
    assert!(said.contains("refused"), "{said}");
    federation["de-he"].start();
    until("the request is lodged, once the issuer may sign again", || {
        let said = newcomer.command(["peer", "add", &ticket]);
        if said.code == 0 { Ok(()) } else { Err(said.to_string()) }
    });
}

#[test]
fn a_mistyped_or_foreign_ticket_is_refused_before_anything_is_dialed() {
    let federation = Federation::found(1);
    let newcomer = federation.world.start("de-th", "Thüringen");
    let ticket = federation.invite("de-th");
    let mut damaged = ticket.clone().into_bytes();
    damaged[40] = if damaged[40] == b'A' { b'B' } else { b'A' };
    let said = newcomer.command(["peer", "add", std::str::from_utf8(&damaged).unwrap()]);
    assert!(said.code != 0 && said.stderr.contains("damaged"), "{said}");
    let other = federation.invite("de-by");
    let said = newcomer.command(["peer", "add", &other]);
    assert!(said.code != 0 && said.stderr.contains("de-by"), "{said}");
}
