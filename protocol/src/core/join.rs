//! Joining: what a newcomer does with its ticket, and what members do with a stranger's request.
//!
//! Owns both ends of the join protocol. A stranger gets charters, a place to lodge one request, and its progress; nothing else.

use super::api::{Effect, EventKind, Fault, Problem};
use super::{Cx, agree, own, serve, sync};
use crate::charter::certificate::VerifiedWriter;
use crate::documents::{Change, Document, NodeInfo, Request, Standing};
use crate::envelope::Envelope;
use crate::identity::{VerifiedIdentity, fingerprint};
use crate::ids::{Handle, MemberId, PeerId, Sha256};
use crate::record::{Joining, Local, Origin, Record, Ticket as TicketRow};
use crate::view::charters;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, key};
use crate::wire::join::{Lodge, Progress, Refused, Request as JoinRequest, Response};
use crate::wire::ticket::Ticket;

/// Between two questions for the progress of a request, in milliseconds.
const PROGRESS_MS: u64 = 2_000;
/// Longest wait after a failure, in milliseconds.
const RETRY_MAX_MS: u64 = 60_000;
/// How long a request is listed, in seconds: 90 days.
pub const REQUEST_LIFE_S: u64 = 90 * 24 * 3_600;
/// Requests listed at most.
const REQUESTS_MAX: usize = 1_024;

/// What a newcomer's request is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Charters,
    Lodge,
    Progress,
}

/// The newcomer's side.
#[derive(Debug, Default)]
pub struct Join {
    joining: Option<Joining>,
    asked: Option<Stage>,
    lodged: bool,
    next_ms: u64,
    failures: u32,
    /// How far it is, in words.
    pub text: String,
    /// The issuer refused for good.
    pub refused: bool,
    /// What the issuer last said of the request.
    pub last: Option<Progress>,
}

