//! Whether a peer keeps a transfer going: stalls and slowness, on tokio's clock.
//!
//! Counts only the time spent waiting for the peer, so that a slow disk here is never taken for a slow peer.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// What a peer has to keep up.
#[derive(Debug, Clone, Copy)]
pub(in crate::blobs) struct Demand {
    /// Longest time without a byte.
    pub(in crate::blobs) stall: Duration,
    /// Bytes per second, on average over `window` of waiting. 0 demands nothing.
    pub(in crate::blobs) min_rate: u64,
    /// Time of waiting over which the rate is looked at.
    pub(in crate::blobs) window: Duration,
}

/// How a peer failed to keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::blobs) enum Lag {
    /// No byte within the stall time.
    Stalled,
    /// Below the demanded rate.
    Slow,
}

/// Watches one transfer.
#[derive(Debug)]
pub(in crate::blobs) struct Pace {
    demand: Demand,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(in crate::blobs) const fn new(demand: Demand) -> Self {
        Self { demand, waited: Duration::ZERO, bytes: 0 }
    }

    /// Waits for `io`, which moves some bytes or fails. After an error the stream has to be given up: `io` is dropped.
    pub(in crate::blobs) async fn wait<E>(
        &mut self,
        io: impl Future<Output = Result<usize, E>>,
    ) -> Result<Result<usize, E>, Lag> {
        let start = Instant::now();
        let result = timeout(self.demand.stall, io).await.map_err(|_| Lag::Stalled)?;
        self.count(start.elapsed(), *result.as_ref().unwrap_or(&0))?;
        Ok(result)
    }

    /// Counts bytes that took some waiting.
    pub(in crate::blobs) fn count(&mut self, waited: Duration, bytes: usize) -> Result<(), Lag> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited >= self.demand.window {
            let owed = u128::from(self.demand.min_rate) * self.waited.as_millis() / 1000;
            if u128::from(self.bytes) < owed {
                return Err(Lag::Slow);
            }
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        Ok(())
    }
}
