//! Finding mistakes, with their place.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use toml::de::{DeTable, DeValue};
use verbund_protocol::words::shown;

use super::{Config, Federation, Size, Webhook};

/// A mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, environment variable or flag.
    pub source: String,
    /// Line and column, from 1, if it stands in a file.
    pub place: Option<(usize, usize)>,
    /// The key, if known.
    pub key: String,
    /// What is wrong, what is expected, what was probably meant.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.source))?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", shown(&self.key))?;
        }
        f.write_str(&shown(&self.text))
    }
}

/// The keys and what kind of value each takes, as JSON: objects are tables, everything else is the default.
pub(super) fn schema() -> Value {
    let mut schema = serde_json::to_value(Config::default()).unwrap_or_default();
    schema["federation"] = serde_json::json!({ "*": serde_json::to_value(Federation::default()).unwrap_or_default() });
    schema["webhook"] = serde_json::json!({ "*": serde_json::to_value(Webhook::default()).unwrap_or_default() });
    // Optional lists would look like optional texts.
    schema["federation"]["*"]["listen"] = serde_json::json!([]);
    schema["federation"]["*"]["announce"] = serde_json::json!([]);
    schema
}

/// The schema below `key`.
pub(super) fn below<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let table = schema.as_object()?;
    table.get(key).or_else(|| table.get("*"))
}

/// The schema at a dotted key.
pub(super) fn at<'a>(schema: &'a Value, dotted: &str) -> Option<&'a Value> {
    dotted.split('.').try_fold(schema, |schema, key| below(schema, key))
}

/// Every value of a JSON tree by its dotted key.
pub(super) fn leaves(value: &Value) -> Vec<(String, Value)> {
    fn walk(prefix: &str, value: &Value, out: &mut Vec<(String, Value)>) {
        match value.as_object() {
            Some(table) => {
                for (key, value) in table {
                    let dotted = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&dotted, value, out);
                }
            }
            None => out.push((prefix.to_owned(), value.clone())),
        }
    }
    let mut out = Vec::new();
    walk("", value, &mut out);
    out
}

/// A file's keys with their places, and its mistakes.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) keys: Vec<(String, Range<usize>)>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Reads `text` of the file `name`: syntax, unknown keys (each with a suggestion), and the first value that cannot be read.
pub(super) fn read(name: &str, text: &str) -> Reading {
    let mut reading = Reading::default();
    let mistake = |span: Option<Range<usize>>, key: &str, words: String| Mistake {
        source: name.to_owned(),
        place: span.map(|span| place(text, span.start)),
        key: key.to_owned(),
        text: words,
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            reading.mistakes.push(mistake(error.span(), "", error.message().to_owned()));
            return reading;
        }
    };
    let schema = schema();
    let mut unknown = Vec::new();
    walk(table.get_ref(), &schema, "", &mut reading.keys, &mut unknown);
    for (dotted, span, known) in unknown {
        let words = match suggest(dotted.rsplit('.').next().unwrap_or(&dotted), &known) {
            Some(meant) => format!("unknown key; did you mean {meant:?}?"),
            None => format!("unknown key; here are known: {}", known.join(", ")),
        };
        reading.mistakes.push(mistake(Some(span), &dotted, words));
    }
    if reading.mistakes.is_empty()
        && let Err(error) = toml::from_str::<Config>(text)
    {
        let span = error.span();
        let inside = span.clone().unwrap_or_default();
        // The nearest key before the value.
        let key = reading.keys.iter().filter(|(_, at)| at.start <= inside.start).max_by_key(|(_, at)| at.start);
        let key = key.map_or("", |(key, _)| key.as_str());
        reading.mistakes.push(mistake(span, key, error.message().to_owned()));
    }
    reading
}

type Unknown = (String, Range<usize>, Vec<String>);

fn walk(
    table: &DeTable<'_>,
    schema: &Value,
    prefix: &str,
    keys: &mut Vec<(String, Range<usize>)>,
    unknown: &mut Vec<Unknown>,
) {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let dotted = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        match (below(schema, name), value.get_ref()) {
            (Some(inner), DeValue::Table(table)) if inner.is_object() => walk(table, inner, &dotted, keys, unknown),
            (Some(_), _) => keys.push((dotted, key.span())),
            (None, _) => {
                let known = schema.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
                unknown.push((dotted, key.span(), known));
            }
        }
    }
}

/// Line and column, from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// Checks a file by itself, without environment and flags. Empty: nothing is wrong.
///
/// # Errors
/// What the system says if the file cannot be read.
pub fn check_file(path: &Path) -> std::io::Result<Vec<Mistake>> {
    Ok(check_text(&path.display().to_string(), &std::fs::read_to_string(path)?))
}

