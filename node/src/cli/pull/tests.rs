//! The folder after a pull, whatever was there before.

use std::cell::RefCell;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use bytes::Bytes;
use futures::stream;
use verbund_protocol::ids::Blake3;

use super::*;
use crate::cli::exit::Exit;

/// Files by path, and which of them were asked for.
#[derive(Default)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
    asked: RefCell<Vec<String>>,
    /// The stream of this file breaks after its first piece.
    breaks: Option<String>,
}

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        Self { files, ..Self::default() }
    }
    fn entries(&self) -> Vec<FileEntry> {
        let entry = |(path, bytes): (&String, &Vec<u8>)| FileEntry {
            path: path.clone(),
            size: bytes.len() as u64,
            media_type: "text/plain".into(),
            sha256: Sha256::of(bytes),
            blake3: Blake3::of(bytes),
        };
        self.files.iter().map(entry).collect()
    }
    async fn pull(&self, out: &Path) -> Result<Report, Failure> {
        self.pull_entries(out, &self.entries(), false).await
    }
    async fn pull_entries(&self, out: &Path, files: &[FileEntry], force: bool) -> Result<Report, Failure> {
        self.asked.borrow_mut().clear();
        let digest = Sha256::of(&serde_json::to_vec(files).unwrap());
        let wanted = Wanted { release: "de-he/x@1.0.0", digest, files, provenance: b"{\"proof\":1}", force };
        write(out, &wanted, self, &|_| ()).await
    }
    fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}

impl Source for Files {
    fn open<'a>(&'a self, path: &'a str) -> Pin<Box<dyn Future<Output = Result<Bytestream, Failure>> + 'a>> {
        self.asked.borrow_mut().push(path.to_owned());
        let bytes = self.files[path].clone();
        let mut pieces: Vec<std::io::Result<Bytes>> = bytes.chunks(3).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        if self.breaks.as_deref() == Some(path) {
            pieces.truncate(1);
            pieces.push(Err(std::io::Error::other("gone")));
        }
        Box::pin(async move { Ok(Box::pin(stream::iter(pieces)) as Bytestream) })
    }
}

fn temp() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    (dir, out)
}
fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}
fn proof(out: &Path) -> bool {
    out.join(".verbund/provenance.json").exists()
}

#[tokio::test]
async fn a_pull_is_complete_and_can_be_repeated() {
    let (_dir, out) = temp();
    let source = Files::of(&[("process.toml", "id"), ("bpmn/ablauf ä.bpmn", "<x/>"), ("leer", "")]);
    let report = source.pull(&out).await.unwrap();
    assert_eq!((report.written.len(), report.unchanged, report.bytes), (3, 0, 6));
    assert_eq!(text(out.join("bpmn/ablauf ä.bpmn")), "<x/>");
    assert_eq!(text(out.join(".verbund/provenance.json")), "{\"proof\":1}");

    let report = source.pull(&out).await.unwrap();
    assert_eq!((report.written.len(), report.unchanged, report.foreign_total), (0, 3, 0));
    assert_eq!(source.asked(), Vec::<String>::new());
    assert!(proof(&out));
}

#[tokio::test]
async fn what_was_changed_is_fetched_again() {
    let (_dir, out) = temp();
    let source = Files::of(&[("a", "aaaa"), ("b", "bbbb")]);
    source.pull(&out).await.unwrap();
    std::fs::write(out.join("a"), "aXaa").unwrap();
    std::fs::remove_file(out.join("b")).unwrap();
    let report = source.pull(&out).await.unwrap();
    assert_eq!(report.written, ["a", "b"]);
    assert_eq!(text(out.join("a")) + &text(out.join("b")), "aaaabbbb");
}

#[tokio::test]
async fn a_new_version_removes_what_a_pull_wrote_and_nothing_else() {
    let (_dir, out) = temp();
    Files::of(&[("keep", "1"), ("old/deep/gone", "2"), ("old/mine", "3"), ("edited", "4")]).pull(&out).await.unwrap();
    std::fs::write(out.join("edited"), "by hand").unwrap();
    std::fs::write(out.join("notes.txt"), "foreign").unwrap();
    std::fs::write(out.join("old/foreign"), "foreign").unwrap();
    let report = Files::of(&[("keep", "1"), ("new", "5")]).pull(&out).await.unwrap();
    assert_eq!(report.removed, ["old/deep/gone", "old/mine"]);
    assert_eq!(report.foreign, ["edited", "notes.txt", "old/foreign"]);
    assert_eq!((report.written.as_slice(), report.unchanged), (&["new".to_owned()][..], 1));
    assert!(!out.join("old/deep").exists() && out.join("old/foreign").exists());
    assert_eq!(text(out.join("edited")), "by hand");
}

#[tokio::test]
async fn a_file_may_become_a_folder_and_back() {
    let (_dir, out) = temp();
    let (file, folder) = (Files::of(&[("a", "1")]), Files::of(&[("a/b/c", "2")]));
    file.pull(&out).await.unwrap();
    folder.pull(&out).await.unwrap();
    assert_eq!(text(out.join("a/b/c")), "2");
    file.pull(&out).await.unwrap();
    assert_eq!(text(out.join("a")), "1");
}

#[tokio::test]
async fn foreign_files_in_the_way_stop_it_before_anything_is_written() {
    let (_dir, out) = temp();
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("a"), "mine").unwrap();
    std::fs::write(out.join("b"), "bbbb").unwrap();
    let source = Files::of(&[("0", "x"), ("a", "aaaa"), ("b", "bbbb")]);
    let failure = source.pull(&out).await.unwrap_err();
    assert!(failure.text.contains("a: another file"), "{failure}");
    assert_eq!((text(out.join("a")).as_str(), out.join("0").exists()), ("mine", false));
    let report = source.pull_entries(&out, &source.entries(), true).await.unwrap();
    assert_eq!((report.written, report.unchanged), (vec!["0".to_owned(), "a".to_owned()], 1));
}

