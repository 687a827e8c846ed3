//! What members do that break the rules on purpose, and what comes from nodes of a later version.
//!
//! A hostile member's node runs a real core, so that it is believed; on top of it come the messages made here. It may do so with
//! its own keys only: nobody has those of others.

use verbund_protocol::codec;
use verbund_protocol::core::{Command, Input};
use verbund_protocol::documents::{Approval, Change, Document as _, Ordering, VoteKind};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::{PeerId, Sha256};
use verbund_protocol::log::{Checkpoint, Origin, sign_checkpoint, sign_cosignature, tree};
use verbund_protocol::record::{Batch, OrderingBundle, Record};
use verbund_protocol::view::state;
use verbund_protocol::wire::{self, Frame, Gossip, Holdings, LogHoldings, PROTOCOL_VERSION, SignedHoldings};

use crate::acts::{hand_round, pick, renaming};
use crate::node::Node;
use crate::org::Wish;
use crate::plan::Act;
use crate::rng::Rng;
use crate::world::{Happening, World};

pub fn attack(w: &mut World, dice: &mut Rng, act: Act, by: usize) -> Option<String> {
    let told = match act {
        Act::Fork => fork(w, dice, by)?,
        Act::LieHoldings => lie(w, by),
        Act::Withhold => {
            w.nodes[by].withholds = !w.nodes[by].withholds;
            format!("keeps entries back: {}", w.nodes[by].withholds)
        }
        Act::WrongBlobs => {
            w.nodes[by].liar = !w.nodes[by].liar;
            format!("sends wrong files: {}", w.nodes[by].liar)
        }
        Act::Forge => {
            w.nodes[by].forges = !w.nodes[by].forges;
            if w.nodes[by].forges {
                publish(w, by, "forged on its way");
            }
            format!("forges entries: {}", w.nodes[by].forges)
        }
        Act::Replay => replay(w, dice, by),
        Act::Equivocate => equivocate(w, dice, by),
        Act::CosignUnseen => cosign(w, dice, by),
        Act::Garbage => garbage(w, dice, by),
        Act::Trespass => trespass(w, dice, by)?,
        Act::CrossApprove => cross_approve(w, dice, by),
        _ => return None,
    };
    w.trace.count(match act {
        Act::Fork => "forked log",
        Act::LieHoldings => "lie about holdings",
        Act::Withhold => "withheld entries",
        Act::WrongBlobs => "wrong files",
        Act::Forge => "forged entries",
        Act::Replay => "replay",
        Act::Equivocate => "equivocation in ordering",
        Act::CosignUnseen => "cosignature of what was never seen",
        Act::Garbage => "rubbish",
        Act::CrossApprove => "approvals that contradict each other, or are not one's own",
        _ => "release without authority",
    });
    Some(format!("hostile {}: {told}", w.name(by)))
}

/// Gossip from one node to one other, whatever the first one's core thinks of it.
fn say(w: &mut World, by: usize, to: usize, message: Gossip) {
    if let Ok(bytes) = wire::encode(w.federation, message) {
        send(w, by, to, bytes);
    }
}

fn send(w: &mut World, by: usize, to: usize, bytes: Vec<u8>) {
    let delay = w.rng.between(1, w.faults.delay_max_ms);
    w.later(delay, to, Happening::Gossip { from: by, bytes });
}

fn others(w: &World, by: usize) -> Vec<usize> {
    let me = w.nodes[by].peer();
    (0..w.nodes.len()).filter(|i| w.nodes[*i].peer() != me).collect()
}

fn publish(w: &mut World, node: usize, content: &str) {
    let version = format!("2.{}.0", w.made.len());
    let wish = Wish { slug: "hund", version: &version, content, audience: None };
    let made = w.nodes[node].org.release(w.federation, &wish);
    w.nodes[node].artifacts.extend(made.artifacts.clone());
    w.made.push(made.clone());
    let id = w.id();
    w.step(node, Input::Command { id, command: Command::Append(made.leaf) });
}

