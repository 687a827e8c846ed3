//! A small federation in memory: its charters, logs, releases and cosignatures, folded as a node folds them.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::charter::certificate::{Certified, CharterBundle, Founder, found};
use crate::charter::rules::{Charter, Member, Rules};
use crate::core::View;
use crate::documents::{
    Approval, Change, Deprecation, Document, LogEnd, Ordering, Standing, VoteKind, Withdrawal, Writer,
};
use crate::envelope::Envelope;
use crate::identity::{Identity, PublisherRole, Role, Roles};
use crate::ids::{Blake3, FederationId, MemberId, PeerId, Sha256};
use crate::json::Object;
use crate::keys::SecretKey;
use crate::log::{Checkpoint, ConsistencyProof, Frontier, Origin, sign_checkpoint, sign_cosignature, tree};
use crate::provenance::format::{Bin, Entry, List, Provenance, Text};
use crate::provenance::{FORMAT, Files, MakeError, Pulled, Trust, make};
use crate::record::{Batch, Record};
use crate::release::metadata::Context;
use crate::release::statement::{Draft, PAYLOAD_TYPE};
use crate::release::{FileEntry, Manifest, Metadata};
use crate::view::Fold;
use crate::view::charters::Charters;
use crate::view::rows::{MemoryRows, Row, Rows, RowsError, Table};
use crate::view::state::{LeafAt, Position, Verdict};

/// Cosignatures of member n are made n seconds later.
pub const COSIGNED_S: u64 = 1_767_300_000;
const HANDLES: [&str; 5] = ["de-he", "de-rp", "de-sl", "de-th", "de-by"];

/// What a node of the federation holds.
#[derive(Default)]
pub struct Store {
    rows: MemoryRows,
    fold: Fold,
    batches: Vec<Vec<u8>>,
    /// Leaves read so far.
    pub reads: Cell<usize>,
}

impl Store {
    pub fn commit(&mut self, records: Vec<Record>) {
        let bytes = Batch { records }.encode().unwrap();
        let at = Position { segment: 0, offset: self.batches.len() as u64 };
        let changes = self.fold.fold(&self.rows, at, &bytes).unwrap();
        self.rows.apply(changes);
        self.batches.push(bytes);
    }
}

impl Rows for Store {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.rows.get(table, key)
    }
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        self.rows.scan(table, prefix, from, limit)
    }
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        self.rows.last(table, prefix)
    }
}

impl View for Store {
    fn leaf(&self, at: LeafAt) -> Result<Vec<u8>, RowsError> {
        self.reads.set(self.reads.get() + 1);
        let (from, len) = (at.offset as usize, at.len as usize);
        Ok(self.batches[at.batch.offset as usize][from..from + len].to_vec())
    }
}

/// A member with its keys and its log.
pub struct Party {
    seed: u8,
    /// Which of its node keys writes.
    writes: u8,
    pub member: MemberId,
    pub identities: Vec<Envelope>,
    identity: Identity,
    writer: Envelope,
    pub leaves: Vec<Vec<u8>>,
}

pub fn key(seed: u8, role: u8) -> SecretKey {
    let mut bytes = [seed; 32];
    bytes[1] = role;
    SecretKey::from_seed(&bytes)
}

impl Party {
    pub fn root(&self) -> SecretKey {
        key(self.seed, 0)
    }
    pub fn approver(&self) -> SecretKey {
        key(self.seed, 1)
    }
    pub fn publisher(&self) -> SecretKey {
        key(self.seed, 2)
    }
    pub fn node(&self) -> SecretKey {
        key(self.seed, self.writes)
    }
    pub fn log(&self) -> PeerId {
        self.node().peer()
    }

    fn new(seed: u8, handle: &str, federation: Option<FederationId>) -> Self {
        let role = |role| Role { keys: vec![key(seed, role).public()], threshold: 1 };
        let publisher = PublisherRole { keys: vec![key(seed, 2).public()], threshold: 1, slugs: BTreeMap::new() };
        let nodes = vec![key(seed, 3).public()];
        let identity = Identity {
            version: 1,
            member: None,
            prev: None,
            handle: handle.parse().unwrap(),
            names: [("de".to_owned(), handle.to_uppercase())].into(),
            ags: None,
            contact: None,
            valid_until: None,
            roles: Roles { root: role(0), approver: role(1), publisher, nodes },
        };
        let envelope = identity.seal(&[&key(seed, 0)]).unwrap();
        let member = MemberId(envelope.id().0);
        let writer = Writer { federation, member, seq: 1, prev: None, peer: key(seed, 3).peer(), closes: None };
        let writer = writer.seal(&[&key(seed, 0)]).unwrap();
        Self { seed, writes: 3, member, identities: vec![envelope], identity, writer, leaves: Vec::new() }
    }