#[tokio::test]
async fn links_are_not_followed_out_of_the_folder() {
    let (dir, out) = temp();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("f"), "untouched").unwrap();
    std::fs::create_dir(&out).unwrap();
    symlink(&outside, out.join("sub")).unwrap();
    symlink(outside.join("f"), out.join("link")).unwrap();
    for path in ["sub/f", "sub/new", "link"] {
        let source = Files::of(&[(path, "evil")]);
        for force in [false, true] {
            let failure = source.pull_entries(&out, &source.entries(), force).await.unwrap_err();
            assert!(failure.text.contains("in the way"), "{failure}");
        }
    }
    assert_eq!(text(outside.join("f")), "untouched");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);

    // Nor by the pull's own folder.
    let out = dir.path().join("second");
    std::fs::create_dir(&out).unwrap();
    symlink(&outside, out.join(".verbund")).unwrap();
    assert!(Files::of(&[("a", "1")]).pull(&out).await.is_err());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn unsafe_paths_are_refused_before_anything_is_made() {
    let (_dir, out) = temp();
    let long = "x/".repeat(300) + "y";
    for path in
        ["../evil", "/etc/evil", "a/../../evil", "a//b", "", ".", "a/.", ".verbund/x", ".VERBUND/x", "a\0b", &long]
    {
        let source = Files::of(&[(path, "evil"), ("good", "1")]);
        let failure = source.pull(&out).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Verification, "{path}");
        assert!(!out.exists());
    }
    let source = Files::of(&[("a", "1")]);
    let twice = [source.entries(), source.entries()].concat();
    assert!(source.pull_entries(&out, &twice, false).await.is_err());
}

#[tokio::test]
async fn wrong_or_broken_bytes_never_appear() {
    let (_dir, out) = temp();
    let mut source = Files::of(&[("a", "aaaa"), ("b", "bbbb")]);
    let entries = source.entries();
    for lie in ["aaab", "aaa", "aaaaaaaaaaaaaaa"] {
        source.files.insert("a".into(), lie.into());
        let failure = source.pull_entries(&out, &entries, false).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Verification);
        assert!(!out.join("a").exists() && !proof(&out));
    }
    source.files.insert("a".into(), "aaaa".into());
    source.breaks = Some("b".into());
    let failure = source.pull_entries(&out, &entries, false).await.unwrap_err();
    assert!(failure.text.contains("b broke off"), "{failure}");
    assert!(out.join("a").exists() && !out.join("b").exists() && !proof(&out));
    source.breaks = None;
    let report = source.pull_entries(&out, &entries, false).await.unwrap();
    assert_eq!((report.written, report.unchanged), (vec!["b".to_owned()], 1));
}

#[tokio::test]
async fn an_interrupted_change_of_version_is_picked_up() {
    let (_dir, out) = temp();
    let first = Files::of(&[("a", "a1"), ("b", "b1"), ("old", "o")]);
    first.pull(&out).await.unwrap();
    let mut second = Files::of(&[("a", "a2"), ("b", "b2"), ("new", "n")]);
    second.breaks = Some("b".into());
    second.pull(&out).await.unwrap_err();
    assert_eq!((text(out.join("a")).as_str(), text(out.join("b")).as_str()), ("a2", "b1"));
    assert!(!proof(&out), "half of a version has no proof");
    // Back to the first: what the second wrote is known as a pull's own.
    let report = first.pull(&out).await.unwrap();
    assert_eq!((report.written, report.foreign_total), (vec!["a".to_owned(), "old".to_owned()], 0));
    second.breaks = None;
    second.pull(&out).await.unwrap();
    assert!(proof(&out) && !out.join("old").exists());
}

#[tokio::test]
async fn a_damaged_record_removes_nothing() {
    let (_dir, out) = temp();
    Files::of(&[("a", "1"), ("b", "2")]).pull(&out).await.unwrap();
    std::fs::write(out.join(".verbund/pulled.json"), "{").unwrap();
    let report = Files::of(&[("a", "1")]).pull(&out).await.unwrap();
    assert_eq!((report.removed.len(), report.foreign), (0, vec!["b".to_owned()]));
    // A record that names paths outside is no reason to remove them either.
    let evil = r#"{"release":"x","digest":null,"files":{"../../victim":[]}}"#;
    std::fs::write(out.join(".verbund/pulled.json"), evil).unwrap();
    Files::of(&[("a", "1")]).pull(&out).await.unwrap();
}

#[tokio::test]
async fn two_pulls_into_one_folder_do_not_mix() {
    let (_dir, out) = temp();
    let _first = Folder::open(&out).unwrap();
    let failure = Files::of(&[("a", "1")]).pull(&out).await.unwrap_err();
    assert!(failure.text.contains("another pull"), "{failure}");
}

#[tokio::test]
async fn leftovers_of_a_killed_pull_do_not_hinder() {
    let (_dir, out) = temp();
    std::fs::create_dir_all(out.join(".verbund")).unwrap();
    std::fs::write(out.join(".verbund/draft"), "half").unwrap();
    std::fs::set_permissions(out.join(".verbund/draft"), std::fs::Permissions::from_mode(0o400)).unwrap();
    Files::of(&[("a", "1")]).pull(&out).await.unwrap();
    assert!(!out.join(".verbund/draft").exists());
}
