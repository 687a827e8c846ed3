//! A disk that is full, or whose syncs fail, at any one call that a node makes: the shim fails the nth and all that follow, and the
//! test goes on with the next n until nothing fails any more.
//!
//! Acknowledged is what a command ended with success for. It is there when the disk is well again, nothing else than whole and
//! verified releases is ever handed out, and the node says what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use verbund_protocol::wire::sync::{Request, Response};
use verbund_tests::puppet::peer_of;
use verbund_tests::{Calls, Dice, Federation, Folder, Node, Puppet, Shim, World, noise, until};

/// Calls that an ordinary run fails in each test; `VERBUND_SITES` names another number, or `all`, and `VERBUND_SITES_SECONDS` when it
/// ends at the latest.
const SITES: usize = 5;

/// Which calls an ordinary run fails: the same each time, so that a change is judged by itself; `SEED=…` chooses others, and
/// `scripts/soak` does.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(77);
    eprintln!("SEED={seed}");
    seed
}

/// The node on the bad disk, and one whose publications it receives.
const VICTIM: &str = "de-rp";
const OTHER: &str = "de-he";
/// A command that waits for the disk is given up after this time; it is then not acknowledged.
const COMMAND: Duration = Duration::from_secs(4);
/// How long a release of another member may take to come, or its absence to be explained, while the disk is bad.
const RECEIVE: Duration = Duration::from_secs(3);
/// How long a view that could not be written may go unnoticed, and more.
const FLUSH: Duration = Duration::from_secs(3);
/// Of the files published: more than one group, so that there is an outboard, too.
const BYTES: usize = 40_000;

/// The calls to fail, one after the other, where `seen` are made on a good disk: a few of them in the order of the seed, or all and
/// then those beyond, which stops when nothing failed.
struct Sites {
    left: Vec<u64>,
    beyond: Option<u64>,
    deadline: Option<Instant>,
}

impl Sites {
    fn new(dice: &mut Dice, seen: u64) -> Self {
        let mut left: Vec<u64> = (1..=seen).collect();
        for at in (1..left.len()).rev() {
            left.swap(at, usize::try_from(dice.roll(at as u64 + 1)).expect("a place"));
        }
        let wanted = std::env::var("VERBUND_SITES").unwrap_or_default();
        let all = wanted == "all";
        if !all {
            left.truncate(wanted.parse().unwrap_or(SITES));
        }
        let seconds = std::env::var("VERBUND_SITES_SECONDS").ok().and_then(|text| text.parse().ok());
        let deadline = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Self { left, beyond: all.then_some(seen + 1), deadline }
    }

    /// The next one; `failed` are the calls that the last one made fail.
    fn next(&mut self, failed: Option<u64>) -> Option<u64> {
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return None;
        }
        if let Some(next) = self.left.pop() {
            return Some(next);
        }
        let next = self.beyond?;
        if next > 1 && failed == Some(0) {
            return None;
        }
        self.beyond = Some(next + 1);
        Some(next)
    }
}

/// Whether words are about the disk.
fn about_the_disk(text: &str) -> bool {
    ["disk", "No space left", "no space left", "os error 28", "os error 5", "Input/output error"]
        .iter()
        .any(|word| text.contains(word))
}

/// A failed call as the shim notes it: what, path, and new path.
type Line = (String, String, String);

/// How a node ended over these failed calls, since its log was `from` long, if it did; it is started again, as a service manager or an
/// operator does.
fn revived(node: &mut Node, from: usize, failed: &[Line]) -> Option<i32> {
    const FAILED: [&str; 3] = ["the store has failed", "could not be made durable", "the view cannot be read"];
    // The view's database is flushed half a second after its last change, and says only then what it could not write.
    let late = failed.iter().any(|(_, path, _)| path.contains("/view/"));
    let deadline = Instant::now() + if late { FLUSH } else { Duration::ZERO };
    let code = until(&format!("{} answers, or has ended", node.handle), || {
        // What answers may be about to end; its log says so before.
        let answers = node.try_get("/v1/status").is_ok();
        if let Some(status) = node.ended() {
            return Ok(Some(status.code().unwrap_or(-1)));
        }
        let log = node.log();
        match FAILED.iter().find(|words| log[from..].contains(*words)) {
            Some(words) => Err(format!("{words:?}, and it runs")),
            None if answers && Instant::now() >= deadline => Ok(None),
            None if answers => Err("it may have lost its view, and not know it yet".to_owned()),
            None => Err("neither".to_owned()),
        }
    });
    if code.is_some() {
        node.kill().start();
    }
    code
}

