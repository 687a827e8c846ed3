//! The contract of rows, run over both bases: alone, below the overlay, and behind a store.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use proptest::prelude::*;
use verbund_protocol::view::rows::{Change, MemoryRows, Row, Rows, Table};

use super::{
    super::{
        FramePosition, ViewKind, ViewReport,
        apply::Run,
        fold::check_hashes,
        overlay::{Reader, RowChange, Views},
        view::{Base, Mark, memory::Memory, sled::Sled},
    },
    Op, append, append_all, dump, durable, frame, hash, hash_key, model, open, sample, toy,
};
use crate::store::Fold;

const KINDS: [ViewKind; 2] = [ViewKind::Memory, ViewKind::Sled];

fn base(kind: ViewKind, dir: &Path) -> Box<dyn Base> {
    match kind {
        ViewKind::Memory => Box::new(Memory::default()),
        ViewKind::Sled => {
            std::fs::create_dir_all(dir).unwrap();
            Box::new(Sled::open(dir, 1, 16 << 20, true).unwrap())
        }
    }
}

fn mark(seq: u64) -> Mark {
    Mark { at: FramePosition { segment: 0, offset: seq * 100 }, end: seq * 100 + 100, seq, body: seq as u32 }
}

fn set(table: Table, key: &[u8], value: &[u8]) -> Change {
    Change { table, key: key.to_vec(), value: Some(value.to_vec()) }
}

fn unset(table: Table, key: &[u8]) -> Change {
    Change { table, key: key.to_vec(), value: None }
}

fn apply(base: &dyn Base, seq: u64, changes: Vec<Change>) {
    let mut run = Run::default();
    run.add(mark(seq), RowChange::share(changes));
    base.apply(run.batch(), &mark(seq)).unwrap();
}

fn walk(base: &dyn Base, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    base.walk(table, prefix, from, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .unwrap();
    rows
}

fn keys(rows: &[Row]) -> Vec<&[u8]> {
    rows.iter().map(|(key, _)| key.as_slice()).collect()
}

#[test]
fn base_reads_in_order_within_its_table_and_prefix() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let base = base(kind, dir.path());
        assert_eq!(base.mark(), None);
        let t = Table::Documents;
        let all: [&[u8]; 7] = [b"", b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff\x01"];
        apply(base.as_ref(), 1, all.iter().rev().map(|key| set(t, key, key)).collect());
        apply(base.as_ref(), 2, vec![set(Table::Charters, b"z", b"before"), set(Table::Releases, b"", b"behind")]);
        assert_eq!(base.mark(), Some(mark(2)), "{kind:?}");
        assert_eq!(keys(&walk(base.as_ref(), t, b"", b"", 99)), all);
        assert_eq!(keys(&walk(base.as_ref(), t, b"a", b"", 99)), [&b"a"[..], b"a\0", b"ab"]);
        assert_eq!(keys(&walk(base.as_ref(), t, b"a", b"a\0", 99)), [&b"a\0"[..], b"ab"]);
        assert_eq!(keys(&walk(base.as_ref(), t, b"a", b"b", 99)), [&b""[..]; 0]);
        assert_eq!(keys(&walk(base.as_ref(), t, b"\xff", b"", 99)), [&b"\xff"[..], b"\xff\xff\x01"]);
        assert_eq!(keys(&walk(base.as_ref(), t, b"", b"b", 1)), [b"b"]);
        let last = |prefix: &[u8], below: Option<&[u8]>| base.last_below(t, prefix, below).unwrap().map(|row| row.0);
        assert_eq!(last(b"", None).as_deref(), Some(&b"\xff\xff\x01"[..]));
        assert_eq!(last(b"\xff\xff", None).as_deref(), Some(&b"\xff\xff\x01"[..]));
        assert_eq!(last(b"a", None).as_deref(), Some(&b"ab"[..]));
        assert_eq!(last(b"a", Some(b"ab")).as_deref(), Some(&b"a\0"[..]));
        assert_eq!(last(b"a", Some(b"a")), None);
        assert_eq!(last(b"a", Some(b"")), None);
        assert_eq!(last(b"c", None), None);
        assert_eq!(last(b"", Some(b"\0")).as_deref(), Some(&b""[..]));
        apply(base.as_ref(), 3, vec![unset(t, b""), unset(t, b"absent"), set(t, b"b", b"new"), set(t, b"\xff", b"")]);
        assert_eq!(base.get(t, b"").unwrap(), None);
        assert_eq!(base.get(t, b"b").unwrap().as_deref(), Some(&b"new"[..]));
        assert_eq!(base.get(t, b"\xff").unwrap().as_deref(), Some(&b""[..]), "an empty value is a row");
        assert_eq!(base.get(Table::Audit, b"b").unwrap(), None);
        assert_eq!(base.get(Table::Charters, b"z").unwrap().as_deref(), Some(&b"before"[..]));
    }
}

