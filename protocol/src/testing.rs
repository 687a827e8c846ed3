//! Federations for tests: members with keys from seeds, real identities, writers, approvals and precommits.
//!
//! Everything is a function of the world's seed, so that a test, a vector and a failure can be repeated. Not part of the library.

mod golden;

use std::collections::BTreeMap;

pub(crate) use golden::{cases, error_name, golden, outcome};

use crate::charter::certificate::{Certified, CharterBundle, Founder, found};
use crate::charter::rules::{Agreement, Charter, Member, Rules};
use crate::documents::{Approval, Change, Document, LogEnd, Ordering, Standing, VoteKind, Writer};
use crate::envelope::Envelope;
use crate::identity::{Identity, PublisherRole, Role, Roles, VerifiedIdentity};
use crate::ids::{FederationId, Handle, MemberId, PeerId, Sha256};
use crate::keys::SecretKey;

/// Seconds since 1970 at which the worlds of tests are founded.
pub(crate) const FOUNDED_S: u64 = 1_750_000_000;

/// The keys of one identity version.
#[derive(Clone)]
pub(crate) struct Keys {
    /// Signs identities and writers.
    pub(crate) root: SecretKey,
    /// Signs approvals.
    pub(crate) approver: SecretKey,
    /// Signs releases.
    pub(crate) publisher: SecretKey,
    /// The node.
    pub(crate) node: SecretKey,
}

/// The seed of a key, by what it is for.
pub(crate) fn seed(world: u64, handle: &str, role: &str, generation: u64) -> [u8; 32] {
    Sha256::of(format!("verbund test key {world} {handle} {role} {generation}").as_bytes()).0
}

impl Keys {
    /// Keys of `generation`, from 1.
    pub(crate) fn new(world: u64, handle: &str, generation: u64) -> Self {
        let key = |role| SecretKey::from_seed(&seed(world, handle, role, generation));
        Self { root: key("root"), approver: key("approver"), publisher: key("publisher"), node: key("node") }
    }

    /// Roles of one key each.
    pub(crate) fn roles(&self) -> Roles {
        Roles {
            root: Role { keys: vec![self.root.public()], threshold: 1 },
            approver: Role { keys: vec![self.approver.public()], threshold: 1 },
            publisher: PublisherRole { keys: vec![self.publisher.public()], threshold: 1, slugs: BTreeMap::new() },
            nodes: vec![self.node.public()],
        }
    }
}

/// A member, or one that may become one.
#[derive(Clone)]
pub(crate) struct Actor {
    /// What it is called.
    pub(crate) handle: Handle,
    /// The keys that act for it now.
    pub(crate) keys: Keys,
    /// Its identities, from version 1 on.
    pub(crate) identities: Vec<Envelope>,
    /// Its newest identity.
    pub(crate) identity: VerifiedIdentity,
    /// Its writers for this federation, from 1 on.
    pub(crate) writers: Vec<Envelope>,
    world: u64,
}

impl Actor {
    /// A member-to-be with its first identity and no writer.
    pub(crate) fn new(world: u64, handle: &str) -> Self {
        let keys = Keys::new(world, handle, 1);
        let first = Identity {
            version: 1,
            member: None,
            prev: None,
            handle: handle.parse().unwrap(),
            names: BTreeMap::from([("de".into(), format!("Land {handle}"))]),
            ags: None,
            contact: Some(format!("verbund@{handle}.example")),
            valid_until: None,
            roles: keys.roles(),
        };
        let envelope = first.seal(&[&keys.root]).unwrap();
        let identity = VerifiedIdentity::first(&envelope).unwrap();
        Self { handle: first.handle, keys, identities: vec![envelope], identity, writers: Vec::new(), world }
    }

    /// Its id.
    pub(crate) fn id(&self) -> MemberId {
        self.identity.member
    }

    /// The node that writes for it.
    pub(crate) fn peer(&self) -> PeerId {
        self.keys.node.peer()
    }

    /// Its newest writer's hash.
    pub(crate) fn writer(&self) -> Sha256 {
        self.writers.last().unwrap().id()
    }

    /// Signs and adds the next writer, by its present node. `closes` from the second on.
    pub(crate) fn write(&mut self, federation: Option<FederationId>, closes: Option<LogEnd>) {
        let writer = Writer {
            federation,
            member: self.id(),
            seq: self.writers.len() as u64 + 1,
            prev: self.writers.last().map(Envelope::id),
            peer: self.peer(),
            closes,
        };
        self.writers.push(writer.seal(&[&self.keys.root]).unwrap());
    }

