//! Processes that move to another member: SPEC-6.11, whatever arrives first.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::envelope::Envelope;
use crate::ids::PeerId;
use crate::limits::TRANSFERS_MAX;
use crate::view::judge;
use crate::view::rows::{Row, Rows};
use crate::view::state::{EntryRow, Verdict};

/// Who publishes in these tests, by handle.
const HANDLES: [&str; 3] = ["de-he", "de-rp", "de-sl"];

fn standing(fed: &Fed, who: usize, process: &str) -> Vec<String> {
    with(&fed.rows, |c| {
        let versions = c.versions(&fed.parties[who].member, &slug(process), &Viewer::Operator).unwrap();
        let mut versions: Vec<_> = versions.iter().map(|l| l.version.to_string()).collect();
        versions.sort();
        versions
    })
}

fn verdict(rows: &MemoryRows, log: PeerId, index: u64) -> Verdict {
    let row = state::log(rows, &log).unwrap().unwrap();
    state::get::<EntryRow>(rows, Table::Entries, &key::numbered(row.number, index)).unwrap().unwrap().verdict
}

fn why(fed: &Fed, who: usize, index: u64) -> String {
    match verdict(&fed.rows, fed.parties[who].log(), index) {
        Verdict::Void(why) => why,
        other => format!("{other:?}"),
    }
}

#[test]
fn the_old_owners_later_releases_are_void_once_the_new_owner_has_published() {
    let mut fed = Fed::of(2);
    fed.publish(0, "hund", "1.0.0");
    fed.publish(0, "katze", "1.0.0");
    let at = fed.transfer(0, "hund", 1, "hunde");
    let (_, between) = fed.publish(0, "hund", "1.1.0");
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0", "1.1.0"], "announced, and not in force yet");
    // Only the process that the transfer names takes it up, and only by naming it.
    fed.succeed(1, "hund", "2.0.0", "de-he/hund");
    fed.publish(1, "hunde", "1.9.0");
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0", "1.1.0"]);
    fed.succeed(1, "hunde", "2.0.0", "de-he/hund");
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0"]);
    let member = fed.parties[1].member;
    let reason = format!("the process moved to {member}/hunde before, at index {at} of {}", fed.parties[0].log());
    assert_eq!(why(&fed, 0, between), reason);
    let (_, after) = fed.publish(0, "hund", "1.2.0");
    assert_eq!(why(&fed, 0, after), reason);
    fed.publish(0, "katze", "1.1.0");
    assert_eq!(standing(&fed, 0, "katze"), ["1.0.0", "1.1.0"], "another process of the same owner");
    assert_eq!(standing(&fed, 1, "hunde"), ["1.9.0", "2.0.0"]);
    with(&fed.rows, |c| {
        let moved = |process: &str| c.moved_to(&fed.parties[0].member, &slug(process)).unwrap();
        assert_eq!([moved("hund"), moved("katze")], [Some("de-rp/hunde".to_owned()), None]);
        let voids = c.voids_of(&fed.parties[0].member, &slug("hund"), 10).unwrap();
        assert_eq!(voids.iter().map(|v| v.index).collect::<Vec<_>>(), [between, after]);
        assert!(c.at((fed.parties[0].log(), between), &Viewer::Operator).unwrap().is_none());
    });
    // What is to be fetched is what stands.
    let missing = fed.rows.scan(Table::Local, &key::missing_of(&fed.parties[0].log()), &[], usize::MAX).unwrap();
    assert!(missing.iter().all(|(key, _)| !key.ends_with(&between.to_be_bytes())), "void, and yet to be fetched");
}

#[test]
fn the_old_owner_learns_it_before_it_appends() {
    let mut fed = Fed::of(2);
    let (_, first) = fed.publish(0, "hund", "1.0.0");
    fed.transfer(0, "hund", 1, "hund");
    fed.succeed(1, "hund", "2.0.0", "de-he/hund");
    let before = fed.rows.clone();
    let (_, late) = fed.publish(0, "hund", "1.1.0");
    let leaf = fed.sign_again(0, late, &fed.parties[0].publisher());
    let dry = judge::dry_run(&before, &Charters::default(), fed.parties[0].log(), &leaf).unwrap();
    assert!(matches!(&dry, Verdict::Void(why) if why.contains("moved to")), "{dry:?}");
    // A recall stays possible: what was published under one's name stays one's own to answer for.
    let id = Envelope::parse(&fed.sign_again(0, first, &fed.parties[0].publisher())).unwrap().id();
    let recall = fed.say(0, &withdrawal(&fed, 0, "hund", id));
    assert_eq!(verdict(&fed.rows, fed.parties[0].log(), recall), Verdict::Valid);
}

