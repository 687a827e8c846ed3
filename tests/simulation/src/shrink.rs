//! From a run in which something was found to a shorter one in which the same is found, for people to read.

use crate::plan::{Kind, Plan};
use crate::run::{Outcome, run};

/// Runs that shrinking may take.
const TRIES: usize = 60;

/// A plan that still leads to the same finding, with its outcome: fewer kinds of faults, then fewer acts.
pub fn shrink(plan: &Plan, outcome: Outcome) -> (Plan, Outcome) {
    let Some(check) = outcome.finding.as_ref().map(|finding| finding.check) else { return (plan.clone(), outcome) };
    let mut best = (plan.clone(), outcome);
    let mut tries = 0;
    let mut attempt = |best: &mut (Plan, Outcome), smaller: Plan| {
        if tries >= TRIES || smaller.acts.len() == best.0.acts.len() {
            return false;
        }
        tries += 1;
        let outcome = run(&smaller);
        let same = outcome.finding.as_ref().is_some_and(|finding| finding.check == check);
        if same {
            *best = (smaller, outcome);
        }
        same
    };
    for kind in plan.kinds.iter().copied().chain([Kind::Life]) {
        let mut smaller = best.0.clone();
        smaller.acts.retain(|planned| planned.act.kind() != kind);
        attempt(&mut best, smaller);
    }
    // Whole stretches first, then one by one, from the end: what comes last matters least for what went before.
    let mut stretch = best.0.acts.len().div_ceil(2);
    while stretch > 0 {
        let mut end = best.0.acts.len();
        while end > 0 {
            let start = end.saturating_sub(stretch);
            let mut smaller = best.0.clone();
            smaller.acts.drain(start..end.min(smaller.acts.len()));
            attempt(&mut best, smaller);
            end = start;
        }
        stretch /= 2;
    }
    best
}

/// What was found, where everybody stood, and how to see it again.
pub fn report(plan: &Plan, outcome: &Outcome) -> String {
    let Some(finding) = &outcome.finding else { return format!("seed {}: nothing", plan.seed) };
    let (small, shrunk) = shrink(plan, outcome.clone());
    let mut out = format!("seed {}: {}: {}\n", plan.seed, finding.check, finding.text);
    out += &format!(
        "{} members, hostile {:?}, mirrors of {:?}, faults {:?}; {} of {} acts are enough:\n",
        plan.members,
        plan.hostile,
        plan.mirrors,
        plan.kinds,
        small.acts.len(),
        plan.acts.len()
    );
    for line in &shrunk.told {
        out += &format!("    {line}\n");
    }
    if let Some(last) = &shrunk.finding {
        out += &format!("then {}: {}\n", last.check, last.text);
    }
    out += &shrunk.standing;
    out += &format!("run it again with VERBUND_SEEDS={}..{}\n", plan.seed, plan.seed + 1);
    out
}
