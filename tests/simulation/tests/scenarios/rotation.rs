//! Keys that were rotated since the charter pinned them: what they sign counts for everybody, whatever arrives first.

use std::collections::BTreeMap;

use super::ends::approve_all;
use verbund_protocol::core::{Command, Input, View as _};
use verbund_protocol::documents::{Approval, Change, Document, LogEnd, Standing, Writer};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::{Identity, Role};
use verbund_protocol::ids::{MemberId, PeerId, Sha256};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, EntryRow, key};
use verbund_protocol::wire::{self, Gossip};
use verbund_simulation::disk::Disk;
use verbund_simulation::node::Node;
use verbund_simulation::org::{Org, Wish};
use verbund_simulation::world::World;

/// The organisation's next identity: another approver, and these nodes besides.
fn next_identity(org: &Org, approver: &SecretKey, nodes: &[SecretKey]) -> Envelope {
    let mut next = Identity::parse(&org.identity).unwrap();
    (next.version, next.member, next.prev) = (2, Some(org.member), Some(org.identity.id()));
    next.roles.approver = Role { keys: vec![approver.public()], threshold: 1 };
    next.roles.nodes.extend(nodes.iter().map(SecretKey::public));
    next.seal(&[&org.root]).unwrap()
}

fn fresh(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// The node is started with its member's next identity and the new approver key only. Returns the identity's hash.
fn rotate(w: &mut World, node: usize) -> Sha256 {
    let approver = fresh(71);
    let identity = next_identity(&w.nodes[node].org, &approver, &[]);
    w.crash(node);
    w.nodes[node].own.identities.push(identity.bytes().to_vec());
    w.nodes[node].own.approvers = vec![approver.clone()];
    w.nodes[node].org.approver = approver;
    w.start(node);
    identity.id()
}

fn gossip(w: &mut World, to: usize, from: usize, message: Gossip) {
    let bytes = wire::encode(w.federation, message).unwrap();
    let (id, from) = (w.id(), w.nodes[from].peer());
    w.step(to, Input::Gossip { id, from, bytes });
}

#[test]
fn an_approval_by_rotated_keys_counts_for_everybody() {
    for (seed, gossip_loss) in [(90, 0), (91, 1_000)] {
        let mut w = World::of(seed, 3);
        let log = w.nodes[2].peer();
        let hash = rotate(&mut w, 2);
        w.expect(90_000, "its own log carries the identity", |w| (0..3).all(|n| w.log(n, log).identity == Some(hash)));
        w.faults.gossip_loss = gossip_loss;
        // With three, all must approve: also the one whose new key no charter pins.
        let joined = w.join("de-th");
        w.admit_by_all("de-th");
        w.expect(180_000, "it is in", |w| w.settled_members(joined + 1));
        assert!((0..3).all(|n| w.count(n, "bad_approval") == 0), "nobody is blamed");
    }
}

#[test]
fn an_approval_that_comes_before_the_identity_behind_it_counts_when_that_comes() {
    let mut w = World::of(92, 3);
    w.join("de-th");
    w.expect(60_000, "listed", |w| (0..3).all(|n| w.requests(n).len() == 1));
    let request = w.nodes[3].own.clone();
    let change = Change::Admit {
        member: request.member,
        handle: request.handle,
        standing: Standing::Full,
        identity: Envelope::parse(&request.identities[0]).unwrap().id(),
        writer: Envelope::parse(&request.writer).unwrap().id(),
    };
    w.admit(0, "de-th").unwrap();
    w.admit(1, "de-th").unwrap();
    let member = w.nodes[2].org.member;
    let approval = Approval { federation: w.federation, member, base_version: 3, change };
    let early = approval.seal(&[&fresh(71)]).unwrap().into_bytes();
    for node in 0..2 {
        gossip(&mut w, node, 2, Gossip::Document(early.clone()));
        assert_eq!((w.count(node, "approval_by_unknown_key"), w.count(node, "bad_approval")), (1, 0));
    }
    w.run(30_000);
    assert_eq!(w.charter(0).version, 3, "by a key that nobody knows nothing is approved");
    rotate(&mut w, 2);
    w.expect(120_000, "it may sign", |w| w.may_sign(2));
    w.admit(2, "de-th").unwrap();
    w.expect(120_000, "it is in", |w| w.settled_members(4));
}

#[test]
fn a_key_that_the_root_did_not_sign_approves_nothing() {
    let mut w = World::of(93, 2);
    // A chain by somebody else's root, in a log of its own: void, and so is what its keys sign.
    let org = w.nodes[1].org.clone();
    let mut forged = Identity::parse(&next_identity(&org, &fresh(71), &[])).unwrap();
    forged.roles.root = Role { keys: vec![fresh(72).public()], threshold: 1 };
    let forged = forged.seal(&[&fresh(72)]).unwrap().into_bytes();
    let refused = w.command(0, Command::Append(forged)).unwrap_err();
    assert_eq!(refused.code, "would_be_void", "{refused}");
    let change = Change::Expel { member: w.nodes[0].org.member };
    let approval = Approval { federation: w.federation, member: org.member, base_version: 2, change };
    let approval = approval.seal(&[&fresh(71)]).unwrap().into_bytes();
    gossip(&mut w, 0, 1, Gossip::Document(approval));
    assert_eq!(w.count(0, "approval_by_unknown_key"), 1);
}

/// A member's node has died, and the one that follows it was bought after the charter: only the newer identity lists it.
#[test]
fn a_vote_by_a_node_that_only_a_newer_identity_lists_counts() {
    let mut w = World::of(94, 3);
    let made = w.publish(2, &Wish { slug: "hund", version: "1.0.0", ..Wish::default() }).unwrap();
    w.expect(30_000, "held", |w| (0..3).all(|n| w.holds(n, &made)));
    w.run(20_000);
    w.crash(2);
    let (org, bought) = (w.nodes[2].org.clone(), fresh(73));
    let identity = next_identity(&org, &org.approver, std::slice::from_ref(&bought));
    let (log, row) = (w.nodes[2].peer(), w.log(0, w.nodes[2].peer()));
    let writer = Writer {
        federation: Some(w.federation),
        member: org.member,
        seq: 2,
        prev: Some(w.charter(0).member(&org.member).unwrap().writer),
        peer: bought.peer(),
        closes: Some(LogEnd { log, size: row.size(), root: row.frontier.root() }),
    };
    let writer = writer.seal(&[&org.root]).unwrap();
    w.command(0, Command::Append(identity.bytes().to_vec())).unwrap();
    w.command(0, Command::Append(writer.bytes().to_vec())).unwrap();
    let slot = w.nodes.len();
    let mut spare = Node::new(org.clone(), w.federation, writer.bytes().to_vec(), slot);
    spare.own.node = bought.clone();
    spare.own.identities.push(identity.bytes().to_vec());
    // What it has is what a member handed it, for nobody lets it in yet.
    spare.disk = Disk::open(w.nodes[0].disk.journal.clone());
    w.nodes.push(spare);
    w.start(slot);
    // Nobody could tell it what it signed before, for it is new.
    w.command(slot, Command::SignAnyway).unwrap();
    let change = Change::Amend {
        member: Some(org.member),
        handle: None,
        standing: None,
        identity: Some(identity.id()),
        writer: Some(writer.id()),
        name: None,
        license: None,
    };
    approve_all(&mut w, &change);
    approve_at(&mut w, slot, &change);
    // Its votes reach the others, as an operator would carry them.
    for _ in 0..240 {
        w.run(500);
        carry(&mut w, slot, &[0, 1]);
        carry(&mut w, 0, &[slot]);
        carry(&mut w, 1, &[slot]);
        if w.charter(0).version == 4 {
            break;
        }
    }
    assert_eq!(w.charter(0).version, 4, "{}", w.describe());
    assert_eq!(w.charter(0).member(&org.member).unwrap().identity, identity.id());
    w.expect(120_000, "it is let in, and may sign", |w| w.may_sign(slot));
    let next = w.publish(slot, &Wish { slug: "hund", version: "1.1.0", ..Wish::default() }).unwrap();
    w.expect(60_000, "held", |w| [0, 1].iter().all(|n| w.holds(*n, &next)));
}

/// All members' approvals of a change, handed to one node.
fn approve_at(w: &mut World, to: usize, change: &Change) {
    for node in 0..3 {
        let by = w.nodes[node].org.clone();
        let approval =
            Approval { federation: w.federation, member: by.member, base_version: 3, change: change.clone() };
        let bytes = approval.seal(&[&by.approver]).unwrap().into_bytes();
        gossip(w, to, 0, Gossip::Document(bytes));
    }
}

/// Hands the ordering messages that a node holds to others.
fn carry(w: &mut World, from: usize, to: &[usize]) {
    let Some(core) = &w.nodes[from].core else { return };
    let bundles = core.ordering(1 << 20);
    for node in to {
        for bundle in bundles.iter().rev() {
            gossip(w, *node, 0, Gossip::Ordering(vec![bundle.clone()]));
        }
    }
}

#[test]
fn a_copy_of_a_writer_with_bad_signatures_takes_no_good_ones_place() {
    let mut w = World::of(95, 3);
    let joined = w.join("de-th");
    w.expect(60_000, "listed", |w| (0..3).all(|n| w.requests(n).len() == 1));
    let good = Envelope::parse(&w.nodes[joined].own.writer).unwrap();
    let bare = Envelope::sign(good.payload_type(), good.payload().to_vec(), []).unwrap();
    assert_eq!(bare.id(), good.id());
    let refused = w.command(1, Command::Append(bare.bytes().to_vec())).unwrap_err();
    assert_eq!(refused.code, "would_be_void", "{refused}");
    w.admit_by_all("de-th");
    w.expect(60_000, "it is in", |w| w.settled_members(4));
}

/// Whether the log, as the first node has it, holds a document.
fn carries(w: &World, log: PeerId, id: &Sha256) -> bool {
    let (disk, row) = (&w.nodes[0].disk, w.log(0, log));
    let leaf = |index: u64| {
        let entry: Option<EntryRow> = state::get(disk, Table::Entries, &key::numbered(row.number, index)).unwrap();
        disk.leaf(entry.unwrap().at).unwrap()
    };
    (0..row.size()).any(|index| Envelope::parse(&leaf(index)).is_ok_and(|envelope| envelope.id() == *id))
}

#[test]
fn a_log_carries_the_identity_that_a_charter_pins() {
    let mut w = World::of(96, 3);
    let org = w.nodes[2].org.clone();
    let mut next = Identity::parse(&next_identity(&org, &org.approver, &[])).unwrap();
    next.roles.publisher.keys = vec![fresh(74).public()];
    next.roles.publisher.slugs = BTreeMap::new();
    let identity = next.seal(&[&org.root]).unwrap();
    // Another member logs it; the member's own node has never seen it.
    w.command(0, Command::Append(identity.bytes().to_vec())).unwrap();
    let change = Change::Amend {
        member: Some(org.member),
        handle: None,
        standing: None,
        identity: Some(identity.id()),
        writer: None,
        name: None,
        license: None,
    };
    w.run(10_000);
    approve_all(&mut w, &change);
    let log = w.nodes[2].peer();
    w.expect(120_000, "pinned, and in its log", |w| (0..3).all(|n| w.log(n, log).charter == 4));
    assert!((0..3).all(|n| w.log(n, log).identity == Some(identity.id())), "{}", w.describe());
    assert!(carries(&w, log, &identity.id()), "the log says so itself");
    let wish = Wish { slug: "hund", version: "2.0.0", ..Wish::default() };
    assert_eq!(w.publish(2, &wish).unwrap_err().code, "would_be_void", "the old publisher key is nobody's");
    let made = org.release_by(&fresh(74), MemberId(org.member.0), w.federation, &wish);
    w.nodes[2].artifacts.extend(made.artifacts.clone());
    w.command(2, Command::Append(made.leaf.clone())).unwrap();
    w.expect(60_000, "the new one's release is everywhere", |w| (0..3).all(|n| w.holds(n, &made)));
}