#[test]
fn nobody_takes_a_process_that_was_not_given_to_it() {
    let mut fed = Fed::of(3);
    fed.publish(0, "hund", "1.0.0");
    fed.succeed(1, "hund", "2.0.0", "de-he/hund");
    fed.publish(0, "hund", "1.1.0");
    fed.transfer(0, "hund", 2, "hund");
    fed.publish(0, "hund", "1.2.0");
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0", "1.1.0", "1.2.0"], "given to de-sl, taken by de-rp");
    // Of another federation, and of a handle that nobody has.
    fed.succeed(2, "hund", "1.0.0", "nord:de-he/hund");
    fed.succeed(2, "hund", "1.0.1", "de-xx/hund");
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0", "1.1.0", "1.2.0"]);
    // A version that was published before takes nothing over.
    fed.publish(2, "hund", "2.0.0");
    fed.succeed(2, "hund", "2.0.0", "de-he/hund");
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0", "1.1.0", "1.2.0"]);
    fed.succeed(2, "hund", "2.0.1", "mitte:de-he/hund");
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0", "1.1.0"]);
}

#[test]
fn a_move_falls_away_with_the_release_that_made_it() {
    let mut fed = Fed::of(3);
    fed.publish(0, "hund", "1.0.0");
    fed.transfer(0, "hund", 1, "hund");
    let (_, late) = fed.publish(0, "hund", "1.1.0");
    let end = fed.size(1);
    fed.succeed(1, "hund", "2.0.0", "de-he/hund");
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0"]);
    fed.expel(1, end);
    assert_eq!(standing(&fed, 0, "hund"), ["1.0.0", "1.1.0"], "the new owner's log ends before it");
    assert_eq!(verdict(&fed.rows, fed.parties[0].log(), late), Verdict::Valid);
    with(&fed.rows, |c| assert!(c.voids(&fed.parties[0].log(), None, 10).unwrap().is_empty()));
}

#[test]
fn a_log_that_is_dropped_takes_its_part_of_a_move_with_it() {
    for dropped in [0, 1] {
        let mut fed = Fed::of(2);
        fed.publish(0, "hund", "1.0.0");
        fed.transfer(0, "hund", 1, "hund");
        fed.publish(0, "hund", "1.1.0");
        fed.succeed(1, "hund", "2.0.0", "de-he/hund");
        let before = fed.rows.clone();
        let log = fed.parties[dropped].log();
        fed.commit(vec![Record::Reset { log }]);
        let left: &[&str] = if dropped == 0 { &[] } else { &["1.0.0", "1.1.0"] };
        assert_eq!(standing(&fed, 0, "hund"), left);
        let kept: Vec<_> = [Table::Releases, Table::Statements]
            .into_iter()
            .flat_map(|table| fed.rows.scan(table, &[], &[], usize::MAX).unwrap())
            .filter(|(key, _)| key.windows(32).any(|w| w == log.key().as_bytes()))
            .collect();
        assert!(kept.is_empty(), "rows of the dropped log stay: {kept:?}");
        let again = fed.again(dropped);
        fed.commit(vec![again]);
        assert_eq!(standing(&fed, 0, "hund"), ["1.0.0"]);
        for table in [Table::Releases, Table::Statements, Table::Search] {
            let rows = |rows: &MemoryRows| rows.scan(table, &[], &[], usize::MAX).unwrap();
            assert_eq!(rows(&before), rows(&fed.rows), "{table:?}");
        }
    }
}

