//! Golden vectors in `protocol/vectors/charter`: the history of a federation, and certificates that do not follow.

use serde::{Deserialize, Serialize};

use super::super::certificate::{CertificateError, Certified, CharterBundle};
use super::super::rules::Charter;
use super::hash;
use crate::documents::{Change, Document, LogEnd, Ordering, Standing, VoteKind};
use crate::ids::{FederationId, Handle, MemberId, PeerId, PublicKey, Sha256};
use crate::testing::{Actor, World, bytes, golden, outcome, seed};

/// A bundle whose parts are text, as JSON documents are.
#[derive(Clone, Serialize, Deserialize)]
struct Bundle {
    payload: String,
    identities: Vec<String>,
    writers: Vec<String>,
    approvals: Vec<String>,
    precommits: Vec<String>,
}

impl Bundle {
    fn of(bundle: &CharterBundle) -> Self {
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        let texts = |parts: &[Vec<u8>]| parts.iter().map(text).collect();
        Self {
            payload: text(&bundle.payload),
            identities: texts(&bundle.identities),
            writers: texts(&bundle.writers),
            approvals: texts(&bundle.approvals),
            precommits: texts(&bundle.precommits),
        }
    }

    fn bytes(&self) -> CharterBundle {
        let parts = |texts: &[String]| texts.iter().map(|t| t.clone().into_bytes()).collect();
        CharterBundle {
            payload: self.payload.clone().into_bytes(),
            identities: parts(&self.identities),
            writers: parts(&self.writers),
            approvals: parts(&self.approvals),
            precommits: parts(&self.precommits),
        }
    }
}

/// What follows from a certificate about one member.
#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
struct Pinned {
    member: MemberId,
    handle: Handle,
    standing: Standing,
    identity_version: u64,
    writer_seq: u64,
    writer: PeerId,
}

#[derive(Serialize, Deserialize)]
struct Version {
    name: String,
    bundle: Bundle,
    hash: Sha256,
    federation: FederationId,
    voting: usize,
    quorum: usize,
    members: Vec<Pinned>,
}

#[derive(Serialize, Deserialize)]
struct Key {
    name: String,
    seed: String,
    public: PublicKey,
}

#[derive(Serialize, Deserialize)]
struct Chain {
    keys: Vec<Key>,
    versions: Vec<Version>,
}

#[derive(Serialize, Deserialize)]
struct Invalid {
    name: String,
    /// The charter version that it is said to follow; 0 for a genesis.
    after: usize,
    bundle: Bundle,
    error: String,
}

fn pinned(certified: &Certified) -> Vec<Pinned> {
    let of = |m: &super::super::rules::Member| Pinned {
        member: m.member,
        handle: m.handle.clone(),
        standing: m.standing,
        identity_version: certified.identities[&m.member].identity.version,
        writer_seq: certified.writers[&m.member].writer.seq,
        writer: certified.writer_of(&m.member).unwrap(),
    };
    certified.charter.members.iter().map(of).collect()
}

/// A federation in which everything happens once.
fn history() -> (World, Vec<&'static str>) {
    let mut world = World::new(2).found().admit("de-rp").admit("de-sl").admit_as("de-th", Standing::Associate);
    let mut promote = World::amendment(Some(world.actor("de-th").id()));
    if let Change::Amend { standing, .. } = &mut promote {
        *standing = Some(Standing::Full);
    }
    world = world.change(&promote, &[]);
    let mut rename = World::amendment(None);
    if let Change::Amend { name, license, .. } = &mut rename {
        (*name, *license) = (Some("OZG-Verbund Mitte".into()), Some("EUPL-1.2".into()));
    }
    world = world.change(&rename, &[]);
    let closes = LogEnd { log: world.actor("de-rp").peer(), size: 12, root: hash("root of 12") };
    let federation = world.federation();
    world.actor_mut("de-rp").rotate(&["root", "approver", "node"]);
    world.actor_mut("de-rp").write(Some(federation), Some(closes));
    world = world.repin("de-rp").expel("de-th", 7, hash("root of 7"));
    let names = vec![
        "Hessen founds",
        "Rheinland-Pfalz is admitted: 1 of 1",
        "Saarland is admitted: 2 of 2",
        "Thüringen is admitted without vote: 3 of 3",
        "Thüringen gets a vote: 3 of 3",
        "the federation is renamed: 3 of 4",
        "Rheinland-Pfalz rotates its keys and hands its log over to another node",
        "Thüringen is expelled, its log ends",
    ];
    (world, names)
}

