//! `kill -9` at any moment of receiving and of joining: nothing of it blocks the next try, and nothing is left lying about.

use std::path::Path;
use std::time::{Duration, Instant};

use verbund_tests::{Dice, Federation, Folder, Node, World, disk, noise, seed, until};

/// One artifact that takes a while.
const LARGE: u64 = 12 << 20;
/// And many that do not.
const SMALL: u64 = 40;

/// When the receiver is killed, as its disk shows it.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The first file of a release, its manifest, has begun or is there.
    Manifest,
    /// So many of the small files are there.
    Files(u64),
    /// The first group of the large artifact was written.
    FirstGroup,
    /// So many bytes of it.
    Bytes(u64),
    /// It is complete and has its name, and the release is hardly noted as held yet.
    Renamed,
    /// So many milliseconds after the process started.
    After(u64),
}

impl Moment {
    /// Whether it has come; `before` is the number of artifacts before the start.
    fn is(self, node: &Node, large: u64, before: usize, started: Instant) -> bool {
        let parts = || disk::files(&node.dir.join("artifacts/partial"));
        let received = || {
            let data = parts().into_iter().find(|path| path.to_string_lossy().ends_with(&format!(".{large}.data")));
            data.and_then(|path| path.metadata().ok()).map_or(0, |meta| meta.len())
        };
        let whole = || !disk::artifacts(node, large).is_empty();
        let count = || disk::files(&node.dir.join("artifacts/objects")).len();
        match self {
            Self::Manifest => !parts().is_empty() || count() > before,
            Self::Files(n) => count() as u64 >= before as u64 + n,
            Self::FirstGroup => received() > 0 || whole(),
            Self::Bytes(n) => received() >= n || whole(),
            Self::Renamed => whole(),
            Self::After(ms) => started.elapsed() >= Duration::from_millis(ms),
        }
    }
}

/// Looks far more often than a test otherwise does: the moments are short.
fn await_moment(moment: Moment, node: &Node, large: u64, before: usize) {
    let started = Instant::now();
    while !moment.is(node, large, before, started) {
        assert!(started.elapsed() < verbund_tests::PATIENCE, "{moment:?} never came:\n{}", node.log_tail());
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn a_receiver_killed_in_any_phase_completes_and_leaves_nothing_behind() {
    let seed = seed();
    let mut dice = Dice(seed);
    let mut moments = vec![
        Moment::Manifest,
        Moment::FirstGroup,
        Moment::Bytes(LARGE / 2),
        Moment::Bytes(LARGE - (64 << 10)),
        Moment::Renamed,
        Moment::Files(1 + dice.roll(SMALL)),
        Moment::After(dice.roll(600)),
    ];
    // Each is followed by one somewhere else, so that also what a kill left is received again under a kill.
    let second: Vec<_> = moments.iter().map(|_| Moment::Bytes(dice.roll(LARGE))).collect();
    moments.rotate_left(dice.roll(7) as usize);

    let mut federation = Federation::found(2);
    let mut folder = Folder::new(federation.world.path(), "akten");
    for number in 0..SMALL {
        folder = folder.file(&format!("klein/{number}.bin"), &noise(seed ^ number, 20_000 + number as usize));
    }
    for (round, (first, second)) in moments.into_iter().zip(second).enumerate() {
        let large = LARGE + round as u64;
        let marker = noise(seed.wrapping_add(round as u64), large as usize);
        // New small files each time, else only the large one would have to be received.
        for number in 0..SMALL {
            folder = folder.file(&format!("klein/{number}.bin"), &noise(seed ^ (number + 100 * round as u64), 20_000));
        }
        folder = folder.version(&format!("1.0.{round}")).file("gross.bin", &marker);
        federation["de-rp"].stop();
        federation.publish("de-he", &folder.path);
        let before = disk::files(&federation["de-rp"].dir.join("artifacts/objects")).len();
        for moment in [first, second] {
            federation["de-rp"].spawn();
            await_moment(moment, &federation["de-rp"], large, before);
            federation["de-rp"].kill();
        }
        federation["de-rp"].start();
        federation.hold(&["de-rp"], round as u64 + 1);
        assert_eq!(disk::leftovers(&federation["de-rp"]), Vec::<std::path::PathBuf>::new(), "SEED={seed} {first:?}");
        let out = federation.world.join("out");
        federation["de-rp"].command(["process", "pull", "de-he/akten", out.to_str().unwrap()]).ok();
        assert!(std::fs::read(out.join("gross.bin")).unwrap() == marker, "SEED={seed} {first:?}");
    }
    federation["de-rp"].restart();
    federation.connected();
    clean(&federation["de-rp"], &format!("SEED={seed}"));
}

/// Nothing in `status` but what every new node shows.
#[track_caller]
fn clean(node: &Node, context: &str) {
    let status = node.status();
    let codes = status["problems"].as_array().unwrap().iter().map(|p| p["code"].as_str().unwrap());
    let odd: Vec<_> = codes.filter(|code| *code != "root_key_on_node").collect();
    assert!(odd.is_empty(), "{context} {}: {odd:?}: {status}", node.handle);
    assert_eq!(status["journal"]["damaged"], 0, "{context} {status}");
}

/// Who is killed while a newcomer joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Newcomer,
    Issuer,
}

/// When.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many milliseconds after `peer add` was given.
    Lodging(u64),
    /// After `peer add` has succeeded.
    Lodged,
    /// The newcomer is away when it is approved.
    Approved,
    /// So many milliseconds after the approval that decides.
    Decided(u64),
}