#[test]
fn two_that_give_each_other_their_processes_do_not_go_round_in_circles() {
    // Each release that takes the other's process up comes after the transfer of its own: both moves hold, and void each other's
    // later releases, whatever arrives first.
    let mut fed = Fed::of(2);
    fed.publish(0, "hund", "1.0.0");
    fed.publish(1, "hund", "1.0.0");
    fed.transfer(0, "hund", 1, "hund");
    fed.transfer(1, "hund", 0, "hund");
    fed.succeed(0, "hund", "2.0.0", "de-rp/hund");
    fed.succeed(1, "hund", "2.0.0", "de-he/hund");
    assert_eq!([standing(&fed, 0, "hund"), standing(&fed, 1, "hund")], [["1.0.0"], ["1.0.0"]]);
    for order in [[0, 1, 2], [2, 1, 0]] {
        let rows = fed.elsewhere(|n| order[n % 3].min(n.saturating_sub(1)));
        assert_eq!(shown(&fed, &rows), shown(&fed, &fed.rows));
    }
}

#[test]
fn no_more_transfers_are_looked_at_than_the_limit_says() {
    let announced = |many: usize| {
        let mut fed = Fed::of(2);
        fed.publish(0, "hund", "1.0.0");
        for n in 0..many {
            fed.transfer(0, "hund", 1, &format!("nie-{n}"));
        }
        fed.transfer(0, "hund", 1, "hund");
        fed.succeed(1, "hund", "2.0.0", "de-he/hund");
        fed.publish(0, "hund", "1.1.0");
        standing(&fed, 0, "hund")
    };
    assert_eq!(announced(TRANSFERS_MAX - 1), ["1.0.0"], "the last one that counts");
    assert_eq!(announced(TRANSFERS_MAX), ["1.0.0", "1.1.0"]);
}

/// A step of a random story.
#[derive(Debug, Clone, Copy)]
enum Act {
    Publish { who: usize, process: usize, version: usize, before: Option<(usize, usize)> },
    Transfer { who: usize, process: usize, to: usize, slug: usize },
}

/// Small numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n.max(1) as u64).unwrap()
    }
}

const PROCESSES: [&str; 2] = ["hund", "katze"];
const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "2.0.0", "2.1.0"];

/// Everything that a catalogue shows of the logs: verdicts by place, and the rows that stand.
type Shown = (Vec<(usize, u64, Verdict)>, Vec<Row>);

fn shown(fed: &Fed, rows: &MemoryRows) -> Shown {
    let mut verdicts = Vec::new();
    for (who, party) in fed.parties.iter().enumerate() {
        let row = state::log(rows, &party.log()).unwrap().unwrap();
        let counted = (0..row.size()).filter(|index| row.counts(*index));
        verdicts.extend(counted.map(|index| (who, index, verdict(rows, party.log(), index))));
    }
    // A statement beyond the end of its log is not read; whether it is kept depends on what came first.
    let read = |key: &[u8]| {
        let place = key::place_of(key).unwrap();
        state::log(rows, &place.log).unwrap().unwrap().counts(place.index)
    };
    let said = rows.scan(Table::Statements, b"s", &[], usize::MAX).unwrap().into_iter().filter(|(key, _)| read(key));
    let stand = [(Table::Releases, b"p"), (Table::Releases, b"i"), (Table::Releases, b"m"), (Table::Local, b"m")]
        .into_iter()
        .flat_map(|(table, prefix)| rows.scan(table, prefix, &[], usize::MAX).unwrap())
        .chain(rows.scan(Table::Search, &[], &[], usize::MAX).unwrap())
        .chain(said);
    (verdicts, stand.collect())
}

/// A place in a member's logs: the party that wrote, of which a later one is a later writer, and the index.
type At = (usize, u64);

/// The rule once more, from whole logs and as slowly as it can be said: the places of the releases that stand.
fn expected(acts: &[(usize, Act, u64)], ends: &[u64]) -> BTreeSet<At> {
    let below: Vec<(Act, At)> = acts
        .iter()
        .filter(|(party, _, index)| *index < ends[*party])
        .map(|(party, act, index)| (*act, (*party, *index)))
        .collect();
    let first = |owner: usize, name: usize, number: usize| {
        let same = |act: &Act| matches!(act, Act::Publish { who, process, version, .. } if (*who, *process, *version) == (owner, name, number));
        below.iter().filter(|(act, _)| same(act)).map(|(_, at)| *at).min()
    };
    let taken_up = |from: (usize, usize), to: (usize, usize)| {
        below.iter().any(|(act, at)| match act {
            Act::Publish { who, process, version, before: Some(before) } => {
                (*who, *process) == to && *before == from && first(*who, *process, *version) == Some(*at)
            }
            _ => false,
        })
    };
    let mut cuts: BTreeMap<(usize, usize), At> = BTreeMap::new();
    for (act, at) in &below {
        if let Act::Transfer { who, process, to, slug } = *act
            && taken_up((who, process), (to, slug))
        {
            let cut = cuts.entry((who, process)).or_insert(*at);
            *cut = (*cut).min(*at);
        }
    }
    let stands = |act: &Act, at: At| match *act {
        Act::Publish { who, process, version, .. } => {
            first(who, process, version) == Some(at) && cuts.get(&(who, process)).is_none_or(|cut| at < *cut)
        }
        Act::Transfer { .. } => false,
    };
    below.iter().filter(|(act, at)| stands(act, *at)).map(|(_, at)| *at).collect()
}

