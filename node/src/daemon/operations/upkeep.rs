//! Events, audit, tokens and the store.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::broadcast::error::RecvError;
use verbund_protocol::ids::{Blake3, FederationId, Slug};
use verbund_protocol::limits::MANIFEST_MAX_BYTES;
use verbund_protocol::release::Manifest;

use super::super::clock::now;
use super::super::events::Told;
use super::super::node::{Named, Node, problem};
use super::super::{instance, scrub};
use super::select;
use crate::admin::api::*;
use crate::admin::{Code, Lines, Problem};
use crate::blobs::StoreError;
use crate::http::tokens::{NewToken, Scope as Grants, TokenError, TokenId, TokenRecord};

/// Events and records listed unless said otherwise, and at most.
const LIST: (u32, u32) = (100, 1_000);
/// How long a token is good unless said otherwise, in milliseconds: a year.
const TOKEN_MS: u64 = 365 * 24 * 3_600 * 1_000;
/// What nobody refers to is kept this long: an upload may wait for its release, a rolled-back view for its catch-up.
const GRACE: Duration = Duration::from_secs(24 * 3_600);

fn bounded(limit: Option<u32>) -> usize {
    limit.unwrap_or(LIST.0).min(LIST.1) as usize
}

/// The federation that a filter names; none for all.
async fn filter(node: &Node, federation: Option<&str>) -> Result<Option<FederationId>, Problem> {
    match federation {
        None => Ok(None),
        Some(one) => Ok(Some(node.named(Some(one)).await?.instance.federation)),
    }
}

/// Whether an event belongs into a list about `federation`: its own, and those of the node itself.
fn concerns(told: &Told, federation: Option<FederationId>) -> bool {
    federation.is_none() || told.federation.is_none() || told.federation == federation
}

/// The newest events.
pub async fn event_list(node: &Arc<Node>, request: EventsRequest) -> Result<EventList, Problem> {
    let federation = filter(node, request.federation.as_deref()).await?;
    let all = node.shared.events.list(request.after.unwrap_or(0), usize::MAX, request.code.as_deref());
    let mut events: Vec<_> = all.into_iter().filter(|t| concerns(t, federation)).map(|t| t.shown).collect();
    events.drain(..events.len().saturating_sub(bounded(request.limit)));
    Ok(EventList { events })
}

