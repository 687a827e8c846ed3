use serde_json::json;

use super::*;
use crate::limits::SIGNATURES_MAX;

#[derive(Serialize, Deserialize)]
struct EnvelopeCase {
    name: String,
    envelope: String,
    /// Known keys whose signatures count, by name.
    signed_by: Vec<String>,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Envelopes {
    keys: Vec<Key>,
    /// What is signed of the first case: the pre-authentication encoding, in hex.
    pae_hex: String,
    cases: Vec<EnvelopeCase>,
}

#[test]
fn envelope() {
    let signers = [1, 2].map(|g| Signer::new("de-he", "root", g));
    let keys: Vec<_> = signers.iter().map(Signer::key).collect();
    let two = Envelope::sign("application/example+json", b"{\"a\":\"\xc3\xb6\"}".to_vec(), &keys).unwrap();
    let whole = text(two.bytes());
    let parsed: Value = serde_json::from_str(&whole).unwrap();
    let alter = |change: &dyn Fn(&mut Value)| {
        let mut value = parsed.clone();
        change(&mut value);
        serde_json::to_string(&value).unwrap()
    };
    let sig = |n: usize| parsed["signatures"][n]["sig"].as_str().unwrap().to_owned();
    let flipped =
        |n: usize| if sig(n).starts_with('A') { sig(n).replacen('A', "B", 1) } else { format!("A{}", &sig(n)[1..]) };
    let many: Vec<_> = (0..=SIGNATURES_MAX).map(|n| json!({ "keyid": n.to_string(), "sig": "" })).collect();
    let cases = vec![
        ("two signatures", whole.clone()),
        ("other members and spaces", alter(&|v| v["zz"] = json!(1)).replace(',', " , ")),
        ("no signatures", alter(&|v| v["signatures"] = json!([]))),
        ("a forged signature", alter(&|v| v["signatures"][0]["sig"] = json!(flipped(0)))),
        (
            "a signature under another key",
            alter(&|v| v["signatures"][1]["keyid"] = json!(keys[0].public().to_string().replace(':', "-"))),
        ),
        (
            "swapped signatures",
            alter(&|v| {
                v["signatures"][0]["sig"] = json!(sig(1));
                v["signatures"][1]["sig"] = json!(sig(0));
            }),
        ),
        ("a signature that is no base64", alter(&|v| v["signatures"][0]["sig"] = json!("***"))),
        ("a signature of 63 bytes", alter(&|v| v["signatures"][0]["sig"] = json!("A".repeat(84)))),
        ("a key id of another algorithm", alter(&|v| v["signatures"][0]["keyid"] = json!("ml-dsa-65:00"))),
        ("another payload type", alter(&|v| v["payloadType"] = json!("application/example"))),
        ("another payload", alter(&|v| v["payload"] = json!("e30="))),
        ("one key id twice", alter(&|v| v["signatures"][1]["keyid"] = v["signatures"][0]["keyid"].clone())),
        ("17 signatures", alter(&|v| v["signatures"] = json!(many))),
        ("a payload in URL-safe base64", alter(&|v| v["payload"] = json!("eyJhIjoi_7Yifg=="))),
        ("a payload without padding", alter(&|v| v["payload"] = json!("e30"))),
        ("a payload with stray bits", alter(&|v| v["payload"] = json!("e31="))),
        ("a payload with a line break", alter(&|v| v["payload"] = json!("e3\n0="))),
        ("no key id", alter(&|v| drop(v["signatures"][0].as_object_mut().unwrap().remove("keyid")))),
        ("no payload type", alter(&|v| drop(v.as_object_mut().unwrap().remove("payloadType")))),
        ("a key twice", whole.replacen('{', "{\"payload\":\"\",", 1)),
        ("an array", alter(&|v| *v = json!([v["payload"], v["payloadType"], v["signatures"]]))),
        ("a signature as an array", alter(&|v| v["signatures"][0] = json!(["k", ""]))),
        ("cut", whole[..whole.len() - 1].to_owned()),
    ];
    let case = |(name, envelope): (&str, String)| {
        let parsed = Envelope::parse(envelope.as_bytes());
        let by =
            |e: &Envelope| signers.iter().filter(|s| e.signed_by(&s.key().public())).map(|s| s.name.clone()).collect();
        let signed_by = parsed.as_ref().map(by).unwrap_or_default();
        EnvelopeCase { name: name.to_owned(), envelope, signed_by, error: outcome(parsed) }
    };
    let made = Envelopes {
        keys: signers.iter().map(Key::of).collect(),
        pae_hex: hex::encode([b"DSSEv1 24 application/example+json 10 ".as_slice(), two.payload()].concat()),
        cases: cases.into_iter().map(case).collect(),
    };
    let found: Envelopes = golden("documents/envelope.json", &made);
    for case in &found.cases {
        let parsed = Envelope::parse(case.envelope.as_bytes());
        assert_eq!(outcome(parsed.as_ref()), case.error, "{}", case.name);
        let Ok(envelope) = parsed else { continue };
        assert_eq!(text(envelope.bytes()), case.envelope, "kept as it came");
        let known: Vec<_> = found.keys.iter().map(|k| k.public).collect();
        assert_eq!(envelope.signers(&known).len(), case.signed_by.len(), "{}", case.name);
        for key in &found.keys {
            assert_eq!(envelope.signed_by(&key.public), case.signed_by.contains(&key.name), "{}", case.name);
        }
    }
    let signature = found.keys[0].secret().sign(&hex::decode(found.pae_hex).unwrap());
    assert!(crate::keys::verify(&found.keys[0].public, &hex::decode(made.pae_hex).unwrap(), &signature));
    assert!(found.cases[0].envelope.contains(&{
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(signature)
    }));
}

#[derive(Serialize, Deserialize)]
struct JsonCase {
    name: String,
    text: String,
    /// The canonical form, of what is read.
    canonical: Option<String>,
    error: Option<String>,
}

#[test]
fn json_texts() {
    let cases = [
        (
            "order of keys by UTF-16",
            "{\"\u{20ac}\":1,\"\\r\":2,\"\u{fb33}\":3,\"1\":4,\"\u{1f600}\":5,\"\u{80}\":6,\"\u{f6}\":7}",
        ),
        ("escapes that need not be", "[\"\\u0041\\/\\u00f6\\ud83d\\ude00\"]"),
        ("escapes that must be", "[\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\\u{7f}\u{2028}\"]"),
        ("spaces", " { \"a\" : [ 1 , true , null , { } ] } \n"),
        ("the largest integers", "[9007199254740991,-9007199254740991,0]"),
        ("an integer over 2^53-1", "9007199254740992"),
        ("an integer under -(2^53-1)", "-9007199254740992"),
        ("an integer over 64 bits", "18446744073709551616"),
        ("a fraction", "1.0"),
        ("an exponent", "1e2"),
        ("minus zero", "-0"),
        ("a leading zero", "01"),
        ("a plus sign", "+1"),
        ("a key twice", "{\"a\":1,\"a\":1}"),
        ("a key twice, once escaped", "{\"a\":1,\"\\u0061\":2}"),
        ("a key twice, further in", "[{\"b\":{\"a\":1,\"a\":1}}]"),
        ("a lone surrogate", "\"\\ud800\""),
        ("a control character", "\"\u{1}\""),
        ("a byte order mark", "\u{feff}{}"),
        ("a comment", "{}//"),
        ("a trailing comma", "[1,]"),
        ("two values", "{}{}"),
        ("nothing", ""),
        ("32 deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
        ("33 deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
    ];
    let case = |(name, input): (&str, &str)| {
        let parsed = json::parse(input.as_bytes());
        let canonical = parsed.as_ref().ok().map(|v| text(&json::canonical(v)));
        JsonCase { name: name.to_owned(), text: input.to_owned(), canonical, error: outcome(parsed) }
    };
    let made: Vec<_> = cases.into_iter().map(case).collect();
    for case in golden("documents/json.json", &made) {
        let parsed = json::parse(case.text.as_bytes());
        assert_eq!(outcome(parsed.as_ref()), case.error, "{}", case.name);
        assert_eq!(parsed.ok().map(|v| text(&json::canonical(&v))), case.canonical, "{}", case.name);
        if let Some(form) = case.canonical {
            assert_eq!(text(&json::canonical(&json::parse(form.as_bytes()).unwrap())), form, "{}", case.name);
        }
    }
}
