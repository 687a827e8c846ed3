//! More than anybody should send: a daemon under a gibibyte of hostile input keeps its memory, its answers and its members.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use verbund_protocol::codec;
use verbund_protocol::ids::{Blake3, FederationId, PeerId};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::wire;
use verbund_protocol::wire::sync::Request;
use verbund_tests::puppet::raw::{self, Raw, Sent, nobodys, pour};
use verbund_tests::puppet::{Keys, address_of, peer_of};
use verbund_tests::{Federation, Folder, Node, noise, until};

/// How much its resident memory may grow, in bytes.
const GROWTH_MAX: u64 = 32 << 20;
/// Until a stream that nobody reads is given up.
const PATIENCE: Duration = Duration::from_millis(200);
/// Connections of strangers in one attack.
const STRANGERS: usize = 40;
/// Connections of a member in one attack: a daemon keeps four.
const MEMBERS: usize = 3;

/// Whom, and as whom.
#[derive(Clone)]
struct Target {
    address: verbund::net::HostPort,
    peer: PeerId,
    federation: FederationId,
    member: SecretKey,
    large: (Blake3, u64),
    sent: Sent,
}

/// What one stream of an attack carries.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Bytes that are no TLS.
    NoTls,
    /// Join frames that announce 4 GiB.
    JoinHuge,
    /// Join frames of almost their largest size, of noise, and no end behind.
    JoinEndless,
    /// Join streams whose answers nobody reads.
    JoinUnread,
    /// Sync frames that announce 4 GiB.
    SyncHuge,
    /// Sync frames of almost their largest size, of noise, and no end behind.
    SyncEndless,
    /// Sync requests whose answers nobody reads.
    SyncUnread,
    /// Gossip messages of full size, each another.
    GossipFull,
    /// Gossip messages of a few bytes, each another.
    GossipTiny,
    /// A gossip message that announces 4 GiB.
    GossipHuge,
    /// Artifact requests with no end behind.
    BlobEndless,
    /// Artifact requests whose answers nobody reads.
    BlobUnread,
    /// Sync requests, and behind each as much as its stream takes, with no answer read.
    SyncFilled,
    /// Artifact requests, and behind each as much as its stream takes, with no answer read.
    BlobFilled,
}

impl Attack {
    /// All, with what each sends of a gibibyte and a bit, in MiB; those that send little hold what they opened for a moment.
    const ALL: [(Self, usize); 14] = [
        (Self::NoTls, 48),
        (Self::JoinHuge, 160),
        (Self::JoinEndless, 160),
        (Self::JoinUnread, 0),
        (Self::SyncHuge, 160),
        (Self::SyncEndless, 160),
        (Self::SyncUnread, 0),
        (Self::GossipFull, 192),
        (Self::GossipTiny, 32),
        (Self::GossipHuge, 64),
        (Self::BlobEndless, 64),
        (Self::BlobUnread, 0),
        (Self::SyncFilled, 0),
        (Self::BlobFilled, 0),
    ];

    const fn by_strangers(self) -> bool {
        matches!(self, Self::NoTls | Self::JoinHuge | Self::JoinEndless | Self::JoinUnread)
    }

    /// Streams at a time over one connection.
    const fn streams(self) -> u64 {
        match self {
            Self::NoTls | Self::GossipFull | Self::GossipTiny | Self::GossipHuge => 1,
            Self::JoinHuge | Self::JoinEndless | Self::JoinUnread => 4,
            Self::SyncHuge | Self::SyncEndless | Self::SyncUnread | Self::SyncFilled => 20,
            Self::BlobEndless | Self::BlobUnread | Self::BlobFilled => 24,
        }
    }

    const fn protocol(self) -> &'static str {
        match self {
            Self::NoTls => "",
            Self::JoinHuge | Self::JoinEndless | Self::JoinUnread => "/verbund/1/join",
            Self::SyncHuge | Self::SyncEndless | Self::SyncUnread | Self::SyncFilled => "/verbund/1/sync",
            Self::GossipFull | Self::GossipTiny | Self::GossipHuge => "/meshsub/1.1.0",
            Self::BlobEndless | Self::BlobUnread | Self::BlobFilled => "/verbund/1/blob",
        }
    }

    /// What a stream begins with.
    fn opening(self, target: &Target) -> Vec<u8> {
        let framed = |bytes: Vec<u8>| [u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec(), bytes].concat();
        match self {
            Self::JoinHuge | Self::SyncHuge => u32::MAX.to_be_bytes().to_vec(),
            Self::JoinEndless => ((256_u32 << 10) - 100).to_be_bytes().to_vec(),
            Self::SyncEndless => ((2_u32 << 20) - 100).to_be_bytes().to_vec(),
            Self::JoinUnread => {
                framed(wire::encode(target.federation, wire::join::Request::Charters { from: 1 }).unwrap())
            }
            Self::SyncUnread | Self::SyncFilled => {
                let request = Request::Entries { log: target.peer, from: 0 };
                framed(wire::encode(target.federation, request).unwrap())
            }
            Self::GossipHuge => vec![0xff, 0xff, 0xff, 0xff, 0x0f],
            Self::BlobEndless | Self::BlobUnread | Self::BlobFilled => {
                let (hash, size) = target.large;
                let request = verbund::blobs::transfer::Request { hash, size, ranges: Vec::new() };
                let body = codec::encode(&request).unwrap();
                [[1].as_slice(), &u16::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
            }
            Self::NoTls | Self::GossipFull | Self::GossipTiny => Vec::new(),
        }
    }

    /// What follows, over and over. `number` makes each another.
    fn chunk(self, target: &Target, number: u64) -> Vec<u8> {
        let topic = target.federation.to_hex();
        match self {
            Self::GossipFull => raw::gossip_rpc(&topic, [noise(number, 47 << 10).as_slice()]),
            Self::GossipTiny => {
                // As many as the library takes in one.
                let many: Vec<[u8; 8]> = (0..64).map(|n| (number << 16 | n).to_le_bytes()).collect();
                raw::gossip_rpc(&topic, many.iter().map(<[u8; 8]>::as_slice))
            }
            _ => noise(number, 64 << 10),
        }
    }
}

