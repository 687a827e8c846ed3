//! Tests, and a catalogue in memory for those of other modules.

use verbund_protocol::codec;
use verbund_protocol::documents::{Document as _, Withdrawal};
use verbund_protocol::ids::{FederationId, MemberId, Sha256};
use verbund_protocol::view::rows::{Change, MemoryRows};
use verbund_protocol::view::state::{Audience, LogRow};

use super::*;

pub const MEMBER: MemberId = MemberId([7; 32]);

pub fn log() -> PeerId {
    PeerId(PublicKey([1; 32]))
}

/// A catalogue with one log.
pub struct Catalogue(pub MemoryRows);

impl Catalogue {
    pub fn new() -> Self {
        let mut rows = MemoryRows::default();
        rows.apply(vec![change(Table::Logs, key::log(&log()), codec::encode(&LogRow::new(0)).unwrap())]);
        Self(rows)
    }
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.0.apply(vec![change(table, key, value)]);
    }
    pub fn release(&mut self, index: u64, artifacts: &[Blake3]) -> ReleaseRow {
        let row = ReleaseRow {
            member: MEMBER,
            slug: "hund".parse().unwrap(),
            version: format!("1.{index}.0"),
            log: log(),
            index,
            id: Sha256([index as u8; 32]),
            title: String::new(),
            summary: String::new(),
            manifest: Blake3::of(&index.to_be_bytes()),
            manifest_sha256: Sha256([0; 32]),
            manifest_size: 8,
            files: 1,
            total_size: 8,
            audience: Audience::Federation,
            published_s: 0,
        };
        let process = key::release(&MEMBER, &row.slug, &row.version);
        self.put(Table::Releases, process.clone(), codec::encode(&row).unwrap());
        self.put(Table::Releases, key::release_at(&log(), index), process);
        for artifact in artifacts {
            self.put(Table::Artifacts, key::artifact(&artifact.0, &log(), index), Vec::new());
        }
        row
    }
    pub fn erase(&mut self, row: &ReleaseRow) {
        let withdrawal = Withdrawal {
            federation: FederationId([0; 32]),
            member: row.member,
            process: row.slug.clone(),
            release: row.id,
            reason: "enthält personenbezogene Daten".into(),
            severity: "high".into(),
            successor: None,
            erase: true,
            time_s: 0,
        };
        let envelope = withdrawal.seal(&[&verbund_protocol::keys::SecretKey::from_seed(&[1; 32])]).unwrap();
        self.put(Table::Statements, key::withdrawal(&row.member, &row.id), envelope.payload().to_vec());
    }
    /// Everything that is lost, page after page.
    fn lost(&self, here: &[Blake3]) -> Vec<Blake3> {
        let (mut from, mut told, mut lost) = (Vec::new(), BTreeSet::new(), Vec::new());
        loop {
            let found = look(&self.0, &from, &|hash| here.contains(hash), &mut told).unwrap();
            lost.extend(found.lost);
            match found.next {
                Some(next) => from = next,
                None => return lost,
            }
        }
    }
}

const fn change(table: Table, key: Vec<u8>, value: Vec<u8>) -> Change {
    Change { table, key, value: Some(value) }
}

#[test]
fn what_is_held_but_gone_is_told_once_for_each_release() {
    let (a, b, c) = (Blake3([1; 32]), Blake3([2; 32]), Blake3([3; 32]));
    let mut catalogue = Catalogue::new();
    catalogue.release(3, &[a, b, c]);
    catalogue.release(4, &[a]);
    assert_eq!(catalogue.lost(&[a, b, c]), []);
    // Both releases are marked by the loss of `a`; that of `b` says nothing new.
    assert_eq!(catalogue.lost(&[c]), [a]);
    assert_eq!(catalogue.lost(&[a, c]), [b]);
}

#[test]
fn what_is_marked_withdrawn_for_good_or_beyond_the_end_is_not_told() {
    let (a, b, c) = (Blake3([1; 32]), Blake3([2; 32]), Blake3([3; 32]));
    let mut catalogue = Catalogue::new();
    catalogue.release(3, &[a]);
    catalogue.put(Table::Local, key::missing(&log(), 3), Vec::new());
    let erased = catalogue.release(4, &[b]);
    catalogue.erase(&erased);
    catalogue.release(9, &[c]);
    let mut row = LogRow::new(0);
    row.closed.owner = Some(9);
    catalogue.put(Table::Logs, key::log(&log()), codec::encode(&row).unwrap());
    assert_eq!(catalogue.lost(&[]), []);
}

#[test]
fn every_page_is_looked_at() {
    let mut catalogue = Catalogue::new();
    let all: Vec<Blake3> = (0..2 * PAGE as u64 + 1).map(|n| Blake3::of(&n.to_be_bytes())).collect();
    for (index, hash) in all.iter().enumerate() {
        catalogue.release(index as u64, &[*hash]);
    }
    let mut lost = catalogue.lost(&[]);
    lost.sort();
    let mut expected = all;
    expected.sort();
    assert_eq!(lost, expected);
}

#[test]
fn wanted_are_the_artifacts_of_what_lives_and_the_manifests_of_what_is_missing() {
    let (a, b) = (Blake3([1; 32]), Blake3([2; 32]));
    let mut catalogue = Catalogue::new();
    catalogue.release(3, &[a]);
    let erased = catalogue.release(4, &[a, b]);
    catalogue.erase(&erased);
    let missing = catalogue.release(5, &[]);
    catalogue.put(Table::Local, key::missing(&log(), 5), Vec::new());
    catalogue.put(Table::Local, key::missing(&log(), 4), Vec::new());
    // A reference of a release that is not in the catalogue any more.
    catalogue.put(Table::Artifacts, key::artifact(&[9; 32], &log(), 77), Vec::new());
    assert_eq!(wanted(&catalogue.0).unwrap(), (BTreeSet::from([a]), vec![missing.manifest]));
}

#[tokio::test]
async fn a_scrub_finds_damage_quarantines_it_and_runs_alone() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(dir.path(), crate::blobs::Options { floor_bytes: 0, ..Default::default() }).unwrap();
    let mut hashes = Vec::new();
    for n in 0..3_u8 {
        hashes.push(blobs.import_bytes(vec![n; 20_000]).await.unwrap().blake3);
    }
    let hex = hashes[1].to_hex();
    let path = dir.path().join("objects").join(&hex[..2]).join(&hex);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[17_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let (scrubber, stop) = (Scrubber::default(), CancellationToken::new());
    let (sender, through) = tokio::sync::oneshot::channel::<()>();
    let begun = scrubber.start(&blobs, None, &stop, async move { drop(sender) }).unwrap();
    assert_eq!((begun.artifacts, begun.bytes, begun.finished), (3, 60_000, false));
    assert_eq!(scrubber.start(&blobs, None, &stop, async {}), None, "one at a time");
    let _ = through.await;
    while !scrubber.show().finished {
        tokio::task::yield_now().await;
    }
    let end = scrubber.show();
    assert_eq!((end.checked, end.damaged), (3, 1));
    assert!(!blobs.has(&hashes[1]) && blobs.has(&hashes[0]));
    assert!(scrubber.start(&blobs, Some(vec![hashes[0]]), &stop, async {}).is_some());
}
