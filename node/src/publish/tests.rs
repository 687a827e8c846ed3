//! Folders as publishers have them, and as attackers make them.

mod hostile;
mod real;

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use verbund_protocol::release::Derived;

use super::*;

const PROCESS: &str = r#"
title = "Hundesteuer: Anmeldung"
summary = "Meldet einen Hund an"
leistungsschluessel = ["99102013000000"]
level = ["kommunal"]
license = "EUPL-1.2"
maintenance = "internal"
contact = "prozesse@example.de"
platform = "civento"
change = { kind = "fachlich", text = "Erste Fassung" }
"#;

/// A folder `hundesteuer` with a `process.toml` and these files.
fn folder(files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("hundesteuer");
    fs::create_dir(&root).unwrap();
    fs::write(root.join(PROCESS_FILE), PROCESS).unwrap();
    for (path, bytes) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    (dir, root)
}

fn prepared(root: &Path) -> Result<Ready, Vec<Problem>> {
    prepare(root, Known { owner: None, published: &Published::default(), charter: &CharterDefaults::default() })
}

fn names(scanned: &Scanned) -> Vec<&str> {
    scanned.files.iter().map(|f| f.path.as_str()).collect()
}

fn skipped(scanned: &Scanned) -> Vec<&str> {
    scanned.skipped.iter().map(|s| s.path.as_str()).collect()
}

fn codes(problems: &[Problem]) -> Vec<(&str, &str)> {
    problems.iter().map(|p| (p.code, p.file.as_str())).collect()
}

#[test]
fn a_folder_becomes_a_manifest_of_its_bytes() {
    let (_dir, root) = folder(&[("a/b.xml", b"<x/>"), ("leer.txt", b""), ("Größe (neu).csv", b"a;b")]);
    let ready = prepared(&root).unwrap();
    assert_eq!(names(&ready.scanned), ["Größe (neu).csv", "a/b.xml", "leer.txt", "process.toml"]);
    assert_eq!(ready.metadata.id.as_str(), "hundesteuer");
    assert_eq!(ready.warnings, []);
    let manifest = manifest(&ready.scanned).unwrap();
    let file = manifest.file("a/b.xml").unwrap();
    assert_eq!((file.size, file.media_type.as_str()), (4, "application/xml"));
    assert_eq!(file.sha256, verbund_protocol::ids::Sha256::of(b"<x/>"));
    assert_eq!(file.blake3, verbund_protocol::ids::Blake3::of(b"<x/>"));
    assert_eq!(manifest.file("leer.txt").unwrap().size, 0);
}

#[test]
fn what_is_skipped_is_said() {
    let (_dir, root) = folder(&[
        (".git/config", b"x"),
        ("a/.git/config", b"x"),
        ("Thumbs.db", b"x"),
        ("a/.DS_Store", b"x"),
        ("~$Antrag.docx", b"x"),
        (".verbund/provenance.json", b"{}"),
        ("a/.verbund/x", b"x"),
        (".gitignore", b"x"),
    ]);
    let scanned = scan(&root).unwrap();
    assert_eq!(names(&scanned), [".gitignore", "a/.verbund/x", "process.toml"]);
    assert_eq!(skipped(&scanned), [".git", ".verbund", "Thumbs.db", "a/.DS_Store", "a/.git", "~$Antrag.docx"]);
}

#[test]
fn without_process_file_the_next_step_is_named() {
    let (_dir, root) = folder(&[("x", b"x")]);
    fs::remove_file(root.join(PROCESS_FILE)).unwrap();
    let problems = prepared(&root).unwrap_err();
    assert_eq!(codes(&problems), [("no_process_file", PROCESS_FILE)]);
    assert!(problems[0].rule.contains("publish --init"), "{}", problems[0]);
    assert_eq!(prepared(&root.join("fehlt")).unwrap_err()[0].code, "not_found");
}

/// Not well-formed, as real exports are.
const EXPORT: &[u8] = r#"<c:Bibliothek Schluessel="hund_an" Rubrik="Steuern" Version="7.1" x:y="z"><c:Vorgang>
    <c:Name Standard="Anmeldung zur Hundesteuer"/><c:EPaymentModus>Pflicht</c:EPaymentModus></c:Vorgang>
    <c:Vorgangseinstellungdefinition><c:Feld Name="Kassenzeichen" Typ="Text" Pflicht="true">4711</c:Feld>
    </c:Vorgangseinstellungdefinition><c:Leistung>99102013000000</c:Leistung></c:Bibliothek>"#
    .as_bytes();

