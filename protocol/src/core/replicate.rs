//! Replication: which artifacts are fetched, from whom, what to do when it fails, and what is announced as held.
//!
//! Owns the jobs. One release that cannot be had backs off alone. Whose fault a failure is, the fetcher says.

use std::collections::{BTreeMap, BTreeSet};

use super::api::{Effect, EventKind, FetchError, FetchOrder};
use super::peers::Peers;
use super::standing::Standing;
use super::{Cx, serve};
use crate::ids::{Blake3, PeerId, Sha256};
use crate::limits::{HOLDINGS_LOGS_MAX, HOLDINGS_MISSING_MAX};
use crate::record::{Local, Record};
use crate::view::audience;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, ReleaseRow, key};
use crate::wire::{Gossip, Holdings, LogHoldings, SignedHoldings};

/// Releases that wait out a failure at most; older failures beyond are looked at again as if new.
const JOBS_MAX: usize = 4_096;
/// Marks of missing releases looked at in one step.
const SCAN_MAX: usize = 512;
/// First wait after a failure, in milliseconds; doubled each time.
const RETRY_MIN_MS: u64 = 1_000;
/// Longest wait after a failure, in milliseconds.
const RETRY_MAX_MS: u64 = 600_000;
/// Longest pause while the own disk has no room; looking for room costs little.
const FULL_RETRY_MS: u64 = 10_000;
/// Announcements are gathered this long, in milliseconds.
const ANNOUNCE_MS: u64 = 20;

/// Place of a release.
pub type Place = (PeerId, u64);

/// An artifact as a release names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Artifact {
    hash: Blake3,
    sha256: Sha256,
    size: u64,
}

/// One release that is being fetched, or waits to be.
#[derive(Debug)]
pub struct Job {
    row: ReleaseRow,
    /// Artifacts still to be fetched, without those under way.
    todo: Vec<Artifact>,
    /// Fetches under way, by tag.
    active: BTreeMap<u64, (Artifact, PeerId)>,
    /// Who was tried for an artifact since the last wait.
    tried: BTreeMap<Blake3, BTreeSet<PeerId>>,
    artifacts: Vec<[u8; 32]>,
    manifest_read: bool,
    reading: Option<u64>,
    retry_ms: Option<u64>,
    failures: u32,
    /// Why it is not here yet.
    pub why: String,
    /// The same as a stable name; empty while nothing went wrong.
    pub code: &'static str,
    /// Who was asked last, other than this node.
    last: Option<PeerId>,
    /// It will not be fetched however long one waits: limit or audience.
    pub refused: bool,
    /// Refused for what its files are, which nothing can change but this node's settings.
    over_limit: bool,
}

/// All jobs.
#[derive(Debug, Default)]
pub struct Replicate {
    jobs: BTreeMap<Place, Job>,
    by_tag: BTreeMap<u64, Place>,
    next_tag: u64,
    /// Where the search for missing releases goes on.
    cursor: Vec<u8>,
    announce_ms: Option<u64>,
    announced: [u8; 8],
}

impl Replicate {
    /// What is being fetched or waited for.
    pub const fn jobs(&self) -> &BTreeMap<Place, Job> {
        &self.jobs
    }

