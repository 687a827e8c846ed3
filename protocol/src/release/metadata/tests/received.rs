//! Reading what others signed, and arbitrary input.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A file that sets every key.
const FULL: &str = r#"
id = "hundesteuer-anmeldung"
version = "2.1.0-rc.1"
title = "Hundesteuer: Anmeldung"
summary = "Meldet einen Hund an"
description = "Erste Zeile\nzweite Zeile"
leistungsschluessel = ["99102013060000"]
ozg_id = ["10107"]
themenfeld = "Steuern & Zoll"
keywords = ["Hund"]
legal_basis = [{ name = "KAG" }]
level = ["kommunal"]
regions = ["06"]
stage = "produktiv"
fim_status = { status = 6, list_version = "2.0" }
maturity = { model = "1.1", level = 3 }
trust_level = "10"
base_services = ["payment"]
platform = { name = "civento", min_version = "8", key = "HUND" }
depends = [{ process = "mitte:de-he/zahlung", version = "^1.2", kind = "optional" }]
parameters = [{ name = "Satz", type = "number", required = true }]
license = "EUPL-1.2"
terms = "NUTZUNG.md"
audience = { members = ["de-th"] }
cost = { kind = "shared", text = "anteilig" }
maintenance = "community"
change = { kind = "rechtlich", text = "neue Satzung" }
contact = "prozesse@example.de"
responsible = "Stadt Beispiel"
partners = ["Stadt Muster"]
based_on = { release = "de-rp/hund@1.0.0", digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }
succeeds = "de-rp/hund"
"#;

#[test]
fn the_predicate_reads_back_to_the_same_metadata() {
    for text in [MINIMAL, FULL] {
        let metadata = read(text).unwrap().0;
        let received = Received::parse(metadata.to_json()).unwrap();
        assert_eq!(received.metadata(), &metadata);
        assert_eq!(received.raw(), &metadata.to_json());
    }
    let table: BTreeSet<String> = FULL.parse::<::toml::Table>().unwrap().keys().cloned().collect();
    let json = read(FULL).unwrap().0.to_json();
    assert_eq!(
        json.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(),
        table,
        "every key of the table is in the predicate"
    );
}

#[test]
fn receiving_keeps_what_it_does_not_know() {
    let mut json = read(FULL).unwrap().0.to_json();
    json["new_key"] = json!({ "deep": [1, "x"] });
    json["stage"] = json!("auslaufend");
    json["change"]["kind"] = json!("technisch");
    json["platform"]["new"] = json!(true);
    json["ozg_id"] = json!(["nicht fünf"]);
    json["license"] = json!("Not-An-SPDX");
    let received = Received::parse(json.clone()).unwrap();
    assert_eq!(received.raw(), &json);
    assert_eq!(received.metadata().stage, Some(Stage::Other("auslaufend".into())));
    assert_eq!(received.metadata().change.kind.as_str(), "technisch");
    assert_eq!(received.metadata().ozg_id, ["nicht fünf"]);
    for audience in [
        json!("partner"),
        json!({ "members": ["de-th"], "until": 5 }),
        json!({ "members": ["NOT A HANDLE"] }),
        json!(null),
    ] {
        json["audience"] = audience.clone();
        let unknown = Received::parse(json.clone()).unwrap().into_metadata().audience;
        assert_eq!(unknown, Audience::Other(audience));
        assert!(!unknown.admits(&"de-th".parse().unwrap()), "an audience that is not understood admits nobody");
    }
}

#[test]
fn receiving_refuses_other_shapes_and_excess() {
    let base = read(FULL).unwrap().0.to_json();
    for (key, value, why) in [
        ("id", json!("Not A Slug"), "slug"),
        ("version", json!("1"), "version"),
        ("version", json!("1.0.0+build"), "build metadata"),
        ("title", json!("ä".repeat(301)), "limit of 300"),
        ("title", json!(7), "string"),
        ("summary", json!("x".repeat(151)), "limit of 150"),
        ("description", json!("x".repeat(10_001)), "limit of 10000"),
        ("keywords", json!(vec!["x"; 51]), "limit of 50"),
        ("legal_basis", json!([{ "name": "x".repeat(2_001) }]), "limit of 2000"),
        ("unknown", json!({ "deep": ["x".repeat(2_001)] }), "limit of 2000"),
        ("unknown", json!(vec![0; 501]), "limit of 500"),
        ("level", json!("kommunal"), "sequence"),
        ("depends", json!([{ "process": "x" }]), "process"),
    ] {
        let mut json = base.clone();
        json[key] = value;
        let error = Received::parse(json).unwrap_err();
        assert_eq!(error.key, key);
        assert!(error.to_string().contains(why), "{error}");
    }
    for key in ["id", "version", "title", "summary", "level", "platform", "license", "maintenance", "change", "contact"]
    {
        let mut json = base.clone();
        json.as_object_mut().unwrap().remove(key);
        assert_eq!(Received::parse(json).unwrap_err().to_string(), format!("metadata key {key:?}: missing"));
    }
    assert!(Received::parse(json!([])).is_err());
}

#[test]
fn audiences_only_nest_one_way() {
    let members = |m: &[&str]| Audience::Members(m.iter().map(|h| h.parse().unwrap()).collect());
    let (few, more) = (members(&["de-th"]), members(&["de-sl", "de-th"]));
    for (narrow, wide) in [
        (&few, &more),
        (&more, &Audience::Federation),
        (&Audience::Federation, &Audience::Public),
        (&few, &Audience::Public),
    ] {
        assert!(narrow.within(wide));
        assert!(!wide.within(narrow));
    }
    let other = Audience::Other(json!("x"));
    assert!(!other.within(&Audience::Public) && !Audience::Public.within(&other) && other.within(&other));
}

proptest! {
    #![proptest_config(crate::testing::cases(256))]

    #[test]
    fn reading_never_panics(text in "\\PC{0,200}", key in "[a-z_]{1,20}", value in "(\"\\PC{0,20}\"|[0-9.]{1,8}|\\[\\]|\\{\\}|true|1979-05-27|\\[\\[1\\]\\]|\\{a=1\\})") {
        let _ = read(&text);
        let _ = read(&with(&key, &format!("{key} = {value}")));
    }

    #[test]
    fn any_value_at_any_key_is_refused_or_read_back(index in 0_usize..31, value in "(\"\\PC{0,12}\"|-?[0-9]{1,5}|\\[\"\\PC{0,8}\"\\]|\\{ name = \"x\" \\}|\\{ kind = \"fee\" \\}|false)") {
        let key = FULL.lines().filter(|l| l.contains(" = ")).nth(index).unwrap().split(" = ").next().unwrap();
        let text: String = FULL.lines().map(|l| if l.starts_with(&format!("{key} = ")) { format!("{key} = {value}\n") } else { format!("{l}\n") }).collect();
        match read(&text) {
            Ok((metadata, _)) => prop_assert_eq!(Received::parse(metadata.to_json()).unwrap().into_metadata(), metadata),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn receiving_never_panics(text in "[\\[\\]{}\":,a-z0-9 ]{0,60}") {
        if let Ok(json) = serde_json::from_str(&text) {
            let _ = Received::parse(json);
        }
    }
}
