//! Seeded bugs: rules of this code that a test build can switch off one at a time, to see that a test finds each of them.
//!
//! Owns the switch. Without the feature `seeded-bugs` no bug is ever on, and the compiler removes every place that asks: nothing of
//! this is in a program that runs anywhere. With it, the environment variable `SEEDED_BUG` names the one bug of this process; it is
//! read once. That is the only thing in this crate that comes from outside of its arguments, which is why it stands here alone.
//! Each bug and the tests that must find it stand in `tests/mutants.tsv`; `scripts/mutants` tries them all.

// A program whose rules can be switched off from outside must never get into operation by mistake.
#[cfg(all(feature = "seeded-bugs", not(debug_assertions)))]
compile_error!("`seeded-bugs` is for tests: it is not built in the release profile");

/// Whether the bug `name` is on in this process.
#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub const fn bug(_name: &str) -> bool {
    false
}

/// Whether the bug `name` is on in this process.
#[cfg(feature = "seeded-bugs")]
pub fn bug(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("SEEDED_BUG").ok()).as_deref() == Some(name)
}
