//! What operators and programs ask of a node.
//!
//! Owns the way from a command to the part that it concerns. Nothing is signed before the start rule allows it.

use super::api::{Command, Problem, Reply};
use super::inputs::Parts;
use super::{Cx, approve, lodge, sync};
use crate::documents::Change;
use crate::ids::Sha256;
use crate::record::{Local, Record, Ticket as TicketRow};
use crate::view::rows::RowsError;
use crate::wire::ticket::Ticket;

impl Parts<'_> {
    /// Does what an operator or a program asks.
    ///
    /// # Errors
    /// `Err(Ok(problem))` says why not, `Err(Err(…))` is a fault of this node.
    pub fn command(&mut self, cx: &mut Cx<'_>, command: Command) -> Result<Reply, Result<Problem, RowsError>> {
        let signing = matches!(
            command,
            Command::Append(_) | Command::Admit { .. } | Command::Expel { .. } | Command::Invite { .. }
        );
        if signing && !self.start.done() {
            let why = self.start.why(cx.now, cx.set.start_wait_ms, cx.charter.as_deref().map(|c| &c.charter));
            return Err(Ok(Problem::new("recovering", format!("{why}. Try again, or see `verbund status`"))));
        }
        match command {
            Command::Invite { handle, id, secret, valid_s } => self.invite(cx, handle, id, secret, valid_s),
            Command::Admit { handle, fingerprint } => {
                let (_, request) = lodge::meant(cx, &handle, fingerprint.as_deref())?;
                let (approvals, needed) = approve::approve(cx, lodge::admission(&request))?;
                let fingerprint = approve::member_fingerprint(&request.member);
                Ok(Reply::Approved { member: request.member, fingerprint, approvals, needed })
            }
            Command::Reject { handle, reason } => {
                let (id, _) = lodge::meant(cx, &handle, None)?;
                cx.record(Record::Local(Local::Rejected { request: id, reason }));
                Ok(Reply::Done)
            }
            Command::Expel { handle } => {
                let member = cx.charter.as_ref().and_then(|c| c.charter.by_handle(&handle)).map(|m| m.member);
                let member = member
                    .ok_or_else(|| Ok(Problem::new("not_found", format!("no member has the handle {handle}"))))?;
                let (approvals, needed) = approve::approve(cx, Change::Expel { member })?;
                Ok(Reply::Approved { member, fingerprint: approve::member_fingerprint(&member), approvals, needed })
            }
            Command::Append(leaf) => {
                let (index, id) = self.own_log.publish(cx, leaf)?;
                Ok(Reply::Appended { index, id })
            }
            Command::Peer(note) => {
                cx.record(Record::Local(Local::Peer(note)));
                Ok(Reply::Done)
            }
            Command::RemovePeer(peer) => {
                cx.record(Record::Local(Local::PeerRemoved(peer)));
                Ok(Reply::Done)
            }
            Command::Value { name, value } => {
                cx.record(Record::Local(Local::Value { name, value }));
                Ok(Reply::Done)
            }
            Command::Audit(audit) => {
                cx.record(Record::Audit(audit));
                Ok(Reply::Done)
            }
            Command::SyncNow => {
                for peer in self.peers.connected() {
                    if let Some(entry) = self.peers.table.get_mut(&peer) {
                        entry.next_poll_ms = cx.now.mono_ms;
                    }
                }
                sync::poll(cx, self.peers, false);
                self.replicate.hurry(cx.now.mono_ms);
                self.join.hurry(cx.now.mono_ms);
                Ok(Reply::Done)
            }
            Command::SignAnyway => {
                self.start.force();
                self.recover(cx).map_err(Err)?;
                Ok(Reply::Done)
            }
        }
    }

    fn invite(
        &self,
        cx: &mut Cx<'_>,
        handle: crate::ids::Handle,
        id: [u8; 16],
        secret: [u8; 32],
        valid_s: u64,
    ) -> Result<Reply, Result<Problem, RowsError>> {
        let problem = |code, text: String| Ok(Problem::new(code, text));
        if !cx.is_writer() {
            return Err(problem(
                "not_writer",
                "this node does not write its member's log; invite from the node that does".into(),
            ));
        }
        let Some(charter) = cx.charter.clone() else { return Err(problem("not_member", "in no charter yet".into())) };
        if charter.charter.by_handle(&handle).is_some() {
            return Err(problem("already_member", format!("{handle} is already a member")));
        }
        if cx.own.addresses.is_empty() {
            return Err(problem(
                "no_address",
                "this node has no address that others could dial; set announce in node.toml".into(),
            ));
        }
        let expires_s = cx.now.wall_s().saturating_add(valid_s);
        let ticket = Ticket {
            federation: cx.federation,
            name: charter.charter.rules.name.clone(),
            charter: charter.hash,
            peer: cx.own.node.peer(),
            addresses: cx.own.addresses.clone(),
            handle: handle.clone(),
            id: hex::encode(id),
            secret: hex::encode(secret),
            expires_s,
        };
        let row = TicketRow { id, secret_hash: Sha256::of(&secret), handle, expires_s, used_by: None };
        cx.record(Record::Local(Local::Ticket(row)));
        Ok(Reply::Ticket(ticket.to_line()))
    }
}
