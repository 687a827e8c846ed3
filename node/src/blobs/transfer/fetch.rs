//! The client's side: asks one holder for what is missing of one artifact, and says whose fault it is if it does not arrive.
//!
//! The stream is read by the calling task; verifying and writing run on one blocking thread behind a bounded queue. Dropping the
//! future closes the queue, and the thread then writes and claims what it has: what was received stays.

use std::io;
use std::time::Duration;

use bao_tree::ChunkRanges;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fault::{FetchError, Mismatch, PeerFault};
use super::pace::{Demand, Pace};
use super::wire::{self, RESPONSE_MAX_BYTES, Refusal, Request, Response, size_proof_ranges};
use super::writer::{self, Feed, Outcome};
use crate::blobs::error::StoreError;
use crate::blobs::partial::Partial;
use crate::blobs::tree::{self, PAIR_BYTES, Proof, Step};
use crate::blobs::{BlobStore, CHUNK_BYTES, Expect, QUEUE_CHUNKS, Receive, Receiving, Totals, blocking};

/// What a holder has to keep up.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// Longest wait until the request is taken, and until the answer to it begins.
    pub response_timeout: Duration,
    /// Longest time without a byte.
    pub stall_timeout: Duration,
    /// Bytes per second, on average over `rate_window` of waiting for the holder; 0 demands nothing.
    pub min_rate: u64,
    /// Time of waiting over which the rate is looked at.
    pub rate_window: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { response_timeout: 20 * second, stall_timeout: 30 * second, min_rate: 4 << 10, rate_window: 60 * second }
    }
}

/// How long a holder may take to end the stream behind the last byte; then nobody waits for it any more.
const END_GRACE: Duration = Duration::from_secs(1);

/// An artifact that is here, complete, verified and durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Its size in bytes.
    pub size: u64,
    /// What it took, over all holders that were asked with the same [`Receiving`].
    pub totals: Totals,
}

impl Receiving {
    /// Makes the artifact available if everything of it is here already, so that no holder has to be asked.
    ///
    /// # Errors
    /// [`FetchError::Local`] and [`FetchError::Expectation`].
    pub async fn try_finish(&mut self) -> Result<Option<Fetched>, FetchError> {
        if self.partial.as_ref().is_some_and(|partial| partial.is_complete())
            && let Some(partial) = self.partial.take()
        {
            let finished = blocking(move || partial.finish().map_err(FetchError::from)).await;
            finished.inspect_err(|error| note(&self.store, error))?;
        }
        Ok(self.store.has(&self.expect.hash).then(|| self.fetched()))
    }

    fn fetched(&self) -> Fetched {
        Fetched { size: self.expect.size, totals: self.counters.snapshot() }
    }
}

/// Fetches one artifact from one holder: [`BlobStore::receive`] and [`fetch`] together.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch_once<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    store: &BlobStore,
    expect: Expect,
    limits: &FetchLimits,
) -> Result<Fetched, FetchError> {
    match store.receive(expect).await? {
        Receive::Held(size) if size == expect.size => Ok(Fetched { size, totals: Totals::default() }),
        Receive::Held(actual) => Err(Mismatch::Size { actual }.into()),
        Receive::Begun(mut receiving) => fetch(stream, &mut receiving, limits).await,
    }
}

