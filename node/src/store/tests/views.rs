//! The sled view is stale, gone, damaged or distrusted: the rows are the same afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{OpenReport, Store, StoreError, ViewKind, ViewReport, Weight},
    Op, Toy, append, append_all, copy_tree, dump, durable, model, open, options, sample,
};

/// A closed store with `n` sample frames.
fn closed(dir: &Path, n: u32) -> Vec<Vec<Op>> {
    let frames: Vec<_> = (0..n).map(sample).collect();
    let (store, _) = open(dir, ViewKind::Sled);
    append_all(&store, &frames);
    store.close().unwrap();
    frames
}

/// Opens the store and checks that it holds just `frames`, also after adding one and closing.
fn check(dir: &Path, frames: &[Vec<Op>]) -> OpenReport {
    let (store, report) = open(dir, ViewKind::Sled);
    assert_eq!(dump(&store.reader()), dump(&model(frames)));
    store.close().unwrap();
    let (store, again) = open(dir, ViewKind::Sled);
    assert_eq!(again.view, ViewReport::CaughtUp { frames: 0 });
    assert_eq!(dump(&store.reader()), dump(&model(frames)));
    assert!(!dir.join("view.bad").exists());
    store.close().unwrap();
    report
}

fn reason(report: &OpenReport) -> &str {
    match &report.view {
        ViewReport::Built { reason: Some(reason), .. } => reason,
        other => panic!("the view was not rebuilt: {other:?}"),
    }
}

/// The files that sled keeps.
fn sled_files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir.join("view/sled")).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_file()).collect()
}

#[test]
fn an_older_copy_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut frames = closed(dir.path(), 30);
    let copy = tempfile::tempdir().unwrap();
    copy_tree(&dir.path().join("view"), &copy.path().join("view"));
    let (store, _) = open(dir.path(), ViewKind::Sled);
    for n in 30..90 {
        frames.push(sample(n));
        append(&store, &sample(n));
    }
    // Takes hashes away and writes others, so that the copied files are wrong behind what the copy recorded.
    frames.push(vec![Op::Pop(0), Op::Pop(0), Op::Hash(0, 200)]);
    append(&store, frames.last().unwrap());
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("view")).unwrap();
    copy_tree(&copy.path().join("view"), &dir.path().join("view"));
    let report = check(dir.path(), &frames);
    assert_eq!(report.view, ViewReport::CaughtUp { frames: 61 });
}

#[test]
fn a_missing_view_is_built() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 20);
    for gone in ["view", "view/sled", "view/hashes", "view/state"] {
        fs::remove_dir_all(dir.path().join(gone)).or_else(|_| fs::remove_file(dir.path().join(gone))).unwrap();
        let report = check(dir.path(), &frames);
        reason(&report);
    }
}

#[test]
fn leftover_of_a_killed_opening_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 20);
    let leftover = dir.path().join("view/sled/snap.0000000000000ABC.generating");
    fs::write(&leftover, b"").unwrap();
    let report = check(dir.path(), &frames);
    assert_eq!(report.view, ViewReport::CaughtUp { frames: 0 });
    assert!(!leftover.exists());
}

#[test]
fn another_schema_rebuilds() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 20);
    let (store, report) =
        Store::open(dir.path(), Arc::new(Toy { schema: 2, ballast: 0 }), options(ViewKind::Sled).0).unwrap();
    assert!(reason(&report).contains("schema"));
    assert_eq!(dump(&store.reader()), dump(&model(&frames)));
}

#[test]
fn a_distrusted_view_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 20);
    let (store, _) = open(dir.path(), ViewKind::Sled);
    store.distrust_view("row 5\ncontradicts its entry");
    store.close().unwrap();
    let report = check(dir.path(), &frames);
    assert_eq!(reason(&report), "row 5 contradicts its entry");
}

