//! Names in model files, for a proposal.
//!
//! Owns a tolerant search in markup: it finds tags and attributes in text that need not be well-formed. What it finds is proposed
//! to a person, never decided on. Linear in its input, which the caller bounds.

/// A start tag: local name, and the text between the name and `>`.
struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
}

/// The start tags of `text`, in order. Comments, declarations and end tags are passed over.
fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('<')?;
            if let Some(comment) = after.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
                continue;
            }
            let (inside, beyond) = after.split_once('>')?;
            rest = beyond;
            if inside.starts_with(['!', '?', '/']) {
                continue;
            }
            let end = inside.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(inside.len());
            let (qualified, attributes) = inside.split_at(end);
            let name = qualified.rsplit(':').next().unwrap_or(qualified);
            return Some(Tag { name, attributes });
        }
    })
}

/// The value of an attribute, unescaped.
fn attribute(attributes: &str, name: &str) -> Option<String> {
    let mut from = 0;
    while let Some(at) = attributes[from..].find(name).map(|at| at + from) {
        from = at + name.len();
        let free = attributes[..at].ends_with(char::is_whitespace);
        let Some(value) = attributes[from..].trim_start().strip_prefix('=').map(str::trim_start) else { continue };
        let Some(quote) = value.chars().next().filter(|c| free && matches!(c, '"' | '\'')) else { continue };
        let (value, _) = value[1..].split_once(quote)?;
        return Some(unescape(value));
    }
    None
}

/// The five entities of XML and numeric ones; anything else stays as it is.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let known = after.get(..after.len().min(10)).and_then(|a| a.split_once(';')).and_then(|(entity, _)| {
            let c = match entity {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => {
                    let number = entity.strip_prefix('#')?;
                    let code = match number.strip_prefix('x') {
                        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                        None => number.parse().ok()?,
                    };
                    char::from_u32(code)?
                }
            };
            Some((c, entity.len() + 1))
        });
        match known {
            Some((c, used)) => {
                out.push(c);
                rest = &after[used..];
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Local name of the root element and the namespace that it is in, if it declares it. The tag itself may be cut off.
pub(super) fn root_element(text: &str) -> Option<(&str, Option<String>)> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once('<')?;
        rest = match after.strip_prefix("!--") {
            Some(comment) => comment.split_once("-->")?.1,
            None if after.starts_with(['!', '?', '/']) => after.split_once('>')?.1,
            None => {
                let inside = after.split_once('>').map_or(after, |(inside, _)| inside);
                let end = inside.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(inside.len());
                let (qualified, attributes) = inside.split_at(end);
                let (declaration, name) = match qualified.split_once(':') {
                    Some((prefix, name)) => (format!("xmlns:{prefix}"), name),
                    None => ("xmlns".to_owned(), qualified),
                };
                return Some((name, attribute(attributes, &declaration)));
            }
        };
    }
}

/// Names that a model gives to itself, best first: BPMN processes, then its pools, then the model (DMN: definitions).
pub(super) fn model_names(text: &str) -> Vec<String> {
    let mut names: Vec<(usize, String)> = Vec::new();
    for tag in tags(text).take(5_000) {
        let rank = match tag.name {
            "process" => 0,
            "participant" => 1,
            "definitions" => 2,
            _ => continue,
        };
        let name = attribute(tag.attributes, "name").unwrap_or_default();
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if !name.is_empty() && !names.iter().any(|(_, n)| *n == name) && names.len() < 20 {
            names.push((rank, name));
        }
    }
    names.sort_by_key(|(rank, _)| *rank);
    names.into_iter().map(|(_, name)| name).collect()
}

/// Federal Leistungsschlüssel (14 digits, starting 99) that stand alone in `text`; at most 5.
pub(super) fn service_keys(text: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for run in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        if run.len() == 14
            && run.starts_with("99")
            && run.bytes().all(|b| b.is_ascii_digit())
            && !keys.iter().any(|k| k == run)
        {
            keys.push(run.to_owned());
        }
        if keys.len() == 5 {
            break;
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_text_that_is_not_well_formed() {
        let text = r#"<?xml version="1.0"?><!-- <process name="no"/> --><bpmn:definitions xmlns:bpmn="x" name="M">
            <bpmn:participant id="p" name = 'Bürgeramt &amp; Kasse'/><bpmn:process id="q" displayname="no" name="Hund&#10;anmelden &lt;neu&gt;">
            <unclosed <bpmn:process name="Zwei">"#;
        assert_eq!(model_names(text)[0], "Hund anmelden <neu>");
        assert!(model_names(text).contains(&"Bürgeramt & Kasse".to_owned()));
        assert_eq!(root_element(text), Some(("definitions", Some("x".to_owned()))));
        assert_eq!(root_element("<a xmlns:b='1' xmlns='2' c"), Some(("a", Some("2".to_owned()))));
        assert!(model_names("<process name=\"x").is_empty());
        assert!(model_names("&&&<<<>>>").is_empty());
    }

    #[test]
    fn keys_stand_alone() {
        assert_eq!(
            service_keys("id=99102013060000; 199102013060000 99102013060000 991020130600001"),
            ["99102013060000"]
        );
    }
}
