//! One run: a plan is carried out, then everything that was broken is mended, and all must come to the same.
//!
//! How long that may take is stated here. A run is decided by its plan alone: it says the same again, to the last bit.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use verbund_protocol::ids::PeerId;
use verbund_protocol::view::state::{self, LogRow};

use crate::acts::perform;
use crate::check::{Checks, Finding, same};
use crate::disks;
use crate::ops::catalogue;
use crate::plan::Plan;
use crate::world::World;

/// After the faults have stopped, all honest members may sign within this time, in virtual milliseconds: the start rule waits a
/// minute, and a node that nobody lets in any more is told at the next of its tries, the last of which are ten minutes apart.
pub const SIGN_MS: u64 = 900_000;
/// Then they have the same catalogue within this time.
pub const SAME_MS: u64 = 300_000;
/// Then they have all files that they may have: a release that could not be had waits ten minutes at most between two tries.
pub const HELD_MS: u64 = 1_300_000;
/// Then everything is durable within this time, in virtual milliseconds.
const COMMIT_MS: u64 = 5_000;

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The first thing that must not be, if there was any.
    pub finding: Option<Finding>,
    /// Hash over everything that went into the cores and came out.
    pub hash: String,
    /// What was done, one line each, with its time.
    pub told: Vec<String>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How long the run took, in virtual milliseconds.
    pub virtual_ms: u64,
    /// Inputs that cores were given.
    pub steps: u64,
    /// Where everybody stood when something was found.
    pub standing: String,
}

/// Carries a plan out.
pub fn run(plan: &Plan) -> Outcome {
    let mut w = World::begun(plan.seed, plan.members);
    let begun_ms = w.now_ms;
    plan.mirrors.iter().for_each(|member| w.mirror(*member));
    let mut checks = Checks::default();
    for node in &plan.hostile {
        w.nodes[*node].hostile = true;
        checks.suspects.insert(w.nodes[*node].peer());
    }
    w.checks = Some(Box::new(checks));
    let told = quietly(|| drive(&mut w, plan));
    let mut finding = w.checks.take().and_then(|checks| checks.findings.into_iter().next());
    if let Err(text) = told {
        finding = finding.or(Some(Finding { check: "nothing panics, all comes to an end", text }));
    }
    let standing = if finding.is_some() { quietly(|| w.describe()).unwrap_or_default() } else { String::new() };
    let (hash, faults) = (w.trace.hash(), std::mem::take(&mut w.trace.faults));
    let told = std::mem::take(&mut w.trace.told);
    Outcome { finding, hash, told, faults, virtual_ms: w.now_ms - begun_ms, steps: w.steps, standing }
}

thread_local! {
    static QUIET: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs what may panic; the message is the error, with its place, and nothing is printed.
fn quietly<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let caught = QUIET.with_borrow_mut(|quiet| quiet.as_mut().map(|text| *text = info.to_string()).is_some());
            if !caught {
                before(info);
            }
        }));
    });
    QUIET.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(what));
    let text = QUIET.take().unwrap_or_default();
    result.map_err(|_| text)
}

fn stop(w: &World) -> bool {
    w.checks.as_ref().is_some_and(|checks| !checks.findings.is_empty())
}

fn drive(w: &mut World, plan: &Plan) {
    w.run(2_000);
    for planned in &plan.acts {
        if let Some(told) = perform(w, plan, planned) {
            let line = format!("{:>9.3} s  {told}", w.now_ms as f64 / 1_000.0);
            w.trace.told.push(line);
        }
        w.run(planned.wait_ms);
        w.look();
        if stop(w) {
            return;
        }
    }
    heal(w);
}

/// Everything that was broken is mended, and nobody breaks the rules any more. Clocks stay as wrong as they are.
fn heal(w: &mut World) {
    w.heal();
    w.trace.told.push(format!("{:>9.3} s  all is mended", w.now_ms as f64 / 1_000.0));
    for node in 0..w.nodes.len() {
        let n = &mut w.nodes[node];
        (n.liar, n.withholds, n.forges, n.full, n.armed) = (false, false, false, false, None);
        n.retired |= n.twin;
        if n.twin && n.up() {
            w.crash(node);
        } else if !n.retired && !n.up() {
            w.start(node);
        }
    }
    for node in 0..w.nodes.len() {
        // A file whose loss was noticed right before a crash is noticed again.
        disks::scrub(w, node);
    }
    w.until(SIGN_MS, |w| w.honest().iter().all(|i| w.may_sign(*i)));
    let late: Vec<usize> = w.honest().into_iter().filter(|i| !w.may_sign(*i)).collect();
    if !late.is_empty() {
        return w.fail("I7 all may sign in the end", format!("nodes {late:?} may not sign after {SIGN_MS} ms"));
    }
    w.look();
    let equal = |w: &World| {
        let nodes = w.honest_nodes();
        // Mostly it is the logs that differ: that is seen at a glance.
        let sizes = nodes.first().map(|i| outline(w, *i));
        if !nodes.iter().all(|i| Some(outline(w, *i)) == sizes) {
            return false;
        }
        let first = nodes.first().map(|i| catalogue(&w.nodes[*i].disk));
        let signs = w.honest().iter().all(|i| w.may_sign(*i));
        signs && nodes.iter().all(|i| Some(catalogue(&w.nodes[*i].disk)) == first)
    };
    let same = w.until(SAME_MS, equal);
    w.look();
    if same {
        // What hostile members did last may still come in.
        w.until(HELD_MS, |w| w.honest_nodes().iter().all(|i| same::lacking(w, *i).is_empty()) && equal(w));
    }
    // What came last is looked at when it is durable.
    let durable = |w: &World| w.nodes.iter().all(|n| n.disk.durable == n.disk.journal.len());
    w.until(COMMIT_MS, durable);
    let members = w.honest_nodes();
    w.checked(|checks, w| checks.end(w, &members));
}

/// How far each log is held and judged.
fn outline(w: &World, node: usize) -> Vec<(PeerId, u64, u64, Option<u64>)> {
    let below = |row: &LogRow, size: u64| row.end().map_or(size, |end| end.min(size));
    let logs = state::logs(&w.nodes[node].disk).unwrap();
    let line = |(log, row): (PeerId, LogRow)| {
        let end = below(&row, row.size());
        (log, end, row.judged.min(end), row.end())
    };
    logs.into_iter().map(line).collect()
}

impl World {
    /// The checkers look at all nodes.
    pub fn look(&mut self) {
        for node in 0..self.nodes.len() {
            // Recovered: from now on nothing may be missing any more.
            let durable = self.nodes[node].disk.durable == self.nodes[node].disk.journal.len();
            if self.nodes[node].restored && durable && self.may_sign(node) {
                self.nodes[node].restored = false;
            }
        }
        self.checked(Checks::observe);
    }

    /// Something was found.
    fn fail(&mut self, check: &'static str, text: String) {
        self.checked(|checks, _| checks.found(check, text));
    }

    /// The nodes that write for members of the newest charter and keep the rules.
    pub fn honest(&self) -> Vec<usize> {
        self.honest_nodes().into_iter().filter(|i| !self.nodes[*i].mirror).collect()
    }

    /// The same with the nodes beside them that only mirror.
    pub fn honest_nodes(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|i| !self.nodes[*i].hostile && self.is_member(*i)).collect()
    }
}
