//! Charters from the genesis on, where they end a log, and who has authority at a place of a log.
//!
//! Owns the offline form of the rules in [`crate::view::judge`]: what is valid here is valid there, given the same entries. Keeps
//! of a long chain only what is asked for, so that memory does not grow with versions times members.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Certificate, Provenance};
use super::report::Witnessed;
use crate::charter::certificate::{Certified, CharterBundle};
use crate::charter::rules::Charter;
use crate::documents::{Kind, LogEnd};
use crate::envelope::Envelope;
use crate::identity::VerifiedIdentity;
use crate::ids::{MemberId, PeerId, Sha256};
use crate::json::Object;
use crate::log::SignedCheckpoint;
use crate::view::charters;
use crate::view::judge::PREAMBLE;

/// Charters that were checked from the genesis on.
pub(super) struct Chain {
    /// Hashes by version, from version 1 on.
    hashes: Vec<Sha256>,
    /// Those that were asked for.
    kept: BTreeMap<u64, Certified>,
    /// The last one.
    pub(super) newest: Certified,
    /// Where they end the log.
    pub(super) ends: Ends,
}

/// Where charters and writers end one log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ends {
    charter: Option<LogEnd>,
    writer: Option<LogEnd>,
}

impl Ends {
    /// Adds what a certified charter and the writers that it pins say about `log`.
    pub(super) fn add(&mut self, log: &PeerId, charter: &Charter, bundle: &CharterBundle) {
        if let Some(stop) = charter.stops.iter().find(|stop| stop.log == *log) {
            self.charter = Some(*stop);
        }
        let closes = charters::closes(charter, bundle).into_iter().filter(|end| end.log == *log);
        self.writer = closes.chain(self.writer).min_by_key(|end| end.size);
    }

    /// Where the log ends, and by what. SPEC: a charter's closing is final.
    pub(super) fn end(&self) -> Option<(LogEnd, &'static str)> {
        let by_charter = self.charter.map(|end| (end, "the charter that expels its member"));
        by_charter.or(self.writer.map(|end| (end, "the writer that follows it")))
    }
}

impl Chain {
    /// Checks `charters` one after the other and keeps the versions in `keep`.
    ///
    /// # Errors
    /// Which version does not hold, and why.
    pub(super) fn check(charters: &[Object<Certificate>], keep: &BTreeSet<u64>, log: &PeerId) -> Result<Self, String> {
        let mut chain: Option<Self> = None;
        for (version, certificate) in (1_u64..).zip(charters) {
            let bundle = certificate.bundle();
            let next = match &chain {
                None => Certified::genesis(&bundle),
                Some(chain) => chain.newest.next(&bundle),
            };
            let next = next.map_err(|e| format!("charter {version}: {e}"))?;
            let mut now = match chain.take() {
                None => Self { hashes: Vec::new(), kept: BTreeMap::new(), newest: next, ends: Ends::default() },
                Some(chain) => Self { newest: next, ..chain },
            };
            now.hashes.push(now.newest.hash);
            now.ends.add(log, &now.newest.charter, &bundle);
            if keep.contains(&version) {
                now.kept.insert(version, now.newest.clone());
            }
            chain = Some(now);
        }
        chain.ok_or_else(|| "the file holds no charter".to_owned())
    }

    /// Version of the charter with this hash.
    pub(super) fn version_of(&self, hash: &Sha256) -> Option<u64> {
        (1..).zip(&self.hashes).find(|(_, h)| *h == hash).map(|(version, _)| version)
    }

    /// Hashes by version, from version 1 on.
    pub(super) fn hashes(&self) -> &[Sha256] {
        &self.hashes
    }

    /// How many charters there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Hash of a version.
    fn hash(&self, version: u64) -> Option<Sha256> {
        let at = usize::try_from(version.checked_sub(1)?).ok()?;
        self.hashes.get(at).copied()
    }

    fn kept(&self, version: u64) -> Result<&Certified, String> {
        self.kept.get(&version).ok_or_else(|| format!("charter {version} is not in the file"))
    }
}

/// An entry that gives a log its authority, read from its leaf.
pub(super) struct Entry {
    pub(super) index: u64,
    envelope: Result<Envelope, String>,
}

/// The entries of a file, read once.
pub(super) fn entries(proof: &Provenance) -> Vec<Entry> {
    let read = |bytes: &[u8]| Envelope::parse(bytes).map_err(|e| e.to_string());
    proof.entries.0.iter().map(|e| Entry { index: e.index, envelope: read(&e.leaf.0) }).collect()
}

/// Versions of the charters by which the release is judged: of the log's start, below the release, below the checkpoint. A guess
/// from unchecked entries, of use only to keep no others.
pub(super) fn versions(entries: &[Entry], index: u64) -> BTreeSet<u64> {
    let version = |entry: &Entry| {
        let envelope = entry.envelope.as_ref().ok().filter(|e| Kind::of(e) == Kind::Charter)?;
        Charter::parse(envelope.payload()).ok().map(|charter| charter.version)
    };
    let start = entries.iter().find_map(version);
    let below = entries.iter().rev().filter(|e| e.index < index).find_map(version);
    let last = entries.iter().rev().find_map(version);
    [start, below, last].into_iter().flatten().collect()
}

