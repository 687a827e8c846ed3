//! Fetching from honest holders: every size, every range, refusals, coordination, cancellation.

use std::time::Duration;

use super::super::transfer::{ByteRange, Mismatch, PeerFault, Refusal, Response, fetch};
use super::*;

#[tokio::test]
async fn fetches_every_size() {
    for (seed, size) in SIZES.into_iter().enumerate() {
        let data = bytes(seed as u64, size);
        let (from, to) = (Node::holding(&data).await, Node::new());
        let want = expect(&data);
        let fetched = pull(&from, &to, want).await.unwrap();
        assert_eq!((fetched.size, fetched.totals.verified.max(fetched.totals.resumed)), (size as u64, size as u64));
        assert_eq!((fetched.totals.again, fetched.totals.rejected), (0, 0));
        assert_eq!(to.content(&want.hash).await, data);
        assert_eq!(names(&to.path("partial")), [""; 0]);
        // It can be served on, and survives a restart.
        let to = to.reopen();
        pull(&to, &Node::new(), want).await.unwrap();
        // Again is free.
        assert_eq!(pull(&from, &to, want).await.unwrap().totals, Totals::default());
    }
}

#[tokio::test]
async fn a_holder_counts_what_it_sent() {
    let data = bytes(1, 100_000);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let (here, there) = link();
    let server = serving(there, &from);
    let fetched = fetch_once(here, &to.store, expect(&data), &FetchLimits::default()).await.unwrap();
    let sent = Served::Sent { hash: Blake3::of(&data), bytes: fetched.totals.received };
    assert_eq!(server.await.unwrap().unwrap(), sent);
}

/// Ranges of an artifact are answered with exactly bao's encoding of these ranges.
#[tokio::test]
async fn serves_ranges() {
    let data = bytes(2, 200_000);
    let from = Node::holding(&data).await;
    let want = expect(&data);
    let range = |start, end| ByteRange { start, end };
    let group = 16_384;
    for ranges in [vec![range(0, group)], vec![range(group, 3 * group), range(5 * group, 200_000)]] {
        let (mut here, there) = link();
        let server = serving(there, &from);
        let request = Request { hash: want.hash, size: want.size, ranges };
        transfer::write(&mut here, &request).await.unwrap();
        let answer: Response = transfer::read(&mut here, 64).await.unwrap();
        assert_eq!(answer, Response::Ok { size: want.size });
        let mut encoded = Vec::new();
        here.read_to_end(&mut encoded).await.unwrap();
        server.await.unwrap().unwrap();
        let outboard = bao_tree::io::outboard::PostOrderMemOutboard::create(&data, tree::GROUP);
        let mut wanted = Vec::new();
        let chunks = request.chunk_ranges().unwrap();
        bao_tree::io::sync::encode_ranges_validated(data.as_slice(), &outboard, &chunks, &mut wanted).unwrap();
        assert!(encoded == wanted);
    }
}

async fn asked(node: &Node, request: &Request, decision: Decision) -> (Response, Served) {
    let (mut here, there) = link();
    let store = node.store.clone();
    let server = tokio::spawn(async move { serve(there, &store, |_| decision, &ServeLimits::default()).await });
    transfer::write(&mut here, request).await.unwrap();
    let answer = transfer::read(&mut here, 64).await.unwrap();
    let mut rest = Vec::new();
    here.read_to_end(&mut rest).await.unwrap();
    (answer, server.await.unwrap().unwrap())
}

