//! Journals that were cut, flipped, zeroed and mixed: what can be read survives, and the store goes on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use super::{
    super::{Options, Store, StoreError, ViewKind, ViewReport},
    Op, append, append_all, copy_tree, dump, frame, model, open, options, sample, toy,
};

const HEADER: u64 = 128;
const HEAD: u64 = 20;

fn segment(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("journal/{number:08x}.seg"))
}

/// A closed store with these frames, and where each of them ends in its one segment.
fn written(dir: &Path, frames: &[Vec<Op>]) -> Vec<u64> {
    let (store, _) = open(dir, ViewKind::Memory);
    append_all(&store, frames);
    store.close().unwrap();
    let mut end = HEADER;
    let ends = frames.iter().map(|ops| {
        end += HEAD + frame(ops).len() as u64;
        end
    });
    ends.collect()
}

#[test]
fn cut_at_any_byte_exactly_the_whole_frames_survive() {
    let dir = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..6).map(sample).collect();
    let ends = written(dir.path(), &frames);
    let bytes = fs::read(segment(dir.path(), 0)).unwrap();
    assert_eq!(bytes.len() as u64, ends[5]);
    for len in 0..=bytes.len() {
        let cut = tempfile::tempdir().unwrap();
        fs::create_dir(cut.path().join("journal")).unwrap();
        fs::write(segment(cut.path(), 0), &bytes[..len]).unwrap();
        let whole = ends.iter().filter(|end| **end <= len as u64).count();
        let (store, report) = open(cut.path(), ViewKind::Memory);
        assert_eq!(report.frames, whole as u64, "cut at {len}");
        let clean = len as u64 == HEADER || ends.contains(&(len as u64));
        assert_eq!(report.cut_tail.is_none(), clean, "cut at {len}");
        assert_eq!(report.damages, 0, "cut at {len}");
        assert_eq!(dump(&store.reader()), dump(&model(&frames[..whole])), "cut at {len}");
        assert_eq!(append(&store, &sample(99)), whole as u64 + 1);
        store.close().unwrap();
        let mut expected = frames[..whole].to_vec();
        expected.push(sample(99));
        let (store, report) = open(cut.path(), ViewKind::Memory);
        assert_eq!((report.frames, report.cut_tail, report.damages), (whole as u64 + 1, None, 0), "cut at {len}");
        assert_eq!(dump(&store.reader()), dump(&model(&expected)), "cut at {len}");
    }
}

#[test]
fn zeros_behind_the_end_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..3).map(sample).collect();
    let ends = written(dir.path(), &frames);
    let file = fs::OpenOptions::new().write(true).open(segment(dir.path(), 0)).unwrap();
    file.set_len(3 << 20).unwrap();
    let (store, report) = open(dir.path(), ViewKind::Memory);
    let cut = report.cut_tail.clone().unwrap();
    assert_eq!((cut.offset, cut.zeros), (ends[2], true));
    assert!(!report.lost_something());
    assert_eq!(dump(&store.reader()), dump(&model(&frames)));
}

#[test]
fn a_damaged_frame_further_in_is_stepped_over_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..5).map(sample).collect();
    let ends = written(dir.path(), &frames);
    let path = segment(dir.path(), 0);
    let sound = fs::read(&path).unwrap();
    // In the payload, in the length, in the number: found by the head, or by searching.
    for place in [HEAD + 3, 0, 5, 13, 17] {
        let mut bytes = sound.clone();
        bytes[(ends[1] + place) as usize] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let (store, report) = open(dir.path(), ViewKind::Memory);
        assert_eq!((report.frames, report.damages, &report.cut_tail), (4, 1, &None), "byte {place}");
        let damage = &report.damaged[0];
        assert_eq!((damage.segment, damage.offset, damage.bytes), (0, ends[1], ends[2] - ends[1]));
        assert_eq!((damage.after, damage.before), (2, Some(4)));
        assert!(report.lost_something());
        assert_eq!(store.status().damaged, report.damaged);
        store.close().unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing of it is changed");
    }
}

