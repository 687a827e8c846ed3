//! Federations and their members.

use super::call::Call;
use super::table::{Answer, BASE};
use crate::http::answers::{FederationBody, FederationItem, FederationList, MemberList, without_connection};
use crate::http::tokens::Reader;

/// `/federations`
pub(super) async fn list(call: Call) -> Answer {
    let [] = call.query([])?;
    let _making = call.making().await?;
    let mut all = call.app.library.federations(&call.reader).await?;
    all.retain(|federation| call.reader.may_read(&federation.slug));
    let item = |f: crate::http::library::FederationView| FederationItem {
        federation: format!("{BASE}/{}", f.slug),
        processes: format!("{BASE}/{}/processes", f.slug),
        members: format!("{BASE}/{}/members", f.slug),
        changes: format!("{BASE}/{}/changes", f.slug),
        slug: f.slug,
        id: f.id,
        name: f.name,
    };
    call.json(&FederationList { items: all.into_iter().map(item).collect() })
}

/// `/{federation}`
pub(super) async fn one(call: Call) -> Answer {
    let federation = call.federation()?;
    let [] = call.query([])?;
    let _making = call.making().await?;
    let detail = call.app.library.federation(&call.reader, &federation).await?;
    let at = |part: &str| format!("{BASE}/{federation}/{part}");
    call.json(&FederationBody {
        processes: at("processes"),
        members: at("members"),
        changes: at("changes"),
        feed: at("feed.atom"),
        catalog: at("catalog.jsonld"),
        detail,
    })
}

/// `/{federation}/members`
pub(super) async fn members(call: Call) -> Answer {
    let federation = call.federation()?;
    let [] = call.query([])?;
    let _making = call.making().await?;
    let mut items = call.app.library.members(&call.reader, &federation).await?;
    if call.reader == Reader::Anonymous {
        items = items.into_iter().map(without_connection).collect();
    }
    call.json(&MemberList { items })
}
