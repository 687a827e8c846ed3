//! A peer that is no daemon: it speaks the wire itself, with a key that others know, and says what a test has it say.
//!
//! Owns the part of a hostile member: its own log, what it answers, what it claims to hold, what it serves. Where the node's own
//! network is too well-behaved for a test, [`raw`] speaks through the bare library. Never judges anything: the tests look at what
//! honest daemons make of it.

mod blob;
mod foreign;
mod keys;
pub mod raw;
mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use verbund::net::{self, Config, HostPort, NetEvent, NetHandle, Protocol, Verdict};
use verbund_protocol::core::serve::holdings_digest;
use verbund_protocol::ids::{FederationId, MemberId, PeerId, Sha256};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::limits::FRAME_MAX_BYTES;
use verbund_protocol::log::{Checkpoint, Frontier, Origin, sign_checkpoint, tree};
use verbund_protocol::wire::sync::{Entries, LogStatus, Mine, Notes, Refusal, Request, Response, Status};
use verbund_protocol::wire::{self, Gossip, Holdings, LogHoldings, SignedHoldings};

pub use blob::Serving;
pub use foreign::renumbered;
pub use keys::Keys;
pub use release::Forged;

use super::{Federation, Node, until};

/// A script: what is answered to a request instead of the usual, as the bytes of a frame.
pub type Script = Box<dyn Fn(&Request) -> Option<Vec<u8>> + Send>;

/// What the puppet says of itself at the moment.
struct Stage {
    federation: FederationId,
    keys: Keys,
    leaves: Vec<Vec<u8>>,
    note: Vec<u8>,
    /// The last status of an honest node, repeated but for the logs.
    status: Status,
    holdings: Option<SignedHoldings>,
    script: Option<Script>,
    connected: BTreeSet<PeerId>,
    serving: Serving,
    /// Sizes of the artifacts that it was asked for.
    asked: Vec<u64>,
}

/// A hostile member in the place of one whose daemon is stopped.
pub struct Puppet {
    /// Its member's keys.
    pub keys: Keys,
    /// Its member.
    pub member: MemberId,
    /// The federation.
    pub federation: FederationId,
    net: NetHandle,
    stage: Arc<Mutex<Stage>>,
    // Last: the tasks end with it.
    runtime: Runtime,
}

impl Puppet {
    /// Stops the daemon of `handle` and takes its place, with its keys and its log, connected with all others that run.
    #[track_caller]
    pub fn replace(federation: &mut Federation, handle: &str) -> Self {
        let slug = federation.slug.clone();
        let status = federation[handle].status();
        let member: MemberId = status["node"]["member"].as_str().expect("a member id").parse().expect("a member id");
        let id = federation[handle].federation(&slug)["id"].as_str().expect("an id").parse().expect("an id");
        federation[handle].stop();
        let keys = Keys::of(&federation[handle]);
        let mut others = BTreeMap::new();
        for node in federation.nodes.iter_mut().filter(|node| node.handle != handle) {
            if node.runs() {
                others.insert(peer_of(node), vec![address_of(node, &slug)]);
            }
        }
        Self::start(keys, member, id, others)
    }

