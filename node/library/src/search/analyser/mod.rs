//! From text to what is compared: words, folded, stemmed, and the parts of compounds.
//!
//! Owns the rules of German text. The same rules run over documents and over questions. A change to any of them that changes a token
//! is a new [`ANALYSER_VERSION`]: an index that was made by another version is made anew.

mod fold;
mod synonyms;
mod vocabulary;

use std::sync::Arc;

use rust_stemmers::{Algorithm, Stemmer};

#[cfg(test)]
use fold::fold;
use fold::{join, plain};
pub use synonyms::{PHRASE_MAX, Synonyms};
pub use vocabulary::Vocabulary;

/// Version of everything in this module that decides what stands in an index.
pub const ANALYSER_VERSION: u32 = 1;

/// Longest word in characters. Longer ones are no words (base64, lists of digits) and are not searched for.
const WORD_MAX_CHARS: usize = 80;

/// Endings that make a noun of a verb.
const NOUN_ENDINGS: [&str; 4] = ["erungen", "erung", "ungen", "ung"];
/// Letters that are left at least of a noun that comes down to its verb.
const VERB_MIN: usize = 4;

/// One word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// First byte in the text.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
    /// The word, folded: lower case, without umlauts, ß and accents.
    pub word: String,
    /// The word, folded, with what looks like the two letters of an umlaut kept: for comparing slips of the keyboard.
    pub plain: String,
    /// Its stem.
    pub stem: String,
    /// Stems of its parts in order, if it is a compound of words of the vocabulary.
    pub parts: Vec<String>,
    /// Stems of the parts of its parts.
    pub inner: Vec<String>,
}

impl Token {
    /// Everything that the word is found by.
    pub fn terms(&self) -> impl Iterator<Item = &String> {
        let parts = self.parts.iter().chain(&self.inner).filter(|part| **part != self.stem);
        std::iter::once(&self.stem).chain(parts)
    }
}

/// The rules, ready to be applied.
pub struct Analyser {
    stemmer: Stemmer,
    vocabulary: Arc<Vocabulary>,
}

impl std::fmt::Debug for Analyser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyser").field("version", &ANALYSER_VERSION).finish_non_exhaustive()
    }
}

impl Default for Analyser {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Analyser {
    /// The rules with the words that compounds are made of.
    pub fn new(vocabulary: Arc<Vocabulary>) -> Self {
        Self { stemmer: Stemmer::create(Algorithm::German), vocabulary }
    }

    /// The words that compounds are made of.
    pub const fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// The words of `text`, in order.
    pub fn tokens(&self, text: &str) -> Vec<Token> {
        words(text)
            .filter_map(|(start, end)| {
                let plain = plain(&text[start..end]);
                let word = join(&plain);
                if word.is_empty() || word.chars().count() > WORD_MAX_CHARS {
                    return None;
                }
                let stem = self.stem(&word);
                let (parts, inner) = self.vocabulary.split(&word, &|part| self.stem(part));
                Some(Token { start, end, word, plain, stem, parts, inner })
            })
            .collect()
    }

    /// The stem of a folded word: Snowball's, after the noun of a verb was brought down to the verb (Befreiung, befreien; Verlängerung,
    /// verlängern), where Snowball keeps the ending of short words.
    pub fn stem(&self, word: &str) -> String {
        let verb = NOUN_ENDINGS.iter().find_map(|end| word.strip_suffix(end).filter(|rest| rest.len() >= VERB_MIN));
        self.stemmer.stem(verb.unwrap_or(word)).into_owned()
    }
}

/// Characters that stand within words without meaning: combining marks, soft hyphens, joiners of width zero.
const fn inner(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}

/// Ranges of words: letters and digits, with what may stand within them.
fn words(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = chars.by_ref().find(|(_, c)| c.is_alphanumeric())?;
        let mut end = start + first.len_utf8();
        while let Some(&(at, c)) = chars.peek() {
            if !(c.is_alphanumeric() || inner(c)) {
                break;
            }
            end = at + c.len_utf8();
            chars.next();
        }
        Some((start, end))
    })
}

#[cfg(test)]
mod tests;
