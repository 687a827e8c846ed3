//! Joining with a ticket, and the other nodes.

use std::sync::Arc;

use super::super::node::Node;
use super::wip;
use crate::admin::api::*;
use crate::admin::Problem;


/// PeerList.
pub async fn peer_list(node: &Arc<Node>, request: Scope) -> Result<PeerList, Problem> { let _ = (node, request); Err(wip()) }

/// PeerShow.
pub async fn peer_show(node: &Arc<Node>, request: PeerRequest) -> Result<PeerView, Problem> { let _ = (node, request); Err(wip()) }

/// PeerPing.
pub async fn peer_ping(node: &Arc<Node>, request: PeerRequest) -> Result<Pong, Problem> { let _ = (node, request); Err(wip()) }

/// PeerPause.
pub async fn peer_pause(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> { let _ = (node, request); Err(wip()) }

/// PeerResume.
pub async fn peer_resume(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> { let _ = (node, request); Err(wip()) }

/// PeerBlock.
pub async fn peer_block(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> { let _ = (node, request); Err(wip()) }

/// PeerUnblock.
pub async fn peer_unblock(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> { let _ = (node, request); Err(wip()) }

/// PeerRemove.
pub async fn peer_remove(node: &Arc<Node>, request: PeerRequest) -> Result<Done, Problem> { let _ = (node, request); Err(wip()) }