/// A federation of three, one of them on the disk of the shim.
struct Stage {
    federation: Federation,
    shim: Shim,
    number: u64,
    releases: BTreeMap<&'static str, BTreeSet<String>>,
    tokens: BTreeSet<String>,
}

impl Stage {
    fn new() -> Option<Self> {
        let mut shim = None;
        let federation = Federation::found_with(3, |node| {
            if node.handle == VICTIM {
                shim = Shim::under(node);
            }
        });
        let releases = BTreeMap::from([(VICTIM, BTreeSet::new()), (OTHER, BTreeSet::new())]);
        Some(Self { federation, shim: shim?, number: 0, releases, tokens: BTreeSet::new() })
    }

    fn folder(&self, owner: &str) -> Folder {
        let root = self.federation.world.join(owner);
        let folder = Folder::new(&root, "feuer").version(&format!("1.{}.0", self.number));
        folder.file("a.bin", &noise(self.number * 2 + u64::from(owner == VICTIM), BYTES))
    }

    /// Publishes, receives and administers. What was acknowledged is noted; returns what the node said of its disk.
    fn work(&mut self, context: &str) -> Vec<String> {
        self.number += 1;
        let version = format!("1.{}.0", self.number);
        let mut said = Vec::new();
        let theirs = self.folder(OTHER);
        self.federation.publish(OTHER, &theirs.path);
        self.releases.get_mut(OTHER).expect("the owner").insert(version.clone());
        let own = self.folder(VICTIM);
        let publish = ["publish", own.path.to_str().expect("a path"), "--wait", "durable", "--json"];
        if self.attempt(&publish, &mut said, context) {
            self.releases.get_mut(VICTIM).expect("the owner").insert(version.clone());
        }
        let token = format!("t{}", self.number);
        if self.attempt(&["token", "create", &token], &mut said, context) {
            self.tokens.insert(token);
        }
        for command in [&["invite", "--for", "de-th"][..], &["peer", "pause", "de-sl"], &["peer", "resume", "de-sl"]] {
            self.attempt(command, &mut said, context);
        }
        self.received(&version, &mut said);
        for owner in [VICTIM, OTHER] {
            self.pulled(owner, &version, context);
        }
        said
    }

    /// Whether a command on the victim was acknowledged; a refusal says why.
    fn attempt(&self, command: &[&str], said: &mut Vec<String>, context: &str) -> bool {
        let Some(outcome) = self.federation[VICTIM].attempt(COMMAND, command) else {
            said.push(format!("{} waits", command.join(" ")));
            return false;
        };
        if outcome.code != 0 {
            assert!(!outcome.stderr.trim().is_empty(), "{context}: refused without a word: {outcome}");
            said.push(outcome.stderr.trim().to_owned());
        }
        outcome.code == 0
    }

    /// Waits for the other's release, as long as nothing explains why it does not come.
    fn received(&mut self, version: &str, said: &mut Vec<String>) {
        let deadline = Instant::now() + RECEIVE;
        while self.federation[VICTIM].runs() && Instant::now() < deadline {
            let Ok(status) = self.federation[VICTIM].try_get("/v1/status") else { continue };
            let pending = status["federations"][0]["pending"].to_string();
            let problems = status["problems"].to_string();
            if about_the_disk(&pending) || about_the_disk(&problems) {
                said.push(format!("pending {pending}, problems {problems}"));
                return;
            }
            let process = format!("{OTHER}/feuer");
            if self.federation[VICTIM].versions(&process).is_ok_and(|(held, _)| held.contains(version)) {
                return;
            }
        }
    }

    /// What the victim hands out is whole, or nothing.
    fn pulled(&mut self, owner: &str, version: &str, context: &str) {
        let out = self.federation.world.join(&format!("aus-{owner}-{version}"));
        let release = format!("{owner}/feuer@{version}");
        let pull = ["process", "pull", &release, out.to_str().expect("a path")];
        let done = self.federation[VICTIM].attempt(COMMAND, pull);
        if done.is_some_and(|done| done.code == 0) {
            let right = noise(self.number * 2 + u64::from(owner == VICTIM), BYTES);
            assert!(std::fs::read(out.join("a.bin")).expect("the file") == right, "{context}: {release} is another");
        }
        let _ = std::fs::remove_dir_all(out);
    }

