//! What is not here, or not there: which release, why, from whom, and when it is tried again.
//!
//! Owns the words and stable reasons. Decides nothing: the reasons come from the core and from what nodes say of themselves.

use std::collections::BTreeMap;

use verbund_protocol::core::report::MissingReport;
use verbund_protocol::ids::{Blake3, Handle, PeerId};
use verbund_protocol::limits::MANIFEST_MAX_BYTES;
use verbund_protocol::release::Manifest;
use verbund_protocol::release::manifest::NAME as MANIFEST;
use verbund_protocol::view::state::ReleaseRow;

use super::super::traffic::Traffic;
use super::survey::{Survey, place};
use crate::admin::api::{Behind, Connection, Missing, Moment, PendingFetch};
use crate::blobs::BlobStore;

/// Releases whose manifest is read to name files by their paths.
const MANIFESTS_MAX: usize = 100;
/// Files of one release that are named.
const FILES_MAX: usize = 100;

/// Paths of artifacts, by manifest.
pub type Paths = BTreeMap<Blake3, BTreeMap<Blake3, String>>;

/// Reads the paths of the files of releases that are being fetched.
pub async fn paths(survey: &Survey, blobs: &BlobStore) -> Paths {
    let mut out = Paths::new();
    for job in survey.jobs.values().filter(|j| j.manifest_read).take(MANIFESTS_MAX) {
        let hash = job.release.manifest;
        let Ok(bytes) = blobs.read(&hash, MANIFEST_MAX_BYTES).await else { continue };
        let Ok(manifest) = Manifest::parse(&bytes) else { continue };
        out.insert(hash, manifest.files().iter().map(|f| (f.blake3, f.path.to_string())).collect());
    }
    out
}

/// What this node knows of its files.
#[derive(Clone, Copy)]
pub struct Here<'a> {
    /// Their paths.
    pub paths: &'a Paths,
    /// How far each fetch is.
    pub traffic: &'a Traffic,
    /// The largest artifact that it takes, in bytes.
    pub max_bytes: u64,
}

/// The parts of a release that are not here yet; of one that is refused for a file over the limit, those files.
pub fn pending(survey: &Survey, row: &ReleaseRow, here: &Here<'_>) -> Vec<PendingFetch> {
    let Some(job) = survey.jobs.get(&place(row)) else {
        let why = "waits for its turn: others are being fetched".to_owned();
        return vec![PendingFetch { code: "waiting".into(), why, ..whole(survey, row) }];
    };
    if !job.manifest_read && job.left.is_empty() {
        let why = "its manifest is being read".to_owned();
        return vec![PendingFetch { code: "fetching".into(), why, ..whole(survey, row) }];
    }
    if job.refused && job.code != "over_limit" {
        return vec![PendingFetch { code: job.code.into(), why: job.why.clone(), ..whole(survey, row) }];
    }
    let named = here.paths.get(&row.manifest);
    let part = |(hash, size, from): &(Blake3, u64, Option<PeerId>)| {
        let (code, why) = reason(survey, job, hash, *from);
        let file =
            if *hash == row.manifest { MANIFEST } else { named.and_then(|n| n.get(hash)).map_or("?", String::as_str) };
        PendingFetch {
            release: survey.name(row),
            file: file.to_owned(),
            size: *size,
            received: here.traffic.here(hash).min(*size),
            code: code.to_owned(),
            why,
            from: from.or(job.last).filter(|_| !job.refused).and_then(|peer| survey.handle(&peer)),
            next_try: job.next_try_ms.filter(|_| !job.refused).map(|ms| survey.soon(ms)),
            attempts: job.failures,
        }
    };
    let over = |(_, size, _): &&(Blake3, u64, Option<PeerId>)| !job.refused || *size > here.max_bytes;
    let parts: Vec<_> = job.left.iter().filter(over).take(FILES_MAX).map(part).collect();
    if parts.is_empty() {
        // It is the manifest itself.
        return vec![PendingFetch { code: job.code.into(), why: job.why.clone(), ..whole(survey, row) }];
    }
    parts
}

/// A release of which nothing more is known than that it is not here.
fn whole(survey: &Survey, row: &ReleaseRow) -> PendingFetch {
    PendingFetch {
        release: survey.name(row),
        file: MANIFEST.to_owned(),
        size: row.manifest_size,
        received: 0,
        code: String::new(),
        why: String::new(),
        from: None,
        next_try: None,
        attempts: 0,
    }
}

