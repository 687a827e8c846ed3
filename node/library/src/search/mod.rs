//! German full text over documents that the caller describes.
//!
//! Owns analysis of text, the index and its queries. The index is a view: it holds nothing that its caller could not give again, is
//! emptied when its version or its bytes are not what they should be, and is then filled anew. It answers with text and ranges, never
//! with markup. Who may see a document is said with the document, and holds for hits and for counts alike.

mod analyser;
mod collect;
mod directory;
mod document;
mod index;
mod plan;
mod query;
mod schema;
mod snippet;

pub use analyser::{ANALYSER_VERSION, Analyser, Token};
pub use document::{Document, Facet, FileText};
pub use index::{Index, Opened, SearchError};
pub use query::{Answer, Count, Cursor, CursorError, Field, Hit, LIMIT_MAX, Marked, Query, TEXT_MAX_CHARS};

#[cfg(test)]
mod tests;
