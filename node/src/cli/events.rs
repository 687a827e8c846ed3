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
    let text = format!("{} {} {severity} {}{place}: {}", event.at, event.number, event.code, event.text);
    out.line(clean(&text))
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
    context.out.show(&answer, |out, answer| {
        let mut table = Table::new(&["TIME", "USER", "PID", "OPERATION", "OUTCOME", "FEDERATION", "SUBJECT"]);
        for r in &answer.records {
            let user = r.user.clone().unwrap_or_else(|| r.uid.to_string());
            let pid = r.pid.map_or_else(|| "–".to_owned(), |pid| pid.to_string());
            let federation = r.federation.as_deref().unwrap_or("–");
            table.row(&[&r.at.to_string(), &user, &pid, &r.operation, &r.outcome, federation, &r.subject]);
        }
        table.write(out)
    })
}
