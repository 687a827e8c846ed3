//! Rules of the dial schedule and of the words for failures.

use super::*;
use verbund_protocol::keys::SecretKey;

/// Two peers, the smaller first.
fn peers() -> (PeerId, PeerId) {
    let (a, b) = (SecretKey::from_seed(&[1; 32]).peer(), SecretKey::from_seed(&[2; 32]).peer());
    if a < b { (a, b) } else { (b, a) }
}
fn addr(n: u8) -> HostPort {
    format!("192.0.2.{n}:4101").parse().unwrap()
}
fn members(peer: PeerId, addrs: &[HostPort]) -> BTreeMap<PeerId, Vec<HostPort>> {
    BTreeMap::from([(peer, addrs.to_vec())])
}
fn refused(addrs: &[HostPort]) -> DialFailure {
    DialFailure::all(addrs, &DialReason::Refused)
}
fn wrong(addr: HostPort) -> DialFailure {
    DialFailure::all(&[addr], &DialReason::WrongKey { expected: "a".into(), found: "b".into() })
}

#[test]
fn backoff_doubles_to_its_cap_and_spreads() {
    assert_eq!(backoff(0, 1.0), limits::BACKOFF_MIN);
    assert_eq!(backoff(0, 0.0), limits::BACKOFF_MIN / 2);
    let mut last = Duration::ZERO;
    for attempt in 0..40 {
        let now = backoff(attempt, 1.0);
        assert!(now >= last && now <= limits::BACKOFF_MAX);
        last = now;
    }
    assert_eq!(last, limits::BACKOFF_MAX);
    assert_eq!(backoff(u32::MAX, f64::NAN.max(1.0)), limits::BACKOFF_MAX);
}

#[test]
fn the_smaller_key_dials_first_and_nobody_dials_itself() {
    let (small, large) = peers();
    let now = Instant::now();
    let mut book = Book::new(small);
    book.set(&members(large, &[addr(1)]), now);
    assert_eq!(book.take_due(now), vec![(large, vec![addr(1)])]);
    assert_eq!(book.take_due(now), vec![], "one dial at a time");
    let mut book = Book::new(large);
    book.set(&members(small, &[addr(1)]), now);
    assert_eq!(book.take_due(now), vec![]);
    assert_eq!(book.next_due(), Some(now + limits::DIAL_STAGGER));
    let mut book = Book::new(small);
    book.set(&members(small, &[addr(1)]), now);
    assert!(book.next_due().is_none());
}

#[test]
fn failures_back_off_and_new_addresses_wake() {
    let (local, peer) = peers();
    let mut now = Instant::now();
    let mut book = Book::new(local);
    book.set(&members(peer, &[addr(1)]), now);
    for attempt in 0..9 {
        assert_eq!(book.take_due(now).len(), 1, "{attempt}");
        let due = book.failed(&peer, &refused(&[addr(1)]), now, 1.0).unwrap();
        assert_eq!(due - now, backoff(attempt, 1.0));
        assert_eq!(book.take_due(now), vec![]);
        now = due;
    }
    book.failed(&peer, &refused(&[addr(1)]), now, 1.0);
    book.set(&members(peer, &[addr(1)]), now);
    assert_eq!(book.take_due(now), vec![], "the same addresses change nothing");
    book.set(&members(peer, &[addr(2)]), now);
    assert_eq!(book.take_due(now), vec![(peer, vec![addr(2)])], "new ones are tried at once");
    assert_eq!(book.get(&peer).unwrap().attempts, 0);
}

#[test]
fn an_address_of_somebody_else_is_left_out_while_others_remain() {
    let (local, peer) = peers();
    let now = Instant::now();
    let mut book = Book::new(local);
    book.set(&members(peer, &[addr(1), addr(2)]), now);
    book.take_due(now);
    assert_eq!(book.failed(&peer, &wrong(addr(1)), now, 1.0), Some(now), "the others are tried at once");
    assert_eq!(book.take_due(now), vec![(peer, vec![addr(2)])]);
    assert_eq!(book.failed(&peer, &refused(&[addr(2)]), now, 1.0), Some(now + backoff(0, 1.0)));
    let now = now + limits::BACKOFF_MAX;
    assert_eq!(book.take_due(now), vec![(peer, vec![addr(2)])]);
    // Now the second is somebody else's, too: a pause, then all again.
    assert!(book.failed(&peer, &wrong(addr(2)), now, 1.0).unwrap() > now);
    assert_eq!(book.take_due(now + limits::BACKOFF_MAX), vec![(peer, vec![addr(1), addr(2)])]);
}

