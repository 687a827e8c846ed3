//! One look at a federation: what its core, network and rows say at one moment, gathered for `status`, `sync status` and `peer`.
//!
//! Owns the gathering. What it means in words stands in [`super::missing`], [`super::status`] and [`super::concerns`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use verbund_protocol::charter::certificate::Certified;
use verbund_protocol::charter::rules::Member;
use verbund_protocol::core::Now;
use verbund_protocol::core::report::{ChangeReport, JoinReport, MissingReport, PeerReport, RequestReport};
use verbund_protocol::documents::Standing as Vote;
use verbund_protocol::ids::{Blake3, Handle, MemberId, PeerId};
use verbund_protocol::record::PeerNote;
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, Audience, CosignedRow, LogRow, ReleaseRow, key};
use verbund_protocol::wire::{Holdings, LogHoldings};

use super::super::fetch::erased;
use super::super::node::{Named, Node, problem};
use super::super::scrub::{self, Place};
use crate::admin::Problem;
use crate::admin::api::{Connection, Moment, Standing, VOID_MAX, VoidEntry};
use crate::net;

/// Missing releases that one answer names: more would not fit it.
pub const LISTED_MAX: usize = 10_000;
/// Void entries of one log that are looked at.
const VOIDS_MAX: usize = 1_000;
/// Quarantined files that are looked at.
pub const QUARANTINE_MAX: usize = 10_000;

/// Who this node is.
#[derive(Debug, Clone)]
pub struct Me {
    /// The member.
    pub member: MemberId,
    /// Its handle.
    pub handle: Handle,
    /// The node.
    pub peer: PeerId,
    /// When the process started.
    pub started: Moment,
}

/// What another node lacks.
#[derive(Debug, Clone, Default)]
pub struct Lacks {
    /// How many releases.
    pub count: u64,
    /// The first of them.
    pub listed: Vec<ReleaseRow>,
    /// Releases that it should hold.
    pub known: u64,
}

/// Releases and who holds them.
#[derive(Debug, Clone, Default)]
pub struct Stock {
    /// Releases that this node should hold.
    pub known: u64,
    /// Of which so many are not held.
    pub missing: u64,
    /// The first of them.
    pub listed: Vec<ReleaseRow>,
    /// What the members' writer nodes lack.
    pub lacks: BTreeMap<PeerId, Lacks>,
    /// Artifacts that were damaged here, belong to a release, and are not back yet.
    pub quarantined: BTreeSet<Blake3>,
}

/// What the rows say.
#[derive(Debug, Default)]
struct Read {
    charter: Option<Arc<Certified>>,
    notes: BTreeMap<PeerId, PeerNote>,
    logs: BTreeMap<PeerId, LogRow>,
    voids: BTreeMap<PeerId, Vec<(u64, String)>>,
    witnesses: usize,
    stock: Stock,
}

/// What the core says.
#[derive(Debug)]
struct Asked {
    at: Now,
    may_sign: Result<(), String>,
    start: Option<(u64, Vec<MemberId>)>,
    join: JoinReport,
    jobs: Vec<MissingReport>,
    peers: Vec<PeerReport>,
    requests: Vec<RequestReport>,
    changes: Vec<ChangeReport>,
    counts: BTreeMap<String, u64>,
    fresh: BTreeMap<PeerId, u64>,
}

/// A federation at one moment.
#[derive(Debug)]
pub struct Survey {
    /// Short name.
    pub slug: String,
    /// This node.
    pub me: Me,
    /// The clocks.
    pub at: Now,
    /// The newest charter.
    pub charter: Option<Arc<Certified>>,
    /// Whether the node signs, or why not.
    pub may_sign: Result<(), String>,
    /// The start rule while it is not through: since when, and who answered.
    pub start: Option<(u64, Vec<MemberId>)>,
    /// The own request to join.
    pub join: JoinReport,
    /// Releases that are being fetched or wait.
    pub jobs: BTreeMap<Place, MissingReport>,
    /// Other nodes, as the core knows them.
    pub peers: BTreeMap<PeerId, PeerReport>,
    /// Open requests to join.
    pub requests: Vec<RequestReport>,
    /// Other changes that somebody approved.
    pub changes: Vec<ChangeReport>,
    /// Refusals by reason.
    pub counts: BTreeMap<String, u64>,
    /// Newest statement of freshness of each log, in seconds since 1970.
    pub fresh: BTreeMap<PeerId, u64>,
    /// The network.
    pub net: net::Status,
    /// Operators' words about peers.
    pub notes: BTreeMap<PeerId, PeerNote>,
    /// Logs.
    pub logs: BTreeMap<PeerId, LogRow>,
    /// Void entries of logs that have any, with their reasons, ascending.
    pub voids: BTreeMap<PeerId, Vec<(u64, String)>>,
    /// Other members that cosigned the own log as it is.
    pub witnesses: usize,
    /// Releases.
    pub stock: Stock,
}

