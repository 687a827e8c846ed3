//! What a file is and what it says, told by its content.
//!
//! Owns recognition and reading of the formats that processes are made of. It labels and proposes; it never changes, refuses or trusts
//! a byte. Files are foreign: every reader is tolerant (what is broken is read as far as it goes), bounded in size, depth, number and
//! decompression, and expands no entities but the five of XML and numbers. It never panics.

mod archive;
mod civento;
mod fim;
mod form;
mod markup;
mod model;
mod pdf;
mod text;

use serde::Serialize;

pub use markup::root_element;

/// Bytes of a file that are read; what lies beyond is left unread and said.
pub const READ_MAX_BYTES: usize = 8 << 20;
/// Bytes of plain text that are kept of a file.
pub const TEXT_MAX_BYTES: usize = 256 << 10;
/// Elements that may be open at once; what lies deeper is passed over. Real models have 30.
pub const DEPTH_MAX: usize = 200;
/// Tags that are read of a file. The largest real model has 60,000.
pub const TAGS_MAX: usize = 400_000;
/// Bytes that all parts of an archive may have together when decompressed.
pub const INFLATED_MAX_BYTES: usize = 16 << 20;
/// Entries of an archive that are looked at.
pub const ENTRIES_MAX: usize = 200;
/// Names, keywords and parameters that are kept, each.
pub const LIST_MAX: usize = 200;
/// Keys that are kept of a file: a catalogue that lists hundreds describes none of them.
pub const KEYS_MAX: usize = 5;
/// Characters of a name.
pub const NAME_MAX_CHARS: usize = 300;

/// A format that is told by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// BPMN 2.0.
    Bpmn,
    /// DMN.
    Dmn,
    /// FIM: process catalogue or process.
    Xprozess,
    /// FIM: data fields.
    Xdatenfelder,
    /// FIM: services.
    Xzufi,
    /// Code list.
    Genericode,
    /// Library export of civento.
    Civento,
    /// PDF.
    Pdf,
    /// JSON that describes a form or a schema.
    JsonForm,
    /// JSON.
    Json,
    /// HTML with a form.
    HtmlForm,
    /// HTML.
    Html,
    /// XML of another kind.
    Xml,
    /// Plain text.
    Text,
    /// Anything else.
    Other,
}

impl Format {
    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bpmn => "BPMN",
            Self::Dmn => "DMN",
            Self::Xprozess => "XProzess",
            Self::Xdatenfelder => "XDatenfelder",
            Self::Xzufi => "XZuFi",
            Self::Genericode => "Codeliste (genericode)",
            Self::Civento => "civento-Export",
            Self::Pdf => "PDF",
            Self::JsonForm => "Formular (JSON)",
            Self::Json => "JSON",
            Self::HtmlForm => "Formular (HTML)",
            Self::Html => "HTML",
            Self::Xml => "XML",
            Self::Text => "Text",
            Self::Other => "Datei",
        }
    }
}

/// Something that is to be set before a process runs; never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Name, as the file has it.
    pub name: String,
    /// What it takes, in the words of `process.toml`: text, number, boolean, date, list, uri, secret.
    pub kind: &'static str,
    /// Whether it must be set.
    pub required: bool,
    /// What it is for.
    pub text: Option<String>,
}

/// What a file is and says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recognised {
    /// What it is.
    pub format: Format,
    /// Version of the format, as far as it is told.
    pub version: Option<String>,
    /// What it is called.
    pub title: Option<String>,
    /// All names in it that people would look for, best first.
    pub names: Vec<String>,
    /// Federal Leistungsschlüssel.
    pub keys: Vec<String>,
    /// The platform's own key.
    pub platform_key: Option<String>,
    /// Product that it is for.
    pub platform: Option<&'static str>,
    /// Base services that it uses, in the words of `process.toml`.
    pub base_services: Vec<String>,
    /// Keywords that it names.
    pub keywords: Vec<String>,
    /// What is to be set.
    pub parameters: Vec<Parameter>,
    /// Its text for people, for searching; at most [`TEXT_MAX_BYTES`].
    #[serde(skip)]
    pub text: String,
    /// What was left unread, and why.
    pub notes: Vec<&'static str>,
}

