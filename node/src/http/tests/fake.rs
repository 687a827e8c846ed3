//! A library with everything that a test needs, and ways to fail.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::StreamExt as _;
use semver::Version;
use serde_json::json;
use tokio::sync::watch;
use verbund_protocol::ids::{Blake3, FederationId, Sha256, Slug};

use crate::http::library::*;
use crate::http::tokens::Reader;

/// Size of the file that needs many chunks.
pub(super) const BIG_BYTES: usize = (4 << 20) + 77;
/// Size of the large proof.
pub(super) const PROOF_BYTES: usize = 16 << 20;
const CHUNK_BYTES: usize = 64 << 10;
/// The files of `de-he/hundesteuer@1.2.0`, besides those of the faults.
pub(super) const FILES: [(&str, &str); 5] = [
    ("antrag.xml", "application/xml"),
    ("leer.txt", "text/plain"),
    ("formulare/Prüfung 1.html", "text/html"),
    ("big.bin", "application/octet-stream"),
    ("kaputt.typ", "no media type\r\nX-Evil: 1"),
];

/// What a reader does when asked for bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Damaged from the first byte.
    AtOnce,
    /// Damaged in the middle.
    Midway,
    /// Ends too early.
    Short,
    /// Gives more than the file has.
    Long,
    /// Gives the first chunk, then nothing.
    Stuck,
}

pub(super) struct FakeLibrary {
    contents: BTreeMap<&'static str, (Bytes, &'static str, Fault)>,
    /// How often bytes were asked for.
    pub(super) reads: Arc<AtomicUsize>,
    proof: Bytes,
    /// Number of the newest change.
    pub(super) newest: watch::Sender<u64>,
}

/// The content of a file.
pub(super) fn content(path: &str) -> Bytes {
    match path {
        "leer.txt" => Bytes::new(),
        "antrag.xml" => Bytes::from_static(b"<antrag>0123456789</antrag>"),
        "formulare/Pr\u{fc}fung 1.html" => Bytes::from_static(b"<script>alert(1)</script>"),
        "kaputt.typ" => Bytes::from_static(b"x"),
        _ => {
            static BIG: OnceLock<Bytes> = OnceLock::new();
            BIG.get_or_init(|| (0..BIG_BYTES).map(|n| (n * 31 + n / 251) as u8).collect::<Vec<_>>().into()).clone()
        }
    }
}

impl FakeLibrary {
    pub(super) fn new() -> Self {
        let mut contents: BTreeMap<_, _> =
            FILES.iter().map(|(path, media_type)| (*path, (content(path), *media_type, Fault::None))).collect();
        for (path, fault) in [
            ("at-once.bin", Fault::AtOnce),
            ("midway.bin", Fault::Midway),
            ("short.bin", Fault::Short),
            ("long.bin", Fault::Long),
            ("stuck.bin", Fault::Stuck),
        ] {
            contents.insert(path, (content(path), "application/octet-stream", fault));
        }
        let proof = format!("{{\"pad\":\"{}\"}}", "x".repeat(PROOF_BYTES)).into();
        Self { contents, reads: Arc::default(), proof, newest: watch::channel(0).0 }
    }

    fn federation(federation: &Slug) -> Result<(), LibraryError> {
        if ["mitte", "sued"].contains(&federation.as_str()) { Ok(()) } else { Err(LibraryError::NotFound) }
    }

    /// `de-he/hundesteuer` is for all, `de-he/geheim` for the token called `partner`.
    fn known(reader: &Reader, process: &ProcessRef) -> Result<(), LibraryError> {
        Self::federation(&process.federation)?;
        let partner = matches!(reader, Reader::Token(grant) if grant.name == "partner");
        match (process.member.as_str(), process.slug.as_str()) {
            ("de-he", "hundesteuer" | "ohne-version" | "kaputt") => Ok(()),
            ("de-he", "geheim") if partner => Ok(()),
            _ => Err(LibraryError::NotFound),
        }
    }

    fn released(reader: &Reader, release: &ReleaseRef) -> Result<(), LibraryError> {
        Self::known(reader, &release.process)?;
        let version = release.version.to_string();
        if ["1.0.0", "1.2.0", "1.9.0", "2.0.0", "1.2.0-beta.1+x"].contains(&version.as_str()) {
            Ok(())
        } else {
            Err(LibraryError::NotFound)
        }
    }
}

fn summary(slug: &str, version: &str) -> ReleaseSummary {
    ReleaseSummary {
        member: "de-he".parse().unwrap(),
        owner_name: "Hessen".into(),
        slug: slug.parse().unwrap(),
        version: version.parse().unwrap(),
        digest: Sha256::of(slug.as_bytes()),
        published: "2026-01-02T03:04:05Z".into(),
        witnesses: 1,
        witnesses_of: 2,
        held_by: None,
        title: "Hundesteuer anmelden".into(),
        summary: "Anmeldung eines Hundes".into(),
        available: version != "2.0.0",
        withdrawn: false,
        deprecated: false,
    }
}

