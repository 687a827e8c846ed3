//! `status`, `recover`, `config show`: what the node says of itself.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use verbund_protocol::core::Command;
use verbund_protocol::documents::{Change, Standing as Vote};
use verbund_protocol::ids::{PeerId, Sha256};
use verbund_protocol::record::Origin;
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, LogRow, key};
use verbund_protocol::wire::ticket::Ticket;

use super::super::clock::now;
use super::super::node::{Named, Node, problem};
use super::concerns::{self, Facts};
use super::federation::{count, log_state};
use super::members::command;
use super::missing;
use super::survey::{QUARANTINE_MAX, Survey, survey};
use crate::admin::api::*;
use crate::admin::{Code, Problem};
use crate::blobs::IN_FLIGHT_MAX_BYTES;
use crate::keys::{KeyFiles, KeyRole};

/// A log whose own node has not confirmed it for so long is stale, in seconds (DESIGN: three times the period of freshness).
const STALE_S: u64 = 900;

/// The federations that a request is about: the one it names, else all.
pub(super) async fn wanted(node: &Node, federation: Option<&str>) -> Result<Vec<Named>, Problem> {
    match federation {
        Some(one) => Ok(vec![node.named(Some(one)).await?]),
        None => node.all().await,
    }
}

/// Everything about the node on one screen.
pub async fn status(node: &Arc<Node>, request: Scope) -> Result<Status, Problem> {
    let named = wanted(node, request.federation.as_deref()).await?;
    let surveys = futures::future::join_all(named.iter().map(|n| survey(node, n, PENDING_MAX))).await;
    let surveys = surveys.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut federations = Vec::new();
    for (named, survey) in named.iter().zip(&surveys) {
        federations.push(federation(node, named, survey).await?);
    }
    let (disk, journal) = space(node, &named).await?;
    let transfer = transfer(node).await?;
    let mut status = Status {
        node: about(node),
        addresses: Addresses {
            https: node.https.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            admin: node.admin.display().to_string(),
        },
        federations,
        transfer,
        refusals: refusals(&surveys),
        disk,
        journal,
        problems: Vec::new(),
    };
    let mut facts = facts(node, &named, &surveys);
    let kept = node.shared.blobs.quarantined(QUARANTINE_MAX).await.map_or(0, |all| all.len());
    facts.quarantine = (kept, node.data_dir.join("artifacts").join("quarantine").display().to_string());
    let raised = concerns::all(&status, &facts);
    status.problems = node.register.settle(raised, request.federation.is_none(), status.node.now);
    for federation in &mut status.federations {
        concerns::date(federation, &status.problems);
    }
    Ok(status)
}

