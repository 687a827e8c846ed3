//! What a peer can make a connection hold that nobody reads.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use futures::AsyncReadExt as _;
use libp2p::core::muxing::StreamMuxer;
use libp2p::core::upgrade::InboundConnectionUpgrade as _;
use tokio::io::{DuplexStream, duplex, split};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::*;
use crate::net::{limits, mux};

/// One way of the line: yamux grows a window only as far as a round trip is long, and a peer can feign any.
const ONE_WAY: Duration = Duration::from_millis(25);
/// Without progress for this long, the sender has no window left.
const STALLED: Duration = Duration::from_secs(2);

/// Both ends of a long line.
fn line() -> (Compat<DuplexStream>, Compat<DuplexStream>) {
    let ((near, near_end), (far_end, far)) = (duplex(1 << 20), duplex(1 << 20));
    let ((near_out, near_in), (far_out, far_in)) = (split(near_end), split(far_end));
    tokio::spawn(carry(near_out, far_in));
    tokio::spawn(carry(far_out, near_in));
    (near.compat(), far.compat())
}

async fn carry(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin + Send + 'static,
) {
    let (tx, mut rx) = mpsc::channel::<(Instant, Vec<u8>)>(4_096);
    tokio::spawn(async move {
        while let Some((sent, bytes)) = rx.recv().await {
            sleep_until(sent + ONE_WAY).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
    let mut chunk = vec![0; 256 << 10];
    while let Ok(n @ 1..) = from.read(&mut chunk).await {
        if tx.send((Instant::now(), chunk[..n].to_vec())).await.is_err() {
            break;
        }
    }
}

/// A peer sends as much as it can over one stream, of which `read` bytes are read and no more. What it could send beyond.
async fn unread(config: mux::Config, read: u64) -> u64 {
    let (here, there) = line();
    let written = Arc::new(AtomicU64::new(0));
    let sending = written.clone();
    tokio::spawn(async move {
        let mut peer = yamux::Connection::new(there, yamux::Config::default(), yamux::Mode::Client);
        let mut stream = poll_fn(|cx| peer.poll_new_outbound(cx)).await.unwrap();
        tokio::spawn(async move { while poll_fn(|cx| peer.poll_next_inbound(cx)).await.is_some() {} });
        let chunk = vec![7; 64 << 10];
        while let Ok(n) = futures::AsyncWriteExt::write(&mut stream, &chunk).await {
            sending.fetch_add(n as u64, Ordering::Relaxed);
        }
    });
    let mut muxer = config.upgrade_inbound(here, "").await.unwrap();
    let mut stream = within(poll_fn(|cx| Pin::new(&mut muxer).poll_inbound(cx))).await.unwrap();
    // The connection goes on being read, as the library reads it.
    tokio::spawn(poll_fn(move |cx| match Pin::new(&mut muxer).poll(cx) {
        Poll::Ready(Ok(_)) | Poll::Pending => Poll::<()>::Pending,
        Poll::Ready(Err(_)) => Poll::Ready(()),
    }));
    let mut taken = 0;
    let mut chunk = vec![0; 64 << 10];
    while taken < read {
        taken += within(stream.read(&mut chunk)).await.unwrap() as u64;
    }
    let mut before = 0;
    loop {
        let now = written.load(Ordering::Relaxed);
        if now == before {
            return now - taken;
        }
        before = now;
        sleep(STALLED).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_grow_with_the_distance_and_not_beyond_their_bound() {
    let first = u64::from(yamux::DEFAULT_CREDIT);
    let bound = first + limits::MEMBER_WINDOW_GROWTH_BYTES as u64;
    let member = unread(mux::Config::member(), 128 << 20).await;
    assert!(member > 4 * first, "a member's window has not grown: {member}");
    assert!(member <= bound, "{member} bytes that nobody reads, and the bound is {bound}");
    let stranger = unread(mux::Config::stranger(), 8 << 20).await;
    assert!(stranger <= first, "{stranger} bytes of a stranger that nobody reads");
}
