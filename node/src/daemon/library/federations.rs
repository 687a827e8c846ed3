//! Federations and their members, as readers may know them.

use verbund_protocol::charter::certificate::Certified;
use verbund_protocol::documents::Standing as Vote;
use verbund_protocol::identity::fingerprint;
use verbund_protocol::ids::{PeerId, Slug};
use verbund_protocol::record::PeerNote;
use verbund_protocol::view::rows::{RowsError, Table};
use verbund_protocol::view::state::{self, LogRow, key};

use super::words::moment;
use super::{NodeLibrary, instance_error};
use crate::admin::api::LogState;
use crate::daemon::clock::now;
use crate::daemon::operations::federation::{admissions, log_state};
use crate::daemon::view::StoreView;
use crate::http::library::*;

/// A log whose own node has said nothing for so long is stale, in seconds: three statements that did not come.
const STALE_S: u64 = 15 * 60;

impl NodeLibrary {
    pub(super) async fn federation_view(&self, slug: &Slug) -> Result<FederationDetail, LibraryError> {
        let named = self.federation(slug).await?;
        let slug = slug.clone();
        let read = named.instance.settled(move |view, charters| Ok(charters.newest(view)?.map(|c| detail(slug, &c))));
        read.await.map_err(instance_error)?.ok_or(LibraryError::NotFound)
    }

    pub(super) async fn member_views(&self, slug: &Slug) -> Result<Vec<MemberView>, LibraryError> {
        let named = self.federation(slug).await?;
        let read = named.instance.settled(|view, charters| {
            let Some(charter) = charters.newest(view)? else { return Ok(None) };
            members(view, &charter).map(Some)
        });
        let mut all = read.await.map_err(instance_error)?.ok_or(LibraryError::NotFound)?;
        let logs: Vec<PeerId> = all.iter().map(|(member, ..)| member.writer).collect();
        let asked = named.instance.query(move |core, _, _| {
            let lost: Vec<_> = core.peers().into_iter().map(|peer| (peer.peer, peer.lost_wall_ms)).collect();
            (logs.iter().map(|log| core.fresh_s(log)).collect::<Vec<_>>(), lost)
        });
        let (fresh, lost) = asked.await.map_err(instance_error)?;
        let net = named.instance.net.status().await.unwrap_or_default();
        let (me, now_s) = (self.shared.member.node.peer(), now().wall_s());
        for ((member, note), fresh_s) in all.iter_mut().zip(fresh) {
            let own = member.writer == me;
            member.log.fresh = fresh_s.map(moment);
            // What this node writes it knows at first hand.
            member.log.stale = !own && fresh_s.is_none_or(|at| at.saturating_add(STALE_S) < now_s);
            let since = net.peers.get(&member.writer).and_then(|peer| peer.connections.first()).map(|c| c.since_ms);
            let seen = lost.iter().find(|(peer, _)| *peer == member.writer).and_then(|(_, at)| *at);
            let (state, since_ms) = match (note, since) {
                _ if own => ("own", None),
                (Some(note), _) if note.blocked => ("blocked", None),
                (Some(note), _) if note.paused => ("paused", None),
                (_, Some(since)) => ("connected", Some(since)),
                (_, None) => ("disconnected", seen),
            };
            member.connection = Some(ConnectionView { state, since: since_ms.map(|ms| moment(ms / 1_000)) });
        }
        Ok(all.into_iter().map(|(member, _)| member).collect())
    }
}

fn detail(slug: Slug, certified: &Certified) -> FederationDetail {
    let (charter, rules) = (&certified.charter, &certified.charter.rules);
    FederationDetail {
        slug,
        id: certified.federation,
        fingerprint: fingerprint(certified.federation.as_bytes()),
        name: rules.name.clone(),
        founded: moment(charter.founded_s),
        charter: CharterView { version: charter.version, hash: certified.hash },
        voting: charter.voting().len(),
        quorum: charter.quorum(),
        witnesses_needed: charter.witnesses_needed(),
        agreement: rules.agreement.clone().map(|a| AgreementView { title: a.title, uri: a.uri, sha256: a.sha256 }),
        license: rules.license.clone(),
        terms: rules.terms.clone(),
        predecessor: charter.predecessor,
    }
}

/// Members with what the operator noted about their nodes.
fn members(view: &StoreView, charter: &Certified) -> Result<Vec<(MemberView, Option<PeerNote>)>, RowsError> {
    let since = admissions(view)?;
    let mut out = Vec::new();
    for m in &charter.charter.members {
        let (Some(identity), Some(writer)) = (charter.identities.get(&m.member), charter.writer_of(&m.member)) else {
            continue;
        };
        let log = state::log(view, &writer)?;
        let state = match log.as_ref().map_or(LogState::Open, log_state) {
            LogState::Open => "open",
            LogState::Closed => "closed",
            LogState::Forked => "forked",
        };
        let member = MemberView {
            handle: m.handle.clone(),
            name: identity.identity.name().to_owned(),
            member: m.member,
            fingerprint: fingerprint(m.member.as_bytes()),
            standing: if m.standing == Vote::Full { "full" } else { "associate" },
            since_version: since.iter().find(|(member, _)| *member == m.member).map_or(1, |(_, version)| *version),
            contact: identity.identity.contact.clone(),
            writer,
            log: LogView {
                size: log.as_ref().map_or(0, LogRow::size),
                state,
                witnessed: log.as_ref().and_then(|log| log.witnessed).map(|(size, _)| size),
                fresh: None,
                stale: true,
            },
            connection: None,
        };
        out.push((member, state::get(view, Table::Peers, &key::peer(&writer))?));
    }
    out.sort_by(|(a, _), (b, _)| a.handle.cmp(&b.handle));
    Ok(out)
}
