//! Whole federations under random faults: agreement, validity, and termination once faults heal.

use super::sim::Sim;
use super::*;

/// Random runs; each takes some tens of virtual seconds.
const RUNS: u64 = 300;

#[test]
fn agreement_validity_and_termination() {
    let (mut late, mut rounds, mut evidence, mut sizes) = (0_u64, 0, 0, [0; 8]);
    for seed in seeds(RUNS) {
        let mut seen = (0, 0, 0, 0);
        let report = std::panic::AssertUnwindSafe(&mut seen);
        with_seed(seed, move |seed| {
            let report = report;
            let mut sim = Sim::new(seed);
            sim.run();
            sim.judge();
            let last = sim.decisions.iter().map(|(_, lock)| lock.round).max().unwrap();
            *report.0 = (u64::from(last > sim.heal_round), last, sim.evidence, sim.n);
        });
        late += seen.0;
        rounds = rounds.max(seen.1);
        evidence += seen.2;
        sizes[seen.3] += 1;
    }
    // The runs must reach what they are there for.
    if std::env::var("ORDER_SEED").is_err() {
        assert!(sizes[1..].iter().all(|runs| *runs > 0), "{sizes:?}");
        assert!(late > 20 && rounds > 3 && evidence > 500, "{late} {rounds} {evidence}");
    }
    println!("decided after healing: {late}, highest round: {rounds}, contradictions: {evidence}, sizes: {sizes:?}");
}
