//! Gathers what is written in pieces before it is encrypted.
//!
//! The multiplexer writes a frame as head and body and flushes after each; every piece would become a TLS record and a system call of
//! its own, two for each 16 KiB of an artifact. Owns the order of bytes and the promise that whatever was flushed leaves: a flush is put
//! off until the writer's task has run once more without writing, never longer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

/// Bytes gathered: four full TLS records.
const GATHERED_MAX: usize = 64 << 10;

/// See the module.
pub(super) struct Coalesce<S> {
    inner: S,
    gathered: Vec<u8>,
    /// Bytes at the start of `gathered` that the inner stream has taken.
    taken: usize,
    /// A flush was put off, and nothing was written since.
    put_off: bool,
}

impl<S: AsyncWrite + Unpin> Coalesce<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner, gathered: Vec::new(), taken: 0, put_off: false }
    }

    /// What is written to.
    #[cfg(test)]
    pub(super) const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Hands everything gathered to the inner stream.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.taken < self.gathered.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.gathered[self.taken..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.taken += n,
            }
        }
        self.gathered.clear();
        self.taken = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Coalesce<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalesce<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.put_off = false;
        if self.gathered.len() + buf.len() > GATHERED_MAX {
            ready!(self.drain(cx))?;
        }
        if buf.len() >= GATHERED_MAX {
            return Pin::new(&mut self.inner).poll_write(cx, buf);
        }
        self.gathered.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() && !self.put_off {
            // More may come before the task rests. It runs again at once, and then what is here goes.
            self.put_off = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    use super::*;

    /// Takes at most `step` bytes at a time, and counts calls.
    struct Sink {
        bytes: Vec<u8>,
        step: usize,
        writes: usize,
        flushes: usize,
    }

    impl AsyncWrite for Sink {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let n = buf.len().min(self.step);
            self.bytes.extend_from_slice(&buf[..n]);
            self.writes += 1;
            Poll::Ready(Ok(n))
        }
        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn sink(step: usize) -> Coalesce<Sink> {
        Coalesce::new(Sink { bytes: Vec::new(), step, writes: 0, flushes: 0 })
    }

    #[test]
    fn frames_that_are_flushed_one_by_one_leave_together() {
        let (mut stream, mut cx) = (sink(usize::MAX), Context::from_waker(Waker::noop()));
        let mut expected = Vec::new();
        for n in 0..3_u8 {
            for piece in [vec![n; 12], vec![n; 16 << 10]] {
                expected.extend_from_slice(&piece);
                assert!(
                    matches!(Pin::new(&mut stream).poll_write(&mut cx, &piece), Poll::Ready(Ok(len)) if len == piece.len())
                );
            }
            assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_pending());
        }
        assert_eq!(stream.inner.writes, 0);
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready(), "the second flush in a row is one");
        assert_eq!((stream.inner.writes, stream.inner.flushes), (1, 1));
        assert_eq!(stream.inner.bytes, expected);
    }

    #[tokio::test]
    async fn order_is_kept_over_pieces_of_any_size() {
        for step in [1, 1_000, 70_000] {
            let mut stream = sink(step);
            let mut expected = Vec::new();
            for len in [1, 12, 65_535, 65_536, 3, 200_000, 40_000, 40_000] {
                let piece: Vec<u8> = (0..len).map(|i| u8::try_from((i * 7 + len) % 251).unwrap()).collect();
                stream.write_all(&piece).await.unwrap();
                expected.extend_from_slice(&piece);
                if len % 2 == 1 {
                    stream.flush().await.unwrap();
                    assert_eq!(stream.inner.bytes, expected);
                }
            }
            stream.close().await.unwrap();
            assert_eq!(stream.inner.bytes, expected, "a close loses nothing");
        }
    }

    #[tokio::test]
    async fn a_flush_reaches_the_other_end_without_another_write() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut near, mut far) = (Coalesce::new(near.compat()), far.compat());
        near.write_all(b"hello").await.unwrap();
        near.flush().await.unwrap();
        let mut got = [0; 5];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }
}
