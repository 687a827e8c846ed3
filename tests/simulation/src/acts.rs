//! What each act of a plan does to the world.

use verbund_protocol::core::{Command, Input, Problem, Reply};
use verbund_protocol::documents::{Approval, Change, Document as _};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::{Identity, Role};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::wire::{self, Gossip};

use crate::node::Armed;
use crate::org::{Made, Org, Wish};
use crate::plan::{Act, Plan, Planned, tolerated};
use crate::rng::Rng;
use crate::world::{Faults, Happening, World};
use crate::{disks, hostile};

/// Nodes that may be added to a run.
const NEWCOMERS_MAX: usize = 2;
/// How long a command is waited for, in milliseconds.
const REPLY_MS: u64 = 2_000;
/// Ten years in milliseconds.
const TEN_YEARS_MS: i64 = 10 * 365 * 86_400_000;

/// Performs one act; returns what was done in words, if anything was.
pub fn perform(w: &mut World, plan: &Plan, planned: &Planned) -> Option<String> {
    let mut dice = Rng::new(planned.dice);
    let node = pick(w, &mut dice, |w, i| !w.nodes[i].hostile)?;
    match planned.act {
        Act::Publish => publish(w, &mut dice, node),
        Act::Withdraw => withdraw(w, &mut dice),
        Act::Admit => admit(w, &mut dice),
        Act::StartAll => start_all(w),
        Act::Wait => {
            w.run(dice.between(1_000, 120_000));
            Some("nothing happens for a while".to_owned())
        }
        Act::Crash | Act::CrashAtCommit | Act::CrashInRecovery => crash(w, &mut dice, planned.act, node),
        Act::Cut | Act::Split | Act::Mute | Act::Reconnect => partition(w, &mut dice, planned.act, node),
        Act::Weather => Some(weather(w, &mut dice)),
        Act::Skew | Act::Jump => Some(clock(w, &mut dice, planned.act, node)),
        Act::Full => Some(full(w, &mut dice, node)),
        Act::Rot => disks::rot(w, &mut dice, node),
        Act::OldCopy | Act::Lost | Act::Flip => disks::restore(w, plan, &mut dice, planned.act, node),
        Act::Join => {
            join(w, &mut dice, plan, node).map(|slot| format!("{} asks {} to let it in", w.name(slot), w.name(node)))
        }
        Act::Infiltrate => infiltrate(w, &mut dice, plan, node),
        Act::Few => few(w, &mut dice),
        Act::Expel => expel(w, &mut dice),
        Act::Rotate => rotate(w, &mut dice, node),
        Act::Race => race(w, &mut dice, node),
        Act::Later => hostile::later(w, &mut dice, node),
        attack => {
            let by = pick(w, &mut dice, |w, i| w.nodes[i].hostile && w.nodes[i].up())?;
            hostile::attack(w, &mut dice, attack, by)
        }
    }
}

/// One of the nodes that fit.
pub fn pick(w: &World, dice: &mut Rng, fits: impl Fn(&World, usize) -> bool) -> Option<usize> {
    let fitting: Vec<usize> = (0..w.nodes.len()).filter(|i| fits(w, *i)).collect();
    let chosen = dice.index(fitting.len().max(1));
    fitting.get(chosen).copied()
}

/// Gives a command, and waits a while for its answer, which the node may never come to.
pub fn try_command(w: &mut World, node: usize, command: Command) -> Option<Result<Reply, Problem>> {
    if w.nodes[node].full && matches!(command, Command::Append(_)) {
        return Some(Err(Problem::new("disk_full", "the disk is nearly full")));
    }
    let id = w.id();
    w.step(node, Input::Command { id, command });
    w.until(REPLY_MS, |w| w.nodes[node].replies.contains_key(&id) || !w.nodes[node].up());
    w.nodes[node].replies.remove(&id)
}

fn publish(w: &mut World, dice: &mut Rng, node: usize) -> Option<String> {
    if !w.may_sign(node) {
        return None;
    }
    let slug = ["hund", "gewerbe", "wohngeld"][dice.index(3)];
    let version = format!("1.{}.0", w.made.len());
    let other = w.nodes[dice.index(w.nodes.len())].org.handle.clone();
    let audience = dice.permille(150).then_some(other.as_str());
    let wish = Wish { slug, version: &version, content: "", audience };
    let made = w.nodes[node].org.release(w.federation, &wish);
    w.nodes[node].artifacts.extend(made.artifacts.clone());
    w.made.push(made.clone());
    // Mostly nobody waits: what happens next may hit it half done.
    let told = if dice.permille(300) {
        let reply = try_command(w, node, Command::Append(made.leaf));
        format!("{reply:?}").chars().take(60).collect()
    } else if w.nodes[node].full {
        "its disk is full".to_owned()
    } else {
        let id = w.id();
        w.step(node, Input::Command { id, command: Command::Append(made.leaf) });
        "without waiting".to_owned()
    };
    Some(format!("{} publishes {slug} {version} for {audience:?}: {told}", w.name(node)))
}

