//! Artifacts on the wire: fetching what the core orders, serving what members may have.
//!
//! Owns the translation between the artifact store and the core's words. Whose fault a failure is, the transfer says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::compat::TokioAsyncReadCompatExt as _;
use tracing::{Instrument as _, debug, info_span, warn};
use verbund_protocol::core::{FetchError as CoreError, FetchOrder, Input};
use verbund_protocol::ids::{Blake3, MemberId, PeerId, Sha256};
use verbund_protocol::limits::MANIFEST_MAX_BYTES;
use verbund_protocol::release::Manifest;
use verbund_protocol::view::audience;
use verbund_protocol::view::charters::Charters;
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, ReleaseRow, key};

use super::driver::Mail;
use super::errands;
use super::traffic::Traffic;
use super::view::StoreView;
use crate::blobs::transfer::{Decision, FetchError, FetchLimits, PeerFault, ServeLimits, Severity, fetch, serve};
use crate::blobs::{BlobStore, Expect, Receive, StoreError};
use crate::net::{BlobStreams, NetHandle};

/// Artifact streams served at a time in one federation; the store bounds them over all.
const STREAMS_MAX: usize = 256;
/// Of which so many to one peer: three quarters of what the store serves at a time, so that one peer which takes its time never
/// holds every place; more than a node fetches at a time by default.
const STREAMS_PER_PEER: usize = 24;
/// How long one fetch waits for another of the same artifact.
const SHARE_MAX: Duration = Duration::from_secs(60);
/// Opening a stream over a connection that is there. The transport gives up earlier; this is for one that does not.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// An own fault is told at most this often: every artifact that is missing meets the same one.
const FAULT_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Fetches artifacts into the node's store.
pub struct Fetcher {
    blobs: BlobStore,
    me: PeerId,
    traffic: Arc<Traffic>,
    fault_told: Mutex<Option<Instant>>,
}

impl Fetcher {
    /// A fetcher into `blobs` for the node `me`.
    pub const fn new(blobs: BlobStore, me: PeerId, traffic: Arc<Traffic>) -> Self {
        Self { blobs, me, traffic, fault_told: Mutex::new(None) }
    }

    /// Carries out one order and reports to the loop.
    pub fn fetch(self: Arc<Self>, order: FetchOrder, net: NetHandle, letters: mpsc::Sender<Mail>) {
        let tag = order.tag;
        let span = info_span!("fetch", peer = %order.from, artifact = %order.hash);
        let work = async move {
            let result = self.one(&order, &net).await;
            match &result {
                Err(CoreError::Local(error)) if self.is_news() => {
                    warn!(error, "an artifact cannot be received, which is this node's own fault; it is tried again");
                }
                Err(error) => debug!(error = error.text(), "not fetched"),
                Ok(()) => {}
            }
            result
        };
        // No limit to the whole: a transfer that makes progress may take hours, and one that makes none ends by itself.
        errands::run(letters, Duration::MAX, work.instrument(span), move |end| {
            let result = end.unwrap_or_else(|lost| Err(CoreError::Local(lost.to_string())));
            Input::Fetched { tag, result }
        });
    }

    /// Whether an own fault was not told for a while.
    fn is_news(&self) -> bool {
        let mut told = self.fault_told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = told.is_none_or(|last| last.elapsed() >= FAULT_TOLD_EVERY);
        if news {
            *told = Some(Instant::now());
        }
        news
    }

