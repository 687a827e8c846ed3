//! The place of a document that answers a question.
//!
//! Owns cutting and marking. Gives text and ranges; whoever shows them escapes the text.

use std::ops::Range;

use super::analyser::{Analyser, Token};
use super::document::Document;
use super::query::{Field, Marked};

/// Characters of a snippet, about two lines.
const SNIPPET_CHARS: usize = 220;
/// Bytes of one text that are looked through for a snippet.
const SEARCHED_MAX_BYTES: usize = 64 << 10;

/// Marks words of a document.
pub struct Marker<'a> {
    /// The rules.
    pub analyser: &'a Analyser,
    /// Stems that are marked.
    pub stems: &'a [String],
}

impl Marker<'_> {
    fn hit(&self, token: &Token) -> bool {
        token.terms().any(|term| self.stems.contains(term))
    }

    /// The title in full.
    pub fn title(&self, document: &Document) -> Marked {
        self.marked(Field::Title, None, &document.title, 0..document.title.len())
    }

    /// The best place: the first text in order of weight that matches; otherwise the summary, or what there is.
    pub fn snippet(&self, document: &Document) -> Marked {
        let keywords = document.keywords.join(", ");
        let legal = document.legal_basis.join("; ");
        let texts = [
            (Field::Summary, None, document.summary.as_str()),
            (Field::Description, None, document.description.as_str()),
            (Field::Keywords, None, keywords.as_str()),
            (Field::LegalBasis, None, legal.as_str()),
        ];
        let files = document.files.iter().map(|file| (Field::File, Some(file.path.as_str()), file.text.as_str()));
        let all: Vec<_> = texts.into_iter().chain(files).filter(|(_, _, text)| !text.trim().is_empty()).collect();
        let found = all.iter().find_map(|(field, path, text)| {
            let window = self.window(cut(text, SEARCHED_MAX_BYTES))?;
            Some(self.marked(*field, *path, text, window))
        });
        found.unwrap_or_else(|| {
            let (field, path, text) = all.first().copied().unwrap_or((Field::Summary, None, ""));
            let end = end_after(text, 0, SNIPPET_CHARS);
            self.marked(field, path, text, 0..end)
        })
    }

    /// The window of a text with the most different matches; `None` without any.
    fn window(&self, text: &str) -> Option<Range<usize>> {
        let hits: Vec<Token> = self.analyser.tokens(text).into_iter().filter(|token| self.hit(token)).collect();
        let best = hits.iter().enumerate().max_by_key(|(at, first)| {
            let near = hits[*at..].iter().take_while(|token| token.end <= first.start + SNIPPET_CHARS);
            let mut stems: Vec<_> = near.map(|token| &token.stem).collect();
            stems.sort();
            stems.dedup();
            (stems.len(), std::cmp::Reverse(*at))
        })?;
        // A few words before the first match, so that it can be read.
        let start = start_before(text, best.1.start, SNIPPET_CHARS / 4);
        Some(start..end_after(text, start, SNIPPET_CHARS))
    }

    fn marked(&self, field: Field, path: Option<&str>, text: &str, window: Range<usize>) -> Marked {
        let text = text.get(window).unwrap_or_default();
        let hits = self.analyser.tokens(text).into_iter().filter(|token| self.hit(token));
        let ranges = hits.map(|token| token.start..token.end).collect();
        Marked { field, path: path.map(str::to_owned), text: text.to_owned(), ranges }
    }
}

/// At most `max` bytes of a text, on a character boundary.
pub fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// The beginning of a word at most `chars` before `at`.
fn start_before(text: &str, at: usize, chars: usize) -> usize {
    let before = &text[..at];
    let Some((start, _)) = before.char_indices().rev().nth(chars.saturating_sub(1)) else { return 0 };
    before[start..].find(char::is_whitespace).map_or(at, |space| (start + space + 1).min(at))
}

/// The end of a word at most `chars` after `start`.
fn end_after(text: &str, start: usize, chars: usize) -> usize {
    let rest = &text[start..];
    let Some((end, _)) = rest.char_indices().nth(chars) else { return text.len() };
    start + rest[..end].rfind(char::is_whitespace).filter(|space| *space > 0).unwrap_or(end)
}
