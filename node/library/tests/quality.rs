//! The search stays as good as it was measured. What it finds and misses shows `scripts/bench search`.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "quality/mod.rs"]
mod quality;

use quality::Score;
use verbund_library::search::Index;

/// A little below what was measured (0.962 and 0.919), so that an honest change of one question is no alarm and a lost rule is.
const RECALL_MIN: f64 = 0.95;
const MRR_MIN: f64 = 0.91;

#[test]
fn recall_does_not_fall_below_what_was_measured() {
    let Some(documents) = quality::catalogue() else {
        println!("SKIPPED: ../shared/corpus/leika-ozg is missing");
        return;
    };
    assert_eq!(documents.len(), 5_251);
    let index = Index::in_memory().unwrap();
    quality::fill(&index, &documents);
    let queries = quality::queries();
    assert!(queries.len() >= 80);
    let (mut ours, mut plain) = (Score::default(), Score::default());
    for asked in &queries {
        let found = quality::indexed(&index, &asked.text);
        if ours.add(asked, &found) < 1.0 {
            println!("missed: {} {:?}: {found:?}", asked.kind, asked.text);
        }
        plain.add(asked, &quality::substring(&documents, &asked.text));
    }
    println!(
        "{} questions: recall {:.3}, MRR {:.3}; substring {:.3}",
        ours.questions,
        ours.recall(),
        ours.mrr(),
        plain.recall()
    );
    assert!(ours.recall() >= RECALL_MIN && ours.mrr() >= MRR_MIN, "recall {:.3}, MRR {:.3}", ours.recall(), ours.mrr());
    assert!(ours.recall() > plain.recall() + 0.5, "far better than a search for the text: {:.3}", plain.recall());
}
