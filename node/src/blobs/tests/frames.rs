//! Hostile frames, and the pace that peers have to keep.

use std::time::Duration;

use proptest::prelude::*;

use super::super::transfer::{RANGES_MAX, REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES, Response};
use super::*;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Gives a holder these bytes as a request.
async fn hostile(node: &Node, bytes: Vec<u8>) {
    let (here, there) = link();
    let server = serving(there, node);
    let (mut reader, mut writer) = here.split();
    let mut answer = Vec::new();
    let write = async {
        drop(writer.write_all(&bytes).await);
        drop(writer.close().await);
    };
    let (_, read) = futures::join!(write, reader.read_to_end(&mut answer));
    read.unwrap();
    // Any end will do, as long as it is one.
    drop(server.await.unwrap());
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn any_bytes_as_a_request(raw in proptest::collection::vec(any::<u8>(), 0..300), framed in any::<bool>()) {
        block_on(async {
            let node = Node::holding(b"held").await;
            let frame = [&[1, raw.len() as u8, (raw.len() >> 8) as u8], raw.as_slice()].concat();
            hostile(&node, if framed { frame } else { raw }).await;
        });
    }

    #[test]
    fn any_ranges_as_a_request(size in prop_oneof![Just(300_000), any::<u64>()], ends in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..20), groups in any::<bool>()) {
        let data = bytes(1, 300_000);
        let scale = |n: u64| if groups { (n % 24) * 16_384 } else { n };
        let ranges: Vec<_> = ends.into_iter().map(|(start, end)| transfer::ByteRange { start: scale(start), end: scale(end) }).collect();
        let request = Request { hash: Blake3::of(&data), size, ranges };
        block_on(async {
            let node = Node::holding(&data).await;
            hostile(&node, transfer::frame(&request).unwrap()).await;
            node.store.verify(&request.hash).await.unwrap();
        });
    }

    #[test]
    fn any_bytes_as_a_response(raw in proptest::collection::vec(any::<u8>(), 0..100), framed in any::<bool>()) {
        block_on(async {
            let to = Node::new();
            let frame = [&[1, raw.len() as u8, 0], raw.as_slice()].concat();
            let script = if framed { frame } else { raw };
            let result = pull_script(&to, expect(&[5; 40_000]), &script, None).await;
            assert!(matches!(result, Err(FetchError::Peer(_))), "{result:?}");
        });
    }

    /// What a client asks for covers what it misses, within the limits of a request.
    #[test]
    fn requests_cover_what_is_missing(holes in proptest::collection::vec((1u64..5, 1u64..5), 1..600), last in 1u64..=16_384) {
        let (mut missing, mut at) = (Vec::new(), 0);
        for (present, absent) in holes {
            missing.push((at + present, at + present + absent));
            at += present + absent;
        }
        let size = (at - 1) * 16_384 + last;
        let request = Request::for_groups(Blake3([1; 32]), size, &missing);
        prop_assert!(request.ranges.len() <= RANGES_MAX);
        prop_assert!(transfer::frame(&request).unwrap().len() <= REQUEST_MAX_BYTES);
        let asked = request.chunk_ranges().unwrap();
        let wanted = tree::chunk_ranges(size, missing.clone());
        prop_assert!(asked.is_superset(&wanted));
        if missing.len() < RANGES_MAX {
            prop_assert_eq!(asked, wanted);
        }
    }
}

#[test]
fn a_request_for_an_empty_artifact_asks_for_the_whole() {
    let request = Request::for_groups(Blake3::of(b""), 0, &[(0, 1)]);
    assert!(request.ranges.is_empty());
    assert!(request.chunk_ranges().unwrap().is_all());
}

/// The bytes on the wire, fixed: another implementation relies on them.
#[test]
fn golden_frames() {
    let range = |start, end| transfer::ByteRange { start, end };
    let request =
        Request { hash: Blake3([0xab; 32]), size: 300_000, ranges: vec![range(0, 16_384), range(32_768, 300_000)] };
    let wanted = format!("012e00{}fce09304000200fb0040fb0080fce0930400", "ab".repeat(32));
    let frame = transfer::frame(&request).unwrap();
    assert_eq!(hex::encode(&frame[3..]), wanted[6..]);
    assert_eq!(usize::from(frame[1]), frame.len() - 3);
    use super::super::transfer::Refusal::*;
    let responses = [
        (Response::Ok { size: 5 }, "0102000005"),
        (Response::Refused(NotFound), "0102000100"),
        (Response::Refused(NotAllowed), "0102000101"),
        (Response::Refused(Busy), "0102000102"),
        (Response::Refused(Corrupt), "0102000103"),
        (Response::Refused(BadRequest), "0102000104"),
        (Response::Refused(Unavailable), "0102000105"),
        (Response::Refused(SizeDiffers { size: 7 }), "010300010607"),
    ];
    for (response, wanted) in responses {
        let frame = transfer::frame(&response).unwrap();
        assert_eq!(hex::encode(&frame), wanted);
        assert!(frame.len() <= RESPONSE_MAX_BYTES);
    }
}

#[tokio::test]
async fn pace_is_an_average_over_the_waiting() {
    use super::super::transfer::pace::{Demand, Lag, Pace};
    let second = Duration::from_secs(1);
    let demand = Demand { stall: second / 100, min_rate: 1000, window: 5 * second };
    let mut pace = Pace::new(demand);
    assert_eq!(pace.wait(std::future::pending::<Result<usize, ()>>()).await, Err(Lag::Stalled));
    for _ in 0..20 {
        assert_eq!(pace.count(second, 1000), Ok(()));
    }
    // A burst makes up for a pause within the window.
    for (waited, taken) in [(4 * second, 0), (second, 5000)] {
        assert_eq!(pace.count(waited, taken), Ok(()));
    }
    for _ in 0..4 {
        assert_eq!(pace.count(second, 999), Ok(()));
    }
    assert_eq!(pace.count(second, 999), Err(Lag::Slow));
    let mut lenient = Pace::new(Demand { min_rate: 0, ..demand });
    assert_eq!(lenient.count(100 * second, 0), Ok(()));
}
