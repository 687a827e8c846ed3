//! What the files of a process are, and how people find a process.
//!
//! Owns recognition of formats by content and the search index. Knows nothing of federations, members, releases or the network:
//! its callers say what a document is and who may see it. Touches no file but those of an index's own folder.

pub mod diagram;
pub mod formats;
pub mod search;
