use serde_json::json;
use verbund_protocol::ids::{FederationId, MemberId, PeerId, PublicKey, Sha256};

use super::*;

fn at(ms: u64) -> Moment {
    Moment::from_unix_ms(ms)
}

fn member(handle: &str, own: bool) -> MemberRow {
    MemberRow {
        handle: handle.parse().unwrap(),
        name: handle.to_owned(),
        peer: PeerId(PublicKey([1; 32])),
        standing: Standing::Full,
        own,
        connection: if own { Connection::Own } else { Connection::Connected { since: at(0), address: "a:1".into() } },
        behind: Vec::new(),
        behind_by: 0,
        clock_offset_ms: None,
        log_size: 3,
        log: LogState::Open,
        stale: false,
        void: 0,
    }
}

/// A node without worries.
fn fine() -> Status {
    let federation = json!({
        "slug": "mitte", "id": FederationId([1; 32]), "name": "Mitte", "charter_version": 1, "charter": Sha256([2; 32]),
        "n": 2, "k": 2, "standing": "full", "listen": [], "announce": [], "may_sign": true, "approvals_awaited": [],
        "log": OwnLog::default(), "members": [], "held": 3, "known": 3, "quarantined": 0, "over_limit": 0,
        "pending": [], "pending_total": 0
    });
    let mut federation: FederationStatus = serde_json::from_value(federation).unwrap();
    federation.members = vec![member("de-he", true), member("de-rp", false)];
    Status {
        node: NodeStatus {
            handle: "de-he".parse().unwrap(),
            name: "Hessen".into(),
            member: MemberId([1; 32]),
            fingerprint: String::new(),
            peer: PeerId(PublicKey([1; 32])),
            version: String::new(),
            started: at(1_000),
            now: at(9_000),
            pid: 1,
        },
        addresses: Addresses::default(),
        federations: vec![federation],
        transfer: Transfer::default(),
        refusals: BTreeMap::new(),
        disk: Disk { free_bytes: 10 << 30, floor_bytes: 1 << 30, intake_stopped: false },
        journal: Default::default(),
        problems: Vec::new(),
    }
}

fn facts() -> Facts {
    Facts { started: at(1_000), now: at(9_000), ..Facts::default() }
}

fn codes(status: &Status, facts: &Facts) -> Vec<(String, Severity)> {
    all(status, facts).into_iter().map(|r| (r.concern.code, r.concern.severity)).collect()
}

#[test]
fn a_node_without_worries_has_no_concerns() {
    assert_eq!(codes(&fine(), &facts()), []);
}

#[test]
fn each_worry_has_its_code() {
    use Severity::{Error, Info, Warning};
    let check = |change: &dyn Fn(&mut Status, &mut Facts), code: &str, severity: Severity| {
        let (mut status, mut facts) = (fine(), facts());
        change(&mut status, &mut facts);
        assert_eq!(codes(&status, &facts), [(code.to_owned(), severity)]);
        let told = &all(&status, &facts)[0].concern;
        assert!(!told.text.is_empty() && (!told.next_step.is_empty() || severity == Info), "{told:?}");
    };
    check(&|_, f| f.root_key = Some("keys/root.pem".into()), "root_key_on_node", Warning);
    check(&|_, f| f.certificate = Some(("ends in 3 days".into(), false)), "certificate_expiry", Warning);
    check(&|_, f| f.certificate = Some(("ended".into(), true)), "certificate_expiry", Error);
    check(&|_, f| f.valid_until = Some("1970-01-02".into()), "identity_expiry", Warning);
    check(&|_, f| f.quarantine = (1, "artifacts/quarantine".into()), "quarantine_kept", Warning);
    check(&|s, _| s.disk.intake_stopped = true, "disk_floor", Error);
    check(&|s, _| s.disk.free_bytes = 3 << 29, "disk_low", Warning);
    check(&|s, _| s.federations[0].quarantined = 1, "artifact_quarantined", Error);
    check(&|s, _| s.federations[0].over_limit = 1, "over_limit", Warning);
    check(&|s, _| s.federations[0].standing = Standing::Former, "not_a_member", Warning);
    check(&|s, _| s.federations[0].members[0].log = LogState::Forked, "own_log_forked", Error);
    let void = |s: &mut Status, _: &mut Facts| {
        s.federations[0].members[0].void = 1;
        s.federations[0].log.void = vec![VoidEntry { index: 7, reason: "published before".into() }];
    };
    check(&void, "own_entry_void", Warning);
    check(&|s, _| s.federations[0].members[1].void = 2, "member_entry_void", Info);
    check(&|s, _| s.federations[0].members[1].log = LogState::Forked, "log_forked", Error);
    check(&|s, _| s.federations[0].members[1].stale = true, "member_stale", Warning);
    check(&|s, _| s.federations[0].members[1].connection = Connection::Paused, "peer_paused", Info);
    check(&|s, _| s.federations[0].members[1].connection = Connection::Blocked, "peer_blocked", Info);
    check(&|s, _| s.federations[0].members[1].clock_offset_ms = Some(-120_001), "clock_offset", Warning);
    check(&|_, f| f.joins = vec![("mitte".into(), "1 of 3".into(), false)], "join_pending", Info);
    check(&|_, f| f.joins = vec![("mitte".into(), "expired".into(), true)], "join_refused", Error);
    let journal = || Journal { federation: "mitte".into(), ..Journal::default() };
    check(&|_, f| f.journals = vec![Journal { failed: Some("EIO".into()), ..journal() }], "journal_failed", Error);
    check(&|_, f| f.journals = vec![Journal { full: true, ..journal() }], "journal_full", Error);
    let cut = CutTail { segment: 1, offset: 64, bytes: 9, zeros: false };
    check(&|_, f| f.journals = vec![Journal { cut: Some(cut.clone()), ..journal() }], "journal_cut", Warning);
    let damage = Damage { segment: 1, offset: 64, bytes: 9, after: 3, before: Some(5) };
    check(&|_, f| f.journals = vec![Journal { damaged: vec![damage.clone()], ..journal() }], "journal_damaged", Error);
    let mended = |missing| Journal { damaged: vec![damage.clone()], missing: Some(missing), ..journal() };
    check(&|_, f| f.journals = vec![mended(3)], "journal_damaged", Error);
    check(&|_, f| f.journals = vec![mended(0)], "journal_damaged", Warning);
}

