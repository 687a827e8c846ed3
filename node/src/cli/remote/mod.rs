//! `verbund --server URL process …`: the catalogue of another node over HTTPS, shown and pulled like the local one.
//!
//! Owns the way from a reference to a release of that node. What is pulled is checked against the publisher's statement before
//! anything is written, whatever the server says.

mod https;
mod shapes;

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use semver::Version;
use serde_json::json;
use verbund_protocol::ids::Sha256;
use verbund_protocol::view::catalogue::{Name, Reference, Selector, Target};

use https::Https;
pub(crate) use https::{Server, roots};
use shapes::{CheckAnswer, Federations, Item, List, Release};

use super::Context;
use super::exit::{Exit, Failure};
use super::host::{Evidence, FileDigest};
use super::outdated::{Answer, Standing};
use super::pull::{self, Source};
use crate::admin::api::{ProcessList, ReleaseView};
use crate::admin::client::Bytestream;

/// Items of a page: as many as a server gives.
const PAGE: usize = 200;
/// Pages of one list: what a server that never ends could send otherwise.
const PAGES_MAX: usize = 1_000;
/// Digests of one question: as many as a server takes.
const DIGESTS_MAX: usize = 500;
/// How often a file is asked for again where it broke off, without a byte in between.
const TRIES: u32 = 5;
/// Longest wait for the next piece of a file.
const STALL: Duration = Duration::from_secs(60);

/// A node that is asked over HTTPS.
pub(super) struct Remote<'c> {
    context: &'c Context<'c>,
    https: Arc<Https>,
}

impl<'c> Remote<'c> {
    pub(super) fn open(context: &'c Context<'c>, server: &Server) -> Result<Self, Failure> {
        Ok(Self { context, https: Arc::new(Https::open(server)?) })
    }

    /// The federation that is meant: the one named, or the only one that the server shows.
    async fn federation(&self, named: Option<String>) -> Result<String, Failure> {
        if let Some(named) = named.or_else(|| self.context.federation()) {
            return Ok(escape(&named));
        }
        let all: Federations = self.https.get("/api/v1/federations").await?;
        match all.items.as_slice() {
            [only] => Ok(only.slug.clone()),
            [] => Err(Failure::new(Exit::NotFound, "the server shows no federation to this token")),
            many => {
                let list: Vec<_> = many.iter().map(|one| one.slug.as_str()).collect();
                let text = format!("the server is in several federations: {}", list.join(", "));
                Err(Failure::new(Exit::Usage, text).next("name one with --federation"))
            }
        }
    }

