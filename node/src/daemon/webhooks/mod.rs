//! Webhooks: changes are told to systems of this member, as CloudEvents.
//!
//! Owns the deliveries of each configured hook: one after the other, in the order of changes, each tried again until it is taken
//! or its time is over. There is no queue: a hook reads the list of changes from where it is, and where it is survives a restart.
//! It sees what a token of this member sees. Deliveries and failures are events (`verbund events`).

mod target;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use verbund_protocol::ids::Slug;

use super::clock::now;
use super::events::Events;
use crate::admin::api::{Moment, Severity};
use crate::config::Webhook;
use crate::http::Library;
use crate::http::library::{ChangeView, LibraryError, Position, Since};
use crate::http::tokens::{Grant, Reader, Scope};
use target::Target;

/// The pause before a delivery is tried again doubles up to this.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// A delivery is given up after so many tries: with pauses of 5 s that double, after some 16 hours.
const TRIES_MAX: u32 = 26;
/// Changes read at a time.
const PAGE: usize = 50;
/// Where nothing is to be told, this is looked at again: the list of federations may have grown.
const IDLE: Duration = Duration::from_secs(30);
/// Shortest secret, in bytes.
const SECRET_MIN: usize = 24;
/// Longest file with a secret, in bytes.
const SECRET_MAX: u64 = 4 << 10;

/// What hooks work with.
#[derive(Clone)]
pub struct Courier {
    /// What they read.
    pub library: Arc<dyn Library>,
    /// Where deliveries are told.
    pub events: Events,
    /// Where their places are kept.
    pub data_dir: PathBuf,
    /// Ends them.
    pub stop: CancellationToken,
}

/// A hook, ready to deliver.
struct Hook {
    name: String,
    target: Target,
    secret: Vec<u8>,
    federation: Option<Slug>,
    retry: Duration,
    courier: Courier,
}

/// Starts the configured hooks. One that cannot work is told, and the others run.
pub fn start<'a>(courier: &Courier, hooks: impl Iterator<Item = (&'a Slug, &'a Webhook)>) {
    for (name, config) in hooks {
        match Hook::new(courier, name.as_str(), config) {
            Ok(hook) => drop(tokio::spawn(hook.run())),
            Err(why) => {
                let text = format!("the webhook {name} cannot work: {why}");
                courier.events.tell("webhook_failed", Severity::Error, text, details(name.as_str(), None));
            }
        }
    }
}

fn details(name: &str, id: Option<&str>) -> Map<String, Value> {
    let mut details = Map::new();
    details.insert("webhook".to_owned(), json!(name));
    if let Some(id) = id {
        details.insert("id".to_owned(), json!(id));
    }
    details
}

impl Hook {
    fn new(courier: &Courier, name: &str, config: &Webhook) -> Result<Self, String> {
        let cacert = config.cacert.as_ref().map(|path| courier.data_dir.join(path));
        let target = Target::new(&config.url, config.allow_private, cacert.as_deref()).map_err(|e| e.to_string())?;
        let secret = secret(&courier.data_dir.join(&config.secret))?;
        let retry = Duration::from_millis(config.retry.ms());
        let (name, courier, federation) = (name.to_owned(), courier.clone(), config.federation.clone());
        Ok(Self { name, target, secret, federation, retry, courier })
    }

