//! Runs seeds of the simulator until they, or the time, are used up: `simulate [--seeds A..B] [--minutes N] [--brief]`.
//!
//! With `--brief` it ends with the first finding, and says only which it was and after how many seeds. Otherwise it
//! prints a table of what was run, and for each seed in which something was found a report. Exit code 1 if anything was.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use verbund_simulation::plan::Plan;
use verbund_simulation::run::run;
use verbund_simulation::shrink;

/// Milliseconds of a year.
const YEAR_MS: f64 = 365.25 * 86_400_000.0;
/// After so many findings it is no use to go on.
const FINDINGS_MAX: usize = 10;

struct Wish {
    seeds: std::ops::Range<u64>,
    time: Option<Duration>,
    brief: bool,
}

fn wish() -> Result<Wish, String> {
    let mut wish = Wish { seeds: 0..u64::MAX, time: None, brief: false };
    let (mut args, mut bounded) = (std::env::args().skip(1), false);
    while let Some(name) = args.next() {
        if name == "--brief" {
            wish.brief = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--seeds" => {
                let (from, to) = value.split_once("..").ok_or("--seeds A..B")?;
                let number = |text: &str| text.parse::<u64>().map_err(|e| format!("--seeds {value}: {e}"));
                wish.seeds = number(from)?..number(to)?;
                bounded = true;
            }
            "--minutes" => {
                let minutes: f64 = value.parse().map_err(|e| format!("--minutes {value}: {e}"))?;
                wish.time = Some(Duration::try_from_secs_f64(minutes * 60.0).map_err(|e| e.to_string())?);
            }
            other => return Err(format!("unknown: {other}")),
        }
    }
    if !bounded && wish.time.is_none() {
        return Err("without an end".to_owned());
    }
    Ok(wish)
}

fn main() -> ExitCode {
    let Wish { seeds, time, brief } = match wish() {
        Ok(wish) => wish,
        Err(why) => {
            eprintln!("simulate: {why}\nusage: simulate [--seeds A..B] [--minutes N] [--brief]");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let (mut ran, mut virtual_ms, mut steps) = (0_u64, 0_u64, 0_u64);
    let mut faults: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for seed in seeds {
        if time.is_some_and(|time| begun.elapsed() >= time) || found.len() >= FINDINGS_MAX {
            break;
        }
        let plan = Plan::of(seed);
        let outcome = run(&plan);
        (ran, virtual_ms, steps) = (ran + 1, virtual_ms + outcome.virtual_ms, steps + outcome.steps);
        for (kind, count) in &outcome.faults {
            *faults.entry(kind).or_default() += count;
        }
        if let Some(finding) = outcome.finding.as_ref().filter(|_| brief) {
            println!("found: {} (seed {seed}), after {ran} seeds", finding.check);
            return ExitCode::FAILURE;
        }
        if let Some(finding) = &outcome.finding {
            println!("{}", shrink::report(&plan, &outcome));
            found.push((seed, finding.check));
        }
    }
    if brief {
        println!("nothing in {ran} seeds");
        return ExitCode::SUCCESS;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{ran:>10}  seeds run, {:.2} a second", ran as f64 / seconds.max(0.001));
    println!("{:>10.3}  virtual years", virtual_ms as f64 / YEAR_MS);
    println!("{steps:>10}  inputs of cores");
    for (kind, count) in &faults {
        println!("{count:>10}  {kind}");
    }
    println!("{:>10}  findings", found.len());
    for (seed, check) in &found {
        println!("            seed {seed}: {check}");
    }
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
