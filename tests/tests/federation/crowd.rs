//! Many at once: clients that pull, clients that hold what they were given and do nothing, strangers that dial, and a process that
//! may open no further file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use verbund_tests::puppet::raw::{self, nobodys};
use verbund_tests::puppet::{address_of, peer_of};
use verbund_tests::{Federation, Folder, Node, noise, until};

/// Clients that pull a file at the same time.
const CLIENTS: u64 = 1_800;
/// Clients that connect and never finish a request.
const LORISES: u64 = 500;
/// Bytes of the file.
const FILE: usize = 100_000;
/// What the daemon's memory may grow by under all of them, in bytes: its 512 connections, with their buffers and TLS.
const GROWTH_MAX: u64 = 96 << 20;
/// Dials by strangers; every so many of them go through the whole handshake.
const DIALS: u64 = 10_000;
const WHOLE: u64 = 10;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// How many files this process may open; a crowd that does not fit is made smaller, and that is said.
fn share_of(wanted: u64, others: u64) -> u64 {
    let free = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(others + 200);
    if free < wanted {
        eprintln!("SKIPPED in part: {free} of {wanted} clients, because of the limit of open files");
    }
    wanted.min(free)
}

/// A client's own address, as 2,300 municipalities have theirs: the daemon counts connections by address.
fn address(number: u64) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 17, high, low.max(1)), 0))
}

struct Https {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Https {
    fn of(node: &Node) -> Self {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(super::pulling::certificate(node)).unwrap();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let address = node.status()["addresses"]["https"][0].as_str().unwrap().parse().unwrap();
        Self { address, tls: TlsConnector::from(Arc::new(config)) }
    }

    async fn tcp(&self, number: u64) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(address(number))?;
        socket.connect(self.address).await
    }

    async fn dial(&self, number: u64) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::IpAddress(self.address.ip().into());
        self.tls.connect(name, self.tcp(number).await?).await
    }

    /// Pulls `path` once; the body.
    async fn pull(&self, number: u64, path: &str, token: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = self.dial(number).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer).await
            && error.kind() != std::io::ErrorKind::UnexpectedEof
        {
            return Err(error);
        }
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(std::io::Error::other(String::from_utf8_lossy(&answer[..head]).into_owned()));
        }
        Ok(answer.split_off(head + 4))
    }

    /// Connects again and again and holds what it gets: without TLS, or with half a request that grows by a byte now and then.
    async fn loris(&self, number: u64, held: &AtomicU64, done: &AtomicU64) {
        while done.load(Ordering::Relaxed) == 0 {
            if number.is_multiple_of(2) {
                let Ok(mut stream) = self.tcp(number).await else { continue };
                held.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 16]).await;
            } else {
                let Ok(mut stream) = self.dial(number).await else { continue };
                held.fetch_add(1, Ordering::Relaxed);
                for byte in b"GET / HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
                    if stream.write_all(&[*byte]).await.is_err() || done.load(Ordering::Relaxed) > 0 {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }
}

/// Since when `node` is connected with each other member.
fn connections(node: &Node) -> Vec<Value> {
    node.federation("mitte")["members"].as_array().unwrap().iter().map(|member| member["connection"].clone()).collect()
}

