//! A long log without publishing it entry by entry: entries are signed here and go through the store of a daemon that does not
//! run, folded and judged as those of a peer are.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use verbund::keys::{KeyFiles, KeyRole};
use verbund::store::{Fold, FoldError, FramePosition, Options, Reader, Store, Weight};
use verbund_protocol::documents::{Adoption, Document as _, RELEASE_TYPE};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::{FederationId, MemberId, PeerId};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::log::{Checkpoint, Origin, sign_checkpoint, tree};
use verbund_protocol::record::{Batch, Record};
use verbund_protocol::view::fold;
use verbund_protocol::view::rows::{Change, Rows, RowsError, Table};
use verbund_protocol::view::state::{self, EntryRow, Position, SCHEMA, key};

/// Entries in one batch.
const BATCH: u64 = 500;

/// What the entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Statements of use: the smallest that catalogues are made of.
    Adoptions,
    /// Releases, all with the manifest of the one that was published: nothing has to be fetched for them.
    Releases,
}

/// The daemon's own adapter is private to it.
#[derive(Default)]
struct Folding(fold::Fold);

fn refused(error: fold::FoldError) -> FoldError {
    match error {
        fold::FoldError::Rows(e) => FoldError::Rows(e),
        fold::FoldError::Codec(e) => FoldError::Refused(e.to_string()),
    }
}

impl Fold for Folding {
    fn fold(&self, rows: &dyn Rows, at: FramePosition, frame: &[u8]) -> Result<Vec<Change>, FoldError> {
        self.0.fold(rows, Position { segment: at.segment, offset: at.offset }, frame).map_err(refused)
    }
    fn carry(&self, rows: &dyn Rows) -> Result<Vec<Vec<u8>>, FoldError> {
        self.0.carry(rows).map_err(refused)
    }
    fn schema(&self) -> u32 {
        SCHEMA
    }
}

/// What signs the entries, and what they are about.
struct Maker {
    federation: FederationId,
    owner: MemberId,
    approver: SecretKey,
    publisher: SecretKey,
    /// The payload of the release that was published.
    sample: Value,
    kind: Kind,
}

impl Maker {
    fn leaf(&self, number: u64) -> Vec<u8> {
        match self.kind {
            Kind::Adoptions => {
                let adoption = Adoption {
                    federation: self.federation,
                    member: self.owner,
                    owner: self.owner,
                    process: format!("prozess-{}", number % 1_000).parse().expect("a slug"),
                    release: None,
                    stage: "produktiv".to_owned(),
                    since: None,
                    bodies: Vec::new(),
                    count: Some(number),
                    terms: None,
                    time_s: 1_767_225_600 + number,
                };
                adoption.seal(&[&self.approver]).expect("an adoption").into_bytes()
            }
            Kind::Releases => {
                let mut payload = self.sample.clone();
                payload["predicate"]["metadata"]["id"] = format!("prozess-{number}").into();
                let payload = verbund_protocol::json::canonical(&payload);
                Envelope::sign(RELEASE_TYPE, payload, [&self.publisher]).expect("a release").into_bytes()
            }
        }
    }
}

/// Lets the own log of the node in `dir` grow by `count` entries; entries per second that the store took, all of it included.
pub fn grow(dir: &Path, federation: &str, count: u64, kind: Kind) -> f64 {
    let federation = federation.parse::<FederationId>().expect("a federation");
    let role = |role| KeyFiles::of(dir).load(role).expect("a key").expect("a key");
    let (node, approver, publisher) = (role(KeyRole::Node), role(KeyRole::Approver), role(KeyRole::Publisher));
    let log = node.peer();
    let options = Options::new(federation.0);
    let folder = dir.join("federations").join(federation.to_hex());
    let (store, _) = Store::open(&folder, Arc::new(Folding::default()), options).expect("the store");
    let rows = store.reader();
    let row = state::log(&rows, &log).expect("the view").expect("the own log");
    let sample = last_leaf(&store, &rows, log).expect("the view");
    let sample = serde_json::from_slice(Envelope::parse(&sample).expect("a release").payload()).expect("a release");
    let maker = Maker { federation, owner: row.owner.expect("an owner"), approver, publisher, sample, kind };
    let (mut size, mut frontier, mut took) = (row.size(), row.frontier, 0.0);
    let end = size + count;
    while size < end {
        let leaves: Vec<Vec<u8>> = (size..end.min(size + BATCH)).map(|number| maker.leaf(number)).collect();
        let hashes: Vec<_> = leaves.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
        frontier.extend(&hashes).expect("a tree");
        let checkpoint =
            Checkpoint::new(Origin::new(federation, log), frontier.size(), frontier.root()).expect("a checkpoint");
        let note = sign_checkpoint(&node, federation, &checkpoint).expect("a checkpoint").to_text().into_bytes();
        let records = vec![Record::entries(log, size, leaves), Record::Checkpoint { log, note }];
        let frame = Batch { records }.encode().expect("a batch");
        let start = Instant::now();
        store.append(Weight::Essential, frame).expect("an append");
        took += start.elapsed().as_secs_f64();
        size = frontier.size();
    }
    let row = state::log(&rows, &log).expect("the view").expect("the own log");
    assert_eq!((row.size(), row.judged), (end, end));
    let last: EntryRow =
        state::get(&rows, Table::Entries, &key::numbered(row.number, end - 1)).expect("a row").expect("a row");
    assert_eq!(last.verdict, state::Verdict::Valid);
    store.close().expect("the store closes");
    count as f64 / took
}

fn last_leaf(store: &Store, rows: &Reader, log: PeerId) -> Result<Vec<u8>, RowsError> {
    let row = state::log(rows, &log)?.expect("the own log");
    let entry: EntryRow =
        state::get(rows, Table::Entries, &key::numbered(row.number, row.size() - 1))?.expect("an entry");
    let batch = FramePosition { segment: entry.at.batch.segment, offset: entry.at.batch.offset };
    Ok(store.read(batch, entry.at.offset, entry.at.len).expect("the leaf").to_vec())
}
