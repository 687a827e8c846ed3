//! How a charter version is certified: k precommits of one round and k approvals, checked by themselves alone.
//!
//! Owns the counting. A certificate carries every identity and writer between those pinned in the charter before and those
//! whose keys signed, so that nothing but the charter before is needed to check it. It is never recounted later.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::chain::Chains;
pub use super::found::{Founder, found};
use super::rules::{Charter, RuleError};
pub use super::writer::VerifiedWriter;
use crate::codec::bounded;
use crate::documents::{Approval, CHARTER_TYPE, Change, Document, DocumentError, LogEnd, Ordering, VoteKind};
use crate::envelope::{Envelope, EnvelopeError};
use crate::identity::{IdentityError, VerifiedIdentity};
use crate::ids::{FederationId, MemberId, PeerId, Sha256};
use crate::limits::{CERTIFICATE_PARTS_MAX, LEAF_MAX_BYTES};

/// Why a certified charter was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The charter's content.
    #[error("{0}")]
    Rule(#[from] RuleError),
    /// An identity in the certificate.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// A document in the certificate.
    #[error("{0}")]
    Document(#[from] DocumentError),
    /// An envelope in the certificate.
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    /// The version does not follow the one before.
    #[error("the charter does not follow version {have}: {why}")]
    Follow {
        /// Version held.
        have: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// A writer does not follow, or is not signed by its member's root threshold.
    #[error("writer of {member}: {why}")]
    Writer {
        /// Whose.
        member: MemberId,
        /// What does not fit.
        why: &'static str,
    },
    /// The charter pins an identity or writer that the certificate does not carry.
    #[error("the {what} pinned for {member} is not in the certificate")]
    NotPinned {
        /// "identity" or "writer".
        what: &'static str,
        /// Whose.
        member: MemberId,
    },
    /// Two members list one node key. A node speaks for one member: its log, votes and cosignatures have one owner.
    #[error("node {node} of {member} is a node of another member too")]
    NodeTwice {
        /// The later one by id.
        member: MemberId,
        /// The node.
        node: PeerId,
    },
    /// Too few members approved.
    #[error("{got} of {needed} approvals")]
    Approvals {
        /// Members with a valid approval.
        got: usize,
        /// Quorum.
        needed: usize,
    },
    /// Too few members precommitted.
    #[error("{got} of {needed} precommits")]
    Precommits {
        /// Members with a valid precommit of the round.
        got: usize,
        /// Quorum.
        needed: usize,
    },
    /// More parts than a certificate ever needs.
    #[error("{0} parts are over the limit of {CERTIFICATE_PARTS_MAX}")]
    TooManyParts(usize),
}

/// A charter with its certificate, as it is sent, kept and handed out in proofs. All parts are envelope bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CharterBundle {
    /// The charter's payload.
    #[serde(deserialize_with = "bounded::blob::<_, LEAF_MAX_BYTES>")]
    pub payload: Vec<u8>,
    /// Identities, each after its predecessor.
    #[serde(deserialize_with = "bounded::envelopes::<_, CERTIFICATE_PARTS_MAX>")]
    pub identities: Vec<Vec<u8>>,
    /// Writers, each after its predecessor.
    #[serde(deserialize_with = "bounded::envelopes::<_, CERTIFICATE_PARTS_MAX>")]
    pub writers: Vec<Vec<u8>>,
    /// Approvals of the change.
    #[serde(deserialize_with = "bounded::envelopes::<_, CERTIFICATE_PARTS_MAX>")]
    pub approvals: Vec<Vec<u8>>,
    /// Precommits of one round.
    #[serde(deserialize_with = "bounded::envelopes::<_, CERTIFICATE_PARTS_MAX>")]
    pub precommits: Vec<Vec<u8>>,
}

impl CharterBundle {
    /// The envelope by which a log carries the charter: unsigned, because a charter is certified.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it does not fit a leaf.
    pub fn leaf(&self) -> Result<Envelope, EnvelopeError> {
        Envelope::sign(CHARTER_TYPE, self.payload.clone(), [])
    }
    /// SHA-256 of the charter's payload.
    pub fn hash(&self) -> Sha256 {
        Sha256::of(&self.payload)
    }
}

/// A charter that was checked, with what it pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The content.
    pub charter: Charter,
    /// SHA-256 of the payload.
    pub hash: Sha256,
    /// The federation.
    pub federation: FederationId,
    /// The identities that it pins, one for each member.
    pub identities: BTreeMap<MemberId, VerifiedIdentity>,
    /// The writers that it pins, one for each member.
    pub writers: BTreeMap<MemberId, VerifiedWriter>,
}