#[test]
fn chain() {
    let (mut world, names) = history();
    // Three of four suffice: those are carried of the renaming.
    world.bundles[5].approvals.truncate(3);
    world.bundles[5].precommits.truncate(3);
    let keys =
        [("de-he", 1), ("de-rp", 1), ("de-rp", 2), ("de-sl", 1), ("de-th", 1)].into_iter().flat_map(|(handle, g)| {
            ["root", "approver", "publisher", "node"].map(|role| {
                let seed = seed(2, handle, role, g);
                let public = crate::keys::SecretKey::from_seed(&seed).public();
                Key { name: format!("{handle} {role} {g}"), seed: hex::encode(seed), public }
            })
        });
    let versions = world.bundles.iter().zip(&world.charters).zip(names).map(|((bundle, certified), name)| Version {
        name: name.to_owned(),
        bundle: Bundle::of(bundle),
        hash: certified.hash,
        federation: certified.federation,
        voting: certified.charter.voting().len(),
        quorum: certified.charter.quorum(),
        members: pinned(certified),
    });
    let made = Chain { keys: keys.collect(), versions: versions.collect() };
    let found: Chain = golden("charter/chain.json", &made);
    let mut newest: Option<Certified> = None;
    for version in found.versions {
        let bundle = version.bundle.bytes();
        let certified = match &newest {
            None => Certified::genesis(&bundle),
            Some(before) => before.next(&bundle),
        };
        let certified = certified.unwrap_or_else(|e| panic!("{}: {e}", version.name));
        assert_eq!((certified.hash, certified.federation), (version.hash, version.federation), "{}", version.name);
        assert_eq!(certified.charter.voting().len(), version.voting);
        assert_eq!(certified.charter.quorum(), version.quorum);
        assert_eq!(pinned(&certified), version.members, "{}", version.name);
        // The next charter is determined to the byte by the one before, the change and the stops.
        if let (Some(before), Some(change)) = (&newest, &certified.charter.change) {
            let made = before.charter.next(before.hash, change, &certified.charter.stops).unwrap();
            assert_eq!(made.payload().unwrap(), bundle.payload);
        }
        newest = Some(certified);
    }
}

