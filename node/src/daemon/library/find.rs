//! Text search for HTTPS clients: asks the index, and looks up what it found.

use verbund_library::search::Cursor;
use verbund_protocol::ids::Slug;
use verbund_protocol::view::catalogue::{Catalogue, Listed, Name, Selector, Target, Viewer};

use super::lists::{lines, text};
use super::{LibraryError, NodeLibrary, Page, PageRequest, ReleaseSummary};
use crate::daemon::node::Named;
use crate::daemon::view::StoreView;
use crate::http::tokens::Reader;
use crate::search::{Ask, Found};

/// What a position in hits begins with, so that it is not taken for a place in the catalogue.
const CURSOR: &str = "found:";

impl NodeLibrary {
    /// Processes by the index, best first; `None` if nothing is searched for or there is no index: the catalogue then answers.
    pub(super) async fn find(
        &self,
        reader: &Reader,
        federation: &Slug,
        query: Option<&str>,
        page: &PageRequest,
    ) -> Result<Option<(Named, Page<(ReleaseSummary, Listed)>)>, LibraryError> {
        let position = page.after.as_deref().map(text).transpose()?;
        let after = match position.map(|position| position.strip_prefix(CURSOR)) {
            // A place of the catalogue: the list was begun without the index and goes on without it.
            Some(None) => return Ok(None),
            Some(Some(cursor)) => Some(cursor.parse::<Cursor>().map_err(|_| LibraryError::BadPosition)?),
            None => None,
        };
        let Some(query) = query.filter(|query| !query.trim().is_empty()) else { return Ok(None) };
        let going_on = after.is_some();
        let who = |_: &Catalogue<'_>, _: &StoreView, viewer: &Viewer| Ok(Ok(viewer.clone()));
        let (named, viewer) = self.look(reader, federation, who).await?;
        let ask = Ask { text: Some(query.to_owned()), withdrawn: true, limit: page.limit, after, ..Ask::default() };
        let Some(answer) = self.search.ask(named.instance.federation, &viewer, ask).await else {
            return if going_on { Err(LibraryError::BadPosition) } else { Ok(None) };
        };
        let hits = answer.hits;
        let look = move |catalogue: &Catalogue<'_>, _: &StoreView, viewer: &Viewer| {
            let mut items = Vec::with_capacity(hits.len());
            for hit in hits {
                let Ok(Found { member, slug, version, .. }) = serde_json::from_value(hit.data) else { continue };
                let target = Target::Process { owner: Name::Member(member), slug, selector: Selector::Exact(version) };
                // What changed since it was indexed may not be there for this viewer any more.
                items.extend(catalogue.resolve(&target, viewer)?.ok());
            }
            lines(catalogue, items).map(Ok)
        };
        let (named, items) = self.look(reader, federation, look).await?;
        let next = answer.next.map(|next| format!("{CURSOR}{next}").into_bytes());
        Ok(Some((named, Page { items, next })))
    }
}
