//! A proposal for `process.toml`, made from what lies in the folder.
//!
//! Owns the text of the proposal: German, commented, complete but for what only people know. Never writes a file.

use std::fmt::Write as _;

use verbund_protocol::limits::TITLE_MAX_CHARS;
use verbund_protocol::release::derive::DEFAULT_KEYS;
use verbund_protocol::release::lint::is_text;
use verbund_protocol::release::text::slugify;

use super::recognise::{model_names, service_keys};
use super::{DEFAULTS_FILE, Scanned};

/// Bytes of one file that are searched for names.
const SEARCH_FILE_BYTES: u64 = 1 << 20;
/// Files that are searched.
const SEARCH_FILES_MAX: usize = 50;

/// What the files of a folder say about it.
#[derive(Default)]
pub(super) struct Hints {
    pub(super) names: Vec<String>,
    pub(super) keys: Vec<String>,
    terms: Option<String>,
}

/// A commented `process.toml` for a folder, in German. Complete except for the summary, which is left empty and refused as such.
pub fn init_proposal(scanned: &Scanned) -> String {
    let hints = gather(scanned);
    let mut out = String::from(
        "# Vorschlag für diesen Prozess. Bitte prüfen und ergänzen, dann: verbund publish ORDNER\n\
         # Zeilen mit # am Anfang sind Erläuterungen oder nicht gesetzte Angaben.\n\n",
    );
    identity(&mut out, scanned, &hints);
    subject(&mut out, &hints);
    duties(&mut out, scanned, &hints);
    technology(&mut out, scanned);
    out
}

