//! Each format, each limit, and the whole corpus.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use proptest::prelude::*;

use super::*;

/// A civento export as they are in the wild: prefixes that nothing declares, attributes without a namespace. Written for this test.
const CIVENTO: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<civ:Bibliothek Schluessel="hundesteuer_anmeldung" Rubrik="Steuern" Version="7.12" exp:Quelle="test">
  <civ:Vorgang>
    <civ:Name Standard="Anmeldung zur Hundesteuer" xyz:lang="de"/>
    <civ:EPaymentModus>Optional</civ:EPaymentModus>
    <civ:Authentifizierungsart>Servicekonto</civ:Authentifizierungsart>
    <civ:Leistung>99102013000000</civ:Leistung>
  </civ:Vorgang>
  <civ:Vorgangseinstellungdefinition>
    <civ:Feld Name="Steuersatz" Typ="Zahl" Pflicht="true" Beschreibung="Euro je Hund und Jahr">96</civ:Feld>
    <civ:Feld Name="Kassenzeichen" Typ="Text">4711-geheim</civ:Feld>
    <civ:TextFeld Name="Zugang" Typ="Passwort">hunter2</civ:TextFeld>
  </civ:Vorgangseinstellungdefinition>
</civ:Bibliothek>"#;

#[test]
fn civento_exports_are_read_although_no_parser_would() {
    let found = recognise("export.xml", CIVENTO.as_bytes());
    assert_eq!((found.format, found.platform), (Format::Civento, Some("civento")));
    assert_eq!(found.title.as_deref(), Some("Anmeldung zur Hundesteuer"));
    assert_eq!(found.platform_key.as_deref(), Some("hundesteuer_anmeldung"));
    assert_eq!(found.version.as_deref(), Some("7.12"), "the version of the format");
    assert_eq!(found.base_services, ["payment", "nutzerkonto"]);
    assert_eq!(found.keys, ["99102013000000"]);
    let parameters: Vec<_> = found.parameters.iter().map(|p| (p.name.as_str(), p.kind, p.required)).collect();
    assert_eq!(
        parameters,
        [("Steuersatz", "number", true), ("Kassenzeichen", "text", false), ("Zugang", "secret", false)]
    );
    assert_eq!(found.parameters[0].text.as_deref(), Some("Euro je Hund und Jahr"));
    assert!(
        found.parameters.iter().all(|p| p.text.as_deref().is_none_or(|text| !text.contains("4711"))),
        "never a value"
    );
    let none = CIVENTO.replace("Optional", "Keine").replace("Servicekonto", "");
    assert!(recognise("export.xml", none.as_bytes()).base_services.is_empty());
}

#[test]
fn names_are_found_in_text_that_is_not_well_formed() {
    let text = r#"<?xml version="1.0"?><!-- <process name="no"/> --><bpmn:definitions
        xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" name="M">
        <bpmn:participant id="p" name = 'Bürgeramt &amp; Kasse'/><bpmn:process id="q" displayname="no" name="Hund&#10;anmelden &lt;neu&gt;">
        <bpmn:documentation>Für <![CDATA[alle & jeden]]></bpmn:documentation><unclosed <bpmn:process name="Zwei">"#;
    let found = recognise("x", text.as_bytes());
    assert_eq!((found.format, found.version.as_deref()), (Format::Bpmn, Some("2.0")));
    assert_eq!(found.names[0], "Hund anmelden <neu>");
    assert!(found.names.contains(&"Bürgeramt & Kasse".to_owned()));
    assert!(found.text.contains("Für alle & jeden"));
    assert_eq!(root_element("<a xmlns:b='1' xmlns='2' c"), Some(("a", Some("2".to_owned()))));
}

