//! One federation's documents of every kind: what the vectors hold and the decoders are tried on.

use serde_json::json;

use super::*;
use crate::ids::{FederationId, MemberId, Slug};
use crate::testing::{FOUNDED_S, World};

/// Hessen's federation with Rheinland-Pfalz in it.
pub(super) fn world() -> World {
    World::new(WORLD).found().admit("de-rp").with("de-th")
}

pub(super) fn hash(text: &str) -> Sha256 {
    Sha256::of(text.as_bytes())
}

pub(super) struct Ids {
    pub(super) federation: FederationId,
    pub(super) he: MemberId,
    pub(super) rp: MemberId,
    pub(super) process: Slug,
}

pub(super) fn ids() -> Ids {
    let world = world();
    Ids {
        federation: world.federation(),
        he: world.actor("de-he").id(),
        rp: world.actor("de-rp").id(),
        process: "hundesteuer-anmeldung".parse().unwrap(),
    }
}

pub(super) fn writers() -> Vec<(&'static str, Writer)> {
    let (world, Ids { federation, he, .. }) = (world(), ids());
    let [first, second] = [1, 2].map(|g| Keys::new(WORLD, "de-he", g).node.peer());
    let founder = Writer { federation: None, member: he, seq: 1, prev: None, peer: first, closes: None };
    let closes = LogEnd { log: first, size: 17, root: hash("root") };
    let prev = Some(world.actor("de-he").writer());
    let joined = Writer::open(&world.actor("de-rp").writers[0]).unwrap();
    let next =
        Writer { federation: Some(federation), seq: 2, prev, peer: second, closes: Some(closes), ..founder.clone() };
    vec![("a member's first", joined), ("the founder's first", founder), ("a second, which closes", next)]
}

pub(super) fn node_infos() -> Vec<(&'static str, NodeInfo)> {
    let full = NodeInfo {
        federation: ids().federation,
        peer: he().node.peer(),
        time_s: FOUNDED_S,
        addresses: vec!["verbund.example.org:4711".into(), "192.0.2.7:4711".into(), "[2001:db8::7]:4711".into()],
        software: "verbund 0.1.0".into(),
        protocol: 1,
    };
    let bare = NodeInfo { addresses: vec![], ..full.clone() };
    vec![("three addresses", full), ("none: it only dials out", bare)]
}

pub(super) fn requests() -> Vec<(&'static str, Request)> {
    let world = world();
    let actor = world.actor("de-th");
    let full = Request {
        federation: world.federation(),
        member: actor.id(),
        handle: actor.handle.clone(),
        charter: world.newest().hash,
        agreement: Some(hash("agreement")),
        identity: actor.identity.hash,
        writer: actor.writer(),
        time_s: FOUNDED_S + 60,
    };
    let bare = Request { agreement: None, ..full.clone() };
    vec![("with an agreement", full), ("without one", bare)]
}

pub(super) fn changes() -> Vec<(&'static str, Change)> {
    let (world, Ids { rp, .. }) = (world(), ids());
    let of_member = Change::Amend {
        member: Some(rp),
        handle: Some("de-rlp".parse().unwrap()),
        standing: Some(Standing::Associate),
        identity: Some(hash("identity")),
        writer: Some(hash("writer")),
        name: None,
        license: None,
    };
    let mut of_rules = World::amendment(None);
    if let Change::Amend { name, license, .. } = &mut of_rules {
        (*name, *license) = (Some("OZG-Verbund Mitte".into()), Some("EUPL-1.2".into()));
    }
    vec![
        ("admit", world.admission("de-th", Standing::Full)),
        ("admit without vote", world.admission("de-th", Standing::Associate)),
        ("expel", Change::Expel { member: rp }),
        ("amend a member", of_member),
        ("amend rules", of_rules),
    ]
}

pub(super) fn approvals() -> Vec<(&'static str, Approval)> {
    let world = world();
    changes().into_iter().map(|(name, change)| (name, world.approval("de-he", &change))).collect()
}

