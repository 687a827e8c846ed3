//! What the store refuses, how it bounds, and what it does when the disk fails.

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
};

use tokio::time::timeout;
use verbund_protocol::view::rows::{Rows, Table};

use super::{
    super::{FRAME_MAX_BYTES, FoldError, FramePosition, Options, ReadError, Store, StoreError, ViewKind, Weight},
    Op, Toy, append, append_all, dump, durable, frame, model, open, options, sample, toy,
};
use verbund_protocol::codec;

const LONG: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn waiting_frames_share_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Memory);
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    disk.0.stall();
    append(&store, &sample(0));
    disk.0.wait_stalled();
    let before = disk.0.syncs.load(Ordering::SeqCst);
    append_all(&store, &(1..100).map(sample).collect::<Vec<_>>());
    let last = store.status().appended;
    let early = (*store.committed().borrow(), store.status().committed);
    disk.0.release();
    assert_eq!(early, (0, 0), "nothing is acknowledged before the sync");
    durable(&store, last).unwrap();
    assert_eq!(disk.0.syncs.load(Ordering::SeqCst), before + 2, "one for the first, one for the other 99");
    assert_eq!(store.status().syncs, 2);
}

#[test]
fn a_journal_is_synced_at_each_step_on_which_something_rests() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Memory);
    let synced = || (disk.0.syncs.load(Ordering::SeqCst), disk.0.named.load(Ordering::SeqCst));
    let (store, _) = Store::open(dir.path(), toy(), options.clone()).unwrap();
    let (segment, names) = synced();
    assert!(segment == 1 && names > 0, "an empty segment, and its name");
    let kept = append(&store, &[Op::Keep(b"k".to_vec(), b"v".to_vec())]);
    durable(&store, kept).unwrap();
    assert_eq!(synced(), (2, names), "a frame");
    let repeated = store.repeat().unwrap();
    durable(&store, repeated).unwrap();
    assert_eq!(synced(), (3, names + 1), "a segment with what it repeats, and its name");
    store.close().unwrap();
    assert_eq!(synced(), (3, names + 1), "there was nothing left to do");
    // What the start finds may have been written and not synced when the process was killed.
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    assert_eq!(synced().0, 4, "what was there");
    store.close().unwrap();
}

#[tokio::test]
async fn failed_sync_stops_the_store_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Sled);
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    let good = append(&store, &sample(0));
    store.durable(good).await.unwrap();
    disk.0.fail_sync.store(true, Ordering::SeqCst);
    let mut committed = store.committed();
    committed.mark_unchanged();
    let lost = append(&store, &sample(1));
    assert!(matches!(store.durable(lost).await, Err(StoreError::Failed(why)) if why.contains("as asked")));
    assert!(committed.changed().await.is_err(), "the channel is closed");
    assert_eq!(*committed.borrow(), good);
    disk.0.fail_sync.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(store.append(Weight::Essential, frame(&sample(2))), Err(StoreError::Failed(_))));
    }
    assert!(matches!(store.ready().await, Err(StoreError::Failed(_))));
    assert!(store.status().failed.is_some());
    assert_eq!(store.status().committed, good);
    assert!(matches!(store.close(), Err(StoreError::Failed(_))));
}

#[test]
fn failed_write_stops_the_store_and_its_torn_frame_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Sled);
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    let good = append(&store, &sample(0));
    durable(&store, good).unwrap();
    disk.0.fail_write.store(true, Ordering::SeqCst);
    let lost = append(&store, &sample(1));
    assert!(matches!(durable(&store, lost), Err(StoreError::Failed(_))));
    assert!(store.close().is_err());
    let (store, report) = open(dir.path(), ViewKind::Sled);
    assert_eq!((report.frames, report.last), (1, good));
    assert!(report.cut_tail.is_some());
    assert_eq!(dump(&store.reader()), dump(&model(&[sample(0)])));
}

