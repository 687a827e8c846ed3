//! An instance with a store and a network of its own, and no federation yet: how its loop ends, and what it refuses.

use verbund_protocol::ids::Sha256;

use crate::cli::host::{Founding, MemberKeys};
use crate::daemon::founding;
use crate::keys::{KeyFiles, KeyRole};

use super::*;

const FEDERATION: FederationId = FederationId([5; 32]);

struct Bench {
    instance: Arc<Instance>,
    failed: mpsc::Receiver<(FederationId, DriverError)>,
    _dir: tempfile::TempDir,
}

async fn start(config: Config) -> Bench {
    let mut options = store::Options::new(FEDERATION.0);
    options.floor_bytes = config.limits.disk_floor.0 / 4;
    start_on(options, config).await
}

async fn start_on(options: store::Options, config: Config) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let (failed, failures) = mpsc::channel(4);
    // Opening blocks.
    let instance = tokio::task::spawn_blocking(move || {
        let handle = "de-he".parse().unwrap();
        let key = |n| verbund_protocol::keys::SecretKey::from_seed(&[n; 32]);
        let keys = MemberKeys { root: key(1), approver: key(2), publisher: key(3), node: key(4) };
        let files = KeyFiles::at(&path, None);
        files.store(KeyRole::Node, &keys.node).unwrap();
        founding::found(&Founding { data_dir: &path, handle: &handle, name: "Hessen", keys: &keys, hosts: &[] })
            .unwrap();
        let blobs = BlobStore::open(&path.join("artifacts"), crate::blobs::Options::default()).unwrap();
        let shared = Shared {
            member: Arc::new(Member::load(&path).unwrap()),
            blobs,
            events: Events::default(),
            config: Arc::new(config),
            stop: CancellationToken::new(),
            failed,
        };
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let joining = Joining {
            federation: FEDERATION,
            charter: Sha256([6; 32]),
            ticket: String::new(),
            writer: Vec::new(),
            request: Vec::new(),
        };
        let begin = Begin::Join(Box::new(joining));
        Instance::start_on(&options, &path, FEDERATION, begin, &shared, listen, Vec::new()).unwrap()
    });
    Bench { instance: instance.await.unwrap(), failed: failures, _dir: dir }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_panics_is_told_and_whoever_waits_for_it_learns_of_it() {
    let mut bench = start(Config::default()).await;
    let asked = bench.instance.query::<()>(|_, _, _| panic!("as planned")).await;
    assert!(matches!(asked, Err(InstanceError::Ended)));
    let (federation, error) = bench.failed.recv().await.unwrap();
    assert_eq!(federation, FEDERATION);
    assert!(matches!(&error, DriverError::Panicked(text) if text == "as planned"), "{error}");
    assert!(!error.is_disk(), "a new start may help");
    assert!(matches!(bench.instance.command(Command::SyncNow).await, Err(InstanceError::Ended)));
    bench.instance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_ends_by_itself_ends_the_loop_and_a_stop_does_not_count_as_that() {
    let mut bench = start(Config::default()).await;
    bench.instance.net.shutdown().await;
    let (_, error) = bench.failed.recv().await.unwrap();
    assert!(matches!(error, DriverError::Net), "{error}");
    bench.instance.shutdown().await;

    let mut bench = start(Config::default()).await;
    bench.instance.shutdown().await;
    assert!(bench.failed.recv().await.is_none(), "nothing failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_disk_floor_a_publication_is_refused_with_its_reason_and_other_wishes_are_not() {
    let mut config = Config::default();
    config.limits.disk_floor.0 = 1 << 60;
    let bench = start(config).await;
    let refused = bench.instance.command(Command::Append(vec![1])).await.unwrap().unwrap_err();
    assert_eq!(refused.code, "disk_full");
    bench.instance.command(Command::SyncNow).await.unwrap().unwrap();
    bench.instance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_before_it_is_durable() {
    let disk = store::tests::Handle::default();
    let mut options = store::Options::new(FEDERATION.0);
    (options.floor_bytes, options.disk) = (0, Arc::new(disk.clone()));
    let bench = start_on(options, Config::default()).await;
    disk.0.stall();
    let (reply, mut answer) = oneshot::channel();
    let command = Command::Value { name: "tests/durable".into(), value: vec![1] };
    bench.instance.letters.send(Mail::Command(command, reply)).await.unwrap();
    // The loop has taken the command by the time that it answers a question; the second one comes after what it does in between.
    for _ in 0..2 {
        bench.instance.query(|_, _, _| ()).await.unwrap();
    }
    let waiting = tokio::task::spawn_blocking({
        let disk = disk.clone();
        move || disk.0.wait_stalled()
    });
    waiting.await.unwrap();
    bench.instance.query(|_, _, _| ()).await.unwrap();
    assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty), "answered before the sync");
    disk.0.release();
    answer.await.unwrap().unwrap();
    bench.instance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_hash_has_the_view_built_again_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = store::Options::new(FEDERATION.0);
    options.floor_bytes = 0;
    let (store, _) = open(dir.path(), &options, &Arc::default()).unwrap();
    let log = PeerId(verbund_protocol::ids::PublicKey([1; 32]));
    let record = Record::entries(log, 0, (0..9_u8).map(|n| vec![n]).collect());
    store.append(Weight::Essential, Batch { records: vec![record] }.encode().unwrap()).unwrap();
    store.close().unwrap();
    drop(store);
    let path = dir.path().join("view/hashes/0.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    let sound = bytes.clone();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (store, report) = open(dir.path(), &options, &Arc::default()).unwrap();
    assert!(matches!(report.view, store::ViewReport::Built { reason: Some(_), .. }), "{:?}", report.view);
    store.close().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), sound);
}
