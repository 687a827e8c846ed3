//! The formats of FIM: XProzess, XDatenfelder, XZuFi, and the code lists beside them.

use super::markup::{Event, Open, walk};
use super::{Format, Recognised, archive, push};

/// Texts of an XProzess message that people look for.
const XPROZESS_TEXTS: [&str; 8] = [
    "bezeichnung",
    "definition",
    "beschreibung",
    "textuelleBeschreibung",
    "anmerkung",
    "rolle",
    "freitext",
    "besonderheit",
];
/// Texts of an XDatenfelder message that people look for.
const XDATENFELDER_TEXTS: [&str; 8] = [
    "name",
    "bezeichnungEingabe",
    "bezeichnungAusgabe",
    "beschreibung",
    "definition",
    "hilfetextEingabe",
    "hilfetext",
    "stichwort",
];

fn within(path: &[Open<'_>], name: &str) -> bool {
    path.len() > 1 && path[path.len() - 2].name == name
}

/// The version at the end of a namespace: `…/xprozess/2`, `…xdatenfelder_3.0.0`.
fn version(namespace: &str) -> Option<String> {
    let last = namespace.rsplit(['/', '_', ':']).next()?;
    last.starts_with(|c: char| c.is_ascii_digit()).then(|| super::text::line(last))
}

/// A catalogue of processes or a process. The models that it carries as base64 are read too; an archive is opened once, not deeper.
pub fn xprozess(text: &str, namespace: &str) -> Recognised {
    let mut found = Recognised::new(Format::Xprozess);
    found.version = version(namespace);
    let mut files = Vec::new();
    let whole = walk(text, |event| {
        let Event::End { path: path @ [.., open], text } = event else { return };
        match open.name {
            "name" if within(path, "prozessklasse") || within(path, "prozess") => found.name(text),
            "id" if within(path, "prozessklasse") => {
                let key = text.trim();
                if key.len() == 14 && key.bytes().all(|b| b.is_ascii_digit()) && !found.keys.iter().any(|k| k == key) {
                    found.keys.push(key.to_owned());
                }
            }
            "schlagwort" => text.split('|').for_each(|word| push(&mut found.keywords, word)),
            "inhalt" if files.len() < 8 => files.push(text.to_owned()),
            "name" => found.say(text),
            name if XPROZESS_TEXTS.contains(&name) => found.say(text),
            _ => {}
        }
    });
    found.keys.truncate(super::KEYS_MAX);
    if !whole {
        found.note("elements that lie too deep were passed over");
    }
    let mut left = super::INFLATED_MAX_BYTES;
    for file in files {
        let unpacked = archive::base64(&file, &mut left).and_then(|bytes| archive::entries(&bytes, &mut left));
        match unpacked {
            Ok(parts) => {
                parts.iter().filter(|part| part.1.contains(&b'<')).for_each(|(_, part)| inner(&mut found, part))
            }
            Err(note) => found.note(note),
        }
    }
    found
}

/// A model within: its names and text belong to what carries it.
fn inner(found: &mut Recognised, bytes: &[u8]) {
    let Some(text) = super::text::decode(bytes) else { return };
    let start = text.trim_start();
    let is_bpmn = super::markup::root_element(start)
        .is_some_and(|(root, namespace)| root == "definitions" && namespace.is_some_and(|n| n.contains("/BPMN/")));
    if is_bpmn {
        let model = super::model::bpmn(start, None);
        model.names.iter().for_each(|name| found.name(name));
        found.say(&model.text);
    }
}

/// A data schema, a group of fields or a field.
pub fn xdatenfelder(text: &str, namespace: &str) -> Recognised {
    let mut found = Recognised::new(Format::Xdatenfelder);
    found.version = version(namespace);
    let whole = walk(text, |event| {
        let Event::End { path: path @ [.., open], text } = event else { return };
        // The first levels name the schema or the group as a whole.
        if open.name == "name" && path.len() == 3 {
            found.name(text);
        }
        if XDATENFELDER_TEXTS.contains(&open.name) {
            found.say(text);
        }
    });
    if !whole {
        found.note("elements that lie too deep were passed over");
    }
    found
}

/// Services: names, keys and texts.
pub fn xzufi(text: &str, namespace: &str) -> Recognised {
    let mut found = Recognised::new(Format::Xzufi);
    found.version = version(namespace);
    let whole = walk(text, |event| {
        let Event::End { path, text } = event else { return };
        let under = |names: &[&str]| path.iter().rev().take(3).any(|open| names.contains(&open.name));
        if under(&["leistungsbezeichnung", "leistungsbezeichnungII", "bezeichnung"]) {
            found.name(text);
        }
        if under(&["schlagwort", "begriffImKontext"]) {
            push(&mut found.keywords, text);
        }
        found.say(text);
    });
    if !whole {
        found.note("elements that lie too deep were passed over");
    }
    found
}

/// A code list: its name and values.
pub fn genericode(text: &str) -> Recognised {
    let mut found = Recognised::new(Format::Genericode);
    walk(text, |event| {
        let Event::End { path: path @ [.., open], text } = event else { return };
        match open.name {
            "ShortName" | "LongName" if within(path, "Identification") => found.name(text),
            "SimpleValue" => found.say(text),
            _ => {}
        }
    });
    found
}
