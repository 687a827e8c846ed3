//! One federation on this node: its store, network and loop, and the ways to ask them.
//!
//! Owns opening and ending. Instances share artifacts, HTTPS, admin socket and events, and nothing else.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, info_span, warn};
use verbund_protocol::charter::certificate::{Certified, CharterBundle};
use verbund_protocol::core::{Command, Core, Now, Own, Problem as CoreProblem, Reply, Settings, View};
use verbund_protocol::ids::{FederationId, PeerId};
use verbund_protocol::record::{Batch, Joining, Local, Origin, PeerNote, Record};
use verbund_protocol::view::ahead::Ahead;
use verbund_protocol::view::charters::Charters;
use verbund_protocol::view::rows::{RowsError, Table};
use verbund_protocol::view::state::{self, key};

use super::clock::now;
use super::driver::{Driver, DriverError, MAILBOX, Mail};
use super::events::Events;
use super::fetch::{Fetcher, serve_streams};
use super::mend::{self, Mending};
use super::traffic::Traffic;
use super::view::{ProtocolFold, StoreView};
use super::{roots, scrub};
use crate::blobs::BlobStore;
use crate::config::Config;
use crate::net::{self, HostPort, NetHandle};
use crate::store::{self, OpenReport, Store, Weight};

use super::founding::Member;

/// The first batch of a federation, in bytes: a charter of one member with its chains, or a ticket and a writer.
const FIRST_BYTES_MAX: u64 = 64 << 10;

