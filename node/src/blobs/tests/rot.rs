//! Bytes that change on disk behind the store's back.

use super::*;

fn quarantined(node: &Node) -> usize {
    node.events().iter().filter(|event| matches!(event, BlobEvent::Quarantined { .. })).count()
}

#[tokio::test]
async fn a_flipped_byte_is_never_read() {
    for (size, at) in [(1, 0), (16_384, 100), (16_385, 16_384), (900_000, 0), (900_000, 450_000), (900_000, 899_999)] {
        let data = bytes(size, size as usize);
        let node = Node::holding(&data).await;
        let hash = Blake3::of(&data);
        flip(&node.object(&hash), at);
        let error = node.range(&hash, 0..size).await.unwrap_err();
        let group = (at as u64 / 16_384) * 16_384;
        assert!(matches!(error, ReadError::Corrupt { offset, .. } if offset == group), "{error}");
        assert!(!node.store.has(&hash));
        assert!(matches!(node.store.open_reader(&hash), Err(ReadError::NotHeld(_))));
        let places = node.store.quarantined(9).await.unwrap();
        assert_eq!((places.len(), places[0].hash, places[0].size), (1, hash, size));
        assert_eq!(quarantined(&node), 1);
        // Not taken up again under its old name, nor under a new one.
        let node = node.reopen();
        assert_eq!(node.store.usage(), (0, 0));
        // A good copy is welcome.
        node.store.import_bytes(data.clone()).await.unwrap();
        assert_eq!(node.content(&hash).await, data);
        assert_eq!(node.store.purge_quarantine(std::time::Duration::ZERO).await.unwrap(), size);
        assert!(node.store.quarantined(9).await.unwrap().is_empty());
    }
}

/// Groups elsewhere in the file are still what they are; only what is asked for is read.
#[tokio::test]
async fn bytes_before_the_damage_can_be_read() {
    let data = bytes(2, 900_000);
    let node = Node::holding(&data).await;
    let hash = Blake3::of(&data);
    flip(&node.object(&hash), 800_000);
    assert!(node.range(&hash, 10..500_000).await.unwrap() == data[10..500_000]);
    assert!(matches!(node.store.verify(&hash).await, Err(ReadError::Corrupt { .. })));
}

#[tokio::test]
async fn short_long_and_missing_files() {
    let data = bytes(3, 200_000);
    let hash = Blake3::of(&data);
    for len in [0, 1, 16_384, 199_999] {
        let node = Node::holding(&data).await;
        std::fs::File::options().write(true).open(node.object(&hash)).unwrap().set_len(len).unwrap();
        // The index still has the old size, or, after a restart, the wrong one.
        let node = if len % 2 == 0 { node } else { node.reopen() };
        assert!(matches!(node.store.read(&hash, 1 << 20).await, Err(ReadError::Corrupt { .. })), "{len}");
        assert_eq!(quarantined(&node), 1);
    }
    let node = Node::holding(&data).await;
    std::fs::remove_file(node.object(&hash)).unwrap();
    assert!(matches!(node.store.read(&hash, 1 << 20).await, Err(ReadError::NotHeld(_))));
    assert_eq!(node.events(), [BlobEvent::Vanished { hash }]);
    assert!(!node.store.has(&hash));
}

#[tokio::test]
async fn a_damaged_outboard_is_made_again_from_good_data() {
    let data = bytes(4, 500_000);
    let hash = Blake3::of(&data);
    for damage in 0..4 {
        let node = Node::holding(&data).await;
        let outboard = node.store.0.layout.outboard(&hash);
        let intact = std::fs::read(&outboard).unwrap();
        match damage {
            0 => flip(&outboard, intact.len() - 1),
            1 => flip(&outboard, 0),
            2 => std::fs::remove_file(&outboard).unwrap(),
            _ => std::fs::write(&outboard, b"short").unwrap(),
        }
        assert_eq!(node.content(&hash).await, data);
        assert_eq!(node.events(), [BlobEvent::Rebuilt { hash }]);
        assert_eq!(std::fs::read(&outboard).unwrap(), intact);
        assert_eq!(names(&node.path("tmp")), [""; 0]);
    }
}

#[tokio::test]
async fn damaged_outboard_and_data_are_quarantined() {
    let data = bytes(5, 500_000);
    let hash = Blake3::of(&data);
    let node = Node::holding(&data).await;
    flip(&node.store.0.layout.outboard(&hash), 5);
    flip(&node.object(&hash), 77);
    assert!(matches!(node.store.read(&hash, 1 << 20).await, Err(ReadError::Corrupt { .. })));
    assert_eq!(quarantined(&node), 1);
    assert_eq!(names(&node.path("tmp")), [""; 0]);
}

/// Two readers find the same damage: one quarantine, and never the good copy that came between.
#[tokio::test]
async fn a_good_copy_is_not_quarantined_for_an_old_one() {
    let data = bytes(6, 300_000);
    let hash = Blake3::of(&data);
    let node = Node::holding(&data).await;
    flip(&node.object(&hash), 299_999);
    // Both have the damaged file open before either reads the damage.
    let held = node.store.held(&hash).unwrap();
    assert!(node.store.verify(&hash).await.is_err());
    node.store.import_bytes(data.clone()).await.unwrap();
    let ranges = tree::chunk_ranges(held.size, [(0, 19)]);
    let walk = walk::Walk::new(held, ranges, walk::Output::Data);
    let mut pump = reader::Pump::new(node.store.clone(), walk);
    let late = loop {
        match pump.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(late, Err(ReadError::Corrupt { .. })), "{late:?}");
    assert_eq!(quarantined(&node), 1);
    assert_eq!(node.content(&hash).await, data);
}

/// The story of the design: a holder's copy has rotted, a newcomer asks it, nothing wrong spreads, and it heals from another.
#[tokio::test]
async fn rot_does_not_spread() {
    for at in [10, 1_200_000, 2_999_999] {
        let data = bytes(7, 3_000_000);
        let want = expect(&data);
        let (rotten, good, newcomer) = (Node::holding(&data).await, Node::holding(&data).await, Node::new());
        flip(&rotten.object(&want.hash), at);

        let error = pull(&rotten, &newcomer, want).await.unwrap_err();
        let FetchError::Peer(fault) = &error else { panic!("{error}") };
        assert_eq!(fault.severity(), transfer::Severity::Unable, "the holder did not lie: {fault}");
        assert_eq!(newcomer.store.totals().rejected, 0, "nothing wrong was sent");
        assert!(!newcomer.store.has(&want.hash));
        assert_eq!(quarantined(&rotten), 1);

        let fetched = pull(&good, &newcomer, want).await.unwrap();
        assert_eq!(newcomer.content(&want.hash).await, data);
        assert_eq!(fetched.totals.resumed + fetched.totals.verified, want.size, "verified parts are not fetched twice");
        pull(&newcomer, &rotten, want).await.unwrap();
        assert_eq!(rotten.content(&want.hash).await, data);
    }
}