fn about(node: &Node) -> NodeStatus {
    let member = &node.shared.member;
    NodeStatus {
        handle: member.identity.handle.clone(),
        name: member.identity.name().to_owned(),
        member: member.id,
        fingerprint: member.fingerprint(),
        peer: member.node.peer(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: node.started,
        now: Moment::from_unix_ms(now().wall_ms),
        pid: std::process::id(),
    }
}

fn facts(node: &Node, named: &[Named], surveys: &[Survey]) -> Facts {
    let member = &node.shared.member;
    let root = member.root.as_ref().map(|_| KeyFiles::of(&node.data_dir).path(KeyRole::Root).display().to_string());
    let damage = |n: &Named| {
        let store = n.instance.store.status();
        concerns::Journal {
            federation: n.slug.clone(),
            damaged: store.damaged,
            missing: n.instance.mending.missing(),
            cut: n.instance.report.cut_tail.clone().filter(|cut| !cut.zeros),
            failed: store.failed,
            full: store.full,
        }
    };
    let local = concerns::Journal {
        federation: String::new(),
        damaged: node.local.report().damaged.clone(),
        missing: None,
        cut: node.local.report().cut_tail.clone().filter(|cut| !cut.zeros),
        failed: node.local.status().failed,
        full: node.local.status().full,
    };
    let join = surveys.iter().filter(|s| s.standing() == Standing::Requested);
    Facts {
        started: node.started,
        now: Moment::from_unix_ms(now().wall_ms),
        root_key: root,
        quarantine: Default::default(),
        valid_until: member.identity.valid_until.clone(),
        certificate: node.certificate.get().and_then(|live| {
            let validity = live.validity();
            validity.warning(now().wall_s()).map(|text| (text, validity.not_after_s < now().wall_s()))
        }),
        journals: named.iter().map(damage).chain([local]).collect(),
        joins: join.map(|s| (s.slug.clone(), s.join.text.clone(), s.join.refused)).collect(),
    }
}

async fn transfer(node: &Node) -> Result<Transfer, Problem> {
    let totals = node.shared.blobs.totals();
    let sent = node.all().await?.iter().map(|n| n.instance.traffic.total().sent).sum();
    Ok(Transfer {
        bytes_received: totals.verified,
        bytes_received_again: totals.again,
        bytes_sent: sent,
        window_bytes: IN_FLIGHT_MAX_BYTES,
    })
}

/// Space on disk; asking takes a look at the file system.
async fn space(node: &Node, named: &[Named]) -> Result<(Disk, Journal), Problem> {
    let blobs = node.shared.blobs.clone();
    let instances: Vec<_> = named.iter().map(|n| n.instance.clone()).collect();
    let measure = tokio::task::spawn_blocking(move || {
        let (mut disk, mut journal) = (Disk::default(), Journal::default());
        if let Ok((free, floor)) = blobs.disk() {
            disk = Disk { free_bytes: free, floor_bytes: floor, intake_stopped: free < floor };
        }
        for instance in instances {
            let store = instance.store.status();
            disk.intake_stopped |= !store.floor.accepts_intake;
            journal.bytes += store.bytes;
            journal.segments += store.segments;
            journal.cut_bytes += instance.report.cut_tail.as_ref().map_or(0, |cut| cut.bytes);
            // The store keeps the first thousand places only.
            journal.damaged += instance.report.damages.max(store.damaged.len() as u64);
        }
        (disk, journal)
    });
    measure.await.map_err(|e| Problem::new(Code::Internal, e.to_string()))
}

/// Counters of the network that speak of something refused or dropped.
const REFUSING: [&str; 17] = [
    "refused_blocked",
    "refused_join_off",
    "refused_full",
    "strangers_evicted",
    "handshakes_failed",
    "silent_closed",
    "oversize",
    "budget_full",
    "rate_limited",
    "busy",
    "unanswered",
    "protocol_refused",
    "blob_streams_dropped",
    "gossip_slowed",
    "gossip_dropped",
    "gossip_rejected",
    "wrong_keys",
];

fn refusals(surveys: &[Survey]) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::<String, u64>::new();
    for survey in surveys {
        for (reason, n) in &survey.counts {
            *out.entry(reason.clone()).or_default() += n;
        }
        let Ok(serde_json::Value::Object(counts)) = serde_json::to_value(&survey.net.counts) else { continue };
        for reason in REFUSING {
            *out.entry(reason.to_owned()).or_default() += counts.get(reason).and_then(|n| n.as_u64()).unwrap_or(0);
        }
    }
    out.retain(|_, n| *n > 0);
    out
}

/// One federation as this node sees it.
async fn federation(node: &Node, named: &Named, survey: &Survey) -> Result<FederationStatus, Problem> {
    let charter = match &survey.charter {
        Some(charter) => charter.hash,
        None => ticket_charter(named).await?,
    };
    let rules = survey.charter.as_ref().map(|c| &c.charter);
    let paths = missing::paths(survey, &node.shared.blobs).await;
    let max = node.shared.blobs.max_artifact_bytes();
    let here = missing::Here { paths: &paths, traffic: &named.instance.traffic, max_bytes: max };
    let listen: Vec<String> = named.instance.addresses.borrow().iter().map(ToString::to_string).collect();
    let announce = Some(&named.instance.announce).filter(|a| !a.is_empty()).cloned().unwrap_or_else(|| listen.clone());
    let listed = &survey.stock.listed;
    let mut pending: Vec<_> = listed.iter().flat_map(|row| missing::pending(survey, row, &here)).collect();
    // Those that were not looked at count as one each: their files may not be known yet.
    let pending_total = pending.len() as u64 + survey.stock.missing.saturating_sub(listed.len() as u64);
    pending.truncate(PENDING_MAX);
    let over = |job: &&verbund_protocol::core::report::MissingReport| job.refused && job.code == "over_limit";
    let larger = |job: &verbund_protocol::core::report::MissingReport| {
        job.left.iter().filter(|(_, size, _)| *size > max).count().max(1)
    };
    Ok(FederationStatus {
        slug: named.slug.clone(),
        id: named.instance.federation,
        name: named.name.clone(),
        charter_version: rules.map_or(0, |c| c.version),
        charter,
        n: rules.map_or(0, |c| count(c.voting().len())),
        k: rules.map_or(0, |c| count(c.quorum())),
        standing: survey.standing(),
        listen,
        announce,
        may_sign: survey.may_sign.is_ok(),
        recovering: recovering(survey),
        approvals_awaited: awaited(survey),
        log: own_log(survey),
        members: member_rows(survey),
        held: survey.stock.known - survey.stock.missing,
        known: survey.stock.known,
        quarantined: survey.stock.quarantined.len() as u64,
        over_limit: survey.jobs.values().filter(over).map(larger).sum::<usize>() as u64,
        pending,
        pending_total,
    })
}

