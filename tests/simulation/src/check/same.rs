//! I7: when all has healed, honest members have the same catalogue, and whatever they may have. I2: what was witnessed can be had,
//! byte for byte, while one honest node has it.

use std::collections::BTreeMap;

use verbund_protocol::ids::{Blake3, Sha256};
use verbund_protocol::view::rows::{Rows as _, Table};
use verbund_protocol::view::state::{Audience, key};

use super::Checks;
use crate::disk::Disk;
use crate::ops::catalogue;
use crate::world::World;

/// What differs between two catalogues, shortly.
fn difference(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> String {
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differ = keys.into_iter().filter(|key| a.get(*key) != b.get(*key)).take(3);
    differ.map(|key| format!("\n  {key}: {:?} against {:?}", a.get(key), b.get(key))).collect()
}

/// Releases that this node should have and has not: those for it, while an honest node that runs has all of their files.
pub fn lacking(w: &World, node: usize) -> Vec<String> {
    let n = &w.nodes[node];
    let mut out = Vec::new();
    for row in w.releases(node) {
        let wanted = match &row.audience {
            Audience::Federation | Audience::Public => true,
            Audience::Members(handles) => row.member == n.org.member || handles.contains(&n.org.handle),
        };
        let Some(made) = w.made.iter().find(|made| made.id == row.id) else { continue };
        let has = |at: usize| made.artifacts.keys().all(|hash| crate::disks::has(w, at, hash));
        let somebody = (0..w.nodes.len()).any(|at| w.nodes[at].up() && !w.nodes[at].hostile && has(at));
        let marked = n.disk.get(Table::Local, &key::missing(&row.log, row.index)).unwrap().is_some();
        if wanted && somebody && (marked || !has(node)) {
            out.push(format!("{} {} {} (marked as missing: {marked})", n.org.handle, row.slug, row.version));
        }
    }
    out
}

pub fn end(checks: &mut Checks, w: &World, members: &[usize]) {
    let Some(first) = members.first() else { return };
    let known = catalogue(&w.nodes[*first].disk);
    for node in members {
        let own = catalogue(&w.nodes[*node].disk);
        if own != known {
            let text = format!("{} and {} differ: {}", w.name(*first), w.name(*node), difference(&known, &own));
            checks.found("I7 all have the same", text);
        }
        for text in lacking(w, *node) {
            checks.found("I2 all can be had", format!("{text} is missing"));
        }
        for (hash, bytes) in &w.nodes[*node].artifacts {
            let right =
                Blake3::of(bytes) == *hash && w.made.iter().all(|m| m.artifacts.get(hash).is_none_or(|b| b == bytes));
            if !right {
                checks.found(
                    "I2 all can be had",
                    format!("{} has other bytes under {}", w.name(*node), Sha256::of(bytes)),
                );
            }
        }
        // The view is what the journal says: no rebuild shows anything else.
        let disk = &w.nodes[*node].disk;
        if disk.damaged.is_empty() {
            let again = Disk::open(disk.journal.clone());
            if format!("{:?}", again.rows) != format!("{:?}", disk.rows) {
                checks.found("I7 all have the same", format!("{}: a rebuilt view is another one", w.name(*node)));
            }
        }
    }
}
