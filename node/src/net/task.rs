//! The task that owns the swarm: it waits for commands, membership changes, timers and the network, one after the other.
//!
//! Owns the loop and the queue of events for the reader. What each event means is in `connections`, `dialing` and `requests`.
//! Never waits for anything but the loop itself, so that no peer and no reader can hold it up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance};
use libp2p::swarm::{ListenError, SwarmEvent};
use libp2p::{PeerId, Swarm};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use verbund_protocol::ids::PeerId as Peer;
use verbund_protocol::limits::GOSSIP_MAX_BYTES;

use super::behaviour::{MemberEvent, Node, NodeEvent};
use super::connections::{Links, Listener};
use super::dial::Book;
use super::dialing::Dials;
use super::gossip::{GossipId, Verdict};
use super::metrics::Counters;
use super::requests::Requests;
use super::rpc::Protocol;
use super::{Command, Config, NetEvent, Targets, addr, limits};

/// How often old connections of strangers are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// The task's ends of all channels.
pub(super) struct Channels {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<NetEvent>,
    pub(super) targets: watch::Receiver<Targets>,
    pub(super) cancel: CancellationToken,
    /// Dropped at the very end.
    pub(super) end: watch::Sender<()>,
}

/// The state of one instance's network.
pub(super) struct Task {
    pub(super) swarm: Swarm<Node>,
    pub(super) local: Peer,
    topic: IdentTopic,
    drop_gossip: bool,
    pub(super) request_timeout: Duration,
    pub(super) counters: Arc<Counters>,
    channels: Channels,
    /// Events for the reader, in order.
    outbox: VecDeque<NetEvent>,
    /// The members and switches now in force.
    pub(super) targets: Targets,
    pub(super) book: Book,
    pub(super) dials: Dials,
    pub(super) links: BTreeMap<PeerId, Links>,
    pub(super) listeners: Vec<(ListenerId, Listener)>,
    /// Listeners to open again, and when.
    pub(super) lost: Vec<(super::HostPort, Instant)>,
    pub(super) requests: Requests,
    sweep: Interval,
}