impl Join {
    /// Goes on with what was asked for before the restart.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn load(view: &dyn super::View) -> Result<Self, RowsError> {
        let joining = match state::get(view, Table::Local, key::ORIGIN)? {
            Some(Origin::Joining(joining)) => Some(joining),
            Some(Origin::Founded) | None => None,
        };
        Ok(Self { joining, ..Self::default() })
    }

    /// When something is due.
    pub fn next_due_ms(&self) -> Option<u64> {
        (self.joining.is_some() && self.asked.is_none() && !self.refused).then_some(self.next_ms)
    }

    /// Goes on asking until the member is in.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn tick(&mut self, cx: &mut Cx<'_>) -> Result<(), RowsError> {
        let Some(joining) = self.joining.clone() else { return Ok(()) };
        if cx.is_member() {
            self.text = "member".to_owned();
            self.joining = None;
            return Ok(());
        }
        if self.asked.is_some() || self.refused || cx.now.mono_ms < self.next_ms {
            return Ok(());
        }
        let Ok(ticket) = joining.ticket.parse::<Ticket>() else { return Ok(()) };
        let version = cx.charter.as_ref().map_or(0, |c| c.charter.version);
        let seen = contains(cx, &joining.charter)?;
        let (stage, body) = if !seen {
            (Stage::Charters, JoinRequest::Charters { from: version + 1 })
        } else if !self.lodged {
            let Some(lodge) = self.lodge(cx, &joining, &ticket)? else { return Ok(()) };
            (Stage::Lodge, JoinRequest::Lodge(Box::new(lodge)))
        } else {
            let request = Envelope::parse(&joining_request(cx, &joining)?).map(|e| e.id());
            let Ok(request) = request else { return Ok(()) };
            (Stage::Progress, JoinRequest::Progress { request })
        };
        self.ask(cx, &ticket, stage, body);
        Ok(())
    }

    fn ask(&mut self, cx: &mut Cx<'_>, ticket: &Ticket, stage: Stage, body: JoinRequest) {
        if let Ok(bytes) = crate::wire::encode(cx.federation, body) {
            self.asked = Some(stage);
            cx.effect(Effect::AskJoin { peer: ticket.peer, addresses: ticket.addresses.clone(), bytes });
        }
    }

    /// The request, made once the charter is known, and kept: a crash must not make a second one.
    fn lodge(&mut self, cx: &mut Cx<'_>, joining: &Joining, ticket: &Ticket) -> Result<Option<Lodge>, RowsError> {
        let Some(charter) = cx.charter.clone() else { return Ok(None) };
        let mut request = joining_request(cx, joining)?;
        if request.is_empty() {
            let newest = cx.own.identities.last().and_then(|bytes| Envelope::parse(bytes).ok());
            let (Some(identity), Ok(writer)) = (newest, Envelope::parse(&joining.writer)) else { return Ok(None) };
            let document = Request {
                federation: cx.federation,
                member: cx.own.member,
                handle: cx.own.handle.clone(),
                charter: charter.hash,
                agreement: charter.charter.rules.agreement.as_ref().map(|a| a.sha256),
                identity: identity.id(),
                writer: writer.id(),
                time_s: cx.now.wall_s(),
            };
            let keys: Vec<_> = cx.own.approvers.iter().collect();
            let Ok(envelope) = document.seal(&keys) else { return Ok(None) };
            request = envelope.into_bytes();
            let joining = Joining { request: request.clone(), ..joining.clone() };
            cx.record(Record::Local(Local::Origin(Origin::Joining(joining))));
        }
        let Some(node_info) = own_info(cx)? else { return Ok(None) };
        Ok(Some(Lodge {
            ticket: ticket.id_bytes(),
            secret: ticket.secret_bytes(),
            identities: cx.own.identities.clone(),
            writer: joining.writer.clone(),
            request,
            node_info,
        }))
    }

    /// The issuer answered.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn answer(&mut self, cx: &mut Cx<'_>, result: Result<Vec<u8>, String>) -> Result<(), RowsError> {
        let Some(stage) = self.asked.take() else { return Ok(()) };
        let answer = result.and_then(|bytes| {
            crate::wire::decode::<Response>(cx.federation, &bytes, crate::limits::FRAME_MAX_BYTES)
                .map_err(|e| e.to_string())
        });
        let outcome = match answer {
            Ok(answer) => self.take(cx, stage, answer)?,
            Err(why) => Err(why),
        };
        match outcome {
            Ok(wait_ms) => {
                self.failures = 0;
                self.next_ms = cx.now.mono_ms + wait_ms;
            }
            Err(why) => {
                self.failures += 1;
                let wait = PROGRESS_MS.saturating_mul(1 << self.failures.min(8)).min(RETRY_MAX_MS);
                self.next_ms = cx.now.mono_ms + wait;
                self.say(cx, why);
            }
        }
        Ok(())
    }

    fn say(&mut self, cx: &mut Cx<'_>, text: String) {
        if self.text != text {
            self.text.clone_from(&text);
            cx.event(EventKind::JoinProgressed { text });
        }
    }

    fn take(&mut self, cx: &mut Cx<'_>, stage: Stage, answer: Response) -> Result<Result<u64, String>, RowsError> {
        match (stage, answer) {
            (Stage::Charters | Stage::Progress, Response::Charters(bundles)) => {
                if bundles.is_empty() {
                    return Ok(
                        Err("the charter that the ticket names is not in the chain that the node serves".into()),
                    );
                }
                match sync::charters(cx, bundles) {
                    Ok(_) => Ok(Ok(0)),
                    Err(Ok(fault)) => Ok(Err(fault.text)),
                    Err(Err(e)) => Err(e),
                }
            }
            (Stage::Lodge, Response::Lodged) => {
                self.lodged = true;
                let mine = fingerprint(cx.own.member.as_bytes());
                self.say(cx, format!("the request is lodged; the members decide. Own fingerprint: {mine}"));
                Ok(Ok(PROGRESS_MS))
            }
            (_, Response::Refused(Refused::AlreadyMember)) => {
                let from = cx.charter.as_ref().map_or(0, |c| c.charter.version) + 1;
                self.more_charters(cx, from);
                Ok(Ok(0))
            }
            (_, Response::Refused(refused)) => {
                let later = matches!(refused, Refused::NotNow(_));
                self.refused = !later;
                if later {
                    Ok(Err(refused.to_string()))
                } else {
                    self.say(cx, refused.to_string());
                    Ok(Ok(RETRY_MAX_MS))
                }
            }
            (Stage::Progress, Response::Progress(progress)) => Ok(self.progress(cx, progress)),
            _ => Ok(Err("the node answered something else than was asked".into())),
        }
    }

    /// Asks at once instead of after its pause: an operator wants to know.
    pub const fn hurry(&mut self, now_ms: u64) {
        self.next_ms = now_ms;
    }

    /// Whether the issuer has the request.
    pub const fn lodged(&self) -> bool {
        self.lodged
    }

    fn progress(&mut self, cx: &mut Cx<'_>, progress: Progress) -> Result<u64, String> {
        self.last = Some(progress.clone());
        match progress {
            Progress::Waiting { approvals, needed } => {
                let marks: Vec<_> = approvals
                    .iter()
                    .map(|(h, yes)| format!("{h} {}", if *yes { "approved" } else { "open" }))
                    .collect();
                self.say(cx, format!("{needed} approvals are needed: {}", marks.join(", ")));
                Ok(PROGRESS_MS)
            }
            Progress::Rejected { reason } => {
                self.refused = true;
                self.say(cx, format!("the request was rejected: {reason}"));
                Ok(RETRY_MAX_MS)
            }
            Progress::Unknown => {
                // The issuer may have been restored from a backup; lodging again is idempotent.
                self.lodged = false;
                Ok(PROGRESS_MS)
            }
            Progress::Member { version, nodes } => {
                // Its charter may not be here yet; the issuer is trusted to name members, for as many as there can be.
                for node in nodes.iter().take(crate::limits::MEMBERS_MAX * 2) {
                    keep_info(cx, node);
                }
                let from = cx.charter.as_ref().map_or(0, |c| c.charter.version) + 1;
                if from <= version {
                    self.more_charters(cx, from);
                }
                Ok(PROGRESS_MS)
            }
        }
    }

    fn more_charters(&mut self, cx: &mut Cx<'_>, from: u64) {
        if let Some(ticket) = self.joining.as_ref().and_then(|j| j.ticket.parse::<Ticket>().ok()) {
            self.ask(cx, &ticket, Stage::Charters, JoinRequest::Charters { from });
        }
    }
}

