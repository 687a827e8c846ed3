//! The one place that knows bincode: encoding of wire frames and local records.
//!
//! Little-endian, variable-length integers, a decode limit, trailing bytes refused. Never used for anything that is signed or
//! hashed: bincode is neither canonical nor able to evolve. A format changes by a new version outside of the bytes, and enum
//! variants are only ever appended.

use bincode::config::{Config, standard};
use serde::{Serialize, de::DeserializeOwned};

use crate::limits::{FRAME_DECODED_MAX_BYTES, FRAME_MAX_BYTES};
use crate::words::shown;

pub mod bounded;

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

/// Encoded bytes up to which a value counts as short.
const SHORT_BYTES: usize = 4 << 10;
/// Encoded bytes up to which a value counts as middling: gossip, a leaf.
const MIDDLE_BYTES: usize = 64 << 10;
/// What one encoded byte may claim when decoded: an integer of 8 bytes is encoded in one at best.
const CLAIM_PER_BYTE: usize = 8;

/// Encodes `value`.
///
/// # Errors
/// [`CodecError::Malformed`] for values that serde cannot serialise without a known length.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, standard()).map_err(|e| CodecError::Malformed(shown(e)))
}

/// Decodes exactly one value from `bytes`, of which there may be at most `max_bytes`.
///
/// # Errors
/// [`CodecError`] for frames over the cap, malformed ones, and ones with trailing bytes. Never panics. No length in the bytes
/// makes it allocate more than about 64 times what was received, or [`FRAME_DECODED_MAX_BYTES`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max_bytes: usize) -> Result<T, CodecError> {
    match decode_first(bytes, max_bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(CodecError::Trailing(rest.len())),
    }
}

/// Decodes a value from the beginning of `bytes`, of which there may be at most `max_bytes`, and returns the bytes after it.
///
/// # Errors
/// As [`decode`], but for trailing bytes.
pub fn decode_first<T: DeserializeOwned>(bytes: &[u8], max_bytes: usize) -> Result<(T, &[u8]), CodecError> {
    if bytes.len() > max_bytes {
        return Err(CodecError::TooLong { len: bytes.len(), max: max_bytes });
    }
    // bincode takes the limit as a constant. It allocates what a length claims before it has seen that many bytes, so the
    // limit follows the input.
    match bytes.len() {
        n if n <= SHORT_BYTES => decode_with(bytes, standard().with_limit::<{ SHORT_BYTES * CLAIM_PER_BYTE }>()),
        n if n <= MIDDLE_BYTES => decode_with(bytes, standard().with_limit::<{ MIDDLE_BYTES * CLAIM_PER_BYTE }>()),
        n if n <= FRAME_MAX_BYTES => {
            decode_with(bytes, standard().with_limit::<{ FRAME_MAX_BYTES * CLAIM_PER_BYTE }>())
        }
        _ => decode_with(bytes, standard().with_limit::<FRAME_DECODED_MAX_BYTES>()),
    }
}

fn decode_with<T: DeserializeOwned, C: Config>(bytes: &[u8], config: C) -> Result<(T, &[u8]), CodecError> {
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, config).map_err(|e| CodecError::Malformed(shown(e)))?;
    let rest = bytes.get(used..).ok_or_else(|| CodecError::Malformed("read beyond the end".to_owned()))?;
    Ok((value, rest))
}
