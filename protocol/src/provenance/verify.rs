//! Checking a proof, step by step, with nothing but the file, the folder's hashes and what the reader trusts.
//!
//! Owns the order of the steps and the words of each. Stops at the first step that does not hold, since what follows would rest
//! on it; a missing anchor is no such step. Never panics on any input.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::chain::{self, Authority, Chain};
use super::format::Provenance;
use super::report::{Facts, FileDiff, Report, Said, Step, StepName};
use super::{FORMAT, PATH, PROVENANCE_MAX_BYTES};
use crate::charter::certificate::Certified;
use crate::documents::{Deprecation, Document, Kind, RELEASE_TYPE, Withdrawal};
use crate::envelope::Envelope;
use crate::ids::{FederationId, MemberId, Sha256, Slug};
use crate::log::{Head, Origin, SignedCheckpoint, note, tree};
use crate::release::{Manifest, Release};

/// Paths of a folder, relative and `/`-separated, with SHA-256 and size in bytes of each file.
pub type Files = BTreeMap<String, (Sha256, u64)>;

/// Paths that a text names; the rest is counted. The report lists all.
const NAMED_MAX: usize = 5;
/// What to do when the file itself is bad.
const PULL_AGAIN: &str = "pull the release again into an empty folder, from another node if it happens again";

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

/// Checks a provenance file, and `files` against the manifest in it. [`PATH`] itself is not looked for among `files`; everything
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

/// Why a step does not hold, and what to do.
struct Refused {
    text: String,
    next: String,
}

/// A step that does not hold because the file is bad.
fn bad(text: impl Into<String>) -> Refused {
    Refused { text: text.into(), next: PULL_AGAIN.to_owned() }
}

