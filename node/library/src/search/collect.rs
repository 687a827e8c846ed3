//! From matches to one page and the counts.
//!
//! Owns order, paging, filters and counting. Sees only documents that the viewer may see: visibility is part of the query.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Bound;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::StrColumn;
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader};

use super::document::Facet;
use super::query::Cursor;
use super::schema::facet_name;

/// Collects one page, the number of all hits, and counts.
pub struct Page<'a> {
    /// Hits wanted.
    pub limit: usize,
    /// Place to go on after.
    pub after: Option<&'a Cursor>,
    /// Values wanted of each facet.
    pub filters: &'a BTreeMap<Facet, Vec<String>>,
    /// Whether scores decide the order.
    pub scored: bool,
}

/// What was collected.
#[derive(Debug, Default)]
pub struct Collected {
    /// All hits.
    pub total: usize,
    /// At most one more than wanted, in order.
    pub top: Vec<(Score, String, DocAddress)>,
    /// Counts of each facet's values.
    pub counts: BTreeMap<Facet, BTreeMap<String, usize>>,
}

/// A hit within one segment; the greatest is the last in order, so that a heap gives it away first.
#[derive(PartialEq)]
struct Ranked {
    score: Score,
    key: u64,
    doc: DocId,
}

impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.key.cmp(&other.key)).then(self.doc.cmp(&other.doc))
    }
}

/// One facet in one segment.
struct Dimension {
    facet: Facet,
    column: Option<StrColumn>,
    /// Ordinals that are wanted; `None` wants any.
    wanted: Option<Vec<u64>>,
    counts: Vec<usize>,
}

/// Collects in one segment.
pub struct PageSegment {
    segment: SegmentOrdinal,
    keys: StrColumn,
    scored: bool,
    limit: usize,
    /// Score of the place to go on after, and the first ordinal of a key that lies after it.
    after: Option<(Score, u64)>,
    total: usize,
    top: BinaryHeap<Ranked>,
    dimensions: Vec<Dimension>,
}

fn dimension(reader: &SegmentReader, facet: Facet, wanted: Option<&Vec<String>>) -> tantivy::Result<Dimension> {
    let column = reader.fast_fields().str(facet_name(facet))?;
    let mut ordinals = wanted.map(|_| Vec::new());
    if let (Some(column), Some(ordinals)) = (&column, &mut ordinals) {
        for value in wanted.into_iter().flatten() {
            ordinals.extend(column.dictionary().term_ord(value)?);
        }
    }
    let values = column.as_ref().map_or(0, |column| column.dictionary().num_terms());
    Ok(Dimension { facet, column, wanted: ordinals, counts: vec![0; values] })
}

impl Collector for Page<'_> {
    type Fruit = Collected;
    type Child = PageSegment;

    fn for_segment(&self, segment: SegmentOrdinal, reader: &SegmentReader) -> tantivy::Result<PageSegment> {
        let keys = reader.fast_fields().str("key")?;
        let keys = keys.ok_or_else(|| tantivy::TantivyError::SchemaError("no column of keys".to_owned()))?;
        let after = match self.after {
            None => None,
            Some(cursor) => {
                let beyond = keys.dictionary().term_bounds_to_ord(Bound::Excluded(&cursor.key), Bound::Unbounded)?;
                let next = match beyond.0 {
                    Bound::Excluded(exact) => exact.saturating_add(1),
                    Bound::Included(next) => next,
                    Bound::Unbounded => 0,
                };
                Some((cursor.score, next))
            }
        };
        let dimensions = Facet::ALL.iter().map(|facet| dimension(reader, *facet, self.filters.get(facet)));
        Ok(PageSegment {
            segment,
            keys,
            scored: self.scored,
            limit: self.limit + 1,
            after,
            total: 0,
            top: BinaryHeap::new(),
            dimensions: dimensions.collect::<tantivy::Result<_>>()?,
        })
    }

    fn requires_scoring(&self) -> bool {
        self.scored
    }

    fn merge_fruits(&self, parts: Vec<tantivy::Result<Collected>>) -> tantivy::Result<Collected> {
        let mut all = Collected::default();
        for part in parts {
            let part = part?;
            all.total += part.total;
            all.top.extend(part.top);
            for (facet, counts) in part.counts {
                let sums = all.counts.entry(facet).or_default();
                for (value, count) in counts {
                    *sums.entry(value).or_default() += count;
                }
            }
        }
        all.top.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        all.top.truncate(self.limit + 1);
        Ok(all)
    }
}

impl PageSegment {
    /// Counts the document where it counts; whether it is a hit.
    fn count(&mut self, doc: DocId) -> bool {
        let mut missed = None;
        for (at, dimension) in self.dimensions.iter().enumerate() {
            let Some(wanted) = &dimension.wanted else { continue };
            let ords = dimension.column.iter().flat_map(|column| column.ords().values_for_doc(doc));
            if ords.into_iter().any(|ord| wanted.contains(&ord)) {
                continue;
            }
            // Two filters missed: it counts nowhere.
            if missed.replace(at).is_some() {
                return false;
            }
        }
        for (at, dimension) in self.dimensions.iter_mut().enumerate() {
            if missed.is_some_and(|missed| missed != at) {
                continue;
            }
            let Some(column) = &dimension.column else { continue };
            let mut seen: Option<u64> = None;
            for ord in column.ords().values_for_doc(doc) {
                // The same value twice in a row is one value; the caller's lists are short and mostly of one.
                if seen.replace(ord) != Some(ord)
                    && let Some(count) = usize::try_from(ord).ok().and_then(|ord| dimension.counts.get_mut(ord))
                {
                    *count += 1;
                }
            }
        }
        missed.is_none()
    }
}

impl SegmentCollector for PageSegment {
    type Fruit = tantivy::Result<Collected>;

    fn collect(&mut self, doc: DocId, score: Score) {
        if !self.count(doc) {
            return;
        }
        self.total += 1;
        let score = if self.scored { score } else { 0.0 };
        let Some(key) = self.keys.ords().first(doc) else { return };
        if let Some((last, next)) = self.after {
            match score.total_cmp(&last) {
                Ordering::Greater => return,
                Ordering::Equal if key < next => return,
                _ => {}
            }
        }
        let ranked = Ranked { score, key, doc };
        if self.top.len() < self.limit {
            self.top.push(ranked);
        } else if self.top.peek().is_some_and(|last| ranked < *last) {
            self.top.pop();
            self.top.push(ranked);
        }
    }

    fn harvest(self) -> Self::Fruit {
        let mut out = Collected { total: self.total, ..Collected::default() };
        for Ranked { score, key, doc } in self.top {
            let mut text = String::new();
            self.keys.ord_to_str(key, &mut text)?;
            out.top.push((score, text, DocAddress::new(self.segment, doc)));
        }
        for dimension in self.dimensions {
            let Some(column) = dimension.column else { continue };
            let counts = out.counts.entry(dimension.facet).or_default();
            for (ord, count) in dimension.counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                let mut value = String::new();
                column.ord_to_str(ord as u64, &mut value)?;
                counts.insert(value, count);
            }
        }
        Ok(out)
    }
}
