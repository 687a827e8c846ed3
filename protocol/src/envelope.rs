//! DSSE envelopes: how documents are signed, kept and counted.
//!
//! Owns the envelope's bytes and the counting of signatures against keys. What a payload means, and which keys may sign it, is
//! decided elsewhere. The bytes of a received envelope are kept as they came and never written anew.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::ids::{PublicKey, Sha256};
use crate::json::{self, JsonError};
use crate::keys::{self, SecretKey};
use crate::limits::{LEAF_MAX_BYTES, SIGNATURES_MAX};
use crate::words::quotable;

/// Signatures of one envelope that are checked before anybody asks: as many as thresholds commonly need. More would let a log make
/// its readers work for keys that nobody listed.
const CHECKED_MAX: usize = 2;

/// Why an envelope was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than a leaf of a log can be.
    #[error("envelope of {0} bytes is over the limit of {LEAF_MAX_BYTES}")]
    TooLong(usize),
    /// Not a JSON envelope.
    #[error("envelope: {0}")]
    Json(#[from] JsonError),
    /// The payload is not standard base64.
    #[error("envelope payload is not base64")]
    Base64,
    /// More signatures than any role has keys.
    #[error("{0} signatures are over the limit of {SIGNATURES_MAX}")]
    TooManySignatures(usize),
    /// The same key signed twice; a threshold counts keys, so the second adds nothing and hides intent.
    #[error("two signatures by one key id {0:?}")]
    DuplicateKeyId(String),
}

/// One signature of an envelope. `keyid` names algorithm and key (`ed25519:<hex>`); forms that are not known are kept, not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WireSignature {
    keyid: String,
    sig: String,
}

impl WireSignature {
    /// Whether it is one of `message` by `key`.
    fn is_by(&self, key: &PublicKey, message: &[u8]) -> bool {
        let signature: Option<[u8; 64]> = STANDARD.decode(&self.sig).ok().and_then(|bytes| bytes.try_into().ok());
        signature.is_some_and(|signature| keys::verify(key, message, &signature))
    }
}

/// SPEC: DSSE envelope, JSON form.
#[derive(Debug, Serialize, Deserialize)]
struct WireEnvelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WireSignature>,
}

/// A signed document: its bytes as they are kept, and their parts.
#[derive(Clone)]
pub struct Envelope {
    bytes: Vec<u8>,
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<WireSignature>,
    /// Which of the signatures were found to be by the key that they name; fewer than there are if they were not looked at yet.
    checked: Vec<bool>,
}

/// Everything else follows from the bytes.
impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
impl Eq for Envelope {}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Envelope({}, {}, {} signatures)", self.payload_type, self.id(), self.signatures.len())
    }
}

