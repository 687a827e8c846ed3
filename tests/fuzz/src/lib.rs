//! One property for each decoder that meets foreign bytes: what must hold whatever the bytes are.
//!
//! Owns the list of targets ([`TARGETS`]), the properties, the seeds ([`corpus`]), the dictionaries and a mutator ([`mutate`]).
//! Two things run them: `cargo test` with a stable compiler (`stable`, part of `scripts/test`), and libFuzzer through
//! `cargo-fuzz/` (`scripts/fuzz`). A target panics where its property does not hold; a refusal is never a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a property that does not hold is a panic, which both runners report with the input"
)]

mod check;
pub mod corpus;
pub mod dictionary;
pub mod mutate;
mod oracle;
#[cfg(test)]
mod stable;
mod targets;

pub use targets::{CANARY, TARGETS, Target};

/// Gives `data` to the target called `name`.
///
/// # Panics
/// If the target's property does not hold for `data`, or there is no target of that name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().chain([&CANARY]).find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target is called {name}")).run)(data);
}
