//! `verbund invite` and `verbund peer`.

use std::time::Duration;

use futures::StreamExt as _;

use super::exit::{Exit, Failure};
use super::output::{Out, Table, bytes, clean, list};
use super::{Context, status};
use crate::admin::api::{
    InviteRequest, JoinProgressRequest, JoinState, Joining, Moment, PeerAddRequest, PeerList, PeerRequest, PeerView,
    Pong, Scope,
};
use crate::admin::{op, paths};
use crate::config::Interval;

/// Print a ticket with which another member can ask to join.
#[derive(Debug, clap::Args)]
pub(super) struct InviteArgs {
    /// For whom: its handle, de-rp.
    #[arg(long = "for", value_name = "HANDLE")]
    handle: verbund_protocol::ids::Handle,
    /// How long a request can be lodged with it: 7d.
    #[arg(long, value_name = "DURATION")]
    valid_for: Option<Interval>,
}

pub(super) async fn invite(context: &Context<'_>, args: InviteArgs) -> Result<(), Failure> {
    let request = InviteRequest {
        federation: context.federation(),
        handle: args.handle.to_string(),
        valid_ms: args.valid_for.map(Interval::ms),
    };
    let answer = context.call::<op::Invite>(request).await?;
    context.out.show(&answer, |out, answer| out.line(clean(&answer.ticket)))?;
    for warning in &answer.warnings {
        context.out.note(format!("warning: {}", clean(warning)));
    }
    context.out.note(format!(
        "for {} in {}, until {}; whoever has this line first can ask to join\nnext:  on the other node: verbund peer add TICKET",
        answer.handle,
        clean(&answer.federation),
        answer.valid_until
    ));
    Ok(())
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Ask to join a federation with a ticket.
    Add {
        /// The line that `verbund invite` printed; `-` reads it from stdin, so that it is not seen in the list of processes.
        ticket: String,
        /// Stay until it is decided and all members are connected.
        #[arg(long)]
        wait: bool,
        /// Longest time to stay.
        #[arg(long, value_name = "DURATION", requires = "wait")]
        timeout: Option<Interval>,
    },
    /// All peers.
    Ls,
    /// One peer with its addresses and faults.
    Show(One),
    /// Measure the round trip to a peer.
    Ping(One),
    /// Stop exchanging with a peer for a while.
    Pause(One),
    /// End a pause.
    Resume(One),
    /// Refuse a peer and all that it offers.
    Block(One),
    /// End a block.
    Unblock(One),
    /// Forget a peer's addresses.
    Rm(One),
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// Handle or peer id.
    peer: String,
    /// Why, for the audit and for `peer show`.
    #[arg(long)]
    reason: Option<String>,
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<(), Failure> {
    let request = |one: One| PeerRequest { federation: context.federation(), peer: one.peer, reason: one.reason };
    match command {
        Command::Add { ticket, wait, timeout } => add(context, ticket, wait, timeout).await,
        Command::Ls => {
            let answer = context.call::<op::PeerList>(Scope { federation: context.federation() }).await?;
            context.out.show(&answer, ls)
        }
        Command::Show(one) => {
            let answer = context.call::<op::PeerShow>(request(one)).await?;
            context.out.show(&answer, show)
        }
        Command::Ping(one) => {
            let answer: Pong = context.call::<op::PeerPing>(request(one)).await?;
            context.out.show(&answer, |out, pong| {
                let (ms, rest) = (pong.round_trip_us / 1000, pong.round_trip_us % 1000);
                out.line(format!("{} {}: {ms}.{rest:03} ms", pong.handle, pong.peer))
            })
        }
        Command::Pause(one) => context.done::<op::PeerPause>(request(one), "paused").await,
        Command::Resume(one) => context.done::<op::PeerResume>(request(one), "resumed").await,
        Command::Block(one) => context.done::<op::PeerBlock>(request(one), "blocked").await,
        Command::Unblock(one) => context.done::<op::PeerUnblock>(request(one), "unblocked").await,
        Command::Rm(one) => context.done::<op::PeerRemove>(request(one), "removed").await,
    }
}

async fn add(context: &Context<'_>, ticket: String, wait: bool, timeout: Option<Interval>) -> Result<(), Failure> {
    let ticket = if ticket == "-" { from_stdin()? } else { ticket };
    let request = PeerAddRequest { federation: None, ticket: ticket.trim().to_owned() };
    let mut joining = context.call::<op::PeerAdd>(request).await?;
    let mut waited = Ok(());
    let follows = wait && !ended(&joining.state);
    if follows {
        if !context.out.json {
            shown(&context.out, &joining)?;
        }
        telephone(context, &joining).await;
        waited = follow(context, &mut joining, timeout).await;
    }
    if context.out.json || !follows {
        context.out.show(&joining, shown)?;
    }
    waited?;
    match &joining.state {
        JoinState::Refused { code, reason, by } => {
            let by = by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            let mut failure = Failure::failed(format!("refused{by}: {}", clean(reason)))
                .next("ask the member that invited you; a new ticket may be needed");
            failure.code.clone_from(code);
            Err(failure)
        }
        JoinState::Lodged { .. } => {
            if !follows {
                telephone(context, &joining).await;
            }
            Ok(())
        }
        JoinState::Admitted { connected, of, .. } => {
            if connected < of {
                context.out.note("the others are dialled; `verbund status` shows each with its state");
            }
            Ok(())
        }
    }
}

/// What the newcomer's operator does now.
async fn telephone(context: &Context<'_>, joining: &Joining) {
    if !matches!(joining.state, JoinState::Lodged { .. }) {
        return;
    }
    // The own handle makes the command one that can be read out; without it the placeholder does.
    let status = context.call::<op::Status>(Scope::default()).await;
    let handle = status.map_or_else(|_| "HANDLE".to_owned(), |status| status.node.handle.to_string());
    context.out.note(format!(
        "read both fingerprints out over the telephone to the members that decide\n\
         next:  they run `verbund member admit {}`; `verbund status` shows here when it is decided",
        clean(&handle)
    ));
}

/// A ticket is one line of some hundred bytes.
const TICKET_MAX: u64 = 64 << 10;

fn from_stdin() -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::io::stdin().take(TICKET_MAX).read_to_string(&mut text);
    read.map(|_| text).map_err(|error| Failure::io("cannot read the ticket from stdin", &error))
}

