//! Disks that lie and disks that are full: what was written comes back from members, and what does not fit waits.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use verbund_tests::{Federation, Folder, Node, World, noise, until};

/// Segments of the journal of a node's one federation.
fn segments(node: &Node) -> Vec<PathBuf> {
    let mut federations = std::fs::read_dir(node.dir.join("federations")).unwrap();
    let journal = federations.next().unwrap().unwrap().path().join("journal");
    let mut found: Vec<_> = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    found.sort();
    found
}

/// Turns a byte around in every frame that holds a release; returns how many.
fn rot_releases(node: &Node) -> usize {
    const IN_A_RELEASE: &[u8] = b"vnd.in-toto";
    let mut count = 0;
    for path in segments(node) {
        let bytes = std::fs::read(&path).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let places = bytes.windows(IN_A_RELEASE.len()).enumerate().filter(|(_, window)| *window == IN_A_RELEASE);
        for (at, _) in places {
            file.write_all_at(&[bytes[at] ^ 0x40], at as u64).unwrap();
            count += 1;
        }
    }
    count
}

fn problem(node: &Node, code: &str) -> Option<serde_json::Value> {
    let status = node.status();
    status["problems"].as_array().into_iter().flatten().find(|problem| problem["code"] == code).cloned()
}

#[test]
fn entries_in_damaged_frames_of_the_journal_come_back_from_members() {
    let mut federation = Federation::found(3);
    let (own, theirs) = (noise(1, 2_000), noise(2, 3_000));
    federation.publish("de-he", &Folder::new(federation.world.path(), "eigenes").file("a.bin", &own).path);
    federation.publish("de-rp", &Folder::new(federation.world.path(), "fremdes").file("a.bin", &theirs).path);
    // Frames behind the damaged ones: it lies further in.
    federation.hold(&["de-he", "de-rp", "de-sl"], 2);
    federation.publish("de-sl", &Folder::new(federation.world.path(), "danach").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 3);
    federation["de-he"].stop();
    let damaged = rot_releases(&federation["de-he"]);
    assert!(damaged >= 3, "one for each release: {damaged}");

    federation["de-he"].start();
    federation.connected();
    let mended = until("every entry is fetched again, and the damage is named", || {
        let found = problem(&federation["de-he"], "journal_damaged").ok_or("no problem journal_damaged")?;
        let text = found["text"].as_str().unwrap_or_default();
        if text.contains("has been fetched again") { Ok(found) } else { Err(text.to_owned()) }
    });
    assert_eq!(mended["severity"], "warning", "{mended}");
    assert!(federation["de-he"].events().iter().any(|event| event["code"] == "journal_mended"));

    // The entries are read for this; the others are away, so nobody helps.
    federation["de-rp"].stop();
    federation["de-sl"].stop();
    for (process, bytes) in [("de-he/eigenes", &own), ("de-rp/fremdes", &theirs)] {
        let out = federation.world.join(&process.replace('/', "-"));
        federation["de-he"].command(["process", "pull", process, out.to_str().unwrap()]).ok();
        assert!(std::fs::read(out.join("a.bin")).unwrap() == *bytes, "{process}");
        federation["de-he"].command(["process", "verify", out.to_str().unwrap()]).refused(8);
    }
    federation["de-rp"].start();
    federation["de-sl"].start();
    federation.connected();

    // Without its view, too, all is had back, and nothing forks.
    federation["de-he"].stop();
    let journal = segments(&federation["de-he"])[0].parent().unwrap().to_path_buf();
    std::fs::remove_dir_all(journal.with_file_name("view")).unwrap();
    federation["de-he"].start();
    federation.connected();
    federation.hold(&["de-he"], 3);
    federation.publish("de-he", &Folder::new(federation.world.path(), "spaeter").path);
    federation.hold(&["de-he", "de-rp", "de-sl"], 4);
    for node in &federation.nodes {
        let now = node.federation("mitte");
        for member in now["members"].as_array().unwrap() {
            assert_eq!(member["log"], "open", "{} of {now}", node.handle);
        }
    }
}

/// Set in a test that has mounts of its own.
const PRIVATE: &str = "PRIVATE_MOUNTS";

/// Whether this process has mounts of its own. If not, the test `name` is run again in one that has, so that no mount outlives it
/// whatever ends it; where this user may not have any, that is said.
fn with_private_mounts(name: &str) -> bool {
    if std::env::var_os(PRIVATE).is_some() {
        return true;
    }
    let apart = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command
    };
    if !apart().arg("true").output().is_ok_and(|done| done.status.success()) {
        eprintln!(
            "skipped: this user may not mount a small file system; the same is tested in daemon::intake and store::tests"
        );
        return false;
    }
    let own = std::env::current_exe().unwrap();
    let again = apart().arg(own).args(["--exact", name, "--nocapture"]).env(PRIVATE, "1").status().unwrap();
    assert!(again.success(), "{name} failed with mounts of its own: see above");
    false
}

