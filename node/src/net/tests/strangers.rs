//! The gate: what strangers get, and what happens when membership changes.

use super::*;
use crate::net::{DialReason, StreamError, limits};

/// Everything but the join protocol is refused.
async fn gets_join_only(stranger: &Node, node: &Node) {
    let ask = |protocol| within(stranger.net.request(node.peer, protocol, b"in?".to_vec()));
    assert_eq!(ask(Protocol::Sync).await, Err(RequestError::Unsupported));
    assert_eq!(within(stranger.net.open_blob(node.peer)).await.unwrap_err(), StreamError::Unsupported);
    assert_eq!(ask(Protocol::Join).await.unwrap(), b"re:in?");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_the_join_protocol_only() {
    let mut node = Node::start(1).await;
    let mut stranger = Node::start(2).await;
    // The stranger takes the node for a member, and so opens everything it has.
    stranger.members(&[&node]);
    stranger.connected(node.peer).await;
    gets_join_only(&stranger, &node).await;
    // A second connection changes nothing.
    within(stranger.net.dial_once(node.peer, vec![node.addr.clone()])).await.unwrap();
    gets_join_only(&stranger, &node).await;
    node.wait("request", |s| (*s == Seen::Request(stranger.peer, false, Protocol::Join)).then_some(())).await;
    // Nor does the node ask the stranger anything.
    assert_eq!(within(node.net.request(stranger.peer, Protocol::Sync, vec![])).await, Err(RequestError::NotConnected));
    assert_eq!(within(node.net.open_blob(stranger.peer)).await.unwrap_err(), StreamError::NotConnected);
    stranger.net.publish(b"spam".to_vec()).unwrap();
    let status = within(node.net.status()).await.unwrap();
    assert_eq!((status.counts.gossip_received, status.counts.connections_member), (0, 0));
    assert!(status.strangers >= 1 && status.peers.is_empty());
    while let Ok(seen) = node.seen.try_recv() {
        assert!(matches!(seen, Seen::Request(_, false, Protocol::Join)), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_newcomer_knows_it() {
    let node = Node::start(1).await;
    let mut quick = config(2, "127.0.0.1:0");
    quick.ping_interval = Duration::from_millis(50);
    let mut newcomer = Node::with(&quick).await;
    newcomer.members(&[&node]);
    newcomer.connected(node.peer).await;
    let told = async {
        loop {
            let status = newcomer.net.status().await.unwrap();
            if status.peers[&node.peer].connections.iter().any(|c| c.accepted == Some(false)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_upgrades_and_expulsion_cuts() {
    let (mut node, mut newcomer) = (Node::start(1).await, Node::start(2).await);
    // As a stranger first.
    within(newcomer.net.dial_once(node.peer, vec![node.addr.clone()])).await.unwrap();
    assert_eq!(within(newcomer.net.request(node.peer, Protocol::Join, b"1".to_vec())).await.unwrap(), b"re:1");
    assert_eq!(within(newcomer.net.request(node.peer, Protocol::Sync, vec![])).await, Err(RequestError::NotConnected));
    // Admitted: both sides learn of it, and connect as members.
    node.members(&[&newcomer]);
    newcomer.members(&[&node]);
    node.ready(newcomer.peer).await;
    newcomer.ready(node.peer).await;
    assert_eq!(within(newcomer.net.request(node.peer, Protocol::Sync, b"2".to_vec())).await.unwrap(), b"re:2");
    assert_eq!(echoed(&node, &newcomer, b"artifact").await, b"artifact");
    // Expelled: cut at once, although the other side has not heard of it.
    node.net.set_members(nobody());
    assert_eq!(node.disconnected(newcomer.peer).await, "no longer a member");
    newcomer.disconnected(node.peer).await;
    assert_eq!(within(node.net.request(newcomer.peer, Protocol::Sync, vec![])).await, Err(RequestError::NotConnected));
    // It dials again and finds itself a stranger.
    newcomer.connected(node.peer).await;
    gets_join_only(&newcomer, &node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_and_paused_peers_are_cut_and_kept_out() {
    let (mut a, mut b) = pair(1, 2).await;
    a.net.set_paused(set(&[b.peer]));
    assert_eq!(a.disconnected(b.peer).await, "blocked or paused here");
    b.disconnected(a.peer).await;
    assert!(within(a.net.status()).await.unwrap().peers[&b.peer].paused);
    let failure = within(a.net.dial_once(b.peer, vec![b.addr.clone()])).await.unwrap_err();
    assert!(matches!(failure.attempts[0].1, DialReason::RefusedHere { .. }), "{failure}");
    a.net.set_paused(set(&[]));
    a.connected(b.peer).await;
    // Blocking goes further than membership: not even the join protocol is served.
    a.net.set_blocked(set(&[b.peer]));
    a.net.set_members(nobody());
    a.disconnected(b.peer).await;
    b.disconnected(a.peer).await;
    let refused = async {
        loop {
            let _ = b.net.dial_once(a.peer, vec![a.addr.clone()]).await;
            match b.net.request(a.peer, Protocol::Join, b"in?".to_vec()).await {
                Err(_) if a.net.status().await.unwrap().counts.refused_blocked > 0 => return,
                answer => assert!(answer.is_err(), "{answer:?}"),
            }
        }
    };
    within(refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_join_protocol_strangers_stay_out() {
    let mut closed = config(1, "127.0.0.1:0");
    closed.join_enabled = false;
    let (node, stranger, mut member) = (Node::with(&closed).await, Node::start(2).await, Node::start(3).await);
    node.lets_in(&[member.peer]);
    member.members(&[&node]);
    member.ready(node.peer).await;
    assert_eq!(within(member.net.request(node.peer, Protocol::Join, vec![])).await, Err(RequestError::Unsupported));
    // The handshake succeeds, then the node hangs up.
    let _ = within(stranger.net.dial_once(node.peer, vec![node.addr.clone()])).await;
    assert!(within(stranger.net.request(node.peer, Protocol::Join, vec![])).await.is_err());
    let counted = async {
        while node.net.status().await.unwrap().counts.refused_join_off == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(counted).await;
    // Its own dials to strangers work: it may join elsewhere.
    within(node.net.dial_once(stranger.peer, vec![stranger.addr.clone()])).await.unwrap();
    assert_eq!(within(node.net.request(stranger.peer, Protocol::Join, b"x".to_vec())).await.unwrap(), b"re:x");
}

#[tokio::test(flavor = "multi_thread")]
async fn join_requests_of_strangers_are_rate_limited() {
    let (node, stranger) = (Node::start(1).await, Node::start(2).await);
    within(stranger.net.dial_once(node.peer, vec![node.addr.clone()])).await.unwrap();
    let mut served = 0_u32;
    let mut busy = 0_u32;
    while busy == 0 {
        match within(stranger.net.request(node.peer, Protocol::Join, b"more".to_vec())).await {
            Ok(_) => served += 1,
            Err(RequestError::Busy) => busy += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(served >= limits::JOIN_PEER_BURST, "{served}");
    assert!(within(node.net.status()).await.unwrap().counts.rate_limited >= 1);
    // Members are not: they are known.
    node.lets_in(&[stranger.peer]);
    stranger.members(&[&node]);
    assert_eq!(asked(&stranger, &node, b"x").await.unwrap(), b"re:x");
    for _ in 0..limits::JOIN_PEER_BURST * 2 {
        within(stranger.net.request(node.peer, Protocol::Join, b"x".to_vec())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_strangers_are_closed_and_members_are_not() {
    let mut short = config(1, "127.0.0.1:0");
    short.stranger_idle = Duration::from_millis(100);
    let (node, stranger, mut member) = (Node::with(&short).await, Node::start(2).await, Node::start(3).await);
    node.lets_in(&[member.peer]);
    member.members(&[&node]);
    member.ready(node.peer).await;
    within(stranger.net.dial_once(node.peer, vec![node.addr.clone()])).await.unwrap();
    within(stranger.net.request(node.peer, Protocol::Join, b"x".to_vec())).await.unwrap();
    let gone = async {
        while node.net.status().await.unwrap().strangers > 0 {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
    assert_eq!(within(member.net.request(node.peer, Protocol::Sync, b"x".to_vec())).await.unwrap(), b"re:x");
    while let Ok(seen) = member.seen.try_recv() {
        assert!(!matches!(seen, Seen::Disconnected(..)), "{seen:?}");
    }
}