/// What a step gives to those after it, and what was found in words.
type Found<T> = Result<(T, String), Refused>;

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
        self.step(StepName::Federation, federation(proof, trust))?;
        let entries = chain::entries(proof);
        let chain = self.step(StepName::Charters, charters(proof, &chain::versions(&entries, proof.index)))?;
        self.report.anchored = self.step(StepName::Anchor, anchor(&chain, trust)).is_some();
        let (signed, refused) = self.step(StepName::Checkpoint, checkpoint(proof))?;
        self.step(StepName::Inclusion, inclusion(proof, signed.checkpoint().head()))?;
        let authority = Authority::at(proof.index, &proof.log, &entries, &chain).map_err(bad);
        let authority = self.step(StepName::Authority, authority.map(|a| described(a, proof.index)))?;
        self.witnesses(&authority, chain.newest.charter.version, &signed, refused);
        self.step(StepName::End, end(proof, &chain, signed.checkpoint().head()))?;
        let release = self.step(StepName::Release, release(proof, &authority))?;
        self.facts(&release, &authority, &chain, &signed);
        let manifest = self.step(StepName::Manifest, manifest(proof, &release))?;
        self.statements(&release, &authority, &chain);
        self.limits(&authority, &chain);
        let diff = compare(&manifest, files);
        self.step(StepName::Files, folder(&diff, &manifest));
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
            title: metadata.title.clone(),
            license: metadata.license.clone(),
            published_s: said.time_s,
            manifest: said.manifest.sha256,
            files: said.manifest.files,
            total_size: said.manifest.total_size,
            log: self.proof.log,
            index: self.proof.index,
            checkpoint_size: signed.checkpoint().size,
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
            match said(&leaf.0, release, authority, &chain.newest) {
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

fn federation(proof: &Provenance, trust: Option<Trust>) -> Found<()> {
    let genesis = proof.charters.0.first().ok_or_else(|| bad("the file holds no charter"))?;
    let id = FederationId(genesis.hash().0);
    if proof.federation != id {
        return Err(bad(format!("the file names {}, its first charter is the genesis of {id}", proof.federation)));
    }
    match trust.filter(|trust| trust.federation != id) {
        Some(trust) => Err(Refused {
            text: format!("the release is of {id}, trusted is {}", trust.federation),
            next: "do not use the folder, or name the trust of the federation that it was pulled from".to_owned(),
        }),
        None => Ok(((), format!("{id}, the hash of its genesis"))),
    }
}

fn charters(proof: &Provenance, keep: &std::collections::BTreeSet<u64>) -> Found<Chain> {
    let chain = Chain::check(&proof.charters.0, keep, &proof.log).map_err(bad)?;
    let newest = &chain.newest;
    let text = format!(
        "{} charters from the genesis to version {} ({}), each certified by the members before it",
        chain.len(),
        newest.charter.version,
        newest.hash
    );
    Ok((chain, text))
}

fn anchor(chain: &Chain, trust: Option<Trust>) -> Found<()> {
    let Some(trust) = trust else {
        return Err(Refused {
            text: "nothing was named to trust: the file is consistent, whoever made it".to_owned(),
            next: "repeat with --trust FEDERATION@CHARTER_HASH, from a source that you trust".to_owned(),
        });
    };
    match chain.version_of(&trust.charter) {
        Some(version) => Ok(((), format!("the trusted charter is version {version} of the chain"))),
        None => Err(Refused {
            text: format!("the trusted charter {} is not among those in the file", trust.charter),
            next: format!(
                "pull the release again if the trusted charter is newer than version {}; else check the hash",
                chain.newest.charter.version
            ),
        }),
    }
}

/// The checkpoint, and how many cosignatures did not match.
fn checkpoint(proof: &Provenance) -> Found<(SignedCheckpoint, usize)> {
    let origin = Origin::new(proof.federation, proof.log);
    // Whose cosignatures count is known only after the log's charters were proven under this very checkpoint.
    let opened = note::open(proof.checkpoint.0.as_bytes(), origin, &|_| true).map_err(|e| bad(e.to_string()))?;
    let text = format!("{} entries, signed by the log of {}", opened.signed.checkpoint().size, proof.log);
    Ok(((opened.signed, opened.refused.len()), text))
}

fn inclusion(proof: &Provenance, head: Head) -> Found<()> {
    let check = |index, leaf: &[u8], path: &[Sha256]| {
        tree::check_inclusion(path, index, tree::leaf_hash(leaf), head.size, head.root)
            .map_err(|e| bad(format!("entry {index} is not shown to stand in the log: {e}")))
    };
    check(proof.index, &proof.release.0, &proof.proof.0)?;
    for entry in &proof.entries.0 {
        check(entry.index, &entry.leaf.0, &entry.proof.0)?;
    }
    let count = proof.entries.0.len();
    Ok(((), format!("the release is entry {}, with {count} entries that give the log its authority", proof.index)))
}

fn described(authority: Authority<'_>, index: u64) -> (Authority<'_>, String) {
    let member = authority.charter.charter.member(&authority.owner);
    let text = format!(
        "at entry {index} the log is that of {}, by identity version {} and charter {}",
        member.map_or_else(|| authority.owner.to_string(), |m| m.handle.to_string()),
        authority.identity.identity.version,
        authority.charter.charter.version
    );
    (authority, text)
}

fn end(proof: &Provenance, chain: &Chain, head: Head) -> Found<()> {
    let Some((end, by)) = chain.ends.end() else {
        return Ok(((), "no charter in the file ends the log".to_owned()));
    };
    if proof.index >= end.size {
        let text = format!("{by} ended the log at {} entries; entry {} is void", end.size, proof.index);
        let next = "do not use the folder; look for a later release of the process".to_owned();
        return Err(Refused { text, next });
    }
    let (end_head, other) = (Head { size: end.size, root: end.root }, "the checkpoint is of another history than");
    let joined = if end.size == head.size {
        if end.root == head.root { Ok(()) } else { Err("they have one size and two roots".to_owned()) }
    } else {
        let (small, large) = if end.size < head.size { (end_head, head) } else { (head, end_head) };
        let path = proof
            .end
            .as_ref()
            .ok_or_else(|| bad(format!("the file does not show that the checkpoint agrees with {by}")))?;
        path.check(small, large).map_err(|e| e.to_string())
    };
    joined.map_err(|why| bad(format!("{other} the one that {by} names: {why}")))?;
    Ok(((), format!("{by} ended the log at {} entries, above the release", end.size)))
}

/// A release with its id.
struct Judged {
    release: Release,
    id: Sha256,
}

impl Judged {
    fn slug(&self) -> &Slug {
        &self.release.metadata.metadata().id
    }
}

/// SPEC: `view::judge`, a release: it names this federation and the log's owner, whose publisher threshold for the process signed.
fn release(proof: &Provenance, authority: &Authority<'_>) -> Found<Judged> {
    let envelope = Envelope::parse(&proof.release.0).map_err(|e| bad(e.to_string()))?;
    if Kind::of(&envelope) != Kind::Release {
        return Err(bad(format!("expected {RELEASE_TYPE}, got {:?}", envelope.payload_type())));
    }
    let release = Release::parse(envelope.payload()).map_err(|e| bad(e.to_string()))?;
    if release.federation != authority.charter.federation {
        return Err(bad(format!("it names {}, the log is of {}", release.federation, authority.charter.federation)));
    }
    if release.member != authority.owner {
        return Err(bad(format!(
            "it is in the namespace of {}, the log is that of {}",
            release.member, authority.owner
        )));
    }
    let judged = Judged { release, id: envelope.id() };
    let slug = judged.slug();
    let role = &authority.identity.identity.roles.publisher;
    if !role.signed(&envelope, slug) {
        let version = authority.identity.identity.version;
        return Err(bad(format!("{slug} is not signed by the publisher threshold of identity version {version}")));
    }
    let text = format!("{slug} {}, signed by the owner's publishers ({})", judged.release.version(), judged.id);
    Ok((judged, text))
}

fn manifest(proof: &Provenance, release: &Judged) -> Found<Manifest> {
    let (bytes, named) = (&proof.manifest.0, release.release.manifest);
    let got = Sha256::of(bytes);
    if got != named.sha256 {
        return Err(bad(format!("the manifest in the file is {got}, the release names {}", named.sha256)));
    }
    let manifest = Manifest::parse(bytes).map_err(|e| bad(e.to_string()))?;
    let files = manifest.files().len() as u64;
    if (bytes.len() as u64, files, manifest.total_size()) != (named.size, named.files, named.total_size) {
        return Err(bad(format!(
            "the manifest has {} bytes and {files} files of {} bytes, the release names {}, {} and {}",
            bytes.len(),
            manifest.total_size(),
            named.size,
            named.files,
            named.total_size
        )));
    }
    Ok((manifest, format!("{files} files of {} bytes in all ({got})", named.total_size)))
}

fn compare(manifest: &Manifest, files: &Files) -> FileDiff {
    let mut diff = FileDiff::default();
    for file in manifest.files() {
        let path = || file.path.as_str().to_owned();
        match files.get(file.path.as_str()) {
            None => diff.missing.push(path()),
            Some(found) if *found != (file.sha256, file.size) => diff.changed.push(path()),
            Some(_) => {}
        }
    }
    let extra = files.keys().filter(|path| path.as_str() != PATH && manifest.file(path).is_none());
    diff.extra = extra.cloned().collect();
    diff
}

fn folder(diff: &FileDiff, manifest: &Manifest) -> Found<()> {
    if diff.is_empty() {
        return Ok((
            (),
            format!("all {} files are those of the manifest, and there are no others", manifest.files().len()),
        ));
    }
    let lists = [("missing", &diff.missing), ("changed", &diff.changed), ("not of the release", &diff.extra)];
    let texts: Vec<_> =
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(what, list)| named(what, list)).collect();
    let next = if diff.missing.is_empty() && diff.changed.is_empty() {
        "move the files that are not of the release elsewhere, and verify again"
    } else {
        "pull the release again: files that were changed on purpose belong into a folder of their own"
    };
    Err(Refused { text: texts.join("; "), next: next.to_owned() })
}

