//! What HTTPS clients read: the catalogues and artifacts of all federations of this node.

use std::sync::Arc;

use bytes::Bytes;
use verbund_protocol::ids::Slug;

use super::node::Node;
use crate::http::Library;
use crate::http::library::*;
use crate::http::tokens::Reader;

/// The node's library.
pub struct NodeLibrary {
    node: Arc<Node>,
}

impl NodeLibrary {
    /// The library of `node`.
    pub const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

fn wip<'a, T: Send + 'a>(node: &Arc<Node>) -> Answer<'a, T> {
    let _ = node;
    Box::pin(async { Err(LibraryError::NotFound) })
}

impl Library for NodeLibrary {
    fn federations<'a>(&'a self, _: &'a Reader) -> Answer<'a, Vec<FederationView>> {
        wip(&self.node)
    }
    fn search<'a>(&'a self, _: &'a Reader, _: &'a Slug, _: Option<&'a str>, _: PageRequest) -> Answer<'a, Page<ReleaseSummary>> {
        wip(&self.node)
    }
    fn process<'a>(&'a self, _: &'a Reader, _: &'a ProcessRef) -> Answer<'a, ProcessView> {
        wip(&self.node)
    }
    fn versions<'a>(&'a self, _: &'a Reader, _: &'a ProcessRef, _: PageRequest) -> Answer<'a, Page<ReleaseSummary>> {
        wip(&self.node)
    }
    fn release<'a>(&'a self, _: &'a Reader, _: &'a ReleaseRef) -> Answer<'a, ReleaseView> {
        wip(&self.node)
    }
    fn provenance<'a>(&'a self, _: &'a Reader, _: &'a ReleaseRef) -> Answer<'a, Option<Bytes>> {
        wip(&self.node)
    }
    fn open_file<'a>(&'a self, _: &'a Reader, _: &'a ReleaseRef, _: &'a str) -> Answer<'a, FileHandle> {
        wip(&self.node)
    }
}
