//! What a check found, in a form that a command line, a library page and a monitoring system can all use.

use serde::Serialize;

use crate::ids::{FederationId, Handle, MemberId, PeerId, PublicKey, Sha256, Slug};

/// One part of the check. The order is that of the check; it ends at the first that fails, but for [`StepName::Anchor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// The genesis is that of the federation that is named, and that is the trusted one.
    Federation,
    /// Each charter is certified by the members of the one before.
    Charters,
    /// The trusted charter is one of them. If not, the rest is consistent and nothing more.
    Anchor,
    /// The checkpoint is signed by the log.
    Checkpoint,
    /// The release and what gives the log its authority stand in the log.
    Inclusion,
    /// Whose log it is, and by what the release is judged.
    Authority,
    /// How many other members cosigned the checkpoint. Never fails: too few are a warning.
    Witnesses,
    /// The charters in the file do not end the log below the release.
    End,
    /// The release is signed by those who may publish this process.
    Release,
    /// The manifest is the one that the release names.
    Manifest,
    /// The folder holds exactly the files of the manifest.
    Files,
}

impl StepName {
    /// The name as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Federation => "federation",
            Self::Charters => "charters",
            Self::Anchor => "anchor",
            Self::Checkpoint => "checkpoint",
            Self::Inclusion => "inclusion",
            Self::Authority => "authority",
            Self::Witnesses => "witnesses",
            Self::End => "end",
            Self::Release => "release",
            Self::Manifest => "manifest",
            Self::Files => "files",
        }
    }
}

impl std::fmt::Display for StepName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one part of the check went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// Whether it holds.
    pub ok: bool,
    /// What was found, or what differs.
    pub text: String,
    /// What to do, if it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Cosignatures of the checkpoint by other members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    /// Other voting members that cosigned, each counted once.
    pub count: usize,
    /// Other voting members.
    pub of: usize,
    /// How many make it witnessed: k − 1, at least 1.
    pub needed: usize,
    /// Version of the charter by which they were counted.
    pub charter: u64,
    /// Their handles by that charter, ascending.
    pub by: Vec<Handle>,
}

impl Witnessed {
    /// Whether the checkpoint is witnessed.
    pub const fn reached(&self) -> bool {
        self.count >= self.needed
    }
}

/// One cosignature of the checkpoint that verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cosigner {
    /// Whose node it is by the charter that counts; `None` if no member's.
    pub member: Option<Handle>,
    /// The node.
    pub node: PeerId,
    /// When, as the node states, in seconds since 1970.
    pub time_s: u64,
}

/// A file as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Path in the folder.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Over the whole file.
    pub sha256: Sha256,
}

/// What was proven about the release. Set once its signatures were checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The federation.
    pub federation: FederationId,
    /// Its name by the newest charter in the file.
    pub federation_name: String,
    /// Version of the newest charter in the file.
    pub charter_version: u64,
    /// Hash of the newest charter in the file.
    pub charter: Sha256,
    /// The owner.
    pub member: MemberId,
    /// The owner's handle by the charter that the release was judged by.
    pub handle: Handle,
    /// The owner's display name.
    pub member_name: String,
    /// The process.
    pub process: Slug,
    /// The version, semver text.
    pub version: String,
    /// The release's id: SHA-256 of its payload.
    pub release: Sha256,
    /// Keys of the owner's publisher role that signed it.
    pub signed_by: Vec<PublicKey>,
    /// Version of the charter that the release was judged by.
    pub judged_by: u64,
    /// Title.
    pub title: String,
    /// Licence, SPDX.
    pub license: String,
    /// When its publisher says that it was published, in seconds since 1970.
    pub published_s: u64,
    /// SHA-256 of the manifest.
    pub manifest: Sha256,
    /// Files.
    pub files: u64,
    /// Bytes of them together.
    pub total_size: u64,
    /// The log.
    pub log: PeerId,
    /// Where in it.
    pub index: u64,
    /// Size of the checkpoint.
    pub checkpoint_size: u64,
    /// Root of the checkpoint.
    pub checkpoint_root: Sha256,
    /// Version of the identity that the release was judged by.
    pub identity_version: u64,
    /// When the file was made, as it says itself; not proven.
    pub pulled_at_s: u64,
    /// The node that served it, as it says itself; not proven.
    pub served_by: PeerId,
}

/// A statement about the release that the node knew when it was pulled, signed by the owner's publishers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// `withdrawal` or `deprecation`.
    pub kind: &'static str,
    /// Why.
    pub reason: String,
    /// Severity of a withdrawal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// What to use instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// Seconds since 1970, as its publisher says.
    pub time_s: u64,
}

/// In what the folder differs from the manifest; paths ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileDiff {
    /// In the manifest, not in the folder.
    pub missing: Vec<String>,
    /// In both, of another size or hash.
    pub changed: Vec<String>,
    /// In the folder, not in the manifest.
    pub extra: Vec<String>,
}

impl FileDiff {
    /// Whether the folder holds exactly the files of the manifest.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty() && self.extra.is_empty()
    }
}

/// The result in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything holds, from a charter that the reader trusts.
    Verified,
    /// Everything holds, but nothing outside of the file says that the federation is the right one.
    Unanchored,
    /// Something does not hold.
    Failed,
}

impl Verdict {
    /// Exit code of the command line: 0, 8 or 6.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Unanchored => 8,
            Self::Failed => 6,
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In order; ends at the first that does not hold, but for the anchor.
    pub steps: Vec<Step>,
    /// Whether the chain contains the charter that the reader trusts.
    pub anchored: bool,
    /// Version of the charter that the reader trusts, if it is one of them.
    pub trusted: Option<u64>,
    /// Hashes of the charters from version 1 on, once they were checked.
    pub charters: Vec<Sha256>,
    /// Set once counted.
    pub witnessed: Option<Witnessed>,
    /// Cosignatures that verified, the log's own node included, by the bytes of the nodes' keys.
    pub cosigners: Vec<Cosigner>,
    /// The earliest time at which another member cosigned the checkpoint, in seconds since 1970, so that one wrong clock cannot
    /// make it look newer; if none did, the time that the log's own node states. Knowledge of the log ends there.
    pub checkpoint_time_s: Option<u64>,
    /// What was proven about the release.
    pub release: Option<Facts>,
    /// The files that the manifest names, once it was checked.
    pub listed: Vec<Listed>,
    /// In what the folder differs; set once it was compared.
    pub files: Option<FileDiff>,
    /// What was said about the release when it was pulled.
    pub statements: Vec<Said>,
    /// What the reader should know although nothing failed.
    pub warnings: Vec<String>,
}

impl Report {
    /// The result.
    pub fn verdict(&self) -> Verdict {
        let complete = self.steps.last().is_some_and(|step| step.name == StepName::Files);
        match self.failed() {
            None if complete && self.anchored => Verdict::Verified,
            None if complete => Verdict::Unanchored,
            _ => Verdict::Failed,
        }
    }

    /// The part that does not hold; a missing anchor is none.
    pub fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|step| !step.ok && step.name != StepName::Anchor)
    }

    /// How old the checkpoint is at `now_s` (seconds since 1970), in seconds; `None` if nobody stated a time, 0 if it lies ahead.
    pub fn age_s(&self, now_s: u64) -> Option<u64> {
        self.checkpoint_time_s.map(|time_s| now_s.saturating_sub(time_s))
    }
}