    /// The next version of the identity.
    fn rotate(&mut self, change: impl FnOnce(&mut Identity)) -> Envelope {
        let before = self.identities.last().unwrap();
        self.identity.version += 1;
        self.identity.prev = Some(before.id());
        self.identity.member = Some(self.member);
        change(&mut self.identity);
        let envelope = self.identity.seal(&[&self.root()]).unwrap();
        self.identities.push(envelope.clone());
        envelope
    }
}

/// A federation and what one of its nodes holds.
pub struct Fed {
    pub parties: Vec<Party>,
    pub bundles: Vec<CharterBundle>,
    pub certified: Vec<Certified>,
    pub store: Store,
}

/// A release as a pull gives it.
pub struct Release {
    pub log: PeerId,
    pub index: u64,
    pub id: Sha256,
    pub manifest: Vec<u8>,
    pub files: Files,
}

/// A folder's files by their content.
pub fn files_of(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(path, text)| ((*path).to_owned(), (Sha256::of(text.as_bytes()), text.len() as u64))).collect()
}

/// The manifest of a folder.
pub fn manifest_of(files: &Files) -> Manifest {
    let entry = |(path, (sha256, size)): (&String, &(Sha256, u64))| FileEntry {
        path: path.parse().unwrap(),
        size: *size,
        media_type: "text/plain".into(),
        sha256: *sha256,
        blake3: Blake3::of(sha256.as_bytes()),
    };
    Manifest::new(files.iter().map(entry).collect()).unwrap()
}

/// What a release says about itself.
pub fn metadata(slug: &str, version: &str) -> Metadata {
    let text = format!(
        "id = \"{slug}\"\nversion = \"{version}\"\ntitle = \"Titel von {slug}\"\nsummary = \"Ein Prozess\"\n\
         leistungsschluessel = [\"99102013060000\"]\nlevel = [\"kommunal\"]\nlicense = \"EUPL-1.2\"\n\
         maintenance = \"internal\"\ncontact = \"prozesse@example.de\"\nplatform = {{ name = \"civento\" }}\n\
         change = {{ kind = \"fachlich\", text = \"Fassung\" }}\n"
    );
    Metadata::from_toml("process.toml", &text, Context::default()).unwrap().0
}

impl Fed {
    /// A federation of `n` members.
    pub fn of(n: usize) -> Self {
        Self::with(n, 1)
    }

    /// One with keys from `seed` on.
    pub fn with(n: usize, seed: u8) -> Self {
        let founder = Party::new(seed, HANDLES[0], None);
        let rules = Rules {
            name: "Verbund Mitte".into(),
            slug: "mitte".parse().unwrap(),
            agreement: None,
            license: None,
            terms: None,
        };
        let member = Member {
            member: founder.member,
            handle: HANDLES[0].parse().unwrap(),
            standing: Standing::Full,
            identity: founder.identities[0].id(),
            writer: founder.writer.id(),
        };
        let genesis = Charter::genesis(rules, member, 1_767_225_600, None);
        let keys = Founder {
            identities: &founder.identities,
            writer: &founder.writer,
            approver: &[&founder.approver()],
            node: &founder.node(),
        };
        let (bundle, certified) = found(&genesis, &keys).unwrap();
        let mut fed =
            Self { parties: vec![founder], bundles: Vec::new(), certified: Vec::new(), store: Store::default() };
        fed.adopt(bundle, certified);
        fed.start(0);
        (1..n).for_each(|_| fed.admit(Standing::Full));
        fed
    }

    pub fn newest(&self) -> &Certified {
        self.certified.last().unwrap()
    }
    pub fn federation(&self) -> FederationId {
        self.newest().federation
    }
    pub fn trust(&self) -> Trust {
        Trust { federation: self.federation(), charter: self.newest().hash }
    }

