//! The node's clocks.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use verbund_protocol::core::Now;

/// The time now: the wall clock for what is signed and shown, a steady one for waiting.
pub fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mono = START.get_or_init(Instant::now).elapsed().as_millis();
    Now { wall_ms: u64::try_from(wall).unwrap_or(u64::MAX), mono_ms: u64::try_from(mono).unwrap_or(u64::MAX) }
}
