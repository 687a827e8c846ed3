//! Forms: JSON (JSON Schema, form builders) and HTML.

use serde_json::Value;

use super::markup::{Event, attribute, walk};
use super::{DEPTH_MAX, Format, Recognised, push};

/// Keys of JSON whose texts people read.
const TEXT_KEYS: [&str; 14] = [
    "title",
    "label",
    "description",
    "placeholder",
    "helpText",
    "help",
    "tooltip",
    "hint",
    "text",
    "legend",
    "name",
    "titel",
    "bezeichnung",
    "beschreibung",
];

/// JSON. It is a form if it is a schema, or has components or fields.
pub fn json(text: &str) -> Recognised {
    // serde_json refuses what is nested deeper than 128.
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        let mut found = Recognised::new(Format::Text);
        found.say(text);
        found.note("looks like JSON and is none, or is nested too deep");
        return found;
    };
    let schema = value.get("$schema").and_then(Value::as_str).filter(|schema| schema.contains("json-schema.org"));
    let form = ["components", "fields", "pages", "elements", "questions", "properties"];
    let form = schema.is_some() || form.iter().any(|key| value.get(key).is_some_and(|v| v.is_array() || v.is_object()));
    let mut found = Recognised::new(if form { Format::JsonForm } else { Format::Json });
    found.version = schema.map(super::text::line);
    for key in ["title", "titel", "name", "label"] {
        if let Some(title) = value.get(key).and_then(Value::as_str) {
            found.name(title);
        }
    }
    texts(&mut found, &value, None, 0);
    found
}

fn texts(found: &mut Recognised, value: &Value, key: Option<&str>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::String(text) if key.is_some_and(|key| TEXT_KEYS.contains(&key)) => found.say(text),
        Value::Array(all) => all.iter().for_each(|value| texts(found, value, key, depth + 1)),
        Value::Object(all) => all.iter().for_each(|(key, value)| texts(found, value, Some(key), depth + 1)),
        _ => {}
    }
}

/// HTML. Scripts and styles are passed over.
pub fn html(text: &str) -> Recognised {
    let mut found = Recognised::new(Format::Html);
    let mut headings = Vec::new();
    let whole = walk(text, |event| match event {
        Event::Start { path: [.., open] } => {
            if open.name.eq_ignore_ascii_case("form") {
                found.format = Format::HtmlForm;
            }
            for key in ["placeholder", "aria-label", "title"] {
                if let Some(text) = attribute(open.attributes, key) {
                    found.say(&text);
                }
            }
        }
        Event::End { path, text } => {
            let is = |names: &[&str]| {
                path.last().is_some_and(|open| names.iter().any(|n| open.name.eq_ignore_ascii_case(n)))
            };
            if is(&["script", "style"]) {
                return;
            }
            if is(&["title"]) {
                found.name(text);
            }
            if is(&["h1", "h2"]) {
                push(&mut headings, text);
            }
            found.say(text);
        }
        _ => {}
    });
    headings.iter().for_each(|heading| found.name(heading));
    if !whole {
        found.note("elements that lie too deep were passed over");
    }
    found
}
