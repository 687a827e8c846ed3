use proptest::prelude::*;

use super::*;

fn refused(path: &str) -> PathError {
    path.parse::<SafePath>().unwrap_err()
}

#[test]
fn refuses_what_could_leave_the_folder_or_change_its_name() {
    assert_eq!(refused(""), PathError::Empty);
    assert_eq!(refused("/etc/passwd"), PathError::Absolute);
    assert_eq!(refused("C:/x"), PathError::Absolute);
    assert_eq!(refused("c:x"), PathError::Absolute);
    assert_eq!(refused("a\\b"), PathError::Backslash);
    assert_eq!(refused("a\0b"), PathError::Control("NUL".into()));
    assert!(matches!(refused("a\u{202e}b"), PathError::Control(_)));
    assert_eq!(refused(".."), PathError::Dots(".."));
    assert_eq!(refused("a/../b"), PathError::Dots(".."));
    assert_eq!(refused("./a"), PathError::Dots("."));
    assert_eq!(refused("a//b"), PathError::EmptySegment);
    assert_eq!(refused("a/"), PathError::EmptySegment);
    assert_eq!(refused("a./b"), PathError::TrailingDotOrSpace("a.".into()));
    assert_eq!(refused("..."), PathError::TrailingDotOrSpace("...".into()));
    assert_eq!(refused("a "), PathError::TrailingDotOrSpace("a ".into()));
    assert_eq!(refused("u\u{308}ber"), PathError::NotNfc);
    assert_eq!(refused(".verbund/provenance.json"), PathError::Reserved);
    assert_eq!(refused(".VERBUND/x"), PathError::Reserved);
    assert_eq!(refused(&["a"; 33].join("/")), PathError::TooDeep);
    assert!(matches!(refused(&"a".repeat(256)), PathError::TooLong { what: "file name", len: 256, max: 255 }));
    assert!(matches!(
        refused(&["a".repeat(200), "b".repeat(200), "c".repeat(200)].join("/")),
        PathError::TooLong { what: "path", .. }
    ));
}

#[test]
fn accepts_real_names() {
    for path in [
        "process.toml",
        "C.2.0 copy.bpmn",
        "Camunda Modeler 5/A.1.0-export.bpmn",
        ".gitignore",
        "a/.verbund/x",
        "Größe (neu).pdf",
        "..a",
    ] {
        assert!(path.parse::<SafePath>().is_ok(), "{path}");
    }
    assert!(["a"; 32].join("/").parse::<SafePath>().is_ok());
}

#[test]
fn windows_names_are_a_warning() {
    for path in ["con", "x/NUL.txt", "com1.xml", "Lpt9", "com².txt", "a?b", "x/a:b"] {
        assert!(path.parse::<SafePath>().unwrap().windows_concern().is_some(), "{path}");
    }
    for path in ["console", "com", "com10", "lpt.txt", "nulldurchgang.md"] {
        assert_eq!(path.parse::<SafePath>().unwrap().windows_concern(), None, "{path}");
    }
}

fn insert_all(paths: &[&str]) -> Result<(), PathError> {
    let mut set = PathSet::default();
    paths.iter().try_for_each(|p| set.insert(&p.parse().unwrap()))
}

#[test]
fn paths_that_cannot_stand_together() {
    assert_eq!(insert_all(&["a", "a"]), Err(PathError::Duplicate));
    assert_eq!(insert_all(&["x/Antrag.xml", "x/antrag.xml"]), Err(PathError::CaseTwin("x/Antrag.xml".into())));
    assert_eq!(insert_all(&["Äpfel", "äpfel"]), Err(PathError::CaseTwin("Äpfel".into())));
    assert_eq!(insert_all(&["A/x", "a/y"]), Err(PathError::CaseTwin("A".into())), "folders merge on Windows");
    assert_eq!(insert_all(&["a", "a/b"]), Err(PathError::FileAndFolder("a".into())));
    assert_eq!(insert_all(&["a/b/c", "a/b"]), Err(PathError::FileAndFolder("a/b".into())));
    assert_eq!(insert_all(&["a/b", "a/c", "b/a", "b/c/d", "Straße", "Strasse"]), Ok(()));
}

proptest! {
    #![proptest_config(crate::testing::cases(256))]

    #[test]
    fn an_accepted_path_never_leaves_its_folder(path in "(\\.|\\.\\.|/|[a-zA-Z:\\\\ ]|\\PC|\0){0,24}") {
        if let Ok(safe) = path.parse::<SafePath>() {
            let path = std::path::Path::new(safe.as_str());
            let normal = path.components().filter(|c| matches!(c, std::path::Component::Normal(_))).count();
            prop_assert_eq!(normal, path.components().count());
            prop_assert_eq!(normal, safe.segments().count());
            prop_assert_eq!(String::from(safe.clone()).parse::<SafePath>().unwrap(), safe);
        }
    }

    #[test]
    fn a_set_never_holds_two_names_of_one_file(paths in prop::collection::vec("[abAB](/[abAB]){0,2}", 0..12)) {
        let mut set = PathSet::default();
        let mut taken: Vec<String> = Vec::new();
        for path in paths {
            let safe: SafePath = path.parse().unwrap();
            let lower = path.to_lowercase();
            let clash = taken.iter().any(|t| {
                let other = t.to_lowercase();
                other == lower || other.starts_with(&format!("{lower}/")) || lower.starts_with(&format!("{other}/"))
            });
            if set.insert(&safe).is_ok() {
                prop_assert!(!clash, "{} beside {:?}", path, taken);
                taken.push(path);
            }
        }
        prop_assert_eq!(set.len(), taken.len());
    }
}