    fn adopt(&mut self, bundle: CharterBundle, certified: Certified) {
        self.store.commit(vec![Record::Charter(bundle.clone())]);
        self.bundles.push(bundle);
        self.certified.push(certified);
    }

    /// The first three entries of a member's log.
    fn start(&mut self, who: usize) {
        let party = &self.parties[who];
        let leaves = vec![
            party.identities.last().unwrap().bytes().to_vec(),
            party.writer.bytes().to_vec(),
            self.bundles.last().unwrap().leaf().unwrap().into_bytes(),
        ];
        self.append(who, leaves);
    }

    /// The next member comes in; the logs of the others get the charter.
    pub fn admit(&mut self, standing: Standing) {
        let who = self.parties.len();
        let party = Party::new(self.parties[0].seed + who as u8 * 10, HANDLES[who], Some(self.federation()));
        let change = Change::Admit {
            member: party.member,
            handle: HANDLES[who].parse().unwrap(),
            standing,
            identity: party.identities[0].id(),
            writer: party.writer.id(),
        };
        let parts = (party.identities.clone(), vec![party.writer.clone()]);
        self.parties.push(party);
        self.change(&change, &[], parts);
        self.start(who);
    }

    /// Makes the next charter, approved and precommitted by all voting members; it is logged by all members that have a log.
    pub fn change(&mut self, change: &Change, stops: &[LogEnd], (identities, writers): (Vec<Envelope>, Vec<Envelope>)) {
        let bundle = self.certify(change, stops, (identities, writers));
        let certified = self.newest().next(&bundle).unwrap();
        let leaf = bundle.leaf().unwrap().into_bytes();
        self.adopt(bundle, certified);
        for who in 0..self.parties.len() {
            let stopped = stops.iter().any(|stop| stop.log == self.parties[who].log());
            if !self.parties[who].leaves.is_empty() && !stopped {
                self.append(who, vec![leaf.clone()]);
            }
        }
    }

    fn certify(
        &self,
        change: &Change,
        stops: &[LogEnd],
        (identities, writers): (Vec<Envelope>, Vec<Envelope>),
    ) -> CharterBundle {
        let prev = self.newest();
        let payload = prev.charter.next(prev.hash, change, stops).unwrap().payload().unwrap();
        let (value, federation) = (Sha256::of(&payload), self.federation());
        let bytes = |envelopes: Vec<Envelope>| envelopes.into_iter().map(Envelope::into_bytes).collect();
        let mut bundle = CharterBundle {
            payload,
            identities: bytes(identities),
            writers: bytes(writers),
            ..CharterBundle::default()
        };
        for party in self.parties.iter().filter(|p| prev.charter.voting().contains(&p.member)) {
            let base_version = prev.charter.version;
            let approval = Approval { federation, member: party.member, base_version, change: change.clone() };
            let vote = Ordering {
                federation: Some(federation),
                prev: Some(prev.hash),
                height: base_version + 1,
                round: 0,
                kind: VoteKind::Precommit,
                value: Some(value),
                pol_round: None,
                member: party.member,
                writer: party.log(),
            };
            bundle.approvals.push(approval.seal(&[&party.approver()]).unwrap().into_bytes());
            bundle.precommits.push(vote.seal(&[&party.node()]).unwrap().into_bytes());
        }
        bundle
    }

    /// A member goes; its log ends at `size`.
    pub fn expel(&mut self, who: usize, size: usize) {
        let stop = self.end(who, size);
        self.change(&Change::Expel { member: self.parties[who].member }, &[stop], (Vec::new(), Vec::new()));
    }

    /// The first `size` entries of a member's log.
    pub fn end(&self, who: usize, size: usize) -> LogEnd {
        let party = &self.parties[who];
        let head = frontier(&party.leaves[..size]).head();
        LogEnd { log: party.log(), size: head.size, root: head.root }
    }

