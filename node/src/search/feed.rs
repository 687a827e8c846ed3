//! Keeps the index at the catalogues.
//!
//! Owns the one task that writes the index. It follows the node's events: a release that became available is indexed at once; anything
//! else that may change what is shown (entries, charters) has the federation's processes compared with what the index has. Missed
//! events cost a comparison, nothing else. Nothing waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::RecvError;
use verbund_library::search::{Document, Index, Opened, SearchError};
use verbund_protocol::core::EventKind;
use verbund_protocol::ids::{FederationId, MemberId, PeerId, Slug};
use verbund_protocol::view::catalogue::{Catalogue, Filter, Viewer};
use verbund_protocol::view::rows::{Rows as _, RowsError, Table};
use verbund_protocol::view::state::{self, ReleaseRow, key};

use super::Found;
use super::documents::{Draft, complete, drafts, group};
use crate::daemon::events::Told;
use crate::daemon::instance::Instance;
use crate::daemon::node::Node;
use crate::daemon::shelf;
use crate::daemon::view::StoreView;

/// Processes that are compared in one go.
const PAGE: usize = 200;
/// Between an event and the comparison that it asks for: others come with it.
const GATHER: Duration = Duration::from_millis(150);
/// A comparison takes at most one part in so many of the time.
const DUTY: u32 = 4;
/// After an index could not be opened or filled.
const RETRY: Duration = Duration::from_secs(30);

/// Processes of the index with the prints of their documents.
type Prints = BTreeMap<String, BTreeSet<String>>;

