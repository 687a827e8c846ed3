//! A release in one archive: `bundle.tar.zst`, what `process pull` writes, made while it is sent.
//!
//! Owns the archive's form. Files come first, in the order of the manifest, with fixed times, modes and owners, in one zstd frame:
//! on every node with this version of the compressor the same bytes. The offline proof, which differs with node and moment, follows
//! in a frame of its own; `proof=false` leaves it out, and then the whole archive is the same everywhere. Whatever goes wrong after
//! the head was sent cuts the connection, so that nobody takes a part for the whole.

use std::io::{self, Write as _};
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use verbund_protocol::ids::Sha256;

use super::call::{Call, insert};
use super::releases::{Exact, exact};
use super::table::Answer;
use crate::http::etag::{ETag, Verdict};
use crate::http::library::{FileEntry, Library, ReleaseRef};
use crate::http::problem::{Code, Problem};
use crate::http::tarball::{end, head, padding};
use crate::http::tokens::Reader;

/// Bundles made at a time: each holds a compressor, some 4 MiB.
pub(super) const BUNDLES_MAX: usize = 8;
/// Level of compression: the library's own default; models and forms shrink to a tenth with any.
const LEVEL: i32 = 3;
/// Compressed parts that wait for the client, each of some hundred KiB.
const WAITING: usize = 4;
/// (process, version) is immutable, and so is its archive without proof.
const FOREVER: &str = "private, immutable, max-age=31536000";

/// `/{federation}/releases/{member}/{slug}/{version}/bundle.tar.zst`
pub(super) async fn bundle(call: Call) -> Answer {
    let process = call.process()?;
    let [proof] = call.query(["proof"])?;
    let with_proof = match proof.as_deref() {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(Problem::new(Code::InvalidParameter, "proof is true or false.")),
    };
    let rest = if with_proof { "/bundle.tar.zst" } else { "/bundle.tar.zst?proof=false" };
    let release = match exact(&call, process, rest).await? {
        Exact::Release(release) => release,
        Exact::Elsewhere(redirect) => return Ok(redirect),
    };
    let view = call.app.library.release(&call.reader, &release).await?;
    if let Some(why) = view.unavailable {
        return Err(Problem::new(Code::NotAvailable, why));
    }
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    let proof = if with_proof {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        Some(call.app.library.provenance(&call.reader, &release).await?.ok_or_else(|| {
            Problem::new(Code::NotAvailable, "No checkpoint covers the release yet, so there is no proof of it.")
        })?)
    } else {
        let tag = tag(&view.manifest);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
        insert(headers, header::ETAG, tag.as_str());
        if call.condition(&tag)? == Verdict::NotModified {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        None
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zstd"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    let name = format!("{}-{}.tar.zst", release.process.slug, release.version).replace('+', "_");
    insert(headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    if call.method == Method::HEAD {
        return Ok(response);
    }
    let seat = Arc::clone(&call.app.bundles).try_acquire_owned();
    let seat = seat.map_err(|_| Problem::new(Code::Busy, "Too many archives are being made."))?;
    let (parts, mut made) = mpsc::channel(WAITING);
    let source = Source { library: Arc::clone(&call.app.library), reader: call.reader, release };
    tokio::spawn(async move {
        if let Err(error) = source.pack(&view.files, proof, &parts).await {
            tracing::warn!(%error, "archive cut off while being made");
            // Whoever still reads must not take what came for all.
            let _ = parts.send(Err(error)).await;
        }
        drop(seat);
    });
    *response.body_mut() = Body::from_stream(futures::stream::poll_fn(move |cx| made.poll_recv(cx)));
    Ok(response)
}

/// Names the archive without proof: it follows from the manifest and the compressor.
fn tag(manifest: &Sha256) -> ETag {
    ETag::of(Sha256::of(
        format!("bundle 1, zstd {} level {LEVEL}, {manifest}", zstd::zstd_safe::version_number()).as_bytes(),
    ))
}

/// Where the files of an archive come from.
struct Source {
    library: Arc<dyn Library>,
    reader: Reader,
    release: ReleaseRef,
}

type Parts = mpsc::Sender<io::Result<Bytes>>;

impl Source {
    async fn pack(&self, files: &[FileEntry], proof: Option<Bytes>, parts: &Parts) -> io::Result<()> {
        let mut frame = Frame::new()?;
        for file in files {
            self.file(&mut frame, file, parts).await?;
        }
        send(parts, frame.finish()?).await?;
        let mut last = Frame::new()?;
        if let Some(proof) = proof {
            last.write(head(".verbund/provenance.json", proof.len() as u64)?).await?;
            last.write(proof.clone()).await?;
            last.write(padding(proof.len() as u64)).await?;
        }
        last.write(end()).await?;
        send(parts, last.finish()?).await
    }

    async fn file(&self, frame: &mut Frame, file: &FileEntry, parts: &Parts) -> io::Result<()> {
        frame.write(head(&file.path, file.size)?).await?;
        let opened = self.library.open_file(&self.reader, &self.release, &file.path).await;
        let opened = opened.map_err(io::Error::other)?;
        if (opened.size, opened.sha256) != (file.size, file.sha256) {
            return Err(io::Error::other("a file is another one than the release said"));
        }
        let mut left = file.size;
        if left > 0 {
            let mut chunks = opened.reader.read(0..file.size);
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk?;
                left = left.checked_sub(chunk.len() as u64).ok_or_else(|| io::Error::other("a file is too long"))?;
                frame.write(chunk).await?;
                send(parts, frame.made()).await?;
            }
        }
        if left > 0 {
            return Err(io::Error::other("a file ended too early"));
        }
        frame.write(padding(file.size)).await
    }
}

/// One zstd frame in the making.
struct Frame(Option<zstd::stream::write::Encoder<'static, Vec<u8>>>);

impl Frame {
    fn new() -> io::Result<Self> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self(Some(encoder)))
    }

    /// Compresses off the runtime's threads.
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let gone = || io::Error::other("the compressor is gone");
        let mut encoder = self.0.take().ok_or_else(gone)?;
        let work = move || encoder.write_all(&bytes).map(|()| encoder);
        // Small pieces cost less than handing them over.
        self.0 = Some(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??);
        Ok(())
    }

    /// What was compressed so far and not taken yet.
    fn made(&mut self) -> Vec<u8> {
        self.0.as_mut().map(|encoder| std::mem::take(encoder.get_mut())).unwrap_or_default()
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        self.0.take().map_or_else(|| Ok(Vec::new()), zstd::stream::write::Encoder::finish)
    }
}

