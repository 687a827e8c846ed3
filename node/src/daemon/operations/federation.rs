//! Founding a federation, and showing its charters.

use std::sync::Arc;

use verbund_protocol::charter::certificate::{self, Certified, Founder};
use verbund_protocol::charter::rules::{self, Charter, Member, Rules};
use verbund_protocol::documents::{Change, Document as _, Standing as Vote, Writer};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::fingerprint;
use verbund_protocol::ids::{MemberId, Sha256};
use verbund_protocol::view::charters;
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, key};

use super::super::clock::now;
use super::super::instance::Begin;
use super::super::node::{Named, Node, problem, slugify};
use crate::admin::api::*;
use crate::admin::{Code, Problem};

/// Licence of releases where neither they nor the founder name one.
const LICENSE: &str = "EUPL-1.2";

/// All federations of this node.
pub async fn federation_list(node: &Arc<Node>, _: Scope) -> Result<FederationList, Problem> {
    let mut federations = Vec::new();
    for named in node.all().await? {
        // One that is still being joined has no charter yet.
        if let Some(view) = view(&named).await? {
            federations.push(view);
        }
    }
    Ok(FederationList { federations })
}

/// One federation by its newest charter.
pub async fn federation_show(node: &Arc<Node>, request: Scope) -> Result<FederationView, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    view(&named).await?.ok_or_else(|| no_charter(&named))
}

/// A federation whose charter is not here yet.
pub(super) fn no_charter(named: &Named) -> Problem {
    Problem::new(Code::NotFound, format!("the charter of {} is not here yet", named.name))
        .next("`verbund status` shows how far joining is")
}

/// The newest charter of a federation, or a problem that says there is none yet.
pub(super) async fn charter(named: &Named) -> Result<Arc<Certified>, Problem> {
    named.instance.charter().await.map_err(problem)?.ok_or_else(|| no_charter(named))
}

async fn view(named: &Named) -> Result<Option<FederationView>, Problem> {
    let slug = named.slug.clone();
    let read = named.instance.read(move |view, charters| {
        let Some(charter) = charters.newest(view)? else { return Ok(None) };
        let rules = charter.charter.rules.clone();
        let members = members(view, &charter)?;
        Ok(Some(FederationView {
            slug,
            id: charter.federation,
            fingerprint: fingerprint(charter.federation.as_bytes()),
            name: rules.name,
            version: charter.charter.version,
            charter: charter.hash,
            n: count(charter.charter.voting().len()),
            k: count(charter.charter.quorum()),
            agreement: rules.agreement.map(|a| Agreement {
                title: a.title,
                uri: a.uri.unwrap_or_default(),
                sha256: a.sha256,
            }),
            license: rules.license.unwrap_or_default(),
            terms: rules.terms,
            members,
        }))
    });
    read.await.map_err(problem)
}

/// A count as the interface has it.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The members of a charter, by handle.
pub(super) fn members(rows: &dyn Rows, charter: &Certified) -> Result<Vec<MemberView>, RowsError> {
    let since = admissions(rows)?;
    let mut out = Vec::new();
    for m in &charter.charter.members {
        let (Some(identity), Some(writer)) = (charter.identities.get(&m.member), charter.writer_of(&m.member)) else {
            continue;
        };
        let log = state::log(rows, &writer)?;
        let releases = rows.scan(Table::Releases, &key::claims_of(&writer), &[], usize::MAX)?.len();
        out.push(MemberView {
            handle: m.handle.clone(),
            name: identity.identity.name().to_owned(),
            member: m.member,
            fingerprint: fingerprint(m.member.as_bytes()),
            standing: if m.standing == Vote::Full { Standing::Full } else { Standing::Associate },
            identity_version: identity.identity.version,
            identity_expired: identity.identity.valid_until.as_deref().is_some_and(past),
            writer,
            contact: identity.identity.contact.clone(),
            log_size: log.as_ref().map_or(0, state::LogRow::size),
            log: log.as_ref().map_or(LogState::Open, log_state),
            releases: releases as u64,
            since_version: since.iter().find(|(member, _)| *member == m.member).map_or(1, |(_, version)| *version),
        });
    }
    out.sort_by(|a, b| a.handle.cmp(&b.handle));
    Ok(out)
}

/// Whether the day `YYYY-MM-DD` is over.
fn past(day: &str) -> bool {
    Moment::from_unix_ms(now().wall_ms).to_string().get(..10).is_some_and(|today| today > day)
}

/// How a log stands, for people.
pub(in crate::daemon) fn log_state(row: &state::LogRow) -> LogState {
    match (row.closed.forked, row.end()) {
        (true, _) => LogState::Forked,
        (false, Some(_)) => LogState::Closed,
        (false, None) => LogState::Open,
    }
}

/// In which version each member was last admitted.
pub(in crate::daemon) fn admissions(rows: &dyn Rows) -> Result<Vec<(MemberId, u64)>, RowsError> {
    let mut out = Vec::new();
    for bundle in charters::bundles(rows, 1, usize::MAX)? {
        let charter = Charter::parse(&bundle.payload).map_err(|e| RowsError(e.to_string()))?;
        if let Some(Change::Admit { member, .. }) = charter.change {
            out.retain(|(m, _)| *m != member);
            out.push((member, charter.version));
        }
    }
    Ok(out)
}

