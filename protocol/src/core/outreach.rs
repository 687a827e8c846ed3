//! Members that do not answer: they may not know this node any more, or it may not know them.
//!
//! Owns the use of the join protocol between members. A node whose disk was rolled back takes newer members for strangers, and
//! one that was expelled is a stranger to the others: either learns of it by the charters that it is shown. Asks one node at a
//! time, and each one rarely.

use std::collections::BTreeMap;

use super::api::Effect;
use super::{Cx, info, serve, sync};
use crate::ids::PeerId;
use crate::limits::FRAME_MAX_BYTES;
use crate::view::rows::RowsError;
use crate::wire::join::{Request, Response};

/// Between two tries with one node, in milliseconds.
const AGAIN_MS: u64 = 60_000;
/// An answer that has not come by then never will, in milliseconds.
const ANSWER_MAX_MS: u64 = 30_000;

/// What is under way.
#[derive(Debug, Default)]
pub struct Outreach {
    asked: Option<(PeerId, u64, bool)>,
    next_ms: BTreeMap<PeerId, u64>,
}

impl Outreach {
    /// Whether an answer is waited for.
    pub const fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// A connection is new: the node may have been restarted, perhaps from an old copy of its disk.
    pub fn connected(&mut self, peer: &PeerId) {
        self.next_ms.remove(peer);
        // An answer over the connection before will not come.
        self.asked = self.asked.filter(|(asked, ..)| asked != peer);
    }

    /// A member's node did not answer a sync request: asks it for newer charters, as a stranger could.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn unanswered(&mut self, cx: &mut Cx<'_>, peer: PeerId) -> Result<(), RowsError> {
        let now = cx.now.mono_ms;
        let busy = self.asked.is_some_and(|(_, since, _)| now.saturating_sub(since) < ANSWER_MAX_MS);
        let early = self.next_ms.get(&peer).is_some_and(|at| now < *at);
        if busy || early || !cx.is_member() {
            return Ok(());
        }
        self.next_ms.retain(|_, at| now < *at);
        self.next_ms.insert(peer, now + AGAIN_MS);
        let version = cx.charter.as_ref().map_or(0, |c| c.charter.version);
        self.ask(cx, peer, Request::Charters { from: version + 1 }, true)
    }

    fn ask(&mut self, cx: &mut Cx<'_>, peer: PeerId, request: Request, shows: bool) -> Result<(), RowsError> {
        let addresses = info::info_of(cx, &peer)?.map(|info| info.addresses).unwrap_or_default();
        if let Ok(bytes) = crate::wire::encode(cx.federation, request) {
            self.asked = Some((peer, cx.now.mono_ms, shows));
            cx.effect(Effect::AskJoin { peer, addresses, bytes });
        }
        Ok(())
    }

    /// The node answered: with newer charters, or with none, so that it is shown those known here.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn answer(&mut self, cx: &mut Cx<'_>, result: Result<Vec<u8>, String>) -> Result<(), RowsError> {
        let Some((peer, _, shows)) = self.asked.take() else { return Ok(()) };
        let decoded =
            result.ok().and_then(|b| crate::wire::decode::<Response>(cx.federation, &b, FRAME_MAX_BYTES).ok());
        let Some(Response::Charters(bundles)) = decoded else { return Ok(()) };
        if bundles.is_empty() && shows {
            let own = serve::newest_charters(cx.view)?;
            return self.ask(cx, peer, Request::Newer(own), false);
        }
        match sync::charters(cx, bundles) {
            Ok(_) => {}
            Err(Ok(fault)) => cx.refuse(Some(peer), fault.reason, fault.text),
            Err(Err(e)) => return Err(e),
        }
        Ok(())
    }
}