#[test]
fn what_the_state_file_says_decides() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 20);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let kept = [format!("open 0 {boot}"), "closed 20\n".to_owned()];
    for state in kept {
        fs::write(dir.path().join("view/state"), state).unwrap();
        assert_eq!(check(dir.path(), &frames).view, ViewReport::CaughtUp { frames: 0 });
    }
    let other_boot = "open 0 00000000-0000-4000-8000-000000000000\n";
    let lost = ["opening 0\n", "bad 0 x\n", "", "huh", "huh 0", "closed", "closed x", "open 0", "closed 21\n"];
    for state in lost.into_iter().chain([other_boot]) {
        fs::write(dir.path().join("view/state"), state).unwrap();
        reason(&check(dir.path(), &frames));
    }
}

#[test]
fn truncated_files_are_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 60);
    let sound = tempfile::tempdir().unwrap();
    copy_tree(dir.path(), sound.path());
    let mut rebuilt = 0;
    for file in sled_files(dir.path()).into_iter().chain([dir.path().join("view/hashes/1.bin")]) {
        let len = fs::metadata(&file).unwrap().len();
        for keep in [0, len / 2, len.saturating_sub(1)] {
            let victim = tempfile::tempdir().unwrap();
            copy_tree(sound.path(), victim.path());
            let target = victim.path().join(file.strip_prefix(dir.path()).unwrap());
            fs::OpenOptions::new().write(true).open(target).unwrap().set_len(keep).unwrap();
            rebuilt += u32::from(matches!(check(victim.path(), &frames).view, ViewReport::Built { .. }));
        }
    }
    assert!(rebuilt > 0);
}

/// Flips bytes where sled keeps the rows, evenly spread over what is not empty. The number of flips after which the view had to be
/// built anew, and of those after which it had to catch up.
fn flip(dir: &Path, frames: &[Vec<Op>], flips: usize) -> (u32, u32) {
    let (mut built, mut caught_up) = (0, 0);
    let bytes = fs::read(dir.join("view/sled/db")).unwrap();
    let used: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(n, _)| n).collect();
    for n in 0..flips {
        let victim = tempfile::tempdir().unwrap();
        copy_tree(dir, victim.path());
        let mut flipped = bytes.clone();
        flipped[used[used.len() * n / flips]] ^= 0x04;
        fs::write(victim.path().join("view/sled/db"), flipped).unwrap();
        match check(victim.path(), frames).view {
            ViewReport::Built { .. } => built += 1,
            ViewReport::CaughtUp { frames } => caught_up += u32::from(frames > 0),
        }
    }
    (built, caught_up)
}

#[test]
fn flipped_bytes_never_give_other_rows() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 60);
    let (built, caught_up) = flip(dir.path(), &frames, 24);
    assert!(built + caught_up > 0, "no flip was noticed");
}

#[test]
fn flipped_bytes_in_a_larger_view_never_give_other_rows() {
    let dir = tempfile::tempdir().unwrap();
    let frames: Vec<Vec<Op>> = (0..20_u32)
        .map(|n| {
            let keys = (0..200_u32).map(|i| (i.wrapping_mul(2_654_435_761) ^ n).to_be_bytes().to_vec());
            keys.map(|key| Op::Set(5, key, vec![n as u8 | 1; 150])).collect()
        })
        .collect();
    let (store, _) = open(dir.path(), ViewKind::Sled);
    append_all(&store, &frames);
    store.close().unwrap();
    let (built, caught_up) = flip(dir.path(), &frames, 12);
    assert!(built > 0, "no flip was noticed ({caught_up} cost the newest rows)");
}

#[test]
fn a_view_that_lost_or_changed_a_row_is_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 20);
    // As sled itself would not notice it.
    let spoil = |change: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        let db = ::sled::Config::new().path(dir.path().join("view/sled")).open().unwrap();
        // Of the rows themselves, and none of what the view notes of itself.
        let (key, row) = db.range(..[0xff]).next_back().unwrap().unwrap();
        match change(&row) {
            Some(row) => db.insert(key, row).unwrap(),
            None => db.remove(key).unwrap(),
        };
        db.flush().unwrap();
    };
    spoil(&|_| None);
    let report = check(dir.path(), &frames);
    assert!(reason(&report).contains("rows"), "{}", reason(&report));
    spoil(&|row| Some([&row[..row.len() - 1], &[row[row.len() - 1] ^ 1]].concat()));
    let report = check(dir.path(), &frames);
    assert!(reason(&report).contains("checksum"), "{}", reason(&report));
}