#[test]
fn an_export_of_the_platform_describes_itself_in_a_folder_and_alone() {
    let (_dir, root) = folder(&[("export.xml", EXPORT)]);
    fs::remove_file(root.join(PROCESS_FILE)).unwrap();
    let alone = scan(&root.join("export.xml")).unwrap().submission(&Said::default()).unwrap().process.text;
    for text in [init_proposal(&scan(&root).unwrap()), alone] {
        let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(table["title"].as_str(), Some("Anmeldung zur Hundesteuer"));
        assert_eq!(table["leistungsschluessel"][0].as_str(), Some("99102013000000"));
        assert_eq!(table["platform"]["key"].as_str(), Some("hund_an"), "{text}");
        assert_eq!(table["base_services"][0].as_str(), Some("payment"));
        assert_eq!(table["parameters"][0]["name"].as_str(), Some("Kassenzeichen"));
        assert_eq!(table["parameters"][0]["required"].as_bool(), Some(true));
        assert!(!text.contains("4711"), "never a value");
    }
}

#[test]
fn a_single_file_describes_itself_as_far_as_it_can() {
    let model =
        br#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"><process id="p" name="Hund anmelden"/>
        <documentation>99102013000000</documentation></definitions>"#;
    let (_dir, root) = folder(&[("Hund_an.bpmn", model), ("nachbar.txt", b"x")]);
    let scanned = scan(&root.join("Hund_an.bpmn")).unwrap();
    assert!(scanned.single);
    assert_eq!(names(&scanned), ["Hund_an.bpmn"], "neither its neighbours nor their process.toml");
    let submission = scanned.submission(&Said::default()).unwrap();
    let table: toml::Table = submission.process.text.parse().unwrap();
    assert_eq!(table["title"].as_str(), Some("Hund anmelden"));
    assert_eq!(table["summary"].as_str(), Some("Hund anmelden"));
    assert_eq!(table["leistungsschluessel"][0].as_str(), Some("99102013000000"));
    // What people say counts, whatever signs are in it.
    let said = Said { title: Some("a\"b\n".into()), kind: Some("rechtlich".into()), ..Said::default() };
    let table: toml::Table = scanned.submission(&said).unwrap().process.text.parse().unwrap();
    assert_eq!(table["title"].as_str(), Some("a\"b\n"));
    assert_eq!(table["change"]["kind"].as_str(), Some("rechtlich"));
    // Nothing is made up where nothing is known: the rest is refused by name, until defaults beside the file say it.
    let mut problems = prepared(&root.join("nachbar.txt")).unwrap_err();
    problems.sort_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<_> = problems.iter().filter_map(|p| p.key.as_deref()).collect();
    assert_eq!(keys, ["contact", "level", "license", "maintenance", "platform"]);
    assert!(problems.iter().all(|p| p.file == "description of nachbar.txt"), "{problems:?}");
    let defaults = "contact = \"a@example.org\"\nlevel = [\"land\"]\nmaintenance = \"internal\"\nlicense = \"EUPL-1.2\"\nplatform = { name = \"civento\" }";
    fs::write(root.join(DEFAULTS_FILE), defaults).unwrap();
    let ready = prepared(&root.join("nachbar.txt")).unwrap();
    assert_eq!((ready.metadata.id.as_str(), ready.metadata.title.as_str()), ("nachbar", "nachbar"));
    // The description is no process, and a link is none of its own.
    assert_eq!(prepared(&root.join(PROCESS_FILE)).unwrap_err()[0].code, "not_a_folder");
}

#[test]
fn a_process_file_must_be_text_of_bounded_length() {
    let (_dir, root) = folder(&[]);
    fs::write(root.join(PROCESS_FILE), b"title = \"\xfcber\"").unwrap();
    assert_eq!(codes(&scan(&root).unwrap_err()), [("not_utf8", PROCESS_FILE)]);
    fs::write(root.join(PROCESS_FILE), vec![b'#'; PROCESS_TOML_MAX_BYTES + 1]).unwrap();
    assert_eq!(codes(&scan(&root).unwrap_err()), [("too_long", PROCESS_FILE)]);
}

#[test]
fn terms_must_be_among_the_files() {
    let (_dir, root) = folder(&[("NUTZUNG.md", b"x")]);
    let with = |terms: &str| {
        fs::write(root.join(PROCESS_FILE), format!("terms = {terms:?}\n{PROCESS}")).unwrap();
        prepared(&root)
    };
    assert_eq!(with("NUTZUNG.md").unwrap().metadata.terms.unwrap().path.as_deref(), Some("NUTZUNG.md"));
    let problems = with("fehlt.md").unwrap_err();
    assert_eq!((problems[0].code, problems[0].file.as_str(), problems[0].line), ("bad_terms", PROCESS_FILE, Some(1)));
}

