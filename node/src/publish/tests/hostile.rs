//! Folders that want to be read wrongly, each with its refusal.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;

#[track_caller]
fn refused(root: &Path, code: &str, file: &str, words: &str) {
    let problems = scan(root).unwrap_err();
    assert_eq!(codes(&problems), [(code, file)]);
    assert!(problems[0].rule.contains(words), "{}", problems[0]);
}

#[test]
fn links_are_refused_wherever_they_lead() {
    for target in ["/etc/passwd", "../..", "process.toml", "fehlt", "self"] {
        let (_dir, root) = folder(&[]);
        symlink(target, root.join("self")).unwrap();
        refused(&root, "symlink", "self", "not followed");
    }
    let (_dir, root) = folder(&[]);
    fs::create_dir(root.join("a")).unwrap();
    symlink("..", root.join("a/oben")).unwrap();
    refused(&root, "symlink", "a/oben", "put a copy there");
}

#[test]
fn pipes_sockets_and_devices_are_refused_unopened() {
    let (_dir, root) = folder(&[]);
    mkfifoat(CWD, root.join("rohr"), Mode::RWXU).unwrap();
    refused(&root, "special_file", "rohr", "named pipe");
    let (_dir, root) = folder(&[]);
    let _socket = UnixListener::bind(root.join("s")).unwrap();
    refused(&root, "special_file", "s", "socket");
    let (_dir, root) = folder(&[]);
    let made = rustix::fs::mknodat(
        CWD,
        root.join("d"),
        rustix::fs::FileType::CharacterDevice,
        Mode::RWXU,
        rustix::fs::makedev(1, 5),
    );
    if made.is_err() {
        eprintln!("skipped: no right to make devices here");
        return;
    }
    refused(&root, "special_file", "d", "device");
}

#[test]
fn names_that_cannot_be_kept() {
    for (name, words) in [
        (&b"a\\b"[..], "backslash"),
        (b"a\nb", "line break"),
        (b"a\xff", "not UTF-8"),
        ("u\u{308}ber.xml".as_bytes(), "normal form C"),
        (b"punkt.", "Windows drops"),
        ("a\u{202e}gpj.exe".as_bytes(), "U+202E"),
        (b"C:x", "absolute"),
    ] {
        let (_dir, root) = folder(&[]);
        fs::write(root.join(OsStr::from_bytes(name)), b"x").unwrap();
        let problems = scan(&root).unwrap_err();
        assert_eq!((problems.len(), problems[0].code), (1, "bad_name"), "{problems:?}");
        assert!(problems[0].rule.contains(words), "{}", problems[0]);
    }
    let problems = scan(Path::new(OsStr::from_bytes(b"a\0b"))).unwrap_err();
    assert_eq!(problems[0].code, "unreadable");
}

#[test]
fn names_that_would_meet_on_other_systems() {
    for (a, b) in [("Antrag.xml", "antrag.xml"), ("Ä/x", "ä/y"), ("ſ", "s")] {
        let (_dir, root) = folder(&[(a, b"1"), (b, b"2")]);
        let problems = scan(&root).unwrap_err();
        assert_eq!((problems.len(), problems[0].code), (1, "bad_name"), "{a} {b}: {problems:?}");
        assert!(problems[0].rule.contains("upper and lower case"));
    }
    let (_dir, root) = folder(&[("nul.txt", b"x")]);
    let scanned = scan(&root).unwrap();
    assert_eq!(codes(&scanned.warnings), [("windows_name", "nul.txt")]);
}

#[test]
fn none_and_too_many_files() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("leer/leer")).unwrap();
    let problems = scan(dir.path()).unwrap_err();
    assert_eq!(problems[0].code, "no_files");
    fs::create_dir(dir.path().join(".git")).unwrap();
    fs::write(dir.path().join(".git/config"), b"x").unwrap();
    assert_eq!(scan(dir.path()).unwrap_err()[0].code, "no_files", "skipped files do not count");

    let (_dir, root) = folder(&[]);
    for n in 0..9_999 {
        fs::File::create(root.join(n.to_string())).unwrap();
    }
    assert_eq!(scan(&root).unwrap().files.len(), 10_000);
    fs::write(root.join("einer-zu-viel"), b"x").unwrap();
    let problems = scan(&root).unwrap_err();
    assert_eq!((problems.len(), problems[0].code), (1, "too_many_files"));
    assert!(problems[0].rule.contains("10000"), "{}", problems[0]);
}

#[test]
fn deep_folders_end() {
    let (_dir, root) = folder(&[]);
    fs::create_dir_all(root.join(["d"; 40].join("/"))).unwrap();
    let problems = scan(&root).unwrap_err();
    assert_eq!((problems.len(), problems[0].code), (1, "bad_name"));
    assert!(problems[0].rule.contains("32 folders"), "{}", problems[0]);
    let (_dir, root) = folder(&[(&format!("{}/x", ["d"; 31].join("/")), b"x")]);
    assert_eq!(scan(&root).unwrap().files.len(), 2);
}