async fn send(parts: &Parts, bytes: Vec<u8>) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client left");
    parts.send(Ok(bytes.into())).await.map_err(gone)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn frames_follow_one_another_and_make_one_archive() {
        let (long, body) = (format!("{}/ü.bpmn", "ordner".repeat(40)), Bytes::from(vec![7; 700]));
        let mut bytes = Vec::new();
        for paths in [vec!["a.txt", long.as_str()], vec![".verbund/provenance.json"]] {
            let mut frame = Frame::new().unwrap();
            for path in paths {
                frame.write(head(path, 700).unwrap()).await.unwrap();
                frame.write(body.clone()).await.unwrap();
                bytes.extend(frame.made());
                frame.write(padding(700)).await.unwrap();
            }
            bytes.extend(frame.finish().unwrap());
        }
        let mut end = Frame::new().unwrap();
        end.write(Bytes::from_static(&[0; 1024])).await.unwrap();
        bytes.extend(end.finish().unwrap());
        let mut archive = tar::Archive::new(zstd::stream::read::Decoder::new(bytes.as_slice()).unwrap());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut read = Vec::new();
            entry.read_to_end(&mut read).unwrap();
            assert_eq!((read, entry.header().mtime().unwrap()), (body.to_vec(), 0));
            seen.push(entry.path().unwrap().to_str().unwrap().to_owned());
        }
        assert_eq!(seen, ["a.txt", long.as_str(), ".verbund/provenance.json"]);
    }
}
