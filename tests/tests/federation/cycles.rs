//! `kill -9` again and again while a node publishes and receives, and a disk that treats it badly meanwhile.
//!
//! Acknowledged is what `publish` ended with success for. It survives every kill; where the journal itself is damaged afterwards, it
//! survives if any other member had heard of it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use verbund_tests::{Dice, Federation, Folder, Node, disk, noise, seed};

/// Cycles of an ordinary run; `VERBUND_CYCLES` sets another number.
const CYCLES: u64 = 8;
/// The node under fire, and those around it.
const VICTIM: &str = "de-he";
const OTHERS: [&str; 2] = ["de-rp", "de-sl"];
/// Longest time until a kill, in milliseconds.
const KILL_MS: u64 = 900;

/// What happens to the data directory while the node is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Nothing but the kill.
    None,
    /// The end of the newest segment of the journal is missing.
    TornTail,
    /// Its last bytes were given out by the file system and never written.
    ZeroTail,
    /// Of two neighbouring blocks at its end only the second was written.
    Reordered,
    /// A bit anywhere in the journal.
    JournalBit,
    /// A bit anywhere in the view's database.
    ViewBit,
    /// The view is gone.
    NoView,
    /// What a kill leaves of a snapshot of the view's database.
    HalfSnapshot,
    /// A bit anywhere in an artifact.
    ArtifactBit,
}

impl Harm {
    const ALL: [Self; 9] = [
        Self::None,
        Self::TornTail,
        Self::ZeroTail,
        Self::Reordered,
        Self::JournalBit,
        Self::ViewBit,
        Self::NoView,
        Self::HalfSnapshot,
        Self::ArtifactBit,
    ];

    /// Whether what this node alone had acknowledged can be lost by it.
    const fn costs(self) -> bool {
        matches!(self, Self::TornTail | Self::ZeroTail | Self::Reordered | Self::JournalBit)
    }

    fn befall(self, node: &Node, dice: &mut Dice) {
        let folder = only(&node.dir.join("federations"));
        let below = |name: &str| disk::files(&folder.join(name));
        let segments: Vec<_> =
            below("journal").into_iter().filter(|p| p.extension().is_some_and(|e| e == "seg")).collect();
        let newest = segments.last().expect("a segment");
        let len = size(newest);
        // Never the headers of the only segment: a journal without them is another matter.
        let tail = |dice: &mut Dice, max: u64| 1 + dice.roll(max.min(len.saturating_sub(129)).max(1));
        match self {
            Self::None => {}
            Self::TornTail => {
                let cut = tail(dice, 6_000);
                let file = std::fs::OpenOptions::new().write(true).open(newest).expect("the segment");
                file.set_len(len - cut).expect("a cut");
            }
            Self::ZeroTail => write(newest, len - tail(dice, 4_096), 4_096, len),
            Self::Reordered => {
                // The block before the last one.
                let last = (len - 1) / 512 * 512;
                if last >= 1_024 {
                    write(newest, last - 512, 512, len);
                }
            }
            Self::JournalBit => {
                let path = &segments[dice.roll(segments.len() as u64) as usize];
                flip(path, 128 + dice.roll(size(path).saturating_sub(129).max(1)));
            }
            Self::ViewBit => {
                let files: Vec<_> = below("view").into_iter().filter(|path| size(path) > 0).collect();
                let path = &files[dice.roll(files.len() as u64) as usize];
                flip(path, dice.roll(size(path)));
            }
            Self::NoView => std::fs::remove_dir_all(folder.join("view")).expect("the view goes"),
            Self::HalfSnapshot => {
                let db = folder.join("view/sled");
                std::fs::write(db.join("snap.00000000000000FF.generating"), noise(dice.roll(99), 333)).expect("a file");
            }
            Self::ArtifactBit => {
                let objects: Vec<_> = disk::files(&node.dir.join("artifacts/objects"))
                    .into_iter()
                    .filter(|path| size(path) > 0)
                    .collect();
                if !objects.is_empty() {
                    let path = &objects[dice.roll(objects.len() as u64) as usize];
                    disk::rot(path, dice.roll(size(path)));
                }
            }
        }
    }
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |meta| meta.len())
}

