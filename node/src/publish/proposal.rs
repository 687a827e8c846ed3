//! A proposal for `process.toml`, made from what lies in the folder.
//!
//! Owns the text of the proposal: German, commented, complete but for what only people know. Never writes a file.

use std::fmt::Write as _;

use verbund_library::formats::{self, Format, Parameter, Recognised};
use verbund_protocol::limits::TITLE_MAX_CHARS;
use verbund_protocol::release::derive::DEFAULT_KEYS;
use verbund_protocol::release::lint::is_text;
use verbund_protocol::release::text::slugify;

use super::{DEFAULTS_FILE, Scanned};

/// Keywords that are proposed; a release may have 50.
const KEYWORDS_MAX: usize = 20;
/// Parameters that are proposed: a platform's export may have hundreds.
const PARAMETERS_MAX: usize = 50;
/// Files that are searched.
const SEARCH_FILES_MAX: usize = 50;

/// What the files of a folder say about it.
#[derive(Default)]
pub(super) struct Hints {
    pub(super) names: Vec<String>,
    pub(super) keys: Vec<String>,
    pub(super) keywords: Vec<String>,
    pub(super) platform: Option<(&'static str, Option<String>)>,
    pub(super) base_services: Vec<String>,
    pub(super) parameters: Vec<Parameter>,
    /// What each file is, for the reader of the proposal.
    files: Vec<(String, String)>,
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
    technology(&mut out, scanned, &hints);
    out
}

pub(super) fn gather(scanned: &Scanned) -> Hints {
    let mut hints = Hints::default();
    for file in scanned.files.iter().filter(|f| readable(f.media_type)).take(SEARCH_FILES_MAX) {
        let mut bytes = Vec::new();
        // A file that cannot be read now is refused when publishing; a proposal does without it.
        if file.source.read_up_to(formats::READ_MAX_BYTES as u64, |w| bytes.extend_from_slice(w)).is_err() {
            continue;
        }
        let found = formats::recognise(file.path.name(), &bytes);
        hints.files.push((
            file.path.to_string(),
            format!("{} {}", found.format.name(), found.version.as_deref().unwrap_or_default()),
        ));
        hints.take(found);
        let name = slugify(file.path.name());
        if hints.terms.is_none() && ["nutzungsbedingungen", "nutzung", "terms"].iter().any(|t| name.starts_with(t)) {
            hints.terms = Some(file.path.to_string());
        }
    }
    hints
}

fn readable(media_type: &str) -> bool {
    is_text(media_type) || media_type == "application/pdf"
}

impl Hints {
    /// Takes what one file says. A title comes from models and exports only: a code list or a text file is no process.
    fn take(&mut self, found: Recognised) {
        let model = matches!(found.format, Format::Bpmn | Format::Dmn | Format::Xprozess | Format::Civento);
        if model {
            self.names.extend(found.names);
            self.keywords.extend(found.keywords);
        }
        for key in found.keys {
            if !self.keys.contains(&key) && self.keys.len() < formats::KEYS_MAX {
                self.keys.push(key);
            }
        }
        if let (Some(platform), None) = (found.platform, &self.platform) {
            self.platform = Some((platform, found.platform_key));
        }
        for service in found.base_services {
            if !self.base_services.contains(&service) {
                self.base_services.push(service);
            }
        }
        for parameter in found.parameters {
            if self.parameters.len() < PARAMETERS_MAX && !self.parameters.iter().any(|p| p.name == parameter.name) {
                self.parameters.push(parameter);
            }
        }
    }

    /// `platform`, as a line of TOML; `None` if no file names one.
    pub(super) fn platform_line(&self) -> Option<String> {
        let (name, key) = self.platform.as_ref()?;
        let key = key.as_ref().map(|key| format!(", key = {}", quoted(&short(key)))).unwrap_or_default();
        Some(format!("platform = {{ name = {}{key} }}\n", quoted(name)))
    }

    /// `base_services` and `parameters`, as lines of TOML, where files name any.
    pub(super) fn needs_lines(&self) -> String {
        let mut out = String::new();
        if !self.base_services.is_empty() {
            let services: Vec<_> = self.base_services.iter().map(|service| quoted(service)).collect();
            let _ = writeln!(out, "base_services = [{}]", services.join(", "));
        }
        if !self.parameters.is_empty() {
            let lines = self.parameters.iter().map(|parameter| {
                let Parameter { name, kind, required, text } = parameter;
                let text = text.as_ref().map(|text| format!(", text = {}", quoted(&short(text)))).unwrap_or_default();
                format!(
                    "    {{ name = {}, type = {}, required = {required}{text} }},\n",
                    quoted(&short(name)),
                    quoted(kind)
                )
            });
            let _ = write!(out, "parameters = [\n{}]\n", lines.collect::<String>());
        }
        out
    }
}

/// A text of a file on one line, without controls, as long as a value may be.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect::<String>().trim().to_owned()
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
         # legal_basis = [{ name = \"§ 22 WoGG\", uri = \"https://www.gesetze-im-internet.de/wogg/__22.html\" }]\n\
         # Amtlicher Regionalschlüssel, 2 bis 12 Ziffern; ohne Angabe überall.\n# regions = [\"06\"]\n\
         # entwurf, pilot oder produktiv\n# stage = \"pilot\"\n",
    );
    let keywords: Vec<_> = hints.keywords.iter().take(KEYWORDS_MAX).map(|word| quoted(&short(word))).collect();
    let example = ["\"Hund\"".to_owned(), "\"Steuer\"".to_owned()];
    let (hidden, keywords) = if keywords.is_empty() { ("# ", example.join(", ")) } else { ("", keywords.join(", ")) };
    let _ = write!(out, "# Wonach man sucht.\n{hidden}keywords = [{keywords}]\n\n");
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

fn technology(out: &mut String, scanned: &Scanned, hints: &Hints) {
    out.push_str("# Benötigte Basisdienste: nutzerkonto, payment, postfach, routing, e-rechnung, …\n");
    if hints.base_services.is_empty() {
        out.push_str("# base_services = [\"nutzerkonto\"]\n");
    }
    out.push_str("# Benötigte andere Prozesse.\n# depends = [{ process = \"de-he/zahlung\", version = \"^1.2\" }]\n");
    out.push_str("# Was vor dem Einsatz einzustellen ist; niemals Werte.\n");
    if hints.parameters.is_empty() {
        out.push_str(
            "# parameters = [{ name = \"Steuersatz\", type = \"number\", required = true, text = \"Euro je Hund und Jahr\" }]\n",
        );
    }
    out.push_str(&hints.needs_lines());
    let given = given_defaults(scanned).contains(&"platform");
    let platform = hints.platform_line();
    // What the export says of itself is right even where the team has a default.
    let hidden = if given && platform.is_none() { "# " } else { "" };
    let platform = platform.unwrap_or_else(|| "platform = { name = \"civento\" }\n".to_owned());
    let _ = write!(out, "\n# Worauf der Prozess läuft.\n{hidden}{platform}");
    if !hints.files.is_empty() {
        out.push_str("\n# Erkannte Dateien:\n");
    }
    for (path, what) in &hints.files {
        let _ = writeln!(out, "# {}: {}", comment(path), comment(what.trim()));
    }
}

/// The keys that the folder's `publish-defaults.toml` already sets.
fn given_defaults(scanned: &Scanned) -> Vec<&'static str> {
    let Some(defaults) = &scanned.defaults else { return Vec::new() };
    let Ok(table) = defaults.text.parse::<toml::Table>() else { return Vec::new() };
    DEFAULT_KEYS.iter().copied().filter(|k| table.contains_key(*k)).collect()
}
