//! Slow, many and hostile connections; stopping.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{Client, dial, finish};
use super::fake::BIG_BYTES;
use super::harness::{RELEASE, eventually, start};

/// No test here should take this long: what hangs fails. Below the 30 s at which the HTTP library would cut a head by itself.
const LONG: Duration = Duration::from_secs(25);

#[tokio::test]
async fn slow_loris_is_cut_while_others_are_served() {
    let running = start(|config| config.limits.header_timeout = Duration::from_millis(400)).await;
    let address = running.server.addresses()[0];
    let mut loris = Vec::new();
    for _ in 0..5 {
        let mut tls = dial(address, running.tls()).await.unwrap();
        tls.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        loris.push(tokio::spawn(async move {
            // One byte at a time, for ever: only the server can end this.
            let (mut reader, mut writer) = tokio::io::split(tls);
            let drip = async {
                while writer.write_all(b"x").await.is_ok() && writer.flush().await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let mut rest = Vec::new();
            tokio::select! {
                () = drip => {}
                _ = reader.read_to_end(&mut rest) => {}
            }
        }));
    }
    for _ in 0..5 {
        assert_eq!(running.client().await.get(RELEASE, &[]).await.status.as_u16(), 200);
    }
    for one in loris {
        tokio::time::timeout(LONG, one).await.expect("cut").unwrap();
    }
    eventually("cut connections counted", || running.server.counters().connections_failed >= 5).await;
}

#[tokio::test]
async fn a_client_without_handshake_is_cut() {
    let running = start(|config| config.limits.handshake_timeout = Duration::from_millis(200)).await;
    let mut silent = TcpStream::connect(running.server.addresses()[0]).await.unwrap();
    let mut plain = TcpStream::connect(running.server.addresses()[0]).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    tokio::time::timeout(LONG, async {
        let _ = silent.read_to_end(&mut a).await;
        let _ = plain.read_to_end(&mut b).await;
    })
    .await
    .expect("cut");
    assert!(!String::from_utf8_lossy(&b).contains("HTTP"));
    eventually("failed handshakes counted", || running.server.counters().handshakes_failed == 2).await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut() {
    let running = start(|config| config.limits.stall_timeout = Duration::from_millis(300)).await;
    // The largest answer there is: it cannot fit into the buffers on the way.
    let mut client = running.client().await;
    let unread = client.begin("GET", "/api/v1/mitte/releases/de-he/hundesteuer/1.9.0/provenance", &[]).await.unwrap();
    eventually("the stalled connection is cut", || running.server.counters().connections_failed == 1).await;
    assert_eq!(running.server.counters().bodies_cut, 1);
    assert!(finish(unread).await.cut);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let running = start(|config| config.limits.header_timeout = Duration::from_millis(200)).await;
    let mut client = running.client().await;
    assert_eq!(client.get(RELEASE, &[]).await.status.as_u16(), 200);
    eventually("closed", || running.server.counters().connections_open == 0).await;
    assert!(client.send("GET", RELEASE, &[]).await.is_err());
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let running = start(|config| config.limits.connections_per_address = 2).await;
    let address = running.server.addresses()[0];
    let (mut first, second) = (running.client().await, running.client().await);
    assert!(Client::connect(address, running.tls()).await.is_err());
    assert_eq!(running.server.counters().connections_refused, 1);
    assert_eq!(first.get(RELEASE, &[]).await.status.as_u16(), 200);
    drop(second);
    eventually("given back", || running.server.counters().connections_open == 1).await;
    assert_eq!(running.client().await.get(RELEASE, &[]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let running = start(|config| config.limits.connections = 1).await;
    let first = running.client().await;
    let (address, tls) = (running.server.addresses()[0], running.tls());
    let second = tokio::spawn(async move { Client::connect(address, tls).await.unwrap().get(RELEASE, &[]).await });
    assert_eq!(running.server.counters().connections_open, 1);
    drop(first);
    assert_eq!(tokio::time::timeout(LONG, second).await.unwrap().unwrap().status.as_u16(), 200);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    for _ in 0..20 {
        assert_eq!(client.get(&format!("{RELEASE}/files/antrag.xml"), &[]).await.status.as_u16(), 200);
    }
    let counters = running.server.counters();
    assert_eq!((counters.connections, counters.requests, counters.answers_2xx), (1, 20, 20));
    assert_eq!((counters.body_bytes, counters.bodies_cut), (20 * 27, 0));
}

#[tokio::test]
async fn stopping_lets_running_answers_end_and_idle_ones_go() {
    let running = start(|_| {}).await;
    let address = running.server.addresses()[0];
    let (mut busy, mut idle, mut silent) =
        (running.client().await, running.client().await, TcpStream::connect(address).await.unwrap());
    assert_eq!(idle.get(RELEASE, &[]).await.status.as_u16(), 200);
    let begun = busy.begin("GET", &format!("{RELEASE}/files/big.bin"), &[]).await.unwrap();
    let stopped = tokio::spawn(running.server.shutdown(LONG * 2));
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let reply = finish(begun).await;
    assert!(!reply.cut && reply.body.len() == BIG_BYTES);
    tokio::time::timeout(LONG, stopped).await.expect("no connection holds it up").unwrap();
    assert!(idle.send("GET", RELEASE, &[]).await.is_err());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn stopping_cuts_what_does_not_end() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let begun = client.begin("GET", &format!("{RELEASE}/files/stuck.bin"), &[]).await.unwrap();
    tokio::time::timeout(LONG, running.server.shutdown(Duration::from_millis(100))).await.expect("cut");
    assert!(finish(begun).await.cut);
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let address = running.server.addresses()[0];
    drop(running.server);
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(LONG, refused).await.expect("gone");
    assert!(client.send("GET", RELEASE, &[]).await.is_err());
}
