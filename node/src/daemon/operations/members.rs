//! Inviting, and the decisions about members.

use std::sync::Arc;
use std::time::Duration;

use verbund_protocol::core::join_request_life_s;
use verbund_protocol::core::{Command, Problem as CoreProblem, Reply};
use verbund_protocol::ids::{Handle, MemberId};

use super::super::node::{Named, Node, problem};
use super::federation::{charter, count, members};
use super::select;
use super::survey::survey;
use crate::admin::api::*;
use crate::admin::{Code, Problem};

/// How long a ticket can be used unless said otherwise, in milliseconds: a week.
const TICKET_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// The longest time that a ticket can be used, in milliseconds: as long as a request lives.
const TICKET_MAX_MS: u64 = 90 * 24 * 3_600 * 1_000;
/// How long a decision is waited for that has all its approvals.
const DECISION_MAX: Duration = Duration::from_secs(5);

/// The core's refusal as the admin interface tells it.
pub(super) fn refused(error: CoreProblem) -> Problem {
    let code = match error.code {
        "recovering" | "not_ready" => Code::Recovering,
        "not_found" => Code::NotFound,
        "ambiguous" => Code::FingerprintRequired,
        "wrong_fingerprint" => Code::FingerprintMismatch,
        "no_approver_key" => Code::KeyMissing,
        "disk_full" => Code::DiskFull,
        "already_member" | "would_be_void" | "bad_change" | "not_voting" => Code::Conflict,
        _ => Code::BadRequest,
    };
    let next = match error.code {
        "recovering" => "`verbund status` says what it waits for; it ends by itself once members can be reached",
        "not_ready" => "repeat it in a moment",
        "not_found" | "ambiguous" | "wrong_fingerprint" => {
            "compare `verbund member requests` with what the newcomer reads out over the telephone"
        }
        "no_approver_key" => "approve on the machine that has the keys",
        "already_member" => "`verbund member ls` shows all members",
        _ => "",
    };
    Problem::new(code, error.text).next(next)
}

/// Has the core of a federation carry out a command.
pub(super) async fn command(named: &Named, command: Command) -> Result<Reply, Problem> {
    named.instance.command(command).await.map_err(problem)?.map_err(refused)
}

fn unexpected() -> Problem {
    Problem::new(Code::Internal, "the core answered something else than was asked")
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Problem::new(Code::Internal, format!("no randomness: {e}")))?;
    Ok(bytes)
}

/// Makes a ticket.
pub async fn invite(node: &Arc<Node>, request: InviteRequest) -> Result<Invitation, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let handle: Handle = request
        .handle
        .parse()
        .map_err(|e: verbund_protocol::ids::IdError| Problem::new(Code::BadRequest, e.to_string()))?;
    let valid_ms = request.valid_ms.unwrap_or(TICKET_MS);
    if !(1_000..=TICKET_MAX_MS).contains(&valid_ms) {
        return Err(Problem::new(Code::BadRequest, "a ticket is valid for at least a second and at most 90 days")
            .next(
                "name a time in between, such as --valid-for 7d; a request that was lodged with it lives on by itself",
            ));
    }
    let (id, secret) = (random()?, random()?);
    let reply =
        command(&named, Command::Invite { handle: handle.clone(), id, secret, valid_s: valid_ms / 1_000 }).await?;
    let Reply::Ticket(ticket) = reply else { return Err(unexpected()) };
    let addresses = ticket.parse::<verbund_protocol::wire::ticket::Ticket>().map(|t| t.addresses).unwrap_or_default();
    let local = |a: &String| a.starts_with("127.") || a.starts_with("[::1]") || a.starts_with("localhost");
    let mut warnings = Vec::new();
    if addresses.iter().all(local) {
        warnings.push(
            "all addresses in it are of this machine itself; set announce in node.toml for other machines".to_owned(),
        );
    }
    let valid_until = Moment::from_unix_ms(Moment::now().unix_ms().saturating_add(valid_ms));
    Ok(Invitation { ticket, federation: named.slug, handle, valid_until, addresses, warnings })
}

/// Open admissions, expulsions and amendments.
pub async fn member_requests(node: &Arc<Node>, request: Scope) -> Result<MemberRequests, Problem> {
    let mut requests = Vec::new();
    let all = match request.federation.as_deref() {
        Some(one) => vec![node.named(Some(one)).await?],
        None => node.all().await?,
    };
    for named in all {
        requests.extend(open(node, &named).await?);
    }
    requests.sort_by(|a, b| (&a.handle, a.since).cmp(&(&b.handle, b.since)));
    Ok(MemberRequests { requests })
}

