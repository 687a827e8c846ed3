//! Words of citizens and words of the administration.
//!
//! Owns the list `synonyms.txt` and how it is read. It works on questions only, so that a change of it needs no new index.

use std::collections::BTreeMap;

use super::Analyser;

/// The list.
const LIST: &str = include_str!("synonyms.txt");
/// Words of a phrase at most.
pub const PHRASE_MAX: usize = 3;

/// For a phrase, as stems, the phrases that may stand for it.
#[derive(Debug)]
pub struct Synonyms(BTreeMap<Vec<String>, Vec<Vec<String>>>);

impl Default for Synonyms {
    fn default() -> Self {
        Self::read(LIST)
    }
}

impl Synonyms {
    /// Reads a list: `a = b c = d` for words that stand for each other, `a = b > c = d` where the left ones mean the right ones, but
    /// not the other way about. What comes after `#` is a comment.
    pub fn read(list: &str) -> Self {
        let analyser = Analyser::default();
        let phrases = |side: &str| -> Vec<Vec<String>> {
            let phrase = |text: &str| analyser.tokens(text).into_iter().map(|token| token.stem).collect::<Vec<_>>();
            side.split('=').map(phrase).filter(|phrase| (1..=PHRASE_MAX).contains(&phrase.len())).collect()
        };
        let mut all: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
        for line in list.lines().map(|line| line.split('#').next().unwrap_or_default()) {
            let (from, to) = match line.split_once('>') {
                Some((from, to)) => (phrases(from), phrases(to)),
                None => (phrases(line), phrases(line)),
            };
            for phrase in &from {
                let known = all.entry(phrase.clone()).or_default();
                for other in to.iter().filter(|other| *other != phrase) {
                    if !known.contains(other) {
                        known.push(other.clone());
                    }
                }
            }
        }
        Self(all)
    }

    /// What may stand for a phrase.
    pub fn of(&self, phrase: &[String]) -> &[Vec<String>] {
        self.0.get(phrase).map(Vec::as_slice).unwrap_or_default()
    }
}
