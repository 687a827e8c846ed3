//! Whatever goes wrong, chosen by seeds: no promise is broken meanwhile, and in the end all have the same.
//!
//! `VERBUND_SEEDS=A..B` runs these seeds instead, in the test named `first`; a failure names its seed, and says what led to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test; the panic names it"
)]

use std::ops::Range;

use verbund_simulation::plan::Plan;
use verbund_simulation::run::run;
use verbund_simulation::shrink;

/// The seeds that were asked for by hand.
fn asked() -> Option<Range<u64>> {
    let text = std::env::var("VERBUND_SEEDS").ok()?;
    let (from, to) = text.split_once("..").expect("VERBUND_SEEDS=A..B");
    Some(from.parse().expect("A")..to.parse().expect("B"))
}

fn nothing_is_found(seeds: Range<u64>) {
    for seed in seeds {
        let plan = Plan::of(seed);
        let outcome = run(&plan);
        assert!(outcome.finding.is_none(), "{}", shrink::report(&plan, &outcome));
    }
}

/// Seeds in parts, each a test of its own, so that they run beside each other.
macro_rules! parts {
    ($($name:ident: $seeds:expr;)*) => {$(
        #[test]
        fn $name() {
            if asked().is_none() {
                nothing_is_found($seeds);
            }
        }
    )*};
}

#[test]
fn first() {
    nothing_is_found(asked().unwrap_or(0..20));
}

parts! {
    second: 20..40;
    third: 40..60;
    fourth: 60..80;
    fifth: 80..100;
    sixth: 100..120;
    seventh: 120..140;
    eighth: 140..160;
    ninth: 160..180;
    tenth: 180..200;
}

#[test]
fn the_same_seed_is_the_same_run() {
    // Also where maps of the standard library are iterated: each of them has another order in each run.
    for seed in [2, 5, 35, 49, 117] {
        let plan = Plan::of(seed);
        assert_eq!(plan, Plan::of(seed));
        let (first, second) = (run(&plan), run(&plan));
        assert_eq!(first.told, second.told, "seed {seed}");
        assert_eq!(
            (first.hash, first.steps, first.virtual_ms),
            (second.hash, second.steps, second.virtual_ms),
            "seed {seed}"
        );
    }
}

#[test]
fn seeds_differ_in_what_goes_wrong() {
    let plans: Vec<Plan> = (0..200).map(Plan::of).collect();
    let mut mixes: Vec<_> = plans.iter().map(|plan| plan.kinds.clone()).collect();
    mixes.sort();
    mixes.dedup();
    assert!(mixes.len() > 100, "{} mixes", mixes.len());
    assert!(plans.iter().any(|plan| plan.members > 6) && plans.iter().any(|plan| !plan.hostile.is_empty()));
    let run: std::collections::BTreeSet<_> = plans.iter().flat_map(|plan| plan.acts.iter().map(|p| p.act)).collect();
    assert_eq!(run.len(), verbund_simulation::plan::ACTS.len(), "each act has its seed");
}
