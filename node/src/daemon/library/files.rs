//! Files of complete releases, range by range, and their offline proof.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use verbund_protocol::core::Input;
use verbund_protocol::provenance::MakeError;

use super::NodeLibrary;
use crate::blobs::{ReadError, Reader as BlobReader};
use crate::daemon::node::Named;
use crate::daemon::shelf::{self, Detail, ManifestError, ProofError};
use crate::http::library::{ByteStream, FileHandle, LibraryError, RangeReader, ReleaseRef};
use crate::http::tokens::Reader;

/// Reads one held file.
struct FileReader(BlobReader);

impl RangeReader for FileReader {
    fn read(self: Box<Self>, range: Range<u64>) -> ByteStream {
        let opened = async move { self.0.stream(range).await.map_err(std::io::Error::other) };
        futures::stream::once(opened).map_ok(|bytes| bytes.map_err(std::io::Error::other)).try_flatten().boxed()
    }
}

/// Tells the federation that an artifact is gone without anybody having noticed, so that it is fetched again. Damage that is
/// found while reading reports itself.
pub(super) fn lost(named: &Named, error: &ManifestError) {
    if let ManifestError::Read(ReadError::NotHeld(hash)) = error
        && !named.instance.try_tell(Input::Lost(*hash))
    {
        tracing::warn!(artifact = %hash, "a missing artifact could not be reported; `verbund store scrub` finds it again");
    }
}

fn failed(named: &Named, error: &ManifestError) -> LibraryError {
    lost(named, error);
    match error {
        ManifestError::Read(ReadError::NotHeld(_)) => {
            LibraryError::NotAvailable("a file was lost on this node and is fetched again".to_owned())
        }
        ManifestError::Read(ReadError::Corrupt { .. }) => LibraryError::Damaged(error.to_string()),
        ManifestError::Read(_) => LibraryError::Internal(error.to_string()),
        ManifestError::Malformed(_) => LibraryError::NotAvailable(error.to_string()),
    }
}

impl NodeLibrary {
    /// A release that is complete here.
    async fn complete(&self, reader: &Reader, release: &ReleaseRef) -> Result<(Named, Detail), LibraryError> {
        let (named, detail) = self.detail(reader, release).await?;
        if detail.listed.held {
            return Ok((named, detail));
        }
        let supply = self.supply(&named, &detail.listed).await?;
        Err(LibraryError::NotAvailable(supply.lacking.map_or_else(String::new, |lacking| lacking.why)))
    }

    /// The offline proof of a release that is complete here; none while no checkpoint covers it.
    pub(super) async fn proof(&self, reader: &Reader, release: &ReleaseRef) -> Result<Option<Bytes>, LibraryError> {
        let (named, detail) = self.complete(reader, release).await?;
        let me = self.shared.member.node.peer();
        match shelf::proof(&named.instance, &self.shared.blobs, me, &detail.listed.row).await {
            Ok(proof) => Ok(Some(proof)),
            Err(ProofError::Make(MakeError::NotYet { .. })) => Ok(None),
            Err(ProofError::Manifest(error)) => Err(failed(&named, &error)),
            Err(error) => Err(LibraryError::Internal(error.to_string())),
        }
    }

    /// One file of a release that is complete here.
    pub(super) async fn file(
        &self,
        reader: &Reader,
        release: &ReleaseRef,
        path: &str,
    ) -> Result<FileHandle, LibraryError> {
        let (named, detail) = self.complete(reader, release).await?;
        let blobs = &self.shared.blobs;
        let manifest = self.manifests.get(blobs, &detail.listed.row).await.map_err(|e| failed(&named, &e))?;
        let file = manifest.file(path).ok_or(LibraryError::NotFound)?;
        let opened = blobs.open_reader(&file.blake3).map_err(|e| failed(&named, &ManifestError::Read(e)))?;
        Ok(FileHandle {
            size: file.size,
            sha256: file.sha256,
            media_type: file.media_type.clone(),
            reader: Box::new(FileReader(opened)),
        })
    }
}
