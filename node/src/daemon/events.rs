//! Events: what happened, for people and programs, in words that name member and release.
//!
//! Owns a bounded memory of the newest events and the channel to whoever follows. Nothing is decided by an event.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tracing::{debug, error, info, warn};
use verbund_protocol::charter::certificate::Certified;
use verbund_protocol::core::report::node_name;
use verbund_protocol::core::{Event, EventKind};
use verbund_protocol::ids::{FederationId, Handle, MemberId, PeerId};
use verbund_protocol::view::rows::{Rows, Table};
use verbund_protocol::view::state::{self, ReleaseRow, key};

use crate::admin::api::{Event as Shown, Moment, Severity};

/// Events kept in memory.
const KEPT_MAX: usize = 4_096;
/// Events that a slow follower may lag behind before it misses some.
const LAG_MAX: usize = 1_024;

/// What the loop of a federation and the rest of the node tell.
#[derive(Debug, Clone)]
pub struct Told {
    /// The federation, if it concerns one.
    pub federation: Option<FederationId>,
    /// What the core said, if it comes from one.
    pub kind: Option<EventKind>,
    /// As it is shown.
    pub shown: Shown,
}

#[derive(Debug)]
struct Kept {
    events: VecDeque<Told>,
    next: u64,
}

/// The node's events. Clones share one memory.
#[derive(Debug, Clone)]
pub struct Events {
    kept: Arc<Mutex<Kept>>,
    sender: broadcast::Sender<Told>,
}

impl Default for Events {
    fn default() -> Self {
        let kept = Kept { events: VecDeque::new(), next: 1 };
        Self { kept: Arc::new(Mutex::new(kept)), sender: broadcast::channel(LAG_MAX).0 }
    }
}

impl Events {
    /// Follows events from now on.
    pub fn follow(&self) -> broadcast::Receiver<Told> {
        self.sender.subscribe()
    }

    /// The newest `limit` events after number `after`, oldest first.
    pub fn list(&self, after: u64, limit: usize, code: Option<&str>) -> Vec<Told> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |told: &&Told| told.shown.number > after && code.is_none_or(|code| told.shown.code == code);
        let mut found: Vec<_> = kept.events.iter().rev().filter(fits).take(limit).cloned().collect();
        found.reverse();
        found
    }

    /// Tells what a core said.
    pub fn publish(&self, federation: FederationId, charter: Option<&Certified>, rows: &dyn Rows, event: Event) {
        let slug = charter.map(|c| c.charter.rules.slug.to_string());
        let Words { severity, text, member, release, details } = words(charter, rows, &event.kind);
        let code = event.kind.code();
        // Confirmations come with every entry from every member: they are events, but no lines of a log that people read.
        let chatty = matches!(event.kind, EventKind::Cosigned { .. } | EventKind::HoldingsChanged { .. });
        let (by, what) = (member.as_ref().map(tracing::field::display), release.as_deref());
        match severity {
            Severity::Info if chatty => debug!(code, federation = slug, member = by, "{text}"),
            Severity::Info => info!(code, federation = slug, member = by, release = what, "{text}"),
            Severity::Warning => warn!(code, federation = slug, member = by, release = what, "{text}"),
            Severity::Error => error!(code, federation = slug, member = by, release = what, "{text}"),
        }
        let at = Moment::from_unix_ms(event.time_ms);
        let code = code.to_owned();
        let shown = Shown { number: 0, at, code, severity, text, federation: slug, member, release, details };
        self.keep(Told { federation: Some(federation), kind: Some(event.kind), shown });
    }

    /// Tells what happened outside of any federation.
    pub fn tell(&self, code: &str, severity: Severity, text: String, details: Map<String, Value>) {
        match severity {
            Severity::Info => info!(code, "{text}"),
            Severity::Warning => warn!(code, "{text}"),
            Severity::Error => error!(code, "{text}"),
        }
        let (at, code) = (Moment::now(), code.to_owned());
        let shown =
            Shown { number: 0, at, code, severity, text, federation: None, member: None, release: None, details };
        self.keep(Told { federation: None, kind: None, shown });
    }

    fn keep(&self, mut told: Told) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        told.shown.number = kept.next;
        kept.next += 1;
        if kept.events.len() >= KEPT_MAX {
            kept.events.pop_front();
        }
        kept.events.push_back(told.clone());
        // Nobody follows: nothing to do.
        let _ = self.sender.send(told);
    }
}

struct Words {
    severity: Severity,
    text: String,
    member: Option<Handle>,
    release: Option<String>,
    details: Map<String, Value>,
}

