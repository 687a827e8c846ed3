//! Looking for a process.

use maud::{Markup, html};
use verbund_protocol::ids::Slug;

use super::language::Language;
use super::{Answer, layout};
use crate::http::library::ReleaseSummary;
use crate::http::routes::{Call, next_cursor};
use crate::http::text::encode_query;

/// `/f/{federation}?q=&cursor=`
pub(super) async fn page(call: Call) -> Answer {
    let language = Language::of(&call.headers);
    let t = |german, english| language.of_two(german, english);
    let federation = call.federation()?;
    let [q, cursor] = call.query(["q", "cursor"])?;
    let text = Call::search_text(q)?;
    let list = ["pages", federation.as_str(), text.as_deref().unwrap_or_default()];
    let request = Call::page(None, cursor, &list)?;
    let _making = call.making().await?;
    let detail = call.library().federation(&call.reader, &federation).await?;
    let found = call.library().search(&call.reader, &federation, text.as_deref(), request).await?;
    let next = next_cursor(&found, &list)?;
    let asked = text.as_deref().unwrap_or_default();
    let body = html! {
        form method="get" action={ "/f/" (federation) } role="search" class="search" {
            label for="q" { (t("Was suchen Sie? Leistung, Stichwort oder Leistungsschlüssel", "What are you looking for? Service, word or key")) }
            div class="row" {
                input type="search" id="q" name="q" value=(asked) maxlength="200" autocomplete="off";
                button type="submit" { (t("Suchen", "Search")) }
            }
        }
        section aria-labelledby="found" {
            h2 id="found" {
                @if asked.is_empty() { (t("Alle Prozesse", "All processes")) }
                @else { (t("Gefunden für", "Found for")) " „" (asked) "“" }
            }
            @if found.items.is_empty() {
                p { (t("Nichts gefunden. Versuchen Sie ein kürzeres oder allgemeineres Wort.", "Nothing found. Try a shorter or more general word.")) }
            }
            ol class="results" { @for item in &found.items { (line(language, &federation, item)) } }
            @if let Some(next) = &next {
                p {
                    a href={ "/f/" (federation) "?q=" (encode_query(asked)) "&cursor=" (encode_query(next)) } rel="next" {
                        (t("Weitere Ergebnisse", "More results"))
                    }
                }
            }
        }
    };
    let title = t("Prozesse", "Processes");
    super::html(&call, layout::Page::new(&call, language, title).of(&federation, &detail.name).show(body))
}

/// One process in a list.
pub(super) fn line(language: Language, federation: &Slug, item: &ReleaseSummary) -> Markup {
    let t = |german, english| language.of_two(german, english);
    html! {
        li {
            h3 { a href={ "/f/" (federation) "/p/" (item.member) "/" (item.slug) } { (item.title) } }
            p { (item.summary) }
            p class="facts" {
                span { (item.owner_name) }
                span { (t("Version", "version")) " " (item.version) }
                span { (witnessed(language, item.witnesses, item.witnesses_of)) }
                (badges(language, item))
            }
        }
    }
}

/// Who confirms a release, in words.
pub(super) fn witnessed(language: Language, by: usize, of: usize) -> String {
    match (language, of) {
        (Language::German, 0) => "noch ohne Partner, die es bezeugen könnten".to_owned(),
        (Language::English, 0) => "no other member yet that could vouch for it".to_owned(),
        (Language::German, _) => format!("von {by} von {of} Partnern bezeugt"),
        (Language::English, _) => format!("vouched for by {by} of {of} members"),
    }
}

/// What must not be overlooked.
pub(super) fn badges(language: Language, item: &ReleaseSummary) -> Markup {
    let t = |german, english| language.of_two(german, english);
    html! {
        @if item.withdrawn { strong class="badge bad" { (t("zurückgerufen", "withdrawn")) } }
        @if item.deprecated { strong class="badge warn" { (t("abgekündigt", "deprecated")) } }
        @if !item.available { strong class="badge warn" { (t("auf diesem Knoten noch nicht vollständig", "not complete on this node yet")) } }
    }
}
