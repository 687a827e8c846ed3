mod received;
mod values;

use std::collections::BTreeSet;

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
