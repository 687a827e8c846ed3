//! Inviting, and the decisions about members.

use std::sync::Arc;

use super::super::node::Node;
use super::wip;
use crate::admin::api::*;
use crate::admin::Problem;

/// Invite.
pub async fn invite(node: &Arc<Node>, request: InviteRequest) -> Result<Invitation, Problem> { let _ = (node, request); Err(wip()) }

/// MemberRequests.
pub async fn member_requests(node: &Arc<Node>, request: Scope) -> Result<MemberRequests, Problem> { let _ = (node, request); Err(wip()) }

/// MemberList.
pub async fn member_list(node: &Arc<Node>, request: Scope) -> Result<MemberList, Problem> { let _ = (node, request); Err(wip()) }

/// MemberShow.
pub async fn member_show(node: &Arc<Node>, request: MemberRequest) -> Result<MemberView, Problem> { let _ = (node, request); Err(wip()) }

/// MemberAdmit.
pub async fn member_admit(node: &Arc<Node>, request: AdmitRequest) -> Result<Decision, Problem> { let _ = (node, request); Err(wip()) }

/// MemberReject.
pub async fn member_reject(node: &Arc<Node>, request: DismissRequest) -> Result<Decision, Problem> { let _ = (node, request); Err(wip()) }

/// MemberExpel.
pub async fn member_expel(node: &Arc<Node>, request: DismissRequest) -> Result<Decision, Problem> { let _ = (node, request); Err(wip()) }