#[test]
fn fim_formats_are_told_by_their_namespaces() {
    let process = r#"<x:prozess.0201 xmlns:x="http://www.regierung-mv.de/xprozess/2"><x:prozessklasse><x:id>99006028261000</x:id>
        <x:name>Anzeige bearbeiten</x:name><x:schlagwort>Mutter|Stillzeit</x:schlagwort></x:prozessklasse></x:prozess.0201>"#;
    let found = recognise("p.xml", process.as_bytes());
    assert_eq!((found.format, found.version.as_deref()), (Format::Xprozess, Some("2")));
    assert_eq!(
        (found.title.as_deref(), &*found.keys),
        (Some("Anzeige bearbeiten"), &["99006028261000".to_owned()][..])
    );
    assert_eq!(found.keywords, ["Mutter", "Stillzeit"]);
    let fields = r#"<f:stammdatenschema.0102 xmlns:f="urn:xoev-de:fim:standard:xdatenfelder_3.0.0"><f:stammdatenschema><f:name>Hund</f:name>
        </f:stammdatenschema></f:stammdatenschema.0102>"#;
    let found = recognise("f.xml", fields.as_bytes());
    assert_eq!((found.format, found.version.as_deref()), (Format::Xdatenfelder, Some("3.0.0")));
    assert_eq!(found.title.as_deref(), Some("Hund"));
    let services = r#"<z:transferleistungen xmlns:z="http://xoev.de/schemata/xzufi/2_2_0"><z:leistung><z:modulText>
        <z:leistungsbezeichnung><z:text>Hundesteuer</z:text></z:leistungsbezeichnung></z:modulText><z:schluessel>99102013000000</z:schluessel>
        </z:leistung></z:transferleistungen>"#;
    let found = recognise("z.xml", services.as_bytes());
    assert_eq!((found.format, found.title.as_deref()), (Format::Xzufi, Some("Hundesteuer")));
    assert_eq!(found.keys, ["99102013000000"]);
}

#[test]
fn forms_and_documents_are_told_apart() {
    let schema = br#"{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"Hund","properties":{"n":{"title":"Name des Hundes"}}}"#;
    let found = recognise("a", schema);
    assert_eq!((found.format, found.title.as_deref()), (Format::JsonForm, Some("Hund")));
    assert!(found.text.contains("Name des Hundes"));
    assert_eq!(recognise("a.json", b"[1, 2]").format, Format::Json);
    let page = b"<!DOCTYPE html><title>Antrag</title><script>if (a < b) x()</script><form><label>Name&nbsp;des Tiers</label></form>";
    let found = recognise("a.html", page);
    assert_eq!((found.format, found.title.as_deref()), (Format::HtmlForm, Some("Antrag")));
    assert!(found.text.contains("Name des Tiers"));
    let pdf = b"%PDF-1.7\n1 0 obj<</Title (Merkblatt \\(Hund\\))>>\n2 0 obj<</Length 9>>stream\nBT (Die Ho) 10 (he) -300 (der Steuer) TJ ET\nendstream";
    let found = recognise("a.pdf", pdf);
    assert_eq!((found.format, found.version.as_deref()), (Format::Pdf, Some("1.7")));
    assert_eq!(found.title.as_deref(), Some("Merkblatt (Hund)"));
    assert!(found.text.contains("der Steuer"), "{:?}", found.text);
    assert_eq!(recognise("a", b"\x00\x01\x02").format, Format::Other);
    assert_eq!(recognise("a.txt", b"Hallo Welt").format, Format::Text);
}

#[test]
fn keys_stand_alone() {
    let keys = service_keys("id=99102013060000; 199102013060000 99102013060000 991020130600001");
    assert_eq!(keys, ["99102013060000"]);
}

// --- limits: one bomb each

#[test]
fn size_is_bounded() {
    let mut bytes = b"text ".repeat(READ_MAX_BYTES / 5);
    bytes.extend(b" 99102013060000 beyond it all");
    let found = recognise("a.txt", &bytes);
    assert!(found.text.len() <= TEXT_MAX_BYTES);
    assert!(found.keys.is_empty() && found.notes.contains(&"only the beginning was read"));
}

#[test]
fn depth_is_bounded() {
    let deep = "<a>".repeat(300_000) + "x";
    let found = recognise("a.xml", deep.as_bytes());
    assert!(found.notes.contains(&"elements that lie too deep were passed over"));
    let nested = "[".repeat(100_000);
    assert_eq!(recognise("a.json", nested.as_bytes()).format, Format::Text);
}

#[test]
fn entities_are_not_expanded() {
    let mut text = String::from("<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a0 \"lol\">");
    for at in 1..30 {
        text.push_str(&format!("<!ENTITY a{at} \"{}\">", format!("&a{};", at - 1).repeat(10)));
    }
    text.push_str("]><x>&a29; <y>Hund</y></x>");
    let found = recognise("a.xml", text.as_bytes());
    assert!(found.text.len() < 100 && found.text.contains("Hund") && found.text.contains("&a29;"), "{:?}", found.text);
}

