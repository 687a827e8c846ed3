//! The library over a federation of one member: a real journal, real artifacts, a real loop.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use verbund_protocol::charter::certificate::{Founder, found};
use verbund_protocol::charter::rules::{Charter, Member as Listing, Rules};
use verbund_protocol::core::{Command, EventKind, Reply};
use verbund_protocol::documents::{Document, RELEASE_TYPE, Standing, Withdrawal, Writer};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::{Identity, PublisherRole, Role, Roles};
use verbund_protocol::ids::{Blake3, MemberId, Sha256};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::release::metadata::{Audience, Context};
use verbund_protocol::release::statement::Draft;
use verbund_protocol::release::{self, Manifest, Metadata};

use super::*;
use crate::blobs::{BlobStore, Options};
use crate::config::Config;
use crate::daemon::founding::Member;
use crate::daemon::instance::{Begin, Instance};
use crate::http::tokens::{Grant, Scope};

/// Whatever is waited for happens within this time, or the test fails.
const WAIT: Duration = Duration::from_secs(60);

struct House {
    dir: TempDir,
    library: NodeLibrary,
    instance: Arc<Instance>,
    member: Arc<Member>,
    blobs: BlobStore,
    stop: CancellationToken,
}

fn key(role: u8) -> SecretKey {
    SecretKey::from_seed(&[role; 32])
}

