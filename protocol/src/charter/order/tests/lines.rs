//! One test per rule, named by its lines in arXiv 1807.04938, algorithm 1. n = 4: k = 3, f + 1 = 2.

use super::*;

#[test]
fn quorums_and_proposers() {
    assert_eq!([1, 2, 3, 4, 5, 6, 7, 16].map(quorum), [1, 2, 3, 3, 4, 5, 5, 11]);
    for n in 1..=limits::MEMBERS_MAX {
        let order = Order::new(u64::MAX, (0..n).map(|i| MemberId([i as u8; 32])).collect(), None).unwrap();
        assert!(3 * order.quorum() > 2 * n && order.quorum() <= n);
        assert_eq!(order.one_honest() + order.quorum(), n + 1);
        assert!(3 * order.support_min() > n);
        assert!(order.proposer(u32::MAX).is_some());
    }
    let order = Order::new(5, members(4), None).unwrap();
    assert_eq!([0, 1, 2, 3, 4].map(|r| order.proposer(r).unwrap()), [1, 2, 3, 0, 1].map(member));
}

#[test]
fn members_are_checked() {
    assert_eq!(Order::new(1, vec![], None), Err(OrderError::NoMembers));
    assert_eq!(Order::new(1, vec![member(1), member(1)], None), Err(OrderError::Duplicate(member(1))));
    assert_eq!(Order::new(1, members(2), Some(member(2))), Err(OrderError::NotVoting(member(2))));
    let many = (0..=limits::MEMBERS_MAX).map(|i| Sha256::of(&i.to_le_bytes()).0).map(MemberId).collect();
    assert_eq!(Order::new(1, many, None), Err(OrderError::TooManyMembers(151)));
    assert_eq!(Order::new(1, vec![member(2), member(0)], None).unwrap().members(), [member(0), member(2)]);
}

#[test]
fn one_member_decides_at_once() {
    let mut order = signing(1, 0);
    let out = order.handle(Input::Eligible { value: Some(value(1)) });
    assert_eq!(decided(&out), Some(Lock { value: value(1), round: 0 }));
    let own = [proposal(0, 0, value(1), None), prevote(0, 0, Some(value(1))), precommit(0, 0, Some(value(1)))];
    assert_eq!(sent(&out), own);
    assert!(timers(&out).is_empty());
    assert!(order.handle(Input::Eligible { value: Some(value(2)) }).is_empty(), "a decided height is over");
    assert_eq!(
        decided(&order.handle(Input::Restart)),
        Some(Lock { value: value(1), round: 0 }),
        "but can be told again"
    );
}

#[test]
fn two_and_three_members_need_all() {
    for n in [2, 3] {
        let mut bench = Bench::new(n, 0);
        bench.eligible(1);
        for by in 1..n {
            assert_eq!(bench.status().step, Step::Prevote, "n = {n}, before the prevote of {by}");
            bench.receive(prevote(0, by, Some(value(1))));
        }
        for by in 1..n {
            assert_eq!(bench.status().step, Step::Precommit);
            bench.receive(precommit(0, by, Some(value(1))));
        }
        assert_eq!(decided(&bench.out), Some(Lock { value: value(1), round: 0 }));
    }
}

#[test]
fn idles_until_something_is_eligible_or_heard() {
    let mut bench = Bench::new(4, 1);
    assert!(bench.feed(Input::Eligible { value: None }).is_empty());
    assert!(bench.timeout(TimeoutKind::Propose, 0).is_empty());
    assert!(bench.feed(Input::Restart).is_empty());
    assert_eq!(bench.status().step, Step::Idle);
    let out = bench.eligible(1);
    assert_eq!(timers(&out), [(TimeoutKind::Propose, 0)]);
    assert!(sent(&out).is_empty(), "not this member's turn");

    let mut bench = Bench::new(4, 1);
    let out = bench.receive(prevote(0, 3, None));
    assert_eq!(timers(&out), [(TimeoutKind::Propose, 0)]);
}

#[test]
fn lines_11_to_21_proposing() {
    // 18-19: the own candidate; a proposer with nothing eligible waits for it within the round.
    let mut bench = Bench::new(4, 0);
    let out = bench.receive(prevote(0, 3, None));
    assert_eq!(timers(&out), [(TimeoutKind::Propose, 0)]);
    assert!(sent(&out).is_empty());
    let out = bench.eligible(1);
    assert_eq!(sent(&out), [proposal(0, 0, value(1), None), prevote(0, 0, Some(value(1)))]);
    // Once proposed it stays, whatever else becomes eligible.
    assert!(sent(&bench.eligible(2)).is_empty());
    bench.feed(Input::Eligible { value: None });
    bench.receive_all([1, 2].map(|by| prevote(0, by, Some(value(1)))));
    assert_eq!(bench.status().locked, Some(Lock { value: value(1), round: 0 }));
}

