//! The index: opened, filled, asked.
//!
//! Owns the one writer, what is currently searched, and when documents are analysed again. Everything blocks: callers move it off
//! their runtime's threads.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aho_corasick::AhoCorasick;
use tantivy::collector::DocSetCollector;
use tantivy::query::TermQuery;
use tantivy::schema::{IndexRecordOption, Value as _};
use tantivy::{DocAddress, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::analyser::{ANALYSER_VERSION, Analyser, Synonyms, Vocabulary};
use super::collect::{Collected, Page};
use super::directory::Plain;
use super::document::Document;
use super::plan::{Plan, plan};
use super::query::{Answer, Count, Cursor, Hit, LIMIT_MAX, Query};
use super::schema::{Fields, SCHEMA_VERSION, Text, WEIGHTS, texts};
use super::snippet::Marker;

/// Memory of the writer, in bytes: the least that tantivy takes. What is larger is written in several parts.
const WRITER_BYTES: usize = 15_000_000;
/// Documents whose sources a searcher keeps decompressed, in blocks of 16 KiB.
const STORE_BLOCKS: usize = 20;
/// Values of a facet that an answer names, the most frequent.
const FACET_VALUES_MAX: usize = 100;
/// What the folder holds beside tantivy's files: the version of what made it.
const VERSION_FILE: &str = "version";

/// Why the index did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The index is not what it was when it was written, or its folder fails. It is to be opened again and filled.
    #[error("the search index: {0}")]
    Damaged(String),
}

impl From<tantivy::TantivyError> for SearchError {
    fn from(error: tantivy::TantivyError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<std::io::Error> for SearchError {
    fn from(error: std::io::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// How an index was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// As it was left, with the mark of its last change.
    AsLeft {
        /// What [`Index::replace`] was given last.
        mark: Option<String>,
    },
    /// Empty, to be filled; why.
    Empty(String),
}

/// A full-text index.
pub struct Index {
    fields: Fields,
    synonyms: Synonyms,
    analyser: RwLock<Arc<Analyser>>,
    reader: IndexReader,
    writer: Mutex<IndexWriter>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("schema", &SCHEMA_VERSION)
            .field("analyser", &ANALYSER_VERSION)
            .finish_non_exhaustive()
    }
}

/// Damage may show as a panic in the library: it is an error of the index, not of the program.
fn caught<T>(work: impl FnOnce() -> Result<T, SearchError>) -> Result<T, SearchError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(SearchError::Damaged("reading it made the library panic".to_owned())))
}

fn version() -> String {
    format!("verbund search index, schema {SCHEMA_VERSION}, analyser {ANALYSER_VERSION}, tantivy 0.27\n")
}

impl Index {
    /// The index in a folder of its own. What lies there and is not a sound index of this version is deleted.
    ///
    /// # Errors
    /// [`SearchError`] if the folder fails.
    pub fn open(folder: &Path) -> Result<(Self, Opened), SearchError> {
        let why = match std::fs::read_to_string(folder.join(VERSION_FILE)) {
            Ok(found) if found == version() => match caught(|| Self::reopen(folder)) {
                Ok((index, mark)) => return Ok((index, Opened::AsLeft { mark })),
                Err(error) => error.to_string(),
            },
            Ok(_) => "it was made by another version".to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "there was none".to_owned(),
            Err(error) => error.to_string(),
        };
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        let fields = Fields::new();
        let index = tantivy::Index::create(Plain::new(folder.to_owned()), fields.schema.clone(), Default::default())?;
        let index = Self::new(fields, &index)?;
        std::fs::write(folder.join(VERSION_FILE), version())?;
        Ok((index, Opened::Empty(why)))
    }

    fn reopen(folder: &Path) -> Result<(Self, Option<String>), SearchError> {
        let fields = Fields::new();
        let index = tantivy::Index::open(Plain::new(folder.to_owned()))?;
        if index.schema() != fields.schema {
            return Err(SearchError::Damaged("its fields are not those of its version".to_owned()));
        }
        let damaged = index.validate_checksum()?;
        if let Some(file) = damaged.iter().next() {
            return Err(SearchError::Damaged(format!("{} is damaged", file.display())));
        }
        let mark = index.load_metas()?.payload;
        let index = Self::new(fields, &index)?;
        index.learn_all()?;
        Ok((index, mark))
    }

