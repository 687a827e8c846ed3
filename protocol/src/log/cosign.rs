//! Cosignatures: a node's timestamped statement that it holds a checkpoint's leaves and that the log only grew.
//!
//! Owns the signed message and the signature line of C2SP `tlog-cosignature` v1 (type 0x04). The same statement by the log's
//! own node expresses freshness. Reads no clock: a time is judged by the caller. Never decides whether a node *may* cosign.

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError, PREFIX};
use super::note::{KEY_COSIGNATURE_V1, SignatureLine, key_id};
use crate::ids::PeerId;
use crate::keys::{self, SecretKey};
use crate::limits::COSIGNATURE_TIME_MAX_S;

/// Bytes of a timestamped signature: a 64-bit time and an Ed25519 signature.
const TIMESTAMPED_BYTES: usize = 8 + 64;

/// Why a cosignature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignError {
    /// The checkpoint itself is out of range.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The time is over [`COSIGNATURE_TIME_MAX_S`].
    #[error("time {0} s is over the limit of {COSIGNATURE_TIME_MAX_S} s")]
    Time(u64),
    /// The signature is not this node's over this checkpoint and time.
    #[error("the signature of {0} does not match")]
    Signature(PeerId),
}

/// A cosignature. Which checkpoint it belongs to must be known from where it came: it signs one, but does not contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cosignature {
    /// The node that signed.
    pub peer: PeerId,
    /// When it signed, in seconds since 1970-01-01T00:00Z; at most [`COSIGNATURE_TIME_MAX_S`].
    pub time_s: u64,
    /// Ed25519 signature; base64 in JSON, 64 bytes in bincode.
    #[serde(with = "sig64")]
    pub sig: [u8; 64],
}

/// The key name of a cosigner: `verbund.v1/node/<peer id>`.
pub fn cosigner_name(peer: PeerId) -> String {
    format!("{PREFIX}node/{peer}")
}

/// The node whose key name this is, if it is one.
pub fn cosigner_of(name: &str) -> Option<PeerId> {
    let peer: PeerId = name.strip_prefix(PREFIX)?.strip_prefix("node/")?.parse().ok()?;
    (cosigner_name(peer) == name).then_some(peer)
}

/// SPEC: tlog-cosignature, Ed25519 signed message: header line, time line, note text. The header keeps it apart from the log's own
/// signature, which the same key may make.
fn message(time_s: u64, checkpoint: &Checkpoint) -> String {
    format!("cosignature/v1\ntime {time_s}\n{}", checkpoint.to_body())
}

fn check_time(time_s: u64) -> Result<(), CosignError> {
    if time_s <= COSIGNATURE_TIME_MAX_S { Ok(()) } else { Err(CosignError::Time(time_s)) }
}

/// Cosigns `checkpoint` at `time_s`, seconds since 1970.
///
/// # Errors
/// [`CosignError::Time`] and [`CosignError::Checkpoint`] for values out of range, which nobody would accept.
pub fn sign_cosignature(key: &SecretKey, time_s: u64, checkpoint: &Checkpoint) -> Result<Cosignature, CosignError> {
    check_time(time_s)?;
    Checkpoint::new(checkpoint.origin, checkpoint.size, checkpoint.root)?;
    Ok(Cosignature { peer: key.peer(), time_s, sig: key.sign(message(time_s, checkpoint).as_bytes()) })
}

/// Checks that `cosignature` is over exactly this checkpoint.
///
/// # Errors
/// [`CosignError`] if the time is out of range or the signature does not match.
pub fn verify_cosignature(cosignature: &Cosignature, checkpoint: &Checkpoint) -> Result<(), CosignError> {
    check_time(cosignature.time_s)?;
    let message = message(cosignature.time_s, checkpoint);
    if keys::verify(&cosignature.peer.key(), message.as_bytes(), &cosignature.sig) {
        Ok(())
    } else {
        Err(CosignError::Signature(cosignature.peer))
    }
}

impl Cosignature {
    /// The key id of a node's cosigning key.
    pub fn key_id(peer: PeerId) -> [u8; 4] {
        key_id(&cosigner_name(peer), KEY_COSIGNATURE_V1, &peer.key())
    }

    /// The signature line that carries it.
    pub fn to_line(&self) -> SignatureLine {
        let mut signature = Vec::with_capacity(TIMESTAMPED_BYTES);
        signature.extend_from_slice(&self.time_s.to_be_bytes());
        signature.extend_from_slice(&self.sig);
        SignatureLine { name: cosigner_name(self.peer), key_id: Self::key_id(self.peer), signature }
    }

    /// Reads the bytes of a signature line that is known to be of `peer`'s cosigning key; unverified. `None` if they have another
    /// length.
    pub(super) fn from_bytes(peer: PeerId, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TIMESTAMPED_BYTES] = bytes.try_into().ok()?;
        let (time, sig) = bytes.split_first_chunk::<8>()?;
        Some(Self { peer, time_s: u64::from_be_bytes(*time), sig: sig.try_into().ok()? })
    }

    /// Whether this one takes the place of `other` of the same node: the newer one, and of two with one time the one with the
    /// greater bytes, so that merging does not depend on order.
    pub(super) fn supersedes(&self, other: &Self) -> bool {
        (self.time_s, self.sig) > (other.time_s, other.sig)
    }
}

/// 64 bytes: serde has no arrays over 32.
mod sig64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::{self, Deserializer};
    use serde::{Deserialize as _, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(sig: &[u8; 64], s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            return s.serialize_str(&STANDARD.encode(sig));
        }
        let (mut left, mut right) = ([0; 32], [0; 32]);
        left.copy_from_slice(&sig[..32]);
        right.copy_from_slice(&sig[32..]);
        (left, right).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 64], D::Error> {
        if d.is_human_readable() {
            let bytes = STANDARD.decode(String::deserialize(d)?).map_err(de::Error::custom)?;
            return bytes.try_into().map_err(|_| de::Error::custom("a signature has 64 bytes"));
        }
        let (left, right) = <([u8; 32], [u8; 32])>::deserialize(d)?;
        let mut sig = [0; 64];
        sig[..32].copy_from_slice(&left);
        sig[32..].copy_from_slice(&right);
        Ok(sig)
    }
}