#[test]
fn defaults_come_from_the_nearest_parent() {
    let (dir, root) = folder(&[(DEFAULTS_FILE, b"license = \"MIT\"")]);
    fs::write(root.join(PROCESS_FILE), PROCESS.replace("contact = \"prozesse@example.de\"", "")).unwrap();
    let missing = prepared(&root).unwrap_err();
    assert_eq!(missing[0].key.as_deref(), Some("contact"), "defaults in the folder itself are a file like any other");
    fs::write(dir.path().join(DEFAULTS_FILE), "contact = \"team@example.de\"\nlicense = \"Apache-2.0\"").unwrap();
    let ready = prepared(&root).unwrap();
    assert_eq!((ready.metadata.contact.as_str(), ready.metadata.license.as_str()), ("team@example.de", "EUPL-1.2"));
    fs::write(dir.path().join(DEFAULTS_FILE), "kontakt = \"team@example.de\"").unwrap();
    let problems = prepared(&root).unwrap_err();
    assert!(
        problems.iter().any(|p| p.code == "unknown_key" && p.file.ends_with(DEFAULTS_FILE) && p.line == Some(1)),
        "{problems:?}"
    );
}

#[test]
fn defaults_that_somebody_else_planted_are_ignored_and_said() {
    let (dir, root) = folder(&[]);
    let path = dir.path().join(DEFAULTS_FILE);
    fs::write(&path, "responsible = \"Fremd\"").unwrap();
    if std::os::unix::fs::chown(&path, Some(54_321), None).is_err() {
        eprintln!("skipped: only root can give a file to somebody else");
        return;
    }
    let ready = prepared(&root).unwrap();
    assert_eq!(ready.metadata.responsible, None);
    assert_eq!(ready.warnings[0].code, "defaults_ignored");
    std::os::unix::fs::chown(&root, Some(54_321), None).unwrap();
    assert_eq!(prepared(&root).unwrap().metadata.responsible.as_deref(), Some("Fremd"), "the folder's owner may");
}

#[test]
fn defaults_that_are_no_file_do_not_hang() {
    let (dir, root) = folder(&[]);
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join(DEFAULTS_FILE), rustix::fs::Mode::RWXU).unwrap();
    let ready = prepared(&root).unwrap();
    assert_eq!(ready.warnings[0].code, "defaults_ignored");
}

#[test]
fn secrets_are_warned_of_by_file_and_line() {
    let (_dir, root) = folder(&[
        ("server.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"),
        ("einstellungen.xml", b"<a>\n<password>hunter2</password>\n</a>"),
        ("hinweise.txt", b"Fragen an erika.mustermann@stadt.example"),
        ("bild.png", b"\x89PNG\r\n\x1a\n-----BEGIN PRIVATE KEY-----"),
    ]);
    let ready = prepared(&root).unwrap();
    let found: Vec<_> = ready.warnings.iter().map(|w| (w.code, w.file.as_str(), w.line)).collect();
    assert_eq!(
        found,
        [
            ("filled_password", "einstellungen.xml", Some(2)),
            ("personal_mailbox", "hinweise.txt", Some(1)),
            ("private_key", "server.pem", Some(1)),
        ]
    );
    assert!(!format!("{:?}", ready.warnings).contains("hunter2"));
}

#[test]
fn a_personal_contact_is_warned_of_once() {
    let (_dir, root) = folder(&[]);
    fs::write(root.join(PROCESS_FILE), PROCESS.replace("prozesse@example.de", "erika.mustermann@example.de")).unwrap();
    let ready = prepared(&root).unwrap();
    assert_eq!(codes(&ready.warnings), [("personal_mailbox", PROCESS_FILE)]);
}

