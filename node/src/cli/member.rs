//! `verbund member`.

use super::Context;
use super::exit::Failure;
use super::output::{Out, Table, clean, since};
use crate::admin::api::{
    AdmitRequest, Decision, DismissRequest, JoinRequest, LogState, MemberRequest, MemberRequests, MemberView, Moment,
    Scope, Standing,
};
use crate::admin::op;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Open admissions and expulsions, with the approvals so far.
    Requests,
    /// Approve an admission for this member. Compare the fingerprint by telephone first.
    Admit {
        /// Handle or member id.
        member: String,
        /// The fingerprint that was read out: 8 groups of 5 digits.
        #[arg(long)]
        fingerprint: Option<String>,
        /// With all rights but a vote.
        #[arg(long)]
        associate: bool,
    },
    /// Refuse a request; the newcomer sees the reason.
    Reject(DismissArgs),
    /// Approve the expulsion of a member.
    Expel(DismissArgs),
    /// All members.
    Ls,
    /// One member.
    Show {
        /// Handle or member id.
        member: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct DismissArgs {
    /// Handle or member id.
    member: String,
    /// The fingerprint, if two claim the handle.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
}

impl DismissArgs {
    fn request(self, federation: Option<String>) -> DismissRequest {
        DismissRequest { federation, member: self.member, fingerprint: self.fingerprint, reason: self.reason }
    }
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<(), Failure> {
    let federation = context.federation();
    match command {
        Command::Requests => {
            let answer = context.call::<op::MemberRequests>(Scope { federation }).await?;
            context.out.show(&answer, requests)
        }
        Command::Admit { member, fingerprint, associate } => {
            let request = AdmitRequest { federation, member, fingerprint, associate };
            let answer = context.call::<op::MemberAdmit>(request).await?;
            context.out.show(&answer, decision)
        }
        Command::Reject(args) => {
            let answer = context.call::<op::MemberReject>(args.request(federation)).await?;
            context.out.show(&answer, decision)
        }
        Command::Expel(args) => {
            let answer = context.call::<op::MemberExpel>(args.request(federation)).await?;
            context.out.show(&answer, decision)
        }
        Command::Ls => {
            let answer = context.call::<op::MemberList>(Scope { federation }).await?;
            context.out.show(&answer, |out, answer| table(out, &answer.members))
        }
        Command::Show { member } => {
            let answer = context.call::<op::MemberShow>(MemberRequest { federation, member }).await?;
            context.out.show(&answer, show)
        }
    }
}

fn requests(out: &Out, answer: &MemberRequests) -> Result<(), Failure> {
    if answer.requests.is_empty() {
        out.note("no open requests");
    }
    let now = Moment::now();
    for request in &answer.requests {
        out.line(describe(request, now))?;
    }
    Ok(())
}

/// A request over a few lines: who, fingerprint, and "2 of 3: de-he ✔ de-rp ✔ de-sl – not connected for 3 d".
fn describe(request: &JoinRequest, now: Moment) -> String {
    let said: Vec<String> = request
        .approvals
        .iter()
        .map(|row| match (row.approved, row.disconnected_since) {
            (true, _) => format!("{} ✔", row.handle),
            (false, None) => format!("{} –", row.handle),
            (false, Some(at)) => format!("{} – not connected for {}", row.handle, since(at, now)),
        })
        .collect();
    let given = request.approvals.iter().filter(|row| row.approved).count();
    let invited = request.invited_by.as_ref().map_or_else(String::new, |by| format!(", invited by {by}"));
    let rivals = match request.rivals {
        0 => String::new(),
        n => format!("\n  attention: {n} more claim this handle; admit only with --fingerprint"),
    };
    format!(
        "{} {} ({}) in {}, for {}{invited}\n  fingerprint {}\n  {given} of {}: {}{rivals}",
        clean(&request.change),
        request.handle,
        clean(&request.name),
        clean(&request.federation),
        since(request.since, now),
        clean(&request.fingerprint),
        request.needed,
        said.join("  "),
    )
}

fn decision(out: &Out, decision: &Decision) -> Result<(), Failure> {
    out.line(clean(format!("{} {}", decision.handle, decision.fingerprint).trim()))?;
    out.line(clean(&decision.text))
}

/// Members in a table.
pub(super) fn table(out: &Out, members: &[MemberView]) -> Result<(), Failure> {
    let mut table = Table::new(&["MEMBER", "NAME", "STANDING", "RELEASES", "LOG", "FINGERPRINT"]);
    for m in members {
        let log = match m.log {
            LogState::Open => m.log_size.to_string(),
            LogState::Closed => format!("{} closed", m.log_size),
            LogState::Forked => format!("{} forked", m.log_size),
        };
        let releases = m.releases.to_string();
        table.row(&[m.handle.as_str(), &m.name, standing(m.standing), &releases, &log, &m.fingerprint]);
    }
    table.write(out)
}

fn show(out: &Out, member: &MemberView) -> Result<(), Failure> {
    let mut table = Table::plain(2);
    table.row(&["member", &format!("{} ({})", member.handle, member.name)]);
    table.row(&["id", &member.member.to_string()]);
    table.row(&["fingerprint", &member.fingerprint]);
    table.row(&["standing", &format!("{} since charter version {}", standing(member.standing), member.since_version)]);
    let expired = if member.identity_expired { ", past its date" } else { "" };
    table.row(&["identity", &format!("version {}{expired}", member.identity_version)]);
    table.row(&["writer", &member.writer.to_string()]);
    table.row(&["contact", member.contact.as_deref().unwrap_or("–")]);
    table.row(&["log", &format!("{} entries, {:?}", member.log_size, member.log).to_lowercase()]);
    table.row(&["releases", &member.releases.to_string()]);
    table.write(out)
}

/// A standing in words.
pub(super) const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Full => "full",
        Standing::Associate => "associate",
        Standing::Requested => "requested",
        Standing::Former => "former",
    }
}