/// Sends `bytes` in this way, over new connections as old ones are closed.
async fn attack(target: Target, attack: Attack, bytes: usize, lane: u64) {
    let until = Instant::now() + Duration::from_secs(240);
    let own = Sent::default();
    let mut number = lane << 32;
    while (own.load(Ordering::Relaxed) as usize) < bytes && Instant::now() < until {
        number += 1;
        if matches!(attack, Attack::NoTls) {
            no_tls(&target, bytes, &own).await;
            continue;
        }
        // Strangers are another one each time; the member is always the same.
        let stranger = nobodys(number);
        let key = if attack.by_strangers() { &stranger } else { &target.member };
        let Ok(Ok(raw)) =
            tokio::time::timeout(Duration::from_secs(10), raw::dial(key, &target.address, &target.peer)).await
        else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let streams = (0..attack.streams()).map(|stream| {
            let (raw, target, own) = (&raw, &target, &own);
            let mut number = number + (stream << 24);
            async move {
                while (own.load(Ordering::Relaxed) as usize) < bytes && Instant::now() < until {
                    number += 1;
                    if !one(raw, target, attack, bytes, number, own).await {
                        break;
                    }
                }
            }
        });
        futures::future::join_all(streams).await;
    }
    target.sent.fetch_add(own.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// One stream; whether the connection is still of use.
async fn one(raw: &Raw, target: &Target, attack: Attack, bytes: usize, mut number: u64, own: &Sent) -> bool {
    let opened = tokio::time::timeout(Duration::from_secs(5), raw.open(attack.protocol())).await;
    let Ok(Ok(mut stream)) = opened else { return false };
    let opening = attack.opening(target);
    if !opening.is_empty() && !pour(&mut stream, &opening, opening.len(), PATIENCE, own).await {
        return true;
    }
    // Gossip is one stream for as long as it is taken. Of the others none is longer than this, so that none is left alone after
    // the other side stopped reading.
    let gossip = matches!(attack, Attack::GossipFull | Attack::GossipTiny);
    let end = if gossip { bytes } else { (own.load(Ordering::Relaxed) as usize + (4 << 20)).min(bytes) };
    while (own.load(Ordering::Relaxed) as usize) < end {
        number += 1 << 20;
        let chunk = attack.chunk(target, number);
        if !pour(&mut stream, &chunk, chunk.len(), PATIENCE, own).await {
            break;
        }
    }
    true
}

async fn no_tls(target: &Target, bytes: usize, own: &Sent) {
    use tokio::io::AsyncWriteExt as _;
    let Some(address) = target.address.socket() else { return };
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return };
    let chunk = noise(9, 64 << 10);
    while (own.load(Ordering::Relaxed) as usize) < bytes {
        match tokio::time::timeout(PATIENCE, stream.write(&chunk)).await {
            Ok(Ok(n)) if n > 0 => own.fetch_add(n as u64, Ordering::Relaxed),
            _ => return,
        };
    }
}

/// Opens as many streams as it can, asks, and reads nothing; keeps them while the daemon is looked at.
async fn unread(target: &Target, attack: Attack) -> Vec<(Raw, Vec<raw::Stream>)> {
    let mut held = Vec::new();
    // What a stream takes at the most before somebody reads it.
    let chunk = noise(11, 256 << 10);
    for number in 0..4 {
        let stranger = nobodys(1_000 + number);
        let key = if attack.by_strangers() { &stranger } else { &target.member };
        let Ok(raw) = raw::dial(key, &target.address, &target.peer).await else { break };
        // All at once: the side that stops reading is waited for once.
        let streams = (0..100).map(|_| async {
            let opened = tokio::time::timeout(Duration::from_secs(2), raw.open(attack.protocol())).await;
            let Ok(Ok(mut stream)) = opened else { return None };
            let opening = attack.opening(target);
            pour(&mut stream, &opening, opening.len(), PATIENCE, &target.sent).await;
            if matches!(attack, Attack::SyncFilled | Attack::BlobFilled) {
                pour(&mut stream, &chunk, chunk.len(), PATIENCE, &target.sent).await;
            }
            Some(stream)
        });
        let streams = futures::future::join_all(streams).await.into_iter().flatten().collect();
        held.push((raw, streams));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    held
}

/// One round: each attack with its share of `scale` (in 64ths of a gibibyte and a bit). Tells what each made of the memory.
fn round(runtime: &tokio::runtime::Runtime, target: &Target, node: &Node, scale: usize, peak: &AtomicU64) {
    for (kind, mib) in Attack::ALL {
        let (before, begun) = (target.sent.load(Ordering::Relaxed), Instant::now());
        peak.store(node.resident(), Ordering::Relaxed);
        let from = node.resident();
        if mib == 0 {
            drop(runtime.block_on(unread(target, kind)));
        } else {
            let lanes = if kind.by_strangers() { STRANGERS } else { MEMBERS };
            let share = (mib << 20) * scale / 64 / lanes;
            runtime.block_on(async {
                let lanes = (0..lanes as u64).map(|lane| tokio::spawn(attack(target.clone(), kind, share, lane + 1)));
                futures::future::join_all(lanes).await;
            });
        }
        println!(
            "{kind:?}: {} KiB in {:.1} s; resident {} -> peak {} MiB, now {} MiB",
            (target.sent.load(Ordering::Relaxed) - before) >> 10,
            begun.elapsed().as_secs_f32(),
            from >> 20,
            peak.load(Ordering::Relaxed) >> 20,
            node.resident() >> 20,
        );
    }
}

/// Ends the watching, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Looks at the memory all the time, and asks for the status now and then, in the middle of it.
fn watch(node: &Node, [peak, highest]: [&AtomicU64; 2], stop: &AtomicBool) -> (u32, Duration) {
    let (mut answers, mut slowest) = (0, Duration::ZERO);
    for look in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let now = node.resident();
        peak.fetch_max(now, Ordering::Relaxed);
        highest.fetch_max(now, Ordering::Relaxed);
        if look.is_multiple_of(25) {
            let asked = Instant::now();
            node.try_get("/v1/status").unwrap_or_else(|why| panic!("no status under hostile input: {why}"));
            (answers, slowest) = (answers + 1, slowest.max(asked.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (answers, slowest)
}

#[test]
fn a_gibibyte_of_hostile_input_fills_no_memory_and_costs_no_member() {
    let mut federation = Federation::found(3);
    let size = 32 << 20;
    let folder = Folder::new(federation.world.path(), "gross").file("gross.bin", &noise(5, size));
    let large = Blake3::of(&noise(5, size));
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 1);
    federation["de-sl"].stop();
    let node = &federation["de-he"];
    let target = Target {
        address: address_of(node, "mitte"),
        peer: peer_of(node),
        federation: node.federation("mitte")["id"].as_str().unwrap().parse().unwrap(),
        member: Keys::of(&federation["de-sl"]).node,
        large: (large, size as u64),
        sent: Sent::default(),
    };
    let since = |handle: &str, other: &str| {
        let now = federation[handle].federation("mitte");
        let row = now["members"].as_array().unwrap().iter().find(|member| member["handle"] == other).unwrap().clone();
        row["connection"].clone()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (peak, highest, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let connected = (since("de-he", "de-rp"), since("de-rp", "de-he"));
    let (base, (answers, slowest)) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(node, [&peak, &highest], &stop));
        let watching = Stop(&stop);
        round(&runtime, &target, node, 4, &peak);
        let base = node.resident();
        println!("after the warm-up: {} MiB resident", base >> 20);
        highest.store(base, Ordering::Relaxed);
        target.sent.store(0, Ordering::Relaxed);
        round(&runtime, &target, node, 64, &peak);
        drop(watching);
        (base, watch.join().unwrap())
    });
    let (sent, highest) = (target.sent.load(Ordering::Relaxed), highest.load(Ordering::Relaxed));
    println!(
        "{} MiB of hostile input: resident memory from {} to at most {} MiB; {answers} times the status, in at most {} ms; \
         refusals {}",
        sent >> 20,
        base >> 20,
        highest >> 20,
        slowest.as_millis(),
        node.status()["refusals"]
    );
    assert!(sent >= 1 << 30, "{} MiB were sent", sent >> 20);
    let refusals = node.status()["refusals"].clone();
    for reason in ["handshakes_failed", "oversize", "bad_join", "gossip_slowed", "bad_gossip"] {
        assert!(refusals[reason].as_u64() > Some(0), "{reason} was not reached: {refusals}");
    }
    assert_eq!((since("de-he", "de-rp"), since("de-rp", "de-he")), connected, "the members stayed connected");
    assert!(highest - base <= GROWTH_MAX, "it grew by {} MiB", (highest - base) >> 20);
    // The rest goes on, and the member whose key it was comes back.
    federation["de-sl"].start();
    federation.connected();
    federation.publish("de-rp", &Folder::new(federation.world.path(), "es-geht-weiter").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 2);
    until("nothing of it shows", || {
        let known = federation["de-he"].federation("mitte")["known"].clone();
        if known == 2 { Ok(()) } else { Err(known.to_string()) }
    });
}