/// With half a frame on the disk, with a frame that fills the buffer, and with half a segment.
#[tokio::test]
async fn a_full_disk_makes_the_journal_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Sled);
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    let mut frames = vec![sample(0)];
    let mut last = append(&store, &sample(0));
    store.durable(last).await.unwrap();
    for step in 1..=3 {
        disk.0.full.store(true, Ordering::SeqCst);
        let ops = if step == 2 { vec![Op::Set(5, vec![step], vec![7; 2 << 20])] } else { sample(step.into()) };
        last = append(&store, &ops);
        frames.push(ops);
        if step == 3 {
            last = store.repeat().unwrap();
        }
        assert!(matches!(store.durable(last).await, Err(StoreError::Full)), "{step}: said, and not failed");
        assert!(store.status().full && !store.accepts_intake(), "{step}");
        assert!(store.failure().is_none() && store.status().committed < last, "{step}");
        disk.0.full.store(false, Ordering::SeqCst);
        let mut committed = store.committed();
        committed.wait_for(|seq| *seq >= last).await.unwrap();
        assert!(!store.status().full && store.accepts_intake(), "{step}: it goes on by itself");
    }
    store.close().unwrap();
    let (store, report) = open(dir.path(), ViewKind::Memory);
    assert_eq!((report.damages, report.cut_tail, report.last), (0, None, last));
    assert_eq!(dump(&store.reader()), dump(&model(&frames)));
}

#[tokio::test]
async fn a_store_that_waits_for_room_closes_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Memory);
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    let good = append(&store, &sample(0));
    store.durable(good).await.unwrap();
    disk.0.full.store(true, Ordering::SeqCst);
    let lost = append(&store, &sample(1));
    assert!(matches!(store.durable(lost).await, Err(StoreError::Full)));
    assert!(matches!(store.close(), Err(StoreError::Failed(_))), "what was not acknowledged is lost, and that is said");
    let (_, report) = open(dir.path(), ViewKind::Memory);
    assert_eq!(report.last, good);
}

#[tokio::test]
async fn queue_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Memory);
    let options = Options { queue_bytes: 10_000, ..options };
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    disk.0.stall();
    let big = frame(&[Op::Set(5, b"k".to_vec(), vec![1; 4000])]);
    let mut taken = 0;
    while store.try_append(Weight::Essential, big.clone()).is_ok() {
        taken += 1;
        assert!(taken < 10, "there is no bound");
    }
    assert_eq!(taken, 3);
    assert!(matches!(store.try_append(Weight::Essential, big.clone()), Err(StoreError::Busy)));
    assert!(store.status().queued_bytes >= 10_000);
    let blocked = std::thread::spawn({
        let (store, big) = (store.clone(), big.clone());
        move || store.append(Weight::Essential, big).unwrap()
    });
    assert!(futures::poll!(std::pin::pin!(store.ready())).is_pending());
    disk.0.release();
    assert_eq!(blocked.join().unwrap(), 4);
    timeout(LONG, store.ready()).await.unwrap().unwrap();
    store.try_append(Weight::Essential, big).unwrap();
    timeout(LONG, store.durable(5)).await.unwrap().unwrap();
}

#[tokio::test]
async fn rows_not_in_the_base_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (options, _) = options(ViewKind::Sled);
    let options = Options { overlay_bytes: 100_000, ..options };
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    for n in 0..100_u32 {
        let ops: Vec<Op> =
            (0..50_u32).map(|i| Op::Set(5, [n.to_be_bytes(), i.to_be_bytes()].concat(), vec![0; 100])).collect();
        timeout(LONG, store.ready()).await.unwrap().unwrap();
        store.try_append(Weight::Essential, frame(&ops)).unwrap();
        assert!(store.status().overlay_bytes < 130_000, "at most one frame beyond the bound");
    }
    assert_eq!(store.reader().scan(Table::Documents, b"", b"", usize::MAX).unwrap().len(), 5000);
}

#[test]
fn disk_floor_stops_intake_only_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Memory);
    let options = Options { floor_bytes: 8000, ..options };
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    let free = |bytes| *disk.0.free.lock().unwrap() = Some(bytes);
    free(8000);
    assert!(store.accepts_intake());
    free(7999);
    assert!(!store.accepts_intake());
    let refused = store.append(Weight::Intake, frame(&sample(0)));
    assert!(matches!(refused, Err(StoreError::DiskFloor { free: 7999, floor: 8000 })));
    let seq = store.append(Weight::Essential, frame(&sample(1))).unwrap();
    durable(&store, seq).unwrap();
    free(8500);
    assert!(!store.accepts_intake(), "no flapping at the floor");
    assert!(!store.status().floor.accepts_intake);
    free(9000);
    assert!(store.accepts_intake());
    store.append(Weight::Intake, frame(&sample(2))).unwrap();
}

