//! The admin interface: HTTP/1.1 with JSON over a unix socket.
//!
//! Owns the operations ([`calls`]), their types ([`api`]), who may call them ([`roles`]), the server and the client. What an
//! operation does is the daemon's: it implements [`Daemon`]. Nothing here decides about federations, and nothing here may
//! change the node without an audit record.

pub mod api;
pub mod calls;
pub mod client;
pub mod problem;
pub mod roles;
pub mod server;

pub use calls::{Answer, Call, Daemon, Download, Lines, Method, OPERATIONS, Upload, op, paths};
pub use problem::{Code, Place, Problem, Refusal};
pub use roles::{Caller, Role, Roles};

#[cfg(test)]
pub(crate) mod fake;