async fn open(node: &Arc<Node>, named: &Named) -> Result<Vec<JoinRequest>, Problem> {
    let Some(charter) = named.instance.charter().await.map_err(problem)? else { return Ok(Vec::new()) };
    let survey = survey(node, named, 0).await?;
    let asked = named.instance.query(|core, view, now| {
        Ok::<_, verbund_protocol::view::rows::RowsError>((core.requests(now, view)?, core.changes(view)?))
    });
    let (requests, changes) = asked.await.map_err(problem)?.map_err(|e| problem(e.into()))?;
    let row = |handle: &Handle, approved: bool| {
        let peer = charter.charter.by_handle(handle).and_then(|m| charter.writer_of(&m.member));
        let disconnected_since = match peer.map(|p| survey.connection(&p)) {
            // One that was never seen by this process: it is away at least since the start.
            Some(Connection::Disconnected { since, .. }) if !approved => Some(since.unwrap_or(survey.me.started)),
            _ => None,
        };
        ApprovalRow { handle: handle.clone(), approved, disconnected_since }
    };
    let mut out = Vec::new();
    for r in &requests {
        let rivals = requests.iter().filter(|o| o.handle == r.handle && o.member != r.member).count();
        let since = Moment::from_unix_ms(r.time_s * 1_000);
        let name = named.instance.read({
            let hash = r.identity;
            move |view, _| verbund_protocol::view::charters::identity(view, &hash)
        });
        let name = name.await.map_err(problem)?.map(|i| i.identity.name().to_owned()).unwrap_or_default();
        out.push(JoinRequest {
            federation: named.slug.clone(),
            change: "admit".into(),
            handle: r.handle.clone(),
            name,
            member: r.member,
            fingerprint: r.fingerprint.clone(),
            since,
            until: Moment::from_unix_ms((r.time_s + join_request_life_s()) * 1_000),
            invited_by: None,
            needed: count(r.needed),
            approvals: r.approvals.iter().map(|(h, yes)| row(h, *yes)).collect(),
            rivals: count(rivals),
        });
    }
    for c in changes {
        use verbund_protocol::documents::Change;
        let (Change::Expel { member } | Change::Amend { member: Some(member), .. }) = c.change else { continue };
        let Some(entry) = charter.charter.member(&member) else { continue };
        let voting = charter.charter.voting();
        let rows = charter.charter.members.iter().filter(|m| voting.contains(&m.member));
        out.push(JoinRequest {
            federation: named.slug.clone(),
            change: if matches!(c.change, Change::Expel { .. }) { "expel".into() } else { "amend".into() },
            handle: entry.handle.clone(),
            name: charter.identities.get(&member).map(|i| i.identity.name().to_owned()).unwrap_or_default(),
            member,
            fingerprint: verbund_protocol::identity::fingerprint(member.as_bytes()),
            since: Moment::now(),
            until: Moment::from_unix_ms(u64::MAX),
            invited_by: None,
            needed: count(c.needed),
            approvals: rows.map(|m| row(&m.handle, c.by.contains(&m.handle))).collect(),
            rivals: 0,
        });
    }
    Ok(out)
}

/// All members.
pub async fn member_list(node: &Arc<Node>, request: Scope) -> Result<MemberList, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let charter = charter(&named).await?;
    let read = named.instance.read(move |view, _| members(view, &charter));
    Ok(MemberList { members: read.await.map_err(problem)? })
}

/// One member.
pub async fn member_show(node: &Arc<Node>, request: MemberRequest) -> Result<MemberView, Problem> {
    let list = member_list(node, Scope { federation: request.federation }).await?;
    let wanted = request.member;
    let fits = |m: &MemberView| m.handle.as_str() == wanted || m.member.to_string() == wanted;
    list.members.into_iter().find(fits).ok_or_else(|| {
        Problem::new(Code::NotFound, format!("no member {wanted:?}")).next("`verbund member ls` lists them")
    })
}

fn handle_of(text: &str) -> Result<Handle, Problem> {
    text.parse().map_err(|e: verbund_protocol::ids::IdError| Problem::new(Code::BadRequest, e.to_string()))
}

