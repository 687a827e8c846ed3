//! Inviting, and the decisions about members.

use std::sync::Arc;
use std::time::Duration;

use verbund_protocol::core::join_request_life_s;
use verbund_protocol::core::{Command, Problem as CoreProblem, Reply};
use verbund_protocol::ids::Handle;

use super::super::node::{Named, Node, problem};
use super::federation::{charter, count, members};
use crate::admin::api::*;
use crate::admin::{Code, Problem};

/// How long a ticket can be used unless said otherwise, in milliseconds: a week.
const TICKET_MS: u64 = 7 * 24 * 3_600 * 1_000;
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
    Problem::new(code, error.text)
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
        requests.extend(open(&named).await?);
    }
    requests.sort_by(|a, b| (&a.handle, a.since).cmp(&(&b.handle, b.since)));
    Ok(MemberRequests { requests })
}

async fn open(named: &Named) -> Result<Vec<JoinRequest>, Problem> {
    let Some(charter) = named.instance.charter().await.map_err(problem)? else { return Ok(Vec::new()) };
    let net = named.instance.net.status().await.unwrap_or_default();
    let asked = named.instance.query(|core, view, now| {
        Ok::<_, verbund_protocol::view::rows::RowsError>((core.requests(now, view)?, core.changes(view)?))
    });
    let (requests, changes) = asked.await.map_err(problem)?.map_err(|e| problem(e.into()))?;
    let row = |handle: &Handle, approved: bool| {
        let peer = charter.charter.by_handle(handle).and_then(|m| charter.writer_of(&m.member));
        let status = peer.and_then(|p| net.peers.get(&p));
        let connected = status.is_none_or(|s| !s.connections.is_empty());
        let disconnected_since = (!approved && !connected).then(Moment::now);
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

/// Approves an admission for this member.
pub async fn member_admit(node: &Arc<Node>, request: AdmitRequest) -> Result<Decision, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let handle = handle_of(&request.member)?;
    if request.associate {
        return Err(Problem::new(Code::Unsupported, "admission without a vote is not offered by this version")
            .next("admit with a vote, or wait for a later version"));
    }
    let reply = command(&named, Command::Admit { handle: handle.clone(), fingerprint: request.fingerprint }).await?;
    decision(&named, handle, reply, |c, h| c.charter.by_handle(h).is_some()).await
}

/// Refuses a request; the newcomer sees the reason.
pub async fn member_reject(node: &Arc<Node>, request: DismissRequest) -> Result<Decision, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let handle = handle_of(&request.member)?;
    let reason = request.reason.unwrap_or_else(|| "no reason was given".to_owned());
    let open = open(&named).await?;
    let meant = open.iter().find(|r| r.handle == handle && r.change == "admit");
    let fingerprint = meant.map(|r| r.fingerprint.clone()).unwrap_or_default();
    command(&named, Command::Reject { handle: handle.clone(), reason }).await?;
    let text = format!("the request of {handle} is refused by this member; others may still approve it");
    Ok(Decision { handle, fingerprint, approvals: 0, needed: 0, charter_version: None, text })
}

/// Approves an expulsion for this member.
pub async fn member_expel(node: &Arc<Node>, request: DismissRequest) -> Result<Decision, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let handle = handle_of(&request.member)?;
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
        Some(version) => format!("decided by charter {version}"),
        None if approvals >= needed => {
            "all approvals are there; the members' nodes agree on the charter as soon as enough of them are connected"
                .to_owned()
        }
        None => format!("{approvals} of {needed} approvals"),
    };
    Ok(Decision { handle, fingerprint, approvals: count(approvals), needed: count(needed), charter_version, text })
}
