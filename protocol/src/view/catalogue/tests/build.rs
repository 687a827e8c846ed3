//! A small federation in memory, folded as a node folds it. Certificates are not made: the fold takes charters that were checked.

use std::collections::BTreeMap;

use crate::charter::certificate::CharterBundle;
use crate::charter::rules::{Charter, Member, Rules};
use crate::documents::{Change, Document, LogEnd, Standing, Transfer, Writer};
use crate::envelope::Envelope;
use crate::identity::{Identity, PublisherRole, Role, Roles};
use crate::ids::{Blake3, FederationId, MemberId, PeerId, Sha256};
use crate::keys::SecretKey;
use crate::log::{Checkpoint, Frontier, Origin, sign_checkpoint, sign_cosignature, tree};
use crate::record::{Batch, Local, Record};
use crate::release::metadata::{Audience, Context};
use crate::release::statement::{Draft, PAYLOAD_TYPE};
use crate::release::{FileEntry, Manifest, Metadata};
use crate::view::Fold;
use crate::view::rows::MemoryRows;
use crate::view::state::Position;

const HANDLES: [&str; 5] = ["de-he", "de-rp", "de-sl", "de-th", "de-by"];

/// Roles of the keys of a member's nodes, for [`key`].
const NODE: u8 = 3;
const NEXT_NODE: u8 = 13;

/// A member with its keys and its log.
#[derive(Clone)]
pub struct Party {
    seed: u8,
    node: u8,
    pub member: MemberId,
    identity: Envelope,
    writer: Envelope,
    leaves: Vec<Vec<u8>>,
}

fn key(seed: u8, role: u8) -> SecretKey {
    let mut bytes = [seed; 32];
    bytes[1] = role;
    SecretKey::from_seed(&bytes)
}

impl Party {
    fn new(seed: u8, handle: &str, federation: Option<FederationId>) -> Self {
        let role = |role| Role { keys: vec![key(seed, role).public()], threshold: 1 };
        let identity = Identity {
            version: 1,
            member: None,
            prev: None,
            handle: handle.parse().unwrap(),
            names: [("de".to_owned(), format!("Land {handle}"))].into(),
            ags: None,
            contact: None,
            valid_until: None,
            roles: Roles {
                root: role(0),
                approver: role(1),
                publisher: PublisherRole { keys: vec![key(seed, 2).public()], threshold: 1, slugs: BTreeMap::new() },
                nodes: vec![key(seed, NODE).public(), key(seed, NEXT_NODE).public()],
            },
        };
        let identity = identity.seal(&[&key(seed, 0)]).unwrap();
        let member = MemberId(identity.id().0);
        let writer = Writer { federation, member, seq: 1, prev: None, peer: key(seed, NODE).peer(), closes: None };
        let writer = writer.seal(&[&key(seed, 0)]).unwrap();
        Self { seed, node: NODE, member, identity, writer, leaves: Vec::new() }
    }
    pub fn log(&self) -> PeerId {
        key(self.seed, self.node).peer()
    }
    pub fn node(&self) -> SecretKey {
        key(self.seed, self.node)
    }
    pub fn identity(&self) -> Vec<u8> {
        self.identity.bytes().to_vec()
    }
    pub fn approver(&self) -> SecretKey {
        key(self.seed, 1)
    }
    pub fn publisher(&self) -> SecretKey {
        key(self.seed, 2)
    }
}

/// The federation, and what one of its nodes holds.
pub struct Fed {
    pub parties: Vec<Party>,
    pub rows: MemoryRows,
    pub federation: FederationId,
    charter: Charter,
    hash: Sha256,
    leaf: Vec<u8>,
    fold: Fold,
    batches: u64,
    charters: Vec<Record>,
}