/// Pages over numbered items; the position is the number in decimal.
fn paged(
    page: &PageRequest,
    total: usize,
    item: impl Fn(usize) -> ReleaseSummary,
) -> Result<Page<ReleaseSummary>, LibraryError> {
    let start = match &page.after {
        None => 0,
        Some(position) => {
            std::str::from_utf8(position).ok().and_then(|t| t.parse().ok()).ok_or(LibraryError::BadPosition)?
        }
    };
    let end = total.min(start + page.limit);
    Ok(Page { items: (start..end).map(item).collect(), next: (end < total).then(|| end.to_string().into_bytes()) })
}

impl Library for FakeLibrary {
    fn federations<'a>(&'a self, _: &'a Reader) -> Answer<'a, Vec<FederationView>> {
        let view = |slug: &str| FederationView {
            slug: slug.parse().unwrap(),
            id: FederationId(Sha256::of(slug.as_bytes()).0),
            name: format!("OZG-Verbund {slug}"),
        };
        Box::pin(async move { Ok(vec![view("mitte"), view("sued")]) })
    }

    fn search<'a>(
        &'a self,
        _: &'a Reader,
        federation: &'a Slug,
        query: Option<&'a str>,
        page: PageRequest,
    ) -> Answer<'a, Page<ReleaseSummary>> {
        Box::pin(async move {
            Self::federation(federation)?;
            match query {
                None => paged(&page, 450, |n| summary(&format!("p-{n:03}"), "1.0.0")),
                Some("Prüfung & mehr") => paged(&page, 1, |_| summary("pruefung", "1.0.0")),
                Some("intern") => Err(LibraryError::Internal("disk /secret/place on fire".into())),
                Some("lang") => Ok(Page { items: Vec::new(), next: Some(vec![0; POSITION_MAX_BYTES + 1]) }),
                Some(_) => paged(&page, 0, |_| summary("x", "1.0.0")),
            }
        })
    }

    fn process<'a>(&'a self, reader: &'a Reader, process: &'a ProcessRef) -> Answer<'a, ProcessView> {
        Box::pin(async move {
            Self::known(reader, process)?;
            let latest = (process.slug.as_str() != "ohne-version").then(|| Version::new(1, 2, 0));
            Ok(ProcessView { latest, details: json!({ "title": "Hundesteuer anmelden" }) })
        })
    }

    fn versions<'a>(
        &'a self,
        reader: &'a Reader,
        process: &'a ProcessRef,
        page: PageRequest,
    ) -> Answer<'a, Page<ReleaseSummary>> {
        Box::pin(async move {
            Self::known(reader, process)?;
            paged(&page, 3, |n| summary(process.slug.as_str(), ["2.0.0", "1.2.0", "1.0.0"][n]))
        })
    }

    fn release<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef) -> Answer<'a, ReleaseView> {
        Box::pin(async move {
            Self::released(reader, release)?;
            let files = self.contents.iter().map(|(path, (bytes, media_type, _))| FileEntry {
                path: (*path).into(),
                size: bytes.len() as u64,
                media_type: (*media_type).into(),
                sha256: Sha256::of(bytes),
                blake3: Blake3::of(bytes),
            });
            Ok(ReleaseView {
                manifest: Sha256::of(b"manifest"),
                metadata: json!({ "title": "Hundesteuer anmelden" }),
                files: files.collect(),
                evidence: json!({ "witnessed": 3 }),
                statements: json!(null),
                unavailable: (release.version.major == 2).then(|| "2 of 7 files are missing".into()),
            })
        })
    }

    fn provenance<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef) -> Answer<'a, Option<Bytes>> {
        Box::pin(async move {
            Self::released(reader, release)?;
            Ok(match release.version.to_string().as_str() {
                "1.0.0" => None,
                "1.9.0" => Some(self.proof.clone()),
                _ => Some(Bytes::from_static(b"{\"proof\":true}")),
            })
        })
    }

    fn open_file<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef, path: &'a str) -> Answer<'a, FileHandle> {
        Box::pin(async move {
            Self::released(reader, release)?;
            match release.version.to_string().as_str() {
                "2.0.0" => return Err(LibraryError::NotAvailable("2 of 7 files are missing".into())),
                "1.0.0" => return Err(LibraryError::Erased("withdrawn with the request to erase".into())),
                "1.9.0" => return Err(LibraryError::Damaged("blob /secret/place".into())),
                _ => {}
            }
            let (bytes, media_type, fault) = self.contents.get(path).cloned().ok_or(LibraryError::NotFound)?;
            Ok(FileHandle {
                size: bytes.len() as u64,
                sha256: Sha256::of(&bytes),
                media_type: media_type.into(),
                reader: Box::new(FakeReader { bytes, fault, reads: Arc::clone(&self.reads) }),
            })
        })
    }

    fn federation<'a>(&'a self, _: &'a Reader, federation: &'a Slug) -> Answer<'a, FederationDetail> {
        Box::pin(async move {
            Self::federation(federation)?;
            Ok(FederationDetail {
                slug: federation.clone(),
                id: FederationId([7; 32]),
                fingerprint: "00000 00000".into(),
                name: "OZG-Verbund <Mitte>".into(),
                founded: "2026-01-02T03:04:05Z".into(),
                charter: CharterView { version: 3, hash: Sha256::of(b"charter") },
                voting: 2,
                quorum: 2,
                witnesses_needed: 1,
                agreement: None,
                license: None,
                terms: None,
                predecessor: None,
            })
        })
    }

    fn members<'a>(&'a self, _: &'a Reader, federation: &'a Slug) -> Answer<'a, Vec<MemberView>> {
        Box::pin(async move { empty(federation) })
    }

    /// Numbers up to the one that the test sets; each a new release.
    fn changes<'a>(&'a self, _: &'a Reader, federation: &'a Slug, since: Since, limit: usize) -> Answer<'a, Changes> {
        Box::pin(async move {
            Self::federation(federation)?;
            let newest = *self.newest.borrow();
            let number = |position: Vec<u8>| {
                let bytes = position.try_into().map_err(|_| LibraryError::BadPosition)?;
                let number = u64::from_be_bytes(bytes);
                if number == 99 { Err(LibraryError::PositionGone) } else { Ok(number) }
            };
            let from = match since {
                Since::Start => 0,
                Since::Now => newest,
                Since::After(position) => number(position)?,
                Since::Newest(_) => 0,
            };
            let items: Vec<_> = (from + 1..=newest).take(limit).map(change).collect();
            let last = items.last().map_or(from, |item| item.number);
            Ok(Changes { items, next: last.to_be_bytes().to_vec(), more: last < newest })
        })
    }

    fn changed<'a>(&'a self, federation: &'a Slug) -> Answer<'a, watch::Receiver<u64>> {
        Box::pin(async move { Self::federation(federation).map(|()| self.newest.subscribe()) })
    }

    fn check<'a>(&'a self, _: &'a Reader, federation: &'a Slug, digests: Vec<Sha256>) -> Answer<'a, Vec<Checked>> {
        Box::pin(async move {
            Self::federation(federation)?;
            let unknown = |_| Checked {
                standing: Standing::Unknown,
                kind: None,
                release: None,
                path: None,
                newer: None,
                reason: None,
                successor: None,
            };
            Ok(digests.iter().map(unknown).collect())
        })
    }

    fn described<'a>(&'a self, _: &'a Reader, federation: &'a Slug, _: PageRequest) -> Answer<'a, Page<Described>> {
        Box::pin(async move { empty(federation).map(|items| Page { items, next: None }) })
    }
}

