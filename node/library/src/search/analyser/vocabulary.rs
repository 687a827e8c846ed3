//! The words of a catalogue, and compounds made of them.
//!
//! Owns the dictionary: it comes from the titles and descriptions of the catalogue itself, so that it knows the language of the
//! administration and needs no list from elsewhere. It also gives the words that a beginning or a mistyped word may mean.

use std::collections::{BTreeMap, BTreeSet};

/// Words that are kept. The catalogue of all Leistungen has about 8,000.
const WORDS_MAX: usize = 200_000;
/// Characters of a word that is kept.
const WORD_CHARS: std::ops::RangeInclusive<usize> = 3..=40;
/// Shortest part of a compound in characters: shorter ones are mostly prefixes and endings (an, aus, bar, ung).
const PART_MIN: usize = 4;
/// Shorter words that are parts of compounds all the same.
const SHORT_PARTS: [&str; 14] =
    ["amt", "bad", "bau", "ehe", "gas", "kfz", "lkw", "ohr", "pkw", "rad", "tod", "weg", "zug", "zoo"];
/// Letters that join parts, longest first; none comes before all.
const LINKS: [&str; 5] = ["es", "en", "s", "n", "e"];
/// Parts of a compound at most.
const PARTS_MAX: usize = 6;
/// Words that a beginning or a mistyped word may mean, the most frequent.
const MEANT_MAX: usize = 30;

/// Words, folded, and how many texts have them.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    words: BTreeMap<String, u32>,
    stems: BTreeSet<String>,
}

impl Vocabulary {
    /// Takes in a folded word. Whether it is new.
    pub fn insert(&mut self, word: &str, stem: String) -> bool {
        if !WORD_CHARS.contains(&word.chars().count()) || !word.chars().all(char::is_alphabetic) {
            return false;
        }
        if let Some(count) = self.words.get_mut(word) {
            *count = count.saturating_add(1);
            return false;
        }
        if self.words.len() >= WORDS_MAX {
            return false;
        }
        self.words.insert(word.to_owned(), 1);
        self.stems.insert(stem);
        true
    }

    /// Whether a folded word occurs in the catalogue.
    pub fn knows(&self, word: &str) -> bool {
        self.words.contains_key(word)
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn part(&self, part: &str) -> bool {
        let long = part.len() >= PART_MIN && (self.words.contains_key(part) || self.stems.contains(part));
        long || SHORT_PARTS.contains(&part) && self.words.contains_key(part)
    }

    /// The word that a stretch of a compound stands for: itself, or what is left without the letters that join it to the next one.
    fn base<'a>(&self, stretch: &'a str, last: bool) -> Option<&'a str> {
        if self.part(stretch) {
            return Some(stretch);
        }
        let mut links = LINKS.iter().filter_map(|link| stretch.strip_suffix(link));
        (!last).then(|| links.find(|base| self.part(base))).flatten()
    }

    /// The fewest words that `word` is made of, at least two; empty if it is no compound.
    fn cut<'a>(&self, word: &'a str) -> Vec<&'a str> {
        if word.len() < 2 * PART_MIN - 1 || !word.is_ascii() {
            return Vec::new();
        }
        // best[i]: parts that the first i letters are made of.
        let mut best: Vec<Option<Vec<&str>>> = vec![None; word.len() + 1];
        best[0] = Some(Vec::new());
        for end in 3..=word.len() {
            let last = end == word.len();
            for start in 0..=end - 3 {
                if last && start == 0 {
                    continue;
                }
                let Some(before) = best[start].as_ref().map(Vec::len).filter(|parts| *parts < PARTS_MAX) else {
                    continue;
                };
                // On a tie the first one found stays: it has the longer last part, which is what a compound is about.
                if best[end].as_ref().is_some_and(|found| found.len() <= before + 1) {
                    continue;
                }
                let Some(base) = self.base(&word[start..end], last) else { continue };
                let mut parts = best[start].clone().unwrap_or_default();
                parts.push(base);
                best[end] = Some(parts);
            }
        }
        best.pop().flatten().filter(|parts| parts.len() > 1).unwrap_or_default()
    }

    /// Stems of the parts of a folded word, and of the parts of these.
    pub fn split(&self, word: &str, stem: &dyn Fn(&str) -> String) -> (Vec<String>, Vec<String>) {
        let parts = self.cut(word);
        let mut inner = Vec::new();
        for part in &parts {
            for deeper in self.cut(part) {
                inner.push(stem(deeper));
                inner.extend(self.cut(deeper).into_iter().map(stem));
            }
        }
        (parts.into_iter().map(stem).collect(), inner)
    }

    /// Words that begin with `start`, most frequent first.
    pub fn beginning(&self, start: &str) -> Vec<&str> {
        let range = self.words.range(start.to_owned()..).take_while(|(word, _)| word.starts_with(start));
        most_frequent(range.filter(|(word, _)| *word != start))
    }

    /// Words that one slip of the keyboard makes of `word`: a letter more, less, another, or two changed about.
    pub fn mistyped(&self, word: &str) -> Vec<&str> {
        most_frequent(self.words.iter().filter(|(known, _)| one_slip(word.as_bytes(), known.as_bytes())))
    }
}

fn most_frequent<'a>(words: impl Iterator<Item = (&'a String, &'a u32)>) -> Vec<&'a str> {
    let mut words: Vec<_> = words.collect();
    words.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    words.into_iter().take(MEANT_MAX).map(|(word, _)| word.as_str()).collect()
}

/// Whether two different words are one slip apart. Folded German is nearly all ASCII, so that bytes do for letters.
fn one_slip(a: &[u8], b: &[u8]) -> bool {
    if a.len().abs_diff(b.len()) > 1 || a == b {
        return false;
    }
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Less => a == &b[1..],
        std::cmp::Ordering::Greater => &a[1..] == b,
        std::cmp::Ordering::Equal => {
            a[1..] == b[1..] || (a.len() > 1 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..])
        }
    }
}
