//! Forgetting the oldest segments: what is repeated stays, what is gone is no damage, and a kill at any step costs nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    super::{Options, Store, ViewKind},
    Op, Toy, append, append_all, copy_tree, options, sample, toy,
};
use verbund_protocol::view::rows::{Rows, Table};

fn segment(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("journal/{number:08x}.seg"))
}

fn small() -> Options {
    Options { segment_bytes: 1000, ..options(ViewKind::Memory).0 }
}

fn segments(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir.join("journal")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".seg")).collect();
    names.sort();
    names
}

/// Opens and checks that nothing is reported, and that the record which stood in the first segment alone is there.
fn check(dir: &Path) -> (Store, usize) {
    let (store, report) = Store::open(dir, toy(), small()).unwrap();
    assert_eq!((report.damages, &report.cut_tail, report.unfolded_frames), (0, &None, 0));
    let kept = store.reader().get(Table::Local, b"kept").unwrap();
    assert_eq!(kept.as_deref(), Some(&b"of the first segment"[..]));
    let left = segments(dir).len();
    (store, left)
}

#[test]
fn a_kill_at_any_step_of_forgetting_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), toy(), small()).unwrap();
    append(&store, &[Op::Keep(b"kept".to_vec(), b"of the first segment".to_vec())]);
    append_all(&store, &(0..60).map(sample).collect::<Vec<_>>());
    store.close().unwrap();
    drop(store);
    let before = tempfile::tempdir().unwrap();
    copy_tree(dir.path(), before.path());
    let all = segments(dir.path());
    assert!(all.len() > 6, "{all:?}");

    let (store, _) = Store::open(dir.path(), toy(), small()).unwrap();
    store.forget(3).unwrap();
    assert_eq!(segments(dir.path()), all[all.len() - 3..]);
    let status = store.status();
    assert_eq!(status.segments, 3);
    assert_eq!(
        status.bytes,
        segments(dir.path())
            .iter()
            .map(|s| fs::metadata(dir.path().join("journal").join(s)).unwrap().len())
            .sum::<u64>()
    );
    append(&store, &sample(7));
    store.forget(5).unwrap();
    assert_eq!(store.status().segments, 3, "fewer than asked for are there");
    store.close().unwrap();
    drop(store);
    let (store, left) = check(dir.path());
    assert_eq!(left, 3);
    store.close().unwrap();
    drop(store);

    let first = fs::read(dir.path().join("journal/first")).unwrap();
    // Killed before the rename, before any removal, and between two of them.
    for step in 0..all.len() - 1 {
        let killed = tempfile::tempdir().unwrap();
        copy_tree(before.path(), killed.path());
        if step == 0 {
            fs::write(killed.path().join("journal/first.tmp"), &first[..5]).unwrap();
        } else {
            fs::write(killed.path().join("journal/first"), &first).unwrap();
            for number in 0..(step as u32 - 1).min(all.len() as u32 - 3) {
                fs::remove_file(segment(killed.path(), number)).unwrap();
            }
        }
        let (store, left) = check(killed.path());
        assert_eq!(left, if step == 0 { all.len() } else { 3 }, "step {step}");
        append(&store, &sample(8));
        store.close().unwrap();
    }
}

#[test]
fn a_lost_segment_is_not_taken_for_a_forgotten_one_nor_a_damaged_note_for_an_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), toy(), small()).unwrap();
    append_all(&store, &(0..60).map(sample).collect::<Vec<_>>());
    // What is not written yet is no segment that could go.
    super::durable(&store, store.status().appended).unwrap();
    store.forget(4).unwrap();
    store.close().unwrap();
    drop(store);
    let left = segments(dir.path());
    let first = dir.path().join("journal/first");
    let sound = fs::read(&first).unwrap();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 2;
        fs::write(&first, &bytes).unwrap();
        let (store, report) = Store::open(dir.path(), toy(), small()).unwrap();
        assert!(report.damages > 0, "byte {at}: what is missing is reported");
        assert_eq!(segments(dir.path()), left, "byte {at}: and nothing more is removed");
        store.close().unwrap();
    }
    fs::write(&first, &sound).unwrap();
    fs::remove_file(dir.path().join("journal").join(&left[1])).unwrap();
    let (_store, report) = Store::open(dir.path(), toy(), small()).unwrap();
    assert_eq!(report.damages, 1);
}

#[test]
fn nothing_is_forgotten_once_a_segment_could_not_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let fold = std::sync::Arc::new(Toy { schema: 1, ballast: super::super::FRAME_MAX_BYTES });
    let (store, _) = Store::open(dir.path(), fold, small()).unwrap();
    append_all(&store, &(0..60).map(sample).collect::<Vec<_>>());
    let status = store.status();
    super::durable(&store, status.appended).unwrap();
    assert!(status.carries_skipped > 0);
    let all = segments(dir.path());
    store.forget(1).unwrap();
    assert_eq!(segments(dir.path()), all);
}

#[test]
fn repeating_begins_a_segment_that_holds_all_local_records() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = super::open(dir.path(), ViewKind::Sled);
    append(&store, &[Op::Keep(b"kept".to_vec(), b"of the first segment".to_vec())]);
    append(&store, &sample(1));
    let last = store.repeat().unwrap();
    super::durable(&store, last).unwrap();
    store.close().unwrap();
    drop(store);
    // All of the first segment is lost, and the view with it.
    fs::remove_file(segment(dir.path(), 0)).unwrap();
    fs::remove_dir_all(dir.path().join("view")).unwrap();
    let (store, report) = super::open(dir.path(), ViewKind::Sled);
    assert_eq!(report.damages, 1);
    assert_eq!(store.reader().get(Table::Local, b"kept").unwrap().as_deref(), Some(&b"of the first segment"[..]));
}
