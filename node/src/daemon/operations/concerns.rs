//! What someone should look at: each with a stable code, how bad it is, since when, and what to do.
//!
//! Owns the codes and the words. Concerns are told from what `status` shows, so that both always agree; they change nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::admin::api::*;
use crate::store::{CutTail, Damage};

/// A clock that is further off than this is named, in milliseconds.
const CLOCK_MAX_MS: u64 = 120_000;
/// A member's identity is named so many days before its date.
const IDENTITY_DAYS: u64 = 45;
/// Damaged places of one journal that are named.
const DAMAGES_MAX: usize = 10;

/// What is known of one journal.
#[derive(Debug, Default)]
pub struct Journal {
    /// Whose it is; empty for the node's own.
    pub federation: String,
    /// Damaged places.
    pub damaged: Vec<Damage>,
    /// Entries in damaged places that are still to be had back from members; `None` while that is not known.
    pub missing: Option<u64>,
    /// What was cut off its end at the start, other than space that was never written.
    pub cut: Option<CutTail>,
    /// Why it takes nothing more.
    pub failed: Option<String>,
    /// Whether it waits for room on the disk.
    pub full: bool,
}

/// What `status` does not show by itself.
#[derive(Debug, Default)]
pub struct Facts {
    /// When the node started.
    pub started: Moment,
    /// The present.
    pub now: Moment,
    /// Where the root key lies, if it does.
    pub root_key: Option<String>,
    /// Day until which the identity is meant to hold, `YYYY-MM-DD`.
    pub valid_until: Option<String>,
    /// What is to be said of the HTTPS certificate, and whether it is over.
    pub certificate: Option<(String, bool)>,
    /// Damaged files that lie in quarantine, and where.
    pub quarantine: (usize, String),
    /// Journals.
    pub journals: Vec<Journal>,
    /// Own requests to join: federation, how far it is, whether it was refused.
    pub joins: Vec<(String, String, bool)>,
}

/// A concern that is not dated yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// The concern; `since` is filled in by the register unless `dated`.
    pub concern: Concern,
    /// What it is about, to tell those with the same code apart.
    pub subject: String,
    /// Whether `since` is known.
    pub dated: bool,
}

struct Raise<'a> {
    facts: &'a Facts,
    federation: Option<String>,
    out: Vec<Raised>,
}

impl Raise<'_> {
    fn put(&mut self, code: &str, severity: Severity, subject: &str, text: String, next: &str) -> &mut Raised {
        let concern = Concern {
            code: code.to_owned(),
            severity,
            since: self.facts.now,
            text,
            next_step: next.to_owned(),
            federation: self.federation.clone(),
        };
        self.out.push(Raised { concern, subject: subject.to_owned(), dated: false });
        let last = self.out.len() - 1;
        &mut self.out[last]
    }
}

impl Raised {
    fn since(&mut self, since: Option<Moment>) {
        if let Some(since) = since {
            self.concern.since = since;
            self.dated = true;
        }
    }
}

/// All concerns, undated where nothing says since when.
pub fn all(status: &Status, facts: &Facts) -> Vec<Raised> {
    let mut raise = Raise { facts, federation: None, out: Vec::new() };
    node(&mut raise, status);
    for journal in &facts.journals {
        raise.federation = Some(journal.federation.clone()).filter(|slug| !slug.is_empty());
        damaged(&mut raise, journal);
    }
    for (federation, text, refused) in &facts.joins {
        raise.federation = Some(federation.clone());
        let said = if text.is_empty() { "the node of the ticket is being asked" } else { text };
        if *refused {
            let next = "ask the member that invited you; a new ticket may be needed";
            raise.put("join_refused", Severity::Error, "", format!("the request to join was refused: {said}"), next);
        } else {
            let next = "the members decide; read both fingerprints out to them over the telephone";
            raise.put("join_pending", Severity::Info, "", format!("asked to join: {said}"), next);
        }
    }
    for federation in &status.federations {
        raise.federation = Some(federation.slug.clone());
        of_federation(&mut raise, federation);
    }
    raise.out
}

