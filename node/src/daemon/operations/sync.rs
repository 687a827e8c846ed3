//! `sync status` and `sync now`: which release is missing where, why, from whom; and asking at once.

use std::sync::Arc;

use verbund_protocol::core::Command;
use verbund_protocol::view::state::LogRow;

use super::super::node::{Named, Node};
use super::federation::log_state;
use super::members::command;
use super::status::wanted;
use super::survey::{LISTED_MAX, Survey, survey};
use super::{missing, select};
use crate::admin::api::*;
use crate::admin::{Code, Problem};

/// The federations in which `peer` is a member, with its node there; all if none is named.
async fn scope(
    node: &Node,
    federation: Option<&str>,
    peer: Option<&str>,
) -> Result<Vec<(Named, Option<verbund_protocol::ids::PeerId>)>, Problem> {
    let all = wanted(node, federation).await?;
    let Some(peer) = peer else { return Ok(all.into_iter().map(|named| (named, None)).collect()) };
    let mut out = Vec::new();
    let mut unknown = None;
    for named in all {
        let Ok(charter) = select::charter(&named).await else { continue };
        match select::peer(&charter, peer) {
            Ok((id, Some(_))) => out.push((named, Some(id))),
            Ok((id, None)) => unknown = Some(Problem::new(Code::NotFound, format!("{id} is no node of any member"))),
            Err(problem) => unknown = Some(problem),
        }
    }
    match unknown {
        Some(problem) if out.is_empty() => Err(problem),
        _ if out.is_empty() => Err(Problem::new(Code::NotFound, "this node is in no federation yet")),
        _ => Ok(out),
    }
}

/// Which releases are missing, why, from whom.
pub async fn sync_status(node: &Arc<Node>, request: SyncStatusRequest) -> Result<SyncStatus, Problem> {
    let mut federations = Vec::new();
    for (named, peer) in scope(node, request.federation.as_deref(), request.peer.as_deref()).await? {
        let survey = survey(node, &named, LISTED_MAX).await?;
        let other = peer.filter(|peer| *peer != survey.me.peer);
        let (known, lacking, missing) = match other {
            Some(peer) => {
                let lacks = survey.stock.lacks.get(&peer).cloned().unwrap_or_default();
                (lacks.known, lacks.count, missing::there(&survey, &peer))
            }
            None => {
                let paths = missing::paths(&survey, &node.shared.blobs).await;
                let max_bytes = node.shared.blobs.max_artifact_bytes();
                let known = missing::Here { paths: &paths, traffic: &named.instance.traffic, max_bytes };
                let here = missing::here(&survey, &known);
                (survey.stock.known, survey.stock.missing, here)
            }
        };
        let logs = logs(&survey, other.as_ref());
        federations.push(FederationSync { slug: named.slug.clone(), held: known - lacking, known, logs, missing });
    }
    Ok(SyncStatus { federations })
}

/// How far every log is known here, or to another node.
fn logs(survey: &Survey, other: Option<&verbund_protocol::ids::PeerId>) -> Vec<LogSync> {
    let claims = || survey.peers.values().filter_map(|p| p.status.as_ref()).flat_map(|(_, status)| &status.logs);
    let mut out = Vec::new();
    for (log, row) in &survey.logs {
        let owner = row.owner.and_then(|m| survey.handle_of(&m)).or_else(|| survey.handle(log));
        let Some(handle) = owner else { continue };
        let size = match other {
            None => row.size(),
            Some(peer) => survey.entries_at(peer, log).unwrap_or(0),
        };
        let claimed = claims().filter(|l| l.log == *log).map(|l| l.note_size).max().unwrap_or(0);
        // What lies beyond the end of a closed log is not wanted.
        let target = row.end().unwrap_or_else(|| claimed.max(row.note_size).max(LogRow::size(row)));
        out.push(LogSync { handle, size, target, log: log_state(row) });
    }
    out.sort_by(|a, b| a.handle.cmp(&b.handle));
    out
}

/// Asks peers now.
pub async fn sync_now(node: &Arc<Node>, request: SyncNowRequest) -> Result<SyncStarted, Problem> {
    let (mut asked, mut unreachable) = (Vec::new(), Vec::new());
    for (named, peer) in scope(node, request.federation.as_deref(), request.peer.as_deref()).await? {
        let survey = survey(node, &named, 0).await?;
        command(&named, Command::SyncNow).await?;
        let rows = super::status::member_rows(&survey);
        for row in rows.into_iter().filter(|row| !row.own && peer.is_none_or(|peer| row.peer == peer)) {
            match row.connection {
                Connection::Connected { .. } => asked.push(row.handle),
                Connection::Disconnected { .. } => {
                    dial(&named, &survey, row.peer);
                    unreachable.push(row.handle);
                }
                Connection::Own | Connection::Paused | Connection::Blocked => unreachable.push(row.handle),
            }
        }
    }
    for handles in [&mut asked, &mut unreachable] {
        handles.sort();
        handles.dedup();
    }
    Ok(SyncStarted { asked, unreachable })
}

/// Dials a member's node at once instead of after its pause; once it is connected it is asked by itself.
fn dial(named: &Named, survey: &Survey, peer: verbund_protocol::ids::PeerId) {
    let addresses = survey.net.peers.get(&peer).map(|s| s.addresses.clone()).unwrap_or_default();
    if addresses.is_empty() {
        return;
    }
    let net = named.instance.net.clone();
    tokio::spawn(async move {
        if let Err(error) = net.dial_once(peer, addresses).await {
            tracing::debug!(%peer, %error, "not reached");
        }
    });
}
