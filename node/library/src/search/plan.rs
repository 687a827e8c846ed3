//! From a question to a query of the index.
//!
//! Owns what counts as a match and what it weighs. Each word of a question may be met in several ways: as it stands, by its parts, by
//! a synonym, as the beginning of a word, or mistyped. The best way counts.

use tantivy::Term;
use tantivy::query::{AllQuery, BooleanQuery, BoostQuery, DisjunctionMaxQuery, Occur, Query as Clause, TermQuery};
use tantivy::schema::{Field as Column, IndexRecordOption};

use super::analyser::{Analyser, PHRASE_MAX, Synonyms, Token};
use super::query::TEXT_MAX_CHARS;
use super::schema::{Fields, NUMBER_PREFIX_MIN, WEIGHTS, number_key};

/// Words of a question that are looked for; the rest is ignored.
const WORDS_MAX: usize = 12;
/// What a match in a second field adds to the best one.
const TIE: f32 = 0.2;
/// What a key that is asked for weighs, and what its beginning weighs.
const NUMBER_WEIGHT: (f32, f32) = (100.0, 20.0);
/// What ways other than the word itself weigh.
const PARTS_WEIGHT: f32 = 0.8;
const SYNONYM_WEIGHT: f32 = 0.8;
const BEGINNING_WEIGHT: f32 = 0.5;
const MISTYPED_WEIGHT: f32 = 0.6;
/// Shortest words in bytes that are taken as beginnings, or as mistyped.
const BEGINNING_MIN: usize = 3;
const MISTYPED_MIN: usize = 4;

/// Words without meaning in a question.
const STOP: [&str; 60] = [
    "ich", "du", "er", "sie", "es", "wir", "man", "mein", "meine", "meinen", "meiner", "meinem", "dein", "unser",
    "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einer", "einem", "eines", "und", "oder", "fur",
    "von", "vom", "mit", "in", "im", "am", "an", "zu", "zum", "zur", "bei", "auf", "aus", "nach", "wie", "wo", "was",
    "wer", "wann", "kann", "muss", "mochte", "will", "ist", "wird", "wurde", "lassen", "bitte", "uber", "wegen", "per",
];
/// Words that say little: they help to rank, and need not be met.
const WEAK: [&str; 12] = [
    "beantragen",
    "beantragung",
    "brauchen",
    "brauche",
    "bekommen",
    "bekomme",
    "machen",
    "werden",
    "online",
    "neu",
    "neuer",
    "neue",
];

/// A question, understood.
#[derive(Debug)]
pub struct Plan {
    words: Vec<Box<dyn Clause>>,
    weak: Vec<Box<dyn Clause>>,
    number: Option<Box<dyn Clause>>,
    /// Stems whose words are highlighted.
    pub stems: Vec<String>,
}

fn term(field: Column, text: &str) -> Box<dyn Clause> {
    Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::WithFreqs))
}

fn boosted(clause: Box<dyn Clause>, weight: f32) -> Box<dyn Clause> {
    Box::new(BoostQuery::new(clause, weight))
}

/// What a viewer may see.
fn visible(fields: &Fields, viewer: &[String]) -> Box<dyn Clause> {
    let any = |field| -> Box<dyn Clause> {
        let terms = viewer.iter().map(|class| {
            let term = Term::from_field_text(field, class);
            (Occur::Should, Box::new(TermQuery::new(term, IndexRecordOption::Basic)) as Box<dyn Clause>)
        });
        Box::new(BooleanQuery::new(terms.collect()))
    };
    let allowed = boosted(any(fields.classes), 0.0);
    Box::new(BooleanQuery::new(vec![(Occur::Must, allowed), (Occur::MustNot, any(fields.except))]))
}

/// Builds the clauses of one question.
struct Planner<'a> {
    fields: &'a Fields,
    analyser: &'a Analyser,
    synonyms: &'a Synonyms,
    stems: Vec<String>,
}

