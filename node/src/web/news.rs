//! What is new in a federation.

use maud::html;

use super::language::Language;
use super::{Answer, layout};
use crate::admin::api::Moment;
use crate::http::library::{ChangeKind, Since};
use crate::http::routes::Call;

/// Changes of a page.
const CHANGES: usize = 50;

/// `/f/{federation}/news`
pub(super) async fn page(call: Call) -> Answer {
    let language = Language::of(&call.headers);
    let t = |german, english| language.of_two(german, english);
    let federation = call.federation()?;
    let [] = call.query([])?;
    let _making = call.making().await?;
    let detail = call.library().federation(&call.reader, &federation).await?;
    let changes = call.library().changes(&call.reader, &federation, Since::Newest(None), CHANGES).await?;
    let kind = |kind: ChangeKind| match kind {
        ChangeKind::Available => t("Neue Version", "New version"),
        ChangeKind::Withdrawn => t("Zurückgerufen", "Withdrawn"),
        ChangeKind::Corrected => t("Beschreibung berichtigt", "Description corrected"),
        ChangeKind::Deprecated => t("Abgekündigt", "Deprecated"),
        ChangeKind::Joined => t("Neuer Partner", "New member"),
        ChangeKind::Expelled => t("Partner ausgeschlossen", "Member expelled"),
        ChangeKind::Amended => t("Mitgliederverzeichnis geändert", "Charter changed"),
    };
    let body = html! {
        p {
            (t("Für Programme und Feed-Reader, mit Zugangstoken: ", "For programs and feed readers, with an access token: "))
            a href={ "/api/v1/" (federation) "/feed.atom" } { "Atom" } ", "
            a href={ "/api/v1/" (federation) "/changes" } { "JSON" } "."
        }
        @if changes.items.is_empty() { p { (t("Noch nichts.", "Nothing yet.")) } }
        ol class="results" {
            @for change in &changes.items {
                li {
                    p class="facts" {
                        span { (layout::day(language, &Moment::from_unix_ms(change.at_ms).to_string())) }
                        span { (kind(change.kind)) }
                    }
                    @if let Some(release) = &change.release {
                        h2 class="small" {
                            a href={ "/f/" (federation) "/p/" (release.summary.member) "/" (release.summary.slug) "/" (release.summary.version) } {
                                (release.summary.title) " " (release.summary.version)
                            }
                        }
                        p class="facts" { span { (release.summary.owner_name) } }
                    } @else if let Some((handle, name)) = &change.member {
                        h2 class="small" { (name) " (" (handle) ")" }
                    } @else {
                        p lang="en" { (change.text) }
                    }
                }
            }
        }
    };
    let title = t("Neues", "News");
    super::html(&call, layout::Page::new(&call, language, title).of(&federation, &detail.name).show(body))
}
