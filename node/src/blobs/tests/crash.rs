//! Killed while receiving: what is taken up again, what is not believed, and how much arrives twice.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::super::bitmap::Bitmap;
use super::*;

/// Size of the artifact of the property test: 20 groups and a bit.
const SIZE: usize = 20 * 16_384 + 77;

/// What a kill, a power cut or a broken disk may do to a partial file. Each is followed by a restart.
#[derive(Debug, Clone)]
enum Injury {
    /// The last claim is older than the data.
    OldClaim(u64),
    /// The bitmap claims everything, with a valid checksum.
    LyingClaim,
    /// The bitmap was torn.
    TornClaim(u64),
    /// The end of the data never reached the disk.
    CutData(u64),
    /// The end of the outboard never reached the disk.
    CutOutboard(u64),
    /// A block of the data is not what was written.
    FlipData(prop::sample::Index),
    /// A block of the outboard is not what was written.
    FlipOutboard(prop::sample::Index),
}

fn injury() -> impl Strategy<Value = Injury> {
    prop_oneof![
        (0u64..21).prop_map(Injury::OldClaim),
        Just(Injury::LyingClaim),
        (0u64..60).prop_map(Injury::TornClaim),
        (0u64..SIZE as u64).prop_map(Injury::CutData),
        (0u64..1280).prop_map(Injury::CutOutboard),
        any::<prop::sample::Index>().prop_map(Injury::FlipData),
        any::<prop::sample::Index>().prop_map(Injury::FlipOutboard),
    ]
}

fn injure(node: &Node, want: &Expect, injury: &Injury) {
    let paths = node.store.0.layout.partial(&want.hash, want.size);
    let open = |path: &Path| std::fs::File::options().read(true).write(true).open(path).unwrap();
    let cut = |path: &Path, len: u64| {
        let file = open(path);
        file.set_len(len.min(file.metadata().unwrap().len())).unwrap();
    };
    let flip_in = |path: &Path, place: &prop::sample::Index| {
        let len = std::fs::metadata(path).unwrap().len() as usize;
        if len > 0 {
            flip(path, place.index(len));
        }
    };
    let claim = |groups: u64| {
        let mut map = Bitmap::new(want.size);
        (0..groups).for_each(|group| map.insert(group));
        map.store(&open(&paths.bitmap), &want.hash, want.size).unwrap();
    };
    match injury {
        Injury::OldClaim(groups) => {
            let now = Bitmap::load(&open(&paths.bitmap), &want.hash, want.size).unwrap();
            claim(*groups.min(&now.map_or(0, |map| map.present())));
        }
        Injury::LyingClaim => claim(21),
        Injury::TornClaim(at) => open(&paths.bitmap).write_all_at(&[0x55], *at).unwrap(),
        Injury::CutData(len) => cut(&paths.data, *len),
        Injury::CutOutboard(len) => cut(&paths.outboard, *len),
        Injury::FlipData(place) => flip_in(&paths.data, place),
        Injury::FlipOutboard(place) => flip_in(&paths.outboard, place),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the files were injured: nothing wrong becomes available, nothing blocks the next try, and it completes.
    #[test]
    fn resumes_after_any_injury(rounds in proptest::collection::vec((0usize..SIZE + 1400, proptest::collection::vec(injury(), 0..3)), 1..4)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let data = bytes(1, SIZE);
            let want = expect(&data);
            let (from, mut to) = (Node::holding(&data).await, Node::new());
            for (cut, injuries) in rounds {
                // The connection breaks after this many bytes; what a holder sends depends on what is missing.
                let (here, there) = link();
                let (mut relay_in, relay_out) = link();
                let server = serving(relay_out, &from);
                let relay = tokio::spawn(async move {
                    let (mut there_in, mut there_out) = there.split();
                    let mut request = vec![0; 4096];
                    let n = there_in.read(&mut request).await.unwrap();
                    relay_in.write_all(&request[..n]).await.unwrap();
                    let mut limited = (&mut relay_in).take(cut as u64);
                    drop(futures::io::copy(&mut limited, &mut there_out).await);
                    drop(there_out.close().await);
                });
                let result = fetch_once(here, &to.store, want, &FetchLimits::default()).await;
                relay.await.unwrap();
                drop(server.await.unwrap());
                if result.is_ok() {
                    break;
                }
                assert!(matches!(result, Err(FetchError::Peer(_))), "{result:?}");
                injuries.iter().for_each(|injury| injure(&to, &want, injury));
                to = to.reopen();
                assert!(!to.store.has(&want.hash));
            }
            let before = to.store.totals();
            let fetched = pull(&from, &to, want).await.unwrap();
            if before == Totals::default() {
                assert_eq!(fetched.totals.resumed + fetched.totals.verified, want.size);
            }
            assert!(to.content(&want.hash).await == data);
            assert!(names(&to.path("partial")).is_empty());
            to.store.verify(&want.hash).await.unwrap();
            assert!(to.events().is_empty());
        });
    }
}

