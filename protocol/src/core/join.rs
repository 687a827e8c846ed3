//! Joining: what a newcomer does with its ticket.
//!
//! Owns the newcomer's end of the join protocol; [`super::lodge`] has the other one.

use super::api::{Effect, EventKind};
use super::{Cx, info, sync};
use crate::documents::{Document, Request};
use crate::envelope::Envelope;
use crate::identity::fingerprint;
use crate::ids::Sha256;
use crate::record::{Joining, Local, Origin, Record};
use crate::view::charters;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, key};
use crate::wire::join::{Lodge, Progress, Refused, Request as JoinRequest, Response};
use crate::wire::ticket::Ticket;
use crate::words::shown;

/// Between two questions for the progress of a request, in milliseconds.
const PROGRESS_MS: u64 = 2_000;
/// Longest wait after a failure, in milliseconds.
const RETRY_MAX_MS: u64 = 60_000;

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
        let Some(node_info) = info::own_info(cx)? else { return Ok(None) };
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
                // The issuer's own words may be anything.
                let text = shown(refused);
                if later {
                    Ok(Err(text))
                } else {
                    self.say(cx, text);
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

    fn progress(&mut self, cx: &mut Cx<'_>, mut progress: Progress) -> Result<u64, String> {
        if let Progress::Rejected { reason } = &mut progress {
            *reason = shown(&reason);
        }
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
                    info::keep_info(cx, node);
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

/// Whether the chain of charters known here contains this one.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn contains(cx: &Cx<'_>, hash: &Sha256) -> Result<bool, RowsError> {
    let bundles = charters::bundles(cx.view, 1, usize::MAX)?;
    Ok(bundles.iter().any(|b| b.hash() == *hash))
}
