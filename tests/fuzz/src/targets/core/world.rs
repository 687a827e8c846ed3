//! A federation of three real cores in memory, whose traffic is the material of the stateful target.
//!
//! Owns keys, founding and the charters. Time is a number; nothing here is random.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use verbund_protocol::charter::certificate::{Certified, CharterBundle, Founder, found};
use verbund_protocol::charter::rules::{Charter, Member, Rules};
use verbund_protocol::core::{Now, Own};
use verbund_protocol::documents::{
    Adoption, Approval, Change, Document, Leave, Ordering, RELEASE_TYPE, Standing, Transfer, VoteKind, Withdrawal,
    Writer,
};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::{Identity, PublisherRole, Role, Roles};
use verbund_protocol::ids::{Blake3, FederationId, MemberId, PeerId, Sha256};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::record::{Batch, Joining, Local, Origin, Record};
use verbund_protocol::release::manifest::FileEntry;
use verbund_protocol::release::metadata::Context;
use verbund_protocol::release::statement::Draft;
use verbund_protocol::release::{Manifest, Metadata};
use verbund_protocol::view::Fold;
use verbund_protocol::wire::ticket::Ticket;

use super::exchange::exchange;
use super::node::{Disk, Node};

/// Where the clocks start, in seconds since 1970.
pub const EPOCH_S: u64 = 1_767_225_600;
/// An organisation with one key in each role.
pub struct Org {
    pub handle: &'static str,
    pub root: SecretKey,
    pub approver: SecretKey,
    pub publisher: SecretKey,
    pub node: SecretKey,
    pub identity: Envelope,
    pub member: MemberId,
}

impl Org {
    fn new(handle: &'static str) -> Self {
        let key = |role: &str| SecretKey::from_seed(Sha256::of(format!("{handle}/{role}").as_bytes()).as_bytes());
        let [root, approver, publisher, node] = ["root", "approver", "publisher", "node"].map(key);
        let one = |k: &SecretKey| Role { keys: vec![k.public()], threshold: 1 };
        let identity = Identity {
            version: 1,
            member: None,
            prev: None,
            handle: handle.parse().unwrap(),
            names: BTreeMap::from([("de".to_owned(), format!("Land {handle}"))]),
            ags: None,
            contact: None,
            valid_until: None,
            roles: Roles {
                root: one(&root),
                approver: one(&approver),
                publisher: PublisherRole { keys: vec![publisher.public()], threshold: 1, slugs: BTreeMap::new() },
                nodes: vec![node.public()],
            },
        };
        let identity = identity.seal(&[&root]).unwrap();
        let member = MemberId(identity.id().0);
        Self { handle, root, approver, publisher, node, identity, member }
    }

    fn writer(&self, federation: Option<FederationId>) -> Envelope {
        let (member, peer) = (self.member, self.node.peer());
        Writer { federation, member, seq: 1, prev: None, peer, closes: None }.seal(&[&self.root]).unwrap()
    }

    pub fn own(&self, federation: Option<FederationId>) -> Own {
        Own {
            member: self.member,
            handle: self.handle.parse().unwrap(),
            identities: vec![self.identity.bytes().to_vec()],
            writer: self.writer(federation).into_bytes(),
            node: self.node.clone(),
            approvers: vec![self.approver.clone()],
            publishers: vec![self.publisher.clone()],
            addresses: vec![format!("{}.example:4711", self.handle)],
            software: "verbund/fuzz".into(),
        }
    }

