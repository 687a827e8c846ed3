//! What people type and what their folders do: nothing leads out of a folder, and nothing half gets in.

use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use verbund_tests::{Federation, Folder, Outcome, World, admin_get, noise, program};

#[test]
fn paths_that_lead_elsewhere_are_refused_wherever_one_can_be_typed() {
    let federation = Federation::found(1);
    let node = &federation["de-he"];
    let root = federation.world.path();
    // In process.toml.
    for (number, terms) in
        ["../AGB.md", "/etc/passwd", "a/../../b", "./AGB.md", "a//b", "AGB\\u0000.md", ""].iter().enumerate()
    {
        let folder = Folder::new(root, &format!("terms-{number}")).with(&format!("terms = \"{terms}\""));
        let said = node.command(["publish", folder.path.to_str().unwrap()]).refused(1);
        assert!(said.contains("terms"), "{terms:?}: {said}");
    }
    for (number, id) in ["../hund", "/hund", "de-he/hund", "hund\\u0000", "Hund", ".."].iter().enumerate() {
        let folder = Folder::new(root, &format!("id-{number}"));
        let text = std::fs::read_to_string(folder.path.join("process.toml")).unwrap();
        let text = text.replacen(&format!("id = \"id-{number}\""), &format!("id = \"{id}\""), 1);
        std::fs::write(folder.path.join("process.toml"), text).unwrap();
        let said = node.command(["publish", folder.path.to_str().unwrap()]).refused(1);
        assert!(said.contains("id"), "{id:?}: {said}");
    }
    for (key, value) in [
        ("based_on", "\"../hund@1.0.0\""),
        ("succeeds", "\"/etc/passwd\""),
        ("depends", "[{ process = \"de-he/../hund\", version = \"^1\" }]"),
    ] {
        let folder = Folder::new(root, &format!("key-{key}")).with(&format!("{key} = {value}"));
        let said = node.command(["publish", folder.path.to_str().unwrap()]).refused(1);
        assert!(said.contains(key), "{key}: {said}");
    }

    // In references.
    node.publish(&Folder::new(root, "gut").path);
    for reference in ["../gut", "/gut", "de-he/../gut", "de-he/gut@../1", "de-he/gut/../../x", "..", "", "de-he/gut@"] {
        for line in [&["process", "show"][..], &["process", "versions"], &["withdraw", "--reason", "x"]] {
            let said = node.command([line, &[reference]].concat());
            assert!(matches!(said.code, 1..=3) && !said.stderr.contains("panicked"), "{said}");
        }
        let out = federation.world.join("out");
        let said = node.command(["process", "pull", reference, out.to_str().unwrap()]);
        assert!(matches!(said.code, 1..=3) && !out.exists(), "{said}");
    }
    // On the admin socket, where also what no shell passes on can be said.
    for path in ["../process.toml", "/etc/passwd", "%2e%2e/process.toml", "a%00b", "process.toml%00", ".", "", "%ff"] {
        let target = format!("/v1/releases/file?release=de-he%2Fgut&path={path}");
        let answer = admin_get(&node.dir.join("admin.sock"), &target).unwrap();
        assert_eq!(answer.status / 100, 4, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(node.federation("mitte")["known"], 1, "nothing of all that was published");
}

#[test]
fn a_pull_never_writes_through_links_or_over_what_is_not_its_own() {
    let federation = Federation::found(1);
    let node = &federation["de-he"];
    let folder = Folder::new(federation.world.path(), "gut").file("modell/a.bpmn", b"<definitions/>");
    node.publish(&folder.path);
    let pull = |out: &Path| node.command(["process", "pull", "de-he/gut", out.to_str().unwrap()]);
    let outside = federation.world.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("a.bpmn"), b"kept").unwrap();
    // OUT is a file; a folder in it is a link; a file in it is a link; a foreign file lies there.
    let file = federation.world.join("file");
    std::fs::write(&file, b"kept").unwrap();
    let said = pull(&file).refused(1);
    assert!(said.contains("file"), "{said}");
    let dir = |name: &str| {
        let out = federation.world.join(name);
        std::fs::create_dir(&out).unwrap();
        out
    };
    let linked = dir("linked");
    symlink(&outside, linked.join("modell")).unwrap();
    let said = pull(&linked).refused(1);
    assert!(said.contains("modell") && said.contains("nothing was written"), "{said}");
    let aimed = dir("aimed");
    symlink(&file, aimed.join("hinweise.txt")).unwrap();
    let said = pull(&aimed).refused(1);
    assert!(said.contains("hinweise.txt"), "{said}");
    let taken = dir("taken");
    std::fs::write(taken.join("hinweise.txt"), b"kept").unwrap();
    let said = pull(&taken).refused(1);
    assert!(said.contains("hinweise.txt") && said.contains("--force"), "{said}");
    for (path, kept) in [(file, "kept"), (outside.join("a.bpmn"), "kept"), (taken.join("hinweise.txt"), "kept")] {
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept, "{}", path.display());
    }
    // `..` in a path that the user typed is the user's own business.
    let out = federation.world.join("outside/../inside");
    pull(&out).ok();
    assert_eq!(std::fs::read(federation.world.join("inside/modell/a.bpmn")).unwrap(), b"<definitions/>");
}