/// The charter that the ticket names, while there is no other.
async fn ticket_charter(named: &Named) -> Result<Sha256, Problem> {
    let origin = named.instance.read(|view, _| state::get::<Origin>(view, Table::Local, key::ORIGIN));
    Ok(match origin.await.map_err(problem)? {
        Some(Origin::Joining(joining)) => joining.ticket.parse::<Ticket>().map_or(joining.charter, |t| t.charter),
        _ => Sha256([0; 32]),
    })
}

fn recovering(survey: &Survey) -> Option<Recovering> {
    let why = survey.may_sign.as_ref().err()?.clone();
    let charter = survey.charter.as_ref()?;
    charter.charter.member(&survey.me.member)?;
    let Some((since_ms, answered)) = &survey.start else {
        let (answered, waiting_for) = (Vec::new(), Vec::new());
        return Some(Recovering { why, since: survey.me.started, answered, waiting_for });
    };
    let others = charter.charter.members.iter().filter(|m| m.member != survey.me.member);
    let (told, waiting): (Vec<_>, Vec<_>) = others.partition(|m| answered.contains(&m.member));
    let handles = |members: Vec<&verbund_protocol::charter::rules::Member>| {
        let mut handles: Vec<_> = members.into_iter().map(|m| m.handle.clone()).collect();
        handles.sort();
        handles
    };
    Some(Recovering {
        why: why.trim_start_matches("recovering: ").to_owned(),
        since: survey.moment(*since_ms),
        answered: handles(told),
        waiting_for: handles(waiting),
    })
}

/// Decisions that wait for this member.
fn awaited(survey: &Survey) -> Vec<AwaitedApproval> {
    let Some(charter) = &survey.charter else { return Vec::new() };
    if survey.standing() != Standing::Full {
        return Vec::new();
    }
    let mut out = Vec::new();
    for request in &survey.requests {
        if request.approvals.iter().any(|(handle, yes)| *yes && *handle == survey.me.handle) {
            continue;
        }
        out.push(AwaitedApproval {
            change: "admit".to_owned(),
            handle: request.handle.clone(),
            fingerprint: request.fingerprint.clone(),
            approvals: count(request.approvals.iter().filter(|(_, yes)| *yes).count()),
            needed: count(request.needed),
            since: Moment::from_unix_ms(request.time_s.saturating_mul(1_000)),
        });
    }
    for change in survey.changes.iter().filter(|c| !c.by.contains(&survey.me.handle)) {
        let (word, about) = match &change.change {
            Change::Expel { member } => ("expel", Some(member)),
            Change::Amend { member, .. } => ("amend", member.as_ref()),
            Change::Admit { .. } => continue,
        };
        let entry = about.and_then(|m| charter.charter.member(m));
        let member = entry.map_or(survey.me.member, |m| m.member);
        out.push(AwaitedApproval {
            change: word.to_owned(),
            handle: entry.map_or_else(|| survey.me.handle.clone(), |m| m.handle.clone()),
            fingerprint: verbund_protocol::identity::fingerprint(member.as_bytes()),
            approvals: count(change.by.len()),
            needed: count(change.needed),
            since: survey.now(),
        });
    }
    out
}

