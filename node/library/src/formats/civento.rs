//! Library exports of the platform civento: `<…Bibliothek Schluessel=… Rubrik=… Version=…>`.
//!
//! They are not namespace-well-formed (prefixes that nothing declares), which is why only the tolerant reader reads them. `Version` is
//! that of the format, not of the process.

use super::markup::{Event, attribute, walk};
use super::{Format, Parameter, Recognised, push, text};

/// Whether a root element that ends in "Bibliothek" is one of civento.
pub fn is(text: &str) -> bool {
    let mut told = false;
    let head = text.get(..text.len().min(8 << 10)).unwrap_or(text);
    walk(head, |event| {
        if let Event::Start { path: [root] } = event {
            told |= attribute(root.attributes, "Schluessel").is_some();
        }
    });
    told
}

/// Reads an export.
pub fn read(source: &str) -> Recognised {
    let mut found = Recognised::new(Format::Civento);
    found.platform = Some("civento");
    let whole = walk(source, |event| match event {
        Event::Start { path: [root] } => {
            found.platform_key = attribute(root.attributes, "Schluessel").map(|key| text::line(&key));
            found.version = attribute(root.attributes, "Version").map(|version| text::line(&version));
            if let Some(rubric) = attribute(root.attributes, "Rubrik") {
                push(&mut found.keywords, &rubric);
            }
        }
        Event::Start { path: [.., open] } => {
            for name in ["EPaymentModus", "Authentifizierungsart"] {
                if let Some(value) = attribute(open.attributes, name) {
                    service(&mut found, name, &value);
                }
            }
            let names: Vec<_> = ["Standard", "Name"].iter().filter_map(|key| attribute(open.attributes, key)).collect();
            names.iter().for_each(|name| found.say(name));
        }
        Event::End { path, text } => end(&mut found, path, text),
        _ => {}
    });
    if !whole {
        found.note("elements that lie too deep were passed over");
    }
    found
}

fn end(found: &mut Recognised, path: &[super::markup::Open<'_>], text: &str) {
    let [.., open] = path else { return };
    let parent = path.len().checked_sub(2).map_or("", |at| path[at].name);
    match open.name {
        "Name" if parent == "Vorgang" => {
            let standard = attribute(open.attributes, "Standard").unwrap_or_default();
            found.name(if standard.is_empty() { text } else { &standard });
        }
        "EPaymentModus" | "Authentifizierungsart" => service(found, open.name, text),
        _ => {}
    }
    let settings = path.iter().any(|open| open.name == "Vorgangseinstellungdefinition");
    if settings && (open.name.ends_with("Feld") || open.name == "Field") {
        parameter(found, open.attributes, text);
    }
    found.say(text);
}

/// What a mode means: none is none, any other needs the service.
fn service(found: &mut Recognised, name: &str, value: &str) {
    let value = text::line(value).to_lowercase();
    let none = ["", "0", "false", "nein", "kein", "keine", "keiner", "ohne", "none", "inaktiv", "aus"]
        .contains(&value.as_str());
    let service = if name == "EPaymentModus" { "payment" } else { "nutzerkonto" };
    if !none && !found.base_services.iter().any(|known| known == service) {
        found.base_services.push(service.to_owned());
    }
}

fn parameter(found: &mut Recognised, attributes: &str, text: &str) {
    let get =
        |names: &[&str]| names.iter().find_map(|name| attribute(attributes, name)).map(|value| text::line(&value));
    let Some(name) = get(&["Name", "Bezeichnung", "Schluessel"]).filter(|name| !name.is_empty()) else { return };
    if found.parameters.len() >= super::LIST_MAX || found.parameters.iter().any(|known| known.name == name) {
        return;
    }
    let kind = match get(&["Typ", "Datentyp"]).unwrap_or_default().to_lowercase().as_str() {
        "zahl" | "ganzzahl" | "integer" | "int" | "number" | "decimal" | "betrag" | "dezimal" => "number",
        "boolean" | "bool" | "ja/nein" | "checkbox" | "wahrheitswert" => "boolean",
        "datum" | "date" => "date",
        "liste" | "auswahl" | "list" | "mehrfachauswahl" => "list",
        "url" | "uri" | "link" => "uri",
        "passwort" | "password" | "kennwort" | "geheimnis" => "secret",
        _ => "text",
    };
    let required = get(&["Pflicht", "Pflichtfeld", "Required"]);
    let required = required.is_some_and(|value| matches!(value.to_lowercase().as_str(), "true" | "1" | "ja"));
    let hint = get(&["Hilfetext", "Beschreibung"]).or_else(|| Some(text::line(text))).filter(|hint| !hint.is_empty());
    // A value that was exported is no hint, least of all a secret.
    let hint = hint
        .filter(|_| attribute(attributes, "Hilfetext").is_some() || attribute(attributes, "Beschreibung").is_some());
    found.parameters.push(Parameter { name, kind, required, text: hint });
}
