//! Bytes of headers and frames.
//!
//! All integers are little-endian. Checksums are CRC-32C (RFC 3720 appendix B.4). Those of a frame start from the journal's random
//! salt and the frame's place, so that bytes inside of a payload that a peer chose can never pass for a frame when a damaged
//! region is searched, nor a frame at another place than its own.

use crate::store::fold::{FramePosition, Seq};

/// Longest payload of a frame: room for a megabyte of log entries and all that one batch adds to them, small enough to be held,
/// checked and folded in one piece.
pub const FRAME_MAX_BYTES: usize = 4 << 20;

/// Version of the format written here. A reader refuses newer ones with words.
pub const FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"VERBUNDJ";
/// One copy of the header. Size, magic, version and checksum stay at their places in all versions.
const COPY_BYTES: usize = 64;
/// Both copies: one flipped bit must not take a segment.
pub(crate) const HEADER_BYTES: u64 = 2 * COPY_BYTES as u64;
/// Head of a frame: length u32, number u64, checksum of both u32, checksum that goes on over the payload u32.
pub(crate) const HEAD_BYTES: usize = 20;

/// Random bytes of one journal, in every header.
pub(crate) type Salt = [u8; 12];

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub version: u32,
    pub segment: u32,
    pub instance: [u8; 32],
    pub salt: Salt,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(COPY_BYTES);
        copy.extend_from_slice(&MAGIC);
        copy.extend_from_slice(&self.version.to_le_bytes());
        copy.extend_from_slice(&self.segment.to_le_bytes());
        copy.extend_from_slice(&self.instance);
        copy.extend_from_slice(&self.salt);
        copy.extend_from_slice(&crc32c::crc32c(&copy).to_le_bytes());
        copy.repeat(2)
    }

    fn decode_copy(copy: &[u8]) -> Option<Self> {
        let (body, crc) = copy.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (magic, rest) = body.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (segment, rest) = rest.split_first_chunk::<4>()?;
        let (instance, rest) = rest.split_first_chunk::<32>()?;
        let salt = rest.first_chunk::<12>()?;
        let (version, segment) = (u32::from_le_bytes(*version), u32::from_le_bytes(*segment));
        (*magic == MAGIC).then_some(Self { version, segment, instance: *instance, salt: *salt })
    }

    /// The header in the first bytes of a segment, and whether both copies are whole. `None` if neither is.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, bool)> {
        let mut copies = bytes.chunks_exact(COPY_BYTES).take(2).map(Self::decode_copy);
        let (first, second) = (copies.next().flatten(), copies.next().flatten());
        Some((first.or(second)?, first.is_some() && first == second))
    }
}

/// A frame's head whose own checksum matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub len: u32,
    pub seq: Seq,
    /// Checksum over place, head and payload; identifies the frame.
    pub body: u32,
    head: u32,
}

fn head_crc(salt: &Salt, at: FramePosition, len: u32, seq: Seq) -> u32 {
    let mut place = [0_u8; 36];
    let fields = salt.iter().copied().chain(at.segment.to_le_bytes()).chain(at.offset.to_le_bytes());
    for (to, from) in place.iter_mut().zip(fields.chain(len.to_le_bytes()).chain(seq.to_le_bytes())) {
        *to = from;
    }
    crc32c::crc32c(&place)
}

impl Head {
    /// The head for `payload` as frame `seq` at `at`. The payload is at most [`FRAME_MAX_BYTES`] long.
    pub(crate) fn seal(salt: &Salt, at: FramePosition, seq: Seq, payload: &[u8]) -> Self {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let head = head_crc(salt, at, len, seq);
        Self { len, seq, head, body: crc32c::crc32c_append(head, payload) }
    }

    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0_u8; HEAD_BYTES];
        let (len, rest) = bytes.split_at_mut(4);
        let (seq, rest) = rest.split_at_mut(8);
        let (head, body) = rest.split_at_mut(4);
        len.copy_from_slice(&self.len.to_le_bytes());
        seq.copy_from_slice(&self.seq.to_le_bytes());
        head.copy_from_slice(&self.head.to_le_bytes());
        body.copy_from_slice(&self.body.to_le_bytes());
        bytes
    }

    /// The head in `bytes` if it is one that belongs at `at` and has a number above `after`.
    pub(crate) fn decode(salt: &Salt, at: FramePosition, after: Seq, bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (head, rest) = rest.split_first_chunk::<4>()?;
        let body = u32::from_le_bytes(*rest.first_chunk::<4>()?);
        let (len, seq) = (u32::from_le_bytes(*len), Seq::from_le_bytes(*seq));
        // The cheap tests first: a damaged region is searched byte by byte.
        let plausible = (1..=FRAME_MAX_BYTES).contains(&(len as usize)) && seq > after;
        let head = u32::from_le_bytes(*head);
        (plausible && head_crc(salt, at, len, seq) == head).then_some(Self { len, seq, body, head })
    }

    /// Whether `payload` is the one this head was made for.
    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        crc32c::crc32c_append(self.head, payload) == self.body
            || verbund_protocol::seeded::bug("frame_with_wrong_checksum")
    }

    /// Bytes of the frame: head and payload.
    pub(crate) fn frame_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.len)
    }
}