    /// Walks a list page by page, until `take` has seen enough.
    async fn walk(&self, path: &str, query: &str, mut take: impl FnMut(Item) -> bool) -> Result<(), Failure> {
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let page: List = self.https.get(&format!("{path}?limit={PAGE}{query}{cursor}")).await?;
            for item in page.items {
                if !take(item) {
                    return Ok(());
                }
            }
            match page.next {
                Some(next) => cursor = format!("&cursor={}", escape(&next)),
                None => return Ok(()),
            }
        }
        Err(Failure::failed("the server's list does not end"))
    }

    /// Lists or searches processes.
    pub(super) async fn list(
        &self,
        text: Option<&str>,
        member: Option<&str>,
        withdrawn: bool,
        limit: usize,
    ) -> Result<ProcessList, Failure> {
        let federation = self.federation(None).await?;
        let query = text.map_or_else(String::new, |text| format!("&q={}", escape(text)));
        let mut processes = Vec::new();
        self.walk(&format!("/api/v1/{federation}/processes"), &query, |item| {
            let fits = member.is_none_or(|member| item.member.as_str() == member) && (withdrawn || !item.withdrawn);
            if fits {
                processes.push(item.row(&federation));
            }
            processes.len() < limit
        })
        .await?;
        processes.truncate(limit);
        Ok(ProcessList { processes, total: None, facets: BTreeMap::new(), next: None })
    }

    /// The release that a reference means.
    async fn find(&self, text: &str) -> Result<Release, Failure> {
        let reference: Reference =
            text.parse().map_err(|error: verbund_protocol::view::catalogue::ReferenceError| {
                Failure::new(Exit::Usage, error.to_string())
            })?;
        let federation = self.federation(reference.federation.map(|slug| slug.to_string())).await?;
        let (owner, slug, selector) = match reference.target {
            Target::Release(digest) => return self.by_digest(&federation, digest).await,
            Target::Process { selector: Selector::Digest(digest), .. } => {
                return self.by_digest(&federation, digest).await;
            }
            Target::Process { owner: Name::Handle(owner), slug, selector } => (owner, slug, selector),
            Target::Process { owner: Name::Member(_), .. } => {
                let text = "over --server an owner is named by its handle, such as de-he";
                return Err(Failure::new(Exit::Usage, text));
            }
        };
        let base = format!("/api/v1/{federation}/releases/{owner}/{slug}");
        match selector {
            Selector::Exact(version) => self.https.get(&format!("{base}/{}", escape(&version.to_string()))).await,
            Selector::Range(range) => {
                let mut best: Option<(bool, Version, String)> = None;
                let path = format!("/api/v1/{federation}/processes/{owner}/{slug}/versions");
                self.walk(&path, "", |item| {
                    if range.matches(&item.version) && !item.withdrawn {
                        let found = (item.version.pre.is_empty(), item.version, item.release);
                        if best.as_ref().is_none_or(|best| (best.0, &best.1) < (found.0, &found.1)) {
                            best = Some(found);
                        }
                    }
                    true
                })
                .await?;
                let text = format!("{owner}/{slug} has no version {range} that is not withdrawn");
                self.follow(&best.ok_or_else(|| Failure::new(Exit::NotFound, text))?.2).await
            }
            Selector::Newest | Selector::Digest(_) => {
                let response = self.https.send("GET", &format!("{base}/latest"), &[], Bytes::new()).await?;
                let to = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                let to = to.map(str::to_owned).filter(|_| response.status() == StatusCode::TEMPORARY_REDIRECT);
                // Read to its end, so that the connection can be used again.
                self.https.bytes(response).await?;
                self.follow(&to.ok_or_else(|| Failure::failed("the server does not say which version is the latest"))?)
                    .await
            }
        }
    }

    async fn by_digest(&self, federation: &str, digest: Sha256) -> Result<Release, Failure> {
        let found = self.check(federation, &[digest]).await?;
        let release = found.into_iter().next().filter(|item| item.kind.as_deref() == Some("release"));
        let address = release.and_then(|item| item.release).map(|release| release.release);
        let none = || Failure::new(Exit::NotFound, format!("the server knows no release {digest}"));
        self.follow(&address.ok_or_else(none)?).await
    }

    /// An address that the server gave: of this interface only.
    async fn follow(&self, address: &str) -> Result<Release, Failure> {
        if !address.starts_with("/api/v1/") {
            return Err(Failure::failed("the server leads to another place than its own interface"));
        }
        self.https.get(address).await
    }

    async fn check(&self, federation: &str, digests: &[Sha256]) -> Result<Vec<shapes::CheckItem>, Failure> {
        let mut items = Vec::new();
        for part in digests.chunks(DIGESTS_MAX) {
            let answer: CheckAnswer =
                self.https.post(&format!("/api/v1/{federation}/check"), &json!({ "digests": part })).await?;
            if answer.items.len() != part.len() {
                return Err(Failure::failed("the server answers another number of questions than it was asked"));
            }
            items.extend(answer.items);
        }
        Ok(items)
    }

    /// How pulled releases stand, in the order of `digests`.
    pub(super) async fn standing(&self, digests: &[Sha256]) -> Result<Vec<Answer>, Failure> {
        let federation = self.federation(None).await?;
        let items = self.check(&federation, digests).await?;
        let answer = |item: shapes::CheckItem| {
            let standing = Standing::of(&item.standing);
            let newer = item.newer.map(|newer| newer.name());
            Answer {
                standing,
                release: item.release.map(|release| release.name()),
                instead: item.successor.or(newer).filter(|_| standing != Standing::Current),
                why: item.reason,
            }
        };
        Ok(items.into_iter().map(answer).collect())
    }

    /// A release in full.
    pub(super) async fn show(&self, text: &str) -> Result<ReleaseView, Failure> {
        self.find(text).await.map(Release::view)
    }

    /// Pulls a release into a folder.
    pub(super) async fn pull(&self, text: &str, out: &Path, force: bool) -> Result<Exit, Failure> {
        let release = self.find(text).await?;
        let (proof, base) = (release.provenance.clone(), release.provenance.clone());
        let base = base.strip_suffix("/provenance").filter(|base| base.starts_with("/api/v1/"));
        let base = base.ok_or_else(|| Failure::failed("the server names no place of the proof"))?.to_owned();
        let view = release.view();
        pull::complete(&view)?;
        let response = self.https.send("GET", &proof, &[], Bytes::new()).await?;
        let provenance = self.https.bytes(response).await?;
        self.verify(&view, &provenance)?;
        let files = Files { https: Arc::clone(&self.https), base };
        pull::into_folder(self.context, &view, &provenance, &files, out, force).await
    }

    /// Whether what the server lists is what the publisher signed. Nothing was written yet.
    fn verify(&self, view: &ReleaseView, provenance: &[u8]) -> Result<(), Failure> {
        let digest = |file: &crate::admin::api::FileEntry| {
            (file.path.clone(), FileDigest { size: file.size, sha256: file.sha256 })
        };
        let files: BTreeMap<_, _> = view.files.iter().map(digest).collect();
        let evidence = Evidence { provenance, files: &files, trust: None };
        let next = "do not use what this server offers; tell its operator";
        let refused = |why: &str| {
            let text = format!("what the server lists is not what was signed; nothing was written:\n{why}");
            Failure::new(Exit::Verification, text).next(next)
        };
        let report = self.context.host.verify(&evidence).map_err(|why| refused(&why))?;
        if let Some(step) = report.failed() {
            return Err(refused(&format!("{}: {}", step.name, step.text)));
        }
        if report.release.as_ref().map(|facts| facts.release) != Some(view.digest) {
            let text = "the server's proof is of another release; nothing was written";
            return Err(Failure::new(Exit::Verification, text).next(next));
        }
        Ok(())
    }
}