fn change(number: u64) -> ChangeView {
    ChangeView {
        number,
        place: number.to_be_bytes().to_vec(),
        at_ms: 1_800_000_000_000 + number,
        kind: ChangeKind::Available,
        text: format!("Neue Version & mehr: {number}"),
        release: Some(ChangedRelease {
            digest: Sha256([number as u8; 32]),
            summary: summary("hundesteuer", "1.2.0"),
            successor: None,
        }),
        member: None,
        charter: None,
    }
}

/// What the node's own library decides is tested with it; here the surface is.
fn empty<T: Default>(federation: &Slug) -> Result<T, LibraryError> {
    FakeLibrary::federation(federation).map(|()| T::default())
}

struct FakeReader {
    bytes: Bytes,
    fault: Fault,
    reads: Arc<AtomicUsize>,
}

impl RangeReader for FakeReader {
    fn read(self: Box<Self>, range: Range<u64>) -> ByteStream {
        self.reads.fetch_add(1, SeqCst);
        let part = self.bytes.slice(range.start as usize..range.end as usize);
        let damaged = || Err(io::Error::new(io::ErrorKind::InvalidData, "hash mismatch"));
        let chunks: Vec<io::Result<Bytes>> =
            part.chunks(CHUNK_BYTES).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let half = chunks.len() / 2;
        match self.fault {
            Fault::None => futures::stream::iter(chunks).boxed(),
            Fault::AtOnce => futures::stream::iter([damaged()]).boxed(),
            Fault::Midway => futures::stream::iter(chunks.into_iter().take(half).chain([damaged()])).boxed(),
            Fault::Short => futures::stream::iter(chunks.into_iter().take(half)).boxed(),
            Fault::Long => {
                futures::stream::iter(chunks.into_iter().map(|c| c.map(|b| [&b[..], b"x"].concat().into()))).boxed()
            }
            Fault::Stuck => futures::stream::iter(chunks.into_iter().take(1)).chain(futures::stream::pending()).boxed(),
        }
    }
}
