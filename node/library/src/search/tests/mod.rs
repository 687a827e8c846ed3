//! The index as its callers use it.

mod disk;
mod laws;

use super::*;

/// A document that everybody may see.
fn document(key: &str, title: &str) -> Document {
    Document {
        key: key.into(),
        group: key.into(),
        classes: vec!["public".into()],
        title: title.into(),
        ..Document::default()
    }
}

fn filled(documents: Vec<Document>) -> Index {
    let index = Index::in_memory().unwrap();
    let groups: Vec<_> = documents.into_iter().map(|document| (document.group.clone(), vec![document])).collect();
    index.replace(&groups, None).unwrap();
    index
}

fn ask(text: &str) -> Query {
    Query { text: Some(text.into()), viewer: vec!["public".into()], limit: 10, ..Query::default() }
}

fn keys(index: &Index, query: &Query) -> Vec<String> {
    index.search(query).unwrap().hits.into_iter().map(|hit| hit.key).collect()
}

#[test]
fn spellings_and_inflections_meet() {
    let index = filled(vec![document("a", "Prüfung der Straße"), document("b", "Anmeldung eines Hundes")]);
    assert_eq!(keys(&index, &ask("pruefungen")), ["a"]);
    assert_eq!(keys(&index, &ask("STRASSEN")), ["a"]);
    assert_eq!(keys(&index, &ask("hunde anmelden")), ["b"]);
    assert!(keys(&index, &ask("Katze")).is_empty());
}

#[test]
fn what_is_replaced_or_removed_is_found_no_more() {
    let index = filled(vec![document("a", "Hund"), document("b", "Katze")]);
    index.replace(&[("a".into(), vec![document("a", "Pferd")])], None).unwrap();
    assert!(keys(&index, &ask("Hund")).is_empty());
    assert_eq!(keys(&index, &ask("Pferd")), ["a"]);
    index.remove(&["b".into()], None).unwrap();
    assert!(keys(&index, &ask("Katze")).is_empty());
}

#[test]
fn keys_are_found_whole_and_by_their_beginning() {
    let mut with = document("a", "Hundesteuer");
    with.numbers = vec!["99102013000000".into(), "10513".into()];
    let index = filled(vec![with, document("b", "Anderes")]);
    for text in ["99102013000000", "99 102 013 000000", "99102", "10513"] {
        assert_eq!(keys(&index, &ask(text)), ["a"], "{text}");
    }
    assert!(keys(&index, &ask("99103")).is_empty());
}

#[test]
fn matches_are_ranges_of_plain_text() {
    let mut with = document("a", "Hundesteuer & <b>Prüfung</b>");
    with.summary = "Die Prüfung der Hunde.".into();
    let index = filled(vec![with]);
    let answer = index.search(&ask("prüfung")).unwrap();
    let hit = &answer.hits[0];
    assert_eq!(hit.title.text, "Hundesteuer & <b>Prüfung</b>");
    assert_eq!(hit.title.ranges.iter().map(|r| &hit.title.text[r.clone()]).collect::<Vec<_>>(), ["Prüfung"]);
    assert_eq!(hit.snippet.ranges.iter().map(|r| &hit.snippet.text[r.clone()]).collect::<Vec<_>>(), ["Prüfung"]);
}

#[test]
fn compounds_and_their_parts_meet() {
    let index = filled(vec![
        document("a", "Wohngeldantrag"),
        document("b", "Wohngeld Bewilligung"),
        document("c", "Antrag auf Hilfe"),
    ]);
    assert_eq!(keys(&index, &ask("antrag wohngeld"))[0], "a");
    assert_eq!(keys(&index, &ask("Wohngeldanträge"))[0], "a");
}

#[test]
fn a_compound_is_found_by_words_that_came_later() {
    let index = filled(vec![document("a", "Hundesteuerbefreiung")]);
    assert!(keys(&index, &ask("befreiung steuer")).is_empty());
    index.replace(&[("b".into(), vec![document("b", "Steuer für Hunde, Befreiung")])], None).unwrap();
    let mut found = keys(&index, &ask("hund befreiung steuer"));
    found.sort();
    assert_eq!(found, ["a", "b"]);
}

#[test]
fn beginnings_slips_and_synonyms_are_understood() {
    let index = filled(vec![
        document("a", "Personalausweis Ausstellung"),
        document("b", "Fahrerlaubnis"),
        document("c", "Hundesteuer"),
    ]);
    assert_eq!(keys(&index, &ask("Personalaus")), ["a"]);
    assert_eq!(keys(&index, &ask("Perso")), ["a"]);
    assert_eq!(keys(&index, &ask("Führerschein")), ["b"]);
    for slip in ["Hundestuer", "Hundesteur", "Hundessteuer", "Hundestwuer"] {
        assert_eq!(keys(&index, &ask(slip)), ["c"], "{slip}");
    }
}
