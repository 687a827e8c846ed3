use axum::http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;
use verbund_protocol::ids::Sha256;

use super::{ETag, Tags, Verdict, judge, range_allowed};

fn tag() -> ETag {
    ETag::of(Sha256::of(b"bytes"))
}

fn with(name: header::HeaderName, values: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(&name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn the_tag_is_the_quoted_hash() {
    assert!(tag().as_str().starts_with("\"sha256:") && tag().as_str().ends_with('"'));
    assert_eq!(tag().as_str().len(), 2 + 7 + 64);
}

#[test]
fn if_none_match_compares_weakly() {
    let own = tag();
    let own = own.as_str();
    for value in
        [own.to_owned(), "*".into(), format!("W/{own}"), format!("\"a,b\" , W/\"c\",{own}"), format!(",, {own} ,")]
    {
        assert_eq!(
            judge(&with(header::IF_NONE_MATCH, std::slice::from_ref(&value)), &tag()),
            Verdict::NotModified,
            "{value}"
        );
    }
    for value in
        ["\"other\"".to_owned(), own.replace('"', ""), format!("w/{own}"), format!("\"a\"{own}"), "\"*\"".into()]
    {
        assert_eq!(
            judge(&with(header::IF_NONE_MATCH, std::slice::from_ref(&value)), &tag()),
            Verdict::Proceed,
            "{value}"
        );
    }
}

#[test]
fn conditions_may_span_several_lines() {
    let headers = with(header::IF_NONE_MATCH, &["\"x\"".into(), tag().as_str().into()]);
    assert_eq!(judge(&headers, &tag()), Verdict::NotModified);
}

#[test]
fn if_match_compares_strongly_and_comes_first() {
    let own = tag().as_str().to_owned();
    for (value, want) in [
        (own.clone(), Verdict::Proceed),
        ("*".into(), Verdict::Proceed),
        (format!("W/{own}"), Verdict::PreconditionFailed),
        ("\"other\"".into(), Verdict::PreconditionFailed),
        ("garbage".into(), Verdict::PreconditionFailed),
    ] {
        assert_eq!(judge(&with(header::IF_MATCH, std::slice::from_ref(&value)), &tag()), want, "{value}");
    }
    let mut both = with(header::IF_MATCH, &["\"other\"".into()]);
    both.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    assert_eq!(judge(&both, &tag()), Verdict::PreconditionFailed);
}

#[test]
fn if_range_needs_the_very_tag() {
    let own = tag().as_str().to_owned();
    assert!(range_allowed(&HeaderMap::new(), &tag()));
    assert!(range_allowed(&with(header::IF_RANGE, std::slice::from_ref(&own)), &tag()));
    for values in [
        vec![format!("W/{own}")],
        vec!["\"other\"".to_owned()],
        vec!["*".to_owned()],
        vec!["Wed, 21 Oct 2015 07:28:00 GMT".to_owned()],
        vec![own.clone(), own.clone()],
    ] {
        assert!(!range_allowed(&with(header::IF_RANGE, &values), &tag()), "{values:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_list_ends(bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'W'), Just(b'/'), any::<u8>()], 0..64)) {
        prop_assert!(Tags(&bytes).count() <= bytes.len());
    }

    #[test]
    fn every_listed_tag_is_found(others in proptest::collection::vec("[!#-~]{0,8}", 0..6), at in 0usize..6) {
        let mut all: Vec<String> = others.iter().map(|o| format!("\"{o}\"")).collect();
        all.insert(at.min(all.len()), tag().as_str().to_owned());
        prop_assert_eq!(judge(&with(header::IF_NONE_MATCH, &[all.join(", ")]), &tag()), Verdict::NotModified);
    }
}