    async fn one(&self, order: &FetchOrder, net: &NetHandle) -> Result<(), CoreError> {
        let expect = Expect { hash: order.hash, size: order.size, sha256: Some(order.sha256) };
        if order.from == self.me {
            return self.held(order).await;
        }
        let waiting = Instant::now();
        let mut receiving = loop {
            match self.blobs.receive(expect).await {
                Ok(Receive::Held(_)) => return self.held(order).await,
                Ok(Receive::Begun(receiving)) => break receiving,
                // Another release's or federation's fetch of the same artifact: what it gets is shared, and where it fails this
                // one begins. Bounded, so that a slow peer of one federation does not hold up another for long.
                Err(StoreError::InProgress(hash)) => {
                    let left = SHARE_MAX.saturating_sub(waiting.elapsed());
                    if tokio::time::timeout(left, self.blobs.released(&hash)).await.is_err() {
                        let text = "it is still being received for another release or federation";
                        return Err(CoreError::Connection(text.into()));
                    }
                }
                Err(e) => return Err(own_fault(&e)),
            }
        };
        self.traffic.begun(order.hash, receiving.counters());
        let stream = tokio::time::timeout(OPEN_MAX, net.open_blob(order.from)).await;
        let stream = stream.map_err(|_| CoreError::Connection("no stream could be opened in time".into()))?;
        let stream = stream.map_err(|e| CoreError::Connection(e.to_string()))?;
        match fetch(self.traffic.count(order.from, stream.compat()), &mut receiving, &FetchLimits::default()).await {
            Ok(_) => {
                self.traffic.done(&order.hash);
                Ok(())
            }
            Err(FetchError::Peer(fault)) => Err(match (fault.severity(), &fault) {
                (Severity::Misconduct, _) => CoreError::Fault(fault.to_string()),
                (Severity::Unable, PeerFault::Refused(_)) => CoreError::Refused(fault.to_string()),
                (Severity::Unable, _) => CoreError::Unfinished(fault.to_string()),
            }),
            Err(FetchError::Local(e)) => Err(own_fault(&e)),
            Err(FetchError::Connection(e)) => Err(CoreError::Connection(e.to_string())),
            Err(FetchError::Expectation(e)) => Err(CoreError::Refused(format!("the manifest is wrong: {e}"))),
        }
    }

    /// What is held under the name must also be what the manifest says of it.
    async fn held(&self, order: &FetchOrder) -> Result<(), CoreError> {
        match self.blobs.size(&order.hash) {
            None => return Err(CoreError::Refused("not held here".into())),
            Some(size) if size != order.size => {
                // Unless the file here was cut short or grew: reading it whole tells, and moves it away.
                if let Err(e) = self.blobs.verify(&order.hash).await {
                    return Err(CoreError::Refused(e.to_string()));
                }
                return Err(CoreError::Refused(format!(
                    "the manifest is wrong: it says {} bytes, the artifact has {size}",
                    order.size
                )));
            }
            Some(_) => {}
        }
        match self.blobs.sha256(&order.hash).await {
            Ok(sha256) if sha256 == order.sha256 || verbund_protocol::seeded::bug("held_is_believed") => Ok(()),
            Ok(sha256) => Err(CoreError::Refused(format!("the manifest is wrong: the artifact has {sha256}"))),
            Err(e) => Err(CoreError::Refused(e.to_string())),
        }
    }

    /// Reads a held manifest and tells the loop which files it names.
    pub fn manifest(self: Arc<Self>, tag: u64, hash: Blake3, letters: mpsc::Sender<Mail>) {
        let work = async move { self.files(&hash).await };
        errands::run(letters, Duration::MAX, work, move |end| Input::Manifest {
            tag,
            files: end.unwrap_or_else(|lost| Err(CoreError::Local(lost.to_string()))),
        });
    }

    async fn files(&self, hash: &Blake3) -> Result<Vec<(Blake3, Sha256, u64)>, CoreError> {
        let bytes = self.blobs.read(hash, MANIFEST_MAX_BYTES).await.map_err(|e| CoreError::Local(e.to_string()))?;
        let manifest = Manifest::parse(&bytes).map_err(|e| CoreError::Refused(e.to_string()))?;
        Ok(manifest.files().iter().map(|f| (f.blake3, f.sha256, f.size)).collect())
    }
}

fn own_fault(error: &StoreError) -> CoreError {
    if error.is_full() { CoreError::Full(error.to_string()) } else { CoreError::Local(error.to_string()) }
}

