//! Identities and writers in their chains, from those that a charter pins to whatever follows them.
//!
//! Owns which keys may speak for a member after a charter: those pinned, and those of every version that follows. A longer chain
//! never takes a signature's weight away, so that neither the order in which rotations and votes arrive nor what else a
//! certificate carries decides what counts. Once a charter pins a newer version, the older keys are nobody's.

use std::collections::BTreeMap;

use super::certificate::{CertificateError, Certified};
use super::writer::VerifiedWriter;
use crate::documents::{Document, Writer};
use crate::envelope::Envelope;
use crate::identity::{Identity, VerifiedIdentity};
use crate::ids::{FederationId, MemberId, PeerId, Sha256};

/// Chains by member, each from the pinned version on; of a newcomer, from its first.
#[derive(Debug, Clone, Default)]
pub struct Chains {
    federation: Option<FederationId>,
    identities: BTreeMap<MemberId, Vec<VerifiedIdentity>>,
    writers: BTreeMap<MemberId, Vec<VerifiedWriter>>,
}

impl Chains {
    /// Those that `charter` pins; none before the genesis.
    pub fn new(charter: Option<&Certified>) -> Self {
        let Some(charter) = charter else { return Self::default() };
        Self {
            federation: Some(charter.federation),
            identities: charter.identities.iter().map(|(member, i)| (*member, vec![i.clone()])).collect(),
            writers: charter.writers.iter().map(|(member, w)| (*member, vec![w.clone()])).collect(),
        }
    }

    /// Adds the identity that follows the newest one of its member, or the first one of a member that is not known yet.
    ///
    /// # Errors
    /// [`CertificateError`] if it is malformed or does not follow.
    pub fn add_identity(&mut self, bytes: &[u8]) -> Result<(), CertificateError> {
        let envelope = Envelope::parse(bytes)?;
        let member = Identity::parse(&envelope)?.member_id(envelope.id());
        let next = match self.identities.get(&member).and_then(|chain| chain.last()) {
            Some(before) => before.next(&envelope)?,
            None => VerifiedIdentity::first(&envelope)?,
        };
        self.identities.entry(member).or_default().push(next);
        Ok(())
    }

    /// Adds the writer that follows the newest one of its member, or its first.
    ///
    /// # Errors
    /// [`CertificateError`] if it is malformed, does not follow, or its member has no identity here.
    pub fn add_writer(&mut self, bytes: &[u8]) -> Result<(), CertificateError> {
        let envelope = Envelope::parse(bytes)?;
        let member = Writer::open(&envelope)?.member;
        let refused = CertificateError::Writer { member, why: "has no identity in the certificate" };
        let identities = self.identities.get(&member).ok_or(refused)?;
        let before = self.writers.get(&member).and_then(|chain| chain.last());
        let next = VerifiedWriter::check(&envelope, self.federation, identities, before)?;
        self.writers.entry(member).or_default().push(next);
        Ok(())
    }

    /// Adds whatever follows, in the order given, and passes over the rest. Returns what was added: identities, then writers.
    pub fn extend<'a>(
        &mut self,
        identities: impl IntoIterator<Item = &'a Vec<u8>>,
        writers: impl IntoIterator<Item = &'a Vec<u8>>,
    ) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let identities = identities.into_iter().filter(|bytes| self.add_identity(bytes).is_ok()).cloned().collect();
        let writers = writers.into_iter().filter(|bytes| self.add_writer(bytes).is_ok()).cloned().collect();
        (identities, writers)
    }

    /// Whether the approver threshold of one of the member's identities signed `envelope`.
    pub fn approved_by(&self, member: &MemberId, envelope: &Envelope) -> bool {
        let mut chain = self.identities.get(member).into_iter().flatten();
        chain.any(|i| i.identity.roles.approver.signed(envelope))
    }

    /// Whether one of the member's writers names `node`: a new writer's votes and its predecessor's are votes of one member.
    pub fn writes_for(&self, member: &MemberId, node: PeerId) -> bool {
        self.writers.get(member).into_iter().flatten().any(|w| w.writer.peer == node)
    }

    /// The member's identity with this hash.
    pub fn identity(&self, member: &MemberId, hash: &Sha256) -> Option<&VerifiedIdentity> {
        self.identities.get(member)?.iter().find(|i| i.hash == *hash)
    }

    /// The member's writer with this hash.
    pub fn writer(&self, member: &MemberId, hash: &Sha256) -> Option<&VerifiedWriter> {
        self.writers.get(member)?.iter().find(|w| w.hash == *hash)
    }
}
