use super::*;

const PROCESS: &str = r#"
title = "Hundesteuer: Anmeldung"
summary = "Meldet einen Hund an"
leistungsschluessel = ["99102013060000"]
change = { kind = "fachlich", text = "Erste Fassung" }
"#;
const DEFAULTS: &str = r#"
contact = "prozesse@example.de"
maintenance = { kind = "internal", text = "Referat D 3" }
level = ["kommunal"]
platform = { name = "civento", min_version = "8.2" }
responsible = "Hessisches Ministerium"
"#;

fn versions(list: &[&str]) -> Published {
    Published { versions: list.iter().map(|v| v.parse().unwrap()).collect() }
}

fn run(process: &str, defaults: Option<&str>, folder: &str, published: &Published) -> Result<Derived, Vec<Problem>> {
    let charter =
        CharterDefaults { license: Some("EUPL-1.2".into()), terms: Some("Kooperationsvereinbarung, Anlage 2".into()) };
    derive(Inputs {
        process: Source { file: "process.toml", text: process },
        defaults: defaults.map(|text| Source { file: "/team/publish-defaults.toml", text }),
        folder,
        published,
        charter: &charter,
        context: Context::default(),
    })
}

#[test]
fn title_summary_and_change_are_enough() {
    let derived = run(PROCESS, Some(DEFAULTS), "Hundesteuer Anmeldung", &Published::default()).unwrap();
    let m = &derived.metadata;
    assert_eq!(m.id.as_str(), "hundesteuer-anmeldung");
    assert_eq!(m.version, Version::new(1, 0, 0));
    assert_eq!(m.license, "EUPL-1.2");
    assert_eq!(m.terms.as_ref().unwrap().charter.as_deref(), Some("Kooperationsvereinbarung, Anlage 2"));
    assert_eq!(m.contact, "prozesse@example.de");
    assert_eq!(m.platform.min_version.as_deref(), Some("8.2"));
    let filled: Vec<_> = derived.notes.iter().map(|n| n.key).collect();
    assert_eq!(
        filled,
        ["contact", "level", "maintenance", "platform", "responsible", "license", "terms", "id", "version"]
    );
}

#[test]
fn what_is_written_counts_before_what_is_derived() {
    let process = format!(
        "id = \"hund\"\nversion = \"3.0.0\"\nlicense = \"Apache-2.0\"\ncontact = \"anders@example.de\"\n{PROCESS}"
    );
    let m = run(&process, Some(DEFAULTS), "x", &versions(&["1.0.0", "2.4.1"])).unwrap().metadata;
    assert_eq!((m.id.as_str(), m.version.to_string().as_str()), ("hund", "3.0.0"));
    assert_eq!((m.license.as_str(), m.contact.as_str()), ("Apache-2.0", "anders@example.de"));
}

#[test]
fn the_kind_of_change_decides_the_version() {
    for (kind, from, to) in [
        ("redaktionell", "1.2.3", "1.2.4"),
        ("sicherheit", "1.2.3", "1.2.4"),
        ("fachlich", "1.2.3", "1.3.0"),
        ("rechtlich", "1.2.3", "1.3.0"),
        ("redaktionell", "2.0.0-rc.1", "2.0.0"),
        ("fachlich", "2.0.0-rc.1", "2.0.0"),
    ] {
        let process = PROCESS.replace("fachlich", kind);
        let m = run(&process, Some(DEFAULTS), "hund", &versions(&["0.9.0", from, "1.0.0"])).unwrap().metadata;
        assert_eq!(m.version.to_string(), to, "{kind} after {from}");
    }
}

#[test]
fn versions_rise_within_a_major_version() {
    let at = |version: &str, published: &[&str]| {
        run(&format!("version = {version:?}\n{PROCESS}"), Some(DEFAULTS), "hund", &versions(published))
            .map(|d| d.metadata.version)
    };
    for (version, code) in [("1.2.0", "version_taken"), ("1.1.9", "version_falls"), ("1.3.0-rc.1", "version_falls")] {
        let problems = at(version, &["1.2.0", "1.3.0", "2.0.0"]).unwrap_err();
        assert_eq!(
            (problems[0].code, problems[0].key.as_deref(), problems[0].line),
            (code, Some("version"), Some(1)),
            "{version}"
        );
        assert_eq!(problems[0].value.as_deref(), Some(format!("{version:?}").as_str()));
    }
    assert!(at("1.2.1", &["1.2.0", "2.0.0"]).is_ok(), "an old major version may still be maintained");
}

#[test]
fn problems_name_the_file_they_stand_in() {
    let defaults = DEFAULTS.replace("prozesse@example.de", "nobody").replace("[\"kommunal\"]", "[\"stadt\"]");
    let problems = run(PROCESS, Some(&defaults), "hund", &Published::default()).unwrap_err();
    let places: Vec<_> = problems.iter().map(|p| (p.file.as_str(), p.line, p.key.as_deref())).collect();
    assert!(places.contains(&("/team/publish-defaults.toml", Some(2), Some("contact"))), "{places:?}");
    assert!(places.contains(&("/team/publish-defaults.toml", Some(4), Some("level[0]"))), "{places:?}");

    let problems =
        run(PROCESS, Some(&format!("title = \"x\"\n{DEFAULTS}")), "hund", &Published::default()).unwrap_err();
    assert_eq!(
        (problems[0].code, problems[0].key.as_deref()),
        ("unknown_key", Some("title")),
        "a title is not for a whole team"
    );

    let problems = run(PROCESS, Some("a = = 1"), "hund", &Published::default()).unwrap_err();
    assert_eq!((problems.len(), problems[0].code), (1, "toml"), "{problems:?}");
    assert_eq!(problems[0].file, "/team/publish-defaults.toml");
}

#[test]
fn without_sources_the_mandatory_keys_are_asked_for() {
    let problems = run(PROCESS, None, "–––", &Published::default()).unwrap_err();
    let keys: Vec<_> = problems.iter().filter_map(|p| p.key.as_deref()).collect();
    assert_eq!(keys, ["id", "platform", "maintenance", "contact", "level"]);
    let problems = run(&PROCESS.replace("fachlich", "neu"), Some(DEFAULTS), "hund", &Published::default()).unwrap_err();
    let codes: Vec<_> = problems.iter().map(|p| (p.code, p.key.as_deref())).collect();
    assert_eq!(codes, [("unknown_value", Some("change.kind"))]);
}

#[test]
fn a_bad_charter_default_says_that_it_is_the_charters() {
    let charter = CharterDefaults { license: Some("frei".into()), terms: None };
    let inputs = Inputs {
        process: Source { file: "process.toml", text: PROCESS },
        defaults: Some(Source { file: "d", text: DEFAULTS }),
        folder: "hund",
        published: &Published::default(),
        charter: &charter,
        context: Context::default(),
    };
    let problems = derive(inputs).unwrap_err();
    assert_eq!((problems[0].file.as_str(), problems[0].code, problems[0].line), ("charter", "bad_license", None));
}

#[test]
fn no_version_overflows() {
    let high = format!("{0}.{0}.{0}", u64::MAX);
    for kind in [ChangeKind::Fachlich, ChangeKind::Redaktionell] {
        let _ = versions(&[&high]).next(&kind);
    }
}
