//! Bodies of answers: files that end exactly where they said, and the record of what went out.
//!
//! Owns the promise that a client never takes half a file for a whole one: whatever goes wrong after the head was sent becomes
//! an error of the body, and the connection is cut short of `Content-Length`.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures::StreamExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::library::ByteStream;
use super::server::counters::{Counters, count};

/// A file's bytes: exactly as many as promised, or an error.
pub(super) struct FileBody {
    first: Option<Bytes>,
    stream: ByteStream,
    remaining: u64,
    stall: Duration,
    deadline: Pin<Box<Sleep>>,
    counters: Arc<Counters>,
}

impl FileBody {
    /// Waits for the first chunk, so that a file that is damaged at once can still be answered with an error. `length` is not
    /// zero; between two chunks the store has `stall`.
    pub(super) async fn open(
        mut stream: ByteStream,
        length: u64,
        stall: Duration,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let first = stream.next().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
        let deadline = Box::pin(tokio::time::sleep(stall));
        Ok(Self { first: Some(first), stream, remaining: length, stall, deadline, counters })
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let chunk = match self.first.take() {
            Some(chunk) => chunk,
            None => match self.stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(chunk)) => chunk?,
                Poll::Ready(None) => return Poll::Ready(Err(io::Error::other("the store ended before the file did"))),
                Poll::Pending => {
                    ready!(self.deadline.as_mut().poll(cx));
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the store gives no bytes")));
                }
            },
        };
        self.deadline.as_mut().reset(tokio::time::Instant::now() + self.stall);
        match self.remaining.checked_sub(chunk.len() as u64) {
            Some(remaining) => self.remaining = remaining,
            None => return Poll::Ready(Err(io::Error::other("the store gave more than the file has"))),
        }
        Poll::Ready(Ok(chunk))
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let outcome = ready!(self.next(cx));
        if let Err(reason) = &outcome {
            count(&self.counters.files_failed);
            tracing::warn!(%reason, "file cut off while being sent");
        }
        Poll::Ready(Some(outcome.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// What a connection is given at a time of an answer in memory, in bytes: the rest stays here, with its share.
const PART_BYTES: usize = 32 << 10;

/// Bytes in memory that hold their share of the memory for answers until nearly all of them are sent.
pub(super) struct HeldBody {
    pub(super) bytes: Bytes,
    pub(super) _share: Option<OwnedSemaphorePermit>,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let part = self.bytes.len().min(PART_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.bytes.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// One line of the access log, complete but for what the body will show.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) peer: std::net::SocketAddr,
    pub(super) method: String,
    /// Without query, tokens redacted, cut to a bounded length.
    pub(super) path: String,
    /// Public id of the token, `anonymous`, or `-` if nobody was let in.
    pub(super) reader: String,
    pub(super) status: u16,
    pub(super) started: Instant,
}

/// Any body, counted; writes the access log when it is done or dropped.
pub(super) struct LoggedBody {
    inner: Body,
    access: Access,
    counters: Arc<Counters>,
    promised: Option<u64>,
    sent: u64,
    ended: bool,
}

impl LoggedBody {
    pub(super) fn new(inner: Body, access: Access, counters: Arc<Counters>) -> Self {
        let promised = inner.size_hint().exact();
        Self { inner, access, counters, promised, sent: 0, ended: false }
    }
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => {}
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let complete = self.ended || self.promised == Some(self.sent);
        if !complete {
            count(&self.counters.bodies_cut);
        }
        self.counters.body_bytes.fetch_add(self.sent, Relaxed);
        let Access { peer, method, path, reader, status, started } = &self.access;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%peer, %method, ?path, %reader, status, bytes = self.sent, complete, ms, "HTTPS request");
    }
}
