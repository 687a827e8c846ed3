//! How a document lies in the index.
//!
//! Owns fields and their weights. Every text goes in as tokens that the analyser made; tantivy analyses nothing itself.

use std::collections::BTreeMap;

use tantivy::TantivyDocument;
use tantivy::schema::{
    FAST, Field as Column, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{PreTokenizedString, Token as Piece};

use super::analyser::{Analyser, Token};
use super::document::{Document, Facet};

/// Version of the fields; part of the index's version.
pub const SCHEMA_VERSION: u32 = 1;

/// Searched texts and what a match in them weighs.
pub const WEIGHTS: [(Text, f32); 6] = [
    (Text::Title, 5.0),
    (Text::Keywords, 3.0),
    (Text::Summary, 2.0),
    (Text::Description, 1.0),
    (Text::LegalBasis, 1.0),
    (Text::Files, 0.5),
];

/// Characters of a key that its beginnings are at least long.
pub const NUMBER_PREFIX_MIN: usize = 3;
/// Longest key in characters that is searched by.
const NUMBER_MAX: usize = 64;

/// A searched text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// Title.
    Title,
    /// Keywords.
    Keywords,
    /// Summary.
    Summary,
    /// Description.
    Description,
    /// Legal basis.
    LegalBasis,
    /// Text of files.
    Files,
}

/// The fields.
#[derive(Debug, Clone)]
pub struct Fields {
    /// All of them.
    pub schema: Schema,
    /// Group, as a whole.
    pub group: Column,
    /// Key, as a whole.
    pub key: Column,
    /// Classes that may see it.
    pub classes: Column,
    /// Classes that may not.
    pub except: Column,
    /// Keys: whole ones after `=`, and all beginnings.
    pub numbers: Column,
    /// The document as it was given, JSON.
    pub source: Column,
    texts: BTreeMap<Text, Column>,
    facets: BTreeMap<Facet, Column>,
}

impl Fields {
    /// The fields of this version.
    pub fn new() -> Self {
        let mut schema = Schema::builder();
        // No positions: phrases are not asked for, and they would double the index.
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_fieldnorms(true)
            .set_index_option(IndexRecordOption::WithFreqs);
        let text = TextOptions::default().set_indexing_options(indexing);
        let texts = WEIGHTS.iter().map(|(kind, _)| (*kind, schema.add_text_field(&format!("{kind:?}"), text.clone())));
        let texts = texts.collect();
        let facets = Facet::ALL.iter().map(|facet| (*facet, schema.add_text_field(facet_name(*facet), STRING | FAST)));
        let facets = facets.collect();
        let group = schema.add_text_field("group", STRING);
        let key = schema.add_text_field("key", STRING | FAST);
        let classes = schema.add_text_field("classes", STRING);
        let except = schema.add_text_field("except", STRING);
        let numbers = schema.add_text_field("numbers", STRING);
        let source = schema.add_text_field("source", STORED);
        Self { schema: schema.build(), group, key, classes, except, numbers, source, texts, facets }
    }

    /// The field of a text.
    pub fn text(&self, text: Text) -> Column {
        self.texts.get(&text).copied().unwrap_or(self.source)
    }

    /// The document as it is added.
    pub fn document(&self, analyser: &Analyser, document: &Document, source: &str) -> TantivyDocument {
        let mut out = TantivyDocument::new();
        out.add_text(self.group, &document.group);
        out.add_text(self.key, &document.key);
        out.add_text(self.source, source);
        for class in &document.classes {
            out.add_text(self.classes, class);
        }
        for class in &document.except {
            out.add_text(self.except, class);
        }
        for number in document.numbers.iter().map(|number| number_key(number)) {
            out.add_text(self.numbers, format!("={number}"));
            for (end, _) in number.char_indices().chain([(number.len(), ' ')]).take(NUMBER_MAX).skip(NUMBER_PREFIX_MIN)
            {
                out.add_text(self.numbers, &number[..end]);
            }
        }
        for (facet, values) in &document.facets {
            let Some(column) = self.facets.get(facet) else { continue };
            for value in values {
                out.add_text(*column, value);
            }
        }
        for (text, column) in &self.texts {
            for text in texts(document, *text) {
                let tokens = analyser.tokens(text).into_iter().enumerate().flat_map(pieces).collect();
                out.add_pre_tokenized_text(*column, PreTokenizedString { text: String::new(), tokens });
            }
        }
        out
    }
}

/// Name of a facet's field.
pub const fn facet_name(facet: Facet) -> &'static str {
    facet.name()
}

/// The texts of a document that make up one searched text.
pub fn texts(document: &Document, text: Text) -> Vec<&str> {
    fn all(texts: &[String]) -> Vec<&str> {
        texts.iter().map(String::as_str).collect()
    }
    match text {
        Text::Title => vec![&document.title],
        Text::Keywords => {
            let topics = document.facets.get(&Facet::Topic).map(Vec::as_slice).unwrap_or_default();
            all(&document.keywords).into_iter().chain(topics.iter().map(String::as_str)).collect()
        }
        Text::Summary => vec![&document.summary],
        Text::Description => vec![&document.description],
        Text::LegalBasis => all(&document.legal_basis),
        Text::Files => document.files.iter().map(|file| file.text.as_str()).collect(),
    }
}

/// A key as it is compared: letters and digits only, lower case.
pub fn number_key(number: &str) -> String {
    number.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What of a word goes into the index: its stem, and the stems of its parts.
fn pieces((position, token): (usize, Token)) -> Vec<Piece> {
    let piece =
        |text: String| Piece { offset_from: token.start, offset_to: token.end, position, text, position_length: 1 };
    token.terms().cloned().map(piece).collect()
}
