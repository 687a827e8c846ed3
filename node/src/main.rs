//! The `verbund` program: command line and daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    verbund::cli::main(&verbund::daemon::Program)
}
