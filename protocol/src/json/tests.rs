use proptest::prelude::*;

use super::*;
use crate::testing::cases;

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

#[derive(Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
struct Inner {
    a: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    One,
}

#[derive(Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
struct Outer {
    choice: Choice,
    inner: Vec<Inner>,
    one: Option<Inner>,
    map: std::collections::BTreeMap<String, (u8, i64)>,
}

#[test]
fn an_object_is_an_object() {
    let good = br#"{"choice":"one","inner":[{"a":1},{"a":2,"b":"x"}],"map":{"k":[3,-4]},"one":null}"#;
    let read: Outer = parse_as(good).unwrap();
    assert_eq!((read.inner.len(), read.one.is_none(), read.map["k"]), (2, true, (3, -4)));
    let text = String::from_utf8(good.to_vec()).unwrap();
    for (from, to) in [
        (r#"{"a":1}"#, r#"[1,null]"#),
        (r#""one":null"#, r#""one":[1,null]"#),
        (r#""choice":"one""#, r#""choice":{"one":null}"#),
        (r#"[3,-4]"#, r#"[3,-4,5]"#),
        (r#"[3,-4]"#, r#"[300,-4]"#),
        (r#""map":{"k":[3,-4]},"#, ""),
    ] {
        assert!(text.contains(from));
        let refused = parse_as::<Outer>(text.replacen(from, to, 1).as_bytes());
        assert!(matches!(refused, Err(JsonError::Shape(_))), "{to}: {refused:?}");
    }
    assert!(parse_as::<Outer>(br#"["one",[],null,{}]"#).is_err());
    // Keys that are not known, and null for an absent member, are read past.
    assert_eq!(parse_as::<Inner>(br#"{ "z": {"y": [1]}, "b": null, "a": 1 }"#), Ok(Inner { a: 1, b: None }));
}

#[test]
fn canonical_documents_say_nothing_beside_their_members() {
    assert_eq!(parse_canonical::<Inner>(br#"{"a":1}"#), Ok(Inner { a: 1, b: None }));
    for other in [
        r#"{"a":1,"b":null}"#,
        r#"{"a":1,"z":1}"#,
        r#"{"a": 1}"#,
        "{\"a\":1}\n",
        r#"{"a":-0}"#,
        r#"{"a":1,"b":"\u0078"}"#,
    ] {
        assert!(parse_canonical::<Inner>(other.as_bytes()).is_err(), "{other}");
    }
    assert!(matches!(to_canonical(&Inner { a: JSON_INTEGER_MAX + 1, b: None }), Err(JsonError::Malformed(_))));
    assert!(matches!(to_canonical(&1.5), Err(JsonError::Malformed(_))));
}

fn any_json() -> impl Strategy<Value = Value> {
    let max = i64::try_from(JSON_INTEGER_MAX).unwrap();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-max..=max).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn the_canonical_form_is_read_back_and_stays(value in any_json()) {
        let text = canonical(&value);
        prop_assert_eq!(&parse(&text).unwrap(), &value);
        prop_assert_eq!(canonical(&parse(&text).unwrap()), text.clone());
        prop_assert_eq!(parse_canonical::<Value>(&text), Ok(value.clone()));
        // However else it was written.
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(canonical(&parse(&pretty).unwrap()), text);
    }

    #[test]
    fn any_text_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256), text in "[\\[\\]{}\",:0-9eE.\\\\u\\- ]{0,64}") {
        for input in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(value) = parse(input) {
                let form = canonical(&value);
                prop_assert_eq!(canonical(&parse(&form).unwrap()), form);
            }
            let _ = parse_as::<Outer>(input);
            let _ = parse_canonical::<Inner>(input);
        }
    }

    #[test]
    fn a_damaged_text_is_read_or_refused(value in any_json(), at: prop::sample::Index, mask: u8) {
        let mut text = canonical(&value);
        let at = at.index(text.len());
        text[at] ^= mask;
        let _ = parse(&text);
        let _ = parse(&text[..at]);
    }
}

#[test]
fn depth_is_bounded_however_deep_it_goes() {
    for deep in ["[".repeat(1 << 16), "{\"a\":".repeat(1 << 16)] {
        assert!(parse(deep.as_bytes()).is_err());
    }
}
