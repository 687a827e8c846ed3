//! What changed, for those who keep up: page by page, or as it happens (server-sent events).
//!
//! Owns the cursors of changes and the stream's form. A cursor is of this node, and holds as long as the change after it is kept.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, Response};
use bytes::Bytes;
use tokio::sync::watch;
use verbund_protocol::ids::Slug;

use super::App;
use super::call::Call;
use super::processes::item;
use super::table::Answer;
use crate::admin::api::Moment;
use crate::http::answers::{ChangeItem, ChangeList};
use crate::http::cursor;
use crate::http::library::{ChangeView, Changes, Position, Since};
use crate::http::problem::{Code, Problem};
use crate::http::tokens::Reader;

/// Streams at a time: each holds a connection for as long as its client likes.
const STREAMS_MAX: usize = 128;
/// Changes that a stream reads at a time.
const STREAM_PAGE: usize = 50;
/// A comment is sent so often while nothing happens, so that both ends notice when the other is gone, and tokens are judged again.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Clients are told to wait so long before they connect again, in milliseconds.
const RETRY_MS: u32 = 5_000;

/// The list that cursors of changes are bound to.
fn list(federation: &Slug) -> [&str; 2] {
    ["changes", federation.as_str()]
}

/// The text of a place.
pub(super) fn mark(federation: &Slug, position: &Position) -> Result<String, Problem> {
    cursor::encode(&list(federation), position)
        .ok_or_else(|| Problem::new(Code::Internal, "The place in the list cannot be named."))
}

/// The place of a text.
pub(super) fn place(federation: &Slug, text: &str) -> Result<Position, Problem> {
    cursor::decode(&list(federation), text)
        .ok_or_else(|| Problem::new(Code::InvalidCursor, "The cursor is not one of this list; start again without."))
}

fn since(federation: &Slug, text: Option<&str>) -> Result<Since, Problem> {
    match text {
        None => Ok(Since::Start),
        Some("now") => Ok(Since::Now),
        Some(text) => place(federation, text).map(Since::After),
    }
}

/// One change as it is written. Its cursor is the place after it.
pub(super) fn body(federation: &Slug, change: ChangeView) -> Result<ChangeItem, Problem> {
    let successor = change.release.as_ref().and_then(|release| release.successor.clone());
    Ok(ChangeItem {
        id: mark(federation, &change.place)?,
        kind: change.kind,
        at: Moment::from_unix_ms(change.at_ms).to_string(),
        text: change.text,
        digest: change.release.as_ref().map(|release| release.digest),
        successor,
        release: change.release.map(|release| item(federation, release.summary)),
        member: change.member.map(|(handle, _)| handle),
        charter: change.charter,
    })
}

/// A change as JSON, for those who are told without asking.
pub(crate) fn change_json(federation: &Slug, change: ChangeView) -> serde_json::Value {
    body(federation, change).ok().and_then(|item| serde_json::to_value(item).ok()).unwrap_or_default()
}

/// `/{federation}/changes`
pub(super) async fn changes(call: Call) -> Answer {
    let federation = call.federation()?;
    let [from, limit] = call.query(["since", "limit"])?;
    let mut accepted = call.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.any(|value| value.split(',').any(|one| one.trim().starts_with("text/event-stream"))) {
        return stream_from(call, federation, from.as_deref()).await;
    }
    let limit = Call::page(limit, None, &[])?.limit;
    let from = since(&federation, from.as_deref())?;
    let _making = call.making().await?;
    let Changes { items, next, more } = call.app.library.changes(&call.reader, &federation, from, limit).await?;
    let items = items.into_iter().map(|change| body(&federation, change)).collect::<Result<_, _>>()?;
    call.json(&ChangeList { items, next: mark(&federation, &next)?, more })
}

/// `/{federation}/changes/stream`
pub(super) async fn stream(call: Call) -> Answer {
    let federation = call.federation()?;
    let [from] = call.query(["since"])?;
    stream_from(call, federation, from.as_deref()).await
}

/// One of the streams; given back when dropped.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(taken: &Arc<AtomicUsize>) -> Result<Self, Problem> {
        let seat = taken.fetch_update(AcqRel, Acquire, |n| (n < STREAMS_MAX).then_some(n + 1));
        seat.map_err(|_| Problem::new(Code::Busy, "There are as many streams as this node allows; poll instead."))?;
        Ok(Self(Arc::clone(taken)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// SPEC: HTML, server-sent events: a client that lost its connection names the last event in `Last-Event-ID`.
async fn stream_from(call: Call, federation: Slug, from: Option<&str>) -> Answer {
    let last = call.headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let from = since(&federation, last.filter(|text| !text.is_empty()).or(from).or(Some("now")))?;
    let changed = call.app.library.changed(&federation).await?;
    // Read once before the head: what is wrong with the request must become its status.
    let first = call.app.library.changes(&call.reader, &federation, from, STREAM_PAGE).await?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if call.method == Method::HEAD {
        return Ok(response);
    }
    let seat = Seat::take(&call.app.streams)?;
    let hello = format!("retry: {RETRY_MS}\n: verbund changes of {federation}\n\n");
    let follower = Follower {
        app: Arc::clone(&call.app),
        reader: call.reader,
        federation,
        position: first.next.clone(),
        ready: Some(first),
        changed,
        hello: Some(hello),
        _seat: seat,
    };
    let events = futures::stream::unfold(follower, |mut follower| async move {
        let part = follower.next().await?;
        Some((Ok::<_, std::convert::Infallible>(part), follower))
    });
    *response.body_mut() = Body::from_stream(events);
    Ok(response)
}

/// One client that follows.
struct Follower {
    app: Arc<App>,
    reader: Reader,
    federation: Slug,
    position: Position,
    ready: Option<Changes>,
    changed: watch::Receiver<u64>,
    hello: Option<String>,
    _seat: Seat,
}

impl Follower {
    /// What is to be sent next; `None` ends the stream, and the client comes again.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(hello) = self.hello.take() {
            return Some(hello.into());
        }
        loop {
            let page = match self.ready.take() {
                Some(page) => page,
                None => {
                    let mut beat = false;
                    tokio::select! {
                        () = self.app.stop.cancelled() => return None,
                        changed = self.changed.changed() => changed.ok()?,
                        () = tokio::time::sleep(HEARTBEAT) => beat = true,
                    }
                    // Whoever may not read any more is not told any more.
                    if !self.app.stands(&self.reader).await {
                        return None;
                    }
                    if beat {
                        return Some(Bytes::from_static(b": still here\n\n"));
                    }
                    self.read().await?
                }
            };
            self.position.clone_from(&page.next);
            if page.more {
                self.ready = Some(self.read().await?);
            }
            let text = self.events(page)?;
            if !text.is_empty() {
                return Some(text.into());
            }
        }
    }

    async fn read(&self) -> Option<Changes> {
        let since = Since::After(self.position.clone());
        self.app.library.changes(&self.reader, &self.federation, since, STREAM_PAGE).await.ok()
    }

    fn events(&self, page: Changes) -> Option<String> {
        let mut text = String::new();
        for change in page.items {
            let item = body(&self.federation, change).ok()?;
            let data = serde_json::to_string(&item).ok()?;
            text.push_str(&format!("id: {}\nevent: {}\ndata: {data}\n\n", item.id, item.kind.as_str()));
        }
        Some(text)
    }
}
