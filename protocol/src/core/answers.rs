//! Answers of peers to what was asked of them.
//!
//! Owns the matching of answer and question. What comes in is judged where it belongs; one part of an answer that is wrong keeps no
//! other out.

use super::api::Fault;
use super::inputs::{Parts, Taken};
use super::{Cx, approve, branch, info, logs, sync};
use crate::envelope::Envelope;
use crate::ids::PeerId;
use crate::limits::FRAME_MAX_BYTES;
use crate::record::Record;
use crate::view::rows::RowsError;
use crate::view::state;
use crate::wire;
use crate::wire::sync::{Entries, Request, Response};

/// Takes one of many parts of an answer: a part that is wrong does not keep the others out.
fn one_by_one(cx: &mut Cx<'_>, peer: PeerId, take: impl FnOnce(&mut Cx<'_>) -> Taken<()>) -> Taken<()> {
    match take(cx) {
        Err(Ok(fault)) => {
            cx.refuse(Some(peer), fault.reason, fault.text);
            Ok(())
        }
        other => other,
    }
}

impl Parts<'_> {
    /// Takes the answer to something that was asked of a peer.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn answer(&mut self, cx: &mut Cx<'_>, tag: u64, result: Result<Vec<u8>, String>) -> Result<(), RowsError> {
        let Some(asked) = self.peers.answered(tag) else { return Ok(()) };
        let peer = asked.peer;
        let decoded = match result {
            Ok(bytes) => wire::decode::<Response>(cx.federation, &bytes, FRAME_MAX_BYTES).map_err(|e| e.to_string()),
            Err(_) => {
                // The connection's fault, or the peer is busy: asked again at the next poll.
                *cx.counts.entry("no_answer".to_owned()).or_default() += 1;
                if asked.request == Request::Status {
                    self.outreach.unanswered(cx, peer)?;
                }
                return Ok(());
            }
        };
        match decoded {
            Err(text) => cx.refuse(Some(peer), "bad_answer", text),
            Ok(response) => match self.answered(cx, peer, asked.request, response) {
                Ok(()) => {}
                Err(Ok(fault)) => cx.refuse(Some(peer), fault.reason, fault.text),
                Err(Err(e)) => return Err(e),
            },
        }
        Ok(())
    }

    fn answered(&mut self, cx: &mut Cx<'_>, peer: PeerId, request: Request, response: Response) -> Taken<()> {
        let recovering = !self.start.done();
        match (request, response) {
            (_, Response::Refused(_)) => {}
            (Request::Status, Response::Status(status)) => {
                sync::status(cx, self.peers, self.standing, peer, status, recovering).map_err(Err)?;
            }
            (Request::Entries { log, .. }, Response::Entries(entries)) if entries.log == log => {
                let taken = logs::take(cx, recovering, entries)?;
                if let logs::Taken::Grew(size) = taken {
                    sync::go_on(cx, self.peers, peer, log, size, recovering).map_err(Err)?;
                }
                sync::after_take(cx, self.peers, peer, log, taken).map_err(Err)?;
            }
            (Request::Consistency { log, .. }, Response::Consistency(proof, note)) => {
                branch::explained(cx, self.peers, peer, log, &proof, &note)?;
            }
            (Request::Charters { .. }, Response::Charters(bundles)) => {
                sync::charters(cx, bundles)?;
            }
            (Request::Approvals, Response::Documents(documents)) => {
                for bytes in documents {
                    let envelope =
                        Envelope::parse(&bytes).map_err(|e| Ok(Fault::new("bad_document", e.to_string())))?;
                    one_by_one(cx, peer, |cx| approve::take_approval(cx, &envelope).map(drop))?;
                }
            }
            (Request::Nodes, Response::Documents(documents)) => {
                for bytes in documents {
                    info::take_info(cx, &bytes);
                }
            }
            (Request::Ordering, Response::Ordering(bundles)) => {
                // Served newest round first; taken oldest first, as they were said.
                for bundle in bundles.into_iter().rev() {
                    one_by_one(cx, peer, |cx| self.agree.take(cx, bundle).map(drop))?;
                }
            }
            (Request::Notes { log }, Response::Notes(notes)) if notes.log == log => self.notes(cx, notes)?,
            (Request::Proofs, Response::Proofs(proofs)) => {
                for proof in proofs {
                    one_by_one(cx, peer, |cx| logs::close(cx, proof))?;
                }
            }
            (Request::Holdings, Response::Holdings(all)) => {
                for signed in all {
                    one_by_one(cx, peer, |cx| self.holdings(cx, signed).map(drop))?;
                }
            }
            (Request::Mine, Response::Mine(mine)) => {
                self.start.answer(cx, self.peers, self.agree, peer, mine)?;
                self.recover(cx).map_err(Err)?;
            }
            _ => return Err(Ok(Fault::new("bad_answer", "an answer to another question"))),
        }
        Ok(())
    }

    fn notes(&mut self, cx: &mut Cx<'_>, notes: wire::sync::Notes) -> Taken<()> {
        let log = notes.log;
        for promise in notes.promises {
            if promise.log == log {
                logs::take_cosignature(cx, self.peers, promise)?;
            }
        }
        if !notes.witnessed.is_empty() {
            let origin = crate::log::Origin::new(cx.federation, log);
            let opened = crate::log::open(&notes.witnessed, origin, &|_| false)
                .map_err(|e| Ok(Fault::new("bad_note", e.to_string())))?;
            let size = opened.signed.checkpoint().size;
            let row = state::log(cx.view, &log).map_err(Err)?;
            let root = opened.signed.checkpoint().root;
            if row.is_some_and(|row| row.witnessed.is_none_or(|held| held < (size, root))) {
                cx.record(Record::Witnessed { log, note: notes.witnessed });
            }
        }
        if !notes.newest.is_empty() {
            let entries = Entries { log, first: 0, leaves: Vec::new(), note: notes.newest, proof: None };
            let taken = logs::take(cx, !self.start.done(), entries)?;
            if let logs::Taken::Diverged(theirs) = taken
                && let Some(proof) = logs::prove_fork(cx, &theirs, None).map_err(Err)?
            {
                logs::close(cx, proof)?;
            }
        }
        Ok(())
    }
}
