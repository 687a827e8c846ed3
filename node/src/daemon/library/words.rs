//! JSON that says who vouches for a release, what was said about it, and who uses a process.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use verbund_protocol::ids::MemberId;
use verbund_protocol::view::catalogue::{Catalogue, Listed, Owner, Said};
use verbund_protocol::view::rows::RowsError;

use crate::admin::api::Moment;
use crate::daemon::shelf::{Detail, Supply};

fn moment(seconds: u64) -> String {
    Moment::from_unix_ms(seconds.saturating_mul(1_000)).to_string()
}

/// Who signed, where it stands in which log, who witnessed it, who holds it.
pub(super) fn evidence(detail: &Detail, supply: &Supply) -> Value {
    let Detail { listed, witnesses, witnessed_by, .. } = detail;
    json!({
        "digest": listed.row.id,
        "envelope": STANDARD.encode(&detail.envelope),
        "published": moment(listed.row.published_s),
        "log": listed.row.log,
        "index": listed.row.index,
        "witnesses": witnessed_by,
        "witnessed": witnesses.reached,
        "needed": witnesses.needed,
        "of": witnesses.of,
        "charter": witnesses.charter,
        "held_by": supply.held_by,
    })
}

/// Recall, announced end and corrections of a release; `null` if there are none.
pub(super) fn statements(listed: &Listed) -> Value {
    let effect = &listed.effect;
    let withdrawn = effect.withdrawn.as_ref().map(|w| {
        json!({
            "reason": w.reason, "severity": w.severity, "successor": w.successor, "erase": w.erase, "at": moment(w.time_s),
        })
    });
    let deprecated = effect
        .deprecated
        .as_ref()
        .map(|d| json!({ "reason": d.reason, "ends": d.ends, "successor": d.successor, "at": moment(d.time_s) }));
    if withdrawn.is_none() && deprecated.is_none() && effect.corrections.is_empty() {
        return Value::Null;
    }
    json!({ "withdrawn": withdrawn, "deprecated": deprecated, "corrections": effect.corrections })
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
        "statements": statements(shown),
        "versions": versions,
        "adoptions": said.adoptions().into_iter().map(adoption).collect::<Vec<_>>(),
        "transfer_announced": transfer,
        "moved_to": moved,
    }))
}