/// Gathers what there is to know. `listed` bounds the releases that are named for each node.
///
/// # Errors
/// A [`Problem`] if the federation cannot be asked.
pub async fn survey(node: &Node, named: &Named, listed: usize) -> Result<Survey, Problem> {
    let instance = &named.instance;
    let asked = instance.query(|core, view, at| {
        let charter = core.charters().newest(view)?;
        let jobs = core.missing(at);
        let writers = charter.iter().flat_map(|c| c.writers.values().map(|w| w.writer.peer));
        Ok::<_, RowsError>(Asked {
            at,
            may_sign: core.may_sign(at, view)?,
            start: core.start(),
            join: core.join_progress(),
            peers: core.peers(),
            requests: core.requests(at, view)?,
            changes: core.changes(view)?,
            counts: core.counts().clone(),
            fresh: writers.filter_map(|log| core.fresh_s(&log).map(|s| (log, s))).collect(),
            jobs,
        })
    });
    let asked = asked.await.map_err(problem)?.map_err(|e| problem(e.into()))?;
    let member = &node.shared.member;
    let mut me = Me {
        member: member.id,
        handle: member.identity.handle.clone(),
        peer: member.node.peer(),
        started: node.started,
    };
    let damaged = node.shared.blobs.quarantined(QUARANTINE_MAX).await.unwrap_or_default();
    let damaged: BTreeSet<Blake3> = damaged.into_iter().map(|q| q.hash).filter(|h| !node.shared.blobs.has(h)).collect();
    let holdings: BTreeMap<_, _> = asked.peers.iter().map(|p| (p.peer, p.holdings.clone())).collect();
    let own = me.clone();
    let read = instance.read(move |view, charters| {
        let charter = charters.newest(view)?;
        read(view, charter, &own, &holdings, &damaged, listed)
    });
    let Read { charter, notes, logs, voids, witnesses, stock } = read.await.map_err(problem)?;
    if let Some(entry) = charter.as_ref().and_then(|c| c.charter.member(&me.member)) {
        me.handle.clone_from(&entry.handle);
    }
    let net = instance.net.status().await.unwrap_or_default();
    let Asked { at, may_sign, start, join, jobs, peers, requests, changes, counts, fresh } = asked;
    Ok(Survey {
        slug: named.slug.clone(),
        me,
        at,
        charter,
        may_sign,
        start,
        join,
        jobs: jobs.into_iter().map(|j| (place(&j.release), j)).collect(),
        peers: peers.into_iter().map(|p| (p.peer, p)).collect(),
        requests,
        changes,
        counts,
        fresh,
        net,
        notes,
        logs,
        voids,
        witnesses,
        stock,
    })
}

impl Survey {
    /// The newest void entries of a log, as they are shown.
    pub fn void_entries(&self, log: &PeerId) -> Vec<VoidEntry> {
        let all = self.voids.get(log).map(Vec::as_slice).unwrap_or_default();
        let newest = all.get(all.len().saturating_sub(VOID_MAX)..).unwrap_or_default();
        newest.iter().map(|(index, reason)| VoidEntry { index: *index, reason: reason.clone() }).collect()
    }
}

/// The place of a release.
pub const fn place(row: &ReleaseRow) -> Place {
    (row.log, row.index)
}

