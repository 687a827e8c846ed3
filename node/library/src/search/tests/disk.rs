//! An index in a folder: left, found again, of another version, damaged.

use super::*;

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn made(folder: &std::path::Path) {
    let (index, opened) = Index::open(folder).unwrap();
    assert_eq!(opened, Opened::Empty("there was none".into()));
    let documents = vec![document("a", "Wohngeldantrag"), document("b", "Wohngeld und Antrag")];
    let groups: Vec<_> = documents.into_iter().map(|d| (d.group.clone(), vec![d])).collect();
    index.replace(&groups, Some("7")).unwrap();
}

#[test]
fn what_was_left_is_found_again_with_its_mark_and_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("index");
    made(&folder);
    let (index, opened) = Index::open(&folder).unwrap();
    assert_eq!(opened, Opened::AsLeft { mark: Some("7".into()) });
    assert_eq!(index.len(), 2);
    assert_eq!(keys(&index, &ask("wohngelt")).len(), 2, "the vocabulary came back");
    index.replace(&[("c".into(), vec![document("c", "Antrag auf Wohngeld")])], Some("8")).unwrap();
    assert_eq!(keys(&index, &ask("antrag wohngeld")).len(), 3);
}

#[test]
fn another_version_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("index");
    made(&folder);
    std::fs::write(folder.join("version"), "verbund search index, schema 0, analyser 0, tantivy 0.1\n").unwrap();
    let (index, opened) = Index::open(&folder).unwrap();
    assert_eq!(opened, Opened::Empty("it was made by another version".into()));
    assert!(index.is_empty());
}

#[test]
fn damage_of_any_file_is_noticed_and_the_index_is_empty_and_works() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<_> = {
        let folder = dir.path().join("index");
        made(&folder);
        files(&folder).into_iter().map(|path| path.file_name().unwrap().to_owned()).collect()
    };
    assert!(names.len() > 4, "{names:?}");
    for at in 0..names.len() {
        for damage in ["flip", "cut", "gone", "empty"] {
            let folder = dir.path().join(format!("{damage}-{at}"));
            made(&folder);
            let all = files(&folder);
            let Some(path) = all.get(at) else { continue };
            let mut bytes = std::fs::read(path).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let half = bytes.len() / 2;
            match damage {
                "flip" => bytes[half] ^= 0x10,
                "cut" => bytes.truncate(half),
                "empty" => bytes.clear(),
                _ => {}
            }
            if damage == "gone" {
                std::fs::remove_file(path).unwrap();
            } else {
                std::fs::write(path, bytes).unwrap();
            }
            let (index, opened) = Index::open(&folder).unwrap();
            if let Opened::AsLeft { .. } = opened {
                // Files that tantivy does not read again (its list of files to clear up) may be damaged without harm.
                assert_eq!(keys(&index, &ask("wohngeld")).len(), 2, "{damage} {}", path.display());
            }
            index.replace(&[("c".into(), vec![document("c", "Wohngeld")])], None).unwrap();
            assert!(keys(&index, &ask("wohngeld")).contains(&"c".to_owned()), "{damage} {}", path.display());
        }
    }
}
