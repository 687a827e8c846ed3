//! The questions of `tests/data/queries.toml` against the real Leistungen of the corpus: shared by test and bench.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use verbund_library::search::{Document, Facet, Index, Query};

/// Hits that are looked at.
pub const DEPTH: usize = 10;

#[derive(Deserialize)]
struct Queries {
    query: Vec<Asked>,
}

/// A question and what should be found.
#[derive(Deserialize)]
pub struct Asked {
    pub kind: String,
    pub text: String,
    pub keys: Vec<String>,
}

#[derive(Deserialize)]
struct Row {
    leistungsschluessel: String,
    bezeichnung: String,
    ozg_id: String,
    ozg_leistung: String,
    lebenslage: String,
    themenfeld: String,
    rechtsgrundlage: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The questions.
pub fn queries() -> Vec<Asked> {
    let text = std::fs::read_to_string(root().join("tests/data/queries.toml")).unwrap();
    toml::from_str::<Queries>(&text).unwrap().query
}

/// The catalogue; `None` where the corpus is not there.
pub fn catalogue() -> Option<Vec<Document>> {
    let path = root().join("../shared/corpus/leika-ozg/leika_leistungen.csv");
    let mut rows = csv::Reader::from_path(path).ok()?;
    let documents = rows.deserialize().enumerate().map(|(at, row)| {
        let row: Row = row.unwrap();
        let real = |key: &String| key.bytes().all(|b| b.is_ascii_digit()) && !key.is_empty();
        let numbers = [row.leistungsschluessel.clone(), row.ozg_id].into_iter().filter(real).collect();
        let texts = |all: Vec<String>| all.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        Document {
            key: format!("{at:05}"),
            group: format!("{at:05}"),
            classes: vec!["all".into()],
            title: row.bezeichnung,
            keywords: texts(vec![row.ozg_leistung, row.lebenslage]),
            legal_basis: texts(vec![row.rechtsgrundlage]),
            numbers,
            facets: BTreeMap::from([(Facet::Topic, texts(vec![row.themenfeld]))]),
            data: row.leistungsschluessel.into(),
            ..Document::default()
        }
    });
    Some(documents.collect())
}

/// An index of all of them, made in one go.
pub fn fill(index: &Index, documents: &[Document]) {
    let groups: Vec<_> = documents.iter().map(|document| (document.group.clone(), vec![document.clone()])).collect();
    index.replace(&groups, None).unwrap();
}

/// Keys that the index finds, best first, each once.
pub fn indexed(index: &Index, text: &str) -> Vec<String> {
    let query = Query { text: Some(text.into()), viewer: vec!["all".into()], limit: DEPTH, ..Query::default() };
    unique(index.search(&query).unwrap().hits.into_iter().map(|hit| hit.data.as_str().unwrap_or_default().to_owned()))
}

/// Keys that a plain search for the text finds, in the catalogue's order.
pub fn substring(documents: &[Document], text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let found = documents.iter().filter(|document| {
        let all = [document.title.as_str(), &document.keywords.join("\n"), &document.legal_basis.join("\n")].join("\n");
        all.to_lowercase().contains(&text) || document.numbers.iter().any(|number| number.contains(&text))
    });
    unique(found.take(DEPTH).map(|document| document.data.as_str().unwrap_or_default().to_owned()))
}

fn unique(keys: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for key in keys {
        if !out.contains(&key) {
            out.push(key);
        }
    }
    out
}

/// Sums over questions.
#[derive(Default, Clone, Copy)]
pub struct Score {
    pub questions: usize,
    recall: f64,
    reciprocal: f64,
}

impl Score {
    /// Adds one answer.
    pub fn add(&mut self, asked: &Asked, found: &[String]) -> f64 {
        let hit = asked.keys.iter().filter(|key| found.contains(key)).count();
        let recall = hit as f64 / asked.keys.len() as f64;
        self.questions += 1;
        self.recall += recall;
        let first = found.iter().position(|key| asked.keys.contains(key));
        self.reciprocal += first.map_or(0.0, |at| 1.0 / (at + 1) as f64);
        recall
    }
    /// Part of what should be found that is among the first ten, mean over the questions.
    pub fn recall(&self) -> f64 {
        self.recall / self.questions.max(1) as f64
    }
    /// Mean of 1/rank of the first that should be found.
    pub fn mrr(&self) -> f64 {
        self.reciprocal / self.questions.max(1) as f64
    }
}