    /// When something is due.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.jobs.values().filter_map(|j| j.retry_ms).chain(self.announce_ms).min()
    }

    /// Takes up missing releases and goes on with those under way.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn work(&mut self, cx: &mut Cx<'_>, peers: &Peers, standing: &mut Standing) -> Result<(), RowsError> {
        if !cx.is_member() {
            if crate::seeded::bug("expelled_and_woken") {
                return Ok(());
            }
            // Nothing is due either, or an expelled node would be woken without end. What is missing stays marked in the view.
            self.jobs.clear();
            self.by_tag.clear();
            self.announce_ms = None;
            return Ok(());
        }
        let now = cx.now.mono_ms;
        let mut again = Vec::new();
        for (place, job) in self.jobs.iter_mut().filter(|(_, j)| j.retry_ms.is_some_and(|at| at <= now)) {
            job.retry_ms = None;
            job.tried.clear();
            again.push(*place);
        }
        self.drop_stale(cx, &again)?;
        self.take_up(cx)?;
        let places: Vec<Place> =
            self.jobs.iter().filter(|(_, j)| !j.refused && j.retry_ms.is_none()).map(|(p, _)| *p).collect();
        for place in places.into_iter().take(cx.set.releases_at_once) {
            self.advance(cx, peers, place);
        }
        if self.announce_ms.is_some_and(|at| at <= now) {
            self.announce(cx, standing)?;
        }
        Ok(())
    }

    /// Gives jobs to releases that are missing and have none: each time some more of them, round and round.
    fn take_up(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        let running = self.jobs.values().filter(|j| !j.refused && j.retry_ms.is_none()).count();
        let mut free = cx.set.releases_at_once.saturating_sub(running);
        if free == 0 {
            return Ok(());
        }
        // So many are looked at that there must be one without a job among them, if the stretch has one.
        let stretch = SCAN_MAX.min(self.jobs.len() + free + 1);
        let rows = cx.view.scan(Table::Local, b"m", &self.cursor, stretch)?;
        let whole = rows.len() < stretch;
        for (row_key, _) in &rows {
            let Some(place) = place_of(row_key) else { continue };
            if self.jobs.contains_key(&place) {
                continue;
            }
            if free == 0 {
                // The rest of this stretch is looked at again.
                return Ok(());
            }
            let Some(row) = release_at(cx, place)? else { continue };
            let mut job = Job::new(row);
            if let Some((code, why)) = refusal(cx, &job.row)? {
                job.code = code;
                job.refuse(cx.now.mono_ms, why);
            }
            if self.jobs.len() >= JOBS_MAX && !self.make_room() {
                return Ok(());
            }
            free -= usize::from(!job.refused);
            self.jobs.insert(place, job);
        }
        self.cursor = rows.last().filter(|_| !whole).map(|(key, _)| key.clone()).unwrap_or_default();
        Ok(())
    }

    /// Forgets one job that does not run, if there is any; its release is looked at again when its turn comes.
    fn make_room(&mut self) -> bool {
        let idle = |j: &Job| j.refused || j.retry_ms.is_some() && j.active.is_empty() && j.reading.is_none();
        let place = self.jobs.iter().find(|(_, j)| idle(j)).map(|(place, _)| *place);
        place.is_some_and(|place| self.jobs.remove(&place).is_some())
    }

    /// Ends jobs whose release is not wanted any more: withdrawn to be erased, beyond the end of its log, or held by now.
    fn drop_stale(&mut self, cx: &mut Cx<'_>, places: &[Place]) -> Result<(), RowsError> {
        for place in places {
            let missing = cx.view.get(Table::Local, &key::missing(&place.0, place.1))?.is_some();
            let row = if missing { release_at(cx, *place)? } else { None };
            match (row, self.jobs.get_mut(place)) {
                (None, Some(_)) => self.forget(place),
                // Of a log that has forked another branch counts now, with another release at the same place.
                (Some(row), Some(job))
                    if row.manifest != job.row.manifest && !crate::seeded::bug("job_of_another_branch") =>
                {
                    self.forget(place);
                    self.jobs.insert(*place, Job::new(row));
                }
                (Some(row), Some(job)) => {
                    let over = job.over_limit;
                    match refusal(cx, &row)? {
                        Some((code, why)) => {
                            job.code = code;
                            job.refuse(cx.now.mono_ms, why);
                        }
                        // A correction has widened its audience.
                        None if job.refused && !over => *job = Job::new(row),
                        None => {}
                    }
                }
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// Ends a job, and waits for nothing that it asked for.
    fn forget(&mut self, place: &Place) {
        let Some(job) = self.jobs.remove(place) else { return };
        for tag in job.active.keys().chain(&job.reading) {
            self.by_tag.remove(tag);
        }
    }

    /// Starts what can be started of one job.
    fn advance(&mut self, cx: &mut Cx<'_>, peers: &Peers, place: Place) {
        let busy = self.by_tag.len();
        let Some(job) = self.jobs.get_mut(&place) else { return };
        let mut free = cx.set.fetches_at_once.saturating_sub(busy).max(usize::from(job.active.is_empty()));
        let mut blocked = None;
        while free > 0 && job.reading.is_none() {
            let Some(artifact) = job.todo.pop() else { break };
            let tried = job.tried.entry(artifact.hash).or_default();
            let Some(from) = holder(cx, peers, place, &job.row, tried) else {
                job.todo.push(artifact);
                blocked = Some(artifact);
                break;
            };
            tried.insert(from);
            if from != cx.own.node.peer() {
                job.last = Some(from);
            }
            let tag = self.next_tag;
            self.next_tag += 1;
            job.active.insert(tag, (artifact, from));
            self.by_tag.insert(tag, place);
            let Artifact { hash, sha256, size } = artifact;
            cx.effect(Effect::Fetch(FetchOrder { tag, from, hash, sha256, size }));
            free -= 1;
        }
        if blocked.is_some() && job.active.is_empty() {
            job.failures += 1;
            let wait = RETRY_MIN_MS.saturating_mul(1 << job.failures.min(20)).min(RETRY_MAX_MS);
            job.retry_ms = Some(cx.now.mono_ms + wait);
            if job.why.is_empty() {
                job.why = "no connected member holds it".to_owned();
                job.code = "no_holder";
            }
            let (log, index) = place;
            let reason = job.why.clone();
            cx.event(EventKind::ReleaseBlocked { log, index, reason });
        }
    }

    /// A fetch has ended.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn fetched(
        &mut self,
        cx: &mut Cx<'_>,
        peers: &Peers,
        tag: u64,
        result: Result<(), FetchError>,
    ) -> Result<(), RowsError> {
        let Some(place) = self.by_tag.remove(&tag) else { return Ok(()) };
        let Some(job) = self.jobs.get_mut(&place) else { return Ok(()) };
        let Some((artifact, from)) = job.active.remove(&tag) else { return Ok(()) };
        match result {
            Ok(()) => {
                job.artifacts.push(artifact.hash.0);
                if !job.manifest_read {
                    let tag = self.next_tag;
                    self.next_tag += 1;
                    job.reading = Some(tag);
                    self.by_tag.insert(tag, place);
                    cx.effect(Effect::ReadManifest { tag, hash: artifact.hash });
                    return Ok(());
                }
            }
            Err(error) => {
                job.todo.push(artifact);
                if from != cx.own.node.peer() {
                    job.why =
                        format!("{}: {}", crate::core::report::node_name(cx.charter.as_deref(), &from), error.text());
                    job.code = "backing_off";
                }
                match &error {
                    FetchError::Fault(text) => {
                        // What the own disk gave back wrong is no peer's fault.
                        let peer = Some(from).filter(|peer| *peer != cx.own.node.peer());
                        cx.refuse(peer, "bad_artifact", text.clone());
                    }
                    // No misconduct: a holder that is killed looks the same. Counted, so that one who always does it shows.
                    FetchError::Unfinished(text) => cx.refuse(Some(from), "artifact_unfinished", text.clone()),
                    // Nobody else can help against an own fault: wait, then try all again.
                    FetchError::Local(text) | FetchError::Full(text) => {
                        job.failures += 1;
                        job.code = if matches!(error, FetchError::Full(_)) { "disk_full" } else { "local" };
                        job.why.clone_from(text);
                        let wait = RETRY_MIN_MS.saturating_mul(1 << job.failures.min(20)).min(RETRY_MAX_MS);
                        // Room comes at once and from outside: the pauses do not grow long.
                        let most = if job.code == "disk_full" { FULL_RETRY_MS } else { RETRY_MAX_MS };
                        job.retry_ms = Some(cx.now.mono_ms + wait.min(most));
                        return Ok(());
                    }
                    FetchError::Refused(_) | FetchError::Connection(_) => {}
                }
            }
        }
        self.finish_or_go_on(cx, peers, place)
    }

    /// A manifest was read.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn manifest(
        &mut self,
        cx: &mut Cx<'_>,
        peers: &Peers,
        tag: u64,
        files: Result<Vec<(Blake3, Sha256, u64)>, FetchError>,
    ) -> Result<(), RowsError> {
        let Some(place) = self.by_tag.remove(&tag) else { return Ok(()) };
        let Some(job) = self.jobs.get_mut(&place) else { return Ok(()) };
        job.reading = None;
        match files {
            Err(FetchError::Refused(why)) => {
                (job.refused, job.over_limit) = (true, true);
                job.why = format!("its manifest is not one: {why}");
                job.code = "bad_manifest";
                let (log, index) = place;
                let reason = job.why.clone();
                cx.event(EventKind::ReleaseBlocked { log, index, reason });
                return Ok(());
            }
            // It was damaged, or the disk failed, since it came: it is fetched again.
            Err(error) => {
                let failures = job.failures.saturating_add(1);
                *job = Job { failures, code: "local", why: error.text().to_owned(), ..Job::new(job.row.clone()) };
                let wait = RETRY_MIN_MS.saturating_mul(1 << failures.min(20)).min(RETRY_MAX_MS);
                job.retry_ms = Some(cx.now.mono_ms + wait);
                return Ok(());
            }
            Ok(files) => {
                job.manifest_read = true;
                let mut seen = BTreeSet::new();
                for (hash, sha256, size) in files {
                    if size > cx.set.artifact_max_bytes {
                        (job.refused, job.over_limit) = (true, true);
                        job.code = "over_limit";
                        job.why = format!(
                            "a file of {size} bytes is over this node's limit of {} bytes (limits.artifact_max)",
                            cx.set.artifact_max_bytes
                        );
                    }
                    if seen.insert(hash) {
                        job.todo.push(Artifact { hash, sha256, size });
                    }
                }
                // Popped from the end: the first file first.
                job.todo.reverse();
                if job.refused {
                    let (log, index) = place;
                    let reason = job.why.clone();
                    cx.event(EventKind::ReleaseBlocked { log, index, reason });
                    return Ok(());
                }
            }
        }
        self.finish_or_go_on(cx, peers, place)
    }

    fn finish_or_go_on(&mut self, cx: &mut Cx<'_>, peers: &Peers, place: Place) -> Result<(), RowsError> {
        let done = |j: &Job| j.todo.is_empty() && j.active.is_empty() || crate::seeded::bug("announce_unfinished");
        let complete = self.jobs.get(&place).is_some_and(|j| j.manifest_read && done(j));
        if !complete {
            self.advance(cx, peers, place);
            return Ok(());
        }
        let Some(job) = self.jobs.remove(&place) else { return Ok(()) };
        // What came meanwhile may have put another release there, or none; if it is missing, it gets a job of its own.
        if release_at(cx, place)?.is_none_or(|row| row.manifest != job.row.manifest) {
            return Ok(());
        }
        let (log, index) = place;
        cx.record(Record::Local(Local::Held { log, index, artifacts: job.artifacts }));
        cx.event(EventKind::ReleaseAvailable { log, index });
        self.announce_soon(cx);
        Ok(())
    }

    /// What is held has changed.
    pub fn announce_soon(&mut self, cx: &Cx<'_>) {
        self.announce_ms.get_or_insert(cx.now.mono_ms + ANNOUNCE_MS);
    }

    /// A peer is there, or holds more: jobs that wait try it now, also if it had nothing for them before.
    pub fn offered(&mut self, peers: &Peers, peer: &PeerId) {
        let holdings = peers.holdings.get(peer).map(|h| &h.holdings);
        for ((log, index), job) in self.jobs.iter_mut().filter(|(_, j)| j.retry_ms.is_some() && !j.refused) {
            let holds = holdings.is_some_and(|h| h.has(log, *index));
            let untried = |a: &Artifact| job.tried.get(&a.hash).is_none_or(|t| !t.contains(peer));
            if holds || job.todo.iter().any(untried) {
                for tried in job.tried.values_mut() {
                    tried.remove(peer);
                }
                job.retry_ms = None;
            }
        }
    }

    /// Tries at once what waits out a failure: an operator knows that something has changed.
    pub fn hurry(&mut self, now_ms: u64) {
        for job in self.jobs.values_mut().filter(|j| j.retry_ms.is_some()) {
            job.retry_ms = Some(now_ms);
        }
    }

    /// An artifact is gone: every release that has it is fetched again.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn lost(&mut self, cx: &mut Cx<'_>, artifact: Blake3) -> Result<(), RowsError> {
        let mut releases = 0;
        for (row_key, _) in cx.view.scan(Table::Artifacts, artifact.as_bytes(), &[], usize::MAX)? {
            let Some(place) = row_key.get(31..).and_then(place_of) else { continue };
            if cx.view.get(Table::Local, &key::missing(&place.0, place.1))?.is_none() {
                cx.record(Record::Local(Local::Lost { log: place.0, index: place.1 }));
                releases += 1;
            }
        }
        cx.event(EventKind::ArtifactLost { artifact, releases });
        self.announce_soon(cx);
        Ok(())
    }

    fn announce(&mut self, cx: &mut Cx<'_>, standing: &mut Standing) -> Result<(), RowsError> {
        self.announce_ms = None;
        let Some(signed) = standing.holdings(cx)? else { return Ok(()) };
        let digest = serve::holdings_digest(&signed);
        if digest != self.announced {
            self.announced = digest;
            cx.gossip(Gossip::Holdings(signed));
        }
        Ok(())
    }
}