/// A copy of its disk runs beside it with the same key; each signs a history of its own.
fn fork(w: &mut World, dice: &mut Rng, by: usize) -> Option<String> {
    let me = w.nodes[by].peer();
    let twin = (0..w.nodes.len()).find(|i| *i != by && w.nodes[*i].peer() == me);
    let twin = match twin {
        Some(twin) => twin,
        None => {
            let original = &w.nodes[by];
            let mut clone = Node::new(original.org.clone(), w.federation, original.own.writer.clone(), w.nodes.len());
            clone.own = original.own.clone();
            clone.disk = original.disk.copied();
            clone.disk.durable = clone.disk.journal.len();
            (clone.hostile, clone.twin) = (true, true);
            w.nodes.push(clone);
            let slot = w.nodes.len() - 1;
            // Each of the two is seen by some only.
            for other in 0..slot {
                w.partition(&[if dice.permille(500) { slot } else { by }], &[other]);
            }
            slot
        }
    };
    if !w.nodes[twin].up() {
        w.start(twin);
    }
    for (node, content) in [(by, "left"), (twin, "right")] {
        let id = w.id();
        w.step(node, Input::Command { id, command: Command::SignAnyway });
        for _ in 0..dice.below(3) {
            publish(w, node, content);
        }
    }
    Some(format!("runs twice, beside it node {twin}"))
}

fn lie(w: &mut World, by: usize) -> String {
    let logs: Vec<PeerId> = state::logs(&w.nodes[by].disk).unwrap().into_iter().map(|(log, _)| log).collect();
    let holdings = Holdings {
        logs: logs.into_iter().map(|log| LogHoldings { log, below: 1 << 40, missing: Vec::new() }).collect(),
    };
    let time_ms = w.nodes[by].now(w.now_ms).wall_ms + 1_000_000;
    let signed = SignedHoldings::sign(&w.nodes[by].own.node, w.federation, time_ms, holdings).unwrap();
    for to in others(w, by) {
        say(w, by, to, Gossip::Holdings(signed.clone()));
    }
    "says that it holds everything".to_owned()
}

fn replay(w: &mut World, dice: &mut Rng, by: usize) -> String {
    let old = w.overheard.clone();
    let mut sent = 0;
    for to in others(w, by) {
        // Its duplicate cache has forgotten them.
        w.nodes[to].seen.clear();
        for bytes in old.iter().filter(|_| dice.permille(400)) {
            send(w, by, to, bytes.clone());
            sent += 1;
        }
    }
    format!("repeats {sent} messages of others")
}

/// Different votes of one round for different members.
fn equivocate(w: &mut World, dice: &mut Rng, by: usize) -> String {
    let charter = w.charter(by);
    let version = state::meta(&w.nodes[by].disk).unwrap().charter;
    let prev = Some(Sha256::of(&charter.payload().unwrap()));
    let known: Vec<OrderingBundle> = w.nodes[by].core.as_ref().map(|c| c.ordering(1 << 20)).unwrap_or_default();
    let mut values: Vec<Option<Sha256>> = vec![None, Some(Sha256([dice.below(256) as u8; 32]))];
    values.extend(known.iter().filter_map(|b| b.payload.as_ref()).map(|payload| Some(Sha256::of(payload))));
    let round = dice.below(4) as u32;
    for to in others(w, by) {
        for kind in [VoteKind::Proposal, VoteKind::Prevote, VoteKind::Precommit] {
            let value = values[dice.index(values.len())];
            let message = Ordering {
                federation: Some(w.federation),
                prev,
                height: version + 1,
                round,
                kind,
                value,
                pol_round: None,
                member: w.nodes[by].org.member,
                writer: w.nodes[by].peer(),
            };
            let Ok(message) = message.seal(&[&w.nodes[by].own.node]) else { continue };
            // A proposal comes with what it names, if anybody knows it.
            let named = known.iter().find(|b| b.payload.as_ref().map(|p| Sha256::of(p)) == value && value.is_some());
            let with = named.filter(|_| kind == VoteKind::Proposal).cloned().unwrap_or_default();
            say(w, by, to, Gossip::Ordering(vec![OrderingBundle { message: message.into_bytes(), ..with }]));
        }
    }
    format!("votes this way and that in round {round} of height {}", version + 1)
}

