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

/// One frame of yamux, as its specification has it.
fn frame(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    [&[0, kind], flags.to_be_bytes().as_slice(), &stream.to_be_bytes(), &length.to_be_bytes()].concat()
}

/// Feeds `bytes` to a connection and reads it to its end; the streams that it opened.
async fn fed(bytes: Vec<u8>) -> usize {
    let (here, mut there) = duplex(1 << 20);
    let mut muxer = mux::Config::member().upgrade_inbound(here.compat(), "").await.unwrap();
    tokio::spawn(async move {
        let _ = there.write_all(&bytes).await;
        let mut sink = vec![0; 64 << 10];
        let _ = there.shutdown().await;
        while let Ok(1..) = there.read(&mut sink).await {}
    });
    let mut streams = Vec::new();
    while let Ok(stream) = within(poll_fn(|cx| Pin::new(&mut muxer).poll_inbound(cx))).await {
        streams.push(stream);
    }
    streams.len()
}

#[tokio::test]
async fn frames_that_break_every_rule_end_the_connection_and_nothing_else() {
    let [(data, window), (ping, away)] = [(0, 1), (2, 3)];
    let [syn, ack, fin, rst] = [1, 2, 4, 8];
    let opened = frame(window, syn, 1, 0);
    let over = |more: &[Vec<u8>]| [std::slice::from_ref(&opened), more].concat().concat();
    // Windows that overflow, with the stream that they open and after it.
    fed(frame(window, syn, 1, u32::MAX)).await;
    fed(over(&[frame(window, 0, 1, u32::MAX), frame(window, 0, 1, u32::MAX)])).await;
    // More than the window; a body that never comes; a stream opened twice, by the wrong side, or for the connection itself.
    fed(over(&[frame(data, 0, 1, 300 << 10), vec![7; 300 << 10]])).await;
    fed([frame(data, syn, 1, 300 << 10), vec![7; 300 << 10]].concat()).await;
    fed(over(&[frame(data, 0, 1, u32::MAX)])).await;
    fed(over(&[frame(window, syn, 1, 0)])).await;
    fed(frame(window, syn, 2, 0)).await;
    fed(frame(data, syn, 0, 0)).await;
    // Ends of what never began, everything at once, kinds and versions that do not exist.
    fed(over(&[frame(data, fin | rst | ack | syn, 1, 0), frame(data, fin, 1, 0), frame(window, 0, 1, 9)])).await;
    fed([frame(ping, syn, 0, 1), frame(ping, ack, 0, 2), frame(ping, 0, 9, 3), frame(away, 0, 0, 7)].concat()).await;
    fed(vec![255; 64]).await;
    let streams: Vec<_> = (0..limits::MEMBER_STREAMS as u32 + 40).map(|n| frame(window, syn, 2 * n + 1, 0)).collect();
    assert_eq!(fed(streams.concat()).await, limits::MEMBER_STREAMS, "no more than were agreed on");
    // Anything: a different sequence for each seed.
    for seed in 0..400_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut bytes = Vec::new();
        for _ in 0..1 + next(30) {
            let length = [0, 1, 40, 16 << 10, 256 << 10, 1 << 31, u64::from(u32::MAX)][next(7) as usize];
            let kind = next(5) as u8;
            bytes.extend(frame(kind, next(16) as u16, next(8) as u32, length as u32));
            if kind == data && length <= 256 << 10 {
                bytes.extend(vec![7; length as usize]);
            }
        }
        fed(bytes).await;
    }
}