fn withdraw(w: &mut World, dice: &mut Rng) -> Option<String> {
    let made: Made = w.made.get(dice.index(w.made.len().max(1)))?.clone();
    let row = |w: &World, i: usize| w.releases(i).into_iter().find(|r| r.id == made.id && r.log == w.nodes[i].peer());
    let node = pick(w, dice, |w, i| !w.nodes[i].hostile && w.may_sign(i) && row(w, i).is_some())?;
    let row = row(w, node)?;
    let leaf = w.nodes[node].org.withdrawal(w.federation, row.slug.as_str(), made.id);
    let reply = try_command(w, node, Command::Append(leaf));
    Some(format!("{} withdraws {} {}: {}", w.name(node), row.slug, row.version, matches!(reply, Some(Ok(_)))))
}

fn admit(w: &mut World, dice: &mut Rng) -> Option<String> {
    let mut told = Vec::new();
    for node in 0..w.nodes.len() {
        for handle in w.requests(node) {
            // Hostile members approve as well, so that newcomers get in at all.
            if w.may_sign(node) && dice.permille(900) {
                let id = w.id();
                let handle = handle.parse().unwrap();
                w.step(node, Input::Command { id, command: Command::Admit { handle, fingerprint: None } });
                told.push(w.nodes[node].org.handle.clone());
            }
        }
    }
    (!told.is_empty()).then(|| format!("{told:?} approve whoever asks to join"))
}

fn start_all(w: &mut World) -> Option<String> {
    let down: Vec<usize> = (0..w.nodes.len()).filter(|i| !w.nodes[*i].up() && !w.nodes[*i].retired).collect();
    down.iter().for_each(|node| w.start(*node));
    (!down.is_empty()).then(|| format!("{down:?} are started"))
}

fn crash(w: &mut World, dice: &mut Rng, act: Act, node: usize) -> Option<String> {
    if !w.nodes[node].up() {
        return None;
    }
    match act {
        Act::CrashAtCommit => {
            let where_ = if dice.permille(500) { Armed::BeforeCommit } else { Armed::AfterCommit };
            w.nodes[node].armed = Some(where_);
            Some(format!("{} will crash: {where_:?}", w.name(node)))
        }
        Act::CrashInRecovery => {
            w.crash(node);
            let mut at = 0;
            for _ in 0..dice.between(1, 3) {
                at += dice.between(1, 3_000);
                w.later(at, node, Happening::Start);
                at += dice.between(1, 1_500);
                w.later(at, node, Happening::Crash);
                w.trace.count("crash during recovery");
            }
            w.later(at + dice.between(1, 30_000), node, Happening::Start);
            Some(format!("{} crashes, and again while it recovers", w.name(node)))
        }
        _ => {
            w.trace.count("crash");
            w.crash(node);
            if dice.permille(700) {
                w.later(dice.between(1, 90_000), node, Happening::Start);
            }
            Some(format!("{} crashes", w.name(node)))
        }
    }
}

fn partition(w: &mut World, dice: &mut Rng, act: Act, node: usize) -> Option<String> {
    let n = w.nodes.len();
    let other = dice.index(n);
    match act {
        Act::Reconnect => {
            let before = w.cut.len() + w.mute.len();
            w.cut.clear();
            w.mute.clear();
            w.links_soon();
            return (before > 0).then(|| "all can reach each other again".to_owned());
        }
        Act::Split => {
            let left: Vec<usize> = (0..n).filter(|_| dice.permille(500)).collect();
            let right: Vec<usize> = (0..n).filter(|i| !left.contains(i)).collect();
            w.partition(&left, &right);
            w.trace.count("partition of the network");
            return Some(format!("{left:?} cannot reach {right:?}"));
        }
        _ if node == other => return None,
        Act::Mute => {
            w.mute.insert((node, other));
            w.trace.count("one-way partition");
            return Some(format!("nothing from {} reaches {}", w.name(node), w.name(other)));
        }
        _ => {}
    }
    w.partition(&[node], &[other]);
    w.trace.count("partition of two");
    Some(format!("{} cannot reach {}", w.name(node), w.name(other)))
}

