//! How a command ends: exit codes, and failures that say what to do next.

use std::fmt;
use std::process::ExitCode;

use crate::admin::client::ClientError;
use crate::admin::problem::{Code, Problem, Refusal};
use crate::config::ConfigError;

/// Exit codes. They are part of the interface: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Failed.
    Failed = 1,
    /// The command was not understood.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// Not allowed.
    Denied = 4,
    /// The daemon cannot be reached.
    Unreachable = 5,
    /// Bytes do not match their hash or signature.
    Verification = 6,
    /// It took too long.
    TimedOut = 7,
    /// Done, but the node is degraded, or the proof has no anchor.
    Degraded = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How to end.
    pub exit: Exit,
    /// Stable code for `--json`; the daemon's, if it was the daemon that refused.
    pub code: String,
    /// What happened.
    pub text: String,
    /// What to do next; empty if nothing is left to say.
    pub next_step: String,
    /// Broken rules, one by one.
    pub errors: Vec<Refusal>,
    /// The reader of stdout is gone: end without a word.
    pub silent: bool,
}

impl Failure {
    /// A failure with `exit`, told by `text`.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        let code = match exit {
            Exit::Ok | Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::NotFound => "not_found",
            Exit::Denied => "denied",
            Exit::Unreachable => "unreachable",
            Exit::Verification => "verification_failed",
            Exit::TimedOut => "timeout",
            Exit::Degraded => "degraded",
        };
        Self {
            exit,
            code: code.to_owned(),
            text: text.into(),
            next_step: String::new(),
            errors: Vec::new(),
            silent: false,
        }
    }
    /// Exit code 1.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(Exit::Failed, text)
    }
    /// The same, with what to do next.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next_step = step.into();
        self
    }
    /// The same, with the rules that were broken.
    #[must_use]
    pub fn errors(mut self, errors: Vec<Refusal>) -> Self {
        self.errors = errors;
        self
    }
    /// An end without a word and with success: the reader of stdout has seen enough.
    pub fn silent() -> Self {
        Self { silent: true, exit: Exit::Ok, ..Self::failed("") }
    }
    /// What the system said about `what`.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let step = match error.kind() {
            ErrorKind::PermissionDenied => "check owner and mode, or run as the user that owns it",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space and repeat the command",
            ErrorKind::ReadOnlyFilesystem => "choose a place that can be written to",
            _ => "",
        };
        let exit = match error.kind() {
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::PermissionDenied => Exit::Denied,
            _ => Exit::Failed,
        };
        Self::new(exit, format!("{what}: {error}")).next(step)
    }
    /// As JSON, for stderr with `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": { "code": self.code, "exit": self.exit as u8, "detail": self.text, "next_step": self.next_step, "errors": self.errors }
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// The exit code for a problem that the daemon named.
pub fn exit_of(code: &Code) -> Exit {
    match code {
        Code::BadRequest
        | Code::BadJson
        | Code::BadReference
        | Code::BadTicket
        | Code::FederationRequired
        | Code::MethodNotAllowed => Exit::Usage,
        Code::NotFound | Code::UnknownRoute => Exit::NotFound,
        Code::Denied => Exit::Denied,
        Code::VerificationFailed | Code::WrongKey | Code::FingerprintMismatch => Exit::Verification,
        Code::Timeout => Exit::TimedOut,
        Code::Recovering | Code::Incomplete => Exit::Degraded,
        Code::FingerprintRequired
        | Code::Conflict
        | Code::VersionTaken
        | Code::TooLarge
        | Code::Refused
        | Code::PeerRefused
        | Code::PeerUnreachable
        | Code::Internal
        | Code::AuditFailed
        | Code::Unsupported
        | Code::Busy
        | Code::Stopping
        | Code::KeyMissing
        | Code::DiskFull
        | Code::Other(_) => Exit::Failed,
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let mut text = problem.detail;
        if text.is_empty() {
            problem.code.title().clone_into(&mut text);
        }
        if problem.code == Code::UnknownRoute {
            text.push_str("; the daemon is of another version than this command");
        }
        let next_step = match (&problem.code, problem.next_step.is_empty()) {
            (Code::FederationRequired, true) => {
                "name one with --federation SLUG; `verbund federation ls` lists them".into()
            }
            (Code::UnknownRoute, _) => "restart the daemon after an update, or use the command of its version".into(),
            _ => problem.next_step,
        };
        let exit = exit_of(&problem.code);
        Self { code: problem.code.to_string(), text, next_step, errors: problem.errors, ..Self::new(exit, "") }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        use std::io::ErrorKind;
        let text = error.to_string();
        match error {
            ClientError::Problem(problem) => problem.into(),
            ClientError::Unreachable { source, .. } => {
                let next = match source.kind() {
                    ErrorKind::PermissionDenied => {
                        "you may not open the socket: join its group, or use the daemon's own user"
                    }
                    ErrorKind::ConnectionRefused => {
                        "the daemon is not running any more: start it with `verbund run --data-dir DIR`"
                    }
                    _ => {
                        "start it with `verbund run --data-dir DIR`, or name it with --data-dir, VERBUND_DATA_DIR or --socket"
                    }
                };
                let exit = match source.kind() {
                    ErrorKind::PermissionDenied => Exit::Denied,
                    _ => Exit::Unreachable,
                };
                Self::new(exit, text).next(next)
            }
            ClientError::Broken(_) => Self::new(Exit::Unreachable, text).next(
                "see whether the daemon still runs (`verbund status`) and what its log says; then repeat the command",
            ),
            ClientError::Input(_) => Self::failed(text).next("correct the cause and repeat the command"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let text = error.to_string();
        match error {
            ConfigError::Unreadable { source, path } => Self::io(format!("cannot read {}", path.display()), &source),
            ConfigError::Mistakes(_) => {
                Self::new(Exit::Usage, text).next("correct what is named above; `verbund config check` looks again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_of_problems() {
        let exit = |code: Code| Failure::from(Problem::new(code, "x")).exit as u8;
        let expected = [
            (Code::Refused, 1),
            (Code::BadReference, 2),
            (Code::FederationRequired, 2),
            (Code::NotFound, 3),
            (Code::Denied, 4),
            (Code::WrongKey, 6),
            (Code::VerificationFailed, 6),
            (Code::Timeout, 7),
            (Code::Recovering, 8),
            (Code::Other("new".into()), 1),
        ];
        for (code, number) in expected {
            assert_eq!(exit(code.clone()), number, "{code}");
        }
    }

    #[test]
    fn a_daemon_that_is_not_there_is_5_and_one_that_may_not_be_asked_4_with_where_and_what_to_do() {
        let kinds = [
            (std::io::ErrorKind::NotFound, 5),
            (std::io::ErrorKind::ConnectionRefused, 5),
            (std::io::ErrorKind::PermissionDenied, 4),
        ];
        for (kind, exit) in kinds {
            let error = ClientError::Unreachable { socket: "/d/admin.sock".into(), source: kind.into() };
            let failure = Failure::from(error);
            assert_eq!(failure.exit as u8, exit);
            assert!(failure.text.contains("/d/admin.sock") && !failure.next_step.is_empty());
        }
    }
}
