//! Import, listing, pins, collection, limits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

#[tokio::test]
async fn imports_every_size_and_reads_it_back() {
    let node = Node::new();
    for (seed, size) in SIZES.into_iter().enumerate() {
        let data = bytes(seed as u64, size);
        let imported = node.store.import_bytes(data.clone()).await.unwrap();
        assert_eq!(imported.blake3, Blake3::of(&data));
        assert_eq!(imported.sha256, Sha256::of(&data));
        assert_eq!(imported.size, size as u64);
        assert_eq!(node.store.size(&imported.blake3), Some(size as u64));
        assert_eq!(node.content(&imported.blake3).await, data);
        assert_eq!(node.store.sha256(&imported.blake3).await.unwrap(), imported.sha256);
        node.store.verify(&imported.blake3).await.unwrap();
        let outboard = node.store.0.layout.outboard(&imported.blake3).exists();
        assert_eq!(outboard, size > 16 << 10, "an outboard exactly above one group");
    }
    assert_eq!(names(&node.path("tmp")), [""; 0]);
    assert!(node.events().is_empty());
    let (count, total) = node.store.usage();
    let node = node.reopen();
    assert_eq!(node.store.usage(), (count, total));
    assert_eq!(count, SIZES.len() as u64);
}

/// A source that delivers in pieces of varying length.
#[tokio::test]
async fn imports_from_a_source_in_pieces() {
    let node = Node::new();
    let data = bytes(7, 700_001);
    let (mut tx, rx) = tokio::io::duplex(1013);
    let copy = data.clone();
    let feeder = tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut tx, &copy).await });
    let imported = node.store.import(rx, u64::MAX).await.unwrap();
    feeder.await.unwrap().unwrap();
    assert_eq!(imported.blake3, Blake3::of(&data));
    assert_eq!(node.content(&imported.blake3).await, data);
}

#[tokio::test]
async fn the_same_content_at_once_is_one_artifact() {
    let node = Node::new();
    let data = bytes(1, 900_000);
    let imports = (0..8).map(|_| node.store.import_bytes(data.clone()));
    let imported = futures::future::try_join_all(imports).await.unwrap();
    assert!(imported.iter().all(|one| one.blake3 == Blake3::of(&data)));
    assert_eq!(node.store.usage(), (1, 900_000));
    assert_eq!(node.content(&imported[0].blake3).await, data);
    assert_eq!(names(&node.path("tmp")), [""; 0]);
}

#[tokio::test]
async fn an_import_over_the_limit_leaves_nothing() {
    let node = Node::new();
    let error = node.store.import(tokio::io::repeat(7), 1 << 20).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { max: 0x10_0000, .. }), "{error}");
    assert_eq!((node.store.usage(), names(&node.path("tmp"))), ((0, 0), vec![]));

    let node = Node::with(Options { max_artifact_bytes: 10, floor_bytes: 0, ..Options::default() });
    node.store.import_bytes(vec![0; 10]).await.unwrap();
    assert!(matches!(node.store.import_bytes(vec![0; 11]).await, Err(StoreError::TooLarge { .. })));
}

#[tokio::test]
async fn a_failing_source_is_not_the_disks_fault() {
    struct Broken;
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::PermissionDenied.into()))
        }
    }
    let node = Node::new();
    let source = tokio::io::AsyncReadExt::chain(&[1u8; 100_000][..], Broken);
    assert!(matches!(node.store.import(source, u64::MAX).await, Err(StoreError::Source(_))));
    assert!(!node.store.has(&Blake3::of(&[1; 100_000])));
}

#[tokio::test]
async fn intake_stops_at_the_floor_and_says_so() {
    let node = Node::with(Options { floor_bytes: u64::MAX, ..Options::default() });
    let error = node.store.import_bytes(vec![1]).await.unwrap_err();
    assert!(error.is_full(), "{error}");
    let error = node.store.receive(expect(b"abc")).await.unwrap_err();
    assert!(matches!(error, StoreError::DiskFloor { floor: u64::MAX, .. }), "{error}");
    // Not blocked for later.
    assert!(node.store.receive(expect(b"abc")).await.unwrap_err().is_full());
}

#[tokio::test]
async fn one_process_at_a_time() {
    let node = Node::new();
    assert!(matches!(BlobStore::open(node.dir.path(), Options::default()), Err(StoreError::Locked(_))));
}

#[tokio::test]
async fn opening_removes_leftovers_and_ignores_foreign_names() {
    let node = Node::holding(b"kept").await;
    std::fs::write(node.path("tmp/0"), b"half an import").unwrap();
    std::fs::write(node.path("objects/readme"), b"?").unwrap();
    std::fs::create_dir(node.path("objects/zz")).unwrap();
    std::fs::write(node.path("objects/zz/file"), b"?").unwrap();
    let node = node.reopen();
    assert_eq!(names(&node.path("tmp")), [""; 0]);
    assert_eq!(node.store.list(None, 10), [(Blake3::of(b"kept"), 4)]);
    node.store.import_bytes(b"next".to_vec()).await.unwrap();
}

#[tokio::test]
async fn lists_in_pages() {
    let node = Node::new();
    let mut all = Vec::new();
    for i in 0..10u8 {
        all.push((node.store.import_bytes(vec![i]).await.unwrap().blake3, 1));
    }
    all.sort();
    let first = node.store.list(None, 4);
    let rest = node.store.list(Some(&first[3].0), 100);
    assert_eq!([first, rest].concat(), all);
}

