//! The request protocols `/verbund/1/sync` and `/verbund/1/join`: frames, their caps and the types around them.
//!
//! A request is `length: u32 big-endian, bytes`; an answer is `status: u8` (0 answered, 1 busy: try later, 2 not answered)
//! followed by the same, empty unless answered. Owns the framing and its memory: a length is checked against its cap before
//! anything is allocated, the buffer grows only as bytes arrive, and every byte held is taken from a budget. Never looks into
//! the bytes.

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::{self as rr, OutboundFailure, ProtocolSupport};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::limits;
use super::metrics::Counters;

/// A request protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `/verbund/1/sync`, between members.
    Sync,
    /// `/verbund/1/join`, for strangers and members.
    Join,
}

impl Protocol {
    /// The name that is negotiated.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "/verbund/1/sync",
            Self::Join => "/verbund/1/join",
        }
    }
    /// Longest request, in bytes.
    pub const fn request_max_bytes(self) -> usize {
        match self {
            Self::Sync => limits::SYNC_MAX_BYTES,
            Self::Join => limits::JOIN_REQUEST_MAX_BYTES,
        }
    }
    /// Longest answer, in bytes.
    pub const fn answer_max_bytes(self) -> usize {
        match self {
            Self::Sync => limits::SYNC_MAX_BYTES,
            Self::Join => limits::JOIN_ANSWER_MAX_BYTES,
        }
    }
}

/// Why a request brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no connection to the peer; for members one is being made.
    #[error("not connected")]
    NotConnected,
    /// The peer does not offer the protocol: it does not list this node as a member, or its join protocol is off.
    #[error("the peer does not offer this protocol to us")]
    Unsupported,
    /// The peer, or this node, has too many requests in work: try again later.
    #[error("busy: too many requests in work")]
    Busy,
    /// The peer took the request and gave no answer.
    #[error("the peer did not answer")]
    NotAnswered,
    /// No answer within the time-out; the peer may have acted on the request.
    #[error("no answer in time")]
    TimedOut,
    /// The connection or stream ended; the peer may have acted on the request.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Request or answer is over its cap, in bytes.
    #[error("{len} bytes are over the limit of {max}")]
    TooLarge {
        /// Length in bytes.
        len: u64,
        /// The cap in bytes.
        max: u64,
    },
    /// The network task has ended.
    #[error("the network is shut down")]
    Closed,
}

/// A frame over its cap; travels inside an `io::Error`.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a frame of {len} bytes is over the limit of {max}")]
struct Oversize {
    len: u64,
    max: u64,
}

/// No memory left for frames; travels inside an `io::Error`.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the memory for frames is in use")]
struct NoBudget;

/// A frame read from the network and the memory it holds.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) budget: Option<OwnedSemaphorePermit>,
}

/// What goes back.
#[derive(Debug)]
pub(super) enum Answer {
    Bytes(Frame),
    Busy,
    NotAnswered,
}

impl Answer {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self::Bytes(Frame { bytes, budget: None })
    }
}

/// The behaviour of one request protocol.
pub(super) type Behaviour = rr::Behaviour<Codec>;
/// Its events.
pub(super) type Event = rr::Event<Frame, Answer>;
/// The way back of one request.
pub(super) type Channel = rr::ResponseChannel<Answer>;

/// Reads and writes frames.
#[derive(Clone)]
pub(super) struct Codec {
    protocol: Protocol,
    /// Memory for requests that were read and are in work.
    requests: Arc<Semaphore>,
    /// Memory for answers being read.
    answers: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Codec {
    pub(super) fn new(protocol: Protocol, answers: Arc<Semaphore>, counters: Arc<Counters>) -> Self {
        let bytes = match protocol {
            Protocol::Sync => limits::SYNC_BUDGET_BYTES,
            Protocol::Join => limits::JOIN_BUDGET_BYTES,
        };
        Self { protocol, requests: Arc::new(Semaphore::new(bytes)), answers, counters }
    }

    async fn read_frame<T>(&self, io: &mut T, max: usize, budget: &Arc<Semaphore>) -> io::Result<Frame>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut header = [0; 4];
        io.read_exact(&mut header).await?;
        let len = u32::from_be_bytes(header) as usize;
        if len > max {
            self.counters.oversize.one();
            return Err(io::Error::new(io::ErrorKind::InvalidData, Oversize { len: len as u64, max: max as u64 }));
        }
        let mut bytes = Vec::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
        while bytes.len() < len {
            // Room for what may arrive next, and only that: an announced length costs one step.
            let step = (len - bytes.len()).min(limits::FRAME_STEP_BYTES);
            let permit = u32::try_from(step).ok().and_then(|n| budget.clone().try_acquire_many_owned(n).ok());
            let Some(permit) = permit else {
                self.counters.budget_full.one();
                return Err(io::Error::new(io::ErrorKind::OutOfMemory, NoBudget));
            };
            match &mut held {
                Some(held) => held.merge(permit),
                None => held = Some(permit),
            }
            bytes.reserve_exact(step);
            let filled = bytes.len();
            bytes.resize(filled + step, 0);
            if let Some(room) = bytes.get_mut(filled..) {
                io.read_exact(room).await?;
            }
        }
        Ok(Frame { bytes, budget: held })
    }

