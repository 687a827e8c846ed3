//! The node's search: one index over the catalogues of all its federations.
//!
//! Owns the index, when it is fed, and who may see what in it. The index is a view of the catalogues and may be deleted at any time;
//! it never decides anything: what it finds is looked up in the catalogue again, with the eyes of whoever asks, before it is shown. A
//! damaged index is made anew and stops nothing; until then the catalogue's plain text search answers.

mod documents;
mod feed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use semver::Version;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use verbund_library::search::{Answer, Cursor, Facet, Index, Query, SearchError};
use verbund_protocol::ids::{FederationId, MemberId, Slug};
use verbund_protocol::view::catalogue::Viewer;

pub use documents::file_words;
pub use feed::run;

/// Who may see a document of a federation, as a class of the index.
pub(crate) fn class(federation: FederationId, who: &str, withdrawn: bool) -> String {
    format!("{}/{who}{}", federation.to_hex(), if withdrawn { "/withdrawn" } else { "" })
}

/// The classes that a viewer holds; `withdrawn` adds processes of which every version is withdrawn.
pub(crate) fn classes(federation: FederationId, viewer: &Viewer, withdrawn: bool) -> Vec<String> {
    let who = match viewer {
        Viewer::Operator => vec!["operator".to_owned()],
        Viewer::Public | Viewer::Member { handle: None, .. } => vec!["public".to_owned()],
        Viewer::Member { handle: Some(handle), .. } => vec!["federation".to_owned(), format!("h:{handle}")],
    };
    let own = match viewer {
        Viewer::Member { member, .. } => Some(format!("id:{member}")),
        _ => None,
    };
    let who: Vec<_> = who.into_iter().chain(own).collect();
    let both = |withdrawn: bool| who.iter().map(move |who| class(federation, who, withdrawn));
    if withdrawn { both(false).chain(both(true)).collect() } else { both(false).collect() }
}

/// What stands behind a hit; comes back from the index as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Owner.
    pub member: MemberId,
    /// Process.
    pub slug: Slug,
    /// The release by which it is shown.
    pub version: Version,
    /// What the document was made from: another print means other words.
    pub print: String,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Text; `None` lists everything.
    pub text: Option<String>,
    /// Values wanted of facets.
    pub filters: BTreeMap<Facet, Vec<String>>,
    /// Processes too of which every version is withdrawn.
    pub withdrawn: bool,
    /// Hits of a page.
    pub limit: usize,
    /// `next` of the page before.
    pub after: Option<Cursor>,
}

/// The node's search. Clones share one index.
#[derive(Debug, Clone, Default)]
pub struct Search {
    index: Arc<RwLock<Option<Arc<Index>>>>,
    broken: Arc<Notify>,
}

impl Search {
    /// The index, once it has been filled.
    fn index(&self) -> Option<Arc<Index>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, index: Option<Arc<Index>>) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
    }

    /// Asks the index with the eyes of `viewer`; `None` while there is no index: the catalogue itself then answers.
    pub async fn ask(&self, federation: FederationId, viewer: &Viewer, ask: Ask) -> Option<Answer> {
        let index = self.index()?;
        let viewer = classes(federation, viewer, ask.withdrawn);
        let Ask { text, filters, limit, after, .. } = ask;
        let query = Query { text, viewer, filters, limit, after };
        match tokio::task::spawn_blocking(move || index.search(&query)).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                self.fail(&error);
                None
            }
            Err(_) => None,
        }
    }

    /// The index cannot be used: it is made anew.
    fn fail(&self, error: &SearchError) {
        tracing::warn!(%error, "the search index is made anew");
        self.set(None);
        self.broken.notify_one();
    }
}
