//! Whether the hashes of a view are those of the logs: they lie in flat files without checksums, and a Merkle root checks them.
//!
//! Owns that check, made once at each start. A view that fails it is built again from the journal; nothing is served from it, for a
//! wrong hash would make this node's proofs wrong, and its peers would count that against it.

use std::collections::VecDeque;

use verbund_protocol::ids::Sha256;
use verbund_protocol::log::Frontier;
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state;

use super::scrub::pages;

/// What is wrong with the hashes; `None` if they lead to the roots that stand in the rows. Costs two hashes for each entry.
///
/// # Errors
/// [`RowsError`] if the view cannot be read.
pub fn contradiction(rows: &dyn Rows) -> Result<Option<String>, RowsError> {
    for (log, row) in state::logs(rows)? {
        let mut tree = Frontier::new();
        let mut due: VecDeque<Sha256> = VecDeque::new();
        let mut wrong = None;
        pages(rows, Table::Hashes, &row.number.to_be_bytes(), |_, value| {
            let hash = value.try_into().map(Sha256).map_err(|_| RowsError("a hash is not 32 bytes long".to_owned()))?;
            match due.pop_front() {
                // The hash of a leaf; those of the subtrees that it completes follow.
                None => {
                    let mut stored = Vec::new();
                    tree.append_stored(hash, &mut stored).map_err(|e| RowsError(e.to_string()))?;
                    due.extend(stored.into_iter().skip(1));
                }
                Some(expected) if expected == hash => {}
                Some(_) => drop(wrong.get_or_insert(tree.size())),
            }
            Ok(())
        })?;
        if let Some(size) = wrong {
            return Ok(Some(format!("a hash of the log of {log} is wrong at size {size}")));
        }
        if (tree != row.frontier || !due.is_empty()) && !verbund_protocol::seeded::bug("hashes_unchecked") {
            return Ok(Some(format!("the hashes of the log of {log} do not lead to its root")));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::sync::Arc;

    use verbund_protocol::ids::{PeerId, PublicKey};
    use verbund_protocol::record::{Batch, Record};

    use super::super::view::ProtocolFold;
    use super::*;
    use crate::store::{Options, Store, Weight};

    #[test]
    fn every_flipped_hash_is_noticed_and_sound_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let options = Options { floor_bytes: 0, ..Options::new([1; 32]) };
            Store::open(dir.path(), Arc::new(ProtocolFold::default()), options).unwrap().0
        };
        let store = open();
        for (log, count) in [(1, 11_u64), (2, 0), (3, 1)] {
            let leaves = (0..count).map(|n| n.to_be_bytes().to_vec()).collect();
            let record = Record::entries(PeerId(PublicKey([log; 32])), 0, leaves);
            store.append(Weight::Essential, Batch { records: vec![record] }.encode().unwrap()).unwrap();
        }
        assert_eq!(contradiction(&store.reader()).unwrap(), None);
        store.close().unwrap();
        drop(store);
        let path = dir.path().join("view/hashes/0.bin");
        let sound = std::fs::read(&path).unwrap();
        assert_eq!(sound.len(), 32 * (11 + 5 + 2 + 1), "11 leaves and the subtrees that they complete");
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        for index in 0..sound.len() / 32 {
            let mut bytes = sound.clone();
            bytes[index * 32 + 7] ^= 1;
            file.write_all_at(&bytes, 0).unwrap();
            let store = open();
            assert!(contradiction(&store.reader()).unwrap().is_some(), "hash {index}");
            store.close().unwrap();
        }
    }
}