#[test]
fn a_frame_inside_of_a_payload_is_never_taken_for_one() {
    // What a peer sends can contain the bytes of a whole journal, this one included.
    let dir = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..40).map(sample).collect();
    written(dir.path(), &frames);
    let stolen = fs::read(segment(dir.path(), 0)).unwrap();
    let (store, _) = open(dir.path(), ViewKind::Memory);
    append(&store, &[Op::Set(5, b"bait".to_vec(), stolen)]);
    append(&store, &sample(1));
    store.close().unwrap();
    let path = segment(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    // The head of the bait is gone: everything in it is searched.
    let bait = written_end(&frames);
    bytes[bait as usize] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (_, report) = open(dir.path(), ViewKind::Memory);
    assert_eq!((report.frames, report.damages), (41, 1));
    assert_eq!((report.damaged[0].after, report.damaged[0].before), (40, Some(42)));
}

fn written_end(frames: &[Vec<Op>]) -> u64 {
    HEADER + frames.iter().map(|ops| HEAD + frame(ops).len() as u64).sum::<u64>()
}

#[test]
fn one_bad_header_copy_costs_nothing_and_both_cost_no_frames() {
    let dir = tempfile::tempdir().unwrap();
    let (options, _) = options(ViewKind::Memory);
    let options = Options { segment_bytes: 1000, ..options };
    let frames: Vec<_> = (0..90).map(sample).collect();
    let (store, _) = Store::open(dir.path(), toy(), options.clone()).unwrap();
    append_all(&store, &frames);
    store.close().unwrap();
    let segments = store.status().segments as u32;
    assert!(segments > 3);
    drop(store);
    let flip = |number: u32, offsets: &[usize]| {
        let path = segment(dir.path(), number);
        let mut bytes = fs::read(&path).unwrap();
        offsets.iter().for_each(|offset| bytes[*offset] ^= 1);
        fs::write(path, bytes).unwrap();
    };
    flip(0, &[9]);
    flip(1, &[20, 84]);
    flip(segments - 1, &[3, 70]);
    let (store, report) = Store::open(dir.path(), toy(), options.clone()).unwrap();
    assert_eq!((report.damages, &report.cut_tail), (3, &None));
    assert_eq!(dump(&store.reader()), dump(&model(&frames)));
    // The last one cannot be trusted with more frames.
    append(&store, &sample(50));
    store.close().unwrap();
    assert_eq!(store.status().segments, u64::from(segments) + 1);
    drop(store);
    let (store, report) = Store::open(dir.path(), toy(), options).unwrap();
    assert_eq!(report.damages, 3);
    let expected: Vec<_> = frames.into_iter().chain([sample(50)]).collect();
    assert_eq!(dump(&store.reader()), dump(&model(&expected)));
}