/// The handle that is asked for by handle or by member id; of an id its fingerprint too, which tells it from rivals.
async fn asked_for(node: &Arc<Node>, named: &Named, wanted: &str) -> Result<(Handle, Option<String>), Problem> {
    let Ok(id) = wanted.parse::<MemberId>() else { return Ok((handle_of(wanted)?, None)) };
    let found = open(node, named).await?.into_iter().find(|r| r.member == id && r.change == "admit");
    found.map(|r| (r.handle, Some(r.fingerprint))).ok_or_else(|| {
        Problem::new(Code::NotFound, format!("no open request of {id}")).next("`verbund member requests` lists them")
    })
}

/// Approves an admission for this member.
pub async fn member_admit(node: &Arc<Node>, request: AdmitRequest) -> Result<Decision, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let (handle, meant) = asked_for(node, &named, &request.member).await?;
    if request.associate {
        return Err(Problem::new(Code::Unsupported, "admission without a vote is not offered by this version")
            .next("admit with a vote, or wait for a later version"));
    }
    let reply =
        command(&named, Command::Admit { handle: handle.clone(), fingerprint: request.fingerprint.or(meant) }).await?;
    decision(&named, handle, reply, |c, h| c.charter.by_handle(h).is_some()).await
}

/// Refuses a request; the newcomer sees the reason.
pub async fn member_reject(node: &Arc<Node>, request: DismissRequest) -> Result<Decision, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let (handle, by_id) = asked_for(node, &named, &request.member).await?;
    let reason = request.reason.unwrap_or_else(|| "no reason was given".to_owned());
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let wanted = request.fingerprint.or(by_id).map(|text| digits(&text));
    let open = open(node, &named).await?;
    let claims: Vec<_> = open.iter().filter(|r| r.handle == handle && r.change == "admit").collect();
    let meant = claims.iter().find(|r| wanted.as_ref().is_none_or(|w| *w == digits(&r.fingerprint)));
    if !claims.is_empty() && meant.is_none() {
        return Err(Problem::new(Code::FingerprintMismatch, format!("no request for {handle} has this fingerprint"))
            .next("compare it with `verbund member requests`"));
    }
    let fingerprint = meant.map(|r| r.fingerprint.clone()).unwrap_or_default();
    command(&named, Command::Reject { handle: handle.clone(), reason }).await?;
    let text = format!("the request of {handle} is refused by this member; others may still approve it");
    Ok(Decision { handle, fingerprint, approvals: 0, needed: 0, charter_version: None, text })
}

/// Approves an expulsion for this member.
pub async fn member_expel(node: &Arc<Node>, request: DismissRequest) -> Result<Decision, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let meant = select::member(&*charter(&named).await?, &request.member)?;
    if meant.member == node.shared.member.id {
        return Err(Problem::new(Code::BadRequest, "a member is expelled by the others, not by itself")
            .next("leaving a federation is not offered by this version yet"));
    }
    let fingerprint = verbund_protocol::identity::fingerprint(meant.member.as_bytes());
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    if request.fingerprint.is_some_and(|given| digits(&given) != digits(&fingerprint)) {
        return Err(Problem::new(
            Code::FingerprintMismatch,
            format!("{} has the fingerprint {fingerprint}", meant.handle),
        )
        .next("`verbund member ls` lists all members with theirs"));
    }
    let handle = meant.handle;
    let reply = command(&named, Command::Expel { handle: handle.clone() }).await?;
    decision(&named, handle, reply, |c, h| c.charter.by_handle(h).is_none()).await
}

/// Waits a moment for a decision that has all its approvals.
async fn decision(
    named: &Named,
    handle: Handle,
    reply: Reply,
    done: fn(&verbund_protocol::charter::certificate::Certified, &Handle) -> bool,
) -> Result<Decision, Problem> {
    let Reply::Approved { fingerprint, approvals, needed, .. } = reply else { return Err(unexpected()) };
    let mut charter_version = None;
    if approvals >= needed {
        let mut events = named.instance.follow();
        let wait = async {
            loop {
                if let Ok(Some(charter)) = named.instance.charter().await
                    && done(&charter, &handle)
                {
                    return charter.charter.version;
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), events.recv()).await;
            }
        };
        charter_version = tokio::time::timeout(DECISION_MAX, wait).await.ok();
    }
    let text = match charter_version {
        Some(version) => {
            format!("{approvals} of {needed} approvals; decided, in effect since charter version {version}")
        }
        None if approvals >= needed => format!(
            "{approvals} of {needed} approvals; in effect as soon as enough of the members' nodes are connected to agree on the charter"
        ),
        None => format!(
            "{approvals} of {needed} approvals; the others decide on their nodes, see `verbund member requests`"
        ),
    };
    Ok(Decision { handle, fingerprint, approvals: count(approvals), needed: count(needed), charter_version, text })
}