impl Fed {
    /// A federation of `n` members: `de-he`, `de-rp`, `de-sl`, `de-th`, `de-by`.
    pub fn of(n: usize) -> Self {
        let founder = Party::new(1, HANDLES[0], None);
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
            identity: founder.identity.id(),
            writer: founder.writer.id(),
        };
        let charter = Charter::genesis(rules, member, 1_767_225_600, None);
        let hash = Sha256::of(&charter.payload().unwrap());
        let mut fed = Self {
            rows: MemoryRows::default(),
            federation: FederationId(hash.0),
            charter: charter.clone(),
            hash,
            leaf: Vec::new(),
            fold: Fold::default(),
            batches: 0,
            charters: Vec::new(),
            parties: Vec::new(),
        };
        fed.adopt(charter, &[&founder]);
        fed.parties.push(founder);
        fed.begin(0);
        for seed in 2..=n as u8 {
            fed.admit(seed, HANDLES[usize::from(seed) - 1]);
        }
        fed
    }

    pub fn commit(&mut self, records: Vec<Record>) {
        self.charters.extend(records.iter().filter(|record| matches!(record, Record::Charter(_))).cloned());
        let bytes = Batch { records }.encode().unwrap();
        self.batches += 1;
        let at = Position { segment: 0, offset: self.batches };
        let changes = self.fold.fold(&self.rows, at, &bytes).unwrap();
        self.rows.apply(changes);
    }

    fn adopt(&mut self, charter: Charter, new: &[&Party]) {
        let bundle = CharterBundle {
            payload: charter.payload().unwrap(),
            identities: new.iter().map(|p| p.identity.bytes().to_vec()).collect(),
            writers: new.iter().map(|p| p.writer.bytes().to_vec()).collect(),
            ..CharterBundle::default()
        };
        self.leaf = bundle.leaf().unwrap().into_bytes();
        self.hash = bundle.hash();
        self.charter = charter;
        self.commit(vec![Record::Charter(bundle)]);
    }

    fn begin(&mut self, who: usize) {
        let party = &self.parties[who];
        let leaves = vec![party.identity.bytes().to_vec(), party.writer.bytes().to_vec(), self.leaf.clone()];
        for leaf in leaves {
            self.append(who, leaf);
        }
    }

    /// A member comes in.
    pub fn admit(&mut self, seed: u8, handle: &str) -> usize {
        let party = Party::new(seed, handle, Some(self.federation));
        let change = Change::Admit {
            member: party.member,
            handle: handle.parse().unwrap(),
            standing: Standing::Full,
            identity: party.identity.id(),
            writer: party.writer.id(),
        };
        let next = self.charter.next(self.hash, &change, &[]).unwrap();
        self.adopt(next, &[&party]);
        self.parties.push(party);
        let who = self.parties.len() - 1;
        for w in 0..who {
            if self.present(w) {
                self.append(w, self.leaf.clone());
            }
        }
        self.begin(who);
        who
    }

    fn present(&self, who: usize) -> bool {
        self.charter.member(&self.parties[who].member).is_some()
    }

    /// A member goes; its log ends at `size`.
    pub fn expel(&mut self, who: usize, size: usize) {
        let party = &self.parties[who];
        let root = root(&party.leaves[..size]);
        let stop = LogEnd { log: party.log(), size: size as u64, root };
        let next = self.charter.next(self.hash, &Change::Expel { member: party.member }, &[stop]).unwrap();
        self.adopt(next, &[]);
    }

    /// A member goes on with another node, whose log is that of a further party; the log of the old one ends at `size`. Returns the
    /// number of the new party.
    pub fn hand_over(&mut self, who: usize, size: usize) -> usize {
        let old = self.parties[who].clone();
        let (log, prev) = (old.log(), Some(old.writer.id()));
        let closes = Some(LogEnd { log, size: size as u64, root: root(&old.leaves[..size]) });
        let federation = Some(self.federation);
        let peer = key(old.seed, NEXT_NODE).peer();
        let writer = Writer { federation, member: old.member, seq: 2, prev, peer, closes };
        let writer = writer.seal(&[&key(old.seed, 0)]).unwrap();
        let change = Change::Amend {
            member: Some(old.member),
            handle: None,
            standing: None,
            identity: None,
            writer: Some(writer.id()),
            name: None,
            license: None,
        };
        let next = self.charter.next(self.hash, &change, &[]).unwrap();
        let party = Party { node: NEXT_NODE, writer, leaves: Vec::new(), ..old };
        let bundle = CharterBundle {
            payload: next.payload().unwrap(),
            writers: vec![party.writer.bytes().to_vec()],
            ..CharterBundle::default()
        };
        (self.leaf, self.hash, self.charter) = (bundle.leaf().unwrap().into_bytes(), bundle.hash(), next);
        self.commit(vec![Record::Charter(bundle)]);
        self.parties.push(party);
        let new = self.parties.len() - 1;
        self.begin(new);
        new
    }

    /// A charter whose certificate carries a writer that it does not pin, by which the log of a member would end at `size`.
    pub fn carry(&mut self, who: usize, size: usize) {
        let party = &self.parties[who];
        let closes = Some(LogEnd { log: party.log(), size: size as u64, root: root(&party.leaves[..size]) });
        let (federation, prev) = (Some(self.federation), Some(party.writer.id()));
        let peer = key(party.seed, NEXT_NODE).peer();
        let writer = Writer { federation, member: party.member, seq: 2, prev, peer, closes };
        let writer = writer.seal(&[&key(party.seed, 0)]).unwrap();
        let change = Change::Amend {
            member: None,
            handle: None,
            standing: None,
            identity: None,
            writer: None,
            name: Some("Verbund Süd".into()),
            license: None,
        };
        let next = self.charter.next(self.hash, &change, &[]).unwrap();
        let bundle = CharterBundle {
            payload: next.payload().unwrap(),
            writers: vec![writer.bytes().to_vec()],
            ..CharterBundle::default()
        };
        (self.leaf, self.hash, self.charter) = (bundle.leaf().unwrap().into_bytes(), bundle.hash(), next);
        self.commit(vec![Record::Charter(bundle)]);
    }

    /// A member loses its vote, or gets it back.
    pub fn stand(&mut self, who: usize, standing: Standing) {
        let change = Change::Amend {
            member: Some(self.parties[who].member),
            handle: None,
            standing: Some(standing),
            identity: None,
            writer: None,
            name: None,
            license: None,
        };
        let next = self.charter.next(self.hash, &change, &[]).unwrap();
        self.adopt(next, &[]);
        for who in 0..self.parties.len() {
            self.append(who, self.leaf.clone());
        }
    }

    /// A member's next identity, with another publisher key, is pinned. Its log carries the charter and not the identity.
    pub fn repin(&mut self, who: usize) {
        let party = &self.parties[who];
        let mut next = Identity::parse(&party.identity).unwrap();
        (next.version, next.member, next.prev) = (2, Some(party.member), Some(party.identity.id()));
        next.roles.publisher.keys = vec![key(party.seed, 12).public()];
        let identity = next.seal(&[&key(party.seed, 0)]).unwrap();
        let change = Change::Amend {
            member: Some(party.member),
            handle: None,
            standing: None,
            identity: Some(identity.id()),
            writer: None,
            name: None,
            license: None,
        };
        let charter = self.charter.next(self.hash, &change, &[]).unwrap();
        let bundle = CharterBundle {
            payload: charter.payload().unwrap(),
            identities: vec![identity.bytes().to_vec()],
            ..CharterBundle::default()
        };
        (self.leaf, self.hash, self.charter) = (bundle.leaf().unwrap().into_bytes(), bundle.hash(), charter);
        self.commit(vec![Record::Charter(bundle)]);
        self.append(who, self.leaf.clone());
    }

    /// The publisher key that [`Fed::repin`] brings in.
    pub fn next_publisher(&self, who: usize) -> SecretKey {
        key(self.parties[who].seed, 12)
    }

    /// A checkpoint note of a member's log at a size, on its branch or on another that leaves it after `common` entries.
    pub fn note(&self, who: usize, size: usize, branch: Option<usize>) -> (Checkpoint, Vec<u8>) {
        let party = &self.parties[who];
        let mut leaves = party.leaves[..size].to_vec();
        if let Some(common) = branch {
            leaves[common..].iter_mut().for_each(|leaf| leaf.push(b' '));
        }
        let checkpoint =
            Checkpoint::new(Origin::new(self.federation, party.log()), size as u64, root(&leaves)).unwrap();
        let signed = sign_checkpoint(&key(party.seed, party.node), self.federation, &checkpoint).unwrap();
        (checkpoint, signed.to_text().into_bytes())
    }

    /// The record of a member's cosignature.
    pub fn cosignature(&self, checkpoint: &Checkpoint, by: usize, time_s: u64) -> Record {
        let cosignature =
            sign_cosignature(&key(self.parties[by].seed, self.parties[by].node), time_s, checkpoint).unwrap();
        let Checkpoint { origin, size, root } = *checkpoint;
        Record::Cosigned { log: origin.peer, size, root, cosignature }
    }

    /// A copy of what the node holds, that goes its own way.
    pub fn fork(&self) -> (MemoryRows, Fold) {
        (self.rows.clone(), Fold::default())
    }

    /// Another node that gets the charters, and the entries of all logs, in an order and in pieces that `pick` chooses: it is given
    /// how many sources have something left, and how many pieces the chosen one could give.
    pub fn elsewhere(&self, mut pick: impl FnMut(usize) -> usize) -> MemoryRows {
        let mut rows = MemoryRows::default();
        let fold = Fold::default();
        let mut charters = self.charters.iter();
        let mut sent = vec![0; self.parties.len()];
        let mut batches = 0;
        loop {
            let open: Vec<_> = (0..sent.len()).filter(|who| sent[*who] < self.size(*who)).collect();
            let chosen = pick(open.len() + usize::from(charters.len() > 0));
            let record = match open.get(chosen) {
                Some(&who) => {
                    let first = sent[who];
                    sent[who] += 1 + pick(self.size(who) - first);
                    Record::entries(
                        self.parties[who].log(),
                        first as u64,
                        self.parties[who].leaves[first..sent[who]].to_vec(),
                    )
                }
                None => match charters.next() {
                    Some(charter) => charter.clone(),
                    None => return rows,
                },
            };
            batches += 1;
            let batch = Batch { records: vec![record] }.encode().unwrap();
            rows.apply(fold.fold(&rows, Position { segment: 0, offset: batches }, &batch).unwrap());
        }
    }

    /// Appends to a member's log.
    pub fn append(&mut self, who: usize, leaf: Vec<u8>) -> u64 {
        let party = &mut self.parties[who];
        let (log, first) = (party.log(), party.leaves.len() as u64);
        party.leaves.push(leaf.clone());
        self.commit(vec![Record::entries(log, first, vec![leaf])]);
        first
    }

    /// All entries of a member's log, as they are fetched anew.
    pub fn again(&self, who: usize) -> Record {
        Record::entries(self.parties[who].log(), 0, self.parties[who].leaves.clone())
    }

    /// Entries of a member's log.
    pub fn size(&self, who: usize) -> usize {
        self.parties[who].leaves.len()
    }

    /// A document by the publisher of a member, in its log.
    pub fn say(&mut self, who: usize, document: &impl Document) -> u64 {
        let envelope = document.seal(&[&self.parties[who].publisher()]).unwrap();
        self.append(who, envelope.into_bytes())
    }

    /// A member gives a process to another one.
    pub fn transfer(&mut self, who: usize, process: &str, to: usize, slug: &str) -> u64 {
        let transfer = Transfer {
            federation: self.federation,
            member: self.parties[who].member,
            process: process.parse().unwrap(),
            to: self.parties[to].member,
            slug: slug.parse().unwrap(),
            time_s: 1_767_300_000,
        };
        self.say(who, &transfer)
    }

    /// A release of a member.
    pub fn publish(&mut self, who: usize, slug: &str, version: &str) -> (Sha256, u64) {
        self.publish_to(who, slug, version, Audience::Federation)
    }

    /// One for an audience.
    pub fn publish_to(&mut self, who: usize, slug: &str, version: &str, audience: Audience) -> (Sha256, u64) {
        self.publish_as(who, slug, version, |metadata| metadata.audience = audience)
    }

    /// One that takes a process over.
    pub fn succeed(&mut self, who: usize, slug: &str, version: &str, before: &str) -> (Sha256, u64) {
        self.publish_as(who, slug, version, |metadata| metadata.succeeds = Some(before.parse().unwrap()))
    }

    fn publish_as(
        &mut self,
        who: usize,
        slug: &str,
        version: &str,
        change: impl FnOnce(&mut Metadata),
    ) -> (Sha256, u64) {
        let mut metadata = metadata(slug, version);
        change(&mut metadata);
        let entry = FileEntry {
            path: "process.toml".parse().unwrap(),
            size: 3,
            media_type: "text/plain".into(),
            sha256: Sha256::of(slug.as_bytes()),
            blake3: Blake3::of(slug.as_bytes()),
        };
        let manifest = Manifest::new(vec![entry]).unwrap();
        let (federation, member) = (self.federation, self.parties[who].member);
        let draft = Draft { federation, member, time_s: 1_767_290_000, metadata: &metadata, manifest: &manifest };
        let payload = draft.prepare().unwrap().payload;
        let envelope = Envelope::sign(PAYLOAD_TYPE, payload, [&self.parties[who].publisher()]).unwrap();
        let id = envelope.id();
        (id, self.append(who, envelope.into_bytes()))
    }

    /// The statement that stands at a place, signed by another key.
    pub fn sign_again(&self, who: usize, index: u64, by: &SecretKey) -> Vec<u8> {
        let envelope = Envelope::parse(&self.parties[who].leaves[index as usize]).unwrap();
        Envelope::sign(PAYLOAD_TYPE, envelope.payload().to_vec(), [by]).unwrap().into_bytes()
    }

    /// Members cosign a log as it stands.
    pub fn cosign(&mut self, who: usize, by: &[usize]) {
        let party = &self.parties[who];
        let (log, size, root) = (party.log(), party.leaves.len() as u64, root(&party.leaves));
        let checkpoint = Checkpoint::new(Origin::new(self.federation, log), size, root).unwrap();
        for &n in by {
            let node = key(self.parties[n].seed, self.parties[n].node);
            let cosignature = sign_cosignature(&node, 1_767_300_000, &checkpoint).unwrap();
            self.commit(vec![Record::Cosigned { log, size, root, cosignature }]);
        }
    }

    /// A release becomes complete here.
    pub fn hold(&mut self, who: usize, index: u64) {
        let log = self.parties[who].log();
        self.commit(vec![Record::Local(Local::Held { log, index, artifacts: Vec::new() })]);
    }
}

fn root(leaves: &[Vec<u8>]) -> Sha256 {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(tree::leaf_hash(leaf)).unwrap());
    frontier.root()
}

/// What a release says about itself.
pub fn metadata(slug: &str, version: &str) -> Metadata {
    let text = format!(
        "id = \"{slug}\"\nversion = \"{version}\"\ntitle = \"Titel von {slug}\"\nsummary = \"Ein Prozess\"\n\
         keywords = [\"Straße\"]\nno_key_reason = \"nicht im LeiKa\"\nlevel = [\"kommunal\"]\nlicense = \"EUPL-1.2\"\n\
         maintenance = \"internal\"\ncontact = \"prozesse@example.de\"\nplatform = {{ name = \"civento\" }}\n\
         change = {{ kind = \"fachlich\", text = \"Fassung {version}\" }}\n"
    );
    Metadata::from_toml("process.toml", &text, Context::default()).unwrap().0
}