#[test]
fn a_lone_segment_without_any_header_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &[sample(0)]);
    let path = segment(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[5] ^= 1;
    bytes[69] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let e = Store::open(dir.path(), toy(), options(ViewKind::Memory).0).err().unwrap();
    assert!(matches!(e, StoreError::Headless { .. }), "{e}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_bad_end_of_an_older_segment_is_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (options, _) = options(ViewKind::Memory);
    let options = Options { segment_bytes: 1000, ..options };
    let (store, _) = Store::open(dir.path(), toy(), options.clone()).unwrap();
    append_all(&store, &(0..30).map(sample).collect::<Vec<_>>());
    store.close().unwrap();
    drop(store);
    let path = segment(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[len - 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (_store, report) = Store::open(dir.path(), toy(), options).unwrap();
    assert_eq!((report.damages, &report.cut_tail), (1, &None));
    assert!(matches!(report.view, ViewReport::Built { .. }));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Frames that do not depend on one another, so that those behind a damage give the same rows.
fn lone(n: u32) -> Vec<Op> {
    vec![Op::Set(5, n.to_be_bytes().to_vec(), vec![n as u8; 60]), Op::Set(6, n.to_be_bytes().to_vec(), vec![1])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any few flipped bits: no panic, and each frame that no flip touched survives, except behind the last whole one.
    #[test]
    fn flipped_bits_cost_only_the_frames_they_hit(flips in prop::collection::vec((0..10_000_usize, 0..8_u8), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let frames: Vec<_> = (0..12).map(lone).collect();
        let ends = written(dir.path(), &frames);
        let path = segment(dir.path(), 0);
        let mut bytes = fs::read(&path).unwrap();
        let mut touched = vec![false; frames.len()];
        for (place, bit) in flips {
            // Headers have their own test.
            let place = HEADER as usize + place % (bytes.len() - HEADER as usize);
            bytes[place] ^= 1 << bit;
            touched[ends.iter().position(|end| (place as u64) < *end).unwrap()] = true;
        }
        fs::write(&path, &bytes).unwrap();
        let sound = fs::read(&path).unwrap();
        let (store, report) = open(dir.path(), ViewKind::Memory);
        // Two flips may undo each other.
        let expected: Vec<_> = frames.iter().zip(&touched).filter(|(_, hit)| !**hit).map(|(f, _)| f.clone()).collect();
        if report.frames == expected.len() as u64 {
            prop_assert_eq!(dump(&store.reader()), dump(&model(&expected)));
        } else {
            prop_assert!(report.frames > expected.len() as u64);
        }
        append(&store, &lone(77));
        store.close().unwrap();
        let kept = ends.iter().zip(&touched).filter(|(_, hit)| !**hit).map(|(end, _)| *end as usize).max().unwrap_or(0);
        prop_assert_eq!(&fs::read(&path).unwrap()[..kept], &sound[..kept]);
        let (_, report) = open(dir.path(), ViewKind::Memory);
        prop_assert_eq!(report.cut_tail, None);
    }

    /// Random bytes instead of a tail are no frames.
    #[test]
    fn garbage_behind_the_end_is_cut(garbage in prop::collection::vec(any::<u8>(), 1..3000)) {
        let dir = tempfile::tempdir().unwrap();
        let frames: Vec<_> = (0..3).map(sample).collect();
        let ends = written(dir.path(), &frames);
        let path = segment(dir.path(), 0);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(&garbage);
        fs::write(&path, &bytes).unwrap();
        let (store, report) = open(dir.path(), ViewKind::Memory);
        prop_assert_eq!(report.cut_tail.map(|cut| (cut.offset, cut.bytes)), Some((ends[2], garbage.len() as u64)));
        prop_assert_eq!(dump(&store.reader()), dump(&model(&frames)));
    }
}

#[test]
fn a_lost_tail_is_noticed_by_the_view() {
    let dir = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..10).map(sample).collect();
    let (store, _) = open(dir.path(), ViewKind::Sled);
    append_all(&store, &frames[..6]);
    store.close().unwrap();
    let older = tempfile::tempdir().unwrap();
    copy_tree(&dir.path().join("journal"), &older.path().join("journal"));
    let (store, _) = open(dir.path(), ViewKind::Sled);
    append_all(&store, &frames[6..]);
    store.close().unwrap();
    // The journal is restored from a backup, the view is not.
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    copy_tree(&older.path().join("journal"), &dir.path().join("journal"));
    let (store, report) = open(dir.path(), ViewKind::Sled);
    let ViewReport::Built { reason: Some(reason), frames: 6 } = report.view else { panic!("{:?}", report.view) };
    assert!(reason.contains("ahead of the journal"), "{reason}");
    assert_eq!(dump(&store.reader()), dump(&model(&frames[..6])));
    // Other frames at the same places are noticed as well.
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    copy_tree(&older.path().join("journal"), &dir.path().join("journal"));
    let path = segment(dir.path(), 0);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(HEADER).unwrap();
    fs::rename(dir.path().join("view"), dir.path().join("away")).unwrap();
    let (store, _) = open(dir.path(), ViewKind::Memory);
    let others: Vec<_> = (0..6).map(|n| vec![Op::Set(5, vec![n], frame(&sample(u32::from(n))))]).collect();
    append_all(&store, &others);
    store.close().unwrap();
    fs::rename(dir.path().join("away"), dir.path().join("view")).unwrap();
    let (store, report) = open(dir.path(), ViewKind::Sled);
    assert!(matches!(report.view, ViewReport::Built { reason: Some(_), frames: 6 }));
    assert_eq!(dump(&store.reader()), dump(&model(&others)));
}