#[test]
fn base_keeps_hashes_densely() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let base = base(kind, dir.path());
        let t = Table::Hashes;
        let logs = [0_u32, 1, 255, 256, u32::MAX];
        let rows = |log: u32, range: std::ops::Range<u64>| -> Vec<Change> {
            range.map(|index| set(t, &hash_key(log, index), &hash(index as u8))).collect()
        };
        apply(base.as_ref(), 1, logs.iter().flat_map(|log| rows(*log, 0..200)).collect());
        apply(base.as_ref(), 2, rows(1, 200..201));
        assert_eq!(walk(base.as_ref(), t, b"", b"", usize::MAX).len(), 5 * 200 + 1, "{kind:?}");
        let one = 1_u32.to_be_bytes();
        let of_one = walk(base.as_ref(), t, &one, &hash_key(1, 150), usize::MAX);
        assert_eq!(of_one.len(), 51);
        assert_eq!(of_one[0], (hash_key(1, 150), hash(150)));
        assert_eq!(keys(&walk(base.as_ref(), t, &one, &hash_key(1, 201), 9)), [&b""[..]; 0]);
        // A prefix that ends within a number, and one longer than a key.
        assert_eq!(walk(base.as_ref(), t, &[0, 0, 0], b"", usize::MAX).len(), 601);
        assert_eq!(walk(base.as_ref(), t, &[0, 0, 1], b"", usize::MAX).len(), 200);
        assert_eq!(walk(base.as_ref(), t, &[&hash_key(1, 3)[..], b"x"].concat(), b"", 9), []);
        let behind = [&hash_key(1, 3)[..], b"x"].concat();
        assert_eq!(walk(base.as_ref(), t, &one, &behind, 1)[0].0, hash_key(1, 4));
        let last = |prefix: &[u8], below: Option<&[u8]>| base.last_below(t, prefix, below).unwrap().map(|row| row.0);
        assert_eq!(last(b"", None), Some(hash_key(u32::MAX, 199)));
        assert_eq!(last(&one, None), Some(hash_key(1, 200)));
        assert_eq!(last(&one, Some(&hash_key(1, 7))), Some(hash_key(1, 6)));
        assert_eq!(last(&one, Some(&hash_key(1, 0))), None);
        assert_eq!(last(&2_u32.to_be_bytes(), None), None);
        assert_eq!(base.get(t, &hash_key(256, 199)).unwrap(), Some(hash(199)));
        assert_eq!(base.get(t, &hash_key(256, 200)).unwrap(), None);
        assert_eq!(base.get(t, b"short").unwrap(), None);
        // Taken away from the end, and written anew.
        let popped = (150..201).map(|index| unset(t, &hash_key(1, index))).collect();
        apply(base.as_ref(), 3, popped);
        assert_eq!(last(&one, None), Some(hash_key(1, 149)));
        apply(base.as_ref(), 4, vec![set(t, &hash_key(1, 150), &hash(9)), set(t, &hash_key(1, 0), &hash(8))]);
        assert_eq!(base.get(t, &hash_key(1, 150)).unwrap(), Some(hash(9)));
        assert_eq!(base.get(t, &hash_key(1, 0)).unwrap(), Some(hash(8)));
        assert_eq!(base.get(t, &hash_key(1, 151)).unwrap(), None);
    }
}

#[test]
fn sled_base_keeps_everything_over_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let changes: Vec<Change> = (0..300_u32)
        .flat_map(|n| {
            let key = n.to_be_bytes();
            [set(Table::Audit, &key, &key), set(Table::Hashes, &hash_key(n % 2, u64::from(n / 2)), &hash(n as u8))]
        })
        .collect();
    {
        let base = base(ViewKind::Sled, dir.path());
        apply(base.as_ref(), 1, changes.clone());
        base.close().unwrap();
        assert!(base.get(Table::Audit, b"x").is_err(), "closed");
    }
    let base = base(ViewKind::Sled, dir.path());
    assert_eq!(base.mark(), Some(mark(1)));
    let mut expected = MemoryRows::default();
    expected.apply(changes);
    assert_eq!(dump(&Reader(Arc::new(Views::new(base)))), dump(&expected));
}

/// Small alphabets, so that keys collide, nest and neighbour each other.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, b'a', 0xfe, 0xff]), 0..4)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..2_u8, key(), prop::collection::vec(any::<u8>(), 0..3)).prop_map(|(t, k, v)| Op::Set(t, k, v)),
        3 => (0..2_u8, key()).prop_map(|(t, k)| Op::Remove(t, k)),
        2 => (0..2_u32, any::<u8>()).prop_map(|(log, byte)| Op::Hash(log, byte)),
        1 => (0..2_u32).prop_map(Op::Pop),
    ]
}

/// A frame, how many frames the base lags after it, and what is asked then.
type Step = (Vec<Op>, usize, Vec<u8>, Vec<u8>, usize);

fn step() -> impl Strategy<Value = Step> {
    (prop::collection::vec(op(), 0..6), 0..5_usize, key(), key(), 0..6_usize)
}

