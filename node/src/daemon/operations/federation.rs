//! Founding a federation, and showing its charters.

use std::sync::Arc;

use super::super::node::Node;
use super::wip;
use crate::admin::api::*;
use crate::admin::Problem;

/// FederationList.
pub async fn federation_list(node: &Arc<Node>, request: Scope) -> Result<FederationList, Problem> { let _ = (node, request); Err(wip()) }

/// FederationShow.
pub async fn federation_show(node: &Arc<Node>, request: Scope) -> Result<FederationView, Problem> { let _ = (node, request); Err(wip()) }

/// FederationLog.
pub async fn federation_log(node: &Arc<Node>, request: Scope) -> Result<CharterLog, Problem> { let _ = (node, request); Err(wip()) }

/// FederationCreate.
pub async fn federation_create(node: &Arc<Node>, request: FederationCreateRequest) -> Result<FederationView, Problem> { let _ = (node, request); Err(wip()) }
