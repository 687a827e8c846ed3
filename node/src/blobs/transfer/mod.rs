//! `/verbund/1/blob`: artifacts from node to node, verified group by group.
//!
//! Owns the messages, the holder's side ([`serve`]) and the client's side ([`fetch`]). Works on any byte stream; who the peer is,
//! which holder to ask next and how many fetches run at once is decided elsewhere.
//!
//! A holder sends only what it has verified while reading. A client writes only what it has verified while receiving, and blames
//! a peer only for what that peer alone can have caused.

mod fault;
mod fetch;
pub(super) mod pace;
mod serve;
mod wire;
mod writer;

pub use fault::{FetchError, Mismatch, PeerFault, Severity};
pub use fetch::{FetchLimits, Fetched, fetch, fetch_once};
pub use serve::{Decision, ServeError, ServeLimits, Served, serve};
pub use wire::{
    ByteRange, FrameError, PROTOCOL, RANGES_MAX, REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES, Refusal, Request, Response,
};

#[cfg(test)]
pub(super) use wire::{frame, read, write};
