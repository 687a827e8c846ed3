//! A token bucket. Owns no clock: time is an argument.

use std::time::Instant;

/// Tokens in thousandths, so that slow rates refill smoothly.
const SCALE: u64 = 1_000;

/// Allows `burst` events at once and `per_s` per second on average.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    burst: u64,
    per_s: u64,
    level: u64,
    filled_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(burst: u32, per_s: u32, now: Instant) -> Self {
        let burst = u64::from(burst) * SCALE;
        Self { burst, per_s: u64::from(per_s), level: burst, filled_at: now }
    }

    /// Whether one more event fits; if so, it is counted.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let elapsed_ms = now.saturating_duration_since(self.filled_at).as_millis();
        // Tokens per second times thousandths is tokens times milliseconds.
        let gained = u64::try_from(elapsed_ms).unwrap_or(u64::MAX).saturating_mul(self.per_s);
        if gained > 0 {
            self.level = self.level.saturating_add(gained).min(self.burst);
            self.filled_at = now;
        }
        let fits = self.level >= SCALE;
        if fits {
            self.level -= SCALE;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn burst_then_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, 2, start);
        assert_eq!((0..10).filter(|_| bucket.take(start)).count(), 3);
        assert!(!bucket.take(start + Duration::from_millis(499)));
        assert!(bucket.take(start + Duration::from_millis(500)));
        assert!(!bucket.take(start + Duration::from_millis(501)));
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 3);
        // A clock that stands still or runs back gives nothing.
        assert!(!bucket.take(start));
    }
}