fn read(
    rows: &dyn Rows,
    charter: Option<Arc<Certified>>,
    me: &Me,
    holdings: &BTreeMap<PeerId, Option<Holdings>>,
    damaged: &BTreeSet<Blake3>,
    listed: usize,
) -> Result<Read, RowsError> {
    let notes: Vec<PeerNote> = state::list(rows, Table::Peers, b"", usize::MAX)?;
    let logs: BTreeMap<_, _> = state::logs(rows)?.into_iter().collect();
    let mut out = Read { notes: notes.into_iter().map(|n| (n.peer, n)).collect(), ..Read::default() };
    if let Some(charter) = &charter {
        if let Some(row) = logs.get(&me.peer) {
            out.witnesses = witnesses(rows, charter, me, row)?;
        }
        let nodes = charter.charter.members.iter().filter_map(|m| Some((m, charter.writer_of(&m.member)?)));
        let nodes = nodes.map(|(m, peer)| Reader::new(m, peer, holdings.get(&peer).and_then(Option::as_ref))).collect();
        out.stock = stock(rows, &logs, me, nodes, listed)?;
        for hash in damaged {
            let refers = rows.scan(Table::Artifacts, hash.as_bytes(), &[], 16)?;
            let mut places = refers.iter().filter_map(|(row_key, _)| scrub::place_of(row_key));
            if places.any(
                |place| matches!(scrub::release_at(rows, &place), Ok(Some(row)) if erased(rows, &row) == Ok(false)),
            ) {
                out.stock.quarantined.insert(*hash);
            }
        }
    }
    for log in logs.keys() {
        let found = state::voids(rows, log, 0, VOIDS_MAX)?;
        if !found.is_empty() {
            out.voids.insert(*log, found);
        }
    }
    (out.charter, out.logs) = (charter, logs);
    Ok(out)
}

/// Other members whose newest promise about the own log is its present size.
fn witnesses(rows: &dyn Rows, charter: &Certified, me: &Me, row: &LogRow) -> Result<usize, RowsError> {
    let promises: Vec<CosignedRow> = state::list(rows, Table::Promises, &key::cosigned_of(&me.peer), usize::MAX)?;
    let fits = promises.iter().filter(|p| p.size == row.note_size && Some(p.root) == row.note_root);
    let members: BTreeSet<_> = fits.filter_map(|p| charter.member_of(&p.cosignature.peer)).collect();
    Ok(members.iter().filter(|m| **m != me.member).count())
}

/// A member's writer node, with what it says it holds.
struct Reader<'a> {
    member: MemberId,
    handle: Handle,
    peer: PeerId,
    holdings: BTreeMap<PeerId, &'a LogHoldings>,
}

impl<'a> Reader<'a> {
    fn new(member: &Member, peer: PeerId, holdings: Option<&'a Holdings>) -> Self {
        let holdings = holdings.map(|h| h.logs.iter().map(|l| (l.log, l)).collect()).unwrap_or_default();
        Self { member: member.member, handle: member.handle.clone(), peer, holdings }
    }
    fn has(&self, (log, index): &Place) -> bool {
        self.holdings.get(log).is_some_and(|l| *index < l.below && l.missing.binary_search(index).is_err())
    }
    /// Whether it should hold a release.
    fn wants(&self, row: &ReleaseRow) -> bool {
        row.member == self.member
            || match &row.audience {
                Audience::Federation | Audience::Public => true,
                Audience::Members(handles) => handles.iter().any(|h| h == self.handle.as_str()),
            }
    }
}

