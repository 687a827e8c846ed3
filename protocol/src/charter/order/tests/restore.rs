//! Restarts, rollbacks and the guard: nothing is ever said twice differently.

use super::*;

fn reopened(order: &Order) -> Order {
    let bytes = crate::codec::encode(order).unwrap();
    let restored: Order = crate::codec::decode(&bytes, 1 << 20).unwrap();
    let json: Order = serde_json::from_str(&serde_json::to_string(order).unwrap()).unwrap();
    assert_eq!(json, restored);
    restored
}

/// Member 2 of 4, locked on value 1 in round 0, its prevote of round 1 cast.
fn locked() -> Bench {
    let mut bench = Bench::new(4, 2);
    bench.receive(proposal(0, 0, value(1), None));
    bench.receive_all([0, 1].map(|by| prevote(0, by, Some(value(1)))));
    bench.receive_all([0, 3].map(|by| precommit(0, by, None)));
    bench.timeout(TimeoutKind::Precommit, 0);
    bench.receive(proposal(1, 1, value(2), None));
    assert_eq!(bench.status().step, Step::Prevote);
    bench
}

#[test]
fn a_restored_machine_may_not_sign_until_told() {
    let mut bench = Bench::new(4, 1);
    bench.eligible(2);
    let mut order = reopened(&bench.order);
    let out = order.handle(Input::Restart);
    assert_eq!(timers(&out), [(TimeoutKind::Propose, 0)], "set again");
    assert!(!order.status().may_sign);
    // It counts and follows, and its timer is remembered.
    assert!(sent(&order.handle(Input::Timeout { kind: TimeoutKind::Propose, round: 0 })).is_empty());
    for by in [0, 2, 3] {
        assert!(sent(&order.handle(Input::Received(prevote(0, by, None)))).is_empty());
    }
    let out = order.handle(Input::MaySign(true));
    assert_eq!(sent(&out), [prevote(0, 1, None), precommit(0, 1, None)], "then does what is due");
}

#[test]
fn while_barred_it_follows_rounds_and_decisions() {
    let mut order = Order::new(HEIGHT, members(4), Some(member(1))).unwrap();
    let mut out = Vec::new();
    for by in [0, 2, 3] {
        out.extend(order.handle(Input::Received(precommit(0, by, None))));
    }
    assert!(timers(&out).contains(&(TimeoutKind::Precommit, 0)));
    order.handle(Input::Timeout { kind: TimeoutKind::Precommit, round: 0 });
    assert_eq!((order.status().round, order.status().step), (1, Step::Propose));
    order.handle(Input::Received(proposal(1, 1, value(1), None)));
    order.handle(Input::Valid { value: value(1), valid: true });
    for by in [0, 2, 3] {
        out = order.handle(Input::Received(precommit(1, by, Some(value(1)))));
    }
    assert_eq!(decided(&out), Some(Lock { value: value(1), round: 1 }));
}

#[test]
fn restart_repeats_questions_and_own_messages_of_the_round() {
    let mut order = signing(4, 2);
    order.handle(Input::Received(proposal(0, 0, value(1), None)));
    let mut restored = reopened(&order);
    let out = restored.handle(Input::Restart);
    assert!(out.contains(&Output::Check { value: value(1) }));
    let bench = locked();
    let mut restored = reopened(&bench.order);
    assert_eq!(sent(&restored.handle(Input::Restart)), [prevote(1, 2, None)]);
    restored.handle(Input::MaySign(true));
    assert!(sent(&restored.handle(Input::Received(proposal(1, 1, value(1), None)))).is_empty());
}

