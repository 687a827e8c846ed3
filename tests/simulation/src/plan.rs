//! From a seed to what will happen: how many members, who of them is hostile, which kinds of faults there are at all, and the acts.
//!
//! A seed chooses the mix, not only the moments: runs in which everything goes wrong at once find less than runs in which few
//! things do (swarm testing, Groce et al. 2012). Each act draws from dice of its own, so that one can be left out and the others
//! stay what they are.

use crate::rng::Rng;

/// What people, machines and attackers do. To add one: a variant, a line in [`ACTS`], an arm in [`crate::acts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// A publisher publishes a release.
    Publish,
    /// A release is withdrawn.
    Withdraw,
    /// Everybody approves what is asked for.
    Admit,
    /// All that are down are started.
    StartAll,
    /// Nothing happens for a while.
    Wait,
    /// A process dies.
    Crash,
    /// It dies where a batch becomes durable.
    CrashAtCommit,
    /// It dies, and again soon after its start.
    CrashInRecovery,
    /// Two nodes cannot reach each other.
    Cut,
    /// Half cannot reach the other half.
    Split,
    /// What one sends never reaches another.
    Mute,
    /// All can reach each other again.
    Reconnect,
    /// Loss, duplication, reordering, delay.
    Weather,
    /// A wall clock is off by up to ten minutes.
    Skew,
    /// A wall clock jumps by ten years.
    Jump,
    /// A disk is full, until it is not.
    Full,
    /// A file of a release rots.
    Rot,
    /// A node is put back to an old copy of its disk.
    OldCopy,
    /// A disk is lost with all that was on it.
    Lost,
    /// Bits of stored frames flip.
    Flip,
    /// Somebody asks to join.
    Join,
    /// A member is expelled.
    Expel,
    /// A member changes its keys.
    Rotate,
    /// Changes of the charter are approved all at once.
    Race,
    /// A change is approved by one member fewer than are needed.
    Few,
    /// Something of a later version comes.
    Later,
    /// A hostile member runs its node twice.
    Fork,
    /// It says that it holds everything.
    LieHoldings,
    /// It keeps entries back, or gives them out again.
    Withhold,
    /// It sends wrong files.
    WrongBlobs,
    /// It sends other entries than the log's.
    Forge,
    /// It repeats what others said.
    Replay,
    /// It votes this way and that.
    Equivocate,
    /// It cosigns what it never saw.
    CosignUnseen,
    /// It sends rubbish.
    Garbage,
    /// It publishes for others, and with keys that nobody listed.
    Trespass,
    /// It approves this change here and that one there, and signs for others.
    CrossApprove,
    /// One that will break the rules asks to join.
    Infiltrate,
}

/// Kinds of faults that a seed has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Always there.
    Life,
    Crashes,
    Partitions,
    Weather,
    Clocks,
    Full,
    Disks,
    Members,
    Later,
    Forks,
    Lies,
    Votes,
}

/// Each act, the kind that it belongs to, and how often it is chosen.
pub const ACTS: [(Act, Kind, u64); 38] = [
    (Act::Publish, Kind::Life, 24),
    (Act::Withdraw, Kind::Life, 3),
    (Act::Admit, Kind::Life, 5),
    (Act::StartAll, Kind::Life, 5),
    (Act::Wait, Kind::Life, 4),
    (Act::Crash, Kind::Crashes, 8),
    (Act::CrashAtCommit, Kind::Crashes, 8),
    (Act::CrashInRecovery, Kind::Crashes, 4),
    (Act::Cut, Kind::Partitions, 6),
    (Act::Split, Kind::Partitions, 3),
    (Act::Mute, Kind::Partitions, 5),
    (Act::Reconnect, Kind::Partitions, 5),
    (Act::Weather, Kind::Weather, 6),
    (Act::Skew, Kind::Clocks, 4),
    (Act::Jump, Kind::Clocks, 3),
    (Act::Full, Kind::Full, 5),
    (Act::Rot, Kind::Disks, 3),
    (Act::OldCopy, Kind::Disks, 5),
    (Act::Lost, Kind::Disks, 3),
    (Act::Flip, Kind::Disks, 3),
    (Act::Join, Kind::Members, 5),
    (Act::Expel, Kind::Members, 3),
    (Act::Rotate, Kind::Members, 4),
    (Act::Race, Kind::Members, 3),
    (Act::Few, Kind::Members, 3),
    (Act::Later, Kind::Later, 5),
    (Act::Fork, Kind::Forks, 4),
    (Act::LieHoldings, Kind::Lies, 4),
    (Act::Withhold, Kind::Lies, 4),
    (Act::WrongBlobs, Kind::Lies, 4),
    (Act::Forge, Kind::Lies, 4),
    (Act::Replay, Kind::Lies, 4),
    (Act::Equivocate, Kind::Votes, 6),
    (Act::CosignUnseen, Kind::Lies, 4),
    (Act::Garbage, Kind::Lies, 4),
    (Act::Trespass, Kind::Lies, 4),
    (Act::CrossApprove, Kind::Votes, 5),
    (Act::Infiltrate, Kind::Votes, 4),
];

