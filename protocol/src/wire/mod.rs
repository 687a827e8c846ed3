//! What nodes say to each other: gossip, sync, join. Encoded by [`crate::codec`]; signed parts inside stay the bytes they were.
//!
//! Owns the message types and their bounds. Variants are appended, never changed; the version stands outside of the body, and a
//! node that does not know a variant answers "unsupported" or ignores the message.

pub mod join;
pub mod sync;
#[cfg(test)]
mod tests;
pub mod ticket;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::codec::{self, CodecError, bounded};
use crate::ids::{FederationId, PeerId, Sha256};
use crate::keys::{self, SecretKey};
use crate::limits::{
    ANSWER_PARTS_MAX, ENTRIES_MAX, HOLDINGS_LOGS_MAX, HOLDINGS_MISSING_MAX, LEAF_MAX_BYTES, NOTE_MAX_BYTES,
};
use crate::log::{Cosignature, ForkProof};
use crate::record::OrderingBundle;

/// Version of the messages here. Each frame names the one that it is written in.
pub const PROTOCOL_VERSION: u32 = 1;

/// What every frame starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame<T> {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub version: u32,
    /// The federation; a message of another one is refused.
    pub federation: FederationId,
    /// The message.
    pub body: T,
}

/// Why a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not a frame.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// Of another federation.
    #[error("a message of another federation: {0}")]
    Federation(FederationId),
    /// Of a version that is not spoken here.
    #[error("protocol version {0}, where {PROTOCOL_VERSION} is spoken")]
    Version(u32),
}

/// Encodes `body` in a frame.
///
/// # Errors
/// [`CodecError`] if it cannot be encoded.
pub fn encode<T: Serialize>(federation: FederationId, body: T) -> Result<Vec<u8>, CodecError> {
    codec::encode(&Frame { version: PROTOCOL_VERSION, federation, body })
}

/// Decodes a frame of `federation`.
///
/// # Errors
/// [`FrameError`] for anything malformed, over `max_bytes`, of another federation or version.
pub fn decode<T: DeserializeOwned>(federation: FederationId, bytes: &[u8], max_bytes: usize) -> Result<T, FrameError> {
    // The version is judged first: what follows it may have another form.
    let (version, rest) = codec::decode_first::<u32>(bytes, max_bytes)?;
    if version != PROTOCOL_VERSION {
        return Err(FrameError::Version(version));
    }
    let (named, body) = codec::decode_first::<FederationId>(rest, max_bytes)?;
    if named != federation {
        return Err(FrameError::Federation(named));
    }
    Ok(codec::decode(body, max_bytes)?)
}

/// A gossip message: a hint that saves a poll. Everything in it can be had by sync too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gossip {
    /// A log grew: its note, and the entries from `first` up to the note's size, or none if they are too long.
    Log {
        /// The log.
        log: PeerId,
        /// The signed checkpoint.
        #[serde(deserialize_with = "bounded::blob::<_, NOTE_MAX_BYTES>")]
        note: Vec<u8>,
        /// Index of the first leaf here.
        first: u64,
        /// Leaves.
        #[serde(deserialize_with = "bounded::leaves::<_, ENTRIES_MAX>")]
        leaves: Vec<Vec<u8>>,
    },
    /// A cosignature; by the log's own node it states freshness.
    Cosigned {
        /// The log.
        log: PeerId,
        /// Size of the checkpoint.
        size: u64,
        /// Its root.
        root: Sha256,
        /// The signature.
        cosignature: Cosignature,
    },
    /// An approval or a node_info.
    Document(#[serde(deserialize_with = "bounded::blob::<_, LEAF_MAX_BYTES>")] Vec<u8>),
    /// Ordering messages: one, with what its receivers need.
    Ordering(#[serde(deserialize_with = "bounded::list::<_, _, ANSWER_PARTS_MAX>")] Vec<OrderingBundle>),
    /// What a node holds.
    Holdings(SignedHoldings),
    /// A charter was certified; it can be had from the sender.
    Charter {
        /// Its version.
        version: u64,
        /// Its hash.
        hash: Sha256,
    },
    /// A log has forked.
    Fork(ForkProof),
}

/// Which releases a node holds, log by log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holdings {
    /// Ascending by log; at most [`HOLDINGS_LOGS_MAX`].
    #[serde(deserialize_with = "bounded::list::<_, _, HOLDINGS_LOGS_MAX>")]
    pub logs: Vec<LogHoldings>,
}

/// Which releases of one log a node holds: all below `below` but the missing ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHoldings {
    /// The log.
    pub log: PeerId,
    /// No release at this index or later is held.
    pub below: u64,
    /// Releases below that are not held, ascending; at most [`HOLDINGS_MISSING_MAX`].
    #[serde(deserialize_with = "bounded::list::<_, _, HOLDINGS_MISSING_MAX>")]
    pub missing: Vec<u64>,
}

impl Holdings {
    /// Whether the release at `index` of `log` is held.
    pub fn has(&self, log: &PeerId, index: u64) -> bool {
        self.logs.iter().any(|l| l.log == *log && index < l.below && l.missing.binary_search(&index).is_err())
    }
}

/// Holdings as a node states them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHoldings {
    /// The node.
    pub peer: PeerId,
    /// Milliseconds since 1970, only to order the node's own statements.
    pub time_ms: u64,
    /// The statement.
    pub holdings: Holdings,
    /// Ed25519 signature, in two halves because serde knows no longer arrays.
    pub signature: ([u8; 32], [u8; 32]),
}

impl SignedHoldings {
    /// Signs a statement with a node key.
    ///
    /// # Errors
    /// [`CodecError`] if it cannot be encoded.
    pub fn sign(
        key: &SecretKey,
        federation: FederationId,
        time_ms: u64,
        holdings: Holdings,
    ) -> Result<Self, CodecError> {
        let message = Self::message(federation, time_ms, &holdings)?;
        let signature = key.sign(&message);
        let mut halves = ([0; 32], [0; 32]);
        halves.0.copy_from_slice(&signature[..32]);
        halves.1.copy_from_slice(&signature[32..]);
        Ok(Self { peer: key.peer(), time_ms, holdings, signature: halves })
    }

    /// Whether it is within its bounds and signed by the node that it names.
    pub fn verify(&self, federation: FederationId) -> bool {
        let bounded = self.holdings.logs.len() <= HOLDINGS_LOGS_MAX
            && self.holdings.logs.iter().all(|l| l.missing.len() <= HOLDINGS_MISSING_MAX);
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&self.signature.0);
        signature[32..].copy_from_slice(&self.signature.1);
        bounded
            && Self::message(federation, self.time_ms, &self.holdings)
                .is_ok_and(|message| keys::verify(&self.peer.key(), &message, &signature))
    }

    fn message(federation: FederationId, time_ms: u64, holdings: &Holdings) -> Result<Vec<u8>, CodecError> {
        let mut message = b"verbund/holdings/v1\n".to_vec();
        message.extend(codec::encode(&(federation, time_ms, holdings))?);
        Ok(message)
    }
}
