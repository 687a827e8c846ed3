//! `status`, `sync`, `recover`, `config show`: what the node says of itself.

use std::sync::Arc;

use super::super::node::Node;
use super::wip;
use crate::admin::api::*;
use crate::admin::Problem;

/// Status.
pub async fn status(node: &Arc<Node>, request: Scope) -> Result<Status, Problem> { let _ = (node, request); Err(wip()) }

/// SyncStatus.
pub async fn sync_status(node: &Arc<Node>, request: SyncStatusRequest) -> Result<SyncStatus, Problem> { let _ = (node, request); Err(wip()) }

/// SyncNow.
pub async fn sync_now(node: &Arc<Node>, request: SyncNowRequest) -> Result<SyncStarted, Problem> { let _ = (node, request); Err(wip()) }

/// Recover.
pub async fn recover(node: &Arc<Node>, request: RecoverRequest) -> Result<Done, Problem> { let _ = (node, request); Err(wip()) }

/// ConfigShow.
pub async fn config_show(node: &Arc<Node>, request: Scope) -> Result<ConfigShow, Problem> { let _ = (node, request); Err(wip()) }
