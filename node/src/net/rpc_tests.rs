//! Frames: caps before memory, budgets, truncation.

use super::*;
use futures::TryStreamExt as _;
use futures::io::Cursor;
use libp2p::request_response::Codec as _;

const P: StreamProtocol = StreamProtocol::new("/test");

fn codec(protocol: Protocol) -> Codec {
    Codec::new(protocol, Arc::new(Semaphore::new(limits::ANSWER_BUDGET_BYTES)), Arc::default())
}
fn frame(bytes: &[u8]) -> Frame {
    Frame { bytes: bytes.to_vec(), budget: None }
}

#[tokio::test]
async fn frames_round_trip_up_to_the_cap() {
    for len in [0, 1, limits::FRAME_STEP_BYTES, limits::FRAME_STEP_BYTES + 1, limits::JOIN_REQUEST_MAX_BYTES] {
        let (mut c, mut wire) = (codec(Protocol::Join), Vec::new());
        c.write_request(&P, &mut wire, frame(&vec![7; len])).await.unwrap();
        let read = c.read_request(&P, &mut Cursor::new(&wire)).await.unwrap();
        assert_eq!(read.bytes, vec![7; len]);
        assert_eq!(c.requests.available_permits(), limits::JOIN_BUDGET_BYTES - len, "held while in work");
        drop(read);
        assert_eq!(c.requests.available_permits(), limits::JOIN_BUDGET_BYTES);
    }
}

#[tokio::test]
async fn answers_round_trip() {
    let mut c = codec(Protocol::Sync);
    for answer in [Answer::of(b"yes".to_vec()), Answer::Busy, Answer::NotAnswered] {
        let (mut wire, shown) = (Vec::new(), format!("{:?}", std::mem::discriminant(&answer)));
        c.write_response(&P, &mut wire, answer).await.unwrap();
        let read = c.read_response(&P, &mut Cursor::new(&wire)).await.unwrap();
        assert_eq!(format!("{:?}", std::mem::discriminant(&read)), shown);
    }
    assert!(c.read_response(&P, &mut Cursor::new(&[9_u8])).await.is_err(), "unknown status");
}

#[tokio::test]
async fn hostile_lengths_are_refused_before_allocation() {
    let mut c = codec(Protocol::Join);
    for len in [u32::MAX, limits::JOIN_REQUEST_MAX_BYTES as u32 + 1] {
        let error = c.read_request(&P, &mut Cursor::new(&len.to_be_bytes())).await.unwrap_err();
        assert!(matches!(failure(&OutboundFailure::Io(error)), RequestError::TooLarge { .. }));
    }
    assert_eq!(c.counters.oversize.get(), 2);
    assert!(c.write_request(&P, &mut Vec::new(), frame(&vec![0; limits::JOIN_REQUEST_MAX_BYTES + 1])).await.is_err());
}

#[tokio::test]
async fn an_announced_length_costs_one_step() {
    let mut c = codec(Protocol::Sync);
    let requests = c.requests.clone();
    let mut sent = (limits::SYNC_MAX_BYTES as u32).to_be_bytes().to_vec();
    sent.extend([1; 10]);
    let silence = futures::stream::pending::<io::Result<Vec<u8>>>().into_async_read();
    let mut io = Cursor::new(sent).chain(silence);
    let protocol = P;
    let mut reading = Box::pin(c.read_request(&protocol, &mut io));
    assert!(futures::poll!(&mut reading).is_pending());
    assert_eq!(requests.available_permits(), limits::SYNC_BUDGET_BYTES - limits::FRAME_STEP_BYTES);
    drop(reading);
    assert_eq!(requests.available_permits(), limits::SYNC_BUDGET_BYTES, "given back");
}

#[tokio::test]
async fn an_empty_budget_refuses() {
    let mut c = codec(Protocol::Join);
    let mut wire = Vec::new();
    c.write_request(&P, &mut wire, frame(&[1; 100])).await.unwrap();
    let all = c.requests.clone().try_acquire_many_owned(limits::JOIN_BUDGET_BYTES as u32 - 50).unwrap();
    let error = c.read_request(&P, &mut Cursor::new(&wire)).await.unwrap_err();
    assert_eq!(failure(&OutboundFailure::Io(error)), RequestError::Busy);
    drop(all);
    assert!(c.read_request(&P, &mut Cursor::new(&wire)).await.is_ok());
}

#[tokio::test]
async fn truncated_frames_are_errors() {
    let (mut c, mut wire) = (codec(Protocol::Sync), Vec::new());
    c.write_request(&P, &mut wire, frame(&[5; 1_000])).await.unwrap();
    for len in 0..wire.len() {
        assert!(c.read_request(&P, &mut Cursor::new(&wire[..len])).await.is_err(), "{len}");
    }
    assert_eq!(c.requests.available_permits(), limits::SYNC_BUDGET_BYTES);
}

#[tokio::test]
async fn responders_keep_to_the_cap() {
    let (responder, rx) = Responder::new(Protocol::Join, None);
    assert!(matches!(responder.send(vec![0; limits::JOIN_ANSWER_MAX_BYTES + 1]), Err(RequestError::TooLarge { .. })));
    assert!(rx.await.is_err(), "the other side sees that there is no answer");
    let (responder, rx) = Responder::new(Protocol::Join, None);
    drop(rx);
    assert_eq!(responder.send(vec![]), Err(RequestError::Closed));
}