/// `verbund peer add -` with these bytes on stdin.
fn ticket_on_stdin(world: &World, federation: &Federation, bytes: &[u8]) -> Outcome {
    let node = &federation["de-he"];
    let mut child = Command::new(program())
        .arg("--data-dir")
        .arg(&node.dir)
        .args(["peer", "add", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir(world.path())
        .spawn()
        .unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Outcome { command: "peer add -".to_owned(), code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
fn a_ticket_that_is_none_is_refused_in_words() {
    let federation = Federation::found(1);
    let good = federation.invite("de-th");
    let cut = &good.as_bytes()[..good.len() / 2];
    let nul = [cut, b"\0", &good.as_bytes()[good.len() / 2..]].concat();
    let many = vec![b'A'; 100_000];
    let tickets: [&[u8]; 8] = [b"", b"\0", b"../../etc/passwd", b"/etc/passwd", b"\xff\xfe\xfd", cut, &nul, &many];
    for bytes in tickets {
        let said = ticket_on_stdin(&federation.world, &federation, bytes);
        assert!(matches!(said.code, 1 | 2) && !said.stderr.contains("panicked"), "{said}");
        assert!(said.stderr.contains("ticket"), "{said}");
    }
}

#[test]
fn a_file_that_another_user_may_not_read_is_named() {
    // A folder that everyone may enter, unlike that of a test.
    let folder = tempfile::Builder::new().prefix("vbu").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let made = Folder::new(folder.path(), "unlesbar").file("modell/geheim.txt", b"x").file("offen.txt", b"x");
    std::fs::set_permissions(made.path.join("modell/geheim.txt"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let root = rustix::process::geteuid().is_root();
    let copy = folder.path().join("verbund");
    let mut command = if root {
        // The program may lie where nobody else can reach it.
        std::fs::copy(program(), &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        command
    } else {
        Command::new(program())
    };
    command.arg("--data-dir").arg(folder.path().join("none")).args(["publish", "--check"]).arg(&made.path);
    let output = match command.output() {
        Err(error) if root => return eprintln!("SKIPPED: setpriv: {error}"),
        output => output.unwrap(),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if root && said.contains("setpriv: ") {
        return eprintln!("SKIPPED: {said}");
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("modell/geheim.txt") && said.to_lowercase().contains("permission"), "{said}");
    assert!(!said.contains("offen.txt"), "{said}");
}

/// Publishes versions of `folder` while `disturb` runs again and again; returns what was said.
fn disturbed(federation: &Federation, folder: &Folder, rounds: u32, disturb: impl Fn(u32) + Sync) -> Vec<Outcome> {
    let stop = AtomicBool::new(false);
    let mut outcomes = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                disturb(round);
            }
        });
        for number in 0..rounds {
            let folder = folder.clone().version(&format!("1.0.{number}"));
            outcomes.push(federation["de-he"].command(["--quiet", "publish", folder.path.to_str().unwrap()]));
        }
        stop.store(true, Ordering::Relaxed);
    });
    outcomes
}

#[test]
fn a_file_that_grows_and_shrinks_is_published_whole_or_not_at_all() {
    let federation = Federation::found(1);
    const LINE: &[u8] = b"0123456789abcdef";
    let folder = Folder::new(federation.world.path(), "waechst").file("protokoll.txt", &LINE.repeat(1 << 16));
    let path = folder.path.join("protokoll.txt");
    let outcomes = disturbed(&federation, &folder, 6, |round| {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        for _ in 0..64 {
            file.write_all(&LINE.repeat(256)).unwrap();
        }
        if round % 3 == 2 {
            file.set_len((LINE.len() << 15) as u64).unwrap();
        }
    });
    for said in &outcomes {
        assert!(said.code == 0 || said.code == 1 && said.stderr.contains("changed while"), "{said}");
    }
    let now = federation["de-he"].federation("mitte");
    assert_eq!((&now["held"], &now["quarantined"]), (&now["known"], &0.into()), "{now}");
    let published = outcomes.iter().filter(|said| said.code == 0).count() as u64;
    assert_eq!(now["known"], published, "what was refused was not published: {now}");
}

#[test]
fn a_folder_swapped_for_a_link_while_it_is_published_lets_nothing_foreign_in() {
    let federation = Federation::found(1);
    let node = &federation["de-he"];
    // What is left out is said right after the scan; the large file, which is read first, gives time before the one behind the link.
    let folder = Folder::new(federation.world.path(), "tausch")
        .file("00-gross.bin", &noise(5, 8 << 20))
        .file("modell/a.txt", b"eigen")
        .file("Thumbs.db", b"x");
    let foreign = federation.world.join("fremd");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("a.txt"), b"fremd").unwrap();
    let (inside, aside) = (folder.path.join("modell"), federation.world.join("beiseite"));
    let mut child = Command::new(program())
        .arg("--data-dir")
        .arg(&node.dir)
        .arg("publish")
        .arg(&folder.path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("left out: Thumbs.db"), "{first}");
    std::fs::rename(&inside, &aside).unwrap();
    symlink(&foreign, &inside).unwrap();
    let said: Vec<_> = lines.map(Result::unwrap).collect();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(1), "{said:?}");
    assert!(said.iter().any(|line| line.contains("modell/a.txt") && line.contains("replaced")), "{said:?}");
    assert_eq!(node.federation("mitte")["known"], 0, "nothing was published");
}
