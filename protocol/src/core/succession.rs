//! Keys that follow the pinned ones: which chain of identities or writers shows that somebody may speak for a member.
//!
//! Owns the search among what is known here. Nothing is valid by it: whoever is shown the chain checks it by itself, from the
//! charter on. What follows no chain that is known here yet is left alone, never refused.

use std::collections::VecDeque;

use super::Cx;
use crate::charter::certificate::Certified;
use crate::charter::chain::Chains;
use crate::documents::{Document, Writer};
use crate::envelope::Envelope;
use crate::identity::{Identity, VerifiedIdentity};
use crate::ids::{MemberId, Sha256};
use crate::limits::{FOLLOWERS_MAX, IDENTITY_CHAIN_MAX};
use crate::view::rows::{Rows, RowsError, Table};
use crate::view::state::key;

/// Envelopes of identities and of writers, each after its predecessor.
pub type Chain = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// The identities of `member` after the pinned one, up to the first whose approver threshold signed `envelope`; none of them if
/// the pinned one did. `None` if no identity that is known here did.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn approving(
    rows: &dyn Rows,
    charter: &Certified,
    member: &MemberId,
    envelope: &Envelope,
) -> Result<Option<Vec<Vec<u8>>>, RowsError> {
    let Some(pinned) = charter.identities.get(member) else { return Ok(None) };
    if pinned.identity.roles.approver.signed(envelope) {
        return Ok(Some(Vec::new()));
    }
    let mut queue = VecDeque::from([(pinned.hash, Vec::new())]);
    let mut seen = 0;
    while let Some((hash, path)) = queue.pop_front() {
        for (row_key, _) in rows.scan(Table::Documents, &key::followers(&hash), &[], FOLLOWERS_MAX)? {
            seen += 1;
            let Some(next) = row_key.last_chunk::<32>().map(|bytes| Sha256(*bytes)) else { continue };
            let Some(bytes) = rows.get(Table::Documents, &key::identity(&next))? else { continue };
            let parsed = Envelope::parse(&bytes).ok().and_then(|e| VerifiedIdentity::stored(&e).ok());
            let Some(identity) = parsed.filter(|i| i.member == *member) else { continue };
            let path: Vec<Vec<u8>> = path.iter().cloned().chain([bytes]).collect();
            if identity.identity.roles.approver.signed(envelope) {
                return Ok(Some(path));
            }
            if seen < FOLLOWERS_MAX && path.len() < IDENTITY_CHAIN_MAX {
                queue.push_back((next, path));
            }
        }
    }
    Ok(None)
}

/// By what this node shows others that it speaks for its member: nothing if it is the pinned writer's node. `None` if it does not.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn speaks(cx: &Cx<'_>, charter: &Certified) -> Result<Option<Chain>, RowsError> {
    if cx.is_writer() {
        return Ok(Some(Chain::default()));
    }
    let Some(pinned) = charter.writers.get(&cx.own.member) else { return Ok(None) };
    let Ok(envelope) = Envelope::parse(&cx.own.writer) else { return Ok(None) };
    let before = Writer::open(&envelope).ok().and_then(|writer| writer.prev);
    let Some(before) = before else { return Ok(None) };
    let Some(mut writers) = writer_chain(cx, &before, Some(pinned.hash))? else { return Ok(None) };
    writers.push(cx.own.writer.clone());
    let own = (cx.own.member, cx.own.node.peer());
    // With the pinned identity if that suffices, else with those that follow it.
    for identities in [&[], own_identities_after(cx, &pinned_identity(charter, &own.0))] {
        let mut chains = Chains::new(Some(charter));
        let shown = chains.extend(identities, &writers);
        if chains.writes_for(&own.0, own.1) {
            return Ok(Some(shown));
        }
    }
    Ok(None)
}

fn pinned_identity(charter: &Certified, member: &MemberId) -> Option<Sha256> {
    charter.identities.get(member).map(|identity| identity.hash)
}

/// The own identities that follow the one with this hash, as they lie on this node.
pub fn own_identities_after<'a>(cx: &Cx<'a>, hash: &Option<Sha256>) -> &'a [Vec<u8>] {
    let at = cx.own.identities.iter().position(|bytes| Envelope::parse(bytes).ok().map(|e| e.id()) == *hash);
    at.and_then(|at| cx.own.identities.get(at + 1..)).unwrap_or_default()
}

/// The identity with this hash and all before it down to the one after `pinned`, oldest first; `None` if one is not known.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn identity_chain(cx: &Cx<'_>, hash: &Sha256, pinned: Option<Sha256>) -> Result<Option<Vec<Vec<u8>>>, RowsError> {
    let prev = |envelope: &Envelope| Identity::parse(envelope).ok().map(|identity| identity.prev);
    chain(cx, *hash, pinned, key::identity, prev)
}

/// As [`identity_chain`], of writers.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn writer_chain(cx: &Cx<'_>, hash: &Sha256, pinned: Option<Sha256>) -> Result<Option<Vec<Vec<u8>>>, RowsError> {
    let prev = |envelope: &Envelope| Writer::open(envelope).ok().map(|writer| writer.prev);
    chain(cx, *hash, pinned, key::writer, prev)
}

fn chain(
    cx: &Cx<'_>,
    hash: Sha256,
    pinned: Option<Sha256>,
    row: fn(&Sha256) -> Vec<u8>,
    prev: impl Fn(&Envelope) -> Option<Option<Sha256>>,
) -> Result<Option<Vec<Vec<u8>>>, RowsError> {
    let mut chain = Vec::new();
    let mut next = Some(hash).filter(|hash| Some(*hash) != pinned);
    while let Some(hash) = next {
        let Some(bytes) = cx.view.get(Table::Documents, &row(&hash))? else { return Ok(None) };
        let Some(before) = Envelope::parse(&bytes).ok().and_then(|envelope| prev(&envelope)) else { return Ok(None) };
        next = before.filter(|hash| Some(*hash) != pinned);
        chain.push(bytes);
        if chain.len() > IDENTITY_CHAIN_MAX {
            return Ok(None);
        }
    }
    chain.reverse();
    Ok(Some(chain))
}