    async fn write_frame<T>(&self, io: &mut T, bytes: &[u8], max: usize) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len as usize <= max).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, Oversize { len: bytes.len() as u64, max: max as u64 })
        })?;
        io.write_all(&len.to_be_bytes()).await?;
        io.write_all(bytes).await
    }
}

const ANSWERED: u8 = 0;
const BUSY: u8 = 1;
const NOT_ANSWERED: u8 = 2;

impl rr::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Frame;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Frame>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read_frame(io, self.protocol.request_max_bytes(), &self.requests).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut status = [0];
        io.read_exact(&mut status).await?;
        match status {
            [ANSWERED] => {
                Ok(Answer::Bytes(self.read_frame(io, self.protocol.answer_max_bytes(), &self.answers).await?))
            }
            [BUSY] => Ok(Answer::Busy),
            [NOT_ANSWERED] => Ok(Answer::NotAnswered),
            [other] => Err(io::Error::new(io::ErrorKind::InvalidData, format!("unknown answer status {other}"))),
        }
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, frame: Frame) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.write_frame(io, &frame.bytes, self.protocol.request_max_bytes()).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, answer: Answer) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match answer {
            Answer::Bytes(frame) => {
                io.write_all(&[ANSWERED]).await?;
                self.write_frame(io, &frame.bytes, self.protocol.answer_max_bytes()).await
            }
            Answer::Busy => io.write_all(&[BUSY]).await,
            Answer::NotAnswered => io.write_all(&[NOT_ANSWERED]).await,
        }
    }
}

/// The behaviour of `protocol`; with `serve` off it only asks.
pub(super) fn behaviour(codec: Codec, serve: bool, timeout: std::time::Duration) -> Behaviour {
    let protocol = StreamProtocol::new(codec.protocol.name());
    let streams = match codec.protocol {
        Protocol::Sync => limits::RPC_STREAMS,
        Protocol::Join => limits::STRANGER_RPC_STREAMS,
    };
    let support = if serve { ProtocolSupport::Full } else { ProtocolSupport::Outbound };
    let config = rr::Config::default().with_request_timeout(timeout).with_max_concurrent_streams(streams);
    rr::Behaviour::with_codec(codec, [(protocol, support)], config)
}

/// What a failure of the library means for the caller.
pub(super) fn failure(error: &OutboundFailure) -> RequestError {
    match error {
        OutboundFailure::DialFailure => RequestError::NotConnected,
        OutboundFailure::Timeout => RequestError::TimedOut,
        OutboundFailure::ConnectionClosed => RequestError::Lost("connection closed".to_owned()),
        OutboundFailure::UnsupportedProtocols => RequestError::Unsupported,
        OutboundFailure::Io(e) => {
            if let Some(Oversize { len, max }) = cause(e) {
                RequestError::TooLarge { len: *len, max: *max }
            } else if cause::<NoBudget>(e).is_some() {
                RequestError::Busy
            } else {
                RequestError::Lost(e.to_string())
            }
        }
    }
}

fn cause<E: std::error::Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref().and_then(|e| e.downcast_ref())
}

/// The way back of an inbound request. Dropping it tells the peer that there is no answer.
#[derive(Debug)]
pub struct Responder {
    max: usize,
    tx: oneshot::Sender<Vec<u8>>,
    /// The request's bytes count against the budget until it is answered.
    _budget: Option<OwnedSemaphorePermit>,
}

impl Responder {
    pub(super) fn new(protocol: Protocol, budget: Option<OwnedSemaphorePermit>) -> (Self, oneshot::Receiver<Vec<u8>>) {
        let (tx, rx) = oneshot::channel();
        (Self { max: protocol.answer_max_bytes(), tx, _budget: budget }, rx)
    }

    /// Sends the answer.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`] if it is over the protocol's cap (the peer is told that there is no answer), and
    /// [`RequestError::Closed`] if the request has timed out or its connection is gone.
    pub fn send(self, bytes: Vec<u8>) -> Result<(), RequestError> {
        if bytes.len() > self.max {
            return Err(RequestError::TooLarge { len: bytes.len() as u64, max: self.max as u64 });
        }
        self.tx.send(bytes).map_err(|_| RequestError::Closed)
    }
}

#[cfg(test)]
#[path = "rpc_tests.rs"]
mod tests;
