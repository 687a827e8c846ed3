use super::super::certificate::{CertificateError, CharterBundle};
use super::{admitting, four, hash, refusal, three};
use crate::documents::{Change, Document, LogEnd, Standing, Writer};
use crate::identity::IdentityError;
use crate::testing::{Actor, World, bytes};

/// Where the log of somebody's present node ends.
fn end(world: &World, handle: &str) -> LogEnd {
    LogEnd { log: world.actor(handle).peer(), size: 9, root: hash("root") }
}

/// The amendment that pins what somebody has now.
fn repinning(world: &World, handle: &str) -> Change {
    let actor = world.actor(handle);
    let mut change = World::amendment(Some(actor.id()));
    if let Change::Amend { identity, writer, .. } = &mut change {
        (*identity, *writer) = (Some(actor.identity.hash), Some(actor.writer()));
    }
    change
}

fn writer_refusal(world: &World, bundle: &CharterBundle) -> &'static str {
    match world.newest().next(bundle) {
        Err(CertificateError::Writer { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_rotated_since_the_charter_count_through_their_chain() {
    let mut world = three();
    world.actor_mut("de-rp").rotate(&["root", "approver"]);
    world.actor_mut("de-rp").rotate(&["approver"]);
    let (world, change, full) = admitting(world);
    assert_eq!(full.identities.len(), 2 + 1, "two of de-rp, one of the newcomer");
    assert!(world.newest().next(&full).is_ok());
    // Without the chain, or with a gap, the new key is nobody's.
    let mut bare = full.clone();
    bare.identities.drain(..full.identities.len() - 1);
    let newcomer = bytes(&world.actor("de-ni").identities[0]);
    bare.identities = vec![newcomer];
    assert_eq!(refusal(world.newest().next(&bare)), "Approvals");
    let mut gap = full.clone();
    gap.identities.retain(|i| *i != bytes(&world.actor("de-rp").identities[1]));
    assert_eq!(refusal(world.newest().next(&gap)), "Identity.Follow");
    let mut backwards = full.clone();
    backwards.identities.reverse();
    assert_eq!(refusal(world.newest().next(&backwards)), "Identity.Follow");
    // The old key counts as long as it is pinned, beside the new one and with the same member.
    let mut old = world.clone();
    old.actor_mut("de-rp").keys = three().actor("de-rp").keys.clone();
    let mut stale = full.clone();
    stale.approvals = old.voters().iter().map(|h| bytes(&old.approve(h, &change))).collect();
    assert_eq!(world.newest().next(&stale), world.newest().next(&full));
    stale.approvals.retain(|a| *a != bytes(&world.approve("de-he", &change)));
    stale.approvals.push(bytes(&world.approve("de-rp", &change)));
    assert_eq!(refusal(world.newest().next(&stale)), "Approvals");
    // Nor does a version between them lose its weight: certificates are checked by themselves, and one with a shorter chain would
    // have counted it.
    let between = crate::keys::SecretKey::from_seed(&crate::testing::seed(1, "de-rp", "approver", 2));
    let at = world.voters().iter().position(|h| h == "de-rp").unwrap();
    let mut middle = full.clone();
    middle.approvals[at] = bytes(&world.approval("de-rp", &change).seal(&[&between]).unwrap());
    assert_eq!(world.newest().next(&middle), world.newest().next(&full));
    // Once the rotation is pinned, the older keys are nobody's.
    let mut later = old.clone();
    later.actors.insert("de-rp".to_owned(), world.actor("de-rp").clone());
    let mut later = later.repin("de-rp");
    later.actor_mut("de-rp").keys = three().actor("de-rp").keys.clone();
    assert_eq!(refusal(later.newest().next(&later.certify(&change, &[]))), "Approvals");
    // The rotation itself is not pinned by a change that does not say so.
    let after = world.newest().next(&full).unwrap();
    let id = world.actor("de-rp").id();
    assert_eq!(after.identities[&id].identity.version, 1);
}

#[test]
fn a_rotation_that_the_old_root_did_not_sign_is_refused() {
    let mut world = three();
    let stranger = Actor::new(9, "de-rp");
    let actor = world.actor_mut("de-rp");
    let mut next = actor.identity.identity.clone();
    (next.version, next.member, next.prev) = (2, Some(actor.id()), Some(actor.identity.hash));
    next.roles = stranger.keys.roles();
    let forged = next.seal(&[&stranger.keys.root]).unwrap();
    let (world, _, mut full) = admitting(world);
    full.identities.insert(0, bytes(&forged));
    let refused = world.newest().next(&full);
    assert!(
        matches!(refused, Err(CertificateError::Identity(IdentityError::Unsigned { whose: "its predecessor", .. }))),
        "{refused:?}"
    );
}

#[test]
fn an_amendment_pins_what_the_certificate_carries() {
    let mut world = four();
    world.actor_mut("de-rp").rotate(&["approver"]);
    let change = repinning(&world, "de-rp");
    let full = world.certify(&change, &[]);
    let world = world.repin("de-rp");
    let id = world.actor("de-rp").id();
    assert_eq!(world.newest().identities[&id].identity.version, 2);
    assert_eq!(world.newest().charter.member(&id).unwrap().identity, world.actor("de-rp").identity.hash);
    // Not in the certificate.
    let before = &world.charters[world.charters.len() - 2];
    let mut bare = full;
    bare.identities.clear();
    bare.approvals.remove(world.voters().iter().position(|h| h == "de-rp").unwrap());
    assert_eq!(refusal(before.next(&bare)), "NotPinned");
    // Never back to an older one, which the certificate could not carry.
    let mut back = World::amendment(Some(id));
    if let Change::Amend { identity, .. } = &mut back {
        *identity = Some(world.actor("de-rp").identities[0].id());
    }
    assert_eq!(refusal(world.newest().next(&world.certify(&back, &[]))), "NotPinned");
}

#[test]
fn what_is_pinned_belongs_to_its_member() {
    let world = three().with("de-ni");
    let (he, ni) = (world.newest().charter.by_handle(&"de-he".parse().unwrap()).unwrap(), world.actor("de-ni"));
    let (identity, writer) = (ni.identity.hash, ni.writer());
    let admit = |identity, writer| {
        let (member, handle, standing) = (ni.id(), ni.handle.clone(), Standing::Full);
        let change = Change::Admit { member, handle, standing, identity, writer };
        world.newest().next(&world.certify(&change, &[]))
    };
    assert!(admit(identity, writer).is_ok());
    assert_eq!(refusal(admit(he.identity, writer)), "NotPinned");
    assert_eq!(refusal(admit(identity, he.writer)), "NotPinned");
    assert_eq!(refusal(admit(hash("nowhere"), writer)), "NotPinned");
    assert_eq!(refusal(admit(identity, hash("nowhere"))), "NotPinned");
}

#[test]
fn a_newcomer_brings_its_whole_chain() {
    let mut world = three().with("de-ni");
    world.actor_mut("de-ni").rotate(&["approver"]);
    let change = world.admission("de-ni", Standing::Full);
    let full = world.certify(&change, &[]);
    assert_eq!(full.identities.len(), 2);
    let after = world.newest().next(&full).unwrap();
    assert_eq!(after.identities[&world.actor("de-ni").id()].identity.version, 2);
    let mut late = full.clone();
    late.identities.remove(0);
    assert_eq!(refusal(world.newest().next(&late)), "Identity.Follow");
    let mut early = full;
    early.identities.pop();
    assert_eq!(refusal(world.newest().next(&early)), "NotPinned");
}

#[test]
fn a_writer_is_handed_over_with_the_end_of_its_predecessors_log() {
    let mut world = three();
    let stop = end(&world, "de-sl");
    let federation = world.federation();
    let actor = world.actor_mut("de-sl");
    actor.rotate(&["node"]);
    actor.write(Some(federation), Some(stop));
    let (old, id) = (stop.log, world.actor("de-sl").id());
    let full = world.certify(&repinning(&world, "de-sl"), &[]);
    let after = world.newest().next(&full).unwrap();
    assert_eq!(after.writer_of(&id), Some(world.actor("de-sl").peer()));
    assert_ne!(after.writer_of(&id), Some(old));
    assert_eq!(after.writers[&id].writer.closes, Some(stop));
    // Whichever of both nodes votes on it; and not as two.
    let value = full.hash();
    let mut past = world.clone();
    past.actor_mut("de-sl").keys.node = three().actor("de-sl").keys.node.clone();
    let by_old: Vec<_> = past.voters().iter().map(|h| bytes(&past.precommit(h, value, 0))).collect();
    let by_old = CharterBundle { precommits: by_old, ..full.clone() };
    assert_eq!(world.newest().next(&by_old), Ok(after));
    let mut both = by_old;
    both.precommits.retain(|p| *p != bytes(&world.precommit("de-he", value, 0)));
    both.precommits.push(bytes(&world.precommit("de-sl", value, 0)));
    assert_eq!(refusal(world.newest().next(&both)), "Precommits");
    // Once it is pinned, its new node votes, the old one not.
    let (later, _, next) = admitting(world.clone().repin("de-sl"));
    assert!(later.newest().next(&next).is_ok());
    let mut past = later.clone();
    past.actor_mut("de-sl").keys.node = three().actor("de-sl").keys.node.clone();
    let value = next.hash();
    let precommits = past.voters().iter().map(|h| bytes(&past.precommit(h, value, 0))).collect();
    assert_eq!(refusal(later.newest().next(&CharterBundle { precommits, ..next })), "Precommits");
}

#[test]
fn a_writer_follows_its_predecessor_and_is_signed_by_root() {
    let base = {
        let mut world = three();
        world.actor_mut("de-sl").rotate(&["node"]);
        world
    };
    let federation = base.federation();
    let closes = LogEnd { log: three().actor("de-sl").peer(), size: 9, root: hash("root") };
    let refused = |alter: &dyn Fn(&mut Actor)| {
        let mut world = base.clone();
        alter(world.actor_mut("de-sl"));
        let full = world.certify(&repinning(&world, "de-sl"), &[]);
        writer_refusal(&world, &full)
    };

    let good = {
        let mut world = base.clone();
        world.actor_mut("de-sl").write(Some(federation), Some(closes));
        let full = world.certify(&repinning(&world, "de-sl"), &[]);
        assert!(world.newest().next(&full).is_ok());
        Writer::open(&world.actor("de-sl").writers[1]).unwrap()
    };
    let push = |writer: Writer| move |actor: &mut Actor| actor.writers.push(writer.seal(&[&actor.keys.root]).unwrap());
    assert_eq!(refused(&push(Writer { seq: 3, ..good.clone() })), "does not follow the writer before");
    assert_eq!(refused(&push(Writer { prev: Some(hash("x")), ..good.clone() })), "does not follow the writer before");
    let other = LogEnd { log: base.actor("de-he").peer(), ..closes };
    assert_eq!(
        refused(&push(Writer { closes: Some(other), ..good.clone() })),
        "closes another log than its predecessor's"
    );
    let elsewhere = Some(crate::ids::FederationId([1; 32]));
    assert_eq!(refused(&push(Writer { federation: elsewhere, ..good.clone() })), "names another federation");
    let same = Writer { peer: closes.log, ..good.clone() };
    assert_eq!(refused(&push(same)), "names the node whose log it closes");
    let foreign = Writer { peer: base.actor("de-he").peer(), ..good.clone() };
    assert_eq!(refused(&push(foreign)), "its node is not among the identity's nodes");
    let unsigned = good;
    assert_eq!(
        refused(&|actor| actor.writers.push(unsigned.seal(&[&actor.keys.approver]).unwrap())),
        "not signed by the root threshold"
    );
}

#[test]
fn a_pinned_writers_node_stays_among_the_nodes_of_the_pinned_identity() {
    let mut world = three();
    let actor = world.actor_mut("de-sl");
    let mut next = actor.identity.identity.clone();
    (next.version, next.member, next.prev) = (2, Some(actor.id()), Some(actor.identity.hash));
    next.roles.nodes = vec![Actor::new(9, "de-sl").keys.node.public()];
    let envelope = next.seal(&[&actor.keys.root]).unwrap();
    actor.identity = actor.identity.next(&envelope).unwrap();
    actor.identities.push(envelope);
    let full = world.certify(&repinning(&world, "de-sl"), &[]);
    assert_eq!(writer_refusal(&world, &full), "its node is not among the identity's nodes");
}

#[test]
fn a_node_speaks_for_one_member() {
    // A newcomer lists a node of Hessen beside its own.
    let mut world = three().with("de-ni");
    let taken = world.actor("de-he").keys.node.public();
    let actor = world.actor_mut("de-ni");
    let mut first = actor.identity.identity.clone();
    first.roles.nodes.push(taken);
    let envelope = first.seal(&[&actor.keys.root]).unwrap();
    actor.identity = crate::identity::VerifiedIdentity::first(&envelope).unwrap();
    actor.identities = vec![envelope];
    actor.writers.clear();
    let federation = world.federation();
    world.actor_mut("de-ni").write(Some(federation), None);
    let change = world.admission("de-ni", Standing::Full);
    assert_eq!(refusal(world.newest().next(&world.certify(&change, &[]))), "NodeTwice");
    assert_eq!(refusal(world.newest().proposal(&world.certify(&change, &[]))), "NodeTwice");
}

#[test]
fn a_writer_needs_the_identity_of_its_member() {
    let (world, _, mut full) = admitting(three());
    let stray = world.newcomer("de-by");
    full.writers.push(bytes(&stray.writers[0]));
    assert_eq!(writer_refusal(&world, &full), "has no identity in the certificate");
    // Strangers in the certificate are checked, and change nothing.
    full.identities.push(bytes(&stray.identities[0]));
    let certified = world.newest().next(&full).unwrap();
    assert!(!certified.identities.contains_key(&stray.id()));
}