/// Events as they happen; with `after`, those that are remembered since then first. A follower that is too slow misses some, which
/// shows in the numbers.
pub async fn events_follow(node: &Arc<Node>, request: EventsRequest) -> Result<Lines<Event>, Problem> {
    let federation = filter(node, request.federation.as_deref()).await?;
    let code = request.code;
    // Followed before the list is read: nothing falls between the two.
    let follower = node.shared.events.follow();
    let known =
        request.after.map(|after| node.shared.events.list(after, usize::MAX, code.as_deref())).unwrap_or_default();
    let last = known.last().map_or(request.after.unwrap_or(0), |told| told.shown.number);
    let stop = node.stop().clone();
    let coming = futures::stream::unfold((follower, stop, last), |(mut follower, stop, last)| async move {
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return None,
                next = follower.recv() => next,
            };
            match next {
                Ok(told) if told.shown.number <= last => {}
                Ok(told) => return Some((told, (follower, stop, last))),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let fits =
        move |told: &Told| concerns(told, federation) && code.as_ref().is_none_or(|code| told.shown.code == *code);
    let lines = futures::stream::iter(known).chain(coming);
    Ok(Box::pin(lines.filter_map(move |told| std::future::ready(fits(&told).then_some(Ok(told.shown))))))
}

/// The newest audit records.
pub async fn audit_list(node: &Arc<Node>, request: AuditRequest) -> Result<AuditList, Problem> {
    let local = node.local.clone();
    let read = tokio::task::spawn_blocking(move || local.audits(request.since, bounded(request.limit)));
    let records = read.await.map_err(internal)?.map_err(internal)?;
    let wanted = request.federation;
    let fits = |r: &AuditRecord| wanted.is_none() || r.federation.is_none() || r.federation == wanted;
    Ok(AuditList { records: records.into_iter().filter(fits).collect() })
}

/// Makes an audit record durable.
pub async fn audit(node: &Arc<Node>, record: AuditRecord) -> Result<(), Problem> {
    node.local.audit(&record).await.map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Internal, error.to_string()).next("see the daemon's log")
}

fn token_problem(error: TokenError) -> Problem {
    match error {
        TokenError::Refused(_) | TokenError::BadId => Problem::new(Code::BadRequest, error.to_string()),
        TokenError::Unknown(_) => Problem::new(Code::NotFound, error.to_string()).next("`verbund token ls` lists them"),
        TokenError::Randomness(_) | TokenError::Store(_) => internal(error),
    }
}

fn token_view(record: &TokenRecord) -> TokenView {
    let at = |s: u64| Moment::from_unix_ms(s.saturating_mul(1_000));
    let federation = record.federations.iter().flatten().map(Slug::as_str).collect::<Vec<_>>().join(", ");
    TokenView {
        id: record.id.to_string(),
        name: record.name.clone(),
        federation,
        scopes: record.scopes.iter().map(|Grants::Read| TokenScope::Read).collect(),
        created: at(record.created_s),
        valid_until: at(record.expires_s.unwrap_or(u64::MAX)),
        last_used: None,
        revoked: record.revoked_s.is_some(),
    }
}

/// Makes a token for an IT system.
pub async fn token_create(node: &Arc<Node>, request: TokenCreateRequest) -> Result<TokenCreated, Problem> {
    if request.scopes.contains(&TokenScope::Log) {
        return Err(Problem::new(Code::Unsupported, "tokens for monitors of the logs are not offered by this version")
            .next("leave --scope out, or say read"));
    }
    let valid_ms = request.valid_ms.unwrap_or(TOKEN_MS);
    if valid_ms < 1_000 {
        return Err(Problem::new(Code::BadRequest, "a token that is valid for less than a second can never be used")
            .next("name a longer time, such as --valid-for 90d"));
    }
    let named = node.named(request.federation.as_deref()).await?;
    let slug: Slug = named.slug.parse().map_err(internal)?;
    let now_s = now().wall_s();
    let new = NewToken {
        name: request.name,
        scopes: BTreeSet::from([Grants::Read]),
        federations: Some(BTreeSet::from([slug])),
        expires_s: Some(now_s.saturating_add(valid_ms / 1_000)),
    };
    let (secret, record) = node.tokens.create(new, now_s).await.map_err(token_problem)?;
    Ok(TokenCreated { token: secret.reveal().to_owned(), view: token_view(&record) })
}

/// All tokens, without secrets.
pub async fn token_list(node: &Arc<Node>, request: Scope) -> Result<TokenList, Problem> {
    let slug = match request.federation.as_deref() {
        None => None,
        Some(one) => Some(node.named(Some(one)).await?.slug),
    };
    let all = node.tokens.list().await.map_err(token_problem)?;
    let fits = |r: &&TokenRecord| match (&slug, &r.federations) {
        (Some(slug), Some(of)) => of.iter().any(|s| s.as_str() == slug),
        _ => true,
    };
    Ok(TokenList { tokens: all.iter().filter(fits).map(token_view).collect() })
}

/// Revokes a token at once.
pub async fn token_revoke(node: &Arc<Node>, request: TokenRequest) -> Result<Done, Problem> {
    let all = node.tokens.list().await.map_err(token_problem)?;
    let id = meant(&all, &request.token)?;
    let record = node.tokens.revoke(id, now().wall_s()).await.map_err(token_problem)?;
    Ok(Done { text: format!("token {} ({}) is revoked: it is refused from now on", record.name, record.id) })
}

/// The token that an id, a name, or the token itself means: whoever finds one that leaked need not know more.
fn meant(all: &[TokenRecord], wanted: &str) -> Result<TokenId, Problem> {
    let itself = TokenId::of_token(wanted.trim());
    if let Some(record) = all.iter().find(|r| Some(r.id) == itself || r.id.to_string() == wanted) {
        return Ok(record.id);
    }
    let by_name: Vec<_> = all.iter().filter(|r| r.name == wanted).collect();
    let standing: Vec<_> = by_name.iter().filter(|r| r.revoked_s.is_none()).collect();
    match (standing.as_slice(), by_name.as_slice()) {
        ([one], _) => Ok(one.id),
        ([], [one, ..]) => Ok(one.id),
        // Somebody may have pasted the token itself: it is not repeated.
        ([], []) => {
            Err(Problem::new(Code::NotFound, "there is no token of that id or name")
                .next("`verbund token ls` lists them"))
        }
        _ => Err(Problem::new(Code::Conflict, format!("{} tokens have that name", standing.len()))
            .next("name one by its id, as `verbund token ls` shows it")),
    }
}

/// Bytes of all files below a folder; what goes away meanwhile counts as nothing.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(bytes).sum()
}