const fn ended(state: &JoinState) -> bool {
    match state {
        JoinState::Refused { .. } => true,
        JoinState::Admitted { connected, of, .. } => *connected >= *of,
        JoinState::Lodged { .. } => false,
    }
}

/// Follows the join until its end. `joining` is the last known state, whatever happens.
async fn follow(context: &Context<'_>, joining: &mut Joining, timeout: Option<Interval>) -> Result<(), Failure> {
    let request = JoinProgressRequest { federation: Some(joining.federation.to_string()) };
    let mut lines = context.client()?.lines::<_, Joining>(paths::JOIN, &request).await?;
    let watch = async {
        while let Some(line) = lines.next().await {
            let next = line?;
            if next.state != joining.state {
                context.out.note(clean(&state(&next.state)));
            }
            *joining = next;
            if ended(&joining.state) {
                return Ok(());
            }
        }
        Err(Failure::new(Exit::Unreachable, "the daemon ended the stream before the join was decided")
            .next("the request stays lodged: `verbund status` shows when it is decided"))
    };
    match timeout {
        None => watch.await,
        Some(limit) => tokio::time::timeout(limit.get(), watch).await.unwrap_or_else(|_| {
            Err(Failure::new(Exit::TimedOut, format!("not decided within {limit}"))
                .next("the request stays lodged: `verbund status` shows when it is decided"))
        }),
    }
}