#[test]
fn lines_15_and_16_the_valid_value_is_proposed_again() {
    let mut bench = Bench::new(4, 1);
    bench.eligible(2);
    bench.receive(proposal(0, 0, value(1), None));
    bench.receive_all([0, 2].map(|by| prevote(0, by, Some(value(1)))));
    bench.receive_all([0, 2].map(|by| precommit(0, by, None)));
    let out = bench.timeout(TimeoutKind::Precommit, 0);
    assert_eq!(sent(&out), [proposal(1, 1, value(1), Some(0)), prevote(1, 1, Some(value(1)))]);
}

#[test]
fn lines_22_to_27_first_proposal() {
    let mut bench = Bench::new(4, 1);
    assert_eq!(sent(&bench.receive(proposal(0, 0, value(1), None))), [prevote(0, 1, Some(value(1)))]);
    // 26: not valid.
    let mut bench = Bench::new(4, 1);
    assert_eq!(sent(&bench.receive(proposal(0, 0, value(9), None))), [prevote(0, 1, None)]);
    // No verdict yet: waits for it, line 57 bounds the wait.
    let mut order = signing(4, 1);
    let out = order.handle(Input::Received(proposal(0, 0, value(1), None)));
    assert!(out.contains(&Output::Check { value: value(1) }));
    assert!(sent(&out).is_empty());
    let mut late = order.clone();
    assert_eq!(sent(&order.handle(Input::Valid { value: value(1), valid: true })), [prevote(0, 1, Some(value(1)))]);
    let out = late.handle(Input::Timeout { kind: TimeoutKind::Propose, round: 0 });
    assert_eq!(sent(&out), [prevote(0, 1, None)]);
}

/// Locks member 2 on value 1 in round 0 and takes it to round 1.
fn locked_in_round_1() -> Bench {
    let mut bench = Bench::new(4, 2);
    bench.receive(proposal(0, 0, value(1), None));
    let out = bench.receive_all([0, 1].map(|by| prevote(0, by, Some(value(1)))));
    assert_eq!(sent(&out), [precommit(0, 2, Some(value(1)))]);
    assert!(out.contains(&Output::Locked { value: value(1), round: 0 }));
    bench.receive_all([0, 3].map(|by| precommit(0, by, None)));
    bench.timeout(TimeoutKind::Precommit, 0);
    assert_eq!((bench.status().round, bench.status().step), (1, Step::Propose));
    bench
}

#[test]
fn line_23_a_lock_holds() {
    let mut bench = locked_in_round_1();
    assert_eq!(sent(&bench.receive(proposal(1, 1, value(2), None))), [prevote(1, 2, None)]);
    let mut bench = locked_in_round_1();
    assert_eq!(sent(&bench.receive(proposal(1, 1, value(1), None))), [prevote(1, 2, Some(value(1)))]);
}

#[test]
fn lines_28_to_33_a_later_polka_frees() {
    // The proof round must have its quorum of prevotes; it may come after the proposal.
    let mut bench = locked_in_round_1();
    bench.receive_all([0, 1, 3].map(|by| prevote(2, by, None)));
    assert_eq!(bench.status().round, 2);
    bench.receive_all([0, 1, 3].map(|by| precommit(2, by, None)));
    bench.timeout(TimeoutKind::Precommit, 2);
    assert!(sent(&bench.receive(proposal(3, 3, value(2), Some(1)))).is_empty());
    let out = bench.receive_all([0, 1].map(|by| prevote(1, by, Some(value(2)))));
    assert!(sent(&out).is_empty());
    let out = bench.receive(prevote(1, 3, Some(value(2))));
    assert_eq!(sent(&out), [prevote(3, 2, Some(value(2)))], "lockedRound 0 ≤ vr 1");

    // 29: a proof round before the lock does not free.
    let mut bench = Bench::new(4, 2);
    bench.receive_all([0, 1, 3].map(|by| prevote(0, by, Some(value(2)))));
    bench.receive_all([0, 1].map(|by| precommit(1, by, None)));
    bench.receive(proposal(1, 1, value(1), None));
    bench.receive_all([0, 1].map(|by| prevote(1, by, Some(value(1)))));
    assert_eq!(bench.status().locked, Some(Lock { value: value(1), round: 1 }));
    bench.receive_all([0, 1].map(|by| precommit(3, by, None)));
    let out = bench.receive(proposal(3, 3, value(2), Some(0)));
    assert_eq!(sent(&out), [prevote(3, 2, None)]);
}