impl Job {
    fn new(row: ReleaseRow) -> Self {
        let manifest = Artifact { hash: row.manifest, sha256: row.manifest_sha256, size: row.manifest_size };
        Self {
            row,
            todo: vec![manifest],
            active: BTreeMap::new(),
            tried: BTreeMap::new(),
            artifacts: Vec::new(),
            manifest_read: false,
            reading: None,
            retry_ms: None,
            failures: 0,
            why: String::new(),
            code: "",
            last: None,
            refused: false,
            over_limit: false,
        }
    }
    /// Not fetched, for this reason; looked at again now and then.
    fn refuse(&mut self, now_ms: u64, why: String) {
        self.refused = true;
        self.why = why;
        self.retry_ms = Some(now_ms + RETRY_MAX_MS);
    }
    /// The release.
    pub const fn release(&self) -> &ReleaseRow {
        &self.row
    }
    /// When it is tried again, if it waits.
    pub const fn retry_ms(&self) -> Option<u64> {
        if self.refused { None } else { self.retry_ms }
    }
    /// Who was asked last, other than this node.
    pub const fn last(&self) -> Option<PeerId> {
        self.last
    }
    /// How often it had to wait.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
    /// Whether its files are known.
    pub const fn manifest_read(&self) -> bool {
        self.manifest_read
    }
    /// Artifacts that are here already.
    pub fn here(&self) -> impl Iterator<Item = Blake3> {
        self.artifacts.iter().map(|hash| Blake3(*hash))
    }
    /// Artifacts that are still missing, as far as known, with their sizes in bytes and from whom they are coming now.
    pub fn left(&self) -> Vec<(Blake3, u64, Option<PeerId>)> {
        let waiting = self.todo.iter().rev().map(|a| (a.hash, a.size, None));
        self.active.values().map(|(a, from)| (a.hash, a.size, Some(*from))).chain(waiting).collect()
    }
}