    /// An empty index in memory.
    ///
    /// # Errors
    /// [`SearchError`] if its threads cannot be started.
    pub fn in_memory() -> Result<Self, SearchError> {
        let fields = Fields::new();
        let index = tantivy::Index::create_in_ram(fields.schema.clone());
        Self::new(fields, &index)
    }

    fn new(fields: Fields, index: &tantivy::Index) -> Result<Self, SearchError> {
        let writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        let reader =
            index.reader_builder().reload_policy(ReloadPolicy::Manual).doc_store_cache_num_blocks(STORE_BLOCKS);
        let reader = reader.try_into()?;
        let synonyms = Synonyms::default();
        Ok(Self { fields, synonyms, analyser: RwLock::default(), reader, writer: Mutex::new(writer) })
    }

    fn analyser(&self) -> Arc<Analyser> {
        self.analyser.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of documents.
    pub fn len(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces all documents of some groups; a group without documents is gone. Searchable when this returns.
    /// `mark` is the caller's, and comes back when the index is opened again: how far it is.
    ///
    /// # Errors
    /// [`SearchError`]; the index is then to be opened again.
    pub fn replace(&self, groups: &[(String, Vec<Document>)], mark: Option<&str>) -> Result<(), SearchError> {
        caught(|| {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = self.learn(groups.iter().flat_map(|(_, documents)| documents));
            let given: BTreeSet<_> = groups.iter().map(|(group, _)| group.as_str()).collect();
            let mut again: BTreeMap<String, Vec<Document>> = BTreeMap::new();
            for document in self.affected(&fresh)?.into_iter().filter(|d| !given.contains(d.group.as_str())) {
                again.entry(document.group.clone()).or_default();
            }
            for (group, documents) in &mut again {
                *documents = self.group(group)?;
            }
            let analyser = self.analyser();
            for (group, documents) in groups.iter().map(|(g, d)| (g, d)).chain(&again) {
                writer.delete_term(Term::from_field_text(self.fields.group, group));
                for document in documents {
                    let source = serde_json::to_string(document).map_err(|e| SearchError::Damaged(e.to_string()))?;
                    writer.add_document(self.fields.document(&analyser, document, &source))?;
                }
            }
            let mut commit = writer.prepare_commit()?;
            if let Some(mark) = mark {
                commit.set_payload(mark);
            }
            commit.commit()?;
            self.reader.reload()?;
            Ok(())
        })
    }

    /// Removes all documents of some groups.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn remove(&self, groups: &[String], mark: Option<&str>) -> Result<(), SearchError> {
        let groups: Vec<_> = groups.iter().map(|group| (group.clone(), Vec::new())).collect();
        self.replace(&groups, mark)
    }

    /// Takes in the words of documents that are about to come, while there are none yet: so that the first of many need not be analysed
    /// again for the words of the last.
    pub fn prepare(&self, documents: &[Document]) {
        if self.is_empty() {
            self.learn(documents.iter());
        }
    }

    /// Takes the words of documents into the vocabulary; those that are new.
    fn learn<'a>(&self, documents: impl Iterator<Item = &'a Document>) -> Vec<String> {
        let analyser = self.analyser();
        let plain = Analyser::default();
        let mut vocabulary = Vocabulary::clone(analyser.vocabulary());
        let mut fresh = Vec::new();
        for document in documents {
            // Not of files: these hold identifiers and words of all kinds, which would make parts of anything.
            let kinds = WEIGHTS.iter().filter(|(text, _)| *text != Text::Files);
            for token in kinds.flat_map(|(kind, _)| texts(document, *kind)).flat_map(|text| plain.tokens(text)) {
                if vocabulary.insert(&token.word, token.stem.clone()) {
                    fresh.push(token.stem);
                }
            }
        }
        let analyser = Arc::new(Analyser::new(Arc::new(vocabulary)));
        *self.analyser.write().unwrap_or_else(PoisonError::into_inner) = analyser;
        fresh
    }

    fn learn_all(&self) -> Result<(), SearchError> {
        let searcher = self.reader.searcher();
        let all = searcher.search(&tantivy::query::AllQuery, &DocSetCollector)?;
        let documents = all.into_iter().map(|address| self.source(&searcher, address));
        let documents = documents.collect::<Result<Vec<_>, _>>()?;
        self.learn(documents.iter());
        Ok(())
    }

