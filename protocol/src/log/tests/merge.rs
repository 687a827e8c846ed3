use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::note::{cosigned, everyone, open_all};
use super::{Log, cases, key, origin};
use crate::log::*;

#[test]
fn adding_keeps_the_newest_and_refuses_the_bad() {
    let log = Log::new(7);
    let mut signed = log.signed(7);
    let at = |time_s| sign_cosignature(&key(2), time_s, &log.checkpoint(7)).unwrap();
    assert_eq!(signed.add(at(10)), Ok(true));
    assert_eq!(signed.add(at(10)), Ok(false));
    assert_eq!(signed.add(at(9)), Ok(false));
    assert_eq!(signed.add(at(11)), Ok(true));
    assert_eq!(signed.add(Cosignature { time_s: 12, ..at(11) }), Err(LineFault::Signature));
    assert_eq!(signed.add(Cosignature { time_s: u64::MAX, ..at(11) }), Err(LineFault::Time));
    assert_eq!(signed.add(sign_cosignature(&key(2), 12, &log.checkpoint(6)).unwrap()), Err(LineFault::Signature));
    assert_eq!(signed.cosignatures().collect::<Vec<_>>(), [&at(11)]);
}

#[test]
fn merging_reports_the_bad_and_skips_the_unknown() {
    let log = Log::new(7);
    let note = cosigned(&log, 7, [2, 3]).to_text();
    let good = sign_cosignature(&key(4), 1004, &log.checkpoint(7)).unwrap();
    let bad = Cosignature { peer: key(5).peer(), ..good };
    let unknown = sign_cosignature(&key(6), 1, &log.checkpoint(7)).unwrap();
    let six = key(6).peer();
    let merged = merge(note.as_bytes(), origin(), &|peer| *peer != six, &[bad, good, unknown]).unwrap();
    assert_eq!(merged.signed, cosigned(&log, 7, [2, 3, 4]));
    assert_eq!(merged.refused, [RefusedLine { name: cosigner_name(key(5).peer()), fault: LineFault::Signature }]);
    assert_eq!(merged.skipped, 1);
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn merging_does_not_depend_on_order(
        set in vec((2u8..6, 1u64..5, any::<bool>()), 1..12).prop_shuffle(),
        again in any::<prop::sample::Selector>(),
        split: Index,
    ) {
        let log = Log::new(3);
        let make = |&(number, time_s, good): &(u8, u64, bool)| {
            let mut c = sign_cosignature(&key(number), time_s, &log.checkpoint(3)).unwrap();
            c.sig[40] ^= u8::from(!good);
            c
        };
        let all: Vec<_> = set.iter().map(make).collect();
        let note = log.signed(3).to_text();
        let at_once = merge(note.as_bytes(), origin(), &everyone, &all).unwrap().signed.to_text();
        // In two parts, the second first, with one of them twice.
        let (first, second) = all.split_at(split.index(all.len()));
        let step = merge(note.as_bytes(), origin(), &everyone, second).unwrap().signed.to_text();
        let mut rest = first.to_vec();
        rest.push(*again.select(&all));
        let in_parts = merge(step.as_bytes(), origin(), &everyone, &rest).unwrap().signed.to_text();
        prop_assert_eq!(&at_once, &in_parts);
        // The newest good one of each node, and nothing else.
        let opened = open_all(&at_once).unwrap();
        for number in 2..6 {
            let newest = set.iter().filter(|(n, _, good)| *n == number && *good).map(|(_, t, _)| *t).max();
            let held = opened.signed.cosignatures().find(|c| c.peer == key(number).peer()).map(|c| c.time_s);
            prop_assert_eq!(held, newest);
        }
    }
}