    pub fn release(&self, federation: FederationId, slug: &str) -> Vec<u8> {
        let bytes = b"bpmn";
        let file = FileEntry {
            path: "a.bpmn".parse().unwrap(),
            size: bytes.len() as u64,
            media_type: "text/plain".into(),
            sha256: Sha256::of(bytes),
            blake3: Blake3::of(bytes),
        };
        let manifest = Manifest::new(vec![file]).unwrap();
        let text = format!(
            "id = \"{slug}\"\nversion = \"1.0.0\"\ntitle = \"Hundesteuer\"\nsummary = \"Meldet einen Hund an\"\n\
             leistungsschluessel = [\"99102013060000\"]\nlevel = [\"kommunal\"]\nlicense = \"EUPL-1.2\"\n\
             maintenance = \"internal\"\ncontact = \"prozesse@example.de\"\nplatform = {{ name = \"civento\" }}\n\
             change = {{ kind = \"fachlich\", text = \"Erste Fassung\" }}\n"
        );
        let (metadata, _) = Metadata::from_toml("process.toml", &text, Context::default()).unwrap();
        let draft =
            Draft { federation, member: self.member, time_s: EPOCH_S, metadata: &metadata, manifest: &manifest };
        Envelope::sign(RELEASE_TYPE, draft.prepare().unwrap().payload, [&self.publisher]).unwrap().into_bytes()
    }

    /// Statements about a release, as its log carries them.
    pub fn statements(&self, federation: FederationId, slug: &str, release: Sha256) -> Vec<Vec<u8>> {
        let (member, process) = (self.member, slug.parse::<verbund_protocol::ids::Slug>().unwrap());
        let withdrawal = Withdrawal {
            federation,
            member,
            process: process.clone(),
            release,
            reason: "Fehler".into(),
            severity: "high".into(),
            successor: None,
            erase: true,
            time_s: EPOCH_S,
        };
        let adoption = Adoption {
            federation,
            member,
            owner: member,
            process: process.clone(),
            release: Some(release),
            stage: "pilot".into(),
            since: None,
            bodies: vec!["06".into()],
            count: None,
            terms: None,
            time_s: EPOCH_S,
        };
        let transfer = Transfer {
            federation,
            member,
            process,
            to: MemberId([9; 32]),
            slug: "anderswo".parse().unwrap(),
            time_s: EPOCH_S,
        };
        vec![
            adoption.seal(&[&self.approver]).unwrap().into_bytes(),
            withdrawal.seal(&[&self.publisher]).unwrap().into_bytes(),
            transfer.seal(&[&self.publisher]).unwrap().into_bytes(),
        ]
    }
}

/// What a node was told.
#[derive(Clone)]
pub enum Heard {
    Gossip(PeerId, Vec<u8>),
    Request(PeerId, Vec<u8>),
    Answer(Vec<u8>),
}

/// The material: the first node before and after the exchange, and all that it was told meanwhile.
pub struct World {
    pub federation: FederationId,
    pub orgs: [Org; 3],
    pub bundles: Vec<CharterBundle>,
    /// Asks to join, and has been told nothing yet.
    pub newcomer: Org,
    pub joining: Disk,
    pub young: Disk,
    pub settled: Disk,
    pub heard: Vec<Heard>,
    /// Leaves that a member's log may hold.
    pub leaves: Vec<Vec<u8>>,
}

impl World {
    /// What the first member's node knows of itself.
    pub fn own(&self) -> Own {
        self.orgs[0].own(None)
    }

    /// What the newcomer's node knows of itself.
    pub fn own_of_newcomer(&self) -> Own {
        self.newcomer.own(Some(self.federation))
    }
}

/// The world, made once in a process.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(make)
}

/// The clock at `ms` after the beginning.
pub const fn at(ms: u64) -> Now {
    Now { wall_ms: EPOCH_S * 1_000 + ms, mono_ms: ms }
}

fn bundles(orgs: &[Org; 3]) -> (Vec<CharterBundle>, FederationId) {
    let first = &orgs[0];
    let writer = first.writer(None);
    let rules = Rules {
        name: "Verbund Mitte".into(),
        slug: "mitte".parse().unwrap(),
        agreement: None,
        license: Some("EUPL-1.2".into()),
        terms: None,
    };
    let founder = Member {
        member: first.member,
        handle: first.handle.parse().unwrap(),
        standing: Standing::Full,
        identity: first.identity.id(),
        writer: writer.id(),
    };
    let charter = Charter::genesis(rules, founder, EPOCH_S, None);
    let keys = Founder {
        identities: std::slice::from_ref(&first.identity),
        writer: &writer,
        approver: &[&first.approver],
        node: &first.node,
    };
    let (bundle, mut newest) = found(&charter, &keys).unwrap();
    let federation = newest.federation;
    let mut all = vec![bundle];
    for n in 1..orgs.len() {
        let bundle = admission(&newest, &orgs[..n], &orgs[n]);
        newest = newest.next(&bundle).unwrap();
        all.push(bundle);
    }
    (all, federation)
}