#[test]
fn second_opener_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), ViewKind::Memory);
    let Err(e) = Store::open(dir.path(), toy(), options(ViewKind::Memory).0) else { panic!("opened twice") };
    assert!(matches!(e, StoreError::Locked { .. }));
    assert!(e.to_string().contains(&std::process::id().to_string()), "{e}");
    store.close().unwrap();
    open(dir.path(), ViewKind::Memory);
}

#[test]
fn foreign_and_newer_journals_are_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), ViewKind::Memory);
    append(&store, &sample(0));
    store.close().unwrap();
    let path = dir.path().join("journal/00000000.seg");
    let bytes = fs::read(&path).unwrap();
    let foreign = Options { instance: [8; 32], ..options(ViewKind::Memory).0 };
    let e = Store::open(dir.path(), toy(), foreign).err().unwrap();
    assert!(matches!(&e, StoreError::Foreign { found, .. } if found == &hex::encode([7; 8])), "{e}");
    // Both copies of the header say version 2, with right checksums.
    let mut newer = bytes.clone();
    for copy in [0, 64] {
        newer[copy + 8] = 2;
        let crc = crc32c::crc32c(&newer[copy..copy + 60]);
        newer[copy + 60..copy + 64].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&path, &newer).unwrap();
    let e = Store::open(dir.path(), toy(), options(ViewKind::Memory).0).err().unwrap();
    assert!(matches!(e, StoreError::Newer { found: 2, known: 1, .. }));
    assert_eq!(fs::read(&path).unwrap(), newer);
}

#[test]
fn a_refused_frame_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), ViewKind::Memory);
    append(&store, &sample(0));
    let before = (dump(&store.reader()), store.status().appended);
    let refused = store.append(Weight::Essential, frame(&[Op::Count(b"x".to_vec()), Op::Refuse]));
    assert!(matches!(refused, Err(StoreError::Fold(FoldError::Refused(_)))));
    let gap = store.append(Weight::Essential, frame(&[Op::Hash(0, 1), Op::Gap(0)]));
    assert!(matches!(gap, Err(StoreError::Fold(FoldError::Refused(why))) if why.contains("gap")));
    for len in [0, FRAME_MAX_BYTES + 1] {
        let sized = store.append(Weight::Essential, vec![0; len]);
        assert!(matches!(sized, Err(StoreError::FrameSize { .. })));
    }
    assert_eq!((dump(&store.reader()), store.status().appended), before);
    assert_eq!(append(&store, &sample(1)), 2);
    store.close().unwrap();
    assert!(matches!(store.append(Weight::Essential, frame(&sample(2))), Err(StoreError::Closed)));
    assert_eq!(open(dir.path(), ViewKind::Memory).1.frames, 2);
}

#[test]
fn segments_roll_and_repeat_local_records() {
    let dir = tempfile::tempdir().unwrap();
    let (options, _) = options(ViewKind::Sled);
    let options = Options { segment_bytes: 2000, ..options };
    let frames: Vec<_> = (0..120).map(sample).collect();
    {
        let (store, _) = Store::open(dir.path(), toy(), options.clone()).unwrap();
        append_all(&store, &frames);
        assert!(store.status().appended > 120, "frames of the roll take numbers");
        store.close().unwrap();
        assert!(store.status().segments > 4);
        assert_eq!(store.status().segments, fs::read_dir(dir.path().join("journal")).unwrap().count() as u64);
        let on_disk: u64 =
            fs::read_dir(dir.path().join("journal")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(store.status().bytes, on_disk);
        assert_eq!(store.status().carries_skipped, 0);
    }
    let (store, report) = Store::open(dir.path(), toy(), options.clone()).unwrap();
    assert_eq!((report.damages, report.cut_tail), (0, None));
    assert_eq!(dump(&store.reader()), dump(&model(&frames)));
    store.close().unwrap();
    // Without any of the older segments the local records are still there.
    let last = (0_u32..).take_while(|n| dir.path().join(format!("journal/{n:08x}.seg")).exists()).last().unwrap();
    for n in 0..last {
        fs::remove_file(dir.path().join(format!("journal/{n:08x}.seg"))).unwrap();
    }
    fs::remove_dir_all(dir.path().join("view")).unwrap();
    let local = store_local(&model(&frames));
    let (store, report) = Store::open(dir.path(), toy(), options).unwrap();
    assert_eq!(report.damages, u64::from(last), "missing segments are reported");
    assert_eq!(store_local(&store.reader()), local);
    assert!(append(&store, &sample(0)) > 120, "numbers go on rising");
}

fn store_local(rows: &dyn Rows) -> Vec<(Vec<u8>, Vec<u8>)> {
    rows.scan(Table::Local, b"", b"", usize::MAX).unwrap()
}

#[test]
fn a_roll_that_cannot_repeat_goes_on_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (options, _) = options(ViewKind::Memory);
    let options = Options { segment_bytes: 1000, ..options };
    let fold = Arc::new(Toy { schema: 1, ballast: FRAME_MAX_BYTES });
    let (store, _) = Store::open(dir.path(), fold, options).unwrap();
    append_all(&store, &(0..20).map(sample).collect::<Vec<_>>());
    let last = store.status().appended;
    durable(&store, last).unwrap();
    assert!(store.status().carries_skipped > 0);
}

