//! An artifact that is being received: its three files, and the order in which they are written.
//!
//! Owns what survives a `kill -9`. Groups are verified before they are written; data and hash pairs are written before the
//! bitmap claims them; and on the way back no claim is believed: every claimed group is read and verified again. After a power
//! cut, claims whose bytes never reached the disk fail this check and are received again.
//!
//! Files are keyed by size too, so that a wrong size in one manifest cannot spoil what was received for a right one.
//! Everything here blocks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;

use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::valid_ranges;
use bao_tree::{BaoTree, ChunkRanges, TreeNode};
use rustix::fs::{Advice, fadvise};
use sha2::Digest as _;
use verbund_protocol::ids::{Blake3, Sha256};

use super::bitmap::Bitmap;
use super::error::StoreError;
use super::layout::PartialPaths;
use super::pins::Claim;
use super::receive::Meter;
use super::tree::{self, GROUP_BYTES, Pair, Proof};
use super::{BlobStore, CHUNK_BYTES, CLAIM_BYTES, Expect};

/// Why a complete artifact was not accepted.
#[derive(Debug)]
pub(super) enum FinishError {
    /// The bytes have the right BLAKE3, but another SHA-256 than the manifest says: the manifest is wrong.
    Sha256(Sha256),
    Store(StoreError),
}

impl From<StoreError> for FinishError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// SHA-256 of a prefix of the artifact, extended while groups arrive in order.
struct Digest {
    state: sha2::Sha256,
    at: u64,
}

impl Digest {
    fn extend(&mut self, file: &File, to: u64) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.at < to {
            let n = usize::try_from(to - self.at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            file.read_exact_at(&mut chunk[..n], self.at)?;
            self.state.update(&chunk[..n]);
            self.at += n as u64;
        }
        Ok(())
    }
}

/// The received part of one artifact, held by one task.
pub(super) struct Partial {
    store: BlobStore,
    expect: Expect,
    tree: BaoTree,
    paths: PartialPaths,
    data: File,
    outboard: File,
    bitmap_file: File,
    bitmap: Bitmap,
    /// Verified bytes that are not written yet, and their place.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Verified pairs that are not written yet, by their place.
    pairs: BTreeMap<u64, Pair>,
    /// Bytes written since the last claim.
    unclaimed: u64,
    digest: Option<Digest>,
    /// Bytes that were in the data file when it was opened: groups below are received again.
    high_water: u64,
    meter: Meter,
    _claim: Claim,
}

impl Partial {
    /// Opens what is here of the artifact, or begins it, and verifies what the bitmap claims.
    pub(super) fn open(store: BlobStore, expect: Expect, claim: Claim, meter: Meter) -> Result<Self, StoreError> {
        let paths = store.0.layout.partial(&expect.hash, expect.size);
        let open = |path: &std::path::Path| {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
            file.map_err(StoreError::io("open", path))
        };
        let (data, outboard, bitmap_file) = (open(&paths.data)?, open(&paths.outboard)?, open(&paths.bitmap)?);
        let high_water = data.metadata().map_err(StoreError::io("stat", &paths.data))?.len();
        let digest = expect.sha256.map(|_| Digest { state: sha2::Sha256::new(), at: 0 });
        let mut partial = Self {
            tree: tree::tree(expect.size),
            bitmap: Bitmap::new(expect.size),
            buffer: Vec::with_capacity(CHUNK_BYTES),
            buffer_at: 0,
            pairs: BTreeMap::new(),
            unclaimed: 0,
            _claim: claim,
            store,
            expect,
            paths,
            data,
            outboard,
            bitmap_file,
            digest,
            high_water,
            meter,
        };
        if high_water > 0 || expect.size == 0 {
            partial.resume()?;
        }
        // Also for a new one: from now on the bitmap says what is here, and is only ever behind.
        partial.write_claim()?;
        partial.store.check_floor(expect.size.saturating_sub(partial.present_bytes()))?;
        Ok(partial)
    }

