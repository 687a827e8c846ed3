//! What members do with a stranger's request to join.
//!
//! Owns the members' end of the join protocol. A stranger gets charters, a place to lodge one request, and its progress; nothing
//! else.

use super::api::{EventKind, Fault, Problem};
use super::{Cx, approve, info, join, own, serve, sync};
use crate::charter::certificate::VerifiedWriter;
use crate::documents::{Change, Document, Request, Standing};
use crate::envelope::Envelope;
use crate::identity::VerifiedIdentity;
use crate::ids::{Handle, MemberId, PeerId, Sha256};
use crate::record::{Local, Record, Ticket as TicketRow};
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, key};
use crate::wire::join::{Lodge, Progress, Refused, Request as JoinRequest, Response};

/// How long a request is listed, in seconds: 90 days.
pub const REQUEST_LIFE_S: u64 = 90 * 24 * 3_600;
/// Requests listed at most.
const REQUESTS_MAX: usize = 1_024;

/// Answers a request on the join protocol.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn serve(
    cx: &mut Cx<'_>,
    own_log: &mut own::OwnLog,
    may_sign: bool,
    from: PeerId,
    request: JoinRequest,
) -> Result<Response, RowsError> {
    Ok(match request {
        JoinRequest::Charters { from } => Response::Charters(serve::charters_from(cx.view, from)?),
        JoinRequest::Lodge(lodge) => match lodge_request(cx, own_log, may_sign, from, *lodge) {
            Ok(()) => Response::Lodged,
            Err(Ok(refused)) => {
                cx.refuse(Some(from), "join_refused", refused.to_string());
                Response::Refused(refused)
            }
            Err(Err(e)) => return Err(e),
        },
        JoinRequest::Progress { request } => Response::Progress(progress(cx, &request)?),
        JoinRequest::Newer(bundles) => {
            match sync::charters(cx, bundles) {
                Ok(_) => {}
                Err(Ok(Fault { reason, text })) => cx.refuse(Some(from), reason, text),
                Err(Err(e)) => return Err(e),
            }
            Response::Thanks
        }
    })
}

fn lodge_request(
    cx: &mut Cx<'_>,
    own_log: &mut own::OwnLog,
    may_sign: bool,
    from: PeerId,
    lodge: Lodge,
) -> Result<(), Result<Refused, RowsError>> {
    let invalid = |text: String| Ok(Refused::Invalid(text));
    if !cx.set.join_enabled {
        return Err(Ok(Refused::NotNow("joining is switched off here".into())));
    }
    if !may_sign || !cx.is_writer() {
        return Err(Ok(Refused::NotNow("it may not sign yet".into())));
    }
    let charter = cx.charter.clone().ok_or(Ok(Refused::NotNow("it is in no federation yet".into())))?;
    let ticket: Option<TicketRow> = state::get(cx.view, Table::Local, &key::ticket(&lodge.ticket)).map_err(Err)?;
    let ticket = ticket
        .filter(|t| t.secret_hash == Sha256::of(&lodge.secret) || crate::seeded::bug("ticket_without_secret"))
        .ok_or(Ok(Refused::UnknownTicket))?;
    let ticket = TicketRow { used_by: ticket.used_by.filter(|_| !crate::seeded::bug("ticket_used_again")), ..ticket };
    let parse = |bytes: &Vec<u8>| Envelope::parse(bytes).map_err(|e| invalid(e.to_string()));
    let chain = lodge.identities.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let identity = VerifiedIdentity::chain(&chain).map_err(|e| invalid(e.to_string()))?;
    let (writer, request) = (parse(&lodge.writer)?, parse(&lodge.request)?);
    if ticket.used_by.is_some_and(|m| m != identity.member) {
        return Err(Ok(Refused::Used));
    }
    if charter.charter.member(&identity.member).is_some() {
        return Err(Ok(Refused::AlreadyMember));
    }
    // A crash of the newcomer must not burn its ticket: the same request again gets the same answer, also when it is late.
    let held = cx.view.get(Table::Documents, &key::request(&request.id())).map_err(Err)?;
    if ticket.used_by.is_some() {
        let other = "another request was lodged with this ticket before; ask for a new ticket";
        return if held.is_some() { Ok(()) } else { Err(invalid(other.into())) };
    }
    if cx.now.wall_s() > ticket.expires_s && !crate::seeded::bug("expired_ticket") {
        return Err(Ok(Refused::Expired));
    }
    if identity.identity.handle != ticket.handle && !crate::seeded::bug("ticket_for_any_handle") {
        return Err(Ok(Refused::OtherHandle(ticket.handle)));
    }
    if charter.charter.by_handle(&ticket.handle).is_some() {
        return Err(Ok(Refused::HandleTaken(ticket.handle)));
    }
    let checked = VerifiedWriter::check(&writer, Some(cx.federation), std::slice::from_ref(&identity), None)
        .map_err(|e| invalid(e.to_string()))?;
    if checked.writer.peer != from {
        return Err(invalid("the writer names another node than the one that asks".into()));
    }
    check_request(cx, &charter, &identity, &checked, &request)?;
    own_log.append(cx, lodge.identities.into_iter().chain([lodge.writer, lodge.request]).collect()).map_err(Err)?;
    cx.record(Record::Local(Local::TicketUsed { id: lodge.ticket, member: identity.member }));
    info::keep_info(cx, &lodge.node_info);
    cx.event(EventKind::RequestLodged { handle: identity.identity.handle.clone(), member: identity.member });
    Ok(())
}

