//! The daemon: puts store, artifacts, network, admin socket and HTTPS together around the core.
//!
//! `node` is the process, `instance` one federation in it, `driver` the loop that turns inputs into committed records and
//! then into effects. `operations` and `library` are what people and IT systems see.

mod ahead;
mod changes;
mod clock;
mod driver;
mod errands;
mod events;
mod fetch;
mod founding;
mod host;
mod instance;
mod intake;
mod library;
mod local;
mod mend;
mod node;
mod operations;
mod roots;
mod scrub;
mod shelf;
mod traffic;
mod view;
mod webhooks;

pub use host::Program;
