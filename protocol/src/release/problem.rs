//! What is wrong with a folder or its `process.toml`, in words for the person who publishes.
//!
//! Owns the form of refusals and warnings of publishing: place, key, value, rule. Problems are collected, never only the first
//! one, and never say anything about peers.

use std::fmt;

use serde::Serialize;

/// Problems reported at most in one go; what lies beyond is counted in a last entry.
const PROBLEMS_MAX: usize = 100;
/// Characters of an offending value that are shown.
const VALUE_SHOWN_CHARS: usize = 80;

/// One refusal or warning: where, which key, which value, and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Stable name of the rule, for machines.
    pub code: &'static str,
    /// File, as a path in the folder (`process.toml`) or of a defaults file.
    pub file: String,
    /// Line in that file, from 1, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Key within the file, such as `legal_basis[0].uri`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The value that was given, printable, cut to 80 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The rule in words, with what to do.
    pub rule: String,
}

impl Problem {
    /// A problem with a whole file.
    pub fn file(code: &'static str, file: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { code, file: file.into(), line: None, key: None, value: None, rule: rule.into() }
    }

    /// The same problem, at `key`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same problem, showing `value`: control characters escaped, cut to a printable length.
    #[must_use]
    pub fn value(mut self, value: &str) -> Self {
        self.value = Some(shown(value));
        self
    }

    /// The same problem, at `line` (from 1).
    #[must_use]
    pub fn line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }
}

/// `value` in quotes, escaped and cut.
pub(crate) fn shown(value: &str) -> String {
    if value.chars().nth(VALUE_SHOWN_CHARS).is_none() {
        return format!("{value:?}");
    }
    let cut: String = value.chars().take(VALUE_SHOWN_CHARS).collect();
    format!("{cut:?}…")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => write!(f, "{key} = {value}: ")?,
            (Some(key), None) => write!(f, "{key}: ")?,
            (None, Some(value)) => write!(f, "{value}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.rule)
    }
}

/// Refusals and warnings, collected. Both lists are bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// What stands in the way of publishing.
    pub errors: Vec<Problem>,
    /// What the publisher should know, and may publish with.
    pub warnings: Vec<Problem>,
}

impl Findings {
    /// Adds a refusal.
    pub fn refuse(&mut self, problem: Problem) {
        push(&mut self.errors, problem);
    }

    /// Adds a warning.
    pub fn warn(&mut self, problem: Problem) {
        push(&mut self.warnings, problem);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        other.errors.into_iter().for_each(|p| self.refuse(p));
        other.warnings.into_iter().for_each(|p| self.warn(p));
    }
}

fn push(list: &mut Vec<Problem>, problem: Problem) {
    match list.len() {
        n if n < PROBLEMS_MAX => list.push(problem),
        PROBLEMS_MAX => {
            list.push(Problem::file("more", problem.file, format!("more problems than the {PROBLEMS_MAX} shown")));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_place_key_value_and_rule() {
        let problem = Problem::file("x", "process.toml", "must be 5 digits").key("ozg_id[0]").value("12\u{7}").line(7);
        assert_eq!(problem.to_string(), "process.toml:7: ozg_id[0] = \"12\\u{7}\": must be 5 digits");
        let long = Problem::file("x", "f", "r").value(&"ä".repeat(90));
        assert_eq!(long.value.unwrap().chars().count(), 80 + 3);
    }

    #[test]
    fn the_lists_are_bounded() {
        let mut findings = Findings::default();
        for n in 0..500 {
            findings.refuse(Problem::file("x", n.to_string(), "r"));
        }
        assert_eq!(findings.errors.len(), PROBLEMS_MAX + 1);
        assert_eq!(findings.errors[PROBLEMS_MAX].code, "more");
    }
}