    /// The root key names another node as the writer; the old log ends at `size`.
    pub fn hand_over(&mut self, who: usize, size: usize) {
        let closes = Some(self.end(who, size));
        let federation = Some(self.federation());
        let party = &mut self.parties[who];
        let node = key(party.seed, 4);
        let rotated = party.rotate(|identity| identity.roles.nodes.push(node.public()));
        let prev = Some(party.writer.id());
        let writer = Writer { federation, member: party.member, seq: 2, prev, peer: node.peer(), closes };
        let writer = writer.seal(&[&party.root()]).unwrap();
        let change = Change::Amend {
            member: Some(party.member),
            handle: None,
            standing: None,
            identity: Some(rotated.id()),
            writer: Some(writer.id()),
            name: None,
            license: None,
        };
        // A certificate counts the votes of the writers that it ends with.
        party.writes = 4;
        let bundle = self.certify(&change, &[], (vec![rotated], vec![writer]));
        self.parties[who].writes = 3;
        let certified = self.newest().next(&bundle).unwrap();
        self.adopt(bundle, certified);
    }

    /// A charter that pins a member's newest identity.
    pub fn pin(&mut self, who: usize) {
        let party = &self.parties[who];
        let newest = party.identities.last().unwrap().clone();
        let change = Change::Amend {
            member: Some(party.member),
            handle: None,
            standing: None,
            identity: Some(newest.id()),
            writer: None,
            name: None,
            license: None,
        };
        self.change(&change, &[], (vec![newest], Vec::new()));
    }

    /// Appends to a member's log and signs the checkpoint.
    pub fn append(&mut self, who: usize, leaves: Vec<Vec<u8>>) -> u64 {
        let federation = self.federation();
        let party = &mut self.parties[who];
        let first = party.leaves.len() as u64;
        party.leaves.extend(leaves.clone());
        let checkpoint = checkpoint(federation, party.log(), &party.leaves);
        let note = sign_checkpoint(&party.node(), federation, &checkpoint).unwrap().to_text().into_bytes();
        let log = party.log();
        self.store.commit(vec![Record::entries(log, first, leaves), Record::Checkpoint { log, note }]);
        first
    }

    /// Members cosign the newest checkpoint of a log.
    pub fn cosign(&mut self, who: usize, by: &[usize]) {
        let checkpoint = checkpoint(self.federation(), self.parties[who].log(), &self.parties[who].leaves);
        let Checkpoint { size, root, origin } = checkpoint;
        for &n in by {
            let cosignature = sign_cosignature(&self.parties[n].node(), COSIGNED_S + n as u64, &checkpoint).unwrap();
            self.store.commit(vec![Record::Cosigned { log: origin.peer, size, root, cosignature }]);
        }
    }

    /// A new version of a member's identity, in its log.
    pub fn rotate(&mut self, who: usize, change: impl FnOnce(&mut Identity)) -> u64 {
        let envelope = self.parties[who].rotate(change);
        self.append(who, vec![envelope.into_bytes()])
    }

    /// The statement of a release, unsigned.
    pub fn statement(&self, who: usize, slug: &str, version: &str, files: &Files) -> (Vec<u8>, Vec<u8>) {
        let (federation, member) = (self.federation(), self.parties[who].member);
        let (metadata, manifest) = (metadata(slug, version), manifest_of(files));
        let draft = Draft { federation, member, time_s: 1_767_290_000, metadata: &metadata, manifest: &manifest };
        let prepared = draft.prepare().unwrap();
        (prepared.payload, prepared.manifest)
    }

    /// A release in the log of `log`, of the namespace of `who`, signed by `keys`.
    pub fn publish_as(&mut self, log: usize, who: usize, slug: &str, version: &str, keys: &[&SecretKey]) -> Release {
        let files = files_of(&[("process.toml", slug)]);
        let (payload, manifest) = self.statement(who, slug, version, &files);
        let envelope = Envelope::sign(PAYLOAD_TYPE, payload, keys.iter().copied()).unwrap();
        let id = envelope.id();
        let index = self.append(log, vec![envelope.into_bytes()]);
        Release { log: self.parties[log].log(), index, id, manifest, files }
    }

    /// A release of a member.
    pub fn publish(&mut self, who: usize, slug: &str, version: &str, files: &[(&str, &str)]) -> Release {
        self.publish_files(who, slug, version, files_of(files))
    }

    /// A release of a member with these files.
    pub fn publish_files(&mut self, who: usize, slug: &str, version: &str, files: Files) -> Release {
        let (payload, manifest) = self.statement(who, slug, version, &files);
        let envelope = Envelope::sign(PAYLOAD_TYPE, payload, [&self.parties[who].publisher()]).unwrap();
        let id = envelope.id();
        let index = self.append(who, vec![envelope.into_bytes()]);
        Release { log: self.parties[who].log(), index, id, manifest, files }
    }