fn handle_of(charter: Option<&Certified>, member: &MemberId) -> Option<Handle> {
    charter.and_then(|c| c.charter.member(member)).map(|m| m.handle.clone())
}

/// The reference of the release at a place of a log.
pub fn release_name(charter: Option<&Certified>, rows: &dyn Rows, log: &PeerId, index: u64) -> Option<String> {
    let process = rows.get(Table::Releases, &key::release_at(log, index)).ok()??;
    let row: ReleaseRow = state::get(rows, Table::Releases, &process).ok()??;
    let owner = handle_of(charter, &row.member).map_or_else(|| row.member.to_string(), |h| h.to_string());
    Some(format!("{owner}/{}@{}", row.slug, row.version))
}

fn words(charter: Option<&Certified>, rows: &dyn Rows, kind: &EventKind) -> Words {
    let name = |peer: &PeerId| node_name(charter, peer);
    let member_of = |peer: &PeerId| charter.and_then(|c| c.member_of(peer)).and_then(|m| handle_of(charter, &m));
    let release = |log: &PeerId, index: u64| release_name(charter, rows, log, index);
    let mut details = Map::new();
    let mut put = |key: &str, value: Value| drop(details.insert(key.to_owned(), value));
    let (severity, text, member, release) = match kind {
        EventKind::CharterAdopted { version, members } => {
            put("version", json!(version));
            let all = if *members == 1 { "1 member".to_owned() } else { format!("{members} members") };
            (Severity::Info, format!("charter version {version} is in effect, with {all}"), None, None)
        }
        EventKind::LogGrew { log, size } => {
            put("size", json!(size));
            (Severity::Info, format!("the log of {} has {size} entries", name(log)), member_of(log), None)
        }
        EventKind::EntryVoid { log, index, reason } => {
            put("index", json!(index));
            put("reason", json!(reason));
            let text = format!("entry {index} of the log of {} is void: {reason}", name(log));
            (Severity::Warning, text, member_of(log), None)
        }
        EventKind::Cosigned { log, size, by } => {
            put("size", json!(size));
            put("by", json!(name(by)));
            (
                Severity::Info,
                format!("{} witnessed the log of {} up to {size}", name(by), name(log)),
                member_of(log),
                None,
            )
        }
        EventKind::HoldingsChanged { peer } => {
            (Severity::Info, format!("{} said what it holds", name(peer)), member_of(peer), None)
        }
        EventKind::ReleaseAvailable { log, index } => {
            let release = release(log, *index);
            let text = format!("{} is complete and verified", release.as_deref().unwrap_or("a release"));
            (Severity::Info, text, member_of(log), release)
        }
        EventKind::ReleaseBlocked { log, index, reason } => {
            put("reason", json!(reason));
            let release = release(log, *index);
            let text = format!("{} cannot be had for now: {reason}", release.as_deref().unwrap_or("a release"));
            (Severity::Warning, text, member_of(log), release)
        }
        EventKind::ArtifactLost { artifact, releases } => {
            put("artifact", json!(artifact));
            put("releases", json!(releases));
            let text = format!("{artifact} was damaged or removed on disk; {releases} releases are fetched again");
            (Severity::Error, text, None, None)
        }
        EventKind::LogForked { log, size } => {
            put("size", json!(size));
            let text = format!("the log of {} has forked; it ends at {size}, where it was witnessed", name(log));
            (Severity::Error, text, member_of(log), None)
        }
        EventKind::RequestLodged { handle, member } => {
            put("member", json!(member));
            (
                Severity::Info,
                format!("{handle} asks to join; see `verbund member requests`"),
                Some(handle.clone()),
                None,
            )
        }
        EventKind::JoinProgressed { text } => (Severity::Info, text.clone(), None, None),
        EventKind::Recovered => {
            (Severity::Info, "what this node signed before is known; it signs from now on".into(), None, None)
        }
        EventKind::Refused { peer, reason, text } => {
            put("reason", json!(reason));
            put("peer", json!(peer));
            let from = peer.as_ref().map_or_else(String::new, |p| format!(" from {}", name(p)));
            (Severity::Warning, format!("refused{from}: {text}"), peer.as_ref().and_then(member_of), None)
        }
        EventKind::Equivocated { member, text } => {
            put("messages", json!(text));
            let who = handle_of(charter, member);
            let said = who.as_ref().map_or_else(|| member.to_string(), ToString::to_string);
            (Severity::Error, format!("{said} contradicted itself in the agreement on the charter"), who, None)
        }
    };
    Words { severity, text, member, release, details }
}