/// Files of one release. A download that breaks off goes on where it was.
struct Files {
    https: Arc<Https>,
    base: String,
}

impl Source for Files {
    fn open<'a>(&'a self, path: &'a str) -> Pin<Box<dyn Future<Output = Result<Bytestream, Failure>> + 'a>> {
        Box::pin(async move {
            let address = format!("{}/files/{}", self.base, crate::http::text::encode_path(path));
            let part = Part { https: Arc::clone(&self.https), address, at: 0, tag: None, body: None, tries: 0 };
            let pieces = futures::stream::unfold(Some(part), |part| async move {
                let mut part = part?;
                match part.next().await {
                    Ok(Some(piece)) => Some((Ok(piece), Some(part))),
                    Ok(None) => None,
                    Err(failure) => Some((Err(std::io::Error::other(failure.text)), None)),
                }
            });
            Ok(pieces.boxed() as Bytestream)
        })
    }
}

/// A file on its way.
struct Part {
    https: Arc<Https>,
    address: String,
    at: u64,
    tag: Option<String>,
    body: Option<hyper::body::Incoming>,
    tries: u32,
}

impl Part {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.ask().await?,
            };
            let frame = tokio::time::timeout(STALL, body.frame()).await;
            let frame = frame.map_or_else(
                |_| Some(Err("nothing came for a minute".to_owned())),
                |frame| frame.map(|frame| frame.map_err(|error| error.to_string())),
            );
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    self.body = Some(body);
                    let Ok(piece) = frame.into_data() else { continue };
                    (self.at, self.tries) = (self.at + piece.len() as u64, 0);
                    return Ok(Some(piece));
                }
                Some(Err(error)) => {
                    self.tries += 1;
                    if self.tries > TRIES {
                        return Err(Failure::new(Exit::Unreachable, format!("it broke off {TRIES} times: {error}")));
                    }
                    tokio::time::sleep(Duration::from_millis(200) * self.tries).await;
                }
            }
        }
    }

    /// Asks for what is missing of the same bytes as before.
    async fn ask(&mut self) -> Result<hyper::body::Incoming, Failure> {
        let mut extra = Vec::new();
        if let (Some(tag), 1..) = (&self.tag, self.at) {
            extra = vec![(header::RANGE, format!("bytes={}-", self.at)), (header::IF_RANGE, tag.clone())];
        }
        let response = self.https.send("GET", &self.address, &extra, Bytes::new()).await?;
        if self.at > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(Failure::failed("the server does not go on where the download broke off; repeat the command"));
        }
        let tag = response.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
        self.tag = tag.map(str::to_owned);
        Ok(response.into_body())
    }
}

fn escape(text: &str) -> String {
    crate::http::text::encode_path(text).replace('/', "%2F")
}
