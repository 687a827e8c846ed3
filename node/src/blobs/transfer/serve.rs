//! The holder's side: one request, one verified encoding.
//!
//! Must never send a byte that has not been verified while it was read, nor say anything about an artifact that the caller's
//! `authorize` does not grant. Gives a stream up by dropping it unclosed, which the other side sees as a reset.

use std::time::Duration;

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use verbund_protocol::ids::Blake3;

use super::pace::{Demand, Lag, Pace};
use super::wire::{self, FrameError, REQUEST_MAX_BYTES, Refusal, Request, Response, size_proof_ranges};
use crate::blobs::error::ReadError;
use crate::blobs::reader::Pump;
use crate::blobs::walk::{Output, Walk};
use crate::blobs::{BlobStore, blocking};

/// Whether a peer may have an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Serve,
    /// Nothing of this federation refers to it: as if it were not here.
    NotFound,
    /// It is restricted to others.
    NotAllowed,
    /// The peer is being served as much at a time as it may be.
    Busy,
}

/// What a client has to keep up.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Longest wait for the whole request.
    pub request_timeout: Duration,
    /// Longest time in which the client takes no byte.
    pub stall_timeout: Duration,
    /// Bytes per second that a client has to take, on average over `rate_window`; 0 demands nothing. Keeps a few slow clients
    /// from holding every place.
    pub min_rate: u64,
    /// Time of waiting over which the rate is looked at.
    pub rate_window: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { request_timeout: 10 * second, stall_timeout: 30 * second, min_rate: 4 << 10, rate_window: 60 * second }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The requested ranges were sent.
    Sent {
        /// The artifact.
        hash: Blake3,
        /// Bytes sent, with hashes.
        bytes: u64,
    },
    /// The client was told why it gets nothing.
    Refused {
        /// The artifact, if the request could be read.
        hash: Option<Blake3>,
        /// The reason.
        reason: Refusal,
    },
}

/// Why a request could not be answered to the end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The client took too long to ask, or to take what it asked for.
    #[error("client is too slow")]
    Slow,
    /// The stream broke.
    #[error("stream: {0}")]
    Connection(std::io::Error),
    /// The artifact could not be read further; the stream was reset after verified bytes only.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Lag> for ServeError {
    fn from(_: Lag) -> Self {
        Self::Slow
    }
}

impl From<FrameError> for ServeError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(e) => Self::Connection(e),
            other => Self::Connection(std::io::Error::other(other)),
        }
    }
}

/// Answers one request. `authorize` decides from memory, for the peer at the other end.
///
/// # Errors
/// [`ServeError`]; the stream is then reset. Dropping the future resets it, too.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    store: &BlobStore,
    authorize: impl Fn(&Blake3) -> Decision,
    limits: &ServeLimits,
) -> Result<Served, ServeError> {
    let request = timeout(limits.request_timeout, wire::read::<Request>(&mut stream, REQUEST_MAX_BYTES)).await;
    let request = match request.map_err(|_| ServeError::Slow)? {
        Ok(request) => request,
        Err(FrameError::Version(_) | FrameError::Codec(_)) => {
            return refuse(stream, None, Refusal::BadRequest, limits).await;
        }
        Err(error) => return Err(error.into()),
    };
    let hash = request.hash;
    match authorize(&hash) {
        Decision::Serve => {}
        Decision::NotFound => return refuse(stream, Some(hash), Refusal::NotFound, limits).await,
        Decision::NotAllowed => return refuse(stream, Some(hash), Refusal::NotAllowed, limits).await,
        Decision::Busy => return refuse(stream, Some(hash), Refusal::Busy, limits).await,
    }
    let Ok(_place) = store.0.serving.clone().try_acquire_owned() else {
        return refuse(stream, Some(hash), Refusal::Busy, limits).await;
    };
    match prepare(store, &request).await {
        Ok((response, pump)) => send(stream, hash, response, pump, limits).await,
        Err(reason) => refuse(stream, Some(hash), reason, limits).await,
    }
}

/// Opens the artifact and begins to read. What can be said in words is found out here, before the first byte is sent.
async fn prepare(store: &BlobStore, request: &Request) -> Result<(Response, Pump), Refusal> {
    let (opener, hash) = (store.clone(), request.hash);
    let held = blocking(move || opener.held(&hash)).await.map_err(|error| refusal(&error))?;
    let size = held.size;
    let (response, ranges) = if size == request.size {
        (Response::Ok { size }, request.chunk_ranges().map_err(|_| Refusal::BadRequest)?)
    } else {
        (Response::Refused(Refusal::SizeDiffers { size }), size_proof_ranges(size))
    };
    Ok((response, Pump::new(store.clone(), Walk::new(held, ranges, Output::Encoded))))
}

const fn refusal(error: &ReadError) -> Refusal {
    match error {
        ReadError::NotHeld(_) => Refusal::NotFound,
        ReadError::Corrupt { .. } => Refusal::Corrupt,
        _ => Refusal::Unavailable,
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    hash: Blake3,
    response: Response,
    mut pump: Pump,
    limits: &ServeLimits,
) -> Result<Served, ServeError> {
    let ServeLimits { stall_timeout: stall, min_rate, rate_window: window, .. } = *limits;
    let mut pace = Pace::new(Demand { stall, min_rate, window });
    // The first chunk is read before anything is said, so that damage near the start is still told in words.
    let mut chunk = match pump.next().await {
        Ok(chunk) => chunk,
        Err(error) => {
            tracing::warn!(%hash, %error, "cannot serve");
            return refuse(stream, Some(hash), refusal(&error), limits).await;
        }
    };
    write_all(&mut stream, &wire::frame(&response)?, &mut pace).await?;
    let mut bytes = 0;
    while let Some(data) = chunk {
        write_all(&mut stream, &data, &mut pace).await?;
        bytes += data.len() as u64;
        chunk = pump.next().await.inspect_err(|error| tracing::warn!(%hash, %error, "stopped serving"))?;
    }
    close(stream, limits).await?;
    Ok(match response {
        Response::Ok { .. } => Served::Sent { hash, bytes },
        Response::Refused(reason) => Served::Refused { hash: Some(hash), reason },
    })
}

async fn write_all(stream: &mut (impl AsyncWrite + Unpin), mut data: &[u8], pace: &mut Pace) -> Result<(), ServeError> {
    while !data.is_empty() {
        let n = pace.wait(stream.write(data)).await?.map_err(ServeError::Connection)?;
        if n == 0 {
            return Err(ServeError::Connection(std::io::ErrorKind::WriteZero.into()));
        }
        data = data.get(n..).unwrap_or_default();
    }
    Ok(())
}

async fn close(mut stream: impl AsyncWrite + Unpin, limits: &ServeLimits) -> Result<(), ServeError> {
    match timeout(limits.stall_timeout, stream.close()).await {
        Ok(closed) => closed.map_err(ServeError::Connection),
        Err(_) => Err(ServeError::Slow),
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    hash: Option<Blake3>,
    reason: Refusal,
    limits: &ServeLimits,
) -> Result<Served, ServeError> {
    let written = timeout(limits.stall_timeout, wire::write(&mut stream, &Response::Refused(reason))).await;
    written.map_err(|_| ServeError::Slow)??;
    close(stream, limits).await?;
    Ok(Served::Refused { hash, reason })
}
