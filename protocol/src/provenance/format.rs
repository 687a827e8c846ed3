//! The bytes of a provenance file: strict JSON with binary parts in base64.
//!
//! Owns shapes and bounds. What is an object must be one in the text. Lists and binary parts are bounded while they are read, unknown and doubled keys are refused, so that a
//! hostile file costs memory in proportion to its length and two readers cannot see different things in it. Judges nothing.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{CHARTERS_MAX, ENTRIES_MAX, FORMAT, PROVENANCE_MAX_BYTES, STATEMENTS_MAX, VerifyError};
use crate::charter::certificate::CharterBundle;
use crate::ids::{FederationId, PeerId, Sha256};
use crate::json::Object;
use crate::limits::{
    CERTIFICATE_PARTS_MAX, CHARTER_MAX_BYTES, JSON_INTEGER_MAX, LEAF_MAX_BYTES, MANIFEST_MAX_BYTES, NOTE_MAX_BYTES,
    PROOF_HASHES_MAX,
};
use crate::log::ConsistencyProof;
use crate::words::shown;

/// Bytes in base64, at most `MAX` of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bin<const MAX: usize>(pub(super) Vec<u8>);

/// A list of at most `MAX` elements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct List<T, const MAX: usize>(pub(super) Vec<T>);

/// Text of at most `MAX` bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Text<const MAX: usize>(pub(super) String);

/// One envelope, as a log carries it.
pub(super) type Leaf = Bin<LEAF_MAX_BYTES>;
/// An audit path from the leaf up.
pub(super) type Path = List<Sha256, PROOF_HASHES_MAX>;

/// A provenance file. Nothing in it has been checked but its shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provenance {
    /// [`FORMAT`].
    pub(super) format: u64,
    /// The federation.
    pub(super) federation: FederationId,
    /// When the file was made, in seconds since 1970, as the node that served it says. Proves nothing.
    pub(super) pulled_at_s: u64,
    /// The node that served it. Proves nothing.
    pub(super) served_by: PeerId,
    /// The log that carries the release.
    pub(super) log: PeerId,
    /// Where in it.
    pub(super) index: u64,
    /// The release's envelope.
    pub(super) release: Leaf,
    /// That it stands there.
    pub(super) proof: Path,
    /// The note that all proofs lead to.
    pub(super) checkpoint: Text<NOTE_MAX_BYTES>,
    /// What gives the log its authority, ascending.
    pub(super) entries: List<Object<Entry>, ENTRIES_MAX>,
    /// All charters from the genesis on.
    pub(super) charters: List<Object<Certificate>, CHARTERS_MAX>,
    /// That the checkpoint and the size at which a charter or writer ended the log are of one history; absent if nothing ended it,
    /// or at that very size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<Object<ConsistencyProof>>,
    /// The bytes of `manifest.json`.
    pub(super) manifest: Bin<{ MANIFEST_MAX_BYTES as usize }>,
    /// Withdrawals and deprecations of the release that were known. They inform.
    pub(super) statements: List<Leaf, STATEMENTS_MAX>,
}

/// An entry of the log and that it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) index: u64,
    pub(super) leaf: Leaf,
    pub(super) proof: Path,
}

/// A charter's payload and its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    payload: Bin<CHARTER_MAX_BYTES>,
    identities: Parts,
    writers: Parts,
    approvals: Parts,
    precommits: Parts,
}

type Parts = List<Leaf, CERTIFICATE_PARTS_MAX>;

impl From<CharterBundle> for Object<Certificate> {
    fn from(bundle: CharterBundle) -> Self {
        let parts = |parts: Vec<Vec<u8>>| List(parts.into_iter().map(Bin).collect());
        Self(Certificate {
            payload: Bin(bundle.payload),
            identities: parts(bundle.identities),
            writers: parts(bundle.writers),
            approvals: parts(bundle.approvals),
            precommits: parts(bundle.precommits),
        })
    }
}

impl Certificate {
    /// The bundle, whose parts are copied: one at a time, as the chain is walked.
    pub(super) fn bundle(&self) -> CharterBundle {
        let parts = |parts: &Parts| parts.0.iter().map(|part| part.0.clone()).collect();
        CharterBundle {
            payload: self.payload.0.clone(),
            identities: parts(&self.identities),
            writers: parts(&self.writers),
            approvals: parts(&self.approvals),
            precommits: parts(&self.precommits),
        }
    }

    /// SHA-256 of the charter's payload.
    pub(super) fn hash(&self) -> Sha256 {
        Sha256::of(&self.payload.0)
    }
}

/// Of any version: read first, so that a newer file is named as such and not as malformed.
#[derive(Deserialize)]
struct Head {
    format: u64,
}

impl Provenance {
    /// Reads a file.
    ///
    /// # Errors
    /// [`VerifyError`] for one that is too long, of another format, or not of the shape and within the bounds of this one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, VerifyError> {
        if bytes.len() > PROVENANCE_MAX_BYTES {
            return Err(VerifyError::TooLong(bytes.len()));
        }
        let malformed = |e: serde_json::Error| VerifyError::Malformed(shown(e));
        let Object(Head { format }) = serde_json::from_slice(bytes).map_err(malformed)?;
        if format != FORMAT {
            return Err(VerifyError::Format(format));
        }
        let Object(read): Object<Self> = serde_json::from_slice(bytes).map_err(malformed)?;
        let ends = read.end.iter().flat_map(|end| [end.from, end.to]);
        let numbers = read.entries.0.iter().map(|e| e.index).chain([read.index, read.pulled_at_s]).chain(ends);
        if numbers.max().is_some_and(|n| n > JSON_INTEGER_MAX) {
            return Err(VerifyError::Malformed("an integer is over 2^53-1".to_owned()));
        }
        Ok(read)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`VerifyError`] for what [`Self::read`] would refuse.
    pub(super) fn write(&self) -> Result<Vec<u8>, VerifyError> {
        let mut bytes = serde_json::to_vec(self).map_err(|e| VerifyError::Malformed(shown(e)))?;
        bytes.push(b'\n');
        if bytes.len() > PROVENANCE_MAX_BYTES { Err(VerifyError::TooLong(bytes.len())) } else { Ok(bytes) }
    }
}

impl<const MAX: usize> Serialize for Bin<MAX> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Bin<MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Base64<const MAX: usize>;
        impl<const MAX: usize> Visitor<'_> for Base64<MAX> {
            type Value = Bin<MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} bytes in base64")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bin<MAX>, E> {
                // Base64 has 4 characters for each 3 bytes begun.
                if text.len() > MAX.div_ceil(3) * 4 {
                    return Err(E::invalid_length(text.len(), &self));
                }
                let bytes = STANDARD.decode(text).map_err(|e| E::custom(format_args!("base64: {e}")))?;
                if bytes.len() > MAX { Err(E::invalid_length(bytes.len(), &self)) } else { Ok(Bin(bytes)) }
            }
        }
        d.deserialize_str(Base64)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Bounded<const MAX: usize>;
        impl<const MAX: usize> Visitor<'_> for Bounded<MAX> {
            type Value = Text<MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "text of at most {MAX} bytes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<MAX>, E> {
                if text.len() > MAX { Err(E::invalid_length(text.len(), &self)) } else { Ok(Text(text.to_owned())) }
            }
        }
        d.deserialize_str(Bounded)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Bounded<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
            type Value = List<T, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX}")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T, MAX>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MAX {
                        return Err(de::Error::invalid_length(MAX + 1, &self));
                    }
                    items.push(item);
                }
                Ok(List(items))
            }
        }
        d.deserialize_seq(Bounded(PhantomData))
    }
}