    /// Rotates all keys of the roles named (`root`, `approver`, `publisher`, `node`); the old node stays listed.
    pub(crate) fn rotate(&mut self, roles: &[&str]) {
        let generation = self.identities.len() as u64 + 1;
        let (old, fresh) = (self.keys.clone(), Keys::new(self.world, self.handle.as_str(), generation));
        let pick =
            |role, old: &SecretKey, new: &SecretKey| if roles.contains(&role) { new.clone() } else { old.clone() };
        self.keys = Keys {
            root: pick("root", &old.root, &fresh.root),
            approver: pick("approver", &old.approver, &fresh.approver),
            publisher: pick("publisher", &old.publisher, &fresh.publisher),
            node: pick("node", &old.node, &fresh.node),
        };
        let mut next = self.identity.identity.clone();
        (next.version, next.member, next.prev) = (generation, Some(self.id()), Some(self.identity.hash));
        let mut nodes = next.roles.nodes.clone();
        if roles.contains(&"node") {
            nodes.push(self.keys.node.public());
        }
        next.roles = Roles { nodes, ..self.keys.roles() };
        let signers = if roles.contains(&"root") { vec![&old.root, &self.keys.root] } else { vec![&old.root] };
        let envelope = next.seal(&signers).unwrap();
        self.identity = self.identity.next(&envelope).unwrap();
        self.identities.push(envelope);
    }
}

/// A federation and all that was signed for it.
#[derive(Clone)]
pub(crate) struct World {
    /// From which every key follows.
    pub(crate) seed: u64,
    /// Everybody, by handle.
    pub(crate) actors: BTreeMap<String, Actor>,
    /// Certificates, from the genesis on.
    pub(crate) bundles: Vec<CharterBundle>,
    /// What they certify.
    pub(crate) charters: Vec<Certified>,
}

