//! Search as the operator sees it.
//!
//! Owns the translation between the admin interface and the node's search. What was found is looked up in the catalogue again; what
//! is not there any more is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use verbund_library::search::{Cursor, Facet, Hit, LIMIT_MAX, Marked};
use verbund_protocol::view::catalogue::{Name, Selector, Target, Viewer};

use super::super::node::{Named, Node, problem};
use super::super::shelf::{self, supply};
use super::federation::no_charter;
use super::processes::Line;
use crate::admin::api::*;
use crate::admin::{Code, Problem};
use crate::search::{Ask, Found};

/// Hits of a page, if nothing is said.
const LIMIT_DEFAULT: u32 = 100;
/// What a cursor of the index begins with, so that it is not taken for a place in the catalogue.
const CURSOR: &str = "found:";

/// What is asked of the index; `None` if only the list of the catalogue is wanted.
fn ask(request: &ProcessListRequest) -> Result<Option<Ask>, Problem> {
    let named = [
        (Facet::Member, &request.member),
        (Facet::Topic, &request.topic),
        (Facet::Level, &request.level),
        (Facet::Stage, &request.stage),
        (Facet::Platform, &request.platform),
        (Facet::Licence, &request.licence),
        (Facet::BaseService, &request.base_service),
    ];
    let filters: BTreeMap<_, _> = named.iter().filter_map(|(f, v)| Some((*f, vec![v.as_ref()?.clone()]))).collect();
    let text = request.text.clone().filter(|text| !text.trim().is_empty());
    // A list by owner alone is the catalogue's, which also knows members by their ids and former members.
    if text.is_none() && filters.keys().all(|facet| *facet == Facet::Member) {
        return Ok(None);
    }
    // An id names a member as well as a handle; the index knows handles.
    if request.member.as_deref().is_some_and(|member| !matches!(member.parse::<Name>(), Ok(Name::Handle(_)))) {
        return Ok(None);
    }
    let after = match request.after.as_deref().map(|after| after.strip_prefix(CURSOR)) {
        None => None,
        // A place of the catalogue: the list was begun without the index and goes on without it.
        Some(None) => return Ok(None),
        Some(Some(cursor)) => {
            let bad = |_| Problem::new(Code::BadRequest, "`after` is not a place of this list");
            Some(cursor.parse::<Cursor>().map_err(bad)?)
        }
    };
    let limit = (request.limit.unwrap_or(LIMIT_DEFAULT) as usize).clamp(1, LIMIT_MAX);
    Ok(Some(Ask { text, filters, withdrawn: request.withdrawn, limit, after }))
}

/// Processes by the index; `None` where the catalogue answers itself: nothing to search for, or no index yet.
pub(super) async fn process_search(
    node: &Arc<Node>,
    named: &Named,
    request: &ProcessListRequest,
) -> Result<Option<ProcessList>, Problem> {
    let Some(ask) = ask(request)? else { return Ok(None) };
    let (asked, going_on) = (ask.text.is_some(), ask.after.is_some());
    let filtered = ask.filters.keys().any(|facet| *facet != Facet::Member);
    let Some(answer) = node.search.ask(named.instance.federation, &Viewer::Operator, ask).await else {
        if going_on || filtered {
            let text = "the search index is being made; only a plain search for text answers meanwhile";
            return Err(Problem::new(Code::Busy, text).next("ask again in a moment"));
        }
        return Ok(None);
    };
    let hits = answer.hits;
    let read = shelf::catalogue(&named.instance, move |catalogue, _| {
        let mut lines = Vec::new();
        for hit in hits {
            let Ok(Found { member, slug, version, .. }) = serde_json::from_value(hit.data.clone()) else { continue };
            let target = Target::Process { owner: Name::Member(member), slug, selector: Selector::Exact(version) };
            let Ok(listed) = catalogue.resolve(&target, &Viewer::Operator)? else { continue };
            if let Some(line) = Line::read(catalogue, listed)? {
                lines.push((line, hit));
            }
        }
        Ok(lines)
    });
    let lines = read.await.map_err(problem)?.ok_or_else(|| no_charter(named))?;
    let listed: Vec<_> = lines.iter().map(|(line, _)| &line.listed).collect();
    let supplies = supply(&named.instance, node.shared.member.node.peer(), &listed).await.map_err(problem)?;
    let row = |((line, hit), supply): ((Line, Hit), _)| ProcessRow {
        snippet: asked.then(|| snippet(hit.snippet)),
        ..line.row(&named.slug, supply)
    };
    let processes = lines.into_iter().zip(supplies).map(row).collect();
    let count = |counts: Vec<verbund_library::search::Count>| {
        counts.into_iter().map(|c| FacetCount { value: c.value, count: c.count as u64 }).collect()
    };
    Ok(Some(ProcessList {
        processes,
        total: Some(answer.total as u64),
        facets: answer.facets.into_iter().map(|(facet, counts)| (facet.to_string(), count(counts))).collect(),
        next: answer.next.map(|next| format!("{CURSOR}{next}")),
    }))
}

fn snippet(marked: Marked) -> Snippet {
    let field = serde_json::to_value(marked.field).ok().and_then(|field| field.as_str().map(str::to_owned));
    let ranges = marked.ranges.into_iter().map(|range| (range.start as u64, range.end as u64)).collect();
    Snippet { field: field.unwrap_or_default(), path: marked.path, text: marked.text, ranges }
}