fn same_reads(rows: &dyn Rows, model: &MemoryRows, prefix: &[u8], from: &[u8], limit: usize) {
    for table in [Table::ALL[0], Table::ALL[1], Table::Hashes] {
        let log = [&[0, 0, 0][..], prefix].concat();
        let prefix = if table == Table::Hashes && prefix.first() == Some(&1) { &log } else { prefix };
        assert_eq!(rows.get(table, prefix), model.get(table, prefix));
        assert_eq!(rows.scan(table, prefix, from, limit), model.scan(table, prefix, from, limit));
        assert_eq!(rows.last(table, prefix), model.last(table, prefix));
    }
}

fn run_steps(kind: ViewKind, steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let views = Arc::new(Views::new(base(kind, dir.path())));
    let reader = Reader(views.clone());
    let mut model = MemoryRows::default();
    let mut waiting: std::collections::VecDeque<(u64, Vec<Change>)> = std::collections::VecDeque::new();
    for (seq, (ops, lag, prefix, from, limit)) in (1..).zip(steps) {
        let at = FramePosition { segment: 0, offset: seq };
        let changes = toy().fold(&reader, at, &frame(&ops)).unwrap();
        check_hashes(&reader, &changes).unwrap();
        views.show(seq, &RowChange::share(changes.clone()));
        model.apply(changes.clone());
        waiting.push_back((seq, changes));
        same_reads(&reader, &model, &prefix, &from, limit);
        let mut run = Run::default();
        while waiting.len() > lag {
            let (seq, changes) = waiting.pop_front().unwrap();
            run.add(mark(seq), RowChange::share(changes));
        }
        run.apply(&views).unwrap();
        same_reads(&reader, &model, &prefix, &from, limit);
    }
    assert_eq!(dump(&reader), dump(&model));
    let mut run = Run::default();
    for (seq, changes) in waiting {
        run.add(mark(seq), RowChange::share(changes));
    }
    run.apply(&views).unwrap();
    assert_eq!(dump(&reader), dump(&model));
    assert!(views.is_settled(), "the overlay is empty once the base holds everything");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overlay_over_memory_reads_like_one_map(steps in prop::collection::vec(step(), 1..30)) {
        run_steps(ViewKind::Memory, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overlay_over_sled_reads_like_one_map(steps in prop::collection::vec(step(), 1..30)) {
        run_steps(ViewKind::Sled, steps);
    }
}

#[test]
fn store_shows_rows_at_once_and_after_reopening() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let frames: Vec<_> = (0..50).map(sample).collect();
        {
            let (store, report) = open(dir.path(), kind);
            assert_eq!(report.frames, 0);
            for (n, ops) in frames.iter().enumerate() {
                append(&store, ops);
                let key = (n as u32).to_be_bytes();
                assert_eq!(store.reader().get(Table::Releases, &key).unwrap().as_deref(), Some(&key[..]));
            }
            assert_eq!(dump(&store.reader()), dump(&model(&frames)));
            store.close().unwrap();
        }
        let (store, report) = open(dir.path(), kind);
        assert_eq!((report.frames, report.last, report.cut_tail, report.damages), (50, 50, None, 0));
        assert_eq!(dump(&store.reader()), dump(&model(&frames)), "{kind:?}");
    }
}

#[test]
fn the_last_handle_to_go_commits_and_closes() {
    let dir = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..30).map(sample).collect();
    let (store, _) = open(dir.path(), ViewKind::Sled);
    let other = store.clone();
    let reader = store.reader();
    append_all(&store, &frames);
    drop(store);
    append(&other, &sample(30));
    drop(other);
    assert!(reader.get(Table::Releases, &[0; 4]).is_err(), "a reader does not keep it open");
    let (store, report) = open(dir.path(), ViewKind::Sled);
    assert_eq!((report.frames, report.view), (31, ViewReport::CaughtUp { frames: 0 }));
    assert_eq!(dump(&store.reader()).len(), Table::ALL.len());
}

#[test]
fn readers_see_all_of_a_frame_or_nothing() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), kind);
        let keys: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n]).collect();
        let reader = store.reader();
        let writer = std::thread::spawn({
            let (store, keys) = (store.clone(), keys.clone());
            move || {
                for round in 0..200_u32 {
                    let value = round.to_be_bytes().to_vec();
                    let ops: Vec<Op> = keys.iter().map(|key| Op::Set(5, key.clone(), value.clone())).collect();
                    append(&store, &ops);
                }
                store.append(super::Weight::Essential, frame(&[])).unwrap()
            }
        });
        while !writer.is_finished() {
            let rows = reader.scan(Table::Documents, b"", b"", usize::MAX).unwrap();
            assert!(rows.is_empty() || rows.len() == keys.len());
            assert!(rows.iter().all(|(_, value)| *value == rows[0].1), "half of a frame");
            let (first, last) = reader.consistent(|rows| {
                let get = |key: &[u8]| rows.get(Table::Documents, key).unwrap();
                (get(&keys[0]), get(&keys[19]))
            });
            assert_eq!(first, last);
        }
        durable(&store, writer.join().unwrap()).unwrap();
    }
}
