//! The rules of single keys.

use super::*;

#[test]
fn leistungsschluessel_and_its_absence() {
    let spaced = accepted("leistungsschluessel", "leistungsschluessel = [\"99 102 013 060 000\"]");
    assert_eq!(spaced.leistungsschluessel, ["99102013060000"]);
    refused(
        "leistungsschluessel",
        "leistungsschluessel = [\"nicht im LeiKa\"]",
        "bad_leistungsschluessel",
        "leistungsschluessel[0]",
        Some("\"nicht im LeiKa\""),
        "no_key_reason = \"nicht im LeiKa\"",
    );
    for bad in ["9910201306000", "9910201306000a", "99102013060000 1"] {
        let line = format!("leistungsschluessel = [{bad:?}]");
        refused(
            "leistungsschluessel",
            &line,
            "bad_leistungsschluessel",
            "leistungsschluessel[0]",
            Some(&format!("{bad:?}")),
            "14 digits",
        );
    }
    refused("leistungsschluessel", "leistungsschluessel = []", "missing", "leistungsschluessel", None, "no_key_reason");
    let none = accepted("leistungsschluessel", "leistungsschluessel = []\nno_key_reason = \"nicht im LeiKa\"");
    assert_eq!(none.no_key_reason.as_deref(), Some("nicht im LeiKa"));
    refused(
        "x",
        "no_key_reason = \"x\"",
        "contradiction",
        "no_key_reason",
        Some("\"x\""),
        "without leistungsschluessel",
    );
    let twice = "leistungsschluessel = [\"99102013060000\", \"99 102013060000\"]";
    refused("leistungsschluessel", twice, "duplicate", "leistungsschluessel[1]", Some("\"99 102013060000\""), "twice");
    refused(
        "leistungsschluessel",
        "leistungsschluessel = \"99102013060000\"",
        "wrong_type",
        "leistungsschluessel",
        Some("\"99102013060000\""),
        "must be a list",
    );
    assert_eq!(
        read(&with("leistungsschluessel", "leistungsschluessel = [99102013060000]")).unwrap_err()[0].code,
        "wrong_type"
    );
}

#[test]
fn topics_numbers_and_keywords() {
    refused("x", "ozg_id = [\"1010\"]", "bad_ozg_id", "ozg_id[0]", Some("\"1010\""), "5 digits");
    refused("x", "ozg_id = [10107]", "wrong_type", "ozg_id[0]", Some("10107"), "write it in quotes");
    for topic in THEMENFELDER {
        assert_eq!(accepted("x", &format!("themenfeld = {topic:?}")).themenfeld.as_deref(), Some(topic));
    }
    assert_eq!(accepted("x", "themenfeld = \"Steuern und Zoll\"").themenfeld.as_deref(), Some("Steuern & Zoll"));
    assert_eq!(accepted("x", "themenfeld = \"mobilität & reisen\"").themenfeld.as_deref(), Some("Mobilität & Reisen"));
    refused(
        "x",
        "themenfeld = \"Umwelten\"",
        "bad_themenfeld",
        "themenfeld",
        Some("\"Umwelten\""),
        "did you mean \"Umwelt\"?",
    );
    let fifty: Vec<String> = (0..51).map(|n| format!("\"w{n}\"")).collect();
    assert!(read(&with("x", &format!("keywords = [{}]", fifty[..50].join(",")))).is_ok());
    refused("x", &format!("keywords = [{}]", fifty.join(",")), "too_many", "keywords", None, "limit of 50");
    refused("x", "keywords = [\"a\", \"a\"]", "duplicate", "keywords[1]", Some("\"a\""), "twice");
}

