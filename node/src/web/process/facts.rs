//! What a release says about itself, ordered by the questions that people have.

use maud::{Markup, html};
use serde_json::Value;

use super::{Shown, text};

/// Texts of a list; of objects those under `key`.
fn list(value: &Value, key: &str) -> String {
    let one = |item: &Value| match item {
        Value::String(text) => text.clone(),
        other => other[key].as_str().unwrap_or_default().to_owned(),
    };
    value.as_array().into_iter().flatten().map(one).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}

/// A line of a list of definitions, if there is anything to say.
fn row(name: &str, value: &str) -> Markup {
    html! { @if !value.is_empty() { dt { (name) } dd { (value) } } }
}

/// What it is.
pub(super) fn what(shown: &Shown<'_>) -> Markup {
    let metadata = &shown.view.metadata;
    let stage = match metadata["stage"].as_str().unwrap_or_default() {
        "entwurf" => shown.t("Entwurf", "draft"),
        "pilot" => shown.t("Pilot", "pilot"),
        "produktiv" => shown.t("produktiv", "in use"),
        _ => "",
    };
    let change = &metadata["change"];
    html! {
        section aria-labelledby="what" {
            h2 id="what" { (shown.t("Was ist es", "What it is")) }
            @for paragraph in text(metadata, "description").split("\n\n").filter(|p| !p.trim().is_empty()) { p { (paragraph) } }
            dl {
                (row(shown.t("Leistungsschlüssel", "LeiKa key"), &list(&metadata["leistungsschluessel"], "")))
                (row(shown.t("Ohne Schlüssel, weil", "No key because"), &text(metadata, "no_key_reason")))
                (row("OZG-ID", &list(&metadata["ozg_id"], "")))
                (row(shown.t("Themenfeld", "Topic"), &text(metadata, "themenfeld")))
                (row(shown.t("Ebene", "Level"), &list(&metadata["level"], "")))
                (row(shown.t("Gilt in (ARS)", "Valid in (ARS)"), &list(&metadata["regions"], "")))
                (row(shown.t("Stand", "Stage"), stage))
                (row(shown.t("Rechtsgrundlage", "Legal basis"), &list(&metadata["legal_basis"], "name")))
                (row(shown.t("Stichwörter", "Keywords"), &list(&metadata["keywords"], "")))
                (row(shown.t("Neu in dieser Version", "New in this version"), &format!("{} ({})", text(change, "text"), text(change, "kind"))))
            }
        }
    }
}

/// Who answers for it.
pub(super) fn responsible(shown: &Shown<'_>) -> Markup {
    let metadata = &shown.view.metadata;
    let maintenance = match metadata["maintenance"]["kind"].as_str().unwrap_or_default() {
        "internal" => shown.t("durch den Herausgeber", "by the publisher"),
        "contract" => shown.t("durch einen Dienstleister", "by a contractor"),
        "community" => shown.t("durch eine Entwicklungsgemeinschaft", "by a community"),
        "none" => shown.t("keine", "none"),
        _ => "",
    };
    html! {
        section aria-labelledby="responsible" {
            h2 id="responsible" { (shown.t("Wer ist verantwortlich", "Who is responsible")) }
            dl {
                (row(shown.t("Herausgeber", "Publisher"), &text(&shown.about["owner"], "name")))
                (row(shown.t("Verantwortliche Stelle", "Body in charge"), &text(metadata, "responsible")))
                (row(shown.t("Entwicklungsgemeinschaft", "Developed with"), &list(&metadata["partners"], "")))
                (row(shown.t("Pflege", "Maintenance"), maintenance))
                (row(shown.t("Kontakt", "Contact"), &text(metadata, "contact")))
            }
        }
    }
}

/// What it needs.
pub(super) fn needs(shown: &Shown<'_>) -> Markup {
    let metadata = &shown.view.metadata;
    let platform = [text(&metadata["platform"], "name"), text(&metadata["platform"], "min_version")].join(" ");
    let parameters: Vec<&Value> = metadata["parameters"].as_array().into_iter().flatten().collect();
    html! {
        section aria-labelledby="needs" {
            h2 id="needs" { (shown.t("Was braucht es", "What it needs")) }
            dl {
                (row(shown.t("Plattform", "Platform"), platform.trim()))
                (row(shown.t("Basisdienste", "Base services"), &list(&metadata["base_services"], "name")))
                (row(shown.t("Andere Prozesse", "Other processes"), &list(&metadata["depends"], "process")))
                (row(shown.t("Vertrauensniveau", "Level of trust"), &text(metadata, "trust_level")))
            }
            @if !parameters.is_empty() {
                h3 id="parameters" { (shown.t("Vor dem Betrieb einzustellen", "To be set before use")) }
                div class="scroll" role="region" aria-labelledby="parameters" tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { (shown.t("Parameter", "Parameter")) }
                            th scope="col" { (shown.t("Pflicht", "Required")) }
                            th scope="col" { (shown.t("Bedeutung", "Meaning")) }
                        } }
                        tbody {
                            @for parameter in parameters {
                                tr {
                                    th scope="row" { (text(parameter, "name")) }
                                    td { (if parameter["required"] == true { shown.t("ja", "yes") } else { shown.t("nein", "no") }) }
                                    td { (text(parameter, "text")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whether one may use it.
pub(super) fn may(shown: &Shown<'_>) -> Markup {
    let metadata = &shown.view.metadata;
    let audience = match &metadata["audience"] {
        Value::String(text) if text == "public" => shown.t("öffentlich", "public").to_owned(),
        Value::String(text) if text == "federation" => {
            shown.t("alle Partner des Verbunds", "all members of the federation").to_owned()
        }
        other => list(&other["members"], ""),
    };
    let cost = match metadata["cost"]["kind"].as_str().unwrap_or_default() {
        "none" => shown.t("keine", "none"),
        "shared" => shown.t("werden geteilt", "are shared"),
        "fee" => shown.t("Entgelt", "a fee"),
        _ => "",
    };
    let terms = &metadata["terms"];
    let adopted = shown.about["adoptions"].as_array().map_or(0, Vec::len);
    html! {
        section aria-labelledby="may" {
            h2 id="may" { (shown.t("Darf ich es nutzen", "May I use it")) }
            dl {
                (row(shown.t("Lizenz", "Licence"), &text(metadata, "license")))
                (row(shown.t("Nutzungsbedingungen", "Terms"), &terms["path"].as_str().map(str::to_owned).unwrap_or_else(|| text(terms, "name"))))
                (row(shown.t("Wer die Dateien haben darf", "Who may have the files"), &audience))
                (row(shown.t("Kosten", "Cost"), [cost.to_owned(), text(&metadata["cost"], "text")].join(" ").trim()))
                @if adopted > 0 { dt { (shown.t("Nachnutzung", "Used by")) } dd { (list(&shown.about["adoptions"], "member")) } }
            }
        }
    }
}