impl Recognised {
    const fn new(format: Format) -> Self {
        Self {
            format,
            version: None,
            title: None,
            names: Vec::new(),
            keys: Vec::new(),
            platform_key: None,
            platform: None,
            base_services: Vec::new(),
            keywords: Vec::new(),
            parameters: Vec::new(),
            text: String::new(),
            notes: Vec::new(),
        }
    }

    fn name(&mut self, name: &str) {
        push(&mut self.names, name);
    }

    fn say(&mut self, text: &str) {
        text::append(&mut self.text, text);
    }

    fn note(&mut self, note: &'static str) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Adds a name once, on one line, cut to length.
fn push(list: &mut Vec<String>, name: &str) {
    let name = text::line(name);
    if !name.is_empty() && list.len() < LIST_MAX && !list.contains(&name) {
        list.push(name);
    }
}

/// Says what `bytes` are and say. Any bytes will do; the name helps where content does not tell.
pub fn recognise(name: &str, bytes: &[u8]) -> Recognised {
    let read = &bytes[..bytes.len().min(READ_MAX_BYTES)];
    let mut found = read_as(name, read);
    if read.len() < bytes.len() {
        found.note("only the beginning was read");
    }
    found.names.truncate(LIST_MAX);
    if found.title.is_none() {
        found.title = found.names.first().cloned();
    }
    found
}

fn read_as(name: &str, bytes: &[u8]) -> Recognised {
    if bytes.starts_with(b"%PDF-") {
        return pdf::read(bytes);
    }
    let Some(text) = text::decode(bytes) else { return Recognised::new(Format::Other) };
    let start = text.trim_start();
    let mut found = if start.starts_with('<') {
        by_root(start)
    } else if start.starts_with(['{', '[']) && !name.ends_with(".rtf") {
        form::json(start)
    } else {
        let mut found = Recognised::new(Format::Text);
        found.say(start);
        found
    };
    for key in service_keys(&text) {
        if found.keys.len() < KEYS_MAX && !found.keys.contains(&key) {
            found.keys.push(key);
        }
    }
    found
}

fn by_root(text: &str) -> Recognised {
    let head = text.get(..200).unwrap_or(text).to_ascii_lowercase();
    let (root, namespace) = root_element(text).unwrap_or_default();
    let namespace = namespace.unwrap_or_default();
    let omg = |standard: &str| {
        let rest = namespace.strip_prefix("http://").or_else(|| namespace.strip_prefix("https://"));
        rest.and_then(|rest| rest.strip_prefix("www.omg.org/spec/")?.strip_prefix(standard)?.strip_prefix('/'))
    };
    if head.starts_with("<!doctype html") || root.eq_ignore_ascii_case("html") {
        return form::html(text);
    }
    match root {
        "definitions" if omg("BPMN").is_some() => model::bpmn(text, version_of(omg("BPMN"))),
        "definitions" if omg("DMN").is_some() => model::dmn(text, version_of(omg("DMN"))),
        _ if root.ends_with("Bibliothek") && civento::is(text) => civento::read(text),
        _ if namespace.contains("xprozess") => fim::xprozess(text, &namespace),
        _ if namespace.contains("xdatenfelder") => fim::xdatenfelder(text, &namespace),
        _ if namespace.contains("xzufi") => fim::xzufi(text, &namespace),
        "CodeList" if namespace.contains("genericode") => fim::genericode(text),
        "form" | "body" | "div" => form::html(text),
        _ => model::xml(text),
    }
}

/// The version in an OMG namespace: `20100524/MODEL` is BPMN 2.0.
fn version_of(rest: Option<&str>) -> Option<String> {
    let date = rest?.split('/').next()?;
    Some(match date {
        "20100524" => "2.0".to_owned(),
        "20151101" => "1.1".to_owned(),
        "20180521" => "1.2".to_owned(),
        "20191111" => "1.3".to_owned(),
        "20211108" => "1.4".to_owned(),
        "20230324" => "1.5".to_owned(),
        other => text::line(other),
    })
}

/// Federal Leistungsschlüssel (14 digits, starting 99) that stand alone.
fn service_keys(text: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for run in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let key = run.len() == 14 && run.starts_with("99") && run.bytes().all(|b| b.is_ascii_digit());
        if key && !keys.iter().any(|known| known == run) {
            keys.push(run.to_owned());
            if keys.len() == KEYS_MAX {
                break;
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests;