#[test]
fn two_thousand_clients_pull_at_once_with_five_hundred_that_only_hold_on() {
    let federation = Federation::found(2);
    let bytes = noise(17, FILE);
    let folder = Folder::new(federation.world.path(), "wohngeld").file("antrag.pdf", &bytes);
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    let node = &federation["de-rp"];
    let token = node.command(["--quiet", "token", "create", "gemeinden"]).ok().trim().to_owned();
    let path = "/api/v1/mitte/releases/de-he/wohngeld/1.0.0/files/antrag.pdf";
    let https = Arc::new(Https::of(node));
    let before = (node.resident(), connections(node));
    let (clients, lorises) = (share_of(CLIENTS, LORISES), LORISES);
    let (held, done, highest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    runtime().block_on(async {
        let holding: Vec<_> = (0..lorises)
            .map(|number| {
                let (https, held, done) = (https.clone(), held.clone(), done.clone());
                tokio::spawn(async move { https.loris(40_000 + number, &held, &done).await })
            })
            .collect();
        // They were there first: of 512 places few are left.
        while held.load(Ordering::Relaxed) < lorises {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let pulling: Vec<_> = (0..clients)
            .map(|number| {
                let (https, token) = (https.clone(), token.clone());
                tokio::spawn(async move {
                    // As a client does: again, if the connection was not taken in time.
                    let mut last = None;
                    for _ in 0..5 {
                        match https.pull(number, path, &token).await {
                            Ok(body) => return Ok(body),
                            Err(error) => last = Some(error.to_string()),
                        }
                    }
                    Err(last.unwrap_or_default())
                })
            })
            .collect();
        for (number, client) in pulling.into_iter().enumerate() {
            let body = client.await.unwrap().unwrap_or_else(|error| panic!("client {number}: {error}"));
            assert!(body == bytes, "client {number} got other bytes: {} of {FILE}", body.len());
            if number % 50 == 0 {
                highest.fetch_max(node.resident(), Ordering::Relaxed);
            }
        }
        // The federation went on meanwhile.
        let folder = Folder::new(federation.world.path(), "waehrenddessen");
        federation.publish("de-he", &folder.path);
        federation.hold(&["de-rp"], 2);
        done.store(1, Ordering::Relaxed);
        holding.iter().for_each(tokio::task::JoinHandle::abort);
    });
    let grown = highest.load(Ordering::Relaxed).saturating_sub(before.0);
    println!("{clients} clients and {lorises} that hold on: resident memory grew by {} MiB", grown >> 20);
    assert!(grown <= GROWTH_MAX, "it grew by {} MiB", grown >> 20);
    assert_eq!(connections(node), before.1, "the members stayed connected");
}

#[test]
fn ten_thousand_dials_by_strangers_cost_no_member_its_connection() {
    let federation = Federation::found(3);
    let node = &federation["de-he"];
    let (address, peer) = (address_of(node, "mitte"), peer_of(node));
    let before = (node.resident(), connections(node));
    let dialled = AtomicU64::new(0);
    runtime().block_on(async {
        let places = Semaphore::new(200);
        let dials = (0..DIALS).map(|number| {
            let (places, dialled, address, peer) = (&places, &dialled, &address, &peer);
            async move {
                let _place = places.acquire().await.unwrap();
                if number % WHOLE == 0 {
                    let key = nobodys(number);
                    let dial = raw::dial(&key, address, peer);
                    // Refused for lack of room, or let in for a moment: either is fine.
                    drop(tokio::time::timeout(Duration::from_secs(10), dial).await);
                } else if let Ok(mut stream) = TcpStream::connect(address.socket().unwrap()).await {
                    let _ = stream.write_all(&noise(number, 32)).await;
                    drop(tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 64])).await);
                }
                dialled.fetch_add(1, Ordering::Relaxed);
            }
        });
        futures::future::join_all(dials).await;
    });
    assert_eq!(dialled.load(Ordering::Relaxed), DIALS);
    assert_eq!(connections(node), before.1, "the members stayed connected");
    println!("{DIALS} dials: resident memory {} -> {} MiB", before.0 >> 20, node.resident() >> 20);
    assert!(node.resident() < before.0 + (32 << 20), "{} -> {} MiB", before.0 >> 20, node.resident() >> 20);
    federation.publish("de-rp", &Folder::new(federation.world.path(), "danach").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 1);
}

/// Files that a process has open.
fn open_files(pid: u32) -> u64 {
    std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).map_or(0, |files| files.count() as u64)
}

#[test]
fn a_node_that_may_open_no_further_file_loses_nothing_and_goes_on_when_it_may() {
    let mut federation = Federation::found(2);
    federation.publish("de-he", &Folder::new(federation.world.path(), "vorher").path);
    federation.hold(&["de-he", "de-rp"], 1);
    let pid = federation["de-rp"].pid();
    let process = Pid::from_raw(i32::try_from(pid).unwrap());
    let usual = getrlimit(Resource::Nofile);
    let limit = |files: Option<u64>| {
        let limit = Rlimit { current: files.or(usual.current), maximum: usual.maximum };
        prlimit(process, Resource::Nofile, limit).unwrap();
    };
    // As the log tells it, once a minute: the admin socket has no descriptor left to answer with.
    let told = |node: &Node| node.log().matches("Too many open files").count();
    // One free descriptor, then none: whatever is opened next fails.
    for (round, spare) in [1, 0].into_iter().enumerate() {
        let before = told(&federation["de-rp"]);
        limit(Some(open_files(pid) + spare));
        let mut folder = Folder::new(federation.world.path(), &format!("engpass-{round}"));
        for number in 0..12 {
            folder = folder.file(&format!("{number}.bin"), &noise(number + 100 * round as u64, 40_000));
        }
        federation.publish("de-he", &folder.path);
        let token = federation["de-he"].command(["--quiet", "token", "create", "x"]);
        assert_eq!(token.code, 0, "{token}");
        if round == 0 {
            until("it says why the release is not complete", || {
                if told(&federation["de-rp"]) > before { Ok(()) } else { Err("no word of it".to_owned()) }
            });
        }
        assert!(federation["de-rp"].runs(), "it ended: {}", federation["de-rp"].log_tail());
        limit(None);
        federation.hold(&["de-he", "de-rp"], 2 + round as u64);
    }
    let out = federation.world.join("out");
    federation["de-rp"].command(["process", "pull", "de-he/engpass-1", out.to_str().unwrap()]).ok();
    assert!(std::fs::read(out.join("11.bin")).unwrap() == noise(111, 40_000));
    federation["de-rp"].restart();
    federation.connected();
    federation.publish("de-rp", &Folder::new(federation.world.path(), "danach").path);
    federation.hold(&["de-he", "de-rp"], 4);
}
