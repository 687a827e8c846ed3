//! Writers in their chains: which node writes a member's log, and which did before.
//!
//! Owns when one writer follows another. Which of them counts is said by the charter that pins it.

use super::certificate::CertificateError;
use crate::documents::{Document, Writer};
use crate::envelope::Envelope;
use crate::identity::VerifiedIdentity;
use crate::ids::{FederationId, Sha256};

/// A writer document whose place in its chain was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedWriter {
    /// Its content.
    pub writer: Writer,
    /// SHA-256 of its payload.
    pub hash: Sha256,
}

impl VerifiedWriter {
    /// Checks `envelope` as the writer that follows `before`, of the member whose identities are `identities`: one of them lists
    /// its node, and the root threshold of that one signed it.
    ///
    /// `federation` is `None` for the founder's writer in the genesis alone.
    ///
    /// # Errors
    /// [`CertificateError`] naming what does not fit.
    pub fn check(
        envelope: &Envelope,
        federation: Option<FederationId>,
        identities: &[VerifiedIdentity],
        before: Option<&Self>,
    ) -> Result<Self, CertificateError> {
        let writer = Writer::open(envelope)?;
        let refuse = |why| Err(CertificateError::Writer { member: writer.member, why });
        if identities.iter().any(|identity| writer.member != identity.member) {
            return refuse("names another member");
        }
        if writer.federation != federation {
            return refuse("names another federation");
        }
        if writer.seq != before.map_or(1, |b| b.writer.seq + 1) || writer.prev != before.map(|b| b.hash) {
            return refuse("does not follow the writer before");
        }
        if writer.closes.is_some_and(|end| Some(end.log) != before.map(|b| b.writer.peer)) {
            return refuse("closes another log than its predecessor's");
        }
        if before.is_some_and(|b| b.writer.peer == writer.peer) {
            // The log of a node has one name: the new log would be the one that this writer closes.
            return refuse("names the node whose log it closes");
        }
        let mut listing = identities.iter().filter(|i| i.identity.has_node(&writer.peer)).peekable();
        if listing.peek().is_none() {
            return refuse("its node is not among the identity's nodes");
        }
        if !listing.any(|i| i.identity.roles.root.signed(envelope)) {
            return refuse("not signed by the root threshold");
        }
        Ok(Self { writer, hash: envelope.id() })
    }
}
