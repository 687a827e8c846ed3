use proptest::prelude::*;

use super::*;

fn run(media_type: &str, text: &str) -> Vec<(Kind, u32, String)> {
    let mut lint = Lint::new(media_type);
    lint.feed(text.as_bytes());
    lint.finish().into_iter().map(|f| (f.kind, f.line, f.what)).collect()
}

#[test]
fn private_keys_are_found_anywhere() {
    let pem = "# x\n-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(run("text/markdown", pem), [(Kind::PrivateKey, 2, "PEM".into())]);
    assert_eq!(run("application/x-pem-file", "-----BEGIN PRIVATE KEY-----\n").len(), 1);
    assert_eq!(run("text/plain", "PuTTY-User-Key-File-3: ssh-ed25519").len(), 1);
    assert_eq!(run("application/x-pem-file", "-----BEGIN CERTIFICATE-----\n"), []);
}

#[test]
fn filled_password_fields() {
    for (media_type, text) in [
        ("text/x-java-properties", "db.password=hunter2"),
        ("text/x-java-properties", "smtp.passwort : hunter2"),
        ("application/toml", "password = \"hunter2\""),
        ("application/yaml", "kennwort: hunter2"),
        ("application/json", "{\"dbPassword\": \"hunter2\"}"),
        ("application/json", "{\"client_secret\":\"hunter2\"}"),
        ("application/xml", "<password>hunter2</password>"),
        ("application/xml", "<ns:Passwort art=\"x\">hunter2</ns:Passwort>"),
        ("application/xml", "<db user=\"x\" password=\"hunter2\"/>"),
        ("application/xml", "<entry key=\"db.password\">hunter2</entry>"),
        ("application/bpmn+xml", "<Feld Name=\"Passwort\" Wert=\"hunter2\"/>"),
        ("application/json", "{\"apiKey\": \"abc123\"}"),
    ] {
        let found = run(media_type, text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!((found[0].0, found[0].1), (Kind::FilledPassword, 1));
        assert!(!format!("{found:?}").contains("hunter2"), "the value must not be repeated");
    }
}

#[test]
fn empty_fields_placeholders_and_schemas_are_not_passwords() {
    for (media_type, text) in [
        ("text/x-java-properties", "db.password="),
        ("text/x-java-properties", "db.password=${DB_PASSWORD}"),
        ("application/toml", "password = \"\"\n# password"),
        ("application/toml", "name = \"epayment.passwort\"\ntype = \"secret\""),
        ("application/json", "{\"password\": {\"type\": \"string\", \"format\": \"password\"}}"),
        ("application/json", "{\"required\": [\"password\", \"x\"], \"password\": null}"),
        ("application/xml", "<password></password><password/><passwordHint>an den Hund</passwordHint>"),
        ("application/xml", "<password>****</password>"),
        ("application/xml", "<xs:element name=\"password\" type=\"xs:string\"/>"),
        ("application/xml", "<xs:element name=\"password\">\n <xs:simpleType/></xs:element>"),
        ("application/xml", "<Feld Name=\"Passwort\" Wert=\"\"/>"),
        ("text/markdown", "Passwort: bitte bei der Leitstelle erfragen"),
        ("text/html", "<input type=\"password\" name=\"password\" value=\"x\">"),
    ] {
        assert_eq!(run(media_type, text), [], "{text}");
    }
}

#[test]
fn mailboxes_of_people() {
    let text = "Kontakt: erika.mustermann@stadt.example.\npoststelle@stadt.example, buergeramt.mitte@stadt.example, a@b, max_muster@x.de";
    let found = run("text/plain", text);
    assert_eq!(
        found.iter().map(|f| (f.1, f.2.as_str())).collect::<Vec<_>>(),
        [(1, "erika.mustermann@stadt.example"), (2, "max_muster@x.de")]
    );
    for functional in [
        "info",
        "ozg.team",
        "post.stelle",
        "kfz.zulassung",
        "no.reply",
        "team-digital.hessen",
        "d3",
        "x.y",
        "a1.b2",
        "standesamt.nord",
    ] {
        assert!(!is_personal(functional), "{functional}");
    }
    for personal in ["erika.mustermann", "e.mustermann", "Erika.Muster-Mann", "max_muster"] {
        assert!(is_personal(personal), "{personal}");
    }
}

#[test]
fn nothing_is_lost_or_doubled_at_window_borders() {
    let needle = "\n<password>hunter2</password>\n";
    for before in [0, 1, CHUNK_BYTES - OVERLAP_BYTES - 20, CHUNK_BYTES - 15, CHUNK_BYTES * 3 - 7] {
        let text = format!("{}{needle}{}", "y".repeat(before), "z".repeat(CHUNK_BYTES));
        for step in [1, 7, 4096, text.len()] {
            if step < 7 && before > 2_000 {
                continue;
            }
            let mut lint = Lint::new("application/xml");
            text.as_bytes().chunks(step).for_each(|w| lint.feed(w));
            let found = lint.finish();
            assert_eq!(found.len(), 1, "at {before} in steps of {step}: {found:?}");
            assert_eq!(found[0].line, 2);
        }
    }
}

#[test]
fn findings_and_memory_are_bounded() {
    let mut lint = Lint::new("application/xml");
    for _ in 0..10_000 {
        lint.feed(b"<password>hunter2</password>\n");
        assert!(lint.buffer.len() <= CHUNK_BYTES);
    }
    assert_eq!(lint.finish().len(), FINDINGS_MAX);
}

#[test]
fn utf_16_is_searched_too() {
    let wide: Vec<u8> = "\u{feff}<password>hunter2</password>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut lint = Lint::new("application/xml");
    lint.feed(&wide);
    assert_eq!(lint.finish().len(), 1);
}

proptest! {
    #![proptest_config(crate::testing::cases(256))]

    #[test]
    fn searching_never_panics(parts in prop::collection::vec("(password|=|\"|'|<|>|/|:|@|\\.|key=|value=|-----BEGIN |PRIVATE KEY-----|[a-zä\n]{1,4})", 0..60)) {
        let _ = run("application/xml", &parts.concat());
    }

    #[test]
    fn windows_make_no_difference(parts in prop::collection::vec("(<password>|hunter2|</password>|a\\.b@c\\.de|\n|[a-z]{1,300})", 0..200), step in 1_usize..5_000) {
        let text = parts.concat();
        let mut lint = Lint::new("application/xml");
        text.as_bytes().chunks(step).for_each(|w| lint.feed(w));
        let found: Vec<_> = lint.finish().into_iter().map(|f| (f.kind, f.line, f.what)).collect();
        prop_assert_eq!(found, run("application/xml", &text));
    }
}