/// Why an instance cannot be opened or asked.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The store.
    #[error("{0}")]
    Store(#[from] store::StoreError),
    /// The network.
    #[error("{0}")]
    Net(#[from] net::NetError),
    /// The view.
    #[error("{0}")]
    Rows(#[from] RowsError),
    /// A record could not be made.
    #[error("{0}")]
    Record(String),
    /// Its first record was never written: the process that founded or joined it was killed before.
    #[error("the federation was never begun: its journal is empty")]
    Unbegun,
    /// The loop has ended.
    #[error("the federation's loop has ended; see the log")]
    Ended,
}

/// What the instances of a node share.
#[derive(Clone)]
pub struct Shared {
    /// The member.
    pub member: Arc<Member>,
    /// Artifacts.
    pub blobs: BlobStore,
    /// Events.
    pub events: Events,
    /// Configuration.
    pub config: Arc<Config>,
    /// Ends everything.
    pub stop: CancellationToken,
    /// An instance's loop failed: the node must not go on as if it had not.
    pub failed: mpsc::Sender<(FederationId, DriverError)>,
}

/// How an instance comes to be.
pub enum Begin {
    /// It is there already.
    Open,
    /// Founded by this process.
    Found(Box<CharterBundle>),
    /// With a ticket.
    Join(Box<Joining>),
}

/// One federation. Cheap to clone.
pub struct Instance {
    /// The federation.
    pub federation: FederationId,
    /// Its store.
    pub store: Store,
    /// Its rows. Reading blocks.
    pub view: Arc<StoreView>,
    /// Its network.
    pub net: NetHandle,
    /// Charters, parsed.
    pub charters: Arc<Charters>,
    /// What opening the store found.
    pub report: OpenReport,
    /// Where it listens.
    pub addresses: watch::Receiver<Vec<HostPort>>,
    /// What it tells others instead; empty: where it listens.
    pub announce: Vec<String>,
    /// Artifact bytes that moved.
    pub traffic: Arc<Traffic>,
    /// How far a damaged journal is mended.
    pub mending: Mending,
    letters: mpsc::Sender<Mail>,
    events: Events,
    stop: CancellationToken,
    ended: watch::Receiver<bool>,
}

/// The folder of a federation's store.
pub fn folder(data_dir: &Path, federation: FederationId) -> PathBuf {
    data_dir.join("federations").join(federation.to_hex())
}

impl Instance {
    /// Opens a federation's store, starts its network and its loop. Blocks while the journal is read.
    ///
    /// `listen` are the addresses to listen on, kept ports filled in.
    ///
    /// # Errors
    /// [`InstanceError`]; nothing is left running then.
    pub fn start(
        data_dir: &Path,
        federation: FederationId,
        begin: Begin,
        shared: &Shared,
        listen: Vec<HostPort>,
        announce: Vec<String>,
    ) -> Result<Arc<Self>, InstanceError> {
        let config = &shared.config;
        let mut options = store::Options::new(federation.0);
        options.segment_bytes = config.store.segment_size.0;
        options.cache_bytes = config.store.cache.0;
        options.floor_bytes = config.limits.disk_floor.0 / 4;
        Self::start_on(&options, data_dir, federation, begin, shared, listen, announce)
    }

    /// As [`Instance::start`], with a store that is set up otherwise.
    fn start_on(
        options: &store::Options,
        data_dir: &Path,
        federation: FederationId,
        begin: Begin,
        shared: &Shared,
        listen: Vec<HostPort>,
        announce: Vec<String>,
    ) -> Result<Arc<Self>, InstanceError> {
        let (dir, config) = (folder(data_dir, federation), &shared.config);
        let ahead = Arc::<Ahead>::default();
        let (store, report) = open(&dir, options, &ahead)?;
        if matches!(begin, Begin::Open) && unbegun(&report) {
            store.close()?;
            return Err(InstanceError::Unbegun);
        }
        tell(&report, federation);
        let founded = matches!(begin, Begin::Found(_));
        commence(&store, begin)?;
        let view = StoreView::new(&store);
        let own = own(&view, shared, &announce)?;
        let core = Core::new(own, settings(config), federation, founded, now(), &*view)?;
        let mut net_config = net::Config::new(shared.member.node.seed(), federation.to_hex(), listen);
        net_config.drop_gossip = !config.gossip.enabled;
        let (net, net_events, streams) = net::start(&net_config)?;
        let notes: Vec<PeerNote> = state::list(&*view, Table::Peers, b"", usize::MAX)?;
        let marked =
            |by: fn(&PeerNote) -> bool| notes.iter().filter(|n| by(n)).map(|n| n.peer).collect::<BTreeSet<PeerId>>();
        net.set_blocked(marked(|n| n.blocked));
        net.set_paused(marked(|n| n.paused));
        let (letters, mailbox) = mpsc::channel(MAILBOX);
        let (addresses, listening) = watch::channel(Vec::new());
        let (end, ended) = watch::channel(false);
        let charters = Arc::new(Charters::default());
        let stop = shared.stop.child_token();
        let traffic = Arc::new(Traffic::default());
        tokio::spawn(serve_streams(streams, shared.blobs.clone(), view.clone(), charters.clone(), traffic.clone()));
        let driver = Driver {
            core,
            charters: charters.clone(),
            federation,
            store: store.clone(),
            view: view.clone(),
            ahead,
            net: net.clone(),
            net_events,
            mailbox,
            letters: letters.clone(),
            fetcher: Arc::new(Fetcher::new(shared.blobs.clone(), shared.member.node.peer(), traffic.clone())),
            events: shared.events.clone(),
            addresses,
            announce: announce.clone(),
            stop: stop.clone(),
        };
        run(driver, end, shared.failed.clone())?;
        let (addresses, events) = (listening, shared.events.clone());
        let instance = Arc::new(Self {
            federation,
            store,
            view,
            net,
            charters,
            report,
            addresses,
            announce,
            traffic,
            mending: Mending::default(),
            letters,
            events,
            stop,
            ended,
        });
        tokio::spawn(scrub::at_start(instance.clone(), shared.blobs.clone()));
        tokio::spawn(mend::run(instance.clone()));
        Ok(instance)
    }

    /// Ends the loop, then the network and the store.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
        self.net.shutdown().await;
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.close()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(e)) => warn!(error = %e, "the store was not closed cleanly"),
        }
    }

    /// Has the core carry out a command. Durable when it returns.
    ///
    /// # Errors
    /// The core's problem, or [`InstanceError::Ended`].
    pub async fn command(&self, command: Command) -> Result<Result<Reply, CoreProblem>, InstanceError> {
        let (reply, answer) = oneshot::channel();
        self.letters.send(Mail::Command(command, reply)).await.map_err(|_| InstanceError::Ended)?;
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| InstanceError::Ended),
            // An answer would come when there is room, which may be never.
            () = self.store.full() => Ok(Err(CoreProblem::new(
                "disk_full",
                "the disk is full: it is not recorded, and may still be when there is room. Free or add space, see whether it happened, and try again",
            ))),
        }
    }

    /// Asks the core something, between two steps. `question` must be quick.
    ///
    /// # Errors
    /// [`InstanceError::Ended`].
    pub async fn query<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Core, &dyn View, Now) -> T + Send + 'static,
    ) -> Result<T, InstanceError> {
        let (reply, answer) = oneshot::channel();
        let question = Box::new(move |core: &Core, view: &dyn View, now| {
            let _ = reply.send(question(core, view, now));
        });
        self.letters.send(Mail::Query(question)).await.map_err(|_| InstanceError::Ended)?;
        answer.await.map_err(|_| InstanceError::Ended)
    }

    /// Reads the view on a thread that may block.
    ///
    /// # Errors
    /// [`InstanceError::Rows`] if the view fails.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&StoreView, &Charters) -> Result<T, RowsError> + Send + 'static,
    ) -> Result<T, InstanceError> {
        let (view, charters) = (self.view.clone(), self.charters.clone());
        let read = tokio::task::spawn_blocking(move || look(&view, &charters)).await;
        read.map_err(|_| InstanceError::Ended)?.map_err(InstanceError::Rows)
    }

    /// Reads the view on a thread that may block, and returns only when everything that was read is durable: for what is
    /// shown or served to others.
    ///
    /// # Errors
    /// [`InstanceError::Rows`] if the view fails, [`InstanceError::Store`] if what was read will not be durable.
    pub async fn settled<T: Send + 'static>(
        &self,
        look: impl FnOnce(&StoreView, &Charters) -> Result<T, RowsError> + Send + 'static,
    ) -> Result<T, InstanceError> {
        let store = self.store.clone();
        let read = self.read(move |view, charters| {
            let value = look(view, charters)?;
            // Asked afterwards: the view shows what was appended up to the last row that was read.
            Ok((value, store.status().appended))
        });
        let (value, appended) = read.await?;
        self.store.durable(appended).await?;
        Ok(value)
    }

    /// Follows the node's events.
    pub fn follow(&self) -> tokio::sync::broadcast::Receiver<super::events::Told> {
        self.events.follow()
    }

    /// The newest charter.
    ///
    /// # Errors
    /// As [`Instance::read`].
    pub async fn charter(&self) -> Result<Option<Arc<Certified>>, InstanceError> {
        self.read(|view, charters| charters.newest(view)).await
    }

    /// Tells the loop something from outside of the network, and waits for room.
    ///
    /// # Errors
    /// [`InstanceError::Ended`].
    pub async fn tell(&self, input: verbund_protocol::core::Input) -> Result<(), InstanceError> {
        self.letters.send(Mail::Input(input)).await.map_err(|_| InstanceError::Ended)
    }

    /// Has the loop append records that are no decision of the core: repairs. Durable when it returns. With `repeat` it first begins
    /// a segment that repeats all local records.
    ///
    /// # Errors
    /// [`InstanceError::Ended`].
    pub async fn append(&self, records: Vec<Record>, repeat: bool) -> Result<(), InstanceError> {
        let (done, appended) = oneshot::channel();
        self.letters.send(Mail::Repair { records, repeat, done }).await.map_err(|_| InstanceError::Ended)?;
        let seq = appended.await.map_err(|_| InstanceError::Ended)?;
        self.store.durable(seq).await.map_err(InstanceError::Store)
    }

    /// Tells that entries which stood in damaged frames are here again.
    pub fn announce_mended(&self, text: String, mended: u64, missing: u64) {
        let details = [("mended", mended), ("missing", missing)];
        let details = details.into_iter().map(|(name, n)| (name.to_owned(), serde_json::json!(n))).collect();
        self.events.tell("journal_mended", crate::admin::api::Severity::Info, text, details);
    }

    /// Ends when the federation is to end.
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells the loop something from outside of the network, if it has room.
    pub fn try_tell(&self, input: verbund_protocol::core::Input) -> bool {
        self.letters.try_send(Mail::Input(input)).is_ok()
    }
}

