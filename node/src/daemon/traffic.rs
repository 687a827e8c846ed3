//! Bytes of artifacts that move between this node and others, and how far each fetch is.
//!
//! Owns counters only. They start at zero with the process.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use verbund_protocol::ids::{Blake3, PeerId};

use crate::blobs::Counters;

/// Unfinished fetches whose progress is remembered; more than are fetched at a time in any configuration that makes sense.
const PROGRESS_MAX: usize = 4_096;

/// Bytes on artifact streams with one peer since the start: with framing, without TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// From it.
    pub received: u64,
    /// To it.
    pub sent: u64,
}

/// The counters of one federation. Only members open or serve artifact streams, so there are few peers in it.
#[derive(Debug, Default)]
pub struct Traffic {
    peers: Mutex<BTreeMap<PeerId, Moved>>,
    progress: Mutex<BTreeMap<Blake3, Arc<Counters>>>,
}

impl Traffic {
    fn peers(&self) -> MutexGuard<'_, BTreeMap<PeerId, Moved>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn progress(&self) -> MutexGuard<'_, BTreeMap<Blake3, Arc<Counters>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What moved between this node and `peer`.
    pub fn of(&self, peer: &PeerId) -> Moved {
        self.peers().get(peer).copied().unwrap_or_default()
    }
    /// What moved in all.
    pub fn total(&self) -> Moved {
        let peers = self.peers();
        let sum = |of: fn(&Moved) -> u64| peers.values().map(of).sum();
        Moved { received: sum(|m| m.received), sent: sum(|m| m.sent) }
    }
    /// Notes that an artifact is being received; its counters tell how far it is until [`Self::done`].
    pub fn begun(&self, hash: Blake3, counters: Arc<Counters>) {
        let mut progress = self.progress();
        if progress.len() >= PROGRESS_MAX {
            progress.pop_first();
        }
        progress.insert(hash, counters);
    }
    /// The artifact is here.
    pub fn done(&self, hash: &Blake3) {
        self.progress().remove(hash);
    }
    /// Verified bytes of an artifact that are here so far; 0 if nobody fetched it since the start.
    pub fn here(&self, hash: &Blake3) -> u64 {
        let totals = self.progress().get(hash).map(|counters| counters.snapshot()).unwrap_or_default();
        (totals.resumed + totals.verified).saturating_sub(totals.again)
    }
    /// Counts what moves over `stream`, which leads to `peer`.
    pub fn count<S>(self: &Arc<Self>, peer: PeerId, stream: S) -> Counted<S> {
        Counted { stream, peer, traffic: self.clone() }
    }
}

/// A stream whose bytes are counted.
pub struct Counted<S> {
    stream: S,
    peer: PeerId,
    traffic: Arc<Traffic>,
}

impl<S> Counted<S> {
    fn add(&self, add: impl FnOnce(&mut Moved)) {
        add(self.traffic.peers().entry(self.peer).or_default());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(n)) = read {
            self.add(|moved| moved.received += n as u64);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = written {
            self.add(|moved| moved.sent += n as u64);
        }
        written
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt as _, AsyncWriteExt as _, io::Cursor};
    use verbund_protocol::ids::PublicKey;

    use super::*;

    #[tokio::test]
    async fn both_directions_are_counted_by_peer() {
        let traffic = Arc::new(Traffic::default());
        let (one, other) = (PeerId(PublicKey([1; 32])), PeerId(PublicKey([2; 32])));
        let mut text = String::new();
        traffic.count(one, Cursor::new(b"twelve bytes".to_vec())).read_to_string(&mut text).await.unwrap();
        traffic.count(other, Cursor::new(Vec::new())).write_all(b"five!").await.unwrap();
        assert_eq!(traffic.of(&one), Moved { received: 12, sent: 0 });
        assert_eq!(traffic.of(&other), Moved { received: 0, sent: 5 });
        assert_eq!(traffic.total(), Moved { received: 12, sent: 5 });
        assert_eq!(traffic.of(&PeerId(PublicKey([3; 32]))), Moved::default());
    }
}