#[test]
fn an_interrupted_roll_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), ViewKind::Memory);
    append(&store, &sample(0));
    store.close().unwrap();
    let leftover = dir.path().join("journal/00000001.new");
    fs::write(&leftover, b"half a header").unwrap();
    let (_, report) = open(dir.path(), ViewKind::Memory);
    assert_eq!((report.frames, report.segments, report.damages), (1, 1, 0));
    assert!(!leftover.exists());
}

#[test]
fn frames_are_read_by_position_before_and_after_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let (options, disk) = options(ViewKind::Sled);
    let (store, _) = Store::open(dir.path(), toy(), options).unwrap();
    let place = |store: &Store, key: &[u8]| -> FramePosition {
        codec::decode(&store.reader().get(Table::Entries, key).unwrap().unwrap(), 100).unwrap()
    };
    let ops = [Op::Place(b"one".to_vec()), Op::Set(5, b"key".to_vec(), vec![7; 100])];
    let payload = frame(&ops);
    disk.0.stall();
    let seq = append(&store, &ops);
    let at = place(&store, b"one");
    assert_eq!(store.read_frame(at).unwrap(), payload, "not durable yet");
    disk.0.release();
    durable(&store, seq).unwrap();
    for _ in 0..2 {
        assert_eq!(store.read_frame(at).unwrap(), payload);
        assert_eq!(store.read(at, 3, 5).unwrap(), &payload[3..8]);
    }
    assert_eq!(store.read(at, payload.len() as u32, 0).unwrap(), b""[..]);
    assert!(matches!(store.read(at, 3, payload.len() as u32), Err(ReadError::Range { .. })));
    assert!(matches!(store.read(at, u32::MAX, u32::MAX), Err(ReadError::Range { .. })));
    let beyond = FramePosition { offset: at.offset + 10_000, ..at };
    assert!(matches!(store.read_frame(beyond), Err(ReadError::NoFrame(_))));
    assert!(matches!(store.read_frame(FramePosition { segment: 9, ..at }), Err(ReadError::NoFrame(_))));
    assert!(store.read_frame(FramePosition { offset: u64::MAX, ..at }).is_err());
    let off = FramePosition { offset: at.offset + 1, ..at };
    assert!(matches!(store.read_frame(off), Err(ReadError::Damaged(_))));
    assert_eq!(store.status().damaged.len(), 1, "damage found while open is remembered");
}

#[test]
fn frames_of_a_megabyte_with_a_thousand_rows_stream() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), ViewKind::Memory);
    for n in 0..20_u32 {
        let ops: Vec<Op> =
            (0..1000_u32).map(|i| Op::Set(5, (n * 1000 + i).to_be_bytes().to_vec(), vec![n as u8; 1000])).collect();
        store.append(Weight::Intake, frame(&ops)).unwrap();
    }
    let last = store.status().appended;
    durable(&store, last).unwrap();
    assert_eq!(store.reader().scan(Table::Documents, b"", b"", usize::MAX).unwrap().len(), 20_000);
}
