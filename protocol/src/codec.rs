//! The one place that knows bincode: encoding of wire frames and local records.
//!
//! Little-endian, variable-length integers, a decode limit, trailing bytes refused. Never used for anything that is signed or
//! hashed: bincode is neither canonical nor able to evolve. A format changes by a new version outside of the bytes, and enum
//! variants are only ever appended.

use serde::{Serialize, de::DeserializeOwned};

/// Why bytes could not be decoded, or a value not encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The encoded frame is longer than its cap.
    #[error("frame of {len} bytes is over the limit of {max}")]
    TooLong {
        /// Length in bytes.
        len: usize,
        /// The cap in bytes.
        max: usize,
    },
    /// Bytes are left after the value.
    #[error("{0} bytes after the end of the value")]
    Trailing(usize),
    /// Not an encoding of this type, or one that would decode to more memory than allowed.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// Decoded memory that any one value may take; bincode counts what it allocates, about 16 times the wire size at worst.
const DECODED_MAX_BYTES: usize = crate::limits::FRAME_DECODED_MAX_BYTES;

fn options() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODED_MAX_BYTES>()
}

/// Encodes `value`.
///
/// # Errors
/// [`CodecError::Malformed`] for values that serde cannot serialise without a known length.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|e| CodecError::Malformed(e.to_string()))
}

/// Decodes exactly one value from `bytes`, of which there may be at most `max_bytes`.
///
/// # Errors
/// [`CodecError`] for frames over the cap, malformed ones, and ones with trailing bytes. Never panics, never allocates more
/// than [`crate::limits::FRAME_DECODED_MAX_BYTES`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max_bytes: usize) -> Result<T, CodecError> {
    if bytes.len() > max_bytes {
        return Err(CodecError::TooLong { len: bytes.len(), max: max_bytes });
    }
    match bincode::serde::decode_from_slice(bytes, options()) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok((_, used)) => Err(CodecError::Trailing(bytes.len() - used)),
        Err(e) => Err(CodecError::Malformed(e.to_string())),
    }
}
