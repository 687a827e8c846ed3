//! The other nodes: showing, pinging, pausing, blocking and forgetting them.
//!
//! Owns what an operator says about a peer. A member's own statements, such as its addresses, are not touched by it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use verbund_protocol::core::Command;
use verbund_protocol::documents::{Document as _, NodeInfo};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::{Handle, PeerId};
use verbund_protocol::record::{Origin, PeerNote};
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, key};
use verbund_protocol::wire;
use verbund_protocol::wire::sync::Request;
use verbund_protocol::wire::ticket::Ticket;

use super::super::node::{Named, Node, problem};
use super::members::command;
use super::select;
use super::status::{member_rows, wanted};
use super::survey::{Survey, survey};
use crate::admin::api::*;
use crate::admin::{Code, Problem};
use crate::net::{DialFailure, DialReason, HostPort, Protocol};

/// Longest time for a ping, the dialling included.
const PING_MAX: Duration = Duration::from_secs(15);
/// An operator's reason, in characters.
const REASON_MAX: usize = 400;

/// All peers.
pub async fn peer_list(node: &Arc<Node>, request: Scope) -> Result<PeerList, Problem> {
    let mut peers = Vec::new();
    for named in wanted(node, request.federation.as_deref()).await? {
        let survey = survey(node, &named, PENDING_MAX).await?;
        let rows = member_rows(&survey).into_iter().filter(|row| !row.own);
        peers.extend(rows.map(|member| PeerRow { federation: named.slug.clone(), member }));
    }
    peers.sort_by(|a, b| (&a.member.handle, &a.federation).cmp(&(&b.member.handle, &b.federation)));
    Ok(PeerList { peers })
}

/// What is written about a peer beside its member's row.
struct Written {
    info: Option<NodeInfo>,
    note: Option<PeerNote>,
    reason: Option<String>,
    ticket: Vec<String>,
}

/// Name of the value that keeps an operator's reason.
fn reason_name(peer: &PeerId) -> String {
    format!("peer/{peer}/reason")
}

fn written(rows: &dyn Rows, peer: &PeerId) -> Result<Written, RowsError> {
    let info = rows.get(Table::Documents, &key::node_info(peer))?;
    let ticket = match state::get(rows, Table::Local, key::ORIGIN)? {
        Some(Origin::Joining(joining)) => joining.ticket.parse::<Ticket>().ok().filter(|t| t.peer == *peer),
        _ => None,
    };
    let reason = rows.get(Table::Local, &key::value(&reason_name(peer)))?;
    Ok(Written {
        info: info.and_then(|bytes| Envelope::parse(&bytes).ok()).and_then(|e| NodeInfo::open(&e).ok()),
        note: state::get(rows, Table::Peers, &key::peer(peer))?,
        reason: reason.and_then(|bytes| String::from_utf8(bytes).ok()),
        ticket: ticket.map(|t| t.addresses).unwrap_or_default(),
    })
}

impl Written {
    /// Every address with where it was learned.
    fn addresses(&self) -> Vec<(String, &'static str)> {
        let mut out: Vec<(String, &'static str)> = Vec::new();
        let announced = self.info.iter().flat_map(|i| &i.addresses).map(|a| (a, "node_info"));
        let noted = self.note.iter().flat_map(|n| &n.addresses).map(|a| (a, "operator"));
        let invited = self.ticket.iter().map(|a| (a, "ticket"));
        for (address, source) in announced.chain(noted).chain(invited) {
            if !out.iter().any(|(known, _)| known == address) {
                out.push((address.clone(), source));
            }
        }
        out
    }
}

/// What a failed dial said about one address, out of its words for all.
fn error_at(last_error: Option<&str>, address: &str) -> Option<String> {
    last_error?.split("; ").find_map(|part| part.strip_prefix(address)?.strip_prefix(": ")).map(str::to_owned)
}

/// The member whose writer is meant: only those have a row.
fn row_of(survey: &Survey, peer: &PeerId, handle: &Handle) -> Result<MemberRow, Problem> {
    let row = member_rows(survey).into_iter().find(|row| row.handle == *handle);
    let mut row =
        row.ok_or_else(|| Problem::new(Code::NotFound, format!("no member {handle} in the newest charter")))?;
    if row.peer != *peer {
        row.peer = *peer;
        row.connection = survey.connection(peer);
    }
    Ok(row)
}

/// The federation, node and member that a request names.
async fn meant(node: &Node, request: &PeerRequest) -> Result<(Named, PeerId, Option<Handle>), Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let charter = select::charter(&named).await?;
    let (peer, member) = select::peer(&charter, &request.peer)?;
    Ok((named, peer, member.map(|m| m.handle)))
}

