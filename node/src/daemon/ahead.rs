//! Entries that came are read and their signatures checked on all cores, before the loop judges them one after the other.
//!
//! Owns how the work is spread, and decides nothing: the loop would do what was not done here.

use std::sync::Arc;
use std::thread::available_parallelism;

use verbund_protocol::ids::FederationId;
use verbund_protocol::limits::FRAME_MAX_BYTES;
use verbund_protocol::view::ahead::Ahead;
use verbund_protocol::wire::{self, sync::Response};

/// Below this number of entries the loop is as fast alone.
const WORTH: usize = 32;
/// Threads at most: they fill one answer's worth of entries in milliseconds.
const THREADS_MAX: usize = 8;
/// Bytes of an answer below which it cannot hold enough entries, and is not even decoded.
const ANSWER_MIN_BYTES: usize = 8 << 10;

/// Prepares the entries in `answer`, if it holds any.
pub async fn prepare(ahead: &Arc<Ahead>, federation: FederationId, answer: &[u8]) {
    if answer.len() < ANSWER_MIN_BYTES {
        return;
    }
    let Ok(Response::Entries(entries)) = wire::decode(federation, answer, FRAME_MAX_BYTES) else { return };
    if entries.leaves.len() < WORTH {
        return;
    }
    let threads = available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let share = entries.leaves.len().div_ceil(threads);
    let mut leaves = entries.leaves.into_iter();
    let work: Vec<_> = (0..threads)
        .map(|_| {
            let (ahead, mine): (_, Vec<Vec<u8>>) = (ahead.clone(), leaves.by_ref().take(share).collect());
            tokio::task::spawn_blocking(move || mine.iter().for_each(|leaf| ahead.prepare(leaf)))
        })
        .collect();
    for part in work {
        // One that failed leaves its entries to the loop.
        let _ = part.await;
    }
}
