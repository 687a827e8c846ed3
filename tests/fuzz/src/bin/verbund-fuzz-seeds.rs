//! Writes the seeds of every target into a folder, for `scripts/fuzz`, and prints target, dictionary and longest input.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: verbund-fuzz-seeds FOLDER");
        return ExitCode::from(2);
    };
    match verbund_fuzz::corpus::write(&folder) {
        Ok(counts) => {
            for target in verbund_fuzz::TARGETS.iter().chain([&verbund_fuzz::CANARY]) {
                println!("{} {} {} {}", target.name, target.dictionary, target.max_bytes, counts[target.name]);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
