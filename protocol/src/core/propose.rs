//! Proposed charters: how one is made of a change and its approvals, and what a node must hold to vote for it.
//!
//! Owns no state. What a proposal says by itself is checked by [`Certified::proposal`].

use super::Cx;
use super::succession::{self, identity_chain, writer_chain};
use crate::charter::certificate::{Certified, CharterBundle};
use crate::charter::chain::Chains;
use crate::charter::rules::Charter;
use crate::documents::{Approval, Change, Document, LogEnd, Ordering};
use crate::envelope::Envelope;
use crate::record::OrderingBundle;
use crate::view::rows::{RowsError, Table};
use crate::view::state::{self, CosignedRow, key};

/// The next charter by `change`, with all but the precommits; `None` while a document that it rests on is not known here.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn proposal(
    cx: &Cx<'_>,
    charter: &Certified,
    change: &Change,
    approvals: Vec<Vec<u8>>,
) -> Result<Option<CharterBundle>, RowsError> {
    let mut bundle = CharterBundle::default();
    let mut stops = Vec::new();
    match change {
        Change::Admit { identity, writer, .. } => {
            let Some(identities) = identity_chain(cx, identity, None)? else { return Ok(None) };
            let Some(writers) = writer_chain(cx, writer, None)? else { return Ok(None) };
            (bundle.identities, bundle.writers) = (identities, writers);
        }
        Change::Expel { member } => {
            let Some(log) = charter.writer_of(member) else { return Ok(None) };
            let row = state::log(cx.view, &log)?;
            let (size, root) = row.map_or((0, crate::log::tree::empty_root()), |r| (r.size(), r.frontier.root()));
            stops.push(LogEnd { log, size, root });
        }
        Change::Amend { member: Some(member), identity, writer, .. } => {
            let pinned = (charter.identities.get(member).map(|i| i.hash), charter.writers.get(member).map(|w| w.hash));
            if let Some(identity) = identity {
                let Some(chain) = identity_chain(cx, identity, pinned.0)? else { return Ok(None) };
                bundle.identities = chain;
            }
            if let Some(writer) = writer {
                let Some(chain) = writer_chain(cx, writer, pinned.1)? else { return Ok(None) };
                bundle.writers = chain;
            }
        }
        Change::Amend { member: None, .. } => {}
    }
    let mut chains = Chains::new(Some(charter));
    chains.extend(&bundle.identities, &bundle.writers);
    for bytes in approvals {
        let Ok(envelope) = Envelope::parse(&bytes) else { continue };
        let Ok(approval) = Approval::open(&envelope) else { continue };
        let Some(path) = succession::approving(cx.view, charter, &approval.member, &envelope)? else { continue };
        bundle.identities.extend(chains.extend(&path, &[]).0);
        bundle.approvals.push(bytes);
    }
    let next = charter.charter.next(charter.hash, change, &stops).and_then(|next| next.payload());
    Ok(next.ok().map(|payload| CharterBundle { payload, ..bundle }))
}

/// The chain by which a message's node speaks for its member: none if the charter pins it. `None` if it does not.
pub fn speakers(charter: &Certified, vote: &Ordering, bundle: &OrderingBundle) -> Option<succession::Chain> {
    if charter.writer_of(&vote.member) == Some(vote.writer) {
        return Some(succession::Chain::default());
    }
    let mut chains = Chains::new(Some(charter));
    let (mut identities, mut writers) = chains.extend(&bundle.identities, &bundle.writers);
    // A proposal's own chains are of the newcomer; what is kept for the speaker is its own.
    let of_member = |bytes: &[u8]| {
        let envelope = Envelope::parse(bytes).ok()?;
        let identity = crate::identity::Identity::parse(&envelope).ok().map(|i| i.member_id(envelope.id()));
        identity.or_else(|| crate::documents::Writer::open(&envelope).ok().map(|w| w.member))
    };
    identities.retain(|bytes| of_member(bytes) == Some(vote.member));
    writers.retain(|bytes| of_member(bytes) == Some(vote.member));
    chains.writes_for(&vote.member, vote.writer).then_some((identities, writers))
}

/// Whether all below the stops of a proposed expulsion is held here, and they cut off nothing that was cosigned here.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn holds_stops(cx: &Cx<'_>, bundle: &CharterBundle) -> Result<bool, RowsError> {
    let Ok(next) = Charter::parse(&bundle.payload) else { return Ok(false) };
    for stop in &next.stops {
        let row = state::log(cx.view, &stop.log)?;
        let held = match &row {
            Some(row) if stop.size > 0 => crate::view::judge::root_matches(row, cx.view, stop.size, stop.root)?,
            _ => stop.size == 0 && stop.root == crate::log::tree::empty_root(),
        };
        let cosigned: Option<CosignedRow> =
            state::get(cx.view, Table::Promises, &key::cosigned(&stop.log, &cx.own.node.peer()))?;
        if !held || cosigned.is_some_and(|c| c.size > stop.size && !crate::seeded::bug("end_below_cosigned")) {
            return Ok(false);
        }
    }
    Ok(true)
}