    /// Finds the groups that are here and valid, and claims exactly these.
    fn resume(&mut self) -> Result<(), StoreError> {
        let (hash, size) = (self.expect.hash, self.expect.size);
        let claimed = Bitmap::load(&self.bitmap_file, &hash, size);
        let claimed = claimed.map_err(StoreError::io("read", &self.paths.bitmap))?;
        // Without a claim every group is looked at; what was never written costs nothing, as its parents are not here either.
        let candidates = claimed.map_or(vec![(0, tree::groups(size))], |map| map.ranges(true));
        let ranges = tree::chunk_ranges(size, candidates.iter().copied());
        if verbund_protocol::seeded::bug("resume_unverified") {
            candidates.iter().for_each(|(start, end)| (*start..*end).for_each(|group| self.bitmap.insert(group)));
        }
        let root = blake3::Hash::from(*hash.as_bytes());
        let outboard = PostOrderOutboard { root, tree: self.tree, data: &self.outboard };
        for range in valid_ranges(outboard, &self.data, &ranges) {
            let range = range.map_err(StoreError::io("read", &self.paths.data))?;
            let (start, end) = (range.start.to_bytes() / GROUP_BYTES, range.end.to_bytes().div_ceil(GROUP_BYTES));
            (start..end.max(start + 1)).for_each(|group| self.bitmap.insert(group));
        }
        self.meter.resumed(self.present_bytes());
        let prefix = self.bitmap.ranges(true).first().map_or(0, |(start, end)| if *start == 0 { *end } else { 0 });
        self.extend_digest((prefix * GROUP_BYTES).min(size))
    }

    pub(super) const fn expect(&self) -> &Expect {
        &self.expect
    }

