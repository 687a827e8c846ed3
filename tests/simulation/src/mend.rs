//! What the shell does about damaged frames: entries that stood in them are had from members again, and appended anew.

use verbund_protocol::core::{Input, View as _, serve};
use verbund_protocol::log::tree;
use verbund_protocol::record::{Batch, Record};
use verbund_protocol::view::rows::{Rows as _, Table};
use verbund_protocol::view::state::{self, EntryRow, key};
use verbund_protocol::wire::sync::Response;

use crate::world::{Happening, World};

/// Between two tries, in milliseconds.
const AGAIN_MS: u64 = 5_000;

impl World {
    /// Entries of `node` that cannot be read: the number of their log, the log, the index.
    fn gaps(&self, node: usize) -> Vec<(u32, verbund_protocol::ids::PeerId, u64)> {
        let disk = &self.nodes[node].disk;
        let mut gaps = Vec::new();
        for (log, row) in state::logs(disk).unwrap() {
            for index in 0..row.size() {
                let entry: Option<EntryRow> =
                    state::get(disk, Table::Entries, &key::numbered(row.number, index)).unwrap();
                if entry.is_some_and(|entry| disk.leaf(entry.at).is_err()) {
                    gaps.push((row.number, log, index));
                }
            }
        }
        gaps
    }

    pub(crate) fn mend(&mut self, node: usize) {
        if self.nodes[node].disk.damaged.is_empty() {
            return;
        }
        let gaps = if self.nodes[node].up() { self.gaps(node) } else { Vec::new() };
        for (number, log, index) in gaps {
            let holders: Vec<usize> = (0..self.nodes.len()).filter(|other| self.mutual(node, *other)).collect();
            let leaf =
                holders.into_iter().find_map(|other| match serve::entries(&self.nodes[other].disk, log, index) {
                    Ok(Response::Entries(entries)) if entries.first == index => entries.leaves.into_iter().next(),
                    _ => None,
                });
            let stored = tree::stored_count(index).unwrap();
            let held = self.nodes[node].disk.get(Table::Hashes, &key::numbered(number, stored)).unwrap();
            // Taken only if it is the one whose hash stands in the tree, whoever has it.
            if let Some(leaf) = leaf.filter(|leaf| held.as_deref() == Some(tree::leaf_hash(leaf).0.as_slice())) {
                self.nodes[node].disk.append(Batch { records: vec![Record::entries(log, index, vec![leaf])] });
                self.step(node, Input::Applied);
            }
        }
        self.later(AGAIN_MS, node, Happening::Mend);
    }
}