/// sled goes back to an older state (as after a damaged tail), the files of hashes do not.
#[test]
fn rewritten_hashes_are_not_taken_for_older_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut frames = closed(dir.path(), 20);
    let copy = tempfile::tempdir().unwrap();
    copy_tree(&dir.path().join("view/sled"), copy.path());
    let (store, _) = open(dir.path(), ViewKind::Sled);
    frames.push(vec![Op::Pop(0), Op::Hash(0, 200)]);
    append(&store, &frames[20]);
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("view/sled")).unwrap();
    copy_tree(copy.path(), &dir.path().join("view/sled"));
    let report = check(dir.path(), &frames);
    assert!(reason(&report).contains("rewritten by frame 21"));
}

#[test]
fn a_failing_view_stops_the_store_and_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let mut frames = closed(dir.path(), 5);
    let (store, _) = open(dir.path(), ViewKind::Sled);
    fs::rename(dir.path().join("view/hashes"), dir.path().join("view/gone")).unwrap();
    frames.push(vec![Op::Hash(77, 1)]);
    let seq = append(&store, &frames[5]);
    durable(&store, seq).unwrap();
    // The next number never becomes durable: waiting for it ends with the failure.
    let Err(StoreError::Failed(why)) = durable(&store, seq + 1) else { panic!("the failure is not noticed") };
    assert!(why.starts_with("view: "), "{why}");
    assert!(matches!(store.append(Weight::Essential, super::frame(&sample(1))), Err(StoreError::Failed(_))));
    assert!(store.close().is_err());
    drop(store);
    reason(&check(dir.path(), &frames));
}

#[test]
fn hashes_behind_the_recorded_number_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let frames = closed(dir.path(), 20);
    // Written before a kill, not recorded: more of one log, and the first of another.
    let file = dir.path().join("view/hashes/0.bin");
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend([9; 50]);
    fs::write(&file, bytes).unwrap();
    fs::write(dir.path().join("view/hashes/17.bin"), [1; 32]).unwrap();
    assert_eq!(check(dir.path(), &frames).view, ViewReport::CaughtUp { frames: 0 });
    assert!(!dir.path().join("view/hashes/17.bin").exists());
}

#[test]
fn a_frame_that_cannot_be_folded_any_more_is_reported_and_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), ViewKind::Memory);
    append(&store, &[Op::Hash(1, 1)]);
    append(&store, &[Op::Hash(1, 2)]);
    let last = append(&store, &sample(1));
    durable(&store, last).unwrap();
    store.close().unwrap();
    // A fold that refuses what the old one took.
    struct Strict;
    impl super::Fold for Strict {
        fn fold(
            &self,
            rows: &dyn super::Rows,
            at: super::FramePosition,
            frame: &[u8],
        ) -> Result<Vec<super::Change>, super::FoldError> {
            if frame == super::frame(&[Op::Hash(1, 2)]) {
                return Err(super::FoldError::Refused("no twos".to_owned()));
            }
            super::toy().fold(rows, at, frame)
        }
        fn carry(&self, _: &dyn super::Rows) -> Result<Vec<Vec<u8>>, super::FoldError> {
            Ok(Vec::new())
        }
        fn schema(&self) -> u32 {
            1
        }
    }
    let (store, report) = Store::open(dir.path(), Arc::new(Strict), options(ViewKind::Sled).0).unwrap();
    assert_eq!(report.unfolded_frames, 1);
    assert_eq!(report.unfolded[0].reason, "no twos");
    assert_eq!(dump(&store.reader()), dump(&model(&[vec![Op::Hash(1, 1)], sample(1)])));
}