/// What this node holds, signed.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn statement(cx: &Cx<'_>) -> Result<Option<SignedHoldings>, RowsError> {
    let mut logs = Vec::new();
    for (log, row) in state::logs(cx.view)?.into_iter().take(HOLDINGS_LOGS_MAX) {
        let scanned = cx.view.scan(Table::Local, &key::missing_of(&log), &[], HOLDINGS_MISSING_MAX + 1)?;
        let mut missing: Vec<u64> = scanned.iter().filter_map(|(k, _)| place_of(k)).map(|(_, index)| index).collect();
        let below = if missing.len() > HOLDINGS_MISSING_MAX { missing.pop().unwrap_or(0) } else { row.judged };
        logs.push(LogHoldings { log, below, missing });
    }
    Ok(SignedHoldings::sign(&cx.own.node, cx.federation, cx.now.wall_ms, Holdings { logs }).ok())
}

/// Why a release is not fetched at all: the one place where a member's own choice of what it replicates would stand.
fn refusal(cx: &Cx<'_>, row: &ReleaseRow) -> Result<Option<(&'static str, String)>, RowsError> {
    if row.member != cx.own.member
        && !crate::seeded::bug("fetch_outside_audience")
        && !audience::admits(cx.view, row, cx.own.handle.as_str())?
    {
        return Ok(Some(("not_in_audience", "this member is not in the audience".to_owned())));
    }
    if row.manifest_size > crate::limits::MANIFEST_MAX_BYTES {
        let limit = crate::limits::MANIFEST_MAX_BYTES;
        return Ok(Some((
            "over_limit",
            format!("its manifest of {} bytes is over the limit of {limit}", row.manifest_size),
        )));
    }
    let withdrawn = cx.view.get(Table::Statements, &key::withdrawal(&row.member, &row.id))?;
    let erase =
        withdrawn.and_then(|w| crate::json::parse_as::<crate::documents::Withdrawal>(&w).ok()).is_some_and(|w| w.erase);
    Ok(erase.then(|| ("erased", "it was withdrawn, and its publisher asks to delete it".to_owned())))
}

