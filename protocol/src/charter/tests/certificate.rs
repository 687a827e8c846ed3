use super::super::certificate::{CertificateError, Certified, CharterBundle};
use super::super::rules::Charter;
use super::{admitting, four, hash, refusal, three};
use crate::documents::{Approval, CHARTER_TYPE, Change, Document, LogEnd, Ordering, Standing, VoteKind};
use crate::envelope::Envelope;
use crate::ids::FederationId;
use crate::keys::SecretKey;
use crate::limits::CERTIFICATE_PARTS_MAX;
use crate::testing::{Actor, World, bytes};

fn approvals(world: &World, bundle: &CharterBundle) -> (usize, usize) {
    match world.newest().next(bundle) {
        Err(CertificateError::Approvals { got, needed }) => (got, needed),
        other => panic!("{other:?}"),
    }
}

fn precommits(world: &World, bundle: &CharterBundle) -> (usize, usize) {
    match world.newest().next(bundle) {
        Err(CertificateError::Precommits { got, needed }) => (got, needed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_federation_grows_from_its_founder() {
    let world = four();
    for (at, (n, k)) in [(1, 1), (2, 2), (3, 3), (4, 3)].into_iter().enumerate() {
        let certified = &world.charters[at];
        assert_eq!((certified.charter.voting().len(), certified.charter.quorum()), (n, k));
        assert_eq!(certified.federation, FederationId(world.charters[0].hash.0));
        assert_eq!(certified.identities.len(), n);
    }
    for actor in world.actors.values() {
        assert_eq!(world.newest().writer_of(&actor.id()), Some(actor.peer()));
        assert_eq!(world.newest().member_of(&actor.peer()), Some(actor.id()));
    }
    // Whoever starts from the genesis comes to the same.
    let mut again = Certified::genesis(&world.bundles[0]).unwrap();
    for bundle in &world.bundles[1..] {
        again = again.next(bundle).unwrap();
    }
    assert_eq!(&again, world.newest());
    let leaf = world.bundles[3].leaf().unwrap();
    assert_eq!((leaf.payload_type(), leaf.is_unsigned(), leaf.id()), (CHARTER_TYPE, true, world.newest().hash));
}

#[test]
fn a_quorum_suffices_and_one_less_does_not() {
    for (world, k) in [(World::new(1).found(), 1), (World::new(1).found().admit("de-rp"), 2), (three(), 3), (four(), 3)]
    {
        let (world, _, full) = admitting(world);
        let mut enough = full.clone();
        enough.approvals.truncate(k);
        enough.precommits.truncate(k);
        let certified = world.newest().next(&enough).unwrap();
        assert_eq!(certified, world.newest().next(&full).unwrap());
        let mut few = enough.clone();
        few.approvals.pop();
        assert_eq!(approvals(&world, &few), (k - 1, k));
        let mut few = enough;
        few.precommits.pop();
        assert_eq!(precommits(&world, &few), (k - 1, k));
        // What may be voted for needs the approvals alone.
        few.precommits.clear();
        assert_eq!(world.newest().proposal(&few), Ok(certified));
    }
}

#[test]
fn members_count_once() {
    let (world, change, mut full) = admitting(four());
    let [he, rp] = ["de-he", "de-rp"].map(|h| bytes(&world.approve(h, &change)));
    // The same bytes, and the same statement signed once more under another key.
    let other = bytes(&world.approve("de-he", &change).with_signature(&SecretKey::from_seed(&[9; 32])).unwrap());
    full.approvals = vec![he.clone(), he, other, rp];
    assert_eq!(approvals(&world, &full), (2, 3));
    let (_, _, mut full) = admitting(four());
    let value = full.hash();
    let again = world.precommit("de-he", value, 0).with_signature(&SecretKey::from_seed(&[9; 32])).unwrap();
    full.precommits = vec![
        bytes(&world.precommit("de-he", value, 0)),
        bytes(&again),
        bytes(&world.precommit("de-he", value, 0)),
        bytes(&world.precommit("de-rp", value, 0)),
    ];
    assert_eq!(precommits(&world, &full), (2, 3));
}

#[test]
fn an_approval_is_for_one_change_of_one_version_of_one_federation() {
    let (world, change, full) = admitting(four());
    let elsewhere = World::new(1).found_by("de-he").federation();
    let other = Change::Expel { member: world.actor("de-sl").id() };
    let good = world.approval("de-he", &change);
    for bad in [
        Approval { change: other, ..good.clone() },
        Approval { change: world.admission("de-ni", Standing::Associate), ..good.clone() },
        Approval { base_version: good.base_version - 1, ..good.clone() },
        Approval { base_version: good.base_version + 1, ..good.clone() },
        Approval { federation: FederationId(hash("another").0), ..good.clone() },
        Approval { member: world.actor("de-rp").id(), ..good.clone() },
        Approval { member: world.actor("de-ni").id(), ..good.clone() },
    ] {
        let mut few = full.clone();
        few.approvals = ["de-rp", "de-sl"].map(|h| bytes(&world.approve(h, &change))).to_vec();
        few.approvals.push(bytes(&bad.seal(&[&world.actor("de-he").keys.approver]).unwrap()));
        assert_eq!(approvals(&world, &few), (2, 3), "{bad:?}");
    }
    assert_ne!(elsewhere, FederationId(hash("another").0));
}

#[test]
fn a_precommit_is_for_one_charter_after_one() {
    let (world, _, full) = admitting(four());
    let value = full.hash();
    let good = world.vote("de-he", value, 0);
    for bad in [
        Ordering { kind: VoteKind::Prevote, ..good.clone() },
        Ordering { kind: VoteKind::Proposal, ..good.clone() },
        Ordering { value: Some(hash("another")), ..good.clone() },
        Ordering { value: None, ..good.clone() },
        Ordering { prev: Some(hash("another")), ..good.clone() },
        Ordering { height: good.height + 1, ..good.clone() },
        Ordering { federation: Some(FederationId(hash("another").0)), ..good.clone() },
        Ordering { writer: world.actor("de-rp").peer(), ..good.clone() },
        Ordering { member: world.actor("de-rp").id(), ..good.clone() },
        Ordering { member: world.actor("de-ni").id(), ..good.clone() },
    ] {
        let mut few = full.clone();
        few.precommits = ["de-rp", "de-sl"].map(|h| bytes(&world.precommit(h, value, 0))).to_vec();
        few.precommits.push(bytes(&bad.seal(&[&world.actor("de-he").keys.node]).unwrap()));
        assert_eq!(precommits(&world, &few), (2, 3), "{bad:?}");
    }
}

#[test]
fn precommits_of_two_rounds_do_not_add_up() {
    let (world, _, full) = admitting(four());
    let value = full.hash();
    let mut mixed = full;
    mixed.precommits = vec![
        bytes(&world.precommit("de-he", value, 0)),
        bytes(&world.precommit("de-rp", value, 0)),
        bytes(&world.precommit("de-sl", value, 1)),
        bytes(&world.precommit("de-th", value, 1)),
    ];
    assert_eq!(precommits(&world, &mixed), (2, 3));
    // One round that suffices is not spoilt by what else lies there, wherever it lies.
    mixed.precommits.push(bytes(&world.precommit("de-rp", value, 1)));
    assert!(world.newest().next(&mixed).is_ok());
    let mut forged = world.vote("de-he", value, 7).seal(&[]).unwrap();
    for _ in 0..2 {
        mixed.precommits.insert(0, bytes(&forged));
        forged = world.vote("de-he", value, 8).seal(&[&SecretKey::from_seed(&[9; 32])]).unwrap();
    }
    assert!(world.newest().next(&mixed).is_ok());
}

#[test]
fn each_role_signs_its_own() {
    let (world, change, full) = admitting(four());
    let value = full.hash();
    let keys = &world.actor("de-he").keys;
    let stranger = SecretKey::from_seed(&[9; 32]);
    for wrong in [&keys.root, &keys.publisher, &keys.node, &world.actor("de-rp").keys.approver, &stranger] {
        let mut few = full.clone();
        few.approvals = ["de-rp", "de-sl"].map(|h| bytes(&world.approve(h, &change))).to_vec();
        few.approvals.push(bytes(&world.approval("de-he", &change).seal(&[wrong]).unwrap()));
        assert_eq!(approvals(&world, &few), (2, 3));
    }
    for wrong in [&keys.root, &keys.publisher, &keys.approver, &world.actor("de-rp").keys.node, &stranger] {
        let mut few = full.clone();
        few.precommits = ["de-rp", "de-sl"].map(|h| bytes(&world.precommit(h, value, 0))).to_vec();
        few.precommits.push(bytes(&world.vote("de-he", value, 0).seal(&[wrong]).unwrap()));
        assert_eq!(precommits(&world, &few), (2, 3));
        // Nor by a node of which the writer says nothing.
        let vote = Ordering { writer: wrong.peer(), ..world.vote("de-he", value, 0) };
        few.precommits.pop();
        few.precommits.push(bytes(&vote.seal(&[wrong]).unwrap()));
        assert_eq!(precommits(&world, &few), (2, 3));
    }
}

#[test]
fn an_associate_has_no_vote() {
    let (world, change, full) = admitting(three().admit_as("de-th", Standing::Associate));
    assert_eq!((world.voters().len(), world.newest().charter.quorum()), (3, 3));
    assert!(world.newest().next(&full).is_ok());
    let value = full.hash();
    let with = |handles: [&str; 3]| {
        let mut bundle = full.clone();
        bundle.approvals = handles.map(|h| bytes(&world.approve(h, &change))).to_vec();
        bundle
    };
    assert_eq!(approvals(&world, &with(["de-he", "de-rp", "de-th"])), (2, 3));
    let mut bundle = full.clone();
    bundle.precommits = ["de-he", "de-rp", "de-th"].map(|h| bytes(&world.precommit(h, value, 0))).to_vec();
    assert_eq!(precommits(&world, &bundle), (2, 3));
}

#[test]
fn the_expelled_say_nothing_more() {
    let before = four();
    let world = before.clone().expel("de-th", 5, hash("root"));
    assert_eq!(world.newest().charter.stops.len(), 1);
    assert!(world.newest().charter.member(&world.actor("de-th").id()).is_none());
    assert_eq!(world.newest().member_of(&world.actor("de-th").peer()), None);
    let (world, change, full) = admitting(world);
    let mut bundle = full.clone();
    bundle.approvals = ["de-he", "de-rp", "de-th"].map(|h| bytes(&world.approve(h, &change))).to_vec();
    assert_eq!(approvals(&world, &bundle), (2, 3));
    let mut bundle = full.clone();
    let value = bundle.hash();
    bundle.precommits = ["de-he", "de-rp", "de-th"].map(|h| bytes(&world.precommit(h, value, 0))).to_vec();
    assert_eq!(precommits(&world, &bundle), (2, 3));
    // The expulsion stands in no charter after it.
    assert!(world.newest().next(&full).unwrap().charter.stops.is_empty());
}

#[test]
fn a_member_votes_on_its_own_expulsion_as_every_other() {
    let world = three();
    let (change, id) = (Change::Expel { member: world.actor("de-sl").id() }, world.actor("de-sl").id());
    let stop = LogEnd { log: world.newest().writer_of(&id).unwrap(), size: 3, root: hash("root") };
    let full = world.certify(&change, &[stop]);
    assert!(world.newest().next(&full).is_ok());
    let mut without = full;
    without.approvals = ["de-he", "de-rp"].map(|h| bytes(&world.approve(h, &change))).to_vec();
    assert_eq!(approvals(&world, &without), (2, 3));
}

#[test]
fn an_expulsion_stops_exactly_the_log_of_the_pinned_writer() {
    let world = four();
    let id = world.actor("de-th").id();
    let change = Change::Expel { member: id };
    let good = LogEnd { log: world.newest().writer_of(&id).unwrap(), size: 5, root: hash("root") };
    let foreign = LogEnd { log: world.actor("de-he").peer(), ..good };
    let both = if good.log < foreign.log { vec![good, foreign] } else { vec![foreign, good] };
    assert!(world.newest().next(&world.certify(&change, &[good])).is_ok());
    for stops in [vec![], vec![foreign], both] {
        assert_eq!(refusal(world.newest().next(&world.certify(&change, &stops))), "Follow", "{stops:?}");
    }
    let mut unstopped = world.newest().charter.clone();
    unstopped = unstopped.next(world.newest().hash, &change, &[good]).unwrap();
    unstopped.stops.clear();
    assert_eq!(refusal(world.newest().next(&world.certify_charter(&unstopped))), "Follow");
}

#[test]
fn a_charter_says_what_its_change_makes_and_nothing_else() {
    let (world, change, full) = admitting(four());
    let good = Charter::parse(&full.payload).unwrap();
    let refused = |alter: &dyn Fn(&mut Charter)| {
        let mut charter = good.clone();
        alter(&mut charter);
        assert_ne!(charter, good);
        assert_eq!(refusal(world.newest().next(&world.certify_charter(&charter))), "Follow", "{charter:?}");
        assert_eq!(refusal(world.newest().proposal(&world.certify_charter(&charter))), "Follow", "{charter:?}");
    };
    refused(&|c| c.rules.name = "Another".into());
    refused(&|c| c.rules.license = None);
    refused(&|c| c.founded_s += 1);
    refused(&|c| c.predecessor = Some(FederationId([1; 32])));
    refused(&|c| c.version += 1);
    refused(&|c| c.version -= 1);
    refused(&|c| c.prev = Some(hash("another")));
    refused(&|c| c.federation = Some(FederationId([1; 32])));
    refused(&|c| c.members[0].standing = Standing::Associate);
    refused(&|c| c.members[0].writer = hash("another"));
    refused(&|c| c.members[0].identity = hash("another"));
    refused(&|c| c.members.truncate(4));
    refused(&|c| c.change = Some(Change::Expel { member: world.actor("de-he").id() }));
    let stops = vec![LogEnd { log: world.actor("de-he").peer(), size: 3, root: hash("root") }];
    let stopping = world.certify_charter(&Charter { stops, ..good });
    assert_eq!(refusal(world.newest().next(&stopping)), "Rule.Change");
    // Not even in a key that nobody reads.
    let text = String::from_utf8(full.payload).unwrap();
    let more = text.replacen("{\"change\"", "{\"amendment\":1,\"change\"", 1);
    let bundle = world.certify_payload(more.into_bytes(), &change);
    assert_eq!(refusal(world.newest().next(&bundle)), "Rule.Json.NotCanonical");
    let spaced = world.certify_payload(text.replacen(':', ": ", 1).into_bytes(), &change);
    assert_eq!(refusal(world.newest().next(&spaced)), "Rule.Json.NotCanonical");
}

#[test]
fn a_certificate_is_for_one_predecessor() {
    let world = four();
    for (at, bundle) in world.bundles.iter().enumerate() {
        for (base, certified) in world.charters.iter().enumerate() {
            assert_eq!(certified.next(bundle).is_ok(), at == base + 1, "{at} after {base}");
        }
    }
    assert_eq!(refusal(Certified::genesis(&world.bundles[1])), "Follow");
    // Two admissions raced: each is complete, only one follows.
    let (left, _, first) = admitting(four());
    let second = left.clone().with("de-by");
    let second = second.certify(&second.admission("de-by", Standing::Full), &[]);
    let after = left.newest().next(&first).unwrap();
    assert!(left.newest().next(&second).is_ok());
    assert_eq!(refusal(after.next(&second)), "Follow");
    // The same members in another federation.
    let twin = {
        let mut founder = Actor::new(1, "de-he");
        founder.write(None, None);
        World::found_with(&Charter { founded_s: 1, ..World::genesis_of(&founder) }, &founder).1
    };
    assert_eq!(refusal(twin.next(&world.bundles[1])), "Follow");
}

#[test]
fn a_genesis_is_certified_by_its_founder() {
    let world = World::new(1).found();
    let (bundle, founder) = (&world.bundles[0], world.actor("de-he"));
    let good = Approval::open(&Envelope::parse(&bundle.approvals[0]).unwrap()).unwrap();
    let vote = Ordering::open(&Envelope::parse(&bundle.precommits[0]).unwrap()).unwrap();
    assert_eq!((vote.height, vote.round, vote.federation, vote.prev), (1, 0, None, None));
    let approved = |approval: &Approval, key: &SecretKey| {
        let approvals = vec![bytes(&approval.seal(&[key]).unwrap())];
        Certified::genesis(&CharterBundle { approvals, ..bundle.clone() })
    };
    let voted = |vote: &Ordering, key: &SecretKey| {
        let precommits = vec![bytes(&vote.seal(&[key]).unwrap())];
        Certified::genesis(&CharterBundle { precommits, ..bundle.clone() })
    };
    assert!(approved(&good, &founder.keys.approver).is_ok());
    assert_eq!(refusal(approved(&good, &founder.keys.root)), "Approvals");
    let other = Approval { base_version: 1, ..good.clone() };
    assert_eq!(refusal(approved(&other, &founder.keys.approver)), "Approvals");
    let other = Approval { federation: FederationId([1; 32]), ..good };
    assert_eq!(refusal(approved(&other, &founder.keys.approver)), "Approvals");
    assert!(voted(&vote, &founder.keys.node).is_ok());
    assert_eq!(refusal(voted(&vote, &founder.keys.approver)), "Precommits");
    assert_eq!(refusal(voted(&Ordering { value: None, ..vote }, &founder.keys.node)), "Precommits");
    for empty in [
        CharterBundle { identities: vec![], ..bundle.clone() },
        CharterBundle { writers: vec![], ..bundle.clone() },
        CharterBundle { approvals: vec![], ..bundle.clone() },
        CharterBundle { precommits: vec![], ..bundle.clone() },
    ] {
        assert!(Certified::genesis(&empty).is_err());
    }
    // A writer that names a federation cannot be the founder's first.
    let mut late = Actor::new(1, "de-he");
    late.write(Some(world.federation()), None);
    let writers = late.writers.iter().map(bytes).collect();
    assert_eq!(refusal(Certified::genesis(&CharterBundle { writers, ..bundle.clone() })), "Writer");
}

#[test]
fn malformed_parts_and_too_many_are_refused() {
    let (world, _, full) = admitting(World::new(1).found());
    let other = bytes(&world.precommit("de-he", full.hash(), 0));
    let mut bundle = full.clone();
    bundle.approvals.push(b"{}".to_vec());
    assert_eq!(refusal(world.newest().next(&bundle)), "Envelope.Json.Shape");
    let mut bundle = full.clone();
    bundle.approvals.push(other.clone());
    assert_eq!(refusal(world.newest().next(&bundle)), "Document.Type");
    let mut bundle = full.clone();
    bundle.identities.push(other.clone());
    assert_eq!(refusal(world.newest().next(&bundle)), "Identity.Type");
    let mut bundle = full.clone();
    bundle.writers.push(other.clone());
    assert_eq!(refusal(world.newest().next(&bundle)), "Document.Type");
    let mut bundle = full;
    bundle.precommits = vec![other; CERTIFICATE_PARTS_MAX];
    assert_eq!(refusal(world.newest().next(&bundle)), "TooManyParts");
}
