//! The loop of one federation: inputs to the core, its batches to the journal, its effects to the world once they may happen.
//!
//! Owns the order of these three and nothing of what is decided. Runs on a thread of its own, because the store may block.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use verbund_protocol::core::{Command, Core, Effect, Input, Now, Problem, Reply, View, serve};
use verbund_protocol::ids::{FederationId, PeerId};
use verbund_protocol::limits::FRAME_MAX_BYTES;
use verbund_protocol::view::ahead::Ahead;
use verbund_protocol::view::charters::Charters;
use verbund_protocol::view::rows::RowsError;
use verbund_protocol::wire::sync::Request as SyncRequest;
use verbund_protocol::{wire, wire::sync::Response};

use super::ahead;
use super::clock::now;
use super::events::Events;
use super::fetch::Fetcher;
use super::view::StoreView;
use crate::net::{GossipId, HostPort, NetEvent, NetHandle, Protocol, Responder, Verdict};
use crate::store::{Seq, Store, Weight};

/// Letters that may wait for the loop: more make senders wait.
pub const MAILBOX: usize = 1_024;
/// Effects that may wait for their batch to become durable, after which the loop takes nothing more in.
const EFFECTS_MAX: usize = 65_536;
/// Answers to requests for entries that are made at a time, beside the loop.
const SERVING_ENTRIES: usize = 4;
/// Gossip messages that wait for a verdict.
const GOSSIP_IDS_MAX: usize = 4_096;

/// What is asked of the core while it rests: read only.
pub type Query = Box<dyn FnOnce(&Core, &dyn View, Now) + Send>;

/// A letter to the loop.
pub enum Mail {
    /// For the core.
    Input(Input),
    /// A command, and where its answer goes.
    Command(Command, oneshot::Sender<Result<Reply, Problem>>),
    /// A question about the core's state.
    Query(Query),
}

/// Why a loop ended that was not told to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DriverError {
    /// The view cannot be read.
    #[error("{0}")]
    Rows(#[from] RowsError),
    /// The journal cannot be written.
    #[error("the journal has failed: {0}; nothing is acknowledged any more. Check the disk, then start the node again")]
    Store(String),
}

/// One loop.
pub struct Driver {
    pub core: Core,
    pub charters: Arc<Charters>,
    pub federation: FederationId,
    pub store: Store,
    pub view: Arc<StoreView>,
    pub ahead: Arc<Ahead>,
    pub net: NetHandle,
    pub net_events: mpsc::Receiver<NetEvent>,
    pub mailbox: mpsc::Receiver<Mail>,
    pub letters: mpsc::Sender<Mail>,
    pub fetcher: Arc<Fetcher>,
    pub events: Events,
    pub addresses: watch::Sender<Vec<HostPort>>,
    pub announce: Vec<String>,
    pub stop: CancellationToken,
}

/// What the loop remembers between letters.
struct Pending {
    effects: VecDeque<(Seq, Effect)>,
    replies: BTreeMap<u64, oneshot::Sender<Result<Reply, Problem>>>,
    responders: BTreeMap<u64, Responder>,
    gossip: BTreeMap<u64, GossipId>,
    next_id: u64,
    appended: Seq,
    serving: Arc<Semaphore>,
    recovering: bool,
}

