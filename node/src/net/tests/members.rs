//! What members may do, and how they stay connected.

use super::*;
use crate::net::{PublishError, StreamError, keylog, limits};
use verbund_protocol::limits::{FRAME_MAX_BYTES, GOSSIP_MAX_BYTES};

async fn talks(a: &mut Node, b: &mut Node) {
    let answer = within(a.net.request(b.peer, Protocol::Sync, b"hello".to_vec())).await.unwrap();
    assert_eq!(answer, b"re:hello");
    assert_eq!(within(a.net.request(b.peer, Protocol::Join, b"j".to_vec())).await.unwrap(), b"re:j", "members, too");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(echoed(a, b, &bytes).await, bytes);
    a.ready(b.peer).await;
    b.ready(a.peer).await;
    let message = vec![9; GOSSIP_MAX_BYTES];
    a.net.publish(message.clone()).unwrap();
    b.wait("gossip", |s| (*s == Seen::Gossip(a.peer, message.clone())).then_some(())).await;
    assert_eq!(a.net.publish(vec![0; GOSSIP_MAX_BYTES + 1]), Err(PublishError::TooLarge(GOSSIP_MAX_BYTES + 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_talk_over_ipv4() {
    let (mut a, mut b) = pair(1, 2).await;
    talks(&mut a, &mut b).await;
    let status = within(a.net.status()).await.unwrap();
    assert_eq!(status.listening, vec![a.addr.clone()]);
    let peer = &status.peers[&b.peer];
    assert!(
        peer.gossip && !peer.connections.is_empty() && peer.connections.len() <= 2 && peer.last_error.is_none(),
        "{peer:?}"
    );
    assert_eq!((status.strangers, status.peers.len()), (0, 1));
    assert!(status.counts.gossip_published == 1 && status.counts.connections_stranger == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_talk_over_ipv6() {
    let (mut a, mut b) = (Node::with(&config(1, "[::1]:0")).await, Node::with(&config(2, "[::1]:0")).await);
    assert!(a.addr.to_string().starts_with("[::1]:"));
    a.members(&[&b]);
    b.members(&[&a]);
    a.connected(b.peer).await;
    b.connected(a.peer).await;
    talks(&mut a, &mut b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_passes_through_a_member_only_after_its_verdict() {
    let (mut a, mut b) = pair(1, 2).await;
    let mut c = Node::start(3).await;
    // b knows both, a and c do not know each other.
    b.net.set_members([(a.peer, vec![a.addr.clone()]), (c.peer, vec![c.addr.clone()])].into());
    c.members(&[&b]);
    c.ready(b.peer).await;
    b.ready(c.peer).await;
    a.ready(b.peer).await;
    a.net.publish(b"news".to_vec()).unwrap();
    c.wait("passed on", |s| (*s == Seen::Gossip(b.peer, b"news".to_vec())).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bursts_of_gossip_do_not_end_it() {
    let (mut a, mut b) = pair(1, 2).await;
    a.ready(b.peer).await;
    b.ready(a.peer).await;
    // Far more ids than fit one of the library's control messages, then large ones back to back.
    for n in 0..1_500_u32 {
        while a.net.publish(n.to_be_bytes().to_vec()) == Err(PublishError::Busy) {
            tokio::task::yield_now().await;
        }
    }
    let last = vec![7; GOSSIP_MAX_BYTES];
    let mut tries = 0_u8;
    let mut beat = tokio::time::interval(Duration::from_millis(500));
    let arrived = async {
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    // A full queue drops messages; a later one must come through.
                    tries += 1;
                    let mut message = last.clone();
                    message[0] = tries;
                    let _ = a.net.publish(message);
                }
                seen = b.seen.recv() => {
                    if matches!(seen, Some(Seen::Gossip(_, m)) if m.len() == GOSSIP_MAX_BYTES && m[0] > 5) {
                        return;
                    }
                }
            }
        }
    };
    within(arrived).await;
    assert!(within(a.net.status()).await.unwrap().peers[&b.peer].gossip);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gossip_requests_still_work() {
    let mut silent = config(2, "127.0.0.1:0");
    silent.drop_gossip = true;
    let (mut a, mut b) = (Node::start(1).await, Node::with(&silent).await);
    a.members(&[&b]);
    b.members(&[&a]);
    a.connected(b.peer).await;
    b.ready(a.peer).await;
    a.net.publish(b"lost".to_vec()).unwrap();
    b.net.publish(b"never".to_vec()).unwrap();
    assert_eq!(within(b.net.request(a.peer, Protocol::Sync, b"x".to_vec())).await.unwrap(), b"re:x");
    let (a, b) = (within(a.net.status()).await.unwrap(), within(b.net.status()).await.unwrap());
    assert_eq!((a.counts.gossip_received, b.counts.gossip_received, b.counts.gossip_published), (0, 0, 0));
    assert!(!a.peers.values().any(|p| p.gossip));
}

#[tokio::test(flavor = "multi_thread")]
async fn dialling_each_other_at_once_ends_connected() {
    for round in 0..5 {
        let (mut a, mut b) = (Node::start(1).await, Node::start(2).await);
        // By hand, so that neither waits for the other.
        a.lets_in(&[b.peer]);
        b.lets_in(&[a.peer]);
        let (to_a, to_b) = (vec![a.addr.clone()], vec![b.addr.clone()]);
        let dials = futures::future::join(a.net.dial_once(b.peer, to_b), b.net.dial_once(a.peer, to_a));
        let (x, y) = within(dials).await;
        assert!(x.is_ok() && y.is_ok(), "round {round}: {x:?} {y:?}");
        a.connected(b.peer).await;
        b.connected(a.peer).await;
        assert_eq!(within(a.net.request(b.peer, Protocol::Sync, b"1".to_vec())).await.unwrap(), b"re:1");
        let status = within(b.net.status()).await.unwrap();
        assert!((1..=2).contains(&status.peers[&a.peer].connections.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_member_is_connected_again() {
    let (mut a, b) = pair(1, 2).await;
    let port = b.addr.to_string();
    b.net.shutdown().await;
    a.disconnected(b.peer).await;
    a.wait("failed dial", |s| {
        matches!(s, Seen::DialFailed(p, e) if *p == b.peer && e.contains("refused")).then_some(())
    })
    .await;
    let status = within(a.net.status()).await.unwrap();
    assert!(status.peers[&b.peer].last_error.as_ref().is_some_and(|e| e.contains("refused")));
    // The restarted node waits for a's dial: it knows no address.
    let b = Node::with(&config(2, &port)).await;
    b.lets_in(&[a.peer]);
    a.connected(b.peer).await;
    assert_eq!(asked(&b, &a, b"back").await.unwrap(), b"re:back");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_is_quick_and_frees_the_port() {
    let (a, b) = pair(1, 2).await;
    let _stream = within(a.net.open_blob(b.peer)).await.unwrap();
    let later = tokio::spawn({
        let (net, peer) = (a.net.clone(), b.peer);
        async move { net.request(peer, Protocol::Sync, b"later".to_vec()).await }
    });
    tokio::time::timeout(Duration::from_secs(2), a.net.shutdown()).await.unwrap();
    assert!(matches!(within(later).await.unwrap(), Err(RequestError::Closed)));
    assert_eq!(a.net.request(b.peer, Protocol::Sync, vec![]).await, Err(RequestError::Closed));
    assert_eq!(a.net.open_blob(b.peer).await.unwrap_err(), StreamError::Closed);
    assert_eq!(a.net.publish(vec![]), Err(PublishError::Closed));
    let again = Node::with(&config(1, &a.addr.to_string())).await;
    assert_eq!(again.addr, a.addr);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_bounded_and_failures_named() {
    let (a, b) = pair(1, 2).await;
    let ask = |bytes: &[u8]| within(a.net.request(b.peer, Protocol::Sync, bytes.to_vec()));
    assert_eq!(ask(b"silence").await, Err(RequestError::NotAnswered));
    assert!(matches!(ask(&vec![0; FRAME_MAX_BYTES + 1]).await, Err(RequestError::TooLarge { .. })));
    assert_eq!(ask(&vec![1; FRAME_MAX_BYTES - 3]).await.map(|a| a.len()), Ok(FRAME_MAX_BYTES));
    assert_eq!(
        ask(&vec![1; FRAME_MAX_BYTES]).await,
        Err(RequestError::NotAnswered),
        "the answer would be over the cap"
    );
    let stranger = key(99).peer();
    assert_eq!(within(a.net.request(stranger, Protocol::Sync, vec![])).await, Err(RequestError::NotConnected));
    assert_eq!(within(a.net.open_blob(stranger)).await.unwrap_err(), StreamError::NotConnected);
    // More than may be in work at a time: the rest is told at once.
    let many = (0..limits::OUTBOUND_PER_PEER + 3).map(|_| a.net.request(b.peer, Protocol::Sync, b"later".to_vec()));
    let mut many: futures::stream::FuturesUnordered<_> = many.collect();
    for _ in 0..3 {
        assert_eq!(within(futures::StreamExt::next(&mut many)).await, Some(Err(RequestError::Busy)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_time_out() {
    let mut hasty = config(1, "127.0.0.1:0");
    hasty.request_timeout = Duration::from_millis(300);
    let (mut a, b) = (Node::with(&hasty).await, Node::start(2).await);
    a.members(&[&b]);
    b.members(&[&a]);
    a.connected(b.peer).await;
    assert_eq!(asked(&a, &b, b"later").await, Err(RequestError::TimedOut));
}

#[tokio::test(flavor = "multi_thread")]
async fn artifact_streams_are_bounded_per_member() {
    let (a, b) = pair(1, 2).await;
    let mut open = Vec::new();
    for _ in 0..limits::BLOB_OUTBOUND_PER_PEER {
        open.push(within(a.net.open_blob(b.peer)).await.unwrap());
    }
    assert_eq!(within(a.net.open_blob(b.peer)).await.unwrap_err(), StreamError::Busy);
    open.pop();
    assert!(within(a.net.open_blob(b.peer)).await.is_ok());
    // Many at once, more than the accept queue of the library's own behaviour would take.
    drop(open);
    let all = futures::future::join_all((0..24).map(|n| echoed(&a, &b, &[1, 2, 3][..n % 4])).collect::<Vec<_>>());
    assert_eq!(within(all).await.len(), 24);
    assert_eq!(within(b.net.status()).await.unwrap().counts.blob_streams_dropped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_noticed() {
    let mut quick = config(1, "127.0.0.1:0");
    (quick.ping_interval, quick.ping_timeout) = (Duration::from_millis(100), Duration::from_millis(300));
    let (mut a, mut b) = (Node::with(&quick).await, Node::start(2).await);
    let (proxy, mute) = proxy(b.addr.socket().unwrap()).await;
    b.lets_in(&[a.peer]);
    a.net.set_members([(b.peer, vec![proxy])].into());
    a.connected(b.peer).await;
    b.connected(a.peer).await;
    mute.send(true).unwrap();
    assert_eq!(a.disconnected(b.peer).await, "no answer to pings");
    assert_eq!(within(a.net.status()).await.unwrap().counts.silent_closed, 1);
}

/// Passes bytes on until it is muted: then both sides hear nothing any more, and no connection closes.
async fn proxy(to: std::net::SocketAddr) -> (HostPort, tokio::sync::watch::Sender<bool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().into();
    let (mute, muted) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let mut muted = muted.clone();
            tokio::spawn(async move {
                let mut there = tokio::net::TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                    _ = async { drop(muted.wait_for(|m| *m).await) } => {}
                }
                // Muted: held open, never read again. (If it ended by itself, nobody looks at it any more.)
                tokio::time::sleep(PATIENCE).await;
                drop((here, there));
            });
        }
    });
    (addr, mute)
}

#[test]
fn session_secrets_are_not_logged() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "net::tests::members::without_key_log", "--ignored", "--nocapture"])
        .env("SSLKEYLOGFILE", &file)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && out.contains("started again without it"), "{out}");
    assert!(!file.exists());
}

#[test]
#[ignore = "run by session_secrets_are_not_logged with the variable set"]
fn without_key_log() {
    keylog::clear().unwrap();
    assert!(!keylog::is_set());
    println!("started again without it");
}
