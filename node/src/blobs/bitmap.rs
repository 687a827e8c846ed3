//! Which groups of an artifact that is being received are here: the validity bitmap and its file.
//!
//! Written last, after the bytes it claims. A file that is torn, foreign or of another size is no claim at all; the caller then
//! looks for valid groups itself. Even a good file is a hint: its groups are verified again before anything relies on them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use verbund_protocol::ids::Blake3;

use super::tree;

/// First bytes of the file; the digit is the version of the format.
const MAGIC: [u8; 8] = *b"vbitmap1";
/// Magic, BLAKE3, size.
const HEADER_BYTES: usize = 8 + 32 + 8;
/// CRC-32C of all before.
const CRC_BYTES: usize = 4;

/// The groups of one artifact, each present or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bitmap {
    bits: Vec<u8>,
    groups: u64,
    present: u64,
}

impl Bitmap {
    /// No group of an artifact of `size` bytes is present.
    pub(super) fn new(size: u64) -> Self {
        let groups = tree::groups(size);
        // The size has been checked against the artifact limit; above the address space nothing could be held anyway.
        Self { bits: vec![0; usize::try_from(groups.div_ceil(8)).unwrap_or(0)], groups, present: 0 }
    }

    fn place(&self, group: u64) -> Option<(usize, u8)> {
        let byte = usize::try_from(group / 8).ok()?;
        (group < self.groups).then_some((byte, 1 << (group % 8)))
    }

    pub(super) fn contains(&self, group: u64) -> bool {
        self.place(group).and_then(|(byte, mask)| Some(self.bits.get(byte)? & mask != 0)).unwrap_or(false)
    }

    pub(super) fn insert(&mut self, group: u64) {
        if let Some((byte, mask)) = self.place(group)
            && let Some(bits) = self.bits.get_mut(byte)
            && *bits & mask == 0
        {
            *bits |= mask;
            self.present += 1;
        }
    }

    /// Groups that are present.
    pub(super) const fn present(&self) -> u64 {
        self.present
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.present == self.groups
    }

    /// Maximal ranges `[start, end)` of groups that are present, or of those that are missing.
    pub(super) fn ranges(&self, present: bool) -> Vec<(u64, u64)> {
        let mut out: Vec<(u64, u64)> = Vec::new();
        for group in (0..self.groups).filter(|group| self.contains(*group) == present) {
            match out.last_mut() {
                Some((_, end)) if *end == group => *end += 1,
                _ => out.push((group, group + 1)),
            }
        }
        out
    }

    /// Writes the claim over the previous one, in one call.
    pub(super) fn store(&self, file: &File, hash: &Blake3, size: u64) -> io::Result<()> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.bits.len() + CRC_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(hash.as_bytes());
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&self.bits);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        file.write_all_at(&out, 0)
    }

    /// Reads a claim for this artifact; `None` unless it is whole.
    pub(super) fn load(file: &File, hash: &Blake3, size: u64) -> io::Result<Option<Self>> {
        let mut map = Self::new(size);
        let len = HEADER_BYTES + map.bits.len() + CRC_BYTES;
        if file.metadata()?.len() != len as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        let (body, crc) = bytes.split_at(len - CRC_BYTES);
        let (header, bits) = body.split_at(HEADER_BYTES);
        let expected = [&MAGIC[..], hash.as_bytes(), &size.to_le_bytes()].concat();
        if crc != crc32c::crc32c(body).to_le_bytes() || header != expected {
            return Ok(None);
        }
        map.bits.copy_from_slice(bits);
        map.present = (0..map.groups).filter(|group| map.contains(*group)).count() as u64;
        // Bits behind the last group are not a claim that this version makes.
        let set: u64 = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
        Ok((set == map.present).then_some(map))
    }
}