/// Why one artifact is not here.
fn reason(survey: &Survey, job: &MissingReport, hash: &Blake3, from: Option<PeerId>) -> (&'static str, String) {
    let damaged = survey.stock.quarantined.contains(hash);
    match from {
        Some(peer) if peer == survey.me.peer => ("fetching", "being looked for on this node".to_owned()),
        Some(_) if damaged => ("fetching", "it was damaged on disk and is coming again".to_owned()),
        Some(_) => ("fetching", "being fetched".to_owned()),
        None if job.refused => (job.code, job.why.clone()),
        None if damaged && job.why.is_empty() => {
            ("quarantined", "it was damaged on disk and waits to be fetched again".to_owned())
        }
        None if damaged => ("quarantined", format!("it was damaged on disk; {}", job.why)),
        None if job.next_try_ms.is_some() => (job.code, job.why.clone()),
        None => ("waiting", "waits for its turn: other files are being fetched".to_owned()),
    }
}

/// Everything that this node lacks.
pub fn here(survey: &Survey, here: &Here<'_>) -> Vec<Missing> {
    let one = |row: &ReleaseRow| {
        let job = survey.jobs.get(&place(row));
        let bytes = match job.filter(|j| j.manifest_read) {
            Some(job) => job.left.iter().map(|(hash, size, _)| size.saturating_sub(here.traffic.here(hash))).sum(),
            None => row.manifest_size + row.total_size,
        };
        Missing {
            release: survey.name(row),
            digest: row.id,
            published: Moment::from_unix_ms(row.published_s.saturating_mul(1_000)),
            bytes,
            holders: holders(survey, row),
            files: pending(survey, row, here),
        }
    };
    survey.stock.listed.iter().map(one).collect()
}

/// Members that say they hold a release.
fn holders(survey: &Survey, row: &ReleaseRow) -> Vec<Handle> {
    let says = |peer: &PeerId| {
        let holdings = survey.peers.get(peer).and_then(|p| p.holdings.as_ref());
        holdings.is_some_and(|h| h.has(&row.log, row.index))
    };
    let mut all: Vec<_> = survey.peers.keys().filter(|p| says(p)).filter_map(|p| survey.handle(p)).collect();
    all.sort();
    all.dedup();
    all
}

/// Why another node lacks a release, as far as it can be known from here.
pub fn why_not_there(survey: &Survey, peer: &PeerId, row: &ReleaseRow) -> (&'static str, String) {
    let connection = survey.connection(peer);
    match connection {
        Connection::Blocked => return ("blocked", "it is blocked here".to_owned()),
        Connection::Paused => return ("paused", "it is paused here".to_owned()),
        _ => {}
    }
    let away = matches!(connection, Connection::Disconnected { .. });
    let known = survey.peers.get(peer);
    if known.is_none_or(|p| p.holdings.is_none()) {
        let text = if away {
            "not connected; it has said nothing since this node started"
        } else {
            "it has not said yet what it holds"
        };
        return ("unknown", text.to_owned());
    }
    if away {
        return ("not_connected", "not connected".to_owned());
    }
    match survey.entries_at(peer, &row.log) {
        Some(size) if size <= row.index => {
            let owner = survey.handle_of(&row.member).map_or_else(|| row.member.to_string(), |h| h.to_string());
            ("behind", format!("it has {size} entries of the log of {owner}, this is number {}", row.index + 1))
        }
        _ => ("fetching", "it has the entry, but not yet all files".to_owned()),
    }
}

/// What another node lacks, for a list of its member.
pub fn behind(survey: &Survey, peer: &PeerId, max: usize) -> Vec<Behind> {
    let listed = survey.stock.lacks.get(peer).map(|lacks| lacks.listed.as_slice()).unwrap_or_default();
    let one = |row: &ReleaseRow| Behind { release: survey.name(row), why: why_not_there(survey, peer, row).1 };
    listed.iter().take(max).map(one).collect()
}

/// Everything that another node lacks.
pub fn there(survey: &Survey, peer: &PeerId) -> Vec<Missing> {
    let listed = survey.stock.lacks.get(peer).map(|lacks| lacks.listed.as_slice()).unwrap_or_default();
    let one = |row: &ReleaseRow| {
        let (code, why) = why_not_there(survey, peer, row);
        let mut holders = holders(survey, row);
        if !survey.stock.listed.iter().any(|mine| place(mine) == place(row)) {
            holders.push(survey.me.handle.clone());
            holders.sort();
        }
        Missing {
            release: survey.name(row),
            digest: row.id,
            published: Moment::from_unix_ms(row.published_s.saturating_mul(1_000)),
            bytes: row.manifest_size + row.total_size,
            holders,
            files: vec![PendingFetch { code: code.into(), why, ..whole(survey, row) }],
        }
    };
    listed.iter().map(one).collect()
}