fn weather(w: &mut World, dice: &mut Rng) -> String {
    let some = |dice: &mut Rng, max: u64| if dice.permille(500) { dice.below(max + 1) } else { 0 };
    w.faults = Faults {
        gossip_loss: some(dice, 1_000),
        request_loss: some(dice, 400),
        duplicates: some(dice, 300),
        stragglers: some(dice, 100),
        delay_max_ms: dice.between(1, 800),
        commit_max_ms: dice.between(0, 100),
        torn: dice.permille(500),
    };
    w.trace.count("change of weather");
    format!("{:?}", w.faults)
}

fn clock(w: &mut World, dice: &mut Rng, act: Act, node: usize) -> String {
    let sign = if dice.permille(500) { -1 } else { 1 };
    let by = if act == Act::Jump { TEN_YEARS_MS } else { dice.below(600_000) as i64 };
    // Back to the true time, now and then: a jump the other way.
    w.nodes[node].skew_ms = if dice.permille(200) { 0 } else { sign * by };
    w.trace.count(if act == Act::Jump { "clock off by ten years" } else { "clock off by minutes" });
    format!("the clock of {} is off by {} s", w.name(node), w.nodes[node].skew_ms / 1_000)
}

fn full(w: &mut World, dice: &mut Rng, node: usize) -> String {
    w.nodes[node].full = !w.nodes[node].full || dice.permille(300);
    if w.nodes[node].full {
        w.trace.count("full disk");
    }
    format!("the disk of {} is full: {}", w.name(node), w.nodes[node].full)
}

fn join(w: &mut World, dice: &mut Rng, plan: &Plan, node: usize) -> Option<usize> {
    let newcomers = w.nodes.iter().filter(|n| n.newcomer).count();
    if newcomers >= NEWCOMERS_MAX || !w.may_sign(node) {
        return None;
    }
    let handle = format!("de-x{}{}", plan.seed % 10, w.nodes.len());
    let (mut id, mut secret) = ([0; 16], [0; 32]);
    id[..8].copy_from_slice(&dice.draw().to_le_bytes());
    secret[..8].copy_from_slice(&dice.draw().to_le_bytes());
    let command = Command::Invite { handle: handle.parse().unwrap(), id, secret, valid_s: 86_400 };
    let Some(Ok(Reply::Ticket(line))) = try_command(w, node, command) else { return None };
    let slot = w.newcomer(Org::new(&handle), &line.parse().unwrap());
    w.nodes[slot].newcomer = true;
    w.trace.count("request to join");
    Some(slot)
}

/// One that will break the rules asks to join: as long as not too many do.
fn infiltrate(w: &mut World, dice: &mut Rng, plan: &Plan, node: usize) -> Option<String> {
    if disks::hostile(w) + w.nodes.iter().filter(|n| n.restored).count() >= tolerated(plan.members) {
        return None;
    }
    let slot = join(w, dice, plan, node)?;
    w.nodes[slot].hostile = true;
    let peer = w.nodes[slot].peer();
    if let Some(checks) = &mut w.checks {
        checks.suspects.insert(peer);
    }
    w.trace.count("hostile newcomer");
    Some(format!("hostile {} asks {} to let it in", w.name(slot), w.name(node)))
}

fn expel(w: &mut World, dice: &mut Rng) -> Option<String> {
    let charter = w.newest_charter();
    let members = charter.members.len();
    let listed = |w: &World, i: usize| charter.members.iter().any(|m| m.member == w.nodes[i].org.member);
    let victim = pick(w, dice, |w, i| i > 0 && listed(w, i) && !w.nodes[i].retired && !w.nodes[i].mirror)?;
    let hostile = |w: &World, i: usize| w.nodes[i].hostile && !w.nodes[i].twin && listed(w, i);
    let left = (0..w.nodes.len()).filter(|i| *i != victim && hostile(w, *i)).count();
    if members < 4 || left > tolerated(members - 1) {
        return None;
    }
    let handle = charter.members.iter().find(|m| m.member == w.nodes[victim].org.member)?.handle.clone();
    let mut by = Vec::new();
    for node in 0..w.nodes.len() {
        if node != victim && w.may_sign(node) && dice.permille(900) {
            let id = w.id();
            w.step(node, Input::Command { id, command: Command::Expel { handle: handle.clone() } });
            by.push(node);
        }
    }
    w.trace.count("expulsion");
    Some(format!("{by:?} expel {}", w.name(victim)))
}