    /// All nodes read all they hold: none of it is damaged. The bytes.
    fn scrubbed(&self) -> u64 {
        let (bytes, damaged) = self.federation.scrubbed();
        assert!(damaged.values().all(|files| *files == 0), "{damaged:?}");
        bytes
    }

    /// On a good disk again: everything that was acknowledged is everywhere, provably, and nothing forked.
    fn settled(&mut self, context: &str) {
        // The disk may have taken the pause and not its end.
        until(&format!("{context}: {VICTIM} has no pause"), || {
            let said = self.federation[VICTIM].command(["peer", "resume", "de-sl"]);
            if said.code == 0 { Ok(()) } else { Err(said.to_string()) }
        });
        self.federation.connected();
        for (owner, noted) in &self.releases {
            self.federation.settled(&format!("{owner}/feuer"), noted, context);
        }
        let listed = self.federation[VICTIM].json("token ls").to_string();
        for token in &self.tokens {
            assert!(listed.contains(&format!("\"{token}\"")), "{context}: the token {token} is gone: {listed}");
        }
        let trust = self.federation.trust(OTHER);
        for owner in [VICTIM, OTHER] {
            let Some(version) = self.releases[owner].last() else { continue };
            let out = self.federation.world.join("geprueft");
            let text = out.to_str().expect("a path");
            let release = format!("{owner}/feuer@{version}");
            self.federation[VICTIM].command(["process", "pull", &release, text]).ok();
            self.federation[VICTIM].command(["process", "verify", text, "--trust", &trust]).ok();
            std::fs::remove_dir_all(out).expect("the folder goes");
        }
    }
}

/// What one failing call led to, for the table at the end.
#[derive(Default)]
struct Tally {
    runs: u64,
    failed: u64,
    outcomes: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, calls: Calls, code: Option<i32>) {
        self.runs += 1;
        self.failed += calls.failed;
        let outcome = code.map_or("goes on".to_owned(), |code| format!("ends with {code}, and is started again"));
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// `bytes` were read and verified at the end.
    fn print(&self, what: &str, shim: &Shim, bytes: u64, seed: u64) {
        let sites = shim.failed_sites();
        println!(
            "{what}: {} runs, {} calls failed at {} kinds of sites, {bytes} bytes verified (SEED={seed})",
            self.runs,
            self.failed,
            sites.len()
        );
        for (outcome, runs) in &self.outcomes {
            println!("    {runs:4} × {outcome}");
        }
        for site in sites {
            println!("         {site}");
        }
    }
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Calls for space, until the disk has room again.
    Full,
    /// Syncs, for good.
    Sync,
}

impl Fault {
    fn from(self, shim: &Shim, nth: u64) {
        match self {
            Self::Full => shim.full_from(nth),
            Self::Sync => shim.syncs_fail_from(nth),
        }
    }

    fn calls(self, shim: &Shim) -> Calls {
        match self {
            Self::Full => shim.space(),
            Self::Sync => shim.syncs(),
        }
    }

    /// Whether the node may end with this exit code after these calls failed, the first one first.
    fn allows(self, code: Option<i32>, failed: &[Line]) -> bool {
        let vital = |(_, path, _): &Line| path.contains("journal") || path.starts_with("artifacts");
        match self {
            // A service manager starts it again by itself: only the view's database cannot wait.
            Self::Full => matches!(code, None | Some(1)),
            // And here it does not. The view's syncs may come to an end earlier than what else failed.
            Self::Sync if failed.iter().any(vital) => matches!(code, Some(1 | 8)),
            Self::Sync => matches!(code, None | Some(1)),
        }
    }
}