fn node(raise: &mut Raise<'_>, status: &Status) {
    use Severity::{Error, Warning};
    let started = Some(raise.facts.started);
    if let Some(path) = &raise.facts.root_key {
        let text = format!(
            "the member's root key lies on this node ({path}): whoever takes over the node takes over the member"
        );
        let next =
            "copy it to a medium that is kept offline, check the copy, delete the file here and restart the node";
        raise.put("root_key_on_node", Warning, "", text, next).since(started);
    }
    if let Some((text, over)) = &raise.facts.certificate {
        let next = "put a new certificate in its place (https.certificate, https.key); it is loaded without a restart";
        raise.put("certificate_expiry", if *over { Error } else { Warning }, "", text.clone(), next);
    }
    if let Some(day) = raise.facts.valid_until.clone()
        && let Some(text) = expiry(&day, raise.facts.now)
    {
        let next = "sign a new version of the identity with the root key; nothing stops working until then";
        raise.put("identity_expiry", Warning, "", text, next);
    }
    // Also after the artifacts are back: a disk that gave back wrong bytes once does so again.
    if let (kept @ 1.., folder) = &raise.facts.quarantine {
        let text = format!("{kept} files of artifacts were damaged on disk and lie in quarantine ({folder})");
        let next = "look after the disk, run `verbund store scrub`, then delete the files there; what is needed is fetched again by itself";
        raise.put("quarantine_kept", Warning, "", text, next);
    }
    let disk = &status.disk;
    if disk.intake_stopped {
        let text = format!(
            "{} MiB are free, the floor is {} MiB: nothing more is taken in",
            disk.free_bytes >> 20,
            disk.floor_bytes >> 20
        );
        raise.put(
            "disk_floor",
            Error,
            "",
            text,
            "free or add space; intake goes on by itself. `verbund store df` shows what takes it",
        );
    } else if disk.free_bytes < disk.floor_bytes.saturating_mul(2) {
        let text = format!("{} MiB are free; below {} MiB intake stops", disk.free_bytes >> 20, disk.floor_bytes >> 20);
        raise.put("disk_low", Warning, "", text, "free or add space; `verbund store df` shows what takes it");
    }
}

/// What is to be said of the day `YYYY-MM-DD`.
fn expiry(day: &str, now: Moment) -> Option<String> {
    let end: Moment = format!("{day}T23:59:59Z").parse().ok()?;
    let left_ms = end.unix_ms().saturating_sub(now.unix_ms());
    if left_ms == 0 {
        return Some(format!("the member's identity was meant to hold until {day}"));
    }
    let days = left_ms / 86_400_000;
    (days < IDENTITY_DAYS).then(|| format!("the member's identity is meant to hold until {day}, {days} more days"))
}

fn damaged(raise: &mut Raise<'_>, journal: &Journal) {
    use Severity::{Error, Warning};
    let started = Some(raise.facts.started);
    if let Some(why) = &journal.failed {
        let next = "check the disk, then start the node again; what was acknowledged is on disk";
        raise.put("journal_failed", Error, "", format!("the journal takes nothing more: {why}"), next);
    }
    if journal.full {
        let next =
            "free or add space, or raise the quota; it goes on by itself. `verbund store df` shows what takes it";
        raise.put(
            "journal_full",
            Error,
            "",
            "the disk is full: nothing is acknowledged until there is room".to_owned(),
            next,
        );
    }
    let next =
        "look after the disk (smartctl, dmesg) and keep a copy of the folder; what can be had from members is fetched";
    // Mended or not, it is the disk that gave back something else than was written.
    let (severity, mended) = match journal.missing {
        Some(0) => (Warning, "; every entry that stood there has been fetched again".to_owned()),
        Some(missing) => (Error, format!("; {missing} entries are still to be fetched again")),
        None => (Error, String::new()),
    };
    for place in journal.damaged.iter().take(DAMAGES_MAX) {
        let size = if place.bytes == 0 {
            "the segment is missing".to_owned()
        } else {
            format!("{} bytes from {} on", place.bytes, place.offset)
        };
        let text = format!("the journal is damaged in segment {}: {size}{mended}", place.segment);
        let subject = format!("{}/{}", place.segment, place.offset);
        raise.put("journal_damaged", severity, &subject, text, next).since(started);
    }
    if journal.damaged.len() > DAMAGES_MAX {
        let more = journal.damaged.len() - DAMAGES_MAX;
        let text = format!("the journal is damaged in {more} further places{mended}");
        raise.put("journal_damaged", severity, "further", text, next).since(started);
    }
    if let Some(cut) = &journal.cut {
        let text = format!(
            "{} unreadable bytes were cut off the end of the journal (segment {}) at the start",
            cut.bytes, cut.segment
        );
        let next = "nothing to do after a crash or power cut; otherwise look after the disk. Members are asked for what is missing";
        raise.put("journal_cut", Warning, "", text, next).since(started);
    }
}