/// A claim that is older than the data costs what lies between, and the counter says so; no claim at all costs nothing.
#[tokio::test]
async fn counts_what_arrives_again() {
    let data = bytes(2, SIZE);
    let want = expect(&data);
    let from = Node::holding(&data).await;
    let script = response(&from, &want).await;
    for (injury, again) in [(Injury::OldClaim(4), 6 * 16_384), (Injury::TornClaim(1), 0), (Injury::LyingClaim, 0)] {
        let to = Node::new();
        // Ten groups and what proves them.
        pull_script(&to, want, &script[..8 + 10 * 16_384 + 64 * 15], None).await.unwrap_err();
        injure(&to, &want, &injury);
        let to = to.reopen();
        let totals = pull(&from, &to, want).await.unwrap().totals;
        assert_eq!((totals.again, totals.resumed), (again, 10 * 16_384 - again), "{injury:?}");
        assert_eq!(totals.resumed + totals.verified, want.size);
    }
}

/// A crash between the renames that make an artifact available.
#[tokio::test]
async fn a_crash_between_the_renames() {
    let data = bytes(3, SIZE);
    let want = expect(&data);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let script = response(&from, &want).await;
    // Complete but not published: an honest response with a byte too much.
    pull_script(&to, want, &[script, vec![0]].concat(), None).await.unwrap_err();
    let paths = to.store.0.layout.partial(&want.hash, want.size);
    let object = to.object(&want.hash);
    std::fs::create_dir_all(object.parent().unwrap()).unwrap();
    std::fs::rename(&paths.data, &object).unwrap();
    let to = to.reopen();
    assert!(to.store.has(&want.hash));
    assert!(names(&to.path("partial")).is_empty());
    assert!(to.content(&want.hash).await == data);
    assert!(to.events().is_empty(), "the outboard was taken over, not made again");
}

/// What was complete but not published needs no holder.
#[tokio::test]
async fn a_complete_partial_is_finished_alone() {
    let data = bytes(4, SIZE);
    let want = expect(&data);
    let (from, to) = (Node::holding(&data).await, Node::new());
    let script = response(&from, &want).await;
    pull_script(&to, want, &[script, vec![0]].concat(), None).await.unwrap_err();
    let to = to.reopen();
    let Receive::Begun(mut receiving) = to.store.receive(want).await.unwrap() else { panic!("held") };
    assert!(receiving.try_finish().await.unwrap().is_some());
    assert!(to.content(&want.hash).await == data);
}

const CHILD: &str = "VERBUND_TEST_RECEIVING_CHILD";
/// Artifact of the kill test; several claims long.
const KILL_SIZE: usize = 24 << 20;

/// Not a test: the process that is killed by the test below.
#[tokio::test]
async fn killed_child() {
    let Ok(setup) = std::env::var(CHILD) else { return };
    let (dir, deliver) = setup.split_once('|').unwrap();
    let deliver = deliver.parse::<u64>().unwrap();
    let data = bytes(5, KILL_SIZE);
    let from = Node::holding(&data).await;
    let store = BlobStore::open(Path::new(dir), Options { floor_bytes: 0, ..Options::default() }).unwrap();
    let script = response(&from, &expect(&data)).await;
    let (here, mut there) = link();
    tokio::spawn(async move {
        let _: Request = transfer::read(&mut there, 1 << 13).await.unwrap();
        there.write_all(&script[..deliver as usize]).await.unwrap();
        println!("\nDELIVERED");
        std::future::pending::<()>().await;
    });
    panic!("{:?}", fetch_once(here, &store, expect(&data), &FetchLimits::default()).await);
}

/// A real `kill -9` while receiving: at most the in-flight window arrives again.
#[tokio::test]
async fn killed_while_receiving() {
    let data = bytes(5, KILL_SIZE);
    let want = expect(&data);
    let from = Node::holding(&data).await;
    for deliver in [0, 1_000_000, 9_000_000, 17_234_567, KILL_SIZE as u64 + 1000] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "blobs::tests::crash::killed_child", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{}|{deliver}", dir.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said =
            BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).any(|line| line == "DELIVERED");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said, "the child did not get far enough");

        let options = Options { floor_bytes: 0, ..Options::default() };
        let to = Node { store: BlobStore::open(dir.path(), options).unwrap(), dir, events: Arc::default() };
        assert!(!to.store.has(&want.hash));
        let totals = pull(&from, &to, want).await.unwrap().totals;
        assert!(totals.resumed + IN_FLIGHT_MAX_BYTES >= deliver, "{deliver}: {totals:?}");
        assert!(totals.again <= IN_FLIGHT_MAX_BYTES, "{deliver}: {totals:?}");
        assert_eq!(totals.resumed + totals.verified, want.size);
        assert!(to.content(&want.hash).await == data);
    }
}
