//! TOML with places: the tree of a `process.toml` in which each key knows its file and line.
//!
//! Owns parsing into that tree and the reading of typed values out of it, with the refusals that name file, line, key and value.
//! Knows nothing of what the keys mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::toml::de::{DeTable, DeValue};

use super::problem::{Findings, Problem};
use super::text::{check_plain, suggest};
use crate::limits::PROCESS_TOML_MAX_BYTES;

/// A table: key to value, each with its place.
pub(crate) type Table = BTreeMap<String, Node>;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The file's name, shared by all nodes of the file.
    pub file: Arc<str>,
    /// Line, from 1; 0 for derived values.
    pub line: u32,
    /// The value.
    pub value: Value,
}

/// A TOML value, as far as metadata knows them.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A string.
    Text(String),
    /// An integer; TOML has 64 bits.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
    /// A float or date, which no key takes: its kind and its text.
    Other(&'static str, String),
}

impl Value {
    /// The kind, for refusals.
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind, _) => kind,
        }
    }

    /// The value as it may be shown; `None` for lists and tables.
    pub fn shown(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Other(_, text) => Some(text.clone()),
            Self::Integer(n) => Some(n.to_string()),
            Self::Boolean(b) => Some(b.to_string()),
            Self::List(_) | Self::Table(_) => None,
        }
    }
}

impl Node {
    /// A problem at this node, showing its value.
    pub fn problem(&self, code: &'static str, key: &str, rule: impl Into<String>) -> Problem {
        let mut problem = Problem::file(code, &*self.file, rule).key(key);
        if self.line > 0 {
            problem = problem.line(self.line);
        }
        match (&self.value, self.value.shown()) {
            (Value::Text(text), _) => problem.value(text),
            // As it was written: without quotes.
            (_, shown) => {
                problem.value = shown;
                problem
            }
        }
    }
}

/// Parses a document.
///
/// # Errors
/// A problem for a text over [`PROCESS_TOML_MAX_BYTES`], and for every syntax error that the parser can still tell apart.
pub(crate) fn parse(file: &str, text: &str) -> Result<Table, Vec<Problem>> {
    if text.len() > PROCESS_TOML_MAX_BYTES {
        let rule = format!("{} bytes are over the limit of {PROCESS_TOML_MAX_BYTES}", text.len());
        return Err(vec![Problem::file("too_long", file, rule)]);
    }
    // A byte order mark is what some Windows editors put first; it means nothing in UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut problems: Vec<Problem> = Vec::new();
        for e in errors.iter().take(50) {
            let mut problem =
                Problem::file("toml", file, format!("not valid TOML: {}", e.message().replace('\n', ", ")));
            problem.line = e.span().map(|span| lines.at(span.start));
            // What follows on the same line is mostly the same mistake again.
            if problems.last().is_none_or(|last| last.line != problem.line) {
                problems.push(problem);
            }
        }
        return Err(problems);
    }
    Ok(convert(table.into_inner(), &file.into(), &lines))
}

fn convert(table: DeTable<'_>, file: &Arc<str>, lines: &Lines) -> Table {
    let entries = table.into_iter().map(|(key, value)| {
        let line = lines.at(key.span().start);
        (
            key.into_inner().into_owned(),
            Node { file: file.clone(), line, value: convert_value(value.into_inner(), file, lines) },
        )
    });
    entries.collect()
}

fn convert_value(value: DeValue<'_>, file: &Arc<str>, lines: &Lines) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Value::Integer(n),
            Err(_) => Value::Other("a number beyond 64 bits", n.as_str().to_owned()),
        },
        DeValue::Float(n) => Value::Other("a decimal number", n.as_str().to_owned()),
        DeValue::Boolean(b) => Value::Boolean(b),
        DeValue::Datetime(date) => Value::Other("a date", date.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| {
                    let line = lines.at(item.span().start);
                    Node { file: file.clone(), line, value: convert_value(item.into_inner(), file, lines) }
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert(table, file, lines)),
    }
}

/// Offsets of line starts, to name lines without counting from the top each time.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }
    fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }
}

/// Reads typed values out of one table, collecting what is wrong, and at the end what is unknown.
pub(crate) struct Reader<'a> {
    table: &'a Table,
    /// Key of the table itself, with a dot at its end; empty at the top.
    prefix: String,
    /// File and line to name for what is missing.
    home: (&'a str, u32),
    asked: BTreeSet<&'static str>,
    /// Where problems go.
    pub findings: &'a mut Findings,
}

impl<'a> Reader<'a> {
    /// A reader of the top table of `file`.
    pub fn top(file: &'a str, table: &'a Table, findings: &'a mut Findings) -> Self {
        Self { table, prefix: String::new(), home: (file, 0), asked: BTreeSet::new(), findings }
    }

