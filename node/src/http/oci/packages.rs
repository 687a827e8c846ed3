//! Releases as registry clients address them, made when they are asked for.
//!
//! Owns what is remembered of them. Nothing remembered is handed out unless the library has just shown the release to the reader of
//! this request. Everything is bounded; what falls out is made again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use semver::Version;
use tokio::sync::Mutex as Turn;
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::Sha256;
use verbund_protocol::release::Release;

use super::archive::Archive;
use super::manifest::{self, LAYERS_MAX, Layer};
use super::tags;
use crate::http::library::{ProcessRef, ReleaseRef, ReleaseView};
use crate::http::problem::{Code, Problem};
use crate::http::routes::Call;

/// Packages remembered: a manifest of 64 layers takes some 20 KiB.
const PACKAGES_MAX: usize = 256;
/// Archives of which the layout is remembered: 10,000 files take some MiB.
const ARCHIVES_MAX: usize = 8;
/// Bytes of referrers remembered. A client lists them and comes back for them at once.
const REFERRERS_MAX_BYTES: usize = 32 << 20;

/// A release as an artifact.
#[derive(Debug)]
pub(super) struct Package {
    release: ReleaseRef,
    /// SHA-256 of the release's statement: which release it is, should another come to stand under its version.
    id: Sha256,
    /// The manifest.
    pub(super) bytes: Bytes,
    /// Its hash.
    pub(super) digest: Sha256,
    /// Its layers.
    pub(super) layers: Vec<Layer>,
    /// What the one layer is made of, if there are too many files for one each.
    pub(super) archive: Option<Arc<Archive>>,
}

impl Package {
    /// The release that it is.
    pub(super) fn release(&self) -> &ReleaseRef {
        &self.release
    }
}

/// Bytes that were said about a release, or the manifest that names them.
#[derive(Debug, Clone)]
pub(super) struct Referrer {
    /// What they are about: who does not see it does not see them.
    pub(super) about: ReleaseRef,
    /// Their hash.
    pub(super) digest: Sha256,
    /// Of the bytes.
    pub(super) media_type: &'static str,
    /// The bytes.
    pub(super) bytes: Bytes,
}

/// What is remembered. Locks are held for look-ups only.
#[derive(Debug, Default)]
pub(super) struct Packages {
    made: Mutex<VecDeque<Arc<Package>>>,
    archives: Mutex<VecDeque<(Sha256, Arc<Archive>)>>,
    referrers: Mutex<VecDeque<Referrer>>,
    /// One archive is read through at a time.
    archiving: Turn<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The statement as its publisher signed it, and its id.
fn statement(view: &ReleaseView) -> Result<(Sha256, Release), Problem> {
    let bytes = view.evidence["envelope"].as_str().and_then(|text| STANDARD.decode(text).ok());
    let envelope = bytes.and_then(|bytes| Envelope::parse(&bytes).ok());
    let read = envelope.and_then(|envelope| Some((envelope.id(), Release::parse(envelope.payload()).ok()?)));
    read.ok_or_else(|| {
        tracing::error!(manifest = %view.manifest, "the statement of a listed release cannot be read");
        Problem::new(Code::Internal, "This node failed; its log says why.")
    })
}

impl Packages {
    /// The package of a version.
    pub(super) async fn of(
        self: &Arc<Self>,
        call: &Call,
        process: &ProcessRef,
        version: &Version,
    ) -> Result<Arc<Package>, Problem> {
        let release = ReleaseRef { process: process.clone(), version: version.clone() };
        let view = call.library().release(&call.reader, &release).await?;
        if let Some(reason) = view.unavailable {
            return Err(Problem::new(Code::NotAvailable, reason));
        }
        let (id, statement) = statement(&view)?;
        if let Some(known) = self.known(&release).filter(|package| package.id == id) {
            return Ok(known);
        }
        let archive = match view.files.len() {
            0..=LAYERS_MAX => None,
            _ => Some(self.archive(call, &release, &view).await?),
        };
        let layers = match &archive {
            None => view.files.iter().map(Layer::of).collect(),
            Some(archive) => {
                vec![Layer::archive(&process.slug, &version.to_string(), archive.digest, archive.layout.size())]
            }
        };
        let bytes = Bytes::from(manifest::of_release(id, &statement, &layers));
        let package = Arc::new(Package { release, id, digest: Sha256::of(&bytes), bytes, layers, archive });
        let mut made = locked(&self.made);
        made.retain(|old| old.release != package.release);
        made.truncate(PACKAGES_MAX - 1);
        made.push_front(package.clone());
        Ok(package)
    }

    fn known(&self, release: &ReleaseRef) -> Option<Arc<Package>> {
        locked(&self.made).iter().find(|package| package.release == *release).cloned()
    }

