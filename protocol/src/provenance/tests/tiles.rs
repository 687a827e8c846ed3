//! A whole log read through tiles: every hash and entry of it is there, and leads to the root that its node signed.

use super::build::Fed;
use crate::ids::Sha256;
use crate::log::tree::{leaf_hash, node_hash};
use crate::view::checkpoints::{self, TILE_WIDTH, Tile};

/// SPEC: RFC 6962 §2.1, word by word: the root over the hashes of leaves.
fn root(hashes: &[Sha256]) -> Sha256 {
    match hashes {
        [one] => *one,
        _ => {
            let split = hashes.len().next_power_of_two() / 2;
            node_hash(root(&hashes[..split]), root(&hashes[split..]))
        }
    }
}

/// All tiles of a level of a log of `size` entries, as (index, width).
fn tiles(level: u8, size: u64) -> Vec<(u64, u64)> {
    let there = size >> (8 * u32::from(level));
    (0..there.div_ceil(TILE_WIDTH)).map(|n| (n, (there - n * TILE_WIDTH).min(TILE_WIDTH))).collect()
}

fn bundle(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut out) = (bytes, Vec::new());
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let (leaf, after) = after.split_at(usize::from(u16::from_be_bytes(*len)));
        out.push(leaf.to_vec());
        rest = after;
    }
    out
}

#[test]
fn a_log_of_several_full_tiles_is_read_whole_and_leads_to_its_root() {
    let mut fed = Fed::of(3);
    let filler = (0..600_u32).map(|n| format!("{n:060}").into_bytes()).collect();
    fed.append(0, filler);
    fed.cosign(0, &[1, 2]);
    let (log, leaves) = (fed.parties[0].log(), fed.parties[0].leaves.clone());
    let size = leaves.len() as u64;
    let view = &fed.store;
    let read = |level, (index, width)| Tile { level, index, width }.read(view, &log).unwrap();

    let entries: Vec<_> = tiles(0, size).into_iter().flat_map(|at| bundle(&read(None, at).unwrap())).collect();
    assert!(entries == leaves, "byte for byte");
    let hashes = |level| -> Vec<Sha256> {
        let bytes: Vec<u8> = tiles(level, size).into_iter().flat_map(|at| read(Some(level), at).unwrap()).collect();
        bytes.chunks(32).map(|hash| Sha256(hash.try_into().unwrap())).collect()
    };
    let below = hashes(0);
    assert_eq!(below, leaves.iter().map(|leaf| leaf_hash(leaf)).collect::<Vec<_>>());
    let above: Vec<_> = below.chunks_exact(256).map(root).collect();
    assert_eq!(above.len(), 2, "two full tiles");
    assert_eq!(hashes(1), above);

    let signed = checkpoints::newest(view, fed.federation(), &log).unwrap().unwrap();
    assert_eq!((signed.checkpoint().size, signed.checkpoint().root), (size, root(&below)));
    assert_eq!(signed.witnesses().count(), 2);
    // What the log does not fill is not there, nor is anything of a log that is not known.
    let width = size % TILE_WIDTH;
    for (level, at) in
        [(Some(0), (2, width + 1)), (Some(0), (3, 1)), (Some(1), (0, 3)), (Some(2), (0, 1)), (None, (2, 256))]
    {
        assert_eq!(read(level, at), None, "{level:?} {at:?}");
    }
    let foreign = fed.parties[1].node().peer();
    assert_ne!(foreign, log);
    assert_eq!(Tile { level: Some(0), index: 0, width: 256 }.read(view, &foreign).unwrap(), None);
}

#[test]
fn a_checkpoint_beyond_the_entries_held_is_not_handed_out() {
    let mut fed = Fed::of(2);
    let log = fed.parties[0].log();
    let before = checkpoints::newest(&fed.store, fed.federation(), &log).unwrap().unwrap();
    assert_eq!(before.checkpoint().size, fed.parties[0].leaves.len() as u64);
    // The log's node signs more than it has sent: the note alone is known.
    let mut leaves = fed.parties[0].leaves.clone();
    leaves.push(b"noch nicht da".to_vec());
    let checkpoint = super::build::checkpoint(fed.federation(), log, &leaves);
    let note = crate::log::sign_checkpoint(&fed.parties[0].node(), fed.federation(), &checkpoint).unwrap();
    fed.store.commit(vec![crate::record::Record::Checkpoint { log, note: note.to_text().into_bytes() }]);
    let after = checkpoints::newest(&fed.store, fed.federation(), &log).unwrap();
    assert!(after.is_none_or(|signed| signed.checkpoint().size == leaves.len() as u64 - 1));
}
