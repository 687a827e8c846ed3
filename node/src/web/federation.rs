//! A federation: who is in it, and who lags.

use maud::html;

use super::language::Language;
use super::{Answer, layout};
use crate::http::library::MemberView;
use crate::http::routes::Call;
use crate::http::tokens::Reader;

/// `/f/{federation}/members`
pub(super) async fn page(call: Call) -> Answer {
    let language = Language::of(&call.headers);
    let t = |german, english| language.of_two(german, english);
    let federation = call.federation()?;
    let [] = call.query([])?;
    let _making = call.making().await?;
    let detail = call.library().federation(&call.reader, &federation).await?;
    let members = call.library().members(&call.reader, &federation).await?;
    let known = matches!(call.reader, Reader::Token(_));
    let state = |member: &MemberView| match member.connection.as_ref().map(|connection| connection.state) {
        Some("own") => t("dieser Knoten", "this node"),
        Some("connected") => t("verbunden", "connected"),
        Some("paused") => t("angehalten", "paused"),
        Some("blocked") => t("gesperrt", "blocked"),
        Some(_) => t("nicht verbunden", "not connected"),
        None => "–",
    };
    let log = |member: &MemberView| match (member.log.state, member.log.stale) {
        ("forked", _) => t("gespalten: nur der bezeugte Teil gilt", "forked: only what was witnessed counts"),
        ("closed", _) => t("geschlossen", "closed"),
        (_, true) => t("Stand älter als 15 Minuten", "state older than 15 minutes"),
        _ => t("aktuell", "up to date"),
    };
    let body = html! {
        dl {
            dt { (t("Gegründet", "Founded")) } dd { (layout::day(language, &detail.founded)) }
            dt { (t("Mitgliederverzeichnis", "Charter")) }
            dd { (t("Version", "version")) " " (detail.charter.version) }
            dt { (t("Entscheidungen", "Decisions")) }
            dd { (detail.quorum) " " (t("von", "of")) " " (detail.voting) " " (t("stimmberechtigten Partnern", "voting members")) }
            @if let Some(agreement) = &detail.agreement { dt { (t("Vereinbarung", "Agreement")) } dd { (agreement.title) } }
            dt { (t("Fingerabdruck (zum Vergleichen am Telefon)", "Fingerprint (to compare by telephone)")) }
            dd { code { (detail.fingerprint) } }
            dt { (t("Vertrauensanker zum Prüfen ohne Netz", "What to trust when verifying offline")) }
            dd { code class="break" { (detail.id) "@" (detail.charter.hash) } }
        }
        h2 id="members" { (t("Partner", "Members")) }
        div class="scroll" role="region" aria-labelledby="members" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" { (t("Partner", "Member")) }
                        th scope="col" { (t("Stimme", "Vote")) }
                        th scope="col" { (t("Einträge", "Entries")) }
                        th scope="col" { (t("davon bezeugt", "witnessed")) }
                        th scope="col" { (t("Stand", "State")) }
                        @if known { th scope="col" { (t("Verbindung", "Connection")) } }
                        th scope="col" { (t("Kontakt", "Contact")) }
                    }
                }
                tbody {
                    @for member in &members {
                        tr {
                            th scope="row" { (member.name) " (" (member.handle) ")" }
                            td { (if member.standing == "full" { t("ja", "yes") } else { t("nein", "no") }) }
                            td { (member.log.size) }
                            td { @match member.log.witnessed { Some(size) => { (size) }, None => { "–" } } }
                            td { (log(member)) }
                            @if known { td { (state(member)) } }
                            td { (member.contact.as_deref().unwrap_or("–")) }
                        }
                    }
                }
            }
        }
    };
    super::html(&call, layout::Page::new(&call, language, &detail.name).of(&federation, &detail.name).show(body))
}
