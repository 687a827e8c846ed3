//! Who vouches for a release, what was said about it, and who uses a process.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::Identity;
use verbund_protocol::ids::MemberId;
use verbund_protocol::view::catalogue::{Catalogue, Listed, Owner, Said};
use verbund_protocol::view::rows::RowsError;

use crate::admin::api::Moment;
use crate::daemon::shelf::{self, Detail, Supply};
use crate::http::library::{DeprecatedView, Evidence, SignatureView, Statements, WithdrawnView};

pub(super) fn moment(seconds: u64) -> String {
    Moment::from_unix_ms(seconds.saturating_mul(1_000)).to_string()
}

/// Who signed, where it stands in which log, who witnessed it, who holds it.
pub(super) fn evidence(detail: &Detail, supply: &Supply, identity: Option<&Identity>) -> Value {
    let Detail { listed, witnesses, witnessed_by, .. } = detail;
    let evidence = Evidence {
        owner: listed.row.member,
        digest: listed.row.id,
        envelope: STANDARD.encode(&detail.envelope),
        signatures: signatures(detail, identity),
        published: moment(listed.row.published_s),
        log: listed.row.log,
        index: listed.row.index,
        witnesses: witnessed_by.clone(),
        witnessed: witnesses.reached,
        needed: witnesses.needed,
        of: witnesses.of,
        charter: witnesses.charter,
        held_by: supply.held_by.clone(),
    };
    json!(evidence)
}

/// Valid signatures by the publisher keys of the identity that stands now. A key that was exchanged since is not named here; the
/// offline proof has the identity that held then.
fn signatures(detail: &Detail, identity: Option<&Identity>) -> Vec<SignatureView> {
    let (Some(identity), Ok(envelope)) = (identity, Envelope::parse(&detail.envelope)) else { return Vec::new() };
    let signers = envelope.signers(&identity.roles.publisher.keys);
    let view = |key: &verbund_protocol::ids::PublicKey| SignatureView {
        member: detail.owner.clone(),
        role: "publisher",
        key: key.to_string(),
    };
    signers.iter().map(view).collect()
}

/// Recall, announced end and corrections of a release; `null` if there are none.
pub(super) fn statements(listed: &Listed, moved_to: Option<String>) -> Value {
    let effect = &listed.effect;
    let withdrawn = effect.withdrawn.as_ref().map(|w| WithdrawnView {
        reason: w.reason.clone(),
        severity: w.severity.clone(),
        successor: w.successor.clone(),
        erase: w.erase,
        at: moment(w.time_s),
        text: shelf::withdrawn(listed).unwrap_or_default(),
    });
    let deprecated = effect.deprecated.as_ref().map(|d| DeprecatedView {
        reason: d.reason.clone(),
        ends: d.ends.clone(),
        successor: d.successor.clone(),
        at: moment(d.time_s),
        text: shelf::deprecated(listed).unwrap_or_default(),
    });
    if withdrawn.is_none() && deprecated.is_none() && effect.corrections.is_empty() && moved_to.is_none() {
        return Value::Null;
    }
    let corrections = effect.corrections.iter().map(|changes| json!(changes)).collect();
    json!(Statements { withdrawn, deprecated, corrections, moved_to })
}
/// A process: its owner, the release by which it is shown, who uses it, where it moved.
pub(super) fn process(
    catalogue: &Catalogue<'_>,
    owner: &Owner,
    shown: &Listed,
    versions: usize,
    said: &Said,
) -> Result<Value, RowsError> {
    let moved = catalogue.moved_to(&owner.member, &shown.row.slug)?;
    let name = |member: &MemberId| catalogue.owners().get(member).map(|owner| owner.handle.clone());
    let adoption = |a: &verbund_protocol::documents::Adoption| {
        json!({
            "member": name(&a.member), "stage": a.stage, "release": a.release, "since": a.since,
            "bodies": a.bodies, "count": a.count, "at": moment(a.time_s),
        })
    };
    let transfer = said.transfer().map(|t| json!({ "to": name(&t.to), "slug": t.slug, "at": moment(t.time_s) }));
    Ok(json!({
        "owner": { "handle": owner.handle, "name": owner.name, "member": owner.member, "present": owner.present },
        "version": shown.version.to_string(),
        "title": shown.effect.title,
        "summary": shown.effect.summary,
        "published": moment(shown.row.published_s),
        "statements": statements(shown, None),
        "versions": versions,
        "adoptions": said.adoptions().into_iter().map(adoption).collect::<Vec<_>>(),
        "transfer_announced": transfer,
        "moved_to": moved,
    }))
}
