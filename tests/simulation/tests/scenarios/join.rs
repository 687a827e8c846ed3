//! Joining: tickets, requests, approvals, refusals.

use verbund_protocol::core::{Command, EventKind, Reply};
use verbund_simulation::org::Org;
use verbund_simulation::world::World;

fn found_and_invite(seed: u64, handle: &str, valid_s: u64) -> (World, verbund_protocol::wire::ticket::Ticket) {
    let mut w = World::founded(seed, "de-he");
    w.run(100);
    let ticket = w.invite(0, handle, valid_s).unwrap();
    (w, ticket)
}

#[test]
fn each_newcomer_is_admitted_by_a_quorum_and_connects_to_all() {
    let mut w = World::of(11, 4);
    assert_eq!(w.charter(3).version, 4);
    w.run(30_000);
    for node in 0..4 {
        assert_eq!(w.nodes[node].linked.len(), 3, "{}", w.describe());
        let known = w.nodes[node].gate.values().filter(|addresses| addresses.len() == 1).count();
        assert_eq!(known, 3, "each one's address is known without being configured\n{}", w.describe());
    }
}

#[test]
fn fewer_than_k_approvals_admit_nobody() {
    let mut w = World::of(12, 3);
    let joined = w.join("de-th");
    w.admit(0, "de-th").unwrap();
    w.expect(30_000, "it is listed", |w| !w.requests(1).is_empty());
    let reply = w.admit(1, "de-th").unwrap();
    assert!(matches!(reply, Reply::Approved { approvals: 2, needed: 3, .. }), "{reply:?}");
    w.run(120_000);
    assert_eq!(w.charter(0).version, 3);
    assert!(w.progress(joined).contains("3 approvals are needed"), "{}", w.progress(joined));
    assert!(w.progress(joined).contains("de-sl open"), "{}", w.progress(joined));
    // The third one makes it.
    w.admit(2, "de-th").unwrap();
    w.expect(30_000, "it is in", |w| w.settled_members(4));
}

#[test]
fn an_expired_ticket_lodges_nothing() {
    let (mut w, ticket) = found_and_invite(13, "de-rp", 60);
    w.run(61_000);
    let node = w.newcomer(Org::new("de-rp"), &ticket);
    w.expect(30_000, "it is told", |w| w.progress(node).contains("expired"));
    assert!(w.requests(0).is_empty());
    assert_eq!(w.count(0, "join_refused"), 1, "it does not go on asking");
}

#[test]
fn a_ticket_is_bound_to_the_identity_that_used_it() {
    let (mut w, ticket) = found_and_invite(14, "de-rp", 3_600);
    let first = w.newcomer(Org::new("de-rp"), &ticket);
    w.expect(30_000, "lodged", |w| w.progress(first).contains("approvals"));
    let second = w.newcomer(Org::named("de-rp", "impostor"), &ticket);
    w.expect(30_000, "refused", |w| w.progress(second).contains("already used"));
    assert_eq!(w.requests(0), ["de-rp"]);
}

#[test]
fn a_ticket_is_for_one_handle() {
    let (mut w, ticket) = found_and_invite(15, "de-rp", 3_600);
    let node = w.newcomer(Org::new("de-sl"), &ticket);
    w.expect(30_000, "refused", |w| w.progress(node).contains("for de-rp"));
    // The ticket is not burnt by it.
    let right = w.newcomer(Org::new("de-rp"), &ticket);
    w.expect(30_000, "lodged", |w| w.progress(right).contains("approvals"));
}

#[test]
fn a_crash_of_the_newcomer_does_not_burn_its_ticket() {
    for wait in [0, 3, 8, 15, 30, 60, 90, 200] {
        let (mut w, ticket) = found_and_invite(16, "de-rp", 3_600);
        let node = w.newcomer(Org::new("de-rp"), &ticket);
        w.run(wait);
        w.crash(node);
        w.run(20);
        w.start(node);
        w.expect(30_000, "lodged", |w| w.progress(node).contains("approvals"));
        assert_eq!(w.requests(0).len(), 1, "one request, whenever it crashed");
        // Also much later, when the ticket has expired.
        w.crash(node);
        w.run(4_000_000);
        w.start(node);
        w.expect(30_000, "still lodged", |w| w.progress(node).contains("approvals"));
        w.admit(0, "de-rp").unwrap();
        w.expect(30_000, "in", |w| w.settled_members(2));
    }
}

