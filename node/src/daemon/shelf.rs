//! What operations and the HTTPS library share: a federation's catalogue, read only once it is durable, and what stands beside it,
//! manifests and who holds what.
//!
//! Owns no decision. Nothing that is read here and shown was not durable when it is handed out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use verbund_protocol::core::View as _;
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::{Blake3, Handle, PeerId};
use verbund_protocol::limits::MANIFEST_MAX_BYTES;
use verbund_protocol::provenance::{self, MakeError, Pulled};
use verbund_protocol::release::{Manifest, Release};
use verbund_protocol::view::catalogue::{Catalogue, Listed, Witnesses};
use verbund_protocol::view::rows::RowsError;
use verbund_protocol::view::state::ReleaseRow;

use super::clock::now;
use super::instance::{Instance, InstanceError};
use super::view::StoreView;
use crate::blobs::{BlobStore, ReadError};

/// Manifests kept parsed: whoever pulls a release asks for its files one after the other. The largest has 10,000 files, which take
/// a few MiB.
const MANIFESTS_MAX: usize = 8;

/// Manifests that were read lately. An artifact never changes, so nothing here goes stale.
#[derive(Debug, Default)]
pub struct Manifests(Mutex<VecDeque<(Blake3, Arc<Manifest>)>>);

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The artifact.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// Its content: its publisher's fault.
    #[error("the manifest is malformed: {0}")]
    Malformed(String),
}

impl Manifests {
    /// The manifest of a release.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub async fn get(&self, blobs: &BlobStore, row: &ReleaseRow) -> Result<Arc<Manifest>, ManifestError> {
        self.by_hash(blobs, &row.manifest).await
    }

    /// The manifest with this hash.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub async fn by_hash(&self, blobs: &BlobStore, hash: &Blake3) -> Result<Arc<Manifest>, ManifestError> {
        if let Some(known) = self.known(hash) {
            return Ok(known);
        }
        let bytes = blobs.read(hash, MANIFEST_MAX_BYTES).await?;
        let parsed = tokio::task::spawn_blocking(move || Manifest::parse(&bytes)).await;
        let parsed = parsed.map_err(|e| ManifestError::Malformed(e.to_string()))?;
        let manifest = Arc::new(parsed.map_err(|e| ManifestError::Malformed(e.to_string()))?);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((*hash, manifest.clone()));
        kept.truncate(MANIFESTS_MAX);
        Ok(manifest)
    }

    fn known(&self, hash: &Blake3) -> Option<Arc<Manifest>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == hash)?;
        let found = kept.remove(at)?;
        let manifest = found.1.clone();
        kept.push_front(found);
        Some(manifest)
    }
}

/// Why there is no offline proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The manifest.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// What it is made of.
    #[error("{0}")]
    Make(#[from] MakeError),
    /// The federation.
    #[error("{0}")]
    Instance(#[from] InstanceError),
}

/// The offline proof of a release whose manifest is here, served by the node `me`.
///
/// # Errors
/// [`ProofError`]; [`MakeError::NotYet`] passes by itself.
pub async fn proof(instance: &Instance, blobs: &BlobStore, me: PeerId, row: &ReleaseRow) -> Result<Bytes, ProofError> {
    let manifest = blobs.read(&row.manifest, MANIFEST_MAX_BYTES).await.map_err(ManifestError::Read)?;
    let (log, index, now_s) = (row.log, row.index, now().wall_s());
    let made = instance.settled(move |view, charters| {
        Ok(provenance::make(view, charters, &Pulled { log, index, manifest: &manifest, now_s, served_by: me }))
    });
    Ok(made.await??.into())
}

/// Looks into a federation's catalogue; `None` while its charter is not known.
///
/// # Errors
/// [`InstanceError`], also if what was read does not become durable.
pub async fn catalogue<T: Send + 'static>(
    instance: &Instance,
    look: impl FnOnce(&Catalogue<'_>, &StoreView) -> Result<T, RowsError> + Send + 'static,
) -> Result<Option<T>, InstanceError> {
    let read = instance.settled(move |view, charters| match Catalogue::open(view, charters)? {
        Some(catalogue) => look(&catalogue, view).map(Some),
        None => Ok(None),
    });
    read.await
}

/// A release in full.
#[derive(Debug, Clone)]
pub struct Detail {
    /// The release and what holds of it.
    pub listed: Listed,
    /// Its process, as references name it.
    pub process: String,
    /// Handle of its owner.
    pub owner: Handle,
    /// The statement as it was signed: envelope bytes.
    pub envelope: Vec<u8>,
    /// What it says about itself, corrections applied.
    pub metadata: serde_json::Value,
    /// What changed: kind and text.
    pub change: (String, String),
    /// Who vouches for it.
    pub witnesses: Witnesses,
    /// Their handles.
    pub witnessed_by: Vec<Handle>,
    /// The process that goes on with it, at another member.
    pub moved_to: Option<String>,
}

impl Detail {
    /// Reads the statement behind a release.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails, or contradicts itself.
    pub fn read(catalogue: &Catalogue<'_>, view: &StoreView, listed: Listed) -> Result<Self, RowsError> {
        let bytes = view.leaf(catalogue.leaf(&listed.row)?)?;
        // It was read before it was listed: what cannot be read now is not what was judged.
        let envelope = Envelope::parse(&bytes).map_err(|e| RowsError(e.to_string()))?;
        let release = Release::parse(envelope.payload()).map_err(|e| RowsError(e.to_string()))?;
        let change = &release.metadata.metadata().change;
        let change = (change.kind.as_str().to_owned(), change.text.clone());
        let owner = catalogue.owners().get(&listed.row.member).map(|owner| owner.handle.clone());
        let owner = owner.ok_or_else(|| RowsError(format!("{} owns a release and is unknown", listed.row.member)))?;
        let witnesses = catalogue.witnesses(&listed.row)?;
        let mut witnessed_by = catalogue.handles(&witnesses.by);
        witnessed_by.sort();
        Ok(Self {
            process: catalogue.process_name(&listed.row),
            moved_to: catalogue.moved_to(&listed.row.member, &listed.row.slug)?,
            owner,
            envelope: bytes,
            metadata: listed.effect.metadata(release.metadata.raw()),
            change,
            witnessed_by,
            witnesses,
            listed,
        })
    }
}

/// Who has the files of a release, and why this node has not.
#[derive(Debug, Clone, Default)]
pub struct Supply {
    /// Members that say they hold it, this one included if it does.
    pub held_by: Vec<Handle>,
    /// Why it is not complete here; `None` if it is.
    pub lacking: Option<Lacking>,
}

/// Why a release is not complete here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// In words.
    pub why: String,
    /// It will not come: limit, audience, or it does not count.
    pub never: bool,
}

