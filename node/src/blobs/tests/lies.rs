//! Holders that send something else than the artifact: nothing wrong is stored, they are named, and others complete it.

use super::super::transfer::{PeerFault, Response, Severity};
use super::*;

fn fault(result: Result<Fetched, FetchError>) -> PeerFault {
    match result {
        Err(FetchError::Peer(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

async fn completes(from: &Node, to: &Node, data: &[u8]) -> Totals {
    let fetched = pull(from, to, expect(data)).await.unwrap();
    assert!(to.content(&Blake3::of(data)).await == data);
    fetched.totals
}

/// One flipped byte, anywhere in the response.
#[tokio::test]
async fn any_flipped_byte_is_noticed() {
    let data = bytes(1, 70_000);
    let from = Node::holding(&data).await;
    let want = expect(&data);
    let honest = response(&from, &want).await;
    let places = (0..400).chain((400..honest.len()).step_by(1511)).chain([honest.len() - 1]);
    for at in places {
        let to = Node::new();
        let mut lie = honest.clone();
        lie[at] ^= 1;
        let fault = fault(pull_script(&to, want, &lie, None).await);
        if at > 20 {
            assert!(matches!(fault, PeerFault::BadBytes { .. }), "{at}: {fault}");
            assert_eq!(fault.severity(), Severity::Misconduct);
        }
        assert!(!to.store.has(&want.hash), "{at}");
        let totals = completes(&from, &to, &data).await;
        assert_eq!(totals.resumed + totals.verified, want.size, "{at}: verified parts are kept, and only these");
    }
}

/// What was verified before the lie is kept.
#[tokio::test]
async fn a_lie_near_the_end_costs_only_the_end() {
    let data = bytes(2, 6_000_000);
    let from = Node::holding(&data).await;
    let want = expect(&data);
    let mut lie = response(&from, &want).await;
    let at = lie.len() - 5;
    lie[at] ^= 0x80;
    let to = Node::new();
    let fault = fault(pull_script(&to, want, &lie, None).await);
    assert!(matches!(fault, PeerFault::BadBytes { offset } if offset > 5_900_000), "{fault}");
    assert!(to.store.totals().rejected > 0);
    let totals = completes(&from, &to.reopen(), &data).await;
    assert!(totals.resumed > 5_900_000 && totals.verified <= 16_384, "{totals:?}");
    assert_eq!(totals.again, 0);
}

#[tokio::test]
async fn a_response_cut_anywhere() {
    let data = bytes(3, 300_000);
    let from = Node::holding(&data).await;
    let want = expect(&data);
    let honest = response(&from, &want).await;
    for cut in [0, 1, 2, 3, 5, 10, 70, 16_000, 100_000, 262_144, honest.len() - 1] {
        let to = Node::new();
        let fault = fault(pull_script(&to, want, &honest[..cut], None).await);
        assert_eq!((&fault, fault.severity()), (&PeerFault::Truncated, Severity::Unable), "{cut}");
        assert!(!to.store.has(&want.hash));
        let totals = completes(&from, &to, &data).await;
        assert_eq!(totals.resumed + totals.verified, want.size);
    }
}

#[tokio::test]
async fn an_endless_response() {
    let data = bytes(4, 300_000);
    let from = Node::holding(&data).await;
    let want = expect(&data);
    let honest = response(&from, &want).await;
    // Endless from the start, after the header, in the middle, and after the end.
    for (cut, wanted) in [(0, None), (8, None), (100_000, None), (honest.len(), Some(PeerFault::OverLong))] {
        for byte in [0, 1, 0xff] {
            let to = Node::new();
            let fault = fault(pull_script(&to, want, &honest[..cut], Some(byte)).await);
            if let Some(wanted) = &wanted {
                assert_eq!(&fault, wanted);
            }
            assert!(!to.store.has(&want.hash), "{cut} {byte}");
            let received = to.store.totals().received;
            assert!(received <= honest.len() as u64, "{received} bytes were taken");
            let totals = completes(&from, &to, &data).await;
            assert_eq!(totals.resumed + totals.verified, want.size);
        }
    }
}

/// Claims of another size: one that the artifact does not have, without a proof or with that of something else.
#[tokio::test]
async fn a_false_size() {
    let data = bytes(5, 300_000);
    let from = Node::holding(&data).await;
    let want = expect(&data);
    let mut scripts = Vec::new();
    for size in [0, 1, 299_999, 300_001, 16_384, 1 << 40, u64::MAX] {
        let frame = transfer::frame(&Response::Ok { size }).unwrap();
        scripts.push((size, [frame, response(&from, &want).await[8..].to_vec()].concat()));
        let refusal = Response::Refused(transfer::Refusal::SizeDiffers { size });
        let frame = transfer::frame(&refusal).unwrap();
        scripts.push((size, [frame.clone(), vec![0; 100_000]].concat()));
        // A true proof, of another artifact.
        let other = bytes(6, size.min(400_000) as usize);
        let proof =
            response(&Node::holding(&other).await, &Expect { size: other.len() as u64 + 1, ..expect(&other) }).await;
        let skip = proof.len().min(transfer::frame(&refusal).unwrap().len());
        scripts.push((size, [frame, proof[skip..].to_vec(), vec![0; 100_000]].concat()));
    }
    for (size, script) in scripts {
        let to = Node::new();
        let fault = fault(pull_script(&to, want, &script, None).await);
        assert_eq!((&fault, fault.severity()), (&PeerFault::WrongSize { claimed: size }, Severity::Misconduct));
        completes(&from, &to, &data).await;
    }
}

/// Another artifact of the same size, served with a perfect encoding.
#[tokio::test]
async fn another_artifact() {
    let (data, other) = (bytes(7, 300_000), bytes(8, 300_000));
    let (from, liar, to) = (Node::holding(&data).await, Node::holding(&other).await, Node::new());
    let script = response(&liar, &expect(&other)).await;
    let fault = fault(pull_script(&to, expect(&data), &script, None).await);
    assert_eq!(fault, PeerFault::BadBytes { offset: 0 });
    assert_eq!(to.store.totals().verified, 0);
    completes(&from, &to, &data).await;
}