impl Certified {
    /// Checks a genesis.
    ///
    /// # Errors
    /// [`CertificateError`] naming what does not fit.
    pub fn genesis(bundle: &CharterBundle) -> Result<Self, CertificateError> {
        verify(None, bundle)
    }
    /// Checks the version that follows this one.
    ///
    /// # Errors
    /// [`CertificateError`] naming what does not fit.
    pub fn next(&self, bundle: &CharterBundle) -> Result<Self, CertificateError> {
        verify(Some(self), bundle)
    }
    /// Checks a proposal of the version that follows: all but the precommits. What passes is what members may vote for.
    ///
    /// # Errors
    /// [`CertificateError`] naming what does not fit.
    pub fn proposal(&self, bundle: &CharterBundle) -> Result<Self, CertificateError> {
        let checked = approved(Some(self), bundle)?;
        pin(checked.charter, checked.hash, checked.federation, &checked.known)
    }
    /// The node that writes for `member` as of this version.
    pub fn writer_of(&self, member: &MemberId) -> Option<PeerId> {
        self.writers.get(member).map(|w| w.writer.peer)
    }
    /// The member one of whose nodes `peer` is, by the identities pinned here.
    pub fn member_of(&self, peer: &PeerId) -> Option<MemberId> {
        self.identities.iter().find(|(_, id)| id.identity.has_node(peer)).map(|(member, _)| *member)
    }
}

fn verify(prev: Option<&Certified>, bundle: &CharterBundle) -> Result<Certified, CertificateError> {
    let checked = approved(prev, bundle)?;
    let majority = checked.voters.len() / 2 + 1;
    let needed = if crate::seeded::bug("simple_majority_of_votes") {
        majority
    } else {
        super::rules::quorum(checked.voters.len())
    };
    let got = precommits(prev, &checked.charter, checked.hash, bundle, &checked.known, &checked.voters)?;
    if got < needed {
        return Err(CertificateError::Precommits { got, needed });
    }
    pin(checked.charter, checked.hash, checked.federation, &checked.known)
}

/// A charter whose content and approvals were checked, and what its certificate refers to.
struct Approved {
    charter: Charter,
    hash: Sha256,
    federation: FederationId,
    known: Chains,
    voters: BTreeSet<MemberId>,
}

fn approved(prev: Option<&Certified>, bundle: &CharterBundle) -> Result<Approved, CertificateError> {
    let parts = bundle.identities.len() + bundle.writers.len() + bundle.approvals.len() + bundle.precommits.len();
    if parts > CERTIFICATE_PARTS_MAX {
        return Err(CertificateError::TooManyParts(parts));
    }
    let charter = Charter::parse(&bundle.payload)?;
    let hash = bundle.hash();
    let federation = follows(prev, &charter, hash)?;
    let mut known = Chains::new(prev);
    for identity in &bundle.identities {
        known.add_identity(identity)?;
    }
    for writer in &bundle.writers {
        known.add_writer(writer)?;
    }
    let voters: BTreeSet<_> = prev.map_or(&charter, |p| &p.charter).voting().into_iter().collect();
    let majority = voters.len() / 2 + 1;
    let needed =
        if crate::seeded::bug("simple_majority_of_approvals") { majority } else { super::rules::quorum(voters.len()) };
    let got = approvals(prev, &charter, federation, bundle, &known, &voters)?;
    if got + usize::from(crate::seeded::bug("one_approval_less")) < needed {
        return Err(CertificateError::Approvals { got, needed });
    }
    Ok(Approved { charter, hash, federation, known, voters })
}

/// The charter is exactly what its change makes of the one before.
fn follows(prev: Option<&Certified>, charter: &Charter, hash: Sha256) -> Result<FederationId, CertificateError> {
    let Some(prev) = prev else {
        if charter.version != 1 {
            return Err(CertificateError::Follow { have: 0, why: "the first charter is the genesis" });
        }
        return Ok(FederationId(hash.0));
    };
    let refuse = |why| Err(CertificateError::Follow { have: prev.charter.version, why });
    if charter.federation != Some(prev.federation) {
        return refuse("it is of another federation");
    }
    let Some(change) = &charter.change else { return refuse("it has no change") };
    if let Change::Expel { member } = change {
        check_stops(prev, member, &charter.stops)?;
    }
    let next = prev.charter.next(prev.hash, change, &charter.stops)?;
    if next != *charter && !crate::seeded::bug("charter_says_more") {
        return refuse("it says more than its change makes of the version before");
    }
    Ok(prev.federation)
}