/// Whether nothing was ever acknowledged in this journal: no record, no damage, and no more of a torn one than the first can be.
fn unbegun(report: &OpenReport) -> bool {
    let torn = report.cut_tail.as_ref().map_or(0, |cut| if cut.zeros { 0 } else { cut.bytes });
    report.frames == 0 && report.damages == 0 && torn <= FIRST_BYTES_MAX
}

/// Opens a store whose hashes are those of its logs: a view of which they are not is built again.
fn open(dir: &Path, options: &store::Options, ahead: &Arc<Ahead>) -> Result<(Store, OpenReport), InstanceError> {
    let once = || Store::open(dir, Arc::new(ProtocolFold::new(ahead.clone())), options.clone());
    let (store, report) = once()?;
    let wrong = match roots::contradiction(&store.reader()) {
        Ok(None) => return Ok((store, report)),
        Ok(Some(wrong)) => wrong,
        Err(unreadable) => unreadable.0,
    };
    store.distrust_view(&wrong);
    store.close()?;
    drop(store);
    let (store, report) = once()?;
    match roots::contradiction(&store.reader())? {
        None => Ok((store, report)),
        Some(wrong) => Err(InstanceError::Record(format!("{wrong}, also in a view that was built anew; report this"))),
    }
}

/// The first records of an instance that is new here.
fn commence(store: &Store, begin: Begin) -> Result<(), InstanceError> {
    let records = match begin {
        Begin::Open => return Ok(()),
        Begin::Found(bundle) => vec![Record::Local(Local::Origin(Origin::Founded)), Record::Charter(*bundle)],
        Begin::Join(joining) => vec![Record::Local(Local::Origin(Origin::Joining(*joining)))],
    };
    let frame = Batch { records }.encode().map_err(|e| InstanceError::Record(e.to_string()))?;
    let seq = store.append(Weight::Essential, frame)?;
    tokio::runtime::Handle::current().block_on(store.durable(seq))?;
    Ok(())
}

