//! Events, audit, tokens and the store.

use std::sync::Arc;

use super::super::node::Node;
use super::wip;
use crate::admin::api::*;
use crate::admin::Problem;
use crate::admin::Lines;

/// EventList.
pub async fn event_list(node: &Arc<Node>, request: EventsRequest) -> Result<EventList, Problem> { let _ = (node, request); Err(wip()) }

/// AuditList.
pub async fn audit_list(node: &Arc<Node>, request: AuditRequest) -> Result<AuditList, Problem> { let _ = (node, request); Err(wip()) }

/// TokenCreate.
pub async fn token_create(node: &Arc<Node>, request: TokenCreateRequest) -> Result<TokenCreated, Problem> { let _ = (node, request); Err(wip()) }

/// TokenList.
pub async fn token_list(node: &Arc<Node>, request: Scope) -> Result<TokenList, Problem> { let _ = (node, request); Err(wip()) }

/// TokenRevoke.
pub async fn token_revoke(node: &Arc<Node>, request: TokenRequest) -> Result<Done, Problem> { let _ = (node, request); Err(wip()) }

/// StoreDf.
pub async fn store_df(node: &Arc<Node>, request: Scope) -> Result<StoreDf, Problem> { let _ = (node, request); Err(wip()) }

/// StoreScrubShow.
pub async fn store_scrub_show(node: &Arc<Node>, request: Scope) -> Result<Scrub, Problem> { let _ = (node, request); Err(wip()) }

/// StoreScrub.
pub async fn store_scrub(node: &Arc<Node>, request: ScrubRequest) -> Result<Scrub, Problem> { let _ = (node, request); Err(wip()) }

/// StoreGc.
pub async fn store_gc(node: &Arc<Node>, request: GcRequest) -> Result<Gc, Problem> { let _ = (node, request); Err(wip()) }

/// Events as they happen.
pub async fn events_follow(node: &Arc<Node>, request: EventsRequest) -> Result<Lines<Event>, Problem> { let _ = (node, request); Err(wip()) }
/// Makes an audit record durable.
pub async fn audit(node: &Arc<Node>, record: AuditRecord) -> Result<(), Problem> { let _ = (node, record); Err(wip()) }
