//! Real swarms on loopback, each in its own task, as the daemon runs them. Nothing here sleeps for a fixed time: every wait ends
//! with an event or with the test's time-out.

mod dialing;
mod hostile;
mod members;
mod mux;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use verbund_protocol::ids::PeerId;
use verbund_protocol::keys::SecretKey;

use super::{BlobStreams, Config, HostPort, NetEvent, NetHandle, Protocol, RequestError, Verdict, start};

/// Far above what any step takes; only a failure reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node. Requests are answered with "re:" and the request; gossip is accepted; all other events reach the test.
struct Node {
    net: NetHandle,
    peer: PeerId,
    addr: HostPort,
    seen: mpsc::Receiver<Seen>,
}

/// What a node saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Connected(PeerId),
    Disconnected(PeerId, String),
    DialFailed(PeerId, String),
    Ready(PeerId),
    Gossip(PeerId, Vec<u8>),
    Request(PeerId, bool, Protocol),
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn config(n: u8, listen: &str) -> Config {
    Config::new(key(n).seed(), "test".into(), vec![listen.parse().unwrap()])
}

impl Node {
    async fn start(n: u8) -> Self {
        Self::with(&config(n, "127.0.0.1:0")).await
    }

    async fn with(config: &Config) -> Self {
        let (net, mut events, blobs) = start(config).unwrap();
        let NetEvent::Listening(addr) = within(events.recv()).await.unwrap() else { panic!("listening comes first") };
        let (tx, seen) = mpsc::channel(10_000);
        tokio::spawn(pump(net.clone(), events, tx));
        tokio::spawn(echo(blobs));
        Self { peer: net.local_peer(), net, addr, seen }
    }

    /// Waits for an event.
    async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Seen) -> Option<T>) -> T {
        let mut skipped = Vec::new();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let seen = self.seen.recv().await.unwrap();
                if let Some(found) = pick(&seen) {
                    return found;
                }
                skipped.push(seen);
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("waited for {what}, saw {skipped:?}"),
        }
    }

    async fn connected(&mut self, peer: PeerId) {
        self.wait("connected", |s| (*s == Seen::Connected(peer)).then_some(())).await;
    }

    async fn disconnected(&mut self, peer: PeerId) -> String {
        self.wait("disconnected", |s| match s {
            Seen::Disconnected(p, reason) if *p == peer => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    async fn ready(&mut self, peer: PeerId) {
        self.wait("ready", |s| (*s == Seen::Ready(peer)).then_some(())).await;
    }

    fn members(&self, others: &[&Node]) {
        self.net.set_members(others.iter().map(|n| (n.peer, vec![n.addr.clone()])).collect());
    }

    /// Lets others in without dialling them.
    fn lets_in(&self, others: &[PeerId]) {
        self.net.set_members(others.iter().map(|p| (*p, vec![])).collect());
    }
}

async fn pump(net: NetHandle, mut events: mpsc::Receiver<NetEvent>, seen: mpsc::Sender<Seen>) {
    while let Some(event) = events.recv().await {
        let seen_now = match event {
            NetEvent::Connected { peer, .. } => Seen::Connected(peer),
            NetEvent::Disconnected { peer, reason } => Seen::Disconnected(peer, reason),
            NetEvent::DialFailed { peer, error, .. } => Seen::DialFailed(peer, error.to_string()),
            NetEvent::GossipReady { peer } => Seen::Ready(peer),
            NetEvent::Gossip { id, from, bytes } => {
                net.report(id, Verdict::Accept);
                Seen::Gossip(from, bytes)
            }
            NetEvent::Request { peer, member, protocol, bytes, respond } => {
                match bytes.as_slice() {
                    b"silence" => drop(respond),
                    // Kept until the peer gives up.
                    b"later" => drop(tokio::spawn(async move {
                        tokio::time::sleep(PATIENCE).await;
                        drop(respond);
                    })),
                    _ => drop(respond.send([b"re:", bytes.as_slice()].concat())),
                }
                Seen::Request(peer, member, protocol)
            }
            NetEvent::Listening(_) | NetEvent::ListenFailed { .. } => continue,
        };
        // Tests that do not look at events must not stop the node.
        let _ = seen.try_send(seen_now);
    }
}

async fn echo(mut blobs: BlobStreams) {
    while let Some((_, mut stream)) = blobs.next().await {
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(&mut stream);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// Ends a wait that would never end.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// Two nodes that list each other and are connected.
async fn pair(a: u8, b: u8) -> (Node, Node) {
    let (mut a, mut b) = (Node::start(a).await, Node::start(b).await);
    a.members(&[&b]);
    b.members(&[&a]);
    a.connected(b.peer).await;
    b.connected(a.peer).await;
    (a, b)
}

/// Asks until both sides know each other as members: the other side may take a moment longer.
async fn asked(from: &Node, to: &Node, bytes: &[u8]) -> Result<Vec<u8>, RequestError> {
    let answered = async {
        loop {
            match from.net.request(to.peer, Protocol::Sync, bytes.to_vec()).await {
                Err(RequestError::Unsupported | RequestError::NotConnected | RequestError::Lost(_)) => {
                    tokio::task::yield_now().await;
                }
                answer => return answer,
            }
        }
    };
    within(answered).await
}

/// Sends bytes over an artifact stream and reads them back.
async fn echoed(from: &Node, to: &Node, bytes: &[u8]) -> Vec<u8> {
    let stream = within(from.net.open_blob(to.peer)).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let sent = async {
        write.write_all(bytes).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    let (read, ()) = within(futures::future::join(read.read_to_end(&mut back), sent)).await;
    read.unwrap();
    back
}

fn set(peers: &[PeerId]) -> BTreeSet<PeerId> {
    peers.iter().copied().collect()
}

fn nobody() -> BTreeMap<PeerId, Vec<HostPort>> {
    BTreeMap::new()
}