fn story(seed: u64) {
    let mut dice = Dice(seed);
    let mut fed = Fed::of(3);
    let mut acts = Vec::new();
    let mut ends = [u64::MAX; 3];
    // The member that goes on with another node, and the party that its log is then.
    let (mover, at) = (dice.below(3), dice.below(24));
    let mut party = [0, 1, 2];
    for n in 0..4 + dice.below(16) {
        if n == at {
            let size = fed.size(mover);
            // What the old node wrote last may lie beyond the end of its log.
            let size = size - dice.below(3).min(size - 3);
            ends[mover] = size as u64;
            party[mover] = fed.hand_over(mover, size);
        }
        let (who, process) = (dice.below(3), dice.below(2));
        let act = if dice.below(3) == 0 {
            Act::Transfer { who, process, to: (who + 1 + dice.below(2)) % 3, slug: dice.below(2) }
        } else {
            let before = (dice.below(2) == 0).then(|| ((who + 1 + dice.below(2)) % 3, dice.below(2)));
            Act::Publish { who, process, version: dice.below(4), before }
        };
        let index = match act {
            Act::Transfer { who, process, to, slug } => {
                fed.transfer(party[who], PROCESSES[process], to, PROCESSES[slug])
            }
            Act::Publish { who, process, version, before: None } => {
                fed.publish(party[who], PROCESSES[process], VERSIONS[version]).1
            }
            Act::Publish { who, process, version, before: Some((owner, slug)) } => {
                let before = format!("{}/{}", HANDLES[owner], PROCESSES[slug]);
                fed.succeed(party[who], PROCESSES[process], VERSIONS[version], &before).1
            }
        };
        acts.push((party[who], act, index));
    }
    let mut ends = [ends.as_slice(), &[u64::MAX]].concat();
    if dice.below(2) == 0 {
        let (who, cut) = (party[dice.below(3)], dice.below(6));
        let end = fed.size(who).saturating_sub(cut);
        if end >= 3 {
            fed.expel(who, end);
            ends[who] = end as u64;
        }
    }
    if dice.below(3) == 0 {
        let who = dice.below(fed.parties.len());
        fed.commit(vec![Record::Reset { log: fed.parties[who].log() }]);
        let again = fed.again(who);
        fed.commit(vec![again]);
    }
    let expected = expected(&acts, &ends);
    let here = shown(&fed, &fed.rows);
    let releases =
        acts.iter().filter(|(_, act, _)| matches!(act, Act::Publish { .. })).map(|(who, _, index)| (*who, *index));
    let releases: BTreeSet<_> = releases.collect();
    let stands: BTreeSet<_> = here
        .0
        .iter()
        .filter(|(who, index, verdict)| *verdict == Verdict::Valid && releases.contains(&(*who, *index)))
        .map(|(who, index, _)| (*who, *index))
        .collect();
    assert_eq!(stands, expected, "{acts:#?}");
    for _ in 0..4 {
        let there = fed.elsewhere(|n| dice.below(n));
        assert_eq!(shown(&fed, &there), here, "{acts:#?}");
    }
}

/// Random stories are told the same by every order of arrival, and as the rule says.
#[test]
fn every_order_of_arrival_ends_alike() {
    let seeds = match std::env::var("VERBUND_PROPERTY_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..400_u64,
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| story(seed));
        if let Err(panic) = run {
            eprintln!("failed with VERBUND_PROPERTY_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