fn stranger(peer: &PeerId) -> Problem {
    Problem::new(Code::NotFound, format!("{peer} is no node of any member")).next("`verbund peer ls` lists the peers")
}

/// One peer.
pub async fn peer_show(node: &Arc<Node>, request: PeerRequest) -> Result<PeerView, Problem> {
    let (named, peer, handle) = meant(node, &request).await?;
    let handle = handle.ok_or_else(|| stranger(&peer))?;
    let survey = survey(node, &named, PENDING_MAX).await?;
    let written = named.instance.read(move |view, _| written(view, &peer)).await.map_err(problem)?;
    let member = row_of(&survey, &peer, &handle)?;
    let status = survey.net.peers.get(&peer);
    let last_error = status.and_then(|s| s.last_error.as_deref());
    let view = |(address, source): (String, &str)| {
        let error = error_at(last_error, &address);
        AddressView { address, source: source.to_owned(), error }
    };
    let moved = named.instance.traffic.of(&peer);
    let faults = survey.peers.get(&peer).map(|p| p.faults.clone()).unwrap_or_default();
    Ok(PeerView {
        row: PeerRow { federation: named.slug, member },
        addresses: written.addresses().into_iter().map(view).collect(),
        software: written.info.as_ref().map(|i| i.software.clone()),
        protocol: written.info.as_ref().map(|i| i.protocol),
        round_trip_us: status.and_then(|s| s.connections.iter().find_map(|c| c.rtt_us)),
        bytes_received: moved.received,
        bytes_sent: moved.sent,
        faults: faults.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        void_entries: survey.void_entries(&peer),
        note: written.reason,
    })
}

/// What came of a dial, as a problem that names both keys or the reason of each address.
fn dial_problem(who: &str, failure: &DialFailure) -> Problem {
    let wrong = failure.attempts.iter().any(|(_, reason)| matches!(reason, DialReason::WrongKey { .. }));
    if wrong {
        return Problem::new(Code::WrongKey, format!("{who} was not reached: {failure}"))
            .next("another node answers at this address: correct the address, or ask the member for its newest one");
    }
    let next = if failure.attempts.is_empty() {
        "the member's node has to announce an address, or connect by itself"
    } else {
        "check that its node runs, and that nothing between blocks the port"
    };
    Problem::new(Code::PeerUnreachable, format!("{who} cannot be reached: {failure}")).next(next)
}

/// Measures the round trip over a connection with a proved key.
pub async fn peer_ping(node: &Arc<Node>, request: PeerRequest) -> Result<Pong, Problem> {
    let (named, peer, handle) = meant(node, &request).await?;
    let handle = handle.ok_or_else(|| stranger(&peer))?;
    if peer == node.shared.member.node.peer() {
        return Err(
            Problem::new(Code::BadRequest, "this is the node itself").next("`verbund peer ls` lists the others")
        );
    }
    let ping = ping(&named, peer, &handle);
    let round_trip = tokio::time::timeout(PING_MAX, ping).await.map_err(|_| {
        Problem::new(Code::Timeout, format!("{handle} did not answer within {} s", PING_MAX.as_secs()))
            .next("`verbund peer show` tells what is known of its addresses")
    })??;
    let survey = survey(node, &named, 0).await?;
    let round_trip_us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
    Ok(Pong { handle, peer, connection: survey.connection(&peer), round_trip_us })
}

