//! What a checkpoint says: which log, how many leaves, which root. C2SP `tlog-checkpoint`.
//!
//! Owns the one text form of a checkpoint's body: text that parses formats to the same bytes. Extension lines are refused,
//! because a cosigner states nothing about them and two bodies for one tree could not share cosignatures. A checkpoint of no
//! leaves is refused too: a log begins with three, and nothing can be proven from an empty tree. Holds no signatures.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::tree::Head;
use crate::ids::{FederationId, PeerId, Sha256};
use crate::limits::LOG_SIZE_MAX;

/// What every name of this protocol version begins with.
pub(super) const PREFIX: &str = "verbund.v1/";

/// Why a text is not a checkpoint's body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not exactly three lines, each ended by a newline.
    #[error("not exactly three lines")]
    Lines,
    /// The first line is not `verbund.v1/<federation hex>/<peer id>`.
    #[error("the origin is not verbund.v1/<federation hex>/<peer id>")]
    Origin,
    /// The second line is not a decimal number without leading zeros from 1 to [`LOG_SIZE_MAX`].
    #[error("the size is not a decimal number from 1 to {LOG_SIZE_MAX}")]
    Size,
    /// The third line is not the base64 form of 32 bytes.
    #[error("the root is not 32 bytes in base64")]
    Root,
}

/// Which log: the name of its key and the first line of its checkpoints, `verbund.v1/<federation hex>/<peer id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The federation that the log belongs to.
    pub federation: FederationId,
    /// The node that writes it, and whose key signs it.
    pub peer: PeerId,
}

impl Origin {
    /// The log of node `peer` in `federation`.
    pub const fn new(federation: FederationId, peer: PeerId) -> Self {
        Self { federation, peer }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/{}", self.federation.to_hex(), self.peer)
    }
}

impl FromStr for Origin {
    type Err = CheckpointError;
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let (federation, peer) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')).ok_or(CheckpointError::Origin)?;
        let origin = Self {
            federation: FederationId::from_hex(federation).map_err(|_| CheckpointError::Origin)?,
            peer: peer.parse().map_err(|_| CheckpointError::Origin)?,
        };
        // One text form per log, whatever a lenient parser of its parts may accept.
        if origin.to_string() == text { Ok(origin) } else { Err(CheckpointError::Origin) }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { (self.federation, self.peer).serialize(s) }
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(de::Error::custom)
        } else {
            <(FederationId, PeerId)>::deserialize(d).map(|(federation, peer)| Self { federation, peer })
        }
    }
}

/// A log's size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// Number of leaves, from 1 to [`LOG_SIZE_MAX`].
    pub size: u64,
    /// Root of the tree over them.
    pub root: Sha256,
}

/// As it is read, before its checks.
#[derive(Deserialize)]
#[serde(rename = "Checkpoint")]
struct Raw {
    origin: Origin,
    size: u64,
    root: Sha256,
}

impl TryFrom<Raw> for Checkpoint {
    type Error = CheckpointError;
    fn try_from(raw: Raw) -> Result<Self, CheckpointError> {
        Self::new(raw.origin, raw.size, raw.root)
    }
}

impl Checkpoint {
    /// A checkpoint of `size` leaves under `root`.
    ///
    /// # Errors
    /// [`CheckpointError::Size`] unless 1 ≤ size ≤ [`LOG_SIZE_MAX`].
    pub fn new(origin: Origin, size: u64, root: Sha256) -> Result<Self, CheckpointError> {
        if (1..=LOG_SIZE_MAX).contains(&size) { Ok(Self { origin, size, root }) } else { Err(CheckpointError::Size) }
    }

    /// Size and root.
    pub const fn head(&self) -> Head {
        Head { size: self.size, root: self.root }
    }

    /// The note text that log and cosigners sign: three lines, each with its newline. SPEC: tlog-checkpoint, note text.
    pub fn to_body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads a note text.
    ///
    /// # Errors
    /// [`CheckpointError`] unless it is exactly what [`Self::to_body`] writes.
    pub fn parse(body: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> = body.strip_suffix('\n').ok_or(CheckpointError::Lines)?.splitn(4, '\n').collect();
        let &[origin, size, root] = lines.as_slice() else { return Err(CheckpointError::Lines) };
        Self::new(origin.parse()?, parse_size(size)?, parse_root(root)?)
    }
}

/// SPEC: tlog-checkpoint, tree size: ASCII decimal without leading zeros. `u64::from_str` would take a sign.
fn parse_size(text: &str) -> Result<u64, CheckpointError> {
    if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(CheckpointError::Size);
    }
    text.parse().map_err(|_| CheckpointError::Size)
}

/// SPEC: tlog-checkpoint, root hash: standard base64. The engine refuses missing padding and stray trailing bits.
fn parse_root(text: &str) -> Result<Sha256, CheckpointError> {
    if text.len() != 44 {
        return Err(CheckpointError::Root);
    }
    let bytes = STANDARD.decode(text).map_err(|_| CheckpointError::Root)?;
    bytes.try_into().map(Sha256).map_err(|_| CheckpointError::Root)
}
