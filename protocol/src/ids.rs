//! Names of things: hashes, keys, members, federations, logs, processes and versions.
//!
//! Owns their one text form and their one binary form. Every type here refuses malformed text on parsing, so that a value of
//! the type is always well formed. Never reads a clock, a file or the network.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::limits;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text does not have the form that this kind of name requires.
    #[error("{text:?} is not a {what}: expected {expected}")]
    Malformed {
        /// What was being parsed, in words.
        what: &'static str,
        /// The form that is required, in words.
        expected: &'static str,
        /// What was given, cut to a printable length.
        text: String,
    },
}

fn malformed(what: &'static str, expected: &'static str, text: &str) -> IdError {
    IdError::Malformed { what, expected, text: text.chars().take(80).collect() }
}

/// Decodes exactly 64 *lower-case* hex digits: one text form per value, so that canonical documents stay canonical.
fn hex32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut out = [0; 32];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

macro_rules! bytes32 {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $what:literal, $expected:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
            /// Lower-case hex without prefix.
            pub fn to_hex(&self) -> String {
                hex::encode(self.0)
            }
            /// Parses lower-case hex without prefix.
            ///
            /// # Errors
            /// [`IdError`] unless `text` is exactly 64 lower-case hex digits.
            pub fn from_hex(text: &str) -> Result<Self, IdError> {
                hex32(text).map(Self).ok_or_else(|| malformed($what, "64 lower-case hex digits", text))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(hex32)
                    .map(Self)
                    .ok_or_else(|| malformed($what, $expected, text))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    d.deserialize_str(FromText::<Self>::new())
                } else {
                    <[u8; 32]>::deserialize(d).map(Self)
                }
            }
        }
    };
}

/// Deserialises any `FromStr` type from text.
struct FromText<T>(std::marker::PhantomData<T>);
impl<T> FromText<T> {
    fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}
impl<T: FromStr<Err = IdError>> Visitor<'_> for FromText<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name in its text form")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

bytes32!(
    /// SHA-256, text `sha256:<hex>`: the hash of document payloads, manifests and log leaves.
    Sha256, "sha256:", "SHA-256 hash", "sha256: and 64 lower-case hex digits"
);
bytes32!(
    /// BLAKE3, text `blake3:<hex>`: the address of an artifact and the root of its verified ranges.
    Blake3, "blake3:", "BLAKE3 hash", "blake3: and 64 lower-case hex digits"
);
bytes32!(
    /// A member of any federation: SHA-256 of the payload of its first identity. Stable across key rotation and renaming.
    MemberId, "member:", "member id", "member: and 64 lower-case hex digits"
);
bytes32!(
    /// A federation: SHA-256 of the payload of its genesis charter.
    FederationId, "federation:", "federation id", "federation: and 64 lower-case hex digits"
);
bytes32!(
    /// An Ed25519 public key, text `ed25519:<hex>`. The text names the algorithm; other algorithms would be other types.
    PublicKey, "ed25519:", "public key", "ed25519: and 64 lower-case hex digits"
);

impl Sha256 {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl Blake3 {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// libp2p's identity multihash header of an Ed25519 key: identity code, length 36, protobuf `KeyType = Ed25519`, 32 bytes of data.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// A node, by its Ed25519 node key; text is libp2p's peer id (`12D3KooW…`), of which the key is a part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "PeerIdForm", try_from = "PeerIdForm")]
pub struct PeerId(pub PublicKey);

/// The serialised form of a [`PeerId`]: text in JSON, the key's bytes in bincode.
#[derive(Clone)]
struct PeerIdForm(PeerId);
impl From<PeerId> for PeerIdForm {
    fn from(id: PeerId) -> Self {
        Self(id)
    }
}
impl TryFrom<PeerIdForm> for PeerId {
    type Error = IdError;
    fn try_from(form: PeerIdForm) -> Result<Self, IdError> {
        Ok(form.0)
    }
}
impl Serialize for PeerIdForm {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(&self.0) } else { self.0.0.0.serialize(s) }
    }
}
impl<'de> Deserialize<'de> for PeerIdForm {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            d.deserialize_str(FromText::<PeerId>::new()).map(Self)
        } else {
            <[u8; 32]>::deserialize(d).map(|b| Self(PeerId(PublicKey(b))))
        }
    }
}
impl PeerId {
    /// The node key that the peer id stands for.
    pub const fn key(&self) -> PublicKey {
        self.0
    }
    /// The multihash bytes that libp2p uses on the wire.
    pub fn to_multihash(&self) -> [u8; 38] {
        let mut out = [0; 38];
        out[..6].copy_from_slice(&PEER_ID_PREFIX);
        out[6..].copy_from_slice(&self.0.0);
        out
    }
    /// Reads libp2p's multihash bytes.
    ///
    /// # Errors
    /// [`IdError`] unless they are the identity multihash of an Ed25519 key.
    pub fn from_multihash(bytes: &[u8]) -> Result<Self, IdError> {
        let refused = || malformed("peer id", "an Ed25519 peer id (12D3KooW…)", &hex::encode(bytes));
        let key = bytes.strip_prefix(&PEER_ID_PREFIX).ok_or_else(refused)?;
        Ok(Self(PublicKey(key.try_into().map_err(|_| refused())?)))
    }
}
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.to_multihash()).into_string())
    }
}
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for PeerId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = || malformed("peer id", "an Ed25519 peer id (12D3KooW…)", text);
        if text.len() > 64 {
            return Err(refused());
        }
        Self::from_multihash(&bs58::decode(text).into_vec().map_err(|_| refused())?).map_err(|_| refused())
    }
}

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident, $what:literal, $expected:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(malformed($what, $expected, text)) }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(FromText::<Self>::new())
            }
        }
    };
}

fn slug_like(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

text_id!(
    /// What people call a member: `de-he`. Lower-case ISO 3166-2 for a German state; unique in a federation by its charter.
    Handle, "handle", "2-32 lower-case letters, digits and inner hyphens, starting with a letter, such as de-he",
    |t| t.len() >= 2 && slug_like(t, limits::HANDLE_MAX_BYTES) && t.as_bytes()[0].is_ascii_lowercase()
);
text_id!(
    /// The name of a process within its owner's namespace: `hundesteuer-anmeldung`.
    Slug, "slug", "1-64 lower-case letters, digits and inner hyphens",
    |t| slug_like(t, limits::SLUG_MAX_BYTES)
);

/// A process: the member that owns the namespace, and the slug in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Owner of the namespace.
    pub member: MemberId,
    /// Name in it.
    pub slug: Slug,
}

#[cfg(test)]
mod tests;
