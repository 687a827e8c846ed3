//! Blobs: the files of releases, whole or in part.

use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use verbund_protocol::ids::Sha256;

use super::archive::{ArchiveReader, Source};
use super::manifest::EMPTY;
use super::packages::{Package, Packages};
use super::{Answer, CONTENT_DIGEST, FOREVER, insert, send};
use crate::http::library::FileHandle;
use crate::http::problem::{Code, Problem};
use crate::http::routes::{Call, files};

/// What blobs are: the type of each stands in the manifest that names it.
const BLOB_TYPE: &str = "application/octet-stream";

/// `/v2/{name}/blobs/{digest}`
pub(super) async fn blob(State(packages): State<Arc<Packages>>, call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let unknown = || Problem::new(Code::NotFound, "There is no such blob, or none that this reader may see.");
    let digest: Sha256 = call.parameter("digest").parse().map_err(|_| unknown())?;
    if digest == Sha256::of(EMPTY) {
        // The process must be one that this reader sees, as for every other blob.
        call.library().process(&call.reader, &process).await?;
        return send(&call, Bytes::from_static(EMPTY), digest, BLOB_TYPE, FOREVER);
    }
    let package = {
        let _making = call.making().await?;
        packages.by_layer(&call, &process, digest).await?
    };
    let Some(package) = package else {
        let referrer = packages.referrer(&call, &process, digest).await?.ok_or_else(unknown)?;
        return send(&call, referrer.bytes, digest, BLOB_TYPE, FOREVER);
    };
    let file = open(&call, &package, digest).await?;
    let mut response = files::deliver(&call, file, BLOB_TYPE).await?;
    insert(response.headers_mut(), CONTENT_DIGEST, &digest.to_string());
    Ok(response)
}

/// The bytes of a layer.
async fn open(call: &Call, package: &Package, digest: Sha256) -> Result<FileHandle, Problem> {
    let gone = || Problem::new(Code::NotFound, "There is no such blob, or none that this reader may see.");
    let layer = package.layers.iter().find(|layer| layer.digest == digest).ok_or_else(gone)?;
    let release = package.release();
    let Some(archive) = &package.archive else {
        let file = call.library().open_file(&call.reader, release, &layer.title).await?;
        // Another release may stand under this version since.
        return if file.sha256 == digest { Ok(file) } else { Err(gone()) };
    };
    let source = Source::new(call, release);
    Ok(FileHandle {
        size: layer.size,
        sha256: digest,
        media_type: layer.media_type.clone(),
        reader: Box::new(ArchiveReader { archive: archive.clone(), source }),
    })
}