/// Who has authority at a place of a log, and by which documents.
pub(super) struct Authority<'a> {
    /// The owner of the log.
    pub(super) owner: MemberId,
    /// Its identity at that place.
    pub(super) identity: VerifiedIdentity,
    /// The charter at that place, in which the owner stands.
    pub(super) charter: &'a Certified,
    /// The last charter that the entries show, by which cosignatures are counted.
    pub(super) witness: &'a Certified,
}

impl<'a> Authority<'a> {
    /// Walks the entries of `log`, whose places were proven, up to `index` and, for charters, beyond.
    ///
    /// # Errors
    /// Why nobody has authority there, or which entry does not belong into the file.
    pub(super) fn at(index: u64, log: &PeerId, entries: &[Entry], chain: &'a Chain) -> Result<Self, String> {
        if index < PREAMBLE {
            return Err(format!("entry {index} is one of the first three of the log, which are no releases"));
        }
        let (start, later) =
            entries.split_at_checked(3).ok_or("the first three entries of the log are not all there")?;
        let (owner, mut identity, mut version) = preamble(log, start, chain)?;
        let mut at_release = version;
        let mut last = PREAMBLE - 1;
        for entry in later {
            let at = entry.index;
            if at <= last {
                return Err(format!("entry {at} stands after entry {last}"));
            }
            last = at;
            let envelope = entry.envelope.as_ref().map_err(|e| format!("entry {at}: {e}"))?;
            match Kind::of(envelope) {
                Kind::Charter => version = charter(at, envelope, version, chain)?,
                Kind::Identity if at < index => {
                    identity = identity.next(envelope).map_err(|e| format!("entry {at}: {e}"))?;
                }
                other => return Err(format!("entry {at}: a {} gives the release no authority", other.name())),
            }
            if at < index {
                at_release = version;
            }
        }
        let charter = chain.kept(at_release)?;
        if charter.charter.member(&owner).is_none() {
            return Err(format!("the owner of the log is no member as of charter {at_release}"));
        }
        // SPEC: a charter that pins a newer identity says so, also in a log that does not carry it.
        if let Some(pinned) = charter.identities.get(&owner).filter(|i| i.identity.version > identity.identity.version)
        {
            identity = pinned.clone();
        }
        Ok(Self { owner, identity, charter, witness: chain.kept(version)? })
    }
}

/// SPEC: every log starts with the newest identity, the writer, and a charter in which the member stands.
fn preamble(log: &PeerId, start: &[Entry], chain: &Chain) -> Result<(MemberId, VerifiedIdentity, u64), String> {
    let mut envelopes = Vec::new();
    for (entry, (index, kind)) in start.iter().zip((0..).zip([Kind::Identity, Kind::Writer, Kind::Charter])) {
        let envelope = entry.envelope.as_ref().map_err(|e| format!("entry {index}: {e}"))?;
        if entry.index != index || Kind::of(envelope) != kind {
            return Err(format!("entry {index} must be the {} with which the log starts", kind.name()));
        }
        envelopes.push(envelope);
    }
    let &[identity, writer, charter] = envelopes.as_slice() else { return Err("not three entries".to_owned()) };
    let content = Charter::parse(charter.payload()).map_err(|e| format!("entry 2: {e}"))?;
    let certified = chain.kept(content.version)?;
    if certified.hash != charter.id() {
        return Err(format!("entry 2 is not the certified charter {}", content.version));
    }
    let found = certified.writers.iter().find(|(_, w)| w.hash == writer.id() && w.writer.peer == *log);
    let (owner, _) = found.ok_or_else(|| format!("charter {} does not name {log} as a writer", content.version))?;
    let pinned = certified.identities.get(owner).filter(|i| i.hash == identity.id());
    let pinned = pinned.ok_or_else(|| format!("entry 0 is not the identity that charter {} pins", content.version))?;
    Ok((*owner, pinned.clone(), content.version))
}

/// The version of the charter in `envelope`, which must follow `version` and be the certified one.
fn charter(at: u64, envelope: &Envelope, version: u64, chain: &Chain) -> Result<u64, String> {
    let content = Charter::parse(envelope.payload()).map_err(|e| format!("entry {at}: {e}"))?;
    if content.version != version + 1 {
        return Err(format!("entry {at}: charter {} does not follow charter {version}", content.version));
    }
    if chain.hash(content.version) != Some(envelope.id()) {
        return Err(format!("entry {at} is not the certified charter {}", content.version));
    }
    Ok(content.version)
}

/// Counts the other voting members among the cosigners, by `charter`, each once.
pub(super) fn witnesses(charter: &Certified, owner: &MemberId, signed: &SignedCheckpoint) -> Witnessed {
    let others: BTreeSet<MemberId> = charter.charter.voting().into_iter().filter(|m| m != owner).collect();
    let cosigners = signed.witnesses().filter_map(|c| charter.member_of(&c.peer));
    let counted: BTreeSet<MemberId> = cosigners.filter(|m| others.contains(m)).collect();
    let twice = if crate::seeded::bug("provenance_counts_cosignatures") { signed.witnesses().count() } else { 0 };
    let handle = |m: &MemberId| charter.charter.member(m).map(|m| m.handle.clone());
    let mut by: Vec<_> = counted.iter().filter_map(handle).collect();
    by.sort();
    Witnessed {
        count: counted.len().max(twice),
        of: others.len(),
        needed: charter.charter.witnesses_needed().max(1),
        charter: charter.charter.version,
        by,
    }
}
