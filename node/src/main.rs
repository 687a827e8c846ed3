//! The `verbund` program: puts the command line and the daemon together.

use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

use verbund::cli::host::{Evidence, Founded, Founding, Launch, Scan, Verdict};
use verbund::cli::{Failure, Host};

/// A command line without a daemon: it speaks to one that runs elsewhere.
struct ClientOnly;

fn absent<T>() -> Result<T, Failure> {
    Err(Failure::failed("this build of verbund is the command line alone")
        .next("install the full program on the machine where the node shall run"))
}

impl Host for ClientOnly {
    fn found(&self, _: &Founding<'_>) -> Result<Founded, Failure> {
        absent()
    }
    fn run(&self, _: Launch) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>> {
        Box::pin(async { absent() })
    }
    fn scan(&self, _: &Path) -> Result<Scan, Failure> {
        absent()
    }
    fn propose(&self, _: &Path) -> Result<String, Failure> {
        absent()
    }
    fn verify(&self, _: &Evidence<'_>) -> Result<Verdict, Vec<String>> {
        Err(vec!["this build of verbund cannot check proofs".to_owned()])
    }
}

fn main() -> ExitCode {
    verbund::cli::main(&ClientOnly)
}
