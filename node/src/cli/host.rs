//! What the command line needs from the rest of the program, in one place.
//!
//! Owns the contract only. The daemon's core, the scanner of folders and the verifier of proofs implement it in `main`; tests
//! implement it with stand-ins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use tokio_util::sync::CancellationToken;
use verbund_protocol::ids::{Handle, Sha256};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::provenance::{Report, Trust};

use super::exit::Failure;
use super::run::Ready;
use crate::config::{Effective, Endpoint};
pub use crate::publish::{FileSource, Said};

/// The keys that `init` made, or found from an interrupted run.
#[derive(Debug)]
pub struct MemberKeys {
    /// Signs identities and writers.
    pub root: SecretKey,
    /// Signs requests, approvals, adoptions.
    pub approver: SecretKey,
    /// Signs releases.
    pub publisher: SecretKey,
    /// The node's own.
    pub node: SecretKey,
}

/// What `init` wants to found.
#[derive(Debug)]
pub struct Founding<'a> {
    /// The data directory; it exists and belongs to this user only.
    pub data_dir: &'a Path,
    /// The member's handle.
    pub handle: &'a Handle,
    /// The member's name.
    pub name: &'a str,
    /// Its keys, stored already.
    pub keys: &'a MemberKeys,
    /// Hosts that an HTTPS certificate must name, from `--https` and `--announce`.
    pub hosts: &'a [String],
}

/// What `init` founded.
#[derive(Debug)]
pub struct Founded {
    /// The member's fingerprint: 8 groups of 5 digits.
    pub fingerprint: String,
    /// The certificate that HTTPS clients need (`curl --cacert`), if one was made.
    pub certificate: Option<PathBuf>,
}

/// What `run` starts.
pub struct Launch {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The configuration and where each value comes from.
    pub effective: Effective,
    /// Cancelled by Ctrl-C or SIGTERM: stop within 5 s.
    pub stop: CancellationToken,
    /// To be called once everything listens.
    pub ready: Ready,
}

/// A file found by the scanner.
#[derive(Debug, Clone)]
pub struct ScannedFile {
    /// Path in the release.
    pub path: String,
    /// Media type as recognised.
    pub media_type: String,
    /// The file itself, as it was scanned: what is sent is read through it, never by its path again.
    pub source: FileSource,
}

/// What the scanner found.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Metadata of `process.toml` and derived from the folder, as JSON; the daemon completes it.
    pub metadata: serde_json::Value,
    /// Files by path.
    pub files: Vec<ScannedFile>,
    /// What should be looked at: private keys, passwords, personal mailboxes.
    pub warnings: Vec<String>,
    /// What is left out on purpose: `.git`, `Thumbs.db`, …
    pub skipped: Vec<String>,
    /// Whether this is a single file, described by what was said and found in it.
    pub single: bool,
}

/// Size and hash of a file that lies in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileDigest {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, which carries the proof.
    pub sha256: Sha256,
}

/// What a proof is checked against.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// `.verbund/provenance.json`.
    pub provenance: &'a [u8],
    /// All files of the folder by path, without `.verbund/`.
    pub files: &'a BTreeMap<String, FileDigest>,
    /// What the caller trusts.
    pub trust: Option<Trust>,
}

/// What the rest of the program does for the command line. All methods but `run` may block.
pub trait Host: Send + Sync {
    /// Writes what makes a data directory a member's: identity document, writer statement, HTTPS certificate. Repeating it after
    /// an interruption must lead to the same result.
    ///
    /// # Errors
    /// Why not.
    fn found(&self, founding: &Founding<'_>) -> Result<Founded, Failure>;

    /// Runs the daemon until `launch.stop`.
    ///
    /// # Errors
    /// Why it could not start, or had to stop.
    fn run(&self, launch: Launch) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>>;

    /// Scans a folder, or a single export file of which something may be `said`, strictly.
    ///
    /// # Errors
    /// All broken rules in [`Failure::errors`].
    fn scan(&self, path: &Path, said: &Said) -> Result<Scan, Failure>;

    /// A commented `process.toml` for a folder.
    ///
    /// # Errors
    /// Why there can be none.
    fn propose(&self, path: &Path) -> Result<String, Failure>;

    /// Checks a proof without network and daemon.
    ///
    /// # Errors
    /// Why the proof cannot be read at all. What does not hold stands in the report.
    fn verify(&self, evidence: &Evidence<'_>) -> Result<Report, String>;
}

/// The hosts of addresses, without those that stand for all.
pub(super) fn hosts<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> Vec<String> {
    let mut hosts: Vec<String> = endpoints
        .filter(|endpoint| !endpoint.ip().is_some_and(|ip| ip.is_unspecified()))
        .map(|endpoint| endpoint.host().to_owned())
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}
