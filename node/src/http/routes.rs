//! From a request to its answer.
//!
//! Owns what all routes work with, and the list of surfaces ([`mounts`]): each brings its routes with one line there. What is
//! checked before any route stands in [`dispatch`], what a surface may change of it in [`mount`].

mod api;
mod bundle;
mod call;
mod changes;
mod check;
mod dcat;
mod dispatch;
mod federations;
mod feed;
pub(crate) mod files;
pub(crate) mod mount;
mod openapi;
mod processes;
mod releases;
mod table;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::library::Library;
use super::server::counters::Counters;
use super::server::{Clock, HttpConfig};
use super::tokens::Tokens;
pub(crate) use call::{Call, insert, next_cursor};
pub(crate) use changes::change_json;
pub(super) use dispatch::answer;
use mount::{Mount, Mounted};

/// JSON answers that are put together at a time: each may take some MiB while being made.
const ANSWERS_AT_ONCE: usize = 16;

/// The surfaces of this server. The longest prefix that fits answers a request; what fits none is not found.
fn mounts() -> Vec<Mount> {
    vec![api::mount(), super::oci::mount(), super::tiles::mount(), crate::web::mount()]
}

/// Everything that routes need.
pub(crate) struct App {
    pub(super) library: Arc<dyn Library>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) anonymous_read: bool,
    pub(super) answer_timeout: Duration,
    /// Memory for large answers, in KiB.
    memory: Arc<Semaphore>,
    memory_kib: u32,
    /// JSON answers being put together.
    making: Semaphore,
    /// Clients that follow changes.
    streams: Arc<AtomicUsize>,
    /// Archives being made.
    bundles: Arc<Semaphore>,
    /// Ends what would go on for ever when the server stops.
    stop: CancellationToken,
    mounts: Vec<Mounted>,
}

impl App {
    pub(super) fn new(
        library: Arc<dyn Library>,
        tokens: Arc<Tokens>,
        clock: Clock,
        counters: Arc<Counters>,
        config: &HttpConfig,
        stop: CancellationToken,
    ) -> Self {
        let memory_kib = config.limits.answers_kib;
        let mut mounts: Vec<_> = mounts().into_iter().map(Mounted::from).collect();
        mounts.sort_by_key(|mounted| std::cmp::Reverse(mounted.prefix.len()));
        Self {
            library,
            tokens,
            clock,
            counters,
            anonymous_read: config.anonymous_read,
            answer_timeout: config.limits.answer_timeout,
            memory: Arc::new(Semaphore::new(usize::try_from(memory_kib).unwrap_or(Semaphore::MAX_PERMITS))),
            memory_kib,
            making: Semaphore::new(ANSWERS_AT_ONCE),
            streams: Arc::default(),
            bundles: Arc::new(Semaphore::new(bundle::BUNDLES_MAX)),
            stop,
            mounts,
        }
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The surface that answers for a path.
    fn mounted(&self, path: &str) -> Option<&Mounted> {
        self.mounts.iter().find(|mounted| mounted.covers(path))
    }
}