impl Planner<'_> {
    /// A stem, wherever it stands.
    fn stem(&mut self, stem: &str) -> Box<dyn Clause> {
        if !self.stems.iter().any(|known| known == stem) {
            self.stems.push(stem.to_owned());
        }
        let texts = WEIGHTS.iter().map(|(text, weight)| boosted(term(self.fields.text(*text), stem), *weight));
        Box::new(DisjunctionMaxQuery::with_tie_breaker(texts.collect(), TIE))
    }

    /// All of some stems, anywhere; weighs like one.
    fn all(&mut self, stems: &[String], weight: f32) -> Box<dyn Clause> {
        let clauses: Vec<_> = stems.iter().map(|stem| (Occur::Must, self.stem(stem))).collect();
        // Several matches say more than one, but not as much as so many words of the question.
        let each = weight * 1.3 / clauses.len().max(1) as f32;
        if let [single] = stems {
            return boosted(self.stem(single), weight);
        }
        boosted(Box::new(BooleanQuery::new(clauses)), each)
    }

    /// A part of a compound, or a word that stands for it.
    fn part(&mut self, stem: &String) -> Box<dyn Clause> {
        let synonyms = self.synonyms;
        let mut ways = vec![self.stem(stem)];
        for other in synonyms.of(std::slice::from_ref(stem)) {
            ways.push(self.all(other, SYNONYM_WEIGHT));
        }
        Box::new(DisjunctionMaxQuery::new(ways))
    }

    /// One word in all ways that it may be met in.
    fn word(&mut self, token: &Token, last: bool) -> Box<dyn Clause> {
        let (synonyms, analyser) = (self.synonyms, self.analyser);
        let mut ways = vec![self.stem(&token.stem)];
        let others = synonyms.of(std::slice::from_ref(&token.stem));
        for other in others {
            ways.push(self.all(other, SYNONYM_WEIGHT));
        }
        if token.parts.len() > 1 {
            let parts: Vec<_> = token.parts.iter().map(|part| (Occur::Must, self.part(part))).collect();
            let each = PARTS_WEIGHT * 1.3 / parts.len() as f32;
            ways.push(boosted(Box::new(BooleanQuery::new(parts)), each));
        }
        let vocabulary = analyser.vocabulary();
        let known = vocabulary.knows(&token.word);
        if token.word.len() >= BEGINNING_MIN && (last || !known) {
            for word in vocabulary.beginning(&token.word) {
                ways.push(boosted(self.stem(&analyser.stem(word)), BEGINNING_WEIGHT));
            }
        }
        if token.word.len() >= MISTYPED_MIN && !known && others.is_empty() {
            let differs = token.plain != token.word;
            let also = if differs { vocabulary.mistyped(&token.plain) } else { Vec::new() };
            for word in vocabulary.mistyped(&token.word).into_iter().chain(also) {
                ways.push(boosted(self.stem(&analyser.stem(word)), MISTYPED_WEIGHT));
            }
        }
        Box::new(DisjunctionMaxQuery::new(ways))
    }

    /// A phrase of several words that has synonyms.
    fn phrase(&mut self, stems: &[String]) -> Box<dyn Clause> {
        let synonyms = self.synonyms;
        let mut ways = vec![self.all(stems, 1.5)];
        for other in synonyms.of(stems) {
            ways.push(self.all(other, 1.0));
        }
        Box::new(DisjunctionMaxQuery::new(ways))
    }
}

/// Understands a question.
pub fn plan(fields: &Fields, analyser: &Analyser, synonyms: &Synonyms, text: &str) -> Plan {
    let text: String = text.chars().take(TEXT_MAX_CHARS).collect();
    let tokens: Vec<_> = analyser.tokens(&text).into_iter().take(WORDS_MAX).collect();
    let mut planner = Planner { fields, analyser, synonyms, stems: Vec::new() };
    let (mut words, mut weak) = (Vec::new(), Vec::new());
    // A question of nothing but small words is about these.
    let only_small = tokens.iter().all(small);
    let mut at = 0;
    while at < tokens.len() {
        let stems: Vec<_> = tokens[at..].iter().take(PHRASE_MAX).map(|token| token.stem.clone()).collect();
        let length = (2..=stems.len()).rev().find(|length| !synonyms.of(&stems[..*length]).is_empty());
        if let Some(length) = length {
            words.push(planner.phrase(&stems[..length]));
            at += length;
            continue;
        }
        let token = &tokens[at];
        at += 1;
        let strange = !analyser.vocabulary().knows(&token.word) && synonyms.of(&stems[..1]).is_empty();
        if strange && token.parts.len() > 1 {
            // A compound that neither the catalogue nor a synonym has is a question of several words that was written as one.
            words.extend(token.parts.iter().map(|part| planner.part(part)));
        } else if only_small || !small(token) {
            words.push(planner.word(token, at == tokens.len()));
        } else if WEAK.contains(&token.word.as_str()) {
            weak.push(boosted(planner.word(token, false), 0.3));
        }
    }
    let key = number_key(&text);
    let number = key.len() >= NUMBER_PREFIX_MIN && key.bytes().any(|b| b.is_ascii_digit());
    let number = number.then(|| {
        let whole = boosted(term(fields.numbers, &format!("={key}")), NUMBER_WEIGHT.0);
        let beginning = boosted(term(fields.numbers, &key), NUMBER_WEIGHT.1);
        Box::new(DisjunctionMaxQuery::new(vec![whole, beginning])) as Box<dyn Clause>
    });
    Plan { words, weak, number, stems: planner.stems }
}

fn small(token: &Token) -> bool {
    STOP.contains(&token.word.as_str()) || WEAK.contains(&token.word.as_str())
}

impl Plan {
    /// Whether anything was asked for.
    pub const fn asks(&self) -> bool {
        !self.words.is_empty()
    }

    /// How many words must be met, strictest first: all of two, all but one of more; if that finds nothing half of them, then one.
    pub fn strictness(&self) -> Vec<usize> {
        let words = self.words.len();
        let mut steps = vec![if words > 2 { words - 1 } else { words }, words.div_ceil(2), 1];
        steps.dedup();
        steps
    }

    /// Everything that meets `needed` words and may be seen.
    pub fn clause(&self, fields: &Fields, viewer: &[String], needed: usize) -> Box<dyn Clause> {
        let seen = (Occur::Must, visible(fields, viewer));
        if !self.asks() {
            return Box::new(BooleanQuery::new(vec![(Occur::Must, Box::new(AllQuery)), seen]));
        }
        let words = self.words.iter().map(|word| (Occur::Should, word.box_clone())).collect();
        let words: Box<dyn Clause> = Box::new(BooleanQuery::with_minimum_required_clauses(words, needed.max(1)));
        let matching: Box<dyn Clause> = match &self.number {
            Some(number) => Box::new(DisjunctionMaxQuery::new(vec![words, number.box_clone()])),
            None => words,
        };
        let mut all = vec![(Occur::Must, matching), seen];
        all.extend(self.weak.iter().map(|word| (Occur::Should, word.box_clone())));
        Box::new(BooleanQuery::new(all))
    }
}
