//! Whatever comes first: equal evidence gives equal ends.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::ids::{PeerId, Sha256};
use crate::log::{Checkpoint, ForkProof, Origin, note};
use crate::record::{Batch, Record};
use crate::testing::cases;
use crate::view::catalogue::tests::build::Fed;
use crate::view::state::{self, Position};

/// Whose log forks, and after how many entries.
const LIAR: usize = 3;
const COMMON: usize = 5;

/// A federation of four, of which the last one's log has ten entries. Two others are needed to witness it.
fn federation() -> Fed {
    let mut fed = Fed::of(4);
    for n in 0..7 {
        fed.publish(LIAR, "hund", &format!("1.{n}.0"));
    }
    fed
}

/// One piece of evidence: a note at this size, or a cosignature of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    size: usize,
    left: bool,
    by: Option<(usize, u64)>,
}

fn piece() -> impl Strategy<Value = Piece> {
    let by = prop::option::weighted(0.7, (0..3_usize, 0..3_u64));
    (4..=10_usize, any::<bool>(), by).prop_map(|(size, left, by)| Piece { size, left: left || size <= COMMON, by })
}

fn records(fed: &Fed, pieces: &[Piece]) -> Vec<Record> {
    let of = |piece: &Piece| {
        let (checkpoint, note) = fed.note(LIAR, piece.size, (!piece.left).then_some(COMMON));
        match piece.by {
            Some((by, time)) => fed.cosignature(&checkpoint, by, 1_767_300_000 + time),
            None => Record::Checkpoint { log: fed.parties[LIAR].log(), note },
        }
    };
    pieces.iter().map(of).collect()
}

/// What all of it together proves: the largest checkpoint whose note is there and which two others cosigned.
fn proven(fed: &Fed, pieces: &[Piece]) -> Option<(u64, Sha256)> {
    let mut noted = BTreeSet::new();
    let mut by: BTreeMap<(u64, Sha256), BTreeSet<usize>> = BTreeMap::new();
    for piece in pieces {
        let (Checkpoint { size, root, .. }, _) = fed.note(LIAR, piece.size, (!piece.left).then_some(COMMON));
        match piece.by {
            Some((member, _)) => drop(by.entry((size, root)).or_default().insert(member)),
            None => drop(noted.insert((size, root))),
        }
    }
    by.into_iter().filter(|(head, members)| noted.contains(head) && members.len() >= 2).map(|(head, _)| head).max()
}

/// Where the log ends, and what is witnessed.
type End = (Option<u64>, Option<(u64, Sha256)>);

/// The ends after each of the commits of these records, `step` at a time.
fn ends(fed: &Fed, records: &[Record], step: usize) -> Vec<End> {
    let (mut rows, fold) = fed.fork();
    let mut ends = Vec::new();
    for (n, records) in records.chunks(step).enumerate() {
        let bytes = Batch { records: records.to_vec() }.encode().unwrap();
        let at = Position { segment: 1, offset: n as u64 };
        let changes = fold.fold(&rows, at, &bytes).unwrap();
        rows.apply(changes);
        let row = state::log(&rows, &fed.parties[LIAR].log()).unwrap().unwrap();
        ends.push((row.end(), row.witnessed));
    }
    ends
}

/// The end after all of them.
fn end(fed: &Fed, records: &[Record], step: usize) -> End {
    ends(fed, records, step).pop().unwrap()
}

fn fork(fed: &Fed) -> Record {
    let open = |branch| {
        let (checkpoint, text) = fed.note(LIAR, 8, branch);
        note::open(&text, checkpoint.origin, &|_: &PeerId| false).unwrap().signed
    };
    let proof = ForkProof::new(&open(None), &open(Some(COMMON)), None).unwrap();
    assert_eq!(proof.verify(fed.federation).unwrap().log(), fed.parties[LIAR].log());
    Record::Fork { log: Origin::new(fed.federation, fed.parties[LIAR].log()).peer, proof }
}

thread_local! {
    static FED: Fed = federation();
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn equal_evidence_in_any_order_gives_equal_ends(
        pieces in prop::collection::vec(piece(), 0..40),
        orders in prop::collection::vec(any::<prop::sample::Index>(), 80),
        step in 1..4_usize,
    ) {
        FED.with(|fed| {
            let expected = proven(fed, &pieces);
            let mut records = records(fed, &pieces);
            records.push(fork(fed));
            for turn in 0..4 {
                // Another order each time.
                for at in 0..records.len() {
                    let other = orders[(at + 20 * turn) % orders.len()].index(records.len());
                    records.swap(at, other);
                }
                let (end, witnessed) = end(fed, &records, step);
                prop_assert_eq!(witnessed, expected);
                prop_assert_eq!(end, Some(expected.map_or(0, |(size, _)| size)));
            }
            Ok(())
        })?;
    }

    #[test]
    fn more_evidence_never_lowers_an_end(pieces in prop::collection::vec(piece(), 1..30)) {
        FED.with(|fed| {
            let mut records = records(fed, &pieces);
            records.insert(0, fork(fed));
            let ends = ends(fed, &records, 1);
            prop_assert!(ends.is_sorted(), "{:?}", ends);
            Ok(())
        })?;
    }
}

/// A flood of one member's cosignatures of whatever sizes takes no other's place.
#[test]
fn a_flood_of_cosignatures_pushes_nothing_out() {
    FED.with(|fed| {
        let log = fed.parties[LIAR].log();
        let honest = |by| Piece { size: 6, left: true, by };
        let mut records = records(fed, &[honest(Some((0, 0))), honest(Some((1, 0)))]);
        // They have both cosigned more since.
        records.extend(self::records(fed, &[Piece { size: 9, left: true, by: Some((0, 1)) }]));
        records.extend(self::records(fed, &[Piece { size: 10, left: true, by: Some((1, 1)) }]));
        for n in 0..400 {
            let checkpoint = Checkpoint::new(Origin::new(fed.federation, log), 1_000 + n, Sha256([7; 32])).unwrap();
            records.push(fed.cosignature(&checkpoint, 2, n));
        }
        records.push(fork(fed));
        records.extend(self::records(fed, &[honest(None)]));
        assert_eq!(end(fed, &records, 50).0, Some(6));
    });
}