impl Act {
    /// The kind of faults that it belongs to.
    pub fn kind(self) -> Kind {
        ACTS.iter().find(|(act, ..)| *act == self).map_or(Kind::Life, |(_, kind, _)| *kind)
    }
}

const KINDS: [Kind; 11] = [
    Kind::Crashes,
    Kind::Partitions,
    Kind::Weather,
    Kind::Clocks,
    Kind::Full,
    Kind::Disks,
    Kind::Members,
    Kind::Later,
    Kind::Forks,
    Kind::Lies,
    Kind::Votes,
];

/// One act: how long it is waited before, in milliseconds, and what it draws from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub wait_ms: u64,
    pub act: Act,
    pub dice: u64,
}

/// What will happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub members: usize,
    /// Nodes whose members break the rules.
    pub hostile: Vec<usize>,
    /// Members that run a second node.
    pub mirrors: Vec<usize>,
    pub kinds: Vec<Kind>,
    pub acts: Vec<Planned>,
}

/// From so many members on a federation is large: one of twenty runs, which are shorter. Each input of one concerns all others.
const LARGE: u64 = 8;

/// How many of `members` may break the rules: as many as can be missing where k = ⌊2n/3⌋ + 1 must agree.
pub fn tolerated(members: usize) -> usize {
    members - (2 * members / 3 + 1)
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed_0fa1_17e5);
        let members = match rng.below(1_000) {
            0..300 => 3,
            300..640 => 4,
            640..790 => 5,
            790..900 => 6,
            900..945 => 7,
            945..997 => rng.between(LARGE, 9) as usize,
            _ => rng.between(10, 16) as usize,
        };
        let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| rng.permille(400)).collect();
        let attacks = [Kind::Forks, Kind::Lies, Kind::Votes];
        let mut hostile = Vec::new();
        let attacked = kinds.iter().any(|kind| attacks.contains(kind)) && tolerated(members) > 0;
        // Or those that join are the only ones.
        if attacked && !(kinds.contains(&Kind::Votes) && rng.permille(200)) {
            for _ in 0..rng.between(1, tolerated(members) as u64) {
                // The first one lets newcomers in; hostile members would only keep them out.
                let node = 1 + rng.index(members - 1);
                if !hostile.contains(&node) {
                    hostile.push(node);
                }
            }
        }
        let honest = (0..members).filter(|member| !hostile.contains(member));
        let mirrors = honest.filter(|_| rng.permille(100)).take(2).collect();
        let choices: Vec<(Act, u64)> = ACTS
            .into_iter()
            .filter(|(_, kind, _)| *kind == Kind::Life || kinds.contains(kind))
            .filter(|(_, kind, _)| attacked || !attacks.contains(kind))
            .map(|(act, _, weight)| (act, weight))
            .collect();
        let total = choices.iter().map(|(_, weight)| weight).sum();
        let length = if (members as u64) < LARGE { rng.between(16, 48) } else { rng.between(8, 16) };
        let acts = (0..length).map(|_| {
            let mut at = rng.below(total);
            let act = choices.iter().find(|(_, weight)| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            });
            let wait_ms = if rng.permille(100) { rng.below(60_000) } else { rng.below(4_000) };
            Planned { wait_ms, act: act.map_or(Act::Wait, |(act, _)| *act), dice: rng.draw() }
        });
        let acts = acts.collect();
        Self { seed, members, hostile, mirrors, kinds, acts }
    }
}