/// An expulsion stops exactly the log of the member's pinned writer.
fn check_stops(prev: &Certified, member: &MemberId, stops: &[LogEnd]) -> Result<(), CertificateError> {
    let writer = prev.writer_of(member);
    if stops.len() != 1 || Some(stops[0].log) != writer {
        let why = "an expulsion stops exactly the log of the member's writer";
        return Err(CertificateError::Follow { have: prev.charter.version, why });
    }
    Ok(())
}

/// What the members approve: the change, or for a genesis the founder's own admission.
pub fn approved_change(charter: &Charter) -> Option<Change> {
    charter.change.clone().or_else(|| {
        let m = charter.members.first()?;
        let (member, handle, standing) = (m.member, m.handle.clone(), m.standing);
        Some(Change::Admit { member, handle, standing, identity: m.identity, writer: m.writer })
    })
}

fn approvals(
    prev: Option<&Certified>,
    charter: &Charter,
    federation: FederationId,
    bundle: &CharterBundle,
    known: &Chains,
    voters: &BTreeSet<MemberId>,
) -> Result<usize, CertificateError> {
    let change = approved_change(charter);
    let mut members = BTreeSet::new();
    for bytes in &bundle.approvals {
        let envelope = Envelope::parse(bytes)?;
        let approval = Approval::open(&envelope)?;
        let fits = approval.federation == federation
            && (approval.base_version == prev.map_or(0, |p| p.charter.version)
                || crate::seeded::bug("replay_approval"))
            && Some(&approval.change) == change.as_ref()
            && voters.contains(&approval.member);
        let by_member = known.approved_by(&approval.member, &envelope) || crate::seeded::bug("approval_unsigned");
        if fits && !members.contains(&approval.member) && by_member {
            members.insert(approval.member);
        }
    }
    Ok(members.len())
}

fn precommits(
    prev: Option<&Certified>,
    charter: &Charter,
    hash: Sha256,
    bundle: &CharterBundle,
    known: &Chains,
    voters: &BTreeSet<MemberId>,
) -> Result<usize, CertificateError> {
    // By round, so that no other message decides which of them count together.
    let mut rounds: BTreeMap<u32, BTreeSet<MemberId>> = BTreeMap::new();
    for bytes in &bundle.precommits {
        let envelope = Envelope::parse(bytes)?;
        let vote = Ordering::open(&envelope)?;
        let fits = vote.kind == VoteKind::Precommit
            && vote.height == charter.version
            // SPEC: the genesis is certified in round 0.
            && (prev.is_some() || vote.round == 0)
            && vote.federation == prev.map(|p| p.federation)
            && (vote.prev == prev.map(|p| p.hash) || crate::seeded::bug("forget_charter_parent"))
            && vote.value == Some(hash)
            && voters.contains(&vote.member);
        if fits && known.writes_for(&vote.member, vote.writer) && envelope.signed_by(&vote.writer.key()) {
            let round = if crate::seeded::bug("add_up_rounds") { 0 } else { vote.round };
            rounds.entry(round).or_default().insert(vote.member);
        }
    }
    Ok(rounds.values().map(BTreeSet::len).max().unwrap_or(0))
}

fn pin(
    charter: Charter,
    hash: Sha256,
    federation: FederationId,
    known: &Chains,
) -> Result<Certified, CertificateError> {
    let mut identities = BTreeMap::new();
    let mut writers = BTreeMap::new();
    let mut nodes = BTreeSet::new();
    for m in &charter.members {
        let member = m.member;
        let identity = known.identity(&member, &m.identity);
        let identity = identity.ok_or(CertificateError::NotPinned { what: "identity", member })?;
        let writer = known.writer(&member, &m.writer);
        let writer = writer.ok_or(CertificateError::NotPinned { what: "writer", member })?;
        if !identity.identity.has_node(&writer.writer.peer) {
            return Err(CertificateError::Writer { member, why: "its node is not among the identity's nodes" });
        }
        if let Some(node) = identity
            .identity
            .roles
            .nodes
            .iter()
            .find(|node| !nodes.insert(**node) && !crate::seeded::bug("node_of_two_members"))
        {
            return Err(CertificateError::NodeTwice { member, node: PeerId(*node) });
        }
        identities.insert(member, identity.clone());
        writers.insert(member, writer.clone());
    }
    Ok(Certified { charter, hash, federation, identities, writers })
}
