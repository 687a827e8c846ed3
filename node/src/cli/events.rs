//! `verbund events` and `verbund audit`.

use futures::StreamExt as _;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{Out, Table, clean};
use crate::admin::api::{AuditRequest, Event, EventsRequest, Moment, Severity};
use crate::admin::{op, paths};

/// What happened on this node; with --json one object per line.
#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// Stay, and show events as they happen.
    #[arg(long, short)]
    follow: bool,
    /// Only after the event with this number.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// At most so many of the newest.
    #[arg(long, value_name = "COUNT", conflicts_with = "follow")]
    limit: Option<u32>,
    /// Only events with this code.
    #[arg(long)]
    code: Option<String>,
}

pub(super) async fn events(context: &Context<'_>, args: EventsArgs) -> Result<(), Failure> {
    let request =
        EventsRequest { federation: context.federation(), after: args.after, limit: args.limit, code: args.code };
    if !args.follow {
        let answer = context.call::<op::EventList>(request).await?;
        if answer.events.is_empty() {
            context.out.note("no such event since the daemon started");
        }
        return answer.events.iter().try_for_each(|event| show(&context.out, event));
    }
    let mut lines = context.client()?.lines::<_, Event>(paths::EVENTS, &request).await?;
    while let Some(event) = lines.next().await {
        show(&context.out, &event?)?;
    }
    Err(Failure::new(Exit::Unreachable, "the daemon ended the stream")
        .next("it may be stopping or restarting; go on with --follow --after NUMBER"))
}

fn show(out: &Out, event: &Event) -> Result<(), Failure> {
    if out.json {
        return out.json_line(event);
    }
    let severity = match event.severity {
        Severity::Info => "     ",
        Severity::Warning => "warn ",
        Severity::Error => "ERROR",
    };
    let mut place = String::new();
    let member = event.member.as_ref().map(ToString::to_string);
    for part in [event.federation.clone(), member, event.release.clone()].into_iter().flatten() {
        place.push_str(&format!(" {part}"));
    }
    let text = format!("{} {:>5} {severity} {}{place}: {}", stamp(event.at), event.number, event.code, event.text);
    out.line(clean(&text))
}

/// A moment with three digits of a second, so that lines stand below each other.
fn stamp(at: Moment) -> String {
    let text = at.to_string();
    let (seconds, rest) = text.trim_end_matches('Z').split_once('.').unwrap_or((text.trim_end_matches('Z'), ""));
    format!("{seconds}.{rest:0<3}Z")
}

/// Who changed what through the admin socket.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    /// At most so many of the newest.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
    /// Only since then (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
}

pub(super) async fn audit(context: &Context<'_>, args: AuditArgs) -> Result<(), Failure> {
    let request = AuditRequest { federation: context.federation(), limit: args.limit, since: args.since };
    let answer = context.call::<op::AuditList>(request).await?;
    if answer.records.is_empty() {
        context.out.note("nothing was changed yet, or not since then");
        return if context.out.json { context.out.json(&answer) } else { Ok(()) };
    }
    context.out.show(&answer, |out, answer| {
        let mut table = Table::new(&["TIME", "USER", "PID", "OPERATION", "OUTCOME", "FEDERATION", "SUBJECT"]);
        for r in &answer.records {
            let user = r.user.clone().unwrap_or_else(|| r.uid.to_string());
            let pid = r.pid.map_or_else(|| "–".to_owned(), |pid| pid.to_string());
            let federation = r.federation.as_deref().unwrap_or("–");
            table.row(&[&stamp(r.at), &user, &pid, &r.operation, &r.outcome, federation, &r.subject]);
        }
        table.write(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_one_width() {
        let stamps = [0, 70, 739, 700].map(|ms| stamp(Moment::from_unix_ms(1_000 + ms)));
        let wanted = ["000", "070", "739", "700"].map(|ms| format!("1970-01-01T00:00:01.{ms}Z"));
        assert_eq!(stamps, wanted);
    }
}