#[test]
fn legal_basis_needs_a_name_and_a_web_address() {
    let m = accepted(
        "x",
        "legal_basis = [{ name = \"§ 22 WoGG\", uri = \"https://www.gesetze-im-internet.de/wogg/__22.html\" }]",
    );
    assert_eq!(m.legal_basis[0].name, "§ 22 WoGG");
    refused("x", "legal_basis = [{ uri = \"https://x.de\" }]", "missing", "legal_basis[0].name", None, "cited");
    for bad in ["ftp://x.de", "https://", "www.x.de", "https://a@b.de/", "https://x.de/a b", "javascript:alert(1)"] {
        let line = format!("legal_basis = [{{ name = \"x\", uri = {bad:?} }}]");
        refused("x", &line, "bad_uri", "legal_basis[0].uri", Some(&format!("{bad:?}")), "http or https");
    }
    refused("x", "legal_basis = [\"WoGG\"]", "wrong_type", "legal_basis[0]", Some("\"WoGG\""), "must be a table");
    refused(
        "x",
        &format!("legal_basis = [{{ name = \"{}\" }}]", "x".repeat(501)),
        "too_long",
        "legal_basis[0].name",
        Some(&format!("\"{}\"…", "x".repeat(80))),
        "limit of 500",
    );
}

#[test]
fn level_region_stage() {
    assert_eq!(accepted("level", "level = [\"land\", \"kommunal\"]").level, [Level::Land, Level::Kommunal]);
    refused("level", "level = []", "missing", "level", None, "bund, land, kommunal");
    refused(
        "level",
        "level = \"land\"",
        "wrong_type",
        "level",
        Some("\"land\""),
        "level = [\"kommunal\"]".split(" = ").nth(1).unwrap(),
    );
    refused("level", "level = [\"Land\"]", "unknown_value", "level[0]", Some("\"Land\""), "did you mean \"land\"?");
    for region in ["06", "065", "06411", "064110000", "064110000000", "00", "16"] {
        accepted("x", &format!("regions = [{region:?}]"));
    }
    for region in ["6", "0641", "17", "064110000001x", "Hessen"] {
        refused(
            "x",
            &format!("regions = [{region:?}]"),
            "bad_region",
            "regions[0]",
            Some(&format!("{region:?}")),
            "ARS",
        );
    }
    refused("x", "stage = \"fertig\"", "unknown_value", "stage", Some("\"fertig\""), "entwurf, pilot, produktiv");
    assert_eq!(accepted("x", "stage = \"pilot\"").stage, Some(Stage::Pilot));
}

#[test]
fn fim_status_maturity_and_trust() {
    accepted("x", "fim_status = { status = 6, list_version = \"2.0\" }");
    refused(
        "x",
        "fim_status = { status = 9, list_version = \"2.0\" }",
        "out_of_range",
        "fim_status.status",
        Some("9"),
        "1 to 8",
    );
    refused(
        "x",
        "fim_status = { status = 6 }",
        "missing",
        "fim_status.list_version",
        None,
        "version of the status list",
    );
    refused("x", "fim_status = 6", "wrong_type", "fim_status", Some("6"), "must be a table");
    accepted("x", "maturity = { model = \"1.1\", level = 4 }");
    accepted("x", "maturity = { model = \"2.0\", level = 7 }");
    refused("x", "maturity = { model = \"1.1\", level = 5 }", "out_of_range", "maturity.level", Some("5"), "0 to 4");
    refused("x", "maturity = { model = \"2.0\", level = 8 }", "out_of_range", "maturity.level", Some("8"), "0 to 7");
    refused(
        "x",
        "maturity = { model = \"3\", level = 1 }",
        "unknown_value",
        "maturity.model",
        Some("\"3\""),
        "1.1, 2.0",
    );
    refused(
        "x",
        "maturity = { model = \"2.0\", level = \"3\" }",
        "wrong_type",
        "maturity.level",
        Some("\"3\""),
        "number",
    );
    for level in ["00", "10", "15", "20", "30", "40"] {
        accepted("x", &format!("trust_level = {level:?}"));
    }
    refused("x", "trust_level = \"25\"", "unknown_value", "trust_level", Some("\"25\""), "00, 10, 15, 20, 30, 40");
}