impl Task {
    pub(super) fn new(
        swarm: Swarm<Node>,
        local: Peer,
        topic: IdentTopic,
        config: &Config,
        counters: Arc<Counters>,
        channels: Channels,
    ) -> Self {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            swarm,
            local,
            topic,
            drop_gossip: config.drop_gossip,
            request_timeout: config.request_timeout,
            counters,
            channels,
            outbox: VecDeque::new(),
            targets: Targets::default(),
            book: Book::new(local),
            dials: Dials::default(),
            links: BTreeMap::new(),
            listeners: Vec::new(),
            lost: Vec::new(),
            requests: Requests::new(Instant::now()),
            sweep,
        }
    }

    /// Runs until all handles are gone, one of them asks for the end, or nobody reads events any more.
    pub(super) async fn run(mut self) {
        let events = self.channels.events.clone();
        loop {
            // First of all: a dial or a connection must not be judged by a membership that has just been replaced.
            if self.channels.targets.has_changed().unwrap_or(false) {
                self.apply_targets();
            }
            let timer = self.next_timer();
            tokio::select! {
                () = self.channels.cancel.cancelled() => break,
                () = events.closed() => break,
                permit = events.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.outbox.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_) => break,
                },
                command = self.channels.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                Ok(()) = self.channels.targets.changed() => self.apply_targets(),
                Some(resolved) = self.dials.resolving.next() => self.on_resolved(resolved),
                Some(answer) = self.requests.answers.next() => self.on_answer(answer),
                () = sleep_until(timer.unwrap_or_else(Instant::now).into()), if timer.is_some() => self.on_timer(),
                _ = self.sweep.tick() => self.swarm.behaviour_mut().members.expire(Instant::now()),
                event = self.swarm.select_next_some(), if self.outbox.len() < limits::OUTBOX_HARD => self.on_swarm(event),
            }
        }
        self.close().await;
    }

    fn next_timer(&self) -> Option<Instant> {
        self.book.next_due().into_iter().chain(self.lost.iter().map(|(_, at)| *at)).min()
    }

    fn on_timer(&mut self) {
        self.dial_due();
        self.listen_again();
    }

    /// Closes everything, waiting a moment for the peers' part in it.
    async fn close(mut self) {
        for (id, _) in std::mem::take(&mut self.listeners) {
            self.swarm.remove_listener(id);
        }
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        // Whoever waits for an answer learns at once that there will be none.
        self.requests = Requests::new(Instant::now());
        self.dials = Dials::default();
        let _ = tokio::time::timeout(limits::SHUTDOWN_GRACE, async {
            while self.swarm.network_info().connection_counters().num_established() > 0 {
                self.swarm.select_next_some().await;
            }
        })
        .await;
        let Self { swarm, channels, .. } = self;
        drop(swarm);
        drop(channels.end);
    }

    /// An event that must reach the reader.
    pub(super) fn emit(&mut self, event: NetEvent) {
        self.outbox.push_back(event);
    }

    /// Whether the reader is so far behind that gossip and requests are dropped.
    pub(super) fn is_behind(&self) -> bool {
        self.outbox.len() >= limits::OUTBOX_SOFT
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Dial { peer, addrs, reply } => self.dial_once(peer, addrs, reply),
            Command::Publish(bytes) => self.publish(bytes),
            Command::Report(id, verdict) => self.report(&id, verdict),
            Command::Request { peer, protocol, bytes, reply } => self.send_request(&peer, protocol, bytes, reply),
            Command::OpenBlob { peer, reply } => match addr::to_libp2p(&peer) {
                Some(peer) if self.refuses_us(&peer) => {
                    let _ = reply.send(Err(super::StreamError::Unsupported));
                }
                Some(peer) => self.swarm.behaviour_mut().members.inner_mut().blobs.open(peer, reply),
                None => {
                    let _ = reply.send(Err(super::StreamError::NotConnected));
                }
            },
            Command::Status(reply) => {
                let _ = reply.send(self.status());
            }
        }
    }

    /// Puts a membership change into force: closes what must close, dials what must be dialled.
    fn apply_targets(&mut self) {
        let targets = self.channels.targets.borrow_and_update().clone();
        let refused: BTreeSet<Peer> = targets.paused.union(&targets.blocked).copied().collect();
        let dialled =
            targets.members.iter().filter(|(p, _)| !refused.contains(*p)).map(|(p, a)| (*p, a.clone())).collect();
        let libp2p =
            |peers: &mut dyn Iterator<Item = &Peer>| peers.filter_map(addr::to_libp2p).collect::<BTreeSet<PeerId>>();
        let members = libp2p(&mut targets.members.keys());
        let refused = libp2p(&mut refused.iter());
        let gate = &mut self.swarm.behaviour_mut().members;
        let wrong = gate.admission_mut().set(members, refused.clone());
        for (peer, id) in &wrong {
            let reason = if refused.contains(peer) { "blocked or paused here" } else { "no longer a member" };
            if let Some(links) = self.links.get_mut(peer) {
                links.closing(*id, reason);
            }
        }
        gate.close(wrong);
        self.targets = targets;
        self.book.set(&dialled, Instant::now());
        // An entry that was taken out and put back while connected must not be dialled.
        for peer in self.links.keys().filter_map(addr::from_libp2p) {
            self.book.connected(&peer);
        }
        self.dial_due();
    }

    fn on_swarm(&mut self, event: SwarmEvent<NodeEvent>) {
        match event {
            SwarmEvent::Behaviour(NodeEvent::Members(MemberEvent::Gossip(event))) => self.on_gossip(event),
            SwarmEvent::Behaviour(NodeEvent::Members(MemberEvent::Sync(event))) => self.on_rpc(Protocol::Sync, event),
            SwarmEvent::Behaviour(NodeEvent::Members(MemberEvent::Ping(event))) => self.on_ping(event),
            SwarmEvent::Behaviour(NodeEvent::Members(MemberEvent::Blobs(never))) => match never {},
            SwarmEvent::Behaviour(NodeEvent::Join(event)) => self.on_rpc(Protocol::Join, event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, established_in, .. } => {
                self.on_established(peer_id, connection_id, &endpoint, established_in);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                self.on_closed(peer_id, connection_id, cause.as_ref());
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_error(connection_id, &error)
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                // Refusals of the gate are counted there, by their reason.
                if !matches!(error, ListenError::Denied { .. }) {
                    self.counters.handshakes_failed.one();
                }
                tracing::debug!(from = %send_back_addr, %error, "inbound connection refused");
            }
            SwarmEvent::NewListenAddr { listener_id, address } => self.on_listening(listener_id, &address),
            SwarmEvent::ExpiredListenAddr { listener_id, address } => self.on_not_listening(listener_id, &address),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                self.on_listener_closed(listener_id, reason.err())
            }
            SwarmEvent::ListenerError { error, .. } => {
                self.counters.listener_errors.one();
                tracing::warn!(%error, "listener");
            }
            _ => {}
        }
    }

    fn publish(&mut self, bytes: Vec<u8>) {
        if self.drop_gossip {
            return;
        }
        let topic = self.topic.hash();
        match self.swarm.behaviour_mut().members.inner_mut().gossip.inner_mut().publish(topic, bytes) {
            Ok(_) => self.counters.gossip_published.one(),
            Err(gossipsub::PublishError::Duplicate) => {}
            Err(error) => {
                self.counters.gossip_unsent.one();
                tracing::debug!(%error, "gossip not sent");
            }
        }
    }

    fn report(&mut self, id: &GossipId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => {
                self.counters.gossip_rejected.one();
                MessageAcceptance::Reject
            }
        };
        let gossip = self.swarm.behaviour_mut().members.inner_mut().gossip.inner_mut();
        gossip.report_message_validation_result(&id.id, &id.from, acceptance);
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.counters.gossip_received.one();
                let id = GossipId { id: message_id, from: propagation_source };
                let Some(from) = addr::from_libp2p(&propagation_source) else { return };
                if self.drop_gossip {
                    self.report(&id, Verdict::Ignore);
                } else if message.data.len() > GOSSIP_MAX_BYTES {
                    self.counters.oversize.one();
                    self.report(&id, Verdict::Reject);
                } else if self.is_behind() {
                    self.counters.gossip_dropped.one();
                    self.report(&id, Verdict::Ignore);
                } else {
                    self.emit(NetEvent::Gossip { id, from, bytes: message.data });
                }
            }
            gossipsub::Event::Subscribed { peer_id, .. } => self.on_gossip_ready(&peer_id, true),
            gossipsub::Event::Unsubscribed { peer_id, .. } => self.on_gossip_ready(&peer_id, false),
            gossipsub::Event::SlowPeer { failed_messages, .. } => {
                self.counters.gossip_unsent.add(failed_messages.non_priority as u64);
            }
            gossipsub::Event::GossipsubNotSupported { .. } => {}
        }
    }
}
