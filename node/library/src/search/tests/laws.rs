//! What holds for any documents, viewers and questions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const WORDS: [&str; 8] = ["Hund", "Steuer", "Hundesteuer", "Antrag", "Wohnung", "Prüfung", "Straße", "Befreiung"];
const CLASSES: [&str; 4] = ["public", "federation", "h:de-he", "h:de-th"];
const MEMBERS: [&str; 3] = ["de-he", "de-rp", "de-th"];
const LEVELS: [&str; 3] = ["bund", "land", "kommunal"];

prop_compose! {
    fn any_document()(
        title in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..4),
        text in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..6),
        classes in prop::sample::subsequence(CLASSES.to_vec(), 0..4),
        except in prop::sample::subsequence(CLASSES.to_vec(), 0..2),
        member in prop::sample::select(MEMBERS.to_vec()),
        levels in prop::sample::subsequence(LEVELS.to_vec(), 0..3),
    ) -> Document {
        let own = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect::<Vec<_>>();
        Document {
            classes: own(classes),
            except: own(except),
            title: title.join(" "),
            description: text.join(" "),
            facets: BTreeMap::from([(Facet::Member, own(vec![member])), (Facet::Level, own(levels))]),
            ..Document::default()
        }
    }
}

fn any_documents() -> impl Strategy<Value = Vec<Document>> {
    prop::collection::vec(any_document(), 1..40).prop_map(|mut documents| {
        for (at, document) in documents.iter_mut().enumerate() {
            document.key = format!("{at:03}");
            // Two documents to a group.
            document.group = format!("{:03}", at / 2);
        }
        documents
    })
}

prop_compose! {
    fn any_query()(
        words in prop::option::of(prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..3)),
        viewer in prop::sample::subsequence(CLASSES.to_vec(), 0..4),
        members in prop::option::of(prop::sample::subsequence(MEMBERS.to_vec(), 1..3)),
        levels in prop::option::of(prop::sample::subsequence(LEVELS.to_vec(), 1..3)),
    ) -> Query {
        let own = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let filters = [(Facet::Member, members), (Facet::Level, levels)];
        Query {
            text: words.map(|words| words.join(" ")),
            viewer: own(viewer),
            filters: filters.into_iter().filter_map(|(f, v)| Some((f, own(v?)))).collect(),
            limit: LIMIT_MAX,
            after: None,
        }
    }
}

fn index_of(documents: &[Document], batches: usize) -> Index {
    let index = Index::in_memory().unwrap();
    let mut groups: BTreeMap<String, Vec<Document>> = BTreeMap::new();
    for document in documents {
        groups.entry(document.group.clone()).or_default().push(document.clone());
    }
    let groups: Vec<_> = groups.into_iter().collect();
    for batch in groups.chunks(groups.len().div_ceil(batches).max(1)) {
        index.replace(batch, None).unwrap();
    }
    index
}

fn sees(viewer: &[String], document: &Document) -> bool {
    let any = |classes: &[String]| classes.iter().any(|class| viewer.contains(class));
    any(&document.classes) && !any(&document.except)
}

fn values(document: &Document, facet: Facet) -> &[String] {
    document.facets.get(&facet).map(Vec::as_slice).unwrap_or_default()
}

fn passes(query: &Query, document: &Document, without: Option<Facet>) -> bool {
    let mut filters = query.filters.iter().filter(|(facet, _)| Some(**facet) != without);
    filters.all(|(facet, wanted)| values(document, *facet).iter().any(|value| wanted.contains(value)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn pages_are_the_parts_of_one_list(documents in any_documents(), query in any_query(), limit in 1_usize..7, batches in 1_usize..4) {
        let index = index_of(&documents, batches);
        let whole = index.search(&query).unwrap();
        let mut pages = Vec::new();
        let mut asked = Query { limit, ..query };
        loop {
            let page = index.search(&asked).unwrap();
            prop_assert_eq!(page.total, whole.total);
            prop_assert_eq!(&page.facets, &whole.facets);
            prop_assert!(page.hits.len() <= limit);
            pages.extend(page.hits);
            let Some(next) = page.next else { break };
            // As it travels through clients.
            asked.after = Some(next.to_string().parse().unwrap());
        }
        prop_assert_eq!(&pages, &whole.hits);
        prop_assert_eq!(whole.total, whole.hits.len());
        prop_assert!(whole.hits.windows(2).all(|two| (two[1].score, &two[0].key) <= (two[0].score, &two[1].key)));
    }

    #[test]
    fn nothing_hidden_shows_in_hits_or_counts(documents in any_documents(), query in any_query(), batches in 1_usize..4) {
        let index = index_of(&documents, batches);
        let answer = index.search(&query).unwrap();
        // What matches the text at all, by an index in which everything is open to the viewer; strictness may differ where less is
        // seen, so that only what is listed without a text is compared exactly.
        let visible: Vec<_> = documents.iter().filter(|document| sees(&query.viewer, document)).collect();
        for hit in &answer.hits {
            let document = documents.iter().find(|document| document.key == hit.key).unwrap();
            prop_assert!(sees(&query.viewer, document) && passes(&query, document, None), "{:?}", document);
        }
        let alone: Vec<Document> = visible.iter().map(|document| (*document).clone()).collect();
        let reference = index_of(&alone, 1).search(&query).unwrap();
        let keys = |answer: &Answer| answer.hits.iter().map(|hit| hit.key.clone()).collect::<BTreeSet<_>>();
        if query.text.is_none() {
            prop_assert_eq!(keys(&answer), keys(&reference));
            for facet in [Facet::Member, Facet::Level] {
                let mut naive: BTreeMap<&String, usize> = BTreeMap::new();
                for document in visible.iter().filter(|document| passes(&query, document, Some(facet))) {
                    values(document, facet).iter().for_each(|value| *naive.entry(value).or_default() += 1);
                }
                let counted = answer.facets.get(&facet).into_iter().flatten();
                let counted: BTreeMap<_, _> = counted.map(|count| (&count.value, count.count)).collect();
                prop_assert_eq!(counted, naive, "{}", facet);
            }
        } else {
            // Each count is made of documents that the viewer sees.
            for (facet, counts) in &answer.facets {
                for count in counts {
                    let most = visible.iter().filter(|d| values(d, *facet).contains(&count.value)).count();
                    prop_assert!(count.count <= most, "{}", facet);
                }
            }
        }
    }

    #[test]
    fn the_order_in_which_documents_came_changes_nothing_that_is_found(documents in any_documents(), query in any_query()) {
        let once = index_of(&documents, 1).search(&query).unwrap();
        let mut backwards = documents;
        backwards.reverse();
        let one_by_one = index_of(&backwards, backwards.len()).search(&query).unwrap();
        let keys = |answer: &Answer| answer.hits.iter().map(|hit| hit.key.clone()).collect::<BTreeSet<_>>();
        prop_assert_eq!(keys(&once), keys(&one_by_one));
        prop_assert_eq!(once.facets, one_by_one.facets);
    }

    #[test]
    fn any_question_is_answered(text in "\\PC{0,80}", after in "\\PC{0,40}") {
        let index = index_of(&[document("a", "Hund"), document("b", "Straße")], 1);
        index.search(&Query { after: after.parse().ok(), ..ask(&text) }).unwrap();
    }
}