    /// The package of the process whose manifest has this hash.
    pub(super) async fn by_manifest(
        self: &Arc<Self>,
        call: &Call,
        process: &ProcessRef,
        digest: Sha256,
    ) -> Result<Option<Arc<Package>>, Problem> {
        self.search(call, process, |package| package.digest == digest).await
    }

    /// A package of the process that has a layer with this hash.
    pub(super) async fn by_layer(
        self: &Arc<Self>,
        call: &Call,
        process: &ProcessRef,
        digest: Sha256,
    ) -> Result<Option<Arc<Package>>, Problem> {
        self.search(call, process, |package| package.layers.iter().any(|layer| layer.digest == digest)).await
    }

    /// The newest package of the process that is `wanted`: among those remembered, and among as many as can be. Clients come by
    /// a tag, so that what they want is there.
    async fn search(
        self: &Arc<Self>,
        call: &Call,
        process: &ProcessRef,
        wanted: impl Fn(&Package) -> bool,
    ) -> Result<Option<Arc<Package>>, Problem> {
        let versions = tags::versions(call, process).await?;
        for summary in versions.iter().filter(|version| version.available) {
            let release = ReleaseRef { process: process.clone(), version: summary.version.clone() };
            if self.known(&release).is_some_and(|known| wanted(&known))
                && let Some(package) = self.tried(call, process, &summary.version).await?.filter(|p| wanted(p))
            {
                return Ok(Some(package));
            }
        }
        for summary in versions.iter().filter(|version| version.available).take(PACKAGES_MAX) {
            let release = ReleaseRef { process: process.clone(), version: summary.version.clone() };
            if self.known(&release).is_none()
                && let Some(package) = self.tried(call, process, &summary.version).await?.filter(|p| wanted(p))
            {
                return Ok(Some(package));
            }
        }
        Ok(None)
    }

    /// The package of a version, if there is one now.
    async fn tried(
        self: &Arc<Self>,
        call: &Call,
        process: &ProcessRef,
        version: &Version,
    ) -> Result<Option<Arc<Package>>, Problem> {
        match self.of(call, process, version).await {
            Ok(package) => Ok(Some(package)),
            Err(problem) if matches!(problem.code, Code::NotAvailable | Code::NotFound | Code::Erased) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// The archive of a release: its bytes are read once for their hash. That goes on when the client gives up, so that it finds
    /// it ready when it comes back.
    async fn archive(
        self: &Arc<Self>,
        call: &Call,
        release: &ReleaseRef,
        view: &ReleaseView,
    ) -> Result<Arc<Archive>, Problem> {
        let (packages, key) = (self.clone(), view.manifest);
        let source = super::archive::Source::new(call, release);
        let files = view.files.clone();
        let made = tokio::spawn(async move {
            let _turn = packages.archiving.lock().await;
            let known = locked(&packages.archives).iter().find(|(k, _)| *k == key).map(|(_, archive)| archive.clone());
            if let Some(known) = known {
                return Ok(known);
            }
            let archive = Arc::new(Archive::read(files, &source).await?);
            let mut archives = locked(&packages.archives);
            archives.truncate(ARCHIVES_MAX - 1);
            archives.push_front((key, archive.clone()));
            Ok::<_, std::io::Error>(archive)
        });
        match made.await {
            Ok(Ok(archive)) => Ok(archive),
            Ok(Err(reason)) => {
                tracing::warn!(%reason, "an archive could not be read through");
                Err(Problem::new(Code::Damaged, "The stored copy failed its check and is being replaced."))
            }
            Err(error) => {
                tracing::error!(%error, "the making of an archive ended");
                Err(Problem::new(Code::Internal, "This node failed; its log says why."))
            }
        }
    }

    /// Remembers what was said about a release.
    pub(super) fn remember(&self, referrer: Referrer) {
        let mut all = locked(&self.referrers);
        all.retain(|old| old.digest != referrer.digest || old.about != referrer.about);
        all.push_front(referrer);
        let mut bytes = 0_usize;
        let fits = all.iter().take_while(|kept| {
            bytes = bytes.saturating_add(kept.bytes.len());
            bytes <= REFERRERS_MAX_BYTES
        });
        let fits = fits.count();
        all.truncate(fits);
    }

    /// What was said about a release of the process and has this hash.
    pub(super) async fn referrer(
        &self,
        call: &Call,
        process: &ProcessRef,
        digest: Sha256,
    ) -> Result<Option<Referrer>, Problem> {
        let mut all = locked(&self.referrers).iter().filter(|r| r.digest == digest).cloned().collect::<Vec<_>>();
        all.retain(|referrer| referrer.about.process == *process);
        let Some(referrer) = all.pop() else { return Ok(None) };
        // The reader must see what it is about.
        call.library().release(&call.reader, &referrer.about).await?;
        Ok(Some(referrer))
    }
}
