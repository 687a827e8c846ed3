//! Joining a federation with a ticket: the newcomer's side, as its operator sees it.

use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt as _;
use verbund_protocol::core::Command;
use verbund_protocol::core::report::JoinReport;
use verbund_protocol::documents::{Document as _, Writer};
use verbund_protocol::identity::fingerprint;
use verbund_protocol::ids::FederationId;
use verbund_protocol::record::{Joining as Kept, Origin};
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, key};
use verbund_protocol::wire::join::Progress;
use verbund_protocol::wire::ticket::Ticket;

use super::super::instance::{Begin, Instance, folder};
use super::super::node::{Named, Node, problem, slugify};
use super::federation::count;
use super::members::refused;
use crate::admin::api::*;
use crate::admin::{Code, Lines, Problem};
use crate::net::{DialFailure, DialReason};

/// How long the other node is given to take the request or refuse it.
const LODGE_MAX: Duration = Duration::from_secs(30);
/// Between two looks at a join that goes on.
const LOOK: Duration = Duration::from_millis(250);

/// What a failed dial means to the operator.
pub(super) fn dial_problem(error: &DialFailure) -> Problem {
    let wrong = error.attempts.iter().any(|(_, reason)| matches!(reason, DialReason::WrongKey { .. }));
    if wrong {
        return Problem::new(Code::WrongKey, error.to_string())
            .next("the address belongs to another node than the ticket says: compare with whoever made the ticket");
    }
    Problem::new(Code::PeerUnreachable, error.to_string())
        .next("check that the other node runs, and that its address and port can be reached from here")
}

/// Uses a ticket: returns once the other node's key is proved and the request is lodged or refused there.
pub async fn peer_add(node: &Arc<Node>, request: PeerAddRequest) -> Result<Joining, Problem> {
    let ticket: Ticket = request.ticket.parse().map_err(|e: verbund_protocol::wire::ticket::TicketError| {
        Problem::new(Code::BadTicket, e.to_string())
            .next("copy the whole line that `verbund invite` printed, in one piece, or ask for a new ticket")
    })?;
    let member = &node.shared.member;
    if ticket.handle != member.identity.handle {
        let text = format!("the ticket is for {}, this node is {}", ticket.handle, member.identity.handle);
        return Err(Problem::new(Code::BadTicket, text).next("ask for a ticket for this member"));
    }
    if let Some(instance) = node.instance(&ticket.federation).await {
        let report = instance.query(|core, _, _| core.join_progress()).await.map_err(problem)?;
        if !report.refused {
            // The same ticket again, or another for the same federation: what is under way goes on, at once.
            return again(node, &instance, &ticket, report.lodged).await;
        }
        forget(node, ticket.federation).await?;
    }
    let instance = begin(node, &ticket, request.ticket.trim()).await?;
    let addresses = ticket.addresses.iter().filter_map(|a| a.parse().ok()).collect();
    if let Err(error) = instance.net.dial_once(ticket.peer, addresses).await {
        forget(node, ticket.federation).await?;
        return Err(dial_problem(&error));
    }
    settle(node, &instance, &ticket).await
}

/// Goes on with a join that was begun before, perhaps by a process that was killed.
async fn again(node: &Arc<Node>, instance: &Arc<Instance>, ticket: &Ticket, lodged: bool) -> Result<Joining, Problem> {
    let charter = instance.charter().await.map_err(problem)?;
    let member = charter.is_some_and(|c| c.charter.member(&node.shared.member.id).is_some());
    if !lodged && !member {
        let addresses = ticket.addresses.iter().filter_map(|a| a.parse().ok()).collect();
        // What was begun stays: the request may have been lodged before.
        instance.net.dial_once(ticket.peer, addresses).await.map_err(|error| dial_problem(&error))?;
        instance.command(Command::SyncNow).await.map_err(problem)?.map_err(refused)?;
    }
    settle(node, instance, ticket).await
}

async fn begin(node: &Arc<Node>, ticket: &Ticket, line: &str) -> Result<Arc<Instance>, Problem> {
    let member = &node.shared.member;
    let missing = |what: &str| {
        Problem::new(Code::KeyMissing, format!("the {what} key is not on this node"))
            .next("join on the machine where the key lies")
    };
    let root = member.root.as_ref().ok_or_else(|| missing("root"))?;
    if member.approver.is_none() {
        return Err(missing("approver"));
    }
    let peer = member.node.peer();
    let writer =
        Writer { federation: Some(ticket.federation), member: member.id, seq: 1, prev: None, peer, closes: None };
    let writer = writer.seal(&[root]).map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    let kept = Kept {
        federation: ticket.federation,
        charter: ticket.charter,
        ticket: line.to_owned(),
        writer: writer.into_bytes(),
        request: Vec::new(),
    };
    let slug = slugify(&ticket.name);
    match node.start(ticket.federation, Begin::Join(Box::new(kept)), &slug).await {
        Ok(instance) => Ok(instance),
        Err(error) => {
            forget(node, ticket.federation).await?;
            Err(problem(error))
        }
    }
}

/// Drops a join that came to nothing, so that another ticket can be used.
pub(super) async fn forget(node: &Arc<Node>, federation: FederationId) -> Result<(), Problem> {
    node.end(federation).await;
    let dir = folder(&node.data_dir, federation);
    let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(&dir).map_err(|e| (dir, e))).await;
    match removed {
        Ok(Err((dir, e))) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Problem::new(Code::Internal, format!("cannot remove {}: {e}", dir.display())))
        }
        _ => Ok(()),
    }
}