#[test]
fn lines_34_and_61_prevote_timeout() {
    let mut bench = Bench::new(4, 1);
    bench.receive(proposal(0, 0, value(1), None));
    bench.receive(prevote(0, 0, Some(value(1))));
    assert!(bench.timeout(TimeoutKind::Prevote, 0).is_empty(), "not set: not heard");
    assert_eq!(timers(&bench.receive(prevote(0, 2, None))), [(TimeoutKind::Prevote, 0)]);
    assert!(timers(&bench.receive(prevote(0, 3, None))).is_empty(), "only the first time");
    assert!(bench.timeout(TimeoutKind::Prevote, 1).is_empty(), "of another round");
    assert_eq!(sent(&bench.timeout(TimeoutKind::Prevote, 0)), [precommit(0, 1, None)]);
    assert_eq!(bench.status().locked, None);
}

#[test]
fn lines_36_to_43_lock_and_valid_value() {
    // 36 needs the proposal, and it may come last.
    let mut bench = Bench::new(4, 1);
    bench.eligible(2);
    bench.timeout(TimeoutKind::Propose, 0);
    bench.receive_all([0, 2, 3].map(|by| prevote(0, by, Some(value(1)))));
    assert_eq!(bench.status().step, Step::Prevote);
    let out = bench.receive(proposal(0, 0, value(1), None));
    assert_eq!(sent(&out), [precommit(0, 1, Some(value(1)))]);
    assert_eq!(bench.status().locked, Some(Lock { value: value(1), round: 0 }));

    // 42-43: after a nil precommit only the valid value is set.
    let mut bench = Bench::new(4, 1);
    bench.receive(proposal(0, 0, value(1), None));
    bench.receive_all([prevote(0, 0, Some(value(1))), prevote(0, 2, None)]);
    bench.timeout(TimeoutKind::Prevote, 0);
    bench.receive(prevote(0, 3, Some(value(1))));
    assert_eq!(bench.status().locked, None);
    assert_eq!(bench.status().valid, Some(Lock { value: value(1), round: 0 }));

    // In step propose nothing happens: the own prevote comes first.
    let mut bench = Bench::new(4, 1);
    bench.receive_all([0, 2, 3].map(|by| prevote(0, by, Some(value(1)))));
    assert_eq!((bench.status().valid, bench.status().step), (None, Step::Propose));
}

#[test]
fn line_36_a_value_becomes_valid_late() {
    let mut bench = Bench::new(4, 1);
    bench.valid.clear();
    assert_eq!(sent(&bench.receive(proposal(0, 0, value(1), None))), [prevote(0, 1, None)]);
    assert!(sent(&bench.receive_all([0, 2, 3].map(|by| prevote(0, by, Some(value(1)))))).is_empty());
    let out = bench.feed(Input::Valid { value: value(1), valid: true });
    assert_eq!(sent(&out), [precommit(0, 1, Some(value(1)))]);
    bench.feed(Input::Valid { value: value(1), valid: false });
    assert_eq!(bench.order.verdicts.get(&value(1)), Some(&Verdict::Valid), "valid is final");
}

#[test]
fn an_invalid_value_is_asked_about_again_in_a_later_round() {
    let mut order = signing(4, 3);
    order.handle(Input::Received(proposal(0, 0, value(1), None)));
    let out = order.handle(Input::Valid { value: value(1), valid: false });
    assert_eq!(sent(&out), [prevote(0, 3, None)]);
    order.handle(Input::Received(proposal(1, 1, value(1), None)));
    let out = order.handle(Input::Received(prevote(1, 0, None)));
    assert!(out.contains(&Output::Entered { round: 1 }) && out.contains(&Output::Check { value: value(1) }));
}

#[test]
fn line_44_polka_for_nil() {
    let mut bench = Bench::new(4, 1);
    bench.receive(proposal(0, 0, value(9), None));
    assert_eq!(sent(&bench.receive_all([2, 3].map(|by| prevote(0, by, None)))), [precommit(0, 1, None)]);
}

#[test]
fn lines_47_and_65_precommit_timeout_in_any_step() {
    let mut bench = Bench::new(4, 1);
    let out = bench.receive_all([precommit(0, 0, None), precommit(0, 2, None), precommit(0, 3, Some(value(1)))]);
    assert_eq!(timers(&out), [(TimeoutKind::Propose, 0), (TimeoutKind::Precommit, 0)]);
    assert_eq!(bench.status().step, Step::Propose);
    let out = bench.timeout(TimeoutKind::Precommit, 0);
    assert!(out.contains(&Output::Entered { round: 1 }));
    assert!(bench.timeout(TimeoutKind::Precommit, 0).is_empty(), "of a round that is over");
    assert!(bench.timeout(TimeoutKind::Propose, 0).is_empty());
}