/// Feeds the index until the node ends.
pub async fn run(node: Arc<Node>) {
    let folder = node.data_dir.join("search");
    let stop = node.shared.stop.clone();
    loop {
        let fed = tokio::select! {
            () = stop.cancelled() => return,
            fed = feed(&node, folder.clone()) => fed,
        };
        node.search.set(None);
        let Err(error) = fed else { continue };
        tracing::warn!(%error, "the search index is opened anew");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// What has to be done.
#[derive(Default)]
struct Due {
    all: bool,
    federations: BTreeSet<FederationId>,
}

/// Opens the index and keeps it; ends when it is broken.
async fn feed(node: &Arc<Node>, folder: PathBuf) -> Result<(), SearchError> {
    let mut events = node.shared.events.follow();
    let (index, mut prints) = blocking(move || open(&folder)).await?;
    let search = node.search.clone();
    let mut due = Due { all: true, ..Due::default() };
    let mut next = Instant::now();
    // An index that was left whole answers while it is compared; an empty one only once it is filled.
    if !prints.is_empty() {
        search.set(Some(index.clone()));
    }
    loop {
        if (due.all || !due.federations.is_empty()) && Instant::now() >= next {
            let begun = Instant::now();
            compare(node, &index, &mut prints, &std::mem::take(&mut due)).await?;
            search.set(Some(index.clone()));
            next = begun + begun.elapsed() * DUTY;
        }
        let waiting = due.all || !due.federations.is_empty();
        tokio::select! {
            () = search.broken.notified() => return Ok(()),
            () = tokio::time::sleep_until(next.into()), if waiting => {}
            told = events.recv() => match told {
                Ok(told) => {
                    if !at_once(node, &index, &mut prints, &told).await? && later(&mut due, &told) {
                        next = next.max(Instant::now() + GATHER);
                    }
                }
                Err(RecvError::Lagged(_)) => due.all = true,
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SearchError> + Send + 'static,
) -> Result<T, SearchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(SearchError::Damaged(e.to_string())))
}

fn open(folder: &std::path::Path) -> Result<(Arc<Index>, Prints), SearchError> {
    let (index, opened) = Index::open(folder)?;
    if let Opened::Empty(why) = &opened {
        tracing::info!(why, "the search index is filled from the catalogues");
    }
    let mut prints = Prints::new();
    for (group, data) in index.data()? {
        let print = serde_json::from_value::<Found>(data).map(|found| found.print).unwrap_or_default();
        prints.entry(group).or_default().insert(print);
    }
    Ok((Arc::new(index), prints))
}

/// Indexes a release that became available. Whether the event was one.
async fn at_once(node: &Arc<Node>, index: &Arc<Index>, prints: &mut Prints, told: &Told) -> Result<bool, SearchError> {
    let (Some(federation), Some(EventKind::ReleaseAvailable { log, index: at })) = (told.federation, &told.kind) else {
        return Ok(false);
    };
    let Some(instance) = node.instance(&federation).await else { return Ok(true) };
    let (log, at) = (*log, *at);
    let read = shelf::catalogue(&instance, move |catalogue, view| {
        let Some((member, slug)) = process_at(view, &log, at)? else { return Ok(None) };
        Ok(Some((group(federation, &member, &slug), drafts(catalogue, view, federation, &member, &slug)?)))
    });
    // A federation that ends has nothing to be found any more.
    let Ok(Some(Some(found))) = read.await else { return Ok(true) };
    put(node, index, prints, vec![found]).await?;
    Ok(true)
}

fn process_at(view: &StoreView, log: &PeerId, at: u64) -> Result<Option<(MemberId, Slug)>, RowsError> {
    let Some(place) = view.get(Table::Releases, &key::release_at(log, at))? else { return Ok(None) };
    let row: Option<ReleaseRow> = state::get(view, Table::Releases, &place)?;
    Ok(row.map(|row| (row.member, row.slug)))
}

/// Notes what an event may have changed.
fn later(due: &mut Due, told: &Told) -> bool {
    let changes = matches!(
        told.kind,
        Some(
            EventKind::LogGrew { .. }
                | EventKind::EntryVoid { .. }
                | EventKind::CharterAdopted { .. }
                | EventKind::LogForked { .. }
                | EventKind::ArtifactLost { .. }
        )
    );
    match told.federation {
        Some(federation) if changes => due.federations.insert(federation),
        _ => false,
    }
}

/// Compares catalogues with the index, and brings the index to them.
async fn compare(node: &Arc<Node>, index: &Arc<Index>, prints: &mut Prints, due: &Due) -> Result<(), SearchError> {
    let instances = node.instances().await;
    let there: BTreeSet<String> = instances.iter().map(|i| i.federation.to_hex()).collect();
    let mut gone: Vec<String> = Vec::new();
    if due.all {
        gone.extend(prints.keys().filter(|g| !there.contains(g.split('/').next().unwrap_or_default())).cloned());
    }
    if prints.is_empty() {
        for instance in &instances {
            prepare(index, instance).await?;
        }
    }
    for instance in instances.iter().filter(|i| due.all || due.federations.contains(&i.federation)) {
        let Some(seen) = compare_one(node, index, prints, instance).await? else { continue };
        let of = instance.federation.to_hex();
        gone.extend(prints.keys().filter(|g| g.starts_with(&of) && !seen.contains(*g)).cloned());
    }
    if gone.is_empty() {
        return Ok(());
    }
    for group in &gone {
        prints.remove(group);
    }
    let index = index.clone();
    blocking(move || index.remove(&gone, None)).await
}

/// Has an empty index learn the words of all processes before it takes in the first.
async fn prepare(index: &Arc<Index>, instance: &Arc<Instance>) -> Result<(), SearchError> {
    let (federation, mut after) = (instance.federation, None);
    loop {
        let from = after.take();
        let read = shelf::catalogue(instance, move |catalogue: &Catalogue<'_>, view: &StoreView| {
            let filter = Filter { withdrawn: true, ..Filter::default() };
            let page = catalogue.processes(&filter, &Viewer::Operator, from.as_ref(), PAGE)?;
            let mut documents = Vec::new();
            for listed in &page.items {
                let found = drafts(catalogue, view, federation, &listed.row.member, &listed.row.slug)?;
                documents.extend(found.into_iter().map(|draft| draft.document));
            }
            Ok((documents, page.next))
        });
        // What cannot be read now is learnt when it comes.
        let Ok(Some((documents, next))) = read.await else { return Ok(()) };
        let index = index.clone();
        blocking(move || {
            index.prepare(&documents);
            Ok(())
        })
        .await?;
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// All processes of a federation, page by page; the names that were seen, `None` if it could not be read to its end.
async fn compare_one(
    node: &Arc<Node>,
    index: &Arc<Index>,
    prints: &mut Prints,
    instance: &Arc<Instance>,
) -> Result<Option<BTreeSet<String>>, SearchError> {
    let federation = instance.federation;
    let (mut seen, mut after) = (BTreeSet::new(), None);
    loop {
        let from = after.take();
        let known = prints.clone();
        let read = shelf::catalogue(instance, move |catalogue: &Catalogue<'_>, view: &StoreView| {
            let filter = Filter { withdrawn: true, ..Filter::default() };
            let page = catalogue.processes(&filter, &Viewer::Operator, from.as_ref(), PAGE)?;
            let (mut groups, mut changed) = (Vec::new(), Vec::new());
            for listed in &page.items {
                let (member, slug) = (&listed.row.member, &listed.row.slug);
                let group = group(federation, member, slug);
                let found = drafts(catalogue, view, federation, member, slug)?;
                if known.get(&group) != Some(&printed(found.iter().map(|draft| &draft.document))) {
                    changed.push((group.clone(), found));
                }
                groups.push(group);
            }
            Ok((groups, changed, page.next))
        });
        let Ok(Some((groups, changed, next))) = read.await else { return Ok(None) };
        seen.extend(groups);
        put(node, index, prints, changed).await?;
        match next {
            Some(next) => after = Some(next),
            None => return Ok(Some(seen)),
        }
    }
}

fn printed<'a>(documents: impl Iterator<Item = &'a Document>) -> BTreeSet<String> {
    documents.filter_map(|d| d.data.get("print")?.as_str().map(str::to_owned)).collect()
}

/// Writes processes into the index.
async fn put(
    node: &Arc<Node>,
    index: &Arc<Index>,
    prints: &mut Prints,
    processes: Vec<(String, Vec<Draft>)>,
) -> Result<(), SearchError> {
    if processes.is_empty() {
        return Ok(());
    }
    let mut groups = Vec::with_capacity(processes.len());
    for (group, drafts) in processes {
        let mut documents = Vec::with_capacity(drafts.len());
        for draft in drafts {
            documents.push(complete(draft, &node.shared.blobs, &node.manifests).await);
        }
        prints.insert(group.clone(), printed(documents.iter()));
        groups.push((group, documents));
    }
    let index = index.clone();
    blocking(move || index.replace(&groups, None)).await
}