fn shown(out: &Out, joining: &Joining) -> Result<(), Failure> {
    let mut table = Table::plain(2);
    table.row(&["federation", &format!("{} ({})", joining.name, joining.slug)]);
    table.row(&["its fingerprint", &joining.federation_fingerprint]);
    table.row(&["your fingerprint", &joining.member_fingerprint]);
    table.row(&["reached", &joining.peer.to_string()]);
    table.row(&["state", &state(&joining.state)]);
    table.write(out)
}

fn state(state: &JoinState) -> String {
    match state {
        JoinState::Lodged { approvals, needed: 0, approved_by } if approved_by.is_empty() => {
            format!("lodged, {approvals} approvals so far")
        }
        JoinState::Lodged { approvals, needed, approved_by } if approved_by.is_empty() => {
            format!("lodged, {approvals} of {needed} approvals")
        }
        JoinState::Lodged { approvals, needed, approved_by } => {
            format!("lodged, {approvals} of {needed} approvals ({})", list(approved_by))
        }
        JoinState::Refused { reason, .. } => format!("refused: {reason}"),
        JoinState::Admitted { charter_version, connected, of } => {
            format!("admitted by charter version {charter_version}, connected to {connected} of {of} members")
        }
    }
}

fn ls(out: &Out, answer: &PeerList) -> Result<(), Failure> {
    if answer.peers.is_empty() {
        out.note("no peers yet\nnext:  `verbund invite --for HANDLE` invites a member, `verbund peer add TICKET` joins a federation");
        return Ok(());
    }
    let now = Moment::now();
    let mut table = Table::new(&["MEMBER", "NAME", "FEDERATION", "CONNECTION", "BEHIND", "PEER"]);
    for row in &answer.peers {
        let m = &row.member;
        let behind = if m.behind_by == 0 { "–".to_owned() } else { m.behind_by.to_string() };
        let connection = status::connection(&m.connection, now);
        table.row(&[m.handle.as_str(), &m.name, &row.federation, &connection, &behind, &m.peer.to_string()]);
        if let Some(error) = status::error(&m.connection) {
            table.note(&format!("    {error}"));
        }
    }
    table.write(out)
}

fn show(out: &Out, view: &PeerView) -> Result<(), Failure> {
    let now = Moment::now();
    let m = &view.row.member;
    let mut table = Table::plain(2);
    table.row(&["member", &format!("{} ({})", m.handle, m.name)]);
    table.row(&["peer", &m.peer.to_string()]);
    table.row(&["federation", &view.row.federation]);
    table.row(&["connection", &status::connection(&m.connection, now)]);
    // Each address tells its own; what is said of none of them comes first.
    if let Some(error) = status::error(&m.connection).filter(|_| view.addresses.iter().all(|a| a.error.is_none())) {
        table.row(&["because", error]);
    }
    for address in &view.addresses {
        let error = address.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        table.row(&["address", &format!("{} ({}){error}", address.address, address.source)]);
    }
    table.row(&["software", view.software.as_deref().unwrap_or("–")]);
    if let Some(us) = view.round_trip_us {
        table.row(&["round trip", &format!("{} ms", Duration::from_micros(us).as_millis())]);
    }
    if let Some(offset) = m.clock_offset_ms {
        table.row(&["clock", &format!("{offset:+} ms")]);
    }
    table.row(&["received", &bytes(view.bytes_received)]);
    table.row(&["sent", &bytes(view.bytes_sent)]);
    for (reason, count) in &view.faults {
        table.row(&["fault", &format!("{reason}: {count}")]);
    }
    for void in &view.void_entries {
        table.row(&["void", &format!("entry {}: {}", void.index, void.reason)]);
    }
    if let Some(note) = &view.note {
        table.row(&["note", note]);
    }
    for behind in &m.behind {
        table.row(&["lacks", &format!("{}: {}", behind.release, behind.why)]);
    }
    table.write(out)
}