fn only(folder: &Path) -> PathBuf {
    let mut all: Vec<_> = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Zeros at `at`, not beyond `end`.
fn write(path: &Path, at: u64, len: u64, end: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("the file");
    let zeros = vec![0; usize::try_from(len.min(end - at)).expect("a size")];
    file.write_all_at(&zeros, at).expect("zeros");
}

fn flip(path: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("the file");
    let mut byte = [0];
    if file.read_exact_at(&mut byte, at).is_ok() {
        file.write_all_at(&[byte[0] ^ 0x10], at).expect("a byte");
    }
}

/// Publishes version after version until the node is gone; each that was acknowledged is noted.
fn publish_on(node: &Node, root: &Path, first: u64, noted: &Mutex<BTreeSet<String>>, stop: &AtomicBool) -> u64 {
    let mut number = first;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let version = format!("1.{number}.0");
        let folder = Folder::new(root, "feuer").version(&version).file("a.bin", &noise(number, 30_000));
        let said = node.command(["publish", folder.path.to_str().expect("a path"), "--json"]);
        if said.code != 0 {
            break;
        }
        noted.lock().expect("the notes").insert(version);
    }
    number
}

#[test]
fn a_node_killed_again_and_again_on_a_bad_disk_loses_nothing_that_was_acknowledged() {
    let seed = seed();
    let mut dice = Dice(seed);
    let cycles = std::env::var("VERBUND_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(CYCLES);
    let mut federation = Federation::found(3);
    let (mut victims, mut neighbours) = (0, 0);
    let mut harms = BTreeMap::new();
    let acknowledged = [Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new())];
    let start = dice.roll(Harm::ALL.len() as u64);
    for cycle in 0..cycles {
        let harm = Harm::ALL[((start + cycle) % Harm::ALL.len() as u64) as usize];
        *harms.entry(format!("{harm:?}")).or_insert(0_u64) += 1;
        let context = format!("SEED={seed} cycle {cycle} {harm:?}");
        let after = Duration::from_millis(dice.roll(KILL_MS));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (victim, other) = (&federation[VICTIM], &federation[OTHERS[0]]);
            let roots = [federation.world.join("vom-opfer"), federation.world.join("vom-nachbarn")];
            let (own, theirs, stop) = (&acknowledged[0], &acknowledged[1], &stop);
            let root = roots[0].clone();
            let first = scope.spawn(move || publish_on(victim, &root, victims, own, stop));
            let root = roots[1].clone();
            let second = scope.spawn(move || publish_on(other, &root, neighbours, theirs, stop));
            std::thread::sleep(after);
            victim.strike();
            stop.store(true, Ordering::Relaxed);
            victims = first.join().expect("a publisher");
            neighbours = second.join().expect("a publisher");
        });
        federation[VICTIM].kill();
        // What the others have heard of is theirs to give back.
        let mut known = BTreeSet::new();
        for handle in OTHERS {
            known.extend(federation[handle].versions(&format!("{VICTIM}/feuer")).expect("an answer").1);
        }
        harm.befall(&federation[VICTIM], &mut dice);
        if harm.costs() {
            acknowledged[0].lock().expect("the notes").retain(|version| known.contains(version));
        }
        federation[VICTIM].start();
        federation.connected();
        for (owner, noted) in [VICTIM, OTHERS[0]].into_iter().zip(&acknowledged) {
            federation.settled(&format!("{owner}/feuer"), &noted.lock().expect("the notes").clone(), &context);
        }
    }
    let [own, theirs] = acknowledged.map(|noted| noted.into_inner().expect("the notes").len());
    let (bytes, damaged) = federation.scrubbed();
    // A bit of the victim's that nobody has read since may be found only now.
    assert!(OTHERS.iter().all(|handle| damaged[*handle] == 0), "{damaged:?}");
    println!(
        "{cycles} cycles: {own} and {theirs} acknowledged releases, all there; {bytes} bytes verified (SEED={seed})"
    );
    for (harm, times) in harms {
        println!("    {times:4} × {harm}");
    }
    assert!(theirs > 0, "nothing was published meanwhile");
}
