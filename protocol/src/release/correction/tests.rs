use serde_json::json;

use super::*;
use crate::release::metadata::Context;
use crate::release::metadata::tests::{MINIMAL, with};

fn original(extra: &str) -> Metadata {
    Metadata::from_toml("p", &with("x", extra), Context::default()).unwrap().0
}

#[test]
fn descriptive_keys_change_and_nothing_else() {
    let (changes, warnings) = Changes::from_toml(
        "c.toml",
        "title = \"Neu\"\nkeywords = []\nleistungsschluessel = [\"99 102 013 060 001\"]\nstage = \"produktiv\"\nmaintenance = \"none\"\n\
         contact = \"neu@example.de\"\naudience = \"public\"",
    )
    .unwrap();
    assert_eq!(warnings, []);
    let before = original("keywords = [\"Hund\"]");
    changes.check(&before).unwrap();
    let after = changes.apply(&before);
    assert_eq!(
        (after.title.as_str(), after.keywords.len(), after.leistungsschluessel[0].as_str()),
        ("Neu", 0, "99102013060001")
    );
    let undone = Metadata {
        title: before.title.clone(),
        keywords: before.keywords.clone(),
        leistungsschluessel: before.leistungsschluessel.clone(),
        stage: before.stage.clone(),
        maintenance: before.maintenance.clone(),
        contact: before.contact.clone(),
        audience: before.audience.clone(),
        ..after
    };
    assert_eq!(undone, before);
    assert_eq!(Changes::from_fields(&changes.to_fields()).unwrap(), changes);
}

#[test]
fn every_key_of_a_release_is_either_correctable_or_fixed() {
    for key in FIXED {
        let line = MINIMAL
            .lines()
            .find(|l| l.starts_with(&format!("{key} =")))
            .map_or_else(|| format!("{key} = \"x\""), str::to_owned);
        let problems = Changes::from_toml("c.toml", &line).unwrap_err();
        assert_eq!(
            (problems[0].code, problems[0].key.as_deref(), problems[0].line),
            ("fixed", Some(key), Some(1)),
            "{problems:?}"
        );
    }
    let all: std::collections::BTreeSet<_> = CORRECTABLE.iter().chain(&FIXED).collect();
    assert_eq!(all.len(), 32, "no key is in both lists");
    let problems = Changes::from_toml("c.toml", "titel = \"x\"").unwrap_err();
    assert_eq!((problems[0].code, problems[0].key.as_deref()), ("unknown_key", Some("titel")));
}

#[test]
fn rules_of_publishing_hold_for_corrections() {
    for (line, code) in [
        ("title = \"\"", "empty"),
        ("contact = \"nobody\"", "bad_contact"),
        ("ozg_id = [\"1\"]", "bad_ozg_id"),
        ("leistungsschluessel = [\"nicht im LeiKa\"]", "bad_leistungsschluessel"),
        ("stage = \"fertig\"", "unknown_value"),
        ("", "empty"),
        ("title = [", "toml"),
    ] {
        assert_eq!(Changes::from_toml("c.toml", line).unwrap_err()[0].code, code, "{line}");
    }
}

#[test]
fn an_audience_only_widens() {
    let check = |before: &str, after: &str| {
        Changes::from_toml("c", &format!("audience = {after}"))
            .unwrap()
            .0
            .check(&original(&format!("audience = {before}")))
    };
    let (few, more) = ("{ members = [\"de-th\"] }", "{ members = [\"de-th\", \"de-sl\"] }");
    for (narrow, wide) in [(few, more), (more, "\"federation\""), ("\"federation\"", "\"public\"")] {
        assert_eq!(check(narrow, wide), Ok(()));
        assert_eq!(check(wide, narrow), Err(CorrectionError::Narrower), "{wide} to {narrow}");
    }
}

#[test]
fn receiving_ignores_other_keys_and_refuses_other_shapes() {
    let fields = |v: Value| v.as_object().unwrap().clone();
    let changes =
        Changes::from_fields(&fields(json!({ "title": "x", "license": "MIT", "new": [1], "stage": "auslaufend" })))
            .unwrap();
    let before = original("");
    let after = changes.apply(&before);
    assert_eq!(after.license, before.license);
    assert_eq!(after.stage, Some(Stage::Other("auslaufend".into())));
    for bad in [json!({ "title": 1 }), json!({ "title": "x".repeat(301) }), json!({ "keywords": "x" })] {
        assert!(matches!(Changes::from_fields(&fields(bad)), Err(CorrectionError::Shape(_))));
    }
    assert_eq!(Changes::from_fields(&fields(json!({ "license": "MIT" }))), Err(CorrectionError::Empty));
    assert_eq!(Changes::default().check(&before), Err(CorrectionError::Empty));
}

#[test]
fn a_key_ends_the_reason_for_its_absence() {
    let before = Metadata { leistungsschluessel: vec![], no_key_reason: Some("nicht im LeiKa".into()), ..original("") };
    let changes = Changes { leistungsschluessel: Some(vec!["99102013060000".into()]), ..Changes::default() };
    assert_eq!(changes.apply(&before).no_key_reason, None);
}