/// Asks one holder for what is missing. After an error by a peer or the connection, the same `receiving` may be used with the
/// next holder; what was received stays.
///
/// Dropping the future is safe: what was received stays on disk, but `receiving` is spent, and for a moment
/// [`BlobStore::receive`] may answer [`StoreError::InProgress`].
///
/// # Errors
/// [`FetchError`], which says whose fault it is.
pub async fn fetch<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    receiving: &mut Receiving,
    limits: &FetchLimits,
) -> Result<Fetched, FetchError> {
    if let Some(fetched) = receiving.try_finish().await? {
        return Ok(fetched);
    }
    let expect = receiving.expect;
    let partial = receiving.partial.take().ok_or(StoreError::InProgress(expect.hash))?;
    let plan = blocking(move || Ok::<_, StoreError>(Plan::new(partial))).await?;
    let (request, ranges, len) = (plan.request, plan.ranges, plan.len);
    receiving.partial = Some(plan.partial);

    let response = ask(&mut stream, &request, limits).await?;
    match response {
        Response::Ok { size } if size == expect.size => {}
        Response::Ok { size } => return Err(PeerFault::WrongSize { claimed: size }.into()),
        Response::Refused(Refusal::SizeDiffers { size }) => {
            let error = prove_size(&mut stream, &expect, size, limits).await;
            if matches!(error, FetchError::Expectation(_)) {
                // Nothing can ever complete it.
                receiving.partial = None;
                let store = receiving.store.clone();
                blocking(move || Partial::forget(&store, &expect.hash, expect.size)).await?;
            }
            return Err(error);
        }
        Response::Refused(reason) => return Err(PeerFault::Refused(reason).into()),
    }
    let partial = receiving.partial.take().ok_or(StoreError::InProgress(expect.hash))?;
    let (partial, result) = transfer(stream, partial, ranges, len, limits).await;
    receiving.partial = partial;
    result.inspect_err(|error| note(&receiving.store, error)).map(|()| receiving.fetched())
}

/// A failed sync is remembered by the store.
fn note(store: &BlobStore, error: &FetchError) {
    if let FetchError::Local(error) = error {
        store.note(error);
    }
}

/// What to ask for.
struct Plan {
    partial: Box<Partial>,
    request: Request,
    ranges: ChunkRanges,
    /// Bytes of the response's encoding.
    len: u64,
}

impl Plan {
    fn new(partial: Box<Partial>) -> Self {
        let Expect { hash, size, .. } = *partial.expect();
        let request = Request::for_groups(hash, size, &partial.missing());
        // Its own requests are well formed; if one were not, the holder would refuse it.
        let ranges = request.chunk_ranges().unwrap_or_else(|_| ChunkRanges::empty());
        let len = tree::encoded_len(size, &ranges);
        Self { partial, request, ranges, len }
    }
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &Request,
    limits: &FetchLimits,
) -> Result<Response, FetchError> {
    let stalled = |_| FetchError::Peer(PeerFault::Stalled);
    timeout(limits.response_timeout, wire::write(stream, request)).await.map_err(stalled)??;
    Ok(timeout(limits.response_timeout, wire::read(stream, RESPONSE_MAX_BYTES)).await.map_err(stalled)??)
}

