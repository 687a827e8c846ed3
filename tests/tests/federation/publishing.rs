//! What `publish` takes and what it refuses.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use verbund_tests::{Federation, Folder, corpus, until};

#[test]
fn the_same_version_with_other_content_is_refused_and_changes_nothing() {
    let federation = Federation::found(1);
    let folder = Folder::new(federation.world.path(), "hundesteuer");
    let first = federation["de-he"].publish(&folder.path);
    let folder = folder.file("hinweise.txt", b"anders\n");
    let said = federation["de-he"].command(["publish", folder.path.to_str().unwrap()]).refused(1);
    assert!(said.contains("1.0.0"), "{said}");
    let versions = federation["de-he"].json("process versions de-he/hundesteuer");
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
    assert_eq!(versions["versions"][0]["digest"], first["digest"]);
    // Under the next version it is fine.
    federation["de-he"].publish(&folder.version("1.0.1").path);
}

#[test]
fn a_withdrawn_release_is_marked_everywhere_with_its_reason() {
    let federation = Federation::found(2);
    let folder = Folder::new(federation.world.path(), "fundsache");
    federation.publish("de-he", &folder.path);
    federation.publish("de-he", &folder.version("1.1.0").path);
    federation.hold(&["de-he", "de-rp"], 2);
    federation["de-he"].command(["withdraw", "de-he/fundsache@1.1.0", "--reason", "Rechenfehler"]).ok();
    until("the other member sees it", || {
        let versions = federation["de-rp"].get("/v1/processes/versions?process=de-he%2Ffundsache")["versions"].clone();
        match versions[0]["withdrawn"].as_str() {
            Some(reason) if reason.contains("Rechenfehler") => Ok(()),
            _ => Err(versions.to_string()),
        }
    });
    let newest = federation["de-rp"].json("process show de-he/fundsache");
    assert_eq!(newest["version"], "1.0.0", "without a version the highest one that is not withdrawn is meant");
}