#[test]
fn a_clock_two_minutes_off_and_a_distant_identity_are_no_worries() {
    let (mut status, mut facts) = (fine(), facts());
    status.federations[0].members[1].clock_offset_ms = Some(120_000);
    facts.valid_until = Some("1971-01-01".into());
    assert_eq!(codes(&status, &facts), []);
}

#[test]
fn what_is_only_on_its_way_is_no_warning_what_is_stuck_is() {
    let mut status = fine();
    status.federations[0].held = 1;
    let fetch = |code: &str| PendingFetch {
        release: "de-rp/hund@1.0.0".into(),
        file: "a".into(),
        size: 1,
        received: 0,
        code: code.into(),
        why: "because".into(),
        from: None,
        next_try: None,
        attempts: 0,
    };
    status.federations[0].pending = vec![fetch("fetching"), fetch("waiting")];
    assert_eq!(codes(&status, &facts()), [("releases_pending".to_owned(), Severity::Info)]);
    status.federations[0].pending.push(fetch("no_holder"));
    assert_eq!(codes(&status, &facts()), [("releases_missing".to_owned(), Severity::Warning)]);
    let told = &all(&status, &facts())[0].concern.text;
    assert!(told.contains("2 of 3") && told.contains("de-rp/hund@1.0.0: because"), "{told}");
}

#[test]
fn a_disconnected_member_is_dated_by_its_connection_and_unknown_to_newcomers() {
    let mut status = fine();
    let away = |since| Connection::Disconnected { since, error: Some("refused".into()), next_try: None };
    status.federations[0].members[1].connection = away(Some(at(5_000)));
    let told = Register::default().settle(all(&status, &facts()), true, at(9_000));
    assert_eq!((told[0].since, told[0].text.as_str()), (at(5_000), "de-rp is not connected: refused"));
    status.federations[0].members[1].connection = away(None);
    assert_eq!(all(&status, &facts())[0].concern.since, at(1_000), "since the start");
    status.federations[0].standing = Standing::Requested;
    assert_eq!(codes(&status, &facts()), []);
}

#[test]
fn concerns_keep_their_date_until_they_end_and_the_worst_comes_first() {
    let register = Register::default();
    let mut status = fine();
    status.federations[0].members[1].stale = true;
    assert_eq!(register.settle(all(&status, &facts()), true, at(10))[0].since, at(10));
    status.federations[0].quarantined = 1;
    let told = register.settle(all(&status, &facts()), true, at(20));
    let dates: Vec<_> = told.iter().map(|c| (c.code.as_str(), c.since)).collect();
    assert_eq!(dates, [("artifact_quarantined", at(20)), ("member_stale", at(10))]);
    // Asked about another federation alone: what is known of this one stays.
    register.settle(Vec::new(), false, at(25));
    assert_eq!(register.settle(all(&status, &facts()), true, at(30))[1].since, at(10));
    // Over, and back: a new date.
    register.settle(Vec::new(), true, at(40));
    assert_eq!(register.settle(all(&status, &facts()), true, at(50))[1].since, at(50));
}

#[test]
fn changes_awaited_are_dated_by_when_they_were_first_told() {
    let register = Register::default();
    let mut status = fine();
    let wait = AwaitedApproval {
        change: "expel".into(),
        handle: "de-rp".parse().unwrap(),
        fingerprint: "12345 67890".into(),
        approvals: 1,
        needed: 2,
        since: at(99),
    };
    status.federations[0].approvals_awaited = vec![wait];
    register.settle(all(&status, &facts()), true, at(10));
    let told = register.settle(all(&status, &facts()), true, at(20));
    assert_eq!(told[0].code, "approval_awaited");
    date(&mut status.federations[0], &told);
    assert_eq!(status.federations[0].approvals_awaited[0].since, at(10));
}