#[tokio::test]
async fn collects_only_what_nobody_needs() {
    let node = Node::new();
    let [referenced, pinned, waste] = [&b"referenced"[..], b"pinned", &bytes(3, 100_000)].map(<[u8]>::to_vec);
    let mut hashes = Vec::new();
    for data in [&referenced, &pinned, &waste] {
        hashes.push(node.store.import_bytes(data.clone()).await.unwrap().blake3);
    }
    let pin = node.store.pin(hashes[1]);
    let second = node.store.pin(hashes[1]);
    drop(second);
    let wanted = BTreeSet::from([hashes[0]]);

    let young = node.store.gc(wanted.clone(), Duration::from_secs(3600), false).await.unwrap();
    assert_eq!((young.young, young.deleted.len()), (2, 0), "within the grace period");

    let dry = node.store.gc(wanted.clone(), Duration::ZERO, true).await.unwrap();
    assert!(node.store.has(&hashes[2]));
    let wet = node.store.gc(wanted.clone(), Duration::ZERO, false).await.unwrap();
    assert_eq!(dry, wet, "a dry run says what happens");
    assert_eq!((wet.pinned, wet.freed_bytes), (1, 100_000));
    assert_eq!(node.store.list(None, 9).len(), 2);
    assert!(!node.object(&hashes[2]).exists() && !node.store.0.layout.outboard(&hashes[2]).exists());
    assert_eq!(node.store.delete(&hashes[1]).await.unwrap(), DeleteOutcome::Pinned);

    drop(pin);
    assert_eq!(node.store.gc(wanted, Duration::ZERO, false).await.unwrap().deleted.len(), 1);
    assert_eq!(node.store.delete(&hashes[0]).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(node.store.delete(&hashes[0]).await.unwrap(), DeleteOutcome::NotHeld);
    assert_eq!(node.reopen().store.usage(), (0, 0));
}

#[tokio::test]
async fn an_import_is_pinned_until_its_user_lets_go() {
    let node = Node::new();
    let imported = node.store.import_bytes(b"new".to_vec()).await.unwrap();
    assert_eq!(node.store.gc(BTreeSet::new(), Duration::ZERO, false).await.unwrap().pinned, 1);
    drop(imported);
    assert_eq!(node.store.gc(BTreeSet::new(), Duration::ZERO, false).await.unwrap().deleted.len(), 1);
}

#[tokio::test]
async fn collects_parts_that_nobody_fetches() {
    let node = Node::new();
    let data = bytes(5, 300_000);
    let want = expect(&data);
    let begun = node.store.receive(want).await.unwrap();
    assert_eq!(node.store.gc(BTreeSet::new(), Duration::ZERO, false).await.unwrap().pinned, 1, "in use");
    drop(begun);
    let report = node.store.gc(BTreeSet::from([want.hash]), Duration::ZERO, false).await.unwrap();
    assert!(report.abandoned.is_empty(), "still wanted");
    let report = node.store.gc(BTreeSet::new(), Duration::ZERO, false).await.unwrap();
    assert_eq!(report.abandoned.len(), 1);
    assert_eq!(names(&node.path("partial")), [""; 0]);
}

#[tokio::test]
async fn a_reader_outlives_the_deletion() {
    let data = bytes(6, 1 << 20);
    let node = Node::holding(&data).await;
    let hash = Blake3::of(&data);
    let reader = node.store.open_reader(&hash).unwrap();
    let stream = reader.stream(0..reader.size()).await.unwrap();
    assert_eq!(node.store.delete(&hash).await.unwrap(), DeleteOutcome::Deleted);
    let read: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(read.concat(), data);
    assert!(matches!(node.store.open_reader(&hash), Err(ReadError::NotHeld(_))));
}

#[tokio::test]
async fn reads_ranges_exactly() {
    let data = bytes(8, 600_000);
    let node = Node::holding(&data).await;
    let hash = Blake3::of(&data);
    let size = data.len() as u64;
    let edges = [0, 1, 1023, 1024, 16_383, 16_384, 16_385, 32_768, 262_144, 300_000, 589_824, size - 1, size];
    for start in edges {
        for end in edges.into_iter().filter(|end| *end >= start) {
            let read = node.range(&hash, start..end).await.unwrap();
            assert!(read == data[start as usize..end as usize], "{start}..{end}");
        }
    }
    for (start, end) in [(0, size + 1), (size + 1, size + 2), (5, 4), (0, u64::MAX)] {
        assert!(matches!(node.range(&hash, start..end).await, Err(ReadError::OutOfRange { .. })));
    }
    assert!(matches!(node.store.read(&hash, size - 1).await, Err(ReadError::TooLarge { .. })));
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_taken_in_and_the_node_learns_of_it() {
    let node = Node::holding(b"held before").await;
    let store = node.store.clone();
    let told = tokio::spawn(async move { store.failure().await });
    node.store.note(&StoreError::DiskFull { path: "x".into() });
    node.store.import_bytes(b"a full disk is no failed sync".to_vec()).await.unwrap();
    let eio = || std::io::Error::from_raw_os_error(5);
    node.store.note(&StoreError::Sync { path: "objects/ab".into(), source: eio() });
    node.store.note(&StoreError::Sync { path: "later".into(), source: eio() });
    let reason = told.await.unwrap();
    assert!(reason.contains("objects/ab"), "the first reason stays: {reason}");
    let refused = node.store.import_bytes(b"more".to_vec()).await.unwrap_err();
    assert!(refused.must_stop() && refused.to_string().contains("objects/ab"), "{refused}");
    assert!(matches!(node.store.receive(expect(b"more")).await, Err(StoreError::Failed(_))));
    assert_eq!(node.content(&Blake3::of(b"held before")).await, b"held before", "what is verified is still read");
}