    fn start(keys: Keys, member: MemberId, federation: FederationId, others: BTreeMap<PeerId, Vec<HostPort>>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let config = Config::new(keys.node.seed(), federation.to_hex(), listen);
        let (net, events, blobs) = {
            let _inside = runtime.enter();
            net::start(&config).expect("the network starts")
        };
        let stage = Arc::new(Mutex::new(Stage {
            federation,
            keys: keys.clone(),
            leaves: Vec::new(),
            note: Vec::new(),
            status: nowhere(),
            holdings: None,
            script: None,
            connected: BTreeSet::new(),
            serving: Serving::default(),
            asked: Vec::new(),
        }));
        runtime.spawn(pump(net.clone(), events, stage.clone()));
        runtime.spawn(blob::serve(net.clone(), blobs, stage.clone()));
        net.set_members(others.clone());
        let puppet = Self { keys, member, federation, net, stage, runtime };
        until("the puppet is connected with all", || {
            let missing: Vec<_> = others.keys().filter(|peer| !puppet.lock().connected.contains(peer)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("not with {missing:?}")) }
        });
        for peer in others.keys() {
            puppet.learn(*peer);
        }
        puppet
    }

    /// Where it says it stands, logs apart.
    pub fn status(&self) -> Status {
        self.lock().status()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its node.
    pub fn peer(&self) -> PeerId {
        self.keys.node.peer()
    }

    /// Asks a daemon, once it takes this node for a member.
    #[track_caller]
    pub fn ask(&self, peer: PeerId, request: &Request) -> Response {
        self.ask_in(self.federation, peer, request)
    }

    /// The same in a frame that names `federation`.
    #[track_caller]
    pub fn ask_in(&self, federation: FederationId, peer: PeerId, request: &Request) -> Response {
        let bytes = wire::encode(federation, request).expect("a request");
        until("a daemon answers", || {
            let answer = self.runtime.block_on(self.net.request(peer, Protocol::Sync, bytes.clone()));
            let answer = answer.map_err(|error| error.to_string())?;
            wire::decode(self.federation, &answer, FRAME_MAX_BYTES).map_err(|error| error.to_string())
        })
    }

    /// Asks a daemon once, and waits for its answer no longer than `limit`.
    pub fn ask_within(&self, limit: Duration, peer: PeerId, request: &Request) -> Option<Response> {
        let bytes = wire::encode(self.federation, request).expect("a request");
        let asked = self.net.request(peer, Protocol::Sync, bytes);
        let answer = self.runtime.block_on(async { tokio::time::timeout(limit, asked).await });
        wire::decode(self.federation, &answer.ok()?.ok()?, FRAME_MAX_BYTES).ok()
    }

    /// Takes over where `peer` stands, and the own log as it is known there if it is longer.
    fn learn(&self, peer: PeerId) {
        let Response::Status(status) = self.ask(peer, &Request::Status) else { panic!("no status") };
        let own = status.logs.iter().find(|log| log.log == self.peer()).map_or(0, |log| log.size);
        self.lock().status = status;
        loop {
            let from = self.size();
            if from >= own {
                return;
            }
            let Response::Entries(entries) = self.ask(peer, &Request::Entries { log: self.peer(), from }) else {
                panic!("no entries")
            };
            let mut stage = self.lock();
            stage.leaves.extend(entries.leaves);
            stage.note = entries.note;
        }
    }

    /// Entries of the own log.
    pub fn size(&self) -> u64 {
        self.lock().leaves.len() as u64
    }

    /// Appends leaves to the own log, signs it and tells all; returns the index of the first.
    pub fn append(&self, leaves: &[Vec<u8>]) -> u64 {
        let (first, note) = {
            let mut stage = self.lock();
            let first = stage.leaves.len() as u64;
            stage.leaves.extend_from_slice(leaves);
            let hashes: Vec<_> = stage.leaves.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
            let mut frontier = Frontier::new();
            frontier.extend(&hashes).expect("a tree");
            let origin = Origin::new(self.federation, self.peer());
            let checkpoint = Checkpoint::new(origin, frontier.size(), frontier.root()).expect("a checkpoint");
            let signed = sign_checkpoint(&self.keys.node, self.federation, &checkpoint).expect("a signature");
            stage.note = signed.to_text().into_bytes();
            (first, stage.note.clone())
        };
        self.gossip(Gossip::Log { log: self.peer(), note, first, leaves: leaves.to_vec() });
        first
    }

    /// Tells all. Whoever does not hear it asks for it, if it is about the own log or holdings.
    pub fn gossip(&self, message: Gossip) {
        self.gossip_bytes(wire::encode(self.federation, message).expect("a message"));
    }

    /// Tells all just these bytes.
    pub fn gossip_bytes(&self, bytes: Vec<u8>) {
        self.net.publish(bytes).expect("gossip");
    }

    /// Claims to hold everything below these sizes of these logs.
    pub fn claim(&self, logs: &[(PeerId, u64)]) {
        let mut logs: Vec<_> =
            logs.iter().map(|(log, below)| LogHoldings { log: *log, below: *below, missing: Vec::new() }).collect();
        logs.sort_by_key(|held| held.log);
        let signed = SignedHoldings::sign(&self.keys.node, self.federation, now_ms(), Holdings { logs });
        let signed = signed.expect("a statement");
        self.lock().holdings = Some(signed.clone());
        self.gossip(Gossip::Holdings(signed));
    }

    /// Answers by this script from now on; `None` answers as usual.
    pub fn script(&self, script: Option<Script>) {
        self.lock().script = script;
    }

    /// Serves artifacts in this way from now on.
    pub fn serving(&self, serving: Serving) {
        self.lock().serving = serving;
    }

    /// How often it was asked for an artifact of at least so many bytes.
    pub fn asked(&self, bytes: u64) -> usize {
        self.lock().asked.iter().filter(|size| **size >= bytes).count()
    }

    /// Version 1.0.0 of the process `id` in the namespace of `member`, signed with `key`.
    pub fn forge(&self, key: &SecretKey, member: MemberId, id: &str, content: &str) -> Forged {
        release::forge(key, member, self.federation, id, content)
    }

    /// A recall of `release` in the name of `member`, signed with the own publisher key.
    pub fn withdrawal(&self, member: MemberId, release: Sha256) -> Vec<u8> {
        release::withdrawal(&self.keys.publisher, member, self.federation, release)
    }

    /// Leaves; the member's daemon may come back.
    pub fn leave(self) {
        self.runtime.block_on(self.net.shutdown());
    }
}

