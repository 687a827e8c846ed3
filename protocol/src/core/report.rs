//! What an operator may see of the core: read only, assembled on request.

use super::api::Now;
use super::{Core, View, approve, lodge};
use crate::charter::certificate::Certified;
use crate::charter::order;
use crate::documents::Change;
use crate::ids::{Blake3, Handle, MemberId, PeerId, Sha256};
use crate::record::OrderingBundle;
use crate::view::rows::RowsError;
use crate::view::state::ReleaseRow;
use crate::wire::Holdings;
use crate::wire::join::Progress;
use crate::wire::sync::Status;

use super::join::Join;

/// What people call the member of a node: its handle, else its peer id.
pub fn node_name(charter: Option<&Certified>, peer: &PeerId) -> String {
    charter
        .and_then(|c| c.member_of(peer).and_then(|m| c.charter.member(&m)))
        .map_or_else(|| peer.to_string(), |m| m.handle.to_string())
}

/// A request to join with its approvals so far.
#[derive(Debug, Clone)]
pub struct RequestReport {
    /// The request, by payload hash.
    pub id: Sha256,
    /// Who asks.
    pub member: MemberId,
    /// Under which handle.
    pub handle: Handle,
    /// Its identity, by payload hash.
    pub identity: Sha256,
    /// To be compared over the phone.
    pub fingerprint: String,
    /// Seconds since 1970.
    pub time_s: u64,
    /// Voting members and whether each approved.
    pub approvals: Vec<(Handle, bool)>,
    /// Quorum.
    pub needed: usize,
}

/// Another change that is being approved.
#[derive(Debug, Clone)]
pub struct ChangeReport {
    /// What.
    pub change: Change,
    /// Members that approved.
    pub by: Vec<Handle>,
    /// Quorum.
    pub needed: usize,
}

/// A release that is not held.
#[derive(Debug, Clone)]
pub struct MissingReport {
    /// The release.
    pub release: ReleaseRow,
    /// Why, in words.
    pub why: String,
    /// The same as a stable name.
    pub code: &'static str,
    /// Who was asked last.
    pub last: Option<PeerId>,
    /// Artifacts still missing, with their sizes in bytes and from whom they are coming now; before the manifest is read that
    /// alone.
    pub left: Vec<(Blake3, u64, Option<PeerId>)>,
    /// Artifacts of it that are here.
    pub here: Vec<Blake3>,
    /// Its files are known.
    pub manifest_read: bool,
    /// How often it had to wait after a failure.
    pub failures: u32,
    /// Milliseconds until the next try, if it waits.
    pub next_try_ms: Option<u64>,
    /// It is over a limit or not for this member.
    pub refused: bool,
}

/// How far an own request to join is.
#[derive(Debug, Clone)]
pub struct JoinReport {
    /// In words; empty before the first answer.
    pub text: String,
    /// The issuer has the request.
    pub lodged: bool,
    /// It was refused for good.
    pub refused: bool,
    /// What the issuer last said.
    pub last: Option<Progress>,
}

/// What is known of another node.
#[derive(Debug, Clone)]
pub struct PeerReport {
    /// The node.
    pub peer: PeerId,
    /// Since when it is connected, on the monotonic clock.
    pub connected_ms: Option<u64>,
    /// Since when it is not, after it was: milliseconds since 1970.
    pub lost_wall_ms: Option<u64>,
    /// Own clock minus its own, in milliseconds.
    pub clock_offset_ms: i64,
    /// What it last said, and when.
    pub status: Option<(u64, Status)>,
    /// What it said it holds.
    pub holdings: Option<Holdings>,
    /// What was wrong with its messages, by stable name.
    pub faults: std::collections::BTreeMap<&'static str, u64>,
}

impl Core {
    /// Whether the node may sign, and if not, why.
    pub fn may_sign(&self, now: Now, view: &dyn View) -> Result<Result<(), String>, RowsError> {
        let Some(charter) = self.charters.newest(view)? else { return Ok(Err("in no charter yet".into())) };
        if charter.charter.member(&self.own.member).is_none() {
            return Ok(Err("not a member of the newest charter".into()));
        }
        if charter.writer_of(&self.own.member) != Some(self.own.node.peer()) {
            return Ok(Err("another node writes for this member".into()));
        }
        let why = || self.start.why(now, self.set.start_wait_ms, Some(&charter.charter));
        Ok(if self.start.done() { Ok(()) } else { Err(why()) })
    }

    /// Own request to join: how far it is.
    pub fn join_progress(&self) -> JoinReport {
        let Join { text, refused, last, .. } = &self.join;
        JoinReport { text: text.clone(), lodged: self.join.lodged(), refused: *refused, last: last.clone() }
    }