#[test]
fn media_types_by_content_first() {
    let bpmn = br#"<?xml version="1.0"?><!-- x --><bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:d="http://www.omg.org/spec/DMN/20151101/dmn.xsd"/>"#;
    for (name, head, kind) in [
        ("x.xml", &bpmn[..], "application/bpmn+xml"),
        ("x", br#"<definitions xmlns="https://www.omg.org/spec/DMN/20191111/MODEL/">"#, "application/dmn+xml"),
        ("x", br#"<semantic:definitions xmlns:dmn="http://www.omg.org/spec/DMN/20151101/dmn.xsd" xmlns:semantic="http://www.omg.org/spec/BPMN/20100524/MODEL" cut"#, "application/bpmn+xml"),
        ("x.wsdl", b"<definitions name='other'/>", "application/xml"),
        ("x.bpmn", b"%PDF-1.7", "application/pdf"),
        ("x.pdf", b"kein PDF", "text/plain"),
        ("x.docx", b"PK\x03\x04....", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("x.bin", b"PK\x03\x04....", "application/zip"),
        ("x.svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\">", "image/svg+xml"),
        ("x.xml", b"<?xml version='1.0'?><!DOCTYPE svg><svg:svg>", "image/svg+xml"),
        ("x", b"<!DOCTYPE html><html>", "text/html"),
        ("x.xml", b"\xef\xbb\xbf  <?xml version=\"1.0\"?><a/>", "application/xml"),
        ("x.xml", b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xfc</a>", "application/xml"),
        ("x.xml", b"\xff\xfe<\0a\0/\0>\0", "application/xml"),
        ("x.json", br#"{"$schema":"https://json-schema.org/draft/2020-12/schema"}"#, "application/schema+json"),
        ("x", br#" {"a":1}"#, "application/json"),
        ("x.ini", b"[section]\na=1", "text/x-ini"),
        ("process.toml", b"[change]", "application/toml"),
        ("LIESMICH.MD", b"# x", "text/markdown"),
        ("x.csv", b"a;b", "text/csv"),
        ("x.properties", b"a=b", "text/x-java-properties"),
        ("x.xml", b"", "application/xml"),
        ("x", b"", "text/plain"),
        ("x.txt", b"a < b", "text/plain"),
        ("x.dat", b"\0\x01\x02", "application/octet-stream"),
        ("x.txt", "schön ä".as_bytes().split_last().unwrap().1, "text/plain"),
    ] {
        assert_eq!(media::recognise(name, head), kind, "{name} {:?}", String::from_utf8_lossy(head));
        assert!(verbund_protocol::release::manifest::is_media_type(kind));
    }
}

#[test]
fn a_proposal_is_complete_but_for_what_people_know() {
    let bpmn = br#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"><process id="a" name="Hund &quot;anmelden&quot;"/><participant name="Steueramt"/></definitions>"#;
    let (dir, root) =
        folder(&[("a.bpmn", bpmn), ("leika.txt", b"Leistung 99102013000000"), ("Nutzungsbedingungen.md", b"x")]);
    fs::remove_file(root.join(PROCESS_FILE)).unwrap();
    let text = init_proposal(&scan(&root).unwrap());
    for part in [
        "id = \"hundesteuer\"",
        "auch gefunden: Steueramt",
        "leistungsschluessel = [\"99102013000000\"]",
        "terms = \"Nutzungsbedingungen.md\"",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let derived = |text: &str, scanned: &Scanned| -> Result<Derived, Vec<Problem>> {
        let process = TextFile { name: PROCESS_FILE.into(), text: text.into() };
        let (defaults, folder) = (scanned.defaults.clone(), scanned.folder.clone());
        let charter = CharterDefaults { license: Some("EUPL-1.2".into()), terms: None };
        Submission { process, defaults, folder }.complete(&Published::default(), &charter, Context::default())
    };
    let problems = derived(&text, &scan(&root).unwrap()).unwrap_err();
    let open: Vec<_> = problems.iter().map(|p| (p.code, p.key.as_deref().unwrap_or_default())).collect();
    assert_eq!(open, [("empty", "summary"), ("empty", "contact")], "only these are left to people");

    fs::write(
        dir.path().join(DEFAULTS_FILE),
        "contact = \"a@example.de\"\nplatform = \"andere\"\nlevel = [\"land\"]\nmaintenance = \"none\"",
    )
    .unwrap();
    let scanned = scan(&root).unwrap();
    let text = init_proposal(&scanned).replace("summary = \"\"", "summary = \"x\"");
    let metadata = derived(&text, &scanned).unwrap().metadata;
    assert_eq!((metadata.title.as_str(), metadata.platform.name.as_str()), ("Hund \"anmelden\"", "andere"));
}

#[test]
fn a_proposal_survives_names_that_would_break_it() {
    let (_dir, root) = folder(&[("a.bpmn", "<definitions xmlns=\"http://www.omg.org/spec/BPMN/x\"><process name=\"a&#10;b = &quot;&#7;\\\"/><participant name=\"x&#10;title = 1\"/>".as_bytes())]);
    let renamed = root.with_file_name("–\"§–");
    fs::rename(&root, &renamed).unwrap();
    let text = init_proposal(&scan(&renamed).unwrap());
    assert!(text.parse::<toml::Table>().is_ok(), "{text}");
}