fn store_problem(error: StoreError) -> Problem {
    let code = if error.is_full() { Code::DiskFull } else { Code::Internal };
    Problem::new(code, error.to_string()).next("see the daemon's log")
}

/// Where the space goes.
pub async fn store_df(node: &Arc<Node>, _: Scope) -> Result<StoreDf, Problem> {
    let blobs = node.shared.blobs.clone();
    let collected = blobs.gc(referenced(node).await?, GRACE, true).await.map_err(store_problem)?;
    let all = node.all().await?;
    let data_dir = node.data_dir.clone();
    let measure = tokio::task::spawn_blocking(move || {
        let artifacts = data_dir.join("artifacts");
        let view = |n: &Named| folder_bytes(&instance::folder(&data_dir, n.instance.federation).join("view"));
        let (free_bytes, floor_bytes) = blobs.disk()?;
        let (count, artifact_bytes) = blobs.usage();
        Ok::<_, StoreError>(StoreDf {
            artifacts: count,
            artifact_bytes,
            partial_bytes: folder_bytes(&artifacts.join("partial")),
            quarantine_bytes: folder_bytes(&artifacts.join("quarantine")),
            reclaimable_bytes: collected.freed_bytes,
            journal_bytes: all.iter().map(|n| n.instance.store.status().bytes).sum(),
            view_bytes: all.iter().map(view).sum(),
            free_bytes,
            floor_bytes,
        })
    });
    measure.await.map_err(internal)?.map_err(store_problem)
}

/// State of the running or last scrub.
pub async fn store_scrub_show(node: &Arc<Node>, _: Scope) -> Result<Scrub, Problem> {
    Ok(node.scrub.show())
}

/// Starts comparing artifacts with their hashes.
pub async fn store_scrub(node: &Arc<Node>, request: ScrubRequest) -> Result<Scrub, Problem> {
    let these = match request.release.as_deref() {
        None => None,
        Some(reference) => Some(artifacts_of(node, request.federation.as_deref(), reference).await?),
    };
    // A report of damage that found no room, and files that somebody deleted: told at the end.
    let through = {
        let node = node.clone();
        async move { tell_lost(&node).await }
    };
    let begun = node.scrub.start(&node.shared.blobs, these, node.stop(), through);
    begun.ok_or_else(|| Problem::new(Code::Conflict, "a scrub is running already").next("wait until it is through"))
}

/// Has every federation look for artifacts that are gone.
async fn tell_lost(node: &Node) {
    for named in node.all().await.unwrap_or_default() {
        if let Err(error) = scrub::tell_lost(&named.instance, &node.shared.blobs).await {
            tracing::warn!(federation = named.slug, %error, "artifacts could not be compared with the catalogue");
        }
    }
}