#[tokio::test]
async fn refusals_say_why() {
    let data = bytes(3, 100_000);
    let held = Node::holding(&data).await;
    let busy = Node::with(Options { max_serving: 0, floor_bytes: 0, ..Options::default() });
    busy.store.import_bytes(data.clone()).await.unwrap();
    let whole = Request { hash: Blake3::of(&data), size: 100_000, ranges: vec![] };
    let unknown = Request { hash: Blake3::of(b"?"), ..whole.clone() };
    let odd = |start, end| Request { ranges: vec![ByteRange { start, end }], ..whole.clone() };
    let cases = [
        (&held, unknown.clone(), Decision::Serve, Refusal::NotFound),
        (&held, whole.clone(), Decision::NotFound, Refusal::NotFound),
        (&held, whole.clone(), Decision::NotAllowed, Refusal::NotAllowed),
        (&held, unknown, Decision::NotAllowed, Refusal::NotAllowed),
        (&busy, whole.clone(), Decision::Serve, Refusal::Busy),
        (&held, odd(1, 16_384), Decision::Serve, Refusal::BadRequest),
        (&held, odd(0, 16_385), Decision::Serve, Refusal::BadRequest),
        (&held, odd(16_384, 16_384), Decision::Serve, Refusal::BadRequest),
        (&held, odd(0, 114_688), Decision::Serve, Refusal::BadRequest),
        (&held, odd(1 << 60, u64::MAX), Decision::Serve, Refusal::BadRequest),
    ];
    for (node, request, decision, wanted) in cases {
        let (answer, served) = asked(node, &request, decision).await;
        assert_eq!(answer, Response::Refused(wanted), "{request:?}");
        assert_eq!(served, Served::Refused { hash: Some(request.hash), reason: wanted });
    }
    let error = pull(&Node::new(), &Node::new(), expect(&data)).await.unwrap_err();
    assert!(matches!(error, FetchError::Peer(PeerFault::Refused(Refusal::NotFound))), "{error}");
}

/// A manifest with a wrong size: the holder proves the right one, and nobody is blamed.
#[tokio::test]
async fn a_wrong_size_in_the_manifest_is_not_the_holders_fault() {
    for (actual, claimed) in
        [(100_000, 100_001), (100_000, 99_999), (100_000, 1), (0, 5), (5, 0), (16_384, 16_385), (40, 1 << 30)]
    {
        let data = bytes(4, actual);
        let (from, to) = (Node::holding(&data).await, Node::new());
        let want = Expect { size: claimed, ..expect(&data) };
        let error = pull(&from, &to, want).await.unwrap_err();
        let proved = Mismatch::Size { actual: actual as u64 };
        assert!(matches!(&error, FetchError::Expectation(found) if *found == proved), "{actual} {claimed}: {error}");
        assert_eq!(names(&to.path("partial")), [""; 0]);
        // The right manifest is not disturbed; and once held, the wrong one is known at once.
        pull(&from, &to, expect(&data)).await.unwrap();
        assert!(matches!(pull(&from, &to, want).await, Err(FetchError::Expectation(_))));
    }
}

#[tokio::test]
async fn a_wrong_sha256_in_the_manifest_is_not_the_holders_fault() {
    let data = bytes(5, 100_000);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let want = Expect { sha256: Some(Sha256([0; 32])), ..expect(&data) };
    let error = pull(&from, &to, want).await.unwrap_err();
    let actual = Sha256::of(&data);
    assert!(matches!(error, FetchError::Expectation(Mismatch::Sha256 { actual: found }) if found == actual));
    assert!(!to.store.has(&want.hash));
    assert_eq!(names(&to.path("partial")), [""; 0]);
    pull(&from, &to, Expect { sha256: None, ..want }).await.unwrap();
}

#[tokio::test]
async fn what_is_over_the_limit_is_not_asked_for() {
    let to = Node::with(Options { max_artifact_bytes: 10, floor_bytes: 0, ..Options::default() });
    let error = pull(&Node::new(), &to, expect(&[0; 11])).await.unwrap_err();
    assert!(matches!(error, FetchError::Local(StoreError::TooLarge { at_least: 11, max: 10 })), "{error}");
    let to = Node::new();
    let error = to.store.receive(Expect { size: u64::MAX, ..expect(b"") }).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
}

