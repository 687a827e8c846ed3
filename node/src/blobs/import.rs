//! Import: a stream of unknown length becomes an artifact, in one pass and in constant memory.
//!
//! Owns the way from `tmp` to `objects`. Nothing is visible before it is whole and synced; whatever fails leaves no file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use sha2::Digest as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use verbund_protocol::ids::{Blake3, Sha256};

use super::error::StoreError;
use super::layout;
use super::pins::Pin;
use super::tree::{self, TreeHasher};
use super::{BlobStore, CHUNK_BYTES, QUEUE_CHUNKS};

/// Bytes between two looks at the free space of the disk.
const FLOOR_CHECK_BYTES: u64 = 8 << 20;

/// An artifact that has been imported. Hold the pin until something durable refers to it.
#[derive(Debug)]
pub struct Imported {
    /// Its name.
    pub blake3: Blake3,
    /// Its SHA-256, for manifests and proofs.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// Keeps it from being collected.
    pub pin: Pin,
}

/// A file in `tmp`, removed on drop unless it has been moved away.
struct TmpFile {
    path: PathBuf,
    file: Option<File>,
}

impl TmpFile {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(File::create_new(&self.path)?);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), File::sync_all).map_err(StoreError::sync(&self.path))
    }
}

/// Created on the first write: most artifacts are one group and have no outboard.
impl Write for TmpFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.open()?.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TmpFile {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = layout::remove(&self.path)
        {
            tracing::warn!(%error, "temporary file stays until the next start");
        }
    }
}

/// The work of one import, on a blocking thread.
struct Importer {
    store: BlobStore,
    max: u64,
    size: u64,
    next_check: u64,
    data: TmpFile,
    tree: TreeHasher<BufWriter<TmpFile>>,
    sha256: sha2::Sha256,
}

impl Importer {
    fn new(store: BlobStore, max: u64) -> Result<Self, StoreError> {
        store.check_failed()?;
        store.check_floor(0)?;
        let mut data = TmpFile::new(store.0.layout.tmp());
        let path = data.path.clone();
        data.open().map_err(StoreError::io("create", &path))?;
        let outboard = TmpFile::new(store.0.layout.tmp());
        let tree = TreeHasher::new(BufWriter::with_capacity(CHUNK_BYTES, outboard));
        Ok(Self { store, max, size: 0, next_check: FLOOR_CHECK_BYTES, data, tree, sha256: sha2::Sha256::new() })
    }

    fn update(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        self.size = self.size.saturating_add(chunk.len() as u64);
        if self.size > self.max {
            return Err(StoreError::TooLarge { at_least: self.size, max: self.max });
        }
        if self.size >= self.next_check {
            self.store.check_floor(chunk.len() as u64)?;
            self.next_check = self.size + FLOOR_CHECK_BYTES;
        }
        self.sha256.update(chunk);
        self.data.write_all(chunk).map_err(StoreError::io("write", &self.data.path))?;
        self.tree.update(chunk).map_err(StoreError::io("write", &self.data.path))
    }

    fn finish(self) -> Result<Imported, StoreError> {
        let Self { store, size, data, tree, sha256, .. } = self;
        let (root, outboard) = tree.finish().map_err(StoreError::io("write", &data.path))?;
        let outboard = outboard.into_inner().map_err(|e| StoreError::io("write", &data.path)(e.into_error()))?;
        let (blake3, sha256) = (Blake3(root), Sha256(sha256.finalize().into()));
        // Pinned before it has its name, so that no collection comes between.
        let pin = store.pin(blake3);
        if !store.refresh(&blake3) {
            if !verbund_protocol::seeded::bug("skip_sync_of_import") {
                data.sync()?;
                outboard.sync()?;
            }
            let pairs = tree::has_outboard(size).then_some(outboard.path.as_path());
            store.0.layout.publish(&blake3, &data.path, pairs)?;
            store.state().index.insert(blake3, size);
        }
        Ok(Imported { blake3, sha256, size, pin })
    }
}

impl BlobStore {
    /// Imports everything that `source` yields, at most `max` bytes (and never more than the store allows). Content that is here
    /// already is not written again; several imports of the same content may run at once.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Source`] when `source` fails, [`StoreError::DiskFloor`], or a failing disk.
    /// Nothing stays behind. Dropping the future abandons the import.
    pub async fn import(&self, mut source: impl AsyncRead + Unpin, max: u64) -> Result<Imported, StoreError> {
        let (chunks, mut queue) = mpsc::channel::<Feed>(QUEUE_CHUNKS);
        let (store, max) = (self.clone(), max.min(self.max_artifact_bytes()));
        let work = tokio::task::spawn_blocking(move || {
            let mut importer = Importer::new(store, max)?;
            loop {
                match queue.blocking_recv() {
                    Some(Feed::Chunk(chunk)) => importer.update(&chunk)?,
                    Some(Feed::End) => return importer.finish(),
                    None => return Err(StoreError::Stopped),
                }
            }
        });
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            while chunk.len() < CHUNK_BYTES {
                let rest = (CHUNK_BYTES - chunk.len()) as u64;
                if (&mut source).take(rest).read_buf(&mut chunk).await.map_err(StoreError::Source)? == 0 {
                    break;
                }
            }
            let feed = if chunk.is_empty() { Feed::End } else { Feed::Chunk(chunk) };
            let last = matches!(feed, Feed::End);
            // A closed queue means that the work has failed; its result says why.
            if chunks.send(feed).await.is_err() || last {
                break;
            }
        }
        let imported = work.await.unwrap_or(Err(StoreError::Stopped));
        imported.inspect_err(|error| self.note(error))
    }

    /// Imports bytes that are in memory.
    ///
    /// # Errors
    /// As [`BlobStore::import`].
    pub async fn import_bytes(&self, bytes: Vec<u8>) -> Result<Imported, StoreError> {
        self.import(bytes.as_slice(), self.max_artifact_bytes()).await
    }

    /// Whether the artifact is here; then it counts as new for the grace period of a collection.
    fn refresh(&self, hash: &Blake3) -> bool {
        if !self.has(hash) {
            return false;
        }
        let touch = File::options().write(true).open(self.0.layout.object(hash));
        touch.and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    }
}

/// What the import's blocking thread is told. An end that is not said is an abandoned import.
enum Feed {
    Chunk(Vec<u8>),
    End,
}
