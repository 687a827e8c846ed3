//! Publishing and withdrawing.

use std::sync::Arc;

use super::super::node::Node;
use super::wip;
use crate::admin::api::*;
use crate::admin::Problem;
use crate::admin::{Lines, Upload};

/// ReleaseCheck.
pub async fn release_check(node: &Arc<Node>, request: ReleaseRequest) -> Result<ReleaseChecked, Problem> { let _ = (node, request); Err(wip()) }

/// ReleaseCreate.
pub async fn release_create(node: &Arc<Node>, request: ReleaseRequest) -> Result<ReleaseCreated, Problem> { let _ = (node, request); Err(wip()) }

/// ReleaseWithdraw.
pub async fn release_withdraw(node: &Arc<Node>, request: WithdrawRequest) -> Result<Withdrawn, Problem> { let _ = (node, request); Err(wip()) }

/// Stores the bytes of an upload.
pub async fn artifact_put(node: &Arc<Node>, bytes: Upload) -> Result<Artifact, Problem> { let _ = (node, bytes); Err(wip()) }
/// The steps of a release.
pub async fn release_progress(node: &Arc<Node>, request: ProgressRequest) -> Result<Lines<Tick>, Problem> { let _ = (node, request); Err(wip()) }