/// Lets the nth call and all later ones fail while the node works, and looks at everything when the disk is well again.
fn under_fire(fault: Fault) {
    let seed = seed();
    let mut dice = Dice(seed);
    let Some(mut stage) = Stage::new() else { return };
    stage.work("on a good disk");
    stage.settled("on a good disk");
    fault.from(&stage.shim, 0);
    stage.work("on a good disk");
    let mut sites = Sites::new(&mut dice, fault.calls(&stage.shim).seen);
    let (mut tally, mut failed) = (Tally::default(), None);
    while let Some(nth) = sites.next(failed) {
        let context = format!("SEED={seed} {fault:?} from call {nth} on");
        let from = stage.federation[VICTIM].log().len();
        let before = stage.shim.lines().len();
        fault.from(&stage.shim, nth);
        let mut said = stage.work(&context);
        let calls = fault.calls(&stage.shim);
        stage.shim.heal();
        let failed_calls = stage.shim.lines().split_off(before);
        let code = revived(&mut stage.federation[VICTIM], from, &failed_calls);
        said.push(stage.federation[VICTIM].log()[from..].to_owned());
        assert!(fault.allows(code, &failed_calls), "{context}: ended with {code:?} after {failed_calls:?}");
        // The search index is made again without a word.
        let told = failed_calls.iter().any(|(_, path, _)| !path.starts_with("search"));
        assert!(
            !told || said.iter().any(|text| about_the_disk(text)),
            "{context}: nothing is said of {failed_calls:?}"
        );
        stage.settled(&context);
        tally.add(calls, code);
        failed = Some(calls.failed);
    }
    tally.print(&format!("{fault:?}"), &stage.shim, stage.scrubbed(), seed);
}

#[test]
fn a_disk_that_is_full_at_any_call_loses_nothing_and_the_node_goes_on_by_itself() {
    under_fire(Fault::Full);
}

#[test]
fn syncs_that_fail_from_any_one_on_lose_nothing_and_a_restart_on_a_good_disk_mends() {
    under_fire(Fault::Sync);
}

#[test]
fn a_start_on_a_bad_disk_says_so_and_the_next_one_on_a_good_disk_has_everything() {
    let seed = seed();
    let mut dice = Dice(seed);
    let Some(mut stage) = Stage::new() else { return };
    stage.work("on a good disk");
    stage.settled("on a good disk");
    for fault in [Fault::Full, Fault::Sync] {
        stage.federation[VICTIM].stop();
        fault.from(&stage.shim, 0);
        stage.federation[VICTIM].start();
        let mut sites = Sites::new(&mut dice, fault.calls(&stage.shim).seen);
        let (mut tally, mut failed) = (Tally::default(), None);
        while let Some(nth) = sites.next(failed) {
            let context = format!("SEED={seed} start, {fault:?} from call {nth} on");
            stage.federation.connected();
            stage.federation[VICTIM].stop();
            let from = stage.federation[VICTIM].log().len();
            let before = stage.shim.lines().len();
            fault.from(&stage.shim, nth);
            let ended = stage.federation[VICTIM].start_or_end();
            let calls = fault.calls(&stage.shim);
            stage.shim.heal();
            let failed_calls = stage.shim.lines().split_off(before);
            let code = revived(&mut stage.federation[VICTIM], from, &failed_calls);
            let said = stage.federation[VICTIM].log()[from..].to_owned();
            assert!(ended.is_none() || about_the_disk(&said), "{context}: ended without a word of the disk: {said}");
            assert!(fault.allows(code, &failed_calls), "{context}: ended with {code:?} after {failed_calls:?}");
            stage.settled(&context);
            tally.add(calls, code);
            failed = Some(calls.failed);
        }
        tally.print(&format!("start, {fault:?}"), &stage.shim, stage.scrubbed(), seed);
    }
}

#[test]
fn a_founding_on_a_full_disk_is_refused_in_words_and_can_be_repeated() {
    let seed = seed();
    let mut dice = Dice(seed);
    let world = World::new();
    let mut node = world.init("de-by", "Bayern");
    let Some(shim) = Shim::under(&mut node) else { return };
    node.start();
    let create = |node: &Node, slug: &str| {
        let done = node.attempt(COMMAND, ["federation", "create", "Probe", "--slug", slug]);
        done.map_or(Err("it waits".to_owned()), |done| if done.code == 0 { Ok(()) } else { Err(done.stderr) })
    };
    shim.full_from(0);
    create(&node, "probe-0").unwrap();
    let mut sites = Sites::new(&mut dice, shim.space().seen);
    let (mut tally, mut failed) = (Tally::default(), None);
    while let Some(nth) = sites.next(failed) {
        let context = format!("SEED={seed} founding, full from call {nth} on");
        let from = node.log().len();
        let before = shim.lines().len();
        shim.full_from(nth);
        let first = create(&node, &format!("probe-{nth}"));
        let calls = shim.space();
        shim.heal();
        let code = revived(&mut node, from, &shim.lines().split_off(before));
        if let Err(said) = &first {
            assert!(about_the_disk(said) || code.is_some(), "{context}: {said}");
        }
        assert!(Fault::Full.allows(code, &[]), "{context}: ended with {code:?}");
        until(&format!("{context}: nothing waits for the disk any more"), || {
            let problems = node.status()["problems"].to_string();
            if problems.contains("journal_full") { Err(problems) } else { Ok(()) }
        });
        let again = format!("nochmal-{nth}");
        create(&node, &again).unwrap();
        // What was founded is there after a start, too, and of what was not there is nothing that would keep the node from starting.
        node.restart();
        for slug in [Some(format!("probe-{nth}")).filter(|_| first.is_ok()), Some(again)].into_iter().flatten() {
            until(&format!("{context}: {slug} goes on"), || {
                let now = node.federation(&slug);
                if now["may_sign"] == true { Ok(()) } else { Err(now.to_string()) }
            });
            let folder = Folder::new(&world.join(&slug), "feuer");
            node.publish_in(Some(&slug), &folder.path);
        }
        tally.add(calls, code);
        failed = Some(calls.failed);
    }
    tally.print("founding, Full", &shim, 0, seed);
}