/// Certificates that do not follow version 3 (Hessen, Rheinland-Pfalz, Saarland), of which each differs from a good one in one
/// respect, and geneses that found nothing.
fn invalid_made() -> Vec<(&'static str, usize, CharterBundle)> {
    let world = World::new(2).found().admit("de-rp").admit("de-sl").with("de-ni");
    let change = world.admission("de-ni", Standing::Full);
    let good = world.certify(&change, &[]);
    let (text, value) = (String::from_utf8(good.payload.clone()).unwrap(), good.hash());
    let charter = Charter::parse(&good.payload).unwrap();
    let altered = |alter: &dyn Fn(&mut CharterBundle)| {
        let mut bundle = good.clone();
        alter(&mut bundle);
        bundle
    };
    let saying = |alter: &dyn Fn(&mut Charter)| {
        let mut charter = charter.clone();
        alter(&mut charter);
        world.certify_charter(&charter)
    };
    let he = &world.actor("de-he").keys;
    let vote = world.vote("de-he", value, 0);
    let at = world.voters().iter().position(|h| h == "de-he").unwrap();
    let voting = |vote: Ordering| altered(&|b| b.precommits[at] = bytes(&vote.seal(&[&he.node]).unwrap()));
    let approving = |change: &Change, key| {
        altered(&|b| b.approvals[at] = bytes(&world.approval("de-he", change).seal(&[key]).unwrap()))
    };
    let expel = Change::Expel { member: world.actor("de-sl").id() };
    let foreign = LogEnd { log: world.actor("de-he").peer(), size: 3, root: hash("root") };
    let genesis = &world.bundles[0];
    let mut late = Actor::new(2, "de-he");
    late.write(Some(world.federation()), None);
    vec![
        ("one approval too few", 3, altered(&|b| drop(b.approvals.pop()))),
        ("one precommit too few", 3, altered(&|b| drop(b.precommits.pop()))),
        ("one member's approval twice", 3, altered(&|b| b.approvals[0] = b.approvals[1].clone())),
        ("one member's precommit twice", 3, altered(&|b| b.precommits[0] = b.precommits[1].clone())),
        ("an approval of another change", 3, approving(&expel, &he.approver)),
        ("an approval by a root key", 3, approving(&change, &he.root)),
        ("a precommit of another round", 3, voting(Ordering { round: 1, ..vote.clone() })),
        ("a prevote", 3, voting(Ordering { kind: VoteKind::Prevote, ..vote.clone() })),
        ("a precommit for another charter", 3, voting(Ordering { value: Some(hash("x")), ..vote.clone() })),
        ("a precommit after another charter", 3, voting(Ordering { prev: Some(hash("x")), ..vote.clone() })),
        ("a precommit by a node that is not the writer", 3, voting(Ordering { writer: he.root.peer(), ..vote })),
        ("the newcomer's identity is missing", 3, altered(&|b| b.identities.clear())),
        ("the newcomer's writer is missing", 3, altered(&|b| b.writers.clear())),
        ("a part that is no envelope", 3, altered(&|b| b.approvals[0] = b"{}".to_vec())),
        ("a part of another kind", 3, altered(&|b| b.approvals[0] = b.precommits[0].clone())),
        ("after another version", 2, good.clone()),
        ("the next one again", 3, world.bundles[2].clone()),
        ("a later version as genesis", 0, world.bundles[1].clone()),
        ("a member more than the change admits", 3, saying(&|c| c.members[0].standing = Standing::Associate)),
        ("another name than before", 3, saying(&|c| c.rules.name = "Another".into())),
        ("a version skipped", 3, saying(&|c| c.version += 1)),
        ("an expulsion without stop", 3, {
            let mut charter = charter.clone();
            charter.members.retain(|m| m.member != world.actor("de-sl").id() && m.member != world.actor("de-ni").id());
            charter.change = Some(expel.clone());
            world.certify_charter(&charter)
        }),
        ("an expulsion that stops another's log", 3, world.certify(&expel, &[foreign])),
        ("a key that no charter has", 3, {
            world.certify_payload(text.replacen('{', "{\"amendment\":1,", 1).into_bytes(), &change)
        }),
        ("not canonical", 3, world.certify_payload(text.replacen(':', ": ", 1).into_bytes(), &change)),
        ("members not ascending", 3, {
            let list = crate::json::parse(&good.payload).unwrap()["members"].clone();
            let mut swapped = list.clone();
            swapped.as_array_mut().unwrap().swap(0, 1);
            let [list, swapped] = [list, swapped].map(|l| String::from_utf8(crate::json::canonical(&l)).unwrap());
            world.certify_payload(text.replace(&list, &swapped).into_bytes(), &change)
        }),
        ("a genesis without approval", 0, CharterBundle { approvals: vec![], ..genesis.clone() }),
        ("a genesis without precommit", 0, CharterBundle { precommits: vec![], ..genesis.clone() }),
        ("a genesis whose writer names a federation", 0, {
            CharterBundle { writers: late.writers.iter().map(bytes).collect(), ..genesis.clone() }
        }),
    ]
}

fn verdict(world: &World, after: usize, bundle: &CharterBundle) -> Result<Certified, CertificateError> {
    match after.checked_sub(1) {
        None => Certified::genesis(bundle),
        Some(at) => world.charters[at].next(bundle),
    }
}

#[test]
fn invalid() {
    let world = World::new(2).found().admit("de-rp").admit("de-sl");
    let made = invalid_made().into_iter().map(|(name, after, bundle)| {
        let error = outcome(verdict(&world, after, &bundle)).unwrap_or_else(|| panic!("{name} is certified"));
        Invalid { name: name.to_owned(), after, bundle: Bundle::of(&bundle), error }
    });
    let made: Vec<_> = made.collect();
    // The first three versions are those of the chain.
    assert_eq!(world.bundles[..3], history().0.bundles[..3]);
    for case in golden("charter/invalid.json", &made) {
        assert_eq!(outcome(verdict(&world, case.after, &case.bundle.bytes())), Some(case.error), "{}", case.name);
    }
}
