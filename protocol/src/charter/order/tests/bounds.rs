//! What is refused, what contradicts, and that memory stays bounded.

use super::*;

#[test]
fn what_does_not_belong_is_refused() {
    let mut bench = Bench::new(4, 1);
    let good = prevote(0, 0, None);
    let cases = [
        (Message { height: HEIGHT + 1, ..good }, Refusal::Height),
        (Message { member: MemberId([99; 32]), ..good }, Refusal::Member),
        (Message { pol_round: Some(0), ..good }, Refusal::Malformed),
        (Message { value: None, ..proposal(0, 0, value(1), None) }, Refusal::Malformed),
        (proposal(0, 0, value(1), Some(0)), Refusal::Malformed),
        (proposal(0, 2, value(1), None), Refusal::Proposer),
    ];
    for (message, reason) in cases {
        assert_eq!(bench.receive(message), [Output::Refused { message, reason }]);
    }
    assert_eq!(bench.status().step, Step::Idle, "none of them wakes the height");
    assert_eq!(refusals(&bench.receive(prevote(ROUNDS_AHEAD_MAX + 1, 0, None))), [Refusal::Ahead]);
    assert!(refusals(&bench.receive(prevote(ROUNDS_AHEAD_MAX, 0, None))).is_empty());
}

#[test]
fn far_behind_it_catches_up_and_takes_the_messages_then() {
    let mut bench = Bench::new(4, 1);
    assert_eq!(refusals(&bench.receive(precommit(1_000, 0, Some(value(1))))), [Refusal::Ahead]);
    let out = bench.receive(precommit(2_000, 2, Some(value(1))));
    assert_eq!(bench.status().round, 1_000, "one of the two is honest");
    assert_eq!(refusals(&out), [Refusal::Ahead]);
    bench.receive_all([0, 2, 3].map(|by| precommit(1_000, by, Some(value(1)))));
    assert_eq!(decided(&bench.out), Some(Lock { value: value(1), round: 1_000 }));
}

#[test]
fn the_last_round_is_the_last() {
    let mut bench = Bench::new(2, 1);
    bench.receive(prevote(u32::MAX, 0, None));
    assert_eq!(bench.status().round, u32::MAX);
    bench.timeout(TimeoutKind::Propose, u32::MAX);
    bench.receive_all([precommit(u32::MAX, 0, None)]);
    bench.timeout(TimeoutKind::Precommit, u32::MAX);
    assert_eq!(bench.status().round, u32::MAX);
}

#[test]
fn contradictions_are_evidence_and_count_per_value() {
    let mut bench = Bench::new(4, 1);
    bench.receive(proposal(0, 0, value(1), None));
    bench.receive(prevote(0, 3, Some(value(2))));
    let second = prevote(0, 3, Some(value(1)));
    let out = bench.receive(second);
    assert_eq!(out, [Output::Evidence { first: prevote(0, 3, Some(value(2))), second }]);
    assert!(bench.receive(second).is_empty(), "reported once");
    // Two members so far (1 and 3): once each towards "any", though three prevotes were heard.
    assert!(!timers(&bench.out).contains(&(TimeoutKind::Prevote, 0)));
    // 3 counts towards value 1 although it said something else first: otherwise a lock of others could stay hidden.
    assert_eq!(sent(&bench.receive(prevote(0, 2, Some(value(1))))), [precommit(0, 1, Some(value(1)))]);
}

#[test]
fn a_second_proposal_is_not_prevoted_on_but_can_win() {
    let mut bench = Bench::new(4, 1);
    bench.receive(proposal(0, 0, value(1), None));
    let out = bench.receive(proposal(0, 0, value(2), None));
    let evidence = Output::Evidence { first: proposal(0, 0, value(1), None), second: proposal(0, 0, value(2), None) };
    assert!(out.contains(&evidence) && sent(&out).is_empty());
    bench.receive_all([0, 2, 3].map(|by| prevote(0, by, Some(value(2)))));
    assert_eq!(bench.status().locked, Some(Lock { value: value(2), round: 0 }));
}

#[test]
fn a_crowded_slot_still_takes_the_vote_that_completes_a_quorum() {
    let mut bench = Bench::new(4, 1);
    bench.receive(proposal(0, 0, value(1), None));
    bench.receive_all((10..13).map(|v| prevote(0, 3, Some(value(v)))));
    assert_eq!(refusals(&bench.receive(prevote(0, 3, Some(value(1))))), [Refusal::Crowded]);
    bench.receive(prevote(0, 0, Some(value(1))));
    // Now two members voted for value 1 first: 2k - n = 2.
    let out = bench.receive(prevote(0, 3, Some(value(1))));
    assert_eq!(sent(&out), [precommit(0, 1, Some(value(1)))]);
}