fn of_federation(raise: &mut Raise<'_>, f: &FederationStatus) {
    use Severity::{Error, Info, Warning};
    if let Some(recovering) = &f.recovering {
        let text = format!("the node signs nothing yet: {}", recovering.why);
        let next = "nothing, if the members can be reached: it ends by itself. If they cannot: `verbund recover --sign-anyway`, but only if no second copy of this node runs";
        raise.put("recovering", Warning, "", text, next).since(Some(recovering.since));
    }
    for wait in &f.approvals_awaited {
        let about = if wait.change == "admit" { "a request to join" } else { "a change" };
        let text = format!(
            "{about} waits for you: {} {} ({} of {} approvals)",
            wait.change, wait.handle, wait.approvals, wait.needed
        );
        let next = format!(
            "compare the fingerprint {} over the telephone, then `verbund member {} {}`",
            wait.fingerprint, wait.change, wait.handle
        );
        let subject = format!("{} {}", wait.change, wait.fingerprint);
        let raised = raise.put("approval_awaited", Info, &subject, text, &next);
        raised.since((wait.change == "admit").then_some(wait.since));
    }
    if f.quarantined > 0 {
        let text = format!("{} artifacts were damaged on disk and are not back yet", f.quarantined);
        let next = "they are fetched again by themselves; `verbund sync status` says how far. Look after the disk, and run `verbund store scrub`";
        raise.put("artifact_quarantined", Error, "", text, next);
    }
    missing(raise, f);
    // Before the admission nobody lets this node in.
    for member in f.members.iter().filter(|_| f.standing != Standing::Requested) {
        of_member(raise, member);
    }
    if f.standing == Standing::Former {
        let next = "releases stay readable; nothing can be published here any more";
        raise.put("not_a_member", Warning, "", "this member is not in the newest charter any more".to_owned(), next);
    }
    let own = f.members.iter().find(|m| m.own);
    if own.is_some_and(|m| m.log == LogState::Forked) {
        let text = "the log of this member has forked: two copies of this node signed".to_owned();
        let next =
            "stop the other copy; a new writer has to be named with the root key before this member can publish again";
        raise.put("own_log_forked", Error, "", text, next);
    }
    // The publisher's node judges as all others do: this is how their reason reaches its operator.
    if let (Some(newest), total) = (f.log.void.last(), own.map_or(0, |m| m.void)) {
        let text = format!(
            "{total} entries of this member's log are void for all members; the newest is entry {}: {}",
            newest.index, newest.reason
        );
        let next = "what it said has no effect and stays in the log: publish it again as it should be, under a new version; if nobody here signed it, replace the key";
        raise.put("own_entry_void", Warning, "", text, next);
    }
}

fn missing(raise: &mut Raise<'_>, f: &FederationStatus) {
    use Severity::{Info, Warning};
    let lacking = f.known - f.held;
    if f.over_limit > 0 {
        let first = f.pending.iter().find(|p| p.code == "over_limit");
        let named = first.map_or_else(String::new, |p| format!(": {} {}: {}", p.release, p.file, p.why));
        let text = format!("{} artifacts are over this node's limit and are not fetched{named}", f.over_limit);
        let next = "raise limits.artifact_max in node.toml and restart the node, or do without them";
        raise.put("over_limit", Warning, "", text, next);
    }
    let stuck = f.pending.iter().find(|p| !matches!(p.code.as_str(), "fetching" | "waiting" | "over_limit"));
    if let Some(first) = stuck {
        let text = format!("{lacking} of {} releases are not complete here; {}: {}", f.known, first.release, first.why);
        raise.put(
            "releases_missing",
            Warning,
            "",
            text,
            "`verbund sync status` names each with its reason and who holds it",
        );
    } else if f.pending.iter().any(|p| p.code != "over_limit") {
        let text = format!("{lacking} of {} releases are on their way", f.known);
        raise.put("releases_pending", Info, "", text, "");
    }
}

