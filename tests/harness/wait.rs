//! Waiting for what nodes report: no fixed pauses, and a reason when it does not come.

use std::time::{Duration, Instant};

/// How long a condition may take: far more than it takes, because test machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// Waits until `condition` holds; `Err` says what is still missing.
///
/// # Panics
/// After [`PATIENCE`], with what was missing last.
#[track_caller]
pub fn until<T>(what: &str, condition: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, condition)
}

/// The same with another bound.
///
/// # Panics
/// After `limit`.
#[track_caller]
pub fn within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(missing) if start.elapsed() > limit => {
                panic!("waited {} s in vain: {what}; still missing: {missing}", limit.as_secs())
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}