async fn ping(named: &Named, peer: PeerId, handle: &Handle) -> Result<Duration, Problem> {
    let net = &named.instance.net;
    let status = net.status().await.unwrap_or_default();
    let known = status.peers.get(&peer);
    if known.is_some_and(|s| s.paused) || known.is_some_and(|s| s.blocked) || known.is_none() {
        let word = if known.is_some_and(|s| s.paused) { "paused" } else { "blocked" };
        return Err(Problem::new(Code::Conflict, format!("{handle} is {word} here"))
            .next("`verbund peer resume` and `verbund peer unblock` end that"));
    }
    let mut addresses: Vec<HostPort> = known.map(|s| s.addresses.clone()).unwrap_or_default();
    let connected = known.is_some_and(|s| !s.connections.is_empty());
    if addresses.is_empty() {
        let written = named.instance.read(move |view, _| written(view, &peer)).await.map_err(problem)?;
        addresses = written.addresses().iter().filter_map(|(a, _)| a.parse().ok()).collect();
    }
    // A connection that is open has proved the key already; one that cannot be dialled may still be there.
    if !connected {
        net.dial_once(peer, addresses).await.map_err(|failure| dial_problem(handle.as_str(), &failure))?;
    }
    let ask = wire::encode(named.instance.federation, Request::Status);
    let ask = ask.map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    let begun = Instant::now();
    net.request(peer, Protocol::Sync, ask).await.map_err(|error| {
        Problem::new(Code::PeerUnreachable, format!("{handle} is connected but does not answer: {error}"))
            .next("it may not know this member yet, or be busy; try again")
    })?;
    Ok(begun.elapsed())
}

/// Changes what is noted about a peer, and the network with it.
async fn note(
    node: &Node,
    request: PeerRequest,
    done: &str,
    change: impl FnOnce(&mut PeerNote),
) -> Result<Done, Problem> {
    let (named, peer, handle) = meant(node, &request).await?;
    if peer == node.shared.member.node.peer() {
        return Err(
            Problem::new(Code::BadRequest, "this is the node itself").next("`verbund peer ls` lists the others")
        );
    }
    let _one = node.noting.lock().await;
    let written = named.instance.read(move |view, _| written(view, &peer)).await.map_err(problem)?;
    let mut note = written.note.unwrap_or(PeerNote { peer, addresses: Vec::new(), blocked: false, paused: false });
    change(&mut note);
    let set = note.blocked || note.paused;
    let reason: String = request.reason.filter(|_| set).unwrap_or_default().chars().take(REASON_MAX).collect();
    command(&named, Command::Peer(note)).await?;
    if reason.as_bytes() != written.reason.unwrap_or_default().as_bytes() {
        command(&named, Command::Value { name: reason_name(&peer), value: reason.into_bytes() }).await?;
    }
    apply(&named).await?;
    let who = handle.map_or_else(|| peer.to_string(), |h| h.to_string());
    Ok(Done { text: format!("{who} is {done} in {}", named.slug) })
}

/// Has the network follow what is noted.
async fn apply(named: &Named) -> Result<(), Problem> {
    let notes = named.instance.read(|view, _| state::list::<PeerNote>(view, Table::Peers, b"", usize::MAX));
    let notes = notes.await.map_err(problem)?;
    let marked = |by: fn(&PeerNote) -> bool| notes.iter().filter(|n| by(n)).map(|n| n.peer).collect::<BTreeSet<_>>();
    named.instance.net.set_blocked(marked(|n| n.blocked));
    named.instance.net.set_paused(marked(|n| n.paused));
    Ok(())
}