fn member() -> Member {
    let role = |n| Role { keys: vec![key(n).public()], threshold: 1 };
    let identity = Identity {
        version: 1,
        member: None,
        prev: None,
        handle: "de-he".parse().unwrap(),
        names: BTreeMap::from([("de".to_owned(), "Hessen".to_owned())]),
        ags: None,
        contact: None,
        valid_until: None,
        roles: Roles {
            root: role(1),
            approver: role(2),
            publisher: PublisherRole { keys: vec![key(3).public()], threshold: 1, slugs: BTreeMap::new() },
            nodes: vec![key(4).public()],
        },
    };
    let envelope = identity.seal(&[&key(1)]).unwrap();
    Member {
        id: MemberId(envelope.id().0),
        identity,
        chain: vec![envelope.into_bytes()],
        node: key(4),
        root: Some(key(1)),
        approver: Some(key(2)),
        publisher: Some(key(3)),
    }
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let member = Arc::new(member());
        let identity = Envelope::parse(&member.chain[0]).unwrap();
        let writer =
            Writer { federation: None, member: member.id, seq: 1, prev: None, peer: key(4).peer(), closes: None };
        let writer = writer.seal(&[&key(1)]).unwrap();
        let rules = Rules {
            name: "Verbund Mitte".into(),
            slug: "mitte".parse().unwrap(),
            agreement: None,
            license: None,
            terms: None,
        };
        let listing = Listing {
            member: member.id,
            handle: "de-he".parse().unwrap(),
            standing: Standing::Full,
            identity: identity.id(),
            writer: writer.id(),
        };
        let founder = Founder { identities: &[identity], writer: &writer, approver: &[&key(2)], node: &key(4) };
        let (bundle, certified) = found(&Charter::genesis(rules, listing, 1_767_225_600, None), &founder).unwrap();
        let blobs = Options { floor_bytes: 0, ..Options::default() };
        let blobs = BlobStore::open(&dir.path().join("artifacts"), blobs).unwrap();
        let mut config = Config::default();
        config.limits.disk_floor.0 = 0;
        let stop = CancellationToken::new();
        let shared = Shared {
            member: member.clone(),
            blobs: blobs.clone(),
            events: Default::default(),
            config: Arc::new(config),
            stop: stop.clone(),
            failed: mpsc::channel(1).0,
        };
        let (path, given) = (dir.path().to_owned(), shared.clone());
        let start = move || {
            let listen = vec!["127.0.0.1:0".parse().unwrap()];
            Instance::start(&path, certified.federation, Begin::Found(Box::new(bundle)), &given, listen, Vec::new())
        };
        let instance = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
        let named = Named { slug: "mitte".into(), name: "Verbund Mitte".into(), instance: instance.clone() };
        let federations: Federations = Box::new(move || {
            let named = named.clone();
            Box::pin(async move { Ok(vec![named]) })
        });
        let library = NodeLibrary {
            federations,
            shared,
            manifests: Arc::default(),
            changes: Arc::default(),
            files: Default::default(),
        };
        Self { dir, library, instance, member, blobs, stop }
    }

    async fn end(self) {
        self.stop.cancel();
        self.instance.shutdown().await;
    }

    /// Appends to the own log, as soon as the node may.
    async fn append(&self, envelope: Envelope) -> (u64, Sha256) {
        let mut events = self.instance.follow();
        loop {
            match self.instance.command(Command::Append(envelope.bytes().to_vec())).await.unwrap() {
                Ok(Reply::Appended { index, id }) => return (index, id),
                Ok(other) => panic!("{other:?}"),
                Err(problem) if matches!(problem.code, "recovering" | "not_ready") => {
                    tokio::time::timeout(WAIT, events.recv()).await.unwrap().unwrap();
                }
                Err(problem) => panic!("{problem:?}"),
            }
        }
    }

    /// Waits for an event.
    async fn event(
        &self,
        events: &mut tokio::sync::broadcast::Receiver<crate::daemon::events::Told>,
        fits: impl Fn(&EventKind) -> bool,
    ) {
        let wait = async { while !events.recv().await.unwrap().kind.as_ref().is_some_and(&fits) {} };
        tokio::time::timeout(WAIT, wait).await.unwrap();
    }

    /// Publishes a release with one file, which is here or not.
    async fn publish(&self, slug: &str, version: &str, audience: Audience, content: &[u8], here: bool) -> Sha256 {
        let mut metadata = metadata(slug, version);
        metadata.audience = audience;
        if here {
            self.blobs.import_bytes(content.to_vec()).await.unwrap();
        }
        let entry = release::FileEntry {
            path: "formulare/antrag.xml".parse().unwrap(),
            size: content.len() as u64,
            media_type: "application/xml".into(),
            sha256: Sha256::of(content),
            blake3: Blake3::of(content),
        };
        let manifest = Manifest::new(vec![entry]).unwrap();
        let federation = self.instance.federation;
        let draft = Draft {
            federation,
            member: self.member.id,
            time_s: 1_767_290_000,
            metadata: &metadata,
            manifest: &manifest,
        };
        let prepared = draft.prepare().unwrap();
        self.blobs.import_bytes(prepared.manifest).await.unwrap();
        let mut events = self.instance.follow();
        let (at, id) = self.append(Envelope::sign(RELEASE_TYPE, prepared.payload, [&key(3)]).unwrap()).await;
        self.event(&mut events, |kind| match kind {
            EventKind::ReleaseAvailable { index, .. } => here && *index == at,
            EventKind::ReleaseBlocked { index, .. } => !here && *index == at,
            _ => false,
        })
        .await;
        id
    }

    async fn withdraw(&self, slug: &str, release: Sha256, erase: bool) {
        let withdrawal = Withdrawal {
            federation: self.instance.federation,
            member: self.member.id,
            process: slug.parse().unwrap(),
            release,
            reason: "rechnet falsch".into(),
            severity: "high".into(),
            successor: None,
            erase,
            time_s: 1_767_300_000,
        };
        self.append(withdrawal.seal(&[&key(3)]).unwrap()).await;
    }

    async fn names(&self, reader: &Reader) -> Vec<String> {
        let page = PageRequest { after: None, limit: 100 };
        let found = self.library.search(reader, &mitte(), None, page).await.unwrap();
        found.items.iter().map(|i| format!("{}/{}@{}", i.member, i.slug, i.version)).collect()
    }

    async fn bytes(
        &self,
        reader: &Reader,
        release: &ReleaseRef,
        range: std::ops::Range<u64>,
    ) -> std::io::Result<Vec<u8>> {
        let file = self.library.open_file(reader, release, "formulare/antrag.xml").await.unwrap();
        let chunks: Vec<Bytes> = file.reader.read(range).try_collect().await?;
        Ok(chunks.concat())
    }
}

fn metadata(slug: &str, version: &str) -> Metadata {
    let text = format!(
        "id = \"{slug}\"\nversion = \"{version}\"\ntitle = \"Titel von {slug}\"\nsummary = \"Ein Prozess\"\n\
         leistungsschluessel = [\"99102013060000\"]\nlevel = [\"kommunal\"]\nlicense = \"EUPL-1.2\"\n\
         maintenance = \"internal\"\ncontact = \"prozesse@example.de\"\nplatform = {{ name = \"civento\" }}\n\
         change = {{ kind = \"fachlich\", text = \"Fassung\" }}\n"
    );
    Metadata::from_toml("process.toml", &text, Context::default()).unwrap().0
}

fn mitte() -> Slug {
    "mitte".parse().unwrap()
}

fn token() -> Reader {
    Reader::Token(Grant {
        id: "0011223344556677".parse().unwrap(),
        name: "Fachverfahren".into(),
        scopes: [Scope::Read].into(),
        federations: None,
    })
}

fn process(slug: &str) -> ProcessRef {
    ProcessRef { federation: mitte(), member: "de-he".parse().unwrap(), slug: slug.parse().unwrap() }
}

