//! Signing keys and strict signature checks (Ed25519).
//!
//! Owns the only calls into the signature library. Keys reach this module as 32 secret bytes; where they lie is the node's
//! business. Checks use `verify_strict`: small-order keys and non-canonical signatures are refused, so that all nodes agree.

use ed25519_dalek::Signer as _;

use crate::ids::{PeerId, PublicKey};

/// A secret signing key. `Debug` shows the public half only.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// The key with this seed (RFC 8032 private key).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }
    /// The seed, for writing a key file.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
    /// The peer id of the node whose key this is.
    pub fn peer(&self) -> PeerId {
        PeerId(self.public())
    }
    /// Signs `message`. Deterministic (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

/// Whether `signature` is a valid Ed25519 signature by `key` over `message`, checked strictly.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(&key.0)
        .is_ok_and(|k| k.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
}