/// Checks the text of a file called `name`, as [`check_file`] does.
pub fn check_text(name: &str, text: &str) -> Vec<Mistake> {
    let mut reading = read(name, text);
    if reading.mistakes.is_empty() {
        // It was read once already: it cannot fail now.
        let config: Config = toml::from_str(text).unwrap_or_default();
        reading.mistakes = contradictions(&config)
            .into_iter()
            .map(|(key, words)| located(name, text, &reading.keys, key, words))
            .collect();
    }
    reading.mistakes
}

/// A mistake about `key`, with its place if it stands in the file.
pub(super) fn located(name: &str, text: &str, keys: &[(String, Range<usize>)], key: String, words: String) -> Mistake {
    let found = keys.iter().find(|(known, _)| *known == key);
    Mistake { source: name.to_owned(), place: found.map(|(_, span)| place(text, span.start)), key, text: words }
}

/// What no single value shows: values out of bounds or at odds with each other, by key.
pub(super) fn contradictions(config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut say = |bad: bool, key: &str, text: &str| {
        if bad {
            found.push((key.to_owned(), text.to_owned()));
        }
    };
    let https = &config.https;
    say(
        https.certificate.is_some() && https.key.is_none(),
        "https.certificate",
        "needs https.key with its private key",
    );
    say(https.key.is_some() && https.certificate.is_none(), "https.key", "needs https.certificate");
    say(config.listen.is_empty(), "listen", "at least one address is needed: members dial in as well as out");
    let none = "port 0 cannot be announced: name the port that others can reach";
    let unspecified = "0.0.0.0 and [::] cannot be announced: name an address that others can reach";
    let announced = std::iter::once(("announce".to_owned(), &config.announce)).chain(
        config
            .federation
            .iter()
            .filter_map(|(slug, f)| Some((format!("federation.{slug}.announce"), f.announce.as_ref()?))),
    );
    for (key, endpoints) in announced {
        say(endpoints.iter().any(|e| e.port() == 0), &key, none);
        say(endpoints.iter().any(|e| e.ip().is_some_and(|ip| ip.is_unspecified())), &key, unspecified);
    }
    for (name, hook) in &config.webhook {
        let web = hook.url.starts_with("https://") || (hook.allow_private && hook.url.starts_with("http://"));
        say(
            !web,
            &format!("webhook.{name}.url"),
            "an address that starts with https:// (or http:// with allow_private)",
        );
        let missing = hook.secret.as_os_str().is_empty();
        say(missing, &format!("webhook.{name}.secret"), "names a file with at least 24 characters");
        say(hook.retry.ms() < 100, &format!("webhook.{name}.retry"), "at least 100ms");
    }
    say(config.webhook.len() > 32, "webhook", "at most 32");
    say(
        config.limits.connections < 8,
        "limits.connections",
        "at least 8: members and strangers need places of their own",
    );
    say(config.limits.fetches == 0, "limits.fetches", "at least 1");
    say(
        config.limits.https_connections == 0,
        "limits.https_connections",
        "at least 1; to switch HTTPS off, empty https.listen",
    );
    let segment = config.store.segment_size;
    say(!(Size(1 << 20)..=Size(1 << 30)).contains(&segment), "store.segment_size", "from 1MiB to 1GiB");
    say(config.store.cache < Size(1 << 20), "store.cache", "at least 1MiB");
    say(config.sync.poll_interval.ms() < 100, "sync.poll_interval", "at least 100ms");
    say(config.sync.freshness.ms() < 1000, "sync.freshness", "at least 1s");
    say(config.start.wait.ms() < 100, "start.wait", "at least 100ms");
    let blank = |name: &String| name.trim().is_empty() || name.chars().any(char::is_control);
    say(config.name.as_ref().is_some_and(blank), "name", "one line of text that is not empty");
    found
}

/// The known word that `word` was probably meant to be.
pub(crate) fn suggest<'a>(word: &str, known: &'a [String]) -> Option<&'a str> {
    let nearest = known.iter().map(|k| (distance(word, k), k)).min()?;
    (nearest.0 <= (word.chars().count() / 3).max(1)).then_some(nearest.1.as_str())
}

/// Edit distance with insertion, deletion, substitution and exchange of neighbours: what typing gets wrong.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut best = at(&row, j) + usize::from(x != *y);
            best = best.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            if j > 0 && last == Some(*y) && b.get(j - 1) == Some(&x) {
                best = best.min(at(&above, j - 1) + 1);
            }
            next.push(best);
        }
        above = std::mem::replace(&mut row, next);
        last = Some(x);
    }
    row.last().copied().unwrap_or_default()
}
