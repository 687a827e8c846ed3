//! What an operator may see of the core: read only, assembled on request.

use super::api::Now;
use super::{Core, View, agree, join, peers};
use crate::charter::certificate::Certified;
use crate::charter::order;
use crate::documents::Change;
use crate::ids::{Handle, MemberId, PeerId, Sha256};
use crate::view::rows::RowsError;
use crate::view::state::{self, ReleaseRow};
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
    /// From whom it is coming now.
    pub from: Vec<PeerId>,
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
    /// Own clock minus its own, in milliseconds.
    pub clock_offset_ms: i64,
    /// What it last said, and when.
    pub status: Option<(u64, Status)>,
    /// Releases that it says it lacks, of those known here.
    pub lacks: Option<u64>,
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
        let others = charter.charter.members.len() - 1;
        Ok(if self.start.done() { Ok(()) } else { Err(self.start.why(now, self.set.start_wait_ms, others)) })
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

    /// Requests to join.
    pub fn requests(&self, now: Now, view: &dyn View) -> Result<Vec<RequestReport>, RowsError> {
        let Some(charter) = self.charters.newest(view)? else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        let approved = self.approved(view, &charter)?;
        for (id, request) in join::open_requests(view, Some(&charter), now.wall_s())? {
            let by = approved.get(&join::admission(&request)).cloned().unwrap_or_default();
            let voting = charter.charter.voting();
            let listed = charter.charter.members.iter().filter(|m| voting.contains(&m.member));
            out.push(RequestReport {
                id,
                member: request.member,
                identity: request.identity,
                fingerprint: agree::member_fingerprint(&request.member),
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
        let report = |(change, by): (Change, Vec<MemberId>)| ChangeReport { change, by: by.iter().filter_map(name).collect(), needed };
        Ok(approved.into_iter().filter(|(c, _)| !matches!(c, Change::Admit { .. })).map(report).collect())
    }

    fn approved(&self, view: &dyn View, charter: &Certified) -> Result<std::collections::BTreeMap<Change, Vec<MemberId>>, RowsError> {
        agree::approved_rows(view, charter).map(|all| all.into_iter().map(|(c, by)| (c, by.into_keys().collect())).collect())
    }

    /// Releases that are not held, with the reason.
    pub fn missing(&self, now: Now) -> Vec<MissingReport> {
        let report = |job: &super::replicate::Job| MissingReport {
            release: job.release().clone(),
            why: if job.why.is_empty() { format!("being fetched, {} files to go", job.left()) } else { job.why.clone() },
            from: job.sources().into_iter().collect(),
            next_try_ms: job.retry_ms().map(|at| at.saturating_sub(now.mono_ms)),
            refused: job.refused,
        };
        self.replicate.jobs().values().map(report).collect()
    }

    /// Other nodes.
    pub fn peers(&self, view: &dyn View) -> Result<Vec<PeerReport>, RowsError> {
        let logs = state::logs(view)?;
        let lacks = |peer: &PeerId| {
            let holdings = &self.peers.holdings.get(peer)?.holdings;
            let mut lacks = 0;
            for (log, row) in &logs {
                let stated = holdings.logs.iter().find(|l| l.log == *log);
                let below = stated.map_or(0, |l| l.below);
                lacks += row.judged.saturating_sub(below) + stated.map_or(0, |l| l.missing.len() as u64);
            }
            Some(lacks)
        };
        let report = |(peer, p): (&PeerId, &peers::Peer)| PeerReport {
            peer: *peer,
            connected_ms: p.connected_ms,
            clock_offset_ms: p.clock_offset_ms,
            status: p.status.clone(),
            lacks: lacks(peer),
        };
        Ok(self.peers.table.iter().map(report).collect())
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
