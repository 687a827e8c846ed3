//! HTTPS for IT systems: the process library over TLS 1.3, read-only.
//!
//! Owns the listener, the certificate, bearer tokens, and the routes under `/api/v1`. It must never send bytes that the
//! [`Library`] did not hand over as verified, never take a request body that no route asks for, never let a token or a query reach
//! a log line, and never hold memory in proportion to what strangers send.
//!
//! | path below `/api/v1` | answer |
//! |---|---|
//! | `/openapi.json` | all of this in full, made from the table of routes (`routes/api.rs`) |
//! | `/federations`, `/{federation}`, `/{federation}/members` | federations and their members |
//! | `/{federation}/processes`, `…/{member}/{slug}`, `…/versions` | processes, searched and by name, and their versions |
//! | `/{federation}/releases/{member}/{slug}/{version}` | one release with its files and evidence |
//! | … and below it `/files/{path}`, `/provenance`, `/bundle.tar.zst` | one file, the offline proof, all in one archive |
//! | `/{federation}/changes`, `/changes/stream`, `/feed.atom` | what changed: by cursor, as it happens, as a feed |
//! | `POST /{federation}/check` | how digests stand that a system has noted |
//! | `/{federation}/catalog.jsonld` | the library as DCAT-AP.de |
//!
//! `/v2` is the same library as an OCI registry (`oci`).
//!
//! Logs are told below `/logs/v1` as C2SP tlog-tiles (`tiles`).
//!
//! `latest` as version redirects to the exact one. A file has a strong `ETag` and a `Repr-Digest`, both its SHA-256, and takes
//! one `Range`; several at once are answered with the whole file. If a file turns out damaged while it is being sent, the
//! connection is cut before `Content-Length` is reached.

mod answers;
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
mod tarball;
pub mod text;
mod tiles;
pub mod tokens;

pub use library::Library;
pub(crate) use routes::change_json;
pub use server::{Clock, CountersView, HttpConfig, HttpError, HttpLimits, Server};
pub use tokens::{Reader, TokenStore, Tokens};

#[cfg(test)]
mod tests;
