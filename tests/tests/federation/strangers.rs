//! Strangers: whoever dials without being a member gets the join protocol, and there a bounded refusal of whatever is wrong.

use serde_json::Value;
use verbund_protocol::ids::{FederationId, Sha256};
use verbund_protocol::limits::FRAME_MAX_BYTES;
use verbund_protocol::wire;
use verbund_protocol::wire::join::{Lodge, Progress, Refused, Request, Response};
use verbund_protocol::wire::ticket::Ticket;
use verbund_tests::puppet::raw::{self, OpenStreamError, Raw, nobodys};
use verbund_tests::puppet::{address_of, peer_of};
use verbund_tests::{Federation, Folder, Node, until};

const JOIN: &str = "/verbund/1/join";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn stranger(number: u64, node: &Node) -> Raw {
    raw::dial(&nobodys(number), &address_of(node, "mitte"), &peer_of(node)).await.unwrap()
}

/// Since when `node` is connected with each other member.
fn connections(node: &Node) -> Vec<Value> {
    let members = node.federation("mitte")["members"].clone();
    members.as_array().unwrap().iter().map(|member| member["connection"].clone()).collect()
}

fn refusals(node: &Node, reason: &str) -> u64 {
    node.status()["refusals"][reason].as_u64().unwrap_or(0)
}

#[test]
fn a_stranger_that_opens_every_protocol_gets_the_join_protocol_only() {
    let federation = Federation::found(2);
    let node = &federation["de-he"];
    let before = connections(node);
    runtime().block_on(async {
        // Two connections with one key: the second carries no more rights than the first.
        let both = [stranger(1, node).await, stranger(1, node).await];
        for raw in &both {
            for version in ["1.0.0", "1.1.0", "1.2.0", "1.3.0"] {
                refused(raw, &format!("/meshsub/{version}")).await;
            }
            for protocol in [
                "/floodsub/1.0.0",
                "/verbund/1/sync",
                "/verbund/1/blob",
                "/verbund/2/sync",
                "/verbund/1/admin",
                "/verbund/1/join/",
                "/ipfs/id/1.0.0",
                "/ipfs/id/push/1.0.0",
                "/ipfs/ping/1.0.0",
                "/ipfs/kad/1.0.0",
                "/libp2p/circuit/relay/0.2.0/hop",
                "/libp2p/dcutr",
                "/noise",
                "/",
            ] {
                refused(raw, protocol).await;
            }
            let ask = wire::encode(federation_of(node), Request::Charters { from: 1 }).unwrap();
            let (status, answer) = raw::request(raw, JOIN, &ask).await.unwrap();
            assert_eq!(status, 0);
            assert!(matches!(join_answer(node, &answer), Response::Charters(all) if all.len() == 2));
        }
        // What is sent as gossip before the other side has said no is not read either.
        if let Ok(mut stream) = both[0].open("/meshsub/1.1.0").await {
            let rpc = raw::gossip_rpc(&federation_of(node).to_hex(), [b"spam".as_slice()]);
            raw::pour(&mut stream, &rpc, 1 << 20, std::time::Duration::from_secs(1), &raw::Sent::default()).await;
            panic!("gossip with a stranger");
        }
    });
    assert_eq!(connections(node), before, "members stay connected");
    assert_eq!(node.federation("mitte")["members"].as_array().unwrap().len(), 2);
    federation.publish("de-rp", &Folder::new(federation.world.path(), "es-geht-weiter").path);
    federation.hold(&["de-he", "de-rp"], 1);
}

async fn refused(raw: &Raw, protocol: &str) {
    let opened = raw.open(protocol).await;
    assert!(matches!(opened, Err(OpenStreamError::UnsupportedProtocol(_))), "{protocol}: {opened:?}");
}

fn federation_of(node: &Node) -> FederationId {
    node.federation("mitte")["id"].as_str().unwrap().parse().unwrap()
}

fn join_answer(node: &Node, bytes: &[u8]) -> Response {
    wire::decode(federation_of(node), bytes, FRAME_MAX_BYTES).unwrap()
}

