//! HTTPS for IT systems: the process library over TLS 1.3, read-only.
//!
//! Owns the listener, the certificate, bearer tokens, and the routes under `/api/v1`. It must never send bytes that the
//! [`Library`] did not hand over as verified, never take a request body that no route asks for, never let a token or a query reach
//! a log line, and never hold memory in proportion to what strangers send.
//!
//! | path below `/api/v1` | answer |
//! |---|---|
//! | `/federations` | the federations that this reader may see |
//! | `/{federation}/processes?q=&limit=&cursor=` | processes, substring search |
//! | `/{federation}/processes/{member}/{slug}` | one process |
//! | `/{federation}/processes/{member}/{slug}/versions?limit=&cursor=` | its versions |
//! | `/{federation}/releases/{member}/{slug}/{version}` | one release with its files and evidence |
//! | `/{federation}/releases/{member}/{slug}/{version}/files/{path}` | one file |
//! | `/{federation}/releases/{member}/{slug}/{version}/provenance` | the offline proof |
//!
//! `/v2` is the same library as an OCI registry ([`oci`]).
//!
//! `latest` as version redirects to the exact one. A file has a strong `ETag` and a `Repr-Digest`, both its SHA-256, and takes
//! one `Range`; several at once are answered with the whole file. If a file turns out damaged while it is being sent, the
//! connection is cut before `Content-Length` is reached.

mod body;
pub mod certs;
pub mod cursor;
pub mod etag;
pub mod library;
mod oci;
pub mod problem;
pub mod range;
pub(crate) mod routes;
pub mod server;
mod tar;
pub mod text;
pub mod tokens;

pub use library::Library;
pub use server::{Clock, CountersView, HttpConfig, HttpError, HttpLimits, Server};
pub use tokens::{Reader, TokenStore, Tokens};

#[cfg(test)]
mod tests;