#[test]
fn a_crash_of_the_issuer_loses_no_lodged_request() {
    for wait in [5, 12, 20, 33, 50, 80] {
        let (mut w, ticket) = found_and_invite(17, "de-rp", 3_600);
        let node = w.newcomer(Org::new("de-rp"), &ticket);
        w.run(wait);
        w.crash(0);
        w.run(100);
        w.start(0);
        w.expect(120_000, "lodged", |w| w.progress(node).contains("approvals") && w.may_sign(0));
        w.admit(0, "de-rp").unwrap();
        w.expect(60_000, "in", |w| w.settled_members(2));
    }
}

#[test]
fn a_rejected_newcomer_sees_the_reason() {
    let mut w = World::founded(18, "de-he");
    let node = w.join("de-rp");
    let reject = Command::Reject { handle: "de-rp".parse().unwrap(), reason: "Vertrag fehlt".into() };
    w.command(0, reject).unwrap();
    w.expect(30_000, "it is told", |w| w.progress(node).contains("Vertrag fehlt"));
    assert!(w.requests(0).is_empty());
    assert!(
        w.happened(node, |e| matches!(e, EventKind::JoinProgressed { text } if text.contains("Vertrag fehlt"))) == 1
    );
}

#[test]
fn two_claims_to_one_handle_need_a_fingerprint() {
    let mut w = World::founded(19, "de-he");
    w.run(100);
    let (one, other) = (w.invite(0, "de-rp", 3_600).unwrap(), w.invite(0, "de-rp", 3_600).unwrap());
    let right = w.newcomer(Org::new("de-rp"), &one);
    let wrong = w.newcomer(Org::named("de-rp", "impostor"), &other);
    w.expect(30_000, "both are lodged", |w| [right, wrong].iter().all(|n| w.progress(*n).contains("approvals")));
    let handle: verbund_protocol::ids::Handle = "de-rp".parse().unwrap();
    assert_eq!(w.admit(0, "de-rp").unwrap_err().code, "ambiguous");
    let admit = |fingerprint| Command::Admit { handle: handle.clone(), fingerprint: Some(fingerprint) };
    assert_eq!(w.command(0, admit("1".into())).unwrap_err().code, "wrong_fingerprint");
    let fingerprint = verbund_protocol::identity::fingerprint(w.nodes[right].org.member.as_bytes());
    w.command(0, admit(fingerprint)).unwrap();
    w.expect(30_000, "the right one is in", |w| w.charter(0).members.len() == 2 && w.progress(right) == "member");
    assert_eq!(w.charter(0).by_handle(&handle).unwrap().member, w.nodes[right].org.member);
}

#[test]
fn two_admissions_at_once_give_one_charter_per_version_and_both_in_the_end() {
    for seed in 200..204 {
        let mut w = World::of(seed, 2);
        let (left, right) = (w.join("de-sl"), {
            w.expect(60_000, "signs", |w| w.may_sign(1));
            let ticket = w.invite(1, "de-th", 3_600).unwrap();
            w.newcomer(Org::new("de-th"), &ticket)
        });
        w.expect(60_000, "both are listed", |w| w.requests(0).len() == 2 && w.requests(1).len() == 2);
        // Both changes become eligible, in another order on each side.
        w.admit(0, "de-sl").unwrap();
        w.admit(1, "de-th").unwrap();
        w.admit(0, "de-th").unwrap();
        w.admit(1, "de-sl").unwrap();
        w.expect(60_000, "one is in", |w| w.charter(0).version == 3);
        // Approvals lapse with the version: the other one is approved again, by the three.
        let left_is_in = w.charter(0).by_handle(&"de-sl".parse().unwrap()).is_some();
        let (inside, later) = if left_is_in { (left, "de-th") } else { (right, "de-sl") };
        for node in [0, 1, inside] {
            w.expect(60_000, "it may approve", |w| {
                w.charter(node).version == 3 && w.may_sign(node) && w.requests(node).len() == 1
            });
            w.admit(node, later).unwrap();
        }
        w.expect(60_000, "both are in", |w| {
            (0..4).all(|n| w.charter(n).version == 4 && w.charter(n).members.len() == 4)
        });
    }
}
