//! The daemon: puts store, artifacts, network, admin socket and HTTPS together around the core.
//!
//! `node` is the process, `instance` one federation in it, `driver` the loop that turns inputs into committed records and
//! then into effects. `operations` and `library` are what people and IT systems see.

mod ahead;
mod clock;
mod driver;
mod events;
mod fetch;
mod founding;
mod host;
mod instance;
mod library;
mod local;
mod node;
mod operations;
mod scrub;
mod shelf;
mod traffic;
mod view;

pub use host::Program;