/// Manifest and files of a release.
async fn artifacts_of(node: &Node, federation: Option<&str>, reference: &str) -> Result<Vec<Blake3>, Problem> {
    let named = node.named(select::federation(federation, reference)?).await?;
    let charter = select::charter(&named).await?;
    let text = reference.to_owned();
    let row = named.instance.read(move |view, _| Ok(select::release(view, &charter, &text)));
    let row = row.await.map_err(problem)??;
    let incomplete = |why: String| {
        Problem::new(Code::Incomplete, format!("{reference} is not complete here: {why}"))
            .next("`verbund sync status` says what is missing and why")
    };
    let blobs = &node.shared.blobs;
    let bytes = blobs.read(&row.manifest, MANIFEST_MAX_BYTES).await.map_err(|e| incomplete(e.to_string()))?;
    let manifest = Manifest::parse(&bytes).map_err(|e| incomplete(e.to_string()))?;
    let mut all = BTreeSet::from([row.manifest]);
    all.extend(manifest.files().iter().map(|file| file.blake3));
    Ok(all.into_iter().collect())
}

/// What any federation still needs.
async fn referenced(node: &Node) -> Result<BTreeSet<Blake3>, Problem> {
    let mut all = BTreeSet::new();
    for named in node.all().await? {
        all.extend(scrub::referenced(&named.instance, &node.shared.blobs).await.map_err(problem)?);
    }
    Ok(all)
}

/// Deletes artifacts that nothing refers to.
pub async fn store_gc(node: &Arc<Node>, request: GcRequest) -> Result<Gc, Problem> {
    // All federations share the artifacts: one of them alone cannot say what is garbage.
    if let Some(one) = request.federation.as_deref() {
        node.named(Some(one)).await?;
    }
    let report = node.shared.blobs.gc(referenced(node).await?, GRACE, request.dry_run).await.map_err(store_problem)?;
    if !request.dry_run && !report.deleted.is_empty() {
        // A release may have come to hold one of them in between.
        tell_lost(node).await;
    }
    Ok(Gc {
        artifacts: (report.deleted.len() + report.abandoned.len()) as u64,
        bytes: report.freed_bytes,
        kept: report.young + report.pinned,
        dry_run: request.dry_run,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u8, name: &str, revoked: bool) -> TokenRecord {
        TokenRecord {
            id: format!("{id:016x}").parse().unwrap(),
            name: name.into(),
            hash: Blake3([id; 32]),
            scopes: BTreeSet::from([Grants::Read]),
            federations: None,
            created_s: 0,
            expires_s: None,
            revoked_s: revoked.then_some(1),
        }
    }

    #[test]
    fn a_token_is_meant_by_id_or_by_the_one_standing_name() {
        let all = [
            record(1, "civento", true),
            record(2, "civento", false),
            record(3, "doppelt", false),
            record(4, "doppelt", false),
            record(5, "alt", true),
        ];
        let meant = |wanted: &str| meant(&all, wanted).map(|id| id.to_string()).map_err(|p| p.code);
        assert_eq!(meant("civento"), Ok(format!("{:016x}", 2)));
        assert_eq!(meant(&format!("{:016x}", 1)), Ok(format!("{:016x}", 1)));
        assert_eq!(meant("doppelt"), Err(Code::Conflict));
        assert_eq!(meant("alt"), Ok(format!("{:016x}", 5)));
        assert_eq!(meant("vbt_secret"), Err(Code::NotFound));
    }

    #[test]
    fn folders_are_measured_with_what_lies_below() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        std::fs::write(dir.path().join("a"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("below/b"), [0; 5]).unwrap();
        assert_eq!(folder_bytes(dir.path()), 15);
        assert_eq!(folder_bytes(&dir.path().join("none")), 0);
    }
}