/// The node's id.
#[track_caller]
pub fn peer_of(node: &Node) -> PeerId {
    node.status()["node"]["peer"].as_str().expect("a peer id").parse().expect("a peer id")
}

/// Where a running node listens for its federation `slug`.
#[track_caller]
pub fn address_of(node: &Node, slug: &str) -> HostPort {
    node.federation(slug)["listen"][0].as_str().expect("an address").parse().expect("an address")
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis()).expect("a time")
}

fn nowhere() -> Status {
    let (none, logs) = ([0; 8], Vec::new());
    Status {
        protocol: wire::PROTOCOL_VERSION,
        time_ms: 0,
        charter: 0,
        charter_hash: None,
        logs,
        approvals: none,
        ordering: none,
        nodes: none,
        proofs: none,
        holdings: none,
        recovering: false,
    }
}

async fn pump(net: NetHandle, mut events: mpsc::Receiver<NetEvent>, stage: Arc<Mutex<Stage>>) {
    while let Some(event) = events.recv().await {
        let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            NetEvent::Connected { peer, .. } => drop(stage.connected.insert(peer)),
            NetEvent::Disconnected { peer, .. } => drop(stage.connected.remove(&peer)),
            NetEvent::Gossip { id, .. } => net.report(id, Verdict::Ignore),
            NetEvent::Request { protocol: Protocol::Sync, bytes, respond, .. } => {
                if let Ok(request) = wire::decode::<Request>(stage.federation, &bytes, FRAME_MAX_BYTES) {
                    let _ = respond.send(stage.answer(&request));
                }
            }
            _ => {}
        }
    }
}

impl Stage {
    fn answer(&self, request: &Request) -> Vec<u8> {
        if let Some(bytes) = self.script.as_ref().and_then(|script| script(request)) {
            return bytes;
        }
        let me = self.keys.node.peer();
        let response = match request {
            Request::Status => Response::Status(self.status()),
            Request::Entries { log, from } if *log == me && *from < self.leaves.len() as u64 => {
                let from_usize = usize::try_from(*from).expect("a small log");
                let leaves = self.leaves[from_usize..].to_vec();
                Response::Entries(Entries { log: me, first: *from, leaves, note: self.note.clone(), proof: None })
            }
            Request::Notes { log } if *log == me => Response::Notes(Notes {
                log: me,
                newest: self.note.clone(),
                witnessed: Vec::new(),
                promises: Vec::new(),
            }),
            Request::Holdings => Response::Holdings(self.holdings.iter().cloned().collect()),
            Request::Mine => Response::Mine(Mine {
                charter: self.status.charter,
                note: Vec::new(),
                size: 0,
                promises: Vec::new(),
                ordering: Vec::new(),
            }),
            _ => Response::Refused(Refusal::NotHere),
        };
        wire::encode(self.federation, response).expect("an answer")
    }

    fn status(&self) -> Status {
        let size = self.leaves.len() as u64;
        let log = self.keys.node.peer();
        let own = LogStatus { log, size, note_size: size, witnessed: 0, cosigned: 0, promises: [0; 8] };
        let holdings = self.holdings.as_ref().map(holdings_digest).unwrap_or_default();
        Status { time_ms: now_ms(), logs: vec![own], holdings, ..self.status.clone() }
    }
}