#[test]
fn an_artifact_is_synced_before_it_gets_its_name_and_then_its_name() {
    let Some(mut stage) = Stage::new() else { return };
    stage.shim.trace(true);
    stage.work("traced");
    stage.settled("traced");
    stage.shim.trace(false);
    let lines = stage.shim.lines();
    let is_sync = |(what, path, _): &Line, of: &str| what == "sync" && path == of;
    let mut sources = BTreeSet::new();
    for (at, (what, path, to)) in lines.iter().enumerate() {
        let (before, after) = (&lines[..at], &lines[at + 1..]);
        if what == "mkdir" && path.starts_with("artifacts/objects/") {
            let next = after.iter().position(|(what, _, to)| what == "rename" && to.starts_with(&format!("{path}/")));
            let synced = after.iter().position(|line| is_sync(line, "artifacts/objects"));
            assert!(
                synced.is_some() && synced < next,
                "{path} gets an entry before its own name is durable: {lines:#?}"
            );
        }
        if what != "rename" || !to.starts_with("artifacts/objects/") {
            continue;
        }
        let changed = before.iter().rposition(|(what, of, _)| of == path && (what == "write" || what == "truncate"));
        let synced = before.iter().rposition(|line| is_sync(line, path));
        assert!(changed.is_some() && synced > changed, "{path} becomes {to} unsynced: {lines:#?}");
        let folder = to.rsplit_once('/').expect("a folder").0;
        assert!(after.iter().any(|line| is_sync(line, folder)), "the name {to} is not durable: {lines:#?}");
        sources.insert(path.split('/').nth(1).unwrap_or_default().to_owned());
    }
    assert_eq!(sources, BTreeSet::from(["partial".to_owned(), "tmp".to_owned()]), "published and received");
}

#[test]
fn nothing_is_served_to_a_member_before_it_is_durable() {
    let Some(mut stage) = Stage::new() else { return };
    stage.work("on a good disk");
    stage.settled("on a good disk");
    let victim = peer_of(&stage.federation[VICTIM]);
    let puppet = Puppet::replace(&mut stage.federation, "de-sl");
    let Response::Status(status) = puppet.ask(victim, &Request::Status) else { panic!("no status") };
    let size = status.logs.iter().find(|log| log.log == victim).expect("its own log").size;
    let known = stage.federation[VICTIM].federation("mitte")["known"].as_u64().expect("a number");
    let request = Request::Entries { log: victim, from: size };
    stage.number += 1;
    let own = stage.folder(VICTIM);
    stage.shim.hold(true);
    std::thread::scope(|scope| {
        let node = &stage.federation[VICTIM];
        let publishing = scope.spawn(|| node.command(["publish", own.path.to_str().unwrap(), "--wait", "durable"]));
        until("the release stands in the view, and its frame waits for the disk", || {
            let now = node.federation("mitte")["known"].clone();
            if now.as_u64() > Some(known) && stage.shim.holding() > 0 { Ok(()) } else { Err(now.to_string()) }
        });
        let served = puppet.ask_within(Duration::from_secs(2), victim, &request);
        stage.shim.hold(false);
        assert!(served.is_none(), "served before it was durable: {served:?}");
        publishing.join().unwrap().ok();
    });
    let Response::Entries(entries) = puppet.ask(victim, &request) else { panic!("no entries") };
    assert_eq!(entries.leaves.len(), 1, "now it is served");
    puppet.leave();
}