fn zip(data: &[u8], method: u8, claimed: u32) -> Vec<u8> {
    let mut out = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let packed = u32::try_from(data.len()).unwrap().to_le_bytes();
    out[8] = method;
    out.extend(packed);
    out.extend(claimed.to_le_bytes());
    out.extend([5, 0, 0, 0]);
    out.extend(b"m.xml");
    out.extend(data);
    let at = u32::try_from(out.len()).unwrap();
    out.extend(b"PK\x01\x02\x14\0\x14\0\0\0");
    out.extend([method, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(packed);
    out.extend(claimed.to_le_bytes());
    out.extend([5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(b"m.xml");
    let size = u32::try_from(out.len()).unwrap() - at;
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend(size.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn with_model(archive: &[u8]) -> String {
    let inner = base64::engine::general_purpose::STANDARD.encode(archive);
    format!(
        "<x:p xmlns:x=\"http://www.regierung-mv.de/xprozess/2\"><x:prozessmodelldatei><x:inhalt>{inner}</x:inhalt></x:prozessmodelldatei></x:p>"
    )
}

#[test]
fn decompression_is_bounded_whatever_an_archive_claims() {
    let model =
        b"<definitions xmlns='http://www.omg.org/spec/BPMN/20100524/MODEL'><process name='Innen'/></definitions>";
    let packed = miniz_oxide::deflate::compress_to_vec(model, 6);
    let found = recognise("p.xml", with_model(&zip(&packed, 8, 1)).as_bytes());
    assert_eq!((found.names, found.notes), (vec!["Innen".to_owned()], vec![]));
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; INFLATED_MAX_BYTES * 4], 9);
    assert!(bomb.len() < 200_000, "it is a bomb");
    let found = recognise("p.xml", with_model(&zip(&bomb, 8, 10)).as_bytes());
    assert_eq!(found.notes, ["a file within it is too large when unpacked"]);
    let page = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; INFLATED_MAX_BYTES * 4], 9);
    let mut pdf = b"%PDF-1.4\n<</Filter/FlateDecode>>stream\n".to_vec();
    pdf.extend(page);
    pdf.extend(b"\nendstream");
    assert!(recognise("a.pdf", &pdf).text.len() <= TEXT_MAX_BYTES);
}

// --- the corpus

fn corpus() -> Option<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if !root.is_dir() {
        println!("skipped: ../shared/corpus is not there");
        return None;
    }
    let (mut folders, mut files) = (vec![root], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Some(files)
}

#[test]
fn every_file_of_the_corpus_is_recognised() {
    let Some(files) = corpus() else { return };
    let mut counts: BTreeMap<(String, Format), usize> = BTreeMap::new();
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        let found = recognise(&name, &bytes);
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        *counts.entry((ending, found.format)).or_default() += 1;
        if name == "C.1.0-export.bpmn" && path.to_string_lossy().contains("GenMyModel") {
            assert_eq!(found.format, Format::Bpmn, "not well-formed, and recognised");
            assert!(!found.names.is_empty(), "{found:?}");
        }
        if name.starts_with("Anzeige zur Besch") {
            assert_eq!(found.keys, ["99006028261000"]);
            assert!(found.names.len() > 1, "the model in the archive has a name: {:?}", found.names);
            println!("XProzess: {:?} {:?}", found.names, found.notes);
        }
    }
    println!("{counts:#?}");
    let of = |ending: &str, format| counts.get(&(ending.to_owned(), format)).copied().unwrap_or_default();
    assert_eq!((of("bpmn", Format::Bpmn), of("dmn", Format::Dmn)), (195, 60));
    assert_eq!(of("xml", Format::Xprozess), 1);
    assert_eq!((of("xml", Format::Xdatenfelder), of("xml", Format::Genericode)), (20, 4));
}

fn sample() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        vec![CIVENTO.as_bytes().to_vec(), with_model(&zip(b"<definitions/>", 0, 9)).into_bytes()];
    all.push(b"%PDF-1.7 /Title (x) stream BT (a\\101) Tj ET endstream /Title <FEFF00>".to_vec());
    for path in corpus().unwrap_or_default().into_iter().step_by(17) {
        let bytes = std::fs::read(path).unwrap();
        all.push(bytes[..bytes.len().min(30_000)].to_vec());
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_never_panic(which in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..40)) {
        static SAMPLE: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
        let sample = SAMPLE.get_or_init(sample);
        let mut bytes = which.get(sample).clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let found = recognise("x.xml", &bytes);
        prop_assert!(found.text.len() <= TEXT_MAX_BYTES && found.names.len() <= LIST_MAX && found.keys.len() <= KEYS_MAX);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), start in prop::sample::select(vec!["", "<", "{", "%PDF-", "<x:Bibliothek Schluessel='", "<![CDATA[", "<!DOCTYPE [", "PK\x05\x06"])) {
        let mut all = start.as_bytes().to_vec();
        all.extend(bytes);
        recognise("x", &all);
        let mut left = 1_000;
        let _ = archive::entries(&all, &mut left);
    }
}
