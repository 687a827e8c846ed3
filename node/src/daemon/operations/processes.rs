//! The catalogue.

use std::sync::Arc;

use super::super::node::Node;
use super::wip;
use crate::admin::api::*;
use crate::admin::Problem;
use crate::admin::Download;
use bytes::Bytes;

/// ProcessList.
pub async fn process_list(node: &Arc<Node>, request: ProcessListRequest) -> Result<ProcessList, Problem> { let _ = (node, request); Err(wip()) }

/// ProcessVersions.
pub async fn process_versions(node: &Arc<Node>, request: ProcessRequest) -> Result<VersionList, Problem> { let _ = (node, request); Err(wip()) }

/// ReleaseShow.
pub async fn release_show(node: &Arc<Node>, request: ReleaseQuery) -> Result<ReleaseView, Problem> { let _ = (node, request); Err(wip()) }

/// A file of a release.
pub async fn file_get(node: &Arc<Node>, request: FileQuery) -> Result<Download, Problem> { let _ = (node, request); Err(wip()) }
/// `provenance.json` of a release.
pub async fn provenance_get(node: &Arc<Node>, request: ReleaseQuery) -> Result<Bytes, Problem> { let _ = (node, request); Err(wip()) }
