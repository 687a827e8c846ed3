use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::release::Problem;

/// A complete file; each test changes or adds lines.
pub(in crate::release) const MINIMAL: &str = r#"
id = "hundesteuer-anmeldung"
version = "1.0.0"
title = "Hundesteuer: Anmeldung"
summary = "Meldet einen Hund zur Hundesteuer an"
leistungsschluessel = ["99102013060000"]
level = ["kommunal"]
license = "EUPL-1.2"
maintenance = "internal"
contact = "prozesse@example.de"
platform = { name = "civento" }
change = { kind = "fachlich", text = "Erste Fassung" }
"#;

fn read(text: &str) -> Result<(Metadata, Vec<Problem>), Vec<Problem>> {
    Metadata::from_toml("process.toml", text, Context::default())
}

/// [`MINIMAL`] with the line of `key` replaced by `line`, or `line` added if there is none.
pub(in crate::release) fn with(key: &str, line: &str) -> String {
    let mut found = false;
    let mut lines: Vec<&str> = MINIMAL
        .lines()
        .map(|l| {
            if l.starts_with(&format!("{key} =")) {
                found = true;
                line
            } else {
                l
            }
        })
        .collect();
    if !found {
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

/// Replaces or adds `line`, and expects exactly one refusal: of this code, at this key, showing this value, in words that hold `rule`.
#[track_caller]
fn refused(key: &str, line: &str, code: &str, at: &str, value: Option<&str>, rule: &str) {
    let text = with(key, line);
    let problems = read(&text).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let problem = &problems[0];
    assert_eq!((problem.code, problem.key.as_deref()), (code, Some(at)), "{problem}");
    assert_eq!(problem.value.as_deref(), value, "{problem}");
    assert!(problem.rule.contains(rule), "{problem}");
    assert_eq!(problem.file, "process.toml");
    if code != "missing" {
        let expected = text.lines().position(|l| l == line.lines().next().unwrap()).unwrap() as u32 + 1;
        assert!(problem.line.is_some_and(|l| l >= expected), "{problem:?} not at line {expected} or below");
    }
}

#[track_caller]
fn accepted(key: &str, line: &str) -> Metadata {
    read(&with(key, line)).unwrap_or_else(|p| panic!("{line}: {}", p[0])).0
}

#[track_caller]
fn warned(key: &str, line: &str, code: &str) {
    let (_, warnings) = read(&with(key, line)).unwrap();
    assert_eq!(warnings.iter().map(|w| w.code).collect::<Vec<_>>(), [code], "{line}");
}

#[test]
fn a_minimal_file_has_no_warnings() {
    let (metadata, warnings) = read(MINIMAL).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(metadata.audience, Audience::Federation);
    assert_eq!(metadata.change.kind, ChangeKind::Fachlich);
}

#[test]
fn every_missing_mandatory_key_is_named_at_once() {
    let problems = read("").unwrap_err();
    let missing: BTreeSet<_> =
        problems.iter().filter(|p| p.code == "missing").filter_map(|p| p.key.as_deref()).collect();
    let expected = [
        "change",
        "contact",
        "id",
        "leistungsschluessel",
        "level",
        "license",
        "maintenance",
        "platform",
        "summary",
        "title",
        "version",
    ];
    assert_eq!(missing, BTreeSet::from(expected));
    for key in expected {
        let left: String =
            MINIMAL.lines().filter(|l| !l.starts_with(&format!("{key} ="))).map(|l| format!("{l}\n")).collect();
        let problems = read(&left).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!((problems[0].code, problems[0].key.as_deref()), ("missing", Some(key)));
    }
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    refused("x", "licence = \"EUPL-1.2\"", "unknown_key", "licence", Some("\"EUPL-1.2\""), "did you mean \"license\"?");
    refused("x", "beschreibung = \"x\"", "unknown_key", "beschreibung", Some("\"x\""), "did you mean \"description\"?");
    refused("x", "keyword = []", "unknown_key", "keyword", None, "did you mean \"keywords\"?");
    refused("x", "qqqqqq = 1", "unknown_key", "qqqqqq", Some("1"), "known here: ");
    refused("platform", "platform = { name = \"c\", nmae = 1 }", "unknown_key", "platform.nmae", Some("1"), "\"name\"");
    refused("x", "[x]\ntitel = 1", "unknown_key", "x", None, "unknown key");
}

#[test]
fn toml_mistakes_name_the_line() {
    for (text, line) in [("a = 1\nb = = 2\n", 2), ("title = \"a\"\ntitle = \"b\"\n", 2), ("a = \"x\n", 1)] {
        let problems = read(text).unwrap_err();
        assert_eq!((problems[0].code, problems[0].line), ("toml", Some(line)), "{text:?} {problems:?}");
    }
    assert_eq!(read(&"# \n".repeat(100_000)).unwrap_err()[0].code, "too_long");
    assert!(read(&format!("\u{feff}{MINIMAL}")).is_ok(), "a byte order mark is no mistake");
    assert!(read(&MINIMAL.replace('\n', "\r\n")).is_ok());
    assert!(read(&format!("a = {}", "[".repeat(10_000))).is_err());
}

#[test]
fn id_and_version() {
    refused(
        "id",
        "id = \"Hundesteuer Anmeldung\"",
        "bad_id",
        "id",
        Some("\"Hundesteuer Anmeldung\""),
        "for example hundesteuer-anmeldung",
    );
    refused("id", "id = 7", "wrong_type", "id", Some("7"), "write it in quotes");
    refused(
        "id",
        &format!("id = {:?}", "a".repeat(65)),
        "bad_id",
        "id",
        Some(&format!("{:?}", "a".repeat(65))),
        "1-64",
    );
    refused("version", "version = \"1.0\"", "bad_version", "version", Some("\"1.0\""), "semantic version");
    refused("version", "version = 1.0", "wrong_type", "version", Some("1.0"), "write it in quotes");
    refused("version", "version = \"1.0.0+x\"", "bad_version", "version", Some("\"1.0.0+x\""), "build metadata");
    refused("version", "version = \"v1.0.0\"", "bad_version", "version", Some("\"v1.0.0\""), "semantic version");
    let long = format!("1.0.0-{}", "a".repeat(80));
    assert_eq!(read(&with("version", &format!("version = {long:?}"))).unwrap_err()[0].code, "bad_version");
    assert_eq!(accepted("version", "version = \"2.0.0-rc.1\"").version.to_string(), "2.0.0-rc.1");
}

#[test]
fn texts_are_plain_trimmed_and_bounded() {
    refused("title", "title = \"\"", "empty", "title", Some("\"\""), "must not be empty");
    refused("title", "title = \"a\\nb\"", "not_plain_text", "title", Some("\"a\\nb\""), "line break");
    refused("title", "title = \"a\\u0007b\"", "not_plain_text", "title", Some("\"a\\u{7}b\""), "U+0007");
    refused("title", "title = \"a\\u202Eb\"", "not_plain_text", "title", Some("\"a\\u{202e}b\""), "U+202E");
    assert_eq!(read(&with("title", "title = \"u\\u0308ber\"")).unwrap_err()[0].code, "not_nfc");
    let over = |key: &str, n: usize| with(key, &format!("{key} = \"{}\"", "ä".repeat(n)));
    for (key, max) in [("title", 300), ("summary", 150), ("description", 10_000)] {
        assert!(read(&over(key, max)).is_ok(), "{key}");
        let problems = read(&over(key, max + 1)).unwrap_err();
        assert_eq!((problems[0].code, problems[0].key.as_deref()), ("too_long", Some(key)));
        assert!(problems[0].rule.contains(&max.to_string()));
    }
    assert_eq!(accepted("title", "title = \" Hund \"").title, "Hund");
    assert_eq!(
        accepted("description", "description = \"\"\"\neins\r\nzwei\n\"\"\"").description.unwrap(),
        "eins\nzwei"
    );
    refused("description", "description = \"a\\tb\"", "not_plain_text", "description", Some("\"a\\tb\""), "a tab");
}

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
    assert!(self::read(&with("x", "terms = { charter = \"x\" }")).is_err(), "only derivation refers to the charter");
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

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