fn own_log(survey: &Survey) -> OwnLog {
    let Some(row) = survey.logs.get(&survey.me.peer) else { return OwnLog::default() };
    let others = survey
        .charter
        .as_ref()
        .map_or(0, |c| c.charter.members.iter().filter(|m| m.member != survey.me.member).count());
    OwnLog {
        size: row.size(),
        witnessed_size: row.witnessed.map_or(0, |(size, _)| size),
        witnesses: count(survey.witnesses),
        witnesses_of: count(others),
        void: survey.void_entries(&survey.me.peer),
    }
}

/// The members, by handle.
pub(super) fn member_rows(survey: &Survey) -> Vec<MemberRow> {
    let Some(charter) = &survey.charter else { return Vec::new() };
    let mut out = Vec::new();
    for member in &charter.charter.members {
        let Some(peer) = charter.writer_of(&member.member) else { continue };
        let own = member.member == survey.me.member;
        let log = survey.logs.get(&peer);
        let known = survey.peers.get(&peer);
        out.push(MemberRow {
            handle: member.handle.clone(),
            name: charter.identities.get(&member.member).map(|i| i.identity.name().to_owned()).unwrap_or_default(),
            peer,
            standing: if member.standing == Vote::Full { Standing::Full } else { Standing::Associate },
            own,
            connection: survey.connection(&peer),
            behind: missing::behind(survey, &peer, PENDING_MAX),
            behind_by: survey.stock.lacks.get(&peer).map_or(0, |lacks| lacks.count),
            // The core has it the other way round.
            clock_offset_ms: known.filter(|p| p.status.is_some()).map(|p| p.clock_offset_ms.saturating_neg()),
            log_size: log.map_or(0, LogRow::size),
            log: log.map_or(LogState::Open, log_state),
            stale: !own && log.is_some_and(|l| l.end().is_none()) && stale(survey, &peer),
            void: survey.voids.get(&peer).map_or(0, |all| all.len() as u64),
        });
        if let (true, Some(row)) = (own, out.last_mut()) {
            row.behind_by = survey.stock.missing;
            row.behind = survey.stock.listed.iter().map(|release| own_behind(survey, release)).collect();
        }
    }
    out.sort_by(|a, b| a.handle.cmp(&b.handle));
    out
}

fn own_behind(survey: &Survey, release: &state::ReleaseRow) -> Behind {
    let job = survey.jobs.get(&super::survey::place(release));
    let why = match job {
        None => "waits for its turn".to_owned(),
        Some(job) if job.why.is_empty() => "being fetched".to_owned(),
        Some(job) => job.why.clone(),
    };
    Behind { release: survey.name(release), why }
}

/// Whether a log's own node has been silent for too long. One that was never heard counts from the start of this node.
fn stale(survey: &Survey, log: &PeerId) -> bool {
    let heard = survey.fresh.get(log).copied().unwrap_or(survey.me.started.unix_ms() / 1_000);
    survey.at.wall_s().saturating_sub(heard) > STALE_S
}

/// Ends recovery by decision of an operator.
pub async fn recover(node: &Arc<Node>, request: RecoverRequest) -> Result<Done, Problem> {
    if !request.sign_anyway {
        return Err(Problem::new(Code::BadRequest, "sign_anyway must be true: nothing else ends recovery")
            .next("wait until the members have answered, or say --sign-anyway if no second copy of this node runs"));
    }
    let named = node.named(request.federation.as_deref()).await?;
    let may = named.instance.query(|core, view, now| core.may_sign(now, view));
    if may.await.map_err(problem)?.map_err(|e| problem(e.into()))?.is_ok() {
        return Ok(Done { text: "the node signs already; there is nothing to recover".to_owned() });
    }
    command(&named, Command::SignAnyway).await?;
    let may = named.instance.query(|core, view, now| core.may_sign(now, view));
    match may.await.map_err(problem)?.map_err(|e| problem(e.into()))? {
        Ok(()) => Ok(Done { text: format!("the node signs again in {}, by decision of an operator", named.slug) }),
        Err(why) => Err(Problem::new(Code::Conflict, format!("the node still may not sign: {why}"))
            .next("only a member's writing node signs; see `verbund status`")),
    }
}

/// Effective configuration.
pub async fn config_show(node: &Arc<Node>, _: Scope) -> Result<ConfigShow, Problem> {
    Ok(ConfigShow { values: node.values.clone() })
}
