//! The rules, one table each.

use super::*;

#[test]
fn spellings_that_are_one() {
    for (a, b) in [
        ("Straße", "STRASSE"),
        ("Prüfung", "pruefung"),
        ("Prüfung", "Pru\u{308}fung"),
        ("Übermut", "UEBERMUT"),
        ("Ähre", "aehre"),
        ("Öl", "oel"),
        ("Café", "cafe"),
        ("Bau\u{ad}genehmigung", "Baugenehmigung"),
        ("ﬁnden", "finden"),
    ] {
        assert_eq!(fold(a), fold(b), "{a} {b}");
    }
    for kept in ["steuer", "quelle", "neue", "feuer", "bauer"] {
        assert_eq!(fold(kept), kept);
    }
}

#[test]
fn inflections_that_are_one() {
    let analyser = Analyser::default();
    for (a, b) in [
        ("Hund", "Hunde"),
        ("Hund", "Hundes"),
        ("anmelden", "Anmeldung"),
        ("Antrag", "Anträge"),
        ("Prüfung", "Prüfungen"),
        ("Ausweis", "Ausweises"),
        ("beglaubigen", "Beglaubigung"),
        ("befreien", "Befreiung"),
        ("verlängern", "Verlängerungen"),
    ] {
        assert_eq!(analyser.stem(&fold(a)), analyser.stem(&fold(b)), "{a} {b}");
    }
}

#[test]
fn words_have_their_places() {
    let text = "Kfz-Zulassung (§ 6 FZV): „Straße“ 99 102";
    let found: Vec<_> = Analyser::default().tokens(text).iter().map(|t| text[t.start..t.end].to_owned()).collect();
    assert_eq!(found, ["Kfz", "Zulassung", "6", "FZV", "Straße", "99", "102"]);
    assert!(Analyser::default().tokens(&"x".repeat(500)).is_empty());
}

fn with(words: &[&str]) -> Analyser {
    let plain = Analyser::default();
    let mut vocabulary = Vocabulary::default();
    for word in words {
        let word = fold(word);
        let stem = plain.stem(&word);
        vocabulary.insert(&word, stem);
    }
    Analyser::new(Arc::new(vocabulary))
}

#[test]
fn compounds_are_split_where_both_sides_are_words() {
    let analyser = with(&[
        "Wohngeld",
        "Antrag",
        "Wohnen",
        "Geld",
        "Hund",
        "Steuer",
        "Befreiung",
        "Bau",
        "Genehmigung",
        "Ende",
        "Gebühr",
        "Ordnung",
        "Kind",
        "Tag",
        "Pflege",
        "Kreis",
        "Verwaltung",
        "Arbeit",
        "Amt",
    ]);
    for (word, parts) in [
        ("Wohngeldantrag", "wohngeld antrag"),
        ("Hundesteuerbefreiung", "hund steu befrei"),
        ("Baugenehmigung", "bau genehm"),
        ("Gebührenordnung", "gebuhr ordn"),
        ("Kindespflege", "kind pfleg"),
        ("Arbeitsamt", "arbeit amt"),
        ("Kreisverwaltung", "kreis verwalt"),
        // A whole word, nothing that is left over, nothing too short.
        ("Genehmigung", ""),
        ("Geldwäsche", ""),
        ("Anordnung", ""),
    ] {
        let tokens = analyser.tokens(word);
        assert_eq!(tokens[0].parts.join(" "), parts, "{word}");
    }
    assert_eq!(analyser.tokens("Wohngeldantrag")[0].inner, ["wohn", "geld"]);
}

#[test]
fn one_slip_and_no_more() {
    let analyser = with(&["hundesteuer", "reisepass"]);
    for (typed, meant) in [
        ("hundesteur", 1),
        ("hundesteuerr", 1),
        ("hudnesteuer", 1),
        ("hundestoier", 0),
        ("hundesteuer", 0),
        ("reisepas", 1),
        ("reisep", 0),
    ] {
        assert_eq!(analyser.vocabulary().mistyped(typed).len(), meant, "{typed}");
    }
}

#[test]
fn the_list_of_synonyms_is_sound() {
    let synonyms = Synonyms::default();
    let stem = |text: &str| Analyser::default().tokens(text).into_iter().map(|token| token.stem).collect::<Vec<_>>();
    assert!(synonyms.of(&stem("Führerschein")).contains(&stem("Fahrerlaubnis")));
    assert!(synonyms.of(&stem("Fahrerlaubnis")).contains(&stem("Fuehrerschein")));
    assert!(synonyms.of(&stem("Perso")).contains(&stem("Personalausweis")));
    assert!(synonyms.of(&stem("Personalausweis")).is_empty(), "one way only");
    for line in include_str!("synonyms.txt").lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        assert!(line.contains(['=', '>']), "neither = nor >: {line}");
        assert!(line.matches('>').count() <= 1, "{line}");
    }
}