fn admission(newest: &Certified, members: &[Org], joining: &Org) -> CharterBundle {
    let federation = newest.federation;
    let writer = joining.writer(Some(federation));
    let change = Change::Admit {
        member: joining.member,
        handle: joining.handle.parse().unwrap(),
        standing: Standing::Full,
        identity: joining.identity.id(),
        writer: writer.id(),
    };
    let payload = newest.charter.next(newest.hash, &change, &[]).unwrap().payload().unwrap();
    let approve = |org: &Org| {
        let (member, base_version) = (org.member, newest.charter.version);
        let approval = Approval { federation, member, base_version, change: change.clone() };
        approval.seal(&[&org.approver]).unwrap().into_bytes()
    };
    let precommit = |org: &Org| {
        let vote = Ordering {
            federation: Some(federation),
            prev: Some(newest.hash),
            height: newest.charter.version + 1,
            round: 0,
            kind: VoteKind::Precommit,
            value: Some(Sha256::of(&payload)),
            pol_round: None,
            member: org.member,
            writer: org.node.peer(),
        };
        vote.seal(&[&org.node]).unwrap().into_bytes()
    };
    CharterBundle {
        identities: vec![joining.identity.bytes().to_vec()],
        writers: vec![writer.into_bytes()],
        approvals: members.iter().map(approve).collect(),
        precommits: members.iter().map(precommit).collect(),
        payload,
    }
}

/// The disk of a node that was given a ticket.
fn joining(newcomer: &Org, issuer: &Org, federation: FederationId, charter: Sha256) -> Disk {
    let ticket = Ticket {
        federation,
        name: "Verbund Mitte".into(),
        charter,
        peer: issuer.node.peer(),
        addresses: vec!["de-he.example:4711".into()],
        handle: newcomer.handle.parse().unwrap(),
        id: "07".repeat(16),
        secret: "08".repeat(32),
        expires_s: EPOCH_S + 86_400,
    };
    let writer = newcomer.writer(Some(federation)).into_bytes();
    let joining = Joining { federation, charter, ticket: ticket.to_line(), writer, request: Vec::new() };
    let mut disk = Disk::default();
    let records = vec![Record::Local(Local::Origin(Origin::Joining(joining)))];
    disk.append(&Fold::default(), Batch { records });
    disk
}

fn make() -> World {
    let orgs = ["de-he", "de-rp", "de-th"].map(Org::new);
    let (bundles, federation) = bundles(&orgs);
    let mut young = Disk::default();
    let mut records = vec![Record::Local(Local::Origin(Origin::Founded))];
    records.extend(bundles.iter().cloned().map(Record::Charter));
    young.append(&Fold::default(), Batch { records });
    let own = |n: usize| orgs[n].own((n > 0).then_some(federation));
    let mut nodes: Vec<_> = (0..3).map(|n| Node::start(own(n), federation, young.clone(), at(0))).collect();
    let heard = exchange(&mut nodes, &orgs, federation);
    let released = orgs[1].release(federation, "hundesteuer");
    let id = Envelope::parse(&released).unwrap().id();
    let mut leaves = orgs[1].statements(federation, "hundesteuer", id);
    let leave = Leave { federation, member: orgs[1].member, reason: None, time_s: EPOCH_S };
    leaves.push(leave.seal(&[&orgs[1].approver]).unwrap().into_bytes());
    leaves.push(orgs[1].release(federation, "gewerbe"));
    leaves.push(released);
    leaves.push(orgs[1].identity.bytes().to_vec());
    let settled = nodes.swap_remove(0).disk;
    let newcomer = Org::new("de-by");
    let joining = joining(&newcomer, &orgs[0], federation, bundles.last().unwrap().hash());
    World { federation, orgs, bundles, newcomer, joining, young, settled, heard, leaves }
}