fn release(slug: &str, version: &str) -> ReleaseRef {
    ReleaseRef { process: process(slug), version: version.parse().unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_sees_what_the_member_may_have_and_nobody_else_what_is_not_public() {
    let house = House::new().await;
    let content: Vec<u8> = (0..70_000_u32).map(|n| (n % 251) as u8).collect();
    let for_us = Audience::Members(vec!["de-rp".parse().unwrap()]);
    house.publish("alle", "1.0.0", Audience::Federation, b"<alle/>", true).await;
    house.publish("eigen", "1.0.0", for_us, b"<eigen/>", true).await;
    house.publish("offen", "1.0.0", Audience::Public, &content, true).await;
    let (token, nobody) = (token(), Reader::Anonymous);
    assert_eq!(house.names(&token).await, ["de-he/alle@1.0.0", "de-he/eigen@1.0.0", "de-he/offen@1.0.0"]);
    assert_eq!(house.names(&nobody).await, ["de-he/offen@1.0.0"]);
    for hidden in ["alle", "eigen"] {
        let release = release(hidden, "1.0.0");
        assert!(matches!(house.library.release(&nobody, &release).await, Err(LibraryError::NotFound)), "{hidden}");
        assert!(matches!(house.library.process(&nobody, &release.process).await, Err(LibraryError::NotFound)));
        let file = house.library.open_file(&nobody, &release, "formulare/antrag.xml").await;
        assert!(matches!(file, Err(LibraryError::NotFound)));
        let versions = house.library.versions(&nobody, &release.process, PageRequest { after: None, limit: 9 }).await;
        assert!(matches!(versions, Err(LibraryError::NotFound)));
        assert!(matches!(house.library.provenance(&nobody, &release).await, Err(LibraryError::NotFound)));
        house.library.release(&token, &release).await.unwrap();
    }
    let open = release("offen", "1.0.0");
    for reader in [&token, &nobody] {
        assert_eq!(house.bytes(reader, &open, 0..70_000).await.unwrap(), content);
        assert_eq!(house.bytes(reader, &open, 16_000..33_001).await.unwrap(), content[16_000..33_001]);
    }
    let file = house.library.open_file(&token, &open, "formulare/antrag.xml").await.unwrap();
    assert_eq!((file.size, file.sha256, file.media_type.as_str()), (70_000, Sha256::of(&content), "application/xml"));
    for path in ["formulare", "../antrag.xml", "FORMULARE/antrag.xml"] {
        assert!(matches!(house.library.open_file(&token, &open, path).await, Err(LibraryError::NotFound)), "{path}");
    }
    let view = house.library.release(&token, &open).await.unwrap();
    assert_eq!(view.unavailable, None);
    assert_eq!(view.files.len(), 1);
    assert_eq!(view.metadata["title"], "Titel von offen");
    assert_eq!(view.statements, serde_json::Value::Null);
    assert_eq!(view.evidence["held_by"], serde_json::json!(["de-he"]));
    assert_eq!(
        (&view.evidence["needed"], &view.evidence["of"], &view.evidence["witnessed"]),
        (&0.into(), &0.into(), &false.into())
    );
    // What is shown as evidence is what was signed.
    use base64::Engine as _;
    let envelope =
        base64::engine::general_purpose::STANDARD.decode(view.evidence["envelope"].as_str().unwrap()).unwrap();
    let envelope = Envelope::parse(&envelope).unwrap();
    assert!(envelope.signed_by(&key(3).public()));
    assert_eq!(view.evidence["digest"], envelope.id().to_string());
    let proof = house.library.provenance(&nobody, &open).await.unwrap().unwrap();
    let proof: serde_json::Value = serde_json::from_slice(&proof).unwrap();
    assert_eq!(proof["index"], view.evidence["index"]);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_release_can_be_read_by_its_version_unless_it_is_erased() {
    let house = House::new().await;
    let token = token();
    house.publish("hund", "1.0.0", Audience::Federation, b"<eins/>", true).await;
    let second = house.publish("hund", "1.1.0", Audience::Federation, b"<zwei/>", true).await;
    let third = house.publish("hund", "1.2.0", Audience::Federation, b"<drei/>", true).await;
    house.withdraw("hund", second, false).await;
    house.withdraw("hund", third, true).await;
    assert_eq!(house.names(&token).await, ["de-he/hund@1.0.0"]);
    let view = house.library.process(&token, &process("hund")).await.unwrap();
    assert_eq!(view.latest, Some("1.0.0".parse().unwrap()));
    let recalled = house.library.release(&token, &release("hund", "1.1.0")).await.unwrap();
    assert_eq!(recalled.statements["withdrawn"]["reason"], "rechnet falsch");
    assert_eq!(recalled.unavailable, None);
    assert_eq!(house.bytes(&token, &release("hund", "1.1.0"), 0..7).await.unwrap(), b"<zwei/>");
    let erased = release("hund", "1.2.0");
    assert!(
        matches!(house.library.release(&token, &erased).await, Err(LibraryError::Erased(why)) if why == "rechnet falsch")
    );
    assert!(matches!(house.library.provenance(&token, &erased).await, Err(LibraryError::Erased(_))));
    let file = house.library.open_file(&token, &erased, "formulare/antrag.xml").await;
    assert!(matches!(file, Err(LibraryError::Erased(_))));
    // Page by page, newest first.
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = PageRequest { after, limit: 1 };
        let found = house.library.versions(&token, &process("hund"), page).await.unwrap();
        seen.extend(found.items.iter().map(|i| (i.version.to_string(), i.withdrawn, i.available)));
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    let expected = [("1.2.0", true, false), ("1.1.0", true, true), ("1.0.0", false, true)];
    assert_eq!(seen, expected.map(|(v, w, a)| (v.to_owned(), w, a)));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_incomplete_lost_or_damaged_is_not_served() {
    let house = House::new().await;
    let token = token();
    house.publish("fehlt", "1.0.0", Audience::Federation, b"<fehlt/>", false).await;
    let absent = release("fehlt", "1.0.0");
    let view = house.library.release(&token, &absent).await.unwrap();
    assert!(view.unavailable.is_some());
    assert_eq!(view.files.len(), 1, "its manifest is here, so its files are named");
    let file = house.library.open_file(&token, &absent, "formulare/antrag.xml").await;
    assert!(matches!(file, Err(LibraryError::NotAvailable(why)) if !why.is_empty()));
    assert!(matches!(house.library.provenance(&token, &absent).await, Err(LibraryError::NotAvailable(_))));

    let content = vec![7_u8; 200_000];
    house.publish("hund", "1.0.0", Audience::Federation, &content, true).await;
    let held = release("hund", "1.0.0");
    let opened = house.library.open_file(&token, &held, "formulare/antrag.xml").await.unwrap();
    let disk = find(&house.dir.path().join("artifacts"), content.len() as u64);
    let mut damaged = content.clone();
    damaged[150_000] ^= 1;
    let permissions = std::fs::metadata(&disk).unwrap().permissions();
    std::fs::remove_file(&disk).unwrap();
    std::fs::write(&disk, &damaged).unwrap();
    std::fs::set_permissions(&disk, permissions).unwrap();
    // Not one wrong byte: the stream ends with an error.
    let mut stream = opened.reader.read(0..200_000);
    let mut good = Vec::new();
    let error = loop {
        match stream.try_next().await {
            Ok(Some(chunk)) => good.extend_from_slice(&chunk),
            Ok(None) => panic!("a damaged file was served"),
            Err(error) => break error,
        }
    };
    assert!(content.starts_with(&good), "{error}");
    // The damaged file is in quarantine now; whoever asks next is told, and so is the federation.
    let mut events = house.instance.follow();
    let file = house.library.open_file(&token, &held, "formulare/antrag.xml").await;
    assert!(matches!(file, Err(LibraryError::NotAvailable(_))));
    house.event(&mut events, |kind| matches!(kind, EventKind::ArtifactLost { .. })).await;
    assert!(house.library.release(&token, &held).await.unwrap().unavailable.is_some());
    house.end().await;
}

/// The only file of this size.
fn find(dir: &std::path::Path, size: u64) -> std::path::PathBuf {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false if entry.metadata().unwrap().len() == size => return entry.path(),
                false => {}
            }
        }
    }
    panic!("no file of {size} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_positions_and_unknown_federations_are_refused() {
    let house = House::new().await;
    let token = token();
    house.publish("hund", "1.0.0", Audience::Federation, b"<hund/>", true).await;
    for position in [&b"\xff"[..], b"", b"de-he/hund", b"1.0"] {
        let page = || PageRequest { after: Some(position.to_vec()), limit: 9 };
        let found = house.library.search(&token, &mitte(), None, page()).await;
        assert!(matches!(found, Err(LibraryError::BadPosition)), "{position:?}");
        let found = house.library.versions(&token, &process("hund"), page()).await;
        assert!(matches!(found, Err(LibraryError::BadPosition)), "{position:?}");
    }
    let elsewhere =
        house.library.search(&token, &"anders".parse().unwrap(), None, PageRequest { after: None, limit: 9 }).await;
    assert!(matches!(elsewhere, Err(LibraryError::NotFound)));
    let all = house.library.federations(&token).await.unwrap();
    assert_eq!(all.iter().map(|f| f.slug.as_str()).collect::<Vec<_>>(), ["mitte"]);
    assert!(matches!(house.library.release(&token, &release("hund", "9.0.0")).await, Err(LibraryError::NotFound)));
    house.end().await;
}
