//! `scripts/bench search`: how good the search is, and what an index of the whole catalogue costs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on says where and ends")]

#[path = "../tests/quality/mod.rs"]
mod quality;

use std::collections::BTreeMap;
use std::time::Instant;

use quality::Score;
use verbund_library::search::Index;

/// Memory of this process in MiB: resident now and at most, as the kernel says.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn bytes(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

fn main() {
    let Some(documents) = quality::catalogue() else {
        eprintln!("search: ../shared/corpus/leika-ozg/leika_leistungen.csv is not there; nothing was measured");
        std::process::exit(1);
    };
    let folder = tempfile::tempdir().expect("a folder for the index");
    let before = memory("VmRSS");
    let begun = Instant::now();
    let (index, _) = Index::open(&folder.path().join("index")).expect("a new index");
    quality::fill(&index, &documents);
    let built = begun.elapsed();
    println!("| index of {} Leistungen | |\n|---|---|", documents.len());
    println!("| built in | {:.2} s |", built.as_secs_f64());
    println!("| on disk | {:.1} MiB |", bytes(&folder.path().join("index")) as f64 / f64::from(1 << 20));
    println!("| memory: before, after, at most | {before}, {}, {} MiB |", memory("VmRSS"), memory("VmHWM"));

    let queries = quality::queries();
    let begun = Instant::now();
    let answers: Vec<_> = queries.iter().map(|asked| quality::indexed(&index, &asked.text)).collect();
    println!("| a question, mean | {:.1} ms |\n", begun.elapsed().as_secs_f64() * 1_000.0 / queries.len() as f64);

    let mut kinds: BTreeMap<&str, (Score, Score)> = BTreeMap::new();
    let mut all = (Score::default(), Score::default());
    for (asked, found) in queries.iter().zip(&answers) {
        let plain = quality::substring(&documents, &asked.text);
        let kind = kinds.entry(&asked.kind).or_default();
        kind.1.add(asked, &plain);
        all.1.add(asked, &plain);
        kind.0.add(asked, found);
        if all.0.add(asked, found) < 1.0 {
            let missed: Vec<_> = asked.keys.iter().filter(|key| !found.contains(key)).map(String::as_str).collect();
            eprintln!("missed: {:?} lacks {}; found {}", asked.text, missed.join(" "), found.join(" "));
        }
    }
    println!("| questions | | recall@10 | MRR | substring: recall@10 | MRR |\n|---|---|---|---|---|---|");
    for (kind, (index, plain)) in kinds.into_iter().chain([("all", all)]) {
        let Score { questions, .. } = index;
        println!(
            "| {kind} | {questions} | {:.3} | {:.3} | {:.3} | {:.3} |",
            index.recall(),
            index.mrr(),
            plain.recall(),
            plain.mrr()
        );
    }
}
