//! Many streams over one connection: yamux, with a bound to what a peer can make this node hold.
//!
//! Owns the adapter between the `yamux` crate and the library's transport. The library has one too, but it leaves the receive window
//! of a connection at 1 GiB, up to which a peer that delays its answers to yamux's pings can grow the windows of streams that
//! nobody reads.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::iter::{Once, once};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};

use super::limits;

/// What a peer may have open and unread on one connection.
#[derive(Debug, Clone)]
pub(super) struct Config(yamux::Config);

impl Config {
    /// A member: enough streams for all protocols, and windows that grow with the distance.
    pub(super) fn member() -> Self {
        Self::new(limits::MEMBER_STREAMS, limits::MEMBER_WINDOW_GROWTH_BYTES)
    }

    /// A stranger: few streams, and no more window than each has from the start.
    pub(super) fn stranger() -> Self {
        Self::new(limits::STRANGER_STREAMS, 0)
    }

    fn new(streams: usize, growth: usize) -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(streams);
        config.set_max_connection_receive_window(Some(streams * yamux::DEFAULT_CREDIT as usize + growth));
        Self(config)
    }

    fn begin<C: AsyncRead + AsyncWrite + Unpin>(self, io: C, mode: yamux::Mode) -> Muxer<C> {
        Muxer { connection: yamux::Connection::new(io, self.0, mode), arrived: VecDeque::new(), wanting: None }
    }
}

impl UpgradeInfo for Config {
    type Info = &'static str;
    type InfoIter = Once<Self::Info>;
    fn protocol_info(&self) -> Self::InfoIter {
        once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Config {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;
    fn upgrade_inbound(self, io: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.begin(io, yamux::Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Config {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;
    fn upgrade_outbound(self, io: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.begin(io, yamux::Mode::Client)))
    }
}

/// A connection that carries streams.
pub(super) struct Muxer<C> {
    connection: yamux::Connection<C>,
    /// Streams that arrived while nobody asked for one: reading the connection is also what moves the data of all others.
    arrived: VecDeque<yamux::Stream>,
    /// Who waits for the next of them.
    wanting: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    /// Reads the connection on until a stream arrives.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        self.connection.poll_next_inbound(cx).map(|next| match next {
            Some(stream) => stream.map_err(failed),
            None => Err(failed(yamux::ConnectionError::Closed)),
        })
    }
}

fn failed(error: yamux::ConnectionError) -> io::Error {
    match error {
        yamux::ConnectionError::Io(error) => error,
        other => io::Error::other(other),
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = yamux::Stream;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
        let this = self.get_mut();
        if let Some(stream) = this.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = this.advance(cx);
        if next.is_pending() {
            this.wanting = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
        self.get_mut().connection.poll_new_outbound(cx).map_err(failed)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().connection.poll_close(cx).map_err(failed)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let this = self.get_mut();
        match this.advance(cx) {
            Poll::Ready(Ok(stream)) => {
                // Never more than the streams of the connection.
                this.arrived.push_back(stream);
                if let Some(wanting) = this.wanting.take() {
                    wanting.wake();
                }
                // There may be more to read, of which nobody would be told.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}
