//! A member's identity: who it is and which keys act for it in which role.
//!
//! Owns the identity document, the rule by which one version follows another, and chains of them. An identity names no
//! federation: one member uses the same identity in all of its federations.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::ids::{Handle, MemberId, PeerId, PublicKey, Sha256, Slug};
use crate::json::{self, JsonError};
use crate::keys::SecretKey;
use crate::limits::{IDENTITY_CHAIN_MAX, NAMES_MAX, ROLE_KEYS_MAX, TEXT_MAX_CHARS};
use crate::words::quotable;

/// Payload type of an identity envelope.
pub const IDENTITY_TYPE: &str = "application/vnd.verbund.identity.v1+json";

/// Why an identity, or a chain of them, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The envelope holds another kind of document.
    #[error("not an identity but {0:?}")]
    Type(String),
    /// The payload is malformed.
    #[error("identity: {0}")]
    Json(#[from] JsonError),
    /// A key stands in two roles, or twice in one.
    #[error("key {0} is listed twice")]
    KeyTwice(PublicKey),
    /// A role has no keys, too many, or a threshold that cannot be met.
    #[error("role {role}: {keys} keys with threshold {threshold} (1 ≤ threshold ≤ keys ≤ {ROLE_KEYS_MAX})")]
    Threshold {
        /// Name of the role.
        role: &'static str,
        /// Keys listed.
        keys: usize,
        /// Threshold named.
        threshold: u32,
    },
    /// A text is empty, too long, or has control characters.
    #[error("{0} is empty, longer than {TEXT_MAX_CHARS} characters or has control characters")]
    Text(&'static str),
    /// `version`, `member` and `prev` do not follow from the version before.
    #[error("version {version} does not follow: {why}")]
    Follow {
        /// The version refused.
        version: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// Fewer root keys than the threshold signed, of this version or of the one before.
    #[error("version {version} is signed by {got} of the {needed} root keys that {whose} requires")]
    Unsigned {
        /// The version refused.
        version: u64,
        /// Distinct root keys that signed.
        got: usize,
        /// Threshold.
        needed: u32,
        /// "it" or "its predecessor".
        whose: &'static str,
    },
    /// A chain has no versions or too many.
    #[error("a chain of {0} identities (1 to {IDENTITY_CHAIN_MAX} are allowed)")]
    ChainLength(usize),
}

/// Keys of a role, and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Distinct keys.
    pub keys: Vec<PublicKey>,
    /// Distinct keys that must sign, at least 1.
    pub threshold: u32,
}

impl Role {
    /// Whether enough of this role's keys signed `envelope`.
    pub fn signed(&self, envelope: &Envelope) -> bool {
        self.count(envelope) >= self.threshold as usize
    }
    fn count(&self, envelope: &Envelope) -> usize {
        if crate::seeded::bug("count_signatures") {
            return envelope.lines_by(&self.keys);
        }
        envelope.signers(&self.keys).len()
    }
}

/// Keys that publish, and for which of them only some processes are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublisherRole {
    /// Distinct keys.
    pub keys: Vec<PublicKey>,
    /// Distinct keys that must sign, at least 1.
    pub threshold: u32,
    /// Keys named here may sign for these slugs only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slugs: BTreeMap<PublicKey, BTreeSet<Slug>>,
}

impl PublisherRole {
    /// Whether enough keys that may publish `slug` signed `envelope`.
    pub fn signed(&self, envelope: &Envelope, slug: &Slug) -> bool {
        let allowed = self.keys.iter().filter(|key| {
            crate::seeded::bug("publisher_of_any_slug") || self.slugs.get(key).is_none_or(|slugs| slugs.contains(slug))
        });
        envelope.signers(allowed).len() >= self.threshold as usize
    }
}

/// All roles of a member. No key stands in two of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// Signs identities and writers. Belongs offline.
    pub root: Role,
    /// Signs requests, approvals, adoptions, leaving.
    pub approver: Role,
    /// Signs releases and what is said about them.
    pub publisher: PublisherRole,
    /// Node keys; one signature of one node suffices for what nodes sign.
    pub nodes: Vec<PublicKey>,
}

