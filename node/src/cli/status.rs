//! `verbund status` and `verbund sync`.

use super::Context;
use super::exit::{Exit, Failure};
use super::member::standing;
use super::output::{Out, Table, bytes, clean, list, since};
use crate::admin::api::{
    Concern, Connection, FederationStatus, FederationSync, LogState, Moment, PendingFetch, Scope, Severity, Standing,
    Status, SyncNowRequest, SyncStatusRequest,
};
use crate::admin::op;

pub(super) async fn status(context: &Context<'_>) -> Result<Exit, Failure> {
    let answer = context.call::<op::Status>(Scope { federation: context.federation() }).await?;
    context.out.show(&answer, show)?;
    Ok(if degraded(&answer) { Exit::Degraded } else { Exit::Ok })
}

/// So many of something.
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// Whether the node does not do its work in full.
fn degraded(status: &Status) -> bool {
    status.problems.iter().any(|concern| concern.severity == Severity::Error)
        || status.federations.iter().any(|f| !f.may_sign && f.standing != Standing::Requested)
}

fn show(out: &Out, status: &Status) -> Result<(), Failure> {
    let (node, now) = (&status.node, status.node.now);
    let mut table = Table::plain(2);
    table.row(&["member", &format!("{} ({})", node.handle, node.name)]);
    table.row(&["fingerprint", &node.fingerprint]);
    table.row(&["node", &node.peer.to_string()]);
    table.row(&["version", &format!("{}, up for {}, process {}", node.version, since(node.started, now), node.pid)]);
    table.row(&["https", &list(&status.addresses.https)]);
    table.row(&["admin", &status.addresses.admin]);
    let transfer = &status.transfer;
    let again = match transfer.bytes_received_again {
        0 => String::new(),
        again => format!(" ({} twice)", bytes(again)),
    };
    let moved = format!("{} received{again}, {} sent", bytes(transfer.bytes_received), bytes(transfer.bytes_sent));
    table.row(&["transfer", &moved]);
    let disk = &status.disk;
    let stopped = if disk.intake_stopped { ", intake stopped" } else { "" };
    table.row(&["disk", &format!("{} free, floor {}{stopped}", bytes(disk.free_bytes), bytes(disk.floor_bytes))]);
    let journal = &status.journal;
    table.row(&["journal", &format!("{} in {}", bytes(journal.bytes), counted(journal.segments, "segment"))]);
    if !status.refusals.is_empty() {
        let all: Vec<String> = status.refusals.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        table.row(&["refused", &format!("{} (bad or unwanted messages, since the start)", all.join(", "))]);
    }
    table.write(out)?;
    for f in &status.federations {
        out.line("")?;
        federation(out, f, now)?;
    }
    if status.federations.is_empty() {
        out.note("in no federation yet\nnext:  verbund federation create NAME, or verbund peer add TICKET");
    }
    concerns(out, &status.problems, now)
}

fn federation(out: &Out, f: &FederationStatus, now: Moment) -> Result<(), Failure> {
    out.line(format!("{} ({})", clean(&f.name), clean(&f.slug)))?;
    let mut table = Table::plain(2);
    let charter = format!("version {}, {} of {} decide, {}", f.charter_version, f.k, f.n, standing(f.standing));
    table.row(&["  charter", &charter]);
    table.row(&["  trust", &format!("{}@{}", f.id, f.charter)]);
    table.row(&["  listens", &list(&f.listen)]);
    if !f.announce.is_empty() {
        table.row(&["  announces", &list(&f.announce)]);
    }
    match &f.recovering {
        Some(r) if !f.may_sign => {
            let text = format!(
                "no: {} (for {}; answered: {}; asked: {})",
                r.why,
                since(r.since, now),
                list(&r.answered),
                list(&r.waiting_for)
            );
            table.row(&["  signs", &text]);
        }
        _ if f.standing == Standing::Requested => table.row(&["  signs", "not before the admission"]),
        _ => table.row(&["  signs", super::output::yes(f.may_sign)]),
    }
    let log = &f.log;
    let mut own = format!("{}, witnessed by {} of {}", entries(log.size), log.witnesses, log.witnesses_of);
    if log.witnessed_size < log.size && log.witnesses_of > 0 {
        own.push_str(&format!("; enough of them have witnessed {}", log.witnessed_size));
    }
    table.row(&["  own log", &own]);
    table.row(&["  holds", &format!("{} of {} releases", f.held, f.known)]);
    if f.quarantined + f.over_limit > 0 {
        table.row(&["  set aside", &format!("{} quarantined, {} over a limit", f.quarantined, f.over_limit)]);
    }
    for wait in &f.approvals_awaited {
        let so_far = format!("{} of {}, for {}", wait.approvals, wait.needed, since(wait.since, now));
        table.row(&["  awaits you", &format!("{} {} {} ({so_far})", wait.change, wait.handle, wait.fingerprint)]);
    }
    table.write(out)?;
    members(out, f, now)?;
    let left = f.pending_total.saturating_sub(f.pending.len() as u64);
    for fetch in &f.pending {
        out.line(format!("  pending: {} {}", clean(&fetch.release), clean(&why(fetch, now))))?;
    }
    if left > 0 {
        out.line(format!("  pending: {left} more; `verbund sync status` lists all"))?;
    }
    Ok(())
}