fn check_request(
    cx: &Cx<'_>,
    charter: &crate::charter::certificate::Certified,
    identity: &VerifiedIdentity,
    writer: &VerifiedWriter,
    envelope: &Envelope,
) -> Result<(), Result<Refused, RowsError>> {
    let invalid = |text: &str| Ok(Refused::Invalid(text.to_owned()));
    let request = Request::open(envelope).map_err(|e| invalid(&e.to_string()))?;
    let fits = request.federation == cx.federation
        && request.member == identity.member
        && request.handle == identity.identity.handle
        && request.identity == identity.hash
        && request.writer == writer.hash;
    if !fits {
        return Err(invalid("the request does not fit the identity and writer that came with it"));
    }
    if request.agreement != charter.charter.rules.agreement.as_ref().map(|a| a.sha256) {
        return Err(invalid("the request does not accept the federation's agreement"));
    }
    if !join::contains(cx, &request.charter).map_err(Err)? {
        return Err(invalid("the request names a charter that is not known here"));
    }
    if !identity.identity.roles.approver.signed(envelope) {
        return Err(invalid("the request is not signed by the approver threshold"));
    }
    Ok(())
}

fn progress(cx: &Cx<'_>, id: &Sha256) -> Result<Progress, RowsError> {
    let Some(request) = request(cx, id)? else { return Ok(Progress::Unknown) };
    let Some(charter) = &cx.charter else { return Ok(Progress::Unknown) };
    if charter.charter.member(&request.member).is_some() {
        return Ok(Progress::Member { version: charter.charter.version, nodes: serve::nodes(cx.view, Some(charter))? });
    }
    if let Some(reason) = cx.view.get(Table::Local, &key::rejected(id))? {
        return Ok(Progress::Rejected { reason: String::from_utf8_lossy(&reason).into_owned() });
    }
    let by = approve::approved(cx, charter)?.remove(&admission(&request)).unwrap_or_default();
    let voting = charter.charter.members.iter().filter(|m| m.standing == Standing::Full);
    let approvals = voting.map(|m| (m.handle.clone(), by.contains_key(&m.member))).collect();
    Ok(Progress::Waiting { approvals, needed: u32::try_from(charter.charter.quorum()).unwrap_or(u32::MAX) })
}

fn request(cx: &Cx<'_>, id: &Sha256) -> Result<Option<Request>, RowsError> {
    let bytes = cx.view.get(Table::Documents, &key::request(id))?;
    Ok(bytes.and_then(|b| Envelope::parse(&b).ok()).and_then(|e| Request::open(&e).ok()))
}

/// The change that admits a requester.
pub fn admission(request: &Request) -> Change {
    Change::Admit {
        member: request.member,
        handle: request.handle.clone(),
        standing: Standing::Full,
        identity: request.identity,
        writer: request.writer,
    }
}

/// Requests that wait for a decision, with their hashes.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn open_requests(
    view: &dyn super::View,
    charter: Option<&crate::charter::certificate::Certified>,
    now_s: u64,
) -> Result<Vec<(Sha256, Request)>, RowsError> {
    let mut out = Vec::new();
    for (_, bytes) in view.scan(Table::Documents, b"q", b"q", REQUESTS_MAX)? {
        let Ok(envelope) = Envelope::parse(&bytes) else { continue };
        let Ok(request) = Request::open(&envelope) else { continue };
        let member = charter.is_some_and(|c| c.charter.member(&request.member).is_some());
        let rejected = view.get(Table::Local, &key::rejected(&envelope.id()))?.is_some();
        if !member && !rejected && now_s < request.time_s.saturating_add(REQUEST_LIFE_S) {
            out.push((envelope.id(), request));
        }
    }
    Ok(out)
}

/// The one request that an operator means by a handle.
///
/// # Errors
/// `Err(Ok(problem))` if there is none or more than one fits, `Err(Err(…))` a fault of this node.
pub fn meant(
    cx: &Cx<'_>,
    handle: &Handle,
    wanted: Option<&str>,
) -> Result<(Sha256, Request), Result<Problem, RowsError>> {
    let all = open_requests(cx.view, cx.charter.as_deref(), cx.now.wall_s()).map_err(Err)?;
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let mut fitting: Vec<_> = all.into_iter().filter(|(_, r)| r.handle == *handle).collect();
    let members: std::collections::BTreeSet<MemberId> = fitting.iter().map(|(_, r)| r.member).collect();
    if let Some(wanted) = wanted {
        fitting.retain(|(_, r)| digits(&approve::member_fingerprint(&r.member)) == digits(wanted));
        if fitting.is_empty() {
            return Err(Ok(Problem::new(
                "wrong_fingerprint",
                format!(
                    "no request for {handle} has this fingerprint; compare it with `verbund member requests` and the newcomer's own"
                ),
            )));
        }
    } else if members.len() > 1 {
        return Err(Ok(Problem::new(
            "ambiguous",
            format!(
                "{} members claim the handle {handle}; name the right one with --fingerprint, as read out by the newcomer",
                members.len()
            ),
        )));
    }
    // The newest of one member's requests.
    fitting.sort_by_key(|(_, r)| r.time_s);
    fitting.pop().ok_or_else(|| {
        Ok(Problem::new("not_found", format!("no open request for {handle}; see `verbund member requests`")))
    })
}