/// Waits until the request is lodged or refused.
async fn settle(node: &Arc<Node>, instance: &Arc<Instance>, ticket: &Ticket) -> Result<Joining, Problem> {
    let wait = async {
        loop {
            let report = instance.query(|core, _, _| core.join_progress()).await.map_err(problem)?;
            let member = instance
                .charter()
                .await
                .map_err(problem)?
                .is_some_and(|c| c.charter.member(&node.shared.member.id).is_some());
            if report.lodged || report.refused || member {
                return Ok::<_, Problem>(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(LODGE_MAX, wait).await.is_err() {
        let report = instance.query(|core, _, _| core.join_progress()).await.map_err(problem)?;
        let text = if report.text.is_empty() { "no answer".to_owned() } else { report.text };
        return Err(Problem::new(
            Code::Timeout,
            format!("the node proved its key, but did not take the request: {text}"),
        )
        .next("it goes on by itself; look with `verbund peer add TICKET --wait` or `verbund status`"));
    }
    let state = look(node, instance, ticket).await?;
    if let JoinState::Refused { code, reason, .. } = &state.state
        && code != "rejected"
    {
        let refused = Problem::new(Code::PeerRefused, format!("the other node refused: {reason}"));
        forget(node, ticket.federation).await?;
        return Err(refused.next("ask for a new ticket"));
    }
    Ok(state)
}

/// How far a join is.
async fn look(node: &Arc<Node>, instance: &Arc<Instance>, ticket: &Ticket) -> Result<Joining, Problem> {
    let report = instance.query(|core, _, _| core.join_progress()).await.map_err(problem)?;
    let charter = instance.charter().await.map_err(problem)?;
    let me = node.shared.member.id;
    let member = charter.as_ref().filter(|c| c.charter.member(&me).is_some());
    let state = match member {
        Some(charter) => {
            let net = instance.net.status().await.unwrap_or_default();
            let others: Vec<_> =
                charter.writers.iter().filter(|(m, _)| **m != me).map(|(_, w)| w.writer.peer).collect();
            let connected =
                others.iter().filter(|p| net.peers.get(p).is_some_and(|s| !s.connections.is_empty())).count();
            JoinState::Admitted {
                charter_version: charter.charter.version,
                connected: count(connected),
                of: count(others.len()),
            }
        }
        None => {
            // Until the other node has told how it counts, the newest charter says how many it takes.
            let mut state = waiting(report);
            if let (JoinState::Lodged { needed: needed @ 0, .. }, Some(charter)) = (&mut state, &charter) {
                *needed = count(charter.charter.quorum());
            }
            state
        }
    };
    Ok(Joining {
        slug: charter.as_ref().map_or_else(|| slugify(&ticket.name), |c| c.charter.rules.slug.to_string()),
        federation: ticket.federation,
        name: ticket.name.clone(),
        federation_fingerprint: fingerprint(ticket.federation.as_bytes()),
        member_fingerprint: node.shared.member.fingerprint(),
        charter: ticket.charter,
        peer: ticket.peer,
        state,
    })
}

fn waiting(report: JoinReport) -> JoinState {
    match report.last {
        Some(Progress::Rejected { reason }) => JoinState::Refused { code: "rejected".into(), reason, by: None },
        _ if report.refused => JoinState::Refused { code: "refused".into(), reason: report.text, by: None },
        Some(Progress::Waiting { approvals, needed }) => {
            let approved_by: Vec<_> = approvals.into_iter().filter(|(_, yes)| *yes).map(|(handle, _)| handle).collect();
            JoinState::Lodged { approvals: count(approved_by.len()), needed, approved_by }
        }
        _ => JoinState::Lodged { approvals: 0, needed: 0, approved_by: Vec::new() },
    }
}

/// The steps of a join; ends when it is refused, or admitted and connected to all.
pub async fn join_progress(node: &Arc<Node>, request: JoinProgressRequest) -> Result<Lines<Joining>, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let ticket = ticket_of(&named).await?;
    let (mut sender, lines) = futures::channel::mpsc::channel(16);
    let node = node.clone();
    tokio::spawn(async move {
        let mut told = None;
        loop {
            let joining = look(&node, &named.instance, &ticket).await;
            let ended = match &joining {
                Ok(Joining { state: JoinState::Refused { .. }, .. }) | Err(_) => true,
                Ok(Joining { state: JoinState::Admitted { connected, of, .. }, .. }) => connected >= of,
                Ok(_) => false,
            };
            let news = joining.as_ref().ok() != told.as_ref();
            told = joining.as_ref().ok().cloned();
            // Whoever followed may be gone.
            if news && sender.send(joining).await.is_err() || ended || node.stop().is_cancelled() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    Ok(Box::pin(lines))
}

async fn ticket_of(named: &Named) -> Result<Ticket, Problem> {
    let read = named.instance.read(|view, _| {
        Ok(match state::get(view, Table::Local, key::ORIGIN)? {
            Some(Origin::Joining(kept)) => kept.ticket.parse::<Ticket>().ok(),
            _ => None,
        })
    });
    read.await
        .map_err(problem)?
        .ok_or_else(|| Problem::new(Code::Conflict, format!("this node founded {}; it did not join it", named.name)))
}
