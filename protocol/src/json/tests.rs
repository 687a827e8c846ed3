use super::*;

#[test]
fn refuses_what_implementations_read_differently() {
    for (text, why) in [
        (r#"{"a":1,"a":2}"#, "duplicate key"),
        (r#"{"a":{"b":1,"b":1}}"#, "duplicate key"),
        ("9007199254740992", "over 2^53-1"),
        ("-9007199254740992", "under"),
        ("1.5", "not an integer"),
        ("1e3", "not an integer"),
        ("{} {}", "trailing"),
        ("\"\u{0}\"", "control character"),
        ("", "EOF"),
    ] {
        let error = parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(parse(format!("{}{}", "[".repeat(33), "]".repeat(33)).as_bytes()).is_err());
    assert!(parse(format!("{}{}", "[".repeat(32), "]".repeat(32)).as_bytes()).is_ok());
}

#[test]
fn canonical_form_is_that_of_rfc_8785() {
    // The example of RFC 8785 §3.2.3 (key order), and its escapes of §3.2.2.2.
    let text = "{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\
                \"1\":\"One\",\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\",\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}";
    let keys: Vec<_> = String::from_utf8(canonical(&parse(text.as_bytes()).unwrap()))
        .unwrap()
        .split(",\"")
        .map(|pair| pair.split("\":\"").nth(1).unwrap_or_default().trim_end_matches(['"', '}']).to_owned())
        .collect();
    assert_eq!(
        keys,
        [
            "Carriage Return",
            "One",
            "Control",
            "Latin Small Letter O With Diaeresis",
            "Euro Sign",
            "Emoji: Grinning Face",
            "Hebrew Letter Dalet With Dagesh"
        ]
    );
    assert_eq!(canonical(&parse(br#""\u000f\n\u20ac$\/\\\"""#).unwrap()), "\"\\u000f\\n€$/\\\\\\\"\"".as_bytes());
    assert!(matches!(parse_canonical::<Value>(b"{ \"a\":1}"), Err(JsonError::NotCanonical)));
}