/// A file system of its own for one node, in memory.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, size: &str) -> Self {
        std::fs::create_dir(&at).unwrap();
        let option = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "none"]).arg(&at).status().unwrap();
        assert!(mounted.success(), "a file system in memory");
        Self(at)
    }

    fn free(&self) -> u64 {
        let df = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().unwrap();
        String::from_utf8(df.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
    }

    /// Leaves so many bytes free.
    fn fill(&self, left: u64) {
        let take = usize::try_from(self.free().saturating_sub(left)).unwrap();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        match file.write_all(&vec![1; take]) {
            // The daemon took the last of it in between.
            Err(full) if full.kind() == std::io::ErrorKind::StorageFull => {}
            done => done.unwrap(),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_intake_says_so_and_goes_on_by_itself() {
    const MIB: u64 = 1 << 20;
    if !with_private_mounts("disk::a_full_disk_stops_intake_says_so_and_goes_on_by_itself") {
        return;
    }
    // Declared first, so that it goes last.
    let place = World::new();
    let small = Small::mount(place.join("de-rp"), "256m");
    let mut federation = Federation::found(1);
    let folder = place.join("de-rp");
    let mut node = federation.world.init_at(folder.to_str().unwrap(), "de-rp", "Rheinland-Pfalz", "127.0.0.1:0");
    node.set("limits.disk_floor", "64MiB").start();
    federation.join(node);
    let publish = |federation: &Federation, name: &str| {
        let folder = Folder::new(federation.world.path(), name).file("a.bin", &noise(name.len() as u64, 100_000));
        federation.publish("de-he", &folder.path);
    };
    publish(&federation, "vorher");
    federation.hold(&["de-he", "de-rp"], 1);

    // Below the floor of artifacts: releases are known, their files wait.
    small.fill(40 * MIB);
    publish(&federation, "ohne-dateien");
    until("the full disk is named", || {
        let now = federation["de-rp"].federation("mitte");
        let code = now["pending"][0]["code"].clone();
        match problem(&federation["de-rp"], "disk_floor") {
            Some(_) if code == "disk_full" && now["known"] == 2 && now["held"] == 1 => Ok(()),
            _ => Err(now.to_string()),
        }
    });
    let folder = Folder::new(federation.world.path(), "von-hier");
    let refused = federation["de-rp"].command(["publish", folder.path.to_str().unwrap()]).refused(1);
    assert!(refused.contains("free on disk") || refused.contains("disk is nearly full"), "{refused}");

    // Below that of the journal: not even entries are taken in, and the node goes on.
    small.fill(8 * MIB);
    std::thread::sleep(std::time::Duration::from_millis(500));
    publish(&federation, "ohne-eintrag");
    until("three polls are over", || {
        let counts = federation["de-rp"].status()["refusals"].clone();
        if counts["no_answer"].as_u64() >= Some(3) { Ok(()) } else { Err(counts.to_string()) }
    });
    assert_eq!(federation["de-rp"].federation("mitte")["known"], 2, "the entry waits");
    assert!(small.free() > 4 * MIB, "the journal can still be written");

    std::fs::remove_file(small.ballast()).unwrap();
    federation.hold(&["de-he", "de-rp"], 3);
    until("nothing is said of the disk any more", || {
        problem(&federation["de-rp"], "disk_floor").map_or(Ok(()), |problem| Err(problem.to_string()))
    });
    federation["de-rp"].publish(&folder.path);
    federation.hold(&["de-he", "de-rp"], 4);

    // Somebody else fills even what the floor keeps free: the journal waits for room, and nothing is acknowledged meanwhile. The
    // view's database does not wait: if it is hit first, the node ends, and is started again as its unit does.
    small.fill(0);
    let said = until("nothing is acknowledged any more", || {
        let said = federation["de-rp"].command(["token", "create", "voll"]);
        // What is left of a block may still take a few records.
        if said.code == 0 { Err("a token was made".to_owned()) } else { Ok(said) }
    });
    let ended = federation["de-rp"].try_get("/v1/status").is_err();
    assert!(ended || said.stderr.contains("the disk is full"), "{said}");
    until("status names it, or the node has ended", || match federation["de-rp"].try_get("/v1/status") {
        Ok(status) if !status["problems"].to_string().contains("\"journal_full\"") => {
            Err(status["problems"].to_string())
        }
        _ => Ok(()),
    });
    std::fs::remove_file(small.ballast()).unwrap();
    until("nothing is said of the disk any more", || {
        let problems = federation["de-rp"].revive().try_get("/v1/status")?["problems"].to_string();
        let left = ["\"journal_full\"", "\"disk_floor\""].iter().any(|code| problems.contains(code));
        if left { Err(problems) } else { Ok(()) }
    });
    federation.connected();
    publish(&federation, "danach");
    federation.hold(&["de-he", "de-rp"], 5);
    federation["de-rp"].command(["token", "create", "danach"]).ok();
    federation["de-rp"].stop();
}