    /// Group and [`Document::data`] of every document: for a caller that compares.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn data(&self) -> Result<Vec<(String, serde_json::Value)>, SearchError> {
        caught(|| {
            let searcher = self.reader.searcher();
            let all = searcher.search(&tantivy::query::AllQuery, &DocSetCollector)?;
            let one = |address| self.source(&searcher, address).map(|document| (document.group, document.data));
            all.into_iter().map(one).collect()
        })
    }

    fn source(&self, searcher: &Searcher, address: DocAddress) -> Result<Document, SearchError> {
        let stored: TantivyDocument = searcher.doc(address)?;
        let source = stored.get_first(self.fields.source);
        let source = source.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        serde_json::from_str(source).map_err(|e| SearchError::Damaged(format!("a document of it: {e}")))
    }

    fn found(&self, field: tantivy::schema::Field, text: &str) -> Result<Vec<Document>, SearchError> {
        let searcher = self.reader.searcher();
        let query = TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic);
        let found = searcher.search(&query, &DocSetCollector)?;
        found.into_iter().map(|address| self.source(&searcher, address)).collect()
    }

    fn group(&self, group: &str) -> Result<Vec<Document>, SearchError> {
        self.found(self.fields.group, group)
    }

    /// Documents with a word that new words may be parts of: they are analysed again, so that what is found does not depend on the
    /// order in which documents came.
    fn affected(&self, fresh: &[String]) -> Result<Vec<Document>, SearchError> {
        if fresh.is_empty() || self.is_empty() {
            return Ok(Vec::new());
        }
        // A little less than the stem: within a longer word more of the ending may have gone.
        let fresh: BTreeSet<&str> =
            fresh.iter().map(|word| word.get(..word.len().saturating_sub(2).max(3)).unwrap_or(word)).collect();
        let parts = AhoCorasick::new(&fresh).map_err(|e| SearchError::Damaged(e.to_string()))?;
        let searcher = self.reader.searcher();
        let mut out = Vec::new();
        for (kind, _) in WEIGHTS {
            let field = self.fields.text(kind);
            let mut terms = BTreeSet::new();
            for segment in searcher.segment_readers() {
                let inverted = segment.inverted_index(field)?;
                let mut stream = inverted.terms().stream()?;
                while stream.advance() {
                    let Ok(term) = std::str::from_utf8(stream.key()) else { continue };
                    if parts.find_overlapping_iter(term).any(|part| part.len() < term.len()) {
                        terms.insert(term.to_owned());
                    }
                }
            }
            for term in terms {
                out.extend(self.found(field, &term)?);
            }
        }
        Ok(out)
    }

    /// Answers a question.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn search(&self, query: &Query) -> Result<Answer, SearchError> {
        caught(|| {
            let (searcher, analyser) = (self.reader.searcher(), self.analyser());
            let plan = plan(&self.fields, &analyser, &self.synonyms, query.text.as_deref().unwrap_or_default());
            let limit = query.limit.clamp(1, LIMIT_MAX);
            let mut found = self.collect(&searcher, &plan, query, limit)?;
            let more = found.top.len() > limit;
            found.top.truncate(limit);
            let next = found.top.last().filter(|_| more);
            let next = next.map(|(score, key, _)| Cursor { score: *score, key: key.clone() });
            let marker = Marker { analyser: &analyser, stems: &plan.stems };
            let mut hits = Vec::with_capacity(found.top.len());
            for (score, key, address) in found.top {
                let document = self.source(&searcher, address)?;
                let (title, snippet) = (marker.title(&document), marker.snippet(&document));
                hits.push(Hit { key, group: document.group, score, title, snippet, data: document.data });
            }
            let facets = found.counts.into_iter().map(|(facet, counts)| (facet, ranked(counts))).collect();
            Ok(Answer { total: found.total, hits, facets, next })
        })
    }

    /// As strict as finds anything.
    fn collect(&self, searcher: &Searcher, plan: &Plan, query: &Query, limit: usize) -> Result<Collected, SearchError> {
        let page = Page { limit, after: query.after.as_ref(), filters: &query.filters, scored: plan.asks() };
        let mut found = Collected::default();
        for needed in plan.strictness() {
            found = searcher.search(&*plan.clause(&self.fields, &query.viewer, needed), &page)?;
            if found.total > 0 || !plan.asks() {
                break;
            }
        }
        Ok(found)
    }
}

/// Most frequent first, then by value.
fn ranked(counts: BTreeMap<String, usize>) -> Vec<Count> {
    let mut counts: Vec<_> = counts.into_iter().map(|(value, count)| Count { value, count }).collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    counts.truncate(FACET_VALUES_MAX);
    counts
}
