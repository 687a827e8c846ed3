//! A connection whose client must take what waits for it.
//!
//! Owns the rule against slow readers: while bytes wait to be written, the client takes at least [`MIN_PROGRESS_BYTES`] in each
//! time span, or the connection fails. Waiting for requests is bounded elsewhere (head timeout).

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a client takes at least within the time span, in bytes: 2 KiB/s at the default, far below any line worth serving.
pub(super) const MIN_PROGRESS_BYTES: usize = 64 << 10;

/// What the client took since it began to keep us waiting.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meter {
    /// Bytes taken since the span began; `None` while nothing waits.
    taken: Option<usize>,
}

impl Meter {
    /// A write has to wait. Returns whether a new span begins now.
    fn wait(&mut self) -> bool {
        let begins = self.taken.is_none();
        self.taken.get_or_insert(0);
        begins
    }

    /// Bytes were taken: enough of them end the span.
    fn progress(&mut self, bytes: usize) {
        if let Some(taken) = &mut self.taken {
            *taken = taken.saturating_add(bytes);
            if *taken >= MIN_PROGRESS_BYTES {
                self.taken = None;
            }
        }
    }

    /// Nothing waits any more.
    fn rest(&mut self) {
        self.taken = None;
    }
}

/// Wraps a connection (below TLS).
pub(super) struct Paced<S> {
    inner: S,
    span: Duration,
    deadline: Pin<Box<Sleep>>,
    meter: Meter,
}

impl<S> Paced<S> {
    pub(super) fn new(inner: S, span: Duration) -> Self {
        Self { inner, span, deadline: Box::pin(tokio::time::sleep(span)), meter: Meter::default() }
    }

    fn judge(&mut self, outcome: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Pending => {
                if self.meter.wait() {
                    self.deadline.as_mut().reset(Instant::now() + self.span);
                }
                ready!(self.deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes too little of its answer")))
            }
            Poll::Ready(Ok(bytes)) => {
                self.meter.progress(bytes);
                Poll::Ready(Ok(bytes))
            }
            failed => failed,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// TLS flushes here only after all its bytes were written: nothing waits any more.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.meter.rest();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Short, because these tests wait for it to pass.
    const SPAN: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut() {
        let (server, _client) = tokio::io::duplex(1024);
        let error = Paced::new(server, SPAN).write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_drips_is_cut() {
        let (server, mut client) = tokio::io::duplex(1024);
        let drip = tokio::spawn(async move {
            let mut byte = [0; 1];
            while client.read_exact(&mut byte).await.is_ok() {
                tokio::time::sleep(SPAN / 20).await;
            }
        });
        let error = Paced::new(server, SPAN).write_all(&[0; 8192]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drip.abort();
    }

    #[test]
    fn a_span_begins_with_waiting_and_ends_with_enough_progress() {
        let mut meter = Meter::default();
        assert!(meter.wait());
        meter.progress(MIN_PROGRESS_BYTES - 1);
        assert!(!meter.wait(), "too little does not begin a new span");
        meter.progress(1);
        assert!(meter.wait(), "enough does");
    }

    #[test]
    fn nothing_is_measured_while_nothing_waits() {
        let mut meter = Meter::default();
        meter.progress(1);
        assert_eq!(meter, Meter::default());
        assert!(meter.wait());
        meter.rest();
        assert!(meter.wait(), "an idle time in between does not count");
    }
}
