//! Approvals of charter changes, and what they make eligible.
//!
//! Owns whose approvals are kept, and how many. Nothing is decided by them but what may be proposed.

use std::collections::BTreeMap;

use super::api::{Fault, Problem};
use super::{Cx, succession};
use crate::charter::certificate::Certified;
use crate::charter::chain::Chains;
use crate::documents::{Approval, Change, Document, Standing};
use crate::envelope::Envelope;
use crate::identity::fingerprint;
use crate::ids::MemberId;
use crate::limits::{APPROVALS_MAX, APPROVALS_PER_MEMBER_MAX};
use crate::record::Record;
use crate::view::rows::{Row, RowsError, Table};
use crate::view::state::key;
use crate::wire::Gossip;

/// A change with its approvals, as envelope bytes.
pub type Eligible = (Change, Vec<Vec<u8>>);

/// Changes of the newest charter that enough members approved, with the approvals. Ascending by change.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn eligible_changes(cx: &Cx<'_>) -> Result<Vec<Eligible>, RowsError> {
    let Some(charter) = &cx.charter else { return Ok(Vec::new()) };
    let needed = charter.charter.quorum();
    Ok(approved(cx, charter)?
        .into_iter()
        .filter(|(_, by)| by.len() >= needed)
        .map(|(change, by)| (change, by.into_values().collect()))
        .collect())
}

/// Valid approvals of each change, by member. They were checked when they were recorded.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn approved(cx: &Cx<'_>, charter: &Certified) -> Result<BTreeMap<Change, BTreeMap<MemberId, Vec<u8>>>, RowsError> {
    approved_rows(cx.view, charter)
}

/// As [`approved`], from the view alone.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn approved_rows(
    view: &dyn super::View,
    charter: &Certified,
) -> Result<BTreeMap<Change, BTreeMap<MemberId, Vec<u8>>>, RowsError> {
    let mut changes: BTreeMap<Change, BTreeMap<MemberId, Vec<u8>>> = BTreeMap::new();
    let rows = view.scan(Table::Documents, &key::approvals(charter.charter.version), &[], APPROVALS_MAX)?;
    for (_, bytes) in rows {
        if let Ok(approval) = Envelope::parse(&bytes).map_err(|_| ()).and_then(|e| Approval::open(&e).map_err(|_| ())) {
            changes.entry(approval.change).or_default().insert(approval.member, bytes);
        }
    }
    Ok(changes)
}

/// Takes an approval in. Says whether it was new.
///
/// # Errors
/// `Err(Ok(fault))` names what is wrong with it, `Err(Err(…))` a fault of this node.
pub fn take_approval(cx: &mut Cx<'_>, envelope: &Envelope) -> Result<bool, Result<Fault, RowsError>> {
    let fault = |text: String| Ok(Fault::new("bad_approval", text));
    let approval = Approval::open(envelope).map_err(|e| fault(e.to_string()))?;
    let Some(charter) = cx.charter.clone() else { return Ok(false) };
    if approval.federation != cx.federation {
        return Err(Ok(Fault::new("other_federation", "an approval of another federation")));
    }
    if approval.base_version != charter.charter.version {
        return Ok(false);
    }
    let votes = charter.charter.member(&approval.member).is_some_and(|m| m.standing == Standing::Full);
    if !votes {
        return Err(fault("not by a voting member".into()));
    }
    if succession::approving(cx.view, &charter, &approval.member, envelope).map_err(Err)?.is_none() {
        // By keys that nobody has, or by those of an identity that has not arrived yet: had again by polling when it has.
        *cx.counts.entry("approval_by_unknown_key".to_owned()).or_default() += 1;
        return Ok(false);
    }
    let row = key::approval(approval.base_version, &envelope.id());
    if cx.view.get(Table::Documents, &row).map_err(Err)?.is_some() {
        return Ok(false);
    }
    let held =
        cx.view.scan(Table::Documents, &key::approvals(approval.base_version), &[], APPROVALS_MAX).map_err(Err)?;
    if full(&held, &approval.member) {
        return Err(Ok(Fault::new("too_many_approvals", "more approvals of one member than are kept")));
    }
    cx.record(Record::Document(envelope.bytes().to_vec()));
    Ok(true)
}

/// Whether as many approvals of `member` are held as are kept.
fn full(held: &[Row], member: &MemberId) -> bool {
    let by = |bytes: &[u8]| Envelope::parse(bytes).ok().and_then(|e| Approval::open(&e).ok()).map(|a| a.member);
    held.len() >= APPROVALS_PER_MEMBER_MAX
        && held.iter().filter(|(_, bytes)| by(bytes) == Some(*member)).count() >= APPROVALS_PER_MEMBER_MAX
}

/// Approves a change with the approver keys that lie here.
///
/// # Errors
/// `Err(Ok(problem))` if it cannot be approved, `Err(Err(…))` a fault of this node.
pub fn approve(cx: &mut Cx<'_>, change: Change) -> Result<(usize, usize), Result<Problem, RowsError>> {
    let problem = |code, text: &str| Ok(Problem::new(code, text));
    let charter = cx.charter.clone().ok_or_else(|| problem("not_member", "this node is in no charter yet"))?;
    if charter.charter.member(&cx.own.member).is_none_or(|m| m.standing != Standing::Full) {
        return Err(problem("not_voting", "this member has no vote in the federation"));
    }
    if let Err(e) = charter.charter.next(charter.hash, &change, &[]) {
        return Err(problem("bad_change", &e.to_string()));
    }
    let held =
        cx.view.scan(Table::Documents, &key::approvals(charter.charter.version), &[], APPROVALS_MAX).map_err(Err)?;
    if full(&held, &cx.own.member) {
        return Err(problem(
            "too_many_approvals",
            "this member has approved as many changes of this charter as others keep; wait for the next version",
        ));
    }
    let approval = Approval {
        federation: cx.federation,
        member: cx.own.member,
        base_version: charter.charter.version,
        change: change.clone(),
    };
    let keys: Vec<_> = cx.own.approvers.iter().collect();
    let envelope = approval.seal(&keys).map_err(|e| problem("bad_change", &e.to_string()))?;
    let pinned = charter.identities.get(&cx.own.member).map(|identity| identity.hash);
    let mut chains = Chains::new(Some(&charter));
    chains.extend(succession::own_identities_after(cx, &pinned), &[]);
    if !chains.approved_by(&cx.own.member, &envelope) {
        return Err(problem(
            "no_approver_key",
            "the approver keys on this node do not reach the threshold; sign on the machine that has them",
        ));
    }
    let mut by = approved(cx, &charter).map_err(Err)?.remove(&change).unwrap_or_default();
    by.insert(cx.own.member, Vec::new());
    cx.record(Record::Document(envelope.bytes().to_vec()));
    cx.gossip(Gossip::Document(envelope.into_bytes()));
    Ok((by.len(), charter.charter.quorum()))
}

/// The fingerprint of a member, as it is read out over the phone.
pub fn member_fingerprint(member: &MemberId) -> String {
    fingerprint(member.as_bytes())
}
