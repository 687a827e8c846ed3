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
use verbund_protocol::record::{Batch, Record};
use verbund_protocol::view::ahead::Ahead;
use verbund_protocol::view::charters::Charters;
use verbund_protocol::view::rows::RowsError;
use verbund_protocol::wire::sync::Request as SyncRequest;
use verbund_protocol::{wire, wire::sync::Response};

use super::ahead;
use super::clock::now;
use super::errands::{self, Lost};
use super::events::Events;
use super::fetch::Fetcher;
use super::intake::Intake;
use super::view::StoreView;
use crate::net::{GossipId, HostPort, NetEvent, NetHandle, Protocol, Responder, Verdict};
use crate::store::{Seq, Store, StoreError, Weight};

/// Letters that may wait for the loop: more make senders wait.
pub const MAILBOX: usize = 1_024;
/// Effects that may wait for their batch to become durable, after which the loop takes nothing more in.
const EFFECTS_MAX: usize = 65_536;
/// Answers to requests for entries that are made at a time, beside the loop.
const SERVING_ENTRIES: usize = 4;
/// Gossip messages that wait for a verdict.
const GOSSIP_IDS_MAX: usize = 4_096;
/// Requests that wait for their answer: more than the network has in work at a time.
const RESPONDERS_MAX: usize = 1_024;
/// A request to a peer. The transport gives up after 30 s; this is for a transport that does not.
const ASK_MAX: Duration = Duration::from_secs(60);
/// A request to a node that has to be dialled first: two requests and a dial of all its addresses.
const ASK_JOIN_MAX: Duration = Duration::from_secs(150);

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
    /// Records that repair the journal; whoever sent them waits for the number to become durable.
    Repair {
        /// The records.
        records: Vec<Record>,
        /// Begin a segment that repeats all local records first.
        repeat: bool,
        /// Gets the number of the last frame appended.
        done: oneshot::Sender<Seq>,
    },
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
    /// The network's task has ended although nobody asked it to.
    #[error("the network has ended unexpectedly; the log says why. Start the node again")]
    Net,
    /// A fault of this program.
    #[error(
        "the loop of the federation has ended unexpectedly: {0}. Start the node again, and report this with the log"
    )]
    Panicked(String),
}

impl DriverError {
    /// What the store's failure means: a view is built again at the next start, a journal needs somebody to look at the disk.
    fn of_store(reason: String) -> Self {
        if reason.starts_with("view") || reason.starts_with("the view") {
            Self::Rows(RowsError(reason))
        } else {
            Self::Store(reason)
        }
    }