/// The payload of an identity document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// 1, then the version before plus one.
    pub version: u64,
    /// The member; absent in version 1, whose payload's hash it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// SHA-256 of the payload of the version before; absent in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Sha256>,
    /// The handle that the member asks for. A charter binds it.
    pub handle: Handle,
    /// Display names by language (`de`, `en`), at least one.
    pub names: BTreeMap<String, String>,
    /// Amtlicher Gemeindeschlüssel of the area, 2 to 8 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ags: Option<String>,
    /// Functional contact, no personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Day until which the member means to renew it (`YYYY-MM-DD`). Warns only: clocks never invalidate logged entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// Keys by role.
    pub roles: Roles,
}

impl Identity {
    /// Reads and checks an identity by itself; its signatures are checked by [`VerifiedIdentity`].
    ///
    /// # Errors
    /// [`IdentityError`] naming the rule.
    pub fn parse(envelope: &Envelope) -> Result<Self, IdentityError> {
        if envelope.payload_type() != IDENTITY_TYPE {
            return Err(IdentityError::Type(quotable(envelope.payload_type())));
        }
        let identity: Self = json::parse_as(envelope.payload())?;
        identity.check()?;
        Ok(identity)
    }

    /// The display name: German, else the first.
    pub fn name(&self) -> &str {
        self.names.get("de").or_else(|| self.names.values().next()).map_or("", String::as_str)
    }

    /// The member that a document with this content and payload hash speaks of.
    pub fn member_id(&self, payload: Sha256) -> MemberId {
        self.member.unwrap_or(MemberId(payload.0))
    }

    /// Whether `peer` is a node of the member.
    pub fn has_node(&self, peer: &PeerId) -> bool {
        self.roles.nodes.contains(&peer.key())
    }

    /// Signs this identity with root keys.
    ///
    /// # Errors
    /// [`IdentityError`] if the content breaks a rule.
    pub fn seal(&self, keys: &[&SecretKey]) -> Result<Envelope, IdentityError> {
        self.check()?;
        let payload = json::to_canonical(self)?;
        Envelope::sign(IDENTITY_TYPE, payload, keys.iter().copied())
            .map_err(|e| IdentityError::Json(JsonError::Shape(e.to_string())))
    }

    fn check(&self) -> Result<(), IdentityError> {
        let roles = &self.roles;
        let thresholds = [
            ("root", roles.root.keys.len(), roles.root.threshold),
            ("approver", roles.approver.keys.len(), roles.approver.threshold),
            ("publisher", roles.publisher.keys.len(), roles.publisher.threshold),
            ("nodes", roles.nodes.len(), 1),
        ];
        for (role, keys, threshold) in thresholds {
            if threshold == 0 || threshold as usize > keys || keys > ROLE_KEYS_MAX {
                return Err(IdentityError::Threshold { role, keys, threshold });
            }
        }
        let mut seen = BTreeSet::new();
        let all = [&roles.root.keys, &roles.approver.keys, &roles.publisher.keys, &roles.nodes];
        for key in all.into_iter().flatten() {
            if !seen.insert(key) {
                return Err(IdentityError::KeyTwice(*key));
            }
        }
        let plain = |t: &str| !t.is_empty() && t.chars().count() <= TEXT_MAX_CHARS && !t.chars().any(char::is_control);
        if self.names.is_empty()
            || self.names.len() > NAMES_MAX
            || !self.names.iter().all(|(l, n)| plain(l) && plain(n))
        {
            return Err(IdentityError::Text("names"));
        }
        if self.contact.as_deref().is_some_and(|t| !plain(t)) {
            return Err(IdentityError::Text("contact"));
        }
        if self.valid_until.as_deref().is_some_and(|t| !plain(t)) {
            return Err(IdentityError::Text("valid_until"));
        }
        if self.ags.as_deref().is_some_and(|t| !(2..=8).contains(&t.len()) || !t.bytes().all(|b| b.is_ascii_digit())) {
            return Err(IdentityError::Text("ags"));
        }
        Ok(())
    }
}

