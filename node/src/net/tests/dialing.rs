//! Dials by hand and by schedule: what is reported, precisely.

use super::*;
use crate::net::{DialReason, NetError, limits};

fn only(failure: &crate::net::DialFailure) -> &DialReason {
    assert_eq!(failure.attempts.len(), 1, "{failure}");
    &failure.attempts[0].1
}

/// A port on which nothing listens.
async fn free_port() -> HostPort {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_names_both() {
    let (a, b) = (Node::start(1).await, Node::start(2).await);
    let expected = key(3).peer();
    let failure = within(a.net.dial_once(expected, vec![b.addr.clone()])).await.unwrap_err();
    assert_eq!(only(&failure), &DialReason::WrongKey { expected: expected.to_string(), found: b.peer.to_string() });
    assert!(failure.to_string().contains(&format!("wrong key: expected {expected}, found {}", b.peer)));
    assert_eq!(within(a.net.status()).await.unwrap().counts.wrong_keys, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_port_says_refused() {
    let a = Node::start(1).await;
    let peer = key(2).peer();
    let failure = within(a.net.dial_once(peer, vec![free_port().await])).await.unwrap_err();
    assert_eq!(only(&failure), &DialReason::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_failures_are_named() {
    let a = Node::start(1).await;
    let peer = key(2).peer();
    let dial = |addr: HostPort| within(a.net.dial_once(peer, vec![addr]));
    let failure = dial("does-not-exist.invalid:1".parse().unwrap()).await.unwrap_err();
    assert!(matches!(only(&failure), DialReason::UnknownName { .. }), "{failure}");
    let failure = dial("0.0.0.0:1".parse().unwrap()).await.unwrap_err();
    assert!(matches!(only(&failure), DialReason::Unreachable { .. }), "{failure}");
    assert_eq!(only(&dial(a.addr.clone()).await.unwrap_err()), &DialReason::OwnAddress);
    let own = within(a.net.dial_once(a.peer, vec![a.addr.clone()])).await.unwrap_err();
    assert_eq!(only(&own), &DialReason::OwnAddress);
    assert_eq!(within(a.net.dial_once(peer, vec![])).await.unwrap_err().to_string(), "no address is known");
    // Something that is no node: it accepts and hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().into();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let failure = dial(addr).await.unwrap_err();
    assert!(matches!(only(&failure), DialReason::Handshake { .. }), "{failure}");
    // Something that is no node: it speaks another protocol.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().into();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(&b"HTTP/1.1 400 Bad Request\r\n".repeat(100)).await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    });
    let failure = dial(addr).await.unwrap_err();
    assert!(matches!(only(&failure), DialReason::Handshake { .. }), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_never_answers_times_out() {
    let a = Node::start(1).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().into();
    // The kernel completes the connection; nobody ever reads from it.
    let failure = within(a.net.dial_once(key(2).peer(), vec![addr])).await.unwrap_err();
    assert_eq!(only(&failure), &DialReason::TimedOut);
    drop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_are_tried() {
    let (a, b, other) = (Node::start(1).await, Node::start(2).await, Node::start(3).await);
    // A refused one, one of somebody else, and the right one by name.
    let named = format!("localhost:{}", b.addr.port).parse::<HostPort>().unwrap();
    let addrs = vec![free_port().await, other.addr.clone(), named.clone()];
    let dialled = within(a.net.dial_once(b.peer, addrs)).await.unwrap();
    assert_eq!(dialled.address, named);
    let failure = within(a.net.dial_once(b.peer, vec![free_port().await, other.addr.clone()])).await.unwrap_err();
    assert_eq!(failure.attempts.len(), 2, "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_gets_past_an_address_of_somebody_else() {
    let (mut a, mut b, other) = (Node::start(1).await, Node::start(2).await, Node::start(3).await);
    b.lets_in(&[a.peer]);
    a.net.set_members([(b.peer, vec![other.addr.clone(), b.addr.clone()])].into());
    a.connected(b.peer).await;
    b.connected(a.peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_is_tried_at_once() {
    let (mut a, mut b) = (Node::start(1).await, Node::start(2).await);
    b.lets_in(&[a.peer]);
    a.net.set_members([(b.peer, vec![free_port().await])].into());
    for _ in 0..3 {
        a.wait("refused", |s| matches!(s, Seen::DialFailed(_, e) if e.contains("refused")).then_some(())).await;
    }
    a.members(&[&b]);
    a.connected(b.peer).await;
    b.connected(a.peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checking_a_connected_member_keeps_its_connection() {
    let (a, mut b) = pair(1, 2).await;
    let before = within(a.net.status()).await.unwrap().peers[&b.peer].connections.clone();
    for _ in 0..limits::PER_MEMBER * 3 {
        within(a.net.dial_once(b.peer, vec![b.addr.clone()])).await.unwrap();
    }
    let after = within(a.net.status()).await.unwrap().peers[&b.peer].connections.clone();
    assert_eq!(before[0].since_ms, after[0].since_ms);
    // The other side may have chosen a connection that was closing.
    assert_eq!(asked(&b, &a, b"x").await.unwrap(), b"re:x");
    while let Ok(seen) = b.seen.try_recv() {
        assert!(!matches!(seen, Seen::Disconnected(..)), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_port_is_named() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let a = Node::with(&config(1, listen)).await;
        let Err(NetError::Listen { addr, source }) = start(&config(2, &a.addr.to_string())) else {
            panic!("must fail")
        };
        assert_eq!((addr, source.kind()), (a.addr.clone(), std::io::ErrorKind::AddrInUse));
    }
    assert!(matches!(start(&config(2, "localhost:0")), Err(NetError::ListenName(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn wildcards_listen_on_both_families() {
    let probe = free_port().await;
    let mut both = config(1, &format!("0.0.0.0:{}", probe.port));
    both.listen.push(format!("[::]:{}", probe.port).parse().unwrap());
    let (net, mut events, _blobs) = start(&both).unwrap();
    let mut wanted: Vec<HostPort> =
        [format!("127.0.0.1:{}", probe.port), format!("[::1]:{}", probe.port)].map(|a| a.parse().unwrap()).into();
    while !wanted.is_empty() {
        if let Some(NetEvent::Listening(addr)) = within(events.recv()).await {
            wanted.retain(|w| *w != addr);
        }
    }
    let other = Node::start(2).await;
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let addr = format!("{host}:{}", probe.port).parse().unwrap();
        within(other.net.dial_once(net.local_peer(), vec![addr])).await.unwrap();
    }
}