#[test]
fn a_newcomer_killed_at_any_step_of_joining_ends_as_a_member_with_the_same_ticket() {
    joins(Victim::Newcomer);
}

#[test]
fn an_issuer_killed_at_any_step_of_a_join_keeps_the_request_once_and_decides_it() {
    joins(Victim::Issuer);
}

fn joins(victim: Victim) {
    let seed = seed();
    let mut dice = Dice(seed);
    let steps = [
        Step::Lodging(dice.roll(40)),
        Step::Lodging(40 + dice.roll(400)),
        Step::Lodged,
        Step::Approved,
        Step::Decided(dice.roll(20)),
        Step::Decided(20 + dice.roll(300)),
    ];
    for step in steps {
        join(victim, step, &format!("SEED={seed} {victim:?} {step:?}"));
    }
}

fn join(victim: Victim, step: Step, context: &str) {
    eprintln!("{context}");
    let mut federation = Federation::found(1);
    federation.publish("de-he", &Folder::new(federation.world.path(), "vorher").path);
    let mut newcomer = federation.world.start("de-rp", "Rheinland-Pfalz");
    let ticket = federation.invite("de-rp");
    let pause = |ms: u64| std::thread::sleep(Duration::from_millis(ms));
    let add = |node: &Node| node.command(["peer", "add", ticket.as_str()]);
    let admit = |node: &Node| node.cli("member admit de-rp");
    let strike = |federation: &Federation, newcomer: &Node| match victim {
        Victim::Newcomer => newcomer.strike(),
        Victim::Issuer => federation["de-he"].strike(),
    };
    match step {
        Step::Lodging(ms) => std::thread::scope(|scope| {
            scope.spawn(|| add(&newcomer));
            pause(ms);
            strike(&federation, &newcomer);
        }),
        Step::Lodged => {
            add(&newcomer).ok();
            strike(&federation, &newcomer);
        }
        Step::Approved => {
            add(&newcomer).ok();
            federation.requested(&federation["de-he"], "de-rp");
            newcomer.strike();
            admit(&federation["de-he"]).ok();
            strike(&federation, &newcomer);
        }
        Step::Decided(ms) => {
            add(&newcomer).ok();
            federation.requested(&federation["de-he"], "de-rp");
            admit(&federation["de-he"]).ok();
            pause(ms);
            strike(&federation, &newcomer);
        }
    }
    newcomer.revive();
    federation["de-he"].revive();
    // The same ticket, however far it had come; the issuer signs again once its start rule is through.
    until(&format!("{context}: the ticket works again"), || {
        let said = add(&newcomer);
        if said.code == 0 { Ok(()) } else { Err(said.to_string()) }
    });
    if federation["de-he"].federation("mitte")["charter_version"] == 1 {
        let open = federation["de-he"].get("/v1/members/requests")["requests"].clone();
        assert_eq!(open.as_array().map(Vec::len), Some(1), "{context}: one request, not two: {open}");
        until(&format!("{context}: the issuer signs"), || {
            let said = admit(&federation["de-he"]);
            if said.code == 0 { Ok(()) } else { Err(said.to_string()) }
        });
    }
    federation.nodes.push(newcomer);
    federation.connected();
    for node in &federation.nodes {
        let now = node.federation("mitte");
        assert_eq!((&now["charter_version"], &now["standing"]), (&2.into(), &"full".into()), "{context}: {now}");
        assert_eq!(node.get("/v1/members/requests")["requests"], serde_json::json!([]), "{context}");
    }
    federation.hold(&["de-he", "de-rp"], 1);
    federation.publish("de-rp", &Folder::new(federation.world.path(), "danach").path);
    federation.hold(&["de-he", "de-rp"], 2);
}

#[test]
fn a_federation_that_was_never_begun_is_cleared_away_at_the_start() {
    let world = World::new();
    let mut node = world.init("de-he", "Hessen");
    // What a kill between the folder and its first record leaves, at three of its moments.
    let folders = [1, 2, 3].map(|n| node.dir.join("federations").join(format!("{n:064x}")));
    std::fs::create_dir_all(&folders[0]).unwrap();
    std::fs::create_dir_all(folders[1].join("journal")).unwrap();
    std::fs::create_dir_all(folders[2].join("journal")).unwrap();
    std::fs::create_dir_all(folders[2].join("view")).unwrap();
    node.start();
    assert_eq!(node.status()["federations"], serde_json::json!([]));
    assert!(!folders.iter().any(|folder| Path::new(folder).exists()), "{folders:?}");
    node.command(["federation", "create", "OZG-Verbund Mitte", "--slug", "mitte"]).ok();
    node.restart();
    assert_eq!(node.federation("mitte")["standing"], "full", "one that was begun stays");
}
