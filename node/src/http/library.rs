//! What the server needs from the rest of the node: the contract of the process library.
//!
//! Owns the questions and the shape of the answers, nothing of how they are found. The implementation decides what exists for
//! a reader: what a reader must not see is [`LibraryError::NotFound`], never "denied", so that its existence stays hidden.
//! Blocking work (sled, files) is the implementation's to move off the runtime's threads.

mod views;

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use semver::Version;
use tokio::sync::watch;
use verbund_protocol::ids::{Handle, PeerId, Sha256, Slug};
use verbund_protocol::view::checkpoints::Tile;

use super::tokens::Reader;
pub use views::*;

/// A page's place in its list, as the library wrote it. It travels through clients: any bytes may come back, so decode it
/// like any foreign input. At most [`POSITION_MAX_BYTES`] long; longer ones end the list with an error.
pub type Position = Vec<u8>;
/// Longest [`Position`], in bytes: two names and a version fit well.
pub const POSITION_MAX_BYTES: usize = 512;

/// Bytes of a file, in order. An error ends the stream; the connection is then cut so that no client takes it for complete.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Answer of the library.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, LibraryError>>;

/// Why the library gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// Unknown, or hidden from this reader.
    #[error("not found")]
    NotFound,
    /// The position is none of this list.
    #[error("position not understood")]
    BadPosition,
    /// The position was one of this list; what followed it is not kept any more.
    #[error("position gone")]
    PositionGone,
    /// Known, but not complete and verified here. The reason is shown to the client.
    #[error("not available: {0}")]
    NotAvailable(String),
    /// Withdrawn with the request to erase. The reason is shown to the client.
    #[error("erased: {0}")]
    Erased(String),
    /// The stored bytes do not match their hash. The reason is logged, not shown.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A fault of this node. The reason is logged, not shown.
    #[error("{0}")]
    Internal(String),
}

/// Names a process within a federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRef {
    /// The federation's name in paths.
    pub federation: Slug,
    /// The member that owns the namespace.
    pub member: Handle,
    /// The process in it.
    pub slug: Slug,
}

/// Names a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRef {
    /// The process.
    pub process: ProcessRef,
    /// The exact version.
    pub version: Version,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Continue after this place; `None` starts at the first item.
    pub after: Option<Position>,
    /// At most this many items: 1 to 200.
    pub limit: usize,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// At most as many as asked for.
    pub items: Vec<T>,
    /// Where the next part starts; `None` at the end.
    pub next: Option<Position>,
}

/// A log of a federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLog {
    /// The node that writes it.
    pub log: PeerId,
    /// Handle of its owner, if a member.
    pub member: Option<Handle>,
    /// First line of its checkpoints.
    pub origin: String,
    /// Entries held here.
    pub size: u64,
}

/// A file that may be sent.
pub struct FileHandle {
    /// In bytes.
    pub size: u64,
    /// Over the whole file.
    pub sha256: Sha256,
    /// As declared by the publisher.
    pub media_type: String,
    /// Gives the bytes.
    pub reader: Box<dyn RangeReader>,
}

/// Reads verified bytes of one file.
pub trait RangeReader: Send + Sync + 'static {
    /// Exactly the bytes of `range` (not empty, within the size), each verified before it is yielded, in chunks of at most
    /// 1 MiB. Opening costs nothing before the first poll.
    fn read(self: Box<Self>, range: Range<u64>) -> ByteStream;
}

/// The process library as seen by one reader at a time.
///
/// Federation slugs come from requests and may be unknown. The server has already refused readers whose token does not cover
/// the federation; audiences and everything finer are the implementation's.
pub trait Library: Send + Sync + 'static {
    /// All federations of this node.
    ///
    /// # Errors
    /// [`LibraryError::Internal`].
    fn federations<'a>(&'a self, reader: &'a Reader) -> Answer<'a, Vec<FederationView>>;

    /// Processes whose searchable text contains `query`, in a stable order; all of them without a query.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`] for an unknown federation, [`LibraryError::BadPosition`].
    fn search<'a>(
        &'a self,
        reader: &'a Reader,
        federation: &'a Slug,
        query: Option<&'a str>,
        page: PageRequest,
    ) -> Answer<'a, Page<ReleaseSummary>>;

    /// One process.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`].
    fn process<'a>(&'a self, reader: &'a Reader, process: &'a ProcessRef) -> Answer<'a, ProcessView>;

    /// The versions of a process, newest first.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`], [`LibraryError::BadPosition`].
    fn versions<'a>(
        &'a self,
        reader: &'a Reader,
        process: &'a ProcessRef,
        page: PageRequest,
    ) -> Answer<'a, Page<ReleaseSummary>>;

    /// One release, available or not.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`].
    fn release<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef) -> Answer<'a, ReleaseView>;

    /// The offline proof of a release as JSON bytes; `None` if there is none yet.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`].
    fn provenance<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef) -> Answer<'a, Option<Bytes>>;

    /// One file, by its exact path in the manifest. Only files of a release that is available as a whole.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`], [`LibraryError::NotAvailable`], [`LibraryError::Erased`], [`LibraryError::Damaged`].
    fn open_file<'a>(&'a self, reader: &'a Reader, release: &'a ReleaseRef, path: &'a str) -> Answer<'a, FileHandle>;

    /// The logs of a federation, by the bytes of their nodes' keys. A library without logs has none.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`] for an unknown federation.
    fn logs<'a>(&'a self, _federation: &'a Slug) -> Answer<'a, Vec<HeldLog>> {
        Box::pin(async { Err(LibraryError::NotFound) })
    }

    /// The newest signed checkpoint of a log that its durable entries here lead to, as a note with the cosignatures held.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`] if there is none.
    fn checkpoint<'a>(&'a self, _federation: &'a Slug, _log: PeerId) -> Answer<'a, String> {
        Box::pin(async { Err(LibraryError::NotFound) })
    }

    /// A tile of a log, durable here in full.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`] if the log's entries here do not fill it.
    fn tile<'a>(&'a self, _federation: &'a Slug, _log: PeerId, _tile: Tile) -> Answer<'a, Bytes> {
        Box::pin(async { Err(LibraryError::NotFound) })
    }

    /// A federation by its newest charter.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`].
    fn federation<'a>(&'a self, reader: &'a Reader, federation: &'a Slug) -> Answer<'a, FederationDetail>;

    /// The members of a federation, by handle.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`].
    fn members<'a>(&'a self, reader: &'a Reader, federation: &'a Slug) -> Answer<'a, Vec<MemberView>>;

    /// What changed, at most `limit` items.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`], [`LibraryError::BadPosition`], [`LibraryError::PositionGone`].
    fn changes<'a>(
        &'a self,
        reader: &'a Reader,
        federation: &'a Slug,
        since: Since,
        limit: usize,
    ) -> Answer<'a, Changes>;

    /// Shows the number of the newest change. Its sender goes when the federation ends.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`].
    fn changed<'a>(&'a self, federation: &'a Slug) -> Answer<'a, watch::Receiver<u64>>;

    /// What is known of digests of releases, manifests and files, in the order of `digests`.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`].
    fn check<'a>(&'a self, reader: &'a Reader, federation: &'a Slug, digests: Vec<Sha256>) -> Answer<'a, Vec<Checked>>;

    /// Processes by their newest release that is not withdrawn, with metadata; in the order of lists.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`], [`LibraryError::BadPosition`].
    fn described<'a>(
        &'a self,
        reader: &'a Reader,
        federation: &'a Slug,
        page: PageRequest,
    ) -> Answer<'a, Page<Described>>;
}