#[test]
fn connections_stop_dials_and_only_stable_ones_reset_the_pause() {
    let (local, peer) = peers();
    let now = Instant::now();
    let mut book = Book::new(local);
    book.set(&members(peer, &[addr(1)]), now);
    book.connected(&peer);
    assert_eq!(book.take_due(now), vec![], "an inbound connection is enough");
    for (n, lived) in [(0, 0), (1, 1), (2, 9)] {
        book.closed(&peer, Duration::from_secs(lived), false, "gone", now, 1.0);
        assert_eq!(book.next_due(), Some(now + backoff(n, 1.0)));
        book.connected(&peer);
    }
    book.closed(&peer, limits::STABLE_AFTER, false, "gone", now, 1.0);
    assert_eq!(book.next_due(), Some(now + backoff(0, 1.0)));
    book.connected(&peer);
    book.closed(&peer, Duration::ZERO, true, "membership", now, 1.0);
    assert_eq!(book.take_due(now).len(), 1, "at once after a membership change");
    assert!(book.failed(&peer, &refused(&[addr(1)]), now, 1.0).is_some());
    book.hurry(&peer, now);
    assert_eq!(book.take_due(now).len(), 1);
    book.set(&BTreeMap::new(), now);
    assert!(book.get(&peer).is_none());
    assert_eq!(book.failed(&peer, &refused(&[]), now, 1.0), None, "no longer a member");
}

#[test]
fn errors_are_named_precisely() {
    use std::io::{Error, ErrorKind as K};
    let wrapped = |e: Error| Error::other(Error::other(e));
    assert_eq!(reason(&wrapped(K::ConnectionRefused.into())), DialReason::Refused);
    assert_eq!(reason(&Error::from_raw_os_error(111)), DialReason::Refused);
    assert_eq!(reason(&wrapped(K::TimedOut.into())), DialReason::TimedOut);
    assert!(matches!(reason(&wrapped(Error::from_raw_os_error(113))), DialReason::Unreachable { .. }));
    assert_eq!(reason(&Error::other("Connection refused (os error 111)")), DialReason::Refused);
    assert!(matches!(reason(&wrapped(K::UnexpectedEof.into())), DialReason::Handshake { .. }));
    assert_eq!(reason(&Error::other("odd")), DialReason::Handshake { message: "odd".into() });
    let shown =
        DialFailure { attempts: vec![(addr(1), DialReason::Refused), (addr(2), DialReason::TimedOut)] }.to_string();
    assert!(
        shown.starts_with("192.0.2.1:4101: connection refused") && shown.contains("; 192.0.2.2:4101: timed out"),
        "{shown}"
    );
    assert_eq!(DialFailure { attempts: vec![] }.to_string(), "no address is known");
}

#[tokio::test]
async fn names_are_resolved_and_unknown_ones_named() {
    let addrs =
        ["127.0.0.1:1", "[::1]:2", "localhost:3", "does-not-exist.invalid:4"].map(|a| a.parse::<HostPort>().unwrap());
    let resolved = resolve(addrs.to_vec()).await;
    assert_eq!(resolved.sockets.get(&"127.0.0.1:1".parse().unwrap()), Some(&addrs[0]));
    assert_eq!(resolved.sockets.get(&"[::1]:2".parse().unwrap()), Some(&addrs[1]));
    assert!(resolved.sockets.values().any(|a| *a == addrs[2]));
    assert!(matches!(resolved.failed.as_slice(), [(a, DialReason::UnknownName { .. })] if *a == addrs[3]));
}