    pub fn withdrawal(&self, who: usize, slug: &str, release: Sha256) -> Withdrawal {
        Withdrawal {
            federation: self.federation(),
            member: self.parties[who].member,
            process: slug.parse().unwrap(),
            release,
            reason: "rechnet falsch".into(),
            severity: "high".into(),
            successor: Some("de-he/hundesteuer@1.3.0".into()),
            erase: false,
            time_s: 1_767_310_000,
        }
    }

    pub fn deprecation(&self, who: usize, slug: &str, release: Option<Sha256>) -> Deprecation {
        Deprecation {
            federation: self.federation(),
            member: self.parties[who].member,
            process: slug.parse().unwrap(),
            release,
            reason: "endet".into(),
            ends: None,
            successor: None,
            time_s: 1_767_311_000,
        }
    }

    /// What the view decided about an entry.
    pub fn verdict(&self, release: &Release) -> Verdict {
        use crate::view::state::{self, EntryRow, key};
        let row = state::log(&self.store, &release.log).unwrap().unwrap();
        let entry: EntryRow =
            state::get(&self.store, Table::Entries, &key::numbered(row.number, release.index)).unwrap().unwrap();
        entry.verdict
    }

    /// A file with these entries, whatever a node would say of them: under the full log's checkpoint, cosigned by all others.
    pub fn raw(&self, who: usize, release: &Release, entries: &[u64]) -> Provenance {
        let party = &self.parties[who];
        let (federation, log) = (self.federation(), party.log());
        let checkpoint = checkpoint(federation, log, &party.leaves);
        let mut signed = sign_checkpoint(&party.node(), federation, &checkpoint).unwrap();
        for (n, other) in self.parties.iter().enumerate().filter(|(n, _)| *n != who) {
            signed.add(sign_cosignature(&other.node(), COSIGNED_S + n as u64, &checkpoint).unwrap()).unwrap();
        }
        let (mut hashes, mut tip) = (Vec::new(), Frontier::new());
        party.leaves.iter().for_each(|leaf| tip.append_stored(tree::leaf_hash(leaf), &mut hashes).unwrap());
        let prove = |index| List(tree::prove_inclusion(index, tip.size(), tip.size(), &hashes).unwrap());
        let leaf = |index: u64| Bin(party.leaves[index as usize].clone());
        Provenance {
            format: FORMAT,
            federation,
            pulled_at_s: 1,
            served_by: log,
            log,
            index: release.index,
            release: leaf(release.index),
            proof: prove(release.index),
            checkpoint: Text(signed.to_text()),
            entries: List(
                entries.iter().map(|&at| Object(Entry { index: at, leaf: leaf(at), proof: prove(at) })).collect(),
            ),
            charters: List(self.bundles.iter().cloned().map(Into::into).collect()),
            end: None,
            manifest: Bin(release.manifest.clone()),
            statements: List(Vec::new()),
        }
    }

    /// The consistency proof between two sizes of a member's log.
    pub fn path(&self, who: usize, from: u64, to: u64) -> ConsistencyProof {
        let (mut hashes, mut tip) = (Vec::new(), Frontier::new());
        self.parties[who].leaves.iter().for_each(|l| tip.append_stored(tree::leaf_hash(l), &mut hashes).unwrap());
        ConsistencyProof::make(from, to, tip.size(), &hashes).unwrap()
    }

    pub fn make(&self, release: &Release) -> Result<Vec<u8>, MakeError> {
        let served_by = self.parties.last().unwrap().log();
        let Release { log, index, manifest, .. } = release;
        let pulled = Pulled { log: *log, index: *index, manifest, now_s: 1_767_400_000, served_by };
        make(&self.store, &Charters::default(), &pulled)
    }
}

pub fn frontier(leaves: &[Vec<u8>]) -> Frontier {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(tree::leaf_hash(leaf)).unwrap());
    frontier
}

pub fn checkpoint(federation: FederationId, log: PeerId, leaves: &[Vec<u8>]) -> Checkpoint {
    let head = frontier(leaves).head();
    Checkpoint::new(Origin::new(federation, log), head.size, head.root).unwrap()
}