/// Whether the holder can prove the size that it claims: then the manifest is wrong, otherwise the holder.
async fn prove_size(
    stream: &mut (impl AsyncRead + Unpin),
    expect: &Expect,
    claimed: u64,
    limits: &FetchLimits,
) -> FetchError {
    let wrong = FetchError::Peer(PeerFault::WrongSize { claimed });
    if claimed == expect.size || claimed > tree::SIZE_MAX {
        return wrong;
    }
    let ranges = size_proof_ranges(claimed);
    // One parent for each level and one group: about 18 KiB.
    let mut bytes = vec![0; usize::try_from(tree::encoded_len(claimed, &ranges)).unwrap_or(0)];
    match timeout(limits.response_timeout, stream.read_exact(&mut bytes)).await {
        Err(_) => return PeerFault::Stalled.into(),
        Ok(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => return PeerFault::Truncated.into(),
        Ok(Err(e)) => return FetchError::Connection(e),
        Ok(Ok(())) => {}
    }
    let mut proof = Proof::new(*expect.hash.as_bytes(), claimed, ranges);
    let mut rest = bytes.as_slice();
    while let Some(step) = proof.next() {
        let valid = match step {
            Step::Parent { is_root, left, right, .. } => {
                rest.split_first_chunk::<PAIR_BYTES>().is_some_and(|(pair, tail)| {
                    rest = tail;
                    proof.parent((is_root, left, right), pair)
                })
            }
            Step::Leaf { offset, len, is_root } => rest.split_at_checked(len).is_some_and(|(group, tail)| {
                rest = tail;
                proof.leaf(offset, is_root, group)
            }),
        };
        if !valid && !verbund_protocol::seeded::bug("believe_a_holders_size") {
            return wrong;
        }
    }
    Mismatch::Size { actual: claimed }.into()
}

/// Receives the encoding. Returns the partial unless the artifact is complete, or was refused for good.
async fn transfer(
    mut stream: impl AsyncRead + Unpin,
    partial: Box<Partial>,
    ranges: ChunkRanges,
    len: u64,
    limits: &FetchLimits,
) -> (Option<Box<Partial>>, Result<(), FetchError>) {
    let meter = partial.meter().clone();
    let (chunks, queue) = mpsc::channel(QUEUE_CHUNKS);
    let (spare, mut spares) = mpsc::channel(QUEUE_CHUNKS);
    let work = tokio::task::spawn_blocking(move || writer::run(partial, ranges, queue, &spare));
    let FetchLimits { stall_timeout: stall, min_rate, rate_window: window, .. } = *limits;
    let mut pace = Pace::new(Demand { stall, min_rate, window });

    let (mut left, mut received, mut fault) = (len, 0, None);
    while left > 0 && fault.is_none() {
        let mut chunk = spares.try_recv().unwrap_or_else(|_| vec![0; CHUNK_BYTES]);
        let want = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let (n, ended) = fill(&mut stream, &mut chunk[..want], &mut pace).await;
        fault = ended;
        left -= n as u64;
        received += n as u64;
        meter.received(n as u64);
        // A closed queue means that the writer has ended; its result says why.
        if n > 0 && chunks.send(Feed::Chunk(chunk, n)).await.is_err() {
            break;
        }
    }
    if left == 0 && fault.is_none() {
        match timeout(END_GRACE, stream.read(&mut [0])).await {
            Ok(Ok(n)) if n > 0 => fault = Some(PeerFault::OverLong.into()),
            // Complete: how the stream ends does not matter.
            _ => drop(chunks.send(Feed::End).await),
        }
    }
    drop(chunks);
    let Ok(done) = work.await else { return (None, Err(StoreError::Stopped.into())) };
    meter.rejected(received.saturating_sub(done.used));
    let result = match done.outcome {
        Outcome::Complete => Ok(()),
        Outcome::Bad { offset } => Err(PeerFault::BadBytes { offset }.into()),
        Outcome::Starved => Err(fault.unwrap_or_else(|| PeerFault::Truncated.into())),
        Outcome::Failed(error) => Err(error.into()),
    };
    (done.partial, result)
}

/// Fills `chunk` as far as the holder delivers. Large chunks keep the number of hand-overs and writes small.
async fn fill(stream: &mut (impl AsyncRead + Unpin), chunk: &mut [u8], pace: &mut Pace) -> (usize, Option<FetchError>) {
    let mut filled = 0;
    while filled < chunk.len() {
        match pace.wait(stream.read(&mut chunk[filled..])).await {
            Ok(Ok(0)) => return (filled, Some(PeerFault::Truncated.into())),
            Ok(Ok(n)) => filled += n,
            Ok(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return (filled, Some(PeerFault::Truncated.into()));
            }
            Ok(Err(e)) => return (filled, Some(FetchError::Connection(e))),
            Err(lag) => return (filled, Some(lag.into())),
        }
    }
    (filled, None)
}

impl BlobStore {
    /// Forgets what was received of an artifact that cannot be completed, for example after [`FetchError::Expectation`].
    ///
    /// # Errors
    /// [`StoreError::InProgress`] while it is received, or a failing disk.
    pub async fn forget_partial(&self, expect: &Expect) -> Result<(), StoreError> {
        let claim = crate::blobs::pins::Claim::take(self, expect.hash).ok_or(StoreError::InProgress(expect.hash))?;
        let (store, expect) = (self.clone(), *expect);
        blocking(move || {
            let _claim = claim;
            Partial::forget(&store, &expect.hash, expect.size)
        })
        .await
    }
}