    /// A reader of the table in `node`, which stands at `key`. Anything but a table is refused, with `form` as the example.
    pub fn nested<'b>(node: &'b Node, key: &str, form: &str, findings: &'b mut Findings) -> Option<Reader<'b>> {
        match &node.value {
            Value::Table(table) => Some(Reader {
                table,
                prefix: format!("{key}."),
                home: (&node.file, node.line),
                asked: BTreeSet::new(),
                findings,
            }),
            other => {
                let rule = format!("must be a table such as {form}, not {}", other.kind());
                findings.refuse(node.problem("wrong_type", key, rule));
                None
            }
        }
    }

    /// The full key of `key` in this table.
    pub fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The node at `key`, if it is there. Marks the key as known.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.insert(key);
        self.table.get(key)
    }

    /// The node at `key`; refuses if it is missing, saying `rule`.
    pub fn required(&mut self, key: &'static str, rule: &str) -> Option<&'a Node> {
        let node = self.node(key);
        if node.is_none() {
            let mut problem = Problem::file("missing", self.home.0, format!("missing: {rule}")).key(self.key(key));
            if self.home.1 > 0 {
                problem = problem.line(self.home.1);
            }
            self.findings.refuse(problem);
        }
        node
    }

    /// The text in `node`, trimmed, as plain text of one line and at most `max_chars` characters.
    pub fn text_of(&mut self, node: &'a Node, key: &str, max_chars: usize) -> Option<&'a str> {
        let text = as_text(node, key, self.findings)?.trim();
        match check_plain(text, max_chars, false) {
            Ok(()) => Some(text),
            Err((code, rule)) => {
                self.findings.refuse(node.problem(code, key, rule));
                None
            }
        }
    }

    /// The optional one-line text at `key`.
    pub fn text(&mut self, key: &'static str, max_chars: usize) -> Option<String> {
        let node = self.node(key)?;
        let key = self.key(key);
        self.text_of(node, &key, max_chars).map(str::to_owned)
    }

    /// The mandatory one-line text at `key`.
    pub fn required_text(&mut self, key: &'static str, max_chars: usize, rule: &str) -> Option<String> {
        let node = self.required(key, rule)?;
        let key = self.key(key);
        self.text_of(node, &key, max_chars).map(str::to_owned)
    }

    /// The integer at `key`, which must lie in `range`.
    pub fn integer(&mut self, key: &'static str, range: std::ops::RangeInclusive<u8>, rule: &str) -> Option<u8> {
        let node = self.required(key, rule)?;
        let key = self.key(key);
        match &node.value {
            Value::Integer(n) => match u8::try_from(*n).ok().filter(|n| range.contains(n)) {
                Some(n) => return Some(n),
                None => self.findings.refuse(node.problem("out_of_range", &key, rule)),
            },
            other => {
                let rule = format!("{rule}; {} is not one", other.kind());
                self.findings.refuse(node.problem("wrong_type", &key, rule));
            }
        }
        None
    }

    /// The list at `key`, each item with its key (`level[0]`); empty if missing. `example` shows the form.
    pub fn list(&mut self, key: &'static str, max: usize, example: &str) -> Vec<(String, &'a Node)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let key = self.key(key);
        match &node.value {
            Value::List(items) if items.len() > max => {
                let rule = format!("{} entries are over the limit of {max}", items.len());
                self.findings.refuse(node.problem("too_many", &key, rule));
                Vec::new()
            }
            Value::List(items) => items.iter().enumerate().map(|(i, item)| (format!("{key}[{i}]"), item)).collect(),
            other => {
                let rule = format!("must be a list such as {example}, not {}", other.kind());
                self.findings.refuse(node.problem("wrong_type", &key, rule));
                Vec::new()
            }
        }
    }

    /// Refuses every key that was not asked for, with what it probably should be.
    pub fn finish(self, aliases: &[(&str, &str)]) {
        for (key, node) in self.table.iter().filter(|(key, _)| !self.asked.contains(key.as_str())) {
            let lower = key.to_lowercase();
            let known = aliases
                .iter()
                .find(|(alias, _)| *alias == lower)
                .map(|(_, key)| *key)
                .or_else(|| suggest(key, self.asked.iter().copied()));
            let rule = match known {
                Some(known) => format!("unknown key; did you mean {known:?}?"),
                None => {
                    let known: Vec<_> = self.asked.iter().copied().collect();
                    format!("unknown key; known here: {}", known.join(", "))
                }
            };
            let shown: String =
                key.chars().take(80).map(|c| if super::text::is_forbidden(c) { '\u{fffd}' } else { c }).collect();
            let full = format!("{}{shown}", self.prefix);
            self.findings.refuse(node.problem("unknown_key", &full, rule));
        }
    }
}

/// The text in `node`, or a refusal.
pub(crate) fn as_text<'a>(node: &'a Node, key: &str, findings: &mut Findings) -> Option<&'a str> {
    match &node.value {
        Value::Text(text) => Some(text),
        other => {
            let hint = if matches!(other, Value::Integer(_) | Value::Other(..)) { "; write it in quotes" } else { "" };
            let rule = format!("must be a text, not {}{hint}", other.kind());
            findings.refuse(node.problem("wrong_type", key, rule));
            None
        }
    }
}
