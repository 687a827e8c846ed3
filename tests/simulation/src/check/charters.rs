//! I4: there is one charter of each version, and each was approved and decided by enough members. Counted here anew: approvals and
//! votes by distinct members, by keys that an identity of theirs lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use verbund_protocol::ids::Sha256;
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, CharterRow, key};

use super::{Checks, seal};
use crate::world::World;

/// Charters and identities, as the first honest node had them.
#[derive(Default)]
pub struct Charters {
    /// Payloads by version.
    pub held: BTreeMap<u64, Vec<u8>>,
    /// Identities by their hash, and whose they are.
    pub identities: BTreeMap<String, Value>,
    seen: BTreeMap<usize, u64>,
}

impl Charters {
    /// The disk of this node is put back: charters that it alone had are gone.
    pub fn forget(&mut self, node: usize) {
        self.seen.remove(&node);
    }

    /// The charter of a version, as JSON.
    pub fn value(&self, version: u64) -> Option<Value> {
        self.held.get(&version).and_then(|bytes| serde_json::from_slice(bytes).ok())
    }
}

pub fn observe(checks: &mut Checks, w: &World, node: usize) {
    let disk = &w.nodes[node].disk;
    let newest = state::meta(disk).unwrap().charter;
    let seen = checks.charters.seen.get(&node).copied().unwrap_or(0);
    if newest < seen && !w.nodes[node].restored {
        checks.found("I5 nothing falls", format!("{} went back from charter {seen} to {newest}", w.name(node)));
    }
    for version in seen + 1..=newest {
        let row: Option<CharterRow> = state::get(disk, Table::Charters, &key::charter(version)).unwrap();
        let Some(CharterRow { bundle }) = row else { continue };
        match checks.charters.held.get(&version) {
            Some(held) if *held == bundle.payload => {}
            Some(_) => checks.found("I4 one charter", format!("{} has another charter {version}", w.name(node))),
            None => {
                checks.charters.held.insert(version, bundle.payload.clone());
                for identity in &bundle.identities {
                    let Some(sealed) = seal::open(identity) else { continue };
                    checks.charters.identities.insert(sealed.id, sealed.value);
                }
                if let Err(text) = certified(&checks.charters, version, &bundle) {
                    checks.found("I4 one charter", format!("charter {version}: {text}"));
                }
            }
        }
    }
    checks.charters.seen.insert(node, newest);
}

/// The member that an identity with this hash is of: the first of a chain is named after its own hash.
fn member_of(hash: &str, identity: &Value) -> String {
    let named = identity["member"].as_str().map(str::to_owned);
    named.unwrap_or_else(|| hash.replace("sha256:", "member:"))
}

fn certified(
    known: &Charters,
    version: u64,
    bundle: &verbund_protocol::charter::certificate::CharterBundle,
) -> Result<(), String> {
    let Some(charter) = known.value(version) else { return Err("is not JSON".to_owned()) };
    if version == 1 {
        return Ok(());
    }
    // Only in order can they be counted.
    let Some(before) = known.value(version - 1) else { return Ok(()) };
    let hash = |bytes: &[u8]| format!("sha256:{}", Sha256::of(bytes).to_hex());
    if charter["prev"].as_str() != Some(&hash(&known.held[&(version - 1)])) {
        return Err("does not name the one before".to_owned());
    }
    let members = |charter: &Value| charter["members"].as_array().cloned().unwrap_or_default();
    let voters: BTreeSet<String> = members(&before)
        .iter()
        .filter(|m| m["standing"] == "full")
        .filter_map(|m| m["member"].as_str().map(str::to_owned))
        .collect();
    let needed = voters.len() * 2 / 3 + 1;
    let of = |member: &str| -> Vec<&Value> {
        known.identities.iter().filter(|(id, v)| member_of(id, v) == member).map(|(_, v)| v).collect()
    };
    let mut approvers = BTreeSet::new();
    for approval in bundle.approvals.iter().filter_map(|bytes| seal::open(bytes)) {
        let member = approval.value["member"].as_str().unwrap_or("").to_owned();
        let fits = approval.value["base_version"].as_u64() == Some(version - 1)
            && approval.value["federation"] == charter["federation"]
            && approval.value["change"] == charter["change"];
        if fits && voters.contains(&member) && of(&member).iter().any(|i| approval.by(&i["roles"]["approver"])) {
            approvers.insert(member);
        }
    }
    let mut rounds: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for vote in bundle.precommits.iter().filter_map(|bytes| seal::open(bytes)) {
        let value = &vote.value;
        let member = value["member"].as_str().unwrap_or("").to_owned();
        let fits = value["type"] == "precommit"
            && value["height"].as_u64() == Some(version)
            && value["prev"] == charter["prev"]
            && value["federation"] == charter["federation"]
            && value["value"].as_str() == Some(&hash(&bundle.payload));
        let listed = |key: &String| {
            let nodes = of(&member).into_iter().filter_map(|i| i["roles"]["nodes"].as_array());
            nodes.flatten().any(|node| node.as_str() == Some(key))
        };
        if fits && voters.contains(&member) && vote.signers.iter().any(listed) {
            rounds.entry(value["round"].as_u64().unwrap_or(u64::MAX)).or_default().insert(member);
        }
    }
    let votes = rounds.values().map(BTreeSet::len).max().unwrap_or(0);
    if approvers.len() < needed || votes < needed {
        return Err(format!("{} approvals and {votes} votes of {needed}", approvers.len()));
    }
    Ok(())
}