    /// Delivers until the node stops.
    async fn run(self) {
        let stop = self.courier.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.rounds() => {}
        }
    }

    /// One round after the other over the federations. A receiver that takes nothing keeps all of its own waiting, nobody else's.
    async fn rounds(&self) {
        loop {
            let mut waits = Vec::new();
            for federation in self.federations().await {
                let Ok(mut changed) = self.courier.library.changed(&federation).await else { continue };
                changed.mark_unchanged();
                if let Err(error) = self.deliver_all(&federation).await {
                    tracing::warn!(webhook = self.name, %error, "changes cannot be read for now");
                }
                waits.push(Box::pin(async move { changed.changed().await.is_ok() }));
            }
            let next = async {
                if waits.is_empty() {
                    return std::future::pending().await;
                }
                futures::future::select_all(waits).await;
            };
            tokio::select! {
                () = next => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }

    async fn federations(&self) -> Vec<Slug> {
        let all = self.courier.library.federations(&reader()).await.unwrap_or_default();
        let wanted = |slug: &Slug| self.federation.as_ref().is_none_or(|named| named == slug);
        all.into_iter().map(|federation| federation.slug).filter(wanted).collect()
    }

    /// Delivers what is there, and notes after each where it is.
    async fn deliver_all(&self, federation: &Slug) -> Result<(), LibraryError> {
        let path = self.place_file(federation);
        let (library, reader) = (&self.courier.library, reader());
        let read = async |since: Since| library.changes(&reader, federation, since, PAGE).await;
        let mut position = match load(&path) {
            Ok(Some(position)) => position,
            // A new hook is told what happens from now on.
            known => {
                if let Err(error) = known {
                    self.tell_gap(federation, &error.to_string());
                }
                let position = read(Since::Now).await?.next;
                self.keep(&path, &position);
                position
            }
        };
        loop {
            let page = match read(Since::After(position.clone())).await {
                Err(LibraryError::PositionGone | LibraryError::BadPosition) => {
                    self.tell_gap(federation, "the list of changes does not reach back so far");
                    position = read(Since::Now).await?.next;
                    self.keep(&path, &position);
                    continue;
                }
                page => page?,
            };
            for change in page.items {
                let place = change.place.clone();
                self.deliver(federation, change).await;
                self.keep(&path, &place);
            }
            position = page.next;
            self.keep(&path, &position);
            if !page.more {
                return Ok(());
            }
        }
    }

    fn tell_gap(&self, federation: &Slug, why: &str) {
        let text =
            format!("the webhook {} lost its place in {federation} ({why}); it goes on with what comes", self.name);
        self.courier.events.tell("webhook_gap", Severity::Warning, text, details(&self.name, None));
    }

    fn place_file(&self, federation: &Slug) -> PathBuf {
        self.courier.data_dir.join("webhooks").join(format!("{}.{federation}", self.name))
    }

    fn keep(&self, path: &Path, position: &Position) {
        if let Err(error) = save(path, position) {
            tracing::warn!(webhook = self.name, %error, "the place of a webhook cannot be kept; after a restart changes come again");
        }
    }

    /// Delivers one change, again and again, until it is taken or given up.
    async fn deliver(&self, federation: &Slug, change: ChangeView) {
        let Ok((id, body)) = event(federation, change) else { return };
        let mut pause = self.retry;
        for attempt in 1..=TRIES_MAX {
            let failure = match self.target.post(&sign(&self.secret, &id, now().wall_s(), &body), body.clone()).await {
                Ok(()) => {
                    let text = format!("the webhook {} was delivered, at try {attempt}", self.name);
                    self.courier.events.tell("webhook_delivered", Severity::Info, text, details(&self.name, Some(&id)));
                    return;
                }
                Err(failure) => failure,
            };
            let text = format!("the webhook {} was not taken, try {attempt} of {TRIES_MAX}: {failure}", self.name);
            self.courier.events.tell("webhook_failed", Severity::Warning, text, details(&self.name, Some(&id)));
            if attempt < TRIES_MAX {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        let text = format!("the webhook {} is given up for one change; the next follows", self.name);
        self.courier.events.tell("webhook_given_up", Severity::Error, text, details(&self.name, Some(&id)));
    }
}

/// A system of this member, as a token without bounds makes it.
fn reader() -> Reader {
    let (id, name) = (crate::http::tokens::TokenId::NONE, "webhook".to_owned());
    Reader::Token(Grant { id, name, scopes: [Scope::Read].into(), federations: None })
}

/// SPEC: CloudEvents 1.0 §3, JSON format §3: id and body of an event.
fn event(federation: &Slug, change: ChangeView) -> Result<(String, Bytes), serde_json::Error> {
    let subject = change.release.as_ref().map(|release| {
        let line = &release.summary;
        format!("{}/{}@{}", line.member, line.slug, line.version)
    });
    let subject = subject.or_else(|| change.member.as_ref().map(|(handle, _)| handle.to_string()));
    let (kind, at) = (change.kind.as_str(), Moment::from_unix_ms(change.at_ms).to_string());
    let data = crate::http::change_json(federation, change);
    let id = data.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("/api/v1/{federation}/changes"),
        "type": format!("verbund.{kind}"),
        "time": at,
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(subject) = subject {
        event["subject"] = json!(subject);
    }
    Ok((id, serde_json::to_vec(&event)?.into()))
}

/// SPEC: Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, base64, so that receivers can refuse what is old or not ours.
fn sign(secret: &[u8], id: &str, now_s: u64, body: &[u8]) -> Vec<(&'static str, String)> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let mut context = aws_lc_rs::hmac::Context::with_key(&key);
    context.update(format!("{id}.{now_s}.").as_bytes());
    context.update(body);
    let signature = STANDARD.encode(context.sign().as_ref());
    vec![
        ("content-type", "application/cloudevents+json; charset=utf-8".to_owned()),
        ("user-agent", concat!("verbund/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", now_s.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
}

/// The secret in a file: its text without the line's end.
fn secret(path: &Path) -> Result<Vec<u8>, String> {
    let unread = |error: io::Error| format!("cannot read the secret {}: {error}", path.display());
    if path.metadata().map_err(unread)?.len() > SECRET_MAX {
        return Err(format!("{} is too large to hold a secret", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let secret = text.trim();
    if secret.len() < SECRET_MIN {
        return Err(format!("the secret in {} has fewer than {SECRET_MIN} characters", path.display()));
    }
    Ok(secret.as_bytes().to_vec())
}

/// The place that was kept; `None` if there never was one.
fn load(path: &Path) -> io::Result<Option<Position>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) if text.trim().is_empty() => Err(io::Error::new(io::ErrorKind::InvalidData, "its file is empty")),
        Ok(text) => hex::decode(text.trim()).map(Some).map_err(io::Error::other),
    }
}

/// Whole before it has its name. The name is not synced: after a power cut some changes are delivered again, under their old ids.
fn save(path: &Path, position: &Position) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let draft = path.with_extension("new");
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(hex::encode(position).as_bytes())?;
    file.sync_data()?;
    std::fs::rename(draft, path)
}