fn joining_request(cx: &Cx<'_>, joining: &Joining) -> Result<Vec<u8>, RowsError> {
    match state::get(cx.view, Table::Local, key::ORIGIN)? {
        Some(Origin::Joining(kept)) => Ok(kept.request),
        _ => Ok(joining.request.clone()),
    }
}

fn contains(cx: &Cx<'_>, hash: &Sha256) -> Result<bool, RowsError> {
    let bundles = charters::bundles(cx.view, 1, usize::MAX)?;
    Ok(bundles.iter().any(|b| b.hash() == *hash))
}

/// The node_info that is held of a node.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn info_of(cx: &Cx<'_>, peer: &PeerId) -> Result<Option<NodeInfo>, RowsError> {
    let held = cx.view.get(Table::Documents, &key::node_info(peer))?;
    Ok(held.and_then(|b| Envelope::parse(&b).ok()).and_then(|e| NodeInfo::open(&e).ok()))
}

/// The own node_info, signed now.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn own_info(cx: &Cx<'_>) -> Result<Option<Vec<u8>>, RowsError> {
    let before = info_of(cx, &cx.own.node.peer())?.map_or(0, |held| held.time_s + 1);
    let info = NodeInfo {
        federation: cx.federation,
        peer: cx.own.node.peer(),
        // A clock that was set back must not keep news of this node from being taken.
        time_s: cx.now.wall_s().max(before),
        addresses: cx.own.addresses.clone(),
        software: cx.own.software.clone(),
        protocol: crate::wire::PROTOCOL_VERSION,
    };
    Ok(info.seal(&[&cx.own.node]).ok().map(Envelope::into_bytes))
}

/// Takes a node_info of a member's node in, if that node signed it and it is newer than what is held. Says whether it was taken.
///
/// Nobody may fill the disk with infos of nodes that nobody has heard of.
pub fn take_info(cx: &mut Cx<'_>, bytes: &[u8]) -> bool {
    let peer = Envelope::parse(bytes).ok().and_then(|e| NodeInfo::open(&e).ok()).map(|info| info.peer);
    let member = |peer| cx.charter.as_ref().is_some_and(|c| c.member_of(&peer).is_some());
    peer.is_some_and(|peer| peer != cx.own.node.peer() && member(peer)) && keep_info(cx, bytes)
}

/// As [`take_info`], of any node.
fn keep_info(cx: &mut Cx<'_>, bytes: &[u8]) -> bool {
    let Ok(envelope) = Envelope::parse(bytes) else { return false };
    let Ok(info) = NodeInfo::open(&envelope) else { return false };
    if info.federation != cx.federation || !envelope.signed_by(&info.peer.key()) {
        return false;
    }
    if !info_of(cx, &info.peer).is_ok_and(|held| held.is_none_or(|held| held.time_s < info.time_s)) {
        return false;
    }
    cx.record(Record::Document(bytes.to_vec()));
    true
}

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
    let ticket = ticket.filter(|t| t.secret_hash == Sha256::of(&lodge.secret)).ok_or(Ok(Refused::UnknownTicket))?;
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
    if cx.now.wall_s() > ticket.expires_s {
        return Err(Ok(Refused::Expired));
    }
    if identity.identity.handle != ticket.handle {
        return Err(Ok(Refused::OtherHandle(ticket.handle)));
    }
    if charter.charter.by_handle(&ticket.handle).is_some() {
        return Err(Ok(Refused::HandleTaken(ticket.handle)));
    }
    let checked =
        VerifiedWriter::check(&writer, Some(cx.federation), &identity, None).map_err(|e| invalid(e.to_string()))?;
    if checked.writer.peer != from {
        return Err(invalid("the writer names another node than the one that asks".into()));
    }
    check_request(cx, &charter, &identity, &checked, &request)?;
    own_log.append(cx, lodge.identities.into_iter().chain([lodge.writer, lodge.request]).collect()).map_err(Err)?;
    cx.record(Record::Local(Local::TicketUsed { id: lodge.ticket, member: identity.member }));
    keep_info(cx, &lodge.node_info);
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
    if !contains(cx, &request.charter).map_err(Err)? {
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
    let by = agree::approved(cx, charter)?.remove(&admission(&request)).unwrap_or_default();
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
        fitting.retain(|(_, r)| digits(&agree::member_fingerprint(&r.member)) == digits(wanted));
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
