use proptest::prelude::*;

use super::{Asked, parse};

#[test]
fn single_ranges() {
    let cases: &[(&str, u64, Asked)] = &[
        ("bytes=0-0", 10, Asked::One(0..1)),
        ("bytes=0-9", 10, Asked::One(0..10)),
        ("bytes=3-", 10, Asked::One(3..10)),
        ("bytes=9-", 10, Asked::One(9..10)),
        ("bytes=5-99", 10, Asked::One(5..10)),
        ("bytes=-3", 10, Asked::One(7..10)),
        ("bytes=-10", 10, Asked::One(0..10)),
        ("bytes=-99", 10, Asked::One(0..10)),
        ("BYTES=1-2", 10, Asked::One(1..3)),
        ("bytes= 1-2 ", 10, Asked::One(1..3)),
        ("bytes=,1-2,", 10, Asked::One(1..3)),
        ("bytes=0-99999999999999999999999999", 10, Asked::One(0..10)),
        ("bytes=-99999999999999999999999999", 10, Asked::One(0..10)),
    ];
    for (header, size, want) in cases {
        assert_eq!(&parse(header.as_bytes(), *size), want, "{header} of {size}");
    }
}

#[test]
fn unsatisfiable_ranges() {
    for (header, size) in [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=99999999999999999999999999-", u64::MAX),
        ("bytes=-0", 10),
        ("bytes=-0", 0),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
    ] {
        assert_eq!(parse(header.as_bytes(), size), Asked::Unsatisfiable, "{header} of {size}");
    }
}

#[test]
fn what_is_not_understood_is_ignored() {
    for header in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=2-1",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=1 - 2",
        "bytes =1-2",
        "lines=1-2",
        "bytes=1-2,4-5",
        "bytes=0-5,3-7",
        "bytes=--5",
        "bytes=١-٢",
        "=1-2",
        "-5",
    ] {
        assert_eq!(parse(header.as_bytes(), 10), Asked::Whole, "{header}");
    }
}

#[test]
fn a_suffix_of_an_empty_file_is_the_whole_file() {
    assert_eq!(parse(b"bytes=-5", 0), Asked::Whole);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_range_always_lies_in_the_file(header in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        "bytes=[-0-9, ]{0,40}".prop_map(String::into_bytes),
    ], size in any::<u64>()) {
        if let Asked::One(range) = parse(&header, size) {
            prop_assert!(range.start < range.end && range.end <= size);
        }
    }

    #[test]
    fn explicit_ranges_mean_what_they_say(first in 0u64..5_000, length in 1u64..5_000, size in 0u64..6_000) {
        let last = first + length - 1;
        let want = if first >= size { Asked::Unsatisfiable } else { Asked::One(first..size.min(last + 1)) };
        prop_assert_eq!(parse(format!("bytes={first}-{last}").as_bytes(), size), want);
    }

    #[test]
    fn suffixes_count_from_the_end(suffix in 1u64..5_000, size in 1u64..5_000) {
        let want = Asked::One(size - size.min(suffix)..size);
        prop_assert_eq!(parse(format!("bytes=-{suffix}").as_bytes(), size), want);
    }
}