#[tokio::test]
async fn one_task_receives_an_artifact_at_a_time() {
    let data = bytes(6, 100_000);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let Receive::Begun(mut first) = to.store.receive(expect(&data)).await.unwrap() else { panic!("held") };
    let error = pull(&from, &to, expect(&data)).await.unwrap_err();
    assert!(matches!(error, FetchError::Local(StoreError::InProgress(hash)) if hash == Blake3::of(&data)), "{error}");
    let (here, there) = link();
    let server = serving(there, &from);
    fetch(here, &mut first, &FetchLimits::default()).await.unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(to.content(&Blake3::of(&data)).await, data);
    assert!(matches!(to.store.receive(expect(&data)).await.unwrap(), Receive::Held(100_000)));
}

/// Two federations of one node want the same artifact: the second waits for the first, and gets what that one has received.
#[tokio::test]
async fn whoever_waits_for_another_fetch_gets_what_it_leaves() {
    let data = bytes(16, 2_000_000);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let want = expect(&data);
    let waiter = |store: BlobStore| async move {
        let mut waited = 0;
        loop {
            match store.receive(want).await {
                Err(StoreError::InProgress(hash)) => store.released(&hash).await,
                other => return (other.unwrap(), waited),
            }
            waited += 1;
        }
    };
    // The first is dropped half way: the second takes over what is here.
    let Receive::Begun(mut first) = to.store.receive(want).await.unwrap() else { panic!("held") };
    let second = tokio::spawn(waiter(to.store.clone()));
    let (here, there) = link();
    let (reached, at) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(stall_after(1_500_000, response(&from, &want).await, there, reached));
    let limits = FetchLimits::default();
    tokio::select! {
        result = fetch(here, &mut first, &limits) => panic!("{result:?}"),
        _ = at => {}
    }
    assert!(!second.is_finished(), "one at a time");
    server.abort();
    drop(first);
    let (Receive::Begun(mut second), waited) = second.await.unwrap() else { panic!("held") };
    assert!(waited > 0 && second.counters().snapshot().resumed > 1_000_000);
    // It completes it: whoever waits then finds it held.
    let third = tokio::spawn(waiter(to.store.clone()));
    let (here, there) = link();
    let server = serving(there, &from);
    fetch(here, &mut second, &FetchLimits::default()).await.unwrap();
    server.await.unwrap().unwrap();
    drop(second);
    assert!(matches!(third.await.unwrap().0, Receive::Held(2_000_000)));
}

/// An import of what is being received does not disturb it, nor the other way round.
#[tokio::test]
async fn import_while_receiving() {
    let data = bytes(7, 100_000);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let Receive::Begun(mut receiving) = to.store.receive(expect(&data)).await.unwrap() else { panic!("held") };
    to.store.import_bytes(data.clone()).await.unwrap();
    let (here, there) = link();
    let server = serving(there, &from);
    fetch(here, &mut receiving, &FetchLimits::default()).await.unwrap();
    drop(server.await.unwrap());
    assert_eq!(to.content(&Blake3::of(&data)).await, data);
}

