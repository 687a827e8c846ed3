//! Tests of the artifact store, by property: what must hold, what must be refused, what must survive.

mod crash;
mod fetching;
mod frames;
mod geometry;
mod lies;
mod rot;
mod store;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, TryStreamExt as _};
use tempfile::TempDir;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::transfer::{
    Decision, FetchError, FetchLimits, Fetched, Request, ServeError, ServeLimits, Served, fetch_once, serve,
};
use super::*;

/// The sizes at which groups, chunks and levels begin and end.
const SIZES: [usize; 9] =
    [0, 1, 1024, (16 << 10) - 1, 16 << 10, (16 << 10) + 1, (1 << 20) + 3, (4 << 20) + (16 << 10), 20 << 20];

/// Bytes that look random and differ by seed and place.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

fn expect(data: &[u8]) -> Expect {
    Expect { hash: Blake3::of(data), size: data.len() as u64, sha256: Some(Sha256::of(data)) }
}

/// A store in a directory of its own, and what it told its observer.
struct Node {
    store: BlobStore,
    dir: TempDir,
    events: Arc<Mutex<Vec<BlobEvent>>>,
}

impl Node {
    fn new() -> Self {
        Self::with(Options { floor_bytes: 0, ..Options::default() })
    }

    fn with(mut options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let events = Arc::<Mutex<Vec<BlobEvent>>>::default();
        let sink = events.clone();
        options.observer = Some(Arc::new(move |event| sink.lock().unwrap().push(event)));
        Self { store: BlobStore::open(dir.path(), options).unwrap(), dir, events }
    }

    async fn holding(data: &[u8]) -> Self {
        let node = Self::new();
        node.store.import_bytes(data.to_vec()).await.unwrap();
        node
    }

    /// As after a restart.
    fn reopen(self) -> Self {
        let Self { store, dir, events } = self;
        let options = store.0.options.clone();
        assert_eq!(Arc::strong_count(&store.0), 1, "the store is still used");
        drop(store);
        Self { store: BlobStore::open(dir.path(), options).unwrap(), dir, events }
    }

    fn path(&self, rest: &str) -> PathBuf {
        self.dir.path().join(rest)
    }

    fn object(&self, hash: &Blake3) -> PathBuf {
        self.store.0.layout.object(hash)
    }

    fn events(&self) -> Vec<BlobEvent> {
        self.events.lock().unwrap().clone()
    }

    async fn content(&self, hash: &Blake3) -> Vec<u8> {
        self.store.read(hash, u64::MAX).await.unwrap()
    }

    async fn range(&self, hash: &Blake3, range: std::ops::Range<u64>) -> Result<Vec<u8>, ReadError> {
        let stream = self.store.open_reader(hash)?.stream(range).await?;
        let mut stream = std::pin::pin!(stream);
        let mut out = Vec::new();
        while let Some(chunk) = stream.try_next().await? {
            out.extend_from_slice(&chunk);
        }
        Ok(out)
    }
}

fn names(dir: &Path) -> Vec<String> {
    layout::entries(dir).unwrap().into_iter().map(|(_, name)| name).collect()
}

/// Changes one byte and leaves size and times as they were, as a failing disk does.
fn flip(path: &Path, at: usize) {
    let times = std::fs::metadata(path).unwrap().modified().unwrap();
    let mut content = std::fs::read(path).unwrap();
    content[at] ^= 0x40;
    std::fs::write(path, content).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_modified(times).unwrap();
}

type Pipe = Compat<tokio::io::DuplexStream>;

fn link() -> (Pipe, Pipe) {
    let (a, b) = tokio::io::duplex(64 << 10);
    (a.compat(), b.compat())
}

fn serving(stream: Pipe, node: &Node) -> tokio::task::JoinHandle<Result<Served, ServeError>> {
    let store = node.store.clone();
    tokio::spawn(async move { serve(stream, &store, |_| Decision::Serve, &ServeLimits::default()).await })
}

/// Fetches from an honest holder.
async fn pull(from: &Node, to: &Node, expect: Expect) -> Result<Fetched, FetchError> {
    let (here, there) = link();
    let server = serving(there, from);
    let result = fetch_once(here, &to.store, expect, &FetchLimits::default()).await;
    // How the holder ends does not matter here; that it ends does.
    drop(server.await.unwrap());
    result
}

/// What an honest holder answers to a request for the whole.
async fn response(from: &Node, expect: &Expect) -> Vec<u8> {
    let (mut here, there) = link();
    let server = serving(there, from);
    let request = Request { hash: expect.hash, size: expect.size, ranges: Vec::new() };
    transfer::write(&mut here, &request).await.unwrap();
    let mut out = Vec::new();
    here.read_to_end(&mut out).await.unwrap();
    drop(server.await.unwrap());
    out
}

/// Fetches from a holder that answers with `script` whatever it is asked, and with `tail` for as long as anybody listens.
async fn pull_script(to: &Node, expect: Expect, script: &[u8], tail: Option<u8>) -> Result<Fetched, FetchError> {
    let (here, there) = link();
    let script = script.to_vec();
    let server = tokio::spawn(async move { play(there, script, tail).await });
    let limits = FetchLimits { stall_timeout: std::time::Duration::from_secs(5), ..FetchLimits::default() };
    let result = fetch_once(here, &to.store, expect, &limits).await;
    server.await.unwrap();
    result
}

async fn play(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Vec<u8>, tail: Option<u8>) {
    let _: Request = transfer::read(&mut stream, transfer::REQUEST_MAX_BYTES).await.unwrap();
    let mut alive = stream.write_all(&script).await.is_ok();
    while alive && let Some(byte) = tail {
        alive = stream.write_all(&[byte; 4096]).await.is_ok();
    }
    drop(stream.close().await);
}