/// Goes through the catalogue once, for this node and all others.
fn stock(
    rows: &dyn Rows,
    logs: &BTreeMap<PeerId, LogRow>,
    me: &Me,
    nodes: Vec<Reader<'_>>,
    listed: usize,
) -> Result<Stock, RowsError> {
    let mut marked = BTreeSet::new();
    scrub::pages(rows, Table::Local, b"m", |row_key, _| {
        marked.extend(scrub::place_of(row_key));
        Ok(())
    })?;
    // Most catalogues have no withdrawals: then none is looked for at each release.
    let withdrawals = !rows.scan(Table::Statements, b"w", b"w", 1)?.is_empty();
    let mut stock = Stock::default();
    for node in nodes.iter().filter(|n| n.member != me.member) {
        stock.lacks.insert(node.peer, Lacks::default());
    }
    scrub::pages(rows, Table::Releases, b"p", |_, value| {
        let row: ReleaseRow = state::decode(value)?;
        let counts = logs.get(&row.log).is_some_and(|log| log.counts(row.index));
        if !counts || withdrawals && erased(rows, &row)? {
            return Ok(());
        }
        let at = place(&row);
        for node in nodes.iter().filter(|n| n.wants(&row)) {
            if node.member == me.member {
                stock.known += 1;
                if marked.contains(&at) {
                    stock.missing += 1;
                    if stock.listed.len() < listed {
                        stock.listed.push(row.clone());
                    }
                }
            } else if let Some(lacks) = stock.lacks.get_mut(&node.peer) {
                lacks.known += 1;
                if !node.has(&at) {
                    lacks.count += 1;
                    if lacks.listed.len() < listed {
                        lacks.listed.push(row.clone());
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(stock)
}

impl Survey {
    /// A moment of the monotonic clock as one of the wall clock.
    pub const fn moment(&self, mono_ms: u64) -> Moment {
        Moment::from_unix_ms(self.at.wall_ms.saturating_sub(self.at.mono_ms.saturating_sub(mono_ms)))
    }
    /// A moment that is still to come.
    pub const fn soon(&self, in_ms: u64) -> Moment {
        Moment::from_unix_ms(self.at.wall_ms.saturating_add(in_ms))
    }
    /// The present.
    pub const fn now(&self) -> Moment {
        Moment::from_unix_ms(self.at.wall_ms)
    }
    /// The handle of the member that a node belongs to.
    pub fn handle(&self, peer: &PeerId) -> Option<Handle> {
        let charter = self.charter.as_ref()?;
        charter.charter.member(&charter.member_of(peer)?).map(|m| m.handle.clone())
    }
    /// The handle of a member.
    pub fn handle_of(&self, member: &MemberId) -> Option<Handle> {
        self.charter.as_ref()?.charter.member(member).map(|m| m.handle.clone())
    }
    /// The reference of a release.
    pub fn name(&self, row: &ReleaseRow) -> String {
        let owner = self.handle_of(&row.member).map_or_else(|| row.member.to_string(), |h| h.to_string());
        format!("{owner}/{}@{}", row.slug, row.version)
    }
    /// Entries of a log that another node has, by its last words; none if it has said nothing of the log.
    pub fn entries_at(&self, peer: &PeerId, log: &PeerId) -> Option<u64> {
        let known = self.peers.get(peer)?;
        let polled = known.status.as_ref().and_then(|(_, s)| s.logs.iter().find(|l| l.log == *log)).map(|l| l.size);
        // Holdings are told at once, a status when it is asked for.
        let told = known.holdings.as_ref().and_then(|h| h.logs.iter().find(|l| l.log == *log)).map(|l| l.below);
        polled.max(told)
    }
    /// This member's standing.
    pub fn standing(&self) -> Standing {
        let Some(charter) = &self.charter else { return Standing::Requested };
        match charter.charter.member(&self.me.member).map(|m| m.standing) {
            Some(Vote::Full) => Standing::Full,
            Some(Vote::Associate) => Standing::Associate,
            // One that never was in has no log here.
            None if self.logs.contains_key(&self.me.peer) => Standing::Former,
            None => Standing::Requested,
        }
    }
    /// The connection to a node.
    pub fn connection(&self, peer: &PeerId) -> Connection {
        if *peer == self.me.peer {
            return Connection::Own;
        }
        let note = self.notes.get(peer);
        if note.is_some_and(|n| n.blocked) {
            return Connection::Blocked;
        }
        if note.is_some_and(|n| n.paused) {
            return Connection::Paused;
        }
        let status = self.net.peers.get(peer);
        if let Some(open) = status.and_then(|s| s.connections.first()) {
            let since = Moment::from_unix_ms(open.since_ms);
            return Connection::Connected { since, address: open.address.to_string() };
        }
        let error = match status {
            Some(s) if s.last_error.is_none() && s.addresses.is_empty() => Some("no address of it is known".to_owned()),
            Some(s) => s.last_error.clone(),
            None => None,
        };
        Connection::Disconnected {
            since: self.peers.get(peer).and_then(|p| p.lost_wall_ms).map(Moment::from_unix_ms),
            error,
            next_try: status.and_then(|s| s.next_try_ms).map(|ms| self.soon(ms)),
        }
    }
}

#[cfg(test)]
mod tests;