#[test]
fn own_messages_in_any_order_restore_round_step_and_lock() {
    let before = locked();
    let own = before.order.own_messages();
    assert_eq!(own, [prevote(0, 2, Some(value(1))), precommit(0, 2, Some(value(1))), prevote(1, 2, None)]);
    for order_of in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        // From nothing at all: the worst rollback.
        let mut after = Order::new(HEIGHT, members(4), Some(member(2))).unwrap();
        for index in order_of {
            after.handle(Input::Received(own[index]));
        }
        let status = after.status();
        assert_eq!((status.round, status.step), (1, Step::Prevote));
        assert_eq!(status.locked, Some(Lock { value: value(1), round: 0 }));
        assert_eq!(status.valid, status.locked);
        assert_eq!(after.own_messages(), own);
        // What was said is not said again, differently or at all.
        let mut out = after.handle(Input::MaySign(true));
        out.extend(after.handle(Input::Received(proposal(1, 1, value(1), None))));
        out.extend(after.handle(Input::Valid { value: value(1), valid: true }));
        out.extend(after.handle(Input::Received(proposal(0, 0, value(1), None))));
        assert!(sent(&out).is_empty(), "{out:?}");
    }
}

#[test]
fn the_proof_of_a_precommit_restores_the_proof_of_the_lock() {
    let before = locked();
    let evidence = before.order.evidence_for(&precommit(0, 2, Some(value(1))));
    let expected: Vec<Message> = std::iter::once(proposal(0, 0, value(1), None))
        .chain([0, 1, 2].map(|by| prevote(0, by, Some(value(1)))))
        .collect();
    assert_eq!(evidence, expected);
    assert!(before.order.evidence_for(&prevote(0, 2, Some(value(1)))).is_empty());
    assert!(before.order.evidence_for(&precommit(0, 2, None)).is_empty());
    assert!(before.order.evidence_for(&proposal(0, 0, value(1), None)).is_empty());
    assert_eq!(before.order.evidence_for(&proposal(2, 2, value(1), Some(0))), expected);

    let mut after = Bench::new(4, 2);
    after.feed(Input::MaySign(false));
    for message in evidence.into_iter().rev().chain(before.order.own_messages()) {
        after.receive(message);
    }
    after.feed(Input::MaySign(true));
    // As proposer of round 2 it proposes what it is locked on, with its proof, and can prevote on that proof itself.
    let out = after.receive_all([0, 1].map(|by| prevote(2, by, None)));
    assert_eq!(sent(&out), [proposal(2, 2, value(1), Some(0)), prevote(2, 2, Some(value(1)))]);
}

#[test]
fn slots_before_the_last_known_own_message_are_used_up() {
    // Of round 3 only the precommit came back: the prevote and everything before may have been said as well.
    let mut after = Bench::new(4, 3);
    after.receive(precommit(3, 3, None));
    assert_eq!((after.status().round, after.status().step), (3, Step::Precommit));
    after.eligible(1);
    after.receive(proposal(0, 0, value(1), None));
    after.timeout(TimeoutKind::Propose, 3);
    assert!(sent(&after.out).is_empty());
    let out = after.receive_all([1, 2].map(|by| prevote(4, by, None)));
    assert!(out.contains(&Output::Entered { round: 4 }));
    assert_eq!(sent(&after.timeout(TimeoutKind::Propose, 4)), [prevote(4, 3, None), precommit(4, 3, None)]);
}

#[test]
fn a_stale_copy_does_not_contradict_what_peers_still_know() {
    let mut bench = Bench::new(4, 1);
    bench.eligible(2);
    let old = reopened(&bench.order);
    bench.receive(proposal(0, 0, value(1), None));
    let said = prevote(0, 1, Some(value(1)));
    assert_eq!(sent(&bench.out), [said]);
    let mut stale = old;
    stale.handle(Input::Restart);
    stale.handle(Input::Received(said));
    stale.handle(Input::MaySign(true));
    let out = stale.handle(Input::Timeout { kind: TimeoutKind::Propose, round: 0 });
    assert!(sent(&out).is_empty(), "the guard knows {said:?}");
}

#[test]
fn contradicting_own_messages_are_told_and_the_lock_is_kept() {
    let mut bench = Bench::new(4, 1);
    bench.receive(precommit(0, 1, None));
    let out = bench.receive(precommit(0, 1, Some(value(1))));
    assert!(out.contains(&Output::Evidence { first: precommit(0, 1, None), second: precommit(0, 1, Some(value(1))) }));
    assert_eq!(bench.status().locked, Some(Lock { value: value(1), round: 0 }));
}