    /// Whether starting again would only repeat it, on a disk that lost what it was given.
    pub const fn is_disk(&self) -> bool {
        matches!(self, Self::Store(_))
    }
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
    intake: Intake,
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
            intake: self.intake(),
        };
        let stop = self.stop.clone();
        self.step(&mut pending, Input::Applied)?;
        let mut ticked = false;
        loop {
            self.release(&mut pending, *committed.borrow());
            let due = self.core.next_due_ms(now().mono_ms).saturating_sub(now().mono_ms);
            // Letters and messages that never end must not keep time from passing, nor time them from being taken.
            ticked = due == 0 && !ticked;
            if ticked {
                self.step(&mut pending, Input::Tick)?;
                continue;
            }
            let full = pending.effects.len() >= EFFECTS_MAX;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = committed.changed() => {
                    if changed.is_err() {
                        return Err(DriverError::of_store(self.store.failure().unwrap_or_default()));
                    }
                }
                Some(letter) = self.mailbox.recv(), if !full => self.letter(&mut pending, letter)?,
                event = self.net_events.recv(), if !full => match event {
                    Some(event) => self.net_event(&mut pending, event)?,
                    None if stop.is_cancelled() => break,
                    None => return Err(DriverError::Net),
                },
                () = tokio::time::sleep(Duration::from_millis(due)) => self.step(&mut pending, Input::Tick)?,
            }
        }
        self.finish(pending, committed).await
    }

    fn intake(&self) -> Intake {
        let store = self.store.clone();
        Intake::new(self.federation, self.net.local_peer(), Box::new(move || store.accepts_intake()))
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
            Mail::Input(Input::Answer { tag, result: Ok(bytes) }) if !pending.intake.answer(&bytes) => {
                self.step(pending, Input::Answer { tag, result: Err("the disk is nearly full".to_owned()) })
            }
            Mail::Input(input) => self.step(pending, input),
            Mail::Command(command, reply) => {
                if let Err(problem) = pending.intake.command(&command) {
                    // Whoever asked may be gone.
                    let _ = reply.send(Err(problem));
                    return Ok(());
                }
                let id = pending.id();
                pending.replies.insert(id, reply);
                self.step(pending, Input::Command { id, command })
            }
            Mail::Query(query) => {
                query(&self.core, &*self.view, now());
                Ok(())
            }
            Mail::Repair { records, repeat, done } => {
                if repeat {
                    pending.appended = self.store.repeat().map_err(failed)?;
                }
                let frame = Batch { records }.encode().map_err(|e| RowsError(format!("batch: {e}")))?;
                pending.appended = self.store.append(Weight::Essential, frame).map_err(failed)?;
                // Whoever asked may be gone.
                let _ = done.send(pending.appended);
                self.step(pending, Input::Applied)
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
                pending.appended = self.store.append(Weight::Essential, frame).map_err(failed)?;
                next = Some(Input::Applied);
            }
            pending.effects.extend(effects.into_iter().map(|effect| (pending.appended, effect)));
        }
        pending.recovering = !matches!(self.core.may_sign(now(), &*self.view), Ok(Ok(())));
        Ok(())
    }

    fn release(&mut self, pending: &mut Pending, committed: Seq) {
        let early = verbund_protocol::seeded::bug("act_before_commit");
        while pending.effects.front().is_some_and(|(seq, _)| *seq <= committed || early) {
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
        let net = self.net.clone();
        let (ahead, federation) = (self.ahead.clone(), self.federation);
        let work = async move {
            let result = net.request(peer, Protocol::Sync, bytes).await.map_err(|e| e.to_string());
            if let Ok(answer) = &result {
                ahead::prepare(&ahead, federation, answer).await;
            }
            result
        };
        errands::run(self.letters.clone(), ASK_MAX, work, move |end| Input::Answer { tag, result: flat(end) });
    }

    fn ask_join(&self, peer: PeerId, addresses: Vec<String>, bytes: Vec<u8>) {
        let net = self.net.clone();
        let work = async move {
            let addresses = addresses.iter().filter_map(|a| a.parse().ok()).collect();
            match net.request(peer, Protocol::Join, bytes.clone()).await {
                Ok(answer) => Ok(answer),
                // Not connected, or no longer: dial, and ask again.
                Err(_) => match net.dial_once(peer, addresses).await {
                    Ok(_) => net.request(peer, Protocol::Join, bytes).await.map_err(|e| e.to_string()),
                    Err(e) => Err(e.to_string()),
                },
            }
        };
        errands::run(self.letters.clone(), ASK_JOIN_MAX, work, |end| Input::JoinAnswer { result: flat(end) });
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
            NetEvent::Gossip { id, bytes, .. } if !pending.intake.gossip(&bytes) => {
                self.net.report(id, Verdict::Ignore);
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
        while pending.responders.len() >= RESPONDERS_MAX {
            // Dropping the way back tells the peer that there is no answer.
            pending.responders.pop_first();
        }
        if protocol == Protocol::Join {
            if let Some(refusal) = pending.intake.join() {
                let _ = respond.send(refusal);
                return Ok(());
            }
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
            let early = verbund_protocol::seeded::bug("serve_before_durable");
            if (early || store.durable(appended).await.is_ok())
                && let Ok(bytes) = wire::encode(federation, response)
            {
                let _ = respond.send(bytes);
            }
            drop(permit);
        });
    }
}

/// An append that was refused is the store's failure, whatever it calls it.
fn failed(error: StoreError) -> DriverError {
    match error {
        StoreError::Failed(reason) => DriverError::of_store(reason),
        StoreError::View(reason) => DriverError::Rows(RowsError(reason)),
        StoreError::Fold(e) => DriverError::Rows(RowsError(e.to_string())),
        other => DriverError::Store(other.to_string()),
    }
}

/// An errand's own result, or in words why there is none.
fn flat<T>(end: Result<Result<T, String>, Lost>) -> Result<T, String> {
    end.unwrap_or_else(|lost| Err(lost.to_string()))
}

impl Pending {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
