//! Taking single values out of a table by a rule.
//!
//! Owns the step from a node to a checked value or a refusal with its place. Knows no key.

use std::str::FromStr;

use crate::limits::METADATA_TEXT_MAX_CHARS;
use crate::release::problem::Findings;
use crate::release::text::{Refusal, suggest};
use crate::release::toml::{Node, Reader, Value};

/// A name: a body, a service, a product, in characters.
pub(super) const NAME_MAX_CHARS: usize = 300;

/// The optional text at `key`, by a value rule.
pub(super) fn checked(
    r: &mut Reader<'_>,
    key: &'static str,
    rule: impl Fn(&str) -> Result<String, Refusal>,
) -> Option<String> {
    let node = r.node(key)?;
    let key = r.key(key);
    let text = r.text_of(node, &key, METADATA_TEXT_MAX_CHARS)?;
    kept(rule(text), node, &key, r.findings)
}

/// The value of a rule, or its refusal at `node`.
pub(super) fn kept<T>(checked: Result<T, Refusal>, node: &Node, key: &str, findings: &mut Findings) -> Option<T> {
    match checked {
        Ok(value) => Some(value),
        Err((code, rule)) => {
            findings.refuse(node.problem(code, key, rule));
            None
        }
    }
}

/// A rule that allows the `names` only.
pub(super) fn one_of<'a>(names: &'a [&'a str]) -> impl Fn(&str) -> Result<String, Refusal> + 'a {
    move |text| {
        if names.contains(&text) {
            return Ok(text.to_owned());
        }
        let hint = suggest(text, names.iter().copied()).map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
        Err(("unknown_value", format!("must be one of {}{hint}", names.join(", "))))
    }
}

/// The optional name at `key`, of a closed set.
pub(super) fn name<T>(
    r: &mut Reader<'_>,
    key: &'static str,
    known: fn(&str) -> Option<T>,
    names: &'static [&'static str],
) -> Option<T> {
    checked(r, key, one_of(names)).and_then(|n| known(&n))
}

/// The optional value at `key` that has a text form of its own.
pub(super) fn parsed<T>(r: &mut Reader<'_>, key: &'static str, code: &'static str) -> Option<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let node = r.node(key)?;
    let key = r.key(key);
    let text = r.text_of(node, &key, METADATA_TEXT_MAX_CHARS)?;
    kept(text.parse().map_err(|e: T::Err| (code, e.to_string())), node, &key, r.findings)
}

/// A list of texts by a value rule; none twice.
pub(super) fn values(
    r: &mut Reader<'_>,
    key: &'static str,
    max: usize,
    example: &str,
    rule: impl Fn(&str) -> Result<String, Refusal>,
) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (key, node) in r.list(key, max, example) {
        let Some(text) = r.text_of(node, &key, NAME_MAX_CHARS) else { continue };
        let Some(value) = kept(rule(text), node, &key, r.findings) else { continue };
        if out.contains(&value) {
            r.findings.refuse(node.problem("duplicate", &key, "listed twice"));
        } else {
            out.push(value);
        }
    }
    out
}

/// The boolean at `key`; false if missing.
pub(super) fn flag(r: &mut Reader<'_>, key: &'static str) -> Option<bool> {
    let Some(node) = r.node(key) else { return Some(false) };
    if let Value::Boolean(b) = node.value {
        return Some(b);
    }
    let key = r.key(key);
    r.findings.refuse(node.problem("wrong_type", &key, "must be true or false, without quotes"));
    None
}

/// `key = "kind"` or `key = { kind = "kind", text = "…" }`.
pub(super) fn kind_and_text<T>(
    r: &mut Reader<'_>,
    key: &'static str,
    known: fn(&str) -> Option<T>,
    names: &'static [&'static str],
) -> Option<(T, Option<String>)> {
    let node = r.node(key)?;
    if let Value::Text(_) = node.value {
        return name(r, key, known, names).map(|kind| (kind, None));
    }
    let form = format!("{{ kind = {:?}, text = \"…\" }}", names.first().unwrap_or(&""));
    let mut r = Reader::nested(node, key, &form, r.findings)?;
    r.required("kind", &format!("one of {}", names.join(", ")));
    let kind = name(&mut r, "kind", known, names);
    let text = r.text("text", METADATA_TEXT_MAX_CHARS);
    r.finish(&[("art", "kind"), ("type", "kind")]);
    Some((kind?, text))
}