/// Delivers `n` bytes of the response, then nothing more, and does not end the stream.
async fn stall_after(n: usize, script: Vec<u8>, there: Pipe, reached: tokio::sync::oneshot::Sender<()>) {
    let mut there = there;
    let _: Request = transfer::read(&mut there, 1 << 13).await.unwrap();
    there.write_all(&script[..n]).await.unwrap();
    reached.send(()).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_dropped_fetch_can_be_resumed() {
    let data = bytes(8, 2_000_000);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let want = expect(&data);
    let script = response(&from, &want).await;
    let (here, there) = link();
    let (reached, at) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(stall_after(1_500_000, script, there, reached));
    let limits = FetchLimits::default();
    tokio::select! {
        result = fetch_once(here, &to.store, want, &limits) => panic!("{result:?}"),
        _ = at => {}
    }
    server.abort();
    // The writer still has to write what it has.
    let mut receiving = loop {
        match to.store.receive(want).await {
            Ok(Receive::Begun(receiving)) => break receiving,
            Err(StoreError::InProgress(_)) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    };
    assert!(receiving.counters().snapshot().resumed > 1_000_000);
    let (here, there) = link();
    let server = serving(there, &from);
    let fetched = fetch(here, &mut receiving, &limits).await.unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(fetched.totals.resumed + fetched.totals.verified, want.size);
    assert_eq!(to.content(&want.hash).await, data);
}

#[tokio::test]
async fn a_stalled_holder_is_given_up_and_the_next_one_continues() {
    let data = bytes(9, 2_000_000);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let want = expect(&data);
    let script = response(&from, &want).await;
    let Receive::Begun(mut receiving) = to.store.receive(want).await.unwrap() else { panic!("held") };
    let impatient = FetchLimits { stall_timeout: Duration::from_millis(50), ..FetchLimits::default() };

    let (here, there) = link();
    let (reached, _at) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(stall_after(1_000_000, script, there, reached));
    let error = fetch(here, &mut receiving, &impatient).await.unwrap_err();
    server.abort();
    assert!(matches!(error, FetchError::Peer(PeerFault::Stalled)), "{error}");

    // Says nothing at all.
    let (here, _there) = link();
    let mute = FetchLimits { response_timeout: Duration::from_millis(50), ..impatient };
    let error = fetch(here, &mut receiving, &mute).await.unwrap_err();
    assert!(matches!(error, FetchError::Peer(PeerFault::Stalled)), "{error}");

    let (here, there) = link();
    let server = serving(there, &from);
    let fetched = fetch(here, &mut receiving, &FetchLimits::default()).await.unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(fetched.totals.verified, want.size, "nothing was received twice");
    assert_eq!(to.content(&want.hash).await, data);
}

#[tokio::test]
async fn a_broken_connection_is_nobodys_fault() {
    struct Broken;
    impl AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
        }
    }
    impl AsyncWrite for Broken {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            data: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::task::Poll::Ready(Ok(data.len()))
        }
        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }
    let to = Node::new();
    let error = fetch_once(Broken, &to.store, expect(b"x"), &FetchLimits::default()).await.unwrap_err();
    assert!(matches!(error, FetchError::Connection(_)), "{error}");
    let from = Node::holding(b"x").await;
    let error = serve(Broken, &from.store, |_| Decision::Serve, &ServeLimits::default()).await.unwrap_err();
    assert!(matches!(error, ServeError::Connection(_)), "{error}");
}

/// A client that asks and then takes nothing gives its place back.
#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let data = bytes(10, 1_000_000);
    let from = Node::with(Options { max_serving: 1, floor_bytes: 0, ..Options::default() });
    from.store.import_bytes(data.clone()).await.unwrap();
    let want = expect(&data);
    let (mut here, there) = link();
    let request = Request { hash: want.hash, size: want.size, ranges: vec![] };
    transfer::write(&mut here, &request).await.unwrap();
    let limits = ServeLimits { stall_timeout: Duration::from_millis(50), ..ServeLimits::default() };
    let error = serve(there, &from.store, |_| Decision::Serve, &limits).await.unwrap_err();
    assert!(matches!(error, ServeError::Slow), "{error}");

    let (_here, there) = link();
    let limits = ServeLimits { request_timeout: Duration::from_millis(50), ..ServeLimits::default() };
    let error = serve(there, &from.store, |_| Decision::Serve, &limits).await.unwrap_err();
    assert!(matches!(error, ServeError::Slow), "a client that does not ask");
    pull(&from, &Node::new(), want).await.unwrap();
}

/// All of it can run in spawned tasks.
#[tokio::test]
async fn futures_are_send() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let (from, to) = (Node::holding(b"x").await, Node::new());
    let (here, there) = link();
    let limits = (FetchLimits::default(), ServeLimits::default());
    let fetching = send(fetch_once(here, &to.store, expect(b"x"), &limits.0));
    let served = send(serve(there, &from.store, |_| Decision::Serve, &limits.1));
    let (fetched, served) = futures::join!(fetching, served);
    assert_eq!((fetched.unwrap().size, served.is_ok()), (1, true));
    send(to.store.import_bytes(b"y".to_vec())).await.unwrap();
    let reader = to.store.open_reader(&Blake3::of(b"x")).unwrap();
    let stream = send(send(reader.stream(0..1)).await.unwrap());
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().concat(), b"x");
}
