//! What stands is decided by what precedes an entry in the logs, whatever arrives first, and nothing stands beyond the end of a log.

use super::*;
use crate::documents::Leave;
use crate::ids::PeerId;
use crate::view::state::{EntryRow, ReleaseRow, Verdict};

fn verdict(rows: &MemoryRows, log: PeerId, index: u64) -> Verdict {
    let row = state::log(rows, &log).unwrap().unwrap();
    state::get::<EntryRow>(rows, Table::Entries, &key::numbered(row.number, index)).unwrap().unwrap().verdict
}

/// A node that is given all charters first, then the logs, the last one first.
fn backwards(fed: &Fed) -> MemoryRows {
    fed.elsewhere(|n| n.saturating_sub(1))
}

#[test]
fn a_release_stays_when_its_key_is_taken_away_later() {
    let mut fed = Fed::of(2);
    let (_, index) = fed.publish(1, "hund", "1.0.0");
    fed.repin(1);
    let log = fed.parties[1].log();
    for rows in [fed.rows.clone(), backwards(&fed)] {
        assert_eq!(verdict(&rows, log, index), Verdict::Valid);
    }
}

#[test]
fn of_equal_versions_in_two_logs_of_a_member_the_earlier_writers_stands() {
    let mut fed = Fed::of(2);
    let (_, first) = fed.publish(1, "hund", "1.0.0");
    let next = fed.hand_over(1, fed.size(1));
    let (_, second) = fed.publish(next, "hund", "1.0.0");
    let (old, new) = (fed.parties[1].log(), fed.parties[next].log());
    for rows in [fed.rows.clone(), backwards(&fed)] {
        assert_eq!(verdict(&rows, old, first), Verdict::Valid);
        assert!(matches!(verdict(&rows, new, second), Verdict::Void(_)));
        let main = key::release(&fed.parties[1].member, &slug("hund"), "1.0.0");
        let shown: ReleaseRow = state::get(&rows, Table::Releases, &main).unwrap().unwrap();
        assert_eq!((shown.log, shown.index), (old, first));
    }
}

#[test]
fn a_writer_that_no_charter_pins_ends_no_log_even_when_the_log_is_fetched_anew() {
    let mut fed = Fed::of(2);
    let (_, index) = fed.publish(1, "hund", "1.0.0");
    let log = fed.parties[1].log();
    fed.carry(1, index as usize);
    assert_eq!(verdict(&fed.rows, log, index), Verdict::Valid);
    fed.commit(vec![Record::Reset { log }]);
    let again = fed.again(1);
    fed.commit(vec![again]);
    assert_eq!(verdict(&fed.rows, log, index), Verdict::Valid);
    assert_eq!(state::log(&fed.rows, &log).unwrap().unwrap().closed.owner, None);
}

#[test]
fn what_follows_a_leave_is_void() {
    let mut fed = Fed::of(2);
    let party = fed.parties[1].clone();
    let leave = Leave { federation: fed.federation, member: party.member, reason: None, time_s: NOW_S };
    fed.append(1, leave.seal(&[&party.approver()]).unwrap().into_bytes());
    let (_, after) = fed.publish(1, "hund", "1.0.0");
    let why = verdict(&fed.rows, party.log(), after);
    assert!(matches!(&why, Verdict::Void(why) if why.contains("beyond the end")), "{why:?}");
}

#[test]
fn a_members_own_cosignature_witnesses_nothing() {
    let mut fed = Fed::of(4);
    fed.publish(3, "hund", "1.0.0");
    let log = fed.parties[3].log();
    let (checkpoint, note) = fed.note(3, fed.size(3), None);
    fed.commit(vec![Record::Checkpoint { log, note }]);
    let witnessed = |fed: &Fed| state::log(&fed.rows, &log).unwrap().unwrap().witnessed;
    fed.cosign(3, &[3, 0]);
    assert_eq!(witnessed(&fed), None, "one of the two others that are needed");
    fed.cosign(3, &[1]);
    assert_eq!(witnessed(&fed), Some((checkpoint.size, checkpoint.root)));
}