    pub(super) const fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.bitmap.is_complete()
    }

    /// Missing ranges `[start, end)` of groups.
    pub(super) fn missing(&self) -> Vec<(u64, u64)> {
        self.bitmap.ranges(false)
    }

    /// The proof that groups of `ranges` have to follow.
    pub(super) fn proof(&self, ranges: ChunkRanges) -> Proof {
        Proof::new(*self.expect.hash.as_bytes(), self.expect.size, ranges)
    }

    fn present_bytes(&self) -> u64 {
        self.bitmap.present().saturating_mul(GROUP_BYTES).min(self.expect.size)
    }

    /// Takes a verified pair.
    pub(super) fn put_pair(&mut self, node: TreeNode, pair: &Pair) {
        if let Some(at) = tree::pair_offset(self.tree, node) {
            self.pairs.insert(at, *pair);
        }
    }

    /// Room for the group at `offset`, to be filled and verified in place. It must be followed by [`Self::keep`] or
    /// [`Self::discard`].
    pub(super) fn slot(&mut self, offset: u64, len: usize) -> Result<&mut [u8], StoreError> {
        let end = self.buffer_at + self.buffer.len() as u64;
        if !self.buffer.is_empty() && (end != offset || self.buffer.len() + len > CHUNK_BYTES) {
            self.write()?;
        }
        if self.buffer.is_empty() {
            self.buffer_at = offset;
        }
        let start = self.buffer.len();
        self.buffer.resize(start + len, 0);
        Ok(&mut self.buffer[start..])
    }

    /// The group in the last slot is valid.
    pub(super) fn keep(&mut self, offset: u64, len: usize) {
        self.meter.verified(len as u64, offset < self.high_water);
    }

    /// The group in the last slot is not valid, or did not arrive.
    pub(super) fn discard(&mut self, len: usize) {
        self.buffer.truncate(self.buffer.len().saturating_sub(len));
    }

    /// Writes what was kept, and now and then claims it.
    fn write(&mut self) -> Result<(), StoreError> {
        let written = self.buffer.len() as u64;
        self.data.write_all_at(&self.buffer, self.buffer_at).map_err(StoreError::io("write", &self.paths.data))?;
        self.write_pairs()?;
        if let Some(digest) = self.digest.as_mut().filter(|digest| digest.at == self.buffer_at) {
            digest.state.update(&self.buffer);
            digest.at += written;
        }
        let (start, end) = (self.buffer_at / GROUP_BYTES, (self.buffer_at + written).div_ceil(GROUP_BYTES));
        (start..end).for_each(|group| self.bitmap.insert(group));
        self.buffer.clear();
        self.unclaimed += written;
        if self.unclaimed >= CLAIM_BYTES {
            self.begin_writeback(self.buffer_at + written);
            self.write_claim()?;
            self.store.check_floor(0)?;
        }
        Ok(())
    }

    /// Has the system begin to write the bytes before `end` to the disk, so that the disk works while more is received and the sync at
    /// the end finds little left. A hint and no more: what is durable, [`Self::sync`] decides, which also reports what failed here.
    ///
    /// `POSIX_FADV_DONTNEED` starts the writing of dirty pages (Linux, mm/fadvise.c) and drops clean ones; these were just written,
    /// so none is dropped.
    fn begin_writeback(&self, end: u64) {
        let (start, len) = (end.saturating_sub(self.unclaimed), NonZeroU64::new(self.unclaimed));
        if let Err(error) = fadvise(&self.data, start, len, Advice::DontNeed) {
            tracing::debug!(%error, "the system does not begin to write early");
        }
    }

    /// Writes pairs in as few calls as their places allow: those of a complete subtree lie side by side.
    fn write_pairs(&mut self) -> Result<(), StoreError> {
        let pairs = std::mem::take(&mut self.pairs);
        let (mut run, mut run_at) = (Vec::with_capacity(pairs.len() * tree::PAIR_BYTES), 0);
        for (at, pair) in pairs {
            if run_at + run.len() as u64 != at {
                self.write_run(&run, run_at)?;
                run.clear();
                run_at = at;
            }
            run.extend_from_slice(&pair);
        }
        self.write_run(&run, run_at)
    }

    fn write_run(&self, run: &[u8], at: u64) -> Result<(), StoreError> {
        self.outboard.write_all_at(run, at).map_err(StoreError::io("write", &self.paths.outboard))
    }

    fn write_claim(&mut self) -> Result<(), StoreError> {
        let stored = self.bitmap.store(&self.bitmap_file, &self.expect.hash, self.expect.size);
        stored.map_err(StoreError::io("write", &self.paths.bitmap))?;
        self.unclaimed = 0;
        Ok(())
    }

    fn extend_digest(&mut self, to: u64) -> Result<(), StoreError> {
        let Some(digest) = self.digest.as_mut() else { return Ok(()) };
        digest.extend(&self.data, to).map_err(StoreError::io("read", &self.paths.data))
    }

    /// Writes and claims everything that was kept, so that nothing of it is received again.
    pub(super) fn suspend(&mut self) -> Result<(), StoreError> {
        if !self.buffer.is_empty() {
            self.write()?;
        }
        self.write_claim()
    }

    /// Makes the artifact available, if it is complete and as expected.
    pub(super) fn finish(mut self) -> Result<(), FinishError> {
        let Expect { hash, size, sha256 } = self.expect;
        self.extend_digest(size)?;
        if let (Some(digest), Some(expected)) = (self.digest.take(), sha256) {
            let actual = Sha256(digest.state.finalize().into());
            if actual != expected && !verbund_protocol::seeded::bug("sha256_unchecked") {
                // Nothing to resume: the same bytes would arrive again.
                self.paths.remove()?;
                return Err(FinishError::Sha256(actual));
            }
        }
        if let Err(error) = self.sync() {
            // The kernel may have dropped pages that it now calls clean: what reads back is not what is on disk.
            self.paths.remove()?;
            return Err(error.into());
        }
        let outboard = tree::has_outboard(size).then_some(self.paths.outboard.as_path());
        self.store.0.layout.publish(&hash, &self.paths.data, outboard)?;
        self.store.state().index.insert(hash, size);
        self.paths.remove()?;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.data.set_len(self.expect.size).map_err(StoreError::io("truncate", &self.paths.data))?;
        if verbund_protocol::seeded::bug("skip_sync_of_received") {
            return Ok(());
        }
        self.data.sync_all().map_err(StoreError::sync(&self.paths.data))?;
        if !tree::has_outboard(self.expect.size) {
            // The file is empty and goes away: most artifacts are of one group, and a sync costs milliseconds.
            return Ok(());
        }
        self.outboard.sync_all().map_err(StoreError::sync(&self.paths.outboard))
    }

    /// Removes everything received so far.
    pub(super) fn forget(store: &BlobStore, hash: &Blake3, size: u64) -> Result<(), StoreError> {
        store.0.layout.partial(hash, size).remove()
    }
}