impl Driver {
    /// Runs until told to stop, or until the store or the view fails.
    ///
    /// # Errors
    /// [`DriverError`] names what failed; nothing was acknowledged that is not durable.
    pub async fn run(mut self) -> Result<(), DriverError> {
        let mut committed = self.store.committed();
        let mut pending = Pending {
            effects: VecDeque::new(),
            replies: BTreeMap::new(),
            responders: BTreeMap::new(),
            gossip: BTreeMap::new(),
            next_id: 0,
            appended: *committed.borrow(),
            serving: Arc::new(Semaphore::new(SERVING_ENTRIES)),
            recovering: true,
        };
        let stop = self.stop.clone();
        self.step(&mut pending, Input::Applied)?;
        loop {
            self.release(&mut pending, *committed.borrow());
            let due = self.core.next_due_ms(now().mono_ms).saturating_sub(now().mono_ms);
            let full = pending.effects.len() >= EFFECTS_MAX;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = committed.changed() => {
                    if changed.is_err() {
                        return Err(DriverError::Store(self.store.failure().unwrap_or_default()));
                    }
                }
                Some(letter) = self.mailbox.recv(), if !full => self.letter(&mut pending, letter)?,
                event = self.net_events.recv(), if !full => match event {
                    Some(event) => self.net_event(&mut pending, event)?,
                    None => break,
                },
                () = tokio::time::sleep(Duration::from_millis(due)) => self.step(&mut pending, Input::Tick)?,
            }
        }
        self.finish(pending, committed).await
    }

    /// What was decided before the stop still happens, as far as it is durable in time.
    async fn finish(mut self, mut pending: Pending, mut committed: watch::Receiver<Seq>) -> Result<(), DriverError> {
        let appended = pending.appended;
        let wait = async { committed.wait_for(|seq| *seq >= appended).await.is_ok() };
        let durable = tokio::time::timeout(Duration::from_secs(2), wait).await;
        if durable == Ok(true) {
            self.release(&mut pending, appended);
        }
        Ok(())
    }

    fn letter(&mut self, pending: &mut Pending, letter: Mail) -> Result<(), DriverError> {
        match letter {
            Mail::Input(input) => self.step(pending, input),
            Mail::Command(command, reply) => {
                let id = pending.id();
                pending.replies.insert(id, reply);
                self.step(pending, Input::Command { id, command })
            }
            Mail::Query(query) => {
                query(&self.core, &*self.view, now());
                Ok(())
            }
        }
    }

    /// One input, and all that follows from it at once.
    fn step(&mut self, pending: &mut Pending, input: Input) -> Result<(), DriverError> {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let step = match self.core.step(now(), input, &*self.view) {
                Ok(step) => step,
                Err(e) => {
                    error!(error = %e, "the view cannot be read; it is rebuilt at the next start");
                    self.store.distrust_view(&e.0);
                    return Err(e.into());
                }
            };
            // A question promises nothing and shows nothing: its answer comes while the batch is folded and made durable.
            let (questions, effects) = step.effects.into_iter().partition::<Vec<_>, _>(Effect::is_question);
            for question in questions {
                self.carry_out(pending, question);
            }
            if !step.batch.is_empty() {
                let frame = step.batch.encode().map_err(|e| RowsError(format!("batch: {e}")))?;
                pending.appended =
                    self.store.append(Weight::Essential, frame).map_err(|e| DriverError::Store(e.to_string()))?;
                next = Some(Input::Applied);
            }
            pending.effects.extend(effects.into_iter().map(|effect| (pending.appended, effect)));
        }
        pending.recovering = !matches!(self.core.may_sign(now(), &*self.view), Ok(Ok(())));
        Ok(())
    }

    fn release(&mut self, pending: &mut Pending, committed: Seq) {
        while pending.effects.front().is_some_and(|(seq, _)| *seq <= committed) {
            if let Some((_, effect)) = pending.effects.pop_front() {
                self.carry_out(pending, effect);
            }
        }
    }

    fn carry_out(&mut self, pending: &mut Pending, effect: Effect) {
        match effect {
            Effect::Gossip(bytes) => {
                if let Err(e) = self.net.publish(bytes) {
                    debug!(error = %e, "gossip not sent; catching up brings it");
                }
            }
            Effect::Judge { id, accept } => {
                if let Some(id) = pending.gossip.remove(&id) {
                    let verdict = match accept {
                        Some(true) => Verdict::Accept,
                        Some(false) => Verdict::Reject,
                        None => Verdict::Ignore,
                    };
                    self.net.report(id, verdict);
                }
            }
            Effect::Ask { tag, peer, bytes } => self.ask(tag, peer, bytes),
            Effect::AskJoin { peer, addresses, bytes } => self.ask_join(peer, addresses, bytes),
            Effect::Respond { id, bytes } => {
                if let Some(responder) = pending.responders.remove(&id)
                    && let Err(e) = responder.send(bytes)
                {
                    debug!(error = %e, "an answer was not taken");
                }
            }
            Effect::Gate(gate) => self.gate(gate),
            Effect::Fetch(order) => self.fetcher.clone().fetch(order, self.net.clone(), self.letters.clone()),
            Effect::ReadManifest { tag, hash } => self.fetcher.clone().manifest(tag, hash, self.letters.clone()),
            Effect::Reply { id, result } => {
                if let Some(reply) = pending.replies.remove(&id) {
                    // Whoever asked may be gone; what it asked for happened all the same.
                    let _ = reply.send(result);
                }
            }
            Effect::Event(event) => {
                let charter = self.charters.newest(&*self.view).ok().flatten();
                self.events.publish(self.federation, charter.as_deref(), &*self.view, event);
            }
        }
    }

    fn ask(&self, tag: u64, peer: PeerId, bytes: Vec<u8>) {
        let (net, letters) = (self.net.clone(), self.letters.clone());
        let (ahead, federation) = (self.ahead.clone(), self.federation);
        tokio::spawn(async move {
            let result = net.request(peer, Protocol::Sync, bytes).await.map_err(|e| e.to_string());
            if let Ok(answer) = &result {
                ahead::prepare(&ahead, federation, answer).await;
            }
            let _ = letters.send(Mail::Input(Input::Answer { tag, result })).await;
        });
    }

    fn ask_join(&self, peer: PeerId, addresses: Vec<String>, bytes: Vec<u8>) {
        let (net, letters) = (self.net.clone(), self.letters.clone());
        tokio::spawn(async move {
            let addresses = addresses.iter().filter_map(|a| a.parse().ok()).collect();
            let result = match net.request(peer, Protocol::Join, bytes.clone()).await {
                Ok(answer) => Ok(answer),
                // Not connected, or no longer: dial, and ask again.
                Err(_) => match net.dial_once(peer, addresses).await {
                    Ok(_) => net.request(peer, Protocol::Join, bytes).await.map_err(|e| e.to_string()),
                    Err(e) => Err(e.to_string()),
                },
            };
            let _ = letters.send(Mail::Input(Input::JoinAnswer { result })).await;
        });
    }

    fn gate(&self, gate: BTreeMap<PeerId, Vec<String>>) {
        let members = gate.into_iter().map(|(peer, addresses)| {
            let parsed = addresses.iter().filter_map(|a| match a.parse::<HostPort>() {
                Ok(address) => Some(address),
                Err(e) => {
                    debug!(%peer, address = %a, error = %e, "an announced address cannot be dialled");
                    None
                }
            });
            (peer, parsed.collect())
        });
        self.net.set_members(members.collect());
    }

    fn net_event(&mut self, pending: &mut Pending, event: NetEvent) -> Result<(), DriverError> {
        match event {
            NetEvent::Listening(address) => self.listening(pending, address),
            NetEvent::ListenFailed { addr, reason } => {
                warn!(address = %addr, reason, "listener failed");
                Ok(())
            }
            NetEvent::Connected { peer, address, inbound } => {
                info!(%peer, %address, inbound, "connected");
                self.step(pending, Input::Connected(peer))
            }
            NetEvent::GossipReady { peer } => {
                debug!(%peer, "gossip ready");
                Ok(())
            }
            NetEvent::Disconnected { peer, reason } => {
                info!(%peer, reason, "disconnected");
                self.step(pending, Input::Disconnected(peer))
            }
            NetEvent::DialFailed { peer, error, next_try_ms } => {
                debug!(%peer, error = %error, next_try_ms, "dial failed");
                Ok(())
            }
            NetEvent::Gossip { id, from, bytes } => {
                if pending.gossip.len() >= GOSSIP_IDS_MAX {
                    pending.gossip.pop_first();
                }
                let number = pending.id();
                pending.gossip.insert(number, id);
                self.step(pending, Input::Gossip { id: number, from, bytes })
            }
            NetEvent::Request { peer, protocol, bytes, respond, .. } => {
                self.request(pending, peer, protocol, bytes, respond)
            }
        }
    }

    fn listening(&mut self, pending: &mut Pending, address: HostPort) -> Result<(), DriverError> {
        info!(%address, "listening");
        self.addresses.send_modify(|all| {
            if !all.contains(&address) {
                all.push(address);
            }
        });
        let announced = if self.announce.is_empty() {
            self.addresses.borrow().iter().map(ToString::to_string).collect()
        } else {
            self.announce.clone()
        };
        self.step(pending, Input::Addresses(announced))?;
        self.step(pending, Input::Applied)
    }

    fn request(
        &mut self,
        pending: &mut Pending,
        from: PeerId,
        protocol: Protocol,
        bytes: Vec<u8>,
        respond: Responder,
    ) -> Result<(), DriverError> {
        let id = pending.id();
        if protocol == Protocol::Join {
            pending.responders.insert(id, respond);
            return self.step(pending, Input::JoinRequest { id, from, bytes });
        }
        // Leaves are many and need nothing but the view: they are served beside the loop.
        if let Ok(SyncRequest::Entries { log, from }) = wire::decode(self.federation, &bytes, FRAME_MAX_BYTES) {
            self.serve_entries(pending, log, from, respond);
            return Ok(());
        }
        pending.responders.insert(id, respond);
        self.step(pending, Input::SyncRequest { id, from, bytes })
    }

    fn serve_entries(&self, pending: &Pending, log: PeerId, from: u64, respond: Responder) {
        let Ok(permit) = pending.serving.clone().try_acquire_owned() else {
            // Dropping the way back tells the peer to try again.
            return;
        };
        let (view, store, federation) = (self.view.clone(), self.store.clone(), self.federation);
        let appended = pending.appended;
        tokio::spawn(async move {
            let read = tokio::task::spawn_blocking(move || serve::entries(&*view, log, from)).await;
            let response = match read {
                Ok(Ok(response)) => response,
                Ok(Err(e)) => {
                    warn!(error = %e, "entries cannot be read");
                    Response::Refused(wire::sync::Refusal::Internal)
                }
                Err(_) => return,
            };
            // Nothing is served before it is durable.
            if store.durable(appended).await.is_ok()
                && let Ok(bytes) = wire::encode(federation, response)
            {
                let _ = respond.send(bytes);
            }
            drop(permit);
        });
    }
}

impl Pending {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
