//! What each step of a check requires, and its words.
//!
//! Owns the conditions. Each is a function of the file and of what the steps before it gave; the order is [`super::verify`]'s.

use std::collections::BTreeSet;

use super::chain::{Authority, Chain};
use super::format::Provenance;
use super::report::{FileDiff, Said};
use super::{Files, PATH, Trust};
use crate::charter::certificate::Certified;
use crate::documents::{Deprecation, Document, Kind, RELEASE_TYPE, Withdrawal};
use crate::envelope::Envelope;
use crate::ids::{FederationId, MemberId, PublicKey, Sha256, Slug};
use crate::log::{Head, Origin, SignedCheckpoint, note, tree};
use crate::release::{Manifest, Release};

/// Paths that a text names; the rest is counted. The report lists all.
const NAMED_MAX: usize = 5;
/// What to do when the file itself is bad.
const PULL_AGAIN: &str = "pull the release again into an empty folder, from another node if it happens again";

/// Why a step does not hold, and what to do.
pub(super) struct Refused {
    pub(super) text: String,
    pub(super) next: String,
}

/// A step that does not hold because the file is bad.
pub(super) fn bad(text: impl Into<String>) -> Refused {
    Refused { text: text.into(), next: PULL_AGAIN.to_owned() }
}

/// What a step gives to those after it, and what was found in words.
pub(super) type Found<T> = Result<(T, String), Refused>;

pub(super) fn federation(proof: &Provenance, trust: Option<Trust>) -> Found<()> {
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

pub(super) fn charters(proof: &Provenance, keep: &BTreeSet<u64>) -> Found<Chain> {
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

pub(super) fn anchor(chain: &Chain, trust: Option<Trust>) -> Found<()> {
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
pub(super) fn checkpoint(proof: &Provenance) -> Found<(SignedCheckpoint, usize)> {
    let origin = Origin::new(proof.federation, proof.log);
    // Whose cosignatures count is known only after the log's charters were proven under this very checkpoint.
    let opened = note::open(proof.checkpoint.0.as_bytes(), origin, &|_| true).map_err(|e| bad(e.to_string()))?;
    let text = format!("{} entries, signed by the log of {}", opened.signed.checkpoint().size, proof.log);
    Ok(((opened.signed, opened.refused.len()), text))
}

pub(super) fn inclusion(proof: &Provenance, head: Head) -> Found<()> {
    let check = |index, leaf: &[u8], path: &[Sha256]| {
        tree::check_inclusion(path, index, tree::leaf_hash(leaf), head.size, head.root)
            .or_else(|e| if crate::seeded::bug("provenance_without_inclusion") { Ok(()) } else { Err(e) })
            .map_err(|e| bad(format!("entry {index} is not shown to stand in the log: {e}")))
    };
    check(proof.index, &proof.release.0, &proof.proof.0)?;
    for entry in &proof.entries.0 {
        check(entry.index, &entry.leaf.0, &entry.proof.0)?;
    }
    let count = proof.entries.0.len();
    Ok(((), format!("the release is entry {}, with {count} entries that give the log its authority", proof.index)))
}

pub(super) fn described(authority: Authority<'_>, index: u64) -> (Authority<'_>, String) {
    let member = authority.charter.charter.member(&authority.owner);
    let text = format!(
        "at entry {index} the log is that of {}, by identity version {} and charter {}",
        member.map_or_else(|| authority.owner.to_string(), |m| m.handle.to_string()),
        authority.identity.identity.version,
        authority.charter.charter.version
    );
    (authority, text)
}

pub(super) fn end(proof: &Provenance, chain: &Chain, head: Head) -> Found<()> {
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
pub(super) struct Judged {
    pub(super) release: Release,
    pub(super) id: Sha256,
    /// Keys of the owner's publisher role that signed it.
    pub(super) signers: Vec<PublicKey>,
}

impl Judged {
    fn slug(&self) -> &Slug {
        &self.release.metadata.metadata().id
    }
}

/// SPEC: `view::judge`, a release: it names this federation and the log's owner, whose publisher threshold for the process signed.
pub(super) fn release(proof: &Provenance, authority: &Authority<'_>) -> Found<Judged> {
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
    let role = &authority.identity.identity.roles.publisher;
    let signers = envelope.signers(&role.keys).into_iter().collect();
    let judged = Judged { release, id: envelope.id(), signers };
    let slug = judged.slug();
    if !role.signed(&envelope, slug) {
        let version = authority.identity.identity.version;
        return Err(bad(format!("{slug} is not signed by the publisher threshold of identity version {version}")));
    }
    let text = format!("{slug} {}, signed by the owner's publishers ({})", judged.release.version(), judged.id);
    Ok((judged, text))
}

pub(super) fn manifest(proof: &Provenance, release: &Judged) -> Found<Manifest> {
    let (bytes, named) = (&proof.manifest.0, release.release.manifest);
    let got = Sha256::of(bytes);
    if got != named.sha256 && !crate::seeded::bug("provenance_other_manifest") {
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

pub(super) fn compare(manifest: &Manifest, files: &Files) -> FileDiff {
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

pub(super) fn folder(diff: &FileDiff, manifest: &Manifest) -> Found<()> {
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
pub(super) fn said(leaf: &[u8], release: &Judged, authority: &Authority<'_>, newest: &Certified) -> Option<Said> {
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