fn cosign(w: &mut World, dice: &mut Rng, by: usize) -> String {
    let Some(other) = pick(w, dice, |w, i| w.nodes[i].peer() != w.nodes[by].peer()) else { return String::new() };
    let log = w.nodes[other].peer();
    let row = w.log(other, log);
    // Something that never was, or what it never asked for.
    let (size, root) = if dice.permille(500) || row.size() == 0 {
        (row.size() + dice.between(1, 9), Sha256([dice.below(256) as u8; 32]))
    } else {
        (row.size(), row.frontier.root())
    };
    let checkpoint = Checkpoint::new(Origin::new(w.federation, log), size, root).unwrap();
    let time_s = w.nodes[by].now(w.now_ms).wall_s();
    let cosignature = sign_cosignature(&w.nodes[by].own.node, time_s, &checkpoint).unwrap();
    for to in others(w, by) {
        say(w, by, to, Gossip::Cosigned { log, size, root, cosignature });
    }
    format!("cosigns the log of {} at {size}, where it is {}", w.name(other), row.size())
}

/// One change for some, another for the others; and approvals of others that it signed itself.
fn cross_approve(w: &mut World, dice: &mut Rng, by: usize) -> String {
    let base_version = w.charter(by).version;
    let org = w.nodes[by].org.clone();
    let expelled = pick(w, dice, |w, i| w.nodes[i].org.member != org.member).map(|i| w.nodes[i].org.member);
    let changes = [Some(renaming(dice)), expelled.map(|member| Change::Expel { member }), Some(renaming(dice))];
    let to = others(w, by);
    for change in changes.into_iter().flatten() {
        let approval = Approval { federation: w.federation, member: org.member, base_version, change };
        let some: Vec<usize> = to.iter().copied().filter(|_| dice.permille(600)).collect();
        hand_round(w, &approval, &org.approver, by, &some);
        for other in to.clone() {
            let forged = Approval { member: w.nodes[other].org.member, ..approval.clone() };
            hand_round(w, &forged, &org.approver, by, &some);
        }
    }
    format!("approves this and that of charter {base_version}, and for others")
}

