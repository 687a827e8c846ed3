//! The targets under a stable compiler: all seeds, and mutations of them from a printed seed.
//!
//! `VERBUND_PROPERTY_SEED` repeats a run, and `VERBUND_FUZZ_MS` sets the time for each target in milliseconds. A target that fails
//! leaves its input in `target/fuzz/failed`, and says how to repeat it. `VERBUND_FUZZ_INPUT=FILE` runs one input.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::mutate::{Dice, mutate};
use crate::{CANARY, TARGETS, Target, corpus::corpus, dictionary};

/// Time for the mutations of one target: with seeds, and two at a time, all targets together take about a minute.
const MUTATING: Duration = Duration::from_millis(2_500);
/// Mutations of one target: of the quick ones more would find nothing.
const MUTATIONS_MAX: u64 = 20_000;
/// Mutations that have to be tried whatever the time, so that a slow machine does not pass by trying nothing.
const MUTATIONS_MIN: u64 = 50;

fn seed() -> u64 {
    let given = std::env::var("VERBUND_PROPERTY_SEED").ok();
    let seed = given.map_or_else(|| RandomState::new().build_hasher().finish(), |seed| seed.parse().unwrap());
    eprintln!("repeat these mutations with VERBUND_PROPERTY_SEED={seed}");
    seed
}

/// Runs one input; a failure names the file that it was written to.
fn one(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz/failed");
        let hash = verbund_protocol::ids::Sha256::of(input).to_hex();
        let file = folder.join(format!("{}-{}", target.name, &hash[..16]));
        std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, input)).unwrap();
        eprintln!("the input of {} bytes is in {}", input.len(), file.display());
        eprintln!("repeat it with VERBUND_FUZZ_INPUT={} and this test", file.display());
        resume_unwind(panic);
    }
}

/// All seeds, then mutations for a while. Returns how many.
fn hold(name: &str) -> u64 {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    if let Some(file) = std::env::var_os("VERBUND_FUZZ_INPUT") {
        one(target, &std::fs::read(file).unwrap());
        return 1;
    }
    let (seeds, tokens) = (corpus(name), dictionary::load(target.dictionary));
    let mut dice = Dice::new(seed() ^ name.bytes().fold(0_u64, |n, b| n.wrapping_mul(31).wrapping_add(b.into())));
    seeds.iter().for_each(|seed| one(target, seed));
    let time = std::env::var("VERBUND_FUZZ_MS").ok().map_or(MUTATING, |ms| Duration::from_millis(ms.parse().unwrap()));
    let (begun, mut count) = (Instant::now(), 0);
    while count < MUTATIONS_MIN || count < MUTATIONS_MAX && begun.elapsed() < time {
        let from = &seeds[dice.below(seeds.len())];
        one(target, &mutate(&mut dice, from, &seeds, &tokens, target.max_bytes));
        count += 1;
    }
    eprintln!("{name}: {} seeds, {count} mutations", seeds.len());
    count
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            hold(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_test() {
            let tests: BTreeSet<_> = [$(stringify!($name)),*].into();
            assert_eq!(TARGETS.iter().map(|t| t.name).collect::<BTreeSet<_>>(), tests);
        }
    };
}

#[cfg(feature = "node")]
tests! {
    json names ticket envelope documents identity charter bundles checkpoint note cosignature inclusion consistency fork gossip
    sync_request sync_response join_request join_response batch process_toml correction_toml correction statement manifest paths
    provenance core range conditions admin config addresses journal blob_request blob_stream
}

#[test]
fn the_mutator_finds_the_canary() {
    let (seeds, tokens) = (corpus(CANARY.name), dictionary::load(CANARY.dictionary));
    seeds.iter().for_each(|seed| (CANARY.run)(seed));
    let seed = seed();
    let found = |tokens: &[Vec<u8>]| {
        let mut dice = Dice::new(seed);
        let mut inputs = (0..20_000).map(|_| mutate(&mut dice, &seeds[0], &seeds, tokens, CANARY.max_bytes));
        inputs.any(|input| catch_unwind(|| (CANARY.run)(&input)).is_err())
    };
    assert!(found(&tokens), "a mutator that does not find the canary finds nothing else either");
    assert!(!found(&[]), "without its dictionary the canary lives: it is the dictionary that finds it");
}

#[test]
fn one_seed_gives_one_sequence() {
    let seeds = corpus("envelope");
    let sequence = |seed| {
        let mut dice = Dice::new(seed);
        (0..200).map(|_| mutate(&mut dice, &seeds[0], &seeds, &[], 4 << 10)).collect::<Vec<_>>()
    };
    assert_eq!(sequence(7), sequence(7));
    assert_ne!(sequence(7), sequence(8));
    assert!(sequence(7).into_iter().collect::<BTreeSet<_>>().len() > 150, "hardly anything comes twice");
}

#[test]
fn every_target_has_seeds_within_its_bound_and_a_dictionary() {
    let mut used = BTreeSet::new();
    for target in TARGETS.iter().chain([&CANARY]) {
        let seeds = corpus(target.name);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        let fit = seeds.iter().filter(|seed| seed.len() <= target.max_bytes).count();
        assert!(2 * fit >= seeds.len(), "{}: most seeds are longer than {} bytes", target.name, target.max_bytes);
        assert!(!dictionary::load(target.dictionary).is_empty(), "{}", target.dictionary);
        used.insert(target.dictionary);
    }
    let files = std::fs::read_dir(dictionary::folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<_> = files.map(|name| name.to_str().unwrap().trim_end_matches(".dict").to_owned()).collect();
    assert_eq!(files, used.into_iter().map(ToOwned::to_owned).collect(), "dictionaries that nothing uses");
}

/// The programs for libFuzzer are those of the list, each gives its bytes to the target of its name, and its entry in the manifest
/// says whether it needs the node.
#[cfg(feature = "node")]
#[test]
fn every_target_has_a_program_for_libfuzzer() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cargo-fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let bins: Vec<_> = manifest.split("[[bin]]").skip(1).collect();
    let name =
        |bin: &&str| bin.lines().find_map(|l| Some(l.strip_prefix("name = \"")?.trim_end_matches('"').to_owned()));
    let names: BTreeSet<_> = bins.iter().filter_map(name).collect();
    let wanted: BTreeSet<_> = TARGETS.iter().chain([&CANARY]).map(|target| target.name.to_owned()).collect();
    assert_eq!(names, wanted);
    for bin in &bins {
        let name = name(bin).unwrap();
        let path = format!("fuzz_targets/{name}.rs");
        assert!(bin.contains(&format!("path = \"{path}\"")), "{name}");
        let of_node = TARGETS.iter().position(|t| t.name == name) >= TARGETS.iter().position(|t| t.name == "range");
        assert_eq!(bin.contains("required-features = [\"node\"]"), of_node && name != CANARY.name, "{name}");
        let program = std::fs::read_to_string(folder.join(path)).unwrap();
        assert!(program.contains(&format!("verbund_fuzz::run(\"{name}\", data)")), "{name}");
    }
    let files = std::fs::read_dir(folder.join("fuzz_targets")).unwrap().count();
    assert_eq!(files, wanted.len(), "a program that the list does not have");
}