/// A key that nobody had before.
fn fresh(dice: &mut Rng) -> SecretKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&dice.draw().to_le_bytes());
    SecretKey::from_seed(&seed)
}

fn rotate(w: &mut World, dice: &mut Rng, node: usize) -> Option<String> {
    // An identity on a disk that was lost would be another second version.
    if w.nodes[node].own.identities.len() > 4 || w.nodes[node].newcomer || w.nodes[node].mirror {
        return None;
    }
    let last = Envelope::parse(w.nodes[node].own.identities.last()?).unwrap();
    let mut next = Identity::parse(&last).unwrap();
    (next.version, next.member, next.prev) = (next.version + 1, Some(w.nodes[node].org.member), Some(last.id()));
    let approver = fresh(dice);
    next.roles.approver = Role { keys: vec![approver.public()], threshold: 1 };
    let publisher = dice.permille(500).then(|| fresh(dice));
    if let Some(publisher) = &publisher {
        next.roles.publisher.keys = vec![publisher.public()];
    }
    let identity = next.seal(&[&w.nodes[node].org.root]).unwrap();
    if w.nodes[node].up() {
        w.crash(node);
    }
    let n = &mut w.nodes[node];
    n.own.identities.push(identity.into_bytes());
    n.own.approvers = vec![approver.clone()];
    n.org.approver = approver;
    if let Some(publisher) = publisher {
        n.own.publishers = vec![publisher.clone()];
        n.org.publisher = publisher;
    }
    w.start(node);
    w.trace.count("rotation of keys");
    Some(format!("{} changes its keys: version {}", w.name(node), next.version))
}

/// An approval, given to each running node of `to` as gossip of its neighbours.
pub fn hand_round(w: &mut World, approval: &Approval, key: &SecretKey, by: usize, to: &[usize]) {
    let bytes = approval.seal(&[key]).unwrap().into_bytes();
    let message = wire::encode(w.federation, Gossip::Document(bytes)).unwrap();
    let delay = w.rng.between(1, 500);
    for to in to.iter().filter(|to| **to != by) {
        w.later(delay, *to, Happening::Gossip { from: by, bytes: message.clone() });
    }
}

/// Approvals of a change by at most `most` members whose keys are at hand.
fn approve(w: &mut World, change: &Change, base_version: u64, most: usize) {
    let voting = w.newest_charter().voting();
    let all: Vec<usize> = (0..w.nodes.len()).collect();
    let votes =
        |w: &World, by: usize| !w.nodes[by].mirror && !w.nodes[by].twin && voting.contains(&w.nodes[by].org.member);
    for by in all.iter().copied().filter(|by| votes(w, *by)).take(most).collect::<Vec<_>>() {
        let org = w.nodes[by].org.clone();
        let approval = Approval { federation: w.federation, member: org.member, base_version, change: change.clone() };
        hand_round(w, &approval, &org.approver, by, &all);
    }
}

/// Another name for the federation.
pub fn renaming(dice: &mut Rng) -> Change {
    let name = Some(format!("Verbund {}", dice.below(1_000)));
    Change::Amend { member: None, handle: None, standing: None, identity: None, writer: None, name, license: None }
}

/// One approval is missing: nothing may come of it.
fn few(w: &mut World, dice: &mut Rng) -> Option<String> {
    let charter = w.newest_charter();
    let change = renaming(dice);
    approve(w, &change, charter.version, charter.quorum() - 1);
    w.trace.count("change approved by too few");
    Some(format!("one fewer than {} approve a change of charter {}", charter.quorum(), charter.version))
}

/// The members approve several changes of one charter at once: a member's new identity, another name, whoever asks to join.
fn race(w: &mut World, dice: &mut Rng, node: usize) -> Option<String> {
    let version = w.newest_charter().version;
    approve(w, &renaming(dice), version, usize::MAX);
    let last = Envelope::parse(w.nodes[node].own.identities.last()?).unwrap();
    // Of a mirror too: what it has is what its member had at the beginning.
    let pinned = Change::Amend {
        member: Some(w.nodes[node].org.member),
        handle: None,
        standing: None,
        identity: Some(last.id()),
        writer: None,
        name: None,
        license: None,
    };
    approve(w, &pinned, version, usize::MAX);
    admit(w, dice);
    if dice.permille(200) {
        expel(w, dice);
    }
    w.trace.count("race of charter changes");
    Some(format!("changes of charter {version} are approved at once"))
}