/// Serves artifact streams of one federation until its network ends.
pub async fn serve_streams(
    mut streams: BlobStreams,
    blobs: BlobStore,
    view: Arc<StoreView>,
    charters: Arc<Charters>,
    traffic: Arc<Traffic>,
) {
    let places = Arc::new(Semaphore::new(STREAMS_MAX));
    let mut shares: BTreeMap<PeerId, Arc<Semaphore>> = BTreeMap::new();
    while let Some((peer, stream)) = streams.next().await {
        // Members come and go; whoever is served nothing needs no share.
        shares.retain(|_, share| share.available_permits() < STREAMS_PER_PEER);
        let share = shares.entry(peer).or_insert_with(|| Arc::new(Semaphore::new(STREAMS_PER_PEER)));
        let share = share.clone().try_acquire_owned().ok();
        let Ok(place) = places.clone().try_acquire_owned() else {
            debug!(%peer, "too many artifact streams; one is dropped");
            continue;
        };
        let (blobs, view, charters) = (blobs.clone(), view.clone(), charters.clone());
        let stream = traffic.count(peer, stream.compat());
        let task = async move {
            // Looking rows up may touch the disk.
            let decide = |hash: &Blake3| match share {
                None => Decision::Busy,
                Some(_) => tokio::task::block_in_place(|| authorize(&*view, &charters, &peer, hash)),
            };
            if let Err(error) = serve(stream, &blobs, decide, &ServeLimits::default()).await {
                debug!(%error, "an artifact was not served to its end");
            }
            drop((place, share));
        };
        tokio::spawn(task.instrument(info_span!("serve", %peer)));
    }
}

/// Whether `peer` may have an artifact: a release of this federation refers to it, and the peer's member is in its audience.
fn authorize(rows: &dyn Rows, charters: &Charters, peer: &PeerId, hash: &Blake3) -> Decision {
    match allowed(rows, charters, peer, hash) {
        Ok(decision) => decision,
        Err(error) => {
            warn!(%error, "the catalogue cannot be read");
            Decision::NotFound
        }
    }
}

fn allowed(rows: &dyn Rows, charters: &Charters, peer: &PeerId, hash: &Blake3) -> Result<Decision, RowsError> {
    let Some(charter) = charters.newest(rows)? else { return Ok(Decision::NotFound) };
    let Some(member) = charter.member_of(peer).and_then(|m| charter.charter.member(&m)) else {
        return Ok(Decision::NotFound);
    };
    refers(rows, &member.member, member.handle.as_str(), hash)
}

/// Whether a release that a member may have refers to an artifact. That it lies on this node's disk says nothing: another
/// federation of this node may have brought it here.
fn refers(rows: &dyn Rows, member: &MemberId, handle: &str, hash: &Blake3) -> Result<Decision, RowsError> {
    let mut known = false;
    for (row, _) in rows.scan(Table::Artifacts, hash.as_bytes(), &[], 256)? {
        let Some(place) = row.get(32..) else { continue };
        let Some(process) = rows.get(Table::Releases, &[b"l", place].concat())? else { continue };
        let Some(release) = state::get::<ReleaseRow>(rows, Table::Releases, &process)? else { continue };
        let counts = state::log(rows, &release.log)?.is_some_and(|log| log.counts(release.index));
        if !verbund_protocol::seeded::bug("serve_what_was_erased") && (!counts || erased(rows, &release)?) {
            continue;
        }
        known = true;
        // As the one who asks sees it: a correction may have widened the audience.
        if release.member == *member
            || verbund_protocol::seeded::bug("serve_outside_audience")
            || audience::admits(rows, &release, handle)?
        {
            return Ok(Decision::Serve);
        }
    }
    Ok(if known { Decision::NotAllowed } else { Decision::NotFound })
}

/// Whether its publisher asked to delete the bytes.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn erased(rows: &dyn Rows, release: &ReleaseRow) -> Result<bool, RowsError> {
    let withdrawn = rows.get(Table::Statements, &key::withdrawal(&release.member, &release.id))?;
    Ok(withdrawn
        .and_then(|bytes| verbund_protocol::json::parse_as::<verbund_protocol::documents::Withdrawal>(&bytes).ok())
        .is_some_and(|w| w.erase))
}

#[cfg(test)]
mod tests;