pub(super) fn gather(scanned: &Scanned) -> Hints {
    let mut hints = Hints::default();
    for file in scanned.files.iter().filter(|f| is_text(f.media_type)).take(SEARCH_FILES_MAX) {
        let mut bytes = Vec::new();
        // A file that cannot be read now is refused when publishing; a proposal does without it.
        if file.source.read_up_to(SEARCH_FILE_BYTES, |w| bytes.extend_from_slice(w)).is_err() {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        if matches!(file.media_type, "application/bpmn+xml" | "application/dmn+xml") {
            hints.names.extend(model_names(&text));
        }
        for key in service_keys(&text) {
            if !hints.keys.contains(&key) && hints.keys.len() < 5 {
                hints.keys.push(key);
            }
        }
        let name = slugify(file.path.name());
        if hints.terms.is_none() && ["nutzungsbedingungen", "nutzung", "terms"].iter().any(|t| name.starts_with(t)) {
            hints.terms = Some(file.path.to_string());
        }
    }
    hints
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A line that is only a comment: controls would end it.
fn comment(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn identity(out: &mut String, scanned: &Scanned, hints: &Hints) {
    let id = slugify(&scanned.folder);
    let beautiful = scanned.folder.replace(['-', '_'], " ");
    let title: String =
        hints.names.first().unwrap_or(&beautiful).chars().filter(|c| !c.is_control()).take(TITLE_MAX_CHARS).collect();
    let id = if id.is_empty() { "# id = \"name-des-prozesses\"".to_owned() } else { format!("# id = {}", quoted(&id)) };
    let _ = write!(
        out,
        "# Name in der Prozessbibliothek; ohne Angabe der Name des Ordners.\n{id}\n\
         # Ohne Angabe ergibt sich die Version aus der letzten und der Art der Änderung (unten).\n# version = \"1.0.0\"\n\n\
         # Wie heißt der Prozess? Höchstens 300 Zeichen.\ntitle = {}\n",
        quoted(title.trim()),
    );
    for other in hints.names.iter().skip(1).take(5) {
        let _ = writeln!(out, "# auch gefunden: {}", comment(other));
    }
    out.push_str(
        "# In einem Satz: Was leistet er, für wen? Höchstens 150 Zeichen. Pflicht.\nsummary = \"\"\n\
         # Ausführlich, mehrere Zeilen möglich.\n# description = \"\"\"\n# \"\"\"\n\n\
         # Was ist neu? Art: redaktionell, fachlich, rechtlich oder sicherheit.\n\
         change = { kind = \"fachlich\", text = \"Erste Fassung\" }\n\n",
    );
}

fn subject(out: &mut String, hints: &Hints) {
    out.push_str(
        "# Leistungsschlüssel aus dem LeiKa: 14 Ziffern. Gibt es keinen, die Liste leer lassen und den Grund nennen.\n",
    );
    if hints.keys.is_empty() {
        out.push_str("leistungsschluessel = []\nno_key_reason = \"nicht im LeiKa\"\n");
    } else {
        let keys: Vec<_> = hints.keys.iter().map(|k| quoted(k)).collect();
        let _ = writeln!(out, "leistungsschluessel = [{}]", keys.join(", "));
    }
    out.push_str(
        "# Kennnummer im OZG-Umsetzungskatalog: 5 Ziffern.\n# ozg_id = [\"10000\"]\n\
         # Eines der 14 OZG-Themenfelder, zum Beispiel:\n# themenfeld = \"Steuern & Zoll\"\n\
         # keywords = [\"Hund\", \"Steuer\"]\n\
         # legal_basis = [{ name = \"§ 22 WoGG\", uri = \"https://www.gesetze-im-internet.de/wogg/__22.html\" }]\n\
         # Amtlicher Regionalschlüssel, 2 bis 12 Ziffern; ohne Angabe überall.\n# regions = [\"06\"]\n\
         # entwurf, pilot oder produktiv\n# stage = \"pilot\"\n\n",
    );
}

fn duties(out: &mut String, scanned: &Scanned, hints: &Hints) {
    let given = given_defaults(scanned);
    if let (Some(defaults), false) = (&scanned.defaults, given.is_empty()) {
        let _ = writeln!(out, "# Schon gesetzt in {}: {}.", comment(&defaults.name), given.join(", "));
    } else {
        let _ = writeln!(
            out,
            "# Die folgenden Angaben können für alle Prozesse in {DEFAULTS_FILE} im Ordner darüber stehen."
        );
    }
    let mut key = |name: &str, comment: &str, value: &str| {
        let hidden = if given.contains(&name) { "# " } else { "" };
        let _ = write!(out, "# {comment}\n{hidden}{name} = {value}\n");
    };
    key("level", "Wer führt die Leistung aus: bund, land, kommunal.", "[\"kommunal\"]");
    key("contact", "Funktionspostfach, keine personenbezogene Adresse. Pflicht.", "\"\"");
    key(
        "maintenance",
        "Wer pflegt: internal (wir), contract (Dienstleister), community (mehrere), none (niemand).",
        "\"internal\"",
    );
    out.push_str("# Verantwortliche Stelle.\n# responsible = \"Ministerium …\"\n");
    out.push_str("# Lizenz nach SPDX; ohne Angabe die des Verbunds.\n# license = \"EUPL-1.2\"\n");
    match &hints.terms {
        Some(terms) => {
            let _ = writeln!(out, "# Nutzungsbedingungen: Datei in diesem Ordner.\nterms = {}", quoted(terms));
        }
        None => out.push_str(
            "# Nutzungsbedingungen: Datei in diesem Ordner; ohne Angabe die des Verbunds.\n# terms = \"NUTZUNG.md\"\n",
        ),
    }
    out.push_str(
        "# Wer die Dateien erhält: federation (alle Partner), public (alle) oder { members = [\"de-th\"] }. Den Titel sehen alle Partner.\n\
         # audience = \"federation\"\n# Kosten der Nachnutzung: none, shared oder fee.\n# cost = \"none\"\n\n",
    );
}

fn technology(out: &mut String, scanned: &Scanned) {
    out.push_str(
        "# Benötigte Basisdienste: nutzerkonto, payment, postfach, routing, e-rechnung, …\n# base_services = [\"nutzerkonto\"]\n\
         # Benötigte andere Prozesse.\n# depends = [{ process = \"de-he/zahlung\", version = \"^1.2\" }]\n\
         # Was vor dem Einsatz einzustellen ist; niemals Werte.\n\
         # parameters = [{ name = \"Steuersatz\", type = \"number\", required = true, text = \"Euro je Hund und Jahr\" }]\n\n",
    );
    let hidden = if given_defaults(scanned).contains(&"platform") { "# " } else { "" };
    let _ = write!(out, "# Worauf der Prozess läuft.\n{hidden}platform = {{ name = \"civento\" }}\n");
}

/// The keys that the folder's `publish-defaults.toml` already sets.
fn given_defaults(scanned: &Scanned) -> Vec<&'static str> {
    let Some(defaults) = &scanned.defaults else { return Vec::new() };
    let Ok(table) = defaults.text.parse::<toml::Table>() else { return Vec::new() };
    DEFAULT_KEYS.iter().copied().filter(|k| table.contains_key(*k)).collect()
}
