//! The daemon: puts store, artifacts, network, admin socket and HTTPS together around the core.

mod clock;
mod driver;
mod events;
mod fetch;
mod founding;
mod instance;
mod view;