fn named(what: &str, paths: &[String]) -> String {
    let shown: Vec<_> = paths.iter().take(NAMED_MAX).map(|path| format!("{path:?}")).collect();
    let more = paths.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{what}: {}{more}", shown.join(", "))
}

/// What `leaf` says about the release, if the owner's publishers signed it: those by whom the release was judged, or later ones
/// that the newest charter pins.
fn said(leaf: &[u8], release: &Judged, authority: &Authority<'_>, newest: &Certified) -> Option<Said> {
    let envelope = Envelope::parse(leaf).ok()?;
    let (named, said) = match Kind::of(&envelope) {
        Kind::Withdrawal => {
            let d = Withdrawal::open(&envelope).ok()?;
            let named = (d.federation, d.member, d.process, Some(d.release));
            let severity = Some(d.severity);
            (named, Said { kind: "withdrawal", reason: d.reason, severity, successor: d.successor, time_s: d.time_s })
        }
        Kind::Deprecation => {
            let d = Deprecation::open(&envelope).ok()?;
            let named = (d.federation, d.member, d.process, d.release);
            (
                named,
                Said {
                    kind: "deprecation",
                    reason: d.reason,
                    severity: None,
                    successor: d.successor,
                    time_s: d.time_s,
                },
            )
        }
        _ => return None,
    };
    let (federation, member, process, id): (FederationId, MemberId, Slug, Option<Sha256>) = named;
    let about = federation == newest.federation
        && member == authority.owner
        && process == *release.slug()
        && id.is_none_or(|id| id == release.id);
    let identities = [Some(&authority.identity), newest.identities.get(&authority.owner)];
    let signed = identities.into_iter().flatten().any(|i| i.identity.roles.publisher.signed(&envelope, &process));
    (about && signed).then_some(said)
}
