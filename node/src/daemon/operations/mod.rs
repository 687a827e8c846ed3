//! The admin operations, each by the part of the node that it concerns.
//!
//! Owns the translation between the admin interface's words and the core's. Decides nothing about federations.

pub mod concerns;
pub(in crate::daemon) mod federation;
mod joining;
mod members;
mod missing;
mod peers;
mod processes;
mod progress;
mod releases;
pub mod select;
mod status;
mod survey;
mod sync;
mod upkeep;

use std::sync::Arc;

use bytes::Bytes;

use super::node::Node;
use crate::admin::api::*;
use crate::admin::calls::with_operations;
use crate::admin::{Answer, Daemon, Download, Lines, Upload};
use federation::*;
use joining::*;
use members::*;
use peers::*;
use processes::*;
use progress::*;
use releases::*;
use status::*;
use sync::*;
use upkeep::*;

/// The node as its admin socket sees it.
pub struct Operations(pub Arc<Node>);

macro_rules! daemon {
    ($($(#[$meta:meta])* $method:ident $name:ident $verb:ident $path:literal $role:ident [$($change:literal)?] $request:ty => $answer:ty;)*) => {
        impl Daemon for Operations {
            $(fn $method(&self, request: $request) -> Answer<'_, $answer> {
                Box::pin($method(&self.0, request))
            })*
            fn artifact_put(&self, bytes: Upload) -> Answer<'_, Artifact> {
                Box::pin(artifact_put(&self.0, bytes))
            }
            fn file_get(&self, request: FileQuery) -> Answer<'_, Download> {
                Box::pin(file_get(&self.0, request))
            }
            fn provenance_get(&self, request: ReleaseQuery) -> Answer<'_, Bytes> {
                Box::pin(provenance_get(&self.0, request))
            }
            fn release_progress(&self, request: ProgressRequest) -> Answer<'_, Lines<Tick>> {
                Box::pin(release_progress(&self.0, request))
            }
            fn join_progress(&self, request: JoinProgressRequest) -> Answer<'_, Lines<Joining>> {
                Box::pin(join_progress(&self.0, request))
            }
            fn events_follow(&self, request: EventsRequest) -> Answer<'_, Lines<Event>> {
                Box::pin(events_follow(&self.0, request))
            }
            fn audit(&self, record: AuditRecord) -> Answer<'_, ()> {
                Box::pin(audit(&self.0, record))
            }
        }
    };
}
with_operations!(daemon);
