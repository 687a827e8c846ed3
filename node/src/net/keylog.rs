//! Keeps TLS session secrets out of files.
//!
//! libp2p's TLS honours `SSLKEYLOGFILE`: whoever sets it in the daemon's environment can read all traffic afterwards. Its
//! configuration cannot be changed, and a running process cannot clear a variable safely once threads may exist, so the
//! process is replaced by itself without the variable. Owns nothing else.

use std::os::unix::process::CommandExt as _;

/// The variable's name.
const VARIABLE: &str = "SSLKEYLOGFILE";

/// Why the process could not get rid of the variable.
#[derive(Debug, thiserror::Error)]
#[error("SSLKEYLOGFILE is set, and starting again without it failed ({0}): unset it, it would reveal all traffic")]
pub struct KeyLogError(std::io::Error);

/// Whether the variable is set.
pub fn is_set() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Starts the running program again, with the same arguments and process id, without `SSLKEYLOGFILE`; returns at once if it is
/// not set. To be called first in `main` of whatever opens a network.
///
/// # Errors
/// [`KeyLogError`] if the program cannot be started again; the caller must end then.
pub fn clear() -> Result<(), KeyLogError> {
    if !is_set() {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(KeyLogError)?;
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Only returns if it failed.
    Err(KeyLogError(command.args(arguments).env_remove(VARIABLE).exec()))
}
