//! Messages of `/verbund/1/blob`.
//!
//! One stream carries one request and one response:
//!
//! ```text
//! request   frame(Request)
//! response  frame(Response::Ok)                      encoding of the requested ranges
//!           frame(Response::Refused(SizeDiffers))    encoding of the last group, which proves the size
//!           frame(Response::Refused(_))
//! frame     version (1 byte), length of the body (u16, little-endian), body (bincode)
//! ```
//!
//! The encoding is bao's: parents (64 bytes) and groups (16 KiB, the last one shorter) in pre-order, each parent and each group on
//! the way to a requested range once. It carries no length: both sides compute it from size and ranges. Owns what is refused as
//! malformed; nothing else.

use bao_tree::ChunkRanges;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use verbund_protocol::codec;
use verbund_protocol::ids::Blake3;

use crate::blobs::tree::{self, GROUP_BYTES};

/// The protocol's name for stream negotiation.
pub const PROTOCOL: &str = "/verbund/1/blob";
/// Version of the messages; another one is refused.
const VERSION: u8 = 1;
/// Version and length of the body.
const HEADER_BYTES: usize = 3;
/// Ranges of one request. What is here of an artifact is a prefix, with holes only after disk damage; a client with more holes
/// asks for the space between some of them, too.
pub const RANGES_MAX: usize = 256;
/// Body of a request: name, size and [`RANGES_MAX`] ranges of two integers of at most 9 bytes.
pub const REQUEST_MAX_BYTES: usize = 8 << 10;
/// Body of a response: a tag or two and a size.
pub const RESPONSE_MAX_BYTES: usize = 64;

/// Bytes `[start, end)` of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// First byte; a multiple of the group size.
    pub start: u64,
    /// Byte after the last one; a multiple of the group size, or the size of the artifact.
    pub end: u64,
}

/// Asks for ranges of one artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The artifact.
    pub hash: Blake3,
    /// Its size in bytes, as the client's manifest has it.
    pub size: u64,
    /// At most [`RANGES_MAX`] ranges, sorted, with a gap between two; none asks for the whole.
    pub ranges: Vec<ByteRange>,
}

/// The holder's answer, before any data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The encoding of the ranges follows.
    Ok {
        /// Size of the artifact in bytes; equal to the request's.
        size: u64,
    },
    /// No data; for [`Refusal::SizeDiffers`] a proof follows.
    Refused(Refusal),
}

/// Why a holder sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// It does not hold the artifact.
    #[error("does not hold it")]
    NotFound,
    /// The client may not have it.
    #[error("does not allow it")]
    NotAllowed,
    /// It serves as much as it can; ask later.
    #[error("is busy")]
    Busy,
    /// It found its copy damaged, and will fetch another one.
    #[error("found its copy damaged")]
    Corrupt,
    /// The request was malformed, or of an unknown version.
    #[error("did not understand the request")]
    BadRequest,
    /// It cannot read its disk, or is stopping.
    #[error("cannot serve now")]
    Unavailable,
    /// The artifact has another size than the client expects. The encoding of its last group follows.
    #[error("has it with {size} bytes")]
    SizeDiffers {
        /// Size in bytes.
        size: u64,
    },
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Another version of the messages.
    #[error("unknown version {0}")]
    Version(u8),
    /// The body is too long or malformed.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
    /// The stream ended inside of the frame.
    #[error("stream ended early")]
    Ended,
    /// The stream broke.
    #[error("stream: {0}")]
    Io(std::io::Error),
}

/// Why a request cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Over [`RANGES_MAX`].
    #[error("too many ranges")]
    TooMany,
    /// Empty, overlapping, unsorted, not whole groups, or beyond the end.
    #[error("malformed range")]
    Malformed,
}

impl Request {
    /// The chunk ranges of the request.
    ///
    /// # Errors
    /// [`RangeError`] unless every range keeps the rules of [`Request::ranges`].
    pub(in crate::blobs) fn chunk_ranges(&self) -> Result<ChunkRanges, RangeError> {
        if self.ranges.len() > RANGES_MAX {
            return Err(RangeError::TooMany);
        }
        let mut after = None;
        for range in &self.ranges {
            let aligned = range.start % GROUP_BYTES == 0 && (range.end % GROUP_BYTES == 0 || range.end == self.size);
            let sorted = after.is_none_or(|after| range.start > after);
            if !aligned || !sorted || range.start >= range.end || range.end > self.size {
                return Err(RangeError::Malformed);
            }
            after = Some(range.end);
        }
        let groups = self.ranges.iter().map(|range| (range.start / GROUP_BYTES, range.end.div_ceil(GROUP_BYTES)));
        let whole = self.ranges.is_empty().then_some((0, tree::groups(self.size)));
        Ok(tree::chunk_ranges(self.size, groups.chain(whole)))
    }

    /// Asks for missing ranges of groups, which are sorted. Too many are joined to fewer, larger ones.
    pub(in crate::blobs) fn for_groups(hash: Blake3, size: u64, missing: &[(u64, u64)]) -> Self {
        let bytes = |(start, end): (u64, u64)| ByteRange {
            start: start.saturating_mul(GROUP_BYTES).min(size),
            end: end.saturating_mul(GROUP_BYTES).min(size),
        };
        let (first, rest) = missing.split_at(missing.len().min(RANGES_MAX - 1));
        let joined = rest.first().zip(rest.last()).map(|((start, _), (_, end))| (*start, *end));
        // An artifact without bytes has no range that could be asked for; none means the whole.
        let ranges = first.iter().copied().chain(joined).map(bytes).filter(|range| range.start < range.end).collect();
        Self { hash, size, ranges }
    }
}

/// The chunk ranges that prove an artifact's size: its last group.
pub(in crate::blobs) fn size_proof_ranges(size: u64) -> ChunkRanges {
    let groups = tree::groups(size);
    tree::chunk_ranges(size, [(groups - 1, groups)])
}

/// Encodes a message as a frame.
pub(in crate::blobs) fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = codec::encode(message)?;
    let too_long = |_| codec::CodecError::TooLong { len: body.len(), max: usize::from(u16::MAX) };
    let len = u16::try_from(body.len()).map_err(too_long)?;
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.push(VERSION);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// Sends a message.
///
/// # Errors
/// [`FrameError`].
pub(in crate::blobs) async fn write<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<(), FrameError> {
    let frame = frame(message)?;
    stream.write_all(&frame).await.map_err(FrameError::Io)?;
    stream.flush().await.map_err(FrameError::Io)
}

/// Receives a message with a body of at most `max` bytes. Not cancel safe: give the stream up after a timeout.
///
/// # Errors
/// [`FrameError`].
pub(in crate::blobs) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<T, FrameError> {
    let ended = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => FrameError::Ended,
        _ => FrameError::Io(e),
    };
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await.map_err(ended)?;
    let [version, low, high] = header;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let len = usize::from(u16::from_le_bytes([low, high]));
    if len > max {
        return Err(codec::CodecError::TooLong { len, max }.into());
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.map_err(ended)?;
    Ok(codec::decode(&body, max)?)
}