pub(super) fn orderings() -> Vec<(&'static str, Ordering)> {
    let world = world();
    let vote = world.vote("de-he", hash("charter"), 0);
    let genesis = Ordering::open(&Envelope::parse(&world.bundles[0].precommits[0]).unwrap()).unwrap();
    let proposal = Ordering { kind: VoteKind::Proposal, ..vote.clone() };
    vec![
        ("precommit", vote.clone()),
        ("precommit of a genesis", genesis),
        ("proposal", proposal.clone()),
        ("proposal with the round of its polka", Ordering { round: 4, pol_round: Some(2), ..proposal }),
        ("prevote", Ordering { kind: VoteKind::Prevote, ..vote.clone() }),
        ("prevote for nothing", Ordering { kind: VoteKind::Prevote, value: None, round: 1, ..vote.clone() }),
        ("precommit for nothing", Ordering { value: None, round: 1, ..vote }),
    ]
}

pub(super) fn leaves() -> Vec<(&'static str, Leave)> {
    let Ids { federation, he, .. } = ids();
    let full = Leave { federation, member: he, reason: Some("Fusion der Verbünde".into()), time_s: FOUNDED_S };
    vec![("with a reason", full.clone()), ("without", Leave { reason: None, ..full })]
}

pub(super) fn corrections() -> Vec<(&'static str, Correction)> {
    let Ids { federation, he, process, .. } = ids();
    let fields =
        json!({ "title": "Hundesteuer – Anmeldung", "keywords": ["Hund", "Steuer"], "later": { "kept": true } });
    let fields = fields.as_object().unwrap().clone();
    let full = Correction { federation, member: he, process, release: hash("release"), fields, time_s: FOUNDED_S };
    vec![("title and keywords", full)]
}

pub(super) fn withdrawals() -> Vec<(&'static str, Withdrawal)> {
    let Ids { federation, he, process, .. } = ids();
    let full = Withdrawal {
        federation,
        member: he,
        process,
        release: hash("release"),
        reason: "Falscher Hebesatz".into(),
        severity: "high".into(),
        successor: Some("de-he/hundesteuer-anmeldung@1.2.1".into()),
        erase: true,
        time_s: FOUNDED_S,
    };
    let bare = Withdrawal { successor: None, erase: false, severity: "unbekannt".into(), ..full.clone() };
    vec![("with a successor, bytes to be deleted", full), ("a severity that nobody knows", bare)]
}

pub(super) fn deprecations() -> Vec<(&'static str, Deprecation)> {
    let Ids { federation, he, process, .. } = ids();
    let full = Deprecation {
        federation,
        member: he,
        process,
        release: Some(hash("release")),
        reason: "Rechtsgrundlage entfällt".into(),
        ends: Some("2026-12-31".into()),
        successor: Some("de-rp/hundesteuer".into()),
        time_s: FOUNDED_S,
    };
    let bare = Deprecation { release: None, ends: None, successor: None, ..full.clone() };
    vec![("one release", full), ("the whole process", bare)]
}

pub(super) fn adoptions() -> Vec<(&'static str, Adoption)> {
    let Ids { federation, he, rp, process } = ids();
    let full = Adoption {
        federation,
        member: rp,
        owner: he,
        process,
        release: Some(hash("release")),
        stage: "produktiv".into(),
        since: Some("2026-01-01".into()),
        bodies: ["07", "073", "07315", "073150000", "073150000000"].map(Into::into).into(),
        count: Some(12),
        terms: Some(hash("terms")),
        time_s: FOUNDED_S,
    };
    let (since, bodies, count, terms) = (None, vec![], None, None);
    let bare = Adoption { release: None, stage: "interesse".into(), since, bodies, count, terms, ..full.clone() };
    vec![("a release", full), ("a process", bare)]
}

pub(super) fn transfers() -> Vec<(&'static str, Transfer)> {
    let Ids { federation, he, rp, process } = ids();
    let slug = "hundesteuer".parse().unwrap();
    vec![("a process moves", Transfer { federation, member: he, process, to: rp, slug, time_s: FOUNDED_S })]
}

pub(super) fn advisories() -> Vec<(&'static str, Advisory)> {
    let Ids { federation, he, rp, process } = ids();
    let full = Advisory {
        federation,
        member: rp,
        owner: he,
        process,
        release: Some(hash("release")),
        severity: "critical".into(),
        text: "Rechnet Schaltjahre falsch".into(),
        time_s: FOUNDED_S,
    };
    vec![("about a release", full.clone()), ("about a process", Advisory { release: None, ..full })]
}