impl Envelope {
    /// Reads an envelope; says nothing yet about who signed it.
    ///
    /// # Errors
    /// [`EnvelopeError`] for anything over a leaf's length, malformed, or with doubled key ids.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > LEAF_MAX_BYTES {
            return Err(EnvelopeError::TooLong(bytes.len()));
        }
        let wire: WireEnvelope = json::parse_as(bytes)?;
        if wire.signatures.len() > SIGNATURES_MAX {
            return Err(EnvelopeError::TooManySignatures(wire.signatures.len()));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = wire.signatures.iter().find(|s| !seen.insert(s.keyid.as_str())) {
            return Err(EnvelopeError::DuplicateKeyId(quotable(&twice.keyid)));
        }
        let payload = STANDARD.decode(&wire.payload).map_err(|_| EnvelopeError::Base64)?;
        let (payload_type, signatures) = (wire.payload_type, wire.signatures);
        Ok(Self { bytes: bytes.to_vec(), payload_type, payload, signatures, checked: Vec::new() })
    }

    /// The same envelope, its first signatures checked against the keys that they name, so that [`Self::signers`] need not do it.
    /// Says nothing about whether these keys may sign.
    #[must_use]
    pub fn checked(mut self) -> Self {
        let message = pae(&self.payload_type, &self.payload);
        let valid = |s: &WireSignature| s.keyid.parse::<PublicKey>().is_ok_and(|key| s.is_by(&key, &message));
        self.checked = self.signatures.iter().take(CHECKED_MAX).map(valid).collect();
        self
    }

    /// An envelope around `payload`, signed by each of `keys` (none for a document that is signed later or certified otherwise).
    ///
    /// # Errors
    /// [`EnvelopeError::TooLong`] if it would not fit a leaf, [`EnvelopeError::DuplicateKeyId`] for doubled keys.
    pub fn sign<'a>(
        payload_type: &str,
        payload: Vec<u8>,
        keys: impl IntoIterator<Item = &'a SecretKey>,
    ) -> Result<Self, EnvelopeError> {
        let message = pae(payload_type, &payload);
        let signatures = keys
            .into_iter()
            .map(|k| WireSignature { keyid: k.public().to_string(), sig: STANDARD.encode(k.sign(&message)) })
            .collect();
        Self::assemble(payload_type, payload, signatures)
    }

    /// This envelope with one more signature.
    ///
    /// # Errors
    /// As [`Envelope::sign`].
    pub fn with_signature(&self, key: &SecretKey) -> Result<Self, EnvelopeError> {
        let mut signatures = self.signatures.clone();
        let message = pae(&self.payload_type, &self.payload);
        signatures.push(WireSignature { keyid: key.public().to_string(), sig: STANDARD.encode(key.sign(&message)) });
        Self::assemble(&self.payload_type, self.payload.clone(), signatures)
    }

    fn assemble(payload_type: &str, payload: Vec<u8>, signatures: Vec<WireSignature>) -> Result<Self, EnvelopeError> {
        let wire =
            WireEnvelope { payload: STANDARD.encode(payload), payload_type: payload_type.to_owned(), signatures };
        let bytes = serde_json::to_vec(&wire).map_err(|e| JsonError::Shape(e.to_string()))?;
        Self::parse(&bytes)
    }

    /// The envelope's bytes, as received or made.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// The bytes, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
    /// The media type of the payload, which is signed with it.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }
    /// The signed bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
    /// The document's id: SHA-256 of the payload. Signatures do not change it.
    pub fn id(&self) -> Sha256 {
        Sha256::of(&self.payload)
    }
    /// Whether nobody signed it.
    pub fn is_unsigned(&self) -> bool {
        self.signatures.is_empty()
    }

    /// Those of `keys` that validly signed this envelope. A threshold counts the members of this set: distinct public keys.
    pub fn signers<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> BTreeSet<PublicKey> {
        let message = OnceCell::new();
        let message = || message.get_or_init(|| pae(&self.payload_type, &self.payload));
        keys.into_iter()
            .filter(|key| {
                let keyid = key.to_string();
                let known = self.checked.iter().copied().chain(std::iter::repeat(false));
                let mut named = self.signatures.iter().zip(known).filter(|(s, _)| s.keyid == keyid);
                named.any(|(s, known)| known || s.is_by(key, message()))
            })
            .copied()
            .collect()
    }

    /// How many signatures are by one of `keys`, each counted: what a threshold must not count. Only a seeded bug asks.
    pub(crate) fn lines_by(&self, keys: &[PublicKey]) -> usize {
        let message = pae(&self.payload_type, &self.payload);
        self.signatures.iter().filter(|s| keys.iter().any(|key| s.is_by(key, &message))).count()
    }

    /// Whether `key` alone validly signed it.
    pub fn signed_by(&self, key: &PublicKey) -> bool {
        !self.signers([key]).is_empty()
    }
}

/// SPEC: DSSE pre-authentication encoding, `"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }

    #[test]
    fn pae_is_that_of_the_dsse_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_threshold_counts_keys_not_signatures() {
        let signed = Envelope::sign("t", b"{}".to_vec(), [&key(1), &key(2)]).unwrap();
        let keys = [key(1).public(), key(2).public(), key(3).public()];
        assert_eq!(signed.signers(&keys).len(), 2);
        assert_eq!(signed.with_signature(&key(2)), Err(EnvelopeError::DuplicateKeyId(key(2).public().to_string())));
        // One key's signature under two key ids counts once, under its own.
        let text = String::from_utf8(signed.bytes().to_vec()).unwrap();
        let renamed = text.replace(&key(2).public().to_string(), &key(3).public().to_string());
        let renamed = Envelope::parse(renamed.as_bytes()).unwrap();
        assert_eq!(renamed.signers(&keys), BTreeSet::from([key(1).public()]));
        assert_eq!(renamed.id(), signed.id());
    }

    #[test]
    fn the_payload_type_is_signed() {
        let signed = Envelope::sign("application/a", b"{}".to_vec(), [&key(1)]).unwrap();
        let other = String::from_utf8(signed.bytes().to_vec()).unwrap().replace("application/a", "application/b");
        assert!(!Envelope::parse(other.as_bytes()).unwrap().signed_by(&key(1).public()));
        assert!(signed.signed_by(&key(1).public()));
    }

    #[test]
    fn refuses_malformed_envelopes() {
        assert!(matches!(Envelope::parse(&[b' '; LEAF_MAX_BYTES + 1]), Err(EnvelopeError::TooLong(_))));
        assert!(matches!(Envelope::parse(b"{}"), Err(EnvelopeError::Json(_))));
        let bad = br#"{"payload":"***","payloadType":"t","signatures":[]}"#;
        assert_eq!(Envelope::parse(bad), Err(EnvelopeError::Base64));
        let many: Vec<_> = (0..17).map(key).collect();
        assert_eq!(Envelope::sign("t", vec![], &many), Err(EnvelopeError::TooManySignatures(17)));
    }
}
