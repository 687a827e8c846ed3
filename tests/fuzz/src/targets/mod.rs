//! The list of targets. Each file beside this one owns the properties of one kind of input, and the seeds that it takes.

mod charter;
mod core;
mod documents;
mod frames;
mod log;
#[cfg(feature = "node")]
mod node;
mod provenance;
mod release;
mod text;

/// One decoder and what must hold of it.
pub struct Target {
    /// Its name, also of its program in `cargo-fuzz/`.
    pub name: &'static str,
    /// Panics if the property does not hold.
    pub run: fn(&[u8]),
    /// What to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Its dictionary.
    pub dictionary: &'static str,
    /// Longest input worth trying, in bytes.
    pub max_bytes: usize,
}

/// Crashes on purpose: whatever runs the targets has to find it, or finds nothing else either.
pub const CANARY: Target =
    Target { name: "canary", run: text::canary, seeds: text::canary_seeds, dictionary: "canary", max_bytes: 64 };

macro_rules! targets {
    ($($(#[$meta:meta])* $module:ident :: $name:ident, $dictionary:literal, $max:expr;)*) => {
        /// All targets that must not crash.
        pub const TARGETS: &[Target] = &[$(
            $(#[$meta])*
            Target {
                name: stringify!($name),
                run: $module::$name,
                seeds: || $module::seeds(stringify!($name)),
                dictionary: $dictionary,
                max_bytes: $max,
            },
        )*];
    };
}

targets! {
    text::json, "json", 4 << 10;
    text::names, "text", 1 << 10;
    text::ticket, "text", 4 << 10;
    documents::envelope, "envelope", 8 << 10;
    documents::documents, "documents", 8 << 10;
    documents::identity, "documents", 16 << 10;
    charter::charter, "documents", 16 << 10;
    charter::bundles, "envelope", 64 << 10;
    log::checkpoint, "note", 1 << 10;
    log::note, "note", 8 << 10;
    log::cosignature, "note", 1 << 10;
    log::inclusion, "frames", 4 << 10;
    log::consistency, "frames", 4 << 10;
    log::fork, "note", 4 << 10;
    frames::gossip, "frames", 48 << 10;
    frames::sync_request, "frames", 4 << 10;
    frames::sync_response, "frames", 48 << 10;
    frames::join_request, "frames", 48 << 10;
    frames::join_response, "frames", 48 << 10;
    frames::batch, "frames", 16 << 10;
    release::process_toml, "process", 16 << 10;
    release::correction_toml, "process", 8 << 10;
    release::correction, "process", 8 << 10;
    release::statement, "process", 16 << 10;
    release::manifest, "manifest", 16 << 10;
    release::paths, "manifest", 4 << 10;
    provenance::provenance, "provenance", 128 << 10;
    core::core, "core", 16 << 10;
    #[cfg(feature = "node")]
    node::range, "http", 256;
    #[cfg(feature = "node")]
    node::conditions, "http", 1 << 10;
    #[cfg(feature = "node")]
    node::admin, "admin", 8 << 10;
    #[cfg(feature = "node")]
    node::config, "config", 8 << 10;
    #[cfg(feature = "node")]
    node::addresses, "text", 512;
    #[cfg(feature = "node")]
    node::journal, "frames", 4 << 10;
    #[cfg(feature = "node")]
    node::blob_request, "frames", 4 << 10;
    #[cfg(feature = "node")]
    node::blob_stream, "frames", 80 << 10;
}