#[test]
fn all_problems_are_said_at_once() {
    let (_dir, root) = folder(&[("a\\b", b"x"), ("Twin", b"x"), ("twin", b"x")]);
    symlink("/", root.join("link")).unwrap();
    mkfifoat(CWD, root.join("rohr"), Mode::RWXU).unwrap();
    let problems = scan(&root).unwrap_err();
    assert_eq!(problems.len(), 4, "{problems:?}");
    let again = scan(&root).unwrap_err();
    assert_eq!(
        codes(&problems).iter().filter(|c| c.0 != "bad_name").collect::<Vec<_>>(),
        codes(&again).iter().filter(|c| c.0 != "bad_name").collect::<Vec<_>>()
    );
    for n in 0..300 {
        symlink("/", root.join(format!("link{n}"))).unwrap();
    }
    let problems = scan(&root).unwrap_err();
    assert_eq!((problems.len(), problems.last().unwrap().code), (101, "more"));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let (_dir, root) = folder(&[("x", &[b'a'; 200_000])]);
    let path = root.join("x");
    let source = |root: &Path| scan(root).unwrap().files.into_iter().find(|f| f.path.as_str() == "x").unwrap().source;
    type Edit = fn(&Path);
    let edits: [(&str, Edit); 5] = [
        ("longer", |p| fs::OpenOptions::new().append(true).open(p).unwrap().write_all(b"b").unwrap()),
        ("shorter", |p| fs::OpenOptions::new().write(true).open(p).unwrap().set_len(10).unwrap()),
        ("other bytes", |p| fs::write(p, vec![b'c'; 200_000]).unwrap()),
        ("other bytes, old time", |p| {
            let before = fs::metadata(p).unwrap().modified().unwrap();
            fs::write(p, vec![b'd'; 200_000]).unwrap();
            fs::File::options().write(true).open(p).unwrap().set_modified(before).unwrap();
        }),
        ("other file", |p| {
            fs::write(p.with_extension("new"), vec![b'e'; 200_000]).unwrap();
            fs::rename(p.with_extension("new"), p).unwrap();
        }),
    ];
    for (what, edit) in edits {
        fs::write(&path, vec![b'a'; 200_000]).unwrap();
        settle(&path);
        let untouched = source(&root);
        assert!(untouched.digest().is_ok());

        let before_open = source(&root);
        edit(&path);
        assert!(before_open.digest().is_err(), "{what} before opening");

        fs::write(&path, vec![b'a'; 200_000]).unwrap();
        settle(&path);
        let mut opened = source(&root).open().unwrap();
        let mut half = vec![0; 100_000];
        std::io::Read::read_exact(&mut opened, &mut half).unwrap();
        edit(&path);
        std::io::copy(&mut opened, &mut std::io::sink()).unwrap();
        assert!(opened.finish().is_err(), "{what} while reading");
    }
}

/// Waits until the file system's clock has moved on from the file's last change, so that the next change has another time.
fn settle(path: &Path) {
    let probe = path.with_extension("probe");
    let changed = |p: &Path| {
        let m = fs::metadata(p).unwrap();
        (std::os::unix::fs::MetadataExt::ctime(&m), std::os::unix::fs::MetadataExt::ctime_nsec(&m))
    };
    loop {
        fs::write(&probe, b"x").unwrap();
        if changed(&probe) > changed(path) {
            break;
        }
        std::thread::yield_now();
    }
    fs::remove_file(&probe).unwrap();
}

#[test]
fn a_file_replaced_by_something_else_is_not_opened() {
    let (_dir, root) = folder(&[("a/x", b"x")]);
    let scanned = scan(&root).unwrap();
    let file = scanned.files.iter().find(|f| f.path.as_str() == "a/x").unwrap();
    let path = root.join("a/x");
    fs::remove_file(&path).unwrap();
    assert!(matches!(file.source.open(), Err(SourceError::Replaced)), "gone");
    symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(file.source.open(), Err(SourceError::Replaced)), "a link");
    fs::remove_file(&path).unwrap();
    mkfifoat(CWD, &path, Mode::RWXU).unwrap();
    assert!(matches!(file.source.open(), Err(SourceError::Replaced)), "a pipe, without waiting for its writer");
    fs::remove_file(&path).unwrap();
    fs::rename(root.join("a"), root.join("b")).unwrap();
    fs::write(root.join("b/x"), b"x").unwrap();
    symlink("b", root.join("a")).unwrap();
    assert!(matches!(file.source.open(), Err(SourceError::Replaced)), "a folder on the way is a link");
    let problem = file.source.open().unwrap_err().problem(&file.path);
    assert_eq!((problem.code, problem.file.as_str()), ("replaced", "a/x"));
}

/// Root reads everything, so the check runs in a process of nobody.
const AS_NOBODY: &str = "VERBUND_TEST_FOLDER";

#[test]
fn unreadable_files_are_named() {
    if let Some(root) = std::env::var_os(AS_NOBODY) {
        let problems = scan(Path::new(&root)).unwrap_err();
        let found: Vec<_> = problems.iter().map(|p| (p.code, p.file.as_str())).collect();
        assert_eq!(found, [("unreadable", "geheim.xml"), ("unreadable", "zu")]);
        assert!(problems[0].rule.contains("denied"), "{}", problems[0]);
        return;
    }
    let (dir, root) = folder(&[("geheim.xml", b"x"), ("zu/x", b"x"), ("offen", b"x")]);
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(root.join("geheim.xml"), PermissionsExt::from_mode(0o000)).unwrap();
    fs::set_permissions(root.join("zu"), PermissionsExt::from_mode(0o000)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "publish::tests::hostile::unreadable_files_are_named"]).env(AS_NOBODY, &root);
    if rustix::process::geteuid().is_root() {
        child.uid(65_534).gid(65_534).current_dir("/");
    }
    let output = match child.output() {
        Ok(output) => output,
        Err(e) => return eprintln!("skipped: nobody cannot run this test program ({e})"),
    };
    fs::set_permissions(root.join("zu"), PermissionsExt::from_mode(0o755)).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
