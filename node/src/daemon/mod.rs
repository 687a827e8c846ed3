//! The daemon: puts store, artifacts, network, admin socket and HTTPS together around the core.
//!
//! `node` is the process, `instance` one federation in it, `driver` the loop that turns inputs into committed records and
//! then into effects. `operations` and `library` are what people and IT systems see.

mod ahead;
mod changes;
mod clock;
mod driver;
mod errands;
pub(crate) mod events;
mod fetch;
mod founding;
mod host;
pub(crate) mod instance;
mod intake;
mod library;
mod local;
mod mend;
pub(crate) mod node;
mod operations;
mod roots;
mod scrub;
pub(crate) mod shelf;
mod traffic;
pub(crate) mod view;
mod webhooks;

pub use host::Program;