#[test]
fn line_49_decision() {
    // In any round, also a later one, and without its proposal: only the verdict is needed.
    let mut order = signing(4, 1);
    order.handle(Input::Received(precommit(2, 0, Some(value(1)))));
    order.handle(Input::Received(precommit(2, 3, Some(value(1)))));
    let out = order.handle(Input::Received(precommit(2, 2, Some(value(1)))));
    assert!(out.contains(&Output::Check { value: value(1) }));
    assert_eq!(order.decision(), None);
    assert_eq!(decided(&order.handle(Input::Valid { value: value(1), valid: false })), None);
    let out = order.handle(Input::Valid { value: value(1), valid: true });
    let Some(Output::Decide { value: what, round: 2, precommits }) = out.last() else { panic!("{out:?}") };
    assert_eq!(*what, value(1));
    assert_eq!(*precommits, [0, 2, 3].map(|by| precommit(2, by, Some(value(1)))));
    assert_eq!(order.status().decided, Some(Lock { value: value(1), round: 2 }));

    // Precommits of different rounds, or for different values, or of one member twice, do not add up.
    let mut bench = Bench::new(4, 3);
    bench.receive_all([precommit(0, 0, Some(value(1))), precommit(1, 1, Some(value(1))), precommit(0, 2, None)]);
    bench.receive_all([precommit(0, 0, Some(value(1))), precommit(0, 1, Some(value(2)))]);
    assert_eq!(bench.order.decision(), None);
}

#[test]
fn line_55_later_rounds() {
    let mut bench = Bench::new(4, 1);
    bench.receive(prevote(5, 0, None));
    assert_eq!(bench.status().round, 0, "one member may lie");
    bench.receive(precommit(7, 0, None));
    assert_eq!(bench.status().round, 0, "also twice");
    let out = bench.receive(prevote(6, 3, None));
    assert!(out.contains(&Output::Entered { round: 6 }));
    assert_eq!(timers(&out), [(TimeoutKind::Propose, 6)]);
    let out = bench.receive(prevote(0, 2, None));
    assert!(out.is_empty(), "nobody moves back");
}

#[test]
fn line_57_propose_timeout() {
    let mut bench = Bench::new(4, 1);
    bench.eligible(1);
    assert_eq!(sent(&bench.timeout(TimeoutKind::Propose, 0)), [prevote(0, 1, None)]);
    assert!(bench.timeout(TimeoutKind::Propose, 0).is_empty());
    assert!(sent(&bench.receive(proposal(0, 0, value(1), None))).is_empty(), "too late to prevote on");
}

#[test]
fn delays_grow_and_are_bounded() {
    for kind in [TimeoutKind::Propose, TimeoutKind::Prevote, TimeoutKind::Precommit] {
        assert!(delay_ms(kind, 0) > 0 && delay_ms(kind, 1) > delay_ms(kind, 0));
        assert_eq!(delay_ms(kind, u32::MAX), DELAY_MAX_MS);
    }
}

#[test]
fn observers_follow_and_decide_without_a_word() {
    let mut order = Order::new(HEIGHT, members(4), None).unwrap();
    order.handle(Input::MaySign(true));
    let mut out = order.handle(Input::Eligible { value: Some(value(1)) });
    out.extend([1, 2].map(|by| order.handle(Input::Received(prevote(3, by, None)))).concat());
    assert_eq!(order.status().round, 3);
    assert!(!order.status().may_sign);
    out.extend([0, 1, 2].map(|by| order.handle(Input::Received(precommit(3, by, Some(value(1)))))).concat());
    assert_eq!(decided(&out), Some(Lock { value: value(1), round: 3 }));
    assert!(sent(&out).is_empty() && timers(&out).is_empty());
}

#[test]
fn status_names_who_said_what() {
    let mut bench = Bench::new(4, 1);
    bench.receive(proposal(0, 0, value(1), None));
    bench.receive_all([prevote(0, 0, None), precommit(0, 3, Some(value(2)))]);
    let status = bench.status();
    assert_eq!((status.proposer, status.proposal, status.quorum), (Some(member(0)), Some(value(1)), 3));
    let prevotes: Vec<Ballot> = status.members.iter().map(|m| m.prevote).collect();
    assert_eq!(prevotes, [Ballot::Nil, Ballot::Value(value(1)), Ballot::Missing, Ballot::Missing]);
    assert_eq!(status.members[3].precommit, Ballot::Value(value(2)));
    assert_eq!(status.members.iter().map(|m| m.round).collect::<Vec<_>>(), [Some(0), Some(0), None, Some(0)]);
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}
