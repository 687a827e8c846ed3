//! Whose fault it is that an artifact did not arrive.
//!
//! Owns the line between a holder, this node, the network and the publisher. A fault is a peer's only if that peer alone can have
//! caused it; what an honest holder may do, too, is [`Severity::Unable`].

use std::io;

use verbund_protocol::ids::Sha256;

use super::pace::Lag;
use super::wire::{FrameError, Refusal};
use crate::blobs::error::StoreError;
use crate::blobs::partial::FinishError;

/// What a holder did wrong, or could not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// Bytes that are not those of the artifact. Nothing of them was stored.
    #[error("wrong bytes at {offset}")]
    BadBytes {
        /// Start of the first wrong group, or of the range of the first wrong parent, in bytes.
        offset: u64,
    },
    /// The stream ended before the response was complete. A holder that is killed looks the same.
    #[error("response ended early")]
    Truncated,
    /// Bytes behind the end of the response.
    #[error("response is longer than it may be")]
    OverLong,
    /// Another size than expected, without a valid proof.
    #[error("claims {claimed} bytes and cannot prove it")]
    WrongSize {
        /// The size it claims, in bytes.
        claimed: u64,
    },
    /// An answer that is no message of the protocol.
    #[error("not a response: {0}")]
    Protocol(String),
    /// It said why it sends nothing.
    #[error("holder {0}")]
    Refused(Refusal),
    /// No byte for too long.
    #[error("stalled")]
    Stalled,
    /// Fewer bytes per second than demanded.
    #[error("too slow")]
    TooSlow,
}

/// How much a [`PeerFault`] says about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// An honest, working holder never does this: count it against the peer.
    Misconduct,
    /// A holder may be in this state through no fault of its own: ask another one, and this one later.
    Unable,
}

impl PeerFault {
    /// How much this says about the peer.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::BadBytes { .. } | Self::OverLong | Self::WrongSize { .. } | Self::Protocol(_) => Severity::Misconduct,
            Self::Truncated | Self::Refused(_) | Self::Stalled | Self::TooSlow => Severity::Unable,
        }
    }
}

/// How a manifest contradicts the artifact that it names. No holder can deliver what it describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The artifact has another size; proved by its BLAKE3.
    #[error("the artifact has {actual} bytes")]
    Size {
        /// Its size in bytes.
        actual: u64,
    },
    /// The artifact has another SHA-256.
    #[error("the artifact has {actual}")]
    Sha256 {
        /// Its SHA-256.
        actual: Sha256,
    },
}

/// Why an artifact was not received, by whose fault.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The holder's.
    #[error("peer: {0}")]
    Peer(#[from] PeerFault),
    /// This node's: its disk, its limits, its shutdown.
    #[error("here: {0}")]
    Local(#[from] StoreError),
    /// The connection broke: nobody's.
    #[error("connection: {0}")]
    Connection(io::Error),
    /// The publisher's: the manifest is wrong.
    #[error("manifest: {0}")]
    Expectation(#[from] Mismatch),
}

impl From<Lag> for FetchError {
    fn from(lag: Lag) -> Self {
        Self::Peer(match lag {
            Lag::Stalled => PeerFault::Stalled,
            Lag::Slow => PeerFault::TooSlow,
        })
    }
}

impl From<FrameError> for FetchError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(e) => Self::Connection(e),
            FrameError::Ended => PeerFault::Truncated.into(),
            other => PeerFault::Protocol(other.to_string()).into(),
        }
    }
}

impl From<FinishError> for FetchError {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::Sha256(actual) => Self::Expectation(Mismatch::Sha256 { actual }),
            FinishError::Store(error) => Self::Local(error),
        }
    }
}