/// An identity whose whole history up to it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedIdentity {
    /// Its content.
    pub identity: Identity,
    /// Whose it is.
    pub member: MemberId,
    /// SHA-256 of its payload.
    pub hash: Sha256,
}

impl VerifiedIdentity {
    /// Checks a first version.
    ///
    /// # Errors
    /// [`IdentityError`] naming the rule.
    pub fn first(envelope: &Envelope) -> Result<Self, IdentityError> {
        let identity = Identity::parse(envelope)?;
        let refuse = |why| Err(IdentityError::Follow { version: identity.version, why });
        if identity.version != 1 {
            return refuse("a chain starts with version 1");
        }
        if identity.member.is_some() || identity.prev.is_some() {
            return refuse("version 1 names neither member nor prev");
        }
        root_signed(&identity, &identity.roles.root, envelope, "it")?;
        let hash = envelope.id();
        Ok(Self { member: MemberId(hash.0), identity, hash })
    }

    /// Checks the version that follows this one: signed by the root threshold of both.
    ///
    /// # Errors
    /// [`IdentityError`] naming the rule.
    pub fn next(&self, envelope: &Envelope) -> Result<Self, IdentityError> {
        let identity = Identity::parse(envelope)?;
        let refuse = |why| Err(IdentityError::Follow { version: identity.version, why });
        if Some(identity.version) != self.identity.version.checked_add(1) {
            return refuse("it is not the version before plus one");
        }
        if identity.member != Some(self.member) {
            return refuse("it names another member");
        }
        if identity.prev != Some(self.hash) && !crate::seeded::bug("forget_identity_parent") {
            return refuse("prev is not the hash of the version before");
        }
        if identity.version > IDENTITY_CHAIN_MAX as u64 {
            return Err(IdentityError::ChainLength(usize::try_from(identity.version).unwrap_or(usize::MAX)));
        }
        if !crate::seeded::bug("rotate_without_old_root") {
            root_signed(&identity, &self.identity.roles.root, envelope, "its predecessor")?;
        }
        root_signed(&identity, &identity.roles.root, envelope, "it")?;
        Ok(Self { member: self.member, identity, hash: envelope.id() })
    }

    /// An identity that was checked before it was stored; its signatures are not checked again.
    ///
    /// # Errors
    /// [`IdentityError`] if the bytes are not an identity at all.
    pub(crate) fn stored(envelope: &Envelope) -> Result<Self, IdentityError> {
        let identity = Identity::parse(envelope)?;
        let hash = envelope.id();
        Ok(Self { member: identity.member_id(hash), identity, hash })
    }

    /// Checks a whole chain from version 1 on.
    ///
    /// # Errors
    /// [`IdentityError`] of the first version that does not follow.
    pub fn chain<'a>(envelopes: impl IntoIterator<Item = &'a Envelope>) -> Result<Self, IdentityError> {
        let mut envelopes = envelopes.into_iter();
        let first = envelopes.next().ok_or(IdentityError::ChainLength(0))?;
        let mut newest = Self::first(first)?;
        for (n, envelope) in envelopes.enumerate() {
            if n + 2 > IDENTITY_CHAIN_MAX {
                return Err(IdentityError::ChainLength(n + 2));
            }
            newest = newest.next(envelope)?;
        }
        Ok(newest)
    }
}

fn root_signed(
    identity: &Identity,
    root: &Role,
    envelope: &Envelope,
    whose: &'static str,
) -> Result<(), IdentityError> {
    let got = root.count(envelope);
    if got < root.threshold as usize {
        return Err(IdentityError::Unsigned { version: identity.version, got, needed: root.threshold, whose });
    }
    Ok(())
}

/// The fingerprint that people read to each other over the phone: 8 groups of 5 digits.
///
/// Each group is 16 bits of the hash in decimal, so that the 8 groups carry 128 bits: enough against a second preimage.
pub fn fingerprint(hash: &[u8; 32]) -> String {
    hash.chunks_exact(2)
        .take(8)
        .map(|pair| format!("{:05}", u16::from_be_bytes([pair[0], pair[1]])))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
