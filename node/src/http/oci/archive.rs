//! All files of a release in one tar, for releases with too many files for a layer each.
//!
//! Owns the layout: which bytes stand where, so that any range can be read without the bytes before it. Nothing of it is stored.
//! The bytes follow from the manifest alone (names in its order, no times, no owners), so that they are the same on every node.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256 as Hasher};
use verbund_protocol::ids::Sha256;

use crate::http::library::{ByteStream, FileEntry, Library, RangeReader, ReleaseRef};
use crate::http::routes::Call;
use crate::http::tarball::{Layout, Part};
use crate::http::tokens::Reader;

/// Where the files come from: a release, for one reader.
#[derive(Clone)]
pub(super) struct Source {
    library: Arc<dyn Library>,
    reader: Reader,
    release: ReleaseRef,
}

impl Source {
    /// The release, for the reader of `call`.
    pub(super) fn new(call: &Call, release: &ReleaseRef) -> Self {
        Self { library: call.shared_library(), reader: call.reader.clone(), release: release.clone() }
    }

    /// A range of one file.
    async fn file(self, path: String, range: Range<u64>) -> io::Result<ByteStream> {
        let file = self.library.open_file(&self.reader, &self.release, &path).await.map_err(io::Error::other)?;
        if range.end > file.size {
            return Err(io::Error::other("a file is shorter than its manifest says"));
        }
        Ok(file.reader.read(range))
    }
}

/// An archive whose bytes were read once.
#[derive(Debug)]
pub(super) struct Archive {
    /// What stands where.
    pub(super) layout: Layout,
    /// Of all its bytes.
    pub(super) digest: Sha256,
}

impl Archive {
    /// Reads it through.
    pub(super) async fn read(files: Vec<FileEntry>, source: &Source) -> io::Result<Self> {
        let layout = Layout::of(files.into_iter().map(|file| (file.path, file.size)))?;
        let mut hasher = Hasher::new();
        let mut bytes = stream(&layout, 0..layout.size(), source.clone());
        while let Some(chunk) = bytes.try_next().await? {
            hasher.update(&chunk);
        }
        drop(bytes);
        let digest = Sha256(hasher.finalize().into());
        Ok(Self { layout, digest })
    }
}

fn stream(layout: &Layout, range: Range<u64>, source: Source) -> ByteStream {
    let parts = layout.parts(range);
    futures::stream::iter(parts)
        .then(move |part| {
            let source = source.clone();
            async move {
                match part {
                    Part::Bytes(bytes) => {
                        Ok(futures::stream::once(async move { Ok::<Bytes, io::Error>(bytes) }).boxed())
                    }
                    Part::File(path, range) => source.file(path, range).await,
                }
            }
        })
        .try_flatten()
        .boxed()
}

/// Reads ranges of an archive.
pub(super) struct ArchiveReader {
    pub(super) archive: Arc<Archive>,
    pub(super) source: Source,
}

impl RangeReader for ArchiveReader {
    fn read(self: Box<Self>, range: Range<u64>) -> ByteStream {
        stream(&self.archive.layout, range, self.source)
    }
}
