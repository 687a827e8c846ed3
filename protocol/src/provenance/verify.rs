//! Checking a proof, step by step, with nothing but the file, the folder's hashes and what the reader trusts.
//!
//! Owns the order of the steps and the report. Stops at the first step that does not hold, since what follows would rest
//! on it; a missing anchor is no such step. Never panics on any input.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::chain::{self, Authority, Chain};
use super::format::Provenance;
use super::report::{Cosigner, Facts, Listed, Report, Step, StepName};
use super::steps::{self, Found, Judged, Refused};
use super::{FORMAT, PROVENANCE_MAX_BYTES};
use crate::ids::{FederationId, PeerId, Sha256};
use crate::log::SignedCheckpoint;

/// Paths of a folder, relative and `/`-separated, with SHA-256 and size in bytes of each file.
pub type Files = BTreeMap<String, (Sha256, u64)>;

/// What the reader trusts, from elsewhere than the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// The federation.
    pub federation: FederationId,
    /// Hash of any charter of it.
    pub charter: Sha256,
}

impl FromStr for Trust {
    type Err = String;
    /// Reads `FEDERATION@CHARTER_HASH`; the prefixes `federation:` and `sha256:` may be left out.
    fn from_str(text: &str) -> Result<Self, String> {
        let (federation, charter) =
            text.split_once('@').ok_or("expected FEDERATION@CHARTER_HASH, as `verbund federation show` prints it")?;
        let federation = federation.strip_prefix("federation:").unwrap_or(federation);
        let charter = charter.strip_prefix("sha256:").unwrap_or(charter);
        Ok(Self {
            federation: FederationId::from_hex(federation).map_err(|e| e.to_string())?,
            charter: Sha256::from_hex(charter).map_err(|e| e.to_string())?,
        })
    }
}

/// Why a file is no proof that could be checked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Over [`PROVENANCE_MAX_BYTES`].
    #[error("the proof has {0} bytes, over the limit of {PROVENANCE_MAX_BYTES}")]
    TooLong(usize),
    /// Not JSON, or not of this shape and within these bounds.
    #[error("the proof is malformed: {0}")]
    Malformed(String),
    /// A newer form.
    #[error("the proof has format {0}, this program knows {FORMAT}; update it")]
    Format(u64),
}

/// Checks a provenance file, and `files` against the manifest in it. [`super::PATH`] itself is not looked for among `files`; everything
/// else that the folder holds should be there.
///
/// Cost: one signature check for each key that signed a part of a charter's certificate, each cosignature and the release.
///
/// # Errors
/// [`VerifyError`] if the bytes are no provenance file. What does not hold stands in the report.
pub fn verify(bytes: &[u8], files: &Files, trust: Option<Trust>) -> Result<Report, VerifyError> {
    let proof = Provenance::read(bytes)?;
    let mut run = Run { proof: &proof, report: Report::default() };
    // `None` means that a step failed, which the report says.
    let _ = run.all(files, trust);
    Ok(run.report)
}

struct Run<'a> {
    proof: &'a Provenance,
    report: Report,
}