fn members(out: &Out, f: &FederationStatus, now: Moment) -> Result<(), Failure> {
    let mut table = Table::new(&["  MEMBER", "NAME", "CONNECTION", "BEHIND", "LOG", "CLOCK"]);
    for m in &f.members {
        let stale = if m.stale { " stale" } else { "" };
        let log = match m.log {
            LogState::Open => format!("{}{stale}", m.log_size),
            LogState::Closed => format!("{} closed", m.log_size),
            LogState::Forked => format!("{} FORKED", m.log_size),
        };
        let behind = match (m.behind_by, m.behind.first()) {
            (0, _) => "–".to_owned(),
            (n, Some(first)) => format!("{n} ({}: {}{})", first.release, first.why, if n > 1 { ", …" } else { "" }),
            (n, None) => n.to_string(),
        };
        let clock = m.clock_offset_ms.map_or_else(|| "–".to_owned(), |offset| format!("{offset:+} ms"));
        let handle = format!("  {}", m.handle);
        let connected = match (&m.connection, f.standing) {
            // Nobody lets a stranger in.
            (Connection::Disconnected { .. }, Standing::Requested) => "after the admission".to_owned(),
            _ => connection(&m.connection, now),
        };
        table.row(&[&handle, &m.name, &connected, &behind, &log, &clock]);
    }
    table.write(out)
}

fn concerns(out: &Out, concerns: &[Concern], now: Moment) -> Result<(), Failure> {
    for concern in concerns {
        let severity = match concern.severity {
            Severity::Info => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let place = concern.federation.as_ref().map_or_else(String::new, |slug| format!(" [{slug}]"));
        let text = format!("{severity}{place} ({}, for {}): {}", concern.code, since(concern.since, now), concern.text);
        out.line(format!("\n{}", clean(&text)))?;
        if !concern.next_step.is_empty() {
            out.line(format!("next:  {}", clean(&concern.next_step)))?;
        }
    }
    Ok(())
}

/// A connection in words; why it is not there stands in [`error`].
pub(super) fn connection(connection: &Connection, now: Moment) -> String {
    match connection {
        Connection::Own => "this node".to_owned(),
        Connection::Connected { since: at, address } => format!("for {} ({address})", since(*at, now)),
        Connection::Disconnected { since: at, next_try, .. } => {
            let mut text =
                at.map_or_else(|| "not connected yet".to_owned(), |at| format!("not connected for {}", since(at, now)));
            if let Some(next) = next_try {
                text.push_str(&format!(", next try in {}", since(now, *next)));
            }
            text
        }
        Connection::Paused => "paused".to_owned(),
        Connection::Blocked => "blocked".to_owned(),
    }
}

/// Why the last try to connect failed.
pub(super) fn error(connection: &Connection) -> Option<&str> {
    match connection {
        Connection::Disconnected { error, .. } => error.as_deref(),
        _ => None,
    }
}

/// Why a file is not here: what, why, from whom, when again.
fn why(fetch: &PendingFetch, now: Moment) -> String {
    let from = fetch.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
    let next = fetch.next_try.map_or_else(String::new, |at| format!(", next try in {}", since(now, at)));
    let tried = if fetch.attempts > 0 { format!(", tried {} times", fetch.attempts) } else { String::new() };
    let (done, size) = (bytes(fetch.received), bytes(fetch.size));
    format!("{} ({done} of {size}{from}): {} [{}]{tried}{next}", fetch.file, fetch.why, fetch.code)
}

/// What to know or do about replication.
#[derive(Debug, clap::Subcommand)]
pub(super) enum SyncCommand {
    /// Which releases are missing, why, and from whom they come; exit code 8 if any is missing.
    Status {
        /// What this member (handle or peer id) lacks, instead of this node.
        #[arg(long)]
        peer: Option<String>,
    },
    /// Ask peers now instead of at the next interval.
    Now {
        /// Only this member (handle or peer id).
        #[arg(long)]
        peer: Option<String>,
    },
}

pub(super) async fn sync(context: &Context<'_>, command: SyncCommand) -> Result<Exit, Failure> {
    let federation = context.federation();
    match command {
        SyncCommand::Status { peer } => {
            let answer = context.call::<op::SyncStatus>(SyncStatusRequest { federation, peer }).await?;
            context.out.show(&answer, |out, answer| answer.federations.iter().try_for_each(|f| missing(out, f)))?;
            if answer.federations.is_empty() {
                context.out.note("in no federation yet: nothing is missing");
            }
            let complete = answer.federations.iter().all(|f| f.missing.is_empty());
            Ok(if complete { Exit::Ok } else { Exit::Degraded })
        }
        SyncCommand::Now { peer } => {
            let answer = context.call::<op::SyncNow>(SyncNowRequest { federation, peer }).await?;
            context.out.show(&answer, |out, answer| {
                out.line(format!("asked: {}; unreachable: {}", list(&answer.asked), list(&answer.unreachable)))
            })?;
            Ok(Exit::Ok)
        }
    }
}

fn missing(out: &Out, f: &FederationSync) -> Result<(), Failure> {
    let now = Moment::now();
    out.line(format!("{}: {} of {} releases held", clean(&f.slug), f.held, f.known))?;
    for log in f.logs.iter().filter(|log| log.size < log.target) {
        out.line(format!("  log of {}: {} of {} entries", log.handle, log.size, log.target))?;
    }
    for release in &f.missing {
        let holders = list(&release.holders);
        out.line(format!(
            "  {} lacks {}, published {} ago; held by {holders}",
            clean(&release.release),
            bytes(release.bytes),
            since(release.published, now)
        ))?;
        for file in &release.files {
            out.line(format!("    {}", clean(&why(file, now))))?;
        }
    }
    Ok(())
}
