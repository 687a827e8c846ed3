//! What a command of the command line did.

use std::ffi::OsString;
use std::fmt;
use std::process::Output;

use serde_json::Value;

/// The end of a command.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command as it was typed.
    pub command: String,
    /// Exit code; −1 if a signal ended it.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Messages.
    pub stderr: String,
}

impl Outcome {
    /// The end of `verbund ARGUMENTS` for the node `handle`.
    pub(crate) fn of(handle: &str, arguments: &[OsString], output: &Output) -> Self {
        let typed: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
        Self {
            command: format!("{handle}: verbund {}", typed.join(" ")),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The data of a command that must have succeeded.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == 0, "{self}");
        self.stdout
    }

    /// The JSON of a command that must have succeeded, or be degraded (exit 8), as `status --json` may be.
    ///
    /// # Panics
    /// If it failed, or wrote no JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        assert!(matches!(self.code, 0 | 8), "{self}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in the answer of {self}"))
    }

    /// The message of a command that must have failed with this exit code; it must say what to do next.
    ///
    /// # Panics
    /// If it ended otherwise.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert!(self.code == code, "exit code {code} was expected: {self}");
        self.stderr
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}