fn own(view: &StoreView, shared: &Shared, announce: &[String]) -> Result<Own, InstanceError> {
    let member = &shared.member;
    let writer = match state::get(view, Table::Local, key::ORIGIN)? {
        Some(Origin::Joining(joining)) => joining.writer,
        _ => Vec::new(),
    };
    Ok(Own {
        member: member.id,
        handle: member.identity.handle.clone(),
        identities: member.chain.clone(),
        writer,
        node: member.node.clone(),
        approvers: member.approver.iter().cloned().collect(),
        publishers: member.publisher.iter().cloned().collect(),
        addresses: announce.to_vec(),
        software: concat!("verbund ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

fn settings(config: &Config) -> Settings {
    Settings {
        poll_ms: config.sync.poll_interval.ms(),
        freshness_ms: config.sync.freshness.ms(),
        start_wait_ms: config.start.quorum_wait.ms(),
        start_alone_ms: config.start.alone_wait.ms(),
        fetches_at_once: config.limits.fetches as usize,
        artifact_max_bytes: config.limits.artifact_max.0,
        ..Settings::default()
    }
}

/// Starts the loop on a thread of its own.
fn run(
    driver: Driver,
    end: watch::Sender<bool>,
    failed: mpsc::Sender<(FederationId, DriverError)>,
) -> Result<(), InstanceError> {
    let handle = tokio::runtime::Handle::current();
    let federation = driver.federation;
    let span = info_span!("federation", id = &federation.to_hex()[..8]);
    let body = move || {
        let _in = span.enter();
        // A loop that panicked must stop the node as loudly as one that failed: without it the node would go on as a shell that
        // serves what it had, and takes and signs nothing more.
        let ended = catch_unwind(AssertUnwindSafe(|| handle.block_on(driver.run())));
        let ended = ended.unwrap_or_else(|panic| Err(DriverError::Panicked(words(&*panic))));
        if let Err(e) = ended {
            error!(error = %e, "the federation's loop failed");
            // With no room there are others that failed: one is enough to stop the node.
            let _ = failed.try_send((federation, e));
        }
        let _ = end.send(true);
    };
    std::thread::Builder::new()
        .name(format!("fed-{}", &federation.to_hex()[..8]))
        .spawn(body)
        .map_err(|e| InstanceError::Record(format!("no thread for the federation: {e}")))?;
    Ok(())
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

fn tell(report: &OpenReport, federation: FederationId) {
    let id = &federation.to_hex()[..8];
    info!(federation = id, frames = report.frames, segments = report.segments, "journal read");
    if report.lost_something() {
        warn!(federation = id, ?report.cut_tail, damaged = report.damages, "the journal was damaged; what is missing is fetched from the members");
    }
}

#[cfg(test)]
mod tests;
