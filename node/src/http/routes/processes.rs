//! Processes and their versions.

use semver::Version;

use super::call::{Call, next_cursor};
use super::table::{Answer, BASE};
use crate::http::answers::{ProcessBody, ReleaseItem, ReleaseList};
use crate::http::library::{Page, ProcessRef, ReleaseSummary};
use verbund_protocol::ids::Slug;

/// `/{federation}/processes`
pub(super) async fn list(call: Call) -> Answer {
    let federation = call.federation()?;
    let [q, limit, cursor] = call.query(["q", "limit", "cursor"])?;
    let q = Call::search_text(q)?;
    let list = ["processes", federation.as_str(), q.as_deref().unwrap_or_default()];
    let page = Call::page(limit, cursor, &list)?;
    let _making = call.making().await?;
    let found = call.app.library.search(&call.reader, &federation, q.as_deref(), page).await?;
    let next = next_cursor(&found, &list)?;
    call.json(&list_of(&federation, found, next))
}

/// `/{federation}/processes/{member}/{slug}`
pub(super) async fn one(call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let _making = call.making().await?;
    let view = call.app.library.process(&call.reader, &process).await?;
    call.json(&ProcessBody {
        latest: view.latest.as_ref().map(Version::to_string),
        latest_release: view.latest.map(|version| release_url(&process, &version)),
        versions: format!("{}/versions", process_url(&process)),
        details: view.details,
        federation: process.federation,
        member: process.member,
        slug: process.slug,
    })
}

/// `/{federation}/processes/{member}/{slug}/versions`
pub(super) async fn versions(call: Call) -> Answer {
    let process = call.process()?;
    let [limit, cursor] = call.query(["limit", "cursor"])?;
    let list = ["versions", process.federation.as_str(), process.member.as_str(), process.slug.as_str()];
    let page = Call::page(limit, cursor, &list)?;
    let _making = call.making().await?;
    let found = call.app.library.versions(&call.reader, &process, page).await?;
    let next = next_cursor(&found, &list)?;
    call.json(&list_of(&process.federation, found, next))
}

/// The address of a process.
pub(super) fn process_url(process: &ProcessRef) -> String {
    format!("{BASE}/{}/processes/{}/{}", process.federation, process.member, process.slug)
}

/// The address of a release.
pub(super) fn release_url(process: &ProcessRef, version: &Version) -> String {
    format!("{BASE}/{}/releases/{}/{}/{version}", process.federation, process.member, process.slug)
}

/// A release in a list, with its address.
pub(super) fn item(federation: &Slug, summary: ReleaseSummary) -> ReleaseItem {
    let release = format!("{BASE}/{federation}/releases/{}/{}/{}", summary.member, summary.slug, summary.version);
    ReleaseItem { summary, release }
}

fn list_of(federation: &Slug, page: Page<ReleaseSummary>, next: Option<String>) -> ReleaseList {
    ReleaseList { items: page.items.into_iter().map(|summary| item(federation, summary)).collect(), next }
}
