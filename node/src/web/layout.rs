//! What all pages share: head, navigation, language, login.

use maud::{DOCTYPE, Markup, html};
use verbund_protocol::ids::Slug;

use super::language::Language;
use crate::http::routes::Call;
use crate::http::tokens::Reader;

/// A page to be filled.
pub(super) struct Page<'a> {
    language: Language,
    title: &'a str,
    known: bool,
    here: String,
    federation: Option<(&'a Slug, &'a str)>,
}

impl<'a> Page<'a> {
    /// A page of no federation.
    pub(super) fn new(call: &Call, language: Language, title: &'a str) -> Self {
        let known = matches!(call.reader, Reader::Token(_));
        Self { language, title, known, here: call.target().to_owned(), federation: None }
    }

    /// A page of a federation, by slug and name.
    pub(super) fn of(mut self, slug: &'a Slug, name: &'a str) -> Self {
        self.federation = Some((slug, name));
        self
    }

    /// The whole page.
    pub(super) fn show(&self, body: Markup) -> Markup {
        let t = |german, english| self.language.of_two(german, english);
        let navigation = html! {
            @if let Some((slug, name)) = self.federation {
                nav aria-label=(t("Verbund", "Federation")) {
                    p class="federation" { (name) }
                    ul {
                        li { a href={ "/f/" (slug) } { (t("Prozesse", "Processes")) } }
                        li { a href={ "/f/" (slug) "/news" } { (t("Neues", "News")) } }
                        li { a href={ "/f/" (slug) "/members" } { (t("Partner", "Members")) } }
                    }
                }
            }
        };
        let session = html! {
            form method="post" action="/language" class="inline" {
                input type="hidden" name="back" value=(self.here);
                input type="hidden" name="to" value=(t("en", "de"));
                button type="submit" class="link" lang=(t("en", "de")) { (t("English", "Deutsch")) }
            }
            @if self.known {
                form method="post" action="/logout" class="inline" {
                    button type="submit" class="link" { (t("Abmelden", "Log out")) }
                }
            } @else {
                a href="/login" { (t("Anmelden", "Log in")) }
            }
        };
        document(self.language, self.title, &navigation, &session, body)
    }
}

/// A page without navigation, for problems.
pub(super) fn bare(language: Language, title: &str, body: Markup) -> Markup {
    document(language, title, &html! {}, &html! {}, body)
}

fn document(language: Language, title: &str, navigation: &Markup, session: &Markup, body: Markup) -> Markup {
    let t = |german, english| language.of_two(german, english);
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – " (t("Prozessbibliothek", "Process library")) }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
            }
            body {
                a class="skip" href="#content" { (t("Zum Inhalt", "Skip to content")) }
                header {
                    p class="brand" { a href="/" { (t("Prozessbibliothek", "Process library")) } }
                    (navigation)
                    div class="session" { (session) }
                }
                main id="content" tabindex="-1" {
                    h1 { (title) }
                    (body)
                }
                footer {
                    p {
                        (t("Verbund: Jeder Partner hält die ganze Bibliothek; was hier steht, ist vom Herausgeber signiert und auf diesem Knoten geprüft.",
                           "Verbund: every member holds the whole library; what stands here is signed by its publisher and was checked on this node."))
                    }
                }
            }
        }
    }
}

/// The day of a time as the API writes it (RFC 3339), for people.
pub(super) fn day(language: Language, moment: &str) -> String {
    let Some(date) = moment.get(..10) else { return moment.to_owned() };
    match (language, date.split('-').collect::<Vec<_>>().as_slice()) {
        (Language::German, [year, month, day]) => format!("{day}.{month}.{year}"),
        _ => date.to_owned(),
    }
}

/// A number of bytes for people.
pub(super) fn bytes(language: Language, count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for next in ["KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    let text = if unit == "B" { count.to_string() } else { format!("{value:.1}") };
    let text = if language == Language::German { text.replace('.', ",") } else { text };
    format!("{text} {unit}")
}