    /// The agreement on the next charter.
    pub fn agreement(&self) -> Option<order::Status> {
        self.agree.order().map(order::Order::status)
    }

    /// Signed messages of that agreement, newest round first, as members that ask are shown them; as many as fit `max_bytes`.
    pub fn ordering(&self, max_bytes: usize) -> Vec<OrderingBundle> {
        self.agree.bundles(max_bytes)
    }

    /// Requests to join.
    pub fn requests(&self, now: Now, view: &dyn View) -> Result<Vec<RequestReport>, RowsError> {
        let Some(charter) = self.charters.newest(view)? else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        let approved = self.approved(view, &charter)?;
        for (id, request) in lodge::open_requests(view, Some(&charter), now.wall_s())? {
            let by = approved.get(&lodge::admission(&request)).cloned().unwrap_or_default();
            let voting = charter.charter.voting();
            let listed = charter.charter.members.iter().filter(|m| voting.contains(&m.member));
            out.push(RequestReport {
                id,
                member: request.member,
                identity: request.identity,
                fingerprint: approve::member_fingerprint(&request.member),
                handle: request.handle,
                time_s: request.time_s,
                approvals: listed.map(|m| (m.handle.clone(), by.contains(&m.member))).collect(),
                needed: charter.charter.quorum(),
            });
        }
        Ok(out)
    }

    /// Changes other than admissions that somebody approved.
    pub fn changes(&self, view: &dyn View) -> Result<Vec<ChangeReport>, RowsError> {
        let Some(charter) = self.charters.newest(view)? else { return Ok(Vec::new()) };
        let approved = self.approved(view, &charter)?;
        let name = |m: &MemberId| charter.charter.member(m).map(|m| m.handle.clone());
        let needed = charter.charter.quorum();
        let report = |(change, by): (Change, Vec<MemberId>)| ChangeReport {
            change,
            by: by.iter().filter_map(name).collect(),
            needed,
        };
        Ok(approved.into_iter().filter(|(c, _)| !matches!(c, Change::Admit { .. })).map(report).collect())
    }

    fn approved(
        &self,
        view: &dyn View,
        charter: &Certified,
    ) -> Result<std::collections::BTreeMap<Change, Vec<MemberId>>, RowsError> {
        approve::approved_rows(view, charter)
            .map(|all| all.into_iter().map(|(c, by)| (c, by.into_keys().collect())).collect())
    }

    /// Releases that are not held, with the reason.
    pub fn missing(&self, now: Now) -> Vec<MissingReport> {
        let report = |job: &super::replicate::Job| MissingReport {
            release: job.release().clone(),
            why: job.why.clone(),
            code: job.code,
            last: job.last(),
            left: job.left(),
            here: job.here().collect(),
            manifest_read: job.manifest_read(),
            failures: job.failures(),
            next_try_ms: job.retry_ms().map(|at| at.saturating_sub(now.mono_ms)),
            refused: job.refused,
        };
        self.replicate.jobs().values().map(report).collect()
    }

    /// Other nodes: those that were connected, and those that others told of.
    pub fn peers(&self) -> Vec<PeerReport> {
        let known: std::collections::BTreeSet<_> = self.peers.table.keys().chain(self.peers.holdings.keys()).collect();
        let report = |peer: &PeerId| {
            let entry = self.peers.table.get(peer);
            PeerReport {
                peer: *peer,
                connected_ms: entry.and_then(|p| p.connected_ms),
                lost_wall_ms: entry.and_then(|p| p.lost_wall_ms),
                clock_offset_ms: entry.map_or(0, |p| p.clock_offset_ms),
                status: entry.and_then(|p| p.status.clone()),
                holdings: self.peers.holdings.get(peer).map(|h| h.holdings.clone()),
                faults: self.faults.get(peer).cloned().unwrap_or_default(),
            }
        };
        known.into_iter().map(report).collect()
    }

    /// The start rule: since when the members are asked, on the monotonic clock, and who has answered; none once it is through.
    pub fn start(&self) -> Option<(u64, Vec<MemberId>)> {
        (!self.start.done()).then(|| (self.start.since_ms(), self.start.answered().iter().copied().collect()))
    }

    /// Nodes that say they hold the release at this place.
    pub fn holders(&self, log: &PeerId, index: u64) -> Vec<PeerId> {
        self.peers.holders(log, index)
    }

    /// When a log's own node last said that its newest checkpoint is the newest, in seconds since 1970.
    pub fn fresh_s(&self, log: &PeerId) -> Option<u64> {
        self.peers.fresh.get(log).copied()
    }

    /// The charters, parsed.
    pub const fn charters(&self) -> &crate::view::charters::Charters {
        &self.charters
    }
}