/// The charters of a federation.
pub async fn federation_log(node: &Arc<Node>, request: Scope) -> Result<CharterLog, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let (slug, id) = (named.slug.clone(), named.instance.federation);
    let read = named.instance.read(move |view, certified| {
        let newest = certified.newest(view)?;
        let mut versions = Vec::new();
        for bundle in charters::bundles(view, 1, usize::MAX)? {
            let charter = Charter::parse(&bundle.payload).map_err(|e| RowsError(e.to_string()))?;
            let name = |member: &MemberId| {
                charter.member(member).or_else(|| newest.as_ref()?.charter.member(member)).map(|m| m.handle.clone())
            };
            let approved = bundle.approvals.iter().filter_map(|bytes| {
                let envelope = Envelope::parse(bytes).ok()?;
                verbund_protocol::documents::Approval::open(&envelope).ok()
            });
            let approvals = approved.filter_map(|a| name(&a.member)).collect();
            versions.push(CharterEntry {
                version: charter.version,
                hash: bundle.hash(),
                change: describe(charter.change.as_ref(), &name),
                approvals,
                n: count(charter.voting().len()),
                k: count(charter.quorum()),
                learned: Moment::from_unix_ms(charter.founded_s * 1_000),
            });
        }
        Ok(versions)
    });
    Ok(CharterLog { slug, id, versions: read.await.map_err(problem)? })
}

/// A change in words.
pub(super) fn describe(
    change: Option<&Change>,
    name: &dyn Fn(&MemberId) -> Option<verbund_protocol::ids::Handle>,
) -> String {
    let named = |member: &MemberId| name(member).map_or_else(|| member.to_string(), |h| h.to_string());
    match change {
        None => "founds the federation".to_owned(),
        Some(Change::Admit { handle, .. }) => format!("admits {handle}"),
        Some(Change::Expel { member }) => format!("expels {}", named(member)),
        Some(Change::Amend { member: Some(member), .. }) => format!("amends the entry of {}", named(member)),
        Some(Change::Amend { .. }) => "amends the rules".to_owned(),
    }
}

/// Founds a federation.
pub async fn federation_create(node: &Arc<Node>, request: FederationCreateRequest) -> Result<FederationView, Problem> {
    let member = node.shared.member.clone();
    let missing = |what: &str| {
        Problem::new(Code::KeyMissing, format!("the {what} key is not on this node")).next("found where the key lies")
    };
    let root = member.root.as_ref().ok_or_else(|| missing("root"))?;
    let approver = member.approver.as_ref().ok_or_else(|| missing("approver"))?;
    let bad = |e: String| Problem::new(Code::BadRequest, e);
    let slug = request.slug.unwrap_or_else(|| slugify(&request.name));
    if node.all().await?.iter().any(|n| n.slug == slug) {
        return Err(Problem::new(Code::Conflict, format!("a federation {slug:?} is on this node already"))
            .next("choose another --slug"));
    }
    let writer =
        Writer { federation: None, member: member.id, seq: 1, prev: None, peer: member.node.peer(), closes: None };
    let writer = writer.seal(&[root]).map_err(|e| bad(e.to_string()))?;
    let identities: Result<Vec<_>, _> = member.chain.iter().map(|bytes| Envelope::parse(bytes)).collect();
    let identities = identities.map_err(|e| bad(e.to_string()))?;
    let newest = identities.last().map_or_else(|| Sha256::of(b""), Envelope::id);
    let rules = Rules {
        name: request.name,
        slug: slug.parse().map_err(|e: verbund_protocol::ids::IdError| bad(e.to_string()))?,
        agreement: request.agreement.map(|a| rules::Agreement {
            title: a.title,
            uri: Some(a.uri).filter(|uri| !uri.is_empty()),
            sha256: a.sha256,
        }),
        license: Some(request.license.unwrap_or_else(|| LICENSE.to_owned())),
        terms: request.terms,
    };
    let founder = Member {
        member: member.id,
        handle: member.identity.handle.clone(),
        standing: Vote::Full,
        identity: newest,
        writer: writer.id(),
    };
    let charter = Charter::genesis(rules, founder, now().wall_s(), None);
    let founder = Founder { identities: &identities, writer: &writer, approver: &[approver], node: &member.node };
    let (bundle, certified) = certificate::found(&charter, &founder).map_err(|e| bad(e.to_string()))?;
    if let Err(error) = node.start(certified.federation, Begin::Found(Box::new(bundle)), &slug).await {
        // Nobody knows of it yet: nothing may be left that the next start would open.
        super::joining::forget(node, certified.federation).await?;
        return Err(problem(error));
    }
    let named = node.named(Some(&certified.federation.to_hex())).await?;
    view(&named).await?.ok_or_else(|| no_charter(&named))
}
