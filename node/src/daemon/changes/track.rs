//! Noticing changes: looks through what came in, when the federation says that something did.
//!
//! Owns no decision about what counts: it reads verdicts and marks that the fold made. Events are hints only; what they miss is
//! found at the next look, or at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use verbund_protocol::core::{EventKind, View as _};
use verbund_protocol::documents::{Correction, Deprecation, Document as _, Kind, Withdrawal};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::{PeerId, Sha256};
use verbund_protocol::view::charters::Charters;
use verbund_protocol::view::rows::{Rows as _, RowsError, Table};
use verbund_protocol::view::state::{self, EntryRow, LogRow, ReleaseRow, Verdict, key};

use super::{ChangeList, What};
use crate::daemon::instance::Instance;
use crate::daemon::view::StoreView;

/// Entries that one look goes through.
const ENTRIES_MAX: u64 = 2_000;
/// Between two looks that nothing asks for.
const IDLE: Duration = Duration::from_secs(60);
/// After a failed look.
const PAUSE: Duration = Duration::from_secs(5);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(50);

/// Releases that are listed and not told yet, by their place.
type Waiting = BTreeMap<(PeerId, u64), (Sha256, u64)>;

/// Follows a federation until it ends.
pub(super) async fn run(instance: Arc<Instance>, list: Arc<ChangeList>) {
    let mut events = instance.follow();
    let stop = instance.stop().clone();
    let (mut waiting, mut failing) = (None::<Waiting>, false);
    loop {
        let more = match look(&instance, &list, waiting.take()).await {
            Ok((left, more)) => {
                (waiting, failing) = (Some(left), false);
                more
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "changes cannot be noted for now");
                }
                failing = true;
                false
            }
        };
        if more {
            continue;
        }
        let next = async {
            if failing {
                return tokio::time::sleep(PAUSE).await;
            }
            loop {
                match events.recv().await {
                    Ok(told) if told.federation == Some(instance.federation) && matters(told.kind.as_ref()) => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return std::future::pending().await,
                }
            }
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = next => {}
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

fn matters(kind: Option<&EventKind>) -> bool {
    matches!(
        kind,
        Some(EventKind::CharterAdopted { .. } | EventKind::LogGrew { .. } | EventKind::ReleaseAvailable { .. })
    )
}

/// What one look found.
struct Found {
    what: Vec<What>,
    seen: BTreeMap<PeerId, u64>,
    waiting: Waiting,
    more: bool,
}

async fn look(
    instance: &Instance,
    list: &Arc<ChangeList>,
    waiting: Option<Waiting>,
) -> Result<(Waiting, bool), String> {
    let (seen, told, charter) = list.progress();
    let read = instance.settled(move |view, charters| {
        let waiting = waiting.map_or_else(|| listed(view, &told), Ok)?;
        find(view, charters, &seen, charter, waiting, &told)
    });
    let Found { what, seen, waiting, more } = read.await.map_err(|error| error.to_string())?;
    let list = Arc::clone(list);
    let kept = tokio::task::spawn_blocking(move || list.keep(what, seen)).await;
    kept.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Ok((waiting, more))
}

/// At the start: releases that are listed and were never told.
fn listed(view: &StoreView, told: &BTreeSet<Sha256>) -> Result<Waiting, RowsError> {
    let mut waiting = Waiting::new();
    let mut from = b"p".to_vec();
    loop {
        let page = view.scan(Table::Releases, b"p", &from, 512)?;
        for (_, value) in &page {
            let row: ReleaseRow = state::decode(value)?;
            if !told.contains(&row.id) {
                waiting.insert((row.log, row.index), (row.id, row.published_s));
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == 512 => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(waiting),
        }
    }
}

fn find(
    view: &StoreView,
    charters: &Charters,
    seen: &BTreeMap<PeerId, u64>,
    charter: u64,
    mut waiting: Waiting,
    told: &BTreeSet<Sha256>,
) -> Result<Found, RowsError> {
    let newest = charters.newest(view)?.map_or(0, |charter| charter.charter.version);
    let mut what: Vec<_> = (charter + 1..=newest).map(What::Charter).collect();
    let (mut through, mut budget) = (BTreeMap::new(), ENTRIES_MAX);
    for (log, row) in state::logs(view)? {
        let start = seen.get(&log).copied().unwrap_or(0).min(row.judged);
        let end = row.judged.min(start.saturating_add(budget));
        for index in start..end {
            if let Some(found) = entry(view, &log, &row, index, &mut waiting, told)? {
                what.push(found);
            }
        }
        budget -= end - start;
        if seen.get(&log) != Some(&end) {
            through.insert(log, end);
        }
    }
    let mut here = Vec::new();
    for (place, (id, published_s)) in &waiting {
        if view.get(Table::Local, &key::missing(&place.0, place.1))?.is_none() {
            here.push((*published_s, *id, *place));
        }
    }
    // Those that came together, in the order of their publishing.
    here.sort_unstable();
    for (_, id, place) in here {
        waiting.remove(&place);
        what.push(What::Available(id));
    }
    Ok(Found { what, seen: through, waiting, more: budget == 0 })
}

/// What an entry says; a release waits until it is complete.
fn entry(
    view: &StoreView,
    log: &PeerId,
    row: &LogRow,
    index: u64,
    waiting: &mut Waiting,
    told: &BTreeSet<Sha256>,
) -> Result<Option<What>, RowsError> {
    let Some(entry) = state::get::<EntryRow>(view, Table::Entries, &key::numbered(row.number, index))? else {
        return Ok(None);
    };
    if entry.verdict != Verdict::Valid {
        return Ok(None);
    }
    if let Some(main) = view.get(Table::Releases, &key::release_at(log, index))? {
        let release: Option<ReleaseRow> = state::get(view, Table::Releases, &main)?;
        if let Some(row) = release.filter(|row| (row.log, row.index) == (*log, index) && !told.contains(&row.id)) {
            waiting.insert((*log, index), (row.id, row.published_s));
        }
        return Ok(None);
    }
    let leaf = view.leaf(entry.at)?;
    let Ok(envelope) = Envelope::parse(&leaf) else { return Ok(None) };
    Ok(match Kind::of(&envelope) {
        Kind::Withdrawal => Withdrawal::open(&envelope).ok().map(|said| What::Withdrawn(said.release)),
        Kind::Correction => Correction::open(&envelope).ok().map(|said| What::Corrected(said.release)),
        Kind::Deprecation => Deprecation::open(&envelope).ok().map(|said| What::Deprecated {
            member: said.member,
            slug: said.process,
            release: said.release,
        }),
        _ => None,
    })
}