fn garbage(w: &mut World, dice: &mut Rng, by: usize) -> String {
    for to in others(w, by) {
        let mut bytes: Vec<u8> = match w.overheard.get(dice.index(w.overheard.len().max(1))) {
            Some(bytes) if dice.permille(600) => bytes.clone(),
            _ => (0..dice.below(200)).map(|_| dice.below(256) as u8).collect(),
        };
        if !bytes.is_empty() {
            let at = dice.index(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            bytes.truncate(dice.between(1, bytes.len() as u64) as usize);
        }
        w.later(1, to, Happening::Request { from: by, from_life: 0, tag: Some(u64::MAX), bytes: bytes.clone() });
        w.later(2, to, Happening::Request { from: by, from_life: 0, tag: None, bytes: bytes.clone() });
        send(w, by, to, bytes);
    }
    "sends rubbish".to_owned()
}

/// Leaves in the own log as only a program of one's own would write them.
fn log_by_hand(w: &mut World, node: usize, leaf: Vec<u8>) -> bool {
    let (log, disk) = (w.nodes[node].peer(), &w.nodes[node].disk);
    let row = w.log(node, log);
    if row.size() < 3 || row.end().is_some() || disk.durable < disk.journal.len() || !w.nodes[node].up() {
        return false;
    }
    let mut frontier = row.frontier.clone();
    frontier.append(tree::leaf_hash(&leaf)).unwrap();
    let checkpoint = Checkpoint::new(Origin::new(w.federation, log), frontier.size(), frontier.root()).unwrap();
    let note = sign_checkpoint(&w.nodes[node].own.node, w.federation, &checkpoint).unwrap().to_text().into_bytes();
    let records = vec![Record::entries(log, row.size(), vec![leaf]), Record::Checkpoint { log, note }];
    w.nodes[node].disk.append(Batch { records });
    w.nodes[node].disk.durable += 1;
    // The core learns of it as of all that its disk holds.
    w.crash(node);
    w.start(node);
    true
}

fn trespass(w: &mut World, dice: &mut Rng, by: usize) -> Option<String> {
    let other = pick(w, dice, |w, i| w.nodes[i].org.member != w.nodes[by].org.member)?;
    let (mine, theirs) = (w.nodes[by].org.clone(), w.nodes[other].org.member);
    let version = format!("3.{}.0", w.made.len());
    let wish = Wish { slug: "hund", version: &version, content: "not his", audience: None };
    let (key, member, federation) = match dice.below(3) {
        0 => (&mine.publisher, theirs, w.federation),
        1 => (&mine.approver, mine.member, w.federation),
        _ => (&mine.publisher, mine.member, verbund_protocol::ids::FederationId([9; 32])),
    };
    let made = mine.release_by(key, member, federation, &wish);
    log_by_hand(w, by, made.leaf).then(|| format!("logs a release that it may not publish, {version}"))
}

/// Something that only a later version says, from a member that keeps the rules.
pub fn later(w: &mut World, dice: &mut Rng, node: usize) -> Option<String> {
    if !w.nodes[node].up() {
        return None;
    }
    w.trace.count("message of a later version");
    let charter = Gossip::Charter { version: 1, hash: Sha256([1; 32]) };
    let to = others(w, node);
    Some(match dice.below(4) {
        0 => {
            let bytes =
                codec::encode(&Frame { version: PROTOCOL_VERSION + 1, federation: w.federation, body: charter })
                    .unwrap();
            to.iter().for_each(|to| send(w, node, *to, bytes.clone()));
            format!("{} speaks the next version", w.name(node))
        }
        1 => {
            let head = codec::encode(&(PROTOCOL_VERSION, w.federation)).unwrap().len();
            let mut bytes = wire::encode(w.federation, charter).unwrap();
            bytes[head] = 99;
            bytes.truncate(head + 1 + dice.below(8) as usize);
            for to in to {
                send(w, node, to, bytes.clone());
                let (from_life, tag) = (0, Some(u64::MAX));
                w.later(1, to, Happening::Request { from: node, from_life, tag, bytes: bytes.clone() });
            }
            format!("{} gossips and asks what nobody knows", w.name(node))
        }
        2 => {
            let key = &w.nodes[node].org.publisher;
            let leaf = Envelope::sign("application/vnd.verbund.votum.v1+json", b"{\"a\":1}".to_vec(), [key]).unwrap();
            if !w.may_sign(node) || !log_by_hand(w, node, leaf.into_bytes()) {
                return None;
            }
            format!("{} logs a document of a kind that nobody knows", w.name(node))
        }
        _ => {
            if !w.may_sign(node) {
                return None;
            }
            let version = format!("4.{}.0", w.made.len());
            let wish = Wish { slug: "hund", version: &version, content: "", audience: None };
            let mut made = w.nodes[node].org.release(w.federation, &wish);
            let envelope = Envelope::parse(&made.leaf).unwrap();
            let mut payload: serde_json::Value = serde_json::from_slice(envelope.payload()).unwrap();
            payload["predicate"]["zukunft"] = serde_json::json!({ "a": [1, 2] });
            payload["predicate"]["metadata"]["neu"] = serde_json::json!("x");
            payload["predicate"]["metadata"]["stage"] = serde_json::json!("jenseits");
            payload["predicate"]["metadata"]["change"]["kind"] = serde_json::json!("unbekannt");
            let key = &w.nodes[node].org.publisher;
            let kind = envelope.payload_type().to_owned();
            let leaf = Envelope::sign(&kind, serde_json::to_vec(&payload).unwrap(), [key]).unwrap();
            (made.id, made.leaf) = (leaf.id(), leaf.bytes().to_vec());
            w.nodes[node].artifacts.extend(made.artifacts.clone());
            w.made.push(made.clone());
            let reply = crate::acts::try_command(w, node, Command::Append(made.leaf));
            format!(
                "{} publishes {version} with keys and values that nobody knows: {}",
                w.name(node),
                matches!(reply, Some(Ok(_)))
            )
        }
    })
}