#[test]
fn services_platform_and_parameters() {
    let m = accepted(
        "x",
        "base_services = [\"nutzerkonto\", { name = \"payment\", version = \"ePayBL 4\" }, \"geodaten\"]",
    );
    assert_eq!(m.base_services[1].version.as_deref(), Some("ePayBL 4"));
    warned("x", "base_services = [\"nutzerkonten\"]", "unusual_name");
    assert_eq!(accepted("platform", "platform = \"civento\"").platform.name, "civento");
    refused("platform", "platform = { min_version = \"1\" }", "missing", "platform.name", None, "civento");
    let m =
        accepted("x", "parameters = [{ name = \"Steuersatz\", type = \"number\", required = true, text = \"Euro\" }]");
    assert!(m.parameters[0].required);
    let secret = "parameters = [{ name = \"Kennwort\", type = \"secret\", value = \"geheim123\" }]";
    refused("x", secret, "parameter_value", "parameters[0].value", None, "never carry values");
    assert!(
        !format!("{:?}", read(&with("x", secret))).contains("geheim123"),
        "a value must not be repeated in a message"
    );
    refused(
        "x",
        "parameters = [{ name = \"a\", type = \"int\" }]",
        "unknown_value",
        "parameters[0].type",
        Some("\"int\""),
        "number",
    );
    refused(
        "x",
        "parameters = [{ name = \"a\", type = \"text\", required = \"ja\" }]",
        "wrong_type",
        "parameters[0].required",
        Some("\"ja\""),
        "true or false",
    );
}

#[test]
fn dependencies() {
    let m = accepted("x", "depends = [{ process = \"de-he/zahlung\", version = \"^1.2\" }]");
    assert_eq!(m.depends[0].kind, DependencyKind::Requires);
    refused(
        "x",
        "depends = [{ process = \"zahlung\", version = \"^1\" }]",
        "bad_reference",
        "depends[0].process",
        Some("\"zahlung\""),
        "de-he/hundesteuer-anmeldung",
    );
    refused(
        "x",
        "depends = [{ process = \"de-he/a\", version = \"neueste\" }]",
        "bad_range",
        "depends[0].version",
        Some("\"neueste\""),
        "^1.2",
    );
    refused(
        "x",
        "depends = [{ process = \"de-he/a\", version = \"1\", kind = \"braucht\" }]",
        "unknown_value",
        "depends[0].kind",
        Some("\"braucht\""),
        "requires, optional, embeds",
    );
    let text = with("x", "depends = [{ process = \"de-he/hundesteuer-anmeldung\", version = \"1\" }]");
    let owner = "de-he".parse().unwrap();
    let problems = Metadata::from_toml("p", &text, Context { owner: Some(&owner), files: None }).unwrap_err();
    assert_eq!((problems[0].code, problems[0].key.as_deref()), ("depends_on_itself", Some("depends[0]")));
    let other = "de-th".parse().unwrap();
    assert!(Metadata::from_toml("p", &text, Context { owner: Some(&other), files: None }).is_ok());
}

#[test]
fn licences_are_spdx() {
    for license in [
        "EUPL-1.2",
        "Apache-2.0 OR MIT",
        "(GPL-3.0-or-later WITH Classpath-exception-2.0) AND CC-BY-4.0",
        "LicenseRef-Hessen",
        "DL-DE-BY-2.0",
        "DL-DE-ZERO-2.0",
        "AGPL-3.0-only",
        "MPL-2.0",
        "BSD-3-Clause",
        "CC0-1.0",
    ] {
        accepted("license", &format!("license = {license:?}"));
    }
    refused("license", "license = \"EUPL 1.2\"", "bad_license", "license", Some("\"EUPL 1.2\""), "SPDX");
    refused(
        "license",
        "license = \"EUPL-1.3\"",
        "bad_license",
        "license",
        Some("\"EUPL-1.3\""),
        "did you mean \"EUPL-1",
    );
    refused("license", "license = \"MIT OR\"", "bad_license", "license", Some("\"MIT OR\""), "SPDX");
    refused("license", "license = \"frei\"", "bad_license", "license", Some("\"frei\""), "SPDX");
    warned("license", "license = \"GPL-3.0\"", "deprecated_license");
}