#[test]
fn a_crowded_round_still_takes_the_proposal_that_others_follow() {
    let mut bench = Bench::new(4, 1);
    bench.receive_all((10..20).map(|v| proposal(0, 0, value(v), None)));
    assert_eq!(bench.order.rounds[&0].proposals().len(), PROPOSALS_PER_ROUND_MAX);
    assert_eq!(refusals(&bench.receive(proposal(0, 0, value(1), None))), [Refusal::Crowded]);
    bench.receive_all([0, 2, 3].map(|by| prevote(0, by, Some(value(1)))));
    bench.receive(proposal(0, 0, value(1), None));
    assert_eq!(bench.order.rounds[&0].proposals().len(), PROPOSALS_PER_ROUND_MAX);
    assert_eq!(bench.status().locked, Some(Lock { value: value(1), round: 0 }));
}

#[test]
fn memory_is_bounded_under_hostile_messages() {
    let mut rng = Rng(7);
    let mut bench = Bench::new(7, 1);
    for i in 0..20_000_u64 {
        let by = [0, 2][rng.below(2)];
        let round = bench.status().round.saturating_sub(20).saturating_add(rng.below(40) as u32);
        let junk = Sha256::of(&i.to_le_bytes());
        bench.receive(match rng.below(3) {
            0 => proposal(round, (round % 7) as usize, junk, round.checked_sub(1)),
            1 => prevote(round, by, Some(junk)),
            _ => precommit(round, by, Some(junk)),
        });
        bench.out.clear();
    }
    let rounds = 1 + (ROUNDS_AHEAD_MAX + ROUNDS_BEHIND_MAX) as usize;
    assert!(bench.order.rounds.len() <= rounds + 4);
    assert!(bench.order.verdicts.len() <= (rounds + 4) * (PROPOSALS_PER_ROUND_MAX + 1));
    assert!(bench.order.messages().len() <= rounds * (PROPOSALS_PER_ROUND_MAX + 3 * 2 * VOTES_PER_SLOT_MAX));
}

#[test]
fn old_rounds_go_unless_something_depends_on_them() {
    let mut bench = Bench::new(4, 2);
    bench.receive_all([0, 1, 3].map(|by| prevote(0, by, None)));
    bench.receive(proposal(1, 1, value(1), None));
    bench.receive_all([0, 1].map(|by| prevote(1, by, Some(value(1)))));
    bench.receive(prevote(1, 3, Some(value(1))));
    assert_eq!(bench.status().locked, Some(Lock { value: value(1), round: 1 }));
    bench.receive_all([0, 1].map(|by| prevote(100, by, None)));
    assert_eq!(bench.order.rounds.keys().copied().collect::<Vec<_>>(), [1, 100]);
    assert_eq!(refusals(&bench.receive(prevote(0, 1, Some(value(2))))), [Refusal::Behind]);
    assert!(refusals(&bench.receive(prevote(1, 2, Some(value(1))))).is_empty());
    assert_eq!(bench.order.evidence_for(&precommit(1, 2, Some(value(1)))).len(), 5);
    // A proposal opens its proof round again.
    assert_eq!(refusals(&bench.receive(prevote(50, 1, Some(value(2))))), [Refusal::Behind]);
    bench.receive(proposal(100, 0, value(2), Some(50)));
    let out = bench.receive_all([0, 1, 3].map(|by| prevote(50, by, Some(value(2)))));
    assert_eq!(sent(&out), [prevote(100, 2, Some(value(2)))]);
}

#[test]
fn certificates() {
    let full: Vec<Message> = (0..3).map(|by| precommit(4, by, Some(value(3)))).collect();
    let with = |index: usize, message: Message| {
        let mut bad = full.clone();
        bad[index] = message;
        bad
    };
    let mut bench = Bench::new(4, 1);
    let bad = [
        full[..2].to_vec(),
        with(2, full[1]),
        with(2, precommit(4, 3, None)),
        with(2, precommit(5, 3, Some(value(3)))),
        with(2, precommit(4, 3, Some(value(1)))),
        with(2, prevote(4, 3, Some(value(3)))),
        with(2, Message { member: MemberId([77; 32]), ..full[0] }),
        with(0, precommit(4, 0, None)),
    ];
    for precommits in bad {
        let out = bench.feed(Input::Certified { precommits });
        assert_eq!(refusals(&out), [Refusal::NoQuorum]);
    }
    assert!(bench.feed(Input::Certified { precommits: vec![] }).is_empty());
    let out = bench.feed(Input::Certified { precommits: full });
    assert_eq!(decided(&out), Some(Lock { value: value(3), round: 4 }), "final without a verdict");
}