impl World {
    /// Nobody, nothing.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, actors: BTreeMap::new(), bundles: Vec::new(), charters: Vec::new() }
    }

    /// Rules of a federation for tests.
    pub(crate) fn rules() -> Rules {
        Rules {
            name: "Verbund Test".into(),
            slug: "test".parse().unwrap(),
            agreement: Some(Agreement {
                title: "Kooperationsvereinbarung".into(),
                uri: Some("https://example.org/vereinbarung.pdf".into()),
                sha256: Sha256::of(b"agreement"),
            }),
            license: Some("EUPL-1.2".into()),
            terms: None,
        }
    }

    /// The genesis that `founder` would found with.
    pub(crate) fn genesis_of(founder: &Actor) -> Charter {
        let member = Member {
            member: founder.id(),
            handle: founder.handle.clone(),
            standing: Standing::Full,
            identity: founder.identity.hash,
            writer: founder.writer(),
        };
        Charter::genesis(Self::rules(), member, FOUNDED_S, None)
    }

    /// Hessen founds.
    pub(crate) fn found(self) -> Self {
        self.found_by("de-he")
    }

    /// Somebody founds.
    pub(crate) fn found_by(mut self, handle: &str) -> Self {
        let mut founder = Actor::new(self.seed, handle);
        founder.write(None, None);
        let (bundle, certified) = Self::found_with(&Self::genesis_of(&founder), &founder);
        self.actors.insert(handle.to_owned(), founder);
        self.bundles.push(bundle);
        self.charters.push(certified);
        self
    }

    /// Founds with this genesis.
    pub(crate) fn found_with(genesis: &Charter, founder: &Actor) -> (CharterBundle, Certified) {
        let parts = Founder {
            identities: &founder.identities,
            writer: &founder.writers[0],
            approver: &[&founder.keys.approver],
            node: &founder.keys.node,
        };
        found(genesis, &parts).unwrap()
    }

    /// The newest charter.
    pub(crate) fn newest(&self) -> &Certified {
        self.charters.last().unwrap()
    }

    /// The federation.
    pub(crate) fn federation(&self) -> FederationId {
        self.newest().federation
    }

    /// Somebody.
    pub(crate) fn actor(&self, handle: &str) -> &Actor {
        &self.actors[handle]
    }

    /// Somebody, to change.
    pub(crate) fn actor_mut(&mut self, handle: &str) -> &mut Actor {
        self.actors.get_mut(handle).unwrap()
    }

    /// Somebody with identity and writer who is no member.
    pub(crate) fn newcomer(&self, handle: &str) -> Actor {
        let mut actor = Actor::new(self.seed, handle);
        actor.write(Some(self.federation()), None);
        actor
    }

    /// Brings a newcomer into the world, still outside of the charter.
    pub(crate) fn with(mut self, handle: &str) -> Self {
        let actor = self.newcomer(handle);
        self.actors.insert(handle.to_owned(), actor);
        self
    }

    /// The change that admits somebody of this world.
    pub(crate) fn admission(&self, handle: &str, standing: Standing) -> Change {
        let actor = self.actor(handle);
        let (member, handle) = (actor.id(), actor.handle.clone());
        Change::Admit { member, handle, standing, identity: actor.identity.hash, writer: actor.writer() }
    }

    /// An amendment that changes nothing yet.
    pub(crate) fn amendment(member: Option<MemberId>) -> Change {
        let (handle, standing, identity, writer, name, license) = (None, None, None, None, None, None);
        Change::Amend { member, handle, standing, identity, writer, name, license }
    }

    /// Admits a new voting member.
    pub(crate) fn admit(self, handle: &str) -> Self {
        self.admit_as(handle, Standing::Full)
    }

    /// Admits a new member.
    pub(crate) fn admit_as(self, handle: &str, standing: Standing) -> Self {
        let world = self.with(handle);
        let change = world.admission(handle, standing);
        world.change(&change, &[])
    }

    /// Expels a member; its log ends at `size`.
    pub(crate) fn expel(self, handle: &str, size: u64, root: Sha256) -> Self {
        let actor = self.actor(handle);
        let change = Change::Expel { member: actor.id() };
        let stop = LogEnd { log: self.newest().writer_of(&actor.id()).unwrap(), size, root };
        self.change(&change, &[stop])
    }

    /// Pins the newest identity and writer of a member.
    pub(crate) fn repin(self, handle: &str) -> Self {
        let actor = self.actor(handle);
        let (id, now, last) = (actor.id(), actor.identity.hash, actor.writer());
        let mut change = Self::amendment(Some(id));
        if let Change::Amend { identity, writer, .. } = &mut change {
            (*identity, *writer) = (Some(now), Some(last));
        }
        self.change(&change, &[])
    }

    /// Agrees on `change` with everybody's approval and precommit.
    pub(crate) fn change(mut self, change: &Change, stops: &[LogEnd]) -> Self {
        let bundle = self.certify(change, stops);
        let certified = self.newest().next(&bundle).unwrap();
        self.bundles.push(bundle);
        self.charters.push(certified);
        self
    }

    /// The certificate of `change` by all who vote.
    pub(crate) fn certify(&self, change: &Change, stops: &[LogEnd]) -> CharterBundle {
        let newest = self.newest();
        let charter = newest.charter.next(newest.hash, change, stops).unwrap();
        self.certify_charter(&charter)
    }

    /// The certificate of `charter`, whatever it says, by all who vote: round 0.
    pub(crate) fn certify_charter(&self, charter: &Charter) -> CharterBundle {
        self.certify_payload(charter.payload().unwrap(), charter.change.as_ref().unwrap())
    }

    /// The certificate of these bytes by all who vote on `change`.
    pub(crate) fn certify_payload(&self, payload: Vec<u8>, change: &Change) -> CharterBundle {
        let value = Sha256::of(&payload);
        let voters = self.voters();
        let (identities, writers) = self.chains(change);
        CharterBundle {
            payload,
            identities,
            writers,
            approvals: voters.iter().map(|h| bytes(&self.approve(h, change))).collect(),
            precommits: voters.iter().map(|h| bytes(&self.precommit(h, value, 0))).collect(),
        }
    }

    /// Handles of those who vote on the next version, by member id.
    pub(crate) fn voters(&self) -> Vec<String> {
        let of =
            |id: MemberId| self.actors.iter().find(|(_, a)| a.id() == id).map(|(handle, _)| handle.clone()).unwrap();
        self.newest().charter.voting().into_iter().map(of).collect()
    }

    /// Identities and writers of everybody concerned, after those pinned.
    pub(crate) fn chains(&self, change: &Change) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let newest = self.newest();
        let admitted = if let Change::Admit { member, .. } = change { Some(*member) } else { None };
        let (mut identities, mut writers) = (Vec::new(), Vec::new());
        for actor in self.actors.values() {
            let id = actor.id();
            if newest.charter.member(&id).is_none() && admitted != Some(id) {
                continue;
            }
            let after = |hash: Option<Sha256>, chain: &[Envelope]| -> Vec<Vec<u8>> {
                let skip = hash.map_or(0, |hash| 1 + chain.iter().position(|e| e.id() == hash).unwrap());
                chain[skip..].iter().map(bytes).collect()
            };
            identities.extend(after(newest.identities.get(&id).map(|i| i.hash), &actor.identities));
            writers.extend(after(newest.writers.get(&id).map(|w| w.hash), &actor.writers));
        }
        (identities, writers)
    }

    /// Somebody's approval of `change` to the newest charter.
    pub(crate) fn approve(&self, handle: &str, change: &Change) -> Envelope {
        self.approval(handle, change).seal(&[&self.actor(handle).keys.approver]).unwrap()
    }

    /// The same, unsigned.
    pub(crate) fn approval(&self, handle: &str, change: &Change) -> Approval {
        Approval {
            federation: self.federation(),
            member: self.actor(handle).id(),
            base_version: self.newest().charter.version,
            change: change.clone(),
        }
    }

    /// Somebody's precommit for the charter with hash `value`.
    pub(crate) fn precommit(&self, handle: &str, value: Sha256, round: u32) -> Envelope {
        self.vote(handle, value, round).seal(&[&self.actor(handle).keys.node]).unwrap()
    }

    /// The same, unsigned.
    pub(crate) fn vote(&self, handle: &str, value: Sha256, round: u32) -> Ordering {
        let newest = self.newest();
        Ordering {
            federation: Some(newest.federation),
            prev: Some(newest.hash),
            height: newest.charter.version + 1,
            round,
            kind: VoteKind::Precommit,
            value: Some(value),
            pol_round: None,
            member: self.actor(handle).id(),
            writer: self.actor(handle).peer(),
        }
    }
}

/// An envelope's bytes.
pub(crate) fn bytes(envelope: &Envelope) -> Vec<u8> {
    envelope.bytes().to_vec()
}