/// Nodes that hold a release; why it is missing here, and whether that is for good.
type Answer = (Vec<PeerId>, Option<(String, bool)>);

/// Asks the core about releases; the answers are in the order of `releases`.
///
/// # Errors
/// [`InstanceError`].
pub async fn supply(instance: &Instance, me: PeerId, releases: &[&Listed]) -> Result<Vec<Supply>, InstanceError> {
    let places: Vec<_> = releases.iter().map(|listed| (listed.place(), listed.held)).collect();
    let asked = instance.query(move |core, _, now| {
        let missing = if places.iter().all(|(_, held)| *held) { Vec::new() } else { core.missing(now) };
        let one = |((log, index), held): &((PeerId, u64), bool)| {
            let mut holders = core.holders(log, *index);
            if *held {
                holders.push(me);
            }
            let report = missing.iter().find(|m| (m.release.log, m.release.index) == (*log, *index));
            (holders, report.map(|m| (m.why.clone(), m.refused)))
        };
        places.iter().map(one).collect::<Vec<_>>()
    });
    let answers = asked.await?;
    let charter = instance.charter().await?;
    let handle = |node: &PeerId| {
        let charter = charter.as_ref()?;
        charter.charter.member(&charter.member_of(node)?).map(|member| member.handle.clone())
    };
    let one = |(listed, answer): (&&Listed, Answer)| {
        let (holders, report) = answer;
        let mut held_by: Vec<_> = holders.iter().filter_map(handle).collect();
        held_by.sort();
        held_by.dedup();
        let lacking = match (&listed.void, report) {
            _ if listed.held => None,
            (Some(void), _) => Some(Lacking { why: void.clone(), never: true }),
            (None, Some((why, never))) => Some(Lacking { why, never }),
            (None, None) => Some(Lacking { why: "it waits its turn to be fetched".to_owned(), never: false }),
        };
        Supply { held_by, lacking }
    };
    Ok(releases.iter().zip(answers).map(one).collect())
}

/// Why a release was withdrawn, in one line.
pub fn withdrawn(listed: &Listed) -> Option<String> {
    let withdrawal = listed.effect.withdrawn.as_ref()?;
    let mut text = format!("{} (severity {})", withdrawal.reason, withdrawal.severity);
    if let Some(successor) = &withdrawal.successor {
        text.push_str(&format!("; use {successor} instead"));
    }
    if withdrawal.erase {
        text.push_str("; its publisher asks to delete it");
    }
    Some(text)
}

/// The announced end of a release, in one line.
pub fn deprecated(listed: &Listed) -> Option<String> {
    let deprecation = listed.effect.deprecated.as_ref()?;
    let mut text = deprecation.reason.clone();
    if let Some(ends) = &deprecation.ends {
        text.push_str(&format!("; maintained until {ends}"));
    }
    if let Some(successor) = &deprecation.successor {
        text.push_str(&format!("; use {successor} instead"));
    }
    Some(text)
}