#[test]
fn terms_are_a_file_of_the_release() {
    let files = BTreeSet::from(["NUTZUNG.md".to_owned()]);
    let context = Context { owner: None, files: Some(&files) };
    let read = |line: &str| Metadata::from_toml("p", &with("x", line), context);
    assert_eq!(read("terms = \"NUTZUNG.md\"").unwrap().0.terms.unwrap().path.as_deref(), Some("NUTZUNG.md"));
    assert!(read("terms = \"fehlt.md\"").unwrap_err()[0].rule.contains("no file of this release"));
    refused("x", "terms = \"https://x.de/agb\"", "bad_terms", "terms", Some("\"https://x.de/agb\""), "an address dies");
    refused("x", "terms = \"../agb.md\"", "bad_terms", "terms", Some("\"../agb.md\""), "..");
    assert!(super::read(&with("x", "terms = { charter = \"x\" }")).is_err(), "only derivation refers to the charter");
}

#[test]
fn audience_cost_maintenance_change() {
    let m = accepted("x", "audience = { members = [\"de-th\", \"de-sl\"] }");
    assert_eq!(m.audience, Audience::Members(vec!["de-th".parse().unwrap(), "de-sl".parse().unwrap()]));
    assert_eq!(accepted("x", "audience = \"public\"").audience, Audience::Public);
    refused("x", "audience = \"alle\"", "unknown_value", "audience", Some("\"alle\""), "federation, public");
    refused(
        "x",
        "audience = { members = [\"Thüringen\"] }",
        "bad_handle",
        "audience.members[0]",
        Some("\"Thüringen\""),
        "handle",
    );
    refused("x", "cost = \"gratis\"", "unknown_value", "cost", Some("\"gratis\""), "none, shared, fee");
    assert_eq!(accepted("x", "cost = { kind = \"fee\", text = \"100 Euro\" }").cost.unwrap().kind, CostKind::Fee);
    refused(
        "maintenance",
        "maintenance = \"extern\"",
        "unknown_value",
        "maintenance",
        Some("\"extern\""),
        "internal, contract",
    );
    refused("maintenance", "maintenance = { text = \"x\" }", "missing", "maintenance.kind", None, "one of");
    refused("change", "change = \"neu\"", "wrong_type", "change", Some("\"neu\""), "must be a table");
    refused(
        "change",
        "change = { kind = \"neu\", text = \"x\" }",
        "unknown_value",
        "change.kind",
        Some("\"neu\""),
        "redaktionell",
    );
    refused("change", "change = { kind = \"fachlich\" }", "missing", "change.text", None, "what changed");
}

#[test]
fn contact_is_a_functional_mailbox() {
    for bad in ["Frau Müller", "a@b", "@x.de", "a b@x.de", "a@x..de", "a@-x.de"] {
        refused(
            "contact",
            &format!("contact = {bad:?}"),
            "bad_contact",
            "contact",
            Some(&format!("{bad:?}")),
            "mailbox",
        );
    }
    warned("contact", "contact = \"erika.mustermann@stadt.example\"", "personal_mailbox");
    for good in ["poststelle@hmdis.hessen.example", "buergerservice.kfz@stadt.example", "ozg-team@land.example"] {
        assert_eq!(read(&with("contact", &format!("contact = {good:?}"))).unwrap().1, [], "{good}");
    }
}

#[test]
fn origins() {
    let digest = format!("sha256:{}", "0".repeat(64));
    accepted("x", &format!("based_on = {{ release = \"de-he/hund@1.2.0\", digest = {digest:?} }}"));
    refused(
        "x",
        &format!("based_on = {{ release = \"de-he/hund\", digest = {digest:?} }}"),
        "bad_reference",
        "based_on.release",
        Some("\"de-he/hund\""),
        "@version",
    );
    refused(
        "x",
        "based_on = { release = \"de-he/hund@1.2.0\", digest = \"abc\" }",
        "bad_digest",
        "based_on.digest",
        Some("\"abc\""),
        "sha256:",
    );
    accepted("x", "succeeds = \"de-rp/hund\"");
    refused("x", "succeeds = \"hund\"", "bad_reference", "succeeds", Some("\"hund\""), "owner/slug");
}