impl Run<'_> {
    fn step<T>(&mut self, name: StepName, found: Found<T>) -> Option<T> {
        let (ok, text, next, value) = match found {
            Ok((value, text)) => (true, text, None, Some(value)),
            Err(Refused { text, next }) => (false, text, Some(next), None),
        };
        self.report.steps.push(Step { name, ok, text, next });
        value
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.report.warnings.push(text.into());
    }

    fn all(&mut self, files: &Files, trust: Option<Trust>) -> Option<()> {
        let proof = self.proof;
        self.step(StepName::Federation, steps::federation(proof, trust))?;
        let entries = chain::entries(proof);
        let chain = self.step(StepName::Charters, steps::charters(proof, &chain::versions(&entries, proof.index)))?;
        self.report.anchored = self.step(StepName::Anchor, steps::anchor(&chain, trust)).is_some();
        self.report.trusted = trust.and_then(|trust| chain.version_of(&trust.charter));
        self.report.charters = chain.hashes().to_vec();
        let (signed, refused) = self.step(StepName::Checkpoint, steps::checkpoint(proof))?;
        self.step(StepName::Inclusion, steps::inclusion(proof, signed.checkpoint().head()))?;
        let authority = Authority::at(proof.index, &proof.log, &entries, &chain).map_err(steps::bad);
        let authority = self.step(StepName::Authority, authority.map(|a| steps::described(a, proof.index)))?;
        self.witnesses(&authority, chain.newest.charter.version, &signed, refused);
        self.step(StepName::End, steps::end(proof, &chain, signed.checkpoint().head()))?;
        let release = self.step(StepName::Release, steps::release(proof, &authority))?;
        self.facts(&release, &authority, &chain, &signed);
        let manifest = self.step(StepName::Manifest, steps::manifest(proof, &release))?;
        let listed = |file: &crate::release::FileEntry| Listed {
            path: file.path.to_string(),
            size: file.size,
            sha256: file.sha256,
        };
        self.report.listed = manifest.files().iter().map(listed).collect();
        self.statements(&release, &authority, &chain);
        self.limits(&authority, &chain);
        let diff = steps::compare(&manifest, files);
        self.step(StepName::Files, steps::folder(&diff, &manifest));
        self.report.files = Some(diff);
        Some(())
    }

    fn witnesses(&mut self, authority: &Authority<'_>, newest: u64, signed: &SignedCheckpoint, refused: usize) {
        let witnessed = chain::witnesses(authority.witness, &authority.owner, signed);
        let by: Vec<_> = witnessed.by.iter().map(ToString::to_string).collect();
        let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
        let newest = match newest {
            newest if newest > witnessed.charter => format!(" (the newest in the file is {newest})"),
            _ => String::new(),
        };
        let counted = format!(
            "cosigned by {} of {} other members{by}, {} needed; counted by charter {}, the last that the log shows below the \
             checkpoint{newest}",
            witnessed.count, witnessed.of, witnessed.needed, witnessed.charter
        );
        if !witnessed.reached() {
            self.warn(format!(
                "not witnessed: {} of {} other members cosigned the checkpoint, {} are needed; its log's node alone answers for it",
                witnessed.count, witnessed.of, witnessed.needed
            ));
        }
        if refused > 0 {
            self.warn(format!("{refused} cosignatures in the file do not match the checkpoint and were not counted"));
        }
        let member = |peer| authority.witness.member_of(peer).is_some_and(|m| m != authority.owner);
        let times = signed.witnesses().filter(|c| member(&c.peer)).map(|c| c.time_s);
        self.report.checkpoint_time_s = times.min().or_else(|| signed.fresh_at_s());
        if self.report.checkpoint_time_s.is_none() {
            self.warn("nobody states when the checkpoint was made: its age is not known");
        }
        let handle = |peer: PeerId| {
            let member = authority.witness.member_of(&peer)?;
            authority.witness.charter.member(&member).map(|m| m.handle.clone())
        };
        let cosigner =
            |c: &crate::log::Cosignature| Cosigner { member: handle(c.peer), node: c.peer, time_s: c.time_s };
        self.report.cosigners = signed.cosignatures().map(cosigner).collect();
        self.report.witnessed = Some(witnessed);
        self.step(StepName::Witnesses, Ok(((), counted)));
    }

    fn facts(&mut self, release: &Judged, authority: &Authority<'_>, chain: &Chain, signed: &SignedCheckpoint) {
        let Some(entry) = authority.charter.charter.member(&authority.owner) else { return };
        let (said, metadata) = (&release.release, release.release.metadata.metadata());
        let newest = &chain.newest;
        self.report.release = Some(Facts {
            federation: newest.federation,
            federation_name: newest.charter.rules.name.clone(),
            charter_version: newest.charter.version,
            charter: newest.hash,
            member: authority.owner,
            handle: entry.handle.clone(),
            member_name: authority.identity.identity.name().to_owned(),
            process: metadata.id.clone(),
            version: metadata.version.to_string(),
            release: release.id,
            signed_by: release.signers.clone(),
            judged_by: authority.charter.charter.version,
            title: metadata.title.clone(),
            license: metadata.license.clone(),
            published_s: said.time_s,
            manifest: said.manifest.sha256,
            files: said.manifest.files,
            total_size: said.manifest.total_size,
            log: self.proof.log,
            index: self.proof.index,
            checkpoint_size: signed.checkpoint().size,
            checkpoint_root: signed.checkpoint().root,
            identity_version: authority.identity.identity.version,
            pulled_at_s: self.proof.pulled_at_s,
            served_by: self.proof.served_by,
        });
    }

    /// What was said about the release. Anyone may have left statements out, so they inform; but none is shown that the owner's
    /// publishers did not sign.
    fn statements(&mut self, release: &Judged, authority: &Authority<'_>, chain: &Chain) {
        let mut ignored = 0;
        for leaf in &self.proof.statements.0 {
            match steps::said(&leaf.0, release, authority, &chain.newest) {
                Some(said) => {
                    let successor = said.successor.as_ref().map_or(String::new(), |s| format!("; use {s} instead"));
                    let what = if said.kind == "withdrawal" { "withdrawn" } else { "deprecated" };
                    self.warn(format!("{what} when it was pulled: {}{successor}", said.reason));
                    self.report.statements.push(said);
                }
                None => ignored += 1,
            }
        }
        if ignored > 0 {
            self.warn(format!(
                "{ignored} statements in the file are not by the owner about this release and were ignored"
            ));
        }
    }

    /// What a file cannot show.
    fn limits(&mut self, authority: &Authority<'_>, chain: &Chain) {
        let owner = authority.owner;
        let shown = authority.identity.identity.version;
        let pinned = chain.newest.identities.get(&owner).map(|i| i.identity.version);
        if let Some(pinned) = pinned.filter(|pinned| *pinned > shown) {
            self.warn(format!(
                "the charters know identity version {pinned} of the owner, the release was judged by version {shown}: ask a node \
                 whether the newer one precedes the release in the log"
            ));
        }
        if chain.newest.charter.member(&owner).is_none() {
            self.warn(format!("the owner is no longer a member as of charter {}", chain.newest.charter.version));
        }
        self.warn(
            "recalls cannot be known offline, nor whether the log was closed below this release or carries an earlier one of the \
             same version: ask a node with `verbund process show`",
        );
    }
}