fn lodge(ticket: &Ticket, secret: [u8; 32]) -> Lodge {
    let rubbish = b"kein Umschlag".to_vec();
    Lodge {
        ticket: ticket.id_bytes(),
        secret,
        identities: vec![rubbish.repeat(8)],
        writer: rubbish.clone(),
        request: rubbish.clone(),
        node_info: rubbish,
    }
}

#[test]
fn what_is_wrong_with_a_join_frame_is_answered_in_words_and_counted() {
    let federation = Federation::found(1);
    let node = &federation["de-he"];
    let line = federation.invite("de-th");
    let ticket: Ticket = line.parse().unwrap();
    let here = federation_of(node);
    runtime().block_on(async {
        let raw = stranger(2, node).await;
        // Malformed: nothing, noise, an unknown kind of request, trailing bytes, another federation, another version.
        let good = wire::encode(here, Request::Progress { request: Sha256([1; 32]) }).unwrap();
        let mut unknown = wire::encode(here, Request::Charters { from: 1 }).unwrap();
        unknown.truncate(good.len() - 33);
        unknown.push(200);
        let mut newer = good.clone();
        newer[0] = 99;
        let elsewhere = wire::encode(FederationId([7; 32]), Request::Charters { from: 1 }).unwrap();
        let trailing = [good.as_slice(), b"x"].concat();
        let malformed = [Vec::new(), vec![0xff; 1_000], unknown, trailing, elsewhere, newer];
        for (number, bytes) in malformed.iter().enumerate() {
            let (status, answer) = raw::request(&raw, JOIN, bytes).await.unwrap();
            let answer = join_answer(node, &answer);
            assert!(status == 0 && matches!(answer, Response::Refused(Refused::Invalid(_))), "{number}: {answer:?}");
        }
        assert_eq!(refusals(node, "bad_join"), malformed.len() as u64);

        // Without the secret, with a wrong one, and with the right one but no documents: none of it burns the ticket.
        let mut nobody = ticket.clone();
        nobody.id = "00".repeat(16);
        for (wrong, secret) in [(&nobody, [0; 32]), (&ticket, [0; 32]), (&ticket, ticket.secret_bytes())] {
            let request = Request::Lodge(Box::new(lodge(wrong, secret)));
            let (_, answer) = raw::request(&raw, JOIN, &wire::encode(here, request).unwrap()).await.unwrap();
            let Response::Refused(refused) = join_answer(node, &answer) else { panic!("lodged") };
            let expected = secret == ticket.secret_bytes();
            assert!(
                if expected { matches!(refused, Refused::Invalid(_)) } else { refused == Refused::UnknownTicket },
                "{refused}"
            );
        }
        assert_eq!(refusals(node, "join_refused"), 3);

        // What is asked rightly is answered, with nothing in it.
        let (_, answer) = raw::request(&raw, JOIN, &good).await.unwrap();
        assert_eq!(join_answer(node, &answer), Response::Progress(Progress::Unknown));
        let beyond = wire::encode(here, Request::Charters { from: u64::MAX }).unwrap();
        let (_, answer) = raw::request(&raw, JOIN, &beyond).await.unwrap();
        assert_eq!(join_answer(node, &answer), Response::Charters(Vec::new()));

        // A frame over the limit has no answer: its stream ends, the connection goes on.
        let long = vec![0; (256 << 10) + 1];
        raw::request(&raw, JOIN, &long).await.unwrap_err();
        until("it is counted", || match refusals(node, "oversize") {
            1 => Ok(()),
            n => Err(n.to_string()),
        });

        // One after the other is answered up to a rate; beyond it the stranger is told to come later.
        let mut busy = 0;
        for _ in 0..60 {
            busy += u64::from(raw::request(&raw, JOIN, &good).await.unwrap().0 == 1);
        }
        assert!(busy > 0 && refusals(node, "rate_limited") == busy, "{busy} of 60");
    });
    assert_eq!(node.json("member requests")["requests"], serde_json::json!([]));
    // The events are not full of it: a few, then each doubling.
    let told = node.events().iter().filter(|event| event["details"]["reason"] == "bad_join").count();
    assert_eq!(told, 6, "the first eight are told one by one");
    let newcomer = federation.world.start("de-th", "Thüringen");
    newcomer.command(["peer", "add", &line]).ok();
    federation.requested(node, "de-th");
}