/// Stops exchanging with a peer.
pub async fn peer_pause(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> {
    note(node, request, "paused", |note| note.paused = true).await
}

/// Ends a pause.
pub async fn peer_resume(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> {
    note(node, request, "resumed", |note| note.paused = false).await
}

/// Refuses a peer.
pub async fn peer_block(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> {
    note(node, request, "blocked", |note| note.blocked = true).await
}

/// Ends a block.
pub async fn peer_unblock(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> {
    note(node, request, "unblocked", |note| note.blocked = false).await
}

/// Forgets what an operator said about a peer.
pub async fn peer_remove(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> {
    let (named, peer, handle) = meant(node, &request).await?;
    let _one = node.noting.lock().await;
    let written = named.instance.read(move |view, _| written(view, &peer)).await.map_err(problem)?;
    let who = handle.as_ref().map_or_else(|| peer.to_string(), ToString::to_string);
    if written.note.is_none() {
        let next = match handle {
            Some(_) => "its addresses are its own statements; to refuse it: `verbund peer block`",
            None => "`verbund peer ls` lists the peers",
        };
        return Err(Problem::new(Code::NotFound, format!("nothing was noted about {who}")).next(next));
    }
    command(&named, Command::RemovePeer(peer)).await?;
    if written.reason.is_some() {
        command(&named, Command::Value { name: reason_name(&peer), value: Vec::new() }).await?;
    }
    apply(&named).await?;
    let stays = if handle.is_some() { "; it is a member and stays one, by its own addresses" } else { "" };
    Ok(Done { text: format!("what was noted about {who} is forgotten{stays}") })
}

#[cfg(test)]
mod tests {
    use verbund_protocol::ids::PublicKey;

    use super::*;

    #[test]
    fn a_wrong_key_names_both_a_refused_port_says_refused() {
        let address: HostPort = "127.0.0.1:4101".parse().unwrap();
        let (expected, found) = (PeerId(PublicKey([1; 32])).to_string(), PeerId(PublicKey([2; 32])).to_string());
        let reason = DialReason::WrongKey { expected: expected.clone(), found: found.clone() };
        let problem = dial_problem("de-rp", &DialFailure { attempts: vec![(address.clone(), reason)] });
        assert_eq!(problem.code, Code::WrongKey);
        assert!(problem.detail.contains(&expected) && problem.detail.contains(&found), "{problem}");
        let refused = dial_problem("de-rp", &DialFailure { attempts: vec![(address, DialReason::Refused)] });
        assert_eq!(refused.code, Code::PeerUnreachable);
        assert!(refused.detail.contains("refused"), "{refused}");
        let nowhere = dial_problem("de-rp", &DialFailure { attempts: Vec::new() });
        assert!(nowhere.detail.contains("no address"), "{nowhere}");
    }

    #[test]
    fn errors_belong_to_their_addresses() {
        let error = "127.0.0.1:1: connection refused; [::1]:2: timed out: no answer";
        assert_eq!(error_at(Some(error), "[::1]:2").as_deref(), Some("timed out: no answer"));
        assert_eq!(error_at(Some(error), "127.0.0.1:1").as_deref(), Some("connection refused"));
        assert_eq!(error_at(Some(error), "127.0.0.1:12"), None);
        assert_eq!(error_at(None, "127.0.0.1:1"), None);
    }

    #[test]
    fn every_address_is_shown_once() {
        let note = PeerNote {
            peer: PeerId(PublicKey([1; 32])),
            addresses: vec!["a:1".into(), "b:2".into()],
            blocked: false,
            paused: false,
        };
        let written = Written { info: None, note: Some(note), reason: None, ticket: vec!["b:2".into(), "c:3".into()] };
        let all: Vec<_> = written.addresses();
        assert_eq!(all, [("a:1".into(), "operator"), ("b:2".into(), "operator"), ("c:3".into(), "ticket")]);
    }
}
