//! Joining with a ticket.

use std::sync::Arc;

use super::super::node::Node;
use super::wip;
use crate::admin::api::*;
use crate::admin::Problem;
use crate::admin::Lines;

/// PeerAdd.
pub async fn peer_add(node: &Arc<Node>, request: PeerAddRequest) -> Result<Joining, Problem> { let _ = (node, request); Err(wip()) }

/// The steps of a join.
pub async fn join_progress(node: &Arc<Node>, request: JoinProgressRequest) -> Result<Lines<Joining>, Problem> { let _ = (node, request); Err(wip()) }
