//! Words about what somebody else sent.
//!
//! Owns one rule: a text that quotes foreign bytes goes to a log line, an event, an answer or a terminal, so it is short and holds
//! nothing that a terminal obeys. Readers of other libraries quote what they read as it is, and all of it.

use std::fmt::{self, Display, Write};

use crate::limits::WORDS_MAX_CHARS;

/// `words` with control characters escaped, cut to [`WORDS_MAX_CHARS`].
pub fn shown(words: impl Display) -> String {
    let mut out = Shown { text: String::new(), left: WORDS_MAX_CHARS };
    // It ends early where the words are cut.
    if write!(out, "{words}").is_err() {
        out.text.push('…');
    }
    out.text
}

/// The beginning of `text` that has at most [`WORDS_MAX_CHARS`] when it is quoted (`{:?}`, which escapes).
pub fn quotable(text: &str) -> String {
    let mut left = WORDS_MAX_CHARS;
    let fits = |c: &char| {
        left = left.saturating_sub(c.escape_debug().len());
        left > 0
    };
    text.chars().take_while(fits).collect()
}

struct Shown {
    text: String,
    left: usize,
}

impl Write for Shown {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        for c in words.chars() {
            let escaped = c.is_control().then(|| c.escape_default());
            self.left = self.left.checked_sub(escaped.as_ref().map_or(1, ExactSizeIterator::len)).ok_or(fmt::Error)?;
            match escaped {
                Some(escaped) => self.text.extend(escaped),
                None => self.text.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_and_harmless() {
        assert_eq!(shown("Größe »x«"), "Größe »x«");
        assert_eq!(shown("a\u{1b}[2J\nb\u{9b}"), "a\\u{1b}[2J\\nb\\u{9b}");
        let whole = "ä".repeat(WORDS_MAX_CHARS);
        assert_eq!(shown(&whole), whole);
        assert_eq!(shown(format!("{whole}x")), format!("{whole}…"));
        assert_eq!(quotable("a\u{1b}\"b"), "a\u{1b}\"b", "quoting escapes");
        assert!(format!("{:?}", quotable(&"\u{7f}".repeat(WORDS_MAX_CHARS))).chars().count() <= WORDS_MAX_CHARS + 2);
        assert!(shown("\u{1}".repeat(WORDS_MAX_CHARS)).chars().count() <= WORDS_MAX_CHARS + 1, "escapes count");
    }
}