/// Whom to ask next: this node itself (it may be there already), then those who say they hold it, its log's node, others.
fn holder(cx: &Cx<'_>, peers: &Peers, place: Place, row: &ReleaseRow, tried: &BTreeSet<PeerId>) -> Option<PeerId> {
    let me = cx.own.node.peer();
    if !tried.contains(&me) {
        return Some(me);
    }
    let mut holders = peers.holders(&place.0, place.1);
    // Spread over the holders, by what is fetched.
    if !holders.is_empty() {
        let turn = usize::from(row.manifest.0[0]) % holders.len();
        holders.rotate_left(turn);
    }
    let members = cx.charter.as_ref().map(|c| c.writers.values().map(|w| w.writer.peer).collect::<Vec<_>>());
    holders
        .into_iter()
        .chain(std::iter::once(row.log))
        .chain(members.unwrap_or_default())
        .find(|peer| *peer != me && !tried.contains(peer) && peers.serves(peer))
}

fn place_of(row_key: &[u8]) -> Option<Place> {
    let rest = row_key.get(1..)?;
    let (log, index) = rest.split_first_chunk::<32>()?;
    Some((PeerId(crate::ids::PublicKey(*log)), u64::from_be_bytes(index.try_into().ok()?)))
}

fn release_at(cx: &Cx<'_>, (log, index): Place) -> Result<Option<ReleaseRow>, RowsError> {
    let Some(process) = cx.view.get(Table::Releases, &key::release_at(&log, index))? else { return Ok(None) };
    let counts = state::log(cx.view, &log)?.is_some_and(|row| row.counts(index));
    if !counts {
        return Ok(None);
    }
    state::get(cx.view, Table::Releases, &process)
}