#[test]
fn hostile_folders_are_refused_with_a_clear_reason() {
    let federation = Federation::found(1);
    let root = federation.world.path();
    let refuse = |folder: &Folder, words: &[&str]| {
        let said = federation["de-he"].command(["publish", folder.path.to_str().unwrap()]);
        assert!(said.code != 0, "{said}");
        let low = said.stderr.to_lowercase();
        assert!(words.iter().any(|word| low.contains(word)), "one of {words:?} was expected: {said}");
    };

    let link = Folder::new(root, "link");
    symlink("/etc/hostname", link.path.join("host")).unwrap();
    refuse(&link, &["link"]);
    let inner = Folder::new(root, "inner-link");
    symlink("hinweise.txt", inner.path.join("kopie.txt")).unwrap();
    refuse(&inner, &["link"]);
    refuse(&Folder::new(root, "twins").file("Antrag.bpmn", b"1").file("antrag.bpmn", b"2"), &["case"]);
    let empty = Folder::new(root, "empty");
    std::fs::remove_file(empty.path.join("process.toml")).unwrap();
    std::fs::remove_file(empty.path.join("hinweise.txt")).unwrap();
    refuse(&empty, &["process.toml", "empty", "no file"]);
    let unreadable = Folder::new(root, "unreadable").file("geheim.txt", b"x");
    std::fs::set_permissions(unreadable.path.join("geheim.txt"), std::fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything; everyone else must be told which file it is.
    if std::fs::File::open(unreadable.path.join("geheim.txt")).is_err() {
        refuse(&unreadable, &["geheim.txt"]);
    }
    let pipe = Folder::new(root, "pipe");
    let made = std::process::Command::new("mkfifo").arg(pipe.path.join("rohr")).status().unwrap();
    assert!(made.success());
    refuse(&pipe, &["rohr"]);
    refuse(&Folder::new(root, "unknown-key").with("titel = \"x\""), &["title"]);
    refuse(&Folder::new(root, "bad-key").with("ozg_id = [\"1\"]"), &["ozg_id"]);
    refuse(&Folder::new(root, "terms-outside").with("terms = \"../AGB.md\""), &["terms"]);
    refuse(&Folder::new(root, "terms-absolute").with("terms = \"/etc/passwd\""), &["terms"]);
    let odd = Folder::new(root, "not-utf8");
    use std::os::unix::ffi::OsStrExt as _;
    std::fs::write(odd.path.join(std::ffi::OsStr::from_bytes(b"f\xff.txt")), b"x").unwrap();
    refuse(&odd, &["utf-8", "utf8"]);

    assert_eq!(federation["de-he"].federation("mitte")["known"], 0, "nothing of it was published");
    assert!(federation["de-he"].json("process ls")["processes"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_left_out_of_a_release_is_said() {
    let federation = Federation::found(1);
    let folder = Folder::new(federation.world.path(), "rest")
        .file(".verbund/provenance.json", b"{}")
        .file(".git/config", b"[core]")
        .file("Thumbs.db", b"x")
        .file("~$antrag.docx", b"x");
    let said = federation["de-he"].command(["publish", folder.path.to_str().unwrap()]);
    for name in [".verbund", ".git", "Thumbs.db", "~$antrag.docx"] {
        assert!(said.stderr.contains(&format!("left out: {name}")), "{name}: {said}");
    }
    let view = federation["de-he"].json("process show de-he/rest");
    let paths: Vec<_> = view["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["hinweise.txt", "process.toml"]);
}

#[test]
fn ten_thousand_files_are_published_and_one_more_is_refused() {
    let federation = Federation::found(1);
    let folder = Folder::new(federation.world.path(), "viele");
    // process.toml and hinweise.txt are there already.
    for number in 0..9_998 {
        std::fs::write(folder.path.join(format!("{number}.txt")), number.to_string()).unwrap();
    }
    let published = federation["de-he"].publish(&folder.path);
    assert_eq!(published["release"], "de-he/viele@1.0.0");
    let folder = folder.version("1.0.1").file("eine-zu-viel.txt", b"x");
    let said = federation["de-he"].command(["publish", folder.path.to_str().unwrap()]);
    assert!(
        said.code != 0 && said.stderr.contains("10000")
            || said.stderr.contains("10 000")
            || said.stderr.contains("10,000"),
        "{said}"
    );
}

#[test]
fn a_file_that_changes_while_it_is_read_never_gets_into_a_release_half_old_half_new() {
    let federation = Federation::found(1);
    let folder = Folder::new(federation.world.path(), "wechsel").file("stand.bin", &[0; 4 << 20]);
    let path = folder.path.join("stand.bin");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut outcomes = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut byte = 0_u8;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                byte = byte.wrapping_add(1);
                // In place, as an export that is still being written.
                use std::os::unix::fs::FileExt as _;
                let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
                for at in 0..64 {
                    file.write_all_at(&[byte; 1 << 16], at << 16).unwrap();
                }
            }
        });
        for number in 0..5 {
            let folder = folder.clone().version(&format!("1.0.{number}"));
            outcomes.push(federation["de-he"].command(["--quiet", "publish", folder.path.to_str().unwrap()]));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for said in outcomes {
        // Either it held still for long enough, or the reason is named; what was published is held in full.
        assert!(said.code == 0 || said.stderr.contains("changed"), "{said}");
    }
    let now = federation["de-he"].federation("mitte");
    assert_eq!(now["held"], now["known"], "{now}");
    assert_eq!(now["quarantined"], 0, "{now}");
}

#[test]
fn real_files_even_malformed_ones_are_published_byte_for_byte() {
    let Some(corpus) = corpus() else { return };
    let federation = Federation::found(2);
    let mut folder = Folder::new(federation.world.path(), "echte-dateien");
    let mut expected = Vec::new();
    let mut open = vec![corpus.join("bpmn-miwg"), corpus.join("fim-xdatenfelder-ts")];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "bpmn" || e == "xml") && expected.len() < 200 {
                let bytes = std::fs::read(&path).unwrap();
                let name = format!("{:03}-{}", expected.len(), path.file_name().unwrap().to_str().unwrap());
                folder = folder.file(&name, &bytes);
                expected.push((name, bytes));
            }
        }
    }
    assert!(expected.len() > 50, "{} files", expected.len());
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    let out = federation.world.join("pulled");
    federation["de-rp"].command(["process", "pull", "de-he/echte-dateien", out.to_str().unwrap()]).ok();
    for (name, bytes) in expected {
        assert!(std::fs::read(out.join(&name)).unwrap() == bytes, "{name}");
    }
}
