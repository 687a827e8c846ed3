//! I6: whatever stands in the catalogue was signed by enough keys that its member had listed by then, names this federation and its
//! member, and stands in the log of a member. Each log is walked from its start, by the rules as SPEC.md has them, not by the code.

use serde_json::Value;
use verbund_protocol::core::View as _;
use verbund_protocol::ids::PeerId;
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, EntryRow, LogRow, Verdict, key};

use super::seal::Sealed;
use super::{Checks, seal};
use crate::world::World;

/// Who has authority at one point of a log.
struct Standing {
    member: String,
    identity: Value,
    identity_id: String,
    charter: Value,
}

pub fn end(checks: &mut Checks, w: &World, members: &[usize]) {
    // All have the same catalogue, which is looked at elsewhere: one of them speaks for all.
    let Some(node) = members.first() else { return };
    for (log, row) in state::logs(&w.nodes[*node].disk).unwrap() {
        if let Err(text) = walk(checks, w, *node, log, &row) {
            checks.found("I6 nothing without authority", format!("{}: log {log}: {text}", w.name(*node)));
        }
    }
}

fn entry(w: &World, node: usize, row: &LogRow, index: u64) -> Option<(Vec<u8>, Verdict)> {
    let disk = &w.nodes[node].disk;
    let entry: EntryRow = state::get(disk, Table::Entries, &key::numbered(row.number, index)).ok()??;
    Some((disk.leaf(entry.at).ok()?, entry.verdict))
}

fn walk(checks: &Checks, w: &World, node: usize, log: PeerId, row: &LogRow) -> Result<(), String> {
    let end = row.end().map_or(row.size(), |end| end.min(row.size())).min(row.judged);
    if row.orphan || end < 3 {
        return Ok(());
    }
    let at = |index: u64| entry(w, node, row, index).and_then(|(leaf, verdict)| Some((seal::open(&leaf)?, verdict)));
    let (Some((identity, _)), Some((writer, _)), Some((charter, _))) = (at(0), at(1), at(2)) else {
        return Err("its first entries are no documents".to_owned());
    };
    let mut standing = begin(checks, log, &identity, &writer, &charter)?;
    for index in 3..end {
        // What is no envelope at all cannot be valid.
        match at(index) {
            Some((sealed, Verdict::Valid)) => {
                valid(checks, w, &mut standing, &sealed).map_err(|e| format!("entry {index}: {e}"))?
            }
            None if entry(w, node, row, index).is_some_and(|(_, verdict)| verdict == Verdict::Valid) => {
                return Err(format!("entry {index} is valid and no document"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn begin(
    checks: &Checks,
    log: PeerId,
    identity: &Sealed,
    writer: &Sealed,
    charter: &Sealed,
) -> Result<Standing, String> {
    let known = charter_known(checks, charter)?;
    let listed = known["members"].as_array().into_iter().flatten().find(|m| m["writer"].as_str() == Some(&writer.id));
    let listed = listed.ok_or("its writer is none of the charter's")?;
    if writer.value["peer"].as_str() != Some(&log.to_string()) || listed["identity"].as_str() != Some(&identity.id) {
        return Err("its start is not what the charter pins".to_owned());
    }
    let member = listed["member"].as_str().unwrap_or("").to_owned();
    if !writer.by(&identity.value["roles"]["root"]) && known["version"] != 1 {
        // A later identity may have signed it; the charter pins both.
        let later = checks.charters.identities.values().any(|i| writer.by(&i["roles"]["root"]));
        if !later {
            return Err("its writer is not signed by its member's root".to_owned());
        }
    }
    Ok(Standing { member, identity: identity.value.clone(), identity_id: identity.id.clone(), charter: known })
}

fn charter_known(checks: &Checks, sealed: &Sealed) -> Result<Value, String> {
    let version = sealed.value["version"].as_u64().ok_or("a charter without a version")?;
    let known = checks.charters.value(version).ok_or("a charter that nobody has")?;
    if sealed.value != known { Err(format!("another charter {version}")) } else { Ok(known) }
}

/// One entry that the node took for valid.
fn valid(checks: &Checks, w: &World, at: &mut Standing, sealed: &Sealed) -> Result<(), String> {
    let roles = &at.identity["roles"];
    let release = sealed.name() == "release";
    let says = if release { &sealed.value["predicate"] } else { &sealed.value };
    match sealed.name() {
        "charter" => {
            let next = charter_known(checks, sealed)?;
            if next["version"].as_u64() != at.charter["version"].as_u64().map(|v| v + 1) {
                return Err("a charter is skipped".to_owned());
            }
            let pinned = next["members"].as_array().into_iter().flatten().find(|m| m["member"] == at.member.as_str());
            let newer = pinned.and_then(|m| m["identity"].as_str()).filter(|id| *id != at.identity_id);
            if let Some((id, identity)) = newer.and_then(|id| Some((id, checks.charters.identities.get(id)?)))
                && identity["version"].as_u64() > at.identity["version"].as_u64()
            {
                (at.identity, at.identity_id) = (identity.clone(), id.to_owned());
            }
            at.charter = next;
            return Ok(());
        }
        "identity" => {
            let follows = sealed.value["prev"].as_str() == Some(&at.identity_id);
            if !follows || !sealed.by(&roles["root"]) || !sealed.by(&sealed.value["roles"]["root"]) {
                return Err("an identity that does not follow, or is not signed by both roots".to_owned());
            }
            (at.identity, at.identity_id) = (sealed.value.clone(), sealed.id.clone());
            return Ok(());
        }
        "release" | "correction" | "withdrawal" | "deprecation" | "transfer" if !sealed.by(&roles["publisher"]) => {
            return Err(format!("a {} without its publisher", sealed.name()));
        }
        "adoption" | "leave" | "advisory" if !sealed.by(&roles["approver"]) => {
            return Err(format!("a {} without its approver", sealed.name()));
        }
        "release" | "correction" | "withdrawal" | "deprecation" | "transfer" | "adoption" | "leave" | "advisory" => {}
        other => return Err(format!("a {other:?} counts")),
    }
    if says["federation"].as_str() != Some(&w.federation.to_string()) || says["member"].as_str() != Some(&at.member) {
        return Err(format!("a {} of another federation or member", sealed.name()));
    }
    let members = at.charter["members"].as_array().cloned().unwrap_or_default();
    if !members.iter().any(|m| m["member"] == at.member.as_str()) {
        return Err(format!("a {} of one that was no member then", sealed.name()));
    }
    Ok(())
}