fn of_member(raise: &mut Raise<'_>, m: &MemberRow) {
    use Severity::{Error, Info, Warning};
    let handle = m.handle.as_str();
    let resume = format!("`verbund peer resume {handle}` ends it");
    let unblock = format!("`verbund peer unblock {handle}` ends it");
    match &m.connection {
        Connection::Own | Connection::Connected { .. } => {}
        Connection::Disconnected { since, error, .. } => {
            let why = error.as_ref().map_or_else(String::new, |e| format!(": {e}"));
            let next =
                format!("`verbund peer show {handle}` shows its addresses; ask the member whether its node runs");
            let started = raise.facts.started;
            let raised =
                raise.put("peer_disconnected", Warning, handle, format!("{handle} is not connected{why}"), &next);
            raised.since(Some(since.unwrap_or(started)));
        }
        Connection::Paused => {
            raise.put("peer_paused", Info, handle, format!("{handle} is paused here"), &resume);
        }
        Connection::Blocked => {
            raise.put("peer_blocked", Info, handle, format!("{handle} is blocked here"), &unblock);
        }
    }
    if m.log == LogState::Forked && !m.own {
        let text = format!("the log of {handle} has forked and is closed at {} entries", m.log_size);
        let next = "ask the member: two copies of its node signed, or its key is in other hands. It needs a new writer";
        raise.put("log_forked", Error, handle, text, next);
    }
    if let Some(offset) = m.clock_offset_ms.filter(|ms| ms.unsigned_abs() > CLOCK_MAX_MS) {
        let word = if offset > 0 { "ahead of" } else { "behind" };
        let text = format!("the clock of {handle} is {} s {word} this node's", offset.unsigned_abs() / 1_000);
        raise.put("clock_offset", Warning, handle, text, "check which of the two is wrong; both should follow NTP");
    }
    if m.void > 0 && !m.own {
        let text = format!("{} entries of the log of {handle} are void", m.void);
        let next = format!("`verbund peer show {handle}` gives the reasons; its own operator sees them too");
        raise.put("member_entry_void", Info, handle, text, &next);
    }
    if m.stale {
        let text =
            format!("{handle} has not confirmed for more than 15 minutes that its log ends where it is known to");
        let next = format!("newer entries, such as recalls, may be missing here; see `verbund peer show {handle}`");
        raise.put("member_stale", Warning, handle, text, &next);
    }
}

/// What tells concerns apart: code, federation, subject.
type Key = (String, Option<String>, String);

/// Since when each concern stands, as far as nothing else says so: since it was first told.
#[derive(Debug, Default)]
pub struct Register(Mutex<BTreeMap<Key, Moment>>);

impl Register {
    /// Dates concerns and puts the worst first. With `all` they are those of the whole node; otherwise of some federations only,
    /// and those of others are kept in mind.
    pub fn settle(&self, raised: Vec<Raised>, all: bool, now: Moment) -> Vec<Concern> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = BTreeMap::new();
        let mut out = Vec::with_capacity(raised.len());
        for Raised { mut concern, subject, dated } in raised {
            if !dated {
                let key = (concern.code.clone(), concern.federation.clone(), subject);
                concern.since = known.get(&key).copied().unwrap_or(now);
                seen.insert(key, concern.since);
            }
            out.push(concern);
        }
        if all {
            *known = seen;
        } else {
            known.extend(seen);
        }
        out.sort_by(|a, b| {
            (b.severity, &a.federation, a.since, &a.code).cmp(&(a.severity, &b.federation, b.since, &b.code))
        });
        out
    }
}

/// Gives approvals that do not know since when they are awaited the moment at which that was first told.
pub fn date(federation: &mut FederationStatus, problems: &[Concern]) {
    for wait in federation.approvals_awaited.iter_mut().filter(|w| w.change != "admit") {
        let told = problems.iter().find(|p| {
            p.code == "approval_awaited"
                && p.federation.as_deref() == Some(&federation.slug)
                && p.next_step.contains(&wait.fingerprint)
                && p.next_step.contains(&wait.change)
        });
        if let Some(told) = told {
            wait.since = told.since;
        }
    }
}

#[cfg(test)]
mod tests;
