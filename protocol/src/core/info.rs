//! How nodes can be reached: what each says of itself.
//!
//! Owns which of these statements are kept.

use super::Cx;
use crate::documents::{Document, NodeInfo};
use crate::envelope::Envelope;
use crate::ids::PeerId;
use crate::record::Record;
use crate::view::rows::{RowsError, Table};
use crate::view::state::key;

/// The node_info that is held of a node.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn info_of(cx: &Cx<'_>, peer: &PeerId) -> Result<Option<NodeInfo>, RowsError> {
    let held = cx.view.get(Table::Documents, &key::node_info(peer))?;
    Ok(held.and_then(|b| Envelope::parse(&b).ok()).and_then(|e| NodeInfo::open(&e).ok()))
}

/// The own node_info, signed now.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn own_info(cx: &Cx<'_>) -> Result<Option<Vec<u8>>, RowsError> {
    let before = info_of(cx, &cx.own.node.peer())?.map_or(0, |held| held.time_s + 1);
    let info = NodeInfo {
        federation: cx.federation,
        peer: cx.own.node.peer(),
        // A clock that was set back must not keep news of this node from being taken.
        time_s: cx.now.wall_s().max(before),
        addresses: cx.own.addresses.clone(),
        software: cx.own.software.clone(),
        protocol: crate::wire::PROTOCOL_VERSION,
    };
    Ok(info.seal(&[&cx.own.node]).ok().map(Envelope::into_bytes))
}

/// Takes a node_info of a member's node in, if that node signed it and it is newer than what is held. Says whether it was taken.
///
/// Nobody may fill the disk with infos of nodes that nobody has heard of.
pub fn take_info(cx: &mut Cx<'_>, bytes: &[u8]) -> bool {
    let peer = Envelope::parse(bytes).ok().and_then(|e| NodeInfo::open(&e).ok()).map(|info| info.peer);
    let member = |peer| cx.charter.as_ref().is_some_and(|c| c.member_of(&peer).is_some());
    peer.is_some_and(|peer| peer != cx.own.node.peer() && member(peer)) && keep_info(cx, bytes)
}

/// As [`take_info`], of any node.
pub fn keep_info(cx: &mut Cx<'_>, bytes: &[u8]) -> bool {
    let Ok(envelope) = Envelope::parse(bytes) else { return false };
    let Ok(info) = NodeInfo::open(&envelope) else { return false };
    if info.federation != cx.federation || !envelope.signed_by(&info.peer.key()) {
        return false;
    }
    let newer = |held: NodeInfo| held.time_s < info.time_s || crate::seeded::bug("node_info_replayed");
    if !info_of(cx, &info.peer).is_ok_and(|held| held.is_none_or(newer)) {
        return false;
    }
    cx.record(Record::Document(bytes.to_vec()));
    true
}
