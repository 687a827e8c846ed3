//! Founding: the genesis, certified by its founder alone.

use super::certificate::{CertificateError, Certified, CharterBundle, approved_change};
use super::rules::Charter;
use crate::documents::{Approval, Document, Ordering, Standing, VoteKind};
use crate::envelope::Envelope;
use crate::ids::{FederationId, Sha256};
use crate::keys::SecretKey;

/// Keys and documents by which a founder certifies a genesis alone.
pub struct Founder<'a> {
    /// The founder's identity chain, as envelopes.
    pub identities: &'a [Envelope],
    /// The founder's first writer, which names no federation.
    pub writer: &'a Envelope,
    /// Approver keys, at least the threshold.
    pub approver: &'a [&'a SecretKey],
    /// The node key of the writer.
    pub node: &'a SecretKey,
}

/// Founds a federation: the genesis with the founder's approval and round-0 precommit.
///
/// # Errors
/// [`CertificateError`] if the result would not be accepted by others.
pub fn found(charter: &Charter, founder: &Founder<'_>) -> Result<(CharterBundle, Certified), CertificateError> {
    let payload = charter.payload()?;
    let hash = Sha256::of(&payload);
    let refused = CertificateError::Follow { have: 0, why: "a genesis has one voting member" };
    let member = charter.members.first().filter(|m| m.standing == Standing::Full).ok_or(refused.clone())?.member;
    let change = approved_change(charter).ok_or(refused)?;
    let approval = Approval { federation: FederationId(hash.0), member, base_version: 0, change };
    let precommit = Ordering {
        federation: None,
        prev: None,
        height: 1,
        round: 0,
        kind: VoteKind::Precommit,
        value: Some(hash),
        pol_round: None,
        member,
        writer: founder.node.peer(),
    };
    let bundle = CharterBundle {
        payload,
        identities: founder.identities.iter().map(|e| e.bytes().to_vec()).collect(),
        writers: vec![founder.writer.bytes().to_vec()],
        approvals: vec![approval.seal(founder.approver)?.into_bytes()],
        precommits: vec![precommit.seal(&[founder.node])?.into_bytes()],
    };
    let certified = Certified::genesis(&bundle)?;
    Ok((bundle, certified))
}
